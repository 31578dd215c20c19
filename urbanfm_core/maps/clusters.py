"""Clusters of vectors by k-means, in passes over rows that need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.metrics.pairwise import pairwise_distances_argmin_min

from urbanfm_core.errors import ConfigError, EmptyInputError, ShapeError
from urbanfm_core.progress import Progress

# Rows in memory at a time, as float32: 128 dimensions make 16 MiB of them.
_CHUNK_ROWS = 32_768
# Rows of the sample that is clustered first, for each cluster and at least; and from how many starts.
_SAMPLE_ROWS, _SAMPLE_LEAST, _STARTS = 200, 10_000, 3
# Passes end when one lowers the inertia by less than this share.
_TOLERANCE = 1e-3
_MOST_PASSES = 30


@dataclass(frozen=True)
class Clusters:
    """What `cluster_vectors` found; the largest cluster is number 0.

    Attributes:
        labels: (N,) int32; -1 for a row that has no vector.
        centres: (K, D) float32.
        sizes: (K,) int64, falling.
        inertia: Sum of the squared distances of the rows to their centres.
    """

    labels: np.ndarray
    centres: np.ndarray
    sizes: np.ndarray
    inertia: float


def cluster_vectors(vectors: np.ndarray, clusters: int, *, seed: int = 0, progress: Progress | None = None) -> Clusters:
    """K-means of rows: a sample finds where the clusters are, passes over all rows then settle the centres.

    The sample is clustered from several k-means++ starts (Arthur and Vassilvitskii 2007), the best one is kept, and
    Lloyd's steps over all rows follow until one gains less than a thousandth.

    Args:
        vectors: (N, D); may be memory-mapped, since it is read in chunks. A row that is not finite gets label -1.
        clusters: K, at least 1 and at most the number of rows that have a vector.
        seed: Start of all draws.
        progress: Reports and cancels.
    Raises:
        ShapeError: vectors is not (N, D).
        EmptyInputError: no row has a vector.
        ConfigError: clusters is out of range.
        Cancelled: the caller asked to stop.
    """
    progress = progress or Progress()
    if vectors.ndim != 2:
        raise ShapeError(f"Vectors must be (N, D), got {vectors.shape}.")
    known = _rows_with_vectors(vectors)
    if not len(known):
        raise EmptyInputError(f"None of the {len(vectors):,} rows has a vector.", "Embed the regions first.")
    if not 1 <= clusters <= len(known):
        raise ConfigError(
            f"{clusters} clusters of {len(known):,} vectors cannot be made.", f"Ask for 1 to {len(known):,}."
        )
    progress.update(0.0, "Clustering a sample")
    centres = _first_centres(vectors, known, clusters, seed)
    before = np.inf
    for turn in range(_MOST_PASSES):
        part = progress.part(0.3 + 0.7 * turn / _MOST_PASSES, 0.3 + 0.7 * (turn + 1) / _MOST_PASSES)
        labels, sums, sizes, inertia = _assign(vectors, known, centres, part)
        if turn + 1 == _MOST_PASSES or before - inertia <= _TOLERANCE * inertia:
            break
        before = inertia
        # A cluster that lost all its rows stays where it is.
        held = sizes > 0
        centres[held] = sums[held] / sizes[held, None]
    order = np.argsort(-sizes, kind="stable")
    place = np.empty(clusters, np.int32)
    place[order] = np.arange(clusters)
    found = np.full(len(vectors), -1, np.int32)
    found[known] = place[labels]
    return Clusters(found, centres[order].astype(np.float32), sizes[order], float(inertia))


def _rows_with_vectors(vectors: np.ndarray) -> np.ndarray:
    finite = [np.isfinite(vectors[a : a + _CHUNK_ROWS]).all(axis=1) for a in range(0, len(vectors), _CHUNK_ROWS)]
    return np.flatnonzero(np.concatenate(finite)) if finite else np.empty(0, np.int64)


def _first_centres(vectors: np.ndarray, known: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    count = min(len(known), max(_SAMPLE_LEAST, _SAMPLE_ROWS * clusters))
    rows = np.sort(np.random.default_rng(seed).choice(known, count, replace=False))
    model = KMeans(clusters, n_init=_STARTS, random_state=seed).fit(np.asarray(vectors[rows], np.float32))
    return np.asarray(model.cluster_centers_, np.float32)


def _assign(
    vectors: np.ndarray, known: np.ndarray, centres: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The nearest centre of each known row, and by centre the sum (K, D) and number (K,) of its rows; the inertia."""
    labels = np.empty(len(known), np.int32)
    sums, sizes, inertia, start = np.zeros(centres.shape), np.zeros(len(centres), np.int64), 0.0, 0
    for chunk in progress.track(list(_chunks(known)), "chunks"):
        rows = np.asarray(vectors[chunk], np.float32)
        nearest, distance = pairwise_distances_argmin_min(rows, centres)
        members = csr_array(
            (np.ones(len(rows), np.float32), (nearest, np.arange(len(rows)))), shape=(len(centres), len(rows))
        )
        sums += members @ rows
        sizes += np.bincount(nearest, minlength=len(centres))
        inertia += float(np.square(distance, dtype=np.float64).sum())
        labels[start : start + len(rows)] = nearest
        start += len(rows)
    return labels, sums, sizes, inertia


def _chunks(known: np.ndarray) -> Iterator[slice | np.ndarray]:
    """Rows in chunks; as a slice, which copies nothing, where they follow one another."""
    for start in range(0, len(known), _CHUNK_ROWS):
        rows = known[start : start + _CHUNK_ROWS]
        first, last = int(rows[0]), int(rows[-1])
        yield slice(first, last + 1) if last - first + 1 == len(rows) else rows

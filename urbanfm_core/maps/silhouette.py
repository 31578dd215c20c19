"""How well each row sits in its cluster (Rousseeuw 1987), in blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics.pairwise import euclidean_distances

from urbanfm_core.progress import Progress

# Up to so many rows the mean distances are exact; of more, they are to a sample of so many.
EXACT_UP_TO = 5000
_BLOCK_ROWS = 2048


def silhouettes(
    vectors: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    *,
    most: int = EXACT_UP_TO,
    seed: int = 0,
    progress: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """(b - a) / max(a, b) of each row: a is its mean distance to its own cluster, b to the nearest other one.

    Args:
        vectors: (N, D), finite.
        labels: (N,) from 0; -1 is a row without a cluster, which counts nowhere.
        most: Rows that distances are taken to; of more, a sample that every cluster is in.
        seed: Of the sample.
        progress: Reports and cancels.
    Returns:
        (N,) in [-1, 1]: 1 sits well, 0 lies between two clusters; 0 for a cluster of one row, as is usual; NaN for a
        row without a cluster, and for all if there are fewer than two clusters.
    """
    progress = progress or Progress()
    found = np.full(len(labels), np.nan)
    rows = np.flatnonzero(labels >= 0)
    if not len(rows) or labels[rows].min() == labels[rows].max():
        return found
    clusters = int(labels.max()) + 1
    to = _sample(labels, rows, clusters, most, seed)
    centre = vectors[rows].mean(axis=0, dtype=np.float64)
    others = vectors[to].astype(np.float64) - centre
    member = np.zeros((len(to), clusters))
    member[np.arange(len(to)), labels[to]] = 1.0
    counts = member.sum(axis=0)
    place = np.full(len(labels), -1, np.int64)
    place[to] = np.arange(len(to))
    sizes = np.bincount(labels[rows], minlength=clusters)
    starts = range(0, len(rows), _BLOCK_ROWS)
    for start in progress.track(starts, "blocks of regions"):
        block = rows[start : start + _BLOCK_ROWS]
        own, here = labels[block], np.arange(len(block))
        distance = euclidean_distances(vectors[block].astype(np.float64) - centre, others)
        itself = place[block] >= 0
        distance[here[itself], place[block][itself]] = 0.0
        sums = distance @ member
        # A row is no company for itself.
        company = counts[own] - itself
        a = sums[here, own] / np.maximum(company, 1)
        apart = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
        apart[here, own] = np.inf
        b = apart.min(axis=1)
        found[block] = np.where(sizes[own] > 1, (b - a) / np.maximum(np.maximum(a, b), np.finfo(float).tiny), 0.0)
    return found


def _sample(
    labels: npt.NDArray[np.int32], rows: npt.NDArray[np.int64], clusters: int, most: int, seed: int
) -> npt.NDArray[np.int64]:
    """Rows that distances are taken to: all, or as many of each cluster as its share, two at least."""
    if len(rows) <= most:
        return rows
    rng = np.random.default_rng(seed)
    chosen = []
    for cluster in range(clusters):
        members = rows[labels[rows] == cluster]
        count = min(len(members), max(2, round(most * len(members) / len(rows))))
        chosen.append(rng.choice(members, count, replace=False))
    return np.sort(np.concatenate(chosen))

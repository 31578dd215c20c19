"""Regions in clusters: how many there are, which region is in which, and how well it sits there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, EmptyInputError, InputError
from urbanfm_core.maps.clusters import cluster_vectors
from urbanfm_core.maps.contiguity import connected_labels, neighbour_links
from urbanfm_core.maps.silhouette import EXACT_UP_TO, silhouettes
from urbanfm_core.progress import Progress

Algorithm = Literal["kmeans", "hdbscan"]
Scaling = Literal["none", "unit", "standard"]
Vectors = npt.NDArray[np.float32]

# The number of clusters is chosen on a sample; its silhouettes need all distances within it.
_CHOOSING_ROWS = 3000
# HDBSCAN's time grows with the square of the rows: of more, a sample is clustered, and the others join their nearest.
_DENSITY_ROWS = 8000
# It finds no densities in many dimensions.
_DENSITY_COMPONENTS = 16
# Smallest clusters that are tried when none is given, as shares of the regions; never below the least.
_LEAST_SHARES, _LEAST_MEMBERS = (0.005, 0.01, 0.02, 0.05), 5
# Kaufman and Rousseeuw (1990) call what lies below no substantial structure.
_WEAK = 0.25
# A cluster with more of the regions than this divides nothing.
_MOST_IN_ONE = 0.95
_LARGEST = 1e15


@dataclass(frozen=True)
class Groups:
    """Clusters of R regions; number 0 is the largest.

    Attributes:
        labels: (R,) int32; -1 for a region without a vector, or in no cluster.
        centres: (K, D) float32, means of the members, in the space that was clustered.
        sizes: (K,) falling; equal ones in the order of their first region.
        silhouette: (R,) in [-1, 1]; NaN without a cluster.
        distance: (R,) to the centre of the own cluster; NaN without a cluster.
        tried: What was tried to choose from, and its mean silhouette; empty if nothing was chosen.
        known: (R,) whether a region has a vector.
        notes: What was left out or chosen, in sentences.
    """

    labels: npt.NDArray[np.int32]
    centres: Vectors
    sizes: npt.NDArray[np.int64]
    silhouette: npt.NDArray[np.float64]
    distance: npt.NDArray[np.float64]
    tried: list[tuple[int, float]]
    known: npt.NDArray[np.bool_]
    notes: list[str] = field(default_factory=list)

    @property
    def mean_silhouette(self) -> float:
        """Mean over the regions in clusters."""
        return float(self.silhouette[self.labels >= 0].mean())

    def members(self, cluster: int) -> npt.NDArray[np.int64]:
        """Rows of a cluster, the most typical first: nearest to its centre."""
        rows = np.flatnonzero(self.labels == cluster)
        return rows[np.argsort(self.distance[rows], kind="stable")]


def group_regions(
    vectors: npt.NDArray[np.floating],
    *,
    algorithm: Algorithm = "kmeans",
    clusters: int | None = None,
    most_clusters: int = 12,
    min_size: int | None = None,
    scaling: Scaling = "none",
    connected: RegionSet | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Groups:
    """Cluster region vectors.

    Args:
        vectors: (R, D); a row that is not finite is a region without a vector.
        algorithm: 'kmeans' puts every region into one of K round clusters; 'hdbscan' (Campello et al. 2013) finds dense
            groups of any form, and leaves regions between them in none.
        clusters: K of k-means; None takes the number with the best mean silhouette, from 2 to `most_clusters`.
        most_clusters: See `clusters`.
        min_size: Fewest regions of a cluster of HDBSCAN; None takes the best of several by silhouette, regions in no
            cluster counting as 0.
        scaling: 'unit' makes vectors equally long, 'standard' gives each dimension mean 0 and deviation 1.
        connected: The R regions, if clusters are to be connected on the map; then neighbours are merged by Ward's method
            instead of k-means.
        seed: Start of all draws.
        progress: Reports and cancels.
    Raises:
        EmptyInputError: no region has a vector.
        InputError: the vectors are too few, or all the same, or have no dense groups, or are too many to connect.
        ConfigError: more clusters than different vectors.
    """
    progress = progress or Progress()
    notes: list[str] = []
    with np.errstate(over="ignore", invalid="ignore"):
        known = np.isfinite(vectors).all(axis=1) & (np.abs(vectors) < _LARGEST).all(axis=1)
    rows = np.flatnonzero(known)
    if not len(rows):
        raise EmptyInputError(f"None of the {len(vectors):,} regions has a vector.", "Embed the regions first.")
    if len(rows) < len(vectors):
        notes.append(
            f"{len(vectors) - len(rows):,} of {len(vectors):,} regions have no vector of finite numbers and are in no "
            "cluster."
        )
    found = _scaled(np.ascontiguousarray(vectors[rows], np.float32), scaling, notes)
    different = _different(found, max(clusters or 0, most_clusters) + 1)
    if different < 2:
        raise InputError(
            f"There is nothing to cluster: the {len(rows):,} regions with a vector all have the same."
            if len(rows) > 1
            else "There is nothing to cluster: one region has a vector.",
            "Give the vectors of more regions.",
        )
    if algorithm == "hdbscan":
        labels, tried = _by_density(found, min_size, seed, notes, progress.part(0.0, 0.7))
    elif connected is not None:
        part = progress.part(0.0, 0.7)
        labels, tried = _by_neighbours(found, connected.take(rows), clusters, most_clusters, seed, notes, part)
    else:
        labels, tried = _by_means(found, clusters, most_clusters, different, seed, notes, progress.part(0.0, 0.7))
    labels = _ordered(labels)
    sizes = np.bincount(labels[labels >= 0])
    centres = np.stack([found[labels == number].mean(axis=0, dtype=np.float64) for number in range(len(sizes))])
    spread = np.full(len(labels), np.nan)
    for number, centre in enumerate(centres):
        spread[labels == number] = np.linalg.norm(found[labels == number] - centre, axis=1)
    well = silhouettes(found, labels, seed=seed, progress=progress.part(0.7, 1.0))
    if (labels >= 0).sum() > EXACT_UP_TO:
        notes.append(
            f"Silhouettes are estimated: their mean distances are to a sample of about {EXACT_UP_TO:,} regions."
        )
    groups = Groups(
        _spread(labels, rows, len(vectors), -1, np.int32),
        centres.astype(np.float32),
        sizes,
        _spread(well, rows, len(vectors), np.nan, np.float64),
        _spread(spread, rows, len(vectors), np.nan, np.float64),
        tried,
        known,
        notes,
    )
    largest = int(groups.sizes.max())
    if len(groups.sizes) > 1 and largest > _MOST_IN_ONE * groups.sizes.sum():
        notes.append(
            f"One cluster holds {largest:,} of {int(groups.sizes.sum()):,} regions: the others are few that are unlike all "
            "else, which makes for a good silhouette. Ask for more clusters to part the rest."
        )
    if groups.mean_silhouette < _WEAK:
        notes.append(
            f"The mean silhouette is {groups.mean_silhouette:.2f}: below {_WEAK} clusters blur into each other. Take them "
            "as a way to colour the city, not as kinds that exist."
        )
    return groups


def _spread(values: np.ndarray, rows: npt.NDArray[np.int64], count: int, empty: float, dtype: type) -> np.ndarray:
    whole: np.ndarray = np.full(count, empty, dtype)
    whole[rows] = values
    return whole


def _scaled(vectors: Vectors, scaling: Scaling, notes: list[str]) -> Vectors:
    constant = int((np.ptp(vectors, axis=0) == 0).sum())
    if 0 < constant < vectors.shape[1]:
        notes.append(f"{constant} of {vectors.shape[1]} dimensions are the same everywhere and say nothing.")
    if scaling == "unit":
        length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        return np.asarray(vectors / np.where(length > 0, length, 1.0), np.float32)
    if scaling == "standard":
        deviation = vectors.std(axis=0, dtype=np.float64)
        centred = vectors - vectors.mean(axis=0, dtype=np.float64)
        return np.asarray(np.where(deviation > 0, centred / np.where(deviation > 0, deviation, 1.0), 0.0), np.float32)
    return vectors


def _different(vectors: Vectors, enough: int) -> int:
    """Number of different vectors, counted up to `enough`."""
    seen: set[bytes] = set()
    for row in vectors:
        seen.add(row.tobytes())
        if len(seen) >= enough:
            break
    return len(seen)


def _by_means(
    vectors: Vectors,
    clusters: int | None,
    most: int,
    different: int,
    seed: int,
    notes: list[str],
    progress: Progress,
) -> tuple[npt.NDArray[np.int32], list[tuple[int, float]]]:
    tried: list[tuple[int, float]] = []
    if clusters is None:
        sample = _sample(vectors, _CHOOSING_ROWS, seed)

        def try_one(number: int) -> npt.NDArray[np.int32]:
            return cluster_vectors(sample, number, seed=seed).labels

        numbers = _numbers(most, different, len(sample))
        clusters, tried = _choose(sample, numbers, try_one, len(vectors), seed, notes, progress.part(0.0, 0.6))
    if clusters > different:
        raise ConfigError(
            f"{clusters} clusters cannot be made of {different} different vectors.", f"Ask for 2 to {different}."
        )
    made = cluster_vectors(vectors, clusters, seed=seed, progress=progress.part(0.6, 1.0))
    empty = int((made.sizes == 0).sum())
    if empty:
        notes.append(f"{empty} of {clusters} clusters remained empty and fall away.")
    return made.labels, tried


def _by_neighbours(
    vectors: Vectors,
    regions: RegionSet,
    clusters: int | None,
    most: int,
    seed: int,
    notes: list[str],
    progress: Progress,
) -> tuple[npt.NDArray[np.int32], list[tuple[int, float]]]:
    if clusters is not None and clusters > len(vectors):
        raise ConfigError(
            f"{clusters} clusters cannot be made of {len(vectors):,} regions.", f"Ask for 2 to {len(vectors):,}."
        )
    progress.update(0.0, "Looking for neighbours")
    links = neighbour_links(regions, notes)
    numbers = [clusters] if clusters is not None else _numbers(most, len(vectors), len(vectors))
    made = dict(zip(numbers, connected_labels(vectors, links, numbers, progress.part(0.2, 0.8)), strict=True))
    if clusters is not None:
        return made[clusters], []
    rows = _sample_rows(len(vectors), _CHOOSING_ROWS, seed)
    part = progress.part(0.8, 1.0)
    clusters, tried = _choose(
        vectors[rows], numbers, lambda number: made[number][rows], len(vectors), seed, notes, part
    )
    return made[clusters], tried


def _numbers(most: int, different: int, rows: int) -> list[int]:
    """Numbers of clusters to choose from; of two or three regions there is nothing to choose."""
    return [*range(2, max(min(most, different, rows - 1), 2) + 1)]


def _choose(
    sample: Vectors,
    numbers: list[int],
    try_one: Callable[[int], npt.NDArray[np.int32]],
    count: int,
    seed: int,
    notes: list[str],
    progress: Progress,
) -> tuple[int, list[tuple[int, float]]]:
    """The number of clusters with the best mean silhouette on a sample of `count` regions, and what was tried."""
    if len(numbers) == 1:
        return numbers[0], []
    tried = _try(sample, numbers, try_one, seed, progress)
    clusters = _best(tried)
    where = "" if len(sample) == count else f", on a sample of {len(sample):,} regions"
    notes.append(
        f"{clusters} clusters have the best mean silhouette of {numbers[0]} to {numbers[-1]}{where}; give a number to "
        "have another."
    )
    return clusters, tried


def _by_density(
    vectors: Vectors, min_size: int | None, seed: int, notes: list[str], progress: Progress
) -> tuple[npt.NDArray[np.int32], list[tuple[int, float]]]:
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA
    from sklearn.metrics import pairwise_distances_argmin

    rows = _sample_rows(len(vectors), _DENSITY_ROWS, seed)
    space, share = vectors, len(rows) / len(vectors)
    count = min(_DENSITY_COMPONENTS, len(rows) - 1)
    if vectors.shape[1] > count:
        pca = PCA(count, svd_solver="covariance_eigh").fit(vectors[rows].astype(np.float64))
        space = pca.transform(vectors).astype(np.float32)
        notes.append(
            f"Densities are those of {count} principal components, which hold "
            f"{100 * pca.explained_variance_ratio_.sum():.0f} % of the variance."
        )
    sample = np.ascontiguousarray(space[rows], np.float64)
    sizes = [round(part * len(vectors)) for part in _LEAST_SHARES] if min_size is None else [min_size]
    least = sorted({max(size, _LEAST_MEMBERS if min_size is None else 2) for size in sizes})
    least = [size for size in least if size <= len(vectors)]
    if not least:
        raise InputError(
            f"{len(vectors):,} regions are too few for clusters of at least {min_size or _LEAST_MEMBERS}.",
            "Take k-means, or a smaller least size.",
        )

    def try_one(size: int) -> npt.NDArray[np.int32]:
        found = HDBSCAN(min_cluster_size=max(2, round(size * share)), copy=True).fit_predict(sample)
        return np.asarray(np.maximum(found, -1), np.int32)

    made = {}
    for number, size in enumerate(least):
        progress.check()
        progress.update(0.8 * number / len(least), f"Looking for groups of at least {size:,} regions")
        made[size] = try_one(size)
    tried = [(size, _mean_silhouette(vectors[rows], labels, seed)) for size, labels in made.items()]
    if all(labels.max() < 1 for labels in made.values()):
        raise InputError(
            f"HDBSCAN finds no two dense groups of at least {least[0]} among {len(vectors):,} regions: the vectors lie "
            "evenly, or in one group.",
            "Take k-means (algorithm kmeans), or a smaller least size (min_size).",
        )
    chosen = _best(tried)
    if min_size is None:
        notes.append(
            f"Clusters have at least {chosen:,} regions: the best mean silhouette of {', '.join(map(str, least))}."
        )
    labels = made[chosen]
    if len(rows) < len(vectors):
        nearest = pairwise_distances_argmin(space, sample.astype(np.float32))
        labels = labels[nearest]
        notes.append(
            f"HDBSCAN clustered a sample of {len(rows):,} regions; the others are where their nearest of these is."
        )
    outside = int((labels < 0).sum())
    if outside:
        notes.append(f"{outside:,} of {len(labels):,} regions lie between the dense groups and are in no cluster.")
    return labels, tried if min_size is None else []


def _sample_rows(count: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def _sample(vectors: Vectors, most: int, seed: int) -> Vectors:
    return vectors[_sample_rows(len(vectors), most, seed)]


def _try(
    sample: Vectors,
    numbers: list[int],
    try_one: Callable[[int], npt.NDArray[np.int32]],
    seed: int,
    progress: Progress,
) -> list[tuple[int, float]]:
    return [
        (number, _mean_silhouette(sample, try_one(number), seed))
        for number in progress.track(numbers, "numbers of clusters")
    ]


def _mean_silhouette(vectors: Vectors, labels: npt.NDArray[np.int32], seed: int) -> float:
    """Mean over all rows; one in no cluster counts as 0, and without two clusters all are -1."""
    if labels.max() < 1:
        return -1.0
    return float(np.nan_to_num(silhouettes(vectors, labels, most=_CHOOSING_ROWS, seed=seed)).mean())


def _best(tried: list[tuple[int, float]]) -> int:
    """The first of the best."""
    return max(tried, key=lambda one: one[1])[0]


def _ordered(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Labels by falling size, of equal sizes by the first row; clusters without rows fall away."""
    names, first, sizes = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    place = np.full(int(labels.max()) + 1, -1, np.int32)
    place[names[order]] = np.arange(len(names))
    return np.where(labels >= 0, place[np.maximum(labels, 0)], -1).astype(np.int32)

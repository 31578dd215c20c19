"""K-means of region vectors, beside Lloyd's algorithm from the same start in scikit-learn and in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Mismatch, Output, Setting

ROWS, WIDTH, KINDS, CLUSTERS = 200_000, 128, 60, 50
SPREAD = 0.8
MOST_STEPS, TOLERANCE = 300, 1e-4
# What ours may lose against the better of the Lloyds.
INERTIA = 1.01


def make(folder: Path, scale: float, seed: int) -> None:
    """Unit vectors of overlapping kinds of unequal number, sorted by kind: neighbours are alike, as in a city."""
    rng = np.random.default_rng(seed)
    rows = int(ROWS * scale)
    share = rng.dirichlet(np.full(KINDS, 2.0))
    kind = np.sort(rng.choice(KINDS, rows, p=share))
    vectors = rng.standard_normal((KINDS, WIDTH), np.float32)[kind]
    vectors += SPREAD * rng.standard_normal(vectors.shape, np.float32)
    np.save(folder / "vectors.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def ours(setting: Setting) -> Callable[[], Output]:
    """`maps.clusters.cluster_vectors`, from the file on disk."""
    from urbanfm_core.maps.clusters import cluster_vectors

    def work() -> Output:
        found = cluster_vectors(np.load(setting.inputs / "vectors.npy", mmap_mode="r"), CLUSTERS)
        return Output(lambda: {"inertia": np.array(found.inertia), "labels": found.labels})

    return work


def lloyd_sklearn(setting: Setting) -> Callable[[], Output]:
    """scikit-learn's KMeans, once from k-means++, its own stopping rule."""
    from sklearn.cluster import KMeans

    vectors = np.load(setting.inputs / "vectors.npy")

    def work() -> Output:
        found = KMeans(CLUSTERS, n_init=1, random_state=0).fit(vectors)
        return Output(lambda: {"inertia": np.array(found.inertia_), "labels": found.labels_})

    return work


def lloyd_torch(setting: Setting) -> Callable[[], Output]:
    """Lloyd's steps, a matrix product and a scattered sum each, until the centres move no more than scikit-learn allows."""
    import torch
    from sklearn.cluster import kmeans_plusplus

    vectors = np.load(setting.inputs / "vectors.npy")

    def work() -> Output:
        rows = torch.from_numpy(vectors)
        start, _ = kmeans_plusplus(vectors, CLUSTERS, random_state=0)
        centres, still = torch.from_numpy(start), TOLERANCE * rows.var(dim=0).mean()
        lengths = rows.square().sum()
        for _ in range(MOST_STEPS):
            distance = torch.addmm(centres.square().sum(dim=1), rows, centres.T, alpha=-2)
            least, nearest = distance.min(dim=1)
            sizes = torch.bincount(nearest, minlength=CLUSTERS).clamp(min=1)
            moved = torch.zeros_like(centres).index_add_(0, nearest, rows) / sizes[:, None]
            shift, centres = (moved - centres).square().sum(), moved
            if shift <= still:
                break
        inertia = float(least.double().sum() + lengths)
        return Output(lambda: {"inertia": np.array(inertia), "labels": nearest.numpy()})

    return work


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Inertia, and how far the clusters are the same ones."""
    from sklearn.metrics import adjusted_rand_score

    best = min((float(one["inertia"]) for name, one in outputs.items() if name != "ours"), default=np.inf)
    words = {}
    for name, one in outputs.items():
        inertia = float(one["inertia"])
        same = adjusted_rand_score(outputs["ours"]["labels"], one["labels"])
        words[name] = f"inertia {inertia:,.0f}, adjusted Rand index to ours {same:.2f}"
    if float(outputs["ours"]["inertia"]) > INERTIA * best:
        raise Mismatch(f"ours: {words['ours']}, more than {INERTIA} times the best, {best:,.0f}.")
    return words


CASES = {
    "vectors": Case(
        f"{CLUSTERS} clusters of 200,000 vectors of 128",
        make,
        {
            "ours": Contender(ours, "ours"),
            "scikit-learn": Contender(lloyd_sklearn, "peer"),
            "torch": Contender(lloyd_torch, "peer"),
        },
        compare,
        (Goal("ours", "torch", 0.7), Goal("ours", "scikit-learn", 0.7 / 2.8)),
    ),
}

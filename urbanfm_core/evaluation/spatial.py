"""Whether residuals of neighbouring regions resemble each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors

from urbanfm_core.progress import Progress

Array = NDArray[np.float64]
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Moran:
    """Moran's I.

    Attributes:
        value: Near `expected` without autocorrelation, towards 1 where neighbours are alike.
        expected: -1 / (N - 1).
        p_value: Of a larger value under random relabelling, one-sided; its smallest possible value is
            1 / (permutations + 1).
        neighbours: k of the weights.
        permutations: How many were drawn.
    """

    value: float
    expected: float
    p_value: float
    neighbours: int
    permutations: int

    def sentence(self) -> str:
        """What it says, in words."""
        verdict = (
            "neighbours err alike: the vectors miss something that varies over the city"
            if self.p_value <= 0.05
            else "no sign that neighbours err alike"
        )
        return (
            f"Moran's I of the residuals is {self.value:.3f} (expected {self.expected:.3f}, p = {self.p_value:.3g} from "
            f"{self.permutations} permutations, {self.neighbours} nearest neighbours): {verdict}."
        )


def morans_i(
    values: Array,
    xy: Array,
    *,
    neighbours: int = 8,
    permutations: int = 999,
    seed: int = 0,
    progress: Progress | None = None,
) -> Moran | None:
    """Moran's I with row-standardised weights of the k nearest neighbours, and its permutation p-value.

    I = sum_i z_i (W z)_i / sum_i z_i^2, with z the centred values and W holding 1/k for each of the k nearest centres
    (Moran 1950; permutation inference after Cliff and Ord 1981). Plain NumPy and SciPy.

    Args:
        values: (N,) finite.
        xy: (N, 2) centres, metres.
        neighbours: k; fewer if there are not so many regions.
        permutations: Random relabellings.
        seed: Of the relabellings.
        progress: Asked whether to stop.
    Returns:
        None where it has no meaning: fewer than three regions, or equal values.
    """
    progress = progress or Progress()
    count = len(values)
    centred = values - values.mean()
    total = float(centred @ centred)
    if count < 3 or total <= 0:
        return None
    k = min(neighbours, count - 1)
    weights = _nearest(xy, k)
    observed = float(centred @ (weights @ centred)) / total
    rng = np.random.default_rng(seed)
    larger, left = 0, permutations
    while left:
        progress.check()
        now = min(left, max(1, _AT_ONCE // count))
        shuffled = rng.permuted(np.tile(centred[:, None], (1, now)), axis=0)
        found = (shuffled * (weights @ shuffled)).sum(axis=0) / total
        larger += int((found >= observed - 1e-12).sum())
        left -= now
    return Moran(observed, -1 / (count - 1), (larger + 1) / (permutations + 1), k, permutations)


def _nearest(xy: Array, k: int) -> csr_array:
    """(N, N) weights 1/k on the k nearest others."""
    count = len(xy)
    near = NearestNeighbors(n_neighbors=k + 1).fit(xy).kneighbors(xy, return_distance=False)
    own = near == np.arange(count)[:, None]
    # Where several regions share a centre, a region may be missing from its own list: then the last goes.
    own[~own.any(axis=1), -1] = True
    columns = near[~own]
    rows = np.repeat(np.arange(count), k)
    return csr_array((np.full(count * k, 1 / k), (rows, columns)), shape=(count, count))

"""What chosen points of interest attend to in the pictures of their regions: the form in which methods tell it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.frames import RegionFrames
from urbanfm_core.data.image_store import StoredImages


@dataclass(frozen=True)
class PoiPairs:
    """Pairs of a chosen point and a region that holds it, K; by region.

    Attributes:
        region: (K,) int64 row of the region.
        poi: (K,) int64 row of the point.
        tokens: (K,) int64 tokens of the point's name.
        patch: (K,) int64 row * side + column of the patch that the point stands on; -1 off the picture, and on a patch
            without data.
        mass: (K,) float64 share of the attention that goes to this patch, mean over the tokens; NaN without one.
    """

    region: NDArray[np.int64]
    poi: NDArray[np.int64]
    tokens: NDArray[np.int64]
    patch: NDArray[np.int64]
    mass: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.region)


@dataclass(frozen=True)
class RegionAttention:
    """Attention of chosen points to patches, for those of R regions that hold any and have a picture.

    The weights lie in memory-mapped parts: what is taken is read then.

    Attributes:
        frames: Ground that the pictures show, R.
        images: Those pictures, R.
        side: Patches along each side of a picture; N = side * side.
        patches: (R,) int64 patches with data; 0 in regions without attention.
        pairs: The chosen points.
        notes: What was left out, in sentences.
    """

    frames: RegionFrames
    images: StoredImages
    side: int
    patches: NDArray[np.int64]
    pairs: PoiPairs
    part: NDArray[np.int64] = field(repr=False)
    place: NDArray[np.int64] = field(repr=False)
    weights: list[NDArray[np.float32]] = field(repr=False)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Regions with attention, ascending, (A,)."""
        return np.flatnonzero(self.part >= 0)

    @property
    def uniform(self) -> float:
        """Share of each patch if attention were spread evenly, in a region as most are."""
        return 1 / float(np.median(self.patches[self.rows]))

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Shares of the attention of some regions, (B, N), patches row by row from the north-west.

        They sum to 1 over the patches with data; the others are NaN, and so is a region without attention.
        """
        found = np.full((len(rows), self.side**2), np.nan, np.float32)
        for number, row in enumerate(np.asarray(rows, np.int64).tolist()):
            if self.part[row] >= 0:
                found[number] = self.weights[self.part[row]][self.place[row]]
        return found

"""Folds for honest scores: whole blocks of neighbouring regions are held out together, or single regions at random.

Neighbours resemble each other, so a probe tested on regions next to those that it was trained on is flattered: on
random folds even coordinates alone predict much. Blocks are clusters of the regions' centres (k-means), dealt to the
folds so that these hold about as many regions each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from urbanfm_core.errors import ConfigError, InputError

SplitKind = Literal["spatial", "random"]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Folds:
    """A partition of regions into folds.

    Attributes:
        fold: (R,) int64 in [0, count), the fold that tests the region.
        block: (R,) int64; regions of one block are always in one fold. In a random split each region is its own.
        count: Number of folds, none empty.
    """

    fold: NDArray[np.int64]
    block: NDArray[np.int64]
    count: int

    def train_rows(self, number: int) -> Rows:
        """Rows of the regions to train on when this fold is held out."""
        return np.flatnonzero(self.fold != number)

    def test_rows(self, number: int) -> Rows:
        """Rows of the regions that this fold holds out."""
        return np.flatnonzero(self.fold == number)

    def inner(self, number: int, count: int, seed: int) -> list[tuple[Rows, Rows]]:
        """Folds inside the training rows of a fold, of the same whole blocks, to choose a probe's settings by.

        Returns:
            (rows to fit, rows to judge by) pairs of positions in `train_rows(number)`; none if these are one block.
        """
        block = self.block[self.train_rows(number)]
        parts = min(count, len(np.unique(block)))
        if parts < 2:
            return []
        dealt = _deal(block, parts, np.random.default_rng((seed, number)))
        return [(np.flatnonzero(dealt != part), np.flatnonzero(dealt == part)) for part in range(parts)]

    def take(self, rows: Rows) -> Folds:
        """The same folds of some of the regions; folds that come out empty are dropped.

        Raises:
            InputError: the rows lie in one fold.
        """
        kept, fold = np.unique(self.fold[rows], return_inverse=True)
        if len(kept) < 2:
            raise InputError(f"All of the {len(rows)} regions lie in one fold, so nothing is left to train on.")
        return Folds(fold.astype(np.int64), self.block[rows], len(kept))


def make_folds(
    xy: NDArray[np.float64], kind: SplitKind = "spatial", *, folds: int = 5, blocks: int = 25, seed: int = 0
) -> Folds:
    """Deal regions to folds; the same centres, numbers and seed give the same folds.

    Args:
        xy: (R, 2) centres, in metres.
        kind: 'spatial' holds out whole blocks, 'random' single regions.
        folds: Number of folds.
        blocks: Number of blocks of a spatial split, at least as many as folds; at most a block for two regions is made.
        seed: Of the blocks and of the dealing.

    Raises:
        ConfigError: less than two folds, or fewer blocks than folds.
        InputError: too few regions.
    """
    count = len(xy)
    if folds < 2 or (kind == "spatial" and blocks < folds):
        raise ConfigError(
            f"{folds} folds of {blocks} blocks cannot be made.", "Take two folds or more, and at least as many blocks."
        )
    if count < 2 * folds:
        raise InputError(f"{count} regions are too few for {folds} folds; {2 * folds} are needed.", "Take fewer folds.")
    if kind == "random":
        block = np.arange(count, dtype=np.int64)
    else:
        places = len(np.unique(xy, axis=0))
        if places < folds:
            raise InputError(f"The regions share too few places for {folds} folds.", "Take a random split.")
        block = spatial_blocks(xy, min(max(folds, min(blocks, count // 2)), places), seed)
    return Folds(_deal(block, folds, np.random.default_rng(seed)), block, folds)


def spatial_blocks(xy: NDArray[np.float64], blocks: int, seed: int) -> NDArray[np.int64]:
    """The block of each region, (R,): clusters of the centres by k-means."""
    centred = (xy - xy.mean(axis=0)) / max(float(np.ptp(xy, axis=0).max()), 1e-9)
    found = KMeans(blocks, n_init=1, random_state=seed).fit(centred)
    return np.asarray(found.labels_, np.int64)


def _deal(block: NDArray[np.int64], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Blocks to folds, each into one that holds fewest regions so far: large blocks first, equal ones by lot."""
    labels, row, sizes = np.unique(block, return_inverse=True, return_counts=True)
    lot = rng.permutation(len(labels))
    order = lot[np.argsort(-sizes[lot], kind="stable")]
    if (sizes == sizes[0]).all():
        # What the loop below would do, for hundreds of thousands of single regions.
        place = np.arange(len(labels)) % folds
    else:
        held = np.zeros(folds, np.int64)
        place = np.empty(len(labels), np.int64)
        for position, label in enumerate(order):
            place[position] = np.argmin(held)
            held[place[position]] += sizes[label]
    fold = np.empty(len(labels), np.int64)
    fold[order] = place
    return fold[row]

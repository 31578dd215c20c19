"""Fewer labels: folds whose probes learn from a share of their training regions, and are tested on as many as before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.splits import Folds, Rows

_FEWEST = 2


@dataclass(frozen=True)
class FewLabels(Folds):
    """Folds that withhold labels from training; inner folds, which choose a probe's settings, see no more than that.

    Attributes:
        lot: (R,) the order in which regions are drawn, a permutation; the same lot makes the draws nested.
        share: Share of each fold's training regions that are drawn, in (0, 1]; at least two regions are.
    """

    lot: NDArray[np.int64]
    share: float

    def train_rows(self, number: int) -> Rows:
        """Rows of the regions to train on when this fold is held out: those whose lot comes first."""
        rows = super().train_rows(number)
        kept = min(len(rows), max(_FEWEST, round(self.share * len(rows))))
        return np.sort(rows[np.argsort(self.lot[rows])[:kept]])


def few_labels(folds: Folds, share: float, seed: int) -> Folds:
    """The same folds with a share of the labels; what a smaller share draws, a larger one of the same seed draws too."""
    if share >= 1:
        return folds
    lot = np.random.default_rng((seed, len(folds.fold))).permutation(len(folds.fold))
    return FewLabels(folds.fold, folds.block, folds.count, lot, share)

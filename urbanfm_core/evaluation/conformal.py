"""Intervals for predicted numbers that need no model of the errors: conformal prediction from held-out residuals.

For a region without a label this is CV+ (Barber, Candès, Ramdas and Tibshirani 2021, Predictive inference with the
jackknife+, Annals of Statistics 49, section 3): every held-out residual is added to what the model that made it
predicts for the new region, and the interval lies between two order statistics of these sums. A labelled region gets
the plain split form around its held-out prediction, from the residuals of the other folds, so that how often the truth
lies inside is an honest check. Folds are whole spatial blocks. The guarantees assume exchangeable regions; those of one
city are not, which is why the achieved share is always reported beside the one that was asked for.

The formulas are written out here, since libraries for this want to fit the models themselves and know no spatial blocks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.errors import ConfigError

Array = NDArray[np.float64]
_BISECTIONS = 80


def finite_sample_rank(count: int, level: float) -> int:
    """Which of `count` sorted residuals bounds a share `level` of new ones: ceil(level * (count + 1)).

    A rank above `count` means that there are too few residuals for any bound.

    Raises:
        ConfigError: a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ConfigError(f"The level of an interval lies between 0 and 1, found {level:g}.")
    # Products such as 0.9 * 10 must not rise above the whole number that they mean.
    return math.ceil(level * (count + 1) - 1e-9)


def held_out_intervals(truth: Array, predicted: Array, fold: NDArray[np.int64], level: float) -> tuple[Array, Array]:
    """Bounds for labelled regions: the held-out prediction, give or take a quantile of the other folds' residuals.

    Args:
        truth: (N,).
        predicted: (N,), each by a model that did not see the region's fold.
        fold: (N,).
        level: Share of regions that the interval is to hold.
    Returns:
        Lower and upper bounds, (N,) each; infinite where the other folds have too few residuals for the level.
    """
    size = np.abs(truth - predicted)
    half = np.empty_like(size)
    for number in np.unique(fold):
        here = fold == number
        others = np.sort(size[~here])
        rank = finite_sample_rank(len(others), level)
        half[here] = others[rank - 1] if rank <= len(others) else np.inf
    return predicted - half, predicted + half


def cv_plus(residual: Array, fold: NDArray[np.int64], elsewhere: Array, level: float) -> tuple[Array, Array]:
    """CV+ bounds for regions without a label.

    The lower bound is the floor((1 - level) (N + 1))-th smallest of f_k(i)(x) - |r_i|, the upper one the
    ceil(level (N + 1))-th smallest of f_k(i)(x) + |r_i|, over the N labelled regions i, where k(i) is the fold that
    held i out. Both are found by bisection on how many sums lie below, so that nothing of size N x M is made.

    Args:
        residual: (N,) held-out residuals.
        fold: (N,) in [0, K).
        elsewhere: (K, M) what the model of each fold predicts for the M regions.
        level: Share of regions that the interval is to hold.
    Returns:
        Lower and upper bounds, (M,) each; infinite where there are too few residuals for the level.
    """
    size = np.abs(residual)
    rank = finite_sample_rank(len(size), level)
    if rank > len(size):
        wide = np.full(elsewhere.shape[1], np.inf)
        return -wide, wide
    sizes = [np.sort(size[fold == number]) for number in range(len(elsewhere))]
    # The lower bound is the upper one of the mirrored problem.
    return -_order_statistic(sizes, -elsewhere, rank), _order_statistic(sizes, elsewhere, rank)


def _order_statistic(sizes: list[Array], centres: Array, rank: int) -> Array:
    """The rank-th smallest of all centres[k, m] + sizes[k], for each m."""
    low = np.min(centres, axis=0)
    high = np.max(centres, axis=0) + max(float(part[-1]) for part in sizes if len(part))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = np.zeros(len(middle), np.int64)
        for centre, part in zip(centres, sizes, strict=True):
            below += np.searchsorted(part, middle - centre, side="right")
        enough = below >= rank
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
    return np.asarray(high, np.float64)


def around(predicted: Array, residual: Array, level: float) -> tuple[Array, Array]:
    """Bounds around the predictions of one model from residuals that others made, (M,) each.

    Used where the models of the folds are gone, as with a checkpoint: the plain formula, without the room that CV+
    leaves for the models' differences.
    """
    size = np.sort(np.abs(residual))
    rank = finite_sample_rank(len(size), level)
    half = float(size[rank - 1]) if rank <= len(size) else np.inf
    return predicted - half, predicted + half


def coverage(truth: Array, lower: Array, upper: Array) -> float:
    """Share of the regions whose truth lies inside its bounds."""
    return float(((truth >= lower) & (truth <= upper)).mean())

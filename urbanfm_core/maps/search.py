"""Regions ranked by how well their vectors fit a query vector, such as the encoded phrase of a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from urbanfm_core.errors import InputError, ShapeError


@dataclass(frozen=True)
class Ranking:
    """Regions by score.

    Attributes:
        score: Cosine between vector and query, (R,) float32 in [-1, 1]; NaN for a region without a vector.
        rank: (R,) int64; 1 is the best, equal scores in the order of the rows; 0 for a region without a vector.
        percentile: (R,) float32; 100 for the best and 0 for the worst; NaN for a region without a vector.
    """

    score: npt.NDArray[np.float32]
    rank: npt.NDArray[np.int64]
    percentile: npt.NDArray[np.float32]

    @property
    def ranked(self) -> int:
        """Number of regions that have a vector."""
        return int(self.rank.max(initial=0))

    def top(self, count: int) -> npt.NDArray[np.int64]:
        """Rows of the best regions, best first; fewer than `count` if fewer have a vector."""
        rows = np.flatnonzero((self.rank > 0) & (self.rank <= count))
        return rows[np.argsort(self.rank[rows])]


def rank(vectors: npt.NDArray[np.floating], query: npt.NDArray[np.floating]) -> Ranking:
    """Rank vectors by their cosine with a query.

    Args:
        vectors: Region vectors of any length, (R, D); a row that is zero or not finite is a region without a vector.
        query: (D,), any length but zero.
    Raises:
        ShapeError: the widths differ.
        InputError: the query is zero or not finite.
    """
    if vectors.ndim != 2 or query.ndim != 1 or vectors.shape[1] != query.shape[0]:
        raise ShapeError(
            f"Vectors to rank are (R, D) and the query (D,), found {vectors.shape} and {query.shape}.",
            "Encode the query with the model that made the vectors.",
        )
    direction = query.astype(np.float64)
    length = float(np.linalg.norm(direction))
    if not (np.isfinite(length) and length > 0):
        raise InputError("The query vector is zero or not finite, so nothing can be ranked by it.")
    # Sums in float64 through einsum's buffers: exact enough to order near ties, without a second copy of the matrix.
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        lengths = np.sqrt(np.einsum("rd,rd->r", vectors, vectors, dtype=np.float64))
        dots = np.einsum("rd,d->r", vectors, direction / length, dtype=np.float64)
        score = dots / lengths
    score[~np.isfinite(score)] = np.nan
    np.clip(score, -1, 1, out=score)
    return ranking_of(score)


def ranking_of(score: npt.NDArray[np.floating], takes_part: npt.NDArray[np.bool_] | None = None) -> Ranking:
    """Ranks and percentiles of scores, (R,), NaN for a region without; those that take no part keep their score only."""
    covered = np.isfinite(score)
    if takes_part is not None:
        covered &= takes_part
    order = np.argsort(np.where(covered, -score, np.inf), kind="stable")[: int(covered.sum())]
    ranks = np.zeros(len(score), dtype=np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    percentile = np.full(len(score), np.nan, dtype=np.float32)
    percentile[order] = np.linspace(100, 0, len(order)) if len(order) > 1 else 100
    return Ranking(score.astype(np.float32), ranks, percentile)

"""Regions like some chosen ones: the exact cosine of every vector with them, in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from urbanfm_core.errors import InputError, ShapeError
from urbanfm_core.progress import Progress

How = Literal["mean", "medoid", "max"]
Array = npt.NDArray[np.float64]
_BLOCK_ROWS = 8192
_QUERIES_AT_ONCE = 256


def query_of(chosen: npt.NDArray[np.floating], how: How) -> tuple[Array, int | None]:
    """What regions are compared with.

    Args:
        chosen: Vectors of the chosen regions, (Q, D); those that are zero or not finite do not count.
        how: 'mean': the mean of their directions. 'medoid': the one that is most like all the others. 'max': each of
            them, of which the most similar counts.
    Returns:
        Directions of length one, (1, D) or for 'max' (Q', D); and the row of the medoid, None otherwise.
    Raises:
        InputError: no chosen region has a vector, or their directions cancel out.
    """
    unit = _directions(chosen)
    kept = np.flatnonzero(np.isfinite(unit).all(axis=1))
    if not len(kept):
        raise InputError(
            f"None of the {len(chosen)} chosen regions has a vector, so nothing can be like them.",
            "Choose regions that the embeddings cover.",
        )
    unit = unit[kept]
    if how == "max":
        return unit, None
    total = unit.sum(axis=0)
    if how == "medoid":
        # The sum of the cosines with all others, but for that with itself, which is 1 for each.
        best = int(np.argmax(unit @ total))
        return unit[best : best + 1], int(kept[best])
    length = float(np.linalg.norm(total))
    if length <= 1e-9 * len(unit):
        raise InputError(
            "The chosen regions have opposite vectors: their mean is zero and like nothing.",
            "Choose regions that are alike, or take the medoid or the maximum.",
        )
    return total[None] / length, None


def score_blocks(
    blocks: Iterable[npt.NDArray[np.floating]], query: Array, count: int, progress: Progress | None = None
) -> Array:
    """The highest cosine with a query of every vector.

    Sums are in float64, so that the order is exact up to ties of 1e-15.

    Args:
        blocks: Rows one after the other, (B, D) each.
        query: Directions of length one, (Q, D).
        count: Number of rows in all, R.
        progress: Reports and cancels.
    Returns:
        (R,) in [-1, 1]; NaN for a row that is zero or not finite.
    Raises:
        ShapeError: other widths, or another number of rows.
    """
    progress = progress or Progress()
    score = np.full(count, np.nan)
    done = 0
    for block in blocks:
        progress.check()
        if block.ndim != 2 or block.shape[1] != query.shape[1] or done + len(block) > count:
            raise ShapeError(
                f"Vectors to compare are (R, {query.shape[1]}) with {count:,} rows in all, found {block.shape} after {done:,}."
            )
        for start in range(0, len(block), _BLOCK_ROWS):
            rows = block[start : start + _BLOCK_ROWS]
            score[done : done + len(rows)] = _highest(rows, query)
            done += len(rows)
        progress.update(done / max(count, 1), f"{done:,}/{count:,} regions")
    if done != count:
        raise ShapeError(f"{count:,} vectors were announced, {done:,} came.")
    np.clip(score, -1.0, 1.0, out=score)
    return score


def _highest(rows: npt.NDArray[np.floating], query: Array) -> Array:
    exact = rows.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        length = np.sqrt(np.einsum("rd,rd->r", exact, exact))
        highest = np.full(len(rows), -np.inf)
        for start in range(0, len(query), _QUERIES_AT_ONCE):
            dots = exact @ query[start : start + _QUERIES_AT_ONCE].T
            np.maximum(highest, dots.max(axis=1), out=highest)
        found = highest / length
    found[~np.isfinite(found)] = np.nan
    return np.asarray(found)


def _directions(vectors: npt.NDArray[np.floating]) -> Array:
    """(Q, D) of length one; NaN for what has no direction."""
    exact = vectors.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        found = exact / np.sqrt(np.einsum("rd,rd->r", exact, exact))[:, None]
    found[~np.isfinite(found).all(axis=1)] = np.nan
    return np.asarray(found)

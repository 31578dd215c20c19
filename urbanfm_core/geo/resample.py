"""Images on another grid of pixels, where some of them may be missing.

Each new pixel is the mean of the old ones over a window around its centre, by the share of each in it. The window is
a new pixel wide where pixels grow (the area average) and an old one where they shrink (which is bilinear
interpolation). Missing pixels have no weight. As a product with two sparse matrices this is exact for any ratio and place;
Pillow's box filter takes whole pixels only and knows no missing ones, and GDAL's warper averages exactly but
interpolates with another rule and sets up a dataset for every image.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from urbanfm_core.geo.footprints import repeat_ranges
from urbanfm_core.geo.streaming import padded_rows

# A share of an old pixel below this is rounding.
_NOTHING = 1e-6


def axis_weights(start: float, step: float, size: int, length: int) -> scipy.sparse.csr_array:
    """Weights of old pixels in new ones along one axis.

    Args:
        start: Where the first new pixel begins, in old pixels.
        step: Width of a new pixel, in old pixels; above 0.
        size: New pixels.
        length: Old pixels; what a window holds beyond them has no weight.

    Returns:
        (size, length) float32; a row sums to 1 where its window lies within.
    """
    width = max(step, 1.0)
    centre = start + (np.arange(size) + 0.5) * step
    low, high = centre - width / 2, centre + width / 2
    first = np.floor(low).astype(np.int64)
    row, column = repeat_ranges(first, np.ceil(high).astype(np.int64) - first)
    part = np.minimum(high[row], column + 1) - np.maximum(low[row], column)
    part[part > 1 - _NOTHING] = 1
    within = (column >= 0) & (column < length) & (part > _NOTHING)
    entries = ((part[within] / width).astype(np.float32), (row[within], column[within]))
    return scipy.sparse.csr_array(entries, shape=(size, length))


def weighted_mean(
    values: np.ndarray, valid: np.ndarray | None, rows: scipy.sparse.csr_array, columns: scipy.sparse.csr_array
) -> tuple[np.ndarray, np.ndarray]:
    """An image on the grid of the weights.

    Args:
        values: (C, h, w) float32; 0 where not valid.
        valid: (h, w) bool, None if all are.
        rows: (H, h) weights.
        columns: (W, w) weights.

    Returns:
        The mean of valid pixels, (C, H, W) float32, 0 where there is none, and the share of each window that is
        valid, (H, W) float32.
    """
    if valid is None:
        share = np.outer(rows.sum(axis=1), columns.sum(axis=1))
    else:
        share = _both(valid.astype(np.float32), rows, columns)
    mean = np.stack([_both(band, rows, columns) for band in values])
    # What is left of a window by rounding only has no colour.
    np.divide(mean, share, out=mean, where=share > 1e-4)
    mean[:, share <= 1e-4] = 0
    return mean, share


def _both(band: np.ndarray, rows: scipy.sparse.csr_array, columns: scipy.sparse.csr_array) -> np.ndarray:
    return _turned(_down(_turned(_down(band, rows)), columns))


def _down(band: np.ndarray, weights: scipy.sparse.csr_array) -> np.ndarray:
    if weights.nnz == weights.shape[0] and (weights.data == 1).all():  # new pixels are old ones
        return band[weights.indices]
    found: np.ndarray = weights @ band
    return found


def _turned(band: np.ndarray) -> np.ndarray:
    """The transpose, its rows one after another."""
    padded = padded_rows(*band.shape)
    padded[:] = band
    return np.ascontiguousarray(padded.T)

"""A small view of a large raster."""

from __future__ import annotations

import numpy as np

from urbanfm_core.geo.raster import RasterReader
from urbanfm_core.geo.strips import plan_strips


def read_overview(reader: RasterReader, side_px: int) -> np.ndarray:
    """Stored values of every n-th pixel, (C, h, w) with h, w <= side_px, row 0 in the north.

    Block by block, each once: GDAL's own reduced reading decodes a block with many bands anew for each row and band.

    Args:
        reader: The raster.
        side_px: Longest side of the view.
    """
    info = reader.info
    step = -(-max(info.width, info.height) // side_px)
    found = np.empty((info.count, -(-info.height // step), -(-info.width // step)), info.dtype)
    for window in plan_strips(info):
        top, left = int(window.row_off), int(window.col_off)
        # The first rows and columns of the window that are whole steps from the corner of the raster.
        part = reader.read(window)[:, -top % step :: step, -left % step :: step]
        row, column = -(-top // step), -(-left // step)
        found[:, row : row + part.shape[1], column : column + part.shape[2]] = part
    return found

"""In which windows a raster is read and written, so that each block is decoded once and memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from rasterio.windows import Window

if TYPE_CHECKING:
    from urbanfm_core.geo.raster import RasterInfo

STRIP_BYTES = 48 << 20
# Side of the blocks that are written: 128 bands of floats make 32 MiB of them.
BLOCK_PX = 256
_WHOLE_BLOCK_BYTES = 4 * STRIP_BYTES


def plan_strips(info: RasterInfo, window: Window | None = None, memory_bytes: int = STRIP_BYTES) -> list[Window]:
    """Windows of whole blocks that cover a raster, each block in exactly one, in reading order.

    A window holds as many blocks as fit the memory, and at least one. A single block above four times the memory
    is cut by rows all the same: then it is decoded more than once, and memory stays bounded.

    Args:
        info: The raster.
        window: Part to cover; the whole raster if None. Blocks are cut at its edges.
        memory_bytes: Bytes of one window as stored, all bands.
    """
    window = window or info.window
    rows = _edges(window.row_off, window.height, info.block_shape[0], info.block_offset[0])
    columns = _edges(window.col_off, window.width, info.block_shape[1], info.block_offset[1])
    row_bytes = info.pixel_bytes * min(info.block_shape[0], window.height)
    per_row = max(1, int(memory_bytes // max(1, row_bytes * min(info.block_shape[1], window.width))))
    columns = _grouped(columns, per_row)
    if len(columns) == 2:
        rows = _grouped(rows, max(1, int(memory_bytes // max(1, row_bytes * window.width))))
    widest = max(np.diff(columns), default=1)
    tallest = max(1, int(_WHOLE_BLOCK_BYTES // (widest * info.pixel_bytes)))
    rows = [start for a, b in pairwise(rows) for start in range(a, b, tallest)] + rows[-1:]
    return [
        Window(left, top, right - left, bottom - top)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]


def _edges(start: float, length: float, block: int, offset: int) -> list[int]:
    start, stop = int(start), int(start + length)
    first = start + (offset - start) % block
    return sorted({start, *range(first, stop, block), stop})


def _grouped(edges: list[int], size: int) -> list[int]:
    return [*edges[:-1:size], edges[-1]]


def plan_output(info: RasterInfo, memory_bytes: int = STRIP_BYTES) -> Iterator[tuple[Window, list[Window]]]:
    """Windows to read from a raster, each with the windows to write in turn onto the same grid.

    As far as the blocks of both files allow it, each stored block is read once and each written block is whole.

    Args:
        info: The raster that is read.
        memory_bytes: Bytes of one read window as stored, all bands.
    """
    rows, columns = (-(-size // BLOCK_PX) * BLOCK_PX if BLOCK_PX % size == 0 else size for size in info.block_shape)
    for window in plan_strips(replace(info, block_shape=(rows, columns)), memory_bytes=memory_bytes):
        parts = plan_strips(
            replace(info, block_shape=(BLOCK_PX, BLOCK_PX), block_offset=(0, 0)), window, memory_bytes=1
        )
        yield window, parts

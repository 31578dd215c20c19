"""Rectangles cut out of a raster, many of them, in one pass: what image models read.

The raster is read in strips of whole blocks, and only the strips that the crops still to come reach into are kept. Where
a strip over the full width would need too much memory, the raster is taken in columns; a block is then read a second
time only where a crop sticks out of its column. So memory depends on the size of the blocks and of the crops, and
neither on the raster nor on the number of crops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from urbanfm_core.errors import ShapeError
from urbanfm_core.geo.raster import RasterInfo
from urbanfm_core.geo.streaming import Stored, StoredPixels, read_ahead
from urbanfm_core.geo.strips import STRIP_BYTES, plan_strips
from urbanfm_core.progress import Meter, Progress

# Strips in memory at a time: two that crops are cut from, one being read.
_STRIPS = 3


@dataclass(frozen=True)
class Crop:
    """One rectangle.

    Attributes:
        index: Its row in the rectangles asked for.
        pixels: (C, h, w) in the file's dtype; `fill` where it lies off the raster.
        valid: (h, w) bool: on the raster, and valid by the file's own mask; None if every pixel is.
    """

    index: int
    pixels: np.ndarray
    valid: np.ndarray | None


def iter_crops(
    source: StoredPixels,
    boxes: np.ndarray,
    *,
    fill: float = 0,
    progress: Progress | None = None,
    memory_bytes: int = STRIP_BYTES,
) -> Iterator[Crop]:
    """Cut rectangles out of a raster, in the order in which its pixels come.

    Args:
        source: The raster.
        boxes: (N, 4) whole numbers: top row, left column, height, width, north-up; they may lie off the raster, in part
            or altogether.
        fill: Stored value of pixels off the raster.
        progress: Reports and cancels.
        memory_bytes: For the strips, as stored. A crop that is taller than they are keeps more of them.
    Yields:
        Each crop once.
    Raises:
        ShapeError: boxes is not (N, 4) of whole numbers, or a box is empty.
        InputError: the raster is damaged.
        Cancelled: the caller asked to stop.
    """
    progress = progress or Progress()
    boxes = np.asarray(boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "iu":
        raise ShapeError(f"Boxes must be (N, 4) whole numbers, got {boxes.shape} of {boxes.dtype}.")
    if (boxes[:, 2:] < 1).any():
        raise ShapeError(f"Box {int(np.flatnonzero((boxes[:, 2:] < 1).any(axis=1))[0])} holds no pixel.")
    info = source.info
    bands = _Bands(info, boxes.astype(np.int64), memory_bytes)
    plans = [(index, strips) for index in bands.indices() for strips in [bands.strips(index)] if strips]
    meter = Meter(progress, "strips", sum(len(strips) for _, strips in plans))
    for index, strips in plans:
        yield from _cut_band(source, bands, index, strips, fill, progress, meter)
    for box in np.flatnonzero(~bands.on):
        size = (int(bands.height[box]), int(bands.width[box]))
        yield Crop(int(box), np.full((info.count, *size), fill, info.dtype), np.zeros(size, bool))


class _Bands:
    """Boxes, and the part of each on the raster, grouped by the columns in which the raster is taken."""

    def __init__(self, info: RasterInfo, boxes: np.ndarray, memory_bytes: int) -> None:
        self.info = info
        self.top, self.left, self.height, self.width = top, left, height, width = boxes.T
        self.first_row, self.last_row = np.maximum(top, 0), np.minimum(top + height, info.height)
        self.first_column, self.last_column = np.maximum(left, 0), np.minimum(left + width, info.width)
        self.on = (self.last_row > self.first_row) & (self.last_column > self.first_column)
        rows, columns = info.block_shape
        fit = memory_bytes // (_STRIPS * rows * info.pixel_bytes)
        self._step = max(1, int(fit) // columns) * columns
        self._memory = memory_bytes // _STRIPS

    def indices(self) -> Iterator[np.ndarray]:
        """Boxes of each column, in the order of their last row on the raster."""
        number = (self.first_column - self.info.block_offset[1]) // self._step
        for one in np.unique(number[self.on]):
            index = np.flatnonzero(self.on & (number == one))
            yield index[np.argsort(self.last_row[index], kind="stable")]

    def strips(self, index: np.ndarray) -> list[Window]:
        """Windows of whole rows of blocks that hold the boxes; a row that no box reaches is left out."""
        left, right = int(self.first_column[index].min()), int(self.last_column[index].max())
        top, bottom = int(self.first_row[index].min()), int(self.last_row[index].max())
        # From block edge to block edge, else the blocks at the rim would be read by the strip above and below.
        rows, offset = self.info.block_shape[0], self.info.block_offset[0]
        top = max(0, top - (top - offset) % rows)
        bottom = min(self.info.height, bottom + (offset - bottom) % rows)
        window = Window(left, top, right - left, bottom - top)
        row_bytes = self.info.pixel_bytes * rows * (right - left + 2 * self.info.block_shape[1])
        begins, ends = np.sort(self.first_row[index]), self.last_row[index]
        return [
            strip
            for strip in plan_strips(self.info, window, max(self._memory, row_bytes))
            if np.searchsorted(begins, strip.row_off + strip.height) > np.searchsorted(ends, strip.row_off, "right")
        ]


def _cut_band(
    source: StoredPixels,
    bands: _Bands,
    index: np.ndarray,
    strips: list[Window],
    fill: float,
    progress: Progress,
    meter: Meter,
) -> Iterator[Crop]:
    held: deque[tuple[Window, Stored]] = deque()
    # The first row that the boxes from each one on still need.
    needed = np.minimum.accumulate(bands.first_row[index][::-1])[::-1]
    done = 0
    for position, stored, mask in read_ahead(source, strips, progress):
        progress.check()
        strip = strips[position]
        held.append((strip, (stored, mask)))
        stop = int(np.searchsorted(bands.last_row[index], strip.row_off + strip.height, "right"))
        for box in index[done:stop]:
            yield _cut(bands, int(box), held, fill)
        done = stop
        while held and (done == len(index) or held[0][0].row_off + held[0][0].height <= needed[done]):
            held.popleft()
        meter.advance()


def _cut(bands: _Bands, box: int, held: deque[tuple[Window, Stored]], fill: float) -> Crop:
    top, left, height, width = (int(side[box]) for side in (bands.top, bands.left, bands.height, bands.width))
    first, last = int(bands.first_column[box]), int(bands.last_column[box])
    first_row, last_row = int(bands.first_row[box]), int(bands.last_row[box])
    whole = last - first == width and last_row - first_row == height
    info = bands.info
    shape = (info.count, height, width)
    pixels = np.empty(shape, info.dtype) if whole else np.full(shape, fill, info.dtype)
    valid = None if whole and not info.has_mask else np.zeros((height, width), bool)
    for strip, (stored, mask) in held:
        start, stop = max(first_row, strip.row_off), min(last_row, strip.row_off + strip.height)
        if stop <= start:
            continue
        here = (slice(start - strip.row_off, stop - strip.row_off), slice(first - strip.col_off, last - strip.col_off))
        there = (slice(start - top, stop - top), slice(first - left, last - left))
        pixels[:, *there] = stored[:, *here]
        if valid is not None:
            valid[there] = True if mask is None else mask[here]
    return Crop(box, pixels, None if valid is not None and valid.all() else valid)

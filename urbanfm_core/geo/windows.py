"""Mean of a raster's pixel vectors in disks and squares around points, all sizes in one pass over the raster.

Each block adds to the windows that reach into it, so nothing is read twice and no halo is kept. Inside a block, a
window is a row of column stretches; running sums down the columns give each stretch as a difference of two numbers,
however long it is. Down and not along, because then whole rows are added at once, which a processor does several
times faster than a chain of additions. Blocks that no window touches are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyproj
from rasterio.windows import Window
from scipy.sparse import csr_array

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.geo.crs import require_crs, transform_xy
from urbanfm_core.geo.footprints import repeat_ranges
from urbanfm_core.geo.raster import RasterInfo, metres_per_pixel
from urbanfm_core.geo.streaming import PixelSource, available_cores, in_order, padded_rows, read_ahead
from urbanfm_core.geo.strips import STRIP_BYTES, plan_strips
from urbanfm_core.progress import Meter, Progress

_TILE_ROWS, _TILE_COLUMNS = 128, 128
_GATHER = 1 << 16
_FINISH_ROWS = 8192
# Share of the radius' square; far below what a coordinate can tell.
_RIM = 1e-9
_SORT_PX = 64

# Rows of points (K,), sums (K, C), counts (K, 1) or (K, C).
_Sums = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Disk:
    """Pixels whose centre is at most `radius_m` metres from the point, on the ground.

    Metres are measured at the point, so on a raster in degrees the disk is an ellipse of pixels. A disk that holds no
    centre takes the pixel that holds the point. A pixel counts when all its bands are valid.
    """

    radius_m: float

    def __post_init__(self) -> None:
        if not self.radius_m > 0:
            raise ConfigError(f"A disk needs a radius above 0 m, got {self.radius_m}.", "Give it in metres, like 50.")


@dataclass(frozen=True)
class Square:
    """The pixel that holds the point and `radius_px` more on each side: 2 * radius_px + 1 pixels wide.

    The published AETHER windows: cut at the raster's edge, the mean taken per band over its valid values, so a
    band that is missing throughout the window is NaN by itself (the published code puts 0).
    """

    radius_px: int

    def __post_init__(self) -> None:
        if self.radius_px < 0 or self.radius_px != int(self.radius_px):
            raise ConfigError(
                f"A square needs a whole radius of 0 or more pixels, got {self.radius_px}.", "4 makes it 9 x 9 pixels."
            )


@dataclass(frozen=True)
class WindowMeans:
    """What `window_means` found.

    Attributes:
        mean: (S, P, C) float32; NaN where a window holds no valid value.
        valid: (S, P) float32 in [0, 1]: valid values over all values of the full window; what lies off the raster
            counts as not valid. 0 for points off the raster.
        outside: Number of points off the raster; their rows are NaN throughout.
    """

    mean: np.ndarray
    valid: np.ndarray
    outside: int


class _Windows:
    """The windows of one size around all points on the raster, and the sums gathered for them so far.

    Args:
        window: Shape and size.
        colrow: (P, 2) continuous column and row of the points.
        size_m: (P, 2) ground size of the pixel at each.
        index: (P,) row of each point in `total`.
        total: (.., C) float32 zeros, to be filled: sums while the pass runs, means after `finish`.
    Attributes:
        row, column: (P,) the pixel that holds the point.
        reach_row, reach_column: (P,) pixels that the window may extend from there.
    """

    def __init__(
        self, window: Disk | Square, colrow: np.ndarray, size_m: np.ndarray, index: np.ndarray, total: np.ndarray
    ) -> None:
        self.window = window
        self._x, self._y = np.ascontiguousarray(colrow.T)
        self.column, self.row = np.floor(colrow).astype(np.int64).T
        self._width_m, self._height_m = np.ascontiguousarray(size_m.T)
        self._index, self._total = index, total
        self._count = np.zeros(len(colrow), np.int64)
        self._band_count: np.ndarray | None = None
        self._alone = np.zeros(len(colrow), bool)
        if isinstance(window, Square):
            self.reach_row = self.reach_column = np.full(len(colrow), int(window.radius_px))
            self._full = (2 * self.reach_row + 1) ** 2
        else:
            self.reach_column, self.reach_row = np.ceil(window.radius_m / size_m).astype(np.int64).T
            self._full = np.concatenate([self._disk_pixels(some) for some in _groups(2 * self.reach_column + 1)])
            self._alone = self._full == 0
            self._full[self._alone] = 1

    def _disk_pixels(self, points: np.ndarray) -> np.ndarray:
        number, column = repeat_ranges((self.column - self.reach_column)[points], 2 * self.reach_column[points] + 1)
        start, stop = self._stretches(points[number], column)
        return np.bincount(number, np.maximum(stop - start, 0), len(points)).astype(np.int64)

    def _stretches(self, point: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows [start, stop) of a window's pixels in a column; stop <= start where it has none."""
        if isinstance(self.window, Square):
            return self.row[point] - self.reach_row[point], self.row[point] + self.reach_row[point] + 1
        rest = (column + 0.5 - self._x[point]) * self._width_m[point]
        np.square(rest, out=rest)
        # A centre exactly on the rim belongs to the disk; rounding must not decide that.
        np.subtract((1 + _RIM) * self.window.radius_m**2, rest, out=rest)
        # Outside the disk the root is of the distance to it, and negative: it stops before it starts.
        half = np.copysign(np.sqrt(np.abs(rest)), rest)
        half /= self._height_m[point]
        middle = self._y[point] - 0.5
        start = np.ceil(middle - half).astype(np.int64)
        stop = np.floor(middle + half).astype(np.int64) + 1
        if self._alone.any():
            alone = self._alone[point] & (column == self.column[point])
            start[alone], stop[alone] = self.row[point][alone], self.row[point][alone] + 1
        return start, stop

    def sums(self, points: np.ndarray, tile: _Tile) -> Iterator[_Sums]:
        """What a tile of pixels holds of the windows of some points. Changes nothing: safe in any thread."""
        left = np.maximum(self.column[points] - self.reach_column[points], tile.left)
        right = np.minimum(self.column[points] + self.reach_column[points] + 1, tile.left + tile.width)
        columns = np.maximum(right - left, 0)
        running = tile.running(per_band=isinstance(self.window, Square))
        bands = len(self._total.T)
        for some in _groups(columns):
            number, column = repeat_ranges(left[some], columns[some])
            start, stop = self._stretches(points[some][number], column)
            start = np.clip(start - tile.top, 0, tile.height)
            stop = np.clip(stop - tile.top, 0, tile.height)
            kept = stop > start
            if not kept.any():
                continue
            number, column = number[kept], column[kept] - tile.left
            # Each stretch is the running sum at its end less that at its beginning.
            ends = np.stack([stop[kept], start[kept]], axis=1) * tile.width + column[:, None]
            sign = np.tile(np.array([1, -1], running.dtype), len(ends))
            first = np.concatenate([[0], np.cumsum(np.bincount(number, minlength=len(some)))]) * 2
            shape = (len(some), len(running))
            found = csr_array((sign, ends.ravel().astype(np.int32), first.astype(np.int32)), shape=shape) @ running
            yield points[some], found[:, :bands], found[:, bands:]

    def add(self, target: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> None:
        """Add sums (K, C) and counts (K, 1) or (K, C) to the windows of the points `target`, (K,)."""
        self._total[self._index[target]] += sums
        if counts.shape[1] == 1 and self._band_count is None:
            self._count[target] += counts[:, 0].astype(np.int64)
            return
        if self._band_count is None:
            self._band_count = np.repeat(self._count[:, None], self._total.shape[1], axis=1)
        self._band_count[target] += counts.astype(np.int64)

    def finish(self) -> np.ndarray:
        """Turn sums into means, NaN where nothing is valid; return the share of valid values, (P,)."""
        counts = self._count[:, None] if self._band_count is None else self._band_count
        with np.errstate(invalid="ignore"):
            for start in range(0, len(self.row), _FINISH_ROWS):
                some = slice(start, start + _FINISH_ROWS)
                self._total[self._index[some]] /= counts[some].astype(np.float32)
        share: np.ndarray = counts.mean(axis=1) / self._full
        return share


class _Tile:
    """Some rows and columns of the raster as running sums down the columns, made when first asked for.

    Args:
        top, left: Raster row and column of the first pixel.
        shape: Height and width.
        values: (C, N) float32, 0 where invalid.
        valid: (1, N) or (C, N) bool.
    """

    def __init__(self, top: int, left: int, shape: tuple[int, int], values: np.ndarray, valid: np.ndarray) -> None:
        self.top, self.left, (self.height, self.width) = top, left, shape
        self._values, self._valid = values, valid
        self._running: dict[bool, np.ndarray] = {}

    def running(self, per_band: bool) -> np.ndarray:
        """Sums above each pixel, ((height + 1) * width, C + V) float32: of the values, and of the valid ones.

        V is 1, the pixels with all bands valid, who alone count; or C if asked for each band by itself and bands differ.
        A pixel's numbers lie side by side, so that a window gathers few long stretches of memory. A sum of up to 128
        rows is exact to some 1e-7 of it.
        """
        valid: np.ndarray = self._valid if per_band else np.asarray(self._valid.all(axis=0, keepdims=True))
        key = len(valid) > 1
        if key not in self._running:
            bands = len(self._values)
            running = np.empty((self.height + 1, self.width, bands + len(valid)), np.float32)
            running[0] = 0
            pixels = running[1:].reshape(-1, running.shape[2])
            np.copyto(pixels[:, :bands], self._values.T)
            np.copyto(pixels[:, bands:], valid.T)
            if not key and len(self._valid) > 1:
                pixels[~valid[0], :bands] = 0
            for row in range(1, self.height):
                running[row + 1] += running[row]
            self._running[key] = running.reshape(-1, running.shape[2])
        return self._running[key]


def _groups(sizes: np.ndarray) -> list[np.ndarray]:
    """Positions 0 .. len - 1 in consecutive groups of about so many columns each, so that a group's arrays are small."""
    if not len(sizes):
        return [np.empty(0, np.int64)]
    bins = np.cumsum(sizes) // _GATHER
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(bins)) + 1)


def window_means(
    raster: PixelSource,
    xy: np.ndarray,
    crs: pyproj.CRS,
    windows: Sequence[Disk | Square],
    *,
    progress: Progress | None = None,
    memory_bytes: int = STRIP_BYTES,
) -> WindowMeans:
    """Mean vector of the pixels in windows around points.

    Args:
        raster: Source of pixel vectors.
        xy: (P, 2) points.
        crs: Their CRS.
        windows: Sizes and shapes, S of them.
        progress: Reports and cancels.
        memory_bytes: Size of a strip as stored. Beyond it, memory holds the result and little else.
    Raises:
        ShapeError: xy is not (P, 2).
        InputError: the raster is damaged.
        Cancelled: the caller asked to stop.
    """
    progress = progress or Progress()
    xy = np.asarray(xy, np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ShapeError(f"Points must be (P, 2), got {xy.shape}.")
    info = raster.info
    colrow = _to_pixels(info, transform_xy(xy, require_crs(crs, "points"), info.crs))
    with np.errstate(invalid="ignore"):
        on = (colrow >= 0).all(axis=1) & (colrow < (info.width, info.height)).all(axis=1)
    index = np.flatnonzero(on)
    # Points in the order of the rows make neighbours in memory of neighbours on the ground.
    index = index[np.lexsort(np.floor(colrow[index] / _SORT_PX).T)]
    size_m = metres_per_pixel(info, colrow[index])
    mean = np.zeros((len(windows), len(xy), raster.bands), np.float32)
    sums = [_Windows(window, colrow[index], size_m, index, part) for window, part in zip(windows, mean, strict=True)]
    reach = np.zeros((2, len(index)), np.int64)
    for part in sums:
        np.maximum(reach, (part.reach_row, part.reach_column), out=reach)
    row, column = np.floor(colrow[index]).astype(np.int64).T[::-1]
    boxes = np.stack([row - reach[0], row + reach[0] + 1, column - reach[1], column + reach[1] + 1])

    strips = [strip for strip in plan_strips(info, memory_bytes=memory_bytes) if _meeting(boxes, strip).any()]
    meter = Meter(progress, "strips", len(strips))
    with ThreadPoolExecutor(available_cores(), "windows") as lanes:
        for position, stored, mask in read_ahead(raster, strips, progress):
            strip = strips[position]
            near = np.flatnonzero(_meeting(boxes, strip))
            tasks = []
            for window in _tiles(strip):
                points = near[_meeting(boxes[:, near], window)]
                if len(points):
                    tasks.append((points, window))
            work = partial(_tile_sums, raster, sums, boxes, strip, stored, mask)
            # Several tiles at once, but always added in the same order: rounding depends on it.
            for task in in_order(lanes, work, tasks):
                progress.check()
                for part, found in zip(sums, task, strict=True):
                    for some in found:
                        part.add(*some)
            del stored, mask, work
            meter.advance()

    valid = np.zeros((len(windows), len(xy)), np.float32)
    for number, part in enumerate(sums):
        valid[number, index] = part.finish()
    mean[:, ~on] = np.nan
    return WindowMeans(mean, valid, int(len(xy) - len(index)))


def _tile_sums(
    raster: PixelSource,
    windows: Sequence[_Windows],
    boxes: np.ndarray,
    strip: Window,
    stored: np.ndarray,
    mask: np.ndarray | None,
    task: tuple[np.ndarray, Window],
) -> list[list[_Sums]]:
    """What one tile holds of the windows of each size around some points."""
    points, window = task
    tile = _cut(raster, boxes[:, points], strip, window, stored, mask)
    return [list(part.sums(points, tile)) for part in windows]


def _to_pixels(info: RasterInfo, xy: np.ndarray) -> np.ndarray:
    """Continuous (column, row) of map places, (P, 2)."""
    inverse = ~info.transform
    return np.column_stack([xy[:, 0] * inverse.a + inverse.c, xy[:, 1] * inverse.e + inverse.f])


def _meeting(boxes: np.ndarray, window: Window) -> np.ndarray:
    """Which (4, P) boxes (top, bottom, left, right) share a pixel with a window, (P,) bool."""
    top, bottom, left, right = boxes
    meets: np.ndarray = (
        (top < window.row_off + window.height)
        & (bottom > window.row_off)
        & (left < window.col_off + window.width)
        & (right > window.col_off)
    )
    return meets


def _tiles(strip: Window) -> Iterator[Window]:
    """Parts of a strip whose running sums stay in the processor's cache."""
    for row in range(0, int(strip.height), _TILE_ROWS):
        for column in range(0, int(strip.width), _TILE_COLUMNS):
            height, width = min(_TILE_ROWS, strip.height - row), min(_TILE_COLUMNS, strip.width - column)
            yield Window(strip.col_off + column, strip.row_off + row, width, height)


def _cut(
    raster: PixelSource,
    boxes: np.ndarray,
    strip: Window,
    window: Window,
    stored: np.ndarray,
    mask: np.ndarray | None,
) -> _Tile:
    """The part of a window that the boxes reach, decoded."""
    top, left = max(window.row_off, boxes[0].min()), max(window.col_off, boxes[2].min())
    bottom = min(window.row_off + window.height, boxes[1].max())
    right = min(window.col_off + window.width, boxes[3].max())
    part = (slice(top - strip.row_off, bottom - strip.row_off), slice(left - strip.col_off, right - strip.col_off))
    pixels = (bottom - top) * (right - left)
    values, valid = raster.decode(
        stored[:, part[0], part[1]].reshape(len(stored), -1),
        None if mask is None else mask[part].ravel(),
        padded_rows(len(stored), pixels),
    )
    return _Tile(top, left, (bottom - top, right - left), values, valid)

"""Imagery in, a raster of vectors out: windows of the size of a model's pictures slide over it, one pixel a step.

A window's vector counts most in its middle: its weight falls linearly to 0 at its edges, along both axes, and a pixel is
the weighted mean over its own ground. Every window is cut, computed and weighted by its place alone, so there are no
seams, whatever part of the raster is in memory. Vectors of windows are kept in the store part by part, so a run that was
stopped goes on; a part holds as many windows as memory allows, so memory does not grow with the raster.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from urbanfm_core.data.embedding_raster import ALPHAEARTH_NODATA, ALPHAEARTH_TAGS, quantize_alphaearth
from urbanfm_core.data.frames import RegionFrames, frames_around
from urbanfm_core.data.image_store import PARTITION_BYTES, store_stretch
from urbanfm_core.data.imagery import Imagery
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.geo.raster import RasterInfo
from urbanfm_core.geo.raster_writer import RasterWriter
from urbanfm_core.geo.strips import BLOCK_PX, plan_output
from urbanfm_core.models.exchange import WindowFunction
from urbanfm_core.progress import Meter, Progress

# A window counts if so much of it is data, which every window around a place on a raster without holes has.
MIN_SHARE = 0.25
# Windows that the limits of the stretch are found from.
_STRETCH_WINDOWS = 4096
# Rows of the output that are weighted at once.
_BLEND_ROWS = 16
_COMPUTING = 0.9
CUT_FOR_INT8 = "{:,} numbers lie outside [-1, 1] and were cut for int8; take float16 instead."
# A raster that is longer than whole steps by less than this share of a step is rounded.
_SLACK = 1e-6
Part = tuple[slice, slice]


@dataclass(frozen=True)
class Sliding:
    """Windows over a raster, one around each pixel of the output.

    Attributes:
        grid: The output: north up, in the CRS of the imagery, from its north-western corner on.
        side_m: Side of the windows on the ground.
        stride_m: Side of the output's pixels on the ground, in the middle of the imagery.
    """

    grid: RasterInfo
    side_m: float
    stride_m: float

    @classmethod
    def over(cls, imagery: RasterInfo, side_m: float, stride_m: float | None = None) -> Sliding:
        """Windows over imagery; without a stride, half of each lies on the next.

        Raises:
            ConfigError: windows without size, or further apart than they are wide.
        """
        stride_m = side_m / 2 if stride_m is None else stride_m
        if not 0 < stride_m <= side_m < math.inf:
            raise ConfigError(
                f"Windows of {side_m:g} m cannot be {stride_m:g} m apart: there would be ground that none shows.",
                "Give a stride above 0 and at most as long as the window's side.",
            )
        width_m, height_m = imagery.res_m
        step = np.array([imagery.transform.a * stride_m / width_m, imagery.transform.e * stride_m / height_m])
        size = np.array([imagery.width * imagery.transform.a, imagery.height * imagery.transform.e])
        columns, rows = np.maximum(np.ceil(size / step - _SLACK), 1).astype(int).tolist()
        transform = Affine(step[0], 0, imagery.transform.c, 0, step[1], imagery.transform.f)
        grid = replace(imagery, width=columns, height=rows, transform=transform)
        grid = replace(grid, block_shape=(BLOCK_PX, BLOCK_PX), block_offset=(0, 0))
        return cls(grid, side_m, stride_m)

    @property
    def count(self) -> int:
        """Number of windows."""
        return self.grid.width * self.grid.height

    def sentence(self) -> str:
        """What it is, in words."""
        overlap = 1 - self.stride_m / self.side_m
        return (
            f"{self.count:,} windows of {self.side_m:g} m, one every {self.stride_m:g} m, so that neighbours overlap by "
            f"{overlap:.0%}: {self.grid.width:,} x {self.grid.height:,} pixels."
        )

    def frames(self, rows: NDArray[np.int64], columns: NDArray[np.int64], imagery: RasterInfo) -> RegionFrames:
        """The windows around some pixels of the output, (N,) rows and columns."""
        at = self.grid.transform
        centre = np.column_stack([at.c + (columns + 0.5) * at.a, at.f + (rows + 0.5) * at.e])
        return frames_around(centre, self.side_m, imagery)

    def parts(self, size_px: int, at_once: int, memory_bytes: int) -> Iterator[Part]:
        """Rows and columns of the output whose pictures fit into memory together; columns begin at whole batches."""
        fit = max(1, memory_bytes // (4 * size_px**2))
        wide = at_once * max(1, round(math.sqrt(fit)) // at_once)
        high = max(1, fit // min(wide, self.grid.width))
        for top in range(0, self.grid.height, high):
            for left in range(0, self.grid.width, wide):
                yield (
                    slice(top, min(top + high, self.grid.height)),
                    slice(left, min(left + wide, self.grid.width)),
                )

    def weights(self) -> NDArray[np.float32]:
        """Weight of the window so many pixels away, along one axis: from 0 on, until there is none.

        The integral of max(0, 1 - |x| / a) over a pixel, a being half of the window, both in pixels.
        """
        half = self.side_m / self.stride_m / 2
        edges = np.minimum(np.arange(math.ceil(half + 0.5) + 1) + 0.5, half)
        # From the middle of the own pixel to each edge, and so twice for the own pixel.
        below = edges - edges**2 / (2 * half)
        found = np.append(2 * below[0], np.diff(below))
        weights: NDArray[np.float32] = found[found > _SLACK].astype(np.float32)
        return weights


def map_windows(
    imagery: Imagery,
    function: WindowFunction,
    sliding: Sliding,
    path: str | Path,
    *,
    store: SampleStore,
    dtype: str = "float32",
    compress: str = "zstd",
    cog: bool = False,
    tags: Mapping[str, str] | None = None,
    names: Callable[[int], str] = "{:03d}".format,
    progress: Progress,
    memory_bytes: int = PARTITION_BYTES,
) -> dict[str, Any]:
    """Embed windows of imagery and write their vectors, blended, as a raster; it appears whole or not at all.

    Args:
        imagery: Pictures from above.
        function: The network.
        sliding: The windows.
        path: GeoTIFF to write: D bands, nodata where the window around a pixel holds too little data.
        store: Keeps vectors of windows; must belong to this network, imagery and sliding.
        dtype: 'float32' or 'float16' with nodata NaN, or 'int8' as AlphaEarth's.
        compress: 'zstd', 'deflate' or 'none'.
        cog: Whether it becomes a Cloud-Optimized GeoTIFF.
        tags: Metadata items of the file.
        names: Description of each band from its number.
        progress: Where to report, and what cancels.
        memory_bytes: For pictures of windows.

    Returns:
        `dimensions`, `windows`, and `valid_pixels` of the output; in `notes` what a report should mention.

    Raises:
        EmptyInputError: no window holds enough data.
        InputError: the raster is damaged.
        OutputError: the file, or what is kept until then, cannot be written.
        Cancelled: the caller asked to stop.
    """
    every = np.unique(np.linspace(0, sliding.count - 1, _STRETCH_WINDOWS).astype(np.int64))
    some = sliding.frames(*np.divmod(every, sliding.grid.width), imagery.info)
    store_stretch(imagery, some, store, progress.part(0.0, 0.0))
    parts = list(sliding.parts(function.size_px, function.at_once, memory_bytes))
    meter = Meter(progress.part(0.0, _COMPUTING), "windows", sliding.count)
    valid_pixels = 0
    for part in parts:
        progress.check()
        if not store.has(_name(part)):
            store.save(_name(part), vectors=_embed_part(imagery, function, sliding, part, meter, progress))
        else:
            meter.advance(_size(part))
        valid_pixels += int(np.isfinite(store.load(_name(part))["vectors"][..., 0]).sum())
    if not valid_pixels:
        raise EmptyInputError(
            f"Imagery {imagery.info.path}: none of {sliding.count:,} windows of {sliding.side_m:g} m holds data in at "
            f"least {MIN_SHARE:.0%} of its pixels.",
            "Look at it in QGIS, and at its nodata value with gdalinfo; or take smaller windows.",
        )
    beyond = _write(sliding, function.width, parts, store, path, dtype, compress, cog, tags, names, progress)
    notes = list(imagery.notes)
    if valid_pixels < sliding.count:
        notes.append(
            f"{sliding.count - valid_pixels:,} of {sliding.count:,} windows hold too little data and have no vector."
        )
    if beyond:
        notes.append(CUT_FOR_INT8.format(beyond))
    return {"dimensions": function.width, "windows": sliding.count, "valid_pixels": valid_pixels, "notes": notes}


def time_windows(imagery: Imagery, function: WindowFunction, sliding: Sliding) -> float:
    """Seconds that all windows would take, from two batches in the middle of the raster."""
    middle = np.arange(min(2 * function.at_once, sliding.grid.width))
    columns = middle + (sliding.grid.width - len(middle)) // 2
    frames = sliding.frames(np.full(len(columns), sliding.grid.height // 2), columns, imagery.info)
    started = time.perf_counter()
    shown = list(imagery.iter_images(frames, function.size_px))
    reading = time.perf_counter() - started
    rgb, valid = np.stack([one[1] for one in shown]), np.stack([one[2] for one in shown])
    function.encode(rgb[:1], valid[:1])  # what is paid once
    started = time.perf_counter()
    for first in range(0, len(rgb), function.at_once):
        function.encode(rgb[first : first + function.at_once], valid[first : first + function.at_once])
    return (reading + time.perf_counter() - started) / len(rgb) * sliding.count


def _name(part: Part) -> str:
    return "windows/" + "-".join(f"{side.start}-{side.stop}" for side in part)


def _size(part: Part) -> int:
    rows, columns = part
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def _embed_part(
    imagery: Imagery, function: WindowFunction, sliding: Sliding, part: Part, meter: Meter, progress: Progress
) -> NDArray[np.float32]:
    """Vectors of the windows around some pixels, (h, w, D), NaN without enough data.

    Batches are pieces of a row that begin at fixed columns: what shares one with a window, and so its rounding, does not
    depend on the part.
    """
    rows, columns = (np.arange(side.start, side.stop) for side in part)
    height, width, size = len(rows), len(columns), function.size_px
    frames = sliding.frames(np.repeat(rows, width), np.tile(columns, height), imagery.info)
    rgb, valid = np.zeros((height * width, 3, size, size), np.uint8), np.zeros((height * width, size, size), bool)
    reading = progress.part(_COMPUTING * meter.done / sliding.count, _COMPUTING * meter.done / sliding.count)
    for place, picture, shown in imagery.iter_images(frames, size, progress=reading):
        rgb[place], valid[place] = picture, shown
    enough = valid.mean(axis=(1, 2)) >= MIN_SHARE
    found = np.full((height * width, function.width), np.nan, np.float32)
    for row in range(0, height * width, width):
        for first in range(row, row + width, function.at_once):
            progress.check()
            last = min(first + function.at_once, row + width)
            here = first + np.flatnonzero(enough[first:last])
            if len(here):
                found[here] = function.encode(rgb[here], valid[here])
            meter.advance(last - first)
    return found.reshape(height, width, function.width)


def _write(
    sliding: Sliding,
    bands: int,
    parts: list[Part],
    store: SampleStore,
    path: str | Path,
    dtype: str,
    compress: str,
    cog: bool,
    tags: Mapping[str, str] | None,
    names: Callable[[int], str],
    progress: Progress,
) -> int:
    """Blend and write block by block; how many numbers int8 cannot hold."""
    whole = dtype == "int8"
    windows = [window for _, some in plan_output(sliding.grid) for window in some]
    blended = (_COMPUTING + 1.0) / 2 if cog else 1.0
    meter = Meter(progress.part(_COMPUTING, blended), "blocks", len(windows))
    weights, beyond = sliding.weights(), 0
    with RasterWriter(
        path,
        sliding.grid,
        bands,
        dtype=dtype,
        nodata=ALPHAEARTH_NODATA if whole else np.nan,
        compress=compress,
        descriptions=[names(band) for band in range(bands)],
        tags={**(tags or {}), **(ALPHAEARTH_TAGS if whole else {})},
        cog=cog,
        progress=progress.part(blended, 1.0),
    ) as writer:
        for window in windows:
            top, left = int(window.row_off), int(window.col_off)
            height, width = int(window.height), int(window.width)
            block = np.empty((bands, height, width), np.int8 if whole else np.float32)
            for first in range(0, height, _BLEND_ROWS):
                progress.check()
                last = min(first + _BLEND_ROWS, height)
                around = slice(top + first, top + last), slice(left, left + width)
                found = blend(*_halo(sliding, bands, parts, store, around, len(weights) - 1), weights)
                if whole:
                    beyond += int((np.abs(found) > 1).sum())
                block[:, first:last] = quantize_alphaearth(found) if whole else found
            writer.write(block, window)
            meter.advance()
    return beyond


def _halo(
    sliding: Sliding, bands: int, parts: list[Part], store: SampleStore, asked: Part, reach: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors around some pixels and so far beyond, (h + 2r, w + 2r, D), 0 where there are none; and where there are."""
    begin = [side.start - reach for side in asked]
    shape = [side.stop - side.start + 2 * reach for side in asked]
    found = np.full((*shape, bands), np.nan, np.float32)
    for part in parts:
        low = [max(side.start, start) for side, start in zip(part, begin, strict=True)]
        high = [min(side.stop, start + size) for side, start, size in zip(part, begin, shape, strict=True)]
        if low[0] < high[0] and low[1] < high[1]:
            there = tuple(slice(a - start, b - start) for a, b, start in zip(low, high, begin, strict=True))
            here = tuple(slice(a - side.start, b - side.start) for a, b, side in zip(low, high, part, strict=True))
            found[there] = store.load(_name(part))["vectors"][here]
    known = np.isfinite(found[..., 0])
    found[~known] = 0
    return found, known


def blend(vectors: NDArray[np.float32], known: NDArray[np.bool_], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted means of windows, pixel by pixel.

    Args:
        vectors: (h + 2r, w + 2r, D), 0 where there are none.
        known: Where there are.
        weights: (r + 1,) by distance along one axis.
    Returns:
        (D, h, w), NaN where the pixel's own window has no vector.
    """
    reach = len(weights) - 1
    total, weight = vectors, known.astype(np.float32)[..., None]
    for axis in (0, 1):
        length = total.shape[axis] - 2 * reach
        steps = [
            (weights[abs(away)], [slice(None)] * axis + [slice(reach + away, reach + away + length)])
            for away in range(-reach, reach + 1)
        ]
        total, weight = (sum(one * array[tuple(place)] for one, place in steps) for array in (total, weight))
    rows, columns = (slice(reach, size - reach) for size in known.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / weight
    mean[~known[rows, columns]] = np.nan
    return np.ascontiguousarray(mean.transpose(2, 0, 1))

"""Mean of a raster's pixel vectors per region, in one pass over the raster.

Sums over pixels are taken over stretches of a row in float32 (pairwise) and collected in float64. Memory depends on
the strip and on the number of regions, not on the raster.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyproj
from affine import Affine
from scipy.sparse import csr_array

from urbanfm_core.errors import ConfigError, NoOverlapError, ShapeError
from urbanfm_core.geo.crs import require_crs
from urbanfm_core.geo.footprints import Footprints, Rule, Runs, repeat_ranges
from urbanfm_core.geo.raster import RasterInfo
from urbanfm_core.geo.streaming import PixelSource, available_cores, in_order, read_ahead, row_chunks
from urbanfm_core.geo.strips import STRIP_BYTES, plan_strips
from urbanfm_core.progress import Meter, Progress

PixelFunction = Callable[[np.ndarray], np.ndarray]
_CHUNK_PIXELS = 16384


class PartialStore(Protocol):
    """Where finished strips are kept, so that a rerun takes up where it was stopped."""

    def has(self, name: str) -> bool:
        """Whether the arrays of that name are there."""

    def save(self, name: str, **arrays: np.ndarray) -> None:
        """Keep named arrays, whole or not at all."""

    def load(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of that name."""


@dataclass(frozen=True)
class ZonalMean:
    """What `zonal_mean` found.

    Attributes:
        mean: (R, D) float32; a row of NaN for a region without a valid pixel.
        pixels: (R,) float64, number of valid pixels (centre rule) or sum of their covered shares (coverage rule).
        coverage: (R,) float64 in [0, 1], share of the region's area that valid pixels account for.
    """

    mean: np.ndarray
    pixels: np.ndarray
    coverage: np.ndarray

    @property
    def uncovered(self) -> int:
        """Number of regions without a vector."""
        return int((self.pixels <= 0).sum())


@dataclass
class _Partial:
    """Sums of one strip: (K,) regions, (K, D) sums, (K,) weight of valid pixels, (K,) weight of all pixels."""

    regions: np.ndarray
    sums: np.ndarray
    valid: np.ndarray
    total: np.ndarray


def zonal_mean(
    raster: PixelSource,
    polygons: np.ndarray,
    crs: pyproj.CRS,
    *,
    rule: Rule = "centre",
    pixel_function: PixelFunction | None = None,
    store: PartialStore | None = None,
    progress: Progress | None = None,
    memory_bytes: int = STRIP_BYTES,
) -> ZonalMean:
    """Mean vector of the valid pixels of each region (AETHER, eq. 8, when `pixel_function` projects them).

    Regions may overlap and may leave the raster. A pixel is valid when all its bands are. By the rule "centre" a
    pixel belongs to a region when its centre lies inside (borders: see `geo.footprints`); a region smaller than a
    pixel may then hold none, gets NaN and 0 pixels, and is for the caller to report. By the rule "coverage" every
    pixel counts by the exact share of its area inside the region, so any region on the raster has a vector.

    Args:
        raster: Source of pixel vectors.
        polygons: (R,) shapely polygons; None and empty ones get NaN.
        crs: Their CRS. Borders are densified before they are moved to the raster's CRS.
        rule: "centre" or "coverage".
        pixel_function: Applied once to each valid pixel that lies in a region: (N, C) float32 -> (N, D) float32.
        store: Keeps the sums of each strip under "zonal/00000", ...; strips found there are not read again. It must
            belong to this very raster, polygons, rule and function. None keeps nothing.
        progress: Reports and cancels.
        memory_bytes: Size of a strip as stored.
    Raises:
        NoOverlapError: no region touches the raster.
        InputError: the raster is damaged.
        Cancelled: the caller asked to stop; finished strips stay in the store.
    """
    if rule not in ("centre", "coverage"):
        raise ConfigError(f"Pooling rule {rule!r} is not known.", "Choose centre or coverage.")
    progress = progress or Progress()
    crs = require_crs(crs, "regions")
    info = raster.info
    footprints = require_overlap(info, polygons, crs)
    strips = [s for s in plan_strips(info, memory_bytes=memory_bytes) if len(footprints.touching(s))]
    names = [f"zonal/{number:05d}" for number in range(len(strips))]
    missing = [n for n, name in enumerate(names) if store is None or not store.has(name)]
    pixels = read_ahead(raster, [strips[n] for n in missing], progress)
    meter = Meter(progress, "strips", len(strips))

    sums: np.ndarray | None = None
    valid, total = np.zeros(len(polygons)), np.zeros(len(polygons))
    to_read = set(missing)
    with ThreadPoolExecutor(available_cores(), "zonal") as lanes:
        for number, (strip, name) in enumerate(zip(strips, names, strict=True)):
            progress.check()
            if number in to_read:
                _, stored, mask = next(pixels)
                part = _pool_strip(raster, footprints.runs(strip, rule), stored, mask, pixel_function, lanes, progress)
                del stored, mask
                if store is not None:
                    store.save(name, regions=part.regions, sums=part.sums, valid=part.valid, total=part.total)
            else:
                part = _load(store, name)
            if part.sums.shape[1]:
                sums = np.zeros((len(polygons), part.sums.shape[1])) if sums is None else sums
                sums[part.regions] += part.sums
            valid[part.regions] += part.valid
            total[part.regions] += part.total
            meter.advance()
    if sums is None:
        probe = np.zeros((1, raster.bands), np.float32)
        width = raster.bands if pixel_function is None else apply_to_pixels(pixel_function, probe).shape[1]
        sums = np.zeros((len(polygons), width))
    return _finish(sums, valid, total, footprints, rule)


def require_overlap(info: RasterInfo, polygons: np.ndarray, crs: pyproj.CRS) -> Footprints:
    """The regions on the raster's grid.

    Raises:
        NoOverlapError: none touches the raster; the message tells both extents.
    """
    footprints = Footprints(info, polygons, crs)
    if not len(footprints.touching(info.window)):
        raise NoOverlapError(
            f"No region touches the raster {info.path}: in its CRS ({info.crs.name}) it spans {_extent(info.bounds)}, "
            f"the regions span {_extent(_map_bounds(footprints, info.transform))}.",
            "Choose layers of the same place, and check that each carries its right CRS.",
        )
    return footprints


def _finish(sums: np.ndarray, valid: np.ndarray, total: np.ndarray, footprints: Footprints, rule: Rule) -> ZonalMean:
    mean = np.full(sums.shape, np.nan, np.float32)
    found = valid > 0
    mean[found] = sums[found] / valid[found, None]
    if rule == "coverage":
        share = np.divide(valid, footprints.area, out=np.zeros_like(valid), where=footprints.area > 0)
    else:
        share = footprints.inside * np.divide(valid, total, out=np.zeros_like(valid), where=total > 0)
    return ZonalMean(mean, valid, np.clip(share, 0, 1))


def _load(store: PartialStore | None, name: str) -> _Partial:
    arrays = store.load(name) if store is not None else {}
    return _Partial(arrays["regions"], arrays["sums"], arrays["valid"], arrays["total"])


def _pool_strip(
    raster: PixelSource,
    runs: Runs,
    stored: np.ndarray,
    mask: np.ndarray | None,
    pixel_function: PixelFunction | None,
    lanes: ThreadPoolExecutor,
    progress: Progress,
) -> _Partial:
    """Sums of one strip, chunk of rows by chunk, whose floats stay in a processor's cache; several at once."""
    regions, local = np.unique(runs.region, return_inverse=True)
    order = np.argsort(runs.row, kind="stable")
    local, row, weight = local[order], runs.row[order], runs.weight[order]
    width = stored.shape[2]
    start, stop = row * width + runs.start[order], row * width + runs.stop[order]
    sums: np.ndarray | None = None
    valid, total = np.zeros(len(regions)), np.zeros(len(regions))

    def pool_rows(rows: slice) -> tuple[np.ndarray | None, np.ndarray, np.ndarray] | None:
        a, b = np.searchsorted(row, [rows.start, rows.stop])
        if a == b:
            return None
        base = rows.start * width
        chunk = _Chunk(local[a:b], start[a:b] - base, stop[a:b] - base, weight[a:b], len(regions))
        values, ok = raster.decode(
            stored[:, rows].reshape(len(stored), -1), None if mask is None else mask[rows].ravel()
        )
        whole: np.ndarray = np.asarray(ok.all(axis=0))
        if len(ok) > 1:
            values[:, ~whole] = 0
        part = chunk.sums(values) if pixel_function is None else chunk.function_sums(values, whole, pixel_function)
        return part, chunk.weights(whole), chunk.weights(None)

    for found in in_order(lanes, pool_rows, row_chunks(stored.shape, _CHUNK_PIXELS)):
        progress.check()
        if found is None:
            continue
        part, valid_here, total_here = found
        if part is not None:
            sums = part if sums is None else sums + part
        valid += valid_here
        total += total_here
    # Without a valid pixel a function never ran, so the strip does not know how wide its vectors are: (K, 0).
    return _Partial(regions, np.zeros((len(regions), 0)) if sums is None else sums, valid, total)


class _Chunk:
    """Runs of pixels within some rows, flattened: positions count pixels row by row from the first.

    Args:
        region: Region row of each run in [0, regions), (K,).
        start, stop: Positions, (K,); runs of different regions may overlap.
        weight: Weight of the run's pixels, (K,).
        regions: Number of rows of the result.
    """

    def __init__(
        self, region: np.ndarray, start: np.ndarray, stop: np.ndarray, weight: np.ndarray, regions: int
    ) -> None:
        self._region, self._start, self._stop, self._weight, self._regions = region, start, stop, weight, regions

    def weights(self, valid: np.ndarray | None) -> np.ndarray:
        """Weight of all pixels, or of the valid (N,) ones, per region."""
        if valid is None or valid.all():
            length: np.ndarray = self._stop - self._start
        else:
            before = np.concatenate([[0], np.cumsum(valid)])
            length = before[self._stop] - before[self._start]
        return np.bincount(self._region, self._weight * length, self._regions)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Weighted sums of (C, N) values per region, (regions, C) float64.

        All starts and stops cut the chunk into pieces; each piece is summed once, however many regions share it.
        """
        count = values.shape[1]
        cut = np.zeros(count + 1, bool)
        cut[self._start] = cut[self._stop] = True
        number = np.cumsum(cut) - 1
        pieces = np.add.reduceat(values, np.flatnonzero(cut[:count]), axis=1)
        return self._combine(number[self._start], number[self._stop], pieces.T)

    def function_sums(self, values: np.ndarray, valid: np.ndarray, function: PixelFunction) -> np.ndarray | None:
        """Weighted sums of function(pixel) over the valid (N,) pixels, (regions, D) float64; None without any."""
        count = values.shape[1]
        depth = np.bincount(self._start, minlength=count + 1) - np.bincount(self._stop, minlength=count + 1)
        chosen = (np.cumsum(depth)[:count] > 0) & valid
        position = np.concatenate([[0], np.cumsum(chosen)])
        if not position[-1]:
            return None
        vectors = apply_to_pixels(function, np.ascontiguousarray(values[:, chosen].T))
        return self._combine(position[self._start], position[self._stop], vectors)

    def _combine(self, first: np.ndarray, last: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        run, column = repeat_ranges(first, last - first)
        matrix = csr_array((self._weight[run], (self._region[run], column)), shape=(self._regions, len(vectors)))
        return matrix @ np.ascontiguousarray(vectors, dtype=np.float64)


def apply_to_pixels(function: PixelFunction, pixels: np.ndarray) -> np.ndarray:
    """function(pixels), (N, C) -> (N, D), with its shape checked."""
    vectors = np.asarray(function(pixels))
    if vectors.ndim != 2 or len(vectors) != len(pixels):
        raise ShapeError(
            f"A pixel function must turn ({len(pixels)}, {pixels.shape[1]}) into ({len(pixels)}, D), "
            f"it made {vectors.shape}."
        )
    return vectors


def _map_bounds(footprints: Footprints, transform: Affine) -> tuple[float, float, float, float]:
    bounds = footprints.bounds[np.isfinite(footprints.bounds).all(axis=1)]
    if not len(bounds):
        return (np.nan,) * 4
    west, north = transform @ tuple(bounds[:, :2].min(axis=0))
    east, south = transform @ tuple(bounds[:, 2:].max(axis=0))
    return west, south, east, north


def _extent(bounds: tuple[float, float, float, float]) -> str:
    west, south, east, north = bounds
    return f"x {west:.6g} to {east:.6g}, y {south:.6g} to {north:.6g}"

"""Attention of points of interest to the patches of imagery: as numbers, as a raster, and written to points and regions.

The number is the share of their attention that points give to the patch that they stand on: one over the number of
patches if they know nothing of where they are, more if text and picture are aligned (ReFound, section 5.2.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError
from urbanfm_core.geo.raster import RasterInfo
from urbanfm_core.geo.raster_writer import RasterWriter
from urbanfm_core.geo.strips import BLOCK_PX
from urbanfm_core.models.attention import RegionAttention
from urbanfm_core.progress import Progress

_RESAMPLES = 1000
_ROWS = 1024
# As many 16 m patches as a country of 2,000 by 2,000 km has.
_LARGEST_RASTER = 1 << 34


@dataclass(frozen=True)
class OwnShare:
    """The share of their attention that points give to the patch that they stand on, over regions.

    Attributes:
        regions: Regions with at least one such point.
        own: Mean over the regions.
        interval: Of that mean: 2.5 % and 97.5 % of the means of regions drawn with replacement; NaN for one region.
        uniform: What it would be if attention were spread evenly.
        ratio: own / uniform.
        ratio_interval: Of it, likewise.
    """

    regions: int
    own: float
    interval: tuple[float, float]
    uniform: float
    ratio: float
    ratio_interval: tuple[float, float]

    def summary(self) -> dict[str, float | list[float] | None]:
        """The numbers as plain data; None where there is none."""
        numbers: dict[str, float | list[float] | None] = {}
        for name, value in (("own", self.own), ("uniform", self.uniform), ("ratio", self.ratio)):
            numbers[name] = value if math.isfinite(value) else None
        for name, ends in (("own_interval", self.interval), ("ratio_interval", self.ratio_interval)):
            numbers[name] = list(ends) if math.isfinite(ends[0]) else None
        return numbers

    def sentence(self) -> str:
        """The numbers as a person reads them."""
        if not self.regions:
            return "No chosen point stands on a patch with data, so there is no attention on own patches."
        spread = ""
        if self.regions > 1:
            low, high = self.interval
            spread = f" (95 % interval over {self.regions:,} regions: {low:.4g} to {high:.4g})"
        times = f"{self.ratio:.3f} times"
        return (
            f"Attention on the points' own patches: {self.own:.4g}{spread}; uniform would be {self.uniform:.4g}, this is "
            f"{times} as much."
        )


@dataclass(frozen=True)
class Findings:
    """What there is to say of an attention.

    Attributes:
        share: On the points' own patches.
        chosen: Which points, in words.
        model: What computed it.
        notes: What was left out.
    """

    share: OwnShare
    chosen: str
    model: str
    notes: list[str]


def region_shares(attention: RegionAttention) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each region's attention on the points' own patches, mean over their tokens, and what uniform would be, (R,) each.

    NaN for a region in which no chosen point stands on a patch with data.
    """
    pairs = attention.pairs
    known = np.isfinite(pairs.mass)
    count = len(attention.frames)
    tokens = np.bincount(pairs.region[known], weights=pairs.tokens[known], minlength=count)
    mass = np.bincount(pairs.region[known], weights=(pairs.mass * pairs.tokens)[known], minlength=count)
    has = tokens > 0
    own, uniform = (np.full(count, np.nan) for _ in range(2))
    own[has] = mass[has] / tokens[has]
    uniform[has] = 1 / attention.patches[has]
    return own, uniform


def own_patch_share(attention: RegionAttention, seed: int = 0) -> OwnShare:
    """The mean over regions, with an interval from drawing regions again and again (bootstrap).

    Args:
        attention: Of R regions.
        seed: For the draws.
    """
    own, uniform = region_shares(attention)
    known = np.isfinite(own)
    own, uniform = own[known], uniform[known]
    nothing = (math.nan, math.nan)
    if not len(own):
        return OwnShare(0, math.nan, nothing, math.nan, math.nan, nothing)
    rng = np.random.default_rng(seed)
    means = np.empty((_RESAMPLES, 2))
    for draw in means if len(own) > 1 else ():
        rows = rng.integers(len(own), size=len(own))
        draw[:] = own[rows].mean(), uniform[rows].mean()
    interval = ratio_interval = nothing
    if len(own) > 1:
        interval, ratio_interval = _middle(means[:, 0]), _middle(means[:, 0] / means[:, 1])
    mean, even = float(own.mean()), float(uniform.mean())
    return OwnShare(len(own), mean, interval, even, mean / even, ratio_interval)


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def entropy(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """How evenly attention is spread: 0 if all is on one patch, 1 if it is the same everywhere.

    Shannon's entropy over the logarithm of the number of patches with data.

    Args:
        weights: (B, N), rows sum to 1; NaN for patches without data.

    Returns:
        (B,); NaN for a region without attention, and for one with a single patch.
    """
    known = np.isfinite(weights)
    safe = np.where(known & (weights > 0), weights, 1.0).astype(np.float64)
    count = known.sum(axis=1)
    nats = -(safe * np.log(safe)).sum(axis=1)
    shares = np.full(len(weights), np.nan)
    np.divide(nats, np.log(np.maximum(count, 2)), out=shares, where=count > 1)
    return shares


def region_layer(regions: RegionSet, attention: RegionAttention, progress: Progress | None = None) -> gpd.GeoDataFrame:
    """The regions with their fields and these; a field of the same name, of an earlier run, is replaced.

    `attention_points` (points with attention), `attention_own`, `attention_uniform`, `attention_ratio` (see `OwnShare`)
    and `attention_entropy` (see `entropy`).
    """
    own, uniform = region_shares(attention)
    spread = np.full(len(regions), np.nan)
    rows = attention.rows
    starts = range(0, len(rows), _ROWS)
    for start in (progress or Progress()).track(starts, "parts"):
        here = rows[start : start + _ROWS]
        spread[here] = entropy(attention.take(here))
    return _with_fields(
        regions.to_frame(),
        {
            "attention_points": np.bincount(attention.pairs.region, minlength=len(regions)),
            "attention_own": own,
            "attention_uniform": uniform,
            "attention_ratio": own / uniform,
            "attention_entropy": spread,
        },
    )


def poi_layer(pois: PoiSet, source: pd.DataFrame, attention: RegionAttention) -> gpd.GeoDataFrame:
    """The points that have attention, with the fields of their source and these.

    `attention` (share that goes to the patch that the point stands on, empty without one), `attention_ratio` (to uniform)
    and `attention_regions` (regions that hold the point; the others are means over them).

    Args:
        pois: Points, P.
        source: Table that they come from.
        attention: Of some of them.
    """
    pairs = attention.pairs
    rows, pair = np.unique(pairs.poi, return_inverse=True)
    known = np.isfinite(pairs.mass)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.bincount(pair[known], weights=values[known], minlength=len(rows))
        count = np.bincount(pair[known], minlength=len(rows))
        means = np.full(len(rows), np.nan)
        np.divide(total, count, out=means, where=count > 0)
        return means

    fields = source.iloc[pois.index[rows]].reset_index(drop=True)
    geometry = source.geometry.name if isinstance(source, gpd.GeoDataFrame) else "geometry"
    fields = pd.DataFrame(fields.drop(columns=geometry, errors="ignore"))
    points = gpd.GeoDataFrame(fields, geometry=gpd.points_from_xy(*pois.xy[rows].T), crs=pois.crs)
    return _with_fields(
        points,
        {
            "attention": mean(pairs.mass),
            "attention_ratio": mean(pairs.mass * attention.patches[pairs.region]),
            "attention_regions": np.bincount(pair, minlength=len(rows)),
        },
    )


def _with_fields(frame: gpd.GeoDataFrame, fields: dict[str, NDArray]) -> gpd.GeoDataFrame:
    # GeoPackage does not tell upper from lower case.
    old = [name for name in frame.columns if str(name).lower() in fields]
    return frame.drop(columns=old).assign(**fields)


def write_attention_raster(
    attention: RegionAttention, path: str | Path, progress: Progress, tags: dict[str, str] | None = None
) -> dict[str, int]:
    """Write the maps of all regions as one raster with a pixel per patch: float32, NaN where there is none.

    One region keeps its exact patches. Several are laid on one grid whose pixels have the middle size of the patches: a
    pixel takes the patch that holds its centre, and the mean over frames that overlap there.

    Returns:
        Its `width` and `height`.

    Raises:
        ConfigError: the regions lie so far apart that the raster would be too large.
        OutputError: it cannot be written.
    """
    info = _grid(attention)
    frames = attention.frames.bounds[attention.rows]
    tree = shapely.STRtree(shapely.box(*frames.T))
    named = {"descriptions": ["attention"], "tags": tags}
    with RasterWriter(path, info, 1, dtype="float32", nodata=np.nan, **named) as writer:  # type: ignore[arg-type]
        for window in progress.track(list(_blocks(info)), "blocks"):
            west, north = info.transform @ (window.col_off, window.row_off)
            east, south = info.transform @ (window.col_off + window.width, window.row_off + window.height)
            near = np.sort(tree.query(shapely.box(west, south, east, north)))
            writer.write(_mean(attention, near, info, window)[None], window)
    return {"width": info.width, "height": info.height}


def _grid(attention: RegionAttention) -> RasterInfo:
    bounds = attention.frames.bounds[attention.rows]
    west, south, east, north = bounds.T
    step_x, step_y = np.median(east - west) / attention.side, np.median(north - south) / attention.side
    # A patch that sticks out by a rounding error needs no pixel more.
    width = math.ceil((east.max() - west.min()) / step_x - 1e-6)
    height = math.ceil((north.max() - south.min()) / step_y - 1e-6)
    if width * height > _LARGEST_RASTER:
        raise ConfigError(
            f"The regions span {width:,} by {height:,} patches, too many for one raster.",
            "Attend to regions of one place at a time.",
        )
    return RasterInfo(
        path="attention",
        width=width,
        height=height,
        count=1,
        dtype="float32",
        nodata=(math.nan,),
        crs=attention.frames.crs,
        transform=Affine(step_x, 0, west.min(), 0, -step_y, north.max()),
        block_shape=(BLOCK_PX, BLOCK_PX),
        block_offset=(0, 0),
        interleave="band",
        south_up=False,
        has_mask=False,
        scales=(1.0,),
        offsets=(0.0,),
        descriptions=("attention",),
    )


def _blocks(info: RasterInfo) -> Iterator[Window]:
    for row in range(0, info.height, BLOCK_PX):
        for column in range(0, info.width, BLOCK_PX):
            yield Window(column, row, min(BLOCK_PX, info.width - column), min(BLOCK_PX, info.height - row))


def _mean(attention: RegionAttention, near: NDArray[np.int64], info: RasterInfo, window: Window) -> NDArray[np.float32]:
    """Mean over the frames that hold each pixel's centre, (h, w)."""
    side, rows = attention.side, attention.rows[near]
    x = info.transform.c + (window.col_off + np.arange(window.width) + 0.5) * info.transform.a
    y = info.transform.f + (window.row_off + np.arange(window.height) + 0.5) * info.transform.e
    total = np.zeros((int(window.height), int(window.width)))
    count = np.zeros_like(total)
    for start in range(0, len(rows), _ROWS):
        here = rows[start : start + _ROWS]
        for frame, weights in zip(attention.frames.bounds[here], attention.take(here), strict=True):
            west, south, east, north = frame
            column = np.floor((x - west) / (east - west) * side).astype(np.int64)
            row = np.floor((north - y) / (north - south) * side).astype(np.int64)
            across, down = (np.flatnonzero((cell >= 0) & (cell < side)) for cell in (column, row))
            values = weights.reshape(side, side)[np.ix_(row[down], column[across])]
            known = np.isfinite(values)
            total[np.ix_(down, across)] += np.where(known, values, 0)
            count[np.ix_(down, across)] += known
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return mean.astype(np.float32)

"""Which pixels a polygon holds, and how much of each: exact, for all polygons at once, in NumPy.

Two rules. *Centre*: a pixel belongs to a region when its centre does; on a border, to the region on the east of it,
and on a horizontal border to the one on the south, so that a partition gives every pixel to exactly one region.
*Coverage*: a pixel counts by the share of its area inside the region. The share is found as font rasterisers do it:
each border piece adds the area to its east, signed by its direction, and a running sum along the row gives the cover.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyproj
import shapely
from rasterio.windows import Window

from urbanfm_core.geo.crs import same_crs, transform_geometry
from urbanfm_core.geo.raster import RasterInfo

Rule = Literal["centre", "coverage"]
_NOTHING = 1e-9
# A straight border bends when it is reprojected; pieces this short stay within 1/1000 pixel of the bent one.
_BEND_PX = 1e-3
_EARTH_RADIUS_M = 6.371e6
_POLYGON = 3


@dataclass(frozen=True)
class Runs:
    """Stretches of pixels within one row that count for a region with one weight.

    Attributes:
        region, row, start, stop: (K,) int64; columns from start up to, not including, stop; row-major order is not promised.
        weight: (K,) float64 in (0, 1].
    """

    region: np.ndarray
    row: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    weight: np.ndarray


class Footprints:
    """Polygons in the pixel coordinates of a raster.

    Args:
        info: The raster.
        polygons: (R,) shapely polygons or multipolygons; None and empty ones hold no pixel.
        crs: Their CRS.
    Attributes:
        bounds: (R, 4) column and row minima, then maxima; NaN for empty ones.
        area: (R,) in pixels.
        inside: (R,) share of the area that lies on the raster.
    Raises:
        CRSError: a vertex cannot be expressed in the raster's CRS.
    """

    def __init__(self, info: RasterInfo, polygons: np.ndarray, crs: pyproj.CRS) -> None:
        polygons = np.asarray(polygons, dtype=object)
        if not same_crs(crs, info.crs):
            polygons = transform_geometry(shapely.segmentize(polygons, _longest_piece(info, crs)), crs, info.crs)
        to_pixel = ~info.transform
        shapes = shapely.transform(
            polygons,
            lambda xy: np.column_stack([xy[:, 0] * to_pixel.a + to_pixel.c, xy[:, 1] * to_pixel.e + to_pixel.f]),
        )
        self.bounds = shapely.bounds(shapes).reshape(-1, 4)
        self.area = shapely.area(shapes)
        self.inside = np.ones(len(shapes))
        with np.errstate(invalid="ignore"):
            within = (self.bounds[:, :2] >= 0).all(axis=1) & (self.bounds[:, 2:] <= (info.width, info.height)).all(
                axis=1
            )
        if not within.all():
            frame = shapely.box(0, 0, info.width, info.height)
            share = shapely.area(shapely.intersection(shapes[~within], frame))
            self.inside[~within] = np.divide(share, self.area[~within], out=np.zeros_like(share), where=share > 0)
        self._collect_edges(shapes)

    def _collect_edges(self, shapes: np.ndarray) -> None:
        parts, region = shapely.get_parts(shapes, return_index=True)
        # A repaired polygon may be a collection of collections, with stray lines: only its areas count.
        members, part_region = shapely.get_parts(parts, return_index=True)
        region = region[part_region]
        areal = shapely.get_type_id(members) == _POLYGON
        members, region = shapely.orient_polygons(members[areal]), region[areal]
        rings, ring_member = shapely.get_rings(members, return_index=True)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        same = ring[1:] == ring[:-1]
        self._edges = np.column_stack([xy[:-1][same], xy[1:][same]])
        self._edge_region = region[ring_member[ring[:-1][same]]]
        self._edge_top = np.minimum(self._edges[:, 1], self._edges[:, 3])
        self._edge_bottom = np.maximum(self._edges[:, 1], self._edges[:, 3])

    def touching(self, window: Window) -> np.ndarray:
        """Rows of the regions whose bounding box meets a window, (K,)."""
        left, top, right, bottom = self.bounds.T
        with np.errstate(invalid="ignore"):
            return np.flatnonzero(
                (left < window.col_off + window.width)
                & (right > window.col_off)
                & (top < window.row_off + window.height)
                & (bottom > window.row_off)
            )

    def runs(self, window: Window, rule: Rule) -> Runs:
        """The pixels of every region inside a window; rows and columns are counted from the window's corner."""
        member = np.zeros(len(self.bounds), bool)
        member[self.touching(window)] = True
        top, bottom = window.row_off, window.row_off + window.height
        chosen = member[self._edge_region] & (self._edge_top < bottom) & (self._edge_bottom > top)
        edges = self._edges[chosen] - np.array([window.col_off, window.row_off] * 2)
        find = _centre_runs if rule == "centre" else _coverage_runs
        return find(edges, self._edge_region[chosen], int(window.height), int(window.width))


def _longest_piece(info: RasterInfo, crs: pyproj.CRS) -> float:
    """Length, in units of `crs`, of a straight piece that reprojection bends by no more than the tolerance."""
    metres = float(np.sqrt(8 * _EARTH_RADIUS_M * _BEND_PX * min(info.res_m)))
    if crs.is_geographic:
        return float(np.rad2deg(metres / _EARTH_RADIUS_M))
    return metres / crs.axis_info[0].unit_conversion_factor


def repeat_ranges(start: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For ranges start[i] .. start[i] + count[i] - 1: the index i and the number of each element."""
    index = np.repeat(np.arange(len(start)), count)
    first = np.cumsum(count) - count
    return index, np.arange(len(index)) - first[index] + start[index]


def _centre_runs(edges: np.ndarray, region: np.ndarray, height: int, width: int) -> Runs:
    # The lower end comes first whichever ring the edge belongs to, so that neighbours compute the same crossing.
    swap = (edges[:, 1] > edges[:, 3]) | ((edges[:, 1] == edges[:, 3]) & (edges[:, 0] > edges[:, 2]))
    x0, y0, x1, y1 = np.where(swap[:, None], edges[:, [2, 3, 0, 1]], edges).T
    # A row's centre line crosses an edge if it lies in [y0, y1): half-open, so a vertex on the line counts once.
    first = np.clip(np.ceil(y0 - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(y1 - 0.5), 0, height).astype(np.int64)
    edge, row = repeat_ranges(first, np.maximum(last - first, 0))
    x = x0[edge] + (row + 0.5 - y0[edge]) * ((x1 - x0)[edge] / (y1 - y0)[edge])
    key = region[edge] * height + row
    order = np.lexsort((x, key))
    key, column = key[order][::2], np.clip(np.ceil(x[order] - 0.5), 0, width).astype(np.int64)
    start, stop = column[::2], column[1::2]
    kept = stop > start
    key, start, stop = key[kept], start[kept], stop[kept]
    return Runs(key // height, key % height, start, stop, np.ones(len(key)))


def _coverage_runs(edges: np.ndarray, region: np.ndarray, height: int, width: int) -> Runs:
    sloped = edges[:, 1] != edges[:, 3]
    x0, y0, x1, y1 = edges[sloped].T
    region = region[sloped]
    # Cut each edge at the row lines ...
    low, high = np.clip(np.minimum(y0, y1), 0, height), np.clip(np.maximum(y0, y1), 0, height)
    first = np.floor(low).astype(np.int64)
    count = np.where(high > low, np.ceil(high).astype(np.int64) - first, 0)
    edge, row = repeat_ranges(first, count)
    slope = ((x1 - x0) / (y1 - y0))[edge]
    upper, lower = np.maximum(low[edge], row), np.minimum(high[edge], row + 1)
    xa = x0[edge] + (upper - y0[edge]) * slope
    xb = x0[edge] + (lower - y0[edge]) * slope
    rise = np.where(y1 > y0, 1.0, -1.0)[edge] * (lower - upper)
    left, right = np.minimum(xa, xb), np.maximum(xa, xb)
    # ... and each piece at the column lines of the window; what lies west or east of it stays one piece.
    cut = np.clip(np.floor(left), -1, width).astype(np.int64)
    pieces = np.maximum(np.clip(np.ceil(right), 0, width + 1).astype(np.int64) - cut, 1)
    piece, column = repeat_ranges(cut, pieces)
    west = np.where(column <= cut[piece], left[piece], column)
    east = np.where(column >= (cut + pieces)[piece] - 1, right[piece], column + 1)
    span = (right - left)[piece]
    share = np.divide(east - west, span, out=np.ones(len(piece)), where=span > 0)
    change = rise[piece] * share
    beyond = np.clip((west + east) / 2 - column, 0, 1)
    beyond[column < 0] = 1.0
    beyond[column >= width] = 0.0
    key = (region[edge][piece] * height + row[piece]) * (width + 1)
    keys = np.concatenate([key + np.maximum(column, 0), key + np.clip(column + 1, 0, width)])
    changes = np.concatenate([change * (1 - beyond), change * beyond])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    if not len(keys):
        empty = np.empty(0, np.int64)
        return Runs(empty, empty, empty, empty, np.empty(0))
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    cover = np.abs(np.cumsum(np.add.reduceat(changes[order], starts)))
    keys = keys[starts]
    line, column = keys // (width + 1), keys % (width + 1)
    stop = np.concatenate([np.where(line[1:] == line[:-1], column[1:], width), [width]])
    kept = (cover > _NOTHING) & (stop > column)
    line, weight = line[kept], cover[kept]
    weight[np.abs(weight - 1) < _NOTHING] = 1.0
    return Runs(line // height, line % height, column[kept], stop[kept], weight)

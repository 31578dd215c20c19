"""Which point lies in which region: by arithmetic for grids, by candidates and an exact test for polygons.

Border rules, the same in every run and on every machine:

- Grids: a point on a shared border belongs to the cell east or south of it, so every point of the frame has one cell.
- Polygons: a point inside several overlapping polygons belongs to all of them. A point that is inside none but on the
  border of one or several belongs to the first of these in the layer's order, so points on shared borders count once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import shapely
from numpy.typing import NDArray

from urbanfm_core.errors import ShapeError
from urbanfm_core.geo.grid import GridLayout, GridShape
from urbanfm_core.progress import Progress

# Points worked on at once, so that intermediate arrays stay in the processor's cache.
_CHUNK = 1 << 15
# Point-polygon pairs tested at once; few enough to stay in cache, enough to forget the cost of a call.
_PAIRS = 1 << 17
_POINTS_PER_BIN = 8
_MAX_BINS_A_SIDE = 2048
_SAMPLE = 1 << 16
_LOOKUP = 1 << 16


@dataclass(frozen=True)
class Assignment:
    """Pairs of a point and a region that holds it, by region and then by point.

    Attributes:
        point: (K,) int64 point rows.
        region: (K,) int64 region rows, ascending.
    """

    point: NDArray[np.int64]
    region: NDArray[np.int64]

    def to_csr(self, n_points: int, n_regions: int) -> scipy.sparse.csr_array:
        """A matrix of ones, (n_regions, n_points), float32: times point features (P, D) it sums them per region."""
        indptr = np.zeros(n_regions + 1, dtype=np.int64)
        np.cumsum(np.bincount(self.region, minlength=n_regions), out=indptr[1:])
        ones = np.ones(len(self.point), dtype=np.float32)
        return scipy.sparse.csr_array((ones, self.point, indptr), shape=(n_regions, n_points))

    def counts(self, n_regions: int) -> NDArray[np.int64]:
        """Points per region, (n_regions,)."""
        return np.bincount(self.region, minlength=n_regions).astype(np.int64)

    def unassigned(self, n_points: int) -> int:
        """How many points lie in no region."""
        seen = np.zeros(n_points, dtype=bool)
        seen[self.point] = True
        return int(n_points - seen.sum())


def assign_to_grid(
    xy: NDArray[np.float64],
    origin: tuple[float, float],
    size: float,
    shape: tuple[int, int],
    kind: GridShape = "square",
) -> NDArray[np.signedinteger]:
    """The grid cell of each point; see `grid.GridLayout` for the meaning of the parameters.

    Args:
        xy: (P, 2) points in the grid's CRS.
        origin: (x of the west edge, y of the north edge).
        size: Cell size, in units of `xy`.
        shape: (rows, columns).
        kind: 'square' or 'hexagon'.

    Returns:
        (P,) row * columns + column, int32 where that is wide enough, else int64; -1 outside the frame and for NaN.
    """
    points = _points(xy)
    cells = np.empty(len(points), dtype=_index_type(shape[0] * shape[1]))
    locate = _squares if kind == "square" else _hexagons
    with np.errstate(invalid="ignore"):
        for start in range(0, len(points), _CHUNK):
            part = points[start : start + _CHUNK]
            locate(part[:, 0], part[:, 1], origin, size, shape, cells[start : start + _CHUNK])
    return cells


def assign_to_layout(xy: NDArray[np.float64], layout: GridLayout) -> NDArray[np.signedinteger]:
    """`assign_to_grid` for a layout."""
    return assign_to_grid(xy, layout.origin, layout.size_m, layout.shape, layout.kind)


def group_by_cell(
    cells: NDArray[np.signedinteger], n_cells: int
) -> tuple[NDArray[np.int64], NDArray[np.signedinteger]]:
    """Sort points by cell, in one counting pass.

    Args:
        cells: (P,) cell of each point; -1 for none.
        n_cells: Number of cells.

    Returns:
        Where each cell's points begin, (n_cells + 1,) int64, and the points in that order, (K,), int32 where that is
        wide enough, ascending within a cell. Points of cell c are `points[starts[c] : starts[c + 1]]`.
    """
    count = len(cells)
    kind = _index_type(max(count, n_cells))
    # A column per cell and one in front for points outside; scipy turns rows into columns by counting.
    columns = np.add(cells, 1, dtype=kind, casting="unsafe")
    marks = np.ones(count, np.int8)
    shape = (count, n_cells + 1)
    by_cell = scipy.sparse.csr_array((marks, columns, np.arange(count + 1, dtype=kind)), shape=shape).tocsc()
    outside = int(by_cell.indptr[1])
    return by_cell.indptr[1:].astype(np.int64) - outside, by_cell.indices[outside:]


def _index_type(count: int) -> type[np.int32] | type[np.int64]:
    return np.int32 if count < np.iinfo(np.int32).max else np.int64


def assign_to_polygons(
    xy: NDArray[np.float64], polygons: NDArray[np.object_], progress: Progress | None = None
) -> Assignment:
    """The polygons that hold each point; the module's text states the border rule.

    Args:
        xy: (P, 2) points in the CRS of the polygons; rows with NaN are in no region.
        polygons: (R,) valid polygons or multi-polygons; may overlap; None and empty ones hold nothing.
        progress: Told the share of polygons done.

    Raises:
        ShapeError: `xy` is not (P, 2).
    """
    points = _points(xy)
    shapes = np.asarray(polygons, dtype=object)
    progress = progress or Progress()
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    ready = np.flatnonzero(np.isfinite(bounds).all(axis=1))
    if not len(ready) or not len(points):
        return Assignment(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    index = _PointIndex.build(points, bounds[ready])
    unprepared = shapes[~shapely.is_prepared(shapes)]
    shapely.prepare(unprepared)
    try:
        found_points, found_regions = [], []
        for region, place in index.candidates(ready, bounds[ready]):
            progress.check()
            held = shapely.intersects_xy(shapes[region], index.x[place], index.y[place])
            found_points.append(index.row[place[held]])
            found_regions.append(region[held])
            if len(region):
                progress.update((int(region[-1]) + 1) / len(shapes), "points in regions")
        point, region = np.concatenate(found_points), np.concatenate(found_regions)
        keep = _border_rule(points, shapes, point, region)
    finally:
        shapely.destroy_prepared(unprepared)
    point, region = _sort_within_regions(point[keep], region[keep], len(points), len(shapes))
    return Assignment(point, region)


def _border_rule(
    points: NDArray[np.float64],
    polygons: NDArray[np.object_],
    point: NDArray[np.int64],
    region: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which pairs of "inside or on the border" stay: all inside, and for points inside none, the first region."""
    keep = np.ones(len(point), dtype=bool)
    times = np.bincount(point, minlength=len(points))
    doubtful = np.flatnonzero(times[point] > 1)
    if not len(doubtful):
        return keep
    some_point, some_region = point[doubtful], region[doubtful]
    inside = shapely.contains_xy(polygons[some_region], points[some_point, 0], points[some_point, 1])
    has_inside = np.zeros(len(points), dtype=bool)
    has_inside[some_point[inside]] = True
    first = np.full(len(points), len(polygons), dtype=np.int64)
    np.minimum.at(first, some_point, some_region)
    keep[doubtful] = inside | (~has_inside[some_point] & (some_region == first[some_point]))
    return keep


def _sort_within_regions(
    point: NDArray[np.int64], region: NDArray[np.int64], n_points: int, n_regions: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs that are ascending by region, put in order by point too: transposed twice by counting, not sorted."""
    pairs = Assignment(point, region).to_csr(n_points, n_regions).tocsc().tocsr()
    return pairs.indices.astype(np.int64), region


@dataclass(frozen=True)
class _PointIndex:
    """Points in bins of about equal load, row by row, so that a box's points lie in one run per row of bins.

    Bin edges follow the points' own distribution along x and y: a city in the corner of a large frame still spreads
    over most bins.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    row: NDArray[np.int64]  # the points' rows, in this order
    starts: NDArray[np.int64]
    x_scale: _Scale
    y_scale: _Scale

    @classmethod
    def build(cls, points: NDArray[np.float64], bounds: NDArray[np.float64]) -> _PointIndex:
        x, y = np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])
        xmin, ymin = bounds[:, :2].min(axis=0)
        xmax, ymax = bounds[:, 2:].max(axis=0)
        near = (x >= xmin) & (x <= xmax) & (y >= ymin) & (y <= ymax)
        some = np.flatnonzero(near)
        side = int(np.clip(math.sqrt(len(some) / _POINTS_PER_BIN), 1, _MAX_BINS_A_SIDE))
        x_scale, y_scale = _Scale.fit(x[some], xmin, xmax, side), _Scale.fit(y[some], ymin, ymax, side)
        bins = np.full(len(x), -1, dtype=np.int64)
        if len(some) == len(x):
            bins = y_scale.bin(y) * np.int64(side) + x_scale.bin(x)
        else:
            bins[some] = y_scale.bin(y[some]) * np.int64(side) + x_scale.bin(x[some])
        starts, row = group_by_cell(bins, side * side)
        return cls(x[row], y[row], row, starts, x_scale, y_scale)

    def candidates(
        self, regions: NDArray[np.int64], bounds: NDArray[np.float64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Pairs (region, place in this index) of points inside a region's bounding box, in portions, by region."""
        west_m, south_m, east_m, north_m = np.ascontiguousarray(bounds.T)
        west, east = self.x_scale.bin(west_m), self.x_scale.bin(east_m)
        south, north = self.y_scale.bin(south_m), self.y_scale.bin(north_m)
        strips = (north - south + 1).astype(np.int64)
        for part in _portions(strips, _PAIRS):
            number = np.repeat(np.arange(part.start, part.stop), strips[part])
            strip = _ranges(south[part].astype(np.int64), strips[part]) * self.x_scale.count
            first = self.starts[strip + west[number]]
            length = self.starts[strip + east[number] + 1] - first
            for slices in _portions(length, _PAIRS):
                place = _ranges(first[slices], length[slices])
                owner = np.repeat(number[slices], length[slices])
                x, y = self.x[place], self.y[place]
                hit = (x >= west_m[owner]) & (x <= east_m[owner]) & (y >= south_m[owner]) & (y <= north_m[owner])
                yield regions[owner[hit]], place[hit]


@dataclass(frozen=True)
class _Scale:
    """Divides an axis into bins: a fine even division, whose steps are gathered into bins of about equal load."""

    start: float
    steps_per_unit: float
    lookup: NDArray[np.int32]
    count: int

    @classmethod
    def fit(cls, values: NDArray[np.float64], low: float, high: float, count: int) -> _Scale:
        span = high - low
        steps_per_unit = _LOOKUP / span if span > 0 else 0.0
        if not math.isfinite(steps_per_unit):
            steps_per_unit = 0.0
        sample = values[:: max(1, len(values) // _SAMPLE)]
        step = np.clip((sample - low) * steps_per_unit, 0, _LOOKUP - 1).astype(np.int64)
        below = np.cumsum(np.bincount(step, minlength=_LOOKUP)) - 1
        lookup = np.clip(below * count // max(len(sample), 1), 0, count - 1).astype(np.int32)
        return cls(float(low), steps_per_unit, lookup, count)

    def bin(self, values: NDArray[np.float64]) -> NDArray[np.int32]:
        """Bins of values inside the axis; the map never falls, which is all that the search relies on."""
        step = ((values - self.start) * self.steps_per_unit).astype(np.int32)
        np.clip(step, 0, _LOOKUP - 1, out=step)
        return self.lookup[step]


def _portions(sizes: NDArray[np.int64], limit: int) -> Iterator[slice]:
    """Consecutive slices whose sizes sum to about `limit`; at least one item each."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + limit, side="right")))
        yield slice(start, stop)
        start = stop


def _ranges(first: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """first[0], first[0]+1, ... (length[0] of them), first[1], ...: many ranges as one array."""
    total = int(length.sum())
    shift = np.cumsum(length) - length
    joined: NDArray[np.int64] = np.arange(total, dtype=np.int64) + np.repeat(first - shift, length)
    return joined


def _points(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    points = np.asarray(xy, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ShapeError(f"Points have shape {points.shape}; expected (P, 2).")
    return points


def _squares(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    origin: tuple[float, float],
    size: float,
    shape: tuple[int, int],
    out: NDArray[np.signedinteger],
) -> None:
    column = np.floor((x - origin[0]) / size)
    row = np.floor((origin[1] - y) / size)
    _number(row, column, shape, out)


def _hexagons(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    origin: tuple[float, float],
    size: float,
    shape: tuple[int, int],
    out: NDArray[np.signedinteger],
) -> None:
    # In units of cells (across) and rows (down), row r reaches from r (its top corners) to r + 4/3; the top third is
    # shared with the row above, and the border there climbs a third of a row over half a cell.
    across = (x - origin[0]) * (1.0 / size)
    down = (origin[1] - y) * (math.sqrt(4.0 / 3.0) / size)
    row = np.floor(down)
    down -= row
    shift = row * 0.5
    shift -= np.floor(shift)  # 0.5 in odd rows
    off_middle = across - shift
    off_middle -= np.floor(off_middle)
    off_middle -= 0.5
    above = down * 1.5 < np.abs(off_middle, out=off_middle)
    row -= above
    # One row up, the shift is the other one.
    across -= np.abs(shift - 0.5 * above)
    _number(row, np.floor(across, out=across), shape, out)


def _number(
    row: NDArray[np.float64], column: NDArray[np.float64], shape: tuple[int, int], out: NDArray[np.signedinteger]
) -> None:
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    row *= shape[1]
    row += column
    np.copyto(out, -1)
    np.copyto(out, row, where=inside, casting="unsafe")

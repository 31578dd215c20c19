"""Roads: lines as they come, cut where they meet into segments between nodes, measured in metres.

What counts as a meeting: two lines of one level that cross or touch, and the end of a line that comes within the
tolerance of another line of its level, or of a vertex of any line. The level is the tag `layer`, else 1 for a bridge and -1
for a tunnel, else 0; so a bridge does not meet what it crosses, but meets the road that it continues. Meetings and ends
within the tolerance of each other are one node, at the mean of the ends that it joins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import scipy.sparse.csgraph
import scipy.spatial
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from urbanfm_core.data.poi_tags import Tags, read_tags
from urbanfm_core.errors import ConfigError, EmptyInputError, InputError
from urbanfm_core.geo.crs import layer_bounds, metric_crs, require_crs, transform_geometry, transform_xy
from urbanfm_core.geo.vector import read_layer
from urbanfm_core.progress import Progress

SNAP_M = 1.0
# Kinds of `highway` that nobody travels along.
_NO_ROADS = (
    "proposed", "planned", "construction", "abandoned", "razed", "demolished", "disused", "platform", "elevator", "bus_stop",
    "rest_area", "services", "corridor", "no",
)  # fmt: skip
_LINE, _RING, _MULTILINE, _COLLECTION = 1, 2, 5, 7
_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class RoadNetwork:
    """S segments between N nodes.

    Attributes:
        geometry: (S,) lines in `crs`.
        crs: Metric CRS.
        length_m: (S,) float64.
        ends: (S, 2) int64 nodes at both ends; the same twice for a ring.
        node_xy: (N, 2) in `crs`.
        degree: (N,) int64 segment ends at each node; 3 or more is an intersection.
        road: (S,) int64 row of the source that each segment comes from, counted from 0.
        tags: Tags of the rows of the source; `tags.take(network.road)` are those of the segments.
        notes: What was left out, cut and joined, with counts.
    """

    geometry: NDArray[np.object_]
    crs: CRS
    length_m: NDArray[np.float64]
    ends: NDArray[np.int64]
    node_xy: NDArray[np.float64]
    degree: NDArray[np.int64]
    road: NDArray[np.int64]
    tags: Tags
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.length_m)

    @classmethod
    def read(
        cls, source: str | Path | geopandas.GeoDataFrame, snap_m: float = SNAP_M, progress: Progress | None = None
    ) -> RoadNetwork:
        """A network from a line layer; multi-part lines count as their parts.

        In a layer of OpenStreetMap, only lines with a `highway` that can be travelled are roads. What lies upon another
        segment from end to end is a duplicate, such as the second deck of a bridge, and is left out.

        Args:
            source: Path (see `geo.vector`) or frame.
            snap_m: Tolerance in metres; above 0.
            progress: Reports and cancels.

        Raises:
            CRSError: the layer has no CRS.
            ConfigError: a tolerance that is not above 0.
            EmptyInputError: no line is a road.
            InputError: unreadable, or no lines at all.
        """
        progress = progress or Progress()
        if not snap_m > 0:
            raise ConfigError(
                f"Road ends cannot be joined within {snap_m:g} m.", "Give a tolerance above 0, such as 1."
            )
        frame = source if isinstance(source, geopandas.GeoDataFrame) else read_layer(source)
        where = "roads" if frame is source else f"roads ({source})"
        crs = require_crs(frame.crs, where)
        notes: list[str] = []
        tags = read_tags(frame)
        lines, road = _lines(np.asarray(frame.geometry.array, dtype=object), tags, where, notes)
        metric = metric_crs(crs, layer_bounds(lines, crs))
        lines = transform_geometry(lines, crs, metric)
        level = _levels(frame, tags)[road]
        lines, road, level = _simple(lines, road, level)
        line, along = _meetings(lines, level, snap_m, progress)
        pieces, road = _cut(lines, road, line, along, snap_m)
        return _network(pieces, road, metric, tags, snap_m, [*notes, *tags.notes])

    def intersections(self) -> NDArray[np.int64]:
        """Nodes where three or more segments end, ascending."""
        return np.flatnonzero(self.degree >= 3)

    def nearest(
        self, xy: NDArray[np.float64], crs: Any, radius_m: float, progress: Progress | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The nearest segment of each point.

        Args:
            xy: (P, 2) points.
            crs: Their CRS.
            radius_m: Largest distance in metres.
            progress: Reports and cancels.

        Returns:
            (P,) row of the segment, -1 if none is so near, and (P,) its distance in metres, NaN if there is none.
        """
        places = transform_xy(xy, require_crs(crs, "points"), self.crs)
        segment = np.full(len(places), -1, np.int64)
        distance = np.full(len(places), np.nan, np.float32)
        tree = shapely.STRtree(self.geometry)
        ready = np.flatnonzero(np.isfinite(places).all(axis=1))
        for start in range(0, len(ready), _AT_ONCE):
            (progress or Progress()).check()
            rows = ready[start : start + _AT_ONCE]
            (query, found), metres = tree.query_nearest(
                shapely.points(places[rows]), max_distance=radius_m, return_distance=True, all_matches=False
            )
            segment[rows[query]], distance[rows[query]] = found, metres
        return segment, distance


def _lines(
    geometry: NDArray[np.object_], tags: Tags, where: str, notes: list[str]
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Single lines without Z that are roads, and the rows that they come from."""
    kinds = shapely.get_type_id(geometry)
    linear = np.isin(kinds, (_LINE, _RING, _MULTILINE)) & ~shapely.is_empty(geometry)
    if not linear.any():
        raise InputError(f"{where}: no lines among {len(geometry):,} features.", "Choose the layer of the road lines.")
    if not linear.all():
        notes.append(f"{int((~linear).sum()):,} features of the roads are not lines, or empty: left out.")
    rows = np.flatnonzero(linear)
    highway = tags.values("highway")
    if (highway != None).any():  # noqa: E711 - element by element
        roads = np.array([value is not None and value not in _NO_ROADS for value in highway[rows]], bool)
        if not roads.all():
            notes.append(f"{int((~roads).sum()):,} lines are no roads ('highway' is missing, or not to be travelled).")
        rows = rows[roads]
    parts, owner = shapely.get_parts(shapely.force_2d(geometry[rows]), return_index=True)
    lines = np.isin(shapely.get_type_id(parts), (_LINE, _RING)) & (shapely.length(parts) > 0)
    if not lines.any():
        raise EmptyInputError(f"{where}: none of {len(geometry):,} features is a road.", "Check the layer's filter.")
    if len(parts) > len(rows):
        notes.append(f"{len(rows):,} road lines are {len(parts):,} single lines.")
    if not lines.all():
        notes.append(f"{int((~lines).sum()):,} road lines have no length: left out.")
    return parts[lines], rows[owner[lines]]


def _levels(frame: geopandas.GeoDataFrame, tags: Tags) -> NDArray[np.float64]:
    """Height of each row above the ground, in levels."""

    def said(key: str) -> NDArray[np.object_]:
        # A column of 0 and 1 is no tag.
        return frame[key].to_numpy(object) if key in frame.columns else tags.values(key)

    level = np.zeros(len(tags))
    for key, height in (("tunnel", -1.0), ("bridge", 1.0)):
        level[[_is_true(value) for value in said(key)]] = height
    numbers = pd.to_numeric(pd.Series(said("layer")), errors="coerce").to_numpy(np.float64)
    return np.where(np.isnan(numbers), level, numbers)


def _is_true(value: Any) -> bool:
    return not pd.isna(value) and str(value).strip().lower() not in ("", "no", "0", "0.0", "false", "f", "none")


def _simple(
    lines: NDArray[np.object_], road: NDArray[np.int64], level: NDArray[np.float64]
) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.float64]]:
    """Lines that do not cross themselves: those that do are cut there."""
    tangled = np.flatnonzero(~shapely.is_simple(lines))
    if not len(tangled):
        return lines, road, level
    parts, owner = shapely.get_parts(shapely.node(lines[tangled]), return_index=True)
    rest = np.setdiff1d(np.arange(len(lines)), tangled)
    rows = np.concatenate([rest, tangled[owner]])
    return np.concatenate([lines[rest], parts]), road[rows], level[rows]


def _meetings(
    lines: NDArray[np.object_], level: NDArray[np.float64], snap_m: float, progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where lines are met by others: pairs of a line and metres along it."""
    tree = shapely.STRtree(lines)
    ends = shapely.points(np.concatenate([_ends(lines, 0), _ends(lines, -1)]))
    owner = np.tile(np.arange(len(lines)), 2)
    found_line, found_along = [np.zeros(0, np.int64)], [np.zeros(0)]
    for start in range(0, len(lines), _AT_ONCE):
        progress.check()
        progress.update(start / len(lines), "roads that meet")
        some = np.arange(start, min(start + _AT_ONCE, len(lines)))
        first, second = tree.query(lines[some], predicate="intersects")
        first = some[first]
        pairs = (first < second) & (level[first] == level[second])
        first, second = first[pairs], second[pairs]
        crossing = shapely.intersection(lines[first], lines[second])
        # Of stretches that two lines share, the ends.
        stretched = np.isin(shapely.get_type_id(crossing), (_LINE, _MULTILINE, _COLLECTION))
        crossing[stretched] = _end_points(crossing[stretched])
        points, pair = shapely.get_parts(crossing, return_index=True)
        for side in (first, second):
            found_line.append(side[pair])
            found_along.append(shapely.line_locate_point(lines[side[pair]], points))
    for start in range(0, len(ends), _AT_ONCE):
        progress.check()
        some = np.arange(start, min(start + _AT_ONCE, len(ends)))
        end, line = tree.query(ends[some], predicate="dwithin", distance=snap_m)
        end = some[end]
        other = owner[end] != line
        end, line = end[other], line[other]
        meets = level[owner[end]] == level[line]
        apart = np.flatnonzero(~meets)
        meets[apart] = shapely.distance(ends[end[apart]], shapely.extract_unique_points(lines[line[apart]])) <= snap_m
        found_line.append(line[meets])
        found_along.append(shapely.line_locate_point(lines[line[meets]], ends[end[meets]]))
    return np.concatenate(found_line), np.concatenate(found_along)


def _end_points(stretches: NDArray[np.object_]) -> NDArray[np.object_]:
    """Points and ends of lines within each geometry, as multi-points."""
    made = np.empty(len(stretches), object)
    for row, shape in enumerate(stretches):
        parts = shapely.get_parts(shapely.line_merge(shape) if shape.geom_type == "MultiLineString" else shape)
        linear = shapely.get_type_id(parts) == _LINE
        xy = [shapely.get_coordinates(parts[~linear]), _ends(parts[linear], 0), _ends(parts[linear], -1)]
        made[row] = shapely.multipoints(np.concatenate(xy))
    return made


def _ends(lines: NDArray[np.object_], which: int) -> NDArray[np.float64]:
    xy: NDArray[np.float64] = shapely.get_coordinates(shapely.get_point(lines, which)).reshape(-1, 2)
    return xy


def _cut(
    lines: NDArray[np.object_],
    road: NDArray[np.int64],
    line: NDArray[np.int64],
    along: NDArray[np.float64],
    snap_m: float,
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Lines cut at the given places; places within the tolerance of an end, or of the place before, make no cut.

    Vertices and cuts of all lines are put in order together, and every stretch between two cuts becomes a line.
    """
    xy, owner = shapely.get_coordinates(lines, return_index=True)
    new_line = np.append(True, owner[1:] != owner[:-1])
    step = np.append(0.0, np.hypot(*(xy[1:] - xy[:-1]).T))
    step[new_line] = 0
    total = np.cumsum(step)
    at = total - total[new_line][owner]
    length = shapely.length(lines)
    inner = (along > snap_m) & (along < length[line] - snap_m)
    line, along = line[inner], along[inner]
    order = np.lexsort((along, line))
    line, along = line[order], along[order]
    apart = np.append(True, (line[1:] != line[:-1]) | (along[1:] - along[:-1] > snap_m))[: len(line)]
    line, along = line[apart], along[apart]
    cuts = shapely.get_coordinates(shapely.line_interpolate_point(lines[line], along))
    # A cut stands twice, as the end of one piece and the start of the next.
    all_xy = np.concatenate([xy, cuts, cuts])
    all_owner = np.concatenate([owner, line, line])
    all_at = np.concatenate([at, along, along])
    kind = np.concatenate([np.zeros(len(xy), np.int64), np.ones(len(line), np.int64), np.full(len(line), 2)])
    order = np.lexsort((kind, all_at, all_owner))
    all_xy, all_owner, kind = all_xy[order], all_owner[order], kind[order]
    piece = np.cumsum(np.append(True, all_owner[1:] != all_owner[:-1]) | (kind == 2)) - 1
    pieces: NDArray[np.object_] = shapely.linestrings(all_xy, indices=piece)
    first = np.flatnonzero(np.append(True, piece[1:] != piece[:-1]))
    return pieces, road[all_owner[first]]


def _network(
    pieces: NDArray[np.object_], road: NDArray[np.int64], crs: CRS, tags: Tags, snap_m: float, notes: list[str]
) -> RoadNetwork:
    """Nodes, without duplicates and without what is too short to lie between two nodes."""
    ends, node_xy = _snap(np.concatenate([_ends(pieces, 0), _ends(pieces, -1)]), snap_m)
    ends = ends.reshape(2, -1).T
    length = shapely.length(pieces)
    short = (ends[:, 0] == ends[:, 1]) & (length <= 2 * snap_m)
    if short.any():
        notes.append(f"{int(short.sum()):,} segments no longer than the tolerance of {snap_m:g} m vanish in a node.")
    rows = np.flatnonzero(~short)
    middle, _ = _snap(
        shapely.get_coordinates(shapely.line_interpolate_point(pieces[rows], 0.5, normalized=True)), snap_m
    )
    _, kept = np.unique(np.column_stack([np.sort(ends[rows], axis=1), middle]), axis=0, return_index=True)
    if len(kept) < len(rows):
        notes.append(f"{len(rows) - len(kept):,} segments lie upon another one from end to end and are left out.")
    rows = rows[np.sort(kept)]
    used, ends = np.unique(ends[rows], return_inverse=True)
    ends = ends.reshape(-1, 2).astype(np.int64)
    degree = np.bincount(ends.ravel(), minlength=len(used)).astype(np.int64)
    notes.append(
        f"{len(rows):,} road segments, {length[rows].sum() / 1000:,.1f} km, {int((degree >= 3).sum()):,} intersections; "
        f"ends within {snap_m:g} m are one."
    )
    return RoadNetwork(pieces[rows], crs, length[rows], ends, node_xy[used], degree, road[rows], tags, notes)


def _snap(xy: NDArray[np.float64], snap_m: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which cluster each point is of, chains of points no farther apart than the tolerance; and the clusters' middles."""
    places, place = np.unique(xy[:, 0] + 1j * xy[:, 1], return_inverse=True)
    flat = np.column_stack([places.real, places.imag])
    pairs = scipy.spatial.cKDTree(flat).query_pairs(snap_m, output_type="ndarray")
    links = scipy.sparse.coo_array((np.ones(len(pairs), bool), pairs.T), shape=(len(flat), len(flat)))
    count, cluster = scipy.sparse.csgraph.connected_components(links, directed=False)
    cluster = cluster[place]
    size = np.bincount(cluster, minlength=count)
    middle = np.column_stack([np.bincount(cluster, column, count) / size for column in xy.T])
    return cluster.astype(np.int64), middle

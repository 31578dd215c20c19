"""Regions: what receives an embedding."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod
from shapely.geometry.base import BaseGeometry

from urbanfm_core.errors import ConfigError, EmptyInputError, InputError
from urbanfm_core.geo.assign import Assignment, assign_to_layout, assign_to_polygons, group_by_cell
from urbanfm_core.geo.crs import (
    WGS84,
    layer_bounds,
    metric_crs,
    require_crs,
    same_crs,
    transform_geometry,
    transform_xy,
)
from urbanfm_core.geo.grid import GridLayout, GridShape, make_grid
from urbanfm_core.geo.vector import read_layer
from urbanfm_core.progress import Progress

ID_COLUMNS = ("region_id", "id")
_POLYGON, _MULTIPOLYGON, _COLLECTION = 3, 6, 7
_NAMED_IN_ERRORS = 5


@dataclass(frozen=True)
class GridOrigin:
    """Which cells of which layout the regions are, so that points find theirs by arithmetic."""

    layout: GridLayout
    cells: NDArray[np.int64]


@dataclass(frozen=True)
class RegionSet:
    """Polygons with ids, in one CRS.

    Attributes:
        ids: (R,) unique ids, int64 or Python strings in an object array.
        geometry: (R,) valid 2-D polygons and multi-polygons, none empty.
        crs: CRS of the geometry.
        id_name: Name of the id column.
        attributes: (R rows) all fields of the source but the geometry, with their types; empty for a grid.
        notes: What was repaired, left out or chosen, in sentences with counts.
        grid_origin: Set if the regions are cells of a grid.
    """

    ids: NDArray[Any]
    geometry: NDArray[np.object_]
    crs: CRS
    id_name: str
    attributes: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    grid_origin: GridOrigin | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def fingerprint(self) -> str:
        """A hash of ids, polygons and CRS."""
        digest = hashlib.sha256(self.crs.to_wkt().encode())
        digest.update(repr(self.ids.tolist()).encode())
        for wkb in shapely.to_wkb(self.geometry):
            digest.update(wkb)
        return digest.hexdigest()

    def take(self, rows: NDArray[np.int64]) -> RegionSet:
        """The regions of some rows, in that order; without notes, and no grid any more."""
        table = self.attributes.iloc[rows].reset_index(drop=True)
        return RegionSet(self.ids[rows], self.geometry[rows], self.crs, self.id_name, table)

    @classmethod
    def from_layer(
        cls, source: str | Path | geopandas.GeoDataFrame, id_field: str | None = None, crs: Any = None
    ) -> RegionSet:
        """Regions from a polygon layer.

        Invalid polygons are repaired; features without a polygon are left out; both are counted in `notes`.

        Args:
            source: Path (see `geo.vector`) or GeoDataFrame.
            id_field: Column of the ids. None takes 'region_id' or 'id' if its values are unique, else the features'
                numbers in the file ('fid').
            crs: CRS to use if the layer carries none.

        Raises:
            CRSError: the layer has no CRS and none is given.
            ConfigError: the id field does not exist.
            EmptyInputError: no features.
            InputError: no polygons, or ids that are missing, repeated or neither text nor whole numbers.
        """
        frame = source if isinstance(source, geopandas.GeoDataFrame) else read_layer(source)
        where = "regions" if isinstance(source, geopandas.GeoDataFrame) else f"regions ({source})"
        if not len(frame):
            raise EmptyInputError(f"{where}: no features.", "Check the layer and its filter.")
        found_crs = require_crs(frame.crs if frame.crs is not None else crs, where)
        notes: list[str] = []
        geometry, kept = _clean_polygons(np.asarray(frame.geometry.array, dtype=object), where, notes)
        table = pd.DataFrame(frame.drop(columns=frame.geometry.name)).iloc[kept]
        ids, name = take_ids(table, id_field, where, notes)
        return cls(ids, geometry[kept], found_crs, name, table.reset_index(drop=True), notes)

    @classmethod
    def grid(
        cls,
        area: str | Path | geopandas.GeoDataFrame | RegionSet | BaseGeometry | Sequence[float],
        size_m: float,
        shape: GridShape = "square",
        crs: Any = None,
    ) -> RegionSet:
        """Cells of equal size over an area, laid out in metres.

        The CRS is that of the area if it is in true metres, else the UTM zone of its centre. Cells that share no
        ground with the area are left out; none is cut at its border.

        Args:
            area: Layer, regions, a shapely geometry, or bounds (xmin, ymin, xmax, ymax). Of points and lines the
                convex hull is covered.
            size_m: Side of a square; distance between the parallel sides of a hexagon.
            shape: 'square' or 'hexagon'.
            crs: CRS of a geometry or of bounds; of a layer only if it carries none.

        Raises:
            CRSError: the area has no CRS.
            EmptyInputError: the area is empty.
            ConfigError: a cell size that is not positive, or makes too many cells.
        """
        shapes, found_crs, notes = _area_shapes(area, crs)
        if not len(shapes):
            raise EmptyInputError("The area to cover with a grid is empty.", "Choose a layer with features.")
        metric = metric_crs(found_crs, layer_bounds(shapes, found_crs))
        whole = shapely.union_all(_valid(transform_geometry(shapes, found_crs, metric)))
        if whole.area == 0:
            whole = shapely.convex_hull(whole)
            notes.append("The area holds no polygons: the convex hull of its features is covered.")
        made = make_grid(whole, size_m, shape)
        if not same_crs(metric, found_crs):
            notes.append(f"The area is in {found_crs.name}; the grid is laid out in {metric.name}.")
        notes.append(f"{len(made.ids)} {shape} cells of {size_m:g} m.")
        attributes = pd.DataFrame(index=pd.RangeIndex(len(made.ids)))
        return cls(made.ids, made.polygons, metric, "region_id", attributes, notes, GridOrigin(made.layout, made.cells))

    def to_crs(self, crs: Any) -> RegionSet:
        """The same regions in another CRS, vertex by vertex."""
        target = require_crs(crs, "target of the regions")
        if same_crs(self.crs, target):
            return self
        moved = transform_geometry(self.geometry, self.crs, target)
        return RegionSet(self.ids, moved, target, self.id_name, self.attributes, self.notes)

    def bounds(self) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) in `crs`; see `geo.crs.layer_bounds` for the antimeridian."""
        return layer_bounds(self.geometry, self.crs)

    def area_m2(self) -> NDArray[np.float64]:
        """Ground area on the ellipsoid, (R,), square metres.

        Measured in an equal-area projection centred on the regions, which agrees with geodesic polygons to 1e-4 at
        the size of a city; layers wider than 20 degrees are measured geodesically, polygon by polygon.
        """
        geographic = transform_geometry(self.geometry, self.crs, WGS84)
        xmin, ymin, xmax, ymax = layer_bounds(geographic, WGS84)
        width = (xmax - xmin) % 360.0
        if max(width, ymax - ymin) > 20.0:
            geod = Geod(ellps="WGS84")
            oriented = shapely.orient_polygons(geographic)
            return np.array([abs(geod.geometry_area_perimeter(shape)[0]) for shape in oriented], dtype=np.float64)
        centre = f"+proj=laea +lat_0={(ymin + ymax) / 2:.6f} +lon_0={xmin + width / 2:.6f} +datum=WGS84 +units=m"
        flat = transform_geometry(geographic, WGS84, CRS.from_proj4(centre))
        areas: NDArray[np.float64] = shapely.area(flat)
        return areas

    def centroid_xy(self, crs: Any = None) -> NDArray[np.float64]:
        """Centres of mass, (R, 2), in `crs` (None: that of the regions), found in metres."""
        target = self.crs if crs is None else require_crs(crs, "target of the centroids")
        metric = metric_crs(self.crs, layer_bounds(self.geometry, self.crs))
        centres = shapely.centroid(transform_geometry(self.geometry, self.crs, metric))
        return transform_xy(shapely.get_coordinates(centres), metric, target)

    def assign(self, xy: NDArray[np.float64], crs: Any, progress: Progress | None = None) -> Assignment:
        """Which of the points lie in which region; `geo.assign` states what happens on borders.

        Args:
            xy: (P, 2) points.
            crs: Their CRS.
            progress: Told the share done.
        """
        points = transform_xy(xy, require_crs(crs, "points"), self.crs)
        if self.grid_origin is None:
            return assign_to_polygons(points, self.geometry, progress)
        layout, cells = self.grid_origin.layout, self.grid_origin.cells
        cell = assign_to_layout(points, layout)
        place = np.minimum(np.searchsorted(cells, cell), len(cells) - 1)
        starts, point = group_by_cell(np.where(cells[place] == cell, place, -1), len(cells))
        return Assignment(point, np.repeat(np.arange(len(cells)), np.diff(starts)))

    def to_frame(self) -> geopandas.GeoDataFrame:
        """Ids, source fields and geometry as a GeoDataFrame; the id column comes first."""
        frame = geopandas.GeoDataFrame(self.attributes.copy(), geometry=list(self.geometry), crs=self.crs)
        if self.id_name in frame.columns:
            frame = frame[[self.id_name, *(name for name in frame.columns if name != self.id_name)]]
        else:
            frame.insert(0, self.id_name, self.ids)
        return frame

    def with_fields(self, fields: Mapping[str, Any]) -> geopandas.GeoDataFrame:
        """As `to_frame`, with more fields; a source field that bears the name of one gives way, renamed `src_...`.

        Args:
            fields: (R,) values by name.
        """
        frame = self.to_frame()
        ours = {name.lower() for name in fields}  # GeoPackage does not tell upper from lower case
        taken = {str(name).lower() for name in frame.columns} | ours
        renamed = {}
        for name in frame.columns:
            if str(name).lower() in ours:
                new = f"src_{name}"
                while new.lower() in taken:
                    new = f"src_{new}"
                taken.add(new.lower())
                renamed[name] = new
        # Row by row, whatever index a series has.
        made = {name: getattr(values, "array", values) for name, values in fields.items()}
        return frame.rename(columns=renamed).join(pd.DataFrame(made, index=frame.index))


def id_text(value: object) -> str:
    """An id as text; 3.0 of a table that has gaps is the 3 of a layer."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _clean_polygons(
    geometry: NDArray[np.object_], where: str, notes: list[str]
) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Valid 2-D polygons and the rows that have one; what happened is added to the notes."""
    shapes = np.array(geometry, dtype=object)
    absent = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    kinds = shapely.get_type_id(shapes)
    polygonal = np.isin(kinds, (_POLYGON, _MULTIPOLYGON, _COLLECTION)) & ~absent
    if not polygonal.any():
        names = sorted({str(shape.geom_type) for shape in shapes if shape is not None})
        raise InputError(
            f"{where}: no polygons; found {', '.join(names) or 'features without geometry'}.",
            "Choose a polygon layer, or make a grid over this one.",
        )
    shapes[polygonal] = shapely.force_2d(shapes[polygonal])
    to_mend = polygonal & ((kinds == _COLLECTION) | ~shapely.is_valid(shapes))
    invalid = int((to_mend & (kinds != _COLLECTION)).sum())
    shapes[to_mend] = _valid(shapes[to_mend])
    collapsed = polygonal & (shapely.is_missing(shapes) | shapely.is_empty(shapes))
    if invalid:
        notes.append(f"{invalid} invalid polygons were repaired.")
    if absent.any():
        notes.append(f"{int(absent.sum())} features without geometry are left out.")
    other = ~polygonal & ~absent
    if other.any():
        notes.append(f"{int(other.sum())} features that are not polygons are left out.")
    if collapsed.any():
        notes.append(f"{int(collapsed.sum())} polygons without area are left out.")
    kept = np.flatnonzero(polygonal & ~collapsed)
    if not len(kept):
        raise InputError(f"{where}: none of its {len(shapes)} polygons has an area.", "Repair the layer.")
    return shapes, kept


def _valid(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Repaired geometries; of what falls apart into several kinds, only the polygons."""
    mended = shapely.make_valid(shapes, method="structure", keep_collapsed=False)
    for row in np.flatnonzero(shapely.get_type_id(mended) == _COLLECTION):
        parts = shapely.get_parts(shapely.get_parts(mended[row]))
        mended[row] = shapely.union_all(parts[shapely.get_type_id(parts) == _POLYGON])
    result: NDArray[np.object_] = mended
    return result


def take_ids(table: pd.DataFrame, id_field: str | None, where: str, notes: list[str]) -> tuple[NDArray[Any], str]:
    """The id array and its name."""
    if id_field is not None:
        if id_field in table.columns:
            values = table[id_field]
        elif id_field == table.index.name:
            values = table.index.to_series()
        else:
            raise ConfigError(
                f"{where}: no column {id_field!r} for the region ids.",
                f"Its columns: {', '.join(map(str, table.columns)) or 'none'}.",
            )
        return _id_array(values, id_field, where), str(id_field)
    for name in ID_COLUMNS:
        if name in table.columns and table[name].notna().all() and table[name].is_unique:
            notes.append(f"Region ids are the column {name!r}.")
            return _id_array(table[name], name, where), name
    name = str(table.index.name or "fid")
    notes.append(f"Region ids are the features' numbers in the file ({name!r}); no id field was given.")
    return _id_array(table.index.to_series(), name, where), name


def _id_array(values: pd.Series, name: str, where: str) -> NDArray[Any]:
    """Ids as int64 or as an object array of strings.

    Raises:
        InputError: missing, repeated or unusable ids.
    """
    missing = values.isna().to_numpy()
    if missing.any():
        rows = ", ".join(str(row) for row in values.index[missing][:_NAMED_IN_ERRORS])
        raise InputError(
            f"{where}: {int(missing.sum())} regions have no {name!r}; the first are features {rows}.",
            "Fill them, or choose another id field.",
        )
    repeated = values[values.duplicated(keep="first")].unique()
    if len(repeated):
        shown = ", ".join(str(value) for value in repeated[:_NAMED_IN_ERRORS])
        raise InputError(
            f"{where}: {len(repeated)} values of {name!r} stand for more than one region; the first are {shown}.",
            "Dissolve the layer by this field, or choose another id field.",
        )
    if pd.api.types.is_bool_dtype(values.dtype):
        raise InputError(f"{where}: {name!r} holds true/false values.", "Choose another id field.")
    if pd.api.types.infer_dtype(values) == "integer":
        return values.to_numpy(dtype=np.int64)
    if pd.api.types.is_float_dtype(values.dtype):
        numbers = values.to_numpy(dtype=np.float64)
        if not (np.isfinite(numbers) & (np.round(numbers) == numbers)).all():
            raise InputError(f"{where}: {name!r} holds fractional numbers.", "Choose another id field.")
        return numbers.astype(np.int64)
    ids = np.empty(len(values), dtype=object)
    ids[:] = [str(value) for value in values]
    if len(set(ids.tolist())) < len(ids):
        raise InputError(f"{where}: values of {name!r} are equal once written as text.", "Choose another id field.")
    return ids


def _area_shapes(area: Any, crs: Any) -> tuple[NDArray[np.object_], CRS, list[str]]:
    """Geometries of whatever names an area, their CRS, and notes."""
    if isinstance(area, RegionSet):
        return area.geometry, area.crs, []
    if isinstance(area, BaseGeometry):
        return _present(shapely.get_parts(shapely.force_2d(area))), require_crs(crs, "area of the grid"), []
    if isinstance(area, str | Path | geopandas.GeoDataFrame):
        frame = area if isinstance(area, geopandas.GeoDataFrame) else read_layer(area, columns=[])
        where = "area of the grid" if isinstance(area, geopandas.GeoDataFrame) else f"area of the grid ({area})"
        found = require_crs(frame.crs if frame.crs is not None else crs, where)
        return _present(shapely.force_2d(np.asarray(frame.geometry.array, dtype=object))), found, []
    return _bounds_shape(area, require_crs(crs, "area of the grid"))


def _bounds_shape(bounds: Iterable[Any], crs: CRS) -> tuple[NDArray[np.object_], CRS, list[str]]:
    """Bounds as polygons, with enough points on the sides to keep their form in another CRS."""
    try:
        xmin, ymin, xmax, ymax = (float(value) for value in bounds)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"An extent of {bounds!r} is not xmin, ymin, xmax, ymax.", "Give four numbers.") from error
    if not np.isfinite((xmin, ymin, xmax, ymax)).all():
        raise ConfigError(
            f"An extent of {xmin:g}, {ymin:g}, {xmax:g}, {ymax:g} has no end.", "Give four finite numbers."
        )
    if not (ymin < ymax and (xmin < xmax or (crs.is_geographic and xmin != xmax))):
        raise ConfigError(
            f"The extent {xmin:g}, {ymin:g}, {xmax:g}, {ymax:g} has no surface.", "Give xmin, ymin, xmax, ymax."
        )
    if xmin > xmax:  # across the antimeridian
        xmax += 360.0
    box = shapely.box(xmin, ymin, xmax, ymax)
    return np.array([shapely.segmentize(box, max(xmax - xmin, ymax - ymin) / 32)], dtype=object), crs, []


def _present(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    kept: NDArray[np.object_] = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    return kept

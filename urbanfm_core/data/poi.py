"""Points of interest: where they are, and what their names and categories say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from urbanfm_core.data.poi_columns import PoiColumns, PoiTexts, find_xy, read_texts
from urbanfm_core.data.poi_table import read_poi_table
from urbanfm_core.errors import ConfigError, CRSError, EmptyInputError, InputError
from urbanfm_core.geo.crs import WGS84, require_crs, same_crs, transform_xy

__all__ = ["PoiColumns", "PoiSet"]

_POINT, _MULTIPOINT = 0, 4
_WKT_COLUMNS = ("wkt", "geometry", "geom", "the_geom")


@dataclass(frozen=True)
class PoiSet:
    """Points of interest in one CRS.

    Attributes:
        xy: (P, 2) float64 coordinates, x (east, longitude) first; all finite.
        crs: Their CRS.
        name: (P,) text, or None where there is none.
        category: (P,) text or None; the coarser kind.
        subcategory: (P,) text or None; the finer kind.
        index: (P,) int64 row in the source, counted from 0. The parts of a multi-point share theirs.
        notes: Which columns were taken, and what was left out or changed, with counts.
    """

    xy: NDArray[np.float64]
    crs: CRS
    name: NDArray[np.object_]
    category: NDArray[np.object_]
    subcategory: NDArray[np.object_]
    index: NDArray[np.int64]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def empty(cls, crs: CRS) -> PoiSet:
        """No points: what a city has whose points nobody gave."""
        nothing = np.empty(0, object)
        return cls(np.empty((0, 2)), crs, nothing, nothing, nothing, np.empty(0, np.int64))

    @classmethod
    def from_source(
        cls, source: str | Path | geopandas.GeoDataFrame | pd.DataFrame, columns: PoiColumns | None = None
    ) -> PoiSet:
        """POIs from a layer, or from a CSV, TSV or Parquet table with coordinates.

        Points are taken as they are, every part of a multi-point as a POI of its own; of a line or polygon, a point on
        it. Which columns hold name and categories is guessed (`data.poi_columns`) unless given. Rows without a usable
        position are left out and counted in `notes`.

        Args:
            source: Path (see `geo.vector`) or frame.
            columns: Columns to use; unset ones are guessed.

        Raises:
            ConfigError: a given column does not exist, or a table has no recognisable coordinates.
            CRSError: a layer has no CRS and none is given.
            EmptyInputError: no row, or none with a position.
            InputError: unreadable, or most coordinates are outside the range of longitude and latitude.
        """
        columns = columns or PoiColumns()
        given = isinstance(source, pd.DataFrame)
        where = "points of interest" if given else f"points of interest ({source})"
        notes: list[str] = []
        frame = source if isinstance(source, pd.DataFrame) else read_poi_table(source, notes)
        if not len(frame):
            raise EmptyInputError(f"{where}: no rows.", "Check the layer and its filter.")
        columns.check(frame, where)
        xy, index, crs = _positions(frame, columns, where, notes)
        texts = read_texts(frame, columns, notes)
        keep = _in_range(xy, crs, where, notes)
        return cls(
            xy=xy[keep],
            crs=crs,
            name=texts.name[index[keep]],
            category=texts.category[index[keep]],
            subcategory=texts.subcategory[index[keep]],
            index=index[keep],
            notes=notes,
        )

    def sentences(self) -> list[str | None]:
        """One sentence per POI (AETHER, eq. 1); None for a POI that has no text at all.

        `A place of {subcategory}, a type of {category}, named {name}.`, without the parts that are missing. With one
        level of category only, that level takes the place of the subcategory.
        """
        return PoiTexts(self.name, self.category, self.subcategory).sentences()

    def to_crs(self, crs: Any) -> PoiSet:
        """The same POIs in another CRS; those that have no place in it are left out and counted.

        Raises:
            EmptyInputError: none has a place in it.
        """
        target = require_crs(crs, "target of the points of interest")
        if same_crs(self.crs, target):
            return self
        moved = transform_xy(self.xy, self.crs, target)
        keep = np.flatnonzero(np.isfinite(moved).all(axis=1))
        if not len(keep):
            raise EmptyInputError(
                f"None of {len(self)} points of interest has a place in {target.name}.", "Check their CRS."
            )
        lost = len(self) - len(keep)
        notes = [*self.notes, f"{lost} rows have no place in {target.name}: left out."] if lost else self.notes
        return replace(self, xy=moved, crs=target, notes=notes).take(keep)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | Sequence[int]) -> PoiSet:
        """The POIs of the given rows, or those for which a mask is true."""
        kept: NDArray[Any] = np.asarray(rows)
        arrays = ("xy", "name", "category", "subcategory", "index")
        return replace(self, **{name: getattr(self, name)[kept] for name in arrays})


def _positions(
    frame: pd.DataFrame, columns: PoiColumns, where: str, notes: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64], CRS]:
    """Coordinates of what has some, the rows they come from, and their CRS."""
    geometry: NDArray[np.object_] | None = None
    own_crs: CRS | None = None
    if columns.x is not None or columns.y is not None:
        names = find_xy(frame, columns)
    elif isinstance(frame, geopandas.GeoDataFrame):
        geometry, own_crs, names = np.asarray(frame.geometry.array, dtype=object), frame.crs, None
    else:
        names = find_xy(frame, columns)
        if names is None:
            geometry = _wkt_geometry(frame, notes)
    if geometry is not None:
        crs = _layer_crs(own_crs, columns.crs, where, notes, table=not isinstance(frame, geopandas.GeoDataFrame))
        xy, index = _points_of(geometry, notes)
    elif names is not None:
        crs = WGS84 if columns.crs is None else require_crs(columns.crs, where)
        notes.append(f"Coordinates are the columns {names[0]!r} and {names[1]!r} in {crs.name}.")
        xy, index = _coordinates(frame[names[0]], frame[names[1]], notes)
    else:
        raise ConfigError(
            f"{where}: no geometry, and no columns recognised as longitude and latitude.",
            f"Name the x and y columns. Its columns: {', '.join(map(str, frame.columns))}.",
        )
    if not len(index):
        raise EmptyInputError(f"{where}: none of {len(frame)} rows has a position.", "Name the x and y columns.")
    return xy, index, crs


def _layer_crs(own: CRS | None, given: str | None, where: str, notes: list[str], table: bool) -> CRS:
    if given is None:
        return WGS84 if own is None and table else require_crs(own, where, "poi_crs")
    crs = require_crs(given, where)
    if own is not None and not same_crs(CRS.from_user_input(own), crs):
        notes.append(f"The layer says that it is in {CRS.from_user_input(own).name}; the given {crs.name} is used.")
    return crs


def _points_of(geometry: NDArray[np.object_], notes: list[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A position for each part of each geometry, and the row it belongs to."""
    shapes = np.array(geometry, dtype=object)
    absent = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    if absent.any():
        notes.append(f"{int(absent.sum())} rows without geometry: left out.")
    kinds = shapely.get_type_id(shapes)
    multi = np.flatnonzero((kinds == _MULTIPOINT) & ~absent)
    extended = (kinds != _POINT) & (kinds != _MULTIPOINT) & ~absent
    if extended.any():
        shapes[extended] = shapely.point_on_surface(shapes[extended])
        notes.append(f"{int(extended.sum())} lines and polygons are represented by a point on them.")
    several = multi[shapely.get_num_geometries(shapes[multi]) > 1]
    if len(several):
        parts = int(shapely.get_num_geometries(shapes[several]).sum())
        notes.append(f"{len(several)} multi-points with several parts count as {parts} points of interest.")
    rows = np.flatnonzero(~absent)
    xy, place = shapely.get_coordinates(shapes[rows], return_index=True)
    finite = np.isfinite(xy).all(axis=1)
    if not finite.all():
        notes.append(f"{int((~finite).sum())} points without finite coordinates: left out.")
    return xy[finite].astype(np.float64, copy=False), rows[place[finite]].astype(np.int64)


def _coordinates(x: pd.Series, y: pd.Series, notes: list[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    xy = np.column_stack([_numbers(x), _numbers(y)])
    finite = np.isfinite(xy).all(axis=1)
    if not finite.all():
        notes.append(f"{int((~finite).sum())} rows with missing or unreadable coordinates: left out.")
    return xy[finite], np.flatnonzero(finite).astype(np.int64)


def _numbers(values: pd.Series) -> NDArray[np.float64]:
    """Numbers of a column; a decimal comma is understood, anything else unreadable is NaN."""
    if not pd.api.types.is_numeric_dtype(values.dtype):
        values = values.astype("str").str.strip().str.replace(",", ".", regex=False)
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _wkt_geometry(frame: pd.DataFrame, notes: list[str]) -> NDArray[np.object_] | None:
    """Geometries of a table that spells them out as text, or holds them as WKB."""
    for name in frame.columns:
        if str(name).lower() not in _WKT_COLUMNS:
            continue
        values = frame[name].to_numpy(dtype=object)
        known = [value for value in values if isinstance(value, str | bytes)]
        if not known:
            continue
        binary = isinstance(known[0], bytes)
        texts = np.array([value if isinstance(value, str | bytes) else None for value in values], dtype=object)
        notes.append(f"Positions are the column {name!r} ({'WKB' if binary else 'WKT'}).")
        shapes: NDArray[np.object_] = (shapely.from_wkb if binary else shapely.from_wkt)(texts, on_invalid="ignore")
        return shapes
    return None


def _in_range(xy: NDArray[np.float64], crs: CRS, where: str, notes: list[str]) -> NDArray[np.bool_]:
    """Which points have a longitude and latitude that exist; all, if the CRS is projected.

    Raises:
        InputError: more than half do not, which means that they are something else.
    """
    if not crs.is_geographic:
        return np.ones(len(xy), dtype=bool)
    x, y = np.abs(xy[:, 0]), np.abs(xy[:, 1])
    good: NDArray[np.bool_] = (x <= 180.0) & (y <= 90.0)
    wrong = int((~good).sum())
    if wrong * 2 > len(xy):
        swapped = int(((y <= 180.0) & (x <= 90.0)).sum()) * 2 > len(xy)
        hint = (
            "Longitude and latitude look swapped: exchange the x and y columns."
            if swapped
            else "They look like projected coordinates: give their CRS, such as EPSG:25830."
        )
        raise InputError(
            f"{where}: {wrong} of {len(xy)} positions are outside longitude -180..180, latitude -90..90; the first is "
            f"{xy[~good][0, 0]:g}, {xy[~good][0, 1]:g}.",
            hint,
        )
    if wrong:
        notes.append(f"{wrong} rows outside the range of longitude and latitude: left out.")
    if not good.any():
        raise CRSError(f"{where}: no position in range.", "Give the CRS.")
    return good

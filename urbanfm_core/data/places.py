"""Layers of what receives a vector, whether polygons or points: points of interest and buildings beside regions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.poi_table import read_poi_table
from urbanfm_core.data.regions import RegionSet, take_ids
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.geo.crs import layer_bounds, metric_crs, require_crs
from urbanfm_core.geo.vector import read_layer

# Names under which layers of points number their features.
POI_IDS = ("poi_id", "building_id", "id", "osm_id", "@id", "full_id", "fid")
_POINTS = (0, 4)
_ROW = "__row"


def read_places(source: str | Path | geopandas.GeoDataFrame, id_field: str | None = None, crs: Any = None) -> RegionSet:
    """What has vectors: polygons as `RegionSet.from_layer` takes them, or the points of a layer that holds nothing else.

    Points have no area; `require_polygons` is for whoever needs one.

    Raises:
        ConfigError, CRSError, EmptyInputError, InputError: as `RegionSet.from_layer`.
    """
    frame = source if isinstance(source, geopandas.GeoDataFrame) else read_layer(source)
    where = "places" if frame is source else f"places ({source})"
    if not len(frame):
        raise EmptyInputError(f"{where}: no features.", "Check the layer and its filter.")
    shapes = np.asarray(frame.geometry.array, dtype=object)
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    if not there.any() or not np.isin(shapely.get_type_id(shapes[there]), _POINTS).all():
        return RegionSet.from_layer(frame if frame is source else source, id_field, crs)
    found_crs = require_crs(frame.crs if frame.crs is not None else crs, where)
    notes = [] if there.all() else [f"{int((~there).sum())} features without geometry are left out."]
    kept = np.flatnonzero(there)
    table = pd.DataFrame(frame.drop(columns=frame.geometry.name)).iloc[kept]
    ids, name = take_ids(table, id_field, where, notes)
    return RegionSet(ids, shapely.force_2d(shapes[kept]), found_crs, name, table.reset_index(drop=True), notes)


def are_points(regions: RegionSet) -> bool:
    """Whether vectors belong to points, and not to polygons."""
    return len(regions) > 0 and bool(np.isin(shapely.get_type_id(regions.geometry), _POINTS).all())


def require_polygons(regions: RegionSet, what: str) -> None:
    """Check that there are polygons.

    Args:
        regions: What has vectors.
        what: What needs their surface, as the subject of a sentence.
    Raises:
        ConfigError: there are points.
    """
    if are_points(regions):
        raise ConfigError(f"{what} needs polygons, and these vectors belong to points.", "Leave it out for points.")


def poi_features(city: CityInputs, pois: PoiSet, id_field: str | None) -> tuple[RegionSet, NDArray[np.int64]]:
    """The features of a layer of points of interest, as they will carry vectors.

    Polygons stay polygons where the layer holds nothing else, as with buildings. Else every feature is a point; parts of
    a multi-point stay together.

    Args:
        city: Needs points of interest.
        pois: What was read of them.
        id_field: Column of the ids; None takes one of `POI_IDS` whose values are unique, else the number of the row.
    Returns:
        F features, and the feature of each point, (P,); -1 for one whose feature has no surface.
    """
    frame = read_poi_table(city.require_path("pois"), [])
    rows, feature = np.unique(pois.index, return_inverse=True)
    table = frame.iloc[rows]
    if isinstance(frame, geopandas.GeoDataFrame):
        shapes = np.asarray(table.geometry.array, dtype=object)
        if not np.isin(shapely.get_dimensions(shapes), (2,)).all():
            shapes = _gathered(pois, feature, len(rows))
        table = pd.DataFrame(table.drop(columns=frame.geometry.name))
    else:
        shapes = _gathered(pois, feature, len(rows))
    name = id_field or _unique_column(table)
    if name is None and frame.index.name is None:
        table = table.assign(poi_id=rows)
        name = "poi_id"
    numbered = geopandas.GeoDataFrame(table.assign(**{_ROW: np.arange(len(rows))}), geometry=list(shapes), crs=pois.crs)
    found = read_places(numbered, name)
    kept = found.attributes[_ROW].to_numpy(np.int64)
    place = np.full(len(rows), -1, np.int64)
    place[kept] = np.arange(len(kept))
    return replace(found, attributes=found.attributes.drop(columns=_ROW)), place[feature]


def region_around(pois: PoiSet) -> RegionSet:
    """One region that holds all points, in metres, with a metre to spare."""
    crs = metric_crs(pois.crs, layer_bounds(shapely.points(pois.xy), pois.crs))
    xy = pois.to_crs(crs).xy
    (west, south), (east, north) = xy.min(axis=0) - 1.0, xy.max(axis=0) + 1.0
    box = np.array([shapely.box(west, south, east, north)], dtype=object)
    return RegionSet(np.zeros(1, np.int64), box, crs, "region_id", pd.DataFrame(index=pd.RangeIndex(1)))


def _gathered(pois: PoiSet, feature: NDArray[np.int64], count: int) -> NDArray[np.object_]:
    """A point for each feature, or a multi-point where it has several."""
    order = np.argsort(feature, kind="stable")
    several = np.bincount(feature, minlength=count) > 1
    shapes = np.empty(count, dtype=object)
    shapes[feature] = shapely.points(pois.xy)
    if several.any():
        chosen = order[several[feature[order]]]
        _, owner = np.unique(feature[chosen], return_inverse=True)
        shapes[several] = shapely.multipoints(shapely.points(pois.xy[chosen]), indices=owner)
    return shapes


def _unique_column(table: pd.DataFrame) -> str | None:
    for name in POI_IDS:
        if name in table.columns and table[name].notna().all() and table[name].is_unique:
            return name
    return None

"""CSV files that hold polygons: numbers and texts in columns, the geometry as WKT in longitude and latitude."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely

from urbanfm_core.geo.crs import WGS84, same_crs

CSV_SUFFIXES = (".csv", ".tsv")
WKT = "WKT"
# How GDAL reads such a file: numbers are numbers but for codes with leading zeros, and nothing is nothing.
READ_OPTIONS = {
    "AUTODETECT_TYPE": "YES",
    "EMPTY_STRING_AS_NULL": "YES",
    "KEEP_GEOM_COLUMNS": "NO",
    "GEOM_POSSIBLE_NAMES": "WKT,wkt,geometry,geom,the_geom",
}
# A tenth of a millimetre.
_DECIMALS = 9


def with_crs(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Delimited text names no coordinate reference system: longitude and latitude are taken for what they look like."""
    if frame.crs is not None or not len(frame):
        return frame
    bounds = np.abs(frame.total_bounds)
    looks = np.isfinite(bounds).all() and (bounds <= [180, 90, 180, 90]).all()
    return frame.set_crs(WGS84) if looks else frame


def write_csv(frame: geopandas.GeoDataFrame, path: Path) -> None:
    """Write a layer as CSV: all fields, numbers with as many digits as are exact, then the geometry as WKT in WGS 84.

    Lists are written as JSON. A field that is called WKT becomes 'src_WKT'.
    """
    placed = frame if same_crs(frame.crs, WGS84) else frame.to_crs(WGS84)
    table = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    table = table.rename(columns={name: f"src_{name}" for name in table.columns if str(name).lower() == WKT.lower()})
    lists = [name for name in table.columns if table[name].map(lambda value: isinstance(value, _CONTAINERS)).any()]
    table = table.assign(**{name: table[name].map(_as_json) for name in lists})
    table[WKT] = shapely.to_wkt(np.asarray(placed.geometry.array, dtype=object), rounding_precision=_DECIMALS)
    table.to_csv(path, index=False)


_CONTAINERS = (dict, list, tuple, np.ndarray)


def _as_json(value: Any) -> str | None:
    return json.dumps(value, default=np.ndarray.tolist) if isinstance(value, _CONTAINERS) else None

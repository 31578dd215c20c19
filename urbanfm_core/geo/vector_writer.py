"""Writing a layer that appears whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from pyproj import CRS

from urbanfm_core.errors import OutputError
from urbanfm_core.files import atomic_path
from urbanfm_core.geo.columnar import COLUMNAR_SUFFIXES, GEOPARQUET, PARQUET_SUFFIXES, geo_arrow, write_columnar
from urbanfm_core.geo.crs import WGS84, require_crs, same_crs
from urbanfm_core.geo.delimited import write_csv
from urbanfm_core.geo.vector import gdal_path

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".json": "GeoJSON"}
_CSV = ".csv"
_FID_NAMES = ("fid", "ogc_fid")


def write_layer(frame: geopandas.GeoDataFrame, path: str | Path, layer: str | None = None) -> None:
    """Write a layer as a whole new file, by suffix: GeoPackage (.gpkg), GeoJSON (.geojson), GeoParquet (.parquet),
    Arrow IPC (.arrow, .feather) or CSV (.csv).

    The file appears under its name when it is whole, and replaces one of that name. Single and multi-part geometries
    in one layer become multi-part. An integer column 'fid' with unique values becomes the FID of a GeoPackage, as does
    an index of that name. GeoPackage and GeoJSON cannot hold lists and structs in fields: they are
    written as JSON text (GeoJSON: structs only). GeoJSON is WGS 84 by definition and is transformed to it; so is CSV,
    which holds the geometry as WKT.

    Args:
        frame: What to write; it needs a CRS.
        path: Where to.
        layer: Layer name in a GeoPackage; the file's name without suffix if None.

    Raises:
        OutputError: the format is not offered, a GeoPackage of several layers would be replaced, two columns differ by upper and
            lower case only, or the disk refuses.
        CRSError: the frame has no CRS.
    """
    path = Path(path).expanduser().absolute()
    check_layer_name(path)
    require_crs(frame.crs, f"the layer for {path.name}")
    shapes = promote_to_multi(np.asarray(frame.geometry.array, dtype=object))
    whole = frame.assign(**{frame.geometry.name: geopandas.GeoSeries(shapes, index=frame.index, crs=frame.crs)})
    try:
        with atomic_path(path) as temporary:
            if path.suffix.lower() in PARQUET_SUFFIXES:
                whole.to_parquet(temporary, index=False, schema_version=GEOPARQUET)
            elif path.suffix.lower() in COLUMNAR_SUFFIXES:
                write_columnar(geo_arrow(whole), temporary, path.suffix)
            elif path.suffix.lower() == _CSV:
                write_csv(whole, temporary)
            else:
                _write_ogr(whole, temporary, path, layer or path.stem)
            # A journal left by a crashed reader of the old file would be replayed into the new one.
            for ending in ("-wal", "-shm", "-journal"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
    except (DataSourceError, DataLayerError, FieldError, RuntimeError, pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{path}: cannot be written: {error}.", "Is the disk full, or a field of an odd type?"
        ) from error


def check_layer_name(path: Path) -> None:
    """Check that a layer can be written under a name, and that nothing but a layer is replaced; see `write_layer`."""
    gdal_path(path)
    suffix = path.suffix.lower()
    if suffix == ".shp":
        raise OutputError(
            f"{path}: Shapefiles are not written: they cut field names to 10 characters and text to 254, hold at most "
            "2 GB, no date with time, no null numbers, and lie in several files that cannot be replaced at once.",
            "Use .gpkg; QGIS and ArcGIS open it.",
        )
    if suffix not in (*DRIVERS, *COLUMNAR_SUFFIXES, _CSV):
        raise OutputError(
            f"{path}: layers are written as .gpkg, .geojson, .parquet, .arrow or .csv, not as "
            f"{suffix or 'a file without suffix'!r}.",
            "Change the name's ending.",
        )
    others = _layers_of_replaced(path) if suffix == ".gpkg" else []
    if len(others) > 1:
        raise OutputError(
            f"{path}: holds {len(others)} layers ({', '.join(others[:5])}), which would be lost: a layer is written as a whole new "
            "file.",
            "Give it the name of a file of its own.",
        )


def _layers_of_replaced(path: Path) -> list[str]:
    """Layers and tables of a GeoPackage that is there already, but for what QGIS keeps in it."""
    try:
        layers = pyogrio.list_layers(gdal_path(path)) if path.is_file() else ()
    except (DataSourceError, RuntimeError):  # no GeoPackage, and no loss
        return []
    return [str(name) for name, _ in layers if name not in ("layer_styles", "qgis_projects")]


def promote_to_multi(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Geometries with single parts made multi-part, if the layer mixes both; otherwise as they are.

    Args:
        geometries: (N,) shapely geometries or None.
    """
    shapes = np.array(geometries, dtype=object)
    kinds = shapely.get_type_id(shapes)
    makers = {0: shapely.multipoints, 1: shapely.multilinestrings, 3: shapely.multipolygons}
    for single, multi in ((0, 4), (1, 5), (3, 6)):
        alone = np.flatnonzero(kinds == single)
        if len(alone) and (kinds == multi).any():
            shapes[alone] = makers[single](shapes[alone], indices=np.arange(len(alone)))
    return shapes


def _write_ogr(frame: geopandas.GeoDataFrame, temporary: Path, path: Path, layer: str) -> None:
    geometry = frame.geometry.name
    options: dict[str, str] = {}
    driver = DRIVERS[path.suffix.lower()]
    if driver == "GPKG":
        frame, options["FID"] = _with_fid(frame)
        others = {str(name).lower() for name in frame.columns if name != geometry}
        options["GEOMETRY_NAME"] = next(
            name for name in ("geom", "geometry", "_geom", "_geometry") if name not in others
        )
        _check_case(frame, path)
    elif not same_crs(CRS.from_user_input(frame.crs), WGS84):
        frame = frame.to_crs(WGS84)
    flat = frame.assign(
        **{
            name: _plain_column(frame[name], keep_lists=driver != "GPKG")
            for name in frame.columns
            if name != geometry and (frame[name].dtype == object or isinstance(frame[name].dtype, pd.CategoricalDtype))
        }
    )
    # Version 1.4, the default of newer GDAL, makes the GDAL of QGIS 3.22 warn at each opening.
    dataset_options = {"VERSION": "1.2"} if driver == "GPKG" else {}
    pyogrio.write_dataframe(
        flat,
        temporary,
        layer=layer,
        driver=driver,
        use_arrow=True,
        layer_options=options,
        dataset_options=dataset_options,
    )


def _with_fid(frame: geopandas.GeoDataFrame) -> tuple[geopandas.GeoDataFrame, str]:
    """The frame with its feature numbers as a column, and the name of the FID column to ask of GeoPackage."""
    taken = {str(name).lower(): name for name in frame.columns}
    for name in _FID_NAMES:
        if name in taken:
            if _is_fid(frame[taken[name]]):
                return frame, str(taken[name])
        elif frame.index.name == name and _is_fid(frame.index.to_series()):
            return frame.reset_index(), name
    return frame, next(name for name in (*_FID_NAMES, "_fid", "_ogc_fid") if name not in taken)


def _is_fid(values: pd.Series) -> bool:
    return bool(pd.api.types.is_integer_dtype(values.dtype) and not values.isna().any() and values.is_unique)


def _check_case(frame: geopandas.GeoDataFrame, path: Path) -> None:
    lowered = pd.Series([str(name) for name in frame.columns])
    double = lowered[lowered.str.lower().duplicated(keep=False)]
    if len(double):
        raise OutputError(
            f"{path}: a GeoPackage cannot tell apart the columns {', '.join(double)}.", "Rename one, or write .parquet."
        )


def _plain_column(values: pd.Series, keep_lists: bool) -> pd.Series:
    """A column of Python objects as something that every vector format can hold."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype(values.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "mixed":
        containers = (dict,) if keep_lists else (dict, list, tuple, np.ndarray)
        if values.map(lambda value: isinstance(value, containers)).any():
            return values.map(lambda value: None if value is None else json.dumps(value, default=_jsonable))
        if keep_lists and values.map(lambda value: isinstance(value, list | tuple | np.ndarray)).any():
            return values
    if kind in ("mixed", "mixed-integer", "empty", "decimal", "unknown-array", "complex", "period", "interval"):
        return values.map(lambda value: None if value is None or value is pd.NA or value != value else str(value))
    return values


def _jsonable(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)

"""Vector files: bulk reading and writing through Arrow (pyogrio), single records through fiona.

A source is a path, a path that GDAL understands (`/vsizip/...`), or the form in which QGIS names layers:
`city.gpkg|layername=blocks|subset=pop > 0`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import fiona
import geopandas
import numpy as np
import pandas as pd
import pyarrow
import pyogrio
import shapely
from fiona.errors import FionaError
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from urbanfm_core.errors import ConfigError, InputError, OutputError
from urbanfm_core.files import atomic_path
from urbanfm_core.geo.columnar import (
    COLUMNAR_SUFFIXES,
    GEOPARQUET,
    PARQUET_SUFFIXES,
    geo_arrow,
    read_columnar,
    read_schema,
    write_columnar,
)
from urbanfm_core.geo.crs import WGS84, require_crs, same_crs
from urbanfm_core.geo.delimited import CSV_SUFFIXES, READ_OPTIONS, with_crs, write_csv

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".json": "GeoJSON"}
_ONE_LAYER_SUFFIXES = (".geojson", ".json", ".geojsonl", ".shp", ".fgb", ".csv", ".tsv", ".txt")
_OPTION = re.compile(
    r"\|(layername|layerid|subset|geometrytype|uniquegeometrytype|option:[^=|]+|authcfg)=", re.IGNORECASE
)
_CSV = ".csv"
_FID_NAMES = ("fid", "ogc_fid")
_BATCH = 5000


@dataclass(frozen=True)
class LayerSource:
    """A vector source taken apart.

    Attributes:
        path: What GDAL opens.
        layer: Layer name or number; None if the file holds one layer.
        where: SQL condition on the attributes, or None.
        options: GDAL open options.
    """

    path: str
    layer: str | int | None = None
    where: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, source: str | Path) -> LayerSource:
        """Read a path or QGIS's `path|key=value|...` form.

        Raises:
            ConfigError: the form holds something that only QGIS can resolve.
        """
        text = str(source)
        if "|" not in text or Path(text).exists():
            return cls(text)
        path, *pairs = _OPTION.split(text)
        layer: str | int | None = None
        where: str | None = None
        options: dict[str, str] = {}
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            name = key.lower()
            if name == "layername":
                layer = value
            elif name == "layerid" and layer is None:
                layer = int(value) if value.isdigit() else value
            elif name == "subset":
                where = value
            elif name.startswith("option:"):
                options[key[len("option:") :]] = value
            elif name == "authcfg":
                raise ConfigError(
                    f"{path}: its login is kept inside QGIS.", "Export the layer to a GeoPackage and use that."
                )
        return cls(path, layer, where, options)

    @property
    def suffix(self) -> str:
        return Path(self.path).suffix.lower()

    def __str__(self) -> str:
        return self.path if self.layer is None else f"{self.path} (layer {self.layer})"


@dataclass(frozen=True)
class Record:
    """One feature of a streamed layer: its number in the file, its geometry (or None) and its fields."""

    geometry: BaseGeometry | None
    properties: dict[str, Any]
    fid: int = -1


def read_layer(source: str | Path, columns: Sequence[str] | None = None) -> geopandas.GeoDataFrame:
    """Read a whole layer with its attributes.

    Args:
        source: See the module's text; GeoParquet too. In a file of several layers, one must be named.
        columns: Attributes to read; None for all of them.

    Returns:
        One row per feature. The index carries the features' numbers (FID) under the file's name for them, 'fid' if it
        has none; GeoParquet rows are counted from 0. The CRS may be missing: see `crs.require_crs`.

    Raises:
        InputError: the file cannot be read, or holds no geometry.
        ConfigError: the layer or a column does not exist, or several layers are there to choose from.
    """
    frame = read_table(source, columns)
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(
            f"{LayerSource.parse(source)}: no geometry; a layer of points, lines or polygons is needed.",
            f"Its columns: {_listed(frame.columns)}.",
        )
    return frame


def read_table(source: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Like `read_layer`, but a table without geometry is fine too: it comes back as a plain DataFrame."""
    place = LayerSource.parse(source)
    if place.suffix in COLUMNAR_SUFFIXES:
        return _read_columnar(place, columns)
    layer = place.layer if place.layer is not None else _only_layer(place)
    csv = READ_OPTIONS if place.suffix in CSV_SUFFIXES else {}
    try:
        info = pyogrio.read_info(gdal_path(place.path), layer=layer) if place.suffix not in _ONE_LAYER_SUFFIXES else {}
        wanted = {
            "layer": layer,
            "columns": columns,
            "where": place.where,
            "fid_as_index": True,
            **csv,
            **place.options,
        }
        try:
            frame = pyogrio.read_dataframe(gdal_path(place.path), use_arrow=True, **wanted)
        except NotImplementedError:
            # Curved geometries do not pass through Arrow; the slower way makes them straight segments.
            frame = pyogrio.read_dataframe(gdal_path(place.path), use_arrow=False, **wanted)
    except DataLayerError as error:
        raise ConfigError(
            f"{place.path}: there is no layer {layer!r}.", f"It holds: {_listed(_layers(place)[:, 0])}."
        ) from error
    except (DataSourceError, FieldError, ValueError, RuntimeError, pyarrow.ArrowException) as error:
        raise _unreadable(place, error) from error
    frame.index.name = info.get("fid_column") or "fid"
    _check_columns(place, frame, columns)
    table: pd.DataFrame = with_crs(frame) if csv and isinstance(frame, geopandas.GeoDataFrame) else frame
    return table


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
        OutputError: the format is not offered, two columns differ by upper and lower case only, or the disk refuses.
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


def iter_records(source: str | Path) -> Iterator[Record]:
    """Features one by one, in the file's order; memory does not grow with the file.

    Raises:
        InputError: the file cannot be read.
        ConfigError: the layer does not exist, or several layers are there to choose from.
    """
    place = LayerSource.parse(source)
    layer = place.layer if place.layer is not None else _only_layer(place)
    try:
        with fiona.open(place.path, layer=layer, **place.options) as collection:
            for feature in collection.filter(where=place.where):
                shape = None if feature.geometry is None else shapely.geometry.shape(feature.geometry)
                yield Record(shape, dict(feature.properties), int(feature.id))
    except (FionaError, ValueError, OSError) as error:
        if isinstance(error, InputError | ConfigError):
            raise
        raise _unreadable(place, error) from error


def append_records(
    path: str | Path,
    records: Iterable[Record],
    *,
    crs: CRS,
    fields: Mapping[str, str] | None = None,
    geometry_type: str | None = None,
    layer: str | None = None,
) -> int:
    """Add features to a GeoPackage, which is made if it does not exist; memory does not grow with their number.

    Appending changes the file in place. For a file that must appear whole, append to the name that
    `files.atomic_path` gives.

    Args:
        path: A .gpkg file.
        records: What to add; their `fid` is not kept.
        crs: CRS of the records; that of an existing layer must be the same.
        fields: fiona field types by name ('str', 'int64', 'float', 'bool', 'date', 'datetime'); taken from the first
            record if None. Used for a new layer only.
        geometry_type: Such as 'MultiPolygon'; taken from the first record if None. Used for a new layer only.
        layer: Layer name; the file's name without suffix if None.

    Returns:
        How many were added.

    Raises:
        OutputError: another format, another CRS, or a record that does not fit the layer's fields.
    """
    path = Path(path).expanduser().absolute()
    if path.suffix.lower() != ".gpkg":
        raise OutputError(f"{path}: records can be appended to a GeoPackage only.", "Use a name that ends in .gpkg.")
    stream = iter(records)
    first = next(stream, None)
    if first is None:
        return 0
    name = layer or path.stem
    count = 0
    try:
        with _open_for_append(path, name, first, crs, fields, geometry_type) as collection:
            rest = chain([first], stream)
            while batch := list(islice(rest, _BATCH)):
                collection.writerecords([_as_feature(record) for record in batch])
                count += len(batch)
    except (FionaError, ValueError, TypeError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{path}: a record among {count + 1}..{count + _BATCH} does not fit layer {name!r}: {error}.",
            "All records of a layer have the same fields and kind of geometry.",
        ) from error
    return count


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


def gdal_path(path: str | Path) -> str:
    """A path as pyogrio has to be given it: it takes paths for addresses, and drops what follows a semicolon.

    Raises:
        ConfigError: it holds an exclamation mark, which to pyogrio parts an archive from a file inside.
    """
    text = str(path)
    if text.startswith("/vsi") or sys.platform == "win32" or "://" in text:
        return text
    if "!" in text:
        raise ConfigError(f"{text}: layers cannot be read or written under a path with '!' in it.", "Rename it.")
    return f"file://{Path(text).absolute()}" if ";" in text else text


def _layers(place: LayerSource) -> NDArray[np.object_]:
    try:
        found: NDArray[np.object_] = pyogrio.list_layers(gdal_path(place.path))
    except (DataSourceError, RuntimeError) as error:
        raise _unreadable(place, error) from error
    return found


def _only_layer(place: LayerSource) -> str | None:
    """The one layer that a source without a layer name can mean; tables such as QGIS's styles do not count."""
    if place.suffix in _ONE_LAYER_SUFFIXES:
        return None
    layers = _layers(place)
    spatial = [str(name) for name, kind in layers if kind is not None]
    names = spatial or [str(name) for name, _ in layers]
    if len(names) > 1:
        raise ConfigError(
            f"{place.path}: holds {len(names)} layers: {_listed(names)}.",
            f"Name one, as in {Path(place.path).name}|layername={names[0]}.",
        )
    if not names:
        raise InputError(f"{place.path}: holds no layer.", "Choose another file.")
    return names[0]


def _read_columnar(place: LayerSource, columns: Sequence[str] | None) -> pd.DataFrame:
    try:
        schema = read_schema(place.path)
        geo = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
        _check_names(place, [n for n in schema.names if n not in geo.get("columns", {})], columns)
        frame = read_columnar(place.path, columns)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if isinstance(error, ConfigError):
            raise
        raise _unreadable(place, error) from error
    frame = frame.reset_index(drop=frame.index.name is None or frame.index.name in frame.columns)
    frame.index.name = "fid"
    return frame


def _check_columns(place: LayerSource, frame: pd.DataFrame, columns: Sequence[str] | None) -> None:
    if columns is not None and not set(columns) <= set(frame.columns):
        _check_names(place, list(pyogrio.read_info(gdal_path(place.path), layer=place.layer)["fields"]), columns)


def _check_names(place: LayerSource, available: list[str], columns: Sequence[str] | None) -> None:
    missing = [name for name in columns or () if name not in available]
    if missing:
        raise ConfigError(f"{place}: no column {_listed(missing)}.", f"Its columns: {_listed(available)}.")


def _unreadable(place: LayerSource, error: Exception) -> InputError:
    hint = (
        "Check the name, and that it is a GeoPackage, GeoJSON, Shapefile, GeoParquet, Arrow or another format of GDAL."
    )
    return InputError(f"{place}: cannot be read: {(str(error) or repr(error)).splitlines()[0]}.", hint)


def _listed(names: Iterable[Any], limit: int = 30) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:limit]) + (f" and {len(shown) - limit} more" if len(shown) > limit else "")


def check_layer_name(path: Path) -> None:
    """Check that a layer can be written under a name; see `write_layer`."""
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
            f"{path}: a GeoPackage cannot tell apart the columns {_listed(double)}.", "Rename one, or write .parquet."
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


def _open_for_append(
    path: Path, layer: str, first: Record, crs: CRS, fields: Mapping[str, str] | None, geometry_type: str | None
) -> Any:
    if path.exists() and layer in fiona.listlayers(path):
        collection = fiona.open(path, "a", layer=layer)
        there = require_crs(collection.crs_wkt, f"{path} (layer {layer})")
        if not same_crs(there, crs):
            collection.close()
            raise OutputError(
                f"{path}: layer {layer!r} is in {there.name}, the records are in {crs.name}.", "Transform them first."
            )
        return collection
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = geometry_type or (first.geometry.geom_type if first.geometry is not None else "Unknown")
    schema = {"geometry": kind, "properties": dict(fields or {k: _field_type(v) for k, v in first.properties.items()})}
    return fiona.open(path, "w", driver="GPKG", layer=layer, schema=schema, crs_wkt=crs.to_wkt())


def _field_type(value: Any) -> str:
    kinds = ((bool | np.bool_, "bool"), (int | np.integer, "int64"), (float | np.floating, "float"))
    for kind, name in kinds:
        if isinstance(value, kind):
            return name
    # datetime is a date too, so it is asked first.
    return "datetime" if hasattr(value, "hour") else "date" if hasattr(value, "isoformat") else "str"


def _as_feature(record: Record) -> dict[str, Any]:
    shape = None if record.geometry is None else shapely.geometry.mapping(record.geometry)
    return {"type": "Feature", "geometry": shape, "properties": record.properties}

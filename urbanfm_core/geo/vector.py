"""Vector files, read in bulk through Arrow (pyogrio); `vector_writer` writes them, `records` takes single features.

A source is a path, a path that GDAL understands (`/vsizip/...`), or the form in which QGIS names layers:
`city.gpkg|layername=blocks|subset=pop > 0`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow
import pyogrio
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError

from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.geo.columnar import COLUMNAR_SUFFIXES, read_columnar, read_schema
from urbanfm_core.geo.delimited import CSV_SUFFIXES, READ_OPTIONS, with_crs

_ONE_LAYER_SUFFIXES = (".geojson", ".json", ".geojsonl", ".shp", ".fgb", ".csv", ".tsv", ".txt")
_OPTION = re.compile(
    r"\|(layername|layerid|subset|geometrytype|uniquegeometrytype|option:[^=|]+|authcfg)=", re.IGNORECASE
)


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
    layer = place.layer if place.layer is not None else only_layer(place)
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
        raise unreadable(place, error) from error
    frame.index.name = info.get("fid_column") or "fid"
    _check_columns(place, frame, columns)
    table: pd.DataFrame = with_crs(frame) if csv and isinstance(frame, geopandas.GeoDataFrame) else frame
    return table


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
        raise unreadable(place, error) from error
    return found


def only_layer(place: LayerSource) -> str | None:
    """The one layer that a source without a layer name can mean; tables such as QGIS's styles do not count.

    Returns:
        Its name; None where a file of that kind holds one layer only.
    Raises:
        InputError: the file cannot be read, or holds no layer.
        ConfigError: it holds several.
    """
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
        raise unreadable(place, error) from error
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


def unreadable(place: LayerSource, error: Exception) -> InputError:
    """What to raise when a library cannot read a source."""
    hint = (
        "Check the name, and that it is a GeoPackage, GeoJSON, Shapefile, GeoParquet, Arrow or another format of GDAL."
    )
    # What follows a semicolon is GDAL's advice to programmers.
    words = (str(error) or repr(error)).splitlines()[0].split("; ")[0].removeprefix(f"{place.path}: ").rstrip(".")
    return InputError(f"{place}: cannot be read: {words}.", hint)


def _listed(names: Iterable[Any], limit: int = 30) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:limit]) + (f" and {len(shown) - limit} more" if len(shown) > limit else "")

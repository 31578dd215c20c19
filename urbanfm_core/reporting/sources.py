"""What went into a run: the files that its parameters name, and what they hold; and which regions were covered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pyogrio
from pyproj import CRS
from pyproj.exceptions import CRSError as ProjError

from urbanfm_core.errors import UrbanFMError
from urbanfm_core.evaluation.tables import name_and_path
from urbanfm_core.geo.columnar import COLUMNAR_SUFFIXES, PARQUET_SUFFIXES, read_columns, read_schema
from urbanfm_core.geo.raster import inspect_raster
from urbanfm_core.geo.vector import LayerSource, gdal_path
from urbanfm_core.parameters import Stage

_FILES = ("polygons", "points", "layer", "raster", "file", "folder", "embeddings", "checkpoint")
# Lists whose entries are files.
_LISTS = {"compare", "cities"}
# Files and folders that say nothing of what went in.
_NOT_DATA = {"cache"}
_TEXT = (".csv", ".tsv", ".txt", ".json", ".html", ".md")
_COVERAGE = "coverage_"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")

Row = tuple[str, str, str, str]


def named_files(stage: Stage, *, outputs: bool) -> list[tuple[str, str, str]]:
    """Label, kind and text of each file that a stage reads, or of each that it writes."""
    found = []
    for field, item in type(stage).model_fields.items():
        extra: Any = item.json_schema_extra
        value = getattr(stage, field)
        named = extra["kind"] in _FILES or field in _LISTS
        if extra["output"] is not outputs or not value or not named or field in _NOT_DATA:
            continue
        for text in value if isinstance(value, list) else [value]:
            found.append((extra["label"], extra["kind"], str(text)))
    return found


def input_rows(stage: Stage) -> list[Row]:
    """Label, place, size and content of each input."""
    rows = []
    for label, kind, text in named_files(stage, outputs=False):
        source = name_and_path(text)[1] if kind in ("embeddings", "list") else text
        rows.append((label, text, size_text(source), content_text(kind, source)))
    return rows


def output_rows(stage: Stage, written: str | None) -> list[tuple[str, str, str]]:
    """Label, place and size of each output that exists; not of the one that is being written."""
    found = [(label, text) for label, _, text in named_files(stage, outputs=True) if text != written]
    return [(label, text, size_text(text)) for label, text in found if Path(text).expanduser().exists()]


def size_text(source: str) -> str:
    """Size of a file, or of the files of a folder; empty for what is neither."""
    path = Path(LayerSource.parse(source).path).expanduser()
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    elif path.is_file():
        size = path.stat().st_size
    else:
        return ""
    unit = 0
    number = float(size)
    while number >= 1024 and unit + 1 < len(_UNITS):
        number, unit = number / 1024, unit + 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 or number >= 100 else f"{number:.1f} {_UNITS[unit]}"


def content_text(kind: str, source: str) -> str:
    """What a file holds, in words; empty where that takes more than a look at its head."""
    try:
        if kind == "checkpoint":
            manifest = json.loads((Path(source).expanduser() / "manifest.json").read_text("utf-8"))
            return f"{manifest['method']}, {manifest.get('preset') or 'imported'}"
        if kind == "raster":
            return _raster_text(source)
        if kind == "layer":
            return _layer_or_raster(source)
        return _table_text(source)
    except (UrbanFMError, ProjError, pyarrow.ArrowException, OSError, ValueError, KeyError, RuntimeError) as error:
        # The stage itself has read it, or said why not.
        return f"not described: {str(error).splitlines()[0]}" if kind != "file" else ""


def coverage_rows(source: str) -> list[tuple[str, str, str]]:
    """How many rows of a table of vectors each kind of input covers, by its columns `coverage_...`."""
    table = _coverage_columns(LayerSource.parse(name_and_path(source)[1]))
    return coverage_of({str(name).removeprefix(_COVERAGE): table[name].to_numpy(np.float64) for name in table.columns})


def coverage_of(coverage: dict[str, np.ndarray]) -> list[tuple[str, str, str]]:
    """Kind of input, regions that it covers and mean coverage, of shares in [0, 1], (R,) each."""
    rows = []
    for name, values in coverage.items():
        some = int((np.nan_to_num(values) > 0).sum())
        mean = float(np.nan_to_num(values).mean()) if len(values) else 0.0
        share = 100 * some / max(len(values), 1)
        rows.append((name.replace("_", " "), f"{some:,} of {len(values):,} ({share:.1f} %)", f"{100 * mean:.1f} %"))
    return rows


def _coverage_columns(place: LayerSource) -> pd.DataFrame:
    """The columns of coverage of a table, without its vectors and polygons, which may be many."""
    if place.suffix in COLUMNAR_SUFFIXES:
        names = [name for name in read_schema(place.path).names if name.startswith(_COVERAGE)]
        found: pd.DataFrame = read_columns(place.path, names).to_pandas(ignore_metadata=True)
        return found
    if place.suffix in _TEXT:
        return pd.read_csv(place.path, usecols=lambda name: str(name).startswith(_COVERAGE))
    layer = place.layer
    fields = pyogrio.read_info(gdal_path(place.path), layer=layer)["fields"]
    names = [str(name) for name in fields if str(name).startswith(_COVERAGE)]
    if not names:
        return pd.DataFrame()
    table: pd.DataFrame = pyogrio.read_dataframe(
        gdal_path(place.path), layer=layer, columns=names, where=place.where, read_geometry=False, use_arrow=True
    )
    return table


def _layer_or_raster(source: str) -> str:
    try:
        return _raster_text(source)
    except UrbanFMError:
        return _table_text(source)


def _raster_text(source: str) -> str:
    info = inspect_raster(source)
    wide, high = info.res_m
    size = f"{wide:.3g} m" if abs(wide - high) < 0.01 * wide else f"{wide:.3g} x {high:.3g} m"
    bands = f"{info.count} band{'s' if info.count > 1 else ''}"
    return f"{info.width:,} x {info.height:,} pixels of {size}, {bands} of {info.dtype}, {_crs_text(info.crs)}"


def _table_text(source: str) -> str:
    place = LayerSource.parse(source)
    if place.suffix in COLUMNAR_SUFFIXES:
        return _columnar_text(place.path)
    if place.suffix in _TEXT or not Path(place.path).is_file():
        return ""
    about = pyogrio.read_info(gdal_path(place.path), layer=place.layer)
    where = f", where {place.where}" if place.where else ""
    crs = _crs_text(CRS.from_user_input(about["crs"])) if about["crs"] else "no CRS"
    kind = about["geometry_type"] or "no geometry"
    return f"{about['features']:,} features, {kind}, {len(about['fields'])} fields, {crs}{where}"


def _columnar_text(path: str) -> str:
    schema = read_schema(path)
    words = [f"{len(schema.names)} columns"]
    if path.lower().endswith(PARQUET_SUFFIXES):
        words.insert(0, f"{pyarrow.parquet.read_metadata(path).num_rows:,} rows")
    geo = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    if geo:
        column = geo["columns"][geo["primary_column"]]
        words.append(", ".join(column.get("geometry_types", [])) or "any geometry")
        # Without a word on it, the specification means longitude and latitude.
        words.append(_crs_text(CRS.from_user_input(column["crs"])) if column.get("crs") else "OGC:CRS84")
    return ", ".join(words)


def _crs_text(crs: CRS) -> str:
    code = crs.to_authority()
    return f"{':'.join(code)} ({crs.name})" if code else crs.name

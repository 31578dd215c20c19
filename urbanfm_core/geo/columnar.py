"""Columnar files of layers and tables: GeoParquet, and Arrow IPC, which is also called Feather.

Both carry the `geo` metadata of GeoParquet 1.1: polygons as WKB, their coordinate reference system as PROJJSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import pandas as pd
import pyarrow
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet

PARQUET_SUFFIXES = (".parquet", ".geoparquet")
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")
COLUMNAR_SUFFIXES = (*PARQUET_SUFFIXES, *ARROW_SUFFIXES)
# Version of the specification of the metadata.
GEOPARQUET = "1.1.0"
_IPC_FILE = b"ARROW1"


def read_schema(path: str | Path) -> pyarrow.Schema:
    """Columns and metadata of a file, without its rows.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read.
    """
    if _is_parquet(path):
        return pyarrow.parquet.read_schema(path)
    with pyarrow.memory_map(str(path)) as file:
        return _open_ipc(file).schema


def read_columnar(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A file as a table; with its geometry, if it has one, as a layer.

    Args:
        path: Parquet, or Arrow IPC as a file or as a stream.
        columns: Columns beside the geometry; None for all.
    Raises:
        OSError, ValueError, pyarrow.ArrowException: it cannot be read.
    """
    schema = read_schema(path)
    geo = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    wanted = None if columns is None else [*columns, *([geo["primary_column"]] if geo else [])]
    if _is_parquet(path):
        read = geopandas.read_parquet if geo else pyarrow.parquet.read_table
        found: Any = read(path, columns=wanted)
    else:
        found = _read_ipc(path)
        found = found if wanted is None else found.select(wanted)
        if geo:
            # geopandas takes the metadata of Arrow tables from files only.
            sink = pyarrow.BufferOutputStream()
            pyarrow.feather.write_feather(found, sink, compression="uncompressed")
            found = geopandas.read_feather(pyarrow.BufferReader(sink.getvalue()))
    frame: pd.DataFrame = found if isinstance(found, pd.DataFrame) else found.to_pandas()
    return frame


def read_columns(path: str | Path, columns: Sequence[str]) -> pyarrow.Table:
    """Some columns of a file and nothing else of it, so that a long table need not fit in memory.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read.
    """
    if _is_parquet(path):
        return pyarrow.parquet.read_table(path, columns=list(columns))
    return _read_ipc(path).select(list(columns))


def geo_arrow(frame: geopandas.GeoDataFrame) -> pyarrow.Table:
    """A layer as an Arrow table with the metadata of GeoParquet, through geopandas' own writer."""
    sink = pyarrow.BufferOutputStream()
    frame.to_parquet(sink, index=False, schema_version=GEOPARQUET)
    return pyarrow.parquet.read_table(pyarrow.BufferReader(sink.getvalue()))


def write_columnar(table: pyarrow.Table, path: Path, suffix: str) -> None:
    """Write an Arrow table as Parquet or Arrow IPC.

    Args:
        table: With its metadata.
        path: Where to.
        suffix: One of COLUMNAR_SUFFIXES. Arrow IPC is not compressed, so that every reader takes it and it can be mapped
            into memory.
    """
    if suffix.lower() in PARQUET_SUFFIXES:
        pyarrow.parquet.write_table(table, path, compression="zstd")
        return
    with pyarrow.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def _is_parquet(path: str | Path) -> bool:
    return Path(path).suffix.lower() in PARQUET_SUFFIXES


def _open_ipc(file: Any) -> Any:
    magic = file.read(len(_IPC_FILE))
    file.seek(0)
    return pyarrow.ipc.open_file(file) if magic == _IPC_FILE else pyarrow.ipc.open_stream(file)


def _read_ipc(path: str | Path) -> pyarrow.Table:
    with pyarrow.memory_map(str(path)) as file:
        return _open_ipc(file).read_all()

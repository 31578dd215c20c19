"""Vectors of regions in blocks of rows, from any table: a million of them need not fit in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from urbanfm_core.data.places import read_places
from urbanfm_core.data.regions import ID_COLUMNS, RegionSet
from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.evaluation.tables import id_keys, name_and_path, own_id, read_any_table
from urbanfm_core.geo.columnar import PARQUET_SUFFIXES
from urbanfm_core.geo.vector import LayerSource, read_layer
from urbanfm_core.inference.columns import COORDINATE, EMBEDDING, find_vectors
from urbanfm_core.inference.table import table_metadata

Matrix = NDArray[np.floating[Any]]
_BATCH_ROWS, _BUFFER_BYTES = 16_384, 1 << 20
_ROW = "__row"
_NAMED = 5


@dataclass(frozen=True)
class VectorTable:
    """One vector per region.

    Attributes:
        name: How people call it.
        source: Where it is.
        ids: (R,) unique.
        id_name: Column of the ids.
        width: D.
        blocks: Reads the rows from the first to the last, (B, D) each; a row without a vector is not finite.
        model: Name of the model that made it; None if unknown.
        checkpoint: Hash of its weights; None if unknown.
        notes: What was chosen or left out.
    """

    name: str
    source: str
    ids: NDArray[Any]
    id_name: str
    width: int
    blocks: Callable[[], Iterator[Matrix]]
    model: str | None = None
    checkpoint: str | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Vectors of some rows, (Q, D), in their order."""
        found = np.full((len(rows), self.width), np.nan)
        start = 0
        for block in self.blocks():
            here = np.flatnonzero((rows >= start) & (rows < start + len(block)))
            found[here] = block[rows[here] - start]
            start += len(block)
            if len(rows) and start > rows.max():
                break
        return found

    def rows_of(self, ids: Sequence[Any]) -> NDArray[np.int64]:
        """Rows of ids.

        Raises:
            ConfigError: one is not there.
        """
        wanted = list(dict.fromkeys(id_keys(list(ids))))
        places = dict.fromkeys(wanted, -1)
        for row, key in enumerate(id_keys(self.ids)):
            if key in places:
                places[key] = row
        missing = [key for key, row in places.items() if row < 0]
        if missing:
            raise ConfigError(
                f"{self.name}: {len(missing)} of {len(wanted)} ids are none of its regions'; the first are "
                f"{', '.join(missing[:_NAMED])}.",
                f"Its ids ('{self.id_name}') are such as {', '.join(map(str, self.ids[:3]))}.",
            )
        return np.array([places[key] for key in wanted], np.int64)

    def regions(self) -> tuple[RegionSet, NDArray[np.int64]]:
        """Polygons or points, and fields, and the row of each here; what has neither is left out and counted.

        Raises:
            InputError: the table has no geometry.
        """
        wanted = None
        if _list_column(self.source):
            # Polygons of a million regions leave no room for their vectors.
            names = pq.read_schema(LayerSource.parse(self.source).path).names
            wanted = [name for name in names if name not in ("embedding", *_geometry_columns(self.source))]
        frame = read_layer(self.source, wanted)
        known = self.id_name in frame.columns or self.id_name == frame.index.name
        numbered = frame.assign(**{_ROW: np.arange(len(frame))})
        found = read_places(numbered, self.id_name if known else None)
        rows = found.attributes[_ROW].to_numpy(np.int64)
        return replace(found, attributes=found.attributes.drop(columns=_ROW)), rows


def read_vector_table(text: str, id_field: str | None = None, columns: Sequence[str] = ()) -> VectorTable:
    """Open a table of vectors: what `embed` wrote, or any table with columns of numbers.

    A GeoParquet or Parquet with a list column 'embedding' is read in blocks; anything else is held in memory.

    Args:
        text: Path, or name=path.
        id_field: Column of the ids; None guesses.
        columns: The columns that are the vector; none guesses.
    Raises:
        InputError: no vectors, or ids that are missing or repeated.
        ConfigError: no such column.
    """
    name, source = name_and_path(text)
    notes: list[str] = []
    if _list_column(source) and list(columns) in ([], [EMBEDDING]):
        return _streamed(name, source, id_field, notes)
    table = read_any_table(source, notes)
    key = _id_column(table, id_field or own_id(source), name, notes)
    found = find_vectors(table, key, name, notes, chosen=columns)
    places = [column for column in found.columns if COORDINATE.match(column) and column not in columns]
    kept = [place for place, column in enumerate(found.columns) if column not in places]
    vectors = found.values[:, kept] if places and kept else found.values
    if places and kept:
        notes.append(f"{name}: {', '.join(places)} look like coordinates and are left out.")
    ids = np.arange(len(table)) if key == _ROW else table[key].to_numpy(dtype=object)
    models = list(table["emb_model"].dropna().unique()) if "emb_model" in table.columns else []
    model = str(models[0]) if len(models) == 1 and models[0] else None
    about = table_metadata(source).get("provenance", {})
    return VectorTable(
        name,
        source,
        _unique(ids, key, name),
        key,
        vectors.shape[1],
        lambda: iter((vectors,)),
        about.get("model") or model,
        about.get("checkpoint"),
        notes,
    )


def require_same_model(one: VectorTable, other: VectorTable) -> list[str]:
    """Notes on how sure it is that two tables were made by the same model.

    Raises:
        ConfigError: they were not, so that their vectors cannot be compared.
    """
    hint = "Embed both cities with the same checkpoint: dimensions of different models mean different things."
    if one.width != other.width:
        raise ConfigError(
            f"{one.name} holds {one.width}-d vectors and {other.name} {other.width}-d ones: they come from different "
            "models.",
            hint,
        )
    if one.checkpoint and other.checkpoint:
        if one.checkpoint == other.checkpoint:
            return []
        raise ConfigError(
            f"{one.name} was made by {_model_words(one)} and {other.name} by {_model_words(other)}: another training is "
            "another model.",
            hint,
        )
    if one.model and other.model:
        if one.model == other.model:
            return [
                f"{one.name} and {other.name} both name the model '{one.model}', but not both the training; scores mean "
                "something only if it was the same checkpoint."
            ]
        raise ConfigError(f"{one.name} was made by '{one.model}' and {other.name} by '{other.model}'.", hint)
    return [
        f"Whether {one.name} and {other.name} were made by the same model is not known; scores mean something only then."
    ]


def rows_at(regions: RegionSet, chosen: RegionSet, notes: list[str]) -> NDArray[np.int64]:
    """Rows of the regions that polygons point at.

    A polygon that is one of the regions, as a selected one is, stands for it. One that is drawn stands for the regions
    whose inner point it holds; if it holds none, for those that hold its own.

    Raises:
        InputError: they point at no region.
    """
    moved = chosen.to_crs(regions.crs)
    same: dict[bytes, list[int]] = {}
    for row, shape in enumerate(shapely.to_wkb(shapely.normalize(regions.geometry))):
        same.setdefault(shape, []).append(row)
    tree = shapely.STRtree(shapely.point_on_surface(regions.geometry))
    around = shapely.STRtree(regions.geometry)
    found: set[int] = set()
    lost = 0
    for polygon, shape in zip(moved.geometry, shapely.to_wkb(shapely.normalize(moved.geometry)), strict=True):
        rows: Any = same.get(shape, ())
        if not len(rows):
            rows = tree.query(polygon, predicate="intersects")
        if not len(rows):
            rows = around.query(shapely.point_on_surface(polygon), predicate="intersects")
        lost += not len(rows)
        found.update(int(row) for row in rows)
    if not found:
        raise InputError(
            f"None of the {len(chosen):,} chosen polygons touches a region.", "Do both layers show the same place?"
        )
    if lost:
        notes.append(f"{lost:,} of {len(chosen):,} chosen polygons touch no region.")
    return np.array(sorted(found), np.int64)


def _geometry_columns(source: str) -> tuple[str, ...]:
    """Names of the geometry columns of a GeoParquet; none of another file."""
    metadata = pq.read_schema(LayerSource.parse(source).path).metadata or {}
    return tuple(json.loads(metadata.get(b"geo", b"{}")).get("columns", {}))


def _list_column(source: str) -> bool:
    """Whether a file is a Parquet whose vectors are lists of numbers."""
    path = LayerSource.parse(source).path
    if not path.lower().endswith(PARQUET_SUFFIXES):
        return False
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):  # reading the table says what is wrong
        return False
    if "embedding" not in schema.names:
        return False
    kind = schema.field("embedding").type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def _streamed(name: str, source: str, id_field: str | None, notes: list[str]) -> VectorTable:
    path = LayerSource.parse(source).path
    wanted = id_field or own_id(source)
    schema = pq.read_schema(path)
    if id_field is not None and id_field not in schema.names:
        raise ConfigError(
            f"{name}: no column '{id_field}' for the region ids.", f"Its columns: {', '.join(schema.names)}."
        )
    names = [wanted] if wanted is not None else [column for column in ID_COLUMNS if column in schema.names]
    table = pq.read_table(path, columns=names).to_pandas(ignore_metadata=True) if names else pd.DataFrame()
    count = pq.read_metadata(path).num_rows
    key = _id_column(table if names else pd.DataFrame(index=range(count)), wanted, name, notes)
    ids = np.arange(count) if key == _ROW else table[key].to_numpy(dtype=object)
    about = table_metadata(source).get("provenance", {})

    def lists() -> Iterator[pa.Array]:
        # A buffered file: else whole row groups, which may be the whole file, are held in memory.
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["embedding"], use_threads=False):
                yield batch.column(0)

    width = next((longest for part in lists() if (longest := pc.max(pc.list_value_length(part)).as_py())), 0)
    if not width:
        raise InputError(f"{source}: no region has a vector.", "Embed the regions first.")
    return VectorTable(
        name,
        source,
        _unique(ids, key, name),
        key,
        width,
        lambda: (_matrix(part, width, source) for part in lists()),
        about.get("model"),
        about.get("checkpoint"),
        notes,
    )


def _matrix(column: pa.Array, width: int, source: str) -> Matrix:
    """Lists as rows; a list that is missing or empty is a row of NaN."""
    length = pc.fill_null(pc.list_value_length(column), 0)
    valid = pc.greater(length, 0).to_numpy(zero_copy_only=False)
    lengths = set(pc.unique(length).to_pylist()) - {0}
    if lengths - {width}:
        raise InputError(
            f"{source}: the vectors in 'embedding' have lengths {sorted({width, *lengths})}; expected one length.",
            "Were tables of two models put together? Take one of them.",
        )
    values = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    if valid.all():
        return np.asarray(values)
    rows = np.full((len(column), width), np.nan, values.dtype if values.dtype.kind == "f" else np.float64)
    rows[valid] = values
    return rows


def _id_column(table: pd.DataFrame, given: str | None, name: str, notes: list[str]) -> str:
    """The given column, else one of the usual names, else the features' numbers, else row numbers."""
    if given is not None:
        if given not in table.columns:
            raise ConfigError(
                f"{name}: no column '{given}' for the region ids.",
                f"Its columns: {', '.join(map(str, table.columns))}.",
            )
        return given
    for column in (*ID_COLUMNS, "fid"):
        if column in table.columns and table[column].notna().all() and table[column].is_unique:
            return column
    notes.append(f"{name}: no column of ids was found or given; regions are called by the number of their row, from 0.")
    return _ROW


def _unique(ids: NDArray[Any], key: str, name: str) -> NDArray[Any]:
    missing = int(pd.isna(ids).sum())
    if missing:
        raise InputError(f"{name}: {missing:,} rows have no '{key}'.", "Fill them, or name another id column.")
    if len(pd.unique(ids)) < len(ids):
        raise InputError(f"{name}: values of '{key}' stand for more than one row.", "Name another id column.")
    return ids


def _model_words(table: VectorTable) -> str:
    return f"'{table.model or 'a model'}' (weights {str(table.checkpoint)[:10]})"

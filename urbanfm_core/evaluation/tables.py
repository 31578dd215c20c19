"""Tables to evaluate, ours or brought in, and tables of labels, joined to regions by id."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet as pq
from numpy.typing import NDArray

from urbanfm_core.data.poi_table import read_poi_table
from urbanfm_core.data.regions import ID_COLUMNS, RegionSet
from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.geo.vector import PARQUET_SUFFIXES, LayerSource
from urbanfm_core.inference.table import stack_vectors

Position = Literal["yes", "no", "unknown"]
_NUMBERED = re.compile(r"^(.*?)[_\-]?(\d+)$")
COORDINATE = re.compile(
    r"^(x|y|lon|lng|lat|long|longitude|latitude|easting|northing|(x|y|lon|lat|centroid)_?(coord|centroid|wgs84|x|y)?)$",
    re.IGNORECASE,
)
# How programs write a number that is missing.
_NO_NUMBER = ("", "nan", "na", "n/a", "null", "none")
_OWN = re.compile(r"^(embedding|coverage_.*|emb_dim|emb_model|emb_pca\d|emb_\d+|fid|ogc_fid|score|rank|percentile)$")


@dataclass(frozen=True)
class Features:
    """One vector per region, in the regions' order.

    Attributes:
        name: How tables call it.
        vectors: (R, D) float64; a row with NaN is a region without.
        floor: Whether it is a floor, which any embedding must beat.
        position: Whether the vectors were given the place of the region.
        notes: What was chosen or left out.
    """

    name: str
    vectors: NDArray[np.float64]
    floor: bool = False
    position: Position = "unknown"
    notes: list[str] = field(default_factory=list)

    @property
    def covered(self) -> NDArray[np.bool_]:
        """(R,) whether a region has a vector."""
        return np.asarray(np.isfinite(self.vectors).all(axis=1))


def read_any_table(source: str | Path, notes: list[str]) -> pd.DataFrame:
    """A layer or a table in any of the formats that are read elsewhere, without its geometry.

    Columns of delimited text that hold nothing but numbers become numbers, but for those with leading zeros, which are
    codes.
    """
    frame = read_poi_table(source, notes)
    geometry = getattr(frame, "_geometry_column_name", None)
    table = pd.DataFrame(frame.drop(columns=geometry) if geometry in frame.columns else frame)
    suffixes = {suffix.lower() for suffix in Path(LayerSource.parse(source).path).suffixes[-2:]}
    if suffixes & {".csv", ".tsv", ".txt", ".psv"}:
        return table.apply(_as_numbers).reset_index(drop=True)
    if not suffixes & set(PARQUET_SUFFIXES) and table.index.name not in (None, *table.columns):
        # Features of a layer have numbers, which are ids where nothing else is; rows of a table have none.
        return table.reset_index()
    return table.reset_index(drop=True)


def _as_numbers(column: pd.Series) -> pd.Series:
    texts = column.dropna().astype(str).str.strip()
    texts = texts[~texts.str.lower().isin(_NO_NUMBER)]
    if texts.str.match(r"^[+-]?0\d").any():
        return column
    numbers = pd.to_numeric(texts, errors="coerce")
    return pd.to_numeric(column, errors="coerce") if len(texts) and numbers.notna().all() else column


def name_and_path(text: str) -> tuple[str, str]:
    """`name=path` taken apart; a path alone is named after its file."""
    name, separator, path = text.partition("=")
    if separator and path and not set("/\\|") & set(name) and not Path(text).exists():
        return name.strip(), path
    return Path(LayerSource.parse(text).path).stem, text


def read_embeddings(text: str, regions: RegionSet, id_field: str | None, targets: Collection[str]) -> list[Features]:
    """An embedding table on the rows of the regions.

    Ours hold a list column `embedding`. Of others, the columns that differ by a number only (`e0`, `e1`, ...) are the
    vector, else all columns of numbers. A column that bears the name of a target is never taken. Columns that look
    like coordinates make two results, with and without them.

    Args:
        text: Path, or name=path.
        regions: What to join to.
        id_field: Column of the ids; None guesses.
        targets: Columns that are labels.

    Raises:
        InputError: no vector, or ids that are repeated or do not fit the regions.
        ConfigError: no such id column.
    """
    name, source = name_and_path(text)
    notes: list[str] = []
    table = read_any_table(source, notes)
    key = find_id(table, regions, id_field or own_id(source), f"embeddings ({source})")
    if "embedding" in table.columns:
        vectors = stack_vectors(table["embedding"], source).astype(np.float64)
        joined = join_rows(table[key], regions, f"embeddings ({source})", notes)
        return [Features(name, _take(vectors, joined), False, _position(source, table), notes)]
    columns = vector_columns(table, key, targets, name, notes)
    joined = join_rows(table[key], regions, f"embeddings ({source})", notes)
    values = _take(table[columns].to_numpy(np.float64, na_value=np.nan), joined)
    places = [column for column in columns if COORDINATE.match(column)]
    if not places:
        return [Features(name, values, False, "unknown", notes)]
    notes.append(f"{name}: {', '.join(places)} look like coordinates; it is scored with and without them.")
    kept = [place for place, column in enumerate(columns) if column not in places]
    found = [Features(name, values, False, "yes", notes)]
    return found + ([Features(f"{name}, without position", values[:, kept], False, "unknown")] if kept else [])


def read_labels(source: str, regions: RegionSet, id_field: str | None, notes: list[str]) -> pd.DataFrame:
    """A table of labels on the rows of the regions; regions that it lacks have none."""
    table = read_any_table(source, notes)
    key = find_id(table, regions, id_field, f"labels ({source})")
    joined = join_rows(table[key], regions, f"labels ({source})", notes)
    kept = [column for column in table.columns if column != key and not _OWN.match(str(column))]
    return table[kept].reindex(joined).reset_index(drop=True)


def label_columns(regions: RegionSet) -> pd.DataFrame:
    """The fields of the regions that may be labels: all but what embedding has added."""
    table = regions.attributes
    return table[[column for column in table.columns if not _OWN.match(str(column))]].reset_index(drop=True)


def find_id(table: pd.DataFrame, regions: RegionSet, given: str | None, where: str) -> str:
    """The column of a table that holds region ids: the given one, one of the usual names, or the one that fits best."""
    if given is not None:
        if given not in table.columns:
            raise ConfigError(
                f"{where}: no column '{given}' for the region ids.", f"Its columns: {', '.join(map(str, table))}."
            )
        return given
    wanted = set(id_keys(regions.ids))
    best, most = "", 0.0
    names = [regions.id_name, *ID_COLUMNS, *map(str, table.columns)]
    for column in dict.fromkeys(name for name in names if name in table.columns and name != "embedding"):
        values = table[column]
        if pd.api.types.is_float_dtype(values.dtype) and not (values.dropna() % 1 == 0).all():
            continue
        keys = id_keys(values.dropna().to_numpy(dtype=object))
        share = len(wanted.intersection(keys)) / len(wanted) if len(set(keys)) == len(keys) else 0.0
        if share > most:
            best, most = column, share
        if column in (regions.id_name, *ID_COLUMNS) and share > 0.5:
            break
    if not best:
        raise InputError(
            f"{where}: no column holds the ids of the regions ('{regions.id_name}', such as '{regions.ids[0]}').",
            "Name the id columns of both.",
        )
    return best


def join_rows(values: pd.Series, regions: RegionSet, where: str, notes: list[str]) -> NDArray[np.int64]:
    """The row of the table for each region, (R,); -1 where it has none.

    Raises:
        InputError: an id twice, or none in common.
    """
    keys = id_keys(values.to_numpy(dtype=object))
    rows: dict[str, int] = {}
    for row, key in enumerate(keys):
        if key in rows and key:
            raise InputError(f"{where}: the id {key!r} occurs twice.", "A table needs one row per region.")
        rows[key] = row
    found = np.array([rows.get(key, -1) for key in id_keys(regions.ids)], np.int64)
    if not (found >= 0).any():
        raise InputError(
            f"{where}: none of its ids is one of the regions' ('{regions.id_name}', such as '{regions.ids[0]}').",
            "Name the id columns of both.",
        )
    missing = int((found < 0).sum())
    if missing:
        notes.append(f"{where}: {missing} of {len(found)} regions are not in it.")
    unused = len(keys) - int((found >= 0).sum())
    if unused:
        notes.append(f"{where}: {unused} rows belong to no region.")
    return found


def id_keys(values: Sequence[Any] | NDArray[Any]) -> list[str]:
    """Ids as comparable texts: 7, 7.0 and '7' are the same, '007' is not."""
    keys = []
    for value in values:
        if value is None or (isinstance(value, float) and not np.isfinite(value)) or value is pd.NA:
            keys.append("")
        elif isinstance(value, (float, np.floating)) and float(value).is_integer():
            keys.append(str(int(value)))
        else:
            keys.append(str(value).strip())
    return keys


def _take(values: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    taken = values[np.maximum(rows, 0)]
    taken[rows < 0] = np.nan
    return taken


def vector_columns(table: pd.DataFrame, key: str, targets: Collection[str], name: str, notes: list[str]) -> list[str]:
    """The columns of a foreign table that are its vector; see `read_embeddings`."""
    numeric = [
        str(column)
        for column in table.columns
        if column != key
        and (not _OWN.match(str(column)) or _NUMBERED.match(str(column)))
        and not str(column).startswith("emb_pca")
        and pd.api.types.is_numeric_dtype(table[column].dtype)
        and not pd.api.types.is_bool_dtype(table[column].dtype)
    ]
    labels = [column for column in numeric if column in targets]
    if labels:
        notes.append(f"{name}: {', '.join(labels)} is a target and not part of the vector.")
    numeric = [column for column in numeric if column not in targets]
    stems: dict[str, list[str]] = {}
    for column in numeric:
        match = _NUMBERED.match(column)
        if match:
            stems.setdefault(match.group(1), []).append(column)
    largest = max(stems.values(), key=len, default=[])
    chosen = numeric
    if len(largest) >= 3:
        chosen = [column for column in numeric if column in largest or COORDINATE.match(column)]
    if not chosen:
        raise InputError(
            f"Embeddings '{name}': neither a list column 'embedding' nor columns of numbers.",
            f"Its columns: {', '.join(map(str, table.columns))}.",
        )
    left = [column for column in numeric if column not in chosen]
    notes.append(f"{name}: the vector is {len(chosen)} columns, {chosen[0]} to {chosen[-1]}.")
    if left:
        notes.append(f"{name}: {len(left)} other columns of numbers are not part of it: {', '.join(left[:8])}.")
    return chosen


def parquet_metadata(source: str | Path) -> dict[str, Any]:
    """What a GeoParquet of ours says of itself; empty for any other file."""
    path = LayerSource.parse(source).path
    if not path.lower().endswith(PARQUET_SUFFIXES):
        return {}
    try:
        found: dict[str, Any] = json.loads((pq.read_schema(path).metadata or {}).get(b"urbanfm", b"{}"))
    except (OSError, ValueError, pyarrow.ArrowException):  # reading the table says what is wrong
        return {}
    return found


def own_id(source: str) -> str | None:
    """The id column that a table of ours names, if it has it."""
    name = parquet_metadata(source).get("region_id")
    return name if isinstance(name, str) and name in pq.read_schema(LayerSource.parse(source).path).names else None


def _position(source: str, table: pd.DataFrame) -> Position:
    """Whether the method that made a table of ours was given positions, as its own interface says."""
    from urbanfm_core.models import METHODS, get_method, load_preset

    name = parquet_metadata(source).get("provenance", {}).get("method")
    models = list(table["emb_model"].dropna().unique()) if name is None and "emb_model" in table.columns else []
    if len(models) == 1:
        try:
            name = load_preset(str(models[0]))["method"]
        except ConfigError:
            name = models[0]
    if name not in METHODS:
        return "unknown"
    return "yes" if get_method(name).uses_position else "no"

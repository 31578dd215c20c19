"""Tables to evaluate, ours or brought in, and tables of labels, joined to regions by id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.data.poi_table import read_poi_table
from urbanfm_core.data.regions import ID_COLUMNS, RegionSet
from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.geo.columnar import COLUMNAR_SUFFIXES, read_schema
from urbanfm_core.geo.vector import LayerSource
from urbanfm_core.inference.columns import COORDINATE, OWN, find_vectors
from urbanfm_core.inference.table import table_metadata

Position = Literal["yes", "no", "unknown"]
# How programs write a number that is missing.
_NO_NUMBER = ("", "nan", "na", "n/a", "null", "none")


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
    if not suffixes & set(COLUMNAR_SUFFIXES) and table.index.name not in (None, *table.columns):
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


def read_embeddings(
    text: str, regions: RegionSet, id_field: str | None, targets: Collection[str], columns: Sequence[str] = ()
) -> list[Features]:
    """An embedding table on the rows of the regions.

    `find_vectors` says which columns are the vector. A column that bears the name of a target is never taken unless it is
    named. Columns that look like coordinates make two results, with and without them.

    Args:
        text: Path, or name=path.
        regions: What to join to.
        id_field: Column of the ids; None guesses.
        targets: Columns that are labels.
        columns: The columns that are the vector; none guesses.

    Raises:
        InputError: no vector, or ids that are repeated or do not fit the regions.
        ConfigError: no such column.
    """
    name, source = name_and_path(text)
    notes: list[str] = []
    table = read_any_table(source, notes)
    key = find_id(table, regions, id_field or own_id(source), f"embeddings ({source})")
    found = find_vectors(table, key, name, notes, targets=targets, chosen=columns)
    joined = join_rows(table[key], regions, f"embeddings ({source})", notes)
    values = _take(found.values.astype(np.float64), joined)
    places = [column for column in found.columns if COORDINATE.match(column) and column not in columns]
    if not places:
        return [Features(name, values, False, _position(source, table), notes)]
    notes.append(f"{name}: {', '.join(places)} look like coordinates; it is scored with and without them.")
    kept = [place for place, column in enumerate(found.columns) if column not in places]
    both = [Features(name, values, False, "yes", notes)]
    return both + ([Features(f"{name}, without position", values[:, kept], False, "unknown")] if kept else [])


def read_labels(source: str, regions: RegionSet, id_field: str | None, notes: list[str]) -> pd.DataFrame:
    """A table of labels on the rows of the regions; regions that it lacks have none."""
    table = read_any_table(source, notes)
    key = find_id(table, regions, id_field, f"labels ({source})")
    joined = join_rows(table[key], regions, f"labels ({source})", notes)
    kept = [column for column in table.columns if column != key and not OWN.match(str(column))]
    return table[kept].reindex(joined).reset_index(drop=True)


def label_columns(regions: RegionSet) -> pd.DataFrame:
    """The fields of the regions that may be labels: all but what embedding has added."""
    table = regions.attributes
    return table[[column for column in table.columns if not OWN.match(str(column))]].reset_index(drop=True)


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


def own_id(source: str) -> str | None:
    """The id column that a table of ours names, if it has it."""
    name = table_metadata(source).get("region_id")
    return name if isinstance(name, str) and name in read_schema(LayerSource.parse(source).path).names else None


def _position(source: str, table: pd.DataFrame) -> Position:
    """Whether the method that made a table of ours was given positions, as its own interface says."""
    from urbanfm_core.models import METHODS, get_method, load_preset

    name = table_metadata(source).get("provenance", {}).get("method")
    models = list(table["emb_model"].dropna().unique()) if name is None and "emb_model" in table.columns else []
    if len(models) == 1:
        try:
            name = load_preset(str(models[0]))["method"]
        except ConfigError:
            name = models[0]
    if name not in METHODS:
        return "unknown"
    return "yes" if get_method(name).uses_position else "no"

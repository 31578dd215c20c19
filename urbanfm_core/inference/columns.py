"""Which columns of a table are its vectors: ours, or those of a table that was brought in."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.errors import ConfigError, InputError

EMBEDDING = "embedding"
COORDINATE = re.compile(
    r"^(x|y|lon|lng|lat|long|longitude|latitude|easting|northing|(x|y|lon|lat|centroid)_?(coord|centroid|wgs84|x|y)?)$",
    re.IGNORECASE,
)
# What embedding and searching add to a layer.
OWN = re.compile(r"^(embedding|coverage_.*|emb_dim|emb_model|emb_pca\d|emb_\d+|fid|ogc_fid|score|rank|percentile)$")
_NUMBERED = re.compile(r"^(.*?)[_\-]?(\d+)$")
# The stem of our own columns, emb_000 and on.
_OUR_STEM = "emb"
_FEWEST = 3


@dataclass(frozen=True)
class Vectors:
    """The vectors of a table.

    Attributes:
        values: (R, D); NaN where a number is missing.
        columns: The D columns of numbers that they are; none if they are a column of lists.
    """

    values: NDArray[np.floating[Any]]
    columns: list[str]


def find_vectors(
    table: pd.DataFrame,
    key: str,
    name: str,
    notes: list[str],
    *,
    targets: Collection[str] = (),
    chosen: Sequence[str] = (),
    any_numbers: bool = True,
) -> Vectors:
    """The vectors of a table.

    Those that are named, else a column of lists `embedding`, else the columns that differ by a number only (`e0`, `e1`,
    ...; `emb_000` and on before any other), else the only column of lists, else all columns of numbers.

    Args:
        table: Rows and columns, without geometry.
        key: The column of the ids, which is never taken.
        name: What people call the table.
        notes: Told what was chosen and what not.
        targets: Columns that are labels and never taken.
        chosen: Names of columns; * stands for anything, as in A*.
        any_numbers: Whether columns of numbers that have nothing in common will do.
    Raises:
        InputError: no vectors, or lists of different lengths.
        ConfigError: a named column does not exist or holds no numbers.
    """
    if chosen:
        columns = _named(table, chosen, name)
        notes.append(f"{name}: the vector is the column{'s' if len(columns) > 1 else ''} {_listed(columns)}, as asked.")
    elif EMBEDDING in table.columns:
        columns = [EMBEDDING]
    else:
        lists = [str(column) for column in table.columns if column != key and holds_lists(table[column])]
        numbered = numbered_columns(table, key, targets)
        if not numbered and not lists and not any_numbers:
            raise InputError(
                f"{name} has no field 'embedding', and no columns such as emb_000, emb_001.",
                "Give a layer or table that 'Embed regions' wrote, or name the columns of its vectors.",
            )
        if len(lists) == 1 and not numbered:
            columns = lists
            notes.append(f"{name}: the vector is the column of lists '{lists[0]}'.")
        else:
            columns = vector_columns(table, key, targets, name, notes)
    if len(columns) == 1 and not pd.api.types.is_numeric_dtype(table[columns[0]].dtype):
        return Vectors(stack_vectors(table[columns[0]], name), [])
    return Vectors(table[columns].to_numpy(np.float64, na_value=np.nan), columns)


def vector_columns(table: pd.DataFrame, key: str, targets: Collection[str], name: str, notes: list[str]) -> list[str]:
    """The columns of numbers of a foreign table that are its vector; see `find_vectors`."""
    numeric = _numeric(table, key)
    labels = [column for column in numeric if column in targets]
    if labels:
        notes.append(f"{name}: {', '.join(labels)} is a target and not part of the vector.")
    numeric = [column for column in numeric if column not in targets]
    numbered = numbered_columns(table, key, targets)
    chosen = [column for column in numeric if column in numbered or COORDINATE.match(column)] if numbered else numeric
    if not chosen:
        raise InputError(
            f"Embeddings '{name}': neither a list column 'embedding' nor columns of numbers"
            f"{' beside the labels' if labels else ''}.",
            f"Its columns: {', '.join(map(str, table.columns))}. Name those of the vector (embeddings_columns), such as A*.",
        )
    left = [column for column in numeric if column not in chosen]
    notes.append(f"{name}: the vector is {len(chosen)} columns, {chosen[0]} to {chosen[-1]}.")
    if left:
        notes.append(f"{name}: {len(left)} other columns of numbers are not part of it: {_listed(left)}.")
    return chosen


def numbered_columns(table: pd.DataFrame, key: str, targets: Collection[str]) -> list[str]:
    """The columns of numbers that differ by a number only, in the largest such group; none if it has fewer than three."""
    stems: dict[str, list[str]] = {}
    for column in _numeric(table, key):
        match = _NUMBERED.match(column)
        if match and column not in targets:
            stems.setdefault(match.group(1), []).append(column)
    largest = stems.get(_OUR_STEM) or max(stems.values(), key=len, default=[])
    return largest if len(largest) >= _FEWEST or (largest and _OUR_STEM in stems) else []


def holds_lists(column: pd.Series) -> bool:
    """Whether a column's values are lists of numbers."""
    if column.dtype != object:
        return False
    first = next((value for value in column if value is not None and not isinstance(value, float)), None)
    return isinstance(first, (list, tuple, np.ndarray)) and np.asarray(first).dtype.kind in "fiu"


def stack_vectors(column: pd.Series, source: str | Path) -> NDArray[np.float32]:
    """Lists, or texts of JSON lists, as a matrix of float32; a row without, or with an empty one, is NaN."""
    rows = [_vector(value, source) for value in column]
    widths = sorted({len(row) for row in rows if row is not None})
    if not widths:
        raise InputError(f"{source}: no row has a vector in '{column.name}'.", "Embed the regions first.")
    if len(widths) > 1:
        raise InputError(
            f"{source}: the vectors in '{column.name}' have lengths {widths}; expected one length.",
            "Were tables of two models put together? Take one of them.",
        )
    vectors = np.full((len(rows), widths[0]), np.nan, np.float32)
    for index, row in enumerate(rows):
        if row is not None:
            vectors[index] = row
    return vectors


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _named(table: pd.DataFrame, chosen: Sequence[str], name: str) -> list[str]:
    names = [str(column) for column in table.columns]
    found: list[str] = []
    for pattern in chosen:
        fits = [column for column in names if column == pattern or fnmatchcase(column, pattern)]
        if not fits:
            raise ConfigError(f"{name}: no column '{pattern}' to take as vector.", f"Its columns: {', '.join(names)}.")
        found += [column for column in fits if column not in found]
    for column in found:
        fine = pd.api.types.is_numeric_dtype(table[column].dtype)
        if not fine and (len(found) > 1 or not _is_vector(table[column])):
            raise ConfigError(
                f"{name}: the column '{column}' holds no numbers.", "A vector is columns of numbers, or one of lists."
            )
    return found


def _is_vector(column: pd.Series) -> bool:
    first = next(iter(column.dropna()), None)
    return holds_lists(column) or (isinstance(first, str) and first.lstrip().startswith("["))


def _numeric(table: pd.DataFrame, key: str) -> list[str]:
    return [
        str(column)
        for column in table.columns
        if column != key
        and (not OWN.match(str(column)) or _NUMBERED.match(str(column)))
        and not str(column).startswith("emb_pca")
        and pd.api.types.is_numeric_dtype(table[column].dtype)
        and not pd.api.types.is_bool_dtype(table[column].dtype)
    ]


def _vector(value: Any, source: str | Path) -> NDArray[np.float32] | None:
    try:
        if isinstance(value, str):
            value = json.loads(value)
        if value is None or isinstance(value, float):
            return None
        vector = np.asarray(value, np.float32)
    except (ValueError, TypeError) as error:
        raise InputError(f"{source}: a value of 'embedding' is not a list of numbers: {str(value)[:40]}…") from error
    if vector.size == 0:
        return None
    if vector.ndim != 1:
        raise InputError(f"{source}: a value of 'embedding' is not a list of numbers: {str(value)[:40]}…")
    return vector

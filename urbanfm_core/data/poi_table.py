"""Reading tables of POIs: delimited text in any of the usual dialects, Parquet, and layers."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.csv

from urbanfm_core.errors import InputError
from urbanfm_core.geo.vector import LayerSource, read_table

_TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".psv")
_NULLS = ["", "\\N", "NULL", "null"]


def read_poi_table(source: str | Path, notes: list[str]) -> pd.DataFrame:
    """A layer (GeoDataFrame) or a table (DataFrame, all columns text if it comes from delimited text).

    Args:
        source: Path; delimited text may be compressed (.csv.gz).
        notes: Told about rows that do not fit and about the encoding.

    Raises:
        InputError: it cannot be read.
    """
    path = Path(str(source)).expanduser()
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else suffixes[-1] if suffixes else ""
    if kind in _TEXT_SUFFIXES and not LayerSource.parse(source).layer:
        return _read_delimited(path, notes)
    return read_table(source)


def _read_delimited(path: Path, notes: list[str]) -> pd.DataFrame:
    for encoding in ("utf-8", "cp1252", "latin-1"):
        try:
            table, skipped = _parse(path, encoding)
        except (UnicodeDecodeError, pyarrow.ArrowInvalid) as error:
            if not isinstance(error, UnicodeDecodeError) and "utf" not in str(error).lower():
                raise _unreadable(path, error) from error
            failure = error
            continue
        except OSError as error:
            raise _unreadable(path, error) from error
        if encoding != "utf-8":
            notes.append(f"The table is not UTF-8; it was read as {encoding}.")
        if skipped:
            notes.append(f"{skipped} lines have another number of fields than the header: left out.")
        return table
    raise _unreadable(path, failure)


def _parse(path: Path, encoding: str) -> tuple[pd.DataFrame, int]:
    skipped = 0

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        nonlocal skipped
        skipped += 1
        return "skip"

    with pyarrow.input_stream(str(path)) as stream:
        header = stream.read(1 << 16).split(b"\n", 1)[0].decode(encoding, errors="replace").lstrip("\ufeff")
    # The separator is the one that the header holds most of.
    separator = max(",;\t|", key=header.count)
    names = next(csv.reader([header.rstrip("\r")], delimiter=separator), [])
    table = pyarrow.csv.read_csv(
        pyarrow.input_stream(str(path)),
        read_options=pyarrow.csv.ReadOptions(encoding=encoding),
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=skip),
        # Everything is text at first: codes keep their zeros, and a place may be called NA or 1984.
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pyarrow.string()), strings_can_be_null=True, null_values=_NULLS
        ),
    )
    return table.to_pandas(), skipped


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: there is no such file.", "Check the path.")
    return InputError(
        f"{path}: cannot be read as a table: {(str(error) or repr(error)).splitlines()[0]}.",
        "It needs a header line and one row per place.",
    )

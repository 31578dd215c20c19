"""Tables to evaluate, ours or brought in, and tables of labels, joined to regions by id."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.data.places import read_places
from urbanfm_core.data.poi_table import read_poi_table
from urbanfm_core.data.regions import ID_COLUMNS, RegionSet
from urbanfm_core.errors import ConfigError, EmptyInputError, InputError
from urbanfm_core.geo.columnar import COLUMNAR_SUFFIXES, read_schema
from urbanfm_core.geo.vector import LayerSource, read_layer, read_table
from urbanfm_core.inference.columns import COORDINATE, EMBEDDING, OWN, find_vectors
from urbanfm_core.inference.table import table_metadata

Position = Literal["yes", "no", "unknown"]
_COMMA_NUMBER = r"[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?"
_THOUSANDS = r"[+-]?[1-9]\d{0,2},\d{3}"
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
    codes. A comma is a decimal one unless it may part thousands.

    Raises:
        EmptyInputError: it has no rows.
    """
    frame = read_poi_table(source, notes)
    if not len(frame):
        raise EmptyInputError(f"{source}: no rows.", "Check the table, and its filter if it has one.")
    geometry = getattr(frame, "_geometry_column_name", None)
    table = pd.DataFrame(frame.drop(columns=geometry) if geometry in frame.columns else frame)
    suffixes = {suffix.lower() for suffix in Path(LayerSource.parse(source).path).suffixes[-2:]}
    if suffixes & {".csv", ".tsv", ".txt", ".psv"}:
        table = table.apply(_as_numbers).reset_index(drop=True)
        commas = [str(name) for name in table.columns if _decimal_commas(table[name])]
        if commas:
            notes.append(f"{len(commas)} columns hold numbers with a decimal comma: {', '.join(commas[:8])}.")
            points = table[commas].apply(lambda column: column.str.replace(",", ".", regex=False))
            table = table.assign(**points.apply(pd.to_numeric, errors="coerce"))
        return table
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


def _decimal_commas(column: pd.Series) -> bool:
    """Whether a column of texts holds nothing but numbers with a decimal comma; 1,000 may be a thousand."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return False
    texts = column.dropna().astype(str).str.strip()
    texts = texts[~texts.str.lower().isin(_NO_NUMBER)]
    parted = texts[texts.str.contains(",")]
    thousands = parted.str.fullmatch(_THOUSANDS)
    return bool(len(parted)) and bool(texts.str.fullmatch(_COMMA_NUMBER).all()) and not bool(thousands.all())


def name_and_path(text: str) -> tuple[str, str]:
    """`name=path` taken apart; a path alone is named after its file."""
    name, separator, path = text.partition("=")
    if separator and path and not set("/\\|") & set(name) and not Path(text).exists():
        return name.strip(), path
    return Path(LayerSource.parse(text).path).stem, text


def read_embeddings(
    text: str,
    regions: RegionSet,
    id_field: str | None,
    targets: Collection[str],
    columns: Sequence[str] = (),
    *,
    own: bool = False,
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
        own: Whether the regions are the features of this very layer, and so carry their own vectors.

    Raises:
        InputError: no vector, or ids that are repeated or do not fit the regions.
        ConfigError: no such column.
    """
    name, source = name_and_path(text)
    notes: list[str] = []
    if own:
        table, key = _features_of(source), regions.id_name
    else:
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


def read_own_places(source: str, id_field: str | None) -> RegionSet:
    """The polygons or points of a table that holds them and their vectors.

    Raises:
        InputError: it holds none.
    """
    try:
        return read_places(source, id_field or own_id(source))
    except InputError:
        if isinstance(read_table(source), gpd.GeoDataFrame):
            raise
    raise InputError(
        f"{source} holds no polygons or points that vectors could belong to.",
        "Give the layer of the regions too (regions), with the ids of the table.",
    )


def _features_of(source: str) -> pd.DataFrame:
    """The fields of a layer, and the numbers of its features, as regions read from it have them."""
    frame = read_layer(source)
    table = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    return table if table.index.name in table.columns else table.reset_index()


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
    """The column of a table that holds region ids: the given one, one of the usual names, or the one that fits best.

    A column that is called as the ids of the regions are may hold few of them. Any other must hold most of those of the
    smaller side: numbers agree by chance.

    Raises:
        ConfigError: no such column.
        InputError: none fits.
    """
    if given is not None:
        if given not in table.columns:
            raise ConfigError(
                f"{where}: no column '{given}' for the region ids.", f"Its columns: {', '.join(map(str, table))}."
            )
        return given
    wanted = set(id_keys(regions.ids))
    usual = [name for name in dict.fromkeys((regions.id_name, *ID_COLUMNS)) if name in table.columns]
    keys: dict[str, list[str]] = {}
    held: dict[str, int] = {}
    fits: dict[str, int] = {}
    for name in dict.fromkeys((*usual, *map(str, table.columns))):
        values = table[name]
        fractions = pd.api.types.is_float_dtype(values.dtype) and not (values.dropna() % 1 == 0).all()
        if name == EMBEDDING or fractions:
            continue
        keys[name] = id_keys(values.dropna().to_numpy(dtype=object))
        distinct = set(keys[name])
        held[name] = len(wanted & distinct)
        enough = 1.0 if name in usual else max(1.0, min(len(wanted), len(distinct)) / 2)
        if len(distinct) == len(keys[name]) and held[name] >= enough:
            fits[name] = held[name]
            if name in usual and held[name] * 2 > len(wanted):
                break
    if fits:
        return max(fits, key=lambda name: fits[name])
    bare = {key.lstrip("0") for key in wanted}
    for name, found in keys.items():
        if len(bare.intersection(key.lstrip("0") for key in found)) * 2 >= len(bare):
            return name  # ids that occur twice, or have lost their zeros: who joins by them says so
    nearest = max(held, key=lambda name: held[name], default="")
    almost = f"; nearest is '{nearest}', with {held[nearest]:,} of {len(wanted):,}" if held.get(nearest) else ""
    raise InputError(
        f"{where}: no column holds the ids of the regions ('{regions.id_name}', such as '{regions.ids[0]}'){almost}.",
        "Name the id columns of both.",
    )


def join_rows(values: pd.Series, regions: RegionSet, where: str, notes: list[str]) -> NDArray[np.int64]:
    """The row of the table for each region, (R,); -1 where it has none.

    Raises:
        InputError: an id twice, none in common, or some that differ by leading zeros only.
    """
    keys = id_keys(values.to_numpy(dtype=object))
    rows: dict[str, int] = {}
    for row, key in enumerate(keys):
        if key in rows and key:
            raise InputError(f"{where}: the id {key!r} occurs twice.", "A table needs one row per region.")
        rows[key] = row
    wanted = id_keys(regions.ids)
    found = np.array([rows.get(key, -1) for key in wanted], np.int64)
    lost = [key for key, row in zip(wanted, found, strict=True) if row < 0]
    _refuse_lost_zeros(lost, set(keys) - set(wanted), regions, where)
    if not (found >= 0).any():
        raise InputError(
            f"{where}: none of its ids is one of the regions' ('{regions.id_name}', such as '{regions.ids[0]}').",
            "Name the id columns of both.",
        )
    if lost:
        notes.append(f"{where}: {len(lost)} of {len(found)} regions are not in it.")
    unused = len(keys) - int((found >= 0).sum())
    if unused:
        notes.append(f"{where}: {unused} rows belong to no region.")
    return found


def _refuse_lost_zeros(lost: Sequence[str], unused: Collection[str], regions: RegionSet, where: str) -> None:
    """Refuse ids that would fit but for zeros at their beginning, which programs drop that take codes for numbers."""
    bare = {key.lstrip("0"): key for key in unused if key}
    pairs = [(key, bare[key.lstrip("0")]) for key in lost if key.lstrip("0") in bare]
    if pairs:
        ours, theirs = pairs[0]
        raise InputError(
            f"{where}: {len(pairs)} ids differ from those of the regions ('{regions.id_name}') by zeros at the beginning only, "
            f"such as '{theirs}' there and '{ours}' here: some program took codes for numbers.",
            "Write them alike: in QGIS's field calculator with lpad(field, length, '0'), or take the column as text when the "
            "table is made.",
        )


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

"""Extra tables about regions, such as mobility or reviews: numbers by region id."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.data.poi_table import read_poi_table
from urbanfm_core.data.regions import ID_COLUMNS, RegionSet, id_text
from urbanfm_core.errors import ConfigError, InputError, NoOverlapError

_SHOWN = 5


@dataclass(frozen=True)
class RegionFeatures:
    """F numbers of R regions.

    Attributes:
        values: (R, F) float32 as in the table; NaN where it says nothing.
        names: F names.
        notes: What was taken and left out, with counts.
    """

    values: NDArray[np.float32]
    names: list[str]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, source: str | Path | pd.DataFrame, regions: RegionSet, id_field: str | None = None) -> RegionFeatures:
        """Numbers of a table or layer whose id column matches the regions'.

        Taken are columns of numbers, and columns of lists of numbers, such as another model's vectors.

        Args:
            source: Parquet, CSV or any layer; or a frame.
            regions: R regions.
            id_field: Column of the region ids; the name that it has in the regions, 'region_id' or 'id' if None.

        Raises:
            ConfigError: there is no id column, or no column of numbers.
            InputError: it cannot be read, or an id occurs twice.
            NoOverlapError: no id is that of a region.
        """
        notes: list[str] = []
        given = isinstance(source, pd.DataFrame)
        frame = source if isinstance(source, pd.DataFrame) else read_poi_table(source, notes)
        where = "features of regions" if given else f"features of regions ({source})"
        if isinstance(frame, geopandas.GeoDataFrame):
            frame = pd.DataFrame(frame.drop(columns=frame.geometry.name))
        column = _id_column(frame, regions, id_field, where)
        ids = pd.Series([id_text(value) for value in frame[column]])
        if ids.duplicated().any():
            twice = ids[ids.duplicated()].unique()
            raise InputError(
                f"{where}: {len(twice):,} ids stand in more than one row; the first are {', '.join(twice[:_SHOWN])}.",
                "Give one row per region.",
            )
        values, names = _numbers(frame.drop(columns=column))
        if not names:
            raise ConfigError(
                f"{where}: no column of numbers besides {column!r}.",
                f"Its columns: {', '.join(map(str, frame.columns))}.",
            )
        row = pd.Series(np.arange(len(ids)), index=ids).reindex([id_text(region) for region in regions.ids])
        there = row.notna().to_numpy()
        if not there.any():
            raise NoOverlapError(
                f"{where}: none of its {len(ids):,} ids in {column!r} is that of a region (such as {regions.ids[0]}).",
                "Name the column with the region ids.",
            )
        taken = np.full((len(regions), len(names)), np.nan, np.float32)
        taken[there] = values[row[there].to_numpy(np.int64)]
        notes.append(f"Features of regions: {len(names):,} numbers by {column!r}.")
        if not there.all():
            notes.append(f"{int((~there).sum()):,} of {len(regions):,} regions have no row in the table of features.")
        if rest := len(ids) - int(there.sum()):
            notes.append(f"{rest:,} of {len(ids):,} rows of the features are of no region.")
        if left := frame.shape[1] - 1 - len({name.split("[")[0] for name in names}):
            notes.append(f"{left:,} columns of the features hold no numbers and are left out.")
        return cls(taken, names, notes)


def _id_column(frame: pd.DataFrame, regions: RegionSet, given: str | None, where: str) -> str:
    candidates = [given] if given else [regions.id_name, *ID_COLUMNS]
    for name in candidates:
        if name in frame.columns:
            return name
    raise ConfigError(
        f"{where}: no column {' or '.join(map(repr, dict.fromkeys(candidates)))} with the ids of the regions.",
        f"Its columns: {', '.join(map(str, frame.columns))}.",
    )


def _numbers(frame: pd.DataFrame) -> tuple[NDArray[np.float32], list[str]]:
    """Columns of numbers, of numbers as text, and of lists of equal length, side by side (N, F); infinite ones are NaN."""
    taken: list[NDArray[np.float64]] = []
    names: list[str] = []
    for name in map(str, frame.columns):
        known = frame[name].dropna()
        if not len(known):
            continue
        if isinstance(known.iloc[0], list | tuple | np.ndarray):
            width = len(known.iloc[0])
            if not width or any(np.shape(value) != (width,) for value in known):
                continue
            block = np.full((len(frame), width), np.nan)
            block[frame[name].notna().to_numpy()] = np.stack([np.asarray(value, np.float64) for value in known])
            names += [f"{name}[{place}]" for place in range(width)]
        else:
            numbers = pd.to_numeric(frame[name], errors="coerce")
            # A column of text with a number here and there is none of numbers.
            if pd.api.types.is_datetime64_any_dtype(frame[name]) or numbers.notna().sum() < len(known):
                continue
            block = numbers.to_numpy(np.float64, na_value=np.nan)[:, None]
            names.append(name)
        taken.append(np.where(np.isfinite(block), block, np.nan))
    return np.hstack(taken).astype(np.float32) if taken else np.zeros((len(frame), 0), np.float32), names

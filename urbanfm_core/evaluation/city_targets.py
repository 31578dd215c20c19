"""Labels of several cities that mean the same: one task, the same classes, the same shares, in the same order."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.errors import ConfigError, InputError, about
from urbanfm_core.evaluation.targets import Target, read_targets

_WILD = set("*?[")


def read_city_targets(
    specifications: Sequence[str],
    labels: Mapping[str, pd.DataFrame],
    area_km2: Mapping[str, NDArray[np.float64]],
    task: str = "auto",
) -> dict[str, list[Target]]:
    """The targets of each city, read from the labels of all cities together.

    So a class has the same place everywhere, also where a city does not have it, and the positive class is one.

    Args:
        specifications: As of `read_targets`.
        labels: By city, one row per region.
        area_km2: By city, of the same regions.
        task: Task of all targets that do not name their own.
    Raises:
        ConfigError: a city lacks a column, or has another number of columns of a pattern; or as `read_targets`.
        InputError: a column holds numbers in one city and texts in another; or as `read_targets`.
    """
    common = [name for name in next(iter(labels.values())).columns if all(name in one for one in labels.values())]
    for part in (part for text in specifications for part in re.split(r"[,+]", text) if _WILD & set(part)):
        _same_columns(part.strip(), labels)
    named = {part for text in specifications for part in re.split(r"[,+:/]", text)}
    for column in (column for column in common if str(column) in named):
        _same_kind(column, labels)
    joined = pd.concat([one[common] for one in labels.values()], ignore_index=True)
    with about("Labels that all cities have"):
        found = read_targets(specifications, joined, np.concatenate([*area_km2.values()]), task)
    ends = np.cumsum([len(one) for one in labels.values()])
    return {
        city: [_of_rows(target, slice(end - len(one), end)) for target in found]
        for (city, one), end in zip(labels.items(), ends, strict=True)
    }


def relative(target: Target, city: str) -> Target:
    """Numbers as deviations from the mean of their city, in its standard deviations; other targets as they are.

    Raises:
        InputError: the city has one value only.
    """
    if target.task != "regression":
        return target
    spread = float(np.nanstd(target.values))
    if not spread > 0:
        raise InputError(f"Target '{target.name}' has one value only in {city}, so nothing is relative to it.")
    return replace(target, values=(target.values - np.nanmean(target.values)) / spread)


def _of_rows(target: Target, rows: slice) -> Target:
    density = None if target.density is None else target.density[rows]
    return replace(target, values=target.values[rows], density=density)


def _same_columns(pattern: str, labels: Mapping[str, pd.DataFrame]) -> None:
    found = {
        city: {name for name in map(str, one) if fnmatch.fnmatchcase(name, pattern)} for city, one in labels.items()
    }
    every = set.union(*found.values())
    for city, names in found.items():
        if every - names:
            raise ConfigError(
                f"Target '{pattern}': {city} lacks {', '.join(sorted(every - names)[:8])}, which another city has.",
                "Name the columns that all cities have, joined by +.",
            )


def _same_kind(column: str, labels: Mapping[str, pd.DataFrame]) -> None:
    numeric = {city: pd.api.types.is_numeric_dtype(one[column].dtype) for city, one in labels.items()}
    if len(set(numeric.values())) > 1:
        texts = ", ".join(city for city, number in numeric.items() if not number)
        raise InputError(
            f"Target '{column}' holds texts in {texts} and numbers in the other cities.", "Labels must mean the same."
        )

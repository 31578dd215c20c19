"""Targets: what to predict, which task that is, and the numbers that a probe learns.

A target is written `price`, `log:price` (natural logarithm), `population/km2` (per square kilometre of the region),
`log:population/km2`, `land_use:multiclass` (a task of its own), `occ_*` or `occ_1+occ_2+occ_3` (shares of a whole).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.evaluation.metrics import Task

_TASKS = get_args(Task)
_MOST_CLASSES = 50
# Beyond these, squares are no numbers any more.
_LARGEST, _SMALLEST = 1e100, 1e-100
_COMMA = re.compile(r"[+-]?\d*(,\d+)?$")
_PEOPLE = re.compile(r"pop(\d|_|$|ulation)|inhabitants|residents|einwohner|habitant", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """One target, ready for probes.

    Attributes:
        name: As the user wrote it, without a task.
        task: What kind of prediction.
        values: (R, K) float64: values (K = 1) or shares; NaN rows are regions without a usable label.
        classes: Names of the K shares or classes; the positive class of a binary target is the second.
        density: (R,) inhabitants per km2 if the target counts people or is their density, else None.
        notes: What was guessed, left out or changed.
        log: Whether the values are natural logarithms.
    """

    name: str
    task: Task
    values: NDArray[np.float64]
    classes: tuple[str, ...] = ()
    density: NDArray[np.float64] | None = None
    notes: list[str] = field(default_factory=list)
    log: bool = False

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(R,) whether a region has a label."""
        return np.asarray(np.isfinite(self.values).all(axis=1))


def read_targets(
    specifications: Sequence[str], labels: pd.DataFrame, area_km2: NDArray[np.float64], task: str = "auto"
) -> list[Target]:
    """The targets that the user named.

    Args:
        specifications: As above; one text may hold several, separated by commas.
        labels: One row per region, in their order.
        area_km2: (R,) area of the regions; 0 of points.
        task: Task of all targets that do not name their own; 'auto' guesses it from the column.

    Raises:
        ConfigError: no such column, or a target that cannot be read.
        InputError: a column that does not fit the task.
    """
    found = []
    for text in specifications:
        for part in [text] if text in labels.columns else text.split(","):
            if part.strip():
                found += _read(part.strip(), labels, area_km2, task)
    names = [target.name for target in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"The target '{name}' is named twice.", "Name each once.")
    return found


def _read(text: str, labels: pd.DataFrame, area_km2: NDArray[np.float64], task: str) -> list[Target]:
    log, per_area = False, False
    rest = text
    if rest not in labels.columns:
        head, _, tail = rest.rpartition(":")
        if head and tail in _TASKS:
            rest, task = head, tail
        if rest.startswith("log:"):
            rest, log = rest.removeprefix("log:"), True
        if rest.endswith("/km2"):
            rest, per_area = rest.removesuffix("/km2"), True
    columns = _columns(rest, labels)
    several = rest not in labels.columns
    notes: list[str] = []
    labels = labels.assign(**{column: _without_empty(labels[column], column, notes) for column in columns})
    if task == "distribution" or (several and task == "auto"):
        if log or per_area or len(columns) < 2:
            raise ConfigError(
                f"Target '{text}': shares of a whole need two or more columns and no logarithm.",
                "Write a pattern such as occ_*, or columns joined by +.",
            )
        return [_distribution(rest, columns, labels, notes)]
    targets = []
    for column in columns:
        name = f"{'log:' if log else ''}{column}{'/km2' if per_area else ''}"
        chosen = _guess(labels[column], name) if task == "auto" and not (log or per_area) else task
        if chosen in ("auto", "regression"):
            target = _regression(name, column, labels[column], log, area_km2 if per_area else None, area_km2)
        elif log or per_area:
            raise ConfigError(f"Target '{text}': a logarithm or density is for the task regression.")
        else:
            target = _classes(name, labels[column], chosen)
        targets.append(replace(target, notes=[*notes, *target.notes]))
    return targets


def _without_empty(column: pd.Series, name: str, notes: list[str]) -> pd.Series:
    """A column whose empty texts are missing, as a person means them to be."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    empty = column.map(lambda value: isinstance(value, str) and not value.strip()).to_numpy(bool)
    if empty.any():
        notes.append(f"{name}: {int(empty.sum())} regions have an empty text, and so no label.")
    return column.mask(empty) if empty.any() else column


def _columns(text: str, labels: pd.DataFrame) -> list[str]:
    names = [str(name) for name in labels.columns]
    if text in names:
        return [text]
    found: list[str] = []
    for part in text.split("+"):
        part = part.strip()
        found += [part] if part in names else [name for name in names if fnmatch.fnmatchcase(name, part)]
    wanted = [part.strip() for part in text.split("+") if not set("*?[") & set(part)]
    missing = [part for part in wanted if part not in names]
    if missing or not found:
        raise ConfigError(
            f"There is no label column '{', '.join(missing) or text}'.", f"The columns: {', '.join(names) or 'none'}."
        )
    return list(dict.fromkeys(found))


def _guess(column: pd.Series, name: str) -> str:
    known = column.dropna()
    distinct = known.nunique()
    if distinct < 2:
        raise InputError(f"Target '{name}' has {distinct} different values; at least two are needed.")
    if pd.api.types.is_bool_dtype(column.dtype) or distinct == 2:
        return "binary"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "regression"
    if distinct > min(_MOST_CLASSES, len(known) / 2):
        hint = "Choose another column."
        if _comma(known):
            hint = _comma_hint(str(column.name))
        elif pd.to_numeric(known, errors="coerce").notna().all() and not pd.api.types.is_datetime64_any_dtype(known):
            hint = f"They are numbers that are written as text: '{name}:regression' takes them for numbers."
        raise InputError(
            f"Target '{name}' has {distinct} different texts in {len(known)} regions, which is no classification; the first is "
            f"'{known.iloc[0]}'.",
            hint,
        )
    return "multiclass"


def _numbers(name: str, column: pd.Series) -> NDArray[np.float64]:
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    lost = column[~np.isfinite(values) & column.notna().to_numpy()]
    if len(lost):
        hint = (
            _comma_hint(str(column.name)) if _comma(lost) else "Choose a column of numbers, or make these values NULL."
        )
        raise InputError(f"Target '{name}': {len(lost)} values are not numbers, such as '{lost.iloc[0]}'.", hint)
    return values


def _comma(values: pd.Series) -> bool:
    """Whether values are texts of numbers, some with a decimal comma."""
    texts = [value.strip() for value in values if isinstance(value, str)]
    return len(texts) == len(values) and all(map(_COMMA.match, texts)) and any("," in text for text in texts)


def _comma_hint(column: str) -> str:
    return (
        "They have a decimal comma. Make a field of numbers from it, in QGIS's field calculator with "
        f"to_real(replace(\"{column}\", ',', '.'))."
    )


def _regression(
    name: str, column: str, series: pd.Series, log: bool, divide: NDArray[np.float64] | None, area: NDArray[np.float64]
) -> Target:
    values = _numbers(name, series)
    notes, density = _marked_missing(name, values), None
    surface = bool((area > 0).all())
    if _PEOPLE.search(column) and (surface or "dens" in column.lower()):
        density = values if "dens" in column.lower() else values / area
    if divide is not None:
        if not surface:
            raise ConfigError(f"Target '{name}': points have no area to divide by.", f"Predict '{column}' itself.")
        values = values / divide
    if log:
        useless = int((values <= 0).sum())
        if useless:
            notes.append(f"{name}: {useless} regions have no positive value and so no logarithm: left out.")
        values = np.log(np.where(values > 0, values, np.nan))
    known = values[np.isfinite(values)]
    if not len(known) or np.ptp(known) == 0:
        raise InputError(f"Target '{name}' has one value only, so there is nothing to predict.")
    largest = float(np.abs(known).max())
    if largest > _LARGEST or np.ptp(known) < _SMALLEST:
        raise InputError(
            f"Target '{name}' has values up to {largest:.3g}: numbers beyond {_LARGEST:g}, or that differ by less than "
            f"{_SMALLEST:g}, cannot be squared.",
            "Give it in another unit; what marks a missing value should be NULL.",
        )
    return Target(name, "regression", values[:, None], (), density, notes, log)


def _marked_missing(name: str, values: NDArray[np.float64]) -> list[str]:
    """A note where a number looks like a marker of missing values: negative and repeated, when all others are not."""
    known = values[np.isfinite(values)]
    lowest = known.min(initial=0.0)
    count = int((known == lowest).sum())
    if lowest >= 0 or count < 2 or count == len(known) or known[known > lowest].min() < 0:
        return []
    return [f"{name}: {count} regions have {lowest:g}, all others 0 or more; if it marks missing values, make it NULL."]


def _classes(name: str, series: pd.Series, task: str) -> Target:
    known = series.notna().to_numpy()
    texts = np.array([_class_name(value) for value in series[known]], dtype=object)
    names, counts = np.unique(texts.astype(str), return_counts=True)
    if len(names) < 2 or (task == "binary" and len(names) != 2):
        raise InputError(
            f"Target '{name}' has {len(names)} classes; {'two' if task == 'binary' else 'two or more'} are needed.",
            "Choose another task.",
        )
    notes = []
    if task == "binary":
        ordered = pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_bool_dtype(series.dtype)
        if not ordered and counts[1] > counts[0]:
            names = names[::-1]
        notes.append(f"{name}: the positive class is '{names[1]}'.")
    values = np.full((len(series), len(names)), np.nan)
    values[known] = texts.astype(str)[:, None] == names[None, :]
    return Target(name, task, values, tuple(str(item) for item in names), None, notes)  # type: ignore[arg-type]


def _class_name(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _distribution(name: str, columns: list[str], labels: pd.DataFrame, said: list[str]) -> Target:
    values = np.column_stack([_numbers(column, labels[column]) for column in columns])
    if (values < 0).any():
        raise InputError(f"Target '{name}': shares of a whole cannot be negative.", f"Columns: {', '.join(columns)}.")
    total = values.sum(axis=1)
    notes = [*said, f"{name}: shares of {len(columns)} columns, {columns[0]} to {columns[-1]}."]
    empty = int((total == 0).sum())
    if not (total > 0).any():
        raise InputError(
            f"Target '{name}': in all {len(total)} regions the columns are missing or sum to 0, so there are no shares.",
            f"Columns: {', '.join(columns)}.",
        )
    if empty:
        notes.append(f"{name}: {empty} regions have nothing to divide into shares: left out.")
    usable = np.isfinite(total) & (total > 0)
    if usable.any() and np.abs(total[usable] - 1).max() > 1e-3:
        notes.append(f"{name}: the columns do not sum to 1 and were divided by their sum.")
    shares = np.full(values.shape, np.nan)
    shares[usable] = values[usable] / total[usable, None]
    return Target(name, "distribution", shares, tuple(columns), None, notes)

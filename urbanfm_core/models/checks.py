"""Checks of a method's configuration, and of what its checkpoint keeps, with one wording for all methods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from urbanfm_core.errors import CheckpointError, ConfigError


def whole_numbers(config: Any, lowest: Mapping[str, int]) -> None:
    """Check that fields are whole numbers, each of at least its lowest value.

    Raises:
        ConfigError: one is not.
    """
    for name, low in lowest.items():
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ConfigError(f"{name} must be a whole number of at least {low}, found {value!r}.")


def numbers(config: Any, names: Iterable[str]) -> None:
    """Check that fields are numbers.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        if not _is_number(getattr(config, name)):
            raise ConfigError(f"{name} must be a number, found {getattr(config, name)!r}.")


def positive(config: Any, names: Iterable[str]) -> None:
    """Check that fields are finite numbers above 0.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or not 0 < value < math.inf:
            raise ConfigError(f"{name} must be a number above 0, found {value!r}.")


def not_negative(config: Any, names: Iterable[str]) -> None:
    """Check that fields are finite numbers of at least 0.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or not 0 <= value < math.inf:
            raise ConfigError(f"{name} must be a number of at least 0, found {value!r}.")


def shares(config: Any, names: Iterable[str], *, below_one: bool = False) -> None:
    """Check that fields lie in [0, 1], or in [0, 1).

    Raises:
        ConfigError: one does not.
    """
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or not 0 <= value <= 1 or (below_one and value == 1):
            raise ConfigError(f"{name} must lie in [0, 1{')' if below_one else ']'}, found {value!r}.")


def switches(config: Any, names: Iterable[str]) -> None:
    """Check that fields are true or false.

    Raises:
        ConfigError: one is neither.
    """
    for name in names:
        if not isinstance(getattr(config, name), bool):
            raise ConfigError(f"{name} must be true or false, found {getattr(config, name)!r}.")


def texts(config: Any, names: Iterable[str]) -> None:
    """Check that fields are texts.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        if not isinstance(getattr(config, name), str):
            raise ConfigError(f"{name} must be a text, found {getattr(config, name)!r}.")


def choices(config: Any, offered: Mapping[str, Iterable[str]]) -> None:
    """Check that each field is one of the values offered for it.

    Raises:
        ConfigError: one is not.
    """
    for name, values in offered.items():
        if getattr(config, name) not in tuple(values):
            raise ConfigError(f"There is no {name} {getattr(config, name)!r}.", f"Choose one of: {', '.join(values)}.")


def multiples(config: Any, pairs: Iterable[tuple[str, str]]) -> None:
    """Check that the first field of each pair is a multiple of the second.

    Raises:
        ConfigError: one is not.
    """
    for whole, part in pairs:
        if getattr(config, whole) % getattr(config, part):
            raise ConfigError(f"{whole} {getattr(config, whole)} is no multiple of {part} {getattr(config, part)}.")


def require_kept(preprocessing: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    """The preprocessing of a checkpoint, if it tells all that new data need to be treated as in training.

    Raises:
        CheckpointError: it does not.
    """
    missing = [name for name in names if name not in preprocessing]
    if missing:
        raise CheckpointError(
            f"The checkpoint's preprocessing lacks {', '.join(missing)}.", "Train again, or import the weights again."
        )
    return preprocessing


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""What a stage of the benchmark is: cases, each with inputs that are generated, contenders, and a comparison.

A stage is a module with `CASES`, a dictionary of `Case`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

Arrays = dict[str, np.ndarray]


class Mismatch(Exception):
    """Two contenders that ought to agree do not; nothing is timed then."""


class Unavailable(Exception):
    """A contender cannot run here; the message says what is missing."""


@dataclass(frozen=True)
class Setting:
    """What a contender may use.

    Attributes:
        inputs: Folder with what the case's `make` wrote; read only.
        scratch: Folder of this contender's own.
        published: Checkout of the public code that a peer comes from, or None.
    """

    inputs: Path
    scratch: Path
    published: Path | None = None

    def require_published(self) -> Path:
        """The checkout.

        Raises:
            Unavailable: none was given.
        """
        if self.published is None:
            raise Unavailable("needs --published FOLDER, a checkout of the public code")
        return self.published


@dataclass(frozen=True)
class Output:
    """What a run gives.

    Attributes:
        collect: Makes the arrays to be compared, once, when time and memory have been taken.
        share: Part of the work that was done; slow peers do a part, and their time is divided by it.
    """

    collect: Callable[[], Arrays] = dict
    share: float = 1.0


# Imports and loads, untimed; what it returns is the work, timed at each call.
Prepare = Callable[[Setting], Callable[[], Output]]
Role = Literal["ours", "peer", "floor"]


@dataclass(frozen=True)
class Contender:
    """One way to do the work."""

    prepare: Prepare
    role: Role


@dataclass(frozen=True)
class Goal:
    """A ratio that ours should reach: `at_most` times the contender `of`, in seconds or in peak memory."""

    ours: str
    of: str
    at_most: float
    measure: Literal["seconds", "peak_mib"] = "seconds"


@dataclass(frozen=True)
class Case:
    """One set of inputs and the contenders on it.

    Attributes:
        title: What is measured, in words.
        make: Writes the inputs of a scale into a folder, always the same for a seed.
        contenders: By name.
        compare: Given the outputs by name, says in words how well each agrees.
            Raises Mismatch when one does not. A floor that computes nothing is not among the outputs.
        goals: What ours should reach.
    """

    title: str
    make: Callable[[Path, float, int], None]
    contenders: Mapping[str, Contender]
    compare: Callable[[Mapping[str, Arrays]], dict[str, str]]
    goals: tuple[Goal, ...] = ()


def largest_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference; infinite where shapes or missing values differ."""
    if found.shape != expected.shape or not np.array_equal(np.isnan(found), np.isnan(expected)):
        return float("inf")
    return float(np.nanmax(np.abs(found.astype(np.float64) - expected), initial=0.0))


def require_close(name: str, found: np.ndarray, expected: np.ndarray, tolerance: float) -> str:
    """The largest difference in words.

    Raises:
        Mismatch: it is above the tolerance.
    """
    difference = largest_difference(found, expected)
    if not difference <= tolerance:
        raise Mismatch(f"{name}: differs by {difference:.3g} where at most {tolerance:.3g} is allowed.")
    return f"differs by at most {difference:.1e}"


def grid_shape(base: tuple[int, int], scale: float, multiple: int = 64) -> tuple[int, int]:
    """Rows and columns of a raster of `scale` times the area: 2 is twice the rows, 4 twice both."""
    if scale >= 1 and float(scale).is_integer():
        across = max(n for n in range(1, int(scale) + 1) if scale % n == 0 and n * n <= scale)
        return base[0] * int(scale) // across, base[1] * across
    rows, columns = (max(multiple, round(side * scale**0.5 / multiple) * multiple) for side in base)
    return rows, columns

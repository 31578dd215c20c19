"""Every error that UrbanFM raises on purpose.

A message says what went wrong, where (file, layer, region id), what was expected and what was found; `hint`
says how to mend it. Anything else that reaches the user is a bug.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UrbanFMError(Exception):
    """Root of the family.

    Args:
        message: What, where, expected, found.
        hint: What the user can do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(UrbanFMError, ValueError):
    """A parameter, preset or configuration file is not usable."""


class InputError(UrbanFMError, ValueError):
    """An input layer, table or raster is not usable."""


class CRSError(InputError):
    """A layer lacks a coordinate reference system, or has one that cannot be used."""


class NoOverlapError(InputError):
    """Two inputs share no ground."""


class EmptyInputError(InputError):
    """An input holds nothing usable."""


class ShapeError(UrbanFMError, ValueError):
    """An array has another shape than its contract says."""


class CheckpointError(UrbanFMError, ValueError):
    """A checkpoint is incomplete, damaged, hostile or made for something else."""


class OutputError(UrbanFMError, OSError):
    """A result cannot be written."""


class MissingDependencyError(UrbanFMError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed.",
            f"Install it with: pip install 'urbanfm[{extra}]'",
        )


class RemoteError(UrbanFMError, ConnectionError):
    """A service on the network refused, or did not answer."""


class Cancelled(UrbanFMError):
    """The user asked to stop; finished partitions are kept."""

    def __init__(self, message: str = "Cancelled.") -> None:
        super().__init__(message)


class ResourceError(UrbanFMError, MemoryError):
    """The machine has too little memory for the smallest step of the work."""


class TrainingError(UrbanFMError, ArithmeticError):
    """Training cannot go on: a loss is not finite."""


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Let errors from inside say what they are about, such as one of several cities; nothing is said of ''."""
    try:
        yield
    except UrbanFMError as error:
        if subject and not isinstance(error, Cancelled):
            error.message = f"{subject}: {error.message}"
        raise

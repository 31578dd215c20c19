"""Pickles, opened without running anything that is in them: torch's, and plain ones of NumPy arrays (Paddle)."""

from __future__ import annotations

import math

# Nothing is unpickled but by torch's restricted reader, or by one that builds nothing but the classes below.
import pickle  # nosec B403
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from urbanfm_core.errors import CheckpointError

# The restricted unpicklers meet damaged files with whatever their stack machine stumbles over.
_STUMBLES = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    MemoryError,
)
_NUMBERS = re.compile(r"[fiu][1248]|b1")


def load_plain_pickle(path: str | Path) -> dict[str, Any]:
    """A dict of tensors and plain values from a torch file.

    Raises:
        CheckpointError: it cannot be read, holds anything else than tensors and plain values, or no dict.
    """
    path = _existing(path)
    _check_sums(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("WeightsUnpickler error:")[2].strip().splitlines()
        raise CheckpointError(
            f"{path} holds more than tensors and plain values and was refused; nothing in it was run"
            f"{f' ({reason[0]})' if reason else ''}.",
            "Ask its author for a file that holds weights only.",
        ) from error
    except _STUMBLES as error:
        raise CheckpointError(f"{path} is not a whole torch file: {error}.", "Download it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected a dict of weights and settings.")
    return content


def load_array_pickle(path: str | Path) -> dict[str, Any]:
    """A dict of NumPy arrays and plain values from a plain pickle, such as Paddle's `.pdparams`.

    Not even NumPy's own unpickling code runs: stand-ins take its place, and arrays are made from their bytes.

    Returns:
        Values by name; arrays of numbers, read-only.
    Raises:
        CheckpointError: it cannot be read, holds anything else than arrays and plain values, or no dict by names.
    """
    path = _existing(path)
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file).load()
        if isinstance(content, dict):
            content = {key: _plain(value) for key, value in content.items()}
    except _Refused as error:
        raise CheckpointError(
            f"{path} holds more than arrays of numbers and plain values and was refused; nothing in it was run "
            f"({error}).",
            "Ask its author for a file that holds weights only.",
        ) from error
    except (pickle.UnpicklingError, *_STUMBLES) as error:
        raise CheckpointError(f"{path} is not a whole pickle of arrays: {error}.", "Download it again.") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected a dict of weights by name.")
    return content


class _Refused(pickle.UnpicklingError):
    """The file asks for something that is not an array of numbers."""


class _DataType:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise _Refused(f"an array of type {code!r}")
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise _Refused(f"numbers in the byte order {state[1]!r}")
        self.order = state[1]


class _Array:
    """Stands for `numpy.ndarray` and for NumPy's maker of empty arrays, which are filled afterwards.

    Attributes:
        values: The array; None before it is filled.
    """

    values: np.ndarray | None = None

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, columns_first, data = state
        if not isinstance(kind, _DataType) or not isinstance(data, bytes):
            raise _Refused("an array that is not of numbers")
        dtype = np.dtype(kind.order + kind.code)
        if any(not isinstance(side, int) or side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != len(
            data
        ):
            raise ValueError(f"an array of shape {shape!r} and type {kind.code} has {len(data)} bytes")
        self.values = np.frombuffer(data, dtype).reshape(shape, order="F" if columns_first else "C")


class _Latin1(bytes):
    """Stands for `_codecs.encode`, by which old protocols write bytes; any other encoding is refused."""

    def __new__(cls, text: Any, encoding: Any = "latin1") -> _Latin1:
        if not isinstance(text, str) or encoding != "latin1":
            raise _Refused(f"text in the encoding {encoding!r}")
        return super().__new__(cls, text.encode("latin1"))

    def __setstate__(self, state: Any) -> None:
        raise _Refused("bytes that are changed afterwards")


# Classes only, with a __setstate__ each: then a file can change neither them nor this module.
# NumPy 2 has renamed its inner module; files know both names.
_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DataType,
    ("_codecs", "encode"): _Latin1,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise _Refused(f"it asks for {module}.{name}")
        return _STAND_INS[module, name]


def _plain(value: Any) -> Any:
    """The array in a stand-in; other values as they are."""
    if isinstance(value, _Array) and value.values is None:
        raise ValueError("an array without content")
    return value.values if isinstance(value, _Array) else value


def _existing(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.", "Check the path.")
    return path


def _check_sums(path: Path) -> None:
    """Compare the checksums of a zip archive, which torch does not."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, *_STUMBLES) as error:
        raise CheckpointError(f"{path} is not a whole torch file: {error}.", "Download it again.") from error
    if broken is not None:
        raise CheckpointError(f"{path} is damaged: the checksum of {broken} is wrong.", "Download it again.")

"""Torch pickles, opened without running anything that is in them."""

from __future__ import annotations

# Only pickle's error class is used here; nothing is unpickled but by torch's restricted reader.
import pickle  # nosec B403
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from urbanfm_core.errors import CheckpointError

# The restricted unpickler meets damaged files with whatever its stack machine stumbles over.
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


def load_plain_pickle(path: str | Path) -> dict[str, Any]:
    """A dict of tensors and plain values from a torch file.

    Raises:
        CheckpointError: it cannot be read, holds anything else than tensors and plain values, or no dict.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.", "Check the path.")
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

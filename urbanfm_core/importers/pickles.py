"""Torch pickles, opened without running anything that is in them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from urbanfm_core.errors import CheckpointError


def load_plain_pickle(path: str | Path) -> dict[str, Any]:
    """A dict of tensors and plain values from a torch file.

    Raises:
        CheckpointError: it cannot be read, holds anything else than tensors and plain values, or no dict.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.", "Check the path.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("WeightsUnpickler error:")[2].strip().splitlines()
        raise CheckpointError(
            f"{path} holds more than tensors and plain values and was refused; nothing in it was run"
            f"{f' ({reason[0]})' if reason else ''}.",
            "Ask its author for a file that holds weights only.",
        ) from error
    # The restricted unpickler meets damaged files with whatever its stack machine stumbles over.
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a whole torch file: {error}.", "Download it again.") from error
    except (zipfile.BadZipFile, UnicodeDecodeError, AssertionError) as error:
        raise CheckpointError(f"{path} is not a whole torch file: {error}.", "Download it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected a dict of weights and settings.")
    return content

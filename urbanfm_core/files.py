"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from urbanfm_core.errors import OutputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary sibling of `path` to write to; it takes the name `path` when the block ends well.

    Serves files and folders. An existing file or folder of that name is replaced, and only then. The temporary
    name keeps the suffix, since drivers choose the format by it.

    Raises:
        OutputError: the folder cannot be written, or the disk refused the rename.
    """
    path = Path(path).expanduser().absolute()
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise OutputError(
            f"Cannot write to the folder of {path}: {error.strerror or error}.", "Choose another output folder."
        ) from error
    try:
        yield temporary
        _replace(temporary, path)
    finally:
        _remove(temporary)
        for sidecar in path.parent.glob(f"{temporary.name}*"):
            _remove(sidecar)


def _replace(temporary: Path, path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            # A folder cannot be renamed over a non-empty one: move the old one aside first.
            aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
            os.replace(path, aside)
            try:
                os.replace(temporary, path)
            except OSError:
                os.replace(aside, path)
                raise
            shutil.rmtree(aside)
        else:
            os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"Cannot finish {path}: {error.strerror or error}.", "Is it open elsewhere?") from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

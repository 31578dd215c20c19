"""Files that appear whole or not at all.

What is being written bears a temporary name, `.NAME.MACHINE-PID-RANDOM.part.SUFFIX`, which says whose it is: a run that
was killed cannot tidy up, so the next one that writes the same target does it, and leaves alone what a running process
still writes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from urbanfm_core.errors import OutputError, UrbanFMError

# Errors of the operating system that mean: nothing more fits on the disk, or nothing may be written to it.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (*_FULL, errno.EROFS, errno.EIO)
_TEMPORARY = re.compile(
    r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{4})-(?P<pid>[0-9a-f]+)-[0-9a-f]{8}\.(?P<kind>part|old)(?P<rest>.*)",
    re.DOTALL,
)
# Clocks of files and of processes may differ by so much.
_CLOCK_SLACK_S = 60.0
# Whether a process of another machine runs cannot be seen from here; what it writes is not untouched for so long.
_OTHER_MACHINE_S = 7 * 86_400.0


@contextmanager
def atomic_path(path: str | Path, *, sweep: bool = True) -> Iterator[Path]:
    """A temporary sibling of `path` to write to; it takes the name `path` when the block ends well.

    Serves files and folders. An existing file or folder of that name is replaced, and only then; a folder by a folder
    only. The temporary name keeps the suffix, since drivers choose the format by it.

    Args:
        path: Where the file or folder is to appear.
        sweep: First remove what killed processes left of the same target. Whoever writes thousands of files to one
            folder sweeps it once with `remove_leftovers`.

    Raises:
        OutputError: the folder cannot be written, the disk is full, it refused the rename, or a file would take the place of
            a folder.
    """
    if not Path(path).name:
        raise OutputError(f"An output is named '{path}', which is no name of a file.", "Give it a name.")
    path = Path(path).expanduser().absolute()
    temporary = path.with_name(f".{_plain(path.stem)}.{_owner()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise OutputError(
            f"Cannot write to the folder of {path}: {error.strerror or error}.", "Choose another output folder."
        ) from error
    if sweep:
        remove_leftovers(path.parent, path.name)
    try:
        yield temporary
        _replace(temporary, path)
    except OSError as error:
        refused = refusal(error, path)
        if refused is None:
            raise
        raise refused from error
    finally:
        for entry in _entries(path.parent):
            if entry.name.startswith(temporary.name):  # drivers put files of their own beside it
                _remove(Path(entry.path))


def refusal(error: OSError, path: str | Path = "") -> OutputError | None:
    """What an error of the operating system means for the user, if it means that the disk took no more."""
    if isinstance(error, UrbanFMError) or error.errno not in _REFUSED:
        return None
    where = path or error.filename or "the output"
    hint = "Free some space or choose another disk; an earlier file of that name is as it was."
    if error.errno not in _FULL:
        hint = "Choose another disk."
    return OutputError(f"Cannot write {where}: {error.strerror or error}.", hint)


def folder_in_the_way(path: str | Path) -> OutputError:
    """The refusal to put a file in the place of a folder, and of all that it holds."""
    return OutputError(f"{path} is a folder, and a file is to be written.", "Give the file a name of its own.")


def remove_leftovers(folder: str | Path, name: str | None = None) -> None:
    """Remove the temporary files and folders of processes that are gone; a folder that was put aside comes back.

    Args:
        folder: Where to look; not below.
        name: Only those of the target of this name; None for all.
    """
    folder = Path(folder)
    target = None if name is None else Path(name)
    for entry in _entries(folder):
        found = _TEMPORARY.fullmatch(entry.name)
        if found is None:
            continue
        aside = found["kind"] == "old"
        if target is not None and (
            found["name"] != (target.name if aside else _plain(target.stem))
            or not (aside or found["rest"].startswith(target.suffix))
        ):
            continue
        path = Path(entry.path)
        if _is_in_use(path, found["machine"], int(found["pid"], 16)):
            continue
        original = folder / found["name"]
        if aside and not original.exists():
            # Killed between the two renames of `_replace`.
            path.rename(original)
        else:
            _remove(path)


def remove_folder(path: str | Path) -> None:
    """Remove a folder at once or not at all: whoever looks for it never finds half of it. One that is absent is fine."""
    path = Path(path)
    doomed = path.with_name(f".{_plain(path.stem)}.{_owner()}.part{path.suffix}")
    try:
        path.rename(doomed)
    except OSError:
        doomed = path  # open elsewhere, as far as Windows is concerned
    shutil.rmtree(doomed, ignore_errors=True)


def _plain(stem: str) -> str:
    """A name without the characters that libraries which take paths for addresses would cut it at."""
    return re.sub(r"[;?#!]", "_", stem)


def _owner() -> str:
    """Machine, process, and a random part for its threads."""
    return f"{_machine()}-{os.getpid():x}-{secrets.token_hex(4)}"


@lru_cache(maxsize=1)
def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:4]


def _is_in_use(path: Path, machine: str, pid: int) -> bool:
    """Whether the process that made a temporary file may still be writing it."""
    import psutil  # here, since most callers of this module never ask

    try:
        touched = max(status.st_mtime for status in _statuses(path))
    except (OSError, ValueError):
        return False
    if machine != _machine():
        return time.time() - touched < _OTHER_MACHINE_S
    try:
        process = psutil.Process(pid)
        # Numbers of processes are given out again: one that began later did not make it.
        runs: bool = process.status() != psutil.STATUS_ZOMBIE
        return runs and bool(process.create_time() <= touched + _CLOCK_SLACK_S)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _statuses(path: Path) -> Iterator[os.stat_result]:
    yield path.lstat()
    if path.is_dir() and not path.is_symlink():
        for below in path.rglob("*"):
            yield below.lstat()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if entry.name.startswith(".")]
    except OSError:
        return []


def _replace(temporary: Path, path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            if not temporary.is_dir():
                raise folder_in_the_way(path)
            # A folder cannot be renamed over a non-empty one: move the old one aside first.
            aside = path.with_name(f".{path.name}.{_owner()}.old")
            os.replace(path, aside)
            try:
                os.replace(temporary, path)
            except OSError:
                os.replace(aside, path)
                raise
            shutil.rmtree(aside)
        else:
            os.replace(temporary, path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"Cannot finish {path}: {error.strerror or error}.", "Is it open elsewhere?") from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

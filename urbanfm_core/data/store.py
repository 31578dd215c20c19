"""The sample store: a folder of finished partitions, named by a fingerprint of what they were made from.

A partition is a folder of `.npy` files, written to a temporary name and renamed, so that one which exists is whole
and a rerun skips it. Arrays come back memory-mapped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import urbanfm_core
from urbanfm_core.errors import InputError, OutputError
from urbanfm_core.files import atomic_path, remove_folder, remove_leftovers

_SAMPLE_BYTES = 1 << 20


class SampleStore:
    """Finished partitions under `root/<fingerprint>`.

    Args:
        root: Folder that holds all stores of a user or a project.
        made_from: Everything that the content depends on, JSON-like: parameters, and `file_identity` of each input.
    """

    def __init__(self, root: str | Path, made_from: Mapping[str, Any]) -> None:
        self.fingerprint = fingerprint(made_from)
        self.path = Path(root) / self.fingerprint
        self._made_from = made_from
        for folder in (self.path, *(found for found in self.path.rglob("*") if found.is_dir())):
            remove_leftovers(folder)

    def beside(self, purpose: str, made_from: Mapping[str, Any]) -> SampleStore:
        """A store of the same cache for what depends on less; it stays when this one is removed."""
        return SampleStore(self.path.parent.parent / purpose, {"purpose": purpose, **made_from})

    def create(self) -> None:
        """Make the folder; `save` does it when there is something to keep, so that a run that fails early leaves none."""
        manifest = self.path / "manifest.json"
        if manifest.exists():
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"Cannot keep samples in {self.path}: {error.strerror or error}.", "Choose another folder: --cache."
            ) from error
        remove_leftovers(self.path.parent, self.path.name)
        with atomic_path(manifest) as temporary:
            temporary.write_text(json.dumps(self._made_from, indent=1, sort_keys=True, default=str))

    def has(self, name: str) -> bool:
        """Whether the partition `name` (slashes allowed) is finished."""
        return (self.path / name).is_dir()

    def save(self, name: str, **arrays: np.ndarray) -> None:
        """Write one partition: plain numeric, boolean or fixed-width text arrays.

        Raises:
            OutputError: the disk is full or may not be written.
        """
        self.create()
        with atomic_path(self.path / name, sweep=False) as temporary:
            try:
                temporary.mkdir(parents=True)
                for key, array in arrays.items():
                    np.save(temporary / f"{key}.npy", array, allow_pickle=False)
            except OSError as error:  # on a full disk NumPy's says only how much it wrote
                raise OutputError(
                    f"Cannot keep samples in {self.path}: {error.strerror or error}.",
                    "Is the disk full? Choose another folder: --cache.",
                ) from error

    def load(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a finished partition, memory-mapped and read-only."""
        return {
            file.stem: np.load(file, mmap_mode="r", allow_pickle=False)
            for file in sorted((self.path / name).glob("*.npy"))
        }

    def partitions(
        self, folder: str, rows: int, at_once: int, make: Callable[[slice], Mapping[str, np.ndarray]]
    ) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
        """Something about many rows, one partition after another: those that are finished, and else made and kept.

        Args:
            folder: Where they are kept; it must tell apart whatever the content depends on.
            rows: Number of rows.
            at_once: Rows of a partition.
            make: Arrays of some rows.
        Yields:
            The rows of each partition in turn, and its arrays, memory-mapped.
        """
        for number, start in enumerate(range(0, rows, at_once)):
            part, name = slice(start, min(start + at_once, rows)), f"{folder}/{number:05d}"
            if not self.has(name):
                self.save(name, **make(part))
            yield part, self.load(name)

    def remove(self) -> None:
        """Delete the store, when what it helped to make is finished."""
        remove_folder(self.path)


def fingerprint(made_from: Mapping[str, Any]) -> str:
    """A short name for everything that something depends on, this library's version included."""
    text = json.dumps({"version": urbanfm_core.__version__, **made_from}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def default_cache() -> Path:
    """Folder of stores when the user names none: `URBANFM_CACHE`, else the system's cache folder."""
    named = os.environ.get("URBANFM_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "urbanfm"


def file_identity(source: str | Path) -> dict[str, Any]:
    """What identifies the content of a file without reading all of it: not its path, so that a copy is the same.

    Size, modification time, a hash of the first and last MiB, and the part of a QGIS-style source after the path; a VRT
    stands for the files that it names only through its own bytes.

    Args:
        source: Path, or QGIS-style "file.gpkg|layername=x".

    Raises:
        InputError: the file does not exist.
    """
    name, _, part = (str(source), "", "") if Path(source).exists() else str(source).partition("|")
    if name.startswith("/vsi"):  # inside an archive or on the web: known to GDAL by its name
        return {"part": part, "source": name}
    path = Path(name)
    try:
        status = path.stat()
        digest = hashlib.sha256()
        if path.is_file():
            with path.open("rb") as file:
                digest.update(file.read(_SAMPLE_BYTES))
                if status.st_size > _SAMPLE_BYTES:
                    file.seek(max(_SAMPLE_BYTES, status.st_size - _SAMPLE_BYTES))
                    digest.update(file.read())
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.", "Check the path.") from error
    return {
        "part": part,
        "bytes": status.st_size,
        "modified_ns": status.st_mtime_ns,
        "sha256_ends": digest.hexdigest(),
    }

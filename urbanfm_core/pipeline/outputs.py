"""What is checked before a stage starts: whether its outputs can be written."""

from __future__ import annotations

import importlib.util
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from urbanfm_core.errors import MissingDependencyError, OutputError
from urbanfm_core.files import folder_in_the_way
from urbanfm_core.parameters import Stage

_RASTER_SUFFIXES = (".tif", ".tiff")


def check_outputs(stage: Stage) -> None:
    """Refuse, before any work is done, what cannot be written.

    Raises:
        OutputError: no name, a Shapefile or another format that is not offered, two outputs in one file, a file in the place
            of an input, a folder or other layers, or a folder that cannot be written.
        CheckpointError: a checkpoint would replace something else.
    """
    named: dict[Path, str] = {}
    read = _files_read(stage)
    for name, item in type(stage).model_fields.items():
        path = getattr(stage, name)
        extra: Any = item.json_schema_extra
        if not extra["output"] or path is None:
            continue
        if not path.strip():
            raise OutputError(f"The name for {name} is empty.", "Name a file, or leave it out.")
        target = Path(path).expanduser()
        if extra["kind"] not in ("checkpoint", "folder") and target.is_dir():
            raise folder_in_the_way(target)
        if target.resolve() in read:
            raise OutputError(
                f"{target} is named for {name}, and is the input {read[target.resolve()]}: it would be lost.",
                "Give the output a name of its own.",
            )
        if target.suffix.lower() == ".shp":
            raise OutputError(
                f"{target}: a Shapefile cannot hold embeddings: it cuts names to 10 letters and texts to 254.",
                "Write a GeoPackage: give a name that ends in .gpkg.",
            )
        other = named.setdefault(target.absolute(), name)
        if other != name:
            raise OutputError(f"{target} is named for both {other} and {name}.", "Give each output a file of its own.")
        if extra["kind"] in ("polygons", "points", "layer") or name == "parquet":
            from urbanfm_core.geo.vector_writer import check_layer_name

            check_layer_name(target.absolute())
        if extra["kind"] == "raster" and target.suffix.lower() not in _RASTER_SUFFIXES:
            raise OutputError(
                f"{target}: rasters are written as GeoTIFF, not as {target.suffix or 'a file without suffix'!r}.",
                "Give a name that ends in .tif.",
            )
        if extra["kind"] == "checkpoint":
            from urbanfm_core.training.checkpoint import guard_replacing

            guard_replacing(target)
        try:
            _probe(target.absolute().parent)
        except OSError as error:
            raise OutputError(
                f"Cannot write {target}: {error.strerror or error}.", "Choose a folder that you may write to."
            ) from error


def _files_read(stage: Stage) -> dict[Path, str]:
    """The files that a stage is told to read, and the parameters that name them."""
    found: dict[Path, str] = {}
    for name, item in type(stage).model_fields.items():
        extra: Any = item.json_schema_extra
        values = getattr(stage, name)
        if extra["output"]:
            continue
        for value in values if isinstance(values, list) else [values]:
            # A table may be written name=path, and a layer path|layername=name.
            for text in (value, value.partition("=")[2]) if isinstance(value, str) else ():
                with suppress(OSError, RuntimeError):  # a text that is no path may be too long for one
                    path = Path(text).expanduser()
                    path = path if path.exists() else Path(text.partition("|")[0]).expanduser()
                    if path.is_file():
                        found[path.resolve()] = name
    return found


def _probe(folder: Path) -> None:
    """Whether a file can be made in a folder, or in the nearest one above it that exists; nothing is left there."""
    while not folder.exists():
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder):
        pass


def check_map(stage: Stage) -> None:
    """A map picture needs matplotlib: say so now, and not after the training."""
    if getattr(stage, "map", None) is not None and importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "A map picture", "plots")

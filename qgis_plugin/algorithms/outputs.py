"""Whether the files that the user names for outputs can be written, asked before any work is done."""

from __future__ import annotations

import re
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Optional

from qgis.core import QgsProcessing, QgsProcessingOutputLayerDefinition

from ..contract import Parameter
from ..i18n import tr
from .values import is_set

# Outputs that become QGIS layers.
SINK_KINDS = ("polygons", "points", "layer")
# Names of layers in memory and in databases, such as memory: and ogr:dbname=...; a drive has one letter.
_NO_FILE = re.compile(r"[a-z]{2,}:", re.IGNORECASE)
_OF_QGIS = ("layer_styles", "qgis_projects")


def output_file(p: Parameter, parameters: dict[str, Any]) -> Optional[Path]:
    """The file that the user names for an output; None for temporary ones, layers in memory, databases and folders."""
    value = parameters.get(p.key)
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        value = value.sink.staticValue()
    if not is_set(value) or not isinstance(value, str) or p.kind in ("checkpoint", "folder"):
        return None
    if value == QgsProcessing.TEMPORARY_OUTPUT or _NO_FILE.match(value):
        return None
    return Path(value).expanduser().absolute()


def output_problem(p: Parameter, path: Path, inputs: dict[Path, str]) -> str:
    """Why an output cannot be written; empty if it can.

    Args:
        p: The output.
        path: Its file.
        inputs: Labels of the inputs by their files.
    """
    label = tr(p.label)
    if p.kind in SINK_KINDS and path.suffix.lower() in (".shp", ".shz", ".dbf"):
        return tr(
            "{}: a Shapefile cuts field names to 10 letters and texts to 254, which destroys embeddings. Choose a "
            "GeoPackage (.gpkg)."
        ).format(label)
    if path.is_dir():
        return tr("{}: {} is a folder. Choose the name of a file.").format(label, path)
    if path.resolve() in inputs:
        return tr("{}: {} is the input '{}', which would be lost. Choose another name.").format(
            label, path, inputs[path.resolve()]
        )
    layers = _layers(path) if p.kind in SINK_KINDS and path.suffix.lower() == ".gpkg" else []
    if len(layers) > 1:
        return tr(
            "{}: {} holds {} layers ({}), which would all be lost. Choose another name, or 'Save to GeoPackage…' to add a "
            "layer."
        ).format(label, path, len(layers), ", ".join(layers[:5]))
    problem = _unwritable(path.parent)
    return tr("{}: {} cannot be written: {}. Choose another folder.").format(label, path, problem) if problem else ""


def _layers(path: Path) -> list[str]:
    """Tables of a GeoPackage that is there already, but for what QGIS keeps in it."""
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
            names = [str(name) for (name,) in file.execute("SELECT table_name FROM gpkg_contents ORDER BY rowid")]
    except sqlite3.Error:  # no GeoPackage, and no loss
        return []
    return [name for name in names if name not in _OF_QGIS]


def _unwritable(folder: Path) -> str:
    """Why no file can be made in a folder, or in the nearest one above it that exists; empty if one can."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=str(folder)):
            return ""
    except OSError as error:
        return str(error.strerror or error)

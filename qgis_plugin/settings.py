"""What the plugin remembers between sessions of QGIS."""

from __future__ import annotations

from qgis.core import QgsSettings

PREFIX = "urbanfm/"
PYTHON = "python"
ENVIRONMENT_FOLDER = "environment_folder"


def get(key: str, default: str = "") -> str:
    """A remembered text."""
    value = QgsSettings().value(PREFIX + key, default)
    return str(value) if value is not None else default


def put(key: str, value: str) -> None:
    """Remember a text; an empty one is forgotten."""
    if value:
        QgsSettings().setValue(PREFIX + key, value)
    else:
        QgsSettings().remove(PREFIX + key)

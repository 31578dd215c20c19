"""Translation of what the user reads."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication


def tr(text: str) -> str:
    """The text in the user's language, or as it is."""
    return QCoreApplication.translate("UrbanFM", text)

"""UrbanFM in QGIS: Processing algorithms that turn a city's layers into one vector per region.

QGIS imports this package; the computing happens in another process with its own Python (see `runtime`).
"""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:
    """What QGIS calls to get the plugin. The import is here so that reading the package costs nothing."""
    from .plugin import UrbanFMPlugin

    return UrbanFMPlugin(iface)

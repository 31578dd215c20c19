"""What QGIS loads: the Processing provider, and with a window also the menu."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsApplication

from .provider import UrbanFMProvider


class UrbanFMPlugin:
    """The plugin. `qgis_process` calls `initProcessing` only, the desktop `initGui`.

    Args:
        iface: QGIS's window; None without one.
    """

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: Optional[UrbanFMProvider] = None
        self._menu: Any = None

    def initProcessing(self) -> None:
        """Register the algorithms."""
        if self._provider is None:
            self._provider = UrbanFMProvider()
            QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Register the algorithms and build the menu."""
        self.initProcessing()
        from .gui.menu import Menu

        self._menu = Menu(self._iface)
        self._menu.install()

    def unload(self) -> None:
        """Take everything back."""
        if self._menu is not None:
            self._menu.remove()
            self._menu = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None

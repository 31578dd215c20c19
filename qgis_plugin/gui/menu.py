"""The plugin's menu."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Callable, Optional

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import Qt, QUrl
from qgis.PyQt.QtGui import QDesktopServices, QIcon
from qgis.PyQt.QtWidgets import QAction

from .. import compat
from ..i18n import tr
from ..paths import metadata, resource

TITLE = "UrbanFM"
_INSPECTOR_ICON = str(resource("icons", "inspector.svg"))
MODELS = (
    "urbanfm_grid_then_embed.model3",
    "urbanfm_grid_embed_cluster.model3",
    "urbanfm_embed_cluster_similar_predict.model3",
)


class Menu:
    """Entries under Plugins > UrbanFM.

    Args:
        iface: QGIS's window.
    """

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._actions: list[QAction] = []
        self._inspect: Optional[QAction] = None
        self._inspector: Any = None

    def install(self) -> None:
        """Add the entries."""
        icon = QIcon(str(resource("icons", "urbanfm.svg")))
        self._add(tr("Set up environment…"), self.set_up, icon)
        self._add(tr("Open sample city"), self.open_sample_city, icon)
        self._inspect = self._add(tr("Region inspector"), self.show_inspector, QIcon(_INSPECTOR_ICON))
        self._inspect.setCheckable(True)
        self._iface.addToolBarIcon(self._inspect)
        self._add(tr("Add example models to the toolbox"), self.add_example_models, icon)
        self._add(tr("Help"), self.open_help, icon)

    def remove(self) -> None:
        """Take the entries and the dock back."""
        if self._inspector is not None:
            self._iface.currentLayerChanged.disconnect(self._inspector.follow)
            self._inspector.close_down()
            self._iface.removeDockWidget(self._inspector)
            self._inspector.deleteLater()
            self._inspector = None
        if self._inspect is not None:
            self._iface.removeToolBarIcon(self._inspect)
            self._inspect = None
        for action in self._actions:
            self._iface.removePluginMenu(TITLE, action)
            action.deleteLater()
        self._actions.clear()

    def set_up(self) -> None:
        """Show the dialog that sets up the worker's environment."""
        from .setup_dialog import SetupDialog

        SetupDialog(self._iface.mainWindow()).exec()

    def open_sample_city(self) -> None:
        """Open a project with the small sample city."""
        from .sample import SampleError, open_sample_city

        try:
            open_sample_city(self._iface)
        except (SampleError, OSError) as error:
            self._iface.messageBar().pushMessage(TITLE, str(error), compat.CRITICAL)

    def show_inspector(self) -> None:
        """Show the region inspector, or hide it."""
        if self._inspector is None:
            from .inspector import RegionInspector

            self._inspector = RegionInspector(self._iface.mapCanvas(), self._iface.mainWindow())
            self._iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self._inspector)
            self._inspector.setToggleVisibilityAction(self._inspect)
            self._inspector.follow(self._iface.activeLayer())
            self._iface.currentLayerChanged.connect(self._inspector.follow)
            self._inspector.setUserVisible(True)

    def add_example_models(self) -> None:
        """Copy the example models to where the toolbox looks for models."""
        folder = Path(QgsApplication.qgisSettingsDirPath()) / "processing" / "models"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in MODELS:
                shutil.copyfile(resource("models", name), folder / name)
        except OSError as error:
            self._iface.messageBar().pushMessage(TITLE, str(error), compat.CRITICAL)
            return
        provider = QgsApplication.processingRegistry().providerById("model")
        if provider is not None:
            provider.refreshAlgorithms()
        self._iface.messageBar().pushMessage(
            TITLE, tr("The models are in the Processing toolbox under Models > UrbanFM."), compat.SUCCESS
        )

    def open_help(self) -> None:
        """Show the documentation."""
        page = resource("help", "index.html")
        url = QUrl.fromLocalFile(str(page)) if page.is_file() else QUrl(metadata("homepage"))
        QDesktopServices.openUrl(url)

    def _add(self, text: str, run: Callable[[], None], icon: QIcon) -> QAction:
        action = QAction(icon, text, self._iface.mainWindow())
        action.triggered.connect(lambda: run())
        self._iface.addPluginToMenu(TITLE, action)
        self._actions.append(action)
        return action

"""What `screenshots.py` lets QGIS do: the sample city through the toolbox to an inspected region, as a user goes."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import processing
import qgis.utils
from qgis.core import QgsApplication, QgsProject
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QDockWidget, QTreeView, QWidget
from qgis.utils import iface

OUT = Path(os.environ["URBANFM_PICTURES"])
REGION = "SC-002-004"


def wait(seconds: float) -> None:
    """Let the window draw itself."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QgsApplication.processEvents()
        time.sleep(0.02)


def take(widget: QWidget, name: str) -> None:
    """Keep the picture of a widget."""
    wait(2.0)
    widget.grab().save(str(OUT / f"qgis-{name}.png"))


def layer(name: str) -> Any:
    """The layer of the project with that name."""
    return QgsProject.instance().mapLayersByName(name)[0]


def run(algorithm: str, **parameters: Any) -> None:
    """Run an algorithm, and load what it makes."""
    processing.runAndLoadResults(f"urbanfm:{algorithm}", parameters)


def show_docks(*names: str) -> None:
    """Show these docks alone."""
    for dock in iface.mainWindow().findChildren(QDockWidget):
        dock.setVisible(dock.objectName() in names)


def tour() -> None:
    """Take all pictures."""
    window = iface.mainWindow()
    window.setGeometry(0, 0, 1280, 860)
    plugin = qgis.utils.plugins["urbanfm"]
    plugin._menu.open_sample_city()
    wait(2.0)
    regions, points, raster = layer("Regions"), layer("Points of interest"), layer("Embedding raster")
    checkpoint = str(OUT / "aether")
    run(
        "embedregions", REGIONS=regions, POIS=points, EMBEDDING_RASTER=raster, PRESET="aether-small",
        CHECKPOINT_OUT=checkpoint, OUT="TEMPORARY_OUTPUT",
    )  # fmt: skip
    show_docks("Layers", "ProcessingToolbox")
    toolbox = window.findChild(QDockWidget, "ProcessingToolbox")
    tree = toolbox.findChild(QTreeView)
    for row in range(tree.model().rowCount()):
        index = tree.model().index(row, 0)
        tree.setExpanded(index, index.data() == "UrbanFM")
        if index.data() == "UrbanFM":
            tree.expandRecursively(index)
            tree.scrollTo(index, QTreeView.ScrollHint.PositionAtTop)
    iface.setActiveLayer(layer("Region embeddings"))
    iface.zoomToActiveLayer()
    take(window, "embedded")
    embeddings = layer("Region embeddings")
    dialog = processing.createAlgorithmDialog(
        "urbanfm:predictindicators", {"EMBEDDINGS": embeddings.id(), "TARGET": "price"}
    )
    dialog.resize(980, 640)
    dialog.show()
    take(dialog, "dialog")
    dialog.close()
    run("clusterregions", EMBEDDINGS=embeddings, POIS=points, CLUSTERS=4, OUT="TEMPORARY_OUTPUT")
    run("predictindicators", EMBEDDINGS=layer("Clusters"), TARGET="price", OUT="TEMPORARY_OUTPUT")
    predicted = layer("Predicted regions")
    iface.setActiveLayer(predicted)
    plugin._menu.show_inspector()
    show_docks("Layers", plugin._menu._inspector.objectName())
    plugin._menu._inspector.follow(predicted)
    predicted.selectByExpression(f"region_id = '{REGION}'")
    take(window, "inspector")


def main() -> None:
    """Leave QGIS in any case: it would wait for ever, or ask whether to save."""
    failed = 1
    try:
        tour()
        failed = 0
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(failed)


QTimer.singleShot(4000, main)

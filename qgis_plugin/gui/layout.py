"""The print layout of the sample project: title, map, legend, scale bar, north arrow and where the data come from."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsApplication,
    QgsLayoutItem,
    QgsLayoutItemLabel,
    QgsLayoutItemLegend,
    QgsLayoutItemMap,
    QgsLayoutItemPicture,
    QgsLayoutItemScaleBar,
    QgsLayoutMeasurement,
    QgsLayoutPoint,
    QgsLayoutSize,
    QgsMapLayer,
    QgsPrintLayout,
    QgsProject,
    QgsRectangle,
    QgsTextFormat,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor, QFont

from .. import compat
from ..i18n import tr

MAP_ID = "map"
# A4 across, in millimetres: margin, width of the map, width of the column beside it.
_MARGIN, _MAP_WIDTH, _COLUMN = 10.0, 205.0, 67.0
_TOP, _MAP_HEIGHT = 24.0, 166.0
_NORTH_ARROW = "arrows/NorthArrow_02.svg"


def add_layout(
    project: QgsProject, title: str, attribution: str, layers: list[QgsMapLayer], extent: QgsRectangle
) -> QgsPrintLayout:
    """Add an A4 page to a project, ready to be printed or exported.

    Args:
        project: Gets the layout; one with the same title is replaced.
        title: Of the page, and the layout's name.
        attribution: Where the data come from.
        layers: Drawn on the map, the topmost first, and explained in the legend.
        extent: Of the map, in the project's coordinate system.
    """
    manager = project.layoutManager()
    earlier = manager.layoutByName(title)
    if earlier is not None:
        manager.removeLayout(earlier)
    layout = QgsPrintLayout(project)
    layout.initializeDefaults()
    layout.setName(title)
    shown = _map(layout, layers, extent)
    beside = _MARGIN + _MAP_WIDTH + 5
    _label(layout, title, 20, True, (_MARGIN, 8, 277, 12))
    _legend(layout, shown, layers, (beside, _TOP))
    _north(layout, shown, (beside, 152, 14, 14))
    _scale_bar(layout, shown, (beside, 170))
    _label(layout, attribution, 7, False, (_MARGIN, 193, 277, 10))
    manager.addLayout(layout)
    return layout


def _map(layout: QgsPrintLayout, layers: list[QgsMapLayer], extent: QgsRectangle) -> QgsLayoutItemMap:
    item = QgsLayoutItemMap(layout)
    item.setId(MAP_ID)
    frame = QgsRectangle(extent)
    frame.scale(1.05)
    # An item without size and extent has no scale that it could keep when it is resized.
    item.setRect(0, 0, _MAP_WIDTH, _MAP_HEIGHT)
    item.setExtent(frame)
    _place(layout, item, (_MARGIN, _TOP, _MAP_WIDTH, _MAP_HEIGHT))
    item.setCrs(layout.project().crs())
    # The page keeps its layers, whatever is switched on and off in the window.
    item.setLayers(layers)
    item.setKeepLayerSet(True)
    item.setFrameEnabled(True)
    item.zoomToExtent(frame)
    return item


def _legend(
    layout: QgsPrintLayout, shown: QgsLayoutItemMap, layers: list[QgsMapLayer], place: tuple[float, float]
) -> None:
    item = QgsLayoutItemLegend(layout)
    item.setTitle(tr("Legend"))
    item.setLinkedMap(shown)
    item.setAutoUpdateModel(False)
    root = item.model().rootGroup()
    root.removeAllChildren()
    for layer in layers:
        # Bands of imagery explain nothing.
        if isinstance(layer, QgsVectorLayer):
            root.addLayer(layer)
    for part, size in ((compat.LEGEND_TITLE, 11), (compat.LEGEND_LAYER, 9), (compat.LEGEND_ENTRY, 8)):
        style = item.style(part)
        _set_font(style, size, size > 8)
        item.setStyle(part, style)
    spaced = item.style(compat.LEGEND_SYMBOL)
    spaced.setMargin(0.8)
    item.setStyle(compat.LEGEND_SYMBOL, spaced)
    # White roads are to be seen on it.
    item.setBackgroundEnabled(True)
    item.setBackgroundColor(QColor("#dde3e8"))
    item.setSymbolWidth(5.0)
    _place(layout, item, (*place, _COLUMN, 100))
    item.adjustBoxSize()


def _scale_bar(layout: QgsPrintLayout, shown: QgsLayoutItemMap, place: tuple[float, float]) -> None:
    item = QgsLayoutItemScaleBar(layout)
    item.setStyle("Single Box")
    item.setLinkedMap(shown)
    _set_font(item, 8, False)
    item.setHeight(2.5)
    layout.addLayoutItem(item)
    item.applyDefaultSize(compat.METERS)
    item.setNumberOfSegmentsLeft(0)
    item.attemptMove(QgsLayoutPoint(*place, compat.MILLIMETERS))


def _north(layout: QgsPrintLayout, shown: QgsLayoutItemMap, place: tuple[float, float, float, float]) -> None:
    item = QgsLayoutItemPicture(layout)
    found = next((f"{path}/{_NORTH_ARROW}" for path in QgsApplication.svgPaths()), _NORTH_ARROW)
    item.setPicturePath(found)
    item.setLinkedMap(shown)
    _place(layout, item, place)


def _label(
    layout: QgsPrintLayout, text: str, size: float, bold: bool, place: tuple[float, float, float, float]
) -> None:
    item = QgsLayoutItemLabel(layout)
    item.setText(text)
    _set_font(item, size, bold)
    item.setVAlign(Qt.AlignmentFlag.AlignVCenter if bold else Qt.AlignmentFlag.AlignTop)
    _place(layout, item, place)


def _place(layout: QgsPrintLayout, item: QgsLayoutItem, place: tuple[float, float, float, float]) -> None:
    x, y, width, height = place
    layout.addLayoutItem(item)
    item.attemptMove(QgsLayoutPoint(x, y, compat.MILLIMETERS))
    item.attemptResize(QgsLayoutSize(width, height, compat.MILLIMETERS))
    item.setFrameStrokeWidth(QgsLayoutMeasurement(0.3, compat.MILLIMETERS))


def _set_font(item: Any, size: float, bold: bool) -> None:
    font = QFont("sans-serif")
    font.setPointSizeF(size)
    font.setBold(bold)
    if hasattr(item, "setTextFormat"):
        shape = QgsTextFormat()
        shape.setFont(font)
        shape.setSize(size)
        item.setTextFormat(shape)
    else:
        # QGIS 3.22 has it for scale bars only.
        item.setFont(font)

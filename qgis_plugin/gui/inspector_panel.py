"""The widgets of the region inspector: choices above and below, the page between them."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsMapLayer, QgsProject, QgsVectorLayer
from qgis.gui import QgsCollapsibleGroupBox, QgsFieldComboBox, QgsMapLayerComboBox
from qgis.PyQt.QtCore import Qt, QUrl, pyqtSignal
from qgis.PyQt.QtGui import QColor, QIcon, QImage, QPalette
from qgis.PyQt.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QTextBrowser,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .. import compat
from ..i18n import tr
from ..paths import resource
from .inspector_fields import roles
from .inspector_page import PICTURE_URL, Colours
from .inspector_picture import likely_imagery
from .inspector_points import category_field


class PageBrowser(QTextBrowser):
    """Shows the page and hands it the picture. Tab goes from link to link, Enter follows one."""

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.picture = QImage()
        self.setOpenLinks(False)
        # A bar that comes and goes would change the width that pictures are made for.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setAccessibleName(tr("What is known of the region"))

    def loadResource(self, kind: int, name: QUrl) -> Any:
        # Nothing else is fetched: a caption must not make the window read files.
        return self.picture if name.toString() == PICTURE_URL else None

    def show_page(self, text: str, to_top: bool) -> None:
        """Show a page; a page that only got more complete stays where it is scrolled to."""
        bar = self.verticalScrollBar()
        place = 0 if to_top else bar.value()
        self.document().clear()
        self.setHtml(text)
        bar.setValue(place)


class InspectorPanel(QWidget):
    """The content of the dock.

    Attributes:
        sources_changed: Another imagery, layer of points, or field was chosen.
    """

    sources_changed = pyqtSignal()

    def __init__(self, project: QgsProject, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._project = project
        # What the user chose stays; what was guessed is guessed again when layers come.
        self._chosen: set[str] = set()
        self.regions = self._layers("regions", compat.POLYGON_LAYERS, tr("Layer of regions"))
        self.imagery = self._layers("imagery", compat.RASTER_LAYERS, tr("Imagery"))
        self.points = self._layers("points", compat.POINT_LAYERS, tr("Points of interest"))
        self.category = self._fields(tr("Field of the category"))
        self.caption = self._fields(tr("Field of the caption"))
        self.pick = _button(tr("Click regions on the map"), "pick.svg", checkable=True)
        self.back = _button(tr("Back to the region before"), "back.svg")
        self.back.setShortcut("Alt+Left")
        self.back.setEnabled(False)
        self.find = QLineEdit()
        self.find.setPlaceholderText(tr("Id of a region"))
        self.find.setAccessibleName(tr("Id of a region"))
        self.find.setClearButtonEnabled(True)
        self.browser = PageBrowser(self)
        self._lay_out()
        self.points.layerChanged.connect(self._points_changed)
        for signal in (self.imagery.layerChanged, self.category.fieldChanged, self.caption.fieldChanged):
            signal.connect(lambda *_: self.sources_changed.emit())
        project.layersAdded.connect(self._guess)
        project.layersRemoved.connect(self._guess)
        project.cleared.connect(self._chosen.clear)
        self._guess()

    def close_down(self) -> None:
        """Stop listening to the project."""
        self._project.layersAdded.disconnect(self._guess)
        self._project.layersRemoved.disconnect(self._guess)
        self._project.cleared.disconnect(self._chosen.clear)

    def show_fields_of(self, layer: Optional[QgsVectorLayer]) -> None:
        """Offer the fields of a layer of regions."""
        self.caption.blockSignals(True)
        self.caption.setLayer(layer)
        self.caption.setField(roles(layer).caption if layer is not None else "")
        self.caption.blockSignals(False)

    def takes(self, layer: QgsVectorLayer) -> bool:
        """Whether a layer looks like one of regions."""
        if layer.geometryType() != compat.POLYGON_KIND:
            return False
        found = roles(layer)
        return bool(found.region_id or found.has_vectors or found.has_results)

    def colours(self) -> Colours:
        """Colours that fit the window, light or dark."""
        palette = self.palette()
        ink, paper = palette.color(QPalette.ColorRole.Text), palette.color(QPalette.ColorRole.Base)
        # Fainter than the text, and still easy to read on the paper.
        red, green, blue = (round(0.65 * a + 0.35 * b) for a, b in zip(ink.getRgb()[:3], paper.getRgb()[:3]))
        return Colours(
            QColor(red, green, blue).name(),
            palette.color(QPalette.ColorRole.Highlight).name(),
            palette.color(QPalette.ColorRole.AlternateBase).name(),
        )

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        for widget in (self.pick, self.back):
            row.addWidget(widget)
        row.addWidget(self.find, 1)
        sources = QgsCollapsibleGroupBox(tr("Sources"))
        form = QFormLayout(sources)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(tr("Imagery"), self.imagery)
        form.addRow(tr("Points of interest"), self.points)
        form.addRow(tr("Field of the category"), self.category)
        form.addRow(tr("Field of the caption"), self.caption)
        sources.setCollapsed(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.regions)
        layout.addLayout(row)
        layout.addWidget(self.browser, 1)
        layout.addWidget(sources)

    def _layers(self, key: str, kinds: Any, name: str) -> QgsMapLayerComboBox:
        combo = QgsMapLayerComboBox()
        combo.setFilters(kinds)
        combo.setAllowEmptyLayer(True)
        combo.setLayer(None)
        combo.setAccessibleName(name)
        combo.setToolTip(name)
        # Long names of layers must not widen the dock.
        combo.setMinimumContentsLength(12)
        combo.setSizeAdjustPolicy(combo.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.activated.connect(lambda _: self._chosen.add(key))
        return combo

    def _fields(self, name: str) -> QgsFieldComboBox:
        combo = QgsFieldComboBox()
        combo.setAllowEmptyFieldName(True)
        combo.setAccessibleName(name)
        return combo

    def _points_changed(self, layer: Optional[QgsMapLayer]) -> None:
        self.category.blockSignals(True)
        self.category.setLayer(layer)
        self.category.setField(category_field(layer) if isinstance(layer, QgsVectorLayer) else "")
        self.category.blockSignals(False)
        self.sources_changed.emit()

    def _guess(self, *_: Any) -> None:
        vectors = [node.layer() for node in self._project.layerTreeRoot().findLayers()]
        vectors += [layer for layer in self._project.mapLayers().values() if layer not in vectors]
        vectors = [layer for layer in vectors if isinstance(layer, QgsVectorLayer) and layer.isValid()]
        if "regions" not in self._chosen and self.regions.currentLayer() is None:
            fitting = [layer for layer in vectors if self.takes(layer)]
            self.regions.setLayer(next((one for one in fitting if roles(one).has_vectors), next(iter(fitting), None)))
        if "imagery" not in self._chosen and self.imagery.currentLayer() is None:
            self.imagery.setLayer(likely_imagery(self._project))
        if "points" not in self._chosen and self.points.currentLayer() is None:
            pointed = [one for one in vectors if one.geometryType() == compat.POINT_KIND]
            self.points.setLayer(next((one for one in pointed if category_field(one)), None))


def _button(text: str, icon: str, checkable: bool = False) -> QToolButton:
    button = QToolButton()
    button.setIcon(QIcon(str(resource("icons", icon))))
    button.setToolTip(text)
    button.setAccessibleName(text)
    button.setCheckable(checkable)
    return button

"""The region inspector: a dock that shows what is known of the region that is clicked or selected."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsExpression, QgsFeature, QgsFeatureRequest, QgsMapLayer, QgsProject, QgsVectorLayer
from qgis.gui import QgsDockWidget, QgsMapCanvas, QgsMapToolIdentifyFeature, QgsRubberBand
from qgis.PyQt.QtCore import QSize, QTimer, QUrl
from qgis.PyQt.QtGui import QColor, QImage
from qgis.PyQt.QtWidgets import QWidget

from .. import compat
from ..i18n import tr
from .inspector_facts import read_facts, title, vectors_hint
from .inspector_fields import RANK_FIELD, SCORE_FIELD, Roles, number, roles
from .inspector_page import REGION_SCHEME, SHOW_ALL_URL, Similar, View, page
from .inspector_panel import InspectorPanel
from .inspector_picture import PictureError, RegionPicture, blank
from .inspector_points import PointCounter
from .inspector_table import LayerTable, TableError, TableReader

SIMILAR_COUNT = 10
# Reading goes on in slices, between which the window lives; a layer that is edited is read again after a pause.
SLICE_SECONDS = 0.05
EDIT_PAUSE_MS = 400
# How much of the city is shown around a region that is jumped to, in widths of the region.
SURROUNDINGS = 6.0
MARK_COLOUR = QColor(213, 94, 0)


class RegionInspector(QgsDockWidget):
    """Shows one region of one layer. What is shown is the region that the layer has selected.

    Args:
        canvas: Map to click on.
        parent: Window.
    """

    def __init__(self, canvas: QgsMapCanvas, parent: Optional[QWidget] = None) -> None:
        super().__init__(tr("Region inspector"), parent)
        self.setObjectName("UrbanFMRegionInspector")
        self._canvas = canvas
        self._project = QgsProject.instance()
        self._layer: Optional[QgsVectorLayer] = None
        self._roles: Optional[Roles] = None
        self._links: list[tuple[Any, Any]] = []
        self._shown: Optional[int] = None
        self._past: list[int] = []
        # Who asked for all indicators once wants them for the next region too.
        self._unfolded = False
        self._view = View()
        self._table: Optional[LayerTable] = None
        self._reader: Optional[TableReader] = None
        self._table_problem = ""
        self._counter: Optional[PointCounter] = None
        self._points_links: list[tuple[Any, Any]] = []
        self.panel = InspectorPanel(self._project, self)
        self.setWidget(self.panel)
        self._picture = RegionPicture(self)
        self._picture.ready.connect(self._take_picture)
        # Seen even where the layer itself is switched off.
        self._mark = QgsRubberBand(canvas, compat.POLYGON_KIND)
        self._mark.setFillColor(QColor(0, 0, 0, 0))
        self._mark.setStrokeColor(MARK_COLOUR)
        self._mark.setSecondaryStrokeColor(QColor(255, 255, 255, 180))
        self._mark.setWidth(3)
        self._tool = QgsMapToolIdentifyFeature(canvas)
        self._tool.featureIdentified.connect(self._picked)
        self._slices = QTimer(self)
        self._slices.setInterval(0)
        self._slices.timeout.connect(self._read_on)
        self._edits = QTimer(self)
        self._edits.setSingleShot(True)
        self._edits.setInterval(EDIT_PAUSE_MS)
        self._edits.timeout.connect(self.refresh)
        self.panel.pick.toggled.connect(self._pick)
        self.panel.back.clicked.connect(self.go_back)
        self.panel.find.returnPressed.connect(lambda: self.go_to(self.panel.find.text().strip()))
        self.panel.browser.anchorClicked.connect(self._follow_link)
        self.panel.regions.layerChanged.connect(self._take_layer)
        self.panel.sources_changed.connect(self._sources_changed)
        # A list of layers that loses its choice takes the next one without a word.
        self._project.layersRemoved.connect(self._layers_removed)
        canvas.mapToolSet.connect(self._tool_changed)
        self.visibilityChanged.connect(self._visible)
        self._take_layer(self.panel.regions.currentLayer())

    def close_down(self) -> None:
        """Let go of the map and of all layers, before the dock goes."""
        self._canvas.mapToolSet.disconnect(self._tool_changed)
        self._project.layersRemoved.disconnect(self._layers_removed)
        self._canvas.unsetMapTool(self._tool)
        self._canvas.scene().removeItem(self._mark)
        self._slices.stop()
        self._edits.stop()
        self._picture.stop()
        self._disconnect(self._links)
        self._disconnect(self._points_links)
        self.panel.close_down()

    def follow(self, layer: Optional[QgsMapLayer]) -> None:
        """Turn to the layer that is active in the window, if it looks like one of regions."""
        if isinstance(layer, QgsVectorLayer) and layer is not self._layer and self.panel.takes(layer):
            self.panel.regions.setLayer(layer)

    def show_region(self, feature_id: int, jump: bool = False) -> None:
        """Select a region, which shows it.

        Args:
            feature_id: In the layer.
            jump: Whether the map goes there too.
        """
        if self._layer is None:
            return
        self._layer.selectByIds([feature_id])
        if jump:
            self._jump(feature_id)

    def go_back(self) -> None:
        """Show the region that was shown before."""
        if self._past:
            feature_id = self._past.pop()
            self._shown = None
            self.show_region(feature_id, jump=True)

    def go_to(self, region: str) -> None:
        """Show the region of that id."""
        if self._layer is None or self._roles is None or not region:
            return
        name = self._roles.region_id
        where = f"{QgsExpression.quotedColumnRef(name) if name else '$id'} = {QgsExpression.quotedString(region)}"
        found = next(iter(self._layer.getFeatures(QgsFeatureRequest(QgsExpression(where)).setLimit(1))), None)
        if found is None:
            self._tell(tr("The layer has no region '{}'.").format(region))
        else:
            self.show_region(found.id(), jump=True)

    def refresh(self) -> None:
        """Read the layer anew: it was edited, or looks different."""
        self._forget_table()
        if self._layer is not None:
            self._roles = roles(self._layer)
        self._inspect(self._shown)

    def _take_layer(self, layer: Optional[QgsMapLayer]) -> None:
        if layer is self._layer:
            return
        self._disconnect(self._links)
        self._forget_table()
        self._layer = layer if isinstance(layer, QgsVectorLayer) else None
        self._shown, self._past = None, []
        self._roles = roles(self._layer) if self._layer is not None else None
        self._tool.setLayer(self._layer)
        self.panel.show_fields_of(self._layer)
        if self._layer is not None:
            self._connect(self._links, self._layer.selectionChanged, self._selection_changed)
            self._connect(self._links, self._layer.willBeDeleted, self._lose_layer)
            for signal in _edits_of(self._layer):
                self._connect(self._links, signal, self._edited)
        self._selection_changed()

    def _layers_removed(self, *_: Any) -> None:
        self._forget_points()
        self._take_layer(self.panel.regions.currentLayer())

    def _lose_layer(self) -> None:
        self._take_layer(None)

    def _selection_changed(self, *_: Any) -> None:
        chosen = self._layer.selectedFeatureIds() if self._layer is not None else []
        if self._shown in chosen:
            # One more region was selected beside the one that is shown.
            return
        self._inspect(min(chosen) if chosen else None)

    def _edited(self, *_: Any) -> None:
        self._edits.start()

    def _inspect(self, feature_id: Optional[int]) -> None:
        self._picture.stop()
        self._mark.reset(compat.POLYGON_KIND)
        if self._shown not in (None, feature_id):
            self._past.append(self._shown)
        self._shown = feature_id
        self.panel.back.setEnabled(bool(self._past))
        layer, found = self._layer, self._roles
        if layer is None or found is None:
            self._tell(
                tr("Open a layer of regions, or run 'Embed regions'. Plugins > UrbanFM has a sample city to try.")
            )
            return
        feature = layer.getFeature(feature_id) if feature_id is not None else QgsFeature()
        if not feature.isValid():
            self._shown = None
            self._tell(tr("Click a region of {} on the map, or select one.").format(layer.name()))
            return
        if not self.isVisible():
            return
        if self._table is None and self._reader is None and not self._table_problem:
            self._start_reading()
        self._view = View(facts=self._facts(feature), all_indicators=self._unfolded, **self._points(feature))
        self._view = self._view.with_(**self._similar(feature))
        self._start_picture(feature)
        self._mark.setToGeometry(feature.geometry(), layer)
        self._draw(to_top=True)

    def _facts(self, feature: QgsFeature) -> Any:
        caption = self.panel.caption.currentField()
        return read_facts(self._layer, self._roles, feature, self._project, self._below, caption)

    def _below(self, field: str, value: float) -> Optional[float]:
        return self._table.below(field, value) if self._table is not None else None

    def _points(self, feature: QgsFeature) -> dict[str, Any]:
        layer = self.panel.points.currentLayer()
        if layer is None:
            return {"points_note": tr("Choose a layer of points under Sources to count them here.")}
        if self._counter is None:
            self._counter = PointCounter(layer, self.panel.category.currentField())
            for signal in (*_edits_of(layer), layer.willBeDeleted):
                self._connect(self._points_links, signal, self._forget_points)
        counts = self._counter.count(feature.geometry(), self._layer.crs(), self._project.transformContext())
        return {"points": counts, "points_of": layer.name()}

    def _similar(self, feature: QgsFeature) -> dict[str, Any]:
        found, table = self._roles, self._table
        if found.ranked and not found.has_vectors:
            return {
                "similar": self._ranked(),
                "similar_title": tr("Most similar to the regions that were searched for"),
            }
        if not found.has_vectors:
            return {"similar_note": tr("The layer has no vectors. {}").format(vectors_hint(self._project))}
        if table is None:
            share = self._reader.share if self._reader is not None else 0.0
            reading = tr("Reading the vectors: {} %").format(round(share * 100))
            return {"similar_note": self._table_problem or reading}
        near = table.nearest(feature.id(), SIMILAR_COUNT)
        note = ""
        if feature.id() not in table:
            note = tr("The region has no vector: nothing covered it.")
        elif table.odd:
            note = tr("{:,} regions are left out: their vectors cannot be read or differ in length.").format(table.odd)
        return {"similar": self._named(dict(near)), "similar_note": note}

    def _ranked(self) -> tuple[Similar, ...]:
        """The best of a ranking that 'Find similar regions' wrote."""
        rank = QgsExpression.quotedColumnRef(RANK_FIELD)
        where = f"{rank} >= 1 AND {rank} <= {SIMILAR_COUNT}"
        features = self._layer.getFeatures(QgsFeatureRequest(QgsExpression(where)))
        scores = {feature.id(): number(feature[SCORE_FIELD]) or 0.0 for feature in features}
        return self._named(scores)

    def _named(self, likeness: dict[int, float]) -> tuple[Similar, ...]:
        request = QgsFeatureRequest().setFilterFids(list(likeness))
        names = {one.id(): title(self._layer, self._roles, one) for one in self._layer.getFeatures(request)}
        ordered = sorted(likeness.items(), key=lambda item: -item[1])
        return tuple(Similar(place, names[place], value) for place, value in ordered if place in names)

    def _start_picture(self, feature: QgsFeature) -> None:
        imagery = self.panel.imagery.currentLayer()
        if imagery is None:
            self._view = self._view.with_(picture_note=tr("Choose imagery under Sources to see the region."))
            return
        width = max(self.panel.browser.viewport().width() - 24, 160)
        size = QSize(min(width, 640), round(min(width, 640) * 0.66))
        try:
            self._picture.start(
                imagery, feature.geometry(), self._layer.crs(), size, self.devicePixelRatioF(), self._project
            )
        except PictureError as error:
            self._view = self._view.with_(picture_note=str(error))
            return
        # The room is kept free, so that the page does not jump when the picture comes.
        self.panel.browser.picture = blank(size, self.devicePixelRatioF())
        self._view = self._view.with_(picture=(size.width(), size.height()))

    def _take_picture(self, image: QImage) -> None:
        self.panel.browser.picture = image
        self._draw()

    def _start_reading(self) -> None:
        try:
            self._reader = TableReader(self._layer, self._roles)
        except TableError as error:
            self._table_problem = str(error)
            return
        # A small layer is read by now, and the page is whole at once.
        if not self._read_slice():
            self._slices.start()

    def _read_slice(self) -> bool:
        """Read on for a moment; whether that was the last."""
        try:
            done = self._reader.step(SLICE_SECONDS)
            table = self._reader.table
        except TableError as error:
            self._table_problem, done, table = str(error), True, None
        if done:
            self._slices.stop()
            self._table, self._reader = table, None
        return done

    def _read_on(self) -> None:
        done = self._read_slice()
        feature = self._layer.getFeature(self._shown) if self._shown is not None else QgsFeature()
        if not feature.isValid() or self._view.facts is None:
            return
        view = self._view.with_(**self._similar(feature))
        if done:
            view = view.with_(facts=self._facts(feature))
        if view != self._view:
            self._view = view
            self._draw()

    def _forget_table(self) -> None:
        self._slices.stop()
        self._table, self._reader, self._table_problem = None, None, ""

    def _forget_points(self, *_: Any) -> None:
        self._counter = None
        self._disconnect(self._points_links)

    def _sources_changed(self) -> None:
        self._forget_points()
        self._inspect(self._shown)

    def _jump(self, feature_id: int) -> None:
        geometry = self._layer.getFeature(feature_id).geometry()
        if geometry.isNull():
            return
        frame = self._canvas.mapSettings().layerExtentToOutputExtent(self._layer, geometry.boundingBox())
        frame.scale(SURROUNDINGS)
        self._canvas.setExtent(frame)
        self._canvas.refresh()
        self._canvas.flashFeatureIds(self._layer, [feature_id])

    def _pick(self, on: bool) -> None:
        if on:
            self._canvas.setMapTool(self._tool)
        else:
            self._canvas.unsetMapTool(self._tool)

    def _picked(self, feature: Any) -> None:
        # The signal has two forms: with the feature, and with its id.
        self.show_region(feature if isinstance(feature, int) else feature.id())

    def _tool_changed(self, tool: Any, *_: Any) -> None:
        self.panel.pick.setChecked(tool is self._tool)

    def _visible(self, visible: bool) -> None:
        if visible:
            self._inspect(self._shown)
        else:
            self._canvas.unsetMapTool(self._tool)
            self._mark.reset(compat.POLYGON_KIND)

    def _follow_link(self, link: QUrl) -> None:
        if link.toString() == SHOW_ALL_URL:
            self._unfolded = True
            self._view = self._view.with_(all_indicators=True)
            self._draw()
        elif link.scheme() == REGION_SCHEME and link.path().lstrip("-").isdigit():
            self.show_region(int(link.path()), jump=True)

    def _tell(self, message: str) -> None:
        self._view = View(message=message)
        self._draw(to_top=True)

    def _draw(self, to_top: bool = False) -> None:
        self.panel.browser.show_page(page(self._view, self.panel.colours()), to_top)

    @staticmethod
    def _connect(links: list[tuple[Any, Any]], signal: Any, slot: Any) -> None:
        signal.connect(slot)
        links.append((signal, slot))

    @staticmethod
    def _disconnect(links: list[tuple[Any, Any]]) -> None:
        for signal, slot in links:
            signal.disconnect(slot)
        links.clear()


def _edits_of(layer: QgsVectorLayer) -> tuple[Any, ...]:
    """Signals after which what was read of a layer no longer holds."""
    return (
        layer.attributeValueChanged,
        layer.geometryChanged,
        layer.featureAdded,
        layer.featureDeleted,
        layer.updatedFields,
        layer.dataChanged,
        layer.subsetStringChanged,
        layer.styleChanged,
    )

"""The region inspector as a dock on a map."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import make_raster, memory_layer, square, wait
from plugin.test_gui import Window
from qgis.core import QgsCoordinateReferenceSystem, QgsField, QgsGeometry, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QObject, QPoint, Qt, QUrl, QVariant, pyqtSignal
from qgis.PyQt.QtTest import QTest

from qgis_plugin.gui.inspector import RegionInspector
from qgis_plugin.gui.inspector_page import SHOW_ALL_URL
from qgis_plugin.gui.inspector_panel import PageBrowser
from qgis_plugin.gui.menu import Menu


def embedded(count: int = 6, name: str = "embeddings", **more: Any) -> QgsVectorLayer:
    """Squares in a row whose vectors turn, so that neighbours are alike."""
    fields = {"region_id": QVariant.String, "price": QVariant.Double, "caption": QVariant.String}
    fields |= {"embedding": QVariant.String}
    rows = []
    for i in range(count):
        values = {
            "region_id": f"r{i}", "price": float(i), "caption": f"Place {i}", "embedding": json.dumps([1.0, i / 10]),
        } | {key: made(i) for key, made in more.items()}  # fmt: skip
        rows.append((square(i * 100, 0), [values[field] for field in fields]))
    layer = memory_layer("Polygon", "EPSG:32630", [QgsField(*item) for item in fields.items()], rows)
    layer.setName(name)
    return layer


@pytest.fixture()
def canvas(qgis_app: Any) -> Iterator[QgsMapCanvas]:
    canvas = QgsMapCanvas()
    canvas.resize(600, 300)
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:32630"))
    canvas.show()
    yield canvas
    canvas.deleteLater()
    qgis_app.processEvents()


@pytest.fixture()
def dock(qgis_app: Any, canvas: QgsMapCanvas) -> Iterator[RegionInspector]:
    dock = RegionInspector(canvas)
    dock.resize(350, 700)
    dock.show()
    qgis_app.processEvents()
    yield dock
    QgsProject.instance().clear()
    dock.close_down()
    dock.close()
    dock.deleteLater()
    qgis_app.processEvents()


def text_of(dock: RegionInspector) -> str:
    return dock.panel.browser.toPlainText()


def ids_of(layer: QgsVectorLayer) -> dict[str, int]:
    return {feature["region_id"]: feature.id() for feature in layer.getFeatures()}


def test_without_a_layer_the_dock_says_what_to_do(dock: RegionInspector) -> None:
    assert "Embed regions" in text_of(dock)
    dock.show_region(1)
    dock.go_to("r1")
    dock.go_back()
    dock.refresh()
    assert "Embed regions" in text_of(dock)


def test_the_selected_region_is_shown_with_the_most_similar_ones(dock: RegionInspector, pois: QgsVectorLayer) -> None:
    layer = embedded()
    assert "Click a region of" in text_of(dock)
    ids = ids_of(layer)
    layer.selectByIds([ids["r2"]])
    shown = text_of(dock)
    # Each point counts in the region that it is in.
    for told in ("r2", "Place 2", "Most similar regions", "r1", "r3", "bar"):
        assert told in shown
    assert [one.feature_id for one in dock._view.similar][:2] == [ids["r3"], ids["r1"]]
    assert dock._view.points.total == 3
    assert "42 %" in shown  # 2.5 of 6 regions are cheaper
    layer.removeSelection()
    assert "Click a region" in text_of(dock)


def test_a_similar_region_is_a_click_away_and_there_is_a_way_back(dock: RegionInspector, canvas: QgsMapCanvas) -> None:
    layer = embedded()
    canvas.setLayers([layer])
    canvas.setExtent(layer.extent())
    ids = ids_of(layer)
    layer.selectByIds([ids["r0"]])
    dock.panel.browser.anchorClicked.emit(QUrl(f"region:{ids['r5']}"))
    assert dock._view.facts.title == "r5" and layer.selectedFeatureIds() == [ids["r5"]]
    assert canvas.extent().contains(QgsGeometry.fromWkt(square(500, 0)).boundingBox())
    assert canvas.extent().width() < 6 * 400
    assert dock.panel.back.isEnabled()
    dock.panel.back.click()
    assert dock._view.facts.title == "r0" and not dock.panel.back.isEnabled()


def test_links_are_followed_by_keyboard(dock: RegionInspector) -> None:
    layer = embedded()
    layer.selectByIds([ids_of(layer)["r0"]])
    browser = dock.panel.browser
    browser.setFocus()
    QTest.keyClick(browser, Qt.Key.Key_Tab)
    QTest.keyClick(browser, Qt.Key.Key_Return)
    assert dock._view.facts.title == "r1"


def test_foreign_links_do_nothing(dock: RegionInspector) -> None:
    layer = embedded()
    layer.selectByIds([ids_of(layer)["r0"]])
    for link in ("https://example.org", "file:///etc/passwd", "region:x", "region:999999"):
        dock._follow_link(QUrl(link))
    assert layer.selectedFeatureIds() != [ids_of(layer)["r5"]]
    assert "Click a region" in text_of(dock)
    assert PageBrowser().loadResource(2, QUrl("file:///etc/passwd")) is None


def test_a_region_is_found_by_its_id(dock: RegionInspector) -> None:
    layer = embedded()
    dock.panel.find.setText(" r4 ")
    QTest.keyClick(dock.panel.find, Qt.Key.Key_Return)
    assert dock._view.facts.title == "r4" and layer.selectedFeatureIds() == [ids_of(layer)["r4"]]
    dock.go_to("it's not there")
    assert "no region 'it's not there'" in text_of(dock)


def test_a_click_on_the_map_shows_the_region_also_from_another_crs(
    dock: RegionInspector, canvas: QgsMapCanvas, qgis_app: Any
) -> None:
    layer = embedded()
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    canvas.setLayers([layer])
    canvas.setExtent(canvas.mapSettings().layerExtentToOutputExtent(layer, layer.extent()))
    qgis_app.processEvents()
    dock.panel.pick.click()
    assert canvas.mapTool() is dock._tool
    middle = canvas.mapSettings().layerToMapCoordinates(layer, QgsGeometry.fromWkt(square(300, 0)).centroid().asPoint())
    place = canvas.getCoordinateTransform().transform(middle)
    QTest.mouseClick(
        canvas.viewport(),
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
        QPoint(int(place.x()), int(place.y())),
    )
    assert dock._view.facts.title == "r3"
    dock.hide()
    qgis_app.processEvents()
    assert canvas.mapTool() is not dock._tool and not dock.panel.pick.isChecked()


def test_a_layer_without_vectors_says_where_there_are_some(dock: RegionInspector) -> None:
    plain = memory_layer("Polygon", "EPSG:32630", [QgsField("region_id", QVariant.String)], [(square(0, 0), ["a"])])
    plain.setName("plain")
    dock.follow(plain)
    plain.selectAll()
    assert "no vectors" in text_of(dock) and "Run 'Embed regions'" in text_of(dock)
    assert "Choose a layer of points" in text_of(dock) and "Choose imagery" in text_of(dock)
    embedded(name="with vectors")
    dock.refresh()
    assert "The layer with vectors has some" in text_of(dock)


def test_a_ranking_without_vectors_lists_its_best(dock: RegionInspector) -> None:
    fields = [
        QgsField("region_id", QVariant.String),
        QgsField("score", QVariant.Double),
        QgsField("rank", QVariant.Int),
    ]
    rows = [(square(i * 100, 0), [f"r{i}", i / 10, 5 - i]) for i in range(5)]
    layer = memory_layer("Polygon", "EPSG:32630", fields, rows)
    layer.selectByIds([ids_of(layer)["r0"]])
    assert "that were searched for" in text_of(dock)
    assert [one.name for one in dock._view.similar] == ["r4", "r3", "r2", "r1", "r0"]


def test_edits_are_seen(dock: RegionInspector, qgis_app: Any) -> None:
    layer = embedded()
    ids = ids_of(layer)
    layer.selectByIds([ids["r2"]])
    layer.startEditing()
    layer.changeAttributeValue(ids["r2"], layer.fields().lookupField("caption"), "Rewritten")
    vector = layer.fields().lookupField("embedding")
    layer.changeAttributeValue(ids["r5"], vector, "[1.0, 0.2]")
    wait(qgis_app, lambda: "Rewritten" in text_of(dock))
    assert dock._view.similar[0].feature_id == ids["r5"]
    layer.deleteFeature(ids["r2"])
    wait(qgis_app, lambda: "Click a region" in text_of(dock))
    layer.rollBack()


def test_layers_may_go_at_any_time(dock: RegionInspector, pois: QgsVectorLayer, qgis_app: Any) -> None:
    first, second = embedded(), embedded(name="others")
    dock.follow(first)
    first.selectByIds([ids_of(first)["r2"]])
    QgsProject.instance().removeMapLayer(pois.id())
    assert "Choose a layer of points" in text_of(dock)
    QgsProject.instance().removeMapLayer(first.id())
    qgis_app.processEvents()
    assert dock._layer is second and "Click a region of others" in text_of(dock)
    QgsProject.instance().clear()
    qgis_app.processEvents()
    assert dock._layer is None and "Open a layer" in text_of(dock)


def test_a_layer_that_goes_while_it_is_read_is_no_error(
    dock: RegionInspector, qgis_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qgis_plugin.gui.inspector.SLICE_SECONDS", 0.0)
    layer = embedded(300)
    layer.selectByIds([ids_of(layer)["r2"]])
    assert "Reading the vectors" in text_of(dock)
    QgsProject.instance().removeMapLayer(layer.id())
    for _ in range(20):
        qgis_app.processEvents()
    assert dock._reader is None and "Open a layer" in text_of(dock)


def test_a_large_layer_is_read_beside_the_window(
    dock: RegionInspector, qgis_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qgis_plugin.gui.inspector.SLICE_SECONDS", 0.0)
    layer = embedded(300)
    layer.selectByIds([ids_of(layer)["r2"]])
    wait(qgis_app, lambda: dock._view.similar)
    assert "Reading" not in text_of(dock) and "1 %" in text_of(dock)


def test_too_large_a_layer_says_so_and_shows_the_rest(dock: RegionInspector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qgis_plugin.gui.inspector_table.MOST_REGIONS", 5)
    layer = embedded()
    layer.selectByIds([ids_of(layer)["r2"]])
    assert "too large" in text_of(dock) and "Place 2" in text_of(dock)


def test_odd_vectors_are_counted(dock: RegionInspector) -> None:
    layer = embedded(embedding=lambda i: None if i == 1 else "[1]" if i == 2 else json.dumps([1.0, i / 10]))
    ids = ids_of(layer)
    layer.selectByIds([ids["r0"]])
    assert "1 regions are left out" in text_of(dock)
    layer.selectByIds([ids["r1"]])
    assert "has no vector" in text_of(dock)


def test_the_picture_reaches_the_page(dock: RegionInspector, qgis_app: Any, tmp_path: Path) -> None:
    imagery = QgsRasterLayer(make_raster(tmp_path / "raster.tif"), "imagery")
    QgsProject.instance().addMapLayer(imagery)
    layer = embedded()
    ids = ids_of(layer)
    assert dock.panel.imagery.currentLayer() is imagery
    layer.selectByIds([ids["r0"]])
    empty = dock.panel.browser.picture
    wait(qgis_app, lambda: dock.panel.browser.picture is not empty)
    width, _ = dock._view.picture
    assert dock.panel.browser.picture.width() == round(width * dock.devicePixelRatioF())
    layer.selectByIds([ids["r5"]])
    assert "does not reach" in text_of(dock)


def test_other_sources_are_taken_at_once(dock: RegionInspector) -> None:
    places = [QgsField("category", QVariant.String), QgsField("owner", QVariant.String)]
    memory_layer("Point", "EPSG:32630", places, [("POINT(10 10)", ["bar", "Ann"])])
    layer = embedded()
    layer.selectByIds([ids_of(layer)["r0"]])
    assert "bar" in text_of(dock) and "Ann" not in text_of(dock)
    dock.panel.category.setField("owner")
    assert "Ann" in text_of(dock)
    dock.panel.caption.setField("region_id")
    assert "Place 0" not in text_of(dock)
    dock.panel.points.setLayer(None)
    assert "Choose a layer of points" in text_of(dock)


def test_all_indicators_stay_unfolded(dock: RegionInspector) -> None:
    fields = [QgsField("region_id", QVariant.String), *(QgsField(f"f{i}", QVariant.Double) for i in range(20))]
    rows = [(square(i * 100, 0), [f"r{i}", *range(20)]) for i in range(2)]
    layer = memory_layer("Polygon", "EPSG:32630", fields, rows)
    ids = ids_of(layer)
    layer.selectByIds([ids["r0"]])
    assert "f19" not in text_of(dock)
    dock._follow_link(QUrl(SHOW_ALL_URL))
    assert "f19" in text_of(dock)
    layer.selectByIds([ids["r1"]])
    assert "f19" in text_of(dock)


def test_only_layers_of_regions_are_followed(dock: RegionInspector) -> None:
    regions = embedded()
    buildings = memory_layer("Polygon", "EPSG:32630", [QgsField("height", QVariant.Double)], [(square(0, 0), [3.0])])
    dock.follow(buildings)
    dock.follow(None)
    assert dock._layer is regions
    other = embedded(name="others")
    dock.follow(other)
    assert dock._layer is other


def test_every_widget_has_a_name_for_those_who_do_not_see_it(dock: RegionInspector) -> None:
    panel = dock.panel
    widgets = (
        panel.regions, panel.imagery, panel.points, panel.category, panel.caption, panel.pick, panel.back, panel.find,
        panel.browser,
    )  # fmt: skip
    assert all(widget.accessibleName() for widget in widgets)
    assert all(not button.icon().isNull() and button.toolTip() for button in (panel.pick, panel.back))


class Desktop(Window, QObject):
    """A window with a map and docks."""

    currentLayerChanged = pyqtSignal(object)

    def __init__(self, canvas: QgsMapCanvas) -> None:
        QObject.__init__(self)
        Window.__init__(self)
        self.canvas = canvas
        self.docks: list[Any] = []

    def mapCanvas(self) -> QgsMapCanvas:
        return self.canvas

    def activeLayer(self) -> Any:
        return None

    def addDockWidget(self, area: Any, dock: Any) -> None:
        self.docks.append(dock)

    def removeDockWidget(self, dock: Any) -> None:
        self.docks.remove(dock)


def test_the_menu_shows_and_hides_the_dock_and_takes_it_back(canvas: QgsMapCanvas, qgis_app: Any) -> None:
    window = Desktop(canvas)
    menu = Menu(window)
    menu.install()
    toggle = menu._inspect
    assert window.docks == [] and not toggle.isChecked()
    toggle.trigger()
    (dock,) = window.docks
    qgis_app.processEvents()
    assert dock.isVisible() and toggle.isChecked()
    layer = embedded()
    window.currentLayerChanged.emit(layer)
    layer.selectByIds([ids_of(layer)["r1"]])
    assert "Place 1" in text_of(dock)
    toggle.trigger()
    assert not dock.isVisible()
    toggle.trigger()
    assert dock.isVisible() and len(window.docks) == 1
    menu.remove()
    qgis_app.processEvents()
    assert window.docks == [] and window.entries == []
    # Nothing listens any more.
    layer.selectByIds([ids_of(layer)["r2"]])
    embedded(name="later")

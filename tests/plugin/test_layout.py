"""The print layout of the sample project."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin.test_gui import Window
from qgis.core import (
    QgsLayoutExporter,
    QgsLayoutItemLabel,
    QgsLayoutItemLegend,
    QgsLayoutItemMap,
    QgsLayoutItemPicture,
    QgsLayoutItemScaleBar,
    QgsPrintLayout,
    QgsProject,
    QgsReadWriteContext,
)
from qgis.PyQt.QtGui import QImage
from qgis.PyQt.QtXml import QDomDocument

from qgis_plugin.gui import sample
from qgis_plugin.gui.layout import add_layout

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.fixture()
def layout() -> QgsPrintLayout:
    sample.open_sample_city(Window())
    (layout,) = QgsProject.instance().layoutManager().layouts()
    return layout


def items(layout: QgsPrintLayout, kind: type) -> list:
    return [item for item in layout.items() if isinstance(item, kind)]


def test_the_page_has_what_a_map_needs(layout: QgsPrintLayout) -> None:
    (shown,) = items(layout, QgsLayoutItemMap)
    regions = QgsProject.instance().mapLayersByName("Regions")[0]
    assert shown.extent().contains(regions.extent())
    assert [layer.name() for layer in shown.layers()] == [
        "Points of interest", "Regions", "Roads", "Buildings", "Imagery",
    ]  # fmt: skip
    (legend,) = items(layout, QgsLayoutItemLegend)
    explained = [node.name() for node in legend.model().rootGroup().findLayers()]
    assert explained == ["Points of interest", "Regions", "Roads", "Buildings"]
    (bar,) = items(layout, QgsLayoutItemScaleBar)
    assert bar.linkedMap() is shown and 10 <= bar.unitsPerSegment() <= 1000
    (arrow,) = items(layout, QgsLayoutItemPicture)
    assert Path(arrow.picturePath()).is_file()
    texts = [label.text() for label in items(layout, QgsLayoutItemLabel)]
    assert "UrbanFM sample city" in texts and any("generated city" in text for text in texts)


def test_nothing_lies_over_anything_else_or_beside_the_page(layout: QgsPrintLayout) -> None:
    kinds = (QgsLayoutItemMap, QgsLayoutItemLegend, QgsLayoutItemScaleBar, QgsLayoutItemPicture, QgsLayoutItemLabel)
    placed = [item for kind in kinds for item in items(layout, kind)]
    page = layout.pageCollection().page(0)
    for item in placed:
        assert page.sceneBoundingRect().contains(item.mapRectToScene(item.rect()))
    areas = [item.mapRectToScene(item.rect()).adjusted(0.5, 0.5, -0.5, -0.5) for item in placed]
    for i, area in enumerate(areas):
        assert not any(area.intersects(other) for other in areas[i + 1 :])


def test_it_is_exported_as_picture_and_pdf(layout: QgsPrintLayout, tmp_path: Path) -> None:
    exporter = QgsLayoutExporter(layout)
    settings = QgsLayoutExporter.ImageExportSettings()
    settings.dpi = 40
    png, pdf = tmp_path / "map.png", tmp_path / "map.pdf"
    assert exporter.exportToImage(str(png), settings) == QgsLayoutExporter.ExportResult.Success
    assert (
        exporter.exportToPdf(str(pdf), QgsLayoutExporter.PdfExportSettings()) == QgsLayoutExporter.ExportResult.Success
    )
    assert pdf.read_bytes().startswith(b"%PDF")
    image = QImage(str(png))
    # In the middle of the map there is a city, of many colours.
    width, height = image.width(), image.height()
    colours = {image.pixel(x, y) for x in range(width // 5, width // 2) for y in range(height // 3, height // 2)}
    assert len(colours) > 200


def test_it_survives_in_the_project_file_and_is_there_once(layout: QgsPrintLayout, tmp_path: Path) -> None:
    project = QgsProject.instance()
    regions = project.mapLayersByName("Regions")[0]
    add_layout(project, layout.name(), "again", [regions], regions.extent())
    (again,) = project.layoutManager().layouts()
    assert "again" in [label.text() for label in items(again, QgsLayoutItemLabel)]
    document = QDomDocument()
    element = again.writeXml(document, QgsReadWriteContext())
    document.appendChild(element)
    reread = QgsPrintLayout(project)
    assert reread.readXml(element, document, QgsReadWriteContext())
    assert len(items(reread, QgsLayoutItemMap)) == 1

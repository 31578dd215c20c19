"""The sample city as a project with styled layers."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any, Optional

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFillSymbol,
    QgsLineSymbol,
    QgsMapLayer,
    QgsMarkerSymbol,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor

from ..i18n import tr
from ..paths import metadata, resource, user_folder
from .layout import add_layout

PALETTE = (
    "#e15759", "#4e79a7", "#f28e2b", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#17becf",
    "#8c1d40", "#1f3b73", "#b3de69", "#fccde5", "#00695c", "#d4a017", "#5e35b1", "#f06292", "#3e2723", "#90caf9",
)  # fmt: skip
MOST_CATEGORIES = len(PALETTE)


class SampleError(Exception):
    """The sample city is not there, or cannot be opened; the text is for the user."""


def copy_sample_city() -> Path:
    """A writable copy of the shipped city in the user's profile; made once for each city that is shipped."""
    source = resource("samplecity")
    if not (source / "regions.gpkg").is_file():
        raise SampleError(tr("The sample city is missing in {}. Install the plugin again.").format(source))
    digest = hashlib.sha256()
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        digest.update(file.relative_to(source).as_posix().encode() + file.read_bytes())
    target = user_folder("samplecity") / digest.hexdigest()[:12]
    if not target.is_dir():
        # Copied beside it and renamed, so that a copy that exists is whole.
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            shutil.copytree(source, Path(temporary) / "city").rename(target)
    return target


def sample_layers(folder: Path) -> list[QgsMapLayer]:
    """The styled layers, the topmost first."""
    layers: list[Optional[QgsMapLayer]] = [
        _vector(folder / "pois.gpkg", tr("Points of interest"), _style_pois),
        _vector(folder / "regions.gpkg", tr("Regions"), _style_regions),
        _vector(folder / "roads.gpkg", tr("Roads"), _style_roads),
        _vector(folder / "buildings.gpkg", tr("Buildings"), _style_buildings),
        _raster(folder / "imagery.tif", tr("Imagery")),
        _raster(folder / "embedding.tif", tr("Embedding raster")),
    ]
    return [layer for layer in layers if layer is not None]


def open_sample_city(iface: Any) -> None:
    """Make a new project of the sample city; QGIS asks first what becomes of unsaved changes."""
    layers = sample_layers(copy_sample_city())
    if not iface.newProject(True):
        return
    project = QgsProject.instance()
    project.setTitle(tr("UrbanFM sample city"))
    regions = next((layer for layer in layers if layer.name() == tr("Regions")), layers[0])
    project.setCrs(regions.crs())
    project.addMapLayers(layers, False)
    shown = _drawn(layers)
    for layer in layers:
        node = project.layerTreeRoot().addLayer(layer)
        node.setExpanded(False)
        node.setItemVisibilityChecked(layer in shown)
    add_layout(project, tr("UrbanFM sample city"), attribution(), shown, regions.extent())
    iface.mapCanvas().setExtent(regions.extent())
    iface.mapCanvas().refresh()


def attribution() -> str:
    """Where the sample city comes from."""
    return tr("Data: a generated city that exists nowhere, made by UrbanFM {}. Coordinates: EPSG:32625.").format(
        metadata("version")
    )


def _drawn(layers: list[QgsMapLayer]) -> list[QgsMapLayer]:
    """What is switched on when the project opens."""
    return [layer for layer in layers if layer.name() != tr("Embedding raster")]


def _vector(path: Path, name: str, style: Any) -> Optional[QgsMapLayer]:
    if not path.is_file():
        return None
    layer = QgsVectorLayer(str(path), name, "ogr")
    if not layer.isValid():
        raise SampleError(tr("{} cannot be opened: {}").format(path, layer.error().summary()))
    style(layer)
    return layer


def _raster(path: Path, name: str) -> Optional[QgsMapLayer]:
    if not path.is_file():
        return None
    layer = QgsRasterLayer(str(path), name, "gdal")
    if not layer.isValid():
        raise SampleError(tr("{} cannot be opened: {}").format(path, layer.error().summary()))
    if layer.bandCount() >= 3 and not isinstance(layer.renderer(), QgsMultiBandColorRenderer):
        layer.setRenderer(QgsMultiBandColorRenderer(layer.dataProvider(), 1, 2, 3))
        layer.setDefaultContrastEnhancement()
    return layer


def _style_regions(layer: QgsVectorLayer) -> None:
    symbol = QgsFillSymbol.createSimple({"style": "no", "outline_color": "#1d3557", "outline_width": "0.5"})
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))


def _style_roads(layer: QgsVectorLayer) -> None:
    layer.setRenderer(QgsSingleSymbolRenderer(QgsLineSymbol.createSimple({"color": "255,255,255,176", "width": "0.3"})))


def _style_buildings(layer: QgsVectorLayer) -> None:
    symbol = QgsFillSymbol.createSimple(
        {"color": "141,153,174,128", "outline_color": "#4a4e69", "outline_width": "0.05"}
    )
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))


def _style_pois(layer: QgsVectorLayer) -> None:
    field = next((name for name in ("category", "amenity", "type") if layer.fields().indexOf(name) >= 0), "")
    found = layer.uniqueValues(layer.fields().indexOf(field)) if field else set()
    values = sorted(value for value in found if isinstance(value, str))
    if not values or len(values) > MOST_CATEGORIES:
        layer.setRenderer(QgsSingleSymbolRenderer(_dot(PALETTE[0])))
        return
    categories = [QgsRendererCategory(value, _dot(colour), value) for value, colour in zip(values, PALETTE)]
    # What has no category is shown too, under the value that QGIS reads as "all others".
    categories.append(QgsRendererCategory("", _dot("#bbbbbb"), tr("no category")))
    layer.setRenderer(QgsCategorizedSymbolRenderer(field, categories))


def _dot(colour: str) -> QgsMarkerSymbol:
    symbol = QgsMarkerSymbol.createSimple({"name": "circle", "size": "1.6", "outline_color": "#ffffff"})
    symbol.setColor(QColor(colour))
    return symbol

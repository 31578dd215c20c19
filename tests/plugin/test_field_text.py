"""Texts that are made from fields: the dialogs offer the fields of the chosen layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import memory_layer, square
from qgis.core import QgsField, QgsProcessingContext, QgsProcessingModelAlgorithm, QgsProject, QgsVectorLayer
from qgis.gui import QgsProcessingModelerParameterWidget
from qgis.PyQt.QtCore import QVariant
from qgis.PyQt.QtWidgets import QDialog, QToolButton

from qgis_plugin.algorithms.clusterregions import ClusterRegions
from qgis_plugin.algorithms.predictindicators import PredictIndicators


@pytest.fixture()
def factory(qgis_processing: None) -> Any:
    """What makes the widgets of Processing's dialogs."""
    from processing.gui.wrappers import WidgetWrapperFactory

    return WidgetWrapperFactory


@pytest.fixture()
def embeddings(qgis_app: Any) -> QgsVectorLayer:
    names = ("region_id", "price", "emb_dim", "emb_000", "embedding")
    fields = [QgsField(name, QVariant.String) for name in names]
    layer = memory_layer("Polygon", "EPSG:32630", fields, [(square(0, 0), list(names))])
    QgsProject.instance().addMapLayer(layer)
    return layer


class Panel:
    """The widgets of an algorithm, joined as a dialog joins them."""

    def __init__(self, factory: Any, algorithm: Any, *names: str) -> None:
        self._parent = QDialog()
        self._algorithm = algorithm().create({})
        definitions = {d.name(): d for d in self._algorithm.parameterDefinitions()}
        self.wrappers = {name: factory.create_wrapper(definitions[name], self._parent) for name in names}
        self._made = [w.createWrappedWidget(QgsProcessingContext()) for w in self.wrappers.values() if not _ours(w)]
        for wrapper in self.wrappers.values():
            wrapper.postInitialize(list(self.wrappers.values()))

    def choose_layer(self, name: str, layer: QgsVectorLayer) -> None:
        self.wrappers[name].setParameterValue(layer.id(), QgsProcessingContext())


def _ours(wrapper: Any) -> bool:
    return hasattr(wrapper, "fields")


def test_a_target_is_chosen_from_the_fields_of_the_layer(factory: Any, embeddings: QgsVectorLayer) -> None:
    panel = Panel(factory, PredictIndicators, "EMBEDDINGS", "REGIONS", "TARGET")
    target = panel.wrappers["TARGET"]
    panel.wrappers["EMBEDDINGS"].setParameterValue(None, QgsProcessingContext())
    panel.wrappers["REGIONS"].setParameterValue(None, QgsProcessingContext())
    assert target.fields() == []
    panel.choose_layer("EMBEDDINGS", embeddings)
    assert target.fields() == ["region_id", "price"]
    heard: list[Any] = []
    target.widgetValueHasChanged.connect(heard.append)
    target.choose("price")
    assert target.parameterValue() == "price" and len(heard) == 1
    target.setWidgetValue("log:price", QgsProcessingContext())
    assert target.parameterValue() == "log:price"
    target.choose("region_id")
    assert target.parameterValue() == "region_id"


def test_the_fields_of_the_regions_come_before_those_of_the_embeddings(
    factory: Any, embeddings: QgsVectorLayer, regions: QgsVectorLayer
) -> None:
    QgsProject.instance().addMapLayer(regions)
    panel = Panel(factory, ClusterRegions, "EMBEDDINGS", "REGIONS", "FIELDS")
    panel.choose_layer("EMBEDDINGS", embeddings)
    panel.choose_layer("REGIONS", regions)
    fields = panel.wrappers["FIELDS"]
    assert fields.fields() == ["code", "people", "tags"]
    for name in ("people", "code", "people"):
        fields.choose(name)
    assert fields.parameterValue() == "people\ncode"


def test_a_file_that_is_no_layer_of_the_project_offers_its_fields(factory: Any, tmp_path: Path) -> None:
    table = tmp_path / "regions.csv"
    table.write_text("id,price\na,1\n")
    panel = Panel(factory, PredictIndicators, "EMBEDDINGS", "REGIONS", "TARGET")
    panel.wrappers["REGIONS"].setParameterValue(str(table), QgsProcessingContext())
    assert panel.wrappers["TARGET"].fields() == ["id", "price"]


def test_the_menu_says_when_there_is_no_layer(factory: Any) -> None:
    panel = Panel(factory, PredictIndicators, "TARGET")
    menu = panel.wrappers["TARGET"].widget.findChild(QToolButton).menu()
    menu.aboutToShow.emit()
    (only,) = menu.actions()
    assert not only.isEnabled()


def test_the_model_designer_keeps_its_own_widget(factory: Any) -> None:
    class ModelerParametersDialog(QDialog):
        model, childId, context = QgsProcessingModelAlgorithm(), "", QgsProcessingContext()

    algorithm = PredictIndicators().create({})
    made = factory.create_wrapper(algorithm.parameterDefinition("TARGET"), ModelerParametersDialog())
    assert isinstance(made, QgsProcessingModelerParameterWidget)

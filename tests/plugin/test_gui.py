"""Menu, set-up dialog, sample city, example model, documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import ROOT, Fake, Feedback, wait
from qgis.core import QgsApplication, QgsProcessingModelAlgorithm, QgsProject, QgsRasterLayer
from qgis.PyQt.QtWidgets import QMessageBox

from qgis_plugin import build, classFactory, settings
from qgis_plugin.gui import sample, setup_dialog
from qgis_plugin.gui.menu import MODELS, Menu
from qgis_plugin.gui.setup_dialog import SetupDialog
from qgis_plugin.runtime.setup import Plan


class Window:
    """As much of QGIS's window as the menu uses."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.messages: list[tuple[Any, ...]] = []
        self.asked: list[bool] = []

    def mainWindow(self) -> None:
        return None

    def addPluginToMenu(self, menu: str, action: Any) -> None:
        self.entries.append(f"{menu}/{action.text()}")

    def removePluginMenu(self, menu: str, action: Any) -> None:
        self.entries.remove(f"{menu}/{action.text()}")

    def addToolBarIcon(self, action: Any) -> None:
        self.entries.append(f"UrbanFM/toolbar/{action.text()}")

    def removeToolBarIcon(self, action: Any) -> None:
        self.entries.remove(f"UrbanFM/toolbar/{action.text()}")

    def messageBar(self) -> Any:
        return self

    def pushMessage(self, *message: Any) -> None:
        self.messages.append(message)

    def newProject(self, ask: bool) -> bool:
        self.asked.append(ask)
        QgsProject.instance().clear()
        return True

    def mapCanvas(self) -> Any:
        return self

    def setExtent(self, extent: Any) -> None:
        self.extent = extent

    def refresh(self) -> None:
        return


def test_the_plugin_comes_and_goes_without_a_trace(qgis_app: Any) -> None:
    window = Window()
    plugin = classFactory(window)
    plugin.initGui()
    assert QgsApplication.processingRegistry().providerById("urbanfm") is not None
    assert [entry.split("/")[0] for entry in window.entries] == ["UrbanFM"] * 6
    assert "UrbanFM/Set up environment…" in window.entries and "UrbanFM/Open sample city" in window.entries
    assert {"UrbanFM/Region inspector", "UrbanFM/toolbar/Region inspector"} <= set(window.entries)
    plugin.unload()
    assert QgsApplication.processingRegistry().providerById("urbanfm") is None
    assert window.entries == []


def test_the_sample_city_is_a_project_of_styled_layers_in_a_writable_folder(tmp_path: Path) -> None:
    window = Window()
    sample.open_sample_city(window)
    project = QgsProject.instance()
    names = [node.name() for node in project.layerTreeRoot().findLayers()]
    assert {"Points of interest", "Regions", "Embedding raster"} <= set(names)
    assert window.asked == [True]
    for layer in project.mapLayers().values():
        assert layer.isValid()
        assert str(tmp_path / "profile") in layer.source()
        if isinstance(layer, QgsRasterLayer):
            assert layer.renderer().usesBands() == [1, 2, 3]
    pois = project.mapLayersByName("Points of interest")[0]
    assert pois.renderer().type() == "categorizedSymbol"
    assert project.crs() == project.mapLayersByName("Regions")[0].crs()


def test_the_sample_city_is_not_copied_over_what_the_user_changed() -> None:
    folder = sample.copy_sample_city()
    (folder / "mine.txt").write_text("x")
    before = (folder / "regions.gpkg").stat().st_mtime_ns
    assert sample.copy_sample_city() == folder
    assert (folder / "regions.gpkg").stat().st_mtime_ns == before
    assert (folder / "mine.txt").exists()


def test_a_missing_sample_city_is_told_in_the_message_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "resource", lambda *parts: tmp_path / "nothing")
    window = Window()
    Menu(window).open_sample_city()
    assert "missing" in window.messages[0][1]


@pytest.mark.parametrize(("name", "stage"), list(zip(MODELS[:2], ("embed", "cluster"), strict=True)))
def test_the_example_models_are_valid_and_chain(
    fake: Fake, raster: str, checkpoint: str, context: Any, name: str, stage: str
) -> None:
    plugin = classFactory(None)
    plugin.initProcessing()
    model = QgsProcessingModelAlgorithm()
    assert model.fromFile(str(ROOT / "resources" / "models" / name))
    assert model.validate() == (True, [])
    out = next(name for name in (output.name() for output in model.outputDefinitions()))
    parameters = {"EMBEDDING_RASTER": raster, "CHECKPOINT": checkpoint, "GRID_SIZE": 100, out: "TEMPORARY_OUTPUT"}
    parameters |= {"GRID_SHAPE": "square", "PRESET": "aether-tiny"}
    results, fine = model.create({}).run(parameters, context, Feedback())
    plugin.unload()
    assert fine and results[out]
    assert fake.job["stage"] == stage
    chained = fake.job["params"]["regions" if stage == "embed" else "embeddings"]
    assert Path(chained).suffix == ".gpkg"


def test_a_model_that_was_saved_before_an_advanced_parameter_came_stays_valid(tmp_path: Path) -> None:
    plugin = classFactory(None)
    plugin.initProcessing()
    text = (ROOT / "resources" / "models" / MODELS[1]).read_text()
    older = re.sub(
        r' *<Option [^>]*"(ROAD_SNAP|CONTIGUITY|QUANTIZATION)".*?\n        </Option>\n', "", text, flags=re.S
    )
    assert len(re.findall("ROAD_SNAP|CONTIGUITY|QUANTIZATION", text)) > 2 and "ROAD_SNAP" not in older
    (tmp_path / "older.model3").write_text(older)
    model = QgsProcessingModelAlgorithm()
    read = model.fromFile(str(tmp_path / "older.model3"))
    valid = model.validate()
    plugin.unload()
    assert read and valid == (True, [])


def test_the_model_of_the_whole_chain_gives_one_table_to_all_analyses(
    fake: Fake, regions: Any, raster: str, checkpoint: str, context: Any
) -> None:
    plugin = classFactory(None)
    plugin.initProcessing()
    model = QgsProcessingModelAlgorithm()
    assert model.fromFile(str(ROOT / "resources" / "models" / MODELS[2]))
    assert model.validate() == (True, [])
    inputs = {"REGIONS": regions, "EMBEDDING_RASTER": raster, "CHECKPOINT": checkpoint, "CHOSEN": regions}
    outputs = {output.name(): "TEMPORARY_OUTPUT" for output in model.outputDefinitions()}
    results, fine = model.create({}).run({**inputs, "TARGET": "people", **outputs}, context, Feedback())
    plugin.unload()
    assert fine and len(outputs) == 6 and all(results[name] for name in outputs)
    assert fake.job["stage"] in ("cluster", "similar", "predict")
    assert Path(fake.job["params"]["embeddings"].split("=")[-1]).suffix == ".gpkg"


def test_the_example_models_reach_the_toolbox(tmp_path: Path) -> None:
    window = Window()
    Menu(window).add_example_models()
    assert {path.name for path in (tmp_path / "profile" / "processing" / "models").iterdir()} == set(MODELS)
    assert window.messages


def test_the_set_up_dialog_does_nothing_unasked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dialog = SetupDialog()
    dialog._folder.edit.setText(str(tmp_path / "env"))
    asked = []

    def say_no(*arguments: Any) -> Any:
        asked.append(arguments[2])
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(setup_dialog.Plan, "check", lambda self: None)
    monkeypatch.setattr(QMessageBox, "question", say_no)
    dialog._start.click()
    assert str(tmp_path / "env") in asked[0] and "GB" in asked[0]
    assert not (tmp_path / "env").exists()
    assert dialog._setup is None
    dialog.close()


class Harmless(Plan):
    """Makes what looks like an environment."""

    def check(self) -> None:
        return

    def steps(self) -> Any:
        make = f"mkdir -p '{self.folder}' && touch '{self.folder}/pyvenv.cfg' && echo made it"
        yield "Making", ["/bin/sh", "-c", make]


def test_the_set_up_dialog_shows_the_log_and_remembers_the_folder(qgis_app: Any, tmp_path: Path) -> None:
    dialog = SetupDialog()
    dialog.start(Harmless(tmp_path / "env", Path("x")))
    assert dialog._cancel.isEnabled() and not dialog._start.isEnabled()
    wait(qgis_app, lambda: dialog._setup is None)
    assert "made it" in dialog._log.toPlainText()
    assert settings.get(settings.ENVIRONMENT_FOLDER) == str(tmp_path / "env")
    assert dialog._start.isEnabled()
    dialog.close()


def test_an_existing_interpreter_is_tried_before_it_is_taken(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("URBANFM_PYTHON")
    warned = []
    monkeypatch.setattr(QMessageBox, "warning", lambda *arguments: warned.append(arguments[2]))
    dialog = SetupDialog()
    dialog._existing.edit.setText(str(tmp_path / "none"))
    dialog._use_existing()
    assert "none" in warned[0] and settings.get(settings.PYTHON) == ""
    dialog._existing.edit.setText(str(fake.python))
    dialog._use_existing()
    assert settings.get(settings.PYTHON) == str(fake.python)
    assert "Ready" in dialog._status.text()
    dialog.close()


def test_every_algorithm_has_a_page_with_its_parameters() -> None:
    from qgis_plugin.provider import ALGORITHMS

    contents = build.contents()
    stages = json.loads(contents["resources/contract.json"])["stages"]
    index = contents["resources/help/index.html"].decode()
    for algorithm in ALGORITHMS:
        page = contents[f"resources/help/{algorithm.ID}.html"].decode()
        assert f"<h1>{algorithm.TITLE}</h1>" in page
        assert f'href="{algorithm.ID}.html"' in index
        for p in stages[algorithm.STAGE]["parameters"]:
            assert f"<code>{p['name'].upper()}</code>" in page
        assert "<script" not in page and not re.search(r"<!-- (parameters|contents)", page)

"""QGIS without a window, and a clean profile for each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import Fake, make_raster, memory_layer, square
from qgis.core import QgsApplication, QgsField, QgsProcessingContext, QgsProject, QgsSettings, QgsVectorLayer
from qgis.PyQt.QtCore import QVariant


@pytest.fixture()
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    return Fake(monkeypatch, tmp_path)


@pytest.fixture(autouse=True)
def clean_profile(qgis_app: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """No environment, no settings and an empty profile for each test; no layer left behind."""
    profile = tmp_path / "profile"
    profile.mkdir()
    monkeypatch.setattr(QgsApplication, "qgisSettingsDirPath", staticmethod(lambda: f"{profile}/"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("URBANFM_PYTHON", raising=False)
    monkeypatch.delenv("URBANFM_FAKE", raising=False)
    QgsSettings().remove("urbanfm")
    yield
    QgsSettings().remove("urbanfm")
    QgsProject.instance().clear()


@pytest.fixture()
def context(qgis_app: Any) -> Any:
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    yield context
    context.temporaryLayerStore().removeAllMapLayers()


@pytest.fixture()
def regions(qgis_app: Any) -> QgsVectorLayer:
    """Five squares with text, whole numbers with a gap, a date and a list."""
    fields = [
        QgsField("code", QVariant.String),
        QgsField("people", QVariant.Int),
        QgsField("tags", QVariant.StringList, subType=QVariant.String),
    ]
    rows = [(square(i * 100, 0), [f"ä{i}", None if i == 2 else i, [f"t{i}", "u"]]) for i in range(5)]
    return memory_layer("Polygon", "EPSG:32630", fields, rows)


@pytest.fixture()
def pois(qgis_app: Any) -> QgsVectorLayer:
    fields = [QgsField("name", QVariant.String), QgsField("category", QVariant.String)]
    rows = [(f"POINT({i * 50} 50)", [f"Bar {i}", "bar"]) for i in range(8)]
    return memory_layer("Point", "EPSG:32630", fields, rows)


@pytest.fixture()
def raster(tmp_path: Path) -> str:
    return make_raster(tmp_path / "raster.tif")


@pytest.fixture()
def checkpoint(tmp_path: Path) -> str:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return str(folder)

"""Small layers, a feedback that remembers, and an interpreter that is a stand-in."""

from __future__ import annotations

import json
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from osgeo import gdal, osr
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsField,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsVectorLayer,
)

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

FAKE = Path(__file__).with_name("fake_worker.py")
MEMORY = "TEMPORARY_OUTPUT"


class Feedback(QgsProcessingFeedback):
    """Keeps what it hears; `stop_at` cancels at the first message that holds the text."""

    def __init__(self, stop_at: str = "") -> None:
        super().__init__(False)
        self.infos: list[str] = []
        self.warnings: list[str] = []
        self.texts: list[str] = []
        self.fractions: list[float] = []
        self._stop_at = stop_at
        self.progressChanged.connect(self.fractions.append)

    def pushInfo(self, info: str) -> None:
        self.infos.append(info)

    def pushConsoleInfo(self, info: str) -> None:
        self.infos.append(info)

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)

    def pushDebugInfo(self, info: str) -> None:
        self.infos.append(info)

    def setProgressText(self, text: str) -> None:
        self.texts.append(text)
        if self._stop_at and self._stop_at in text:
            self.cancel()


class Fake:
    """The stand-in interpreter: how it behaves, and what it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self.record = folder / "record.json"
        self.python = folder / "fake-python"
        self.python.write_text(f'#!/bin/sh\nexec /usr/bin/python3 "{FAKE}" "$@"\n')
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("URBANFM_PYTHON", str(self.python))
        monkeypatch.setenv("URBANFM_FAKE_RECORD", str(self.record))

    def behave(self, mode: str) -> None:
        self._monkeypatch.setenv("URBANFM_FAKE", mode)

    @property
    def seen(self) -> dict[str, Any]:
        return json.loads(self.record.read_text())

    @property
    def job(self) -> dict[str, Any]:
        return self.seen["job"]


def memory_layer(kind: str, crs: str, fields: list[QgsField], rows: list[tuple[str, list[Any]]]) -> QgsVectorLayer:
    """A memory layer of WKT and attributes, in the current project, which owns it."""
    layer = QgsVectorLayer(f"{kind}?crs={crs}", "layer", "memory")
    layer.dataProvider().addAttributes(fields)
    layer.updateFields()
    features = []
    for wkt, attributes in rows:
        feature = QgsFeature(layer.fields())
        feature.setAttributes(attributes)
        if wkt:
            feature.setGeometry(QgsGeometry.fromWkt(wkt))
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    if not crs:
        layer.setCrs(QgsCoordinateReferenceSystem())
    QgsProject.instance().addMapLayer(layer)
    return layer


def square(x: float, y: float, size: float = 100.0) -> str:
    return f"POLYGON(({x} {y},{x} {y + size},{x + size} {y + size},{x + size} {y},{x} {y}))"


def make_raster(path: Path, epsg: int = 32630) -> str:
    data = gdal.GetDriverByName("GTiff").Create(str(path), 20, 10, 3, gdal.GDT_Byte)
    data.SetGeoTransform((0, 10, 0, 100, 0, -10))
    if epsg:
        crs = osr.SpatialReference()
        crs.ImportFromEPSG(epsg)
        data.SetProjection(crs.ExportToWkt())
    data.FlushCache()
    return str(path)


def is_gone(pid: int) -> bool:
    """Whether no such process runs; one that nobody has buried yet does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def run(
    algorithm: Any, parameters: dict[str, Any], context: QgsProcessingContext, feedback: Feedback
) -> dict[str, Any]:
    """As QGIS runs an algorithm: check, prepare, process. A failure raises QgsProcessingException."""
    instance = algorithm().create({})
    fine, message = instance.checkParameterValues(parameters, context)
    if not fine:
        pytest.fail(f"refused: {message}")
    results, done = instance.run(parameters, context, feedback, {}, False)
    if not done and not feedback.isCanceled():
        pytest.fail("the algorithm failed")
    return results


def embed_parameters(regions: Any, raster: str, checkpoint: str, **more: Any) -> dict[str, Any]:
    return {"REGIONS": regions, "EMBEDDING_RASTER": raster, "CHECKPOINT": checkpoint, "OUT": MEMORY, **more}


def refusal(algorithm: Any, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
    """What QGIS says of parameters that the algorithm refuses."""
    fine, message = algorithm().create({}).checkParameterValues(parameters, context)
    assert not fine
    return message


def wait_for(path: Path) -> None:
    """Until another process has written the file."""
    deadline = time.monotonic() + 20
    while not (path.exists() and path.stat().st_size):
        if time.monotonic() > deadline:
            pytest.fail(f"{path} never appeared")
        time.sleep(0.02)


def wait(app: Any, condition: Callable[[], Any]) -> None:
    """Let Qt work until a condition holds."""
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("it never happened")
        app.processEvents()
        time.sleep(0.005)

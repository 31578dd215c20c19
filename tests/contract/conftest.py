"""The small city that ships with the library, and one model trained on it, shared by the end-to-end tests."""

from pathlib import Path

import pytest
import running
from running import QgisProcess
from spoiling import place, urbanfm  # noqa: F401 - fixtures

from urbanfm_core.resources import resource


@pytest.fixture(scope="session")
def city() -> Path:
    return resource("samplecity")


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("end to end ü")


@pytest.fixture(scope="session")
def checkpoint(city, work) -> Path:
    """A tiny AETHER, trained by the command line."""
    running.urbanfm(
        *("train", "--preset", "aether-tiny", "--epochs", "20", "--device", "cpu", "--out", work / "checkpoint"),
        *("--pois", city / "pois.gpkg", "--embedding-raster", city / "embedding.tif", "--cache", work / "cache"),
    )
    return work / "checkpoint"


@pytest.fixture(scope="session")
def qgis(work) -> QgisProcess:
    return QgisProcess(work / "profile")

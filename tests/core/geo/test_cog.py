"""The copy into a Cloud-Optimized GeoTIFF can be stopped, and fails with GDAL's reason."""

import numpy as np
import psutil
import pytest
import rasterio

from urbanfm_core.errors import Cancelled, OutputError
from urbanfm_core.geo import cog
from urbanfm_core.geo.raster import inspect_raster
from urbanfm_core.geo.raster_writer import RasterWriter
from urbanfm_core.progress import Progress

SIDE = 300
# Begins a file as GDAL does, and takes longer than anyone waits.
_ENDLESS = """
import json, pathlib, sys, time
target = json.loads(sys.argv[1])[1]
pathlib.Path(target + ".ovr.tmp").touch()
time.sleep(20)
pathlib.Path(target).parent.joinpath("went on").touch()
"""


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "in.tif"
    transform = rasterio.transform.from_origin(440_000, 4_475_000, 10, 10)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", crs="EPSG:32630", transform=transform, **profile) as file:
        file.write(np.zeros((1, SIDE, SIDE), np.float32))
    return inspect_raster(path)


def write(grid, path, progress):
    with RasterWriter(path, grid, 1, cog=True, progress=progress) as writer:
        writer.write(np.ones((1, SIDE, SIDE), np.float32), grid.window)


def test_it_stops_in_the_middle_and_leaves_nothing(grid, tmp_path, monkeypatch):
    class StopWhileItRuns(Progress):
        def cancelled(self):
            return any(path.name.endswith(".ovr.tmp") for path in tmp_path.iterdir())

    (tmp_path / "cog.tif").write_text("of an earlier run")
    monkeypatch.setattr(cog, "_COPY", _ENDLESS)
    with pytest.raises(Cancelled):
        write(grid, tmp_path / "cog.tif", StopWhileItRuns())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cog.tif", "in.tif"]
    assert (tmp_path / "cog.tif").read_text() == "of an earlier run"
    assert not psutil.Process().children()


def test_a_failure_says_what_gdal_says_and_leaves_nothing(grid, tmp_path, monkeypatch):
    monkeypatch.setattr(cog, "BLOCK_PX", 100)
    with pytest.raises(OutputError, match=r"cog\.tif: cannot be finished .*TileWidth"):
        write(grid, tmp_path / "cog.tif", Progress())
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_a_path_with_odd_characters_is_fine(grid, tmp_path):
    path = tmp_path / "ä 'q\" $x" / "c o g.tif"
    told = []

    class Told(Progress):
        def update(self, fraction, message=""):
            told.append((fraction, message))

    write(grid, path, Told())
    assert told and all(0 <= fraction <= 1 and "cloud" in message for fraction, message in told)
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and file.read().min() == 1

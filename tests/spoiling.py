"""A good city and a good checkpoint, small enough to be made for each test, and ways to spoil them."""

from dataclasses import asdict

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from rasterio.transform import from_origin

from urbanfm_core.cli import main
from urbanfm_core.models.aether import Aether, AetherConfig
from urbanfm_core.training.checkpoint import Checkpoint

CRS = "EPSG:32630"
WEST, NORTH, PIXEL_M, PIXELS = 440_000, 4_475_000, 10, 32


def square(x, y, size=100.0):
    return shapely.box(WEST + x, NORTH - y - size, WEST + x + size, NORTH - y)


def write_raster(path, bands=4, crs=CRS, origin=(WEST, NORTH), pixel=PIXEL_M, nodata=False):
    values = np.random.default_rng(0).normal(size=(bands, PIXELS, PIXELS)).astype(np.float32)
    if nodata:
        values[:] = np.nan
    profile = {"driver": "GTiff", "width": PIXELS, "height": PIXELS, "count": bands, "dtype": "float32"}
    transform = from_origin(*origin, pixel, pixel)
    with rasterio.open(path, "w", crs=crs, transform=transform, nodata=np.nan, **profile) as target:
        target.write(values)


def regions_frame(shapes=None, crs=CRS, **columns):
    shapes = shapes or [square(0, 0), square(100, 0), square(0, 100)]
    columns = columns or {"region_id": [f"r{row}" for row in range(len(shapes))]}
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=crs)


def pois_frame(crs=CRS, east=0, **columns):
    xy = np.random.default_rng(1).uniform(60, 260, (20, 2))
    points = gpd.points_from_xy(WEST + east + xy[:, 0], NORTH - xy[:, 1])
    columns = columns or {"name": [f"Bar {i}" for i in range(20)], "category": ["bar", "school"] * 10}
    return gpd.GeoDataFrame(columns, geometry=points, crs=crs)


@pytest.fixture
def place(tmp_path):
    """A folder with a good city and a good checkpoint; each test spoils one thing."""
    folder = tmp_path / "city"
    folder.mkdir()
    write_raster(folder / "raster.tif")
    regions_frame().to_file(folder / "regions.gpkg")
    pois_frame().to_file(folder / "pois.gpkg")
    config = AetherConfig(bands=4, text_dim=8, hidden_dim=8, post_dim=8, embedding_dim=4)
    torch.manual_seed(0)
    weights = Aether().build(config).state_dict()
    Checkpoint("aether", asdict(config), {"bands": 4}, {"preset": "test"}, weights).save(folder / "ckpt")
    return folder


@pytest.fixture
def urbanfm(tmp_path, capsys):
    """Runs a stage with the outputs in a folder of their own; returns the exit code, all that was said, and the files."""

    def run(stage, *flags):
        made = tmp_path / "made"
        made.mkdir(exist_ok=True)
        before = {path for path in tmp_path.rglob("*") if tmp_path / "cache" not in (path, *path.parents)}
        capsys.readouterr()
        code = main([stage, *map(str, flags)])
        captured = capsys.readouterr()
        after = {path for path in tmp_path.rglob("*") if tmp_path / "cache" not in (path, *path.parents)}
        # What stays in the cache is finished work that a corrected run takes up; never a folder with nothing in it.
        kept = [path for path in (tmp_path / "cache").glob("*/*") if path.is_dir()]
        assert all(list(path.rglob("*.npy")) for path in kept), kept
        return code, " ".join((captured.out + captured.err).split()), after - before

    return run


def embed(place, **changed):
    given = {"regions": place / "regions.gpkg", "embedding-raster": place / "raster.tif", "checkpoint": place / "ckpt"}
    given |= {"parquet": place.parent / "made" / "r.parquet", "cache": place.parent / "cache", "device": "cpu"}
    given |= {name.replace("_", "-"): value for name, value in changed.items()}
    return ["embed", *(text for name, value in given.items() if value is not None for text in (f"--{name}", value))]


def train(place, **changed):
    given = {"pois": place / "pois.gpkg", "embedding-raster": place / "raster.tif", "preset": "aether-tiny"}
    given |= {"out": place.parent / "made" / "ckpt", "cache": place.parent / "cache", "device": "cpu"}
    given |= {name.replace("_", "-"): value for name, value in changed.items()}
    return ["train", *(text for name, value in given.items() for text in (f"--{name}", value))]


def spoil_regions(place, frame):
    (place / "regions.gpkg").unlink()
    frame.to_file(place / "regions.gpkg", driver="GPKG", engine="pyogrio")


def spoil_pois(place, frame):
    (place / "pois.gpkg").unlink()
    frame.to_file(place / "pois.gpkg", driver="GPKG", engine="pyogrio")


def assert_refused(place, urbanfm, command, told):
    """The command ends as a user error that tells all of `told`, and leaves nothing."""
    code, said, made = urbanfm(*command)
    assert code == 2, said
    for words in told:
        # The terminal's lines break anywhere, also in paths.
        assert words.replace(" ", "") in said.replace(" ", ""), said
    assert not made, made
    assert not (place / "owned").exists()
    assert "Traceback" not in said and "bug" not in said

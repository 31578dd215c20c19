"""Floors against their definitions."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from shapely.geometry import box

from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import InputError
from urbanfm_core.evaluation.floors import (
    area,
    coordinates,
    count_categories,
    neighbour_means,
    poi_floors,
    raster_floors,
    raster_sum,
)
from urbanfm_core.progress import Progress

X0, Y0 = 500_000, 4_000_000


@pytest.fixture
def regions():
    """Three squares in a row, a gap of a metre between the last two, and one far away."""
    shapes = [box(0, 0, 100, 100), box(100, 0, 200, 100), box(201, 0, 301, 100), box(900, 0, 1000, 200)]
    shifted = [box(a + X0, b + Y0, c + X0, d + Y0) for a, b, c, d in (shape.bounds for shape in shapes)]
    return RegionSet.from_layer(gpd.GeoDataFrame({"id": [1, 2, 3, 4]}, geometry=shifted, crs="EPSG:25830"))


@pytest.fixture
def pois():
    rows = [(10, "bar", "Blue Moon")] * 6 + [(110, "bar", "Red Moon")] * 2 + [(910, "park", "Red Green")] * 5
    rows += [(500, "park", "Nowhere")]
    frame = gpd.GeoDataFrame(
        {"category": [row[1] for row in rows], "name": [row[2] for row in rows]},
        geometry=gpd.points_from_xy([X0 + row[0] for row in rows], [Y0 + 50] * len(rows)),
        crs="EPSG:25830",
    )
    return PoiSet.from_source(frame)


def write(path, array, nodata=None):
    profile = {
        "driver": "GTiff", "count": len(array), "height": array.shape[1], "width": array.shape[2], "dtype": array.dtype,
        "crs": "EPSG:25830", "transform": from_origin(X0 - 10, Y0 + 210, 20, 20), "nodata": nodata,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        out.write(array)
    return EmbeddingRaster.open(path, "none")


def test_counts_of_categories(regions, pois):
    counts, names = count_categories(pois, regions.assign(pois.xy, pois.crs), 4)
    assert names == ["category bar", "category park"]
    np.testing.assert_array_equal(counts, [[6, 6, 0], [2, 2, 0], [0, 0, 0], [5, 0, 5]])


def test_neighbours_touch_or_nearly_touch(regions):
    found = neighbour_means(regions, np.array([[1.0], [10.0], [100.0], [1000.0]]))
    np.testing.assert_allclose(found[:, 0], [10, 50.5, 10, 0])


def test_poi_floors_and_what_lies_outside(regions, pois):
    counts, full, names = poi_floors(regions, pois, Progress())
    np.testing.assert_allclose(counts.vectors[:, 1], np.log1p([6, 2, 0, 0]))
    width = counts.vectors.shape[1]
    assert full.vectors.shape == (4, 4 * width)
    np.testing.assert_allclose(full.vectors[:, width + 1], np.log1p([600, 200, 0, 0]), rtol=1e-3)
    assert all(item.floor and item.covered.all() for item in (counts, full, names))
    assert "1 of 14" in counts.notes[0]
    assert names.vectors[2].tolist() == [0] * names.vectors.shape[1]
    far = PoiSet.from_source(gpd.GeoDataFrame(geometry=gpd.points_from_xy([0], [0]), crs="EPSG:25830"))
    with pytest.raises(InputError, match="No point"):
        poi_floors(regions, far, Progress())


def test_bands_have_the_means_and_deviations_of_their_pixels(tmp_path, regions):
    array = np.random.default_rng(0).uniform(100, 200, (2, 15, 60)).astype(np.float32)
    with write(tmp_path / "r.tif", array) as raster:
        mean, both = raster_floors(regions, raster, "bands", Progress())
    # Square 1 covers columns 0.5 to 5.5 and rows 5.5 to 10.5: weights by share.
    weight = np.array([0.5, 1, 1, 1, 1, 0.5])
    weights = weight[:, None] * weight[None]
    cut = array[:, 5:11, 0:6].astype(np.float64)
    expected = (cut * weights).sum(axis=(1, 2)) / weights.sum()
    np.testing.assert_allclose(mean.vectors[0], expected, rtol=1e-6)
    deviation = np.sqrt(((cut - expected[:, None, None]) ** 2 * weights).sum(axis=(1, 2)) / weights.sum())
    np.testing.assert_allclose(both.vectors[0, 2:], deviation, rtol=1e-4)


def test_the_sum_of_a_raster_counts_border_pixels_by_their_share(tmp_path, regions):
    people = np.full((1, 15, 60), 4.0)
    people[0, :, 50:] = -200
    with write(tmp_path / "p.tif", people, nodata=-200) as raster:
        total, notes = raster_sum(regions, raster, Progress())
    # 5 x 5 pixels of 20 m, of 4 persons each; the last square is 90 m of data and 10 m without.
    np.testing.assert_allclose(total, [100, 100, 100, 4.5 * 10 * 4], rtol=1e-6)
    assert "1 regions lie partly" in notes[0]
    with write(tmp_path / "two.tif", np.ones((2, 15, 60))) as raster, pytest.raises(InputError, match="one band"):
        raster_sum(regions, raster, Progress())


def test_area_and_coordinates(regions):
    np.testing.assert_allclose(area(regions).vectors[:, 0], [0.01, 0.01, 0.01, 0.02], rtol=2e-3)
    places = coordinates(regions)
    assert places.position == "yes" and places.vectors.shape == (4, 5)
    assert np.argsort(places.vectors[:, 0]).tolist() == [0, 1, 2, 3]

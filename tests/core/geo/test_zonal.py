from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import shapely
from exactextract import exact_extract
from rasterio.features import rasterize

from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.errors import Cancelled, ConfigError, InputError, NoOverlapError, ShapeError
from urbanfm_core.geo.crs import transform_geometry
from urbanfm_core.geo.footprints import Footprints
from urbanfm_core.geo.zonal import zonal_mean
from urbanfm_core.progress import Progress

GRID = rasterio.Affine(10, 0, 358400, 0, -10, 4906600)

Write = Callable[..., Path]
UTM = pyproj.CRS.from_epsg(32616)
HEIGHT, WIDTH, BANDS = 61, 53, 5


def pixels(seed: int = 0) -> np.ndarray:
    """Random vectors with holes: a corner without data, some lonely pixels and one half-empty pixel."""
    rng = np.random.default_rng(seed)
    array = rng.normal(size=(BANDS, HEIGHT, WIDTH)).astype(np.float32)
    array[:, :9, :14] = np.nan
    array[:, rng.random((HEIGHT, WIDTH)) < 0.03] = np.nan
    array[2, 40, 30] = np.nan
    return array


def shapes(seed: int = 1) -> np.ndarray:
    """A Voronoi partition that overhangs the raster, and rings with holes and two parts that overlap it."""
    rng = np.random.default_rng(seed)
    west, north = GRID.c, GRID.f
    x = rng.uniform(west - 60, west + WIDTH * 10 + 60, 30)
    y = rng.uniform(north - HEIGHT * 10 - 60, north + 60, 30)
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(np.column_stack([x, y]))))
    points = shapely.points(x[:8], y[:8])
    rings = shapely.difference(shapely.buffer(points, 83.7), shapely.buffer(points, 31.3))
    pairs = shapely.union(shapely.buffer(points, 17), shapely.buffer(shapely.points(x[8:16], y[8:16]), 23))
    return np.concatenate([cells, rings, pairs])


def by_rasterize(array: np.ndarray, polygon: shapely.Geometry) -> tuple[np.ndarray, int]:
    member = rasterize([polygon], out_shape=array.shape[1:], transform=GRID).astype(bool)
    member &= np.isfinite(array).all(axis=0)
    count = int(member.sum())
    return (array[:, member].astype(np.float64).mean(axis=1) if count else np.full(len(array), np.nan)), count


@pytest.mark.parametrize("memory", [1, 10**9])
@pytest.mark.parametrize("layout", [{}, {"south_up": True}, {"interleave": "pixel"}, {"interleave": "band"}])
def test_centre_rule_equals_rasterised_masks(write_raster: Write, layout: dict[str, object], memory: int) -> None:
    array, polygons = pixels(), shapes()
    path = write_raster(array, block=16, nodata=np.nan, **layout)
    with EmbeddingRaster.open(path) as raster:
        found = zonal_mean(raster, polygons, UTM, memory_bytes=memory)
    expected = [by_rasterize(array, polygon) for polygon in polygons]
    np.testing.assert_array_equal(found.pixels, [count for _, count in expected])
    np.testing.assert_allclose(found.mean, np.stack([mean for mean, _ in expected]), atol=1e-6)
    assert found.uncovered == sum(count == 0 for _, count in expected)
    assert found.mean.dtype == np.float32


@pytest.mark.parametrize("memory", [1, 10**9])
@pytest.mark.parametrize("south_up", [False, True])
def test_coverage_rule_equals_exactextract(write_raster: Write, memory: int, south_up: bool) -> None:
    array, polygons = pixels(), shapes()
    array[:, 40, 30] = np.nan
    path = write_raster(array, block=16, nodata=np.nan, south_up=south_up)
    with EmbeddingRaster.open(path) as raster:
        found = zonal_mean(raster, polygons, UTM, rule="coverage", memory_bytes=memory)
    frame = geopandas.GeoDataFrame({"number": range(len(polygons))}, geometry=polygons, crs=32616)
    with rasterio.open(write_raster(array, "north.tif", nodata=np.nan)) as dataset:
        table = exact_extract(dataset, frame, ["mean", "count"], output="pandas")
    assert isinstance(table, pd.DataFrame)
    np.testing.assert_allclose(found.mean, table.filter(like="mean").to_numpy(), atol=1e-5)
    np.testing.assert_allclose(found.pixels, table.filter(like="count").to_numpy()[:, 0], atol=1e-5)
    np.testing.assert_allclose(found.coverage, found.pixels * 100 / shapely.area(polygons), atol=1e-9)


def test_footprint_weights_are_exact_areas(write_raster: Write) -> None:
    polygons = shapes(4)
    with EmbeddingRaster.open(write_raster(pixels())) as raster:
        runs = Footprints(raster.info, polygons, UTM).runs(raster.info.window, "coverage")
    cover = np.zeros((len(polygons), HEIGHT, WIDTH))
    for region, row, start, stop, weight in zip(runs.region, runs.row, runs.start, runs.stop, runs.weight, strict=True):
        cover[region, row, start:stop] += weight
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    west, north = GRID.c + columns * 10, GRID.f - rows * 10
    cells = shapely.box(west, north - 10, west + 10, north)
    for number, polygon in enumerate(polygons):
        np.testing.assert_allclose(cover[number], shapely.area(shapely.intersection(cells, polygon)) / 100, atol=1e-8)


def test_a_partition_gives_each_pixel_to_one_region(write_raster: Write) -> None:
    array = np.ones((1, HEIGHT, WIDTH), np.float32)
    west, north = GRID.c, GRID.f
    # Borders run exactly through pixel centres, corners included.
    edges_x = np.array([0, 15, 105, 255, WIDTH * 10]) + west
    edges_y = north - np.array([0, 5, 95, 305, HEIGHT * 10])
    squares = [shapely.box(edges_x[i], edges_y[j + 1], edges_x[i + 1], edges_y[j]) for i in range(4) for j in range(4)]
    middle = shapely.Point(west + 265, north - 305)
    corners = [(west, north), (west + WIDTH * 10, north), (west + WIDTH * 10, north - HEIGHT * 10)]
    corners.append((west, north - HEIGHT * 10))
    triangles = [shapely.Polygon([corners[i], corners[(i + 1) % 4], (middle.x, middle.y)]) for i in range(4)]
    with EmbeddingRaster.open(write_raster(array, block=16)) as raster:
        for partition in (squares, triangles):
            found = zonal_mean(raster, np.array(partition), UTM, memory_bytes=1)
            assert found.pixels.sum() == HEIGHT * WIDTH
            np.testing.assert_allclose(found.coverage[found.pixels > 0], 1)
        # The centre on a border belongs to the region east of it, and to the one south of it.
        one = zonal_mean(raster, np.array([shapely.box(west + 5, north - 15, west + 15, north - 5)]), UTM)
        assert one.pixels.tolist() == [1]


def test_small_outside_and_empty_regions_are_told_apart(write_raster: Write) -> None:
    array = pixels()
    array[:, 20:30, 20:30] = 7
    west, north = GRID.c, GRID.f
    speck = shapely.box(west + 221, north - 223, west + 224, north - 221)
    half = shapely.box(west - 100, north - 300, west + 100, north - 200)
    far = shapely.box(west - 500, north, west - 400, north + 50)
    hole = shapely.box(west, north - 80, west + 130, north)
    polygons = np.array([speck, half, far, hole, None, shapely.Polygon()], dtype=object)
    with EmbeddingRaster.open(write_raster(array, nodata=np.nan)) as raster:
        centre = zonal_mean(raster, polygons, UTM)
        cover = zonal_mean(raster, polygons, UTM, rule="coverage")
        with pytest.raises(NoOverlapError, match=r"x 358400 to 358930.*x 357900 to 358000"):
            zonal_mean(raster, polygons[[2, 4]], UTM)
    assert np.isnan(centre.mean).all(axis=1).tolist() == [True, False, True, True, True, True]
    assert np.isnan(cover.mean).all(axis=1).tolist() == [False, False, True, True, True, True]
    np.testing.assert_allclose(cover.mean[0], 7)
    assert cover.pixels[0] == pytest.approx(0.06)
    np.testing.assert_allclose(cover.coverage[[0, 2, 3, 4, 5]], [1, 0, 0, 0, 0])
    assert 0.4 < centre.coverage[1] <= 0.5
    assert (centre.uncovered, cover.uncovered) == (5, 4)


def test_regions_in_another_crs_land_on_the_same_pixels(write_raster: Write) -> None:
    array, polygons = pixels(), shapes()
    degrees = transform_geometry(shapely.segmentize(polygons, 5.0), UTM, pyproj.CRS.from_epsg(4326))
    with EmbeddingRaster.open(write_raster(array, nodata=np.nan)) as raster:
        here = zonal_mean(raster, polygons, UTM, rule="coverage")
        there = zonal_mean(raster, degrees, pyproj.CRS.from_epsg(4326), rule="coverage")
    np.testing.assert_allclose(there.mean, here.mean, atol=1e-4)


def test_straight_borders_of_another_crs_bend(write_raster: Write) -> None:
    # A parallel of 200 km is an arc of several kilometres' height in UTM: its ends alone would miss it.
    array = np.ones((1, 150, 60), np.float32)
    transform = rasterio.Affine(1000, 0, 300000, 0, -1000, 6750000)
    box = shapely.box(-89.5, 60.2, -85.5, 60.6)
    dense = shapely.segmentize(box, 0.001)
    path = write_raster(np.repeat(array, 4, axis=2), transform=transform)
    with EmbeddingRaster.open(path) as raster:
        found = zonal_mean(raster, np.array([box, dense]), pyproj.CRS.from_epsg(4326), rule="coverage")
    assert found.pixels[0] == pytest.approx(found.pixels[1], rel=1e-5)


@pytest.mark.parametrize("rule", ["centre", "coverage"])
@pytest.mark.parametrize("memory", [1, 10**9])
def test_pixel_function_runs_once_per_member_pixel(write_raster: Write, rule: str, memory: int) -> None:
    array, polygons = pixels(), shapes()[10:]
    matrix = np.random.default_rng(5).normal(size=(BANDS, 8)).astype(np.float32)
    seen = 0

    def project(vectors: np.ndarray) -> np.ndarray:
        nonlocal seen
        seen += len(vectors)
        assert vectors.shape[1] == BANDS
        assert np.isfinite(vectors).all()
        return np.tanh(vectors @ matrix)

    mapped = np.tanh(np.einsum("chw,cd->dhw", array, matrix)).astype(np.float32)
    with EmbeddingRaster.open(write_raster(array, block=16, nodata=np.nan)) as raster:
        found = zonal_mean(raster, polygons, UTM, rule=rule, pixel_function=project, memory_bytes=memory)  # type: ignore[arg-type]
        runs = Footprints(raster.info, polygons, UTM).runs(raster.info.window, rule)  # type: ignore[arg-type]
    with EmbeddingRaster.open(write_raster(mapped, "mapped.tif", nodata=np.nan)) as raster:
        expected = zonal_mean(raster, polygons, UTM, rule=rule)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.mean, expected.mean, atol=2e-6)
    np.testing.assert_allclose(found.pixels, expected.pixels, rtol=1e-12)
    member = np.zeros((HEIGHT, WIDTH), bool)
    for row, start, stop in zip(runs.row, runs.start, runs.stop, strict=True):
        member[row, start:stop] = True
    assert seen == (member & np.isfinite(array).all(axis=0)).sum()


def test_nothing_valid_still_gives_the_right_width(write_raster: Write) -> None:
    array = np.full((BANDS, HEIGHT, WIDTH), np.nan, np.float32)
    with EmbeddingRaster.open(write_raster(array, nodata=np.nan)) as raster:
        found = zonal_mean(raster, shapes(), UTM, pixel_function=lambda x: np.ones((len(x), 3), np.float32))
        with pytest.raises(ShapeError, match="pixel function"):
            zonal_mean(raster, shapes(), UTM, pixel_function=lambda x: x[0])
    assert found.mean.shape == (len(shapes()), 3)
    assert np.isnan(found.mean).all()
    assert found.coverage.max() == 0


class Memory:
    """Keeps partial results and may stop the run after some of them."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, np.ndarray]] = {}

    def has(self, name: str) -> bool:
        return name in self.kept

    def save(self, name: str, **arrays: np.ndarray) -> None:
        self.kept[name] = arrays

    def load(self, name: str) -> dict[str, np.ndarray]:
        return self.kept[name]


class StopAfter(Progress):
    def __init__(self, store: Memory, count: int) -> None:
        self.store, self.count = store, count

    def cancelled(self) -> bool:
        return len(self.store.kept) >= self.count


def test_a_stopped_run_resumes_to_the_same_bytes(write_raster: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    polygons = shapes()
    with EmbeddingRaster.open(write_raster(pixels(), block=16, nodata=np.nan)) as raster:
        whole = zonal_mean(raster, polygons, UTM, memory_bytes=1)
        store = Memory()
        with pytest.raises(Cancelled):
            zonal_mean(raster, polygons, UTM, store=store, progress=StopAfter(store, 6), memory_bytes=1)
        assert sorted(store.kept) == [f"zonal/{number:05d}" for number in range(6)]
        reads: list[object] = []
        read = raster.read_stored
        monkeypatch.setattr(raster, "read_stored", lambda window: (reads.append(window), read(window))[1])
        again = zonal_mean(raster, polygons, UTM, store=store, memory_bytes=1)
        assert len(reads) == len(store.kept) - 6
    for one, other in ((whole.mean, again.mean), (whole.pixels, again.pixels), (whole.coverage, again.coverage)):
        assert one.tobytes() == other.tobytes()


def test_blocks_without_a_region_are_not_read(write_raster: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    polygon = shapely.box(GRID.c + 20, GRID.f - 140, GRID.c + 120, GRID.f - 40)
    with EmbeddingRaster.open(write_raster(pixels(), block=16)) as raster:
        reads: list[tuple[int, int]] = []
        read = raster.read_stored
        monkeypatch.setattr(
            raster, "read_stored", lambda window: (reads.append((window.row_off, window.col_off)), read(window))[1]
        )
        zonal_mean(raster, np.array([polygon]), UTM, memory_bytes=1)
    assert reads == [(0, 0)]


def test_mosaic_with_a_gap_equals_one_file(write_raster: Write, write_vrt: Write) -> None:
    array, polygons = np.nan_to_num(pixels() * 40).clip(-120, 120).astype(np.int8), shapes()
    tiles = []
    for name, row, column in (("a", 0, 0), ("b", 0, 32), ("c", 32, 0)):
        part = array[:, row : row + 32, column : column + 32]
        tiles.append((write_raster(part, f"{name}.tif", block=16, nodata=-128), row, column))
    gapped = array.copy()
    gapped[:, 32:, 32:] = -128
    with (
        EmbeddingRaster.open(write_vrt(tiles, HEIGHT, WIDTH, -128)) as mosaic,
        EmbeddingRaster.open(write_raster(gapped, "one.tif", nodata=-128)) as single,
    ):
        many = zonal_mean(mosaic, polygons, UTM, memory_bytes=1)
        one = zonal_mean(single, polygons, UTM)
    np.testing.assert_allclose(many.mean, one.mean, rtol=1e-6)
    np.testing.assert_array_equal(many.pixels, one.pixels)


def test_damage_and_bad_rules_surface(write_raster: Write) -> None:
    path = write_raster(pixels(), block=16)
    path.write_bytes(path.read_bytes()[:30000])
    with EmbeddingRaster.open(path) as raster:
        with pytest.raises(InputError, match="cannot read the block"):
            zonal_mean(raster, shapes(), UTM)
        with pytest.raises(ConfigError, match="touch"):
            zonal_mean(raster, shapes(), UTM, rule="touch")  # type: ignore[arg-type]

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
from affine import Affine

from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.errors import Cancelled, ConfigError, CRSError, ShapeError
from urbanfm_core.geo import windows as windows_module
from urbanfm_core.geo.windows import Disk, Square, window_means
from urbanfm_core.progress import Progress

Write = Callable[..., Path]
GOLDEN = Path(__file__).parents[2] / "golden" / "aether"
GRID = Affine(10, 0, 358400, 0, -10, 4906600)
UTM = pyproj.CRS.from_epsg(32616)
DEGREES = pyproj.CRS.from_epsg(4326)
HEIGHT, WIDTH, BANDS = 70, 55, 3


def normalised(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-6)


@pytest.mark.parametrize("crs", ["epsg4326", "epsg32616"])
@pytest.mark.parametrize("memory", [1, 10**9])
def test_squares_equal_the_published_windows(crs: str, memory: int) -> None:
    golden = np.load(GOLDEN / "aether_windows.npz")
    with EmbeddingRaster.open(GOLDEN / "aef_wisconsin_64band_float32_10m_epsg4326.tif") as raster:
        found = window_means(
            raster,
            golden[f"points_{crs}"],
            pyproj.CRS.from_epsg(int(crs[4:])),
            [Square(4), Square(9)],
            memory_bytes=memory,
        )
    assert found.outside == 2
    assert np.isnan(found.mean[:, -2:]).all(), "the reference gives zero vectors off the raster, ours are missing"
    assert (found.valid[:, -2:] == 0).all()
    for number, radius in enumerate((4, 9)):
        mean = np.nan_to_num(found.mean[number])
        np.testing.assert_allclose(mean, golden[f"epsg4326_raw_r{radius}"], atol=1e-6)
        np.testing.assert_allclose(normalised(mean), golden[f"{crs}_norm_r{radius}"], atol=1e-6)


def test_squares_skip_missing_bands_like_the_published_windows() -> None:
    golden = np.load(GOLDEN / "aether_nan_raster.npz")
    with EmbeddingRaster.open(GOLDEN / "aether_nan_raster.tif") as raster:
        found = window_means(raster, golden["points_epsg32616"], UTM, [Square(4), Square(9)])
    assert np.isnan(found.mean).any(), "a band without a value in the window is missing, the reference gives 0"
    np.testing.assert_allclose(np.nan_to_num(found.mean[0]), golden["raw_r4"], atol=1e-6)
    np.testing.assert_allclose(np.nan_to_num(found.mean[1]), golden["raw_r9"], atol=1e-6)


def holed(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    array = rng.normal(size=(BANDS, HEIGHT, WIDTH)).astype(np.float32)
    array[:, rng.random((HEIGHT, WIDTH)) < 0.05] = np.nan
    array[1, rng.random((HEIGHT, WIDTH)) < 0.05] = np.nan
    array[:, 50:, :20] = np.nan
    return array


def places(count: int = 30, seed: int = 1) -> np.ndarray:
    """Points on and somewhat off the raster, as continuous column and row."""
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(-3, WIDTH + 3, count), rng.uniform(-3, HEIGHT + 3, count)])


def to_map(colrow: np.ndarray, grid: Affine = GRID) -> np.ndarray:
    return np.column_stack([grid.c + grid.a * colrow[:, 0], grid.f + grid.e * colrow[:, 1]])


def slow_disk(
    array: np.ndarray, place: np.ndarray, size: tuple[float, float], radius: float
) -> tuple[np.ndarray, float]:
    """The definition, pixel by pixel, on the raster padded with nothing."""
    pad = 20
    padded = np.pad(array, ((0, 0), (pad, pad), (pad, pad)), constant_values=np.nan)
    rows, columns = np.mgrid[: padded.shape[1], : padded.shape[2]]
    inside = ((columns + 0.5 - pad - place[0]) * size[0]) ** 2 + ((rows + 0.5 - pad - place[1]) * size[1]) ** 2
    inside = inside <= radius**2
    if not inside.any():
        inside[int(np.floor(place[1])) + pad, int(np.floor(place[0])) + pad] = True
    member = inside & np.isfinite(padded).all(axis=0)
    values = padded[:, member].astype(np.float64)
    return (values.mean(axis=1) if member.any() else np.full(len(array), np.nan)), member.sum() / inside.sum()


def slow_square(array: np.ndarray, place: np.ndarray, radius: int) -> tuple[np.ndarray, float]:
    column, row = np.floor(place).astype(int)
    part = array[:, max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1]
    with np.errstate(invalid="ignore"):
        mean = np.nansum(part.astype(np.float64), axis=(1, 2)) / np.isfinite(part).sum(axis=(1, 2))
    return mean, np.isfinite(part).sum() / len(array) / (2 * radius + 1) ** 2


@pytest.mark.parametrize("memory", [1, 10**9])
@pytest.mark.parametrize("tile", [7, 64])
@pytest.mark.parametrize("layout", [{}, {"south_up": True}, {"interleave": "pixel"}])
def test_windows_equal_their_definition(
    write_raster: Write, layout: dict[str, object], tile: int, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "_TILE_ROWS", tile)
    monkeypatch.setattr(windows_module, "_TILE_COLUMNS", tile + 2)
    monkeypatch.setattr(windows_module, "_GATHER", 50)
    array, colrow = holed(), places()
    sizes = [Disk(50), Square(3), Disk(123.4), Square(0), Disk(2)]
    with EmbeddingRaster.open(write_raster(array, block=16, nodata=np.nan, **layout)) as raster:
        found = window_means(raster, to_map(colrow), UTM, sizes, memory_bytes=memory)
    on = (colrow >= 0).all(axis=1) & (colrow < (WIDTH, HEIGHT)).all(axis=1)
    assert 0 < found.outside == (~on).sum()
    assert np.isnan(found.mean[:, ~on]).all()
    for number, size in enumerate(sizes):
        for point in np.flatnonzero(on):
            if isinstance(size, Disk):
                mean, share = slow_disk(array, colrow[point], (10, 10), size.radius_m)
            else:
                mean, share = slow_square(array, colrow[point], size.radius_px)
            np.testing.assert_allclose(found.mean[number, point], mean, atol=1e-6)
            assert found.valid[number, point] == pytest.approx(share, abs=1e-6)


def test_disks_on_a_raster_in_degrees_are_round_on_the_ground(write_raster: Write) -> None:
    step = 1e-4
    grid = Affine(step, 0, 12, 0, -step, 60)
    array, colrow = holed(), places()
    array[1] = array[0]
    geod = pyproj.Geod(ellps="WGS84")
    with EmbeddingRaster.open(write_raster(array, nodata=np.nan, crs="EPSG:4326", transform=grid)) as raster:
        found = window_means(raster, to_map(colrow, grid), DEGREES, [Disk(40.0), Disk(95.0)])
    on = np.isfinite(found.mean[1]).all(axis=1)
    assert on.sum() > 15
    for point in np.flatnonzero(on):
        south = 60 - step * colrow[point, 1]
        east = geod.inv(12, south, 12 + step, south)[2]
        size = (east, geod.inv(12, south + step / 2, 12, south - step / 2)[2])
        assert size[1] > 1.9 * size[0]
        for number, radius in enumerate((40.0, 95.0)):
            mean, share = slow_disk(array, colrow[point], size, radius)
            np.testing.assert_allclose(found.mean[number, point], mean, atol=1e-6)
            assert found.valid[number, point] == pytest.approx(share, abs=1e-6)


def test_a_centre_on_the_rim_belongs_to_the_disk(write_raster: Write) -> None:
    array = np.ones((1, HEIGHT, WIDTH), np.float32)
    place = to_map(np.array([[20.5, 20.5]]))
    with EmbeddingRaster.open(write_raster(array)) as raster:
        for radius, count in ((10, 5), (9.99, 1), (50, 81)):
            array[0, 20, 20] = 2
            found = window_means(raster, place, UTM, [Disk(radius)])
            assert found.valid[0, 0] == 1
            with EmbeddingRaster.open(write_raster(array, f"{count}.tif")) as peaked:
                mean = window_means(peaked, place, UTM, [Disk(radius)]).mean[0, 0, 0]
            assert mean == pytest.approx(1 + 1 / count)


def test_integer_embedding_equals_its_float_form(write_raster: Write) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (64, 30, 30)).astype(np.int8)
    codes[:, 4:9, 4:9] = -128
    place = to_map(np.random.default_rng(1).uniform(0, 30, (20, 2)))
    with EmbeddingRaster.open(write_raster(codes, "i.tif", nodata=-128, south_up=True)) as raster:
        values = raster.read(raster.info.window)
        found = window_means(raster, place, UTM, [Disk(40), Square(2)])
    with EmbeddingRaster.open(write_raster(values, "f.tif", nodata=np.nan)) as raster:
        expected = window_means(raster, place, UTM, [Disk(40), Square(2)])
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-7)
    np.testing.assert_array_equal(found.valid, expected.valid)


def test_mosaic_equals_one_file(write_raster: Write, write_vrt: Write) -> None:
    array = np.nan_to_num(holed(), nan=-9.0)
    tiles = []
    for row in (0, 40):
        for column in (0, 30):
            part = array[:, row : row + 40, column : column + 30]
            tiles.append((write_raster(part, f"{row}_{column}.tif", block=16, nodata=-9), row, column))
    with (
        EmbeddingRaster.open(write_vrt(tiles, HEIGHT, WIDTH, -9)) as mosaic,
        EmbeddingRaster.open(write_raster(array, "one.tif", nodata=-9)) as single,
    ):
        many = window_means(mosaic, to_map(places()), UTM, [Disk(60), Square(4)], memory_bytes=1)
        one = window_means(single, to_map(places()), UTM, [Disk(60), Square(4)])
    np.testing.assert_allclose(many.mean, one.mean, atol=1e-6)
    np.testing.assert_array_equal(many.valid, one.valid)


def test_only_blocks_in_reach_are_read(write_raster: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddingRaster.open(write_raster(holed(), block=16)) as raster:
        reads: list[tuple[int, int]] = []
        read = raster.read_stored
        monkeypatch.setattr(
            raster, "read_stored", lambda window: (reads.append((window.row_off, window.col_off)), read(window))[1]
        )
        window_means(raster, to_map(np.array([[8.5, 8.5], [30.5, 20.5]])), UTM, [Square(2)], memory_bytes=1)
        assert reads == [(0, 0), (16, 16), (16, 32)]


def test_no_points_and_all_outside(write_raster: Write) -> None:
    with EmbeddingRaster.open(write_raster(holed())) as raster:
        empty = window_means(raster, np.empty((0, 2)), UTM, [Disk(50), Square(1)])
        away = window_means(raster, np.array([[0.0, 0.0], [np.nan, 1.0]]), UTM, [Disk(50), Square(1)])
    assert empty.mean.shape == (2, 0, BANDS)
    assert away.outside == 2
    assert np.isnan(away.mean).all()


def test_bad_sizes_points_and_cancel(write_raster: Write) -> None:
    class Stopped(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(ConfigError, match="radius"):
        Disk(0)
    with pytest.raises(ConfigError, match="radius"):
        Square(-1)
    with EmbeddingRaster.open(write_raster(holed())) as raster:
        with pytest.raises(ShapeError, match=r"\(P, 2\)"):
            window_means(raster, np.zeros(3), UTM, [Disk(50)])
        with pytest.raises(CRSError):
            window_means(raster, np.zeros((1, 2)), None, [Disk(50)])  # type: ignore[arg-type]
        with pytest.raises(Cancelled):
            window_means(raster, to_map(places()), UTM, [Disk(50)], progress=Stopped())

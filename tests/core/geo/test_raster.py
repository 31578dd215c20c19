from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from urbanfm_core.errors import ConfigError, CRSError, InputError, ShapeError
from urbanfm_core.geo import strips as strips_module
from urbanfm_core.geo.raster import RasterReader, inspect_raster, metres_per_pixel, nodata_array
from urbanfm_core.geo.raster_writer import RasterWriter
from urbanfm_core.geo.strips import BLOCK_PX, plan_output, plan_strips

Write = Callable[..., Path]


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(3).integers(-120, 120, (3, 40, 50)).astype(np.int8)


def test_inspect_tells_grid_and_storage(write_raster: Write, values: np.ndarray) -> None:
    info = inspect_raster(write_raster(values, nodata=-128, block=16, interleave="pixel"))
    assert (info.width, info.height, info.count, info.dtype) == (50, 40, 3, "int8")
    assert info.nodata == (-128.0,) * 3
    assert info.crs.to_epsg() == 32616
    assert info.bounds == (358400, 4906200, 358900, 4906600)
    assert info.res_m == (10, 10)
    assert (info.block_shape, info.interleave, info.south_up, info.has_mask) == ((16, 16), "pixel", False, False)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("block", [None, 16])
@pytest.mark.parametrize("south_up", [False, True])
def test_layouts_read_alike(
    write_raster: Write, values: np.ndarray, interleave: str, block: int | None, south_up: bool
) -> None:
    path = write_raster(values, block=block, interleave=interleave, south_up=south_up)
    with RasterReader(path) as reader:
        assert reader.info.south_up is south_up
        assert reader.info.bounds == (358400, 4906200, 358900, 4906600)
        np.testing.assert_array_equal(reader.read(Window(7, 5, 20, 30)), values[:, 5:35, 7:27])


@pytest.mark.parametrize("south_up", [False, True])
@pytest.mark.parametrize("memory", [1, 2000, 6000, 10**9])
@pytest.mark.parametrize("window", [None, Window(3, 5, 30, 31)])
def test_strips_hold_each_block_once(
    write_raster: Write, values: np.ndarray, south_up: bool, memory: int, window: Window | None
) -> None:
    info = inspect_raster(write_raster(values, block=16, south_up=south_up))
    strips = plan_strips(info, window, memory)
    covered = np.zeros((info.height, info.width), int)
    block_of: dict[tuple[int, int], set[int]] = {}
    for number, strip in enumerate(strips):
        rows, columns = strip.toslices()
        covered[rows, columns] += 1
        for row in range(rows.start, rows.stop):
            stored_row = info.height - 1 - row if south_up else row
            for column in range(columns.start, columns.stop):
                block_of.setdefault((stored_row // 16, column // 16), set()).add(number)
    wanted = np.zeros_like(covered)
    wanted[(window or info.window).toslices()] = 1
    np.testing.assert_array_equal(covered, wanted)
    assert all(len(numbers) == 1 for numbers in block_of.values())
    if memory == 10**9:
        assert len(strips) == 1


def test_a_huge_block_is_cut_to_bound_memory(
    write_raster: Write, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips_module, "_WHOLE_BLOCK_BYTES", 3 * 50 * 10)
    info = inspect_raster(write_raster(values, blockysize=40))
    strips = plan_strips(info, memory_bytes=1)
    assert [(strip.row_off, strip.height) for strip in strips] == [(0, 10), (10, 10), (20, 10), (30, 10)]


def test_mosaic_takes_the_blocks_of_its_tiles(write_raster: Write, write_vrt: Write, values: np.ndarray) -> None:
    left = write_raster(values[:, :, :20], "left.tif", block=16)
    right = write_raster(values[:, :, 20:], "right.tif", block=16)
    path = write_vrt([(left, 0, 0), (right, 0, 20)], 40, 50)
    with RasterReader(path) as reader:
        assert reader.info.block_shape == (16, 16)
        np.testing.assert_array_equal(reader.read(reader.info.window), values)


def test_mosaic_with_a_lost_tile_says_so(write_raster: Write, write_vrt: Write, values: np.ndarray) -> None:
    left = write_raster(values[:, :, :20], "left.tif")
    right = write_raster(values[:, :, 20:], "right.tif")
    path = write_vrt([(left, 0, 0), (right, 0, 20)], 40, 50)
    right.unlink()
    with RasterReader(path) as reader, pytest.raises(InputError, match=r"mosaic\.vrt: cannot read the block"):
        reader.read(reader.info.window)


def test_each_thread_has_a_handle(write_raster: Write, values: np.ndarray) -> None:
    found: list[bool] = []
    with RasterReader(write_raster(values, block=16)) as reader:

        def work() -> None:
            for _ in range(20):
                found.append(bool((reader.read(reader.info.window) == values).all()))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(reader._handles) == 3
    assert found == [True] * 60


def test_metres_follow_latitude_and_projection(write_raster: Write, values: np.ndarray) -> None:
    step = 0.001
    grid = inspect_raster(write_raster(values, crs="EPSG:4326", transform=Affine(step, 0, 12, 0, -step, 60.02)))
    geod = pyproj.Geod(ellps="WGS84")
    _, _, east = geod.inv(12, 60, 12 + step, 60)
    _, _, north = geod.inv(12, 60 - step / 2, 12, 60 + step / 2)
    np.testing.assert_allclose(metres_per_pixel(grid, np.array([[0.0, 20.0]]))[0], (east, north), rtol=1e-6)

    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(12, 60)
    mercator = inspect_raster(write_raster(values, crs="EPSG:3857", transform=Affine(10, 0, x, 0, -10, y)))
    width, height = metres_per_pixel(mercator, np.array([[0.0, 0.0]]))[0]
    assert width == pytest.approx(5.01, abs=0.02)
    assert height == pytest.approx(5.01, abs=0.03)

    feet = inspect_raster(write_raster(values, crs="EPSG:2263", transform=Affine(10, 0, 980000, 0, -10, 200000)))
    assert feet.res_m == pytest.approx((3.048, 3.048), rel=1e-3)


def test_nodata_marks(write_raster: Write, values: np.ndarray) -> None:
    marks = nodata_array(inspect_raster(write_raster(values, nodata=-128)))
    assert marks is not None
    assert marks.tolist() == [-128] * 3
    assert nodata_array(inspect_raster(write_raster(values))) is None
    floats = values.astype(np.float32)
    assert nodata_array(inspect_raster(write_raster(floats, nodata=np.nan))) is None


def test_what_cannot_be_read_is_refused_with_the_reason(
    write_raster: Write, values: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no such file"):
        inspect_raster(tmp_path / "absent.tif")
    with pytest.raises(InputError, match="web service"):
        inspect_raster("https://example.org/wms?layers=a")
    with pytest.raises(InputError, match="web service"):
        inspect_raster("<GDAL_WMS></GDAL_WMS>")
    (tmp_path / "notes.txt").write_text("not a raster")
    with pytest.raises(InputError, match="cannot be opened"):
        inspect_raster(tmp_path / "notes.txt")
    with pytest.raises(CRSError, match=r"raster\.tif"):
        inspect_raster(write_raster(values, crs=None))
    with pytest.raises(InputError, match="gdalwarp"):
        inspect_raster(write_raster(values, transform=Affine(10, 1, 0, 1, -10, 0)))
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), pytest.raises(InputError, match="georeference"):
        inspect_raster(write_raster(values, transform=Affine.identity()))


@pytest.mark.parametrize("compress", ["deflate", None])
def test_truncated_file_names_file_and_block(write_raster: Write, values: np.ndarray, compress: str | None) -> None:
    noise = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    path = write_raster(noise, block=16, interleave="pixel", compress=compress)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.7)])
    with (
        RasterReader(path) as reader,
        pytest.raises(InputError, match=r"raster\.tif.*block at row (16|32|48), column") as e,
    ):
        for strip in plan_strips(reader.info):
            reader.read(strip)
    assert "fetch it again" in e.value.hint


@pytest.mark.parametrize("compress", ["zstd", "deflate", "none"])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_writer_round_trip(write_raster: Write, values: np.ndarray, tmp_path: Path, compress: str, dtype: str) -> None:
    grid = inspect_raster(write_raster(values, south_up=True))
    data = np.random.default_rng(1).integers(-100, 100, (2, 40, 50)).astype(dtype)
    path = tmp_path / "out" / "vectors.tif"
    with RasterWriter(
        path, grid, 2, dtype=dtype, nodata=-128, compress=compress, descriptions=["one", "two"], tags={"WHAT": "test"}
    ) as writer:
        assert not path.exists()
        for strip in plan_strips(grid, memory_bytes=3000):
            rows, columns = strip.toslices()
            writer.write(data[:, rows, columns], strip)
    with RasterReader(path) as reader:
        np.testing.assert_array_equal(reader.read(reader.info.window), data)
        assert reader.info.transform == grid.transform
        assert reader.info.descriptions == ("one", "two")
        assert reader.info.dtype == dtype
        assert not reader.info.south_up
    with rasterio.open(path) as dataset:
        assert dataset.tags()["WHAT"] == "test"
        assert dataset.profile["tiled"]


def test_writer_leaves_nothing_after_an_error(write_raster: Write, values: np.ndarray, tmp_path: Path) -> None:
    grid = inspect_raster(write_raster(values))
    path = tmp_path / "out" / "vectors.tif"
    with pytest.raises(ShapeError), RasterWriter(path, grid, 2) as writer:
        writer.write(np.zeros((3, 4, 4), np.float32), Window(0, 0, 4, 4))
    assert list(path.parent.iterdir()) == []
    with pytest.raises(ConfigError, match="lzw"):
        RasterWriter(path, grid, 2, compress="lzw")


def test_half_floats_are_rounded_and_any_gdal_reads_them(write_raster: Write, tmp_path: Path) -> None:
    grid = inspect_raster(write_raster(np.zeros((1, 300, 280), np.float32)))
    array = np.random.default_rng(3).normal(size=(2, 300, 280)).astype(np.float32)
    array[:, 7] = np.nan
    with RasterWriter(tmp_path / "half.tif", grid, 2, dtype="float16", nodata=np.nan) as writer:
        for window in plan_strips(grid, memory_bytes=1):
            rows, columns = window.toslices()
            writer.write(array[:, rows, columns], window)
    with rasterio.open(tmp_path / "half.tif") as written:
        np.testing.assert_array_equal(written.read(), array.astype(np.float16).astype(np.float32))
        assert written.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "16"


@pytest.mark.parametrize("block", [(16, 16), (256, 256), (512, 512), (1, 1100), (384, 128)])
@pytest.mark.parametrize("south_up", [False, True])
def test_output_windows_cover_the_grid_once(write_raster: Write, block: tuple[int, int], south_up: bool) -> None:
    grid = replace(
        inspect_raster(write_raster(np.zeros((1, 4, 4), np.float32))),
        height=700,
        width=1100,
        block_shape=block,
        block_offset=(700 % block[0] if south_up else 0, 0),
    )
    seen = np.zeros((700, 1100), int)
    for window, parts in plan_output(grid, memory_bytes=1 << 20):
        inside = np.zeros_like(seen)
        for part in parts:
            assert part.height <= BLOCK_PX and part.width <= BLOCK_PX
            inside[part.toslices()] += 1
        assert inside.sum() == window.height * window.width and inside[window.toslices()].all()
        seen += inside
    assert (seen == 1).all()

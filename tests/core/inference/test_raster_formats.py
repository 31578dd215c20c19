"""Embedding rasters as Cloud-Optimized GeoTIFF, and as codes of 8 bits that are read back by themselves."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from urbanfm_core.data.embedding_raster import EmbeddingRaster, dequantize_alphaearth, quantize_alphaearth
from urbanfm_core.errors import Cancelled
from urbanfm_core.inference.raster import map_raster
from urbanfm_core.progress import Progress

BANDS = 5


@pytest.fixture
def source(tmp_path):
    """Bands in [-1, 1], 600 x 700, with a hole."""
    values = np.random.default_rng(1).uniform(-1, 1, size=(BANDS, 600, 700)).astype(np.float32)
    values[:, 10:20, 30:40] = np.nan
    profile = {"driver": "GTiff", "width": 700, "height": 600, "count": BANDS, "dtype": "float32", "crs": "EPSG:32630"}
    with rasterio.open(tmp_path / "in.tif", "w", **profile, transform=from_origin(5e5, 4e6, 10, 10)) as file:
        file.write(values)
    with EmbeddingRaster.open(tmp_path / "in.tif") as raster:
        yield raster, values


def same(pixels):
    return pixels


def write(raster, path, **options):
    return map_raster(
        raster, same, path, names="emb_{:03d}".format, tags={"model": "toy"}, progress=Progress(), **options
    )


@pytest.mark.parametrize("cog", [False, True])
def test_codes_are_read_back_by_themselves_and_lose_nothing_more(source, tmp_path, cog):
    raster, values = source
    assert write(raster, tmp_path / "q.tif", dtype="int8", cog=cog)["cut_numbers"] == 0
    codes = quantize_alphaearth(values.copy())
    with EmbeddingRaster.open(tmp_path / "q.tif") as again:
        assert again.quantization == "alphaearth" and again.info.dtype == "int8" and set(again.info.nodata) == {-128}
        found = again.read(again.info.window)
    hole = np.isnan(values)
    np.testing.assert_array_equal(np.isnan(found), hole)
    np.testing.assert_array_equal(found[~hole], dequantize_alphaearth(codes)[~hole])
    # Half a step of the code is all that is lost: v = (q / 127.5)^2, so up to 1 / 127.5 near 1.
    assert np.abs(found - values)[~hole].max() <= (1 - (127 / 127.5) ** 2) + 1e-6
    # What is read and written again is the same file.
    with EmbeddingRaster.open(tmp_path / "q.tif") as again:
        write(again, tmp_path / "q2.tif", dtype="int8", cog=cog)
    with rasterio.open(tmp_path / "q.tif") as one, rasterio.open(tmp_path / "q2.tif") as two:
        np.testing.assert_array_equal(one.read(), two.read())
        assert "127.5" in one.tags()["QUANTIZATION_MEANING"]


def test_every_code_survives_the_way_to_a_number_and_back():
    codes = np.arange(-127, 128, dtype=np.int8)
    np.testing.assert_array_equal(quantize_alphaearth(dequantize_alphaearth(codes)), codes)
    assert quantize_alphaearth(np.array([np.nan, np.inf, -np.inf], np.float32)).tolist() == [-128] * 3


def test_a_user_may_still_ask_for_the_codes(source, tmp_path):
    raster, _ = source
    write(raster, tmp_path / "q.tif", dtype="int8")
    with EmbeddingRaster.open(tmp_path / "q.tif", "none") as again, rasterio.open(tmp_path / "q.tif") as file:
        np.testing.assert_array_equal(again.read(Window(0, 0, 9, 9)), file.read(window=Window(0, 0, 9, 9)))


def test_numbers_that_a_code_cannot_hold_are_counted(source, tmp_path):
    raster, values = source
    summary = map_raster(raster, lambda pixels: 2 * pixels, tmp_path / "q.tif", dtype="int8", progress=Progress())
    assert summary["cut_numbers"] == int((np.abs(2 * values) > 1).sum()) > 0


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("compress", ["zstd", "deflate", "none"])
def test_a_cloud_optimized_file_holds_the_same_pixels_in_order(source, tmp_path, dtype, compress):
    raster, _ = source
    write(raster, tmp_path / "plain.tif", dtype=dtype, compress=compress)
    write(raster, tmp_path / "cog.tif", dtype=dtype, compress=compress, cog=True)
    with rasterio.open(tmp_path / "plain.tif") as plain, rasterio.open(tmp_path / "cog.tif") as cog:
        np.testing.assert_array_equal(plain.read(), cog.read())
        # GDAL marks compressed files only.
        assert compress == "none" or cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert cog.overviews(1) == [2, 4] and cog.block_shapes[0] == (256, 256)
        assert cog.descriptions == tuple(f"emb_{band:03d}" for band in range(BANDS)) == plain.descriptions
        assert cog.transform == plain.transform and cog.crs == plain.crs and cog.tags()["model"] == "toy"
        assert (
            cog.tags().get("QUANTIZATION")
            == plain.tags().get("QUANTIZATION")
            == ("alphaearth" if dtype == "int8" else None)
        )
        assert (cog.compression is None) == (compress == "none")
    with rasterio.open(tmp_path / "plain.tif") as plain, rasterio.open(tmp_path / "cog.tif", overview_level=0) as view:
        small, first = view.read(1), plain.read(1)[100:102, 200:202].astype(np.float64)
    if dtype == "int8":
        assert small[50, 100] in first
    else:
        assert small[50, 100] == pytest.approx(first.mean(), rel=2e-3)
    # A block in an overview stands before any at full size, as the order of such a file wants it.
    assert _first_block(tmp_path / "cog.tif", overview_level=0) < _first_block(tmp_path / "cog.tif")


def _first_block(path: Path, **options: int) -> int:
    with rasterio.open(path, **options) as file:
        return int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))


def test_a_cancelled_or_failed_cog_leaves_nothing(source, tmp_path):
    raster, _ = source
    before = set(tmp_path.iterdir())

    class Stop(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        map_raster(raster, same, tmp_path / "cog.tif", cog=True, progress=Stop())
    write(raster, tmp_path / "cog.tif", cog=True)
    assert set(tmp_path.iterdir()) == before | {tmp_path / "cog.tif"}


@pytest.mark.parametrize("side", [50, 333, 700, 4000])
@pytest.mark.parametrize("cog", [False, True])
def test_a_small_view_is_every_nth_pixel(source, tmp_path, side, cog):
    raster, values = source
    write(raster, tmp_path / "o.tif", cog=cog)
    step = -(-700 // side)
    with EmbeddingRaster(tmp_path / "o.tif") as again:
        np.testing.assert_array_equal(again.read_overview(side), values[:, ::step, ::step])

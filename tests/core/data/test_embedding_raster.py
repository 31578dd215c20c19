from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from urbanfm_core.data.embedding_raster import EmbeddingRaster, dequantize_alphaearth, quantize_alphaearth
from urbanfm_core.errors import ConfigError, ShapeError

GOLDEN = Path(__file__).parents[2] / "golden" / "aether"
CODES = np.arange(-127, 128, dtype=np.int8)
TABLE = (np.sign(CODES) * (CODES.astype(np.float64) / 127.5) ** 2).astype(np.float32)


def write(path: Path, array: np.ndarray, mask: np.ndarray | None = None, **profile: Any) -> Path:
    bands, height, width = array.shape
    profile = {"crs": "EPSG:32616", "transform": Affine(10, 0, 358400, 0, -10, 4906600)} | profile
    scales, offsets = profile.pop("scales", None), profile.pop("offsets", None)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=array.dtype.name, **profile
        ) as dataset,
    ):
        dataset.write(array)
        if scales:
            dataset.scales, dataset.offsets = scales, offsets
        if mask is not None:
            dataset.write_mask(mask)
    return path


def codes(seed: int = 0) -> np.ndarray:
    array = np.random.default_rng(seed).integers(-127, 128, (64, 9, 11)).astype(np.int8)
    array[:, 2, 3] = -128
    array[5, 4, 4] = -128
    return array


def meaning(array: np.ndarray) -> np.ndarray:
    return np.where(array == -128, np.nan, TABLE[np.maximum(array, -127).astype(int) + 127]).astype(np.float32)


def test_dequantizing_equals_the_table_bit_for_bit() -> None:
    np.testing.assert_array_equal(dequantize_alphaearth(CODES), TABLE)
    np.testing.assert_array_equal(quantize_alphaearth(TABLE), CODES)
    assert quantize_alphaearth(np.array([np.nan, 1.5, -1.5])).tolist() == [-128, 127, -127]


def test_float_export_holds_values_of_the_table() -> None:
    with EmbeddingRaster.open(GOLDEN / "aef_wisconsin_64band_float32_10m_epsg4326.tif") as raster:
        values = raster.read(raster.info.window)
    np.testing.assert_array_equal(dequantize_alphaearth(quantize_alphaearth(values)), values)
    assert np.isin(values, TABLE).all()


@pytest.mark.parametrize("south_up", [False, True])
def test_public_integer_layout_is_recognised(tmp_path: Path, south_up: bool) -> None:
    array = codes()
    stored, transform = array, Affine(10, 0, 358400, 0, -10, 4906600)
    if south_up:
        stored, transform = array[:, ::-1], transform @ Affine(1, 0, 0, 0, -1, 9)
    with EmbeddingRaster.open(write(tmp_path / "a.tif", stored, nodata=-128, transform=transform)) as raster:
        assert (raster.quantization, raster.bands, raster.crs.to_epsg()) == ("alphaearth", 64, 32616)
        values = raster.read(raster.info.window)
        each = raster.read(Window(2, 1, 5, 6), per_band=True)
    expected = meaning(array)
    np.testing.assert_array_equal(each, expected[:, 1:7, 2:7])
    expected[:, 4, 4] = np.nan
    np.testing.assert_array_equal(values, expected)
    assert values.dtype == np.float32


def test_choices_of_quantization(tmp_path: Path) -> None:
    array = codes()
    path = write(tmp_path / "a.tif", array, nodata=-128)
    plain = EmbeddingRaster.open(path, "none").read(Window(0, 0, 3, 2))
    np.testing.assert_array_equal(plain, array[:, :2, :3].astype(np.float32))
    few = write(tmp_path / "few.tif", array[:3], nodata=-128)
    assert EmbeddingRaster.open(few).quantization == "none"
    forced = EmbeddingRaster.open(few, "alphaearth").read(Window(0, 0, 2, 2))
    np.testing.assert_array_equal(forced, meaning(array[:3, :2, :2]))
    unmarked = write(tmp_path / "unmarked.tif", array)
    assert EmbeddingRaster.open(unmarked).quantization == "none"
    floats = write(tmp_path / "f.tif", array.astype(np.float32))
    with pytest.raises(ConfigError, match="int8"):
        EmbeddingRaster.open(floats, "alphaearth")
    with pytest.raises(ConfigError, match="quadratic"):
        EmbeddingRaster.open(path, "quadratic")


def test_declared_scale_and_offset_are_honoured(tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 3000, (2, 4, 5)).astype(np.uint16)
    array[:, 1, 1] = 65535
    path = write(tmp_path / "s2.tif", array, nodata=65535, scales=(1e-4, 2e-4), offsets=(-0.1, 0))
    with EmbeddingRaster.open(path) as raster:
        values = raster.read(raster.info.window)
    expected = array * np.array([1e-4, 2e-4])[:, None, None] + np.array([-0.1, 0])[:, None, None]
    expected[:, 1, 1] = np.nan
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("nodata", [None, np.nan, -9999.0, -3.4028234663852886e38])
def test_float_validity(tmp_path: Path, nodata: float | None) -> None:
    array = np.random.default_rng(2).normal(size=(3, 4, 5)).astype(np.float32)
    array[1, 0, 0] = np.nan
    array[2, 0, 1] = np.inf
    if nodata is not None:
        array[:, 3, 3] = nodata
    with EmbeddingRaster.open(write(tmp_path / "f.tif", array, nodata=nodata)) as raster:
        values = raster.read(raster.info.window)
        each = raster.read(raster.info.window, per_band=True)
    bad = np.zeros((4, 5), bool)
    bad[0, :2] = True
    bad[3, 3] = nodata is not None
    np.testing.assert_array_equal(np.isnan(values), np.broadcast_to(bad, values.shape))
    np.testing.assert_array_equal(values[:, ~bad], array[:, ~bad])
    assert np.isnan(each).sum() == 2 + 3 * (nodata is not None)


def test_the_files_own_mask_counts(tmp_path: Path) -> None:
    array = np.random.default_rng(3).normal(size=(3, 6, 5)).astype(np.float32)
    mask = np.ones((6, 5), bool)
    mask[2:4, 1] = False
    for name, rows, transform in (("n.tif", slice(None), -1), ("s.tif", slice(None, None, -1), 1)):
        grid = Affine(10, 0, 0, 0, 10 * transform, 60 if transform < 0 else 0)
        path = write(tmp_path / name, array[:, rows], mask[rows], transform=grid)
        with EmbeddingRaster.open(path) as raster:
            np.testing.assert_array_equal(~np.isnan(raster.read(raster.info.window)[0]), mask)


def test_decode_zeroes_what_is_invalid_and_checks_bands(tmp_path: Path) -> None:
    array = codes()
    with EmbeddingRaster.open(write(tmp_path / "a.tif", array, nodata=-128)) as raster:
        values, valid = raster.decode(array.reshape(64, -1))
        assert valid.shape == (64, 99)
        np.testing.assert_array_equal(values == 0, (array.reshape(64, -1) == 0) | ~valid)
        _, agreeing = raster.decode(array[:, :3].reshape(64, -1))
        assert agreeing.shape == (1, 33)
        assert agreeing.sum() == 32
        with pytest.raises(ShapeError, match="64 bands"):
            raster.decode(array[:3].reshape(3, -1))

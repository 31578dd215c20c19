import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.errors import Cancelled, ConfigError
from urbanfm_core.inference.raster import map_raster, require_bands, score_function
from urbanfm_core.progress import Progress


@pytest.fixture
def source(tmp_path):
    """Three bands of floats, 300 x 520, with a hole and a missing value in one band."""
    values = np.random.default_rng(1).normal(size=(3, 300, 520)).astype(np.float32)
    values[:, 10:20, 30:40] = np.nan
    values[1, 299, 519] = np.nan
    profile = {"driver": "GTiff", "width": 520, "height": 300, "count": 3, "dtype": "float32", "crs": "EPSG:32630"}
    profile |= {"transform": from_origin(5e5, 4e6, 10, 10), "tiled": True, "blockxsize": 128, "blockysize": 64}
    with rasterio.open(tmp_path / "in.tif", "w", **profile) as file:
        file.write(values)
    with EmbeddingRaster.open(tmp_path / "in.tif") as raster:
        yield raster, values


def double(pixels):
    return np.column_stack([pixels.sum(1), 0.1 * pixels[:, 0]]).astype(np.float32)


def test_every_valid_pixel_is_mapped_and_no_other(source, tmp_path):
    raster, values = source
    summary = map_raster(raster, double, tmp_path / "out.tif", tags={"model": "toy"}, progress=Progress())
    with rasterio.open(tmp_path / "out.tif") as file:
        out = file.read()
        assert file.tags()["model"] == "toy" and file.transform == raster.info.transform
    valid = np.isfinite(values).all(axis=0)
    assert summary == {"dimensions": 2, "valid_pixels": int(valid.sum()), "cut_numbers": 0}
    np.testing.assert_array_equal(np.isfinite(out[0]), valid)
    np.testing.assert_allclose(out[0][valid], values.sum(0)[valid], rtol=1e-6)
    np.testing.assert_allclose(out[1][valid], 0.1 * values[0][valid], rtol=1e-6)


def test_a_cancelled_run_leaves_nothing(source, tmp_path):
    raster, _ = source

    class Stop(Progress):
        def cancelled(self):
            return True

    with pytest.raises(Cancelled):
        map_raster(raster, double, tmp_path / "sub" / "out.tif", progress=Stop())
    assert list((tmp_path / "sub").iterdir()) == []


def test_a_failing_function_keeps_the_old_file(source, tmp_path):
    raster, _ = source
    target = tmp_path / "out.tif"
    target.write_text("old")
    calls = []

    def failing(pixels):
        calls.append(len(pixels))
        if len(calls) > 3:
            raise RuntimeError
        return double(pixels)

    with pytest.raises(RuntimeError):
        map_raster(raster, failing, target, progress=Progress())
    assert target.read_text() == "old"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["in.tif", "out.tif"]


def test_scores_are_cosines(source):
    pixels = np.array([[1, 2, 2], [-1, -2, -2], [0, 1, -1]], np.float32)
    query = np.array([1, 2, 2], np.float32) / 3
    scores = score_function(lambda p: 5 * p, query)(pixels)
    np.testing.assert_allclose(scores, [[1], [-1], [0]], atol=1e-6)


def test_another_number_of_bands_is_refused(source):
    with pytest.raises(ConfigError, match="3 bands"):
        require_bands(source[0], 64)

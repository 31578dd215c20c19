"""Windows that slide over imagery: where they lie, how they are blended, and that parts leave no seams."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as warp
from scipy.integrate import quad

from urbanfm_core.data.embedding_raster import dequantize_alphaearth
from urbanfm_core.data.imagery import Imagery
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import Cancelled, ConfigError, EmptyInputError
from urbanfm_core.inference.windows import Sliding, blend, map_windows
from urbanfm_core.models.exchange import WindowFunction
from urbanfm_core.progress import Progress

SIZE = 16


def write(path, values, crs="EPSG:32630", pixel=2.0, corner=(440_000.0, 4_470_000.0), south_up=False, **profile):
    """A picture of (3, h, w) values; what is 0 in all bands has no data."""
    transform = from_origin(*corner, pixel, pixel)
    stored = values
    if south_up:
        transform = Affine(pixel, 0, corner[0], 0, pixel, corner[1] - pixel * values.shape[1])
        stored = values[:, ::-1]
    profile = {"driver": "GTiff", "tiled": True, "blockxsize": 32, "blockysize": 16, "nodata": 0, **profile}
    shape = {"count": 3, "height": values.shape[1], "width": values.shape[2]}
    with rasterio.open(path, "w", crs=crs, transform=transform, dtype=values.dtype, **shape, **profile) as file:
        file.write(stored)
    return path


@pytest.fixture
def values():
    """A picture that differs everywhere, with a hole in its middle."""
    found = np.random.default_rng(3).integers(1, 256, (3, 150, 210)).astype(np.uint8)
    found[:, 60:110, 90:150] = 0
    return found


@pytest.fixture
def network():
    """A network whose rounding depends on its batch, as those of real models does."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 24, 8, 8), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(96, 5)
    )

    def encode(rgb, valid):
        with torch.inference_mode():
            return layers(torch.from_numpy(rgb * valid[:, None]).float() / 255).numpy()

    return WindowFunction(SIZE, 64.0, 5, None, 4, encode)


def colours(at_once=4):
    """The mean colour of the data of a window."""

    def encode(rgb, valid):
        count = np.maximum(valid.sum(axis=(1, 2)), 1)[:, None]
        return (rgb.sum(axis=(2, 3)) / count / 255).astype(np.float32)

    return WindowFunction(SIZE, 64.0, 3, None, at_once, encode)


def run(path, function, out, stride=None, side=64.0, memory=1 << 26, progress=None, **options):
    with Imagery(path) as imagery:
        sliding = Sliding.over(imagery.info, side, stride)
        store = SampleStore(out.parent / "store", {"windows": str(sliding), "path": str(path)})
        progress = progress or Progress()
        summary = map_windows(
            imagery, function, sliding, out, store=store, progress=progress, memory_bytes=memory, **options
        )
    with rasterio.open(out) as file:
        return file.read(), summary, file.profile | {"descriptions": file.descriptions, "tags": file.tags()}


@pytest.mark.parametrize("stride", [64.0, 32.0, 13.0])
def test_parts_of_any_size_give_the_same_bits(values, network, tmp_path, stride):
    path = write(tmp_path / "i.tif", values)
    window = 4 * SIZE**2
    whole, summary, _ = run(path, network, tmp_path / "whole" / "o.tif", stride)
    assert 0 < summary["valid_pixels"] < summary["windows"] == whole[0].size
    for name, memory in {"one batch": 1, "two rows": 2 * window * whole.shape[2], "some": 37 * window}.items():
        parted, again, _ = run(path, network, tmp_path / name / "o.tif", stride, memory=memory)
        np.testing.assert_array_equal(parted, whole)
        assert again == summary
    with Imagery(path) as imagery:
        sliding = Sliding.over(imagery.info, 64.0, stride)
    assert len(list(sliding.parts(SIZE, 4, 1))) > 5 > len(list(sliding.parts(SIZE, 4, 1 << 26)))


def test_the_grid_is_that_of_the_stride_and_ends_beyond_the_imagery(values, tmp_path):
    path = write(tmp_path / "i.tif", values)
    out, summary, profile = run(
        path, colours(), tmp_path / "o.tif", 32.0, tags={"model": "toy"}, names="emb_{:03d}".format
    )
    assert out.shape == (3, 10, 14)  # 300 x 420 m
    assert profile["transform"] == from_origin(440_000, 4_470_000, 32, 32) and profile["crs"] == "EPSG:32630"
    assert profile["descriptions"] == ("emb_000", "emb_001", "emb_002") and profile["tags"]["model"] == "toy"
    assert summary["dimensions"] == 3 and summary["valid_pixels"] == np.isfinite(out[0]).sum()


def test_windows_without_data_have_none_and_all_others_have(values, tmp_path):
    path = write(tmp_path / "i.tif", values)
    out, summary, _ = run(path, colours(), tmp_path / "o.tif", 8.0)
    valid = (values > 0).any(axis=0)
    rows, columns = ((np.arange(size) * 8 + 4) / 2 for size in out.shape[1:])
    share = np.zeros(out.shape[1:])
    for row, top in enumerate(rows):
        for column, left in enumerate(columns):
            inside = valid[max(0, int(top - 16)) : int(top + 16), max(0, int(left - 16)) : int(left + 16)]
            share[row, column] = inside.sum() / 32**2
    clear = np.abs(share - 0.25) > 0.05
    np.testing.assert_array_equal(np.isfinite(out).all(axis=0)[clear], (share > 0.25)[clear])
    # Corners of the raster show a quarter of their window and have a vector.
    assert np.isfinite(out[:, [0, 0], [0, -1]]).all() and np.isnan(out[:, 21, 29]).all()
    assert f"{int(np.isnan(out[0]).sum()):,} of {out[0].size:,} windows hold too little data" in summary["notes"][-1]


def test_weights_are_the_integrals_of_a_triangle():
    for side, stride in ((64, 64), (64, 32), (64, 16), (50, 20), (70, 64)):
        half = side / stride / 2
        found = Sliding(None, side, stride).weights()
        for away in range(len(found) + 2):
            area, _ = quad(lambda x, a=half: max(0.0, 1 - abs(x) / a), away - 0.5, away + 0.5, points=[0, half, -half])
            assert (found[away] if away < len(found) else 0) == pytest.approx(area, abs=1e-5)
    assert len(Sliding(None, 64, 64).weights()) == 1 and len(Sliding(None, 64, 32).weights()) == 2


def test_a_pixel_is_the_weighted_mean_of_the_windows_that_have_data():
    rng = np.random.default_rng(5)
    weights = np.array([0.75, 0.4, 0.1], np.float32)
    vectors, known = rng.normal(size=(9, 12, 4)).astype(np.float32), rng.random((9, 12)) < 0.7
    vectors[~known] = 0
    found = blend(vectors, known, weights)
    assert found.shape == (4, 5, 8)
    for row in range(5):
        for column in range(8):
            if not known[row + 2, column + 2]:
                assert np.isnan(found[:, row, column]).all()
                continue
            total, weight = np.zeros(4), 0.0
            for down in range(-2, 3):
                for right in range(-2, 3):
                    one = float(weights[abs(down)] * weights[abs(right)]) * known[row + 2 + down, column + 2 + right]
                    total += one * vectors[row + 2 + down, column + 2 + right]
                    weight += one
            np.testing.assert_allclose(found[:, row, column], total / weight, rtol=1e-5, atol=1e-6)


def test_a_picture_of_one_colour_stays_of_one_colour(tmp_path):
    path = write(tmp_path / "i.tif", np.full((3, 100, 120), 51, np.uint8))
    out, _, _ = run(path, colours(), tmp_path / "o.tif", 16.0)
    np.testing.assert_allclose(out, 0.2, rtol=1e-6)


def test_without_overlap_a_pixel_is_its_own_window(values, tmp_path):
    path = write(tmp_path / "i.tif", values)
    out, _, _ = run(path, colours(), tmp_path / "o.tif", 64.0)
    expected = values[:, :32, 32:64].reshape(3, SIZE, 2, SIZE, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(out[:, 0, 1], np.rint(expected).mean(axis=(1, 2)) / 255, rtol=1e-5)


def test_a_raster_that_lies_south_up_is_embedded_alike(values, network, tmp_path):
    plain, _, profile = run(write(tmp_path / "n.tif", values), network, tmp_path / "a" / "o.tif")
    turned, _, other = run(write(tmp_path / "s.tif", values, south_up=True), network, tmp_path / "b" / "o.tif")
    np.testing.assert_array_equal(turned, plain)
    assert other["transform"] == profile["transform"]


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_windows_are_metres_on_the_ground_in_any_crs(tmp_path, crs):
    """At 60 degrees north a metre on the ground is two units of Web Mercator."""
    degree = 111_412.0
    pixel = 2 / degree if crs == "EPSG:4326" else 4.0
    (x,), (y,) = warp("EPSG:4326", crs, [10.0], [60.0])
    values = np.full((3, 100, 100), 99, np.uint8)
    path = write(tmp_path / "i.tif", values, crs=crs, pixel=pixel, corner=(x, y))
    with Imagery(path) as imagery:
        sliding = Sliding.over(imagery.info, 40.0, 20.0)
        frames = sliding.frames(np.array([1]), np.array([1]), imagery.info)
        west, south, east, north = frames.bounds[0]
    longitude, latitude = warp(crs, "EPSG:4326", [west, east], [south, north])
    width = (longitude[1] - longitude[0]) * 111_320 * np.cos(np.radians(60))
    height = (latitude[1] - latitude[0]) * degree
    assert width == pytest.approx(40, rel=0.01) and height == pytest.approx(40, rel=0.01)
    out, _, _ = run(path, colours(), tmp_path / "o.tif", 20.0, side=40.0)
    expected = 200 / 20, (200 if crs == "EPSG:3857" else 200 * np.cos(np.radians(60))) / 20
    assert out.shape[1:] == pytest.approx(expected, abs=1.01)
    np.testing.assert_allclose(out[np.isfinite(out)], 99 / 255, rtol=1e-5)


def test_a_run_that_was_stopped_goes_on(values, network, tmp_path):
    path = write(tmp_path / "i.tif", values)
    window = 4 * SIZE**2
    expected, _, _ = run(path, network, tmp_path / "whole" / "o.tif", 16.0)
    asked = []

    def counted(rgb, valid):
        asked.append(len(rgb))
        return network.encode(rgb, valid)

    class Stop(Progress):
        def cancelled(self):
            return len(asked) >= 60

    function = replace(network, encode=counted)
    with pytest.raises(Cancelled):
        run(path, function, tmp_path / "o.tif", 16.0, memory=60 * window, progress=Stop())
    assert not (tmp_path / "o.tif").exists()
    first, before = sum(asked), len(asked)
    found, _, _ = run(path, function, tmp_path / "o.tif", 16.0, memory=60 * window)
    np.testing.assert_array_equal(found, expected)
    afresh = sum(asked[before:])
    total = int(np.isfinite(expected[0]).sum())
    assert afresh < total and first + afresh < total + 65  # at most one part again


def test_progress_counts_windows(values, network, tmp_path):
    said = []

    class Heard(Progress):
        def update(self, fraction, message=""):
            said.append((fraction, message))

    run(write(tmp_path / "i.tif", values), network, tmp_path / "o.tif", 32.0, progress=Heard())
    assert any("140/140 windows" in message and "left" in message for _, message in said)
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)


def test_codes_of_8_bits_and_what_they_cannot_hold(values, tmp_path):
    path = write(tmp_path / "i.tif", values)
    exact, _, _ = run(path, colours(), tmp_path / "f.tif")
    codes, summary, profile = run(path, colours(), tmp_path / "q.tif", dtype="int8")
    assert profile["dtype"] == "int8" and profile["nodata"] == -128
    np.testing.assert_array_equal(codes == -128, np.isnan(exact))
    known = np.isfinite(exact)
    np.testing.assert_allclose(dequantize_alphaearth(codes)[known], exact[known], atol=0.006)
    assert not any("int8" in note for note in summary["notes"])
    function = replace(colours(), encode=lambda rgb, valid: 9 * colours().encode(rgb, valid))
    _, summary, _ = run(path, function, tmp_path / "r.tif", side=65.0, dtype="int8")
    assert any("were cut for int8" in note for note in summary["notes"])


def test_16_bits_are_stretched_alike_in_all_parts(values, network, tmp_path):
    path = write(tmp_path / "i.tif", values.astype(np.uint16) * 13)
    window = 4 * SIZE**2
    whole, summary, _ = run(path, network, tmp_path / "a" / "o.tif")
    parted, _, _ = run(path, network, tmp_path / "b" / "o.tif", memory=20 * window)
    np.testing.assert_array_equal(parted, whole)
    assert any("stretched" in note for note in summary["notes"])


def test_gaps_between_windows_and_a_raster_without_data_are_refused(tmp_path):
    path = write(tmp_path / "i.tif", np.zeros((3, 40, 40), np.uint8))
    with Imagery(path) as imagery:
        for stride in (65.0, 0.0):
            with pytest.raises(ConfigError, match="apart"):
                Sliding.over(imagery.info, 64.0, stride)
    with pytest.raises(EmptyInputError, match="none of 9 windows of 64 m"):
        run(path, colours(), tmp_path / "o.tif")
    assert not (tmp_path / "o.tif").exists()

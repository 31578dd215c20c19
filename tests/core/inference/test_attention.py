"""Attention as numbers, as a raster and in layers, from maps whose values are known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from pyproj import CRS

from urbanfm_core.data.frames import RegionFrames
from urbanfm_core.data.image_store import StoredImages
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import Cancelled, ConfigError
from urbanfm_core.inference.attention import (
    entropy,
    own_patch_share,
    poi_layer,
    region_layer,
    region_shares,
    write_attention_raster,
)
from urbanfm_core.models.attention import PoiPairs, RegionAttention
from urbanfm_core.progress import Progress

UTM = CRS.from_epsg(32630)
WEST, NORTH, SIDE = 440_000.0, 4_474_000.0, 4


def frames_at(*corners: tuple[float, float], side: float = 64.0) -> RegionFrames:
    """Squares by their north-west corners, in metres east and south of one place."""
    bounds = np.array([[WEST + x, NORTH - y - side, WEST + x + side, NORTH - y] for x, y in corners])
    boxes = np.array([shapely.box(*box) for box in bounds], object)
    return RegionFrames(bounds, UTM, np.full(len(bounds), side), boxes)


def attention_of(frames: RegionFrames, weights: np.ndarray, pairs: list[tuple[Any, ...]] = ()) -> RegionAttention:
    """Maps (R, N), a row of NaN for a region without; pairs as (region, poi, tokens, patch, mass)."""
    has = np.isfinite(weights).any(axis=1)
    columns = [np.array(column) for column in zip(*pairs, strict=True)] or [np.zeros(0, np.int64)] * 5
    places = np.cumsum(has) - 1
    part = np.where(has, places % 2, -1)
    parts = [weights[has][which::2].astype(np.float32) for which in (0, 1)]
    images = StoredImages(8, np.ones(len(frames)), np.ones((3, 3)), [], [], part, part)
    made = PoiPairs(*columns[:4], columns[4].astype(float))
    patches = np.isfinite(weights).sum(axis=1)
    return RegionAttention(frames, images, SIDE, patches, made, part, places // 2, parts)


def random_maps(count: int, seed: int = 0) -> np.ndarray:
    weights = np.random.default_rng(seed).random((count, SIDE**2))
    return weights / weights.sum(axis=1, keepdims=True)


def read(path: Any) -> tuple[np.ndarray, Any]:
    with rasterio.open(path) as file:
        return file.read(1), file.profile


def test_one_region_is_written_patch_by_patch(tmp_path):
    weights = random_maps(1)
    weights[0, 5] = np.nan
    written = write_attention_raster(attention_of(frames_at((0, 0)), weights), tmp_path / "a.tif", Progress())
    values, profile = read(tmp_path / "a.tif")
    assert written == {"width": 4, "height": 4}
    np.testing.assert_array_equal(values, weights.astype(np.float32).reshape(4, 4))
    assert profile["crs"].to_epsg() == 32630 and np.isnan(profile["nodata"])
    assert tuple(profile["transform"])[:6] == (16, 0, WEST, 0, -16, NORTH)


def test_regions_are_laid_side_by_side_and_the_gap_is_nodata(tmp_path):
    weights = random_maps(3)
    attention = attention_of(frames_at((0, 0), (128, 64), (64, 0)), np.vstack([weights[:2], np.full((1, 16), np.nan)]))
    write_attention_raster(attention, tmp_path / "a.tif", Progress())
    values, _ = read(tmp_path / "a.tif")
    assert values.shape == (8, 12)
    np.testing.assert_array_equal(values[:4, :4], weights[0].astype(np.float32).reshape(4, 4))
    np.testing.assert_array_equal(values[4:, 8:], weights[1].astype(np.float32).reshape(4, 4))
    assert np.isfinite(values).sum() == 32


def test_where_frames_overlap_the_mean_of_those_with_data_counts(tmp_path):
    weights = random_maps(2)
    weights[1, [0, 4]] = np.nan
    write_attention_raster(attention_of(frames_at((0, 0), (32, 0)), weights), tmp_path / "a.tif", Progress())
    values, _ = read(tmp_path / "a.tif")
    first, second = weights.reshape(2, 4, 4)
    np.testing.assert_allclose(values[:, :2], first[:, :2], rtol=1e-6)
    np.testing.assert_allclose(values[2:, 2:4], (first[2:, 2:] + second[2:, :2]) / 2, rtol=1e-6)
    np.testing.assert_allclose(values[:2, 2], first[:2, 2], rtol=1e-6)
    np.testing.assert_allclose(values[:, 4:], second[:, 2:], rtol=1e-6)


def test_a_frame_off_the_grid_gives_each_pixel_the_patch_under_its_centre(tmp_path):
    weights = random_maps(2)
    write_attention_raster(attention_of(frames_at((0, 0), (100, 5)), weights), tmp_path / "a.tif", Progress())
    values, profile = read(tmp_path / "a.tif")
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            x, y = profile["transform"] @ (column + 0.5, row + 0.5)
            found = [
                weights[i].reshape(4, 4)[int((NORTH - top - y) // 16), int((x - WEST - left) // 16)]
                for i, (left, top) in enumerate([(0, 0), (100, 5)])
                if 0 <= x - WEST - left < 64 and 0 <= NORTH - top - y < 64
            ]
            expected = np.mean(found) if found else np.nan
            np.testing.assert_allclose(values[row, column], expected, rtol=1e-6)


def test_a_raster_of_many_blocks_is_the_same_as_its_frames(tmp_path):
    corners = [(64.0 * i, 64.0 * (i % 7)) for i in range(150)]
    weights = random_maps(150)
    write_attention_raster(attention_of(frames_at(*corners), weights), tmp_path / "a.tif", Progress())
    values, _ = read(tmp_path / "a.tif")
    assert values.shape == (28, 600)
    for i in (0, 63, 64, 149):
        here = values[4 * (i % 7) : 4 * (i % 7) + 4, 4 * i : 4 * i + 4]
        np.testing.assert_array_equal(here, weights[i].astype(np.float32).reshape(4, 4))
    assert np.isfinite(values).sum() == 150 * 16


def test_a_raster_appears_whole_or_not_at_all(tmp_path):
    class Stop(Progress):
        def cancelled(self) -> bool:
            return True

    attention = attention_of(frames_at((0, 0)), random_maps(1))
    with pytest.raises(Cancelled):
        write_attention_raster(attention, tmp_path / "a.tif", Stop())
    assert not list(tmp_path.iterdir())
    far = attention_of(frames_at((0, 0), (3e6, 3e6)), random_maps(2))
    with pytest.raises(ConfigError, match="one place at a time"):
        write_attention_raster(far, tmp_path / "a.tif", Progress())
    assert not list(tmp_path.iterdir())


def test_entropy_is_0_for_one_patch_1_for_all_alike_and_the_formula_between():
    weights = np.full((4, 16), 1 / 16)
    weights[1] = np.eye(16)[3]
    weights[2] = random_maps(1)[0]
    weights[2, :4] = np.nan
    weights[2] /= np.nansum(weights[2])
    weights[3] = np.nan
    found = entropy(weights)
    rest = weights[2, 4:]
    np.testing.assert_allclose(found[:3], [1, 0, -np.sum(rest * np.log(rest)) / np.log(12)], atol=1e-12)
    assert np.isnan(found[3])


PAIRS = [(0, 7, 1, 3, 0.5), (0, 9, 3, 4, 0.1), (0, 11, 2, -1, math.nan), (1, 7, 2, 0, 0.25), (3, 12, 1, -1, math.nan)]


@pytest.fixture
def attention() -> RegionAttention:
    weights = random_maps(4)
    weights[1, 8:] = np.nan
    weights[2] = np.nan
    return attention_of(frames_at(*[(64.0 * i, 0.0) for i in range(4)]), weights, PAIRS)


def test_a_region_has_the_mean_over_its_tokens(attention):
    own, uniform = region_shares(attention)
    np.testing.assert_allclose(own, [(0.5 + 3 * 0.1) / 4, 0.25, np.nan, np.nan])
    np.testing.assert_allclose(uniform, [1 / 16, 1 / 8, np.nan, np.nan])
    share = own_patch_share(attention)
    assert (share.regions, share.own) == (2, pytest.approx(0.225))
    assert share.ratio == pytest.approx(0.225 / (3 / 32))
    assert "own patches: 0.225" in share.sentence() and "uniform would be 0.09375" in share.sentence()


def test_the_interval_is_that_of_the_mean_of_regions():
    rng = np.random.default_rng(3)
    masses = rng.normal(0.1, 0.02, 400)
    pairs = [(i, i, 1, 0, mass) for i, mass in enumerate(masses)]
    many = attention_of(frames_at(*[(64.0 * i, 0.0) for i in range(400)]), random_maps(400), pairs)
    share = own_patch_share(many, seed=1)
    half = 1.96 * masses.std() / math.sqrt(400)
    np.testing.assert_allclose(share.interval, [masses.mean() - half, masses.mean() + half], atol=half / 5)
    np.testing.assert_allclose(share.ratio_interval, np.array(share.interval) * 16, rtol=1e-9)
    assert own_patch_share(many, seed=1) == share and own_patch_share(many, seed=2) != share


def test_one_region_has_no_interval_and_none_has_no_number():
    one = attention_of(frames_at((0, 0)), random_maps(1), [(0, 0, 1, 2, 0.3)])
    share = own_patch_share(one)
    assert share.summary() == {
        "own": 0.3, "uniform": 1 / 16, "ratio": pytest.approx(4.8), "own_interval": None, "ratio_interval": None,
    }  # fmt: skip
    assert "interval" not in share.sentence()
    none = own_patch_share(attention_of(frames_at((0, 0)), random_maps(1), [(0, 0, 1, -1, math.nan)]))
    assert none.regions == 0 and set(none.summary().values()) == {None} and "No chosen point" in none.sentence()


def test_regions_keep_their_fields_and_get_the_numbers(attention):
    table = pd.DataFrame({"region_id": list("abcd"), "people": [1, 2, 3, 4], "Attention_Own": [9.0] * 4})
    regions = RegionSet(np.array(list("abcd"), object), attention.frames.geometry, UTM, "region_id", table)
    frame = region_layer(regions, attention)
    assert frame["people"].tolist() == [1, 2, 3, 4] and "Attention_Own" not in frame
    assert frame["attention_points"].tolist() == [3, 1, 0, 1]
    np.testing.assert_allclose(frame["attention_ratio"][:2], [0.2 * 16, 0.25 * 8])
    np.testing.assert_allclose(frame["attention_entropy"], entropy(attention.take(np.arange(4))))
    assert np.isnan(frame["attention_entropy"][2])


def test_points_keep_their_fields_and_get_their_own_share(attention):
    names = np.array([f"p{i}" for i in range(14)], object)
    xy = np.column_stack([WEST + np.arange(14.0), np.full(14, NORTH)])
    # Row 3 of the source had no position: later points are one row further down.
    index = np.where(np.arange(14) < 3, np.arange(14), np.arange(14) + 1)
    pois = PoiSet(xy, UTM, names, names, names, index)
    source = pd.DataFrame({"code": [f"row {i}" for i in range(15)], "attention": "old", "geometry": "POINT"})
    frame = poi_layer(pois, source, attention)
    assert frame["code"].tolist() == ["row 8", "row 10", "row 12", "row 13"]
    np.testing.assert_allclose(frame["attention"], [0.375, 0.1, np.nan, np.nan])
    np.testing.assert_allclose(frame["attention_ratio"], [(0.5 * 16 + 0.25 * 8) / 2, 1.6, np.nan, np.nan])
    assert frame["attention_regions"].tolist() == [2, 1, 1, 1]
    assert frame.geometry.x.tolist() == (WEST + np.array([7, 9, 11, 12])).tolist() and frame.crs == UTM
    layer = gpd.GeoDataFrame(
        source.drop(columns="geometry"), geometry=gpd.points_from_xy(range(15), range(15)), crs=UTM
    )
    assert poi_layer(pois, layer, attention).geometry.equals(frame.geometry)


def test_memory_is_that_of_what_is_taken(attention):
    taken = attention.take(np.array([3, 2, 0]))
    assert np.isnan(taken[1]).all()
    np.testing.assert_allclose(np.nansum(taken[[0, 2]], axis=1), 1, rtol=1e-6)
    assert attention.rows.tolist() == [0, 1, 3]
    moved = replace(attention, weights=[np.roll(part, 1, axis=1) for part in attention.weights])
    np.testing.assert_array_equal(moved.take(np.array([0])), np.roll(attention.take(np.array([0])), 1, axis=1))

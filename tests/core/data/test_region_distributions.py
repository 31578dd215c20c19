"""Distributions of points and roads against recorded numbers, and partners against all cosines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import CRS
from sklearn.cluster import DBSCAN

from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.region_distributions import (
    Distribution,
    poi_distribution,
    road_distribution,
    similar_regions,
)
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.roads import RoadNetwork
from urbanfm_core.errors import ConfigError, ShapeError

GOLDEN = Path(__file__).parents[2] / "golden" / "urbanmfm"
# A plane whose metres and areas are those of the ground around the fixture.
PLANE = CRS.from_proj4("+proj=laea +lat_0=40 +lon_0=10 +x_0=3525 +y_0=1145 +datum=WGS84 +units=m")
STATED = json.loads((GOLDEN / "urbanmfm_regions.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "urbanmfm_regions.npz") as file:
        return dict(file)


def points(xy: np.ndarray, crs: CRS = PLANE) -> PoiSet:
    nothing = np.full(len(xy), None, object)
    return replace(
        PoiSet.empty(crs), xy=xy, name=nothing, category=nothing, subcategory=nothing, index=np.arange(len(xy))
    )


def polygons(shapes: list, crs: CRS = PLANE) -> RegionSet:
    return RegionSet.from_layer(geopandas.GeoDataFrame(geometry=shapes, crs=crs))


@pytest.fixture(scope="module")
def regions() -> RegionSet:
    return polygons([shapely.Polygon(one["polygon"]) for one in STATED["regions"]])


@pytest.fixture(scope="module")
def of_points(regions: RegionSet) -> Distribution:
    rows = [poi for one in STATED["regions"] for poi in one["pois"]]
    category = np.array([f"kind {poi['category']}" for poi in rows], object)
    pois = points(np.array([[poi["x"], poi["y"]] for poi in rows], np.float64))
    return poi_distribution(pois, category, regions, STATED["eps_m"], STATED["min_pts"])


@pytest.fixture(scope="module")
def of_roads(regions: RegionSet) -> Distribution:
    lines = [shapely.LineString(xy) for one in STATED["regions"] for xy in one["roads"]]
    return road_distribution(RoadNetwork.read(geopandas.GeoDataFrame(geometry=lines, crs=PLANE)), regions)


def test_points_are_spread_as_recorded(golden, of_points: Distribution) -> None:
    np.testing.assert_allclose(of_points.values, golden["F_p"], atol=1e-7)
    assert of_points.names[2:4] == ["radius of kind 1", "density per km2 of kind 1"]


def test_roads_are_spread_as_recorded(golden, of_roads: Distribution) -> None:
    np.testing.assert_allclose(of_roads.values, golden["F_r"], atol=1e-7)


def test_the_recorded_pairs_are_alike(golden, of_points: Distribution, of_roads: Distribution) -> None:
    found = similar_regions(of_points, of_roads)
    owner = np.repeat(np.arange(len(found)), found.counts())
    pairs = np.column_stack([owner, found.index])
    assert sorted(pairs[pairs[:, 0] < pairs[:, 1]].tolist()) == golden["pairs"].tolist()
    assert len(pairs) == 2 * len(golden["pairs"])
    cosines = golden["cos_F_p"][0, 1] + golden["cos_F_r"][0, 1]
    np.testing.assert_allclose(found.distance_m, 2 - cosines, atol=1e-7)


def test_many_groups_at_once_are_each_clustered_alone(monkeypatch) -> None:
    rng = np.random.default_rng(3)
    xy, kind = rng.uniform(0, 4000, (3000, 2)), rng.integers(0, 3, 3000)
    xy[:500] = np.round(xy[:500], -3)  # stacks of points on one spot
    regions = polygons(
        [shapely.box(x, y, x + 1000, y + 1000) for x in range(0, 4000, 1000) for y in range(0, 4000, 1000)]
    )
    category = np.array(list("abc"), object)[kind]
    whole = poi_distribution(points(xy), category, regions, 60.0, 3)
    held = regions.assign(xy, PLANE)
    area = regions.area_m2()
    for region in range(16):
        for code in range(3):
            some = xy[held.point[(held.region == region) & (kind[held.point] == code)]]
            label = DBSCAN(eps=60.0, min_samples=3).fit(some).labels_
            centroids = [some[label == one].mean(axis=0) for one in range(label.max() + 1)]
            inside = some[label >= 0]
            radius = np.hypot(*(inside - np.mean(centroids, axis=0)).T).max() if len(inside) else 0.0
            expected = [radius * np.sqrt(np.pi / area[region]), len(some) / area[region] * 1e6]
            np.testing.assert_allclose(whole.values[region, 2 * code : 2 * code + 2], expected, atol=1e-9)
    monkeypatch.setattr("urbanfm_core.data.region_distributions._AT_ONCE", 100)
    np.testing.assert_allclose(
        poi_distribution(points(xy), category, regions, 60.0, 3).values, whole.values, atol=1e-12
    )


def test_points_outside_and_without_a_category_are_counted() -> None:
    category = np.array(["a", None, "a"], object)
    found = poi_distribution(
        points(np.array([[5.0, 5], [6, 6], [900, 0]])), category, polygons([shapely.box(0, 0, 9, 9)])
    )
    assert found.values.shape == (1, 2)
    assert found.notes == [
        "1 of 3 points of interest have no category.",
        "1 of 3 points of interest lie in none of the regions.",
    ]
    none = poi_distribution(points(np.zeros((0, 2))), np.empty(0, object), polygons([shapely.box(0, 0, 9, 9)]))
    assert none.values.shape == (1, 0)


def test_roads_are_cut_at_the_border_and_crossings_on_it_are_in_neither() -> None:
    regions = polygons([shapely.box(0, 0, 100, 100), shapely.box(100, 0, 200, 100), shapely.box(500, 0, 600, 100)])
    lines = [shapely.LineString(xy) for xy in ([(-50, 50), (250, 50)], [(100, -9), (100, 90)], [(30, 20), (30, 80)])]
    found = road_distribution(RoadNetwork.read(geopandas.GeoDataFrame(geometry=lines, crs=PLANE)), regions)
    # 100 m of the first, 90 m along the border, 60 m inside one; per hundredth of a km2.
    np.testing.assert_allclose(found.values, [[25.0, 100.0], [19.0, 0.0], [0.0, 0.0]], rtol=1e-6)
    assert found.notes == ["1 of 3 regions have no road."]


@pytest.mark.parametrize("limit", [400, 5])
def test_partners_are_those_of_all_cosines(limit: int) -> None:
    rng = np.random.default_rng(0)
    pois, roads = (rng.lognormal(0, 0.3, (300, width)) for width in (12, 2))
    pois[7] = 0
    pois[10:40] = pois[10]
    roads[10:40] = roads[10]
    made = [Distribution(values, [str(n) for n in range(values.shape[1])]) for values in (pois, roads)]
    found = similar_regions(made[0], made[1], 0.95, limit)
    with np.errstate(invalid="ignore"):
        unit = [values / np.linalg.norm(values, axis=1, keepdims=True) for values in (pois, roads)]
    cosines = [np.nan_to_num(one @ one.T) for one in unit]
    alike = (cosines[0] >= 0.95) & (cosines[1] >= 0.95)
    np.fill_diagonal(alike, False)
    owner = np.repeat(np.arange(300), found.counts())
    assert alike[owner, found.index].all()
    assert len(np.unique(np.column_stack([owner, found.index]), axis=0)) == len(owner)
    assert found.counts().max() <= limit
    if limit == 400:
        np.testing.assert_array_equal(found.counts(), alike.sum(axis=1))
    else:
        assert (found.counts()[10:40] == limit).all()
    assert found.counts()[7] == 0
    assert found.notes[0].startswith("1 of 300 regions lack points of interest or roads")


def test_many_regions_are_compared_within_random_shares(monkeypatch) -> None:
    monkeypatch.setattr("urbanfm_core.data.region_distributions._COMPARED", 40)
    rng = np.random.default_rng(0)
    made = Distribution(rng.lognormal(0, 0.2, (100, 3)), list("abc"))
    shared = similar_regions(made, None, 0.99, 100)
    monkeypatch.undo()
    whole = similar_regions(made, None, 0.99, 100)
    assert shared.notes[0] == "100 regions are compared within 3 shares of them, drawn at random."
    for row in range(100):
        assert set(shared.of(row)) <= set(whole.of(row))
        assert (np.diff(shared.distance_m[shared.starts[row] : shared.starts[row + 1]]) >= -1e-6).all()
    assert 0.2 < len(shared.index) / len(whole.index) < 0.5


def test_without_roads_the_points_decide() -> None:
    pois = Distribution(np.array([[1.0, 2], [2, 4], [2, -1]]), ["a", "b"])
    found = similar_regions(pois, None)
    assert [found.of(row).tolist() for row in range(3)] == [[1], [0], []]
    assert "alike by their points of interest alone" in found.notes[0]


def test_what_cannot_be_compared() -> None:
    pois = Distribution(np.ones((3, 2)), ["a", "b"])
    with pytest.raises(ShapeError, match="roads of 2"):
        similar_regions(pois, Distribution(np.ones((2, 2)), ["a", "b"]))
    with pytest.raises(ConfigError, match="cosine 0"):
        similar_regions(pois, None, threshold=0)
    with pytest.raises(ShapeError, match="1 categories for 2"):
        poi_distribution(points(np.zeros((2, 2))), np.array(["a"], object), polygons([shapely.box(0, 0, 9, 9)]))
    with pytest.raises(ConfigError, match="within 0 m"):
        poi_distribution(points(np.zeros((0, 2))), np.empty(0, object), polygons([shapely.box(0, 0, 9, 9)]), 0.0)

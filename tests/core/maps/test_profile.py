from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import CRS

from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError
from urbanfm_core.maps.grouping import Groups, group_regions
from urbanfm_core.maps.profile import field_columns, profile_clusters

UTM = CRS.from_epsg(32630)


@pytest.fixture()
def regions() -> RegionSet:
    """Thirty squares in a row; prices are high in the first ten."""
    price = np.where(np.arange(30) < 10, 100.0, 10.0) + np.arange(30) % 3
    price[29] = np.nan
    table = pd.DataFrame(
        {
            "region_id": [f"r{row}" for row in range(30)],
            "price": price,
            "flat": 1.0,
            "empty": np.full(30, np.nan),
            "zone": ["A"] * 12 + ["B"] * 17 + [None],
            "open": [True] * 30,
        }
    )
    boxes = np.array([shapely.box(100 * row, 0, 100 * row + 100, 100) for row in range(30)], object)
    return RegionSet(table["region_id"].to_numpy(object), boxes, UTM, "region_id", table)


@pytest.fixture()
def groups() -> Groups:
    """The first ten regions, and the others but the last, which has no vector."""
    vectors = np.where(np.arange(30)[:, None] < 10, [1.0, 0.0], [0.0, 1.0]) + np.linspace(0, 0.1, 30)[:, None] ** 2
    vectors[29] = np.nan
    return group_regions(vectors, clusters=2)


def points(rows: list[tuple[int, str | None]]) -> PoiSet:
    """Points in the middle of regions, (region, category)."""
    xy = np.array([[100.0 * row + 50, 50.0] for row, _ in rows])
    category = np.array([name for _, name in rows], object)
    nothing = np.full(len(rows), None, object)
    return PoiSet(xy, UTM, nothing, category, nothing, np.arange(len(rows)))


def test_points_are_compared_with_the_city(regions, groups) -> None:
    rows = [(row, "bar") for row in range(10) for _ in range(3)] + [(row, "school") for row in range(10, 28)]
    rows += (
        [(row, "shop") for row in range(28)]
        + [(1, "pawn shop"), (2, "pawn shop")]
        + [(3, None), (40, "bar"), (29, "shop")]
    )
    notes: list[str] = []
    profiles = profile_clusters(groups, regions, pd.DataFrame(index=range(30)), points(rows), notes)
    small = profiles[1]
    assert (small.number, small.regions, small.points) == (2, 10, 42)
    bar, shop, school = (next(one for one in small.shares if one.name == name) for name in ("bar", "shop", "school"))
    assert (bar.count, bar.share) == (30, pytest.approx(30 / 42))
    assert bar.city == pytest.approx(30 / 79) and bar.times == pytest.approx((30 / 42) / (30 / 79))
    expected = 42 * 30 / 79
    assert bar.deviations == pytest.approx((30 - expected) / np.sqrt(expected * (1 - 30 / 79)))
    assert (school.count, shop.count) == (0, 10)
    pawn = next(one for one in small.shares if one.name == "pawn shop")
    assert pawn.times == pytest.approx(79 / 42) and pawn.count == 2
    assert [one.name for one in small.more] == ["bar"] and small.less[0].name == "school"
    assert small.label == "bar"
    assert profiles[0].label == "school"
    assert "1 of 81 points of interest lie in no region." in notes
    assert any(note.startswith("1 points of interest have no category") for note in notes)


def test_fields_are_compared_with_the_city(regions, groups) -> None:
    notes: list[str] = []
    columns = field_columns(regions.attributes, [], "region_id", notes)
    assert list(columns) == ["price"] and any("2 fields are empty or the same" in note for note in notes)
    (large, small) = profile_clusters(groups, regions, columns, None, notes)
    (level,) = small.levels
    price = regions.attributes["price"].to_numpy()
    assert level.mean == pytest.approx(price[:10].mean()) and level.city == pytest.approx(np.nanmean(price))
    assert level.deviations == pytest.approx((price[:10].mean() - np.nanmean(price)) / np.nanstd(price))
    assert small.label == "high price" and large.label == "low price" and level.regions == 10
    assert set(small.typical) <= set(regions.ids[:10]) and len(small.typical) == 3


def test_texts_describe_by_their_values(regions) -> None:
    notes: list[str] = []
    columns = field_columns(regions.attributes, ["zone", "price"], "region_id", notes)
    assert list(columns) == ["zone = B", "zone = A", "price"]
    assert columns["zone = A"].sum() == 12 and np.isnan(columns["zone = A"].iloc[29])
    many = regions.attributes.assign(zone=[f"z{row % 20}" for row in range(30)])
    assert field_columns(many, ["zone"], "region_id", notes).shape[1] == 12
    assert any("12 commonest of 20" in note for note in notes)


def test_a_field_that_is_not_there_is_named(regions) -> None:
    with pytest.raises(ConfigError, match=r"no field 'rent'.*price"):
        field_columns(regions.attributes, ["rent"], "region_id", [])


def test_a_cluster_without_a_value_and_points_without_categories(regions, groups) -> None:
    columns = pd.DataFrame({"price": np.where(np.arange(30) < 10, np.nan, np.arange(30.0))})
    notes: list[str] = []
    large, small = profile_clusters(groups, regions, columns, points([(1, None), (2, None)]), notes)
    assert np.isnan(small.levels[0].mean) and small.label == "cluster 2" and small.striking == []
    assert (large.points, large.shares) == (0, [])

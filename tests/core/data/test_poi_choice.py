"""Choosing points: by category, by row, and by finding a layer's points again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pyproj import CRS

from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.poi_choice import choose_pois
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.geo.crs import transform_xy

UTM, WGS84 = CRS.from_epsg(32630), CRS.from_epsg(4326)


def texts(*values: Any) -> np.ndarray:
    column = np.empty(len(values), object)
    column[:] = values
    return column


@pytest.fixture
def pois() -> PoiSet:
    xy = np.array([[440_000.0 + 100 * i, 4_474_000.0] for i in range(5)])
    xy[4] = xy[3]
    return PoiSet(
        xy,
        UTM,
        texts("Sol", "Luna", None, "Mar", "Rio"),
        texts("Food and Drink", "Food and Drink", None, "Education", "Retail"),
        texts("Bar", "Wine Bar", None, "Primary School", "Shop"),
        np.array([0, 1, 2, 5, 6]),
    )


def test_without_conditions_all_points_are_chosen(pois):
    choice = choose_pois(pois)
    assert choice.mask.all() and choice.words == "all points of interest" and not choice.notes


@pytest.mark.parametrize(
    ("categories", "expected"),
    [(["bar"], [0]), (["FOOD_AND  drink"], [0, 1]), (["Bar", "shop"], [0, 4]), (["primary_school"], [3])],
)
def test_categories_of_both_levels_however_they_are_written(pois, categories, expected):
    assert np.flatnonzero(choose_pois(pois, categories).mask).tolist() == expected


def test_a_category_that_is_not_there_is_told_from_those_that_are(pois):
    with pytest.raises(ConfigError, match=r"'pub'.*Food and Drink \(2\)"):
        choose_pois(pois, ["bar", "pub"])


def test_rows_are_those_of_the_source(pois):
    assert np.flatnonzero(choose_pois(pois, rows=[6, 1]).mask).tolist() == [1, 4]
    with pytest.raises(ConfigError, match="first is 3"):
        choose_pois(pois, rows=[1, 3])


def test_selected_points_are_found_by_place_and_name_in_any_crs(pois):
    some = pois.take([1, 2, 4])
    moved = PoiSet(transform_xy(some.xy, UTM, WGS84), WGS84, some.name, some.category, some.subcategory, np.arange(3))
    for selected in (some, moved):
        choice = choose_pois(pois, selected=selected)
        assert np.flatnonzero(choice.mask).tolist() == [1, 2, 4] and not choice.notes
    back = choose_pois(moved, selected=pois)
    assert back.mask.all() and back.notes == ["2 of 5 selected points are not among the points of interest."]


def test_conditions_add_up_and_may_leave_nothing(pois):
    assert np.flatnonzero(choose_pois(pois, ["Food and Drink"], rows=[1, 5]).mask).tolist() == [1]
    with pytest.raises(EmptyInputError, match="None of 5 points"):
        choose_pois(pois, ["bar"], rows=[5])

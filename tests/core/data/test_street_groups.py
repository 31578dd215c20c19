"""Street views by spot, and the view that faces a place."""

from __future__ import annotations

import numpy as np
from pyproj import CRS

from urbanfm_core.data.street_groups import StreetGroups
from urbanfm_core.data.streetview import StreetViews

UTM = CRS.from_epsg(32631)
X, Y = 500_000.0, 4_000_000.0


def views(rows: list[tuple[float, float, str, float]]) -> StreetViews:
    x, y, group, heading = (np.array(column, object) for column in zip(*rows, strict=True))
    text = np.array([""] * len(rows), object)
    xy = np.column_stack([x, y]).astype(np.float64) + np.array([X, Y])
    nowhere = np.full(len(rows), np.nan)
    return StreetViews(xy, UTM, text, text, heading.astype(np.float64), group, text, nowhere, "")


ROWS = [
    (0, 0, "a", 350.0), (900, 0, "b", np.nan), (0, 0, "a", 80.0), (1, 1, "a", np.nan), (0, 0, "a", 170.0),
    (900, 0, "b", np.nan), (500, 0, "c", 10.0), (530, 0, "c", 10.0), (0, 0, "d", 90.0),
]  # fmt: skip


def test_views_of_one_spot_are_a_group() -> None:
    groups = StreetGroups.of(views(ROWS), UTM)
    assert [groups.view[a:b].tolist() for a, b in zip(groups.starts, groups.starts[1:], strict=False)] == [
        [2, 4, 0, 3],
        [1, 5],
        [6],
        [7],
        [8],
    ]
    np.testing.assert_allclose(groups.xy - [X, Y], [[0.25, 0.25], [900, 0], [500, 0], [530, 0], [0, 0]])
    np.testing.assert_array_equal(groups.heading[:4], [80, 170, 350, np.nan])
    assert groups.notes == [
        "9 street views are 5 groups of one spot each.",
        "1 groups of the layer reach over more than 25 m and were divided.",
        "3 of 9 street views do not tell their heading.",
    ]


def test_the_view_whose_heading_is_nearest_faces_a_place() -> None:
    groups = StreetGroups.of(views(ROWS), UTM)
    around = np.array([[0.0, 100], [100, 0], [0, -100], [-20, 60]]) + groups.xy[0]
    faced = groups.view[groups.facing(around, np.zeros(4, np.int64))]
    assert faced.tolist() == [0, 2, 4, 0]


def test_without_headings_nothing_faces_anything() -> None:
    groups = StreetGroups.of(views(ROWS), UTM)
    place = np.array([[X, Y], [X, Y]])
    assert groups.facing(place, np.array([1, 2])).tolist() == [-1, int(groups.starts[2])]
    assert groups.facing(np.zeros((0, 2)), np.zeros(0, np.int64)).tolist() == []

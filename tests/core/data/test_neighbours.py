"""Neighbours in metres against all distances, and the graphs that centres make with them."""

from __future__ import annotations

import numpy as np
import pytest

from urbanfm_core.data.neighbours import NEAREST_M, NeighbourLists, PointIndex
from urbanfm_core.errors import ConfigError, ShapeError


def scattered(count: int, seed: int = 0, side: float = 1000.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, side, (count, 2))


@pytest.mark.parametrize(("radius", "limit"), [(150.0, 1000), (150.0, 7), (5000.0, 3), (1.0, 5)])
def test_points_have_the_neighbours_that_all_distances_give(radius: float, limit: int) -> None:
    xy = scattered(300)
    rows = np.array([5, 0, 299, 17])
    found = PointIndex(xy).near_rows(rows, radius, limit)
    for place, row in enumerate(rows):
        away = np.hypot(*(xy - xy[row]).T)
        away[row] = np.inf
        expected = [point for point in np.argsort(away) if away[point] <= radius][:limit]
        assert found.of(place).tolist() == expected
        metres = found.distance_m[found.starts[place] : found.starts[place + 1]]
        np.testing.assert_allclose(metres, away[expected], rtol=1e-6)


def test_a_neighbour_exactly_at_the_radius_counts() -> None:
    index = PointIndex(np.array([[0.0, 0.0], [500.0, 0.0], [500.0000001, 0.0]]))
    assert index.near(np.zeros((1, 2)), 500, 9).index.tolist() == [0, 1]


def test_many_queries_are_the_same_as_few() -> None:
    xy = scattered(40_000, side=20_000)
    index = PointIndex(xy)
    whole = index.near_rows(np.arange(len(xy)), 200, 8)
    some = np.array([39_999, 3, 20_000])
    part, taken = index.near_rows(some, 200, 8), whole.take(some)
    np.testing.assert_array_equal(part.index, taken.index)
    np.testing.assert_array_equal(part.starts, taken.starts)
    assert whole.counts().max() <= 8


def test_points_on_one_spot_are_neighbours_but_not_of_themselves() -> None:
    stack = np.full((1000, 2), 7.0)
    xy = np.vstack([stack, [[8.0, 7.0], [5000.0, 5000.0]]])
    found = PointIndex(xy).near_rows(np.arange(1002), 100, 10)
    assert found.counts().tolist() == [10] * 1001 + [0]
    owner = np.repeat(np.arange(1002), found.counts())
    assert not (found.index == owner).any()
    assert (found.distance_m[owner < 1000] == 0).all()
    pairs = np.column_stack([owner, found.index])
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    # All of the stack are somebody's neighbour, not only its first ones.
    assert len(np.unique(found.index[owner < 1000])) == 1000


def test_beyond_a_small_stack_come_the_next_places() -> None:
    xy = np.array([[0.0, 0], [0, 0], [0, 0], [3, 0], [9, 0]])
    found = PointIndex(xy).near_rows(np.array([1]), 100, 3)
    assert sorted(found.index[:2].tolist()) == [0, 2]
    assert found.index[2] == 3
    assert found.distance_m.tolist() == [0, 0, 3]


def test_nothing_is_near_nothing() -> None:
    assert PointIndex(np.zeros((0, 2))).near(np.zeros((2, 2)), 10, 1).counts().tolist() == [0, 0]
    assert len(PointIndex(np.zeros((3, 2))).near(np.zeros((0, 2)), 10, 1)) == 0


def test_what_cannot_be_asked() -> None:
    index = PointIndex(np.zeros((1, 2)))
    for radius, limit in ((0.0, 1), (-1.0, 1), (float("nan"), 1), (10.0, 0)):
        with pytest.raises(ConfigError, match="near"):
            index.near(np.zeros((1, 2)), radius, limit)
    for xy in (np.zeros(3), np.array([[0.0, np.nan]])):
        with pytest.raises(ShapeError, match="expected finite"):
            PointIndex(xy)


def test_ego_graphs_are_disjoint_stars() -> None:
    index = PointIndex(np.array([[0.0, 0], [4, 0], [0, 0.1], [1000, 0]]))
    rows = np.array([0, 3, 1])
    graphs = index.near_rows(rows, 10, 5).ego_graphs(rows)
    assert len(graphs) == 3
    assert graphs.node.tolist() == [0, 2, 1, 3, 1, 0, 2]
    assert graphs.graph.tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert graphs.centre.tolist() == [0, 3, 4]
    assert graphs.edge_index.tolist() == [[1, 2, 5, 6, 0, 0, 4, 4], [0, 0, 4, 4, 1, 2, 5, 6]]
    expected = [1 / NEAREST_M, 1 / 4, 1 / 4, 1 / np.hypot(4, 0.1)]
    np.testing.assert_allclose(graphs.weight, expected * 2, rtol=1e-6)
    with pytest.raises(ShapeError, match="2 centres for 3"):
        index.near_rows(rows, 10, 5).ego_graphs(rows[:2])


def test_lists_without_some_entries() -> None:
    lists = NeighbourLists(np.array([0, 2, 2, 5]), np.array([7, 8, 7, 9, 8]), np.arange(5, dtype=np.float32), ["said"])
    fewer = lists.where(lists.index != 8)
    assert [fewer.of(row).tolist() for row in range(3)] == [[7], [], [7, 9]]
    assert fewer.distance_m.tolist() == [0, 2, 3] and fewer.notes == ["said"]

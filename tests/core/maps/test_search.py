"""Ranking by cosine: order, ties, regions without a vector."""

from __future__ import annotations

import numpy as np
import pytest

from urbanfm_core.errors import InputError, ShapeError
from urbanfm_core.maps.search import rank


def test_scores_are_cosines_whatever_the_lengths() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 8)).astype(np.float32) * rng.uniform(0.01, 100, size=(50, 1)).astype(np.float32)
    query = rng.normal(size=8).astype(np.float32) * 7
    ranking = rank(vectors, query)
    expected = [
        float(v @ query.astype(float) / np.linalg.norm(v) / np.linalg.norm(query.astype(float)))
        for v in vectors.astype(float)
    ]
    assert ranking.score.dtype == np.float32
    np.testing.assert_allclose(ranking.score, expected, atol=1e-6)
    assert ranking.top(50).tolist() == np.argsort(expected)[::-1].tolist()
    assert ranking.rank[ranking.top(3)].tolist() == [1, 2, 3]


def test_regions_without_a_vector_have_no_rank() -> None:
    vectors = np.array([[1, 0], [np.nan, 0], [0, 1], [0, 0], [np.inf, 0], [-1, 0]], dtype=np.float32)
    ranking = rank(vectors, np.array([1, 0], dtype=np.float32))
    np.testing.assert_allclose(ranking.score, [1, np.nan, 0, np.nan, np.nan, -1])
    assert ranking.rank.tolist() == [1, 0, 2, 0, 0, 3]
    np.testing.assert_allclose(ranking.percentile, [100, np.nan, 50, np.nan, np.nan, 0])
    assert ranking.top(10).tolist() == [0, 2, 5]
    assert ranking.ranked == 3


def test_equal_scores_keep_the_order_of_the_rows() -> None:
    vectors = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (5, 1))
    vectors[3] = [1, 0]
    assert rank(vectors, np.array([1.0, 0.0])).top(5).tolist() == [3, 0, 1, 2, 4]


@pytest.mark.parametrize("rows", [0, 1])
def test_few_regions(rows: int) -> None:
    ranking = rank(np.ones((rows, 3), dtype=np.float32), np.ones(3, dtype=np.float32))
    assert ranking.percentile.tolist() == [100.0] * rows
    assert ranking.top(4).tolist() == list(range(rows))


def test_no_region_has_a_vector() -> None:
    ranking = rank(np.full((3, 2), np.nan, dtype=np.float32), np.ones(2))
    assert (ranking.ranked, ranking.top(3).tolist()) == (0, [])


def test_the_input_is_left_alone() -> None:
    vectors = np.array([[3, 4], [np.nan, 1]], dtype=np.float32)
    query = np.array([2, 0], dtype=np.float32)
    rank(vectors, query)
    np.testing.assert_array_equal(vectors, np.array([[3, 4], [np.nan, 1]], dtype=np.float32))
    np.testing.assert_array_equal(query, [2, 0])


@pytest.mark.parametrize(("shape", "width"), [((4, 3), 2), ((4,), 4), ((2, 2, 2), 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...], width: int) -> None:
    with pytest.raises(ShapeError, match="found"):
        rank(np.ones(shape, dtype=np.float32), np.ones(width, dtype=np.float32))


@pytest.mark.parametrize("query", [[0.0, 0.0], [np.nan, 1.0]])
def test_a_query_without_direction_is_refused(query: list[float]) -> None:
    with pytest.raises(InputError, match="query"):
        rank(np.ones((2, 2), dtype=np.float32), np.array(query))

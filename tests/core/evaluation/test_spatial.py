"""Moran's I against its formula, and what its p-value says."""

import numpy as np
import pytest

from urbanfm_core.evaluation.spatial import morans_i


@pytest.fixture
def xy():
    return np.random.default_rng(0).uniform(0, 1000, (120, 2))


def test_it_is_the_formula(xy):
    values = np.random.default_rng(1).normal(size=120)
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    weights = np.zeros((120, 120))
    for row, near in enumerate(np.argsort(distance, axis=1)[:, :5]):
        weights[row, near] = 1 / 5
    z = values - values.mean()
    expected = 120 / weights.sum() * (z @ weights @ z) / (z @ z)
    found = morans_i(values, xy, neighbours=5, permutations=99)
    assert found.value == pytest.approx(expected) and found.expected == -1 / 119


def test_a_gradient_is_found_and_noise_is_not(xy):
    gradient = morans_i(xy[:, 0], xy, seed=1)
    assert gradient.value > 0.8 and gradient.p_value == 1 / 1000 and "neighbours err alike: the" in gradient.sentence()
    p_values = [morans_i(np.random.default_rng(s).normal(size=120), xy, permutations=99).p_value for s in range(40)]
    assert 0.3 < np.mean(p_values) < 0.7
    assert morans_i(xy[:, 0], xy, seed=1) == gradient


def test_regions_that_share_a_centre_are_neighbours_of_each_other_only():
    xy = np.repeat([[0.0, 0.0], [9e5, 0.0]], 10, axis=0)
    values = np.repeat([1.0, -1.0], 10)
    assert morans_i(values, xy, neighbours=4, permutations=99).value == pytest.approx(1.0)


def test_it_has_no_meaning_without_variation_or_neighbours(xy):
    assert morans_i(np.ones(120), xy) is None
    assert morans_i(np.array([1.0, 2.0]), xy[:2]) is None

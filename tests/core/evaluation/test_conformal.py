"""Conformal bounds against the formulas written out, and their coverage."""

import math

import numpy as np
import pytest

from urbanfm_core.errors import ConfigError
from urbanfm_core.evaluation import conformal


@pytest.mark.parametrize(
    ("count", "level", "rank"), [(9, 0.9, 9), (10, 0.9, 10), (19, 0.95, 19), (8, 0.9, 9), (99, 0.5, 50)]
)
def test_the_rank_is_that_of_the_finite_sample(count, level, rank):
    assert conformal.finite_sample_rank(count, level) == rank


def test_a_level_is_a_share():
    for level in (0.0, 1.0, 90.0):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            conformal.finite_sample_rank(10, level)


def test_cv_plus_gives_the_order_statistics_of_the_paper():
    rng = np.random.default_rng(0)
    fold = rng.integers(0, 4, 57)
    residual, elsewhere = rng.normal(size=57), rng.normal(size=(4, 23))
    lower, upper = conformal.cv_plus(residual, fold, elsewhere, 0.8)
    size = np.abs(residual)
    below = np.sort(elsewhere[fold] - size[:, None], axis=0)
    above = np.sort(elsewhere[fold] + size[:, None], axis=0)
    np.testing.assert_allclose(lower, below[math.floor(0.2 * 58) - 1], atol=1e-12)
    np.testing.assert_allclose(upper, above[math.ceil(0.8 * 58) - 1], atol=1e-12)


def test_a_labelled_region_is_judged_by_the_other_folds_alone():
    truth, predicted = np.array([10.0, 0.0, 0.0, 0.0]), np.array([0.0, 1.0, 2.0, 3.0])
    fold = np.array([0, 1, 1, 1])
    lower, upper = conformal.held_out_intervals(truth, predicted, fold, 0.5)
    # The others' sizes are 1, 2, 3: rank ceil(0.5 * 4) = 2. For the rest there is one size only, 10.
    np.testing.assert_allclose([lower[0], upper[0]], [-2, 2])
    np.testing.assert_allclose(upper[1:] - lower[1:], 20)
    assert conformal.coverage(truth, lower, upper) == 0.75


def test_too_few_residuals_bound_nothing():
    residual, fold = np.ones(5), np.array([0, 0, 1, 1, 1])
    lower, upper = conformal.cv_plus(residual, fold, np.zeros((2, 3)), 0.95)
    assert np.isneginf(lower).all() and np.isposinf(upper).all()
    assert np.isposinf(conformal.held_out_intervals(residual, residual, fold, 0.9)[1]).all()
    assert np.isposinf(conformal.around(np.zeros(2), residual, 0.95)[1]).all()


def test_around_takes_one_quantile_for_all():
    lower, upper = conformal.around(np.array([5.0, 7.0]), np.array([-3.0, 1.0, 2.0]), 0.5)
    np.testing.assert_allclose([lower, upper], [[3, 5], [7, 9]])


def test_exchangeable_regions_are_covered_as_often_as_asked():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(60):
        noise = rng.standard_t(3, 1200)
        fold = np.arange(200) % 5
        lower, upper = conformal.cv_plus(noise[:200], fold, np.zeros((5, 1000)), 0.9)
        found.append(((noise[200:] >= lower) & (noise[200:] <= upper)).mean())
    assert abs(np.mean(found) - 0.9) < 0.02

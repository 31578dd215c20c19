"""Scores against their formulas, written out in plain Python, and against scikit-learn's."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from urbanfm_core.evaluation.metrics import METRICS, better, score


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_regression(rng):
    truth, predicted = rng.normal(size=(2, 40))
    found = score("regression", truth[:, None], predicted[:, None])
    mean = sum(truth) / 40
    assert found["R2"] == pytest.approx(
        1 - sum((p - t) ** 2 for t, p in zip(truth, predicted, strict=True)) / sum((t - mean) ** 2 for t in truth)
    )
    assert found["RMSE"] == pytest.approx(
        math.sqrt(sum((p - t) ** 2 for t, p in zip(truth, predicted, strict=True)) / 40)
    )
    assert found["MAE"] == pytest.approx(sum(abs(p - t) for t, p in zip(truth, predicted, strict=True)) / 40)
    assert score("regression", truth[:, None], truth[:, None])["R2"] == 1
    assert math.isnan(score("regression", np.ones((5, 1)), np.ones((5, 1)))["R2"])


def test_binary_with_ties(rng):
    truth = rng.integers(0, 2, 60)
    probability = rng.integers(0, 6, 60) / 5
    found = score("binary", np.eye(2)[truth], np.column_stack([1 - probability, probability]))
    pairs = [(p, n) for p in probability[truth == 1] for n in probability[truth == 0]]
    assert found["AUC"] == pytest.approx(sum((p > n) + 0.5 * (p == n) for p, n in pairs) / len(pairs))
    assert found["F1"] == pytest.approx(sk.f1_score(truth, probability > 0.5))
    assert math.isnan(score("binary", np.eye(2)[[0, 0]], np.eye(2)[[0, 1]])["AUC"])


def test_multiclass_is_a_mean_over_classes(rng):
    truth, predicted = rng.integers(0, 4, (2, 50))
    found = score("multiclass", np.eye(5)[truth], np.eye(5)[predicted])
    options = {"average": "macro", "labels": [0, 1, 2, 3], "zero_division": 0}
    assert found["F1"] == pytest.approx(sk.f1_score(truth, predicted, **options))
    assert found["precision"] == pytest.approx(sk.precision_score(truth, predicted, **options))
    assert found["recall"] == pytest.approx(sk.recall_score(truth, predicted, **options))
    never = score("multiclass", np.eye(3)[[0, 1, 2]], np.eye(3)[[0, 0, 0]])
    assert never["precision"] == pytest.approx(1 / 9) and never["recall"] == pytest.approx(1 / 3)


def test_distribution(rng):
    q, p = rng.dirichlet(np.ones(4), (2, 30))
    q[3] = [1, 0, 0, 0]
    found = score("distribution", q, p)
    kl = [sum(a * math.log(a / b) for a, b in zip(x, y, strict=True) if a > 0) for x, y in zip(q, p, strict=True)]
    assert found["KL"] == pytest.approx(sum(kl) / 30)
    assert found["L1"] == pytest.approx(
        sum(sum(abs(a - b) for a, b in zip(x, y, strict=True)) for x, y in zip(q, p, strict=True)) / 30
    )
    assert found["Chebyshev"] == pytest.approx(
        sum(max(abs(a - b) for a, b in zip(x, y, strict=True)) for x, y in zip(q, p, strict=True)) / 30
    )
    assert score("distribution", q, q)["KL"] == pytest.approx(0, abs=1e-12)
    assert math.isfinite(score("distribution", q, np.eye(4)[np.zeros(30, int)])["KL"])


def test_every_task_reports_what_it_promises(planted):
    for task, names in METRICS.items():
        assert set(score(task, planted[task], planted[task])) == set(names)
    assert better("R2", 0.5, 0.4) and better("KL", 0.1, 0.2) and not better("KL", 0.2, 0.2)

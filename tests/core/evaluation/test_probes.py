"""Probes find a planted signal, find none in noise, and solve what they say they solve."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, Ridge

from urbanfm_core.data.splits import make_folds
from urbanfm_core.errors import Cancelled
from urbanfm_core.evaluation import probes
from urbanfm_core.evaluation.metrics import score
from urbanfm_core.evaluation.probes import fit_ridge, fit_softmax, linear_probe, predict_held_out, standardise
from urbanfm_core.progress import Progress

TASKS = ("regression", "binary", "multiclass", "distribution")
# (at least with the signal, at most with noise); the last is a loss: (at most, at least).
BOUNDS = {"regression": (0.8, 0.1), "binary": (0.9, 0.65), "multiclass": (0.7, 0.45)}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_planted_signal_is_recovered_and_noise_is_not(planted, task, kind):
    folds = make_folds(planted["xy"], blocks=15)
    probe = linear_probe(task) if kind == "linear" else "mlp"
    truth = planted[task]
    found, noise = (
        next(iter(score(task, truth, predict_held_out(probe, task, planted[name], truth, folds, 0)).values()))
        for name in ("features", "noise")
    )
    if task == "distribution":
        constant = score(task, truth, np.repeat(truth.mean(axis=0)[None], len(truth), axis=0))["KL"]
        assert found < 0.3 * constant and noise > 0.9 * constant
    else:
        assert found > BOUNDS[task][0] and noise < BOUNDS[task][1]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_predictions_are_repeatable_and_shares_sum_to_one(planted, task, kind):
    folds = make_folds(planted["xy"])
    probe = linear_probe(task) if kind == "linear" else "mlp"
    first, second = (predict_held_out(probe, task, planted["features"], planted[task], folds, 3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all() and first.shape == planted[task].shape
    if task != "regression":
        np.testing.assert_allclose(first.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("probe", ["ridge", "mlp"])
def test_labels_of_a_fold_never_reach_its_own_predictions(planted, probe):
    folds = make_folds(planted["xy"])
    changed = planted["regression"].copy()
    test = folds.test_rows(2)
    changed[test] = 1000.0
    before, after = (
        predict_held_out(probe, "regression", planted["features"], truth, folds, 0)
        for truth in (planted["regression"], changed)
    )
    np.testing.assert_allclose(after[test], before[test], rtol=1e-5, atol=1e-6)
    assert not np.allclose(after[folds.train_rows(2)], before[folds.train_rows(2)])


@pytest.mark.parametrize("width", [6, 300])
def test_ridge_is_the_closed_form(monkeypatch, width):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, width)) + 1, rng.normal(size=(50, 2))
    weights, bias = fit_ridge(x, y, [])
    expected = Ridge(alpha=1.0).fit(x, y)
    np.testing.assert_allclose(weights, expected.coef_.T, atol=1e-8)
    np.testing.assert_allclose(bias, expected.intercept_, atol=1e-8)


def test_ridge_takes_the_penalty_that_serves_held_out_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 50))
    inner = [(np.arange(40), np.arange(40, 60))]
    noise, _ = fit_ridge(x, rng.normal(size=(60, 1)), inner)
    signal, _ = fit_ridge(x[:, :3], x[:, :1] * 2, inner)
    assert np.abs(noise).max() < 0.05 and signal[0, 0] == pytest.approx(2, abs=0.01)


def test_softmax_on_classes_is_logistic_regression(planted):
    x, truth = planted["features"], planted["multiclass"]
    weights, bias = fit_softmax(x, truth, [])
    # mean loss + 0.1 / 2 |W|^2, written as scikit-learn does: C = 1 / (N * 0.1).
    expected = LogisticRegression(C=1 / (len(x) * 0.1), tol=1e-8, max_iter=1000).fit(x, truth.argmax(axis=1))
    np.testing.assert_allclose(weights - weights.mean(axis=1, keepdims=True), expected.coef_.T, atol=1e-3)
    np.testing.assert_allclose(bias - bias.mean(), expected.intercept_, atol=1e-3)


@pytest.mark.parametrize("width", [4, 80])
def test_softmax_on_shares_is_at_the_minimum_of_its_formula(width):
    rng = np.random.default_rng(0)
    x, q = rng.normal(size=(40, width)), rng.dirichlet(np.ones(3), 40)
    weights, bias = fit_softmax(x, q, [])

    def value(w, b):
        logp = log_softmax(x @ w + b, axis=1)
        kl = sum(q[n, k] * (np.log(q[n, k]) - logp[n, k]) for n in range(40) for k in range(3)) / 40
        return kl + 0.1 / 2 * (w**2).sum()

    least = value(weights, bias)
    for _ in range(20):
        assert value(weights + 0.02 * rng.normal(size=weights.shape), bias) > least
        assert value(weights, bias + 0.05 * (rng.normal(size=3))) > least - 1e-9


def test_standardising_uses_the_training_rows_and_flattens_constants():
    train = np.array([[1.0, 5.0], [3.0, 5.0]])
    scaled, other = standardise(train, np.array([[5.0, 9.0]]))
    np.testing.assert_array_equal(scaled, [[-1, 0], [1, 0]])
    np.testing.assert_array_equal(other, [[3, 0]])


def test_wide_features_go_through_the_network_in_little_memory(planted, monkeypatch):
    rng = np.random.default_rng(0)
    wide = planted["features"] @ rng.normal(size=(6, 400)) + 0.01 * rng.normal(size=(144, 400))
    folds = make_folds(planted["xy"])
    whole = predict_held_out("mlp", "regression", wide, planted["regression"], folds, 0)
    assert score("regression", planted["regression"], whole)["R2"] > 0.8
    monkeypatch.setattr(probes, "_MLP_BYTES", 1)
    alone = predict_held_out("mlp", "regression", wide, planted["regression"], folds, 0)
    assert score("regression", planted["regression"], alone)["R2"] > 0.8


def test_probes_stop_when_asked(planted):
    class Stop(Progress):
        def cancelled(self):
            return True

    folds = make_folds(planted["xy"])
    for probe in ("ridge", "mlp"):
        with pytest.raises(Cancelled):
            predict_held_out(probe, "regression", planted["features"], planted["regression"], folds, 0, Stop())

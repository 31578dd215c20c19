"""Probes: simple models that show what a vector knows of a target. The vectors stay as they are.

Every probe predicts each region once, from the folds that do not hold it. Features are standardised by the training
regions; settings (penalty, number of steps) are chosen inside them, by whole blocks. All targets are matrices: values
(N, 1), or shares of a whole (N, K), of which classes are the special case of ones and zeros. So logistic regression
and the probe for distributions are one: minimise mean KL(q || softmax(x W + b)) + penalty / 2 |W|^2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits

from urbanfm_core.data.splits import Folds
from urbanfm_core.evaluation.metrics import Task
from urbanfm_core.progress import Progress

Array = NDArray[np.float64]
Pairs = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
Probe = Literal["ridge", "logistic", "softmax", "mlp"]

RIDGE_PENALTIES = np.logspace(-2, 5, 15)
SOFTMAX_PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
MLP_PENALTIES = (3e-4, 1e-2)
MLP_WIDEST = 128
# Networks whose mean predicts; tests/benchmarks/RESULTS.md has what that changes.
MLP_COMMITTEE = 6
_INNER_FOLDS = 3
_MLP_HIDDEN, _MLP_STEPS, _MLP_PATIENCE, _MLP_RATE = 64, 300, 30, 1e-2
_ONE_THREAD = 4_000_000
_MLP_BYTES = 256 << 20
_FLAT = 1e-12


def linear_probe(task: Task) -> Probe:
    """The linear probe of a task."""
    return {"regression": "ridge", "distribution": "softmax"}.get(task, "logistic")  # type: ignore[return-value]


def predict_held_out(
    probe: Probe, task: Task, features: Array, target: Array, folds: Folds, seed: int, progress: Progress | None = None
) -> Array:
    """Predict every region from the folds that do not hold it.

    Args:
        probe: Which probe; a linear one must be that of the task.
        task: 'regression' predicts values, the others rows of shares.
        features: (N, D), finite.
        target: (N, K), finite.
        folds: Of the N regions.
        seed: Of inner folds and of initial weights.
        progress: Asked whether to stop.
    Returns:
        (N, K).
    """
    progress = progress or Progress()
    threads = 1 if features.size < _ONE_THREAD else None
    with _threads(threads):
        return _predict_held_out(probe, task, features, target, folds, seed, progress)


def predict_everywhere(
    probe: Probe,
    task: Task,
    features: Array,
    target: Array,
    folds: Folds,
    others: Array,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Array, Array]:
    """Like `predict_held_out`, and what the model of each fold says of further regions.

    Of each fold several networks speak, and their mean counts: one alone depends on its first weights and on the regions
    that tell it when to stop, which costs accuracy, and makes the intervals of regions without a label wide.

    Args:
        others: (M, D) features of regions without a label, finite; the rest as in `predict_held_out`.
    Returns:
        Held-out predictions (N, K), and for the others (folds, M, K).
    """
    progress = progress or Progress()
    count, kinds = target.shape
    whole = np.concatenate([features, others])
    held, elsewhere = np.empty_like(target), np.empty((folds.count, len(others), kinds))
    inner = [folds.inner(number, _INNER_FOLDS, seed) for number in range(folds.count)]
    blank = np.concatenate([target, np.zeros((len(others), kinds))])
    with _threads(1 if whole.size < _ONE_THREAD else None):
        if probe == "mlp":
            # Networks look at training rows only, but answer for all.
            said = _networks(task, whole, blank, folds, inner, seed, progress, MLP_COMMITTEE)
        else:
            said = (
                _linear(probe, features, target, folds.train_rows(number), whole, inner[number])
                for number in range(folds.count)
            )
        for number, answers in enumerate(said):
            progress.check()
            test = folds.test_rows(number)
            held[test], elsewhere[number] = answers[test], answers[count:]
            progress.update((number + 1) / folds.count, f"fold {number + 1} of {folds.count}")
    return held, elsewhere


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """At most so many threads for small matrices, whose products cost less than waking a second one."""
    before = torch.get_num_threads()
    with threadpool_limits(count):
        torch.set_num_threads(count or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _predict_held_out(
    probe: Probe, task: Task, features: Array, target: Array, folds: Folds, seed: int, progress: Progress
) -> Array:
    inner = [folds.inner(number, _INNER_FOLDS, seed) for number in range(folds.count)]
    if probe == "mlp":
        return _mlp_held_out(task, features, target, folds, inner, seed, progress)
    predicted = np.empty_like(target)
    for number in range(folds.count):
        progress.check()
        test = folds.test_rows(number)
        predicted[test] = _linear(probe, features, target, folds.train_rows(number), features[test], inner[number])
    return predicted


def _linear(
    probe: Probe, features: Array, target: Array, train: NDArray[np.int64], asked: Array, inner: Pairs
) -> Array:
    """What a linear probe that learned from the training rows says of the features that are asked for."""
    x, z = standardise(features[train], asked)
    weights, bias = (fit_ridge if probe == "ridge" else fit_softmax)(x, target[train], inner)
    linear = z @ weights + bias
    return linear if probe == "ridge" else np.asarray(softmax(linear, axis=1), np.float64)


def standardise(train: Array, *others: Array) -> tuple[Array, ...]:
    """Columns to mean 0 and deviation 1 by the training rows; constant ones become 0."""
    centre, spread = train.mean(axis=0), train.std(axis=0)
    flat = spread <= _FLAT * np.maximum(np.abs(centre), 1.0)
    scale = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, spread))
    return tuple((part - centre) * scale for part in (train, *others))


def fit_ridge(x: Array, y: Array, inner: Pairs) -> tuple[Array, Array]:
    """Ridge regression: minimise |y - x W - b|^2 + penalty |W|^2; the bias is free.

    Args:
        x: (N, D) standardised features.
        y: (N, K) values.
        inner: Folds to choose the penalty by, with the least squared error; without any, 1 is taken.
    Returns:
        Weights (D, K), bias (K,).
    """
    penalty = 1.0
    if inner:
        errors = np.zeros(len(RIDGE_PENALTIES))
        for fit, judge in inner:
            for place, (weights, bias) in enumerate(_ridge_path(x[fit], y[fit], RIDGE_PENALTIES)):
                errors[place] += ((x[judge] @ weights + bias - y[judge]) ** 2).sum()
        penalty = float(RIDGE_PENALTIES[errors.argmin()])
    return next(_ridge_path(x, y, np.array([penalty])))


def _ridge_path(x: Array, y: Array, penalties: Array) -> Iterator[tuple[Array, Array]]:
    """Solutions for several penalties from one decomposition."""
    centre_x, centre_y = x.mean(axis=0), y.mean(axis=0)
    x, y = x - centre_x, y - centre_y
    wide = x.shape[1] > len(x)
    # Of the two Gram matrices the smaller one; its eigenvectors serve all penalties.
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    values = np.maximum(values, 0.0)[:, None]
    projected = vectors.T @ (y if wide else x.T @ y)
    for penalty in penalties:
        solved = vectors @ (projected / (values + penalty))
        weights = x.T @ solved if wide else solved
        yield weights, centre_y - centre_x @ weights


def fit_softmax(x: Array, shares: Array, inner: Pairs) -> tuple[Array, Array]:
    """Multinomial regression on shares: minimise mean KL(q || p) + penalty / 2 |W|^2; the bias is free.

    On ones and zeros this is logistic regression.

    Args:
        x: (N, D) standardised features.
        shares: (N, K), rows sum to 1.
        inner: Folds to choose the penalty by, with the least KL; without any, 0.1 is taken.
    Returns:
        Weights (D, K), bias (K,).
    """
    # The penalised solution lies in the span of the rows, so wide features lose nothing by being turned into it.
    basis = None
    if x.shape[1] > len(x):
        _, _, basis = np.linalg.svd(x, full_matrices=False)
        x = x @ basis.T
    count = len(SOFTMAX_PENALTIES)
    chosen = SOFTMAX_PENALTIES.index(0.1)
    if inner:
        losses = np.full((len(inner), count), np.nan)
        for row, (fit, judge) in enumerate(inner):
            start, rises = None, 0
            for place, penalty in enumerate(SOFTMAX_PENALTIES):
                start = _softmax_fit(x[fit], shares[fit], penalty, start, steps=100)
                losses[row, place] = _cross_entropy(x[judge], shares[judge], *start)
                rises = rises + 1 if place and losses[row, place] > losses[row, place - 1] else 0
                if rises == 2:  # weaker penalties only fit more noise
                    losses[row, place:] = losses[row, place]
                    break
        chosen = int(losses.sum(axis=0).argmin())
    start = None
    for penalty in SOFTMAX_PENALTIES[max(0, chosen - 1) : chosen]:
        start = _softmax_fit(x, shares, penalty, start)
    weights, bias = _softmax_fit(x, shares, SOFTMAX_PENALTIES[chosen], start)
    return (weights if basis is None else basis.T @ weights), bias


def _softmax_fit(
    x: Array, shares: Array, penalty: float, start: tuple[Array, Array] | None, steps: int = 500
) -> tuple[Array, Array]:
    rows, width, kinds = len(x), x.shape[1], shares.shape[1]
    if start is None:
        start = np.zeros((width, kinds)), np.log(np.maximum(shares.mean(axis=0), 1e-6))

    def value_and_slope(flat: Array) -> tuple[float, Array]:
        weights, bias = flat[:-kinds].reshape(width, kinds), flat[-kinds:]
        logits = log_softmax(x @ weights + bias, axis=1)
        value = -float((shares * logits).sum()) / rows + penalty / 2 * float((weights**2).sum())
        excess = (np.exp(logits) - shares) / rows
        return value, np.concatenate([(x.T @ excess + penalty * weights).ravel(), excess.sum(axis=0)])

    first = np.concatenate([start[0].ravel(), start[1]])
    found = minimize(value_and_slope, first, jac=True, method="L-BFGS-B", options={"maxiter": steps, "gtol": 1e-5})
    return found.x[:-kinds].reshape(width, kinds), found.x[-kinds:]


def _cross_entropy(x: Array, shares: Array, weights: Array, bias: Array) -> float:
    return -float((shares * log_softmax(x @ weights + bias, axis=1)).sum())


def _mlp_held_out(
    task: Task, features: Array, target: Array, folds: Folds, inner: list[Pairs], seed: int, progress: Progress
) -> Array:
    """The two-layer network, for as many folds at once as memory allows."""
    predicted = np.empty_like(target)
    for number, output in enumerate(_networks(task, features, target, folds, inner, seed, progress, 1)):
        test = folds.test_rows(number)
        predicted[test] = output[test]
    return predicted


def _networks(
    task: Task,
    features: Array,
    target: Array,
    folds: Folds,
    inner: list[Pairs],
    seed: int,
    progress: Progress,
    members: int,
) -> Iterator[Array]:
    """Outputs for all regions, (N, K), of one fold after the other; each the mean of so many networks."""
    each = len(features) * (min(features.shape[1], MLP_WIDEST) + 4 * _MLP_HIDDEN) * 4 * len(MLP_PENALTIES) * members
    group = max(1, _MLP_BYTES // max(each, 1))
    for first in range(0, folds.count, group):
        numbers = list(range(first, min(first + group, folds.count)))
        yield from _train_networks(task, features, target, folds, numbers, inner, seed, progress, members)


def _train_networks(
    task: Task,
    features: Array,
    target: Array,
    folds: Folds,
    numbers: list[int],
    inner: list[Pairs],
    seed: int,
    progress: Progress,
    members: int,
) -> Array:
    """Networks x -> relu(x A + a) B + b, of each fold so many members with each penalty, trained side by side.

    Each sees the training regions of its fold but for one inner fold, which tells after which step it was best, and
    which penalty; the outputs of that step are what counts. The members of a fold leave out one inner fold after the
    other, so that together they learn from all, and start from weights of their own.

    Returns:
        (folds, N, K) outputs for all regions, means over the members.
    """
    rows, kinds = len(features), target.shape[1]
    x = np.empty((len(numbers), rows, min(features.shape[1], MLP_WIDEST)), np.float32)
    y = np.empty((len(numbers), rows, kinds), np.float32)
    fit, judge = np.zeros((2, len(numbers), members, rows), np.float32)
    centre, scale = np.zeros((len(numbers), 1, kinds)), np.ones((len(numbers), 1, kinds))
    for place, number in enumerate(numbers):
        train = folds.train_rows(number)
        everyone = np.arange(len(train))
        x[place] = _narrowed(*standardise(features[train], features))
        for member in range(members):
            pairs = inner[number] or [(everyone, everyone)]
            fitted, judged = pairs[member % len(pairs)]
            fit[place, member, train[fitted]] = 1 / len(fitted)
            judge[place, member, train[judged]] = 1 / len(judged)
        if task == "regression":
            centre[place] = target[train].mean(axis=0)
            scale[place] = np.maximum(target[train].std(axis=0), _FLAT)
        y[place] = (target - centre[place]) / scale[place]
    copies = len(MLP_PENALTIES)
    inputs, wanted = (torch.from_numpy(np.repeat(array, members * copies, axis=0)) for array in (x, y))
    fit_weight, judge_weight = (
        torch.from_numpy(np.repeat(array.reshape(-1, rows), copies, axis=0)) for array in (fit, judge)
    )
    penalty = torch.tensor(MLP_PENALTIES).repeat(len(numbers) * members)
    models = len(inputs)
    weights = _first_weights(models, x.shape[2], kinds, seed, small=task != "regression")
    optimiser = torch.optim.Adam(weights, lr=_MLP_RATE)
    best, since = torch.full((models,), torch.inf), torch.zeros(models)
    kept = torch.zeros((models, rows, kinds))
    for _ in range(_MLP_STEPS):
        progress.check()
        output = torch.relu(torch.baddbmm(weights[1], inputs, weights[0])) @ weights[2] + weights[3]
        if task == "regression":
            error = ((output - wanted) ** 2).sum(dim=2)
        else:
            error = -(wanted * torch.log_softmax(output, dim=2)).sum(dim=2)
        with torch.no_grad():
            judged_error = (error * judge_weight).sum(dim=1)
            improved = judged_error < best
            best = torch.where(improved, judged_error, best)
            kept[improved] = output[improved]
            since = torch.where(improved, 0.0, since + 1)
            if bool((since > _MLP_PATIENCE).all()):
                break
        size = (weights[0] ** 2).sum(dim=(1, 2)) + (weights[2] ** 2).sum(dim=(1, 2))
        loss = ((error * fit_weight).sum(dim=1) + penalty * size).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    choice = best.reshape(-1, copies).argmin(dim=1)
    chosen = kept.reshape(-1, copies, rows, kinds)[torch.arange(len(choice)), choice].double().numpy()
    each = chosen.reshape(len(numbers), members, rows, kinds)
    if task != "regression":
        return np.asarray(softmax(each, axis=3).mean(axis=1), np.float64)
    return np.asarray(each.mean(axis=1) * scale + centre, np.float64)


def _narrowed(train: Array, every: Array) -> Array:
    """Features too wide for a small network, as their leading principal components in the training regions."""
    if train.shape[1] <= MLP_WIDEST:
        return every
    _, vectors = np.linalg.eigh(train.T @ train)
    turned = every @ vectors[:, -MLP_WIDEST:]
    scaled: Array = turned / max(float((train @ vectors[:, -MLP_WIDEST:]).std()), _FLAT)
    return scaled


def _first_weights(models: int, width: int, kinds: int, seed: int, small: bool) -> list[torch.Tensor]:
    """Weights and biases of both layers; `small` starts near equal shares."""
    random = torch.Generator().manual_seed(seed)
    first = torch.randn((models, width, _MLP_HIDDEN), generator=random) * (2 / max(width, 1)) ** 0.5
    second = torch.randn((models, _MLP_HIDDEN, kinds), generator=random) * (1 / _MLP_HIDDEN) ** 0.5
    if small:
        second *= 0.1
    weights = [first, torch.zeros((models, 1, _MLP_HIDDEN)), second, torch.zeros((models, 1, kinds))]
    return [tensor.requires_grad_(True) for tensor in weights]

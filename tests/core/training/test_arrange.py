"""Samples of like length share a batch; nothing else changes."""

from itertools import chain

import numpy as np
import pytest
import torch
from core.training.line_task import LineConfig, Pairs, Ragged, ragged_samples
from core.training.processes import start_two
from core.training.test_loop import Listener, losses, run, same
from core.training.test_memory import Greedy

from urbanfm_core.errors import Cancelled, ConfigError, ShapeError
from urbanfm_core.models.ordering import length_sorted


@pytest.fixture
def ragged(make_task):
    def make(rows=70, **options):
        task = make_task(**options)
        task.samples = ragged_samples(rows)
        return task

    return make


def permutation(rows, seed):
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))


def lengths_of(rows, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).geometric(0.02, rows))


def test_batches_are_of_like_length_and_each_sample_comes_once():
    order, lengths = permutation(1003, 1), lengths_of(1003)
    found = length_sorted(order, lengths, 10, pool=25)
    assert torch.equal(found.sort().values, torch.arange(1003))
    assert torch.equal(found[1000:], order[1000:])
    spread = lengths[found[:1000]].reshape(100, 10).double()
    drawn = lengths[order[:1000]].reshape(100, 10).double()
    padding, before = ((of.max(1).values[:, None] - of).mean() for of in (spread, drawn))
    assert padding < 0.2 * before
    pools = {frozenset(order[250 * pool : 250 * pool + 250].tolist()) for pool in range(4)}
    assert all(any(set(batch) <= pool for pool in pools) for batch in found[:1000].reshape(100, 10).tolist())


def test_batches_come_in_random_order():
    order, lengths = permutation(2000, 1), lengths_of(2000)
    means = lengths[length_sorted(order, lengths, 20, pool=100)].reshape(100, 20).double().mean(1).numpy()
    assert abs(np.corrcoef(means, np.arange(100))[0, 1]) < 0.3
    assert np.mean(np.diff(means) > 0) == pytest.approx(0.5, abs=0.15)


def test_the_permutation_decides():
    lengths = lengths_of(300)
    first, again = (length_sorted(permutation(300, 1), lengths, 8, pool=5) for _ in range(2))
    other = length_sorted(permutation(300, 2), lengths, 8, pool=5)
    assert torch.equal(first, again)
    batches = [{frozenset(batch) for batch in found[:296].reshape(-1, 8).tolist()} for found in (first, other)]
    assert len(batches[0] & batches[1]) < 5


def test_a_pool_of_one_batch_keeps_the_batches():
    order = permutation(30, 3)
    found = length_sorted(order, lengths_of(30), 6, pool=1)
    drawn = {frozenset(batch) for batch in order.reshape(5, 6).tolist()}
    assert {frozenset(batch) for batch in found.reshape(5, 6).tolist()} == drawn


def test_wrong_arguments_are_refused():
    with pytest.raises(ShapeError, match="5 samples"):
        length_sorted(torch.arange(5), torch.ones(4), 2)
    with pytest.raises(ConfigError, match="at least 1"):
        length_sorted(torch.arange(5), torch.ones(5), 2, pool=0)


def watched(task):
    """Rows of every batch that the loop asks for."""
    seen = []

    class Watched(Ragged):
        def to(self, device):
            return self

        def batch(self, indices):
            seen.append(indices.tolist())
            return super().batch(indices)

    task.samples = Watched(task.samples.tensors)
    return seen


def test_the_loop_asks_once_an_epoch_and_takes_whole_batches(ragged, tmp_path):
    task = ragged()
    lengths, seen = task.samples.tensors["length"], watched(task)
    run(task, tmp_path)
    assert [len(batch) for batch in seen] == [16] * 20
    for epoch in range(5):
        assert len(set(chain(*seen[4 * epoch : 4 * epoch + 4]))) == 64
    spread = np.mean([np.ptp(lengths[batch].numpy()) for batch in seen])
    assert spread < 0.6 * np.ptp(lengths.numpy())
    assert {frozenset(batch) for batch in seen[:4]} != {frozenset(batch) for batch in seen[4:8]}


@pytest.mark.parametrize("stop", [1, 4, 6, 13])
def test_arranged_samples_resume_exactly(ragged, tmp_path, stop):
    whole = run(ragged(), tmp_path / "whole")
    with pytest.raises(Cancelled):
        run(ragged(), tmp_path / "parts", Listener(stop))
    found = run(ragged(), tmp_path / "parts")
    assert same(found.weights, whole.weights) and losses(found.history) == losses(whole.history)


def test_when_batches_shrink_the_order_stays(ragged, tmp_path):
    """Each half of an arranged batch follows the other, in the run itself and when it goes on later."""
    task = ragged(method=Greedy(8, from_step=6))
    seen = watched(task)
    whole = run(task, tmp_path / "whole")
    assert [len(rows) for rows in seen[:9]] == [16] * 7 + [8, 8] and len(whole.history) == 5
    plain = ragged()
    order = watched(plain)
    run(plain, tmp_path / "plain")
    # The seventh batch was tried whole, then came again in halves.
    assert [*chain(*seen[:6], *seen[7:])] == [*chain(*order)]
    with pytest.raises(Cancelled):
        run(ragged(method=Greedy(8, from_step=6)), tmp_path / "parts", Listener(9))
    found = run(ragged(method=Greedy(8)), tmp_path / "parts")
    assert same(found.weights, whole.weights) and losses(found.history) == losses(whole.history)


def test_an_order_that_loses_samples_is_refused(ragged, tmp_path):
    class Lossy(Ragged):
        def to(self, device):
            return self

        def arrange(self, order, batch):
            return order % (len(order) - 1)

    task = ragged()
    task.samples = Lossy(task.samples.tensors)
    with pytest.raises(ConfigError, match="Line arranged 70 samples"):
        run(task, tmp_path)


@pytest.mark.slow
def test_two_processes_share_the_arranged_batches(ragged, make_task, tmp_path, free_port):
    assert start_two(tmp_path, tmp_path / "two", free_port, method="Pairs", samples="ragged_samples") == [0, 0]
    found = torch.load(tmp_path / "two" / "end.pt", weights_only=True)
    whole = run(ragged(method=Pairs(), config=LineConfig(dropout=0.0)), tmp_path / "one")
    plain = run(make_task(70, method=Pairs(), config=LineConfig(dropout=0.0)), tmp_path / "plain")
    assert abs(plain.history[0]["loss"] - whole.history[0]["loss"]) > 1e-3
    for mine, theirs in zip(found["history"], whole.history, strict=True):
        for name in ("loss", "contrast"):
            assert mine[name] == pytest.approx(theirs[name], abs=1e-5)
    for name, tensor in whole.weights.items():
        torch.testing.assert_close(found["weights"][name], tensor, atol=1e-5, rtol=1e-4)

import json
import random
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from core.training.line_task import Line, LineConfig, Pairs
from core.training.processes import start, start_two
from safetensors.torch import load_file
from torch import nn

from urbanfm_core.errors import Cancelled, CheckpointError, ConfigError, TrainingError
from urbanfm_core.progress import Progress
from urbanfm_core.training.loop import fit
from urbanfm_core.training.resume import FILE
from urbanfm_core.training.task import TrainingConfig

CPU = torch.device("cpu")
SETTINGS = TrainingConfig(epochs=5, batch_size=16, learning_rate=0.05, seed=3)


class Listener(Progress):
    """Remembers what was said, and asks to stop after so many questions."""

    def __init__(self, stop_after=None):
        self.asked, self.stop_after = 0, stop_after
        self.messages, self.metrics, self.logs = [], [], []

    def cancelled(self):
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after

    def update(self, fraction, message=""):
        self.messages.append((fraction, message))

    def metric(self, name, value, step):
        self.metrics.append((name, step, value))

    def log(self, level, message):
        self.logs.append((level, message))


def run(task, folder, progress=None, settings=SETTINGS, data="d", **options):
    folder.mkdir(exist_ok=True)
    options = {"device": CPU, "folder": folder, "data_fingerprint": data, **options}
    return fit(task, settings, progress=progress or Listener(), **options)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def losses(history):
    return [{name: value for name, value in record.items() if name != "samples_per_s"} for record in history]


def test_it_is_adamw_on_a_cosine_over_seeded_batches(make_task, tmp_path):
    """The same run written out by hand, without dropout."""
    config = LineConfig(dropout=0.0)
    found = run(make_task(70, config=config), tmp_path / "run")
    task = make_task(70, config=config)
    optimizer = torch.optim.AdamW(task.parameters(), lr=0.05, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5 * 4, eta_min=0.05 * 0.01)
    best, kept = np.inf, {}
    for epoch in range(5):
        words = np.random.SeedSequence([3, epoch]).generate_state(2)
        order = torch.randperm(70, generator=torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1])))
        values = []
        for step in range(4):
            loss = task(task.samples.batch(order[16 * step : 16 * step + 16]))["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            values.append(loss.item())
        assert found.history[epoch]["loss"] == pytest.approx(np.mean(values), rel=1e-5)
        if np.mean(values) < best:
            best, kept = np.mean(values), {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    for name, tensor in found.weights.items():
        torch.testing.assert_close(tensor, kept[name], atol=1e-5, rtol=1e-4)
    assert found.history[0]["loss"] > 2 * found.history[-1]["loss"]


def test_the_seed_decides_and_the_callers_random_numbers_are_left_alone(make_task, tmp_path):
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    expected = (torch.rand(1), random.random(), np.random.rand())
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    task = make_task()
    torch.manual_seed(5)
    one = run(task, tmp_path / "a")
    assert (torch.rand(1), random.random(), np.random.rand()) == expected
    two = run(make_task(), tmp_path / "b")
    three = run(make_task(), tmp_path / "c", settings=replace(SETTINGS, seed=4))
    assert same(one.weights, two.weights) and losses(one.history) == losses(two.history)
    assert not same(one.weights, three.weights)


@pytest.mark.parametrize("stops", [[1], [3], [4], [6], [2, 3, 5], [19]])
def test_stopped_and_started_again_it_ends_with_the_same_weights(make_task, tmp_path, stops):
    """Four steps make an epoch: the stops lie within epochs and at their ends."""
    whole = run(make_task(), tmp_path / "whole")
    for stop in stops:
        with pytest.raises(Cancelled, match="go on from there"):
            run(make_task(), tmp_path / "parts", Listener(stop))
        assert (tmp_path / "parts" / FILE).is_file()
    again = Listener()
    found = run(make_task(), tmp_path / "parts", again)
    assert "unfinished run was found" in again.logs[0][1]
    assert same(found.weights, whole.weights)
    assert losses(found.history) == losses(whole.history)
    assert found.best_epoch == whole.best_epoch
    lines = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert losses(lines) == losses(whole.history)


def test_metrics_of_epochs_that_the_state_does_not_know_are_cut(make_task, tmp_path):
    with pytest.raises(Cancelled):
        run(make_task(), tmp_path, Listener(9))
    metrics = tmp_path / "metrics.jsonl"
    assert len(metrics.read_text().splitlines()) == 2
    metrics.write_text(metrics.read_text() + '{"epoch": 3, "loss": 9.0}\n{"epo')
    found = run(make_task(), tmp_path)
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines == found.history


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"data": "other"}, "data"),
        ({"settings": replace(SETTINGS, learning_rate=0.01)}, "training.learning_rate 0.05 -> 0.01"),
    ],
)
def test_another_run_is_not_taken_up(make_task, tmp_path, change, word):
    with pytest.raises(Cancelled):
        run(make_task(), tmp_path / "a", Listener(6))
    found = run(make_task(), tmp_path / "a", **change)
    assert any("starts anew" in note and word in note for note in found.notes)
    fresh = run(make_task(), tmp_path / "b", **change)
    assert same(found.weights, fresh.weights)


def test_resume_can_be_declined(make_task, tmp_path):
    with pytest.raises(Cancelled):
        run(make_task(), tmp_path, Listener(6))
    found = run(make_task(), tmp_path, settings=replace(SETTINGS, resume=False))
    assert not found.notes and len(found.history) == 5


def test_a_damaged_state_is_named(make_task, tmp_path):
    (tmp_path / FILE).write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(CheckpointError, match="cannot be read"):
        run(make_task(), tmp_path)


def test_the_weights_of_the_best_epoch_are_kept(make_task, tmp_path):
    class Rising(Line):
        """Its selection metric is best in the second epoch."""

        def __init__(self):
            self.step = 0

        def selection_metric(self):
            return "rank"

        def losses(self, model, batch, config):
            epoch, self.step = self.step // 4, self.step + 1
            return {**super().losses(model, batch, config), "rank": torch.tensor([3.0, 1.0, 2.0, 1.0, 5.0][epoch])}

    found = run(make_task(method=Rising()), tmp_path / "a")
    assert found.best_epoch == 2
    with pytest.raises(Cancelled):
        run(make_task(method=Rising()), tmp_path / "b", Listener(8))
    state = load_file(tmp_path / "b" / FILE)
    assert same(found.weights, {name[6:]: value for name, value in state.items() if name.startswith("model/")}) is False
    with pytest.raises(Cancelled):
        run(make_task(method=Rising()), tmp_path / "c", Listener(7))
    at_end = load_file(tmp_path / "c" / FILE)
    assert same(found.weights, {name[6:]: value for name, value in at_end.items() if name.startswith("model/")})


def test_few_samples_make_one_batch_and_a_rest_is_left_out(make_task, tmp_path):
    few = run(make_task(10), tmp_path / "few")
    assert any("10 samples, fewer than the batch size of 16" in note for note in few.notes)
    assert len(few.history) == 5
    seen = []

    def remember(indices, batch):
        seen.append(indices)
        return batch(indices)

    task = make_task(40)
    batch = type(task.samples).batch
    task.samples.__class__ = type(
        "Seen",
        (type(task.samples),),
        {
            "to": lambda self, device: self,
            "batch": lambda self, indices: remember(indices, lambda i: batch(self, i)),
        },
    )
    run(task, tmp_path / "rest", settings=replace(SETTINGS, epochs=1))
    assert [len(indices) for indices in seen] == [16, 16]
    assert len(torch.cat(seen).unique()) == 32


def test_a_loss_that_is_not_finite_stops_it_with_the_step(make_task, tmp_path):
    task = make_task()
    task.samples.tensors["y"][:] = torch.where(torch.arange(64) == 37, torch.inf, task.samples.tensors["y"])
    with pytest.raises(TrainingError, match=r"epoch 1, step \d of 4 \(loss inf, half inf\)") as caught:
        run(task, tmp_path)
    assert "learning rate" in caught.value.hint
    assert not (tmp_path / FILE).exists()


def test_losses_must_have_the_names_that_the_loop_needs(make_task, tmp_path):
    class Nameless(Line):
        def losses(self, model, batch, config):
            return {"error": super().losses(model, batch, config)["loss"]}

    with pytest.raises(ConfigError, match="gave the losses error, but no 'loss'"):
        run(make_task(method=Nameless()), tmp_path)


def test_it_reports_rate_time_left_and_metrics(make_task, tmp_path):
    listener = Listener()
    found = run(make_task(), tmp_path, listener)
    assert listener.messages[-1][0] == 1.0
    assert listener.messages[-1][1].startswith("epoch 5/5, ") and " samples/s, " in listener.messages[-1][1]
    assert [(name, step) for name, step, _ in listener.metrics] == [
        (name, epoch) for epoch in range(1, 6) for name in ("loss", "half")
    ]
    assert listener.metrics[-2][2] == found.history[-1]["loss"]


def test_bfloat16_trains_and_keeps_float32_weights(make_task, tmp_path):
    plain = run(make_task(), tmp_path / "a")
    coarse = run(make_task(), tmp_path / "b", settings=replace(SETTINGS, precision="bfloat16"))
    assert {tensor.dtype for tensor in coarse.weights.values()} == {torch.float32}
    assert coarse.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], rel=0.2)
    assert not same(plain.weights, coarse.weights)


def test_frozen_parameters_stay(make_task, tmp_path):
    task = make_task()
    first: nn.Linear = task.model[0]
    first.requires_grad_(False)
    before = first.weight.clone()
    found = run(task, tmp_path)
    assert torch.equal(found.weights["0.weight"], before)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 1.5},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"final_lr_share": 2.0},
        {"seed": -1},
        {"precision": "half"},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainingConfig(**wrong)


@pytest.mark.slow
def test_killed_and_started_again_it_ends_with_the_same_weights(make_task, tmp_path):
    folder = tmp_path / "killed"
    process = start(tmp_path, folder, slow=0.05)
    deadline = time.monotonic() + 120
    while not (folder / "metrics.jsonl").exists() or not (folder / "metrics.jsonl").read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "end.pt").exists() and (folder / FILE).exists()
    found = run(make_task(), folder)
    whole = run(make_task(), tmp_path / "whole")
    assert any("unfinished run was found" in note for note in found.notes)
    assert same(found.weights, whole.weights)
    assert losses(found.history) == losses(whole.history)


@pytest.mark.slow
def test_two_processes_share_the_batches_of_one(make_task, tmp_path, free_port):
    assert start_two(tmp_path, tmp_path / "two", free_port, method="Pairs") == [0, 0]
    found = torch.load(tmp_path / "two" / "end.pt", weights_only=True)
    whole = run(make_task(method=Pairs(), config=LineConfig(dropout=0.0)), tmp_path / "one")
    for mine, theirs in zip(found["history"], whole.history, strict=True):
        for name in ("loss", "contrast"):
            assert mine[name] == pytest.approx(theirs[name], abs=1e-5)
    for name, tensor in whole.weights.items():
        torch.testing.assert_close(found["weights"][name], tensor, atol=1e-5, rtol=1e-4)

"""The schedule of the learning rate and the groups of parameters that it drives."""

import json
import re
from dataclasses import replace
from math import cos, pi
from pathlib import Path

import numpy as np
import pytest
import torch
from core.training.line_task import Grouped, Line, LineConfig
from core.training.test_loop import SETTINGS, Listener, losses, run, same
from torch import nn

from urbanfm_core.errors import Cancelled, ConfigError
from urbanfm_core.models.ordering import epoch_order
from urbanfm_core.training.optim import complete_groups, groups_digest, layerwise_groups, rate_share
from urbanfm_core.training.task import TrainingConfig

GOLDEN = Path(__file__).parents[2] / "golden" / "refound"
WARM = replace(SETTINGS, schedule="linear", warmup_epochs=1.5, final_lr_share=0.0, weight_decay=0.1)


def test_linear_with_warm_up_by_the_step():
    shares = [rate_share(step, 10, warmup=4, schedule="linear", final=0.0) for step in range(11)]
    np.testing.assert_allclose(shares, [0, 1 / 4, 2 / 4, 3 / 4, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0], atol=1e-12)
    left = [rate_share(step, 10, warmup=0, schedule="linear", final=0.2) for step in (0, 5, 10)]
    np.testing.assert_allclose(left, [1, 0.6, 0.2])


def test_cosine_with_warm_up_by_the_step():
    shares = [rate_share(step, 12, warmup=2.5, schedule="cosine", final=0.1) for step in range(13)]
    expected = [0, 1 / 2.5, 2 / 2.5] + [0.1 + 0.9 * (1 + cos(pi * (step - 2.5) / 9.5)) / 2 for step in range(3, 13)]
    np.testing.assert_allclose(shares, expected, atol=1e-12)


def test_a_warm_up_longer_than_the_training_never_ends():
    assert [rate_share(step, 2, warmup=4, schedule="linear", final=0.0) for step in range(3)] == [0, 0.25, 0.5]
    assert rate_share(2, 2, warmup=2, schedule="cosine", final=0.5) == pytest.approx(1.0)


def test_a_run_with_warm_up_and_groups_is_torchs_own(make_task, tmp_path):
    """The same run written out by hand: four steps an epoch, six of warm-up, twenty in all."""
    config = LineConfig(dropout=0.0)
    found = run(make_task(method=Grouped(), config=config), tmp_path, settings=WARM)
    task = make_task(config=config)
    first, last = task.model[0], task.model[3]
    groups = [
        {"params": [first.weight], "lr": 0.0125, "weight_decay": 0.3},
        {"params": [first.bias], "lr": 0.0125, "weight_decay": 0.0},
        {"params": [last.bias], "lr": 0.05, "weight_decay": 0.0},
        {"params": [last.weight], "lr": 0.05, "weight_decay": 0.1},
    ]
    optimizer = torch.optim.AdamW(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: t / 6 if t < 6 else (20 - t) / 14)
    epochs = []
    for epoch in range(5):
        order, values = epoch_order(64, 3, epoch), []
        for step in range(4):
            loss = task(task.samples.batch(order[16 * step : 16 * step + 16]))["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            values.append(loss.item())
        epochs.append(np.mean(values))
    np.testing.assert_allclose([record["loss"] for record in found.history], epochs, rtol=1e-5)
    assert found.best_epoch == 5
    for name, tensor in found.weights.items():
        torch.testing.assert_close(tensor, task.model.state_dict()[name], atol=1e-5, rtol=1e-4)
    rates = [record["learning_rate"] for record in found.history]
    np.testing.assert_allclose(rates, 0.05 * np.array([3 / 6, 13 / 14, 9 / 14, 5 / 14, 1 / 14]))


@pytest.mark.parametrize("stops", [[2], [4], [5, 7], [13]])
def test_groups_and_warm_up_resume_exactly(make_task, tmp_path, stops):
    whole = run(make_task(method=Grouped()), tmp_path / "whole", settings=WARM)
    for stop in stops:
        with pytest.raises(Cancelled):
            run(make_task(method=Grouped()), tmp_path / "parts", Listener(stop), settings=WARM)
    found = run(make_task(method=Grouped()), tmp_path / "parts", settings=WARM)
    assert any("unfinished run was found" in note for note in found.notes)
    assert same(found.weights, whole.weights) and losses(found.history) == losses(whole.history)


def test_other_groups_are_another_run(make_task, tmp_path):
    class Slower(Grouped):
        slow = 0.1

    for other in (Slower(), Line()):
        with pytest.raises(Cancelled):
            run(make_task(method=Grouped()), tmp_path, Listener(6))
        found = run(make_task(method=other), tmp_path)
        assert any("starts anew" in note and "parameter_groups" in note for note in found.notes)


def test_a_run_that_never_warms_up_says_so(make_task, tmp_path):
    found = run(make_task(), tmp_path, settings=replace(WARM, warmup_epochs=5))
    assert "Warming up takes 5 epochs and training 5: the full learning rate is never reached." in found.notes


def test_layerwise_groups_are_the_published_ones():
    golden = json.loads((GOLDEN / "refound_lr_groups.json").read_text())
    shapes = json.loads((GOLDEN / "refound_shapes.json").read_text())
    parameters = {name: nn.Parameter(torch.empty(shape, device="meta")) for name, shape in shapes.items()}
    names = {id(parameter): name for name, parameter in parameters.items()}

    def layer_of(name):
        block = re.match(r"encoder\.transformer\.layer\.(\d+)\.", name)
        if block:
            return int(block[1]) + 1
        return 0 if name.startswith("encoder.") else 5

    found = layerwise_groups(parameters.items(), layer_of, 4, 0.75, 0.05)
    assert len(found) == len(golden)
    for mine, theirs in zip(found, golden, strict=True):
        assert (mine["lr_scale"], mine["weight_decay"]) == (theirs["lr_scale"], theirs["weight_decay"])
        assert sorted(names[id(parameter)] for parameter in mine["params"]) == sorted(theirs["params"])
    assert len(complete_groups(found, parameters.items(), 0.05)) == len(golden)


def test_layerwise_groups_leave_frozen_parameters_out_and_know_their_layers():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    (weight, bias) = layerwise_groups(model.named_parameters(), lambda name: int(name[0]), 0, 0.5, 0.1)
    assert weight["params"][0] is model[1].weight and weight["lr_scale"] == 1.0 and weight["weight_decay"] == 0.1
    assert bias["params"][0] is model[1].bias and bias["weight_decay"] == 0.0
    with pytest.raises(ConfigError, match=r"1\.weight is said to be in layer 7, expected 0 to 1"):
        layerwise_groups(model.named_parameters(), lambda name: 7 if name[0] == "1" else 0, 0, 0.5, 0.1)
    with pytest.raises(ConfigError, match="layer-wise decay"):
        layerwise_groups(model.named_parameters(), lambda name: 0, 0, 1.5, 0.1)


def test_groups_are_completed_and_checked():
    model = nn.Linear(2, 3)
    named = list(model.named_parameters())
    (one,) = complete_groups([{"params": iter(model.parameters())}, {"params": []}], named, 0.2)
    assert one["lr_scale"] == 1.0 and one["weight_decay"] == 0.2 and len(one["params"]) == 2
    both = {"params": list(model.parameters())}
    for groups, words in [
        ([{"params": [model.weight]}], "In no parameter group.*: bias"),
        ([both, {"params": [model.bias]}], "Parameter group 1 holds bias, which an earlier one holds"),
        ([{"params": [*model.parameters(), nn.Parameter(torch.ones(1))]}], "not of the network"),
        ([{**both, "lr": 0.1}], "lr_scale and weight_decay at most"),
        ([{"lr_scale": 0.1}], "expected are params"),
        ([{**both, "lr_scale": -1.0}], "lr_scale must be at least 0"),
        ([{**both, "weight_decay": float("nan")}], "weight_decay must be at least 0"),
    ]:
        with pytest.raises(ConfigError, match=words):
            complete_groups(groups, named, 0.2)


def test_the_digest_knows_order_factors_and_names():
    model = nn.Linear(2, 3)
    named = list(model.named_parameters())

    def digest(*groups):
        return groups_digest(complete_groups(groups, named, 0.2), named)

    one, other = {"params": [model.weight]}, {"params": [model.bias]}
    digests = [
        digest(one, other),
        digest(other, one),
        digest({**one, "lr_scale": 0.5}, other),
        digest({**one, "weight_decay": 0.0}, other),
        digest({"params": [model.weight, model.bias]}),
    ]
    assert len(set(digests)) == 5 and digest(one, other) == digests[0]


@pytest.mark.parametrize("wrong", [{"schedule": "step"}, {"warmup_epochs": -1}, {"warmup_epochs": float("inf")}])
def test_settings_of_the_schedule_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainingConfig(**wrong)

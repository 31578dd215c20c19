"""Several phases, one after another: what each trains, how a stopped run goes on, and what the checkpoint says."""

from dataclasses import replace

import pytest
import torch
from core.training.line_task import Line, LineConfig, line_samples

from urbanfm_core.errors import Cancelled
from urbanfm_core.models.exchange import Phase, Prepared
from urbanfm_core.progress import Progress
from urbanfm_core.training.plot import plot_losses
from urbanfm_core.training.run import train, working_folder
from urbanfm_core.training.task import TrainingConfig

SETTINGS = TrainingConfig(epochs=3, batch_size=16, learning_rate=0.05, seed=3)


class Staged(Line):
    """First layer, then last layer, on different samples."""

    def phases(self, prepared):
        return [Phase("first", line_samples(32), ("0",)), Phase("last", prepared.samples, ("3",))]

    def losses(self, model, batch, config):
        loss = super().losses(model, batch, config)["loss"]
        return {"loss": loss, ("first" if model[0].weight.requires_grad else "last"): loss}


class StopAfter(Progress):
    def __init__(self, questions):
        self.left = questions

    def cancelled(self):
        self.left -= 1
        return self.left < 0


def run(out, progress=None, method=None, settings=SETTINGS):
    prepared = Prepared(LineConfig(), line_samples(), {})
    return train(
        method or Staged(), prepared, settings, device=torch.device("cpu"), out=out, data_fingerprint="d",
        progress=progress or Progress(),
    )  # fmt: skip


def test_history_counts_on_and_says_which_phase(tmp_path):
    made = run(tmp_path / "c")
    assert [record["epoch"] for record in made.history] == [1, 2, 3, 4, 5, 6]
    assert [record["phase"] for record in made.history] == ["first"] * 3 + ["last"] * 3
    assert "first" in made.history[0] and "first" not in made.history[-1]
    assert made.manifest["phases"] == {"first": 32, "last": 64}
    assert made.manifest["best_epoch"] > 3
    assert made.manifest["metrics"] == made.history[made.manifest["best_epoch"] - 1]
    assert not working_folder(tmp_path / "c").exists()


def test_each_phase_trains_its_own_part_and_starts_from_the_weights_of_the_one_before(tmp_path):
    class FirstOnly(Staged):
        def phases(self, prepared):
            return super().phases(prepared)[:1]

    first, both = run(tmp_path / "a", method=FirstOnly()), run(tmp_path / "b")
    assert torch.equal(first.weights["0.weight"], both.weights["0.weight"])
    assert not torch.equal(first.weights["3.weight"], both.weights["3.weight"])


@pytest.mark.parametrize("questions", [3, 8, 14])
def test_a_stopped_run_ends_with_the_weights_of_an_unbroken_one(tmp_path, questions):
    whole = run(tmp_path / "whole")
    with pytest.raises(Cancelled):
        run(tmp_path / "c", StopAfter(questions))
    assert working_folder(tmp_path / "c").is_dir()
    again = run(tmp_path / "c")
    assert all(torch.equal(tensor, again.weights[name]) for name, tensor in whole.weights.items())
    strip = [{k: v for k, v in record.items() if k != "samples_per_s"} for record in again.history]
    assert strip == [{k: v for k, v in record.items() if k != "samples_per_s"} for record in whole.history]
    assert not working_folder(tmp_path / "c").exists()


def test_a_finished_phase_is_not_trained_again(tmp_path):
    seen = []

    class Counting(Staged):
        def losses(self, model, batch, config):
            seen.append(bool(model[0].weight.requires_grad))
            return super().losses(model, batch, config)

    with pytest.raises(Cancelled):
        run(tmp_path / "c", StopAfter(10), Counting())
    assert True in seen and False in seen
    seen.clear()
    run(tmp_path / "c", method=Counting())
    assert True not in seen


def test_other_settings_start_all_phases_anew(tmp_path):
    with pytest.raises(Cancelled):
        run(tmp_path / "c", StopAfter(10))
    other = replace(SETTINGS, learning_rate=0.01)
    again, fresh = run(tmp_path / "c", settings=other), run(tmp_path / "fresh", settings=other)
    assert all(torch.equal(tensor, again.weights[name]) for name, tensor in fresh.weights.items())


def test_the_plot_draws_the_losses_of_all_phases():
    history = [{"epoch": 1, "loss": 2.0, "first": 2.0, "phase": "first"}, {"epoch": 2, "loss": 1.0, "last": 1.0}]
    assert plot_losses(history, 2) != plot_losses([{**record, "last": 1.0} for record in history], 2)

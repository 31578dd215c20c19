import importlib.util
import json
from dataclasses import replace

import pytest
import torch
from core.training.line_task import Line, LineConfig, line_samples

from urbanfm_core.errors import Cancelled, CheckpointError, OutputError, TrainingError
from urbanfm_core.models import METHODS
from urbanfm_core.models.exchange import Prepared
from urbanfm_core.progress import Progress
from urbanfm_core.training.checkpoint import Checkpoint, restore
from urbanfm_core.training.run import train, working_folder
from urbanfm_core.training.task import TrainingConfig

SETTINGS = TrainingConfig(epochs=4, batch_size=16, learning_rate=0.05, seed=3)
CPU = torch.device("cpu")


class StopAfter(Progress):
    def __init__(self, questions):
        self.left = questions

    def cancelled(self):
        self.left -= 1
        return self.left < 0


def run(out, progress=None, settings=SETTINGS, method=None):
    prepared = Prepared(LineConfig(), line_samples(), {"bands": 3}, ["2 points were left out."])
    return train(
        method or Line(),
        prepared,
        settings,
        device=CPU,
        out=out,
        data_fingerprint="d",
        progress=progress or Progress(),
        preset="line-tiny",
    )


def test_a_run_ends_as_a_checkpoint_and_leaves_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "line", "core.training.line_task:Line")
    made = run(tmp_path / "ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt"]
    found = Checkpoint.load(tmp_path / "ckpt")
    assert found.manifest == made.manifest and found.history == made.history
    assert found.manifest["metrics"] == found.history[found.manifest["best_epoch"] - 1]
    expected = {"preset": "line-tiny", "seed": 3, "samples": 64, "data_fingerprint": "d", "device": "cpu"}
    assert found.manifest.items() >= expected.items()
    assert found.manifest["training"]["learning_rate"] == 0.05
    assert found.manifest["notes"] == ["2 points were left out."]
    assert found.plot is not None and found.plot.startswith("<?xml")
    _, trained = restore(found, CPU)
    assert trained.preprocessing == {"bands": 3}


def test_a_cancelled_run_goes_on_beside_the_checkpoint_to_come(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(Cancelled):
        run(tmp_path / "ckpt", StopAfter(6))
    assert not (tmp_path / "ckpt").exists()
    assert working_folder(tmp_path / "ckpt") == tmp_path / "ckpt.training"
    lines = (tmp_path / "ckpt.training" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1]
    found = run(tmp_path / "ckpt")
    assert all(torch.equal(tensor, whole.weights[name]) for name, tensor in found.weights.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpt", "whole"]


def test_what_cannot_be_written_is_said_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        run(tmp_path / "file" / "ckpt")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("")
    with pytest.raises(CheckpointError, match="something else"):
        run(tmp_path / "photos")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "photos"]


def test_a_run_that_fails_at_once_leaves_nothing(tmp_path):
    class Broken(Line):
        def losses(self, model, batch, config):
            return {"loss": super().losses(model, batch, config)["loss"] * float("nan")}

    with pytest.raises(TrainingError):
        run(tmp_path / "ckpt", method=Broken())
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_there_is_a_note_in_place_of_the_plot(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    made = run(tmp_path / "ckpt", settings=replace(SETTINGS, epochs=1))
    assert made.plot is None and not (tmp_path / "ckpt" / "loss.svg").exists()
    assert any("urbanfm[plots]" in note for note in made.manifest["notes"])

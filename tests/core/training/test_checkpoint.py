import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from core.training.line_task import Line, LineConfig
from safetensors.torch import save_file

from urbanfm_core.errors import CheckpointError
from urbanfm_core.models import METHODS
from urbanfm_core.training.checkpoint import Checkpoint, load_weights, restore

CPU = torch.device("cpu")


@pytest.fixture
def checkpoint(monkeypatch):
    monkeypatch.setitem(METHODS, "line", "core.training.line_task:Line")
    torch.manual_seed(0)
    weights = Line().build(LineConfig()).state_dict()
    history = [{"epoch": 1, "loss": 0.5, "learning_rate": 0.1}, {"epoch": 2, "loss": 0.25, "learning_rate": 0.01}]
    manifest = {"seed": 3, "preset": "line-tiny", "metrics": history[-1]}
    return Checkpoint("line", asdict(LineConfig()), {"bands": 3, "names": ["é"]}, manifest, weights, history, "<svg/>")


@pytest.fixture
def saved(checkpoint, tmp_path):
    checkpoint.save(tmp_path / "ckpt")
    return tmp_path / "ckpt"


def test_what_is_saved_comes_back(checkpoint, saved):
    found = Checkpoint.load(saved)
    assert found.method == "line" and found.config == checkpoint.config
    assert found.preprocessing == checkpoint.preprocessing and found.history == checkpoint.history
    assert found.plot == "<svg/>" and found.manifest == checkpoint.manifest
    assert found.manifest["format_version"] == 1 and found.manifest["versions"]["torch"] == torch.__version__
    assert all(torch.equal(tensor, checkpoint.weights[name]) for name, tensor in found.weights.items())
    assert sorted(path.name for path in saved.iterdir()) == [
        "config.json",
        "loss.svg",
        "manifest.json",
        "metrics.jsonl",
        "preprocessing.json",
        "weights.safetensors",
    ]
    assert [path.name for path in saved.parent.iterdir()] == ["ckpt"]


def test_restored_it_computes_the_same_and_leaves_random_numbers_alone(checkpoint, saved):
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    method, trained = restore(Checkpoint.load(saved), CPU, batch_size=5)
    assert torch.equal(torch.rand(1), expected)
    assert isinstance(method, Line) and trained.config == LineConfig() and trained.batch_size == 5
    assert not trained.model.training and not any(p.requires_grad for p in trained.model.parameters())
    x = torch.ones(2, 3)
    plain = Line().build(LineConfig()).eval()
    load_weights(plain, checkpoint.weights)
    assert torch.equal(trained.model(x), plain(x))


def test_a_checkpoint_is_replaced_and_nothing_else(checkpoint, saved, tmp_path):
    replace(checkpoint, preprocessing={"bands": 4}).save(saved)
    assert Checkpoint.load(saved).preprocessing == {"bands": 4}
    other = tmp_path / "photos"
    other.mkdir()
    (other / "a.jpg").write_text("x")
    with pytest.raises(CheckpointError, match="holds something else"):
        checkpoint.save(other)
    with pytest.raises(CheckpointError, match="is a file"):
        checkpoint.save(other / "a.jpg")
    assert (other / "a.jpg").read_text() == "x"


def test_a_save_that_fails_leaves_the_old_one(checkpoint, saved, tmp_path):
    broken = replace(checkpoint, preprocessing={"bad": object()})
    with pytest.raises(TypeError):
        broken.save(saved)
    assert Checkpoint.load(saved).preprocessing == checkpoint.preprocessing
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt"]


@pytest.mark.parametrize("name", ["config.json", "preprocessing.json", "manifest.json", "weights.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        Checkpoint.load(saved)


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


HOSTILE = {
    "config.json is cut": (lambda p: (p / "config.json").write_text('{"width": '), "config.json is damaged"),
    "config.json is a list": (lambda p: (p / "config.json").write_text("[1]"), "config.json holds list"),
    "json is nested deeply": (
        lambda p: (p / "preprocessing.json").write_text("[" * 100_000),
        "preprocessing.json is damaged",
    ),
    "json is not text": (lambda p: (p / "manifest.json").write_bytes(b"\xff\xfe\x00"), "manifest.json is damaged"),
    "json is huge": (lambda p: os.truncate(p / "config.json", 70 << 20), "config.json is larger"),
    "a folder in place of a file": (
        lambda p: ((p / "config.json").unlink(), (p / "config.json").mkdir()),
        "config.json is missing",
    ),
    "another program's manifest": (lambda p: (p / "manifest.json").write_text("{}"), "does not say"),
    "a newer format": (lambda p: edit(p / "manifest.json", format_version=2), "format version 2 is unknown"),
    "a version of another kind": (lambda p: edit(p / "manifest.json", format_version="1"), "format version '1'"),
    "no method": (lambda p: edit(p / "manifest.json", method=None), "does not name the method"),
    "cut weights": (lambda p: os.truncate(p / "weights.safetensors", 100), "weights.safetensors is damaged"),
    "other weights": (lambda p: save_file({"a": torch.ones(2)}, p / "weights.safetensors"), "hash is not the one"),
    "damaged metrics": (lambda p: (p / "metrics.jsonl").write_text("{\n"), "metrics.jsonl is damaged"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_damaged_or_hostile_folder_is_refused_with_the_file(saved, how):
    change, words = HOSTILE[how]
    change(saved)
    with pytest.raises(CheckpointError, match=words):
        Checkpoint.load(saved)


def test_weights_that_are_no_safetensors_are_refused(saved):
    import hashlib

    content = b"\x80\x04cos\nsystem\n" * 10
    (saved / "weights.safetensors").write_bytes(content)
    edit(saved / "manifest.json", weights_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        Checkpoint.load(saved)


def test_paths_that_are_no_checkpoint_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoint.load(tmp_path / "nowhere")
    (tmp_path / "x.pth").write_text("")
    with pytest.raises(CheckpointError, match="importcheckpoint"):
        Checkpoint.load(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"config\.json, preprocessing\.json, manifest\.json"):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"width": 5}, r"other shape: 0.weight is \(4, 3\), expected \(5, 3\)"),
        ({"height": 5}, "has no field 'height'"),
        ({"width": 10**12}, "other shape"),
    ],
)
def test_configuration_and_weights_must_belong_together(checkpoint, config, words):
    """The last width would ask for terabytes if the network were made before the shapes are compared."""
    with pytest.raises(CheckpointError, match=words):
        restore(replace(checkpoint, config=config), CPU)


def test_an_unknown_method_is_refused(checkpoint):
    with pytest.raises(CheckpointError, match="no method 'other'"):
        restore(replace(checkpoint, method="other"), CPU)


def test_weights_are_all_accounted_for(checkpoint):
    model = Line().build(LineConfig())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights = dict(checkpoint.weights)
    weights["extra"] = weights.pop("3.bias")
    with pytest.raises(CheckpointError, match=r"missing: 3\.bias; not part of the network: extra"):
        load_weights(model, weights)
    nan = {**checkpoint.weights, "3.bias": torch.tensor([np.nan])}
    with pytest.raises(CheckpointError, match=r"not finite: 3\.bias"):
        load_weights(model, nan)
    whole = {**checkpoint.weights, "3.bias": torch.tensor([1])}
    with pytest.raises(CheckpointError, match=r"3\.bias is torch.int64"):
        load_weights(model, whole)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_summary_is_plain_and_counts_parameters(checkpoint, saved):
    summary = Checkpoint.load(saved).summary()
    assert summary["parameters"] == 3 * 4 + 4 + 4 + 1
    assert summary["preprocessing"] == {"bands": 3} and summary["preset"] == "line-tiny"
    assert json.loads(json.dumps(summary)) == summary


def test_tied_weights_can_be_saved(checkpoint, tmp_path):
    one = torch.ones(2, 2)
    replace(checkpoint, weights={"a": one, "b": one, "c": one.t()}).save(tmp_path / "tied")
    assert set(Checkpoint.load(tmp_path / "tied").weights) == {"a", "b", "c"}


def test_a_folder_that_cannot_be_written_is_an_error_of_the_output(checkpoint, tmp_path):
    from urbanfm_core.errors import OutputError

    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        checkpoint.save(Path(tmp_path / "file" / "below"))

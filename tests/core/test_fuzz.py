"""Job files and checkpoints of any content: a user error, or the very thing; never another exception, never code."""

import json
import os
import pickle
import random
import shutil
import string
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from core.training.line_task import Line, LineConfig, line_samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from urbanfm_core.errors import CheckpointError, UrbanFMError
from urbanfm_core.importers.aether import import_aether
from urbanfm_core.models import METHODS
from urbanfm_core.models.aether import Aether, AetherConfig
from urbanfm_core.progress import Progress
from urbanfm_core.stages import STAGES, make_stage
from urbanfm_core.training.checkpoint import Checkpoint, restore
from urbanfm_core.training.loop import fit
from urbanfm_core.training.resume import FILE
from urbanfm_core.training.task import Task, TrainingConfig
from urbanfm_core.worker import PROTOCOL, read_job

PUBLISHED = Path(__file__).parents[1] / "golden" / "aether" / "aether_random.pth"
CPU = torch.device("cpu")
# One file for all examples: what is in it is what differs.
ANY_FILE = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["0", "cuda:1", "1e400", "\0", "\ud800", "../..", "|layername=x", "EPSG:0", -1, 10**30])
)
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_parameters = sorted({name for stage in STAGES.values() for name in stage.model_fields})
_values = st.dictionaries(st.sampled_from(_parameters) | st.text(max_size=8), _json, max_size=8)
_jobs = st.fixed_dictionaries(
    {},
    optional={
        "protocol": st.just(PROTOCOL) | st.just(PROTOCOL) | _json,
        "stage": st.sampled_from(sorted(STAGES)) | st.sampled_from(sorted(STAGES)) | _json,
        "params": _values | _json,
        "outputs": _values | _json,
    },
)


def take(file, content):
    file.write_bytes(content)
    try:
        stage, params, _ = read_job(file)
        made = make_stage(stage, params)
    except UrbanFMError as error:
        assert error.message
        return None
    return made


@given(job=_jobs)
@ANY_FILE
def test_any_job_is_a_stage_or_a_user_error(tmp_path, job):
    made = take(tmp_path / "job.json", json.dumps(job).encode())
    assert made is None or type(made) is STAGES[job["stage"]]


@given(content=st.binary(max_size=60) | st.text(string.printable, max_size=60).map(str.encode))
@ANY_FILE
def test_any_bytes_in_place_of_a_job(tmp_path, content):
    assert take(tmp_path / "job.json", content) is None


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5000, b'{"protocol": 1' + b"0" * 5000 + b"}"]
)
def test_jobs_that_are_meant_to_hurt(tmp_path, content):
    assert take(tmp_path / "job.json", content) is None


@given(
    values=st.fixed_dictionaries(
        {"protocol": st.just(PROTOCOL), "stage": st.sampled_from(sorted(STAGES)), "params": _values}
    )
)
@ANY_FILE
def test_what_passes_is_what_was_given(tmp_path, values):
    made = take(tmp_path / "job.json", json.dumps(values).encode())
    if made is not None:
        for name, value in values["params"].items():
            assert getattr(made, name) == value


@pytest.fixture
def no_pickle(monkeypatch):
    """Nothing of a hostile file may reach Python's own unpickler, nor run a program."""

    def refuse(*_, **__):
        raise AssertionError("code of a file would have been run")

    for owner, name in ((pickle, "loads"), (pickle, "load"), (os, "system"), (os, "popen")):
        monkeypatch.setattr(owner, name, refuse)


def damage(path: Path, chosen: random.Random) -> None:
    """Flip, cut, fill, double or remove something of a file."""
    content = bytearray(path.read_bytes())
    kind = chosen.choice(["flip", "flip", "flip", "cut", "add", "fill", "swap", "remove", "empty"])
    place = chosen.randrange(len(content))
    if kind == "remove":
        path.unlink()
        return
    if kind == "flip":
        for _ in range(chosen.choice([1, 1, 8])):
            content[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
    elif kind == "cut":
        del content[place:]
    elif kind == "add":
        content[place:place] = chosen.randbytes(chosen.randrange(1, 40))
    elif kind == "fill":
        content[place : place + 16] = bytes(len(content[place : place + 16]))
    elif kind == "swap":
        content[place:] = content[place:][::-1]
    else:
        content.clear()
    path.write_bytes(bytes(content))


def test_a_damaged_checkpoint_is_refused_or_computes_the_same(tmp_path, no_pickle):
    config = AetherConfig(bands=3, text_dim=4, hidden_dim=4, post_dim=4, embedding_dim=3)
    torch.manual_seed(0)
    weights = Aether().build(config).state_dict()
    history = [{"epoch": 1, "loss": 0.5}]
    whole = Checkpoint(
        "aether", asdict(config), {"bands": 3}, {"preset": "p", "metrics": {"loss": 0.5}}, weights, history, "<svg/>"
    )
    whole.save(tmp_path / "whole")
    files = sorted(path.name for path in (tmp_path / "whole").iterdir())
    refused = 0
    for seed in range(200):
        chosen = random.Random(seed)
        shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
        damage(tmp_path / "damaged" / chosen.choice(files), chosen)
        try:
            found = Checkpoint.load(tmp_path / "damaged")
            _, trained = restore(found, CPU)
            found.summary()
        except CheckpointError as error:
            refused += 1
            assert "damaged" in str(error), seed
        else:
            assert trained.config == config and found.preprocessing == whole.preprocessing, seed
            assert all(tensor.equal(weights[name]) for name, tensor in trained.model.state_dict().items()), seed
        shutil.rmtree(tmp_path / "damaged")
    assert 100 < refused < 200


def test_a_damaged_published_file_is_refused_or_gives_the_same_weights(tmp_path, no_pickle):
    whole = import_aether(PUBLISHED, progress=Progress()).weights
    refused = 0
    for seed in range(60):
        file = tmp_path / "damaged.pth"
        shutil.copy(PUBLISHED, file)
        damage(file, random.Random(seed))
        try:
            found = import_aether(file, progress=Progress()).weights
        except CheckpointError:
            refused += 1
        else:
            assert all(tensor.equal(whole[name]) for name, tensor in found.items()), seed
    assert refused > 30


def test_a_damaged_unfinished_run_is_refused_or_begun_anew_or_the_same(tmp_path, no_pickle):
    class StopAfter(Progress):
        left = 6

        def cancelled(self):
            self.left -= 1
            return self.left < 0

    def train(folder, progress=None):
        torch.manual_seed(0)
        task = Task(Line(), LineConfig(), Line().build(LineConfig()), line_samples())
        sizes = TrainingConfig(epochs=3, batch_size=16, learning_rate=0.05)
        return fit(task, sizes, device=CPU, folder=folder, data_fingerprint="d", progress=progress or Progress())

    (tmp_path / "whole").mkdir()
    with pytest.raises(UrbanFMError):
        train(tmp_path / "whole", StopAfter())
    for seed in range(25):
        shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
        damage(tmp_path / "damaged" / FILE, random.Random(seed))
        try:
            train(tmp_path / "damaged")
        except UrbanFMError as error:
            assert isinstance(error, CheckpointError) or "not finite" in error.message, seed
        shutil.rmtree(tmp_path / "damaged")


def test_hostile_weights_that_bring_the_right_hash(tmp_path, monkeypatch, no_pickle):
    """Whoever writes a checkpoint can write its hashes too: what is inside still has to be weights of this network."""
    import hashlib

    monkeypatch.setitem(METHODS, "line", "core.training.line_task:Line")
    weights = Line().build(LineConfig()).state_dict()
    Checkpoint("line", asdict(LineConfig()), {}, {}, weights).save(tmp_path / "ckpt")
    file, manifest = tmp_path / "ckpt" / "weights.safetensors", tmp_path / "ckpt" / "manifest.json"
    whole = file.read_bytes()
    for seed in range(60):
        chosen = random.Random(seed)
        file.write_bytes(whole)
        damage(file, chosen)
        if not file.exists():
            continue
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "weights_sha256": digest}))
        try:
            _, trained = restore(Checkpoint.load(tmp_path / "ckpt"), CPU)
        except CheckpointError:
            continue
        assert all(bool(torch.isfinite(tensor).all()) for tensor in trained.model.state_dict().values())
    save_file({name: tensor.double() for name, tensor in weights.items()}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "weights_sha256": digest}))
    _, trained = restore(Checkpoint.load(tmp_path / "ckpt"), CPU)
    assert {tensor.dtype for tensor in trained.model.state_dict().values()} == {torch.float32}

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from urbanfm_core.errors import CheckpointError
from urbanfm_core.importers.aether import import_aether
from urbanfm_core.training.checkpoint import Checkpoint, restore

PUBLISHED = Path(__file__).parents[2] / "golden" / "aether" / "aether_random.pth"


@pytest.fixture
def content():
    return torch.load(PUBLISHED, weights_only=True)


def saved(content, folder):
    path = folder / "some.pth"
    torch.save(content, path)
    return path


def test_every_weight_and_setting_arrives(content):
    found = import_aether(PUBLISHED, text_encoder="minilm")
    assert len(found.weights) == len(content["ae_state_dict"]) + len(content["txt_state_dict"])
    for key, name in (
        ("gate", "image.gate"),
        ("proj.0.weight", "image.expand.weight"),
        ("post_mlp.3.bias", "image.post_contract.bias"),
    ):
        assert torch.equal(found.weights[name], content["ae_state_dict"][key])
    assert torch.equal(found.weights["text.project.weight"], content["txt_state_dict"]["proj.weight"])
    widths = {"bands": 64, "hidden_dim": 256, "embedding_dim": 128, "post_dim": 256, "text_dim": 384}
    windows = {"window": "square", "base_px": 4, "augmented_px": 9}
    losses = {"lambda_image": 0.2, "temperature_image": 0.07, "temperature_text": 0.07}
    assert found.config.items() >= {**widths, **windows, **losses}.items()
    assert found.preprocessing["text_encoder"] == {"spec": "minilm", "identity": None, "dim": 384}
    assert found.manifest["source"]["epoch"] == 7
    assert "The weights are those after epoch 7 of 100." in found.manifest["notes"]


def test_it_becomes_a_checkpoint_like_any_other(tmp_path):
    found = import_aether(PUBLISHED)
    found.save(tmp_path / "ckpt")
    loaded = Checkpoint.load(tmp_path / "ckpt")
    method, trained = restore(loaded, torch.device("cpu"))
    golden = np.load(PUBLISHED.parent / "aether_forward.npz")
    rows = np.setdiff1d(np.arange(len(golden["x_base"])), golden["zero_rows"])
    vectors = method.pixel_function(trained)(golden["x_base"][rows] * 3)
    np.testing.assert_allclose(vectors, golden["z_base"][rows], atol=1e-6)
    assert loaded.summary()["parameters"] == 173057


def test_the_settings_name_the_text_encoder_unless_the_user_does(content, tmp_path):
    content["hyper_parameters"]["text"] = {"backend": "openai", "openai_model": "text-embedding-3-large"}
    path = saved(content, tmp_path)
    spec = "openai:text-embedding-3-large@https://api.openai.com/v1?dimensions=384"
    assert import_aether(path).preprocessing["text_encoder"]["spec"] == spec
    del content["hyper_parameters"]
    found = import_aether(saved(content, tmp_path))
    assert found.preprocessing["text_encoder"] is None
    notes = " ".join(found.manifest["notes"])
    assert "--text-encoder" in notes and "squares of 9 and 19 pixels" in notes


def test_what_else_the_file_holds_is_told_and_left_out(content, tmp_path):
    content["run_name"] = "x"
    found = import_aether(saved(content, tmp_path))
    assert "run_name" in " ".join(found.manifest["notes"])


def test_weights_without_a_gate_take_the_shortcut_in_full(content, tmp_path):
    state = content["ae_state_dict"]
    del state["gate"]
    method, trained = restore(import_aether(saved(content, tmp_path)), torch.device("cpu"))
    pixels = np.load(PUBLISHED.parent / "aether_forward.npz")["x_base"]
    pixels = pixels[np.linalg.norm(pixels, axis=1) > 0]
    x = torch.from_numpy(pixels)
    normalize, linear = torch.nn.functional.normalize, torch.nn.functional.linear
    main = linear(torch.relu(linear(x, state["proj.0.weight"], state["proj.0.bias"])), state["proj.2.weight"])
    mixed = main + state["proj.2.bias"] + linear(x, state["shortcut.weight"], state["shortcut.bias"])
    inner = torch.nn.functional.gelu(
        linear(normalize(mixed, dim=-1), state["post_mlp.0.weight"], state["post_mlp.0.bias"])
    )
    expected = normalize(linear(inner, state["post_mlp.3.weight"], state["post_mlp.3.bias"]), dim=-1)
    np.testing.assert_allclose(method.pixel_function(trained)(pixels), expected, atol=1e-5)


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["torch", "plain pickle", "inside settings"])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(content, tmp_path, how):
    mark = tmp_path / "it-ran"
    path = tmp_path / "bomb.pth"
    if how == "plain pickle":
        path.write_bytes(pickle.dumps({"ae_state_dict": Bomb(mark)}))
    elif how == "torch":
        torch.save({"ae_state_dict": Bomb(mark), "txt_state_dict": {}}, path)
    else:
        content["hyper_parameters"]["text"]["hf_model"] = Bomb(mark)
        torch.save(content, path)
    with pytest.raises(CheckpointError, match="refused; nothing in it was run"):
        import_aether(path)
    assert not mark.exists()
    torch.load(path, weights_only=False) if how != "plain pickle" else pickle.loads(path.read_bytes())
    assert mark.exists(), "the file was harmless, so the test showed nothing"


@pytest.mark.parametrize("size", [0, 1, 100, 5000, 300_000, 698_000])
def test_a_cut_file_is_named_as_such(tmp_path, size):
    path = tmp_path / "cut.pth"
    path.write_bytes(PUBLISHED.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        import_aether(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.pth").write_text("torch\nnumpy\n" * 20)
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        import_aether(tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="There is no file"):
        import_aether(tmp_path / "b.pth")


def changed(content, change):
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("txt_state_dict"), "lacks txt_state_dict"),
        (lambda c: c["ae_state_dict"].update(extra=torch.ones(2)), "unknown weight 'extra'"),
        (lambda c: c["ae_state_dict"].pop("proj.2.bias"), "lacks the weights of image.contract.bias"),
        (lambda c: c["ae_state_dict"].pop("shortcut.bias"), "missing: image.shortcut.bias"),
        (lambda c: c["ae_state_dict"].update(gate=torch.ones(3)), r"image.gate is \(3,\), expected \(1,\)"),
        (lambda c: c["txt_state_dict"].update({"proj.bias": "no"}), "no tensor"),
        (lambda c: c["txt_state_dict"]["proj.bias"].fill_(float("nan")), "not finite"),
        (lambda c: c["model_types"].update(ae_type="Other"), "'Other'"),
        (lambda c: c["temps"].update(tau_xt=-1.0), "temperature"),
        (lambda c: c["hyper_parameters"]["data"].update(pix_radius="4"), "base_px"),
    ],
)
def test_another_layout_is_refused_by_name(content, tmp_path, change, words):
    with pytest.raises(CheckpointError, match=words):
        import_aether(saved(changed(content, change), tmp_path))


def test_anything_but_a_dict_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds list"):
        import_aether(saved([torch.ones(2)], tmp_path))

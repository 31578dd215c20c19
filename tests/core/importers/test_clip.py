"""Any CLIP of transformers: the same vectors after import, long texts, and nothing of its weights unaccounted for."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import normalize

from urbanfm_core.errors import ConfigError
from urbanfm_core.importers.clip import import_clip
from urbanfm_core.models.exchange import Prepared
from urbanfm_core.models.urbanln.clip import find_clip
from urbanfm_core.models.urbanln.config import UrbanLNConfig
from urbanfm_core.models.urbanln.method import UrbanLN
from urbanfm_core.models.urbanln.positions import stretch_positions
from urbanfm_core.progress import Progress
from urbanfm_core.training.checkpoint import Checkpoint, restore

CPU = torch.device("cpu")
WORDS = ["a", "quiet", "street", "near", "park", "with", "shops"]
TABLE = "text_model.embeddings.position_embedding.weight"


def write_clip(folder, positions=77, **text):
    """A CLIP of random weights with its tokenizer, as save_pretrained writes them."""
    import transformers

    words = {"[PAD]": 0, "[UNK]": 1, "<start>": 2, **{word: 3 + row for row, word in enumerate(WORDS)}, "<end>": 10}
    common = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes = transformers.CLIPConfig(
        text_config={
            **common,
            "vocab_size": 12,
            "max_position_embeddings": positions,
            "bos_token_id": 2,
            "eos_token_id": 10,
            "pad_token_id": 0,
            **text,
        },
        vision_config={**common, "image_size": 16, "patch_size": 8},
        projection_dim=24,
    )
    torch.manual_seed(0)
    model = transformers.CLIPModel(sizes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<start>", eos_token="<end>", unk_token="[UNK]", pad_token="[PAD]"
    )
    fast.save_pretrained(folder)
    settings = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return model


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    return folder, write_clip(folder)


@pytest.fixture
def copied(clip, tmp_path):
    """A copy that may be spoiled: the folder, its weights, and how to write them."""
    for file in clip[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    # Copies: the file they lie in is overwritten.
    return tmp_path, {name: tensor.clone() for name, tensor in weights.items()}


def write(folder, weights):
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def imported(folder, tmp_path):
    """Imported, written, read again, and made a network of."""
    import_clip(str(folder)).save(tmp_path / "imported")
    return restore(Checkpoint.load(tmp_path / "imported"), CPU)


@torch.inference_mode()
def test_it_gives_the_vectors_of_clip_itself(clip, tmp_path):
    folder, model = clip
    method, trained = imported(folder, tmp_path)
    images = torch.randn(3, 3, 16, 16)
    theirs = normalize(model.visual_projection(model.vision_model(images).pooler_output), dim=-1)
    torch.testing.assert_close(trained.model.student.encode_images(images), theirs, atol=1e-6, rtol=0)
    phrases = ["quiet street near a park", "shops"]
    ids = torch.tensor([[2, 4, 5, 6, 3, 7, 10], [2, 9, 10, 0, 0, 0, 0]])
    states = model.text_model(input_ids=ids).pooler_output
    found = method.text_vectors(trained, phrases, Progress())
    np.testing.assert_allclose(found, normalize(model.text_projection(states), dim=-1), atol=1e-6)
    assert trained.preprocessing["statistics"] == {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}
    torch.testing.assert_close(trained.model.student.scale, model.logit_scale.exp())


@torch.inference_mode()
def test_its_positions_are_stretched_and_long_texts_are_read(clip, tmp_path):
    folder, model = clip
    method, trained = imported(folder, tmp_path)
    table = trained.model.student.clip.state_dict()[TABLE]
    torch.testing.assert_close(table, stretch_positions(model.state_dict()[TABLE]))
    assert len(table) == trained.config.text_length == 248
    long = ["quiet street " * 110, "quiet street " * 110 + "with shops", "a " * 300]
    vectors = method.text_vectors(trained, long, Progress())
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4
    assert any("1 texts are longer than the 246 tokens" in note for note in trained.notes)


def test_every_key_is_taken_or_counted(copied):
    folder, weights = copied
    numbers = {f"{side}_model.embeddings.position_ids": torch.arange(5)[None] for side in ("text", "vision")}
    write(folder, {**{name: tensor.half() for name, tensor in weights.items()}, **numbers})
    found = import_clip(str(folder))
    assert {name.removeprefix("student.clip.") for name in found.weights} == set(weights)
    assert {tensor.dtype for tensor in found.weights.values()} == {torch.float32}
    assert "2 entries that only number positions were left out." in found.manifest["notes"]


def test_weights_in_several_files_are_read(copied):
    folder, weights = copied
    (folder / "model.safetensors").unlink()
    names, index = sorted(weights), {}
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: weights[name] for name in part}, folder / f"model-{number}.safetensors")
        index |= dict.fromkeys(part, f"model-{number}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    found = import_clip(str(folder))
    torch.testing.assert_close(found.weights["student.clip.logit_scale"], weights["logit_scale"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda w: w | {"text_model.more.weight": torch.zeros(2)}, r"unknown: text_model\.more\.weight"),
        (lambda w: {name: w[name] for name in w if name != "logit_scale"}, "missing: logit_scale"),
        (lambda w: w | {TABLE: torch.zeros(70, 32)}, r"another shape: .*\(70, 32\), expected \(77, 32\)"),
        (lambda w: w | {TABLE: torch.full((77, 32), torch.nan)}, "not finite: text_model"),
    ],
)
def test_other_weights_are_refused_by_name(copied, spoil, said):
    folder, weights = copied
    write(folder, spoil(weights))
    with pytest.raises(ConfigError, match=said):
        import_clip(str(folder))


def test_damaged_weights_are_refused(copied):
    folder, _ = copied
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="cannot be read from"):
        import_clip(str(folder))


def test_what_is_no_clip_is_refused(copied, tmp_path_factory):
    folder, _ = copied
    change_config(folder, model_type="siglip")
    with pytest.raises(ConfigError, match="of the kind 'siglip', expected 'clip'"):
        import_clip(str(folder))
    other = tmp_path_factory.mktemp("gelu")
    write_clip(other, hidden_act="gelu")
    with pytest.raises(ConfigError, match="differ in hidden_act: gelu and quick_gelu"):
        import_clip(str(other))


def test_a_tokenizer_of_another_model_is_refused(clip, tmp_path):
    import transformers

    backend = Tokenizer(models.WordLevel({f"w{row}": row for row in range(30)}, unk_token="w0"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="w1", eos_token="w2").save_pretrained(
        tmp_path
    )
    with pytest.raises(ConfigError, match="has 30 words, the model knows 12"):
        import_clip(str(clip[0]), tokenizer=str(tmp_path))


def test_positions_that_are_long_already_are_not_stretched_again(tmp_path):
    model = write_clip(tmp_path, positions=100)
    found = import_clip(str(tmp_path))
    assert torch.equal(found.weights[f"student.clip.{TABLE}"], model.state_dict()[TABLE])
    assert found.config["stretch"] == 1 and found.config["positions"] == 100


def test_colours_that_are_not_told_are_assumed_and_said(copied):
    folder, _ = copied
    (folder / "preprocessor_config.json").unlink()
    found = import_clip(str(folder))
    assert found.preprocessing["statistics"]["mean"][0] == pytest.approx(0.4815, abs=1e-4)
    assert any("colours of OpenAI's CLIP" in note for note in found.manifest["notes"])


def start(config):
    method = UrbanLN()
    torch.manual_seed(0)
    model = method.build(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return before, model, method.initialise(model, Prepared(config, None, {}))


@pytest.mark.parametrize("ipsi", [True, False])
def test_training_starts_from_it_teacher_and_all(clip, ipsi):
    folder, theirs = clip
    config = find_clip(str(folder)).configured(UrbanLNConfig(initialise=str(folder), queue=8, ipsi=ipsi))
    before, model, notes = start(replace(config, end_id=10))
    expected = theirs.state_dict()
    expected[TABLE] = stretch_positions(expected[TABLE]) if ipsi else expected[TABLE]
    for whose in (model.student.clip, model.teacher.network.clip):
        for name, tensor in whose.state_dict().items():
            assert torch.equal(tensor, expected[name]), name
    assert len(expected[TABLE]) == (248 if ipsi else 77)
    assert torch.equal(model.teacher.image_queue, before["teacher.image_queue"])
    assert f"{len(expected)} of {len(expected)} weights start from {folder}." in notes


def test_with_another_tokenizer_words_start_from_random_numbers(clip):
    folder, theirs = clip
    config = find_clip(str(folder)).configured(UrbanLNConfig(initialise=str(folder), tokenizer="wordpiece", queue=8))
    before, model, notes = start(replace(config, vocab_size=40, end_id=3))
    words = "clip.text_model.embeddings.token_embedding.weight"
    assert torch.equal(model.student.state_dict()[words], before[f"student.{words}"])
    assert torch.equal(model.student.clip.visual_projection.weight, theirs.visual_projection.weight)
    assert any("No word starts from" in note for note in notes)

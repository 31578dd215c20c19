"""open_clip's CoCa: the same vectors, logits and losses from imported weights, and nothing of a file unaccounted for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from urbanfm_core.errors import CheckpointError, ConfigError
from urbanfm_core.importers.coca import import_coca
from urbanfm_core.models.image_text.tokens import CaptionTokenizer
from urbanfm_core.training.checkpoint import restore

GOLDEN = Path(__file__).parents[2] / "golden" / "coca"
CPU = torch.device("cpu")
MODELS = ("coca_tiny32_split", "coca_tiny48")


def read(name):
    checkpoint = import_coca(GOLDEN / f"{name}.safetensors")
    _, trained = restore(checkpoint, CPU)
    with np.load(GOLDEN / f"{name}_io.npz") as file:
        return trained.model, {key: torch.from_numpy(file[key]) for key in file.files}


def forward(model, image, tokens):
    vectors, image_tokens = model.encode_images(image)
    texts, words = model.encode_texts(tokens)
    return vectors, texts, image_tokens, words, model.decoder.words(model.decoder(words, image_tokens))


@pytest.mark.parametrize("name", MODELS)
def test_vectors_tokens_and_logits_are_open_clip_s(name):
    model, golden = read(name)
    vectors, texts, image_tokens, words, logits = forward(model, golden["image"], golden["tokens"])
    torch.testing.assert_close(vectors, golden["image_latent"], atol=1e-5, rtol=0)
    torch.testing.assert_close(texts, golden["text_latent"], atol=1e-5, rtol=0)
    torch.testing.assert_close(image_tokens, golden["image_embs"], atol=1e-4, rtol=1e-5)
    # What stands at padding differs between versions of open_clip itself, and nothing depends on it.
    real = golden["tokens"] != 0
    torch.testing.assert_close(words[real], golden["token_embs"][real], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(logits[real], golden["logits_full"][real], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(model.scale(), golden["logit_scale_exp"], atol=1e-4, rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_texts_cut_behind_their_first_padding_give_the_same(name):
    model, golden = read(name)
    lengths = (golden["tokens"] != 0).sum(1).tolist()
    assert min(lengths) + 1 < golden["tokens"].shape[1]
    for row, length in enumerate(lengths):
        cut = golden["tokens"][row : row + 1, : length + 1]
        torch.testing.assert_close(model.encode_texts(cut)[0], golden["text_latent"][row : row + 1], atol=1e-5, rtol=0)


def test_every_key_of_the_file_is_used(tmp_path):
    name = "coca_tiny32_split"
    state = load_file(GOLDEN / f"{name}.safetensors")
    for key in state:
        less = {other: value for other, value in state.items() if other != key}
        save_file(less, tmp_path / f"{name}.safetensors")
        shutil.copy(GOLDEN / f"{name}.json", tmp_path)
        with pytest.raises(CheckpointError):
            import_coca(tmp_path / f"{name}.safetensors")
    save_file({**state, "visual.new.weight": torch.zeros(2)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match=r"visual\.new\.weight"):
        import_coca(tmp_path / f"{name}.safetensors")


def test_a_training_checkpoint_with_masks_and_prefixes_is_read(tmp_path):
    state = load_file(GOLDEN / "coca_tiny48.safetensors")
    wrapped = {f"module.{key}": value for key, value in state.items()} | {"module.text.attn_mask": torch.zeros(24, 24)}
    torch.save({"epoch": 3, "name": "run", "state_dict": wrapped}, tmp_path / "epoch_3.pt")
    checkpoint = import_coca(tmp_path / "epoch_3.pt", architecture=GOLDEN / "coca_tiny48.json")
    plain = import_coca(GOLDEN / "coca_tiny48.safetensors")
    assert checkpoint.config == plain.config
    assert all(torch.equal(checkpoint.weights[key], plain.weights[key]) for key in plain.weights)
    assert any("epoch, name" in note for note in checkpoint.manifest["notes"])
    assert any("1 attention masks" in note for note in checkpoint.manifest["notes"])


def test_a_folder_as_on_the_hub_brings_its_colours(tmp_path):
    shutil.copy(GOLDEN / "coca_tiny32_split.safetensors", tmp_path / "open_clip_model.safetensors")
    told = {
        "model_cfg": json.loads((GOLDEN / "coca_tiny32_split.json").read_text()),
        "preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(told))
    checkpoint = import_coca(tmp_path)
    assert checkpoint.preprocessing["statistics"] == {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    assert checkpoint.config["pooler_heads"] == 2 and checkpoint.config["image_heads"] == 4


def test_without_a_pooler_class_token_and_patches_serve(tmp_path):
    """As in open_clip's coca_base, against the formula written out."""
    state = load_file(GOLDEN / "coca_tiny48.safetensors")
    state = {key: value for key, value in state.items() if "attn_pool" not in key}
    save_file(state, tmp_path / "bare.safetensors")
    shutil.copy(GOLDEN / "coca_tiny48.json", tmp_path / "bare.json")
    _, trained = restore(import_coca(tmp_path / "bare.safetensors"), CPU)
    model, golden = read("coca_tiny48")
    tokens = {}
    hook = model.image.blocks[-1].register_forward_hook(lambda _, __, out: tokens.update(last=out))
    model.encode_images(golden["image"])
    hook.remove()
    last = F.layer_norm(tokens["last"], (48,), state["visual.ln_post.weight"], state["visual.ln_post.bias"])
    vectors, patches = trained.model.encode_images(golden["image"])
    torch.testing.assert_close(vectors, F.normalize(last[:, 0] @ state["visual.proj"], dim=-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(patches, last[:, 1:], atol=1e-5, rtol=1e-5)


def test_what_is_no_such_file_is_refused_with_a_reason(tmp_path):
    with pytest.raises(CheckpointError, match="holds no weights"):
        import_coca(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        import_coca(tmp_path / "x.safetensors")
    shutil.copy(GOLDEN / "coca_tiny48.safetensors", tmp_path)
    (tmp_path / "coca_tiny48.json").write_text("[]")
    with pytest.raises(CheckpointError, match="no architecture"):
        import_coca(tmp_path / "coca_tiny48.safetensors")


def test_the_tokenizer_is_kept_or_named_and_must_fit(tmp_path):
    source = GOLDEN / "coca_tiny48.safetensors"
    fits = import_coca(source, tokenizer=str(GOLDEN.parent / "refound" / "wordpiece"))
    words = CaptionTokenizer.of(fits.preprocessing)
    assert (fits.config["start_id"], fits.config["end_id"]) == (words.start, words.end)
    with pytest.raises(CheckpointError, match="which tokenizer"):
        CaptionTokenizer.of(import_coca(source).preprocessing)
    many = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3} | {f"w{number}": number for number in range(4, 300)}
    backend = Tokenizer(models.WordPiece(many, unk_token="[UNK]"))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(tmp_path / "many")
    with pytest.raises(ConfigError, match="300 words, the weights are for 200"):
        import_coca(source, tokenizer=str(tmp_path / "many"))

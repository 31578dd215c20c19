"""open_clip's CoCa weights, which UrbanCLIP is built on and starts from, become ours, every key accounted for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from urbanfm_core.errors import CheckpointError, ConfigError
from urbanfm_core.importers.pickles import load_plain_pickle
from urbanfm_core.models.image_text.tokens import CaptionTokenizer
from urbanfm_core.models.urbanclip.config import UrbanClipConfig
from urbanfm_core.models.urbanclip.network import UrbanClipModel
from urbanfm_core.progress import Progress
from urbanfm_core.training.checkpoint import Checkpoint, check_weights

# What open_clip subtracts and divides by, for RGB in [0, 1], where a model's settings name nothing else.
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
_HEAD_WIDTH, _POOLER_HEADS = 64, 8
# CLIP's words, with which all published CoCa models but one were trained.
_CLIP, _CLIP_WORDS, _CLIP_START, _CLIP_END = "openai/clip-vit-large-patch14", 49408, 49406, 49407
_SETTINGS = "open_clip_config.json"
_FILES = ("open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")

# open_clip's names -> ours.
_TABLES = {
    "visual.class_embedding": "image.cls",
    "visual.positional_embedding": "image.position",
    "visual.attn_pool.query": "image.pooler.query",
    "text.cls_emb": "text.cls",
    "text.positional_embedding": "text.position",
    "text.token_embedding.weight": "text.words.weight",
}
# These are used as x @ W there.
_PROJECTIONS = {
    "visual.proj": "image.project.weight",
    "text.text_projection": "text.project.weight",
    "text_decoder.text_projection": "decoder.words.weight",
}
_PARTS = {
    "visual.ln_pre": "image.norm_first",
    "visual.ln_post": "image.norm_last",
    "visual.attn_pool.ln_q": "image.pooler.norm_query",
    "visual.attn_pool.ln_k": "image.pooler.norm_context",
    "visual.attn_pool.attn": "image.pooler.attention",
    "text.ln_final": "text.norm",
    "text_decoder.ln_final": "decoder.norm",
}
_STACKS = {
    "visual.transformer.resblocks": "image.blocks",
    "text.transformer.resblocks": "text.blocks",
    "text_decoder.resblocks": "decoder.blocks",
    "text_decoder.cross_attn": "decoder.looks",
}
_OF_BLOCK = {
    "ln_1": "norm",
    "ln_1_kv": "norm_context",
    "attn": "attention",
    "ln_2": "norm_inner",
    "mlp.c_fc": "expand",
    "mlp.c_proj": "contract",
}


def import_coca(
    source: str | Path,
    *,
    architecture: str | Path | None = None,
    tokenizer: str | None = None,
    progress: Progress | None = None,
) -> Checkpoint:
    """A checkpoint of UrbanCLIP from weights of open_clip's CoCa.

    Args:
        source: File of weights, safetensors or a pickle of tensors alone, or a folder as on the Hugging Face hub.
        architecture: open_clip's JSON of the model, or its `open_clip_config.json`, which tell what weights do not: the
            numbers of heads. None takes one that lies beside the weights, else heads as in all `coca_` models.
        tokenizer: Tokenizer that the weights were trained with, a Hugging Face folder or id; None for CLIP's, if the
            number of words is its.
        progress: Reports what was assumed.
    Raises:
        CheckpointError: the file is damaged, hostile or of another layout; a weight is unknown, missing or misshapen.
        ConfigError: the tokenizer does not fit the weights.
    """
    progress = progress or Progress()
    notes: list[str] = []
    source = _weights_file(Path(source).expanduser())
    found = _state(source, notes)
    settings = _settings(source, architecture, notes)
    weights = _translated(source, found)
    config = _config(source, weights, settings.get("model_cfg", settings), notes)
    with torch.device("meta"):
        expected = UrbanClipModel(config).state_dict()
    check_weights(expected, weights)
    kept, config = _words(config, tokenizer, notes)
    colours = settings.get("preprocess_cfg") or {}
    statistics = {"mean": list(colours.get("mean", IMAGE_MEAN)), "std": list(colours.get("std", IMAGE_STD))}
    for note in notes:
        progress.log("info", note)
    preprocessing = {"tokenizer": kept, "imagery": None, "statistics": statistics}
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = {"source": {"file": source.name, "sha256": digest}, "notes": notes}
    return Checkpoint("urbanclip", asdict(config), preprocessing, manifest, weights)


def _weights_file(source: Path) -> Path:
    if not source.is_dir():
        return source
    for name in _FILES:
        if (source / name).is_file():
            return source / name
    raise CheckpointError(f"The folder {source} holds no weights.", f"Expected is one of {', '.join(_FILES)}.")


def _state(source: Path, notes: list[str]) -> dict[str, Tensor]:
    """The weights of a file by open_clip's names, float32."""
    if source.suffix == ".safetensors":
        try:
            content: Mapping[str, Any] = load_file(source)
        except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{source} is not a safetensors file: {error}.", "Fetch it again.") from error
    else:
        content = load_plain_pickle(source)
        if isinstance(content.get("state_dict"), Mapping):
            left = sorted(str(name) for name in content if name != "state_dict")
            notes.append(f"Of the file only the weights are taken; left out: {', '.join(left) or 'nothing'}.")
            content = content["state_dict"]
    found, masks = {}, 0
    for name, value in content.items():
        if str(name).endswith("attn_mask"):  # older versions wrote this constant too
            masks += 1
        elif not isinstance(value, Tensor) or not value.is_floating_point():
            raise CheckpointError(f"{source}: {name!r} is no tensor of floating-point numbers.", "Is it another model?")
        else:
            found[str(name).removeprefix("module.")] = value.float()
    if masks:
        notes.append(f"{masks} attention masks in the file are no weights and were left out.")
    return found


def _settings(source: Path, architecture: str | Path | None, notes: list[str]) -> dict[str, Any]:
    """The JSON that goes with the weights; empty where there is none."""
    places = [source.with_suffix(".json"), source.with_name(_SETTINGS)]
    path = Path(architecture).expanduser() if architecture is not None else next(filter(Path.is_file, places), None)
    if path is None:
        notes.append(
            "No JSON of the architecture lies beside the weights, which do not tell the numbers of heads: heads of width "
            f"{_HEAD_WIDTH} are assumed, and {_POOLER_HEADS} in the pooler, as in open_clip's coca models."
        )
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
        if isinstance(content, dict) and isinstance(content.get("model_cfg", content), dict):
            return content
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.", "Give open_clip's JSON of the model.") from error
    raise CheckpointError(f"{path} holds no architecture.", "Give open_clip's JSON of the model.")


def _translated(source: Path, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under our names, in our layout.

    Raises:
        CheckpointError: a weight has no place.
    """
    weights: dict[str, Tensor] = {}
    unknown = []
    for name, value in found.items():
        stem, _, leaf = name.rpartition(".")
        match = re.fullmatch(r"(.+)\.(\d{1,4})\.(.+)", stem)
        if name in _TABLES:
            weights[_TABLES[name]] = value
        elif name in _PROJECTIONS and value.ndim == 2:
            weights[_PROJECTIONS[name]] = value.T.contiguous()
        elif name == "logit_scale" and value.numel() == 1:
            weights["log_scale"] = value.reshape(())
        elif name == "visual.conv1.weight":
            weights["image.patches.weight"] = value.flatten(1)
        else:
            ours = _place(stem, match)
            if ours is None:
                unknown.append(name)
            elif leaf.startswith(("in_proj_", "q_proj_", "k_proj_", "v_proj_")):
                _attention(ours, leaf, value, weights)
            else:
                weights[f"{ours}.{leaf}"] = value
    for name in [name for name in weights if name.endswith((".key", ".value"))]:
        stem, _, part = name.rpartition(".")
        value = weights.pop(name)
        other = weights.get(f"{stem}.key_value.weight")
        pair = [value] if other is None else [value, other] if part == "key" else [other, value]
        weights[f"{stem}.key_value.weight"] = torch.cat(pair)
    if unknown:
        hint = "Only CoCa models with CLIP's own text transformer can be imported."
        shown = ", ".join(unknown[:6]) + (f" and {len(unknown) - 6} more" if len(unknown) > 6 else "")
        raise CheckpointError(f"{source}: {len(unknown)} weights have no place in the network: {shown}.", hint)
    return weights


def _place(stem: str, match: re.Match[str] | None) -> str | None:
    """Our name of a module of theirs; None if we have no such module."""
    stem, attention, part = stem.partition(".attn.out_proj")
    if not attention:
        if stem in _PARTS:
            return _PARTS[stem]
        if match is None or match[1] not in _STACKS or match[3] not in _OF_BLOCK:
            return None
        return f"{_STACKS[match[1]]}.{match[2]}.{_OF_BLOCK[match[3]]}"
    inner = _place(f"{stem}.attn", re.fullmatch(r"(.+)\.(\d{1,4})\.(.+)", f"{stem}.attn"))
    return None if inner is None or part else f"{inner}.out"


def _attention(ours: str, leaf: str, value: Tensor, weights: dict[str, Tensor]) -> None:
    """Put one of their packed or single projections where ours are."""
    kind = leaf.rpartition("_")[2]
    if leaf.startswith("q_"):
        weights[f"{ours}.query.weight"] = value
    elif leaf.startswith(("k_", "v_")):
        weights[f"{ours}.{'key' if leaf.startswith('k_') else 'value'}"] = value
    elif ".looks." in ours or "pooler" in ours:
        third = len(value) // 3
        weights[f"{ours}.query.{kind}"], weights[f"{ours}.key_value.{kind}"] = value[:third], value[third:]
    else:
        weights[f"{ours}.qkv.{kind}"] = value


def _config(source: Path, weights: Mapping[str, Tensor], told: Mapping[str, Any], notes: list[str]) -> UrbanClipConfig:
    """The configuration that weights and settings speak of."""

    def shape(name: str) -> tuple[int, ...]:
        if name not in weights or weights[name].ndim != 2:
            raise CheckpointError(
                f"{source} holds no CoCa model: {name} has no counterpart with two axes.",
                "Expected is the state of open_clip's CoCa.",
            )
        return tuple(weights[name].shape)

    def setting(part: str, name: str, default: int) -> int:
        value = (told.get(part) or {}).get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"The architecture's {part}.{name} is {value!r}, expected a whole number above 0.")
        return value

    def layers(stack: str) -> int:
        numbers = {int(name.split(".")[2]) for name in weights if name.startswith(f"{stack}.")}
        return len(numbers)

    patch = round((shape("image.patches.weight")[1] / 3) ** 0.5)
    side = round((shape("image.position")[0] - 1) ** 0.5)
    image_width, width = shape("image.position")[1], shape("text.position")[1]
    pooled = "image.pooler.query" in weights
    try:
        return UrbanClipConfig(
            image_size=side * patch,
            patch_size=patch,
            image_width=image_width,
            image_layers=layers("image.blocks"),
            image_heads=max(1, image_width // setting("vision_cfg", "head_width", _HEAD_WIDTH)),
            image_mlp=shape("image.blocks.0.expand.weight")[0],
            pooler_queries=shape("image.pooler.query")[0] if pooled else 0,
            pooler_heads=setting("vision_cfg", "attn_pooler_heads", _POOLER_HEADS) if pooled else 1,
            embed_dim=shape("text.project.weight")[0],
            context_length=shape("text.position")[0] - 1,
            vocab_size=shape("text.words.weight")[0],
            width=width,
            text_layers=layers("text.blocks"),
            text_heads=setting("text_cfg", "heads", max(1, width // _HEAD_WIDTH)),
            text_mlp=shape("text.blocks.0.expand.weight")[0],
            decoder_layers=layers("decoder.blocks"),
            decoder_heads=setting("multimodal_cfg", "heads", max(1, width // _HEAD_WIDTH)),
            decoder_mlp=shape("decoder.blocks.0.expand.weight")[0],
        )
    except ConfigError as error:
        raise CheckpointError(f"{source}: its sizes are not usable: {error}") from error


def _words(config: UrbanClipConfig, tokenizer: str | None, notes: list[str]) -> tuple[dict[str, Any], UrbanClipConfig]:
    """What the checkpoint keeps of the tokenizer, and the configuration that knows it."""
    count = config.vocab_size
    if tokenizer is not None:
        words = CaptionTokenizer.load(tokenizer)
        if len(words) > count:
            raise ConfigError(
                f"The tokenizer {tokenizer} has {len(words):,} words, the weights are for {count:,}.",
                "Name the tokenizer that the weights were trained with.",
            )
        known = replace(config, tokenizer=tokenizer, start_id=words.start, end_id=words.end)
        return {"files": words.to_files()}, known
    if count == _CLIP_WORDS:
        notes.append(f"The tokenizer is CLIP's, {_CLIP}, fetched when texts are first read.")
        return {"spec": _CLIP}, replace(config, tokenizer=_CLIP, start_id=_CLIP_START, end_id=_CLIP_END)
    notes.append("The file does not name its tokenizer; texts need it: import with a tokenizer.")
    return {}, config

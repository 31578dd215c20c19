"""Published ReFound weights (Paddle's `.pdparams`) become ours, every key accounted for."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from urbanfm_core.errors import CheckpointError, ConfigError
from urbanfm_core.importers.pickles import load_array_pickle
from urbanfm_core.models.refound.bert import initialise_from_bert
from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.network import FUSION_SIZE, RefoundModel
from urbanfm_core.models.refound.tokenizer import PoiTokenizer, PoiVocabulary
from urbanfm_core.progress import Progress
from urbanfm_core.training.checkpoint import Checkpoint, check_weights

__all__ = ["import_refound", "initialise_from_bert", "published_name"]

# What the public data set subtracts and divides by, for RGB in [0, 1].
IMAGE_MEAN = (0.38247773301793103, 0.41271937512626544, 0.3403674447902101)
IMAGE_STD = (0.17229526604561052, 0.14788625733896113, 0.16325427643628246)
# Not a weight: Paddle's table of the parameters' inner names.
_NAME_TABLE = "StructuredToParameterName@@"
_HEAD_SIZE = 64
# Words of bert-base-chinese, with which the published weights were trained, and its special tokens.
_CHINESE = {"vocab_size": 21128, "separator_id": 102, "mask_id": 103}

# Ours -> published. Layers follow below.
_EMBEDDINGS = {
    "pois.word.weight": "poi_embed_module.word_embedding_table.weight",
    "pois.token_type.weight": "poi_embed_module.token_type_embedding_table.weight",
    "pois.word_position.weight": "poi_embed_module.word_level_pos_embedding_table.weight",
    "pois.poi_position.weight": "poi_embed_module.poi_level_pos_embedding_table.weight",
    "pois.grid_position.weight": "poi_embed_module.grid_level_pos_embedding_table.weight",
    "pois.category.weight": "poi_embed_module.poi_cate_embedding_table.weight",
    "pois.norm": "poi_embed_module.LayerNorm",
    "image.project": "img_embed_module.patch_to_emb",
    "image.cls": "img_embed_module.cls_token",
    "image.mask": "img_embed_module.mask_token",
    "image.position.weight": "img_embed_module.pos_1d_embedding_table.weight",
    "image.norm": "img_embed_module.LayerNorm",
    "modality.weight": "mod_embed_module.mod_embed_tabel.weight",
}
_TABLES = {name.split(".")[-2] for name in _EMBEDDINGS.values() if name.endswith(".weight")}
_ATTENTION = {"out": "attention.output.dense", "norm": "attention.output.LayerNorm"}
_EXPERT = {"expand": "intermediate.dense", "contract": "output.dense", "norm": "output.LayerNorm"}
_EXPERT_NAMES = {"pois": "poi", "image": "img", "shared": "ps"}
_FINE_TUNED = {
    "fusion.hidden": "attn_agg.l1",
    "fusion.score.weight": "attn_agg.l2.weight",
    "prediction.dense": "target_prediction.dense",
    "prediction.decoder": "target_prediction.decoder",
}


def import_refound(
    source: str | Path,
    *,
    tokenizer: str | None = None,
    heads: int | None = None,
    categories: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    progress: Progress | None = None,
) -> Checkpoint:
    """A checkpoint from a published file, fine-tuned or not.

    Sizes come from the weights. The word row of padding becomes zero, as Paddle reads it. Experts that the published
    model holds but never uses are left out and counted; a fusion and a prediction head are taken along.

    Args:
        source: The `.pdparams` file.
        tokenizer: Tokenizer that the weights were trained with: a Hugging Face id or folder. None takes
            bert-base-chinese, which the published weights were trained with, if the number of words is its own.
        heads: Attention heads, which the weights do not tell. None takes heads of width 64, as published.
        categories: Names of the categories in the order of their numbers, from 1. The file does not tell them; without
            them every point's category is unknown.
        leave_out: Names, or beginnings of names, of weights that are not wanted: heads of the pre-training, say.
        progress: Reports what was assumed.
    Raises:
        CheckpointError: the file is damaged, hostile or of another layout; a weight is unknown, missing or misshapen.
        ConfigError: the tokenizer or the categories do not fit the weights.
    """
    progress = progress or Progress()
    source = Path(source).expanduser()
    found, left = _weights_of(source, load_array_pickle(source), tuple(leave_out))
    notes: list[str] = []
    if left:
        notes.append(f"{len(left)} weights were left out as asked: {_some(left)}.")
    config = _config(source, found, tokenizer, heads, notes)
    with torch.device("meta"):
        model = RefoundModel(config)
    expected = model.state_dict()
    used: set[str] = set()
    weights = {name: _take(source, found, name, used) for name in expected}
    unused = [name for name in found if name not in used and _is_idle_expert(name, config)]
    unknown = [name for name in found if name not in used and name not in unused]
    if unknown:
        raise CheckpointError(
            f"{source}: {len(unknown)} weights have no place in the network: {_some(unknown)}.",
            "Is it another model? Weights that are not wanted can be named in leave_out.",
        )
    if unused:
        notes.append(f"{len(unused)} weights of experts that the published model never uses were left out.")
    check_weights(expected, weights)
    weights["pois.word.weight"][0] = 0.0
    vocabulary = PoiVocabulary(tuple(categories), first=1)
    if len(vocabulary) > config.categories:
        raise ConfigError(
            f"{len(categories)} names of categories were given, the weights have room for {config.categories - 1}.",
            "List the categories that the weights were trained with, in the order of their numbers.",
        )
    if not categories:
        notes.append("The names of the categories are not in the file: every point counts as one of unknown category.")
    kept: dict[str, Any] = {"spec": config.tokenizer}
    if tokenizer is not None:
        words = PoiTokenizer.load(tokenizer)
        if len(words) != config.vocab_size:
            raise ConfigError(
                f"The tokenizer {tokenizer} has {len(words):,} words, the weights are for {config.vocab_size:,}.",
                "Name the tokenizer that the weights were trained with.",
            )
        kept = {"files": words.to_files()}
        config = replace(config, mask_id=words.mask, separator_id=words.sep)
    for note in notes:
        progress.log("info", note)
    preprocessing = {
        "tokenizer": kept,
        "categories": vocabulary.to_json(),
        "imagery": None,
        "statistics": {"mean": list(IMAGE_MEAN), "std": list(IMAGE_STD)},
        "sees": ["pois", "imagery"],
    }
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = {"source": {"file": source.name, "sha256": digest}, "notes": notes}
    return Checkpoint("refound", asdict(config), preprocessing, manifest, weights)


def published_name(name: str) -> str:
    """Name in the published layout of one of our parameters; query, key and value are one there as `{}`.

    Raises:
        KeyError: the parameter has none.
    """
    stem, dot, kind = name.rpartition(".")
    if name in _FINE_TUNED or stem in _FINE_TUNED:
        return _FINE_TUNED.get(name) or _FINE_TUNED[stem] + dot + kind
    if name in _EMBEDDINGS or stem in _EMBEDDINGS:
        return "encoder." + (_EMBEDDINGS.get(name) or _EMBEDDINGS[stem] + dot + kind)
    _, index, part, *rest = name.split(".")
    layer = f"encoder.transformer.layer.{index}."
    if part == "qkv":
        return f"{layer}attention.selfattn.{{}}.{kind}"
    if part == "experts":
        return f"{layer}{_EXPERT_NAMES[rest[0]]}_{_EXPERT[rest[1]]}.{kind}"
    return f"{layer}{_ATTENTION[part]}.{kind}"


def _weights_of(
    source: Path, content: Mapping[str, Any], leave_out: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The file's arrays by name, all with the prefix that fine-tuning gives, and what was left out as asked."""
    found: dict[str, np.ndarray] = {}
    left = []
    bare = not any(name.startswith("encoder.") for name in content)
    for name, value in content.items():
        if name == _NAME_TABLE:
            continue
        if leave_out and name.startswith(leave_out):
            left.append(name)
            continue
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise CheckpointError(f"{source}: {name!r} is no array of floating-point numbers.", "Is it another model?")
        own = bare and name.partition(".")[0] in (
            "poi_embed_module",
            "img_embed_module",
            "mod_embed_module",
            "transformer",
        )
        found["encoder." + name if own else name] = value
    return found, left


def _take(source: Path, found: Mapping[str, np.ndarray], name: str, used: set[str]) -> Tensor:
    """The weight that becomes our `name`, in our layout, float32."""
    published = published_name(name)
    keys = [published.format(part) for part in ("query", "key", "value")] if "{}" in published else [published]
    missing = [key for key in keys if key not in found]
    if missing:
        raise CheckpointError(f"{source} lacks the weights {_some(missing)}.", "Is it another model?")
    used.update(keys)
    # Linear layers are (in, out) there; tables and norms lie as ours do.
    arrays = [np.asarray(found[key], dtype=np.float32) for key in keys]
    if name == "image.project.weight":
        arrays = [_channels_first(source, arrays[0])]
    elif name.endswith(".weight") and arrays[0].ndim == 2 and published.split(".")[-2] not in _TABLES:
        arrays = [array.T for array in arrays]
    try:
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(arrays)))
    except ValueError as error:
        raise CheckpointError(f"{source}: {_some(keys)} do not fit each other: {error}.") from error


def _channels_first(source: Path, weight: np.ndarray) -> np.ndarray:
    """Patch projection (row x column x channel, out) -> (out, channel x row x column)."""
    side = _root(source, "the patch projection", weight.shape[0] / 3)
    return weight.reshape(side, side, 3, -1).transpose(3, 2, 0, 1).reshape(-1, len(weight))


def _config(
    source: Path, found: Mapping[str, np.ndarray], tokenizer: str | None, heads: int | None, notes: list[str]
) -> RefoundConfig:
    """The configuration that the weights speak of. All objectives are off: the file has no heads for them."""

    def shape(name: str, axes: int = 2) -> tuple[int, ...]:
        published = published_name(name)
        if published not in found or found[published].ndim != axes:
            raise CheckpointError(
                f"{source} is no published ReFound model: it has no {published} with {axes} axes.",
                "Expected is what paddle.save writes of the model's state.",
            )
        return tuple(found[published].shape)

    vocab_size, width = shape("pois.word.weight")
    patch_values, _ = shape("image.project.weight")
    patch_size = _root(source, "the patch projection", patch_values / 3)
    side = _root(source, "the image positions", shape("image.position.weight")[0] - 1)
    layers = sorted(set(_layers(found)))
    shared = [layer for layer in layers if f"encoder.transformer.layer.{layer}.ps_output.dense.weight" in found]
    if not layers or layers != list(range(len(layers))) or shared != layers[len(layers) - len(shared) :]:
        raise CheckpointError(f"{source} has layers {layers} with shared experts in {shared}; the top ones share them.")
    chinese = vocab_size == _CHINESE["vocab_size"] and tokenizer in (None, "bert-base-chinese")
    if tokenizer is None:
        tokenizer = "bert-base-chinese" if chinese else ""
        notes.append(
            f"Tokenizer as published: {tokenizer}."
            if chinese
            else "The file does not name its tokenizer; POI names need it: import with a tokenizer."
        )
    if heads is None:
        heads = max(1, width // _HEAD_SIZE)
        notes.append(f"The weights do not tell the number of attention heads; {heads} are assumed.")
    fine_tuned = _FINE_TUNED["prediction.decoder"] + ".weight" in found
    fusion = _FINE_TUNED["fusion.hidden"] + ".weight" in found
    if fusion and shape("fusion.hidden.weight")[1] != FUSION_SIZE:
        raise CheckpointError(f"{source}: attentional fusion must have a layer of {FUSION_SIZE}.")
    separator, mask = (_CHINESE["separator_id"], _CHINESE["mask_id"]) if chinese else _special(tokenizer)
    try:
        return RefoundConfig(
            vocab_size=vocab_size,
            categories=shape("pois.category.weight")[0],
            type_vocab_size=shape("pois.token_type.weight")[0],
            hidden_size=width,
            layers=len(layers),
            heads=heads,
            intermediate_size=shape("layers.0.experts.pois.expand.weight")[1],
            shared_layers=len(shared),
            max_tokens=shape("pois.word_position.weight")[0],
            max_pois=shape("pois.poi_position.weight")[0],
            image_size=side * patch_size,
            patch_size=patch_size,
            grid=_root(source, "the grid positions", shape("pois.grid_position.weight")[0] - 2),
            visual_vocab_size=0,
            dlfm=False,
            dvfm=False,
            dvlfm=False,
            mgdm=False,
            cmsa=False,
            separator_id=separator,
            mask_id=mask,
            fusion="attention" if fusion else "average",
            predictions=shape("prediction.decoder.weight")[1] if fine_tuned else 0,
            tokenizer=tokenizer,
            language_teacher="",
            vision_teacher="",
            visual_tokens="",
        )
    except ConfigError as error:
        raise CheckpointError(f"{source}: its sizes are not usable: {error}") from error


def _layers(found: Mapping[str, np.ndarray]) -> Iterator[int]:
    for name in found:
        match = re.match(r"encoder\.transformer\.layer\.(\d{1,4})\.", name)
        if match:
            yield int(match[1])


def _is_idle_expert(name: str, config: RefoundConfig) -> bool:
    """Whether the weight belongs to an expert of one modality in a layer that shares one."""
    match = re.fullmatch(
        r"encoder\.transformer\.layer\.(\d{1,4})\.(?:poi|img)_(?:intermediate\.dense|output\.dense|output\.LayerNorm)"
        r"\.(?:weight|bias)",
        name,
    )
    return bool(match) and config.layers - config.shared_layers <= int(match[1]) < config.layers  # type: ignore[index]


def _special(tokenizer: str) -> tuple[int, int]:
    """Ids of [SEP] and [MASK] where the tokenizer is a folder with a vocabulary, else 0: they wait for the tokenizer."""
    path = Path(tokenizer).expanduser() / "vocab.txt"
    words = path.read_text("utf-8").splitlines() if tokenizer and path.is_file() else []
    separator, mask = (words.index(word) if word in words else 0 for word in ("[SEP]", "[MASK]"))
    return separator, mask


def _root(source: Path, what: str, square: float) -> int:
    side = math.isqrt(max(0, int(square)))
    if side < 1 or side * side != square:
        raise CheckpointError(f"{source}: {what} do not make a square.", "Is it another model?")
    return side


def _some(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

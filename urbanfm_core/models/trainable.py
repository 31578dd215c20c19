"""Ready-made networks that a method goes on training: what they are built like, and the weights that they start from.

A checkpoint keeps the architecture as data and the weights as its own, so that it loads without the model's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from urbanfm_core.errors import CheckpointError, ConfigError
from urbanfm_core.models.backbones import IMAGE_MODEL, TIMM_PREFIX, TimmBackbone, import_timm, load_image_backbone
from urbanfm_core.models.text_source import TEXT_ENCODER, find_model, load_weights, read_json

# What says where a model came from and not what it is like.
_ORIGIN = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "auto_map")


@dataclass(frozen=True)
class StartingNetwork:
    """A network with weights to start from.

    Attributes:
        architecture: See `empty_network`.
        weights: Its state by name.
        identity: Where the weights come from.
        notes: What a report should mention.
    """

    architecture: dict[str, Any]
    weights: dict[str, Tensor]
    identity: str
    notes: list[str] = field(default_factory=list)


def starting_image_network(spec: str) -> StartingNetwork:
    """The image model that `spec` names; see `backbones.load_image_backbone`.

    Raises:
        ConfigError: it cannot be loaded, or reads texts too.
    """
    backbone = load_image_backbone(spec)
    if isinstance(backbone, TimmBackbone):
        architecture: dict[str, Any] = {TIMM_PREFIX: backbone.architecture, **backbone.arguments}
    else:
        if backbone.reads_language:
            raise ConfigError(
                f"The image model '{spec}' has a text side too.",
                "Give one that reads pictures alone, such as a ResNet.",
            )
        architecture = _architecture(find_model(spec, None, IMAGE_MODEL).folder)
    return StartingNetwork(architecture, backbone.network().state_dict(), backbone.identity, backbone.notes)


def starting_text_network(spec: str) -> StartingNetwork:
    """The BERT-like model in a folder or on the hub.

    Raises:
        ConfigError: it cannot be loaded.
    """
    source = find_model(spec, None, TEXT_ENCODER)
    model = load_weights(source.folder, spec, TEXT_ENCODER, may_lack="pooler")
    return StartingNetwork(_architecture(source.folder), model.state_dict(), source.label, list(source.notes))


def empty_network(architecture: Mapping[str, Any]) -> nn.Module:
    """A network with fresh weights: one of transformers by the fields of its configuration, or one of timm.

    Raises:
        CheckpointError: the fields describe none.
    """
    import transformers

    fields = dict(architecture)
    try:
        if TIMM_PREFIX in fields:
            name = fields.pop(TIMM_PREFIX)
            made: nn.Module = import_timm(TIMM_PREFIX + str(name)).create_model(name, num_classes=0, **fields)
            return made
        config = transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)
        network: nn.Module = transformers.AutoModel.from_config(config, trust_remote_code=False)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"There is no network of the architecture {architecture.get('model_type')!r}: {error}.",
            "Was the checkpoint made by a newer version?",
        ) from error
    return network.to(torch.float32)


def _architecture(folder: Any) -> dict[str, Any]:
    return {name: value for name, value in read_json(folder / "config.json").items() if name not in _ORIGIN}

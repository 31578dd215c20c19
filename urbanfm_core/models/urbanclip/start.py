"""Where the training of UrbanCLIP starts: from random numbers, or from a checkpoint such as an imported CoCa.

A network that starts from another one has its sizes, reads its words and sees its colours.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load_file
from torch import nn

from urbanfm_core.data.image_store import ImageStatistics
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.image_text.tokens import CaptionTokenizer
from urbanfm_core.models.urbanclip.config import UrbanClipConfig

# What the configuration of the training decides, whatever the network was trained with before.
_OWN = (
    "contrastive_weight", "caption_weight", "objective", "similarity_encoder", "extra", "extra_encoder", "extra_weight",
    "crop", "flips", "turns", "jitter", "pixel_m", "context", "initialise", "predictor_width", "gradient_checkpointing",
    "seed",
)  # fmt: skip
_FRESH = ("align_extra.", "prediction.")


@dataclass(frozen=True)
class Start:
    """What a network that starts from another one takes over; nothing where it starts from random numbers.

    Attributes:
        config: Of the training, with the sizes of the other network.
        tokenizer: The other's words.
        statistics: The other's colours.
        imagery: Bands and limits of its pictures; None if it leaves them open.
    """

    config: UrbanClipConfig
    tokenizer: CaptionTokenizer | None = None
    statistics: ImageStatistics | None = None
    imagery: dict[str, Any] | None = None

    @classmethod
    def read(cls, config: UrbanClipConfig) -> Start:
        """What the checkpoint says that the configuration names.

        Raises:
            ConfigError: it cannot be read, or is none of UrbanCLIP.
        """
        if not config.initialise:
            return cls(config)
        folder = Path(config.initialise).expanduser()
        found, kept, manifest = (_read(folder, name) for name in ("config", "preprocessing", "manifest"))
        if manifest.get("method") != "urbanclip":
            raise ConfigError(
                f"{folder} is a checkpoint of {manifest.get('method')!r}, expected one of urbanclip.",
                "Import one with: urbanfm importcheckpoint --method urbanclip.",
            )
        if "statistics" not in kept:
            raise ConfigError(f"{folder} does not tell the colours of its training.", "Import the checkpoint again.")
        known = {item.name for item in fields(UrbanClipConfig)} - set(_OWN)
        sizes = {name: value for name, value in found.items() if name in known}
        sizes |= {"extra_dim": 0, "predictions": 0, "prompt_ids": ()}
        return cls(
            replace(config, **sizes),
            CaptionTokenizer.of(kept),
            ImageStatistics.from_json(kept["statistics"]),
            kept.get("imagery"),
        )

    @staticmethod
    def weights_into(model: nn.Module, config: UrbanClipConfig) -> list[str]:
        """Copy the other network's weights; what this one has besides starts afresh.

        Raises:
            ConfigError: they cannot be read, or lack one that is needed.
        """
        if not config.initialise:
            return []
        path = Path(config.initialise).expanduser() / "weights.safetensors"
        try:
            weights = load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise ConfigError(f"{path} cannot be read: {error}.", "Import the checkpoint again.") from error
        own = model.state_dict()
        kept = {name: value for name, value in weights.items() if name in own and not name.startswith(_FRESH)}
        unfit = [
            name
            for name in own
            if not name.startswith(_FRESH) and (name not in kept or kept[name].shape != own[name].shape)
        ]
        if unfit:
            raise ConfigError(f"{path} lacks {', '.join(unfit[:4])}.", "Choose another checkpoint to start from.")
        model.load_state_dict(kept, strict=False)
        fresh = sum(name.startswith(_FRESH) for name in own)
        return [f"Training starts from {path.parent.name}: {len(kept)} tensors were taken over, {fresh} start afresh."]


def _read(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"There is no checkpoint to start from in {folder}: {error}.", "Name the folder of a checkpoint."
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no object.", "Copy the checkpoint again.")
    return content

"""The numbers of AETHER."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from urbanfm_core.errors import ConfigError
from urbanfm_core.geo.windows import Disk, Square
from urbanfm_core.models import checks
from urbanfm_core.objectives.contrastive import logit_scale

# Smallest value that makes sense, for every whole number.
_LOWEST = {
    "hidden_dim": 1,
    "post_dim": 1,
    "embedding_dim": 1,
    "bands": 0,
    "text_dim": 0,
    "poi_seed": 0,
    "base_px": 0,
    "augmented_px": 1,
}


@dataclass(frozen=True)
class AetherConfig:
    """Numbers of the method; defaults are the paper's.

    Attributes:
        bands: Bands C of the raster; filled in from the data.
        text_dim: Width T of the text vectors; filled in from the data.
        hidden_dim: Width of the projector's first layer.
        post_dim: Width of the second block's inner layer.
        embedding_dim: Width D of the embedding.
        gate_init: The shortcut starts with the weight sigmoid(gate_init).
        dropout: Share of the second block's inner units dropped while training.
        window: 'disk' in metres on the ground, or 'square' in pixels as the published code does.
        base_m, augmented_m: Radii of the disks, metres.
        base_px, augmented_px: A square reaches so many pixels to each side of the point's own.
        lambda_image: Weight of the loss between the two windows; the rest is on the loss against the text.
        temperature_image, temperature_text: Fixed temperatures of the two losses.
        text_encoder: What turns sentences into vectors; see `load_text_encoder`.
        poi_share: Share of the points with text that is used, drawn with `poi_seed`.
        poi_seed: Start of that draw.
        min_valid: Share of a window that must be valid; 0 asks for a single valid pixel.
    """

    bands: int = 0
    text_dim: int = 0
    hidden_dim: int = 256
    post_dim: int = 256
    embedding_dim: int = 128
    gate_init: float = -4.0
    dropout: float = 0.0
    window: Literal["disk", "square"] = "disk"
    base_m: float = 50.0
    augmented_m: float = 100.0
    base_px: int = 4
    augmented_px: int = 9
    lambda_image: float = 0.2
    temperature_image: float = 0.07
    temperature_text: float = 0.07
    text_encoder: str = "minilm"
    poi_share: float = 1.0
    poi_seed: int = 0
    min_valid: float = 0.0

    def __post_init__(self) -> None:
        checks.whole_numbers(self, _LOWEST)
        checks.numbers(self, ("gate_init", "base_m", "augmented_m", "temperature_image", "temperature_text"))
        checks.shares(self, ("lambda_image", "dropout", "poi_share", "min_valid"))
        logit_scale(self.temperature_image)
        logit_scale(self.temperature_text)
        checks.choices(self, {"window": ("disk", "square")})
        checks.texts(self, ("text_encoder",))
        small, large = (self.base_m, self.augmented_m) if self.window == "disk" else (self.base_px, self.augmented_px)
        if not 0 <= small < large or (self.window == "disk" and small == 0):
            raise ConfigError(
                f"The augmented window must be larger than the base window, found {small} and {large}.",
                "The paper uses disks of 50 m and 100 m.",
            )
        if self.poi_share == 0:
            raise ConfigError("poi_share must be above 0, else nothing is left to train on.")

    def windows(self) -> tuple[Disk, Disk] | tuple[Square, Square]:
        """Base and augmented window."""
        if self.window == "disk":
            return Disk(self.base_m), Disk(self.augmented_m)
        return Square(self.base_px), Square(self.augmented_px)

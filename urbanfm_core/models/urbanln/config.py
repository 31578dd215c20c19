"""Numbers of UrbanLN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from urbanfm_core.errors import ConfigError
from urbanfm_core.models import checks
from urbanfm_core.models.image_text.augment import Augmentation
from urbanfm_core.models.urbanln.positions import stretched_length

View = Literal["auto", "imagery", "streetview"]
Captions = Literal["all", "random"]
Activation = Literal["quick_gelu", "gelu"]
# Smallest value that makes sense, for every whole number.
_LOWEST = {
    "image_size": 1,
    "patch_size": 1,
    "vision_width": 1,
    "vision_layers": 1,
    "vision_heads": 1,
    "vision_mlp": 1,
    "text_width": 1,
    "text_layers": 1,
    "text_heads": 1,
    "text_mlp": 1,
    "embedding_dim": 1,
    "positions": 3,
    "kept_positions": 0,
    "stretch": 1,
    "vocab_size": 0,
    "end_id": 0,
    "queue": 1,
    "tokenizer_size": 8,
    "seed": 0,
}
_SWITCHES = ("ipsi", "msd", "flips", "turns", "context", "gradient_checkpointing")
_TEXTS = ("initialise", "tokenizer")


@dataclass(frozen=True)
class UrbanLNConfig:
    """Numbers of the method; defaults are the paper's, with CLIP ViT-B/16.

    Attributes:
        image_size, patch_size: Sides of the picture and of a patch, pixels.
        vision_width, vision_layers, vision_heads, vision_mlp: Of the image encoder.
        text_width, text_layers, text_heads, text_mlp: Of the text encoder.
        embedding_dim: Width D of the shared space, and of the region vector.
        activation: Between the two layers of a feed-forward network, in both encoders.
        norm_eps: Of all layer norms.
        positions: Text positions before they are stretched.
        kept_positions: So many first ones stay as they are.
        stretch: New positions per old one behind those; lambda of eq. 2.
        ipsi: False is the ablation "w/o IPSI": positions are not stretched and longer captions are cut.
        vocab_size: Words of the tokenizer; filled in from it.
        end_id: Word that ends a caption and whose state stands for it; filled in from the tokenizer.
        msd: False is the ablation "w/o MSD": no teacher and no queues, image and text of the batch are contrasted.
        mu: Weight of the distillation; the rest is on the contrastive loss (eq. 6).
        momentum: Share of the teacher that stays at each step.
        queue: Length K of each queue, vectors.
        temperature: tau at the start; it is learned.
        view: 'imagery' learns from pictures from above (the paper's +SI), 'streetview' from street views (+SV), 'auto'
            from those that are given; filled in.
        captions: Of several captions of a picture, 'all' takes the one that the file marks as consensus, and draws another
            at every pass where the file marks none; 'random' draws one of all for good, which is the ablation
            "w/o Consensus".
        crop, flips, turns, jitter: How much pictures are changed while training; see `Augmentation`.
        pixel_m: Metres per pixel of a satellite picture; 0 fits the picture to each region's longer side instead.
        context: Whether it shows what lies around the region's polygon too.
        initialise: CLIP model to start from, an id or a folder, whose sizes are then taken too; '' starts from random
            numbers.
        tokenizer: 'wordpiece' trains one on the captions; else a Hugging Face id or folder; '' takes that of
            `initialise`.
        tokenizer_size: Most words of one that is trained.
        gradient_checkpointing: Compute layers twice while training to save memory.
        seed: Start of what preparing the data draws.
    """

    image_size: int = 224
    patch_size: int = 16
    vision_width: int = 768
    vision_layers: int = 12
    vision_heads: int = 12
    vision_mlp: int = 3072
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    text_mlp: int = 2048
    embedding_dim: int = 512
    activation: Activation = "quick_gelu"
    norm_eps: float = 1e-5
    positions: int = 77
    kept_positions: int = 20
    stretch: int = 4
    ipsi: bool = True
    vocab_size: int = 0
    end_id: int = 0
    msd: bool = True
    mu: float = 0.5
    momentum: float = 0.995
    queue: int = 4096
    temperature: float = 0.07
    view: View = "auto"
    captions: Captions = "all"
    crop: float = 0.7
    flips: bool = True
    turns: bool = True
    jitter: float = 0.2
    pixel_m: float = 1.0
    context: bool = True
    initialise: str = ""
    tokenizer: str = ""
    tokenizer_size: int = 8000
    gradient_checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        checks.whole_numbers(self, _LOWEST)
        checks.shares(self, ("mu", "momentum"))
        checks.positive(self, ("temperature", "norm_eps"))
        checks.not_negative(self, ("pixel_m",))
        checks.numbers(self, ("crop", "jitter"))
        checks.switches(self, _SWITCHES)
        checks.texts(self, _TEXTS)
        kinds = {"view": View, "captions": Captions, "activation": Activation}
        checks.choices(self, {name: get_args(kind) for name, kind in kinds.items()})
        checks.multiples(
            self, [("vision_width", "vision_heads"), ("text_width", "text_heads"), ("image_size", "patch_size")]
        )
        if self.kept_positions > self.positions - 2:
            raise ConfigError(f"kept_positions {self.kept_positions} leave nothing of {self.positions} to stretch.")
        self.augmentation  # noqa: B018 - checks its numbers
        if self.vocab_size and self.end_id >= self.vocab_size:
            raise ConfigError(f"end_id {self.end_id} is outside the vocabulary of {self.vocab_size} words.")

    @property
    def text_length(self) -> int:
        """Longest caption that is read, in words of the tokenizer, its ends included."""
        if not self.ipsi:
            return self.positions
        return stretched_length(self.positions, self.kept_positions, self.stretch)

    @property
    def augmentation(self) -> Augmentation:
        """How much pictures are changed while training."""
        return Augmentation(self.crop, self.flips, self.turns, self.jitter)

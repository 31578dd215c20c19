"""Numbers of ReFound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from urbanfm_core.errors import ConfigError
from urbanfm_core.models import checks

# Smallest value that makes sense, for every whole number.
_LOWEST = {
    "vocab_size": 0,
    "categories": 0,
    "type_vocab_size": 1,
    "hidden_size": 1,
    "layers": 1,
    "heads": 1,
    "intermediate_size": 1,
    "shared_layers": 0,
    "max_tokens": 2,
    "max_pois": 2,
    "image_size": 1,
    "patch_size": 1,
    "grid": 1,
    "visual_vocab_size": 0,
    "language_dim": 0,
    "vision_dim": 0,
    "vision_language_dim": 0,
    "mask_id": 0,
    "separator_id": 0,
    "predictions": 0,
    "tokenizer_size": 8,
    "seed": 0,
}
_SWITCHES = ("context", "experts", "dlfm", "dvfm", "dvlfm", "mgdm", "cmsa", "aligned_start", "gradient_checkpointing")
_TEXTS = ("tokenizer", "language_teacher", "vision_teacher", "vision_language_teacher", "visual_tokens", "initialise")


@dataclass(frozen=True)
class RefoundConfig:
    """Numbers of the method; defaults are the paper's (appendix A.2).

    Attributes:
        vocab_size: Words V of the tokenizer; filled in from the data.
        categories: Category ids, with 0 for padding and 1 for unknown; filled in from the data.
        type_vocab_size: Rows of BERT's token type table, of which ReFound uses the first.
        hidden_size: Width D of tokens and of the region vector.
        layers, heads, intermediate_size: Of the transformer.
        shared_layers: So many top layers have one expert for both modalities.
        max_tokens: Longest POI sequence, the CLS token included.
        max_pois: Rows of the POI-level position table: the CLS token, the POIs in order, and one for padding.
        image_size, patch_size: Sides of the image and of a patch, pixels.
        grid: The region is divided into grid x grid cells for the grid-level position.
        visual_vocab_size: Words of the image tokenizer; 0 predicts no patches.
        dropout: On embeddings, attention weights, outputs of all blocks, and in the prediction head.
        mask_tokens, mask_patches: Shares of name tokens and of valid patches that pre-training hides.
        temperature: Of the similarity matrices in the vision-language distillation.
        cmsa_weight: Factor on CMSA in the sum of the objectives; the paper's is 1.
        pixel_m: Metres per pixel of the image; 0 fits the image to each region's longer side instead.
        context: Whether the image shows what lies around the region's polygon too.
        experts: False is the ablation "w/o MoGE": one feed-forward network per layer.
        dlfm, dvfm, dvlfm, mgdm, cmsa: The five objectives.
        language_dim, vision_dim, vision_language_dim: Widths of the teachers' vectors, filled in from them; 0 means
            that there is no such teacher, and no objective either.
        mask_id, separator_id: Ids of [MASK] and [SEP]; filled in from the tokenizer, 0 means unknown.
        fusion: How the two CLS vectors become one.
        predictions: Outputs of the fine-tuned prediction head; 0 means that there is none.
        tokenizer: 'wordpiece' trains one on the names at hand; else a Hugging Face id or folder.
        tokenizer_size: Most words of one that is trained.
        language_teacher, vision_teacher, vision_language_teacher: Where the teachers' vectors come from; '' for none.
        visual_tokens: Where the patches' target words come from; '' for none.
        initialise: BERT id or folder to start from; '' starts from random numbers.
        aligned_start: Whether the tables of positions and the top attention start where like places look alike, see
            `start`; for small networks and few regions. False is as published.
        gradient_checkpointing: Compute layers twice while training to save memory.
        seed: Start of what preparing the data draws: ties in the order of POIs, POIs that do not fit.
    """

    vocab_size: int = 0
    categories: int = 0
    type_vocab_size: int = 2
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    shared_layers: int = 2
    max_tokens: int = 512
    max_pois: int = 512
    image_size: int = 256
    patch_size: int = 16
    grid: int = 16
    visual_vocab_size: int = 8192
    dropout: float = 0.1
    mask_tokens: float = 0.15
    mask_patches: float = 0.4
    temperature: float = 0.07
    cmsa_weight: float = 1.0
    pixel_m: float = 1.0
    context: bool = True
    experts: bool = True
    dlfm: bool = True
    dvfm: bool = True
    dvlfm: bool = True
    mgdm: bool = True
    cmsa: bool = True
    language_dim: int = 0
    vision_dim: int = 0
    vision_language_dim: int = 0
    mask_id: int = 0
    separator_id: int = 0
    fusion: Literal["average", "attention"] = "average"
    predictions: int = 0
    tokenizer: str = "wordpiece"
    tokenizer_size: int = 8000
    language_teacher: str = "template"
    vision_teacher: str = "statistics"
    vision_language_teacher: str = ""
    visual_tokens: str = "codebook"
    initialise: str = ""
    aligned_start: bool = False
    gradient_checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        checks.whole_numbers(self, _LOWEST)
        checks.shares(self, ("dropout", "mask_tokens", "mask_patches"), below_one=True)
        checks.positive(self, ("temperature", "cmsa_weight"))
        checks.not_negative(self, ("pixel_m",))
        checks.switches(self, _SWITCHES)
        checks.texts(self, _TEXTS)
        checks.choices(self, {"fusion": ("average", "attention")})
        checks.multiples(self, [("hidden_size", "heads"), ("image_size", "patch_size")])
        if self.shared_layers > self.layers:
            raise ConfigError(f"shared_layers {self.shared_layers} is more than the {self.layers} layers.")
        for name in ("mask_id", "separator_id"):
            if self.vocab_size and getattr(self, name) >= self.vocab_size:
                raise ConfigError(f"{name} {getattr(self, name)} is outside the vocabulary of {self.vocab_size} words.")

    @property
    def patches(self) -> int:
        """Patches N of an image."""
        return (self.image_size // self.patch_size) ** 2

"""Numbers of UrbanCLIP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from urbanfm_core.errors import ConfigError
from urbanfm_core.models import checks
from urbanfm_core.models.image_text.augment import Augmentation

Objective = Literal["captions", "views", "similar captions"]

# Smallest value that makes sense, for every whole number.
_LOWEST = {
    "image_size": 1,
    "patch_size": 1,
    "image_width": 1,
    "image_layers": 1,
    "image_heads": 1,
    "image_mlp": 1,
    "pooler_queries": 0,
    "pooler_heads": 1,
    "embed_dim": 1,
    "context_length": 3,
    "vocab_size": 0,
    "start_id": 0,
    "end_id": 0,
    "width": 1,
    "text_layers": 1,
    "text_heads": 1,
    "text_mlp": 1,
    "decoder_layers": 1,
    "decoder_heads": 1,
    "decoder_mlp": 1,
    "tokenizer_size": 64,
    "extra_dim": 0,
    "predictions": 0,
    "predictor_width": 1,
    "seed": 0,
}
_NOT_NEGATIVE = ("contrastive_weight", "caption_weight", "extra_weight", "pixel_m")
_MULTIPLES = (
    ("image_width", "image_heads"),
    ("width", "text_heads"),
    ("width", "decoder_heads"),
    ("image_size", "patch_size"),
)
_SWITCHES = ("flips", "turns", "context", "gradient_checkpointing")
_TEXTS = ("tokenizer", "initialise", "extra", "extra_encoder", "similarity_encoder")


@dataclass(frozen=True)
class UrbanClipConfig:
    """Numbers of the method; sizes default to CoCa over a ViT-B/16 (section 3).

    Attributes:
        image_size, patch_size: Sides of the image and of a patch, pixels.
        image_width, image_layers, image_heads, image_mlp: Of the image transformer; `image_mlp` is the inner width.
        pooler_queries, pooler_heads: Of the attentional pooler: the first query makes the contrastive vector, the others
            the image tokens of the decoder. 0 queries: no pooler, the class token and the patches themselves.
        embed_dim: Width E of the space that images and texts share.
        context_length: Longest text T in tokens, start and end included.
        vocab_size, start_id, end_id: Of the tokenizer; filled in from it.
        width: Width D of the text and of the decoder's tokens.
        text_layers, text_heads, text_mlp: Of the unimodal half of the text decoder.
        decoder_layers, decoder_heads, decoder_mlp: Of the multimodal half.
        contrastive_weight, caption_weight: lambda_Con and lambda_LM (eq. 7).
        objective: 'captions' for both losses; else the images alone are contrasted: 'views' two random views of each, as
            without text (UrbanViT), 'similar captions' each with the one whose caption is most alike (Text-SimCLR).
        similarity_encoder: Sentence encoder that tells how alike captions are.
        extra: Where words on the points of interest of a region come from, to be aligned as a third modality (section
            3.5.1): see the teachers' descriptions; '' for none.
        extra_encoder: Sentence encoder of these words.
        extra_weight: Weight of their contrastive loss.
        extra_dim: Width of their vectors; filled in, 0 means that there are none.
        crop, flips, turns, jitter: How much images are changed while training; see `Augmentation`.
        pixel_m: Metres per pixel of the image; 0 fits the image to each region's longer side instead.
        context: Whether the image shows what lies around the region's polygon too.
        tokenizer: 'wordpiece' trains one on the captions at hand; else a Hugging Face folder or id.
        tokenizer_size: Most words of one that is trained.
        initialise: Checkpoint of UrbanCLIP to start from, such as an imported one; sizes and tokenizer are then its own.
        predictions: Outputs of the fine-tuned predictor; 0 means that there is none.
        predictor_width: Its inner width.
        prompt_ids: Token ids of the words that guide a prediction (section 3.5.2); none for no guidance.
        gradient_checkpointing: Compute layers twice while training to save memory.
        seed: Start of what preparing the data draws.
    """

    image_size: int = 224
    patch_size: int = 16
    image_width: int = 768
    image_layers: int = 12
    image_heads: int = 12
    image_mlp: int = 3072
    pooler_queries: int = 256
    pooler_heads: int = 8
    embed_dim: int = 512
    context_length: int = 76
    vocab_size: int = 0
    start_id: int = 0
    end_id: int = 0
    width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    text_mlp: int = 2048
    decoder_layers: int = 12
    decoder_heads: int = 8
    decoder_mlp: int = 2048
    contrastive_weight: float = 1.0
    caption_weight: float = 1.0
    objective: Objective = "captions"
    similarity_encoder: str = "minilm"
    extra: str = ""
    extra_encoder: str = "minilm"
    extra_weight: float = 1.0
    extra_dim: int = 0
    crop: float = 0.7
    flips: bool = True
    turns: bool = True
    jitter: float = 0.2
    pixel_m: float = 0.0
    context: bool = True
    tokenizer: str = "wordpiece"
    tokenizer_size: int = 8000
    initialise: str = ""
    predictions: int = 0
    predictor_width: int = 256
    prompt_ids: tuple[int, ...] = field(default=())
    gradient_checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        checks.whole_numbers(self, _LOWEST)
        checks.not_negative(self, _NOT_NEGATIVE)
        checks.switches(self, _SWITCHES)
        checks.texts(self, _TEXTS)
        checks.choices(self, {"objective": get_args(Objective)})
        if self.objective == "captions" and not self.contrastive_weight and not self.caption_weight:
            raise ConfigError("contrastive_weight and caption_weight are both 0: there is nothing to learn.")
        checks.multiples(self, _MULTIPLES)
        if self.pooler_queries == 1:
            raise ConfigError("pooler_queries must be 0 or at least 2: one for the vector, the rest for the decoder.")
        if self.pooler_queries:
            checks.multiples(self, [("embed_dim", "pooler_heads")])
        if self.width != self.image_token_width:
            raise ConfigError(
                f"The decoder has width {self.width}, but image tokens have {self.image_token_width}.",
                "With a pooler width must be embed_dim, without one image_width.",
            )
        # JSON knows lists alone.
        object.__setattr__(self, "prompt_ids", tuple(self.prompt_ids))
        self.augmentation  # noqa: B018 - checks its numbers

    @property
    def image_token_width(self) -> int:
        """Width of the image tokens that the decoder reads."""
        return self.embed_dim if self.pooler_queries else self.image_width

    @property
    def compares(self) -> bool:
        """Whether the vector of an image is compared with anything, without which it would learn nothing."""
        return self.objective != "captions" or self.contrastive_weight > 0 or self.extra_dim > 0

    @property
    def augmentation(self) -> Augmentation:
        """How much images are changed while training."""
        return Augmentation(self.crop, self.flips, self.turns, self.jitter)

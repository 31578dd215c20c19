"""UrbanLN's networks: CLIP as the student, and its momentum teacher (paper, "Cross-Modal Pre-Training").

CLIP is transformers' own `CLIPModel`, so that the weights of any CLIP fit by name.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor, nn

from urbanfm_core.errors import ConfigError
from urbanfm_core.models.urbanln.config import UrbanLNConfig
from urbanfm_core.models.urbanln.momentum import MomentumTeacher

# The temperature is learned, but never below 0.01 (Radford et al. 2021, CLIP, section 2.5).
_LARGEST_SCALE = 100.0


class ClipEncoders(nn.Module):
    """Both encoders of a CLIP: pictures and captions to unit vectors of one space."""

    def __init__(self, config: UrbanLNConfig) -> None:
        super().__init__()
        self.end_id = config.end_id
        self.clip: Any = clip_model(config)

    @property
    def scale(self) -> Tensor:
        """1 / tau, the factor on the cosines, a scalar."""
        scale: Tensor = self.clip.logit_scale.exp().clamp(max=_LARGEST_SCALE)
        return scale

    def encode_images(self, images: Tensor) -> Tensor:
        """Normalised pictures (B, 3, H, W) -> unit vectors (B, D), float32."""
        states = self.clip.vision_model(pixel_values=images).pooler_output
        return F.normalize(self.clip.visual_projection(states).float(), dim=-1)

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """Captions to unit vectors (B, D), float32.

        A word sees only those before it, so what stands behind the end of a caption changes nothing.

        Args:
            tokens: Words, (B, T) int64. The first `end_id` of a caption is its end, and its state stands for the whole.
        """
        end = (tokens == self.end_id).int().argmax(dim=1)
        states = self.clip.text_model(input_ids=tokens).last_hidden_state
        rows = torch.arange(len(tokens), device=tokens.device)
        return F.normalize(self.clip.text_projection(states[rows, end]).float(), dim=-1)

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of pairs, image and text, (B, D) each."""
        return self.encode_images(images), self.encode_texts(tokens)


class UrbanLNModel(nn.Module):
    """The student, and unless the ablation leaves it out its momentum teacher."""

    def __init__(self, config: UrbanLNConfig) -> None:
        super().__init__()
        self.student = ClipEncoders(config)
        self.teacher: MomentumTeacher | None = None
        if config.msd:
            self.teacher = MomentumTeacher(self.student, config.embedding_dim, config.queue, config.momentum)
        if config.gradient_checkpointing:
            self.student.clip.gradient_checkpointing_enable({"use_reentrant": False})


def clip_model(config: UrbanLNConfig) -> Any:
    """transformers' CLIPModel of these sizes, with fresh weights from torch's random state.

    Raises:
        ConfigError: the vocabulary is not known yet.
    """
    from transformers import CLIPConfig, CLIPModel

    if not config.vocab_size:
        raise ConfigError("The vocabulary is not known yet.", "Prepare the data first.")
    both = {"hidden_act": config.activation, "layer_norm_eps": config.norm_eps, "projection_dim": config.embedding_dim}
    text = {
        **both,
        "vocab_size": config.vocab_size,
        "hidden_size": config.text_width,
        "num_hidden_layers": config.text_layers,
        "num_attention_heads": config.text_heads,
        "intermediate_size": config.text_mlp,
        "max_position_embeddings": config.text_length,
        # The ends of a caption are found here by `encode_texts`.
        "bos_token_id": None,  # nosec B105: the number of a word, not a password
        "eos_token_id": config.end_id,
        "pad_token_id": None,  # nosec B105: likewise
    }
    vision = {
        **both,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "hidden_size": config.vision_width,
        "num_hidden_layers": config.vision_layers,
        "num_attention_heads": config.vision_heads,
        "intermediate_size": config.vision_mlp,
    }
    sizes = CLIPConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=config.embedding_dim,
        logit_scale_init_value=-math.log(config.temperature),
    )
    return CLIPModel(sizes)

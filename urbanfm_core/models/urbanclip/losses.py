"""What UrbanCLIP learns by (Zhong et al. 2024, section 3.3 and 3.4)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from urbanfm_core.models.image_text.tokens import PAD
from urbanfm_core.models.urbanclip.config import UrbanClipConfig
from urbanfm_core.models.urbanclip.network import UrbanClipModel
from urbanfm_core.objectives.captioning import captioning_loss
from urbanfm_core.objectives.contrastive import contrastive_loss

__all__ = ["pretraining_losses"]


def pretraining_losses(
    model: UrbanClipModel, batch: Mapping[str, Tensor], config: UrbanClipConfig
) -> dict[str, Tensor]:
    """Eq. 7, from one pass: L = lambda_Con * L_Con + lambda_LM * L_LM, and the same contrast with a third modality.

    Args:
        model: The network.
        batch: 'image' (B, 3, H, W) and 'text' (B, T); for the objectives without captions 'other' (B, 3, H, W); for the
            third modality 'extra' (B, X), NaN where a region has none.
        config: Weights and objective.
    Returns:
        'loss' and its parts: 'contrastive', 'captioning', 'extra'.
    """
    vectors, image_tokens = model.encode_images(batch["image"])
    scale = model.scale()
    terms: dict[str, tuple[float, Tensor]] = {}
    if config.objective != "captions":
        terms["contrastive"] = (
            1.0,
            contrastive_loss(vectors, model.encode_images(batch["other"])[0], scale, gather=True),
        )
    else:
        texts, words = model.encode_texts(batch["text"])
        if config.contrastive_weight:
            terms["contrastive"] = config.contrastive_weight, contrastive_loss(vectors, texts, scale, gather=True)
        if config.caption_weight:
            _, decoder = model.require_decoder()
            loss = captioning_loss(decoder(words, image_tokens), decoder.words.weight, batch["text"], PAD)
            terms["captioning"] = config.caption_weight, loss
    if model.align_extra is not None:
        terms["extra"] = config.extra_weight, _extra(model, vectors, batch["extra"], scale)
    loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
    return {"loss": loss, **{name: term for name, (_, term) in terms.items()}}


def _extra(model: UrbanClipModel, vectors: Tensor, extra: Tensor, scale: Tensor) -> Tensor:
    """Contrast with the third modality, over the regions of this process that have it; 0 where fewer than two do."""
    present = extra.isfinite().all(1)
    aligned = F.normalize(model.align_extra(extra.nan_to_num()), dim=-1)  # type: ignore[misc]
    if int(present.sum()) < 2:
        return (vectors.sum() + aligned.sum() + scale) * 0.0
    return contrastive_loss(vectors[present], aligned[present], scale)

"""The five objectives of ReFound's pre-training over one batch (paper, section 4.2 and 4.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from urbanfm_core.errors import ConfigError
from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.network import Encoded, RefoundModel
from urbanfm_core.objectives.alignment import cross_modal_alignment
from urbanfm_core.objectives.distillation import cosine_distillation, relation_distillation
from urbanfm_core.objectives.masked import mask_patches, mask_tokens, masked_prediction


def pretraining_losses(
    model: RefoundModel,
    batch: Mapping[str, Tensor],
    config: RefoundConfig,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Hide words and patches, run the network once, sum the objectives: L = DLFM + DVFM + DVLFM + MGDM + CMSA.

    CMSA has a weight that is 1 in the paper.

    Words are hidden only for MGDM, patches only for MGDM and CMSA; without both the teachers' objectives see all. An
    objective leaves out the regions that lack a modality or a teacher's vector that it needs. One whose switch is
    off, whose teacher is not in the batch, or which needs images in a batch without any, is not among the results.

    Args:
        model: The network, with the heads that belong to the objectives.
        batch: What `RefoundModel.encode` needs. For CMSA `poi_patch` (B, T) int64, -1 for none; for the patches of
            MGDM `visual_token` (B, N) int64, -1 for unknown; for the teachers `language`, `vision` and
            `vision_language` (B, width), each with `has_language` ... (B,) bool.
        config: Switches, shares and temperature.
        generator: Source of randomness of the masks; None for torch's own state.
    Returns:
        'loss' and its parts: dlfm, dvfm, dvlfm, mgdm, cmsa.
    Raises:
        ConfigError: no objective is left, or the tokenizer's [MASK] is not known.
    """
    heads = model.heads
    has_pois, has_image = batch["has_pois"], batch["has_image"]
    images = "image" in batch
    name_patches = config.mgdm and images and "patches" in heads and "visual_token" in batch
    align = config.cmsa and images
    tokens, hidden = batch["tokens"], torch.zeros_like(batch["token_mask"])
    if config.mgdm:
        tokens, hidden = _hide_words(batch, config, generator)
    patch_mask = None
    if name_patches or align:
        patch_mask = mask_patches(batch["image_mask"] & has_image[:, None], config.mask_patches, generator)
    encoded = model.encode(batch, tokens=tokens, patch_mask=patch_mask)

    terms: dict[str, Tensor] = {}
    if config.dlfm and "language" in heads and "language" in batch:
        present = batch["has_language"] & has_pois
        terms["dlfm"] = cosine_distillation(heads["language"](encoded.poi_cls), batch["language"], present)
    if config.dvfm and images and "vision" in heads and "vision" in batch:
        present = batch["has_vision"] & has_image
        terms["dvfm"] = cosine_distillation(heads["vision"](encoded.image_cls), batch["vision"], present)
    if config.dvlfm and images and "relation_pois" in heads and "vision_language" in batch:
        terms["dvlfm"] = relation_distillation(
            heads["relation_pois"](encoded.poi_cls),
            heads["relation_image"](encoded.image_cls),
            batch["vision_language"],
            batch["has_vision_language"] & has_pois & has_image,
            config.temperature,
        )
    if config.mgdm:
        terms["mgdm"] = masked_prediction(heads["tokens"](encoded.tokens[hidden]), batch["tokens"][hidden])
    if name_patches and patch_mask is not None:
        named = patch_mask & (batch["visual_token"] >= 0)
        targets = batch["visual_token"][named]
        terms["mgdm"] = terms["mgdm"] + masked_prediction(heads["patches"](encoded.patches[named]), targets)
    if align and patch_mask is not None:
        terms["cmsa"] = _alignment(model, encoded, batch, hidden, patch_mask)
    if not terms:
        raise ConfigError(
            "No objective is left to train on: each is switched off, or lacks its teacher or its images.",
            "Switch one of dlfm, dvfm, dvlfm, mgdm and cmsa on, and give what it needs.",
        )
    weights = {"cmsa": config.cmsa_weight}
    return {"loss": torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum(), **terms}


def _hide_words(
    batch: Mapping[str, Tensor], config: RefoundConfig, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Tokens as the network sees them, and which of them it has to name; only words of names are hidden."""
    if not config.mask_id or not config.separator_id:
        raise ConfigError("The ids of [MASK] and [SEP] are not known yet.", "Prepare the data first.")
    tokens = batch["tokens"]
    words = _of_pois(batch) & (tokens != config.separator_id)
    return mask_tokens(tokens, words, config.mask_tokens, config.mask_id, config.vocab_size, generator)


def _alignment(
    model: RefoundModel, encoded: Encoded, batch: Mapping[str, Tensor], hidden: Tensor, patch_mask: Tensor
) -> Tensor:
    """CMSA over the tokens of POIs that are not masked and whose patch has data: others' patches are never hidden."""
    patch = batch["poi_patch"]
    seen = (batch["image_mask"] & batch["has_image"][:, None]).gather(1, patch.clamp(min=0))
    logits = model.heads["alignment"](encoded.tokens).squeeze(-1)
    return cross_modal_alignment(logits, patch, patch_mask, _of_pois(batch) & ~hidden & seen)


def _of_pois(batch: Mapping[str, Tensor]) -> Tensor:
    """Tokens that belong to a POI: neither the CLS token in front nor padding, (B, T) bool."""
    return batch["token_mask"] & (batch["poi_position"] > 0) & batch["has_pois"][:, None]

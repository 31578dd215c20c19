"""Cross-modal spatial alignment (ReFound, section 4.2.2, eq. 7): does this token's POI lie in a hidden patch?

The paper sums over the positions. Here it is their mean, so that the loss does not grow with the batch size or the
length of the sequences.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from urbanfm_core.errors import ShapeError
from urbanfm_core.objectives.masked import full_precision, mean_where


def cross_modal_alignment(logits: Tensor, poi_patch: Tensor, patch_mask: Tensor, use: Tensor) -> Tensor:
    """Binary cross-entropy over the tokens in use, with y = 1 where the POI's patch is hidden.

        loss = -mean_i [ y_i log p_i + (1 - y_i) log(1 - p_i) ],   p = sigmoid(logits)

    Args:
        logits: One per POI token, (B, T).
        poi_patch: Patch that holds the token's POI, (B, T) int64 in [0, N); -1 for none, which is left out.
        patch_mask: Hidden patches, (B, N) bool.
        use: Which tokens count, (B, T) bool. Masked tokens must not: [MASK] would give the answer away.
    Returns:
        A scalar, computed in float32 under autocast too; 0, with a graph, if no token is left.
    Raises:
        ShapeError: shapes differ.
    """
    if not logits.shape == poi_patch.shape == use.shape or patch_mask.shape[:1] != logits.shape[:1]:
        raise ShapeError(
            f"Logits, patches of the POIs and use must be (B, T), masks (B, N); found {tuple(logits.shape)}, "
            f"{tuple(poi_patch.shape)}, {tuple(use.shape)} and {tuple(patch_mask.shape)}."
        )
    hidden = patch_mask.gather(1, poi_patch.clamp(min=0))
    with torch.autocast(logits.device.type, enabled=False):
        logits = full_precision(logits)
        losses = F.binary_cross_entropy_with_logits(logits, hidden.to(logits.dtype), reduction="none")
        return mean_where(losses, use & (poi_patch >= 0))

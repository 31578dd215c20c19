"""Masked geospatial data modelling (ReFound, section 4.2.2, eq. 6): hide words and patches, then name them.

The paper sums over the masked positions. Here every term is a mean over them: the size of the loss, and with it the
balance between the objectives, then depends neither on the batch size nor on how many names a region has.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from urbanfm_core.errors import ShapeError

# Of the tokens chosen: shown as [MASK], shown as a random word, shown as they are (appendix A.2.1, as BERT does).
MASKED_SHARE, RANDOM_SHARE = 0.8, 0.1


def mask_tokens(
    tokens: Tensor,
    candidates: Tensor,
    share: float,
    mask_id: int,
    vocab_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose each candidate with probability `share`; of those, mask 80 %, replace 10 % at random, leave 10 %.

    Args:
        tokens: Ids, (B, T) int64.
        candidates: Which tokens may be chosen, (B, T) bool: words of names, not [CLS], [SEP] or padding.
        share: In [0, 1].
        mask_id: Id of [MASK].
        vocab_size: Random words come from [1, vocab_size): never padding.
        generator: Source of randomness; None for torch's own state.
    Returns:
        What the network gets to see, (B, T) int64, and which tokens it has to name, (B, T) bool.
    """
    chosen = candidates & (_uniform(tokens, generator) < share)
    fate = _uniform(tokens, generator)
    words = 1 + (_uniform(tokens, generator) * (vocab_size - 1)).long()
    shown = torch.where(chosen & (fate < MASKED_SHARE), mask_id, tokens)
    random = chosen & (fate >= MASKED_SHARE) & (fate < MASKED_SHARE + RANDOM_SHARE)
    return torch.where(random, words, shown), chosen


def mask_patches(valid: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Choose a share of each region's valid patches, as near to it as whole patches allow.

    Args:
        valid: Patches with data, (B, N) bool; others are never chosen.
        share: In [0, 1].
        generator: Source of randomness; None for torch's own state.
    Returns:
        (B, N) bool.
    """
    order = _uniform(valid, generator).masked_fill(~valid, 2.0).argsort(dim=1)
    rank = order.argsort(dim=1)
    return rank < (share * valid.sum(dim=1, keepdim=True)).round()


def masked_prediction(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of the right words, one of the two terms of eq. 6.

    loss = -1/M * sum_i log softmax(logits[i])[targets[i]]

    Args:
        logits: At the masked positions, (M, V).
        targets: Right words, (M,) int64 in [0, V).
    Returns:
        A scalar, computed in float32 under autocast too; 0, with a graph, if M is 0.
    Raises:
        ShapeError: the lengths differ.
    """
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise ShapeError(
            f"Logits (M, V) and targets (M,) are needed, found {tuple(logits.shape)} and {tuple(targets.shape)}."
        )
    with torch.autocast(logits.device.type, enabled=False):
        return F.cross_entropy(full_precision(logits), targets, reduction="sum") / max(len(targets), 1)


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values where the mask is true, both (...): a scalar; 0, with a graph, where it is true nowhere."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def full_precision(values: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def _uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Random numbers in [0, 1), drawn where the generator lives."""
    device = like.device if generator is None else generator.device
    return torch.rand(like.shape, generator=generator, device=device).to(like.device)

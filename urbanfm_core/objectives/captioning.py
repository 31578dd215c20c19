"""Naming the next word (UrbanCLIP, eq. 6; CoCa), over vocabularies whose logits would fill the memory.

The logits of all words of a batch are its largest matrix. Only those at real words are made, some rows at a time, and
their gradients at once: none of them is kept for the way back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from urbanfm_core.errors import ShapeError

# Logits made at a time.
_CHUNK = 2**24


def captioning_loss(hidden: Tensor, words: Tensor, ids: Tensor, padding: int = 0, chunk: int | None = None) -> Tensor:
    """Cross entropy of each next word.

        loss = -mean_t [ log softmax(hidden[t] @ words.T)[ids[t + 1]] ],   over t with ids[t + 1] no padding

    Args:
        hidden: What is known at each word, (B, T, D).
        words: Vectors of the vocabulary, (V, D).
        ids: The text, (B, T) int64.
        padding: Id that fills up short texts.
        chunk: Rows of logits made at a time; None chooses.
    Returns:
        A scalar in float32 or wider; the products are made in the type of autocast, where that is on.
    Raises:
        ShapeError: shapes differ, or there is no next word.
    """
    if hidden.shape[:2] != ids.shape or words.shape[1:] != hidden.shape[2:] or ids.shape[1] < 2:
        raise ShapeError(
            f"Hidden states (B, T, D), words (V, D) and ids (B, T) with T > 1 are needed, found {tuple(hidden.shape)}, "
            f"{tuple(words.shape)} and {tuple(ids.shape)}."
        )
    targets = ids[:, 1:]
    real = targets != padding
    device = hidden.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    with torch.autocast(device, enabled=False):
        rows = hidden[:, :-1][real]
        size = chunk or max(1, _CHUNK // len(words))
        loss: Tensor = _NextWord.apply(rows, words, targets[real], size, low)  # type: ignore[no-untyped-call]
    return loss


class _NextWord(torch.autograd.Function):
    """The loss and, on the way, its gradients: with p = softmax of the logits, those are (p - truth) / N."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, words: Tensor, targets: Tensor, size: int, low: torch.dtype) -> Tensor:
        count = max(len(rows), 1)
        wanted = any(ctx.needs_input_grad[:2])
        on_rows, on_words = torch.empty_like(rows), torch.zeros_like(words)
        cast = words.to(low)
        total = rows.new_zeros((), dtype=torch.promote_types(rows.dtype, torch.float32))
        for start in range(0, len(rows), size):
            part, truth = rows[start : start + size].to(low), targets[start : start + size, None]
            logits = torch.mm(part, cast.t()).to(total.dtype)
            every = logits.logsumexp(1, keepdim=True)
            total += (every - logits.gather(1, truth)).sum()
            if not wanted:
                continue
            shares = logits.sub_(every).exp_()
            shares.scatter_add_(1, truth, torch.full_like(every, -1.0))
            given = shares.div_(count).to(low)
            on_rows[start : start + size] = torch.mm(given, cast)
            on_words += torch.mm(given.t(), part)
        ctx.save_for_backward(on_rows, on_words)
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        on_rows, on_words = ctx.saved_tensors
        return on_rows * gradients[0], on_words * gradients[0], None, None, None

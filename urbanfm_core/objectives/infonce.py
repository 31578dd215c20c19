"""Symmetric InfoNCE between two views (van den Oord et al. 2018; AETHER, eq. 5 and 6)."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from urbanfm_core.errors import ConfigError, ShapeError

SCALE_RANGE = (1.0, 100.0)

# exp(-2 * 40) is still a normal float32, so up to here one constant shift serves all rows and columns.
_LARGEST_SHIFT = 40.0


def info_nce(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Pull the rows of two views together that belong to one another, push all others of the batch apart.

    With s = clip(1 / temperature, 1, 100) and S = s * a @ b.T:

        loss = -1/(2B) * sum_i [ log softmax(S[i, :])[i] + log softmax(S[:, i])[i] ]

    Under several processes the other rows come from all of them, and the mean of the processes' losses is the loss of
    the joint batch; so are the averaged gradients.

    Args:
        a: Unit vectors of the first view, (B, D).
        b: Unit vectors of the second view, (B, D); row i is the positive of a[i].
        temperature: Fixed temperature, above 0.
    Returns:
        The mean over both directions and all rows, a scalar; computed in float32 under autocast too.
    Raises:
        ShapeError: the views differ in shape or are no matrices.
        ConfigError: the temperature is not above 0.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ShapeError(
            f"InfoNCE needs two matrices of one shape (B, D), found {tuple(a.shape)} and {tuple(b.shape)}."
        )
    scale = logit_scale(temperature)
    with torch.autocast(a.device.type, enabled=False):
        a, b = (view.float() if view.dtype in (torch.bfloat16, torch.float16) else view for view in (a, b))
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            return _joint(a, b, scale)
        if scale > _LARGEST_SHIFT:
            logits = torch.mm(a * scale, b.t())
            return 0.5 * (logits.logsumexp(1) + logits.logsumexp(0)).mean() - logits.diagonal().mean()
        loss: Tensor = _ClosedForm.apply(a, b, scale)  # type: ignore[no-untyped-call]
        return loss


def logit_scale(temperature: float) -> float:
    """The factor on the cosine similarities: 1 / temperature, held within [1, 100].

    Raises:
        ConfigError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"A temperature must be above 0, found {temperature!r}.", "The paper uses 0.07.")
    low, high = SCALE_RANGE
    return min(max(1.0 / temperature, low), high)


def _joint(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """This process's rows against the columns of all processes, in both directions."""
    rows = dist.get_rank() * len(a) + torch.arange(len(a), device=a.device)
    forward = torch.mm(a * scale, gather_rows(b).t())
    backward = torch.mm(b * scale, gather_rows(a).t())
    positive = forward.gather(1, rows[:, None]).mean()
    return 0.5 * (forward.logsumexp(1) + backward.logsumexp(1)).mean() - positive


def gather_rows(local: Tensor) -> Tensor:
    """The rows of all processes in rank order, (processes * B, D), with gradients flowing back to their owners."""
    gathered: Tensor = _GatherRows.apply(local)  # type: ignore[no-untyped-call]
    return gathered


class _ClosedForm(torch.autograd.Function):
    """The loss with its gradient written out: one exponential serves both directions, forward and backward.

    With E = exp(S - s), rows r = sum_j E and columns c = sum_i E, the gradient on the logits is
    dS = (E / r + E / c) / (2B) - I / B.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, scale: float) -> Tensor:
        shift = torch.full((1, 1), -scale, dtype=a.dtype, device=a.device)
        exponentials = torch.addmm(shift, a, b.t(), alpha=scale).exp_()
        rows, columns = exponentials.sum(1), exponentials.sum(0)
        ctx.save_for_backward(a, b, exponentials, rows, columns)
        ctx.scale = scale
        positive = torch.linalg.vecdot(a, b)
        loss: Tensor = 0.5 * (rows.log() + columns.log()).mean() + scale * (1.0 - positive.mean())
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b, exponentials, rows, columns = ctx.saved_tensors
        weight = gradients[0] * (ctx.scale / (2 * len(a)))
        on_logits = exponentials * ((weight / rows)[:, None] + weight / columns)
        toward = 2 * weight
        return torch.mm(on_logits, b) - toward * b, torch.mm(on_logits.t(), a) - toward * a, None


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, local.contiguous())
        ctx.rows = len(local)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        # Every process holds part of the loss of every row, so a row's gradient is the sum over the processes.
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.rows
        mine: Tensor = total[start : start + ctx.rows]
        return mine

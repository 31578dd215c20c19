"""What the processes of one training run tell one another inside a loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """How many processes share the training; 1 outside of torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def all_rows(local: Tensor) -> Tensor:
    """The rows of all processes in rank order, (processes * B, ...), without gradients; B is the same for all."""
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.contiguous())
    return torch.cat(parts)


def own_rows(total: Tensor, rows: int) -> Tensor:
    """Sum of what all processes hold for all rows, (processes * B, ...), cut to this process's B rows."""
    total = total.contiguous()
    dist.all_reduce(total)
    start = dist.get_rank() * rows
    return total[start : start + rows]


def gather_rows(local: Tensor) -> Tensor:
    """The rows of all processes in rank order, (processes * B, D), with gradients flowing back to their owners."""
    gathered: Tensor = _GatherRows.apply(local)  # type: ignore[no-untyped-call]
    return gathered


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.rows = len(local)
        return all_rows(local)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every process holds part of the loss of every row, so a row's gradient is the sum over the processes.
        return own_rows(gradients[0], ctx.rows)

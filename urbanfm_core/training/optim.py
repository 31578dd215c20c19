"""Optimiser and learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn


def build_optimizer(
    parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float, device: torch.device
) -> torch.optim.AdamW:
    """AdamW over all trainable parameters, in one fused kernel where the device has one."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    fused = device.type in ("cpu", "cuda", "mps")
    return torch.optim.AdamW(trainable, lr=learning_rate, weight_decay=weight_decay, fused=fused)


def cosine_share(step: int, steps: int, final: float) -> float:
    """Share of the full learning rate at a step: 1 at step 0, falling along half a cosine to `final` at `steps`."""
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * min(step, steps) / max(steps, 1)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate

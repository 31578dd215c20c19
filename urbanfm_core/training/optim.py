"""Optimiser, its groups of parameters, and the schedule of the learning rate."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn

from urbanfm_core.errors import ConfigError
from urbanfm_core.models.groups import layerwise_groups

__all__ = [
    "Schedule",
    "build_optimizer",
    "complete_groups",
    "groups_digest",
    "layerwise_groups",
    "rate_share",
    "set_learning_rate",
]

Schedule = Literal["cosine", "linear"]
_KEYS = ("params", "lr_scale", "weight_decay")


def build_optimizer(
    groups: Sequence[Mapping[str, Any]], learning_rate: float, device: torch.device
) -> torch.optim.AdamW:
    """AdamW over groups that `complete_groups` made, in one fused kernel where the device has one."""
    fused = device.type in ("cpu", "cuda", "mps")
    return torch.optim.AdamW([dict(group) for group in groups], lr=learning_rate, fused=fused)


def complete_groups(
    groups: Iterable[Mapping[str, Any]], named_parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float
) -> list[dict[str, Any]]:
    """Check groups of parameters and fill in what they leave open.

    Args:
        groups: Each with `params`, and optionally `lr_scale` (1) and `weight_decay`.
        named_parameters: All parameters of the network.
        weight_decay: Of the groups that name none.
    Returns:
        The groups without frozen parameters, in their order, with all three keys; none is empty.
    Raises:
        ConfigError: a trainable parameter in no group or in two, a key that means nothing, or a number below 0.
    """
    names = {id(parameter): name for name, parameter in named_parameters if parameter.requires_grad}
    missing = dict(names)
    completed = []
    for number, group in enumerate(groups):
        where = f"Parameter group {number}"
        unknown = [key for key in group if key not in _KEYS]
        if unknown or "params" not in group:
            raise ConfigError(
                f"{where} has the keys {', '.join(map(str, group))}; expected are params, and lr_scale and "
                "weight_decay at most."
            )
        trainable = [parameter for parameter in group["params"] if parameter.requires_grad]
        for parameter in trainable:
            if missing.pop(id(parameter), None) is None:
                name = names.get(id(parameter))
                what = (
                    "a parameter that is not of the network" if name is None else f"{name}, which an earlier one holds"
                )
                raise ConfigError(f"{where} holds {what}.")
        full = {"params": trainable, "lr_scale": 1.0, "weight_decay": weight_decay, **dict(group, params=trainable)}
        for key in _KEYS[1:]:
            if not 0 <= full[key] < math.inf:
                raise ConfigError(f"{where}: {key} must be at least 0, found {full[key]!r}.")
        if trainable:
            completed.append(full)
    if missing:
        few = list(missing.values())
        more = f" and {len(few) - 4} more" if len(few) > 4 else ""
        raise ConfigError(f"In no parameter group, and so never trained: {', '.join(few[:4])}{more}.")
    return completed


def groups_digest(groups: Sequence[Mapping[str, Any]], named_parameters: Iterable[tuple[str, nn.Parameter]]) -> str:
    """A short name for which parameters are in which group, and in which order: the optimiser's state goes by it."""
    names = {id(parameter): name for name, parameter in named_parameters}
    content = [
        [group["lr_scale"], group["weight_decay"], [names[id(parameter)] for parameter in group["params"]]]
        for group in groups
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def rate_share(step: int, steps: int, *, warmup: float, schedule: Schedule, final: float) -> float:
    """Share of the full learning rate at a step.

    While warming up it grows in a straight line, from 0 at step 0 to 1 at step `warmup`; from there it falls to `final`
    at step `steps`, along half a cosine or in a straight line. A warm-up as long as the training never ends.

    Args:
        step: From 0.
        steps: Of the whole training.
        warmup: Steps of the warm-up, not necessarily whole; 0 starts at the full rate.
        schedule: 'cosine' or 'linear'.
        final: Share that is left at the end.
    """
    if step < warmup:
        return step / warmup
    done = min(max((step - warmup) / max(steps - warmup, 1.0), 0.0), 1.0)
    left = 1.0 - done if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return final + (1.0 - final) * left


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]

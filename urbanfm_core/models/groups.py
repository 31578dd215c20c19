"""Groups of parameters that learn at a share of the learning rate, or without weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from urbanfm_core.errors import ConfigError


def layerwise_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    layer_of: Callable[[str], int],
    layers: int,
    decay: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Layer-wise decay of the learning rate (Clark et al. 2020, ELECTRA; BEiT; ReFound, appendix A.2.2).

    A parameter of layer i learns at the share decay^(layers + 1 - i): embeddings (i = 0) slowest, the head
    (i = layers + 1) at the full rate. Parameters with one axis, such as biases and norms, have no weight decay.

    Args:
        named_parameters: As `Module.named_parameters` gives them; frozen ones are left out.
        layer_of: Layer of a parameter by its name: 0 for the embeddings, 1 to `layers` for the blocks, `layers` + 1 for
            what comes after them.
        layers: Number of blocks.
        decay: Share that each layer leaves to the one below, in (0, 1]; 1 for one rate everywhere.
        weight_decay: Of the parameters that have one.
    Returns:
        Groups for `Method.parameter_groups`, by layer from below, those with weight decay first; none is empty.
    Raises:
        ConfigError: a decay outside (0, 1], or a parameter in a layer that does not exist.
    """
    if not 0 < decay <= 1:
        raise ConfigError(f"The layer-wise decay must lie in (0, 1], found {decay!r}.", "The papers use 0.75.")
    found: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in named_parameters:
        layer = layer_of(name)
        if not 0 <= layer <= layers + 1:
            raise ConfigError(f"The parameter {name} is said to be in layer {layer}, expected 0 to {layers + 1}.")
        if parameter.requires_grad:
            found.setdefault((layer, parameter.ndim <= 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr_scale": decay ** (layers + 1 - layer),
            "weight_decay": 0.0 if plain else weight_decay,
        }
        for (layer, plain), parameters in sorted(found.items(), key=lambda item: item[0])
    ]

"""A start for small networks on one city: places that match are alike before anything is learned.

The published tables of positions start as random numbers. A network then has to find out for every grid cell which
patch lies there, which takes the paper's millions of steps; on a city of some thousand regions it never happens. Here
both tables start as the same waves over the region's frame, and in every second head queries start as their keys, so
that a point of interest looks at the patches around it from the first step. All of it is learned on from there. The
other heads start at random, for the CLS tokens: where queries equal keys, a token looks at itself most of all.

Waves: Dosovitskiy et al. 2021, appendix D.4 (2-D positions); equal queries and keys: Trockman and Kolter 2023, "Mimetic
initialization of self-attention layers", ICML.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from urbanfm_core.models.refound.network import RefoundModel

# Periods over the side of the frame, from the longest wave to the shortest.
_PERIODS = (0.5, 8.0)
# Amplitude of the waves, and spread of what a patch adds to them.
_AMPLITUDE = 0.1
# Length of the rows of equal queries and keys.
_SHARPNESS = 1.4
# The usual spread of weights, 0.02, belongs to a network as wide as BERT.
_BERT_WIDTH = 768


@torch.no_grad()
def align(model: RefoundModel) -> None:
    """Overwrite fresh weights of positions, patches, queries and keys."""
    config = model.config
    width = config.hidden_size
    for layer in model.layers:
        for module in layer.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.mul_(math.sqrt(_BERT_WIDTH / width))
        same = _SHARPNESS * torch.nn.init.orthogonal_(torch.empty(width, width))
        query, key, _ = layer.qkv.weight.unflatten(0, (3, config.heads, -1))  # type: ignore[union-attr, operator]
        query[::2] = key[::2] = same.unflatten(0, (config.heads, -1))[::2]
    cells, patches = config.grid, config.image_size // config.patch_size
    model.pois.grid_position.weight[1 : 1 + cells**2] = waves(cells, width)
    model.image.position.weight[1:] = waves(patches, width)
    model.image.project.weight.normal_(std=_AMPLITUDE / math.sqrt(model.image.project.in_features))


def waves(side: int, width: int) -> Tensor:
    """Positions of the centres of side x side cells, row by row from the north: (side^2, width), zero past the last wave."""
    count = width // 4
    frequencies = 2 * math.pi * torch.logspace(math.log10(_PERIODS[0]), math.log10(_PERIODS[1]), count)
    centre = (torch.arange(side) + 0.5) / side
    along = torch.cat([torch.sin(centre[:, None] * frequencies), torch.cos(centre[:, None] * frequencies)], dim=1)
    table = torch.zeros(side, side, width)
    table[..., : 2 * count] = along[None]
    table[..., 2 * count : 4 * count] = along[:, None]
    return _AMPLITUDE * table.flatten(0, 1)

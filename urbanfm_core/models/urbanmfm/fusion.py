"""A place's street view out of those around it, and how text, street view and polygon become one (UrbanMFM, IV-B)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor, nn

from urbanfm_core.models.urbanmfm.encoders import mean_by
from urbanfm_core.objectives.masked import full_precision


def spatial_consistency(
    text: Tensor, views: Tensor, distance_m: Tensor, place: Tensor, reach_m: float, temperature: float
) -> Tensor:
    """The street view of each place: those in reach, weighted by how well they fit its text and how near they are.

    Eq. 13 and 14, with b = reach / (distance + reach):

        E_v[p] = sum_e softmax_e(cos(E_t[p], views[e]) * b[e] / tau) * views[e],  over the pairs e of place p

    Args:
        text: Vectors of places, (P, D).
        views: Vector of a group of street views as each pair sees it, (E, D), of any length.
        distance_m: (E,).
        place: (E,) row of the place of each pair.
        reach_m: Largest distance.
        temperature: tau.
    Returns:
        (P, D); 0 for a place without a pair.
    """
    text, views = full_precision(text), full_precision(views)
    bias = reach_m / (distance_m + reach_m)
    logits = F.cosine_similarity(text[place], views, dim=1) * bias / temperature
    # All logits lie within 1 / tau of 0, so their exponentials need nothing subtracted first.
    weight = logits.exp()
    total = weight.new_zeros(len(text)).index_add_(0, place, weight)
    found = views.new_zeros(len(text), views.shape[1])
    return found.index_add_(0, place, views * (weight / total[place])[:, None])


class StreetGate(nn.Module):
    """A group of street views as seen from a place: the view that looks there, and the others, by a gate (eq. 11, 12)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * width, 2)

    def forward(self, views: Tensor, group_of: Tensor, groups: int, group: Tensor, anchor: Tensor) -> Tensor:
        """One vector per pair of a place and a group.

        Args:
            views: Vectors of pictures, (K, D).
            group_of: (K,) group of each picture.
            groups: Number of groups G.
            group: (E,) group of each pair.
            anchor: (E,) picture of that group that looks at the place; -1 where no heading is known, and the mean of
                all pictures stands for it.
        Returns:
            (E, D). A group of one picture is that picture.
        """
        count = torch.bincount(group_of, minlength=groups).to(views.dtype)
        mean = mean_by(views, group_of, groups)[group]
        known = (anchor >= 0)[:, None]
        ahead = torch.where(known, views[anchor.clamp(min=0)], mean)
        others = (count[group] - 1)[:, None]
        rest = torch.where(known & (others > 0), (mean * count[group][:, None] - ahead) / others.clamp(min=1), mean)
        share = torch.softmax(self.gate(torch.cat([ahead, rest], 1)), 1)
        return share[:, :1] * ahead + share[:, 1:] * rest


class PairFusion(nn.Module):
    """Two vectors of a place become one (eq. 23 to 25): two layers of attention between them, a residual, and a gate."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first = nn.MultiheadAttention(width, heads, batch_first=True)
        self.second = nn.MultiheadAttention(width, heads, batch_first=True)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """(N, D) and (N, D) -> (N, D)."""
        pair = torch.stack([left, right], 1)
        inner = self.first(pair, pair, pair, need_weights=False)[0]
        pair = pair + self.second(inner, inner, inner, need_weights=False)[0]
        gate = torch.sigmoid(torch.relu(self.gate(pair.flatten(1))))
        mixed: Tensor = gate * pair[:, 0] + (1 - gate) * pair[:, 1]
        return mixed

"""The networks of AETHER: two projectors to one sphere."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor, nn

from urbanfm_core.models.aether.config import AetherConfig


class ImageProjector(nn.Module):
    """Pixel vectors to the shared sphere (eq. 4).

    u = norm(W2 relu(W1 x) + sigmoid(g) Ws x), z = norm(W4 gelu(W3 u)); each W with its bias. The shortcut Ws is the
    identity where input and output have the same width.
    """

    def __init__(self, config: AetherConfig) -> None:
        super().__init__()
        width = config.embedding_dim
        self.expand = nn.Linear(config.bands, config.hidden_dim)
        self.contract = nn.Linear(config.hidden_dim, width)
        self.shortcut = nn.Linear(config.bands, width) if config.bands != width else nn.Identity()
        self.gate = nn.Parameter(torch.full((1,), float(config.gate_init)))
        self.post_expand = nn.Linear(width, config.post_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.post_contract = nn.Linear(config.post_dim, width)

    def mix(self, x: Tensor) -> Tensor:
        """The first block alone: (N, C) -> (N, D), unit length."""
        return F.normalize(
            self.contract(torch.relu(self.expand(x))) + torch.sigmoid(self.gate) * self.shortcut(x), dim=-1
        )

    def forward(self, x: Tensor) -> Tensor:
        """Unit vectors (N, C) -> unit vectors (N, D)."""
        inner = self.dropout(F.gelu(self.post_expand(self.mix(x))))
        return F.normalize(self.post_contract(inner), dim=-1)


class TextProjector(nn.Module):
    """Text vectors to the shared sphere (eq. 3): one linear layer, unit length."""

    def __init__(self, config: AetherConfig) -> None:
        super().__init__()
        self.project = nn.Linear(config.text_dim, config.embedding_dim)

    def forward(self, text: Tensor) -> Tensor:
        """(N, T) -> (N, D)."""
        return F.normalize(self.project(text), dim=-1)


class AetherModel(nn.Module):
    """Both projectors."""

    def __init__(self, config: AetherConfig) -> None:
        super().__init__()
        self.image = ImageProjector(config)
        self.text = TextProjector(config)

    def forward(self, base: Tensor, augmented: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Two windows (B, C) each and texts (B, T) of the same points -> three (B, D) of unit length."""
        windows = self.image(torch.cat([base, augmented]))
        return windows[: len(base)], windows[len(base) :], self.text(text)

"""What turns tags, pictures, polygons and graphs into vectors (UrbanMFM, section IV-A)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from urbanfm_core.errors import MissingDependencyError
from urbanfm_core.models.backbones import pooled_features
from urbanfm_core.models.trainable import empty_network
from urbanfm_core.models.urbanmfm.config import UrbanMfmConfig

# Pixels of pictures whose intermediate results are kept for the way back; those of more are computed again there.
_PIXELS_KEPT = {"cpu": 1 << 22, "cuda": 512 * 224**2, "mps": 1 << 22}


class TextEncoder(nn.Module):
    """Tags to vectors (eq. 3): frozen vectors of a sentence encoder, or the first token of a BERT that is trained."""

    def __init__(self, config: UrbanMfmConfig) -> None:
        super().__init__()
        self.trunk: Any = None
        width = config.text_dim
        if config.text_architecture:
            self.trunk = empty_network(config.text_architecture)
            width = self.trunk.config.hidden_size
        self.project = nn.Linear(width, config.width)

    def forward(self, text: Tensor) -> Tensor:
        """Frozen vectors (N, T) float, or tokens (N, L) int64 with -1 as padding, -> (N, D)."""
        if self.trunk is None:
            projected: Tensor = self.project(text)
            return projected
        longest = int((text >= 0).sum(1).max()) if len(text) else 1
        ids = text[:, : max(longest, 1)]
        states = self.trunk(input_ids=ids.clamp(min=0), attention_mask=(ids >= 0).long()).last_hidden_state
        first: Tensor = self.project(states[:, 0])
        return first


class PictureEncoder(nn.Module):
    """Pictures to vectors (eq. 1 and 2)."""

    def __init__(self, config: UrbanMfmConfig) -> None:
        super().__init__()
        self.trunk = empty_network(config.image_architecture)
        with torch.device("meta"):
            probe = empty_network(config.image_architecture).eval()
            width = pooled_features(probe, torch.zeros(1, 3, config.image_size, config.image_size)).shape[1]
        self.project = nn.Linear(width, config.width)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised (N, 3, H, W) -> (N, D)."""
        if self.training and len(images) == 1:
            # One picture has no deviation to be normalised by: those collected so far serve.
            self.trunk.eval()
            alone = self._features(images)
            self.trunk.train()
            return alone
        parts = -(-images[:, 0].numel() // _PIXELS_KEPT[images.device.type])
        if parts > 1 and torch.is_grad_enabled():
            # Made again on the way back, which moves the running statistics of batch normalisation a second time the same
            # way.
            found = [
                checkpoint(self._features, part, use_reentrant=False, preserve_rng_state=False)
                for part in images.chunk(parts)
            ]
            return torch.cat(found)
        return self._features(images)

    def _features(self, images: Tensor) -> Tensor:
        # Convolutions of few channels are half again as fast on a CPU where the channels of a pixel lie together.
        beside = images.contiguous(memory_format=torch.channels_last)
        projected: Tensor = self.project(pooled_features(self.trunk, beside))
        return projected


class PolygonEncoder(nn.Module):
    """Outlines and areas to vectors (eq. 4): half of what the outline says, half of what the area says.

    Areas enter as their logarithm over that of the largest, so that houses differ from one another beside an airport.
    """

    def __init__(self, config: UrbanMfmConfig) -> None:
        super().__init__()
        self.outline = PictureEncoder(config)
        self.area = nn.Linear(1, config.width)

    def forward(self, shapes: Tensor, area: Tensor) -> Tensor:
        """Outlines (N, S, S) of 0 and 1, and shares log(1 + m2) / log(1 + largest) (N,) -> (N, D)."""
        images = (2.0 * shapes.float() - 1.0)[:, None].expand(-1, 3, -1, -1)
        outlines: Tensor = self.outline(images)
        halves: Tensor = 0.5 * (outlines + self.area(area[:, None]))
        return halves


class GraphEncoder(nn.Module):
    """Two layers of graph attention (eq. 5), and the mean over the nodes of each graph.

    Args:
        width: Of the nodes, and of what comes out.
        hidden: Of the first layer's heads together.
        heads: Of the first layer.
        edge_weights: Whether a number per edge enters the attention.
    """

    def __init__(self, width: int, hidden: int, heads: int, *, edge_weights: bool) -> None:
        super().__init__()
        try:
            from torch_geometric.nn import GATConv
        except ImportError as error:
            raise MissingDependencyError("torch-geometric", "The graph attention of UrbanMFM", "graph") from error
        edges = 1 if edge_weights else None
        self.edge_weights = edge_weights
        self.conv1 = GATConv(width, hidden // heads, heads=heads, edge_dim=edges)
        self.conv2 = GATConv(hidden, width, heads=1, edge_dim=edges)

    def nodes(self, x: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
        """Vectors of the nodes.

        Args:
            x: (M, D).
            edge_index: (2, E) from and to.
            weight: (E,) larger for what is nearer.
        """
        edges = weight[:, None].to(x.dtype) if self.edge_weights else None
        inner = nn.functional.elu(self.conv1(x, edge_index, edges))
        outer: Tensor = self.conv2(inner, edge_index, edges)
        return outer

    def forward(self, x: Tensor, edge_index: Tensor, weight: Tensor, graph: Tensor, graphs: int) -> Tensor:
        """Vectors of graphs that lie side by side, (graphs, D); `graph` (M,) is the number of each node's."""
        found = self.nodes(x, edge_index, weight)
        return mean_by(found, graph, graphs)


def mean_by(rows: Tensor, owner: Tensor, owners: int) -> Tensor:
    """Mean of the rows (M, D) of each owner, (owners, D); 0 for one without rows."""
    total = rows.new_zeros(owners, rows.shape[1]).index_add_(0, owner, rows)
    counts = torch.bincount(owner, minlength=owners).clamp(min=1)
    return total / counts[:, None].to(rows.dtype)


def resnet_architecture(config: UrbanMfmConfig) -> Mapping[str, Any]:
    """A network of pictures with fresh weights: ResNet's basic blocks (He et al. 2016)."""
    return {
        "model_type": "resnet",
        "num_channels": 3,
        "embedding_size": config.image_widths[0],
        "hidden_sizes": list(config.image_widths),
        "depths": list(config.image_depths),
        "layer_type": "basic",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
    }

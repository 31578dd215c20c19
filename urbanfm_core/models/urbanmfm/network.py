"""The network of UrbanMFM: the encoders that its inputs and stages need, and how they work together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from urbanfm_core.errors import ConfigError
from urbanfm_core.models.urbanmfm.config import UrbanMfmConfig
from urbanfm_core.models.urbanmfm.encoders import GraphEncoder, PictureEncoder, PolygonEncoder, TextEncoder, mean_by
from urbanfm_core.models.urbanmfm.fusion import PairFusion, StreetGate, spatial_consistency


class UrbanMfmModel(nn.Module):
    """Encoders and graphs; a part that no input and no stage needs is None and has no weights.

    Pictures from above and street views have a network each: they would spoil one another's batch statistics.

    Attributes:
        text, polygon, street, sky, features: Encoders of tags, polygons, street views, pictures from above, and of the
            table of regions.
        street_gate: A group of street views as seen from a place.
        local, around: Graph attention over places, and over regions.
        with_street, with_polygon: Fusion of a place's text with its street view, and of that with its polygon.
    """

    def __init__(self, config: UrbanMfmConfig) -> None:
        super().__init__()
        if not config.sees or not config.stages:
            raise ConfigError("The inputs and stages of the network are not known yet.", "Prepare the data first.")
        self.config = config
        sees, width = set(config.sees), config.width
        micro = {"local", "global"} & set(config.stages)
        self.text = TextEncoder(config) if config.reads_pois or "scenes" in sees else None
        self.sky = PictureEncoder(config) if "imagery" in sees else None
        self.street = PictureEncoder(config) if "streetview" in sees else None
        self.polygon = PolygonEncoder(config) if "buildings" in sees else None
        self.features = nn.Linear(config.extra_dim, width) if "features" in sees else None
        self.street_gate = StreetGate(width) if self.street is not None and micro and config.reads_pois else None
        self.local, self.around = (
            GraphEncoder(width, config.graph_hidden, config.heads, edge_weights=config.edge_weights)
            if stage in config.stages
            else None
            for stage in ("local", "global")
        )
        fuses = "global" in config.stages and config.reads_pois
        self.with_street = PairFusion(width, config.fusion_heads) if fuses and self.street_gate is not None else None
        self.with_polygon = PairFusion(width, config.fusion_heads) if fuses and self.polygon is not None else None

    def street_vectors(self, text: Tensor, views: Tensor, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The street view of each place (eq. 11 to 14).

        Args:
            text: Vectors of places, (P, D).
            views: Vectors of pictures, (K, D).
            batch: Pairs of places and groups: `pair_place`, `pair_group`, `pair_anchor`, `pair_m`, each (E,); `view_group`
                (K,), ascending.
        Returns:
            (P, D), and which places have one, (P,) bool.
        """
        place = batch["pair_place"]
        if self.street_gate is None or not len(place):
            return torch.zeros_like(text), torch.zeros(len(text), dtype=torch.bool, device=text.device)
        groups = int(batch["view_group"].max()) + 1
        seen = self.street_gate(views, batch["view_group"], groups, batch["pair_group"], batch["pair_anchor"])
        config = self.config
        found = spatial_consistency(text, seen, batch["pair_m"], place, config.street_reach_m, config.temperature)
        return found, torch.bincount(place, minlength=len(text)) > 0

    def fuse(self, text: Tensor, street: Tensor, has_street: Tensor, polygon: Tensor, has_polygon: Tensor) -> Tensor:
        """Places out of what they have (eq. 23 to 25); one that has only a text is that text, (P, D)."""
        fused = text
        for module, other, has in (
            (self.with_street, street, has_street),
            (self.with_polygon, polygon, has_polygon),
        ):
            if module is not None and bool(has.any()):
                rows = has.nonzero()[:, 0]
                fused = fused.index_copy(0, rows, module(fused[rows], other[rows]).to(fused.dtype))
        return fused

    def part(self, name: str) -> nn.Module:
        """An encoder that must be there.

        Raises:
            ConfigError: the network was made without it.
        """
        module = getattr(self, name)
        if not isinstance(module, nn.Module):
            raise ConfigError(f"The network was made without its part '{name}'.", "Prepare the data of this city.")
        return module


def spread_rows(rows: Tensor, place: Tensor, like: Tensor) -> Tensor:
    """Rows (M, D) put at places (M,) of a matrix of zeros that is otherwise like another, (N, D)."""
    return torch.zeros_like(like).index_copy(0, place, rows.to(like.dtype))


def region_means(places: Tensor, region: Tensor, like: Tensor) -> Tensor:
    """Mean of the places (M, D) of each region (eq. 26), (R, D); 0 for one without any."""
    return mean_by(places, region, len(like)).to(like.dtype)


def trained_parts(config: UrbanMfmConfig, stage: str) -> Sequence[str]:
    """The parts of the network that a stage trains, by the names of their parameters."""
    sees = set(config.sees)
    place = [
        *(["street", "street_gate"] if "streetview" in sees else []),
        *(["polygon"] if "buildings" in sees else []),
    ]
    if stage == "poi_road":
        return ["text"]
    if stage == "street_view":
        return ["street", *(["text"] if "scenes" in sees else [])]
    if stage == "local":
        return ["text", "local", *place]
    if stage == "satellite":
        return ["sky"]
    fusion = [
        *(["with_street"] if "streetview" in sees else []),
        *(["with_polygon"] if "buildings" in sees else []),
    ]
    return [
        "around",
        *(["sky"] if "imagery" in sees else []),
        *(["features"] if "features" in sees else []),
        *(["text", *place, *fusion] if config.reads_pois else []),
    ]

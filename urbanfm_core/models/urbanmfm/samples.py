"""What each of UrbanMFM's stages draws its batches from.

All that is random (which place of a road, which picture of a group, which neighbours are dropped, what is swapped) is
drawn anew for each batch from torch's random state, so that a run that goes on draws what the unbroken one draws. What
several graphs of a batch share is gathered, and encoded, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.data.neighbours import NeighbourLists, ranges, starts_of
from urbanfm_core.models.urbanmfm.city import (
    PLACE_UNIT_M,
    REGION_UNIT_M,
    Lists,
    MfmCity,
    graph_batch,
    place_batch,
    to_device,
)
from urbanfm_core.models.urbanmfm.config import UrbanMfmConfig


@dataclass(frozen=True)
class StageSamples:
    """Samples of one stage.

    Attributes:
        city: Where they come from.
        config: Bounds and shares.
        rows: (N,) which roads, groups, places or regions are the samples.
        device: Where batches go.
    """

    city: MfmCity
    config: UrbanMfmConfig
    rows: NDArray[np.int64]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> StageSamples:
        return replace(self, device=device)

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**62, (1,))))
        drawn = self.draw(self.rows[indices.cpu().numpy()], rng)
        return {f"{self.stage}/{name}": tensor for name, tensor in to_device(drawn, self.device).items()}

    @property
    def stage(self) -> str:
        """Its name."""
        raise NotImplementedError

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
        """Arrays and tensors of some of the samples."""
        raise NotImplementedError


@dataclass(frozen=True)
class PoiRoadSamples(StageSamples):
    """Roads with two places or more: one of them, and the mean of all (eq. 6 and 7)."""

    @property
    def stage(self) -> str:
        return "poi_road"

    @classmethod
    def of(cls, city: MfmCity, config: UrbanMfmConfig) -> PoiRoadSamples:
        counts = np.zeros(0, np.int64) if city.roads is None else city.roads.counts()
        return cls(city, config, np.flatnonzero(counts >= 2))

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
        if self.city.roads is None:
            return {}
        road, place = self.city.roads.take(rows, self.config.max_road_pois, rng)
        counts = np.bincount(road, minlength=len(rows))
        chosen = starts_of(counts)[:-1] + rng.integers(0, counts)
        distinct, member = np.unique(place, return_inverse=True)
        text = self.city.texts[torch.from_numpy(self.city.place_text[distinct])]
        return {"text": text, "member": member, "road": road, "chosen": member[chosen]}


@dataclass(frozen=True)
class StreetViewSamples(StageSamples):
    """Groups of two pictures or more: two headings of a group, against all pictures of the others (eq. 9)."""

    @property
    def stage(self) -> str:
        return "street_view"

    @classmethod
    def of(cls, city: MfmCity, config: UrbanMfmConfig) -> StreetViewSamples:
        counts = np.zeros(0, np.int64) if city.groups is None else np.diff(city.groups.starts)
        return cls(city, config, np.flatnonzero(counts >= 2))

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
        city = self.city
        if city.groups is None or city.street is None:
            return {}
        counts = np.diff(city.groups.starts)[rows]
        first = starts_of(counts)[:-1]
        anchor = rng.integers(0, counts)
        other = (anchor + rng.integers(1, counts)) % counts
        position = ranges(city.groups.starts[rows], counts)
        drawn: dict[str, Any] = {
            "pictures": city.street.take(city.view[position], self.device),
            "group": np.repeat(np.arange(len(rows)), counts),
            "anchor": first + anchor,
            "positive": first + other,
        }
        if city.scenes is not None:
            place, text = city.scenes.take(rows)
            distinct, member = np.unique(text, return_inverse=True)
            drawn |= {"text": city.texts[torch.from_numpy(distinct)], "scene": member, "scene_group": place}
        return drawn


@dataclass(frozen=True)
class LocalSamples(StageSamples):
    """Places with those around them, and the same graph with nodes dropped and shown in another way (eq. 16)."""

    street: NDArray[np.bool_] | None = None

    @property
    def stage(self) -> str:
        return "local"

    @classmethod
    def of(cls, city: MfmCity, config: UrbanMfmConfig) -> LocalSamples:
        return cls(city, config, np.arange(len(city)), street=city.sees_street(config.street_reach_m))

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
        config, city = self.config, self.city
        near = city.index.near_rows(rows, config.reach_m, config.max_neighbours)
        graphs, fewer = near.ego_graphs(rows), without_some(near, config.drop, rng).ego_graphs(rows)
        places, node = np.unique(graphs.node, return_inverse=True)
        polygon = city.has_polygon[places]
        street = self.street[places] if self.street is not None else np.zeros(len(places), bool)
        swapped = (rng.random(len(places)) < config.swap) & (polygon | street)
        as_polygon = swapped & polygon & (~street | (rng.random(len(places)) < 0.5))
        return {
            **place_batch(city, places, swapped & ~as_polygon, as_polygon, config, self.device, rng=rng),
            **graph_batch(graphs, PLACE_UNIT_M, ""),
            **graph_batch(fewer, PLACE_UNIT_M, "positive_"),
            "node": node,
            "positive_node": np.searchsorted(places, fewer.node),
        }


@dataclass(frozen=True)
class SatelliteSamples(StageSamples):
    """Regions with a picture, each with one that is alike by its points and roads (eq. 21 and 22)."""

    @property
    def stage(self) -> str:
        return "satellite"

    @classmethod
    def of(cls, city: MfmCity, config: UrbanMfmConfig) -> SatelliteSamples:
        if city.alike is None:
            return cls(city, config, np.empty(0, np.int64))
        seen = city.has("macro")
        owner = np.repeat(np.arange(city.regions), city.alike.counts())
        owner[~seen[city.alike.index] | ~seen[owner]] = -1
        city = replace(city, alike=Lists.of_pairs(owner, city.alike.index, city.regions))
        return cls(city, config, np.flatnonzero(city.alike.counts() > 0) if city.alike else np.empty(0, np.int64))

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
        if self.city.alike is None or self.city.sky is None:
            return {}
        _, partner = self.city.alike.take(rows, 1, rng)
        regions, place = np.unique(np.concatenate([rows, partner]), return_inverse=True)
        return {
            "pictures": self.city.sky.take(regions, self.device),
            "anchor": place[: len(rows)],
            "positive": place[len(rows) :],
        }


@dataclass(frozen=True)
class GlobalSamples(StageSamples):
    """Regions with those around them, and the same graph with nodes shown in another way (eq. 27)."""

    street: NDArray[np.bool_] | None = None

    @property
    def stage(self) -> str:
        return "global"

    @classmethod
    def of(cls, city: MfmCity, config: UrbanMfmConfig) -> GlobalSamples:
        shown = np.asarray(kinds_of(city, config).any(axis=1))
        adjacent = only(city.adjacent, shown)
        return cls(
            replace(city, adjacent=adjacent),
            config,
            np.flatnonzero(shown),
            street=city.sees_street(config.street_reach_m),
        )

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
        config, city = self.config, self.city
        graphs = city.adjacent.take(rows).ego_graphs(rows)
        regions, node = np.unique(graphs.node, return_inverse=True)
        can = kinds_of(city, config)[regions]
        kind = can.argmax(axis=1)
        other = can.copy()
        other[np.arange(len(regions)), kind] = False
        choice = np.where(other, rng.random(other.shape), -1.0).argmax(axis=1)
        swapped = other.any(axis=1) & (rng.random(len(regions)) < config.swap)
        positive = np.where(swapped, choice, kind)
        drawn = {
            **graph_batch(graphs, REGION_UNIT_M, ""),
            "node": node,
            "kind": kind,
            "positive_kind": positive,
        }
        wanted = {name: (kind == row) | (positive == row) for row, name in enumerate(config.kinds)}
        if "macro" in wanted and city.sky is not None:
            place = np.flatnonzero(wanted["macro"])
            drawn |= {"sky": city.sky.take(regions[place], self.device), "sky_place": place}
        if "features" in wanted and city.features is not None:
            place = np.flatnonzero(wanted["features"])
            drawn |= {"features": city.features[regions[place]], "features_place": place}
        if "micro" in wanted:
            asking = np.flatnonzero(wanted["micro"])
            owner, member = city.region_places.take(regions[asking], config.max_region_pois, rng)
            places, place = np.unique(member, return_inverse=True)
            everything = np.ones(len(places), bool)
            street = everything if self.street is None else self.street[places]
            drawn |= place_batch(city, places, street, everything, config, self.device, rng=rng)
            drawn |= {"member": place, "member_region": asking[owner]}
        return drawn


@dataclass(frozen=True)
class JointSamples:
    """A batch of one stage, or of all at once (paper, figure 4); shorter stages begin anew.

    Attributes:
        stages: Their samples.
        epoch_samples: Samples of an epoch, of which each batch draws its own at random; 0 for every sample once.
    """

    stages: Sequence[StageSamples]
    epoch_samples: int = 0

    def __len__(self) -> int:
        return self.epoch_samples or max(len(stage) for stage in self.stages)

    def to(self, device: torch.device) -> JointSamples:
        return replace(self, stages=[stage.to(device) for stage in self.stages])

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        drawn: dict[str, Tensor] = {}
        for stage in self.stages:
            # A sample twice in a batch would be its own negative.
            some = torch.randperm(len(stage))[: len(indices)] if self.epoch_samples else (indices % len(stage)).unique()
            drawn |= stage.batch(some)
        return drawn


def kinds_of(city: MfmCity, config: UrbanMfmConfig) -> NDArray[np.bool_]:
    """Which of the network's kinds each region can show itself as, (R, K)."""
    return np.stack([city.has(kind) for kind in config.kinds], axis=1)


def without_some(lists: NeighbourLists, share: float, rng: np.random.Generator) -> NeighbourLists:
    """Lists that lack a random share of their rows."""
    return lists.where(rng.random(len(lists.index)) >= share)


def only(lists: NeighbourLists, allowed: NDArray[np.bool_]) -> NeighbourLists:
    """Lists without the rows that are not allowed, (R,) bool."""
    return lists.where(allowed[lists.index])

"""A city as UrbanMFM's stages draw from it: tables of places, streets, pictures and regions, and batches of places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.data.buildings import PackedShapes
from urbanfm_core.data.image_store import ImageStatistics, StoredImages
from urbanfm_core.data.neighbours import EgoGraphs, NeighbourLists, PointIndex, ranges, starts_of
from urbanfm_core.data.street_groups import StreetGroups
from urbanfm_core.models.image_text.augment import plain
from urbanfm_core.models.urbanmfm.config import UrbanMfmConfig

# Edges weigh 1 / distance, measured so that near ones weigh about 1: in 100 m between places, in km between regions.
PLACE_UNIT_M, REGION_UNIT_M = 100.0, 1000.0


@dataclass(frozen=True)
class ShownPictures:
    """Pictures with the colours that the network learns or learned from.

    Attributes:
        images: Pictures as bytes.
        statistics: Their mean and deviation.
    """

    images: StoredImages
    statistics: ImageStatistics

    def take(self, rows: NDArray[np.int64], device: torch.device) -> Tensor:
        """Some of the pictures as a network reads them, (N, 3, H, W); 0 where there are no data."""
        rgb, valid = self.images.take(rows)
        mean = np.rint(np.array(self.statistics.mean) * 255).astype(np.uint8)
        filled = np.where(valid[:, None], rgb, mean[:, None, None])
        return plain(torch.from_numpy(filled).to(device), self.statistics)


@dataclass(frozen=True)
class Lists:
    """For each of N owners some rows.

    Attributes:
        starts: (N + 1,) int64.
        index: (E,) int64.
    """

    starts: NDArray[np.int64]
    index: NDArray[np.int64]

    @classmethod
    def of_pairs(cls, owner: NDArray[np.int64], index: NDArray[np.int64], owners: int) -> Lists:
        """Pairs in any order; those of owner -1 are left out."""
        kept = owner >= 0
        owner, index = owner[kept], index[kept]
        return cls(starts_of(np.bincount(owner, minlength=owners)), index[np.argsort(owner, kind="stable")])

    def __len__(self) -> int:
        return len(self.starts) - 1

    def counts(self) -> NDArray[np.int64]:
        """(N,)."""
        return np.diff(self.starts)

    def take(
        self, owners: NDArray[np.int64], most: int | None = None, rng: np.random.Generator | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of some owners.

        Args:
            owners: (K,).
            most: Rows of each, drawn at random where there are more; None for all.
            rng: Source of that.
        Returns:
            Place of each row's owner in `owners`, ascending, and the rows, both (M,).
        """
        counts = self.counts()[owners]
        place = np.repeat(np.arange(len(owners)), counts)
        at = ranges(self.starts[owners], counts)
        if most is not None and rng is not None and len(at) and counts.max() > most:
            order = np.lexsort((rng.random(len(at)), place))
            kept = order[ranges(np.zeros(len(counts), np.int64), counts) < most]
            place, at = place[kept], at[kept]
        return place, self.index[at]


@dataclass(frozen=True)
class MfmCity:
    """What is known of P places, G groups of street views and R regions; what the city lacks is None or empty.

    Attributes:
        texts: Distinct texts: frozen vectors (U, T) float32, or tokens (U, L) int64 with -1 as padding.
        place_text: (P,) row in `texts`.
        source: (P,) row of each place among the city's points of interest.
        xy: (P, 2) metres, in the CRS of `groups`.
        shapes: Outlines of polygons.
        area: (B,) float32 share log(1 + m2) / log(1 + largest).
        polygon: (P,) row of a place's polygon, -1 for none.
        groups: Groups of street views.
        street: Their pictures.
        view: (S,) row of the picture at each position of `groups.view`.
        scenes: Rows in `texts` of what is said of each group.
        roads: Places on each road.
        regions: R.
        region_places: Places in each region.
        sky: Pictures of regions from above.
        adjacent: Regions around each, with metres between their centres.
        alike: Regions that are alike to each.
        features: (R, F) float32 numbers of regions, scaled; NaN in all for a region without.
    """

    texts: Tensor
    place_text: NDArray[np.int64]
    xy: NDArray[np.float64]
    regions: int
    region_places: Lists
    adjacent: NeighbourLists
    source: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    shapes: PackedShapes | None = None
    area: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    polygon: NDArray[np.int64] | None = None
    groups: StreetGroups | None = None
    street: ShownPictures | None = None
    view: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    scenes: Lists | None = None
    roads: Lists | None = None
    sky: ShownPictures | None = None
    alike: Lists | None = None
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.place_text)

    @cached_property
    def index(self) -> PointIndex:
        """Of the places."""
        return PointIndex(self.xy)

    @cached_property
    def group_index(self) -> PointIndex | None:
        """Of the groups of street views."""
        return None if self.groups is None else PointIndex(self.groups.xy)

    def sees_street(self, reach_m: float) -> NDArray[np.bool_]:
        """Places with a group of street views in reach, (P,)."""
        if self.group_index is None:
            return np.zeros(len(self), bool)
        return self.group_index.near(self.xy, reach_m, 1).counts() > 0

    @property
    def has_polygon(self) -> NDArray[np.bool_]:
        """Places with a polygon, (P,)."""
        return np.zeros(len(self), bool) if self.polygon is None else self.polygon >= 0

    def has(self, kind: str) -> NDArray[np.bool_]:
        """Regions that can show themselves as one of `KINDS`, (R,)."""
        if kind == "macro":
            return np.zeros(self.regions, bool) if self.sky is None else self.sky.images.has_image
        if kind == "features":
            known = np.zeros(self.regions, bool) if self.features is None else ~np.isnan(self.features).all(axis=1)
            return np.asarray(known)
        return self.region_places.counts() > 0


def place_batch(
    city: MfmCity,
    places: NDArray[np.int64],
    street: NDArray[np.bool_],
    polygon: NDArray[np.bool_],
    config: UrbanMfmConfig,
    device: torch.device,
    *,
    pictures: bool = True,
    rng: np.random.Generator | None = None,
) -> dict[str, Tensor]:
    """What the network is given of N distinct places.

    Args:
        city: The city.
        places: (N,).
        street: Which of them are to have a street view, (N,); those with a group in reach get one.
        polygon: Which are to have their polygon, (N,), where they have one.
        config: Reaches and bounds.
        device: Where the tensors go.
        pictures: Whether the pictures of street views are read; else `views` (K,) tells their rows.
        rng: Chooses among more groups of street views than a training step takes; None takes all.
    """
    batch: dict[str, Any] = {"text": city.texts[torch.from_numpy(city.place_text[places])]}
    if city.groups is not None and city.group_index is not None:
        asking = np.flatnonzero(street)
        near = city.group_index.near(city.xy[places[asking]], config.street_reach_m, config.max_groups)
        if rng is not None:
            near = _of_some(near, config.step_groups, rng)
        place = np.repeat(asking, near.counts())
        used, group = np.unique(near.index, return_inverse=True)
        counts = np.diff(city.groups.starts)[used]
        position, first = ranges(city.groups.starts[used], counts), starts_of(counts)
        facing = city.groups.facing(city.xy[places[place]], near.index)
        anchor = np.where(facing >= 0, facing - city.groups.starts[near.index] + first[group], -1)
        batch |= {
            "pair_place": place,
            "pair_group": group.astype(np.int64),
            "pair_anchor": anchor.astype(np.int64),
            "pair_m": near.distance_m,
            "view_group": np.repeat(np.arange(len(used)), counts),
        }
        if pictures and city.street is not None:
            batch["pictures"] = city.street.take(city.view[position], device)
        else:
            batch["views"] = position
    if city.shapes is not None and city.polygon is not None:
        place = np.flatnonzero(polygon & city.has_polygon[places])
        rows = city.polygon[places[place]]
        batch |= {"shapes": city.shapes.batch(rows), "area": city.area[rows], "shape_place": place}
    return to_device(batch, device)


def _of_some(lists: NeighbourLists, most: int, rng: np.random.Generator) -> NeighbourLists:
    """Lists with at most so many distinct rows, drawn at random."""
    used = np.unique(lists.index)
    return lists if len(used) <= most else lists.where(np.isin(lists.index, rng.choice(used, most, replace=False)))


def graph_batch(graphs: EgoGraphs, unit_m: float, name: str) -> dict[str, Any]:
    """Ego graphs as tensors for `GraphEncoder`, all but the rows behind the nodes; names begin with `name`."""
    return {
        f"{name}edges": graphs.edge_index,
        f"{name}weight": (graphs.weight * unit_m).astype(np.float32),
        f"{name}graph": graphs.graph,
    }


def to_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Tensor]:
    """Arrays and tensors as tensors there."""
    return {
        name: (value if isinstance(value, Tensor) else torch.from_numpy(np.ascontiguousarray(value))).to(device)
        for name, value in batch.items()
    }

"""How points of interest and roads are spread over each region (UrbanMFM, eq. 17 to 20), and which regions are alike (21)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.neighbours import NeighbourLists
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.roads import RoadNetwork


@dataclass(frozen=True)
class Distribution:
    """Numbers that describe R regions.

    Attributes:
        values: (R, F) float64.
        names: F names.
        notes: What a report should mention.
    """

    values: NDArray[np.float64]
    names: list[str]
    notes: list[str] = field(default_factory=list)


def poi_distribution(
    pois: PoiSet, category: NDArray[np.object_], regions: RegionSet, eps_m: float = 120.0, min_points: int = 2
) -> Distribution:
    """[radius, density] of every category in every region, (R, 2 C); radius over that of a circle as large as the
    region, density per km2."""
    raise NotImplementedError


def road_distribution(roads: RoadNetwork, regions: RegionSet) -> Distribution:
    """[km of road per km2, intersections per km2], (R, 2)."""
    raise NotImplementedError


def similar_regions(
    pois: Distribution, roads: Distribution | None, threshold: float = 0.95, limit: int = 32
) -> NeighbourLists:
    """Positive partners of each region (eq. 21): the most alike with both cosines at least `threshold`, at most `limit`.

    `distance_m` of these lists is no distance on the ground but 1 - cosine, summed over both.
    """
    raise NotImplementedError

"""Which regions are neighbours: those that touch, and for islands the nearest; only distances of centres, in metres."""

from __future__ import annotations

from urbanfm_core.data.neighbours import NeighbourLists
from urbanfm_core.data.regions import RegionSet

TOUCH_M = 1.0
ISLAND_NEIGHBOURS = 3


def region_adjacency(
    regions: RegionSet, touch_m: float = TOUCH_M, island_neighbours: int = ISLAND_NEIGHBOURS
) -> NeighbourLists:
    """Neighbours of every region: by queen contiguity, of islands the nearest by centre.

    Returns:
        R lists, nearest centre first; symmetric but for islands. Notes count the islands.
    """
    raise NotImplementedError

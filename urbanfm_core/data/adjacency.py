"""Which regions are neighbours: those that touch, and for islands the nearest; of places only distances between centres."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import geopandas
import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.neighbours import NeighbourLists, PointIndex, starts_of
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, MissingDependencyError
from urbanfm_core.geo.crs import metric_crs

TOUCH_M = 1.0
ISLAND_NEIGHBOURS = 3


def region_adjacency(
    regions: RegionSet, touch_m: float = TOUCH_M, island_neighbours: int = ISLAND_NEIGHBOURS
) -> NeighbourLists:
    """Neighbours of every region: by queen contiguity (a shared border or corner), of islands the nearest by centre.

    Args:
        regions: R regions; they may overlap, and gaps or overlaps up to the tolerance do not matter.
        touch_m: Borders no farther apart than this touch, metres; above 0.
        island_neighbours: How many neighbours a region gets that touches none; 0 leaves it alone.

    Returns:
        R lists, nearest centre first, symmetric; distances are those between centres of mass.

    Raises:
        ConfigError: a tolerance or a number that makes no sense.
        MissingDependencyError: libpysal is not installed.
    """
    if not touch_m > 0 or island_neighbours < 0:
        raise ConfigError(
            f"Neighbours within {touch_m:g} m, {island_neighbours} of an island, cannot be found.",
            "Give a tolerance above 0 and a number from 0.",
        )
    crs = metric_crs(regions.crs, regions.bounds())
    centres = regions.centroid_xy(crs)
    pairs = _touching(regions.to_crs(crs).geometry, touch_m)
    islands = np.setdiff1d(np.arange(len(regions)), pairs)
    notes = []
    if len(islands) and len(regions) > 1:
        notes.append(
            f"{len(islands):,} of {len(regions):,} regions touch no other; their neighbours are the "
            f"{island_neighbours} nearest by centre."
        )
    if len(islands) and island_neighbours and len(regions) > 1:
        near = PointIndex(centres).near_rows(islands, np.inf, island_neighbours)
        bridges = np.column_stack([np.repeat(islands, near.counts()), near.index])
        pairs = np.concatenate([pairs, bridges, bridges[:, ::-1]])
    pairs = np.unique(pairs, axis=0)
    distance = np.hypot(*(centres[pairs[:, 0]] - centres[pairs[:, 1]]).T)
    order = np.lexsort((pairs[:, 1], distance, pairs[:, 0]))
    counts = np.bincount(pairs[:, 0], minlength=len(regions)).astype(np.int64)
    return NeighbourLists(starts_of(counts), pairs[order, 1], distance[order].astype(np.float32), notes)


def _touching(geometry: NDArray[np.object_], touch_m: float) -> NDArray[np.int64]:
    """Pairs of polygons that touch, (K, 2), both ways."""
    if find_spec("libpysal") is None:
        raise MissingDependencyError("libpysal", "Finding adjacent regions", "graph")
    from libpysal.graph import Graph

    if len(geometry) < 2:
        return np.zeros((0, 2), np.int64)
    with warnings.catch_warnings():
        # Islands, of which it warns, are dealt with here.
        warnings.simplefilter("ignore")
        graph = Graph.build_fuzzy_contiguity(geopandas.GeoSeries(list(geometry)), buffer=touch_m / 2)
    table = graph.adjacency
    focal, neighbour = (table.index.get_level_values(name).to_numpy(np.int64) for name in ("focal", "neighbor"))
    # An island stands in the table as its own neighbour of no weight.
    kept = focal != neighbour
    return np.column_stack([focal[kept], neighbour[kept]])

"""Clusters that are connected on the map: Ward's method, which merges neighbours only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import Delaunay

from urbanfm_core.data.adjacency import region_adjacency
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import InputError
from urbanfm_core.geo.crs import metric_crs
from urbanfm_core.progress import Progress

Links = npt.NDArray[np.int64]
# Ward's method takes about half a minute for 100,000 regions of 64 dimensions.
MOST_REGIONS = 200_000


def neighbour_links(regions: RegionSet, notes: list[str]) -> Links:
    """Pairs of neighbours that connect all regions, (E, 2).

    Regions that touch are neighbours. What this leaves apart, islands and groups of regions, is joined by the shortest
    lines between centres that connect everything.

    Args:
        regions: R regions.
        notes: Hears how many such lines there are.
    Raises:
        InputError: more than 200,000 regions.
        MissingDependencyError: libpysal is not installed.
    """
    if len(regions) > MOST_REGIONS:
        raise InputError(
            f"{len(regions):,} regions are too many for connected clusters; {MOST_REGIONS:,} are the most.",
            "Cluster without contiguity, or larger regions.",
        )
    near = region_adjacency(regions, island_neighbours=0)
    touching = np.column_stack([np.repeat(np.arange(len(regions)), near.counts()), near.index])
    bridges = _bridges(regions.centroid_xy(metric_crs(regions.crs, regions.bounds())), touching)
    if len(bridges):
        notes.append(
            f"{len(bridges) + 1:,} parts of the map touch no other; {len(bridges):,} links between their nearest centres "
            "connect them, and a cluster may reach across these."
        )
    return np.concatenate([touching, bridges])


def connected_labels(
    vectors: npt.NDArray[np.float32], links: Links, counts: list[int], progress: Progress | None = None
) -> list[npt.NDArray[np.int32]]:
    """Connected clusters for several numbers of them, from one tree of merges.

    Ward's method (1963) with a constraint: of all pairs of clusters that a link connects, the two whose union adds least
    to the squared distances from the centres are merged, until one is left.

    Args:
        vectors: (N, D) finite.
        links: (E, 2) pairs of rows, which connect all of them.
        counts: Numbers of clusters, each in [1, N].
        progress: Asked whether to stop.
    Returns:
        For each number, (N,) labels from 0.
    """
    from sklearn.cluster import ward_tree

    progress = progress or Progress()
    rows = len(vectors)
    ones = np.ones(len(links))
    graph = csr_array((ones, (links[:, 0], links[:, 1])), shape=(rows, rows))
    progress.update(0.0, f"Merging {rows:,} neighbouring regions")
    children = np.asarray(ward_tree(vectors, connectivity=graph + graph.T)[0], np.int64)
    found = []
    for count in counts:
        progress.check()
        # The first merges, each a new node that holds two others.
        merged = children[: rows - count]
        nodes = rows + np.arange(len(merged))
        ends = merged.ravel(), np.repeat(nodes, 2)
        forest = coo_array((np.ones(2 * len(merged)), ends), shape=(2 * rows, 2 * rows))
        _, label = connected_components(forest, directed=False)
        found.append(np.unique(label[:rows], return_inverse=True)[1].astype(np.int32))
    progress.update(1.0)
    return found


def _bridges(centres: npt.NDArray[np.float64], links: Links) -> Links:
    """The fewest and shortest lines between centres, (B, 2), that connect what links leave apart."""
    rows = len(centres)
    parts, part = connected_components(_graph(links, np.ones(len(links)), rows), directed=False)
    if parts == 1:
        return np.empty((0, 2), np.int64)
    possible = _lines(centres)
    possible = possible[part[possible[:, 0]] != part[possible[:, 1]]]
    # Among the parts, the shortest line of each pair; one of no length still has to count.
    length = np.maximum(np.hypot(*(centres[possible[:, 0]] - centres[possible[:, 1]]).T), 1e-6)
    ends = np.sort(part[possible], axis=1)
    order = np.lexsort((length, ends[:, 1], ends[:, 0]))
    _, first = np.unique(ends[order], axis=0, return_index=True)
    shortest = order[first]
    tree = minimum_spanning_tree(_graph(ends[shortest], length[shortest], parts)).tocoo()
    taken = {(int(one), int(other)) for one, other in zip(tree.row, tree.col, strict=True)}
    kept = [row for row in shortest if (int(ends[row, 0]), int(ends[row, 1])) in taken]
    return np.asarray(possible[kept])


def _lines(centres: npt.NDArray[np.float64]) -> Links:
    """Lines between centres, (L, 2), among which are the shortest that connect all: those of Delaunay's triangles."""
    places, first, own = np.unique(centres, axis=0, return_index=True, return_inverse=True)
    doubles = np.column_stack([first[own.ravel()], np.arange(len(centres))])
    doubles = doubles[doubles[:, 0] != doubles[:, 1]]
    spread = places - places.mean(axis=0)
    values, axes = np.linalg.eigh(spread.T @ spread)
    if len(places) < 3 or values[0] <= 1e-12 * values[1]:
        # Places in a line.
        order = np.argsort(spread @ axes[:, 1], kind="stable")
        found = np.column_stack([order[:-1], order[1:]])
    else:
        corners = Delaunay(spread).simplices
        found = np.unique(np.sort(corners[:, [0, 1, 0, 2, 1, 2]].reshape(-1, 2), axis=1), axis=0)
    return np.concatenate([first[found], doubles]).astype(np.int64)


def _graph(links: Links, weight: npt.NDArray[np.float64], rows: int) -> csr_array:
    return csr_array((weight, (links[:, 0], links[:, 1])), shape=(rows, rows))

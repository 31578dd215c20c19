"""Neighbours in metres: which points lie near which, and the star-shaped graphs that a centre and its neighbours make.

Cost and memory are near-linear in the points: each query looks for a bounded number of neighbours in a tree, and
points that share one place are held once. Nothing is computed for points that nobody asks about, so a training step
over a million points costs what its own batch costs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.spatial
from numpy.typing import NDArray

from urbanfm_core.errors import ConfigError, ShapeError

# Two places of less distance weigh as if they were this far apart: a weight of 1 / distance must stay finite.
NEAREST_M = 1.0
# Queries answered at once, so that memory depends on the neighbours asked for and not on the number of queries.
_CHUNK = 1 << 14


@dataclass(frozen=True)
class NeighbourLists:
    """For each of N rows the rows near it, nearest first.

    Attributes:
        starts: (N + 1,) int64; the neighbours of row i are `index[starts[i] : starts[i + 1]]`.
        index: (E,) int64 rows of what is near.
        distance_m: (E,) float32 metres.
        notes: What a report should mention.
    """

    starts: NDArray[np.int64]
    index: NDArray[np.int64]
    distance_m: NDArray[np.float32]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def counts(self) -> NDArray[np.int64]:
        """Neighbours of each row, (N,)."""
        return np.diff(self.starts)

    def of(self, row: int) -> NDArray[np.int64]:
        """The neighbours of one row."""
        return self.index[self.starts[row] : self.starts[row + 1]]

    def take(self, rows: NDArray[np.int64]) -> NeighbourLists:
        """The lists of some rows, in that order; their notes stay behind."""
        first, length = self.starts[rows], self.counts()[rows]
        places = ranges(first, length)
        return NeighbourLists(starts_of(length), self.index[places], self.distance_m[places])

    def where(self, keep: NDArray[np.bool_]) -> NeighbourLists:
        """The lists without the entries, (E,), that are not to be kept."""
        owner = np.repeat(np.arange(len(self)), self.counts())[keep]
        starts = starts_of(np.bincount(owner, minlength=len(self)))
        return NeighbourLists(starts, self.index[keep], self.distance_m[keep], self.notes)

    def ego_graphs(self, centres: NDArray[np.int64]) -> EgoGraphs:
        """Graphs of some centres with their lists as one disjoint graph (UrbanMFM, sections IV-B2 and IV-B4).

        Args:
            centres: (N,) row of what each list belongs to, among the same rows as `index`.

        Raises:
            ShapeError: not one centre per list.
        """
        if len(centres) != len(self):
            raise ShapeError(f"{len(centres)} centres for {len(self)} lists of neighbours.")
        counts = self.counts()
        first = self.starts[:-1] + np.arange(len(self))
        graph = np.repeat(np.arange(len(self)), counts + 1)
        node = np.empty(len(graph), np.int64)
        spoke = np.ones(len(graph), bool)
        spoke[first] = False
        node[first], node[spoke] = centres, self.index
        outer = np.flatnonzero(spoke)
        middle = first[graph[outer]]
        weight = (1 / np.maximum(self.distance_m, NEAREST_M)).astype(np.float32)
        edges = np.stack([np.concatenate([outer, middle]), np.concatenate([middle, outer])])
        return EgoGraphs(node, graph, first, edges, np.concatenate([weight, weight]))


@dataclass(frozen=True)
class EgoGraphs:
    """G stars, each a centre joined to its neighbours both ways, as one graph without edges between them.

    Attributes:
        node: (M,) int64 row (of a point, a region) behind each node; the centre of a graph comes first.
        graph: (M,) int64 number of the graph of each node, ascending.
        centre: (G,) int64 node of each centre.
        edge_index: (2, E) int64 nodes from which and to which; first all edges to the centres, then all back.
        weight: (E,) float32 1 / metres, of no less than a metre.
    """

    node: NDArray[np.int64]
    graph: NDArray[np.int64]
    centre: NDArray[np.int64]
    edge_index: NDArray[np.int64]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.centre)


class PointIndex:
    """Points of a plane in metres, to be asked for those near others.

    Args:
        xy: (P, 2) finite coordinates in a metric CRS (`geo.crs.metric_crs`).

    Raises:
        ShapeError: not (P, 2), or not finite.
    """

    def __init__(self, xy: NDArray[np.float64]) -> None:
        points = np.asarray(xy, np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise ShapeError(f"Points have shape {points.shape}; expected finite (P, 2).")
        self.xy = points
        # Points on one spot are one place: a tree of a thousand equal points would search all of them each time.
        places, place_of = np.unique(points[:, 0] + 1j * points[:, 1], return_inverse=True)
        self._members = np.argsort(place_of, kind="stable")
        self._size = np.bincount(place_of, minlength=len(places))
        self._first = np.cumsum(self._size) - self._size
        self._tree = scipy.spatial.cKDTree(np.column_stack([places.real, places.imag]))

    def __len__(self) -> int:
        return len(self.xy)

    def near_rows(self, rows: NDArray[np.int64], radius_m: float, limit: int) -> NeighbourLists:
        """The nearest other points around some of the points themselves; see `near`."""
        return self.near(self.xy[rows], radius_m, limit, without=np.asarray(rows, np.int64))

    def near(
        self, xy: NDArray[np.float64], radius_m: float, limit: int, without: NDArray[np.int64] | None = None
    ) -> NeighbourLists:
        """The nearest points around some places, at most `limit` of those no farther than `radius_m`.

        Of points on one spot that do not all fit, different queries are given different ones.

        Args:
            xy: (Q, 2) places in the same CRS.
            radius_m: Largest distance, metres; above 0.
            limit: Most neighbours of a place; 1 or more.
            without: (Q,) a point that is not counted as its own neighbour.

        Raises:
            ConfigError: a radius or a limit that finds nothing.
        """
        if not radius_m > 0 or limit < 1:
            raise ConfigError(
                f"Neighbours within {radius_m:g} m, at most {limit}: nothing can be near.",
                "Give a radius above 0 and a limit of at least 1.",
            )
        queries = np.asarray(xy, np.float64)
        if not len(self) or not len(queries):
            return NeighbourLists(np.zeros(len(queries) + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        numbers = np.arange(len(queries)) if without is None else without
        parts = [
            self._near(queries[part], radius_m, limit, numbers[part], without is not None)
            for part in (slice(start, start + _CHUNK) for start in range(0, len(queries), _CHUNK))
        ]
        counts, index, distance = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
        return NeighbourLists(starts_of(counts), index, distance)

    def _near(
        self, xy: NDArray[np.float64], radius_m: float, limit: int, number: NDArray[np.int64], are_points: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Numbers of neighbours (Q,), and the neighbours of all queries in turn with their distances."""
        most = limit + are_points
        # The tree leaves out what is exactly at the bound.
        bound = np.nextafter(radius_m, np.inf)
        columns = list(range(1, min(most, self._tree.n) + 1))
        found = self._tree.query(xy, k=columns, distance_upper_bound=bound)
        distance, place = np.asarray(found[0]), np.asarray(found[1])
        size = np.where(np.isfinite(distance), np.append(self._size, 0)[place], 0)
        # Places after those that fill a query's list are not opened.
        query, column = np.nonzero((size > 0) & (np.cumsum(size, axis=1) - size < most))
        place, distance = place[query, column], distance[query, column]
        held = np.minimum(self._size[place], most)
        pair = np.repeat(np.arange(len(place)), held)
        turn = np.arange(len(pair)) - np.repeat(np.cumsum(held) - held, held) + number[query[pair]]
        point = self._members[self._first[place[pair]] + turn % self._size[place[pair]]]
        owner, metres = query[pair], distance[pair]
        if are_points:
            others = point != number[owner]
            owner, point, metres = owner[others], point[others], metres[others]
        counts = np.bincount(owner, minlength=len(xy))
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = rank < limit
        return np.minimum(counts, limit).astype(np.int64), point[kept], metres[kept].astype(np.float32)


def starts_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where runs of these lengths begin and end, (N + 1,)."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def ranges(first: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """first[0], first[0] + 1, ... (length[0] of them), first[1], ...: many ranges as one array."""
    shift = np.cumsum(length) - length
    joined: NDArray[np.int64] = np.arange(int(length.sum()), dtype=np.int64) + np.repeat(first - shift, length)
    return joined

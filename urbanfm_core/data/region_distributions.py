"""How points of interest and roads spread over each region (UrbanMFM, eq. 17 to 20), and which regions are alike (21).

Lengths are kilometres and areas square kilometres: in metres the densities are so small beside the radii, and crossings
beside lengths, that every pair of regions would count as alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.spatial
import shapely
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from urbanfm_core.data.neighbours import NeighbourLists, starts_of
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.roads import RoadNetwork
from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.geo.assign import Assignment, assign_to_polygons
from urbanfm_core.geo.crs import metric_crs, transform_xy
from urbanfm_core.progress import Progress

_KM2 = 1e6
# Points clustered at once; DBSCAN holds the neighbours of all of them.
_AT_ONCE = 1 << 15
# Regions compared with each other; a search tree in so many dimensions looks at a good part of them.
_COMPARED = 1 << 13


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
    pois: PoiSet,
    category: NDArray[np.object_],
    regions: RegionSet,
    eps_m: float = 120.0,
    min_points: int = 2,
    progress: Progress | None = None,
) -> Distribution:
    """Radius and density of every category in every region (UrbanMFM, eq. 17 to 19).

    The points of a category in a region are clustered by DBSCAN. The centre is the mean of the clusters' centroids, each
    counting once; the radius is the distance from it to the farthest point of a cluster, 0 without a cluster, over the
    radius of a circle as large as the region. The density counts all points, those of no cluster too, per km2.

    Args:
        pois: P points.
        category: (P,) text or None; points without one are counted in the notes and nowhere else.
        regions: R regions.
        eps_m: Largest distance of two neighbours in a cluster, in metres.
        min_points: Fewest points around a core point of a cluster, itself included.
        progress: Reports and cancels.

    Returns:
        (R, 2 C): radius and density of the first category, of the second, and so on, in order of their names.

    Raises:
        ShapeError: not one category per point.
        ConfigError: a distance or a number that makes no clusters.
    """
    if len(category) != len(pois):
        raise ShapeError(f"{len(category)} categories for {len(pois)} points of interest.")
    if not eps_m > 0 or min_points < 1:
        raise ConfigError(
            f"Clusters of {min_points} points within {eps_m:g} m do not exist.",
            "Give metres above 0 and a number from 1.",
        )
    progress = progress or Progress()
    crs = metric_crs(regions.crs, regions.bounds())
    xy = transform_xy(pois.xy, pois.crs, crs)
    code, names = pd.factorize(pd.Series(category), sort=True)
    found = regions.assign(pois.xy, pois.crs)
    notes = []
    if (code < 0).any():
        notes.append(f"{int((code < 0).sum()):,} of {len(pois):,} points of interest have no category.")
    if outside := found.unassigned(len(pois)):
        notes.append(f"{outside:,} of {len(pois):,} points of interest lie in none of the regions.")
    kept = code[found.point] >= 0
    point, region = found.point[kept], found.region[kept]
    # One group per region and category, its points side by side.
    group = region * max(len(names), 1) + code[point]
    order = np.argsort(group, kind="stable")
    point, group = point[order], group[order]
    radius = _radii(xy[point], group, len(regions) * len(names), eps_m, min_points, progress)
    count = np.bincount(group, minlength=len(regions) * len(names))
    area = regions.area_m2()[:, None]
    values = np.stack(
        [
            radius.reshape(len(regions), -1) * np.sqrt(math.pi / area),
            count.reshape(len(regions), -1) / (area / _KM2),
        ],
        axis=2,
    ).reshape(len(regions), -1)
    words = [f"{what} of {name}" for name in names for what in ("radius", "density per km2")]
    return Distribution(values, words, notes)


def road_distribution(roads: RoadNetwork, regions: RegionSet, progress: Progress | None = None) -> Distribution:
    """Length and intersections of roads per area (UrbanMFM, eq. 20).

    Roads are cut off at the region's border; one along the border of two regions counts in both. Intersections are nodes
    inside the region where three or more segments end; where one street is merely drawn in two pieces there is none.

    Args:
        roads: The network.
        regions: R regions.
        progress: Reports and cancels.

    Returns:
        (R, 2): km of road per km2, intersections per km2.
    """
    polygons = regions.to_crs(roads.crs).geometry
    node = roads.intersections()
    held = assign_to_polygons(roads.node_xy[node], polygons, progress)
    inside = shapely.contains_xy(polygons[held.region], *roads.node_xy[node[held.point]].T)
    crossings = Assignment(held.point[inside], held.region[inside]).counts(len(regions))
    tree = shapely.STRtree(roads.geometry)
    region, segment = tree.query(polygons, predicate="intersects")
    shapely.prepare(polygons)
    cut = ~shapely.covers(polygons[region], roads.geometry[segment])
    length = roads.length_m[segment].copy()
    length[cut] = shapely.length(shapely.intersection(polygons[region[cut]], roads.geometry[segment[cut]]))
    total = np.bincount(region, length, len(regions))
    km2 = regions.area_m2() / _KM2
    values = np.column_stack([total / 1000 / km2, crossings / km2])
    without = int((total == 0).sum())
    notes = [f"{without:,} of {len(regions):,} regions have no road."] if without else []
    return Distribution(values, ["road km per km2", "intersections per km2"], notes)


def similar_regions(
    pois: Distribution, roads: Distribution | None, threshold: float = 0.95, limit: int = 32
) -> NeighbourLists:
    """Positive partners of each region (UrbanMFM, eq. 21): those whose both cosines are at least the threshold.

    Of each region, the `limit` others that are most alike are looked at, by the sum of both cosines: all partners, where
    there are no more; otherwise the most alike of them, none falsely. More than 8,192 regions are dealt into random shares
    of at most so many, and each is compared with those of its share, so that the cost stays linear.

    Args:
        pois: Distribution of the points, R regions.
        roads: Distribution of the roads; None where there are none, so that the points decide alone.
        threshold: Least cosine, above 0 and up to 1.
        limit: Most partners of a region.

    Returns:
        R lists, most alike first. `distance_m` is no distance on the ground but 1 - cosine, summed over both.

    Raises:
        ShapeError: distributions of different regions.
        ConfigError: a threshold or a limit that makes no sense.
    """
    both = [pois] if roads is None else [pois, roads]
    rows = len(pois.values)
    if roads is not None and len(roads.values) != rows:
        raise ShapeError(f"Points of {rows} regions and roads of {len(roads.values)}.")
    if not 0 < threshold <= 1 or limit < 1:
        raise ConfigError(
            f"At most {limit} regions of cosine {threshold:g} cannot be found.", "Give a cosine in (0, 1], 1 or more."
        )
    norms = [np.linalg.norm(one.values, axis=1, keepdims=True) for one in both]
    known = np.flatnonzero(np.all([norm[:, 0] > 0 for norm in norms], axis=0))
    unit = [one.values[known] / norm[known] for one, norm in zip(both, norms, strict=True)]
    # Squared distances of unit vectors are 2 - 2 cosine, so both conditions together lie within this ball.
    bound = math.sqrt(2 * (1 - threshold) * len(both)) * (1 + 1e-9) + 1e-9
    shares = _shares(len(known))
    pairs = [_near_pairs(np.hstack([one[share] for one in unit]), limit, bound) for share in shares]
    first, second = np.hstack([share[pair] for share, pair in zip(shares, pairs, strict=True)])
    cosines = [np.einsum("ij,ij->i", one[first], one[second]) for one in unit]
    alike = np.flatnonzero((first != second) & np.all([cosine >= threshold for cosine in cosines], axis=0))
    # By region; the nearest stay first.
    alike = alike[np.argsort(first[alike], kind="stable")]
    first, second = first[alike], second[alike]
    apart = np.sum([1 - cosine[alike] for cosine in cosines], axis=0).astype(np.float32)
    # Among equals a region need not find itself, and has one too many.
    rank = np.arange(len(first)) - np.searchsorted(first, first)
    first, second, apart = first[rank < limit], second[rank < limit], apart[rank < limit]
    counts = np.bincount(known[first], minlength=rows).astype(np.int64)
    notes = []
    if len(shares) > 1:
        notes.append(f"{len(known):,} regions are compared within {len(shares)} shares of them, drawn at random.")
    if roads is None:
        notes.append("Without roads, regions are alike by their points of interest alone.")
    if len(known) < rows:
        lacking = "points of interest" if roads is None else "points of interest or roads"
        notes.append(f"{rows - len(known):,} of {rows:,} regions lack {lacking} and are like no other.")
    if alone := int((counts[known] == 0).sum()):
        notes.append(f"{alone:,} regions have no other that is alike by {threshold:g}.")
    return NeighbourLists(starts_of(counts), known[second], apart, notes)


def _shares(rows: int) -> list[NDArray[np.int64]]:
    """Rows dealt at random, always in the same way, into shares of about equal size."""
    order = np.random.default_rng(0).permutation(rows)
    return [np.sort(share) for share in np.array_split(order, max(1, -(-rows // _COMPARED)))]


def _near_pairs(points: NDArray[np.float64], limit: int, bound: float) -> NDArray[np.int64]:
    """Pairs of a row and one of the `limit` nearest to it within the bound, (2, K), by row, itself among them."""
    if not len(points):
        return np.zeros((2, 0), np.int64)
    columns = list(range(1, min(limit + 1, len(points)) + 1))
    found = scipy.spatial.cKDTree(points).query(points, k=columns, distance_upper_bound=bound)
    near = np.asarray(found[1])
    row, column = np.nonzero(near < len(points))
    return np.stack([row, near[row, column]]).astype(np.int64)


def _radii(
    xy: NDArray[np.float64], group: NDArray[np.int64], groups: int, eps_m: float, min_points: int, progress: Progress
) -> NDArray[np.float64]:
    """Distance from the centre of each group's clusters to the farthest point in one, (groups,).

    Groups are pushed apart along a line and clustered many at once, which changes nothing in any of them.
    """
    radius = np.zeros(groups)
    begin = np.flatnonzero(np.append(True, group[1:] != group[:-1]))[: len(group)]
    ends = np.append(begin[1:], len(group))
    start = 0
    while start < len(begin):
        progress.check()
        progress.update(start / len(begin), "clusters of points")
        stop = max(start + 1, int(np.searchsorted(ends, begin[start] + _AT_ONCE, side="right")))
        some = slice(begin[start], ends[stop - 1])
        _, own = np.unique(group[some], return_inverse=True)
        own_radius = _some_radii(xy[some], own, eps_m, min_points)
        radius[group[begin[start:stop]]] = own_radius
        start = stop
    return radius


def _some_radii(
    xy: NDArray[np.float64], group: NDArray[np.int64], eps_m: float, min_points: int
) -> NDArray[np.float64]:
    count = int(group[-1]) + 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, group, xy)
    np.maximum.at(high, group, xy)
    local = xy - low[group]
    width = high[:, 0] - low[:, 0] + 2 * eps_m
    apart = local.copy()
    apart[:, 0] += (np.cumsum(width) - width)[group]
    # Points on one spot are one with a weight, so that a thousand of them are not a million pairs.
    _, first, place = np.unique(apart[:, 0] + 1j * apart[:, 1], return_index=True, return_inverse=True)
    weight = np.bincount(place)
    label = DBSCAN(eps=eps_m, min_samples=min_points).fit(apart[first], sample_weight=weight).labels_[place]
    inside = np.flatnonzero(label >= 0)
    radius = np.zeros(count)
    if not len(inside):
        return radius
    cluster, size = label[inside], np.bincount(label[inside])
    centroid = np.column_stack([np.bincount(cluster, column) / size for column in local[inside].T])
    owner = np.zeros(len(size), np.int64)
    owner[cluster] = group[inside]
    clusters = np.bincount(owner, minlength=count)
    sums = np.column_stack([np.bincount(owner, column, count) for column in centroid.T])
    centre = sums / np.maximum(clusters, 1)[:, None]
    np.maximum.at(radius, group[inside], np.hypot(*(local[inside] - centre[group[inside]]).T))
    return radius

"""Sampling for UrbanMFM in cities of growing size: seconds of one core, memory, and how fast both grow with the points.

    python -m tests.benchmarks.neighbours                           1e4 and 1e5 points
    python -m tests.benchmarks.neighbours --points 1e4,1e5,1e6

Each size is a made-up city of the same density: clustered points of ten categories, one in twenty on one spot with others,
one region and 30 road segments per 30 points. Each runs in a process of its own, once. The exponent is how seconds grow
with the points from one size to the next; 1 is linear. Memory is the peak of the process above what it held after imports.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely

from urbanfm_core.data.adjacency import region_adjacency
from urbanfm_core.data.neighbours import PointIndex
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.region_distributions import poi_distribution, road_distribution, similar_regions
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.roads import RoadNetwork

POINTS_PER_REGION, REGION_M, CATEGORIES = 30, 250.0, 10
RADIUS_M, LIMIT, BATCH, BATCHES = 500.0, 16, 256, 100
CORNER = np.array([450_000.0, 4_500_000.0])
STEPS = (
    "index of the points", "neighbours of all points", "ego graphs, 100 batches of 256", "street network",
    "nearest road of all points", "points by category and region", "roads by region", "regions that are alike",
    "adjacent regions",
)  # fmt: skip


def city(points: int) -> tuple[PoiSet, np.ndarray, RegionSet, geopandas.GeoDataFrame]:
    """Points, their categories, regions and road lines, always the same for a size."""
    rng = np.random.default_rng(points)
    across = max(2, round(math.sqrt(points / POINTS_PER_REGION)))
    side = across * REGION_M
    centres = rng.uniform(0, side, (max(1, points // 50), 2))
    xy = centres[rng.integers(0, len(centres), points)] + rng.normal(0, 60, (points, 2))
    stacked = rng.random(points) < 0.05
    xy[stacked] = centres[rng.integers(0, max(1, len(centres) // 20), int(stacked.sum()))]
    category = np.array([f"kind {n}" for n in range(CATEGORIES)], object)[rng.integers(0, CATEGORIES, points)]
    nothing = np.full(points, None, object)
    (west, south), (east, north) = CORNER, CORNER + side
    regions = RegionSet.grid((west, south, east, north), REGION_M, crs="EPSG:32631")
    pois = PoiSet(np.clip(xy, 0, side - 1) + CORNER, regions.crs, nothing, category, nothing, np.arange(points))
    streets = max(2, round(math.sqrt(points / 2)))
    nodes = np.stack(np.meshgrid(*[np.linspace(0, side, streets)] * 2), -1) + CORNER
    nodes += rng.normal(0, 0.05 * side / streets, nodes.shape)
    ends = [
        np.stack([one.reshape(-1, 2), two.reshape(-1, 2)], 1)
        for one, two in ((nodes[:-1], nodes[1:]), (nodes[:, :-1], nodes[:, 1:]))
    ]
    lines = geopandas.GeoDataFrame(geometry=shapely.linestrings(np.concatenate(ends)), crs=regions.crs)
    return pois, category, regions, lines


def measure(points: int) -> dict[str, Any]:
    """Seconds of each step, and the peak memory over all of them."""
    region_adjacency(RegionSet.grid((0, 0, 500, 500), 250, crs="EPSG:32631"))  # imports
    pois, category, regions, lines = city(points)
    before = _peak_mib()
    seconds: dict[str, float] = {}

    def timed(work: Callable[[], Any]) -> Any:
        start = time.process_time()
        found = work()
        seconds[STEPS[len(seconds)]] = time.process_time() - start
        return found

    def graphs() -> int:
        rng = np.random.default_rng(0)
        batches = (rng.integers(0, points, BATCH) for _ in range(BATCHES))
        return sum(len(index.near_rows(rows, RADIUS_M, LIMIT).ego_graphs(rows).node) for rows in batches)

    index = timed(lambda: PointIndex(pois.xy))
    near = timed(lambda: index.near_rows(np.arange(points), RADIUS_M, LIMIT))
    timed(graphs)
    sampling_mib = _peak_mib() - before
    roads = timed(lambda: RoadNetwork.read(lines))
    segment, _ = timed(lambda: roads.nearest(pois.xy, pois.crs, 100.0))
    of_pois = timed(lambda: poi_distribution(pois, category, regions))
    of_roads = timed(lambda: road_distribution(roads, regions))
    alike = timed(lambda: similar_regions(of_pois, of_roads))
    adjacent = timed(lambda: region_adjacency(regions))
    return {
        "points": points,
        "regions": len(regions),
        "segments": len(roads),
        "neighbours": float(near.counts().mean()),
        "on a road": float((segment >= 0).mean()),
        "partners": float(alike.counts().mean()),
        "adjacent": float(adjacent.counts().mean()),
        "seconds": seconds,
        "sampling_mib": sampling_mib,
        "peak_mib": _peak_mib() - before,
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.neighbours", description=__doc__)
    parser.add_argument("--points", default="1e4,1e5", help="numbers of points, with commas")
    parser.add_argument("--json", type=Path, help="file for all figures")
    given = parser.parse_args(arguments)
    results: list[dict[str, Any]] = []
    for points in (round(float(text)) for text in given.points.split(",")):
        with multiprocessing.get_context("spawn").Pool(1) as process:
            results.append(process.apply(measure, (points,)))
        _show(results)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1), "utf-8")
    return 0


def _show(results: list[dict[str, Any]]) -> None:
    last = results[-1]
    print(
        f"{last['points']:,} points, {last['regions']:,} regions, {last['segments']:,} road segments: "
        f"{last['neighbours']:.1f} neighbours, {last['on a road']:.0%} by a road, {last['partners']:.1f} partners; peak "
        f"{last['sampling_mib']:,.0f} MiB for points and graphs, {last['peak_mib']:,.0f} MiB in all"
    )
    for step, seconds in last["seconds"].items():
        exponent = ""
        if len(results) > 1:
            grown = math.log(last["points"] / results[-2]["points"])
            exponent = f"  exponent {math.log(seconds / results[-2]['seconds'][step]) / grown:5.2f}"
        print(f"  {step:32s} {seconds:9.3f} s{exponent}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

"""Points -> regions: a regular grid by arithmetic, and irregular polygons that share borders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import shapely

from tests.benchmarks.inputs import EPSG, cells_in, load_polygons, points_in, save_polygons
from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Mismatch, Output, Setting

POINTS, POLYGONS = 1_000_000, 10_000
EXTENT = (500_000.0, 4_480_000.0, 520_000.0, 4_500_000.0)
SIZE_M, SHAPE = 500.0, (40, 40)


def make_grid(folder: Path, scale: float, seed: int) -> None:
    """Points, and the cells of the grid as polygons in the order of their numbers."""
    np.save(folder / "points.npy", points_in(EXTENT, int(POINTS * scale), seed))
    row, column = np.divmod(np.arange(SHAPE[0] * SHAPE[1]), SHAPE[1])
    west, north = EXTENT[0] + column * SIZE_M, EXTENT[3] - row * SIZE_M
    save_polygons(folder / "polygons.npy", shapely.box(west, north - SIZE_M, west + SIZE_M, north))


def make_polygons(folder: Path, scale: float, seed: int) -> None:
    """Points, and irregular cells that fill the extent."""
    np.save(folder / "points.npy", points_in(EXTENT, int(POINTS * scale), seed))
    save_polygons(folder / "polygons.npy", cells_in(EXTENT, max(10, int(POLYGONS * min(scale, 1))), seed))


def _pairs(point: np.ndarray, region: np.ndarray) -> Arrays:
    """Pairs by point and region."""
    order = np.lexsort([region, point])
    return {"point": np.asarray(point)[order], "region": np.asarray(region)[order]}


def ours_grid(setting: Setting) -> Callable[[], Output]:
    """Cell of each point, and the points of each cell (CSR)."""
    from urbanfm_core.geo.assign import assign_to_grid, group_by_cell

    points = np.load(setting.inputs / "points.npy")

    def work() -> Output:
        cells = assign_to_grid(points, (EXTENT[0], EXTENT[3]), SIZE_M, SHAPE)
        starts, order = group_by_cell(cells, SHAPE[0] * SHAPE[1])
        return Output(lambda: _pairs(order, np.repeat(np.arange(len(starts) - 1), np.diff(starts))))

    return work


def arithmetic(setting: Setting) -> Callable[[], Output]:
    """Nothing but the cell numbers, on columns that lie apart already, with nothing checked."""
    points = np.load(setting.inputs / "points.npy")
    x, y = np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])

    def work() -> Output:
        column = ((x - EXTENT[0]) * (1 / SIZE_M)).astype(np.int32)
        row = ((EXTENT[3] - y) * (1 / SIZE_M)).astype(np.int32)
        row *= SHAPE[1]
        row += column
        return Output()

    return work


def ours_polygons(setting: Setting) -> Callable[[], Output]:
    """`geo.assign.assign_to_polygons`."""
    from urbanfm_core.geo.assign import assign_to_polygons

    points, polygons = np.load(setting.inputs / "points.npy"), load_polygons(setting.inputs / "polygons.npy")

    def work() -> Output:
        found = assign_to_polygons(points, polygons)
        return Output(lambda: _pairs(found.point, found.region))

    return work


def sjoin(setting: Setting) -> Callable[[], Output]:
    """`geopandas.sjoin`, frames ready."""
    import geopandas as gpd

    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(*np.load(setting.inputs / "points.npy").T), crs=EPSG)
    polygons = gpd.GeoDataFrame(geometry=load_polygons(setting.inputs / "polygons.npy"), crs=EPSG)

    def work() -> Output:
        polygons.sindex  # noqa: B018 - built in the first run, then kept by geopandas
        joined = gpd.sjoin(points, polygons, predicate="within")
        return Output(lambda: _pairs(joined.index.to_numpy(), joined["index_right"].to_numpy()))

    return work


def tree(setting: Setting) -> Callable[[], Output]:
    """A tree of the polygons, asked for all points at once."""
    points = shapely.points(np.load(setting.inputs / "points.npy"))
    polygons = load_polygons(setting.inputs / "polygons.npy")

    def work() -> Output:
        point, region = shapely.STRtree(polygons).query(points, predicate="within")
        return Output(lambda: _pairs(point, region))

    return work


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """All find the same pairs, but for points on a border, which only ours gives a region."""
    mine = outputs["ours"]
    words = {"ours": f"{len(mine['point']):,} pairs"}
    for name, arrays in outputs.items():
        if name == "ours":
            continue
        kept = np.isin(mine["point"], arrays["point"])
        if not np.array_equal(mine["point"][kept], arrays["point"]) or not np.array_equal(
            mine["region"][kept], arrays["region"]
        ):
            raise Mismatch(f"{name} and ours put points into different regions.")
        missing = int((~kept).sum())
        if missing > 1e-4 * len(kept):
            raise Mismatch(f"{name} leaves out {missing:,} points that ours gives a region.")
        words[name] = f"same pairs; {missing} points on borders are in none"
    return words


CASES = {
    "grid": Case(
        f"{POINTS:,} points into a grid of {SHAPE[0]} x {SHAPE[1]} cells",
        make_grid,
        {
            "ours": Contender(ours_grid, "ours"),
            "geopandas sjoin": Contender(sjoin, "peer"),
            "STRtree": Contender(tree, "peer"),
            "arithmetic": Contender(arithmetic, "floor"),
        },
        compare,
        (Goal("ours", "arithmetic", 3.0), Goal("ours", "geopandas sjoin", 1 / 60)),
    ),
    "polygons": Case(
        f"{POINTS:,} points into {POLYGONS:,} irregular polygons",
        make_polygons,
        {
            "ours": Contender(ours_polygons, "ours"),
            "geopandas sjoin": Contender(sjoin, "peer"),
            "STRtree": Contender(tree, "peer"),
        },
        compare,
        (Goal("ours", "geopandas sjoin", 0.5),),
    ),
}

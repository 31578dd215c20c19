"""Mean of 64 bands per region, by the centre rule and by coverage, for the layouts that rasters come in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.floors import one_read
from tests.benchmarks.inputs import EPSG, cells_in, load_polygons, raster_extent, save_polygons, write_raster
from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Output, Setting, grid_shape, require_close

FLOAT_BASE, CODE_BASE = (1024, 2048), (2048, 2048)
POLYGONS = 1000
# rasterstats takes a band and a polygon at a time: so many polygons, of so many bands.
SOME, SOME_BANDS = 20, 4


def make(folder: Path, scale: float, seed: int, *, base: tuple[int, int], **raster: Any) -> None:
    """A raster, and irregular cells over it; more area at a larger scale, always as many cells."""
    shape = grid_shape(base, scale)
    write_raster(folder / "in.tif", shape, seed, **raster)
    save_polygons(folder / "polygons.npy", cells_in(raster_extent(shape), max(10, int(POLYGONS * min(scale, 1))), seed))


def ours(rule: str) -> Callable[[Setting], Callable[[], Output]]:
    """`geo.zonal.zonal_mean`."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import pyproj

        from urbanfm_core.data.embedding_raster import EmbeddingRaster
        from urbanfm_core.geo.zonal import zonal_mean

        polygons = load_polygons(setting.inputs / "polygons.npy")

        def work() -> Output:
            with EmbeddingRaster.open(setting.inputs / "in.tif") as raster:
                found = zonal_mean(raster, polygons, pyproj.CRS(EPSG), rule=rule)  # type: ignore[arg-type]
            return Output(lambda: {"mean": found.mean})

        return work

    return prepare


def exact_extract(setting: Setting) -> Callable[[], Output]:
    """exactextract, its mean weighted by coverage, raster by sequential reads as it advises for large ones."""
    import exactextract
    import geopandas as gpd

    frame = gpd.GeoDataFrame(geometry=load_polygons(setting.inputs / "polygons.npy"), crs=EPSG)

    def work() -> Output:
        found = exactextract.exact_extract(
            str(setting.inputs / "in.tif"), frame, "mean", output="pandas", strategy="raster-sequential"
        )
        return Output(lambda: {"mean": found.to_numpy(np.float32)})

    return work


def rasterstats(setting: Setting) -> Callable[[], Output]:
    """rasterstats, by the centre rule."""
    from rasterstats import zonal_stats

    polygons = load_polygons(setting.inputs / "polygons.npy")

    def work() -> Output:
        path = str(setting.inputs / "in.tif")
        mean = [
            [one["mean"] for one in zonal_stats(list(polygons[:SOME]), path, stats="mean", band=band + 1)]
            for band in range(SOME_BANDS)
        ]
        share = SOME / len(polygons) * SOME_BANDS / 64
        return Output(lambda: {"some": np.array(mean, np.float32).T}, share=share)

    return work


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """The means agree with those of each peer that follows the same rule."""
    mean = outputs["ours"]["mean"]
    words = {"ours": f"{int(np.isfinite(mean).all(axis=1).sum()):,} regions"}
    if "exactextract" in outputs:
        words["exactextract"] = require_close("exactextract", outputs["exactextract"]["mean"], mean, 1e-4)
    if "rasterstats" in outputs:
        some = outputs["rasterstats"]["some"]
        # A pixel whose centre is on a border goes to one side here and to the other there.
        words["rasterstats"] = require_close("rasterstats", some, mean[: len(some), :SOME_BANDS], 1e-3)
    return words


def _case(title: str, rule: str, peers: dict[str, Contender], goals: tuple[Goal, ...], **raster: Any) -> Case:
    contenders = {"ours": Contender(ours(rule), "ours"), **peers, "one read": Contender(one_read, "floor")}
    return Case(title, partial(make, **raster), contenders, compare, goals)


CENTRE_PEERS = {"rasterstats": Contender(rasterstats, "peer")}
COVERAGE_PEERS = {"exactextract": Contender(exact_extract, "peer")}
CASES = {
    "pixel-interleaved": _case(
        "centre rule, floats, pixel-interleaved",
        "centre",
        CENTRE_PEERS,
        (Goal("ours", "one read", 1.3),),
        base=FLOAT_BASE,
        interleave="pixel",
    ),
    "band-interleaved": _case(
        "centre rule, floats, band-interleaved",
        "centre",
        CENTRE_PEERS,
        (Goal("ours", "one read", 2.0),),
        base=FLOAT_BASE,
    ),
    "codes": _case(
        "centre rule, int8 codes with nodata",
        "centre",
        {},
        (Goal("ours", "one read", 2.5),),
        base=CODE_BASE,
        dtype="int8",
        holes=0.1,
        compress="zstd",
    ),
    "coverage": _case(
        "coverage rule, floats, band-interleaved",
        "coverage",
        COVERAGE_PEERS,
        (Goal("ours", "one read", 3.0), Goal("ours", "exactextract", 0.2)),
        base=FLOAT_BASE,
    ),
}

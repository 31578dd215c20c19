"""Window means around points, two sizes in one pass, on a compressed raster larger than GDAL's cache."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from tests.benchmarks.floors import one_read
from tests.benchmarks.inputs import EPSG, PIXEL_M, points_in, raster_extent, write_raster
from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Output, Setting, grid_shape, require_close

BASE = (4096, 4096)
POINTS = 100_000
SQUARES, DISKS = (4, 9), (50.0, 100.0)
# One window read a point takes so long that peers do the first points only.
SOME = 48


def make(folder: Path, scale: float, seed: int) -> None:
    """AlphaEarth-like codes, compressed, and points; more area at a larger scale, always as many points."""
    shape = grid_shape(BASE, scale, 256)
    write_raster(folder / "in.tif", shape, seed, dtype="int8", compress="zstd")
    np.save(folder / "points.npy", points_in(raster_extent(shape), int(POINTS * min(4 * scale, 1)), seed))


def make_floats(folder: Path, scale: float, seed: int) -> None:
    """The same as floats, which is all that the published code reads."""
    shape = grid_shape((2048, 2048), scale, 256)
    write_raster(folder / "in.tif", shape, seed, compress="zstd")
    np.save(folder / "points.npy", points_in(raster_extent(shape), int(POINTS * min(4 * scale, 1)), seed))


def ours(shapes: str) -> Callable[[Setting], Callable[[], Output]]:
    """`geo.windows.window_means`."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import pyproj

        from urbanfm_core.data.embedding_raster import EmbeddingRaster
        from urbanfm_core.geo.windows import Disk, Square, window_means

        points = np.load(setting.inputs / "points.npy")
        sizes = [Square(r) for r in SQUARES] if shapes == "squares" else [Disk(r) for r in DISKS]

        def work() -> Output:
            with EmbeddingRaster.open(setting.inputs / "in.tif") as raster:
                means = window_means(raster, points, pyproj.CRS(EPSG), sizes)
            return Output(lambda: {"mean": means.mean[:, :SOME]})

        return work

    return prepare


def per_point(setting: Setting) -> Callable[[], Output]:
    """One window read a point and size, with rasterio and NumPy: the published way, without xarray in between."""
    points = np.load(setting.inputs / "points.npy")[:SOME]
    total = len(np.load(setting.inputs / "points.npy", mmap_mode="r"))

    def work() -> Output:
        mean = np.full((len(DISKS), len(points), 64), np.nan, np.float32)
        with rasterio.open(setting.inputs / "in.tif") as file:
            inverse = ~file.transform
            for number, (x, y) in enumerate(points):
                column, row = inverse @ (x, y)
                for size, radius_m in enumerate(DISKS):
                    reach = radius_m / PIXEL_M
                    top, left = max(int(row - reach), 0), max(int(column - reach), 0)
                    bottom, right = min(int(row + reach) + 1, file.height), min(int(column + reach) + 1, file.width)
                    codes = file.read(window=Window(left, top, right - left, bottom - top))
                    rows, columns = np.mgrid[top:bottom, left:right] + 0.5
                    inside = np.hypot(rows - row, columns - column) <= reach
                    inside &= (codes != -128).all(axis=0)
                    taken = codes[:, inside].astype(np.float32)
                    if taken.size:
                        mean[size, number] = (np.sign(taken) * (taken / 127.5) ** 2).mean(axis=1)
        return Output(lambda: {"mean": mean}, share=len(points) / total)

    return work


def published(setting: Setting) -> Callable[[], Output]:
    """`AEExtractor` of the published code, once for each size, as its training script does."""
    folder = setting.require_published()
    sys.path.insert(0, str(folder))
    try:
        import openai  # noqa: F401
    except ImportError:
        # Its module imports the client at the top; extracting needs none.
        sys.modules["openai"] = types.ModuleType("openai")
        sys.modules["openai"].OpenAI = None  # type: ignore[attr-defined]
    import dataio
    import geopandas as gpd

    everything = np.load(setting.inputs / "points.npy")
    points = everything[:SOME]
    frame = gpd.GeoDataFrame(geometry=gpd.points_from_xy(*points.T), crs=EPSG)

    def work() -> Output:
        extractor = dataio.AEExtractor(str(setting.inputs / "in.tif"), poi_crs=f"EPSG:{EPSG}")
        mean = np.stack([extractor.batch_extract(frame, "pixel", radius) for radius in SQUARES])
        return Output(lambda: {"unit": mean}, share=len(points) / len(everything))

    return work


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Ours against the peers; the published code gives the means' directions only."""
    words = dict.fromkeys(outputs, "reference")
    mean = outputs["ours"]["mean"]
    if "one window a point" in outputs:
        words["ours"] = require_close("ours", mean, outputs["one window a point"]["mean"], 1e-5)
    if "published" in outputs:
        unit = mean / np.linalg.norm(mean, axis=2, keepdims=True)
        words["ours"] = require_close("ours", unit, outputs["published"]["unit"], 1e-5)
    return words


CASES = {
    "disks": Case(
        "Disks of 50 and 100 m around 100,000 points, int8 codes with nodata",
        make,
        {
            "ours": Contender(ours("disks"), "ours"),
            "one window a point": Contender(per_point, "peer"),
            "one read": Contender(one_read, "floor"),
        },
        compare,
        (Goal("ours", "one read", 3.0), Goal("ours", "one window a point", 0.01)),
    ),
    "squares": Case(
        "Squares of 9 and 19 pixels around 100,000 points, floats",
        make_floats,
        {
            "ours": Contender(ours("squares"), "ours"),
            "published": Contender(published, "peer"),
            "one read": Contender(one_read, "floor"),
        },
        compare,
        (Goal("ours", "one read", 3.0), Goal("ours", "published", 0.01)),
    ),
}

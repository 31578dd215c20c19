"""Square crops of an RGB image at random places, beside ways that open or read the file once for each crop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from tests.benchmarks.floors import one_read
from tests.benchmarks.inputs import EPSG, NORTH, PIXEL_M, WEST
from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Mismatch, Output, Setting, grid_shape

BASE = (10_240, 10_240)
CROPS, SIZE = 2048, 256
# Peers that read crop by crop do the first ones only; one crop in so many is compared.
SOME, COMPARED = 256, 16
BLOCK = 512


def make(folder: Path, scale: float, seed: int) -> None:
    """An image like a city from above (smooth, with grain), deflated, in square blocks; as many crops a square."""
    rows, columns = grid_shape(BASE, scale, BLOCK)
    rng = np.random.default_rng(seed)
    profile = {"driver": "GTiff", "width": columns, "height": rows, "count": 3, "dtype": "uint8", "crs": f"EPSG:{EPSG}"}
    profile |= {"transform": rasterio.transform.from_origin(WEST, NORTH, PIXEL_M, PIXEL_M), "photometric": "RGB"}
    profile |= {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "pixel"}
    profile |= {"compress": "deflate", "predictor": 2, "zlevel": 1, "num_threads": 2}
    with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(folder / "in.tif", "w", **profile) as file:
        for top in range(0, rows, BLOCK):
            for left in range(0, columns, BLOCK):
                height, width = min(BLOCK, rows - top), min(BLOCK, columns - left)
                coarse = rng.integers(30, 220, (3, BLOCK // 16, BLOCK // 16), np.uint8)
                block = np.repeat(np.repeat(coarse, 16, axis=1), 16, axis=2)[:, :height, :width]
                block = block + rng.integers(0, 12, block.shape, np.uint8)
                file.write(block, window=Window(left, top, width, height))
    count = max(64, int(CROPS * scale))
    corners = np.column_stack([rng.integers(0, rows - SIZE, count), rng.integers(0, columns - SIZE, count)])
    np.save(folder / "corners.npy", corners)


def ours(setting: Setting) -> Callable[[], Output]:
    """`geo.crops.iter_crops`."""
    from urbanfm_core.geo.crops import iter_crops
    from urbanfm_core.geo.raster import RasterReader

    corners = np.load(setting.inputs / "corners.npy")
    boxes = np.column_stack([corners, np.full_like(corners, SIZE)])

    def work() -> Output:
        with RasterReader(setting.inputs / "in.tif") as reader:
            kept = _keep((crop.index, crop.pixels) for crop in iter_crops(reader, boxes))
        return Output(lambda: kept)

    return work


def _keep(crops: Iterator[tuple[int, np.ndarray]]) -> Arrays:
    """Some of the crops, as many at any scale; the others are let go, as a model that has computed on them would."""
    return {f"{index:06d}": pixels for index, pixels in crops if index % COMPARED == 0 and index < CROPS}


def _window(corner: np.ndarray) -> Window:
    return Window(int(corner[1]), int(corner[0]), SIZE, SIZE)


def random_order(setting: Setting) -> Callable[[], Output]:
    """One handle, a window read for each crop, in the order given."""
    corners = np.load(setting.inputs / "corners.npy")

    def work() -> Output:
        with rasterio.Env(GDAL_CACHEMAX=32), rasterio.open(setting.inputs / "in.tif") as file:
            kept = _keep((index, file.read(window=_window(corner))) for index, corner in enumerate(corners[:SOME]))
        return Output(lambda: kept, share=SOME / len(corners) if len(corners) > SOME else 1.0)

    return work


def sorted_order(setting: Setting) -> Callable[[], Output]:
    """One handle, a window read for each crop, in the order of the blocks that hold their corners."""
    corners = np.load(setting.inputs / "corners.npy")
    order = np.lexsort((corners // BLOCK).T[::-1])

    def work() -> Output:
        with rasterio.Env(GDAL_CACHEMAX=32), rasterio.open(setting.inputs / "in.tif") as file:
            kept = _keep((int(index), file.read(window=_window(corners[index]))) for index in order)
        return Output(lambda: kept)

    return work


def reopened(setting: Setting) -> Callable[[], Output]:
    """The file opened anew for each crop, as data loaders do that keep no handle."""
    corners = np.load(setting.inputs / "corners.npy")

    def work() -> Output:
        def crops() -> Iterator[tuple[int, np.ndarray]]:
            for index, corner in enumerate(corners[:SOME]):
                with rasterio.Env(GDAL_CACHEMAX=32), rasterio.open(setting.inputs / "in.tif") as file:
                    yield index, file.read(window=_window(corner))

        kept = _keep(crops())
        return Output(lambda: kept, share=SOME / len(corners) if len(corners) > SOME else 1.0)

    return work


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Byte for byte."""
    words = {}
    for name, crops in outputs.items():
        for index, pixels in crops.items():
            if not np.array_equal(pixels, outputs["ours"][index]):
                raise Mismatch(f"{name}: crop {index} has other bytes than ours.")
        words[name] = f"{len(crops)} crops compared, the same bytes"
    return words


CASES = {
    "rgb": Case(
        "256 x 256 crops of an RGB image, pixel-interleaved, deflated, blocks of 512",
        make,
        {
            "ours": Contender(ours, "ours"),
            "in the order of blocks": Contender(sorted_order, "peer"),
            "in random order": Contender(random_order, "peer"),
            "reopened for each": Contender(reopened, "peer"),
            "one read": Contender(one_read, "floor"),
        },
        compare,
        (Goal("ours", "one read", 1.1),),
    ),
}

"""What no contender can do without."""

from __future__ import annotations

from collections.abc import Callable

import rasterio
from rasterio.windows import Window

from tests.benchmarks.stage import Output, Setting


def one_read(setting: Setting) -> Callable[[], Output]:
    """Every block of the raster read and unpacked once."""

    def work() -> Output:
        with rasterio.Env(GDAL_CACHEMAX=32), rasterio.open(setting.inputs / "in.tif") as file:
            rows = file.block_shapes[0][0]
            for top in range(0, file.height, rows):
                file.read(window=Window(0, top, file.width, min(rows, file.height - top)))
        return Output()

    return work

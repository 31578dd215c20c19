"""A small view of a large raster."""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling

from urbanfm_core.geo.raster import RasterInfo, gdal_env


def read_overview(info: RasterInfo, side_px: int) -> np.ndarray:
    """Stored values of every n-th pixel, (C, h, w) with h, w <= side_px, row 0 in the north.

    Args:
        info: The raster.
        side_px: Longest side of the view.
    """
    step = max(info.width, info.height, side_px) / side_px
    shape = (info.count, max(1, round(info.height / step)), max(1, round(info.width / step)))
    with gdal_env(), rasterio.open(info.path) as dataset:
        found: Any = dataset.read(out_shape=shape, resampling=Resampling.nearest)
    return np.asarray(found[:, ::-1] if info.south_up else found)

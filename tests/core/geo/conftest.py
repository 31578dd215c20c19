from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

GRID = Affine(10, 0, 358400, 0, -10, 4906600)


@pytest.fixture
def write_raster(tmp_path: Path) -> Callable[..., Path]:
    """Writes (C, h, w), given north-up, as a GeoTIFF in many layouts."""

    def write(array: np.ndarray, name: str = "raster.tif", *, south_up: bool = False, **profile: Any) -> Path:
        path = tmp_path / name
        transform = profile.pop("transform", GRID)
        if south_up:
            array = array[:, ::-1]
            transform = transform @ Affine(1, 0, 0, 0, -1, array.shape[1])
        block = profile.pop("block", None)
        if block:
            profile |= {"tiled": True, "blockxsize": block, "blockysize": block}
        bands, height, width = array.shape
        profile = {"driver": "GTiff", "crs": "EPSG:32616", "transform": transform, "dtype": array.dtype.name} | profile
        with rasterio.open(path, "w", count=bands, height=height, width=width, **profile) as dataset:
            dataset.write(array)
        return path

    return write


@pytest.fixture
def write_vrt(tmp_path: Path) -> Callable[..., Path]:
    """Writes a mosaic of files that lie on one grid: (path, row, column) each."""

    def write(tiles: list[tuple[Path, int, int]], height: int, width: int, nodata: float | None = None) -> Path:
        with rasterio.open(tiles[0][0]) as first:
            wkt, count, kind = first.crs.to_wkt(), first.count, {"int8": "Int8", "float32": "Float32"}[first.dtypes[0]]
        bands = ""
        for band in range(1, count + 1):
            sources = ""
            for path, row, column in tiles:
                with rasterio.open(path) as tile:
                    size = f'xSize="{tile.width}" ySize="{tile.height}"'
                sources += (
                    f'<ComplexSource><SourceFilename relativeToVRT="1">{path.name}</SourceFilename>'
                    f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" {size}/>'
                    f'<DstRect xOff="{column}" yOff="{row}" {size}/></ComplexSource>'
                )
            mark = "" if nodata is None else f"<NoDataValue>{nodata}</NoDataValue>"
            bands += f'<VRTRasterBand dataType="{kind}" band="{band}">{mark}{sources}</VRTRasterBand>'
        affine = ", ".join(str(value) for value in GRID.to_gdal())
        path = tmp_path / "mosaic.vrt"
        path.write_text(
            f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{wkt.replace("<", "")}</SRS>'
            f"<GeoTransform>{affine}</GeoTransform>{bands}</VRTDataset>"
        )
        return path

    return write

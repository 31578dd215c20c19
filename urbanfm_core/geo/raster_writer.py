"""Writing a raster that appears whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from urbanfm_core.errors import ConfigError, OutputError, ShapeError
from urbanfm_core.files import atomic_path
from urbanfm_core.geo.cog import copy_as_cog
from urbanfm_core.geo.raster import RasterInfo, gdal_env
from urbanfm_core.geo.strips import BLOCK_PX
from urbanfm_core.progress import Progress

_BLOCK_TAGS = ("BLOCK_OFFSET", "BLOCK_SIZE")
_COMPRESSIONS = ("zstd", "deflate", "none")
_DTYPES = ("float32", "float16", "int8", "uint8")


def check_written(path: Path) -> None:
    """Check that a GeoTIFF is on the disk to its end: on a full disk GDAL closes a file as if nothing had happened.

    Raises:
        OSError: a block of the first or the last row of blocks, one of which is written last, is missing or cut short.
    """
    end = path.stat().st_size
    with rasterio.open(path) as dataset:
        rows, columns = dataset.block_shapes[0]
        last, across = (dataset.height - 1) // rows, (dataset.width - 1) // columns + 1
        for band in dataset.indexes:
            for block in (f"{column}_{row}" for row in {0, last} for column in range(across)):
                where = [dataset.get_tag_item(f"{name}_{block}", "TIFF", bidx=band) for name in _BLOCK_TAGS]
                if None in where or sum(int(value) for value in where) > end:
                    raise OSError(errno.ENOSPC, f"{path.name} is not whole: {os.strerror(errno.ENOSPC)}")


class RasterWriter:
    """Writes a tiled, compressed, north-up GeoTIFF on the grid of another raster; it appears whole or not at all.

    Use as a context manager: leaving it well renames the file, an exception removes it.

    Args:
        path: File to make.
        grid: Raster whose width, height, transform and CRS are taken.
        count: Bands.
        dtype: float32, float16 (kept as float32 with 16 stored bits, which any GDAL reads), int8 or uint8.
        nodata: Missing-value marker.
        compress: zstd, deflate or none. Whole numbers get the horizontal predictor, float32 the floating-point one.
        descriptions: Name of each band.
        tags: Metadata items of the file.
        scale: Factor from stored to meant values, written to every band.
        cog: Whether the file becomes a Cloud-Optimized GeoTIFF, with overviews: it is written twice. In these, numbers are
            means of pixels, and codes those of the nearest pixel, since a mean of codes means nothing.
        progress: Cancels the second writing.
    Raises:
        ConfigError: a dtype or compression that cannot be written here.
    """

    def __init__(
        self,
        path: str | Path,
        grid: RasterInfo,
        count: int,
        *,
        dtype: str = "float32",
        nodata: float | None = None,
        compress: str = "zstd",
        descriptions: Sequence[str] | None = None,
        tags: dict[str, str] | None = None,
        scale: float = 1.0,
        cog: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if dtype not in _DTYPES or compress not in _COMPRESSIONS:
            raise ConfigError(
                f"Raster {path}: cannot write {dtype} with compression {compress}.",
                f"Choose a type of {', '.join(_DTYPES)} and a compression of {', '.join(_COMPRESSIONS)}.",
            )
        if descriptions is not None and len(descriptions) != count:
            raise ShapeError(f"Raster {path}: {count} bands, but {len(descriptions)} band names.")
        self.path, self.count, self.dtype = Path(path), count, dtype
        self._grid, self._descriptions, self._tags, self._scale = grid, descriptions, tags or {}, scale
        self._profile: dict[str, Any] = {
            "driver": "GTiff",
            "width": grid.width,
            "height": grid.height,
            "count": count,
            "dtype": "float32" if dtype == "float16" else dtype,
            "crs": rasterio.crs.CRS.from_wkt(grid.crs.to_wkt()),
            "transform": grid.transform,
            "nodata": nodata,
            "tiled": True,
            "blockxsize": BLOCK_PX,
            "blockysize": BLOCK_PX,
            "interleave": "band",
            "BIGTIFF": "IF_SAFER",
            "NUM_THREADS": "ALL_CPUS",
        }
        if dtype == "float16":
            self._profile["nbits"] = 16
        if compress != "none":
            self._profile |= {"compress": compress, "predictor": 3 if dtype.startswith("float") else 2}
            # Higher levels cost twice the time and save one per cent of an embedding.
            self._profile |= {"zstd_level": 1} if compress == "zstd" else {"zlevel": 1}
        self._cog, self._progress = cog, progress or Progress()
        self._dataset: Any = None

    def __enter__(self) -> RasterWriter:
        self._env = gdal_env()
        self._env.__enter__()
        self._target = atomic_path(self.path)
        self._temporary = self._target.__enter__()
        # A file whose name begins like the temporary one is removed with it.
        self._written = Path(f"{self._temporary}.plain.tif") if self._cog else self._temporary
        try:
            self._dataset = rasterio.open(self._written, "w", **self._profile)
        except (RasterioError, OSError) as error:
            self._target.__exit__(type(error), error, error.__traceback__)
            self._env.__exit__(None, None, None)
            raise OutputError(f"Raster {self.path}: cannot be created ({error}).", "Is the disk full?") from error
        return self

    def write(self, array: np.ndarray, window: Window) -> None:
        """Write one window.

        Args:
            array: (D, h, w), row 0 in the north; cast to the file's type.
            window: North-up pixels. Whole blocks of BLOCK_PX are compressed once; parts of one, again and again.
        Raises:
            OutputError: the disk refused.
        """
        shape = (self.count, int(window.height), int(window.width))
        if array.shape != shape:
            raise ShapeError(f"Raster {self.path}: window {window} takes an array {shape}, got {array.shape}.")
        try:
            # To half floats and back: GDAL would cut the last bits off, NumPy rounds them.
            stored = array.astype(self.dtype, copy=False).astype(self._profile["dtype"], copy=False)
            self._dataset.write(stored, window=window)
        except (RasterioError, OSError) as error:
            raise OutputError(f"Raster {self.path}: cannot be written ({error}).", "Is the disk full?") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._dataset.descriptions = tuple(self._descriptions or [""] * self.count)
                if self._scale != 1.0:
                    self._dataset.scales = (self._scale,) * self.count
                self._dataset.update_tags(**self._tags)
            self._dataset.close()
            if kind is None:
                check_written(self._written)
                if self._cog:
                    copy_as_cog(self._written, self._temporary, self._profile, self._progress)
                    check_written(self._temporary)
        except BaseException as failure:
            self._target.__exit__(type(failure), failure, failure.__traceback__)
            if not isinstance(failure, (RasterioError, OSError)):
                raise
            raise OutputError(f"Raster {self.path}: cannot be finished ({failure}).", "Is the disk full?") from failure
        else:
            self._target.__exit__(kind, error, trace)
        finally:
            self._env.__exit__(None, None, None)

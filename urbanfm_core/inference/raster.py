"""Pixels in, pixels out: embedding rasters, score rasters, and regions drawn on a raster's grid.

Reading, computing and compressing run side by side, with at most a few strips in memory at once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize
from rasterio.transform import array_bounds
from rasterio.windows import Window

from urbanfm_core.data.embedding_raster import ALPHAEARTH_NODATA, EmbeddingRaster, quantize_alphaearth
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.geo.crs import transform_geometry
from urbanfm_core.geo.raster import RasterInfo, RasterWriter, plan_output
from urbanfm_core.geo.streaming import read_ahead
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.models.method import PixelFunction
from urbanfm_core.progress import Meter, Progress


def map_raster(
    source: EmbeddingRaster,
    function: PixelFunction,
    path: str | Path,
    *,
    dtype: str = "float32",
    compress: str = "zstd",
    tags: dict[str, str] | None = None,
    names: Callable[[int], str] = "{:03d}".format,
    progress: Progress,
) -> dict[str, int]:
    """Apply a function to every valid pixel and write what it gives as a raster of the same grid, north up.

    Args:
        source: Raster with C bands.
        function: (N, C) float32 -> (N, D) float32.
        path: GeoTIFF to write.
        dtype: 'float32' or 'float16' with nodata NaN, or 'int8' with v = sign(q) (q / 127.5)^2 and nodata -128.
        compress: 'zstd', 'deflate' or 'none'.
        tags: Metadata items of the file.
        names: Description of each band from its number.
        progress: Where to report, and what cancels.

    Returns:
        `dimensions` and `valid_pixels`.

    Raises:
        EmptyInputError: no pixel is valid.
        OutputError: the file cannot be written.
    """
    info = source.info
    width = int(function(np.ones((1, info.count), np.float32)).shape[1])
    plan = list(plan_output(info))
    meter = Meter(progress, "pixels", info.width * info.height)
    valid_pixels = 0
    with (
        RasterWriter(
            path,
            info,
            width,
            dtype=dtype,
            nodata=ALPHAEARTH_NODATA if dtype == "int8" else np.nan,
            compress=compress,
            descriptions=[names(band) for band in range(width)],
            tags=tags,
        ) as writer,
        ThreadPoolExecutor(1, "write") as pool,
    ):
        writing: Future[None] | None = None
        for position, stored, mask in read_ahead(source, [window for window, _ in plan], progress):
            window, parts = plan[position]
            for part in parts:
                progress.check()
                inside = _relative(part, window)
                values, per_band = source.decode(
                    np.ascontiguousarray(stored[(slice(None), *inside)]).reshape(info.count, -1),
                    None if mask is None else mask[inside].ravel(),
                )
                valid = np.asarray(per_band.all(axis=0))
                block = _apply(function, values, valid, width).reshape(width, int(part.height), int(part.width))
                valid_pixels += int(valid.sum())
                if writing is not None:
                    writing.result()
                writing = pool.submit(_write, writer, block, part, dtype)
                meter.advance(int(part.width * part.height))
        if writing is not None:
            writing.result()
        if not valid_pixels:
            raise EmptyInputError(
                f"Raster {info.path}: none of its {info.width * info.height:,} pixels is valid.",
                "All are nodata: look at it in QGIS, and at its nodata value with gdalinfo.",
            )
    return {"dimensions": width, "valid_pixels": valid_pixels}


def _relative(part: Window, window: Window) -> tuple[slice, slice]:
    """Rows and columns of a part inside the window that holds it."""
    top, left = int(part.row_off - window.row_off), int(part.col_off - window.col_off)
    return slice(top, top + int(part.height)), slice(left, left + int(part.width))


def _apply(function: PixelFunction, values: np.ndarray, valid: np.ndarray, width: int) -> np.ndarray:
    """(C, N) -> (D, N) float32, NaN where not valid."""
    if valid.all():
        whole: np.ndarray = function(np.ascontiguousarray(values.T))
        return whole.T
    result = np.full((width, values.shape[1]), np.nan, np.float32)
    if valid.any():
        result[:, valid] = function(np.ascontiguousarray(values[:, valid].T)).T
    return result


def _write(writer: RasterWriter, block: np.ndarray, window: Window, dtype: str) -> None:
    writer.write(quantize_alphaearth(block) if dtype == "int8" else block, window)


def score_function(function: PixelFunction, query: np.ndarray) -> PixelFunction:
    """Pixels -> cosine to a unit vector, (N, C) -> (N, 1)."""

    def score(pixels: np.ndarray) -> np.ndarray:
        vectors = function(pixels)
        norms = np.linalg.norm(vectors, axis=1)
        cosine: np.ndarray = (vectors @ query) / np.maximum(norms, 1e-12)
        return cosine[:, None].astype(np.float32)

    return score


def write_region_raster(
    table: EmbeddingTable, info: RasterInfo, path: str | Path, *, progress: Progress, compress: str = "zstd"
) -> None:
    """Draw each region's vector on a raster's grid: D bands, float32, NaN outside and where a region has none.

    A pixel takes the region that holds its centre; where regions overlap, the later one.
    """
    regions = table.regions
    shapes = transform_geometry(regions.geometry, regions.crs, info.crs)
    width = table.vectors.shape[1]
    lookup = np.vstack([np.full((1, width), np.nan, np.float32), table.vectors])
    tags = {"model": str(table.provenance.get("model", ""))}
    names = [f"emb_{band:03d}" for band in range(width)]
    windows = [part for _, parts in plan_output(info) for part in parts]
    tree = shapely.STRtree(shapes)
    with RasterWriter(
        path, info, width, dtype="float32", nodata=np.nan, compress=compress, descriptions=names, tags=tags
    ) as writer:
        for window in progress.track(windows, "blocks"):
            transform = info.transform @ Affine.translation(window.col_off, window.row_off)
            near = tree.query(shapely.box(*array_bounds(window.height, window.width, transform)))
            labels = np.zeros((window.height, window.width), np.int32)
            if len(near):
                numbered = [(shapes[row], int(row) + 1) for row in np.sort(near)]
                rasterize(numbered, out=labels, transform=transform)
            writer.write(np.ascontiguousarray(lookup[labels].transpose(2, 0, 1)), window)


def require_bands(source: EmbeddingRaster, expected: int) -> None:
    """Check that a raster has the bands that a model was trained on.

    Raises:
        ConfigError: it has another number.
    """
    if source.info.count != expected:
        raise ConfigError(
            f"{source.info.path} has {source.info.count} bands, but the checkpoint was trained on {expected}.",
            "Give the kind of raster that the model was trained on; 'urbanfm inspect' tells which.",
        )

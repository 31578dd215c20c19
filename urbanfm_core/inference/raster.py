"""Pixels in, pixels out: embedding rasters, score rasters, and regions drawn on a raster's grid.

Reading, computing and compressing run side by side, with two blocks of the output and a few of the input in memory.
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

from urbanfm_core.data.embedding_raster import ALPHAEARTH_NODATA, ALPHAEARTH_TAGS, EmbeddingRaster, quantize_alphaearth
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.geo.crs import transform_geometry
from urbanfm_core.geo.raster import RasterInfo
from urbanfm_core.geo.raster_writer import RasterWriter
from urbanfm_core.geo.streaming import available_cores, padded_rows, read_ahead, row_chunks
from urbanfm_core.geo.strips import BLOCK_PX, plan_output
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.models.exchange import PixelFunction
from urbanfm_core.progress import Meter, Progress

# What is read at once, as stored: about one block of 64 floats.
_READ_BYTES = 16 << 20
# Pixels that a thread turns into vectors at once.
_LANE_PIXELS = 8192


def map_raster(
    source: EmbeddingRaster,
    function: PixelFunction,
    path: str | Path,
    *,
    dtype: str = "float32",
    compress: str = "zstd",
    cog: bool = False,
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
        cog: Whether it becomes a Cloud-Optimized GeoTIFF.
        tags: Metadata items of the file.
        names: Description of each band from its number.
        progress: Where to report, and what cancels.

    Returns:
        `dimensions`, `valid_pixels`, and `cut_numbers`: how many lie outside [-1, 1] and so are cut by int8.

    Raises:
        EmptyInputError: no pixel is valid.
        OutputError: the file cannot be written.
    """
    info = source.info
    width = int(function(np.ones((1, info.count), np.float32)).shape[1])
    plan = list(plan_output(info, _READ_BYTES))
    written = progress.part(0.0, 0.5 if cog else 1.0)
    meter = Meter(written, "pixels", info.width * info.height)
    # One block is filled while the one before is compressed.
    buffers = [np.empty(width * BLOCK_PX**2, np.int8 if dtype == "int8" else np.float32) for _ in range(2)]
    valid_pixels = cut = 0
    with (
        RasterWriter(
            path,
            info,
            width,
            dtype=dtype,
            nodata=ALPHAEARTH_NODATA if dtype == "int8" else np.nan,
            compress=compress,
            descriptions=[names(band) for band in range(width)],
            tags={**(tags or {}), **(ALPHAEARTH_TAGS if dtype == "int8" else {})},
            cog=cog,
            progress=progress.part(0.5, 1.0),
        ) as writer,
        ThreadPoolExecutor(1, "write") as writers,
        ThreadPoolExecutor(available_cores(), "pixels") as lanes,
    ):
        writing: Future[None] | None = None
        for position, stored, mask in read_ahead(source, [window for window, _ in plan], progress):
            window, parts = plan[position]
            for part in parts:
                progress.check()
                rows, columns = int(part.height), int(part.width)
                block = buffers[0][: width * rows * columns].reshape(width, rows, columns)
                inside = _relative(part, window)
                here = stored[(slice(None), *inside)], None if mask is None else mask[inside]
                jobs = [
                    lanes.submit(_fill, source, function, *here, block, chunk)
                    for chunk in row_chunks(block.shape, _LANE_PIXELS)
                ]
                for job in jobs:
                    valid_here, cut_here = job.result()
                    valid_pixels, cut = valid_pixels + valid_here, cut + cut_here
                if writing is not None:
                    writing.result()
                writing = writers.submit(writer.write, block, part)
                buffers.reverse()
                meter.advance(rows * columns)
            del stored, mask, here
        if writing is not None:
            writing.result()
        if not valid_pixels:
            raise EmptyInputError(
                f"Raster {info.path}: none of its {info.width * info.height:,} pixels is valid.",
                "All are nodata: look at it in QGIS, and at its nodata value with gdalinfo.",
            )
    return {"dimensions": width, "valid_pixels": valid_pixels, "cut_numbers": cut}


def _relative(part: Window, window: Window) -> tuple[slice, slice]:
    """Rows and columns of a part inside the window that holds it."""
    top, left = int(part.row_off - window.row_off), int(part.col_off - window.col_off)
    return slice(top, top + int(part.height)), slice(left, left + int(part.width))


def _fill(
    source: EmbeddingRaster,
    function: PixelFunction,
    stored: np.ndarray,
    mask: np.ndarray | None,
    block: np.ndarray,
    rows: slice,
) -> tuple[int, int]:
    """Compute some rows of a block, (D, h, w), from the stored (C, h, w); valid pixels, and numbers that int8 cuts."""
    here = stored[:, rows].reshape(len(stored), -1)
    values, per_band = source.decode(here, None if mask is None else mask[rows].ravel(), padded_rows(*here.shape))
    valid = np.asarray(per_band.all(axis=0))
    if valid.all():
        found = function(values.T).T
    else:
        found = np.full((len(block), len(valid)), np.nan, np.float32)
        if valid.any():
            found[:, valid] = function(values[:, valid].T).T
    found = found.reshape(len(block), -1, block.shape[2])
    whole = block.dtype == np.int8
    block[:, rows] = quantize_alphaearth(found) if whole else found
    return int(valid.sum()), int((np.abs(found) > 1).sum()) if whole else 0


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

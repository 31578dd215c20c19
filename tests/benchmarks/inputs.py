"""Generated inputs: rasters that are smooth with some noise, points that cluster, polygons that fill the plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin
from rasterio.windows import Window

EPSG = 32630
PIXEL_M = 10.0
WEST, NORTH = 500_000.0, 4_500_000.0
# Pixels between the nodes of the smooth fields.
_NODE_PX = 48
_FIELDS = 6


def write_raster(
    path: Path,
    shape: tuple[int, int],
    seed: int,
    *,
    bands: int = 64,
    dtype: str = "float32",
    interleave: str = "band",
    block: int = 256,
    compress: str | None = None,
    holes: float = 0.0,
) -> None:
    """Write unit vectors that vary like a landscape: mixtures of smooth fields, and a fifth of noise.

    int8 holds AlphaEarth's codes. `holes` is the share of blocks in which a quarter has no data.
    """
    rng = np.random.default_rng(seed)
    rows, columns = shape
    nodes = rng.normal(size=(_FIELDS, rows // _NODE_PX + 3, columns // _NODE_PX + 3)).astype(np.float32)
    mix = rng.normal(size=(_FIELDS, bands)).astype(np.float32)
    profile = {"driver": "GTiff", "width": columns, "height": rows, "count": bands, "dtype": dtype, "tiled": True}
    profile |= {"blockxsize": block, "blockysize": block, "interleave": interleave, "crs": f"EPSG:{EPSG}"}
    profile |= {"transform": from_origin(WEST, NORTH, PIXEL_M, PIXEL_M), "BIGTIFF": "IF_SAFER"}
    profile |= {"nodata": -128 if dtype == "int8" else np.nan, "compress": compress or "none", "num_threads": 2}
    if compress == "zstd":
        profile |= {"zstd_level": 1, "predictor": 3 if dtype == "float32" else 2}
    with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(path, "w", **profile) as file:
        for top in range(0, rows, block):
            for left in range(0, columns, block):
                height, width = min(block, rows - top), min(block, columns - left)
                values = _landscape(nodes, mix, (top, left, height, width), rng)
                if rng.random() < holes:
                    values[: height // 2, : width // 2] = np.nan
                file.write(_stored(values, dtype), window=Window(left, top, width, height))


def _landscape(
    nodes: np.ndarray, mix: np.ndarray, box: tuple[int, int, int, int], rng: np.random.Generator
) -> np.ndarray:
    top, left, height, width = box
    down, across = _between(top, height, nodes.shape[1]), _between(left, width, nodes.shape[2])
    fields = down @ nodes @ across.T
    values = fields.reshape(len(nodes), -1).T @ mix
    values += 0.2 * rng.standard_normal(values.shape, np.float32)
    values /= np.sqrt(np.einsum("ij,ij->i", values, values))[:, None]
    return values.reshape(height, width, -1)


def _between(start: int, length: int, count: int) -> np.ndarray:
    """Weights of `count` nodes at each pixel, linear between the two that lie around it, (length, count)."""
    at = np.arange(start, start + length)[:, None] / _NODE_PX
    return np.maximum(0, 1 - np.abs(at - np.arange(count))).astype(np.float32)


def _stored(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "int8":
        codes = np.rint(np.sign(values) * np.sqrt(np.abs(values)) * 127.5)
        values = np.where(np.isfinite(values), codes, -128)
    return np.ascontiguousarray(values.transpose(2, 0, 1)).astype(dtype)


def points_in(extent: tuple[float, float, float, float], count: int, seed: int) -> np.ndarray:
    """(count, 2) points: half spread evenly over an extent (west, south, east, north), half in towns."""
    rng = np.random.default_rng(seed)
    west, south, east, north = extent
    low, span = np.array([west, south]), np.array([east - west, north - south])
    even = rng.random((count - count // 2, 2))
    towns = rng.random((20, 2))
    town = towns[rng.integers(20, size=count // 2)] + rng.normal(scale=0.02, size=(count // 2, 2))
    # Folded back at the edges, so that all lie inside.
    town = 1 - np.abs(1 - np.abs(town))
    return rng.permutation(low + np.concatenate([even, town]) * span)


def raster_extent(shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """West, south, east, north of a raster of `write_raster`."""
    return WEST, NORTH - shape[0] * PIXEL_M, WEST + shape[1] * PIXEL_M, NORTH


def cells_in(extent: tuple[float, float, float, float], count: int, seed: int) -> np.ndarray:
    """About `count` irregular polygons that fill an extent: cells around random centres, cut at the border."""
    rng = np.random.default_rng(seed)
    west, south, east, north = extent
    centres = np.column_stack([rng.uniform(west, east, count), rng.uniform(south, north, count)])
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(centres)))
    cut = shapely.intersection(cells, shapely.box(*extent))
    return np.asarray(cut[~shapely.is_empty(cut)])


def save_polygons(path: Path, polygons: np.ndarray) -> None:
    """Keep polygons as WKB."""
    np.save(path, np.array(shapely.to_wkb(polygons), dtype=object), allow_pickle=True)


def load_polygons(path: Path) -> np.ndarray:
    """Polygons of `save_polygons`."""
    return np.asarray(shapely.from_wkb(np.load(path, allow_pickle=True)))

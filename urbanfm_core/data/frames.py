"""The square of ground that stands for a region: its image shows it, and its points are placed in it.

Image patches, the grid of the points and the attention between both share this one frame: north up, row 0 in the north.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError
from urbanfm_core.geo.crs import metric_crs, transform_geometry
from urbanfm_core.geo.raster import RasterInfo, metres_per_pixel

# Share by which a region may stick out of its square before it is called larger.
_SLACK = 1e-6


@dataclass(frozen=True)
class RegionFrames:
    """A square on the ground for every region.

    Attributes:
        bounds: (R, 4) float64 west, south, east, north in `crs`; not square there if its units are not metres.
        crs: The raster's CRS, or without a raster one in metres.
        side_m: (R,) side on the ground in metres.
        geometry: (R,) the regions in `crs`.
        notes: What a report should mention.
    """

    bounds: NDArray[np.float64]
    crs: CRS
    side_m: NDArray[np.float64]
    geometry: NDArray[np.object_]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.bounds)

    def fractions(self, xy: NDArray[np.float64], region: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where points lie in the frames of given regions.

        Args:
            xy: (K, 2) points in `crs`.
            region: (K,) row of the frame of each.

        Returns:
            (K, 2) share of the side, from the west edge and from the north edge; outside [0, 1] off the frame.
        """
        west, south, east, north = self.bounds[region].T
        return np.column_stack([(xy[:, 0] - west) / (east - west), (north - xy[:, 1]) / (north - south)])


def region_frames(regions: RegionSet, size_px: int, pixel_m: float, raster: RasterInfo | None = None) -> RegionFrames:
    """A square around the centre of the bounds of every region, its sides along the axes of the CRS.

    Args:
        regions: The regions.
        size_px: Side of their images in pixels.
        pixel_m: Side of a pixel in metres on the ground; 0 stretches each square to the longer side of its region.
        raster: Raster that the images are cut from; without one the squares are laid out in metres.

    Raises:
        ConfigError: sizes that make no image.
        CRSError: a vertex has no place in the raster's CRS.
    """
    if size_px < 1 or not 0 <= pixel_m < np.inf:
        raise ConfigError(
            f"An image of {size_px} pixels of {pixel_m:g} m cannot be made.",
            "Give at least one pixel, and metres above 0 (or 0 to fit each region).",
        )
    crs = metric_crs(regions.crs, regions.bounds()) if raster is None else raster.crs
    geometry = transform_geometry(regions.geometry, regions.crs, crs)
    bounds = np.asarray(shapely.bounds(geometry), np.float64).reshape(-1, 4)
    centre = (bounds[:, :2] + bounds[:, 2:]) / 2
    per_unit = np.ones((len(bounds), 2)) if raster is None else _metres_per_unit(raster, centre)
    extent_m = ((bounds[:, 2:] - bounds[:, :2]) * per_unit).max(axis=1, initial=0)
    side = extent_m if pixel_m == 0 else np.full(len(bounds), size_px * pixel_m)
    half = side[:, None] / per_unit / 2
    notes = []
    larger = int((extent_m > side * (1 + _SLACK)).sum())
    if larger:
        notes.append(
            f"{larger:,} of {len(bounds):,} regions are larger than the square of {size_px * pixel_m:g} m around their "
            "centre that is looked at (pixel_m=0 stretches the square to the region)."
        )
    return RegionFrames(np.hstack([centre - half, centre + half]), crs, side, geometry, notes)


def frames_around(centre: NDArray[np.float64], side_m: float, raster: RasterInfo) -> RegionFrames:
    """A square of the same size on the ground around each of some places of a raster.

    Args:
        centre: (N, 2) places in the raster's CRS.
        side_m: Side in metres on the ground.
        raster: Raster that the images are cut from.
    """
    half = side_m / _metres_per_unit(raster, centre) / 2
    bounds = np.hstack([centre - half, centre + half])
    return RegionFrames(bounds, raster.crs, np.full(len(centre), side_m), shapely.points(centre))


def polygon_mask(polygon: object, bounds: NDArray[np.float64], size_px: int) -> NDArray[np.bool_]:
    """Pixels of a frame whose centre lies in a polygon; all that it touches if it is too thin to hold one.

    Args:
        polygon: Polygon in the frame's CRS.
        bounds: (4,) west, south, east, north of the frame.
        size_px: Side in pixels.

    Returns:
        (size_px, size_px) bool, row 0 in the north.
    """
    west, south, east, north = bounds
    transform = Affine((east - west) / size_px, 0, west, 0, (south - north) / size_px, north)
    for touched in (False, True):
        burnt = rasterio.features.rasterize(
            [(polygon, 1)], (size_px, size_px), transform=transform, all_touched=touched, dtype="uint8"
        )
        if burnt.any():
            break
    mask: NDArray[np.bool_] = burnt.astype(bool)
    return mask


def _metres_per_unit(raster: RasterInfo, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metres on the ground that a unit of the raster's CRS spans east and north at some places, (N, 2)."""
    step = np.array([raster.transform.a, -raster.transform.e])
    corner = np.array([raster.transform.c, raster.transform.f])
    colrow = (xy - corner) / (step * np.array([1, -1]))
    per_unit: NDArray[np.float64] = metres_per_pixel(raster, colrow) / step
    return per_unit

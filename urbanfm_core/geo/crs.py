"""Coordinate reference systems: demanding one, choosing a metric one, and moving coordinates between two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Proj, Transformer
from pyproj.exceptions import CRSError as ProjCRSError
from pyproj.exceptions import ProjError

from urbanfm_core.errors import CRSError

WGS84 = CRS.from_epsg(4326)
# A projected metre that is more than this share longer or shorter than a metre on the ground is not called metric.
SCALE_TOLERANCE = 0.02
UTM_NORTH_LIMIT_DEG, UTM_SOUTH_LIMIT_DEG = 84.0, -80.0


def require_crs(crs: Any, where: str, parameter: str | None = None) -> CRS:
    """The CRS of an input, or an error that says how to give it one.

    Args:
        crs: Anything that pyproj understands (CRS, "EPSG:25830", WKT, code), or None.
        where: The input in words, for the message: "regions (city.gpkg)".
        parameter: Where a user can give one to an input that lacks it.

    Raises:
        CRSError: there is none, it is not understood, or it is a local one without a place on the Earth.
    """
    otherwise = f", or give it as {parameter}" if parameter else ""
    remedy = f"Set it in QGIS (Layer > Set CRS of Layer, then export){otherwise}."
    if crs is None or (isinstance(crs, str) and not crs.strip()):
        raise CRSError(f"{where}: no coordinate reference system; one is needed to place it on the Earth.", remedy)
    try:
        found = CRS.from_user_input(crs)
    except ProjCRSError as error:
        raise CRSError(
            f"{where}: {str(crs)[:80]!r} is not a coordinate reference system that PROJ knows.",
            "Give it like EPSG:25830.",
        ) from error
    # GeoPackage calls a missing one "Undefined geographic SRS" or "Undefined Cartesian SRS".
    if found.is_engineering or found.geodetic_crs is None or found.name.lower().startswith("undefined"):
        raise CRSError(f"{where}: its coordinate system ({found.name}) has no place on the Earth.", remedy)
    return found


def metric_crs(crs: CRS, bounds: Sequence[float]) -> CRS:
    """A projected CRS in which a metre is a metre on the ground, for work around the given bounds.

    `crs` itself is taken when it is projected in metres that are true to 2 % at the centre of the bounds; Web Mercator
    away from the equator is not. Otherwise the UTM zone of the centre (WGS 84), or polar stereographic (UPS) north
    of 84 N and south of 80 S. The special zones of Norway and Svalbard are not used.

    Args:
        crs: CRS of the bounds.
        bounds: (xmin, ymin, xmax, ymax) in `crs`. Longitudes with xmin > xmax, or more than 180 degrees apart, are
            read as crossing the antimeridian.

    Raises:
        CRSError: the bounds are not finite, or lie outside what `crs` can express.
    """
    longitude, latitude = _centre(crs, bounds)
    if crs.is_projected and _in_metres(crs) and _scale_error(crs, longitude, latitude) <= SCALE_TOLERANCE:
        return crs
    if latitude >= UTM_NORTH_LIMIT_DEG:
        return CRS.from_epsg(5041)
    if latitude < UTM_SOUTH_LIMIT_DEG:
        return CRS.from_epsg(5042)
    zone = min(int((longitude + 180.0) // 6.0) + 1, 60)
    return CRS.from_epsg((32600 if latitude >= 0 else 32700) + zone)


def transform_xy(xy: NDArray[np.float64], src: CRS, dst: CRS) -> NDArray[np.float64]:
    """Coordinates in another CRS, x (east, longitude) always first.

    Args:
        xy: (N, 2) coordinates in `src`.
        src: Where they come from.
        dst: Where they go.

    Returns:
        (N, 2), always a new array. A row that has no place in `dst` is NaN.
    """
    points = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    if same_crs(src, dst):
        return points.copy()
    x, y = _transformer(src, dst).transform(points[:, 0], points[:, 1])
    out = np.column_stack([x, y]).astype(np.float64, copy=False)
    out[~np.isfinite(out).all(axis=1)] = np.nan
    return out


def transform_geometry(geometries: NDArray[np.object_], src: CRS, dst: CRS) -> NDArray[np.object_]:
    """Geometries in another CRS, vertex by vertex and without Z. None stays None.

    Args:
        geometries: (N,) shapely geometries in `src`.
        src: Where they come from.
        dst: Where they go.

    Raises:
        CRSError: a vertex has no place in `dst`.
    """
    if same_crs(src, dst):
        return np.asarray(geometries, dtype=object).copy()
    moved = shapely.transform(np.asarray(geometries, dtype=object), lambda xy: transform_xy(xy, src, dst))
    lost = int(np.isnan(shapely.get_coordinates(moved)).any(axis=1).sum())
    if lost:
        raise CRSError(
            f"{lost} vertices cannot be expressed in {dst.name}; they come from {src.name}.",
            "Check that the layer carries its right CRS, and that x and y are not swapped.",
        )
    result: NDArray[np.object_] = moved
    return result


def layer_bounds(geometries: NDArray[np.object_], crs: CRS) -> tuple[float, float, float, float]:
    """Bounds (xmin, ymin, xmax, ymax) of a layer.

    Longitudes that lie on both sides of the antimeridian give xmin > xmax, if that is the narrower way round.

    Args:
        geometries: (N,) shapely geometries or None.
        crs: Their CRS.

    Raises:
        CRSError: there is no coordinate, or one that is not finite.
    """
    xmin, ymin, xmax, ymax = (float(value) for value in shapely.total_bounds(geometries))
    if not all(math.isfinite(value) for value in (xmin, ymin, xmax, ymax)):
        raise CRSError("The layer holds no finite coordinates.", "Is it empty? If not, repair it.")
    if crs.is_geographic and xmax - xmin > 180.0:
        eastward = shapely.get_coordinates(geometries)[:, 0] % 360.0
        low, high = float(eastward.min()), float(eastward.max())
        if high - low < 180.0:
            xmin, xmax = low, high - 360.0
    return xmin, ymin, xmax, ymax


def unbroken(geometries: NDArray[np.object_], crs: CRS) -> NDArray[np.object_]:
    """Geometries as a map shows them: those on both sides of the antimeridian side by side, in longitudes from 0 to 360.

    Args:
        geometries: (N,) shapely geometries or None.
        crs: Their CRS.

    Raises:
        CRSError: there is no coordinate, or one that is not finite.
    """
    xmin, _, xmax, _ = layer_bounds(geometries, crs)
    if xmin <= xmax:
        return geometries
    moved: NDArray[np.object_] = shapely.transform(geometries, lambda xy: np.column_stack([xy[:, 0] % 360.0, xy[:, 1]]))
    return moved


def same_crs(first: CRS, second: CRS) -> bool:
    """Whether coordinates need no change between the two; the order of axes does not count, x is always first."""
    return first is second or _equal(first, second)


@lru_cache(maxsize=256)
def _equal(first: CRS, second: CRS) -> bool:
    return bool(first.equals(second, ignore_axis_order=True))


@lru_cache(maxsize=64)
def _transformer(src: CRS, dst: CRS) -> Transformer:
    try:
        return Transformer.from_crs(src, dst, always_xy=True)
    except ProjError as error:
        raise CRSError(f"PROJ knows no way from {src.name} to {dst.name}.", "Check both layers' CRS.") from error


def _in_metres(crs: CRS) -> bool:
    return all(axis.unit_conversion_factor == 1.0 for axis in crs.axis_info[:2])


def _scale_error(crs: CRS, longitude: float, latitude: float) -> float:
    """Largest share by which the map's metre departs from the ground's at one place, over all directions."""
    try:
        factors = Proj(crs).get_factors(longitude, latitude)
    except ProjError:
        return math.inf
    largest, smallest = float(factors.tissot_semimajor), float(factors.tissot_semiminor)
    error = max(abs(largest - 1.0), abs(smallest - 1.0))
    return error if math.isfinite(error) else math.inf


def _centre(crs: CRS, bounds: Sequence[float]) -> tuple[float, float]:
    """Longitude in [-180, 180) and latitude of the bounds' centre, WGS 84."""
    xmin, ymin, xmax, ymax = (float(value) for value in bounds)
    if not all(math.isfinite(value) for value in (xmin, ymin, xmax, ymax)):
        raise CRSError(f"The bounds {tuple(bounds)} are not finite.", "Is the layer empty?")
    if crs.is_geographic:
        width = xmax - xmin
        middle = (xmin + xmax) / 2.0
        if width < 0 or 180.0 < width < 360.0:
            middle += 180.0
        centre = transform_xy(np.array([[middle, (ymin + ymax) / 2.0]]), crs, WGS84)[0]
    else:
        centre = transform_xy(np.array([[(xmin + xmax) / 2.0, (ymin + ymax) / 2.0]]), crs, WGS84)[0]
    longitude, latitude = float(centre[0]), float(centre[1])
    if not (math.isfinite(longitude) and -90.0 <= latitude <= 90.0):
        raise CRSError(
            f"The bounds {tuple(round(float(b), 3) for b in bounds)} lie outside {crs.name}.",
            "Check that the layer carries its right CRS, and that x and y are not swapped.",
        )
    return (longitude + 180.0) % 360.0 - 180.0, latitude

"""Coordinate reference systems: what is demanded, what is chosen, what moves where."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import CRS

from urbanfm_core.errors import CRSError
from urbanfm_core.geo.crs import (
    layer_bounds,
    metric_crs,
    require_crs,
    same_crs,
    transform_geometry,
    transform_xy,
    unbroken,
)

GEO = CRS.from_epsg(4326)
ENGINEERING = 'LOCAL_CS["site",UNIT["metre",1],AXIS["E",EAST],AXIS["N",NORTH]]'
# What GeoPackage files say when the CRS was never set.
UNDEFINED = (
    'GEOGCS["Undefined geographic SRS",DATUM["unknown",SPHEROID["unknown",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
)


@pytest.mark.parametrize("missing", [None, "", "  "])
def test_missing_crs_is_an_error_with_a_remedy(missing: object) -> None:
    with pytest.raises(CRSError, match=r"regions \(a.gpkg\).*no coordinate reference system.*Set it in QGIS"):
        require_crs(missing, "regions (a.gpkg)")
    with pytest.raises(CRSError, match="or give it as poi_crs"):
        require_crs(missing, "points", "poi_crs")


@pytest.mark.parametrize("bad", ["EPSG:999999", "hello", ENGINEERING, UNDEFINED])
def test_unusable_crs_is_an_error(bad: str) -> None:
    with pytest.raises(CRSError, match=r"^raster:"):
        require_crs(bad, "raster")


def test_require_crs_takes_codes_and_objects() -> None:
    assert require_crs("EPSG:25830", "x") == require_crs(25830, "x") == CRS.from_epsg(25830)


@pytest.mark.parametrize(
    ("crs", "bounds", "expected"),
    [
        (4326, (-74.1, 40.5, -73.7, 40.9), 32618),
        (4326, (-46.8, -23.7, -46.4, -23.4), 32723),
        (4326, (179.2, -18.3, -178.9, -17.5), 32701),  # across the antimeridian, xmin > xmax
        (4326, (176.2, -18.3, -179.9, -17.5), 32760),
        (4326, (-179.9, -18.3, 179.2, -17.5), 32760),  # the same, with plain minimum and maximum
        (4326, (188.0, 50.0, 189.0, 51.0), 32602),  # longitudes counted on past 180
        (4326, (180.0, 1.0, 180.0, 1.0), 32601),
        (4326, (15.0, 84.5, 16.0, 85.0), 5041),
        (4326, (15.0, -86.0, 16.0, -85.0), 5042),
        (25830, (430000.0, 4470000.0, 450000.0, 4490000.0), 25830),
        (3035, (2650000.0, 1940000.0, 2680000.0, 1970000.0), 3035),
        (3857, (-413000.0, 4920000.0, -410000.0, 4930000.0), 32630),  # a Web Mercator metre is 0.76 m in Madrid
        (2263, (980000.0, 190000.0, 1000000.0, 210000.0), 32618),  # feet
    ],
)
def test_metric_crs(crs: int, bounds: tuple[float, ...], expected: int) -> None:
    assert metric_crs(CRS.from_epsg(crs), bounds).to_epsg() == expected


def test_metric_crs_refuses_bounds_off_the_earth() -> None:
    with pytest.raises(CRSError, match="not finite"):
        metric_crs(GEO, (np.nan, 0, 1, 1))
    with pytest.raises(CRSError, match="swapped"):
        metric_crs(GEO, (0, 400000, 1, 400001))


def test_bounds_of_a_layer_across_the_antimeridian() -> None:
    fiji = np.array([shapely.box(178, -19, 180, -16), None, shapely.box(-180, -18, -179, -17)])
    assert layer_bounds(fiji, GEO) == (178.0, -19.0, -179.0, -16.0)
    assert layer_bounds(fiji, CRS.from_epsg(3857)) == (-180.0, -19.0, 180.0, -16.0)
    world = np.array([shapely.Point(-170, 0), shapely.Point(0, 0), shapely.Point(170, 0)])
    assert layer_bounds(world, GEO)[::2] == (-170.0, 170.0)
    with pytest.raises(CRSError, match="empty"):
        layer_bounds(np.array([None]), GEO)


def test_transform_puts_longitude_first_and_returns_a_copy() -> None:
    xy = np.array([[-3.70379, 40.41678]])
    there = transform_xy(xy, GEO, CRS.from_epsg(25830))
    np.testing.assert_allclose(there, [[440289.0, 4474257.0]], atol=30)
    np.testing.assert_allclose(transform_xy(there, CRS.from_epsg(25830), GEO), xy, atol=1e-9)
    same = transform_xy(xy, GEO, CRS.from_user_input("OGC:CRS84"))
    assert same_crs(GEO, CRS.from_user_input("OGC:CRS84"))
    same[0, 0] = 0
    assert xy[0, 0] == -3.70379


def test_points_without_a_place_become_nan_and_vertices_an_error() -> None:
    xy = np.array([[0.0, 95.0], [1.0, 2.0], [np.nan, 3.0]])
    moved = transform_xy(xy, GEO, CRS.from_epsg(32631))
    assert np.isnan(moved).all(axis=1).tolist() == [True, False, True]
    with pytest.raises(CRSError, match="vertices cannot be expressed"):
        transform_geometry(np.array([shapely.box(0, 89, 1, 95)]), GEO, CRS.from_epsg(32631))


def test_transform_geometry_keeps_holes_and_gaps() -> None:
    ring = shapely.box(-3.8, 40.3, -3.6, 40.5).difference(shapely.box(-3.75, 40.35, -3.7, 40.4))
    moved = transform_geometry(np.array([ring, None], dtype=object), GEO, CRS.from_epsg(25830))
    assert moved[1] is None
    assert len(moved[0].interiors) == 1
    back = transform_geometry(moved, CRS.from_epsg(25830), GEO)
    assert shapely.equals_exact(back[0], ring, tolerance=1e-9)


def test_a_layer_across_the_antimeridian_is_drawn_in_one_piece() -> None:
    wgs84 = CRS.from_epsg(4326)
    both = np.array([shapely.box(179, 0, 180, 1), None, shapely.box(-180, 0, -179, 1)], dtype=object)
    assert shapely.total_bounds(unbroken(both, wgs84)).tolist() == [179, 0, 181, 1]
    for shapes, crs in ((both[:1], wgs84), (both, CRS.from_epsg(32660))):
        assert unbroken(shapes, crs) is shapes

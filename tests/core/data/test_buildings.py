"""Outlines of buildings: area, shape, tags that give nothing away, and the points inside."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely

from urbanfm_core.data.buildings import BuildingSet, stored_shapes
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, EmptyInputError, InputError
from urbanfm_core.geo.crs import WGS84, transform_xy

X, Y = 500_000.0, 4_000_000.0
TOWER, BAR = shapely.box(X, Y, X + 20, Y + 20), shapely.box(X - 10, Y - 10, X + 30, Y + 90)


def buildings(shapes: list, crs: str = "EPSG:32631", **columns: list) -> BuildingSet:
    return BuildingSet.read(geopandas.GeoDataFrame(columns, geometry=shapes, crs=crs))


def test_area_is_in_square_metres_wherever_the_layer_comes_from() -> None:
    plain = buildings([TOWER, BAR])
    ratio = plain.area_m2 / [400, 4000]
    # At its central meridian a metre of UTM is 0.9996 of one on the ground.
    np.testing.assert_allclose(ratio, 1 / 0.9996**2, rtol=1e-4)
    moved = BuildingSet.read(geopandas.GeoDataFrame(geometry=[TOWER, BAR], crs="EPSG:32631").to_crs(4326))
    assert moved.crs.to_epsg() == 32631
    np.testing.assert_allclose(moved.area_m2, plain.area_m2, rtol=1e-6)
    np.testing.assert_allclose(moved.xy, [[X + 10, Y + 10], [X + 10, Y + 40]], atol=1e-3)


def test_a_point_is_in_the_smallest_building_that_holds_it() -> None:
    found = buildings([BAR, TOWER])
    places = np.array([[X + 5, Y + 5], [X + 5, Y + 50], [X + 500, Y], [X + 20, Y + 5]])
    assert found.holding(places, "EPSG:32631")[:3].tolist() == [1, 0, -1]
    moved = transform_xy(places, found.crs, WGS84)
    assert found.holding(moved, WGS84)[:3].tolist() == [1, 0, -1]


def test_only_tags_of_openstreetmap_are_read_unasked() -> None:
    layer = geopandas.GeoDataFrame(
        {"building_id": ["a", "b"], "function": ["office", "home"], "building": ["yes", "hut"], "other_tags": ['"levels"=>"3"', None]},
        geometry=[TOWER, BAR],
        crs="EPSG:32631",
    )  # fmt: skip
    found = BuildingSet.read(layer)
    assert found.ids.tolist() == ["a", "b"]
    assert found.tags.texts() == ["levels: 3, building: yes", "building: hut"]
    assert BuildingSet.read(layer, tag_columns=["function"]).tags.texts() == ["function: office", "function: home"]
    assert BuildingSet.read(layer, id_field="function").ids.tolist() == ["office", "home"]


def test_polygons_of_the_ground_are_no_buildings() -> None:
    columns = {
        "building": [None, "yes", None, None],
        "landuse": ["retail", "retail", None, None],
        "other_tags": [None, None, '"boundary"=>"city"', None],
    }
    found = buildings([BAR, TOWER, BAR, BAR], **columns)
    assert found.ids.tolist() == [1, 3]
    assert len(found.tags) == len(found.area_m2) == len(found.geometry) == 2
    assert found.notes[-1] == "Buildings: 2 polygons of landuse, boundaries and the like are left out."
    with pytest.raises(EmptyInputError, match="all of 1 polygons are ground"):
        buildings([BAR], natural=["water"])


def test_shapes_keep_their_aspect_and_fill_their_longer_side() -> None:
    bar, tower = buildings([BAR, TOWER]).shapes(20)
    assert tower.all()
    assert bar.any(axis=1).all()
    assert bar.any(axis=0).sum() == 20 * 40 / 100
    assert bar[:, 6:14].all()


def test_shapes_stand_north_up_and_have_their_holes() -> None:
    ell = shapely.box(X, Y, X + 40, Y + 10).union(shapely.box(X, Y, X + 10, Y + 40))
    court = shapely.box(X, Y, X + 40, Y + 40).difference(shapely.box(X + 10, Y + 10, X + 30, Y + 30))
    first, second = buildings([ell, court]).shapes(8, np.array([0, 1]))
    assert first[0].tolist() == [True, True] + [False] * 6
    assert first[7].all()
    assert not second[2:6, 2:6].any()
    assert second.sum() == 64 - 16


def test_a_shape_thinner_than_a_pixel_is_still_there() -> None:
    sliver = shapely.Polygon([(X, Y), (X + 1000, Y + 0.01), (X + 1000, Y)])
    assert buildings([sliver]).shapes(16).any()
    with pytest.raises(ConfigError, match="in 1 pixels"):
        buildings([TOWER]).shapes(1)


def test_shapes_are_kept_eight_pixels_to_a_byte(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("urbanfm_core.data.buildings._AT_ONCE", 2)
    found = buildings([BAR, TOWER, shapely.Point(X, Y).buffer(9)])
    store = SampleStore(tmp_path, {})
    packed = stored_shapes(found, 19, store)
    assert packed.bits.shape == (3, 46)
    np.testing.assert_array_equal(packed.batch(np.array([2, 0])), found.shapes(19)[[2, 0]])
    monkeypatch.setattr(BuildingSet, "shapes", None)
    np.testing.assert_array_equal(stored_shapes(found, 19, store).bits, packed.bits)


def test_a_layer_without_polygons_is_none() -> None:
    with pytest.raises(InputError, match="no polygons"):
        buildings([shapely.Point(X, Y)])

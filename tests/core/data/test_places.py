"""Layers of points and of buildings as what receives a vector."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.places import are_points, poi_features, read_places, region_around, require_polygons
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.errors import ConfigError, EmptyInputError, InputError


def points(count=4, **columns):
    xy = shapely.points(np.arange(count) * 10.0 + 500_000, np.full(count, 4_400_000.0))
    return gpd.GeoDataFrame({"id": list("abcdefgh")[:count], **columns}, geometry=xy, crs=32630)


def features(path, **columns):
    city = CityInputs(pois=path)
    pois = city.read_pois()
    return (*poi_features(city, pois, columns.get("id")), pois)


def test_points_are_places_with_ids_and_no_area():
    frame = points()
    frame.loc[2, "geometry"] = None
    found = read_places(frame)
    assert are_points(found) and found.ids.tolist() == ["a", "b", "d"] and found.area_m2().tolist() == [0.0] * 3
    assert found.notes[0] == "1 features without geometry are left out."
    with pytest.raises(ConfigError, match="A floor needs polygons"):
        require_polygons(found, "A floor")


def test_polygons_are_read_as_regions_are_and_lines_are_refused():
    frame = points()
    frame.geometry = frame.geometry.buffer(4)
    found = read_places(frame)
    assert not are_points(found) and (found.area_m2() > 40).all()
    require_polygons(found, "A floor")
    frame.geometry = frame.geometry.boundary
    with pytest.raises(InputError, match="no polygons; found LineString"):
        read_places(frame)
    with pytest.raises(EmptyInputError):
        read_places(frame.iloc[:0])


def test_polygons_stay_polygons_and_mixed_layers_become_points(tmp_path):
    frame = points(name=["w", "x", "y", "z"])
    frame.geometry = frame.geometry.buffer(4)
    frame.to_file(tmp_path / "b.gpkg")
    found, feature, pois = features(tmp_path / "b.gpkg")
    assert not are_points(found) and feature.tolist() == [0, 1, 2, 3] and found.ids.tolist() == list("abcd")
    frame.loc[1, "geometry"] = frame.geometry[1].centroid
    frame.to_file(tmp_path / "m.geojson", driver="GeoJSON")
    found, feature, pois = features(tmp_path / "m.geojson")
    assert are_points(found) and len(found) == 4 and found.attributes.name.tolist() == list("wxyz")
    np.testing.assert_allclose(shapely.get_coordinates(found.geometry), pois.xy)


def test_parts_of_a_multi_point_share_a_feature_and_rows_without_a_place_have_none(tmp_path):
    frame = points()
    two = shapely.MultiPoint([[500_000, 4_400_000], [500_500, 4_400_500]])
    frame.loc[1, "geometry"] = two
    frame.loc[2, "geometry"] = None
    frame.to_file(tmp_path / "p.gpkg")
    found, feature, pois = features(tmp_path / "p.gpkg")
    assert found.ids.tolist() == ["a", "b", "d"] and feature.tolist() == [0, 1, 1, 2] and len(pois) == 4
    assert shapely.equals(found.geometry[1], two) and found.geometry[0].geom_type == "Point"


def test_tables_have_points_and_ids_of_their_rows(tmp_path):
    table = pd.DataFrame(
        {"lon": [1.0, None, 1.5], "lat": [2.0, 2.1, 2.2], "osm_id": ["7", "8", "7"], "kind": list("xyz")}
    )
    table.to_csv(tmp_path / "p.csv", index=False)
    found, feature, _ = features(tmp_path / "p.csv")
    assert found.id_name == "poi_id" and found.ids.tolist() == [0, 2] and feature.tolist() == [0, 1]
    assert found.crs.to_epsg() == 4326 and "kind" in found.attributes
    with pytest.raises(ConfigError, match="no column 'nothing'"):
        features(tmp_path / "p.csv", id="nothing")
    with pytest.raises(InputError, match="stand for more than one"):
        features(tmp_path / "p.csv", id="osm_id")


@pytest.mark.parametrize("crs, xy", [(4326, [[179.9, -17.0], [-179.9, -17.1]]), (32630, [[5e5, 4e6], [5e5, 4e6]])])
def test_one_region_holds_all_points_even_of_one_spot_and_across_the_antimeridian(tmp_path, crs, xy):
    gpd.GeoDataFrame({"name": ["a", "b"]}, geometry=shapely.points(xy), crs=crs).to_file(tmp_path / "p.gpkg")
    pois = PoiSet.from_source(tmp_path / "p.gpkg")
    around = region_around(pois)
    assert around.assign(pois.to_crs(around.crs).xy, around.crs).point.tolist() == [0, 1]
    assert np.sqrt(around.area_m2()[0]) < 50_000

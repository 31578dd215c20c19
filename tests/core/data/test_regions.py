"""Regions from layers and grids: ids, repairs, areas, and errors that name the culprit."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, CRSError, EmptyInputError, InputError
from urbanfm_core.geo.assign import assign_to_polygons
from urbanfm_core.geo.vector_writer import write_layer


def boxes(crs: Any = 25830, **columns: Any) -> geopandas.GeoDataFrame:
    count = len(next(iter(columns.values()))) if columns else 3
    shapes = [shapely.box(440000 + 100 * i, 4474000, 440100 + 100 * i, 4474100) for i in range(count)]
    return geopandas.GeoDataFrame(columns, geometry=shapes, crs=crs)


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".geojson"])
def test_every_field_of_the_source_is_kept(tmp_path: Path, suffix: str) -> None:
    frame = boxes(id=["a", "b", "c"], when=[dt.date(2020, 1, 1), None, dt.date(2021, 1, 1)], price=[1.5, np.nan, 2.0])
    write_layer(frame, tmp_path / f"r{suffix}")
    regions = RegionSet.from_layer(tmp_path / f"r{suffix}")
    assert regions.ids.tolist() == ["a", "b", "c"] and regions.id_name == "id"
    assert regions.attributes.columns.tolist() == ["id", "when", "price"]
    assert regions.attributes["price"].isna().tolist() == [False, True, False]
    assert regions.attributes["when"].isna().tolist() == [False, True, False]
    assert len(regions) == len(regions.geometry) == 3
    assert any("'id'" in note for note in regions.notes)


def test_which_id_is_taken() -> None:
    both = boxes(id=[1, 2, 3], region_id=["x", "y", "z"], other=[7.0, 8.0, 9.0])
    assert RegionSet.from_layer(both).ids.tolist() == ["x", "y", "z"]
    given = RegionSet.from_layer(both, "other")
    assert given.ids.tolist() == [7, 8, 9] and given.ids.dtype == np.int64 and given.id_name == "other"
    numbered = RegionSet.from_layer(boxes(id=[1, 1, 2]))
    assert numbered.id_name == "fid" and numbered.ids.tolist() == [0, 1, 2]
    assert "no id field was given" in numbered.notes[0]
    mixed = RegionSet.from_layer(boxes(code=[1, "b", "3"]), "code")
    assert mixed.ids.tolist() == ["1", "b", "3"]


def test_feature_numbers_of_a_file_are_ids(tmp_path: Path) -> None:
    write_layer(boxes(fid=[11, 5, 8]), tmp_path / "r.gpkg")
    by_default = RegionSet.from_layer(tmp_path / "r.gpkg")
    assert by_default.ids.tolist() == RegionSet.from_layer(tmp_path / "r.gpkg", "fid").ids.tolist() == [5, 8, 11]
    write_layer(by_default.to_frame(), tmp_path / "again.gpkg")
    assert RegionSet.from_layer(tmp_path / "again.gpkg").ids.tolist() == [5, 8, 11]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b", "a", "b", "c"], "2 values of 'k' stand for more than one region; the first are a, b"),
        (["a", None, "b"], "1 regions have no 'k'; the first are features 1"),
        ([1.0, np.nan, 3.0], "1 regions have no 'k'"),
        ([1.5, 2.0, 3.0], "fractional"),
        ([True, False], "true/false"),
        ([1, "1", 2], "equal once written as text"),
    ],
)
def test_unusable_ids(values: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RegionSet.from_layer(boxes(k=pd.Series(values, dtype=None)), "k")


def test_unusable_layers() -> None:
    with pytest.raises(ConfigError, match=r"no column 'nope'.*Its columns: id"):
        RegionSet.from_layer(boxes(id=[1, 2]), "nope")
    with pytest.raises(EmptyInputError, match="no features"):
        RegionSet.from_layer(boxes().iloc[:0])
    with pytest.raises(CRSError, match=r"regions: no coordinate reference system"):
        RegionSet.from_layer(boxes(crs=None))
    assert RegionSet.from_layer(boxes(crs=None), crs=25830).crs.to_epsg() == 25830
    points = geopandas.GeoDataFrame(geometry=shapely.points([[0, 0], [1, 1]]), crs=4326)
    with pytest.raises(InputError, match="no polygons; found Point"):
        RegionSet.from_layer(points)
    flat = geopandas.GeoDataFrame(geometry=[shapely.Polygon([(0, 0), (1, 1), (2, 2)])], crs=4326)
    with pytest.raises(InputError, match="none of its 1 polygons has an area"):
        RegionSet.from_layer(flat)


def test_repairs_and_omissions_are_counted() -> None:
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    mixed = shapely.GeometryCollection([shapely.box(5, 5, 6, 6), shapely.LineString([(0, 0), (1, 1)])])
    tall = shapely.force_3d(shapely.box(8, 8, 9, 9), 5.0)
    shapes = [
        bow_tie,
        None,
        shapely.Point(1, 1),
        mixed,
        shapely.Polygon(),
        shapely.Polygon([(0, 0), (1, 1), (2, 2)]),
        tall,
    ]
    frame = geopandas.GeoDataFrame({"k": list("abcdefg")}, geometry=shapes, crs=25830)
    regions = RegionSet.from_layer(frame, "k")
    assert regions.ids.tolist() == ["a", "d", "g"]
    assert regions.attributes["k"].tolist() == ["a", "d", "g"]
    assert shapely.is_valid(regions.geometry).all() and not shapely.has_z(regions.geometry).any()
    assert shapely.area(regions.geometry).tolist() == [2.0, 1.0, 1.0]
    text = " ".join(regions.notes)
    for part in (
        "2 invalid polygons were repaired",
        "2 features without geometry",
        "1 features that are not polygons",
        "1 polygons without area",
    ):
        assert part in text
    assert frame.geometry.iloc[0].equals(bow_tie)


def test_area_agrees_with_geodesic_polygons() -> None:
    regions = RegionSet.from_layer(boxes())
    geographic = regions.to_crs(4326)
    geod = Geod(ellps="WGS84")
    expected = [abs(geod.geometry_area_perimeter(shape)[0]) for shape in geographic.geometry]
    np.testing.assert_allclose(regions.area_m2(), expected, rtol=1e-4)
    holed = shapely.box(-3, 40, -2, 41) - shapely.box(-2.8, 40.2, -2.2, 40.8)
    wide = geopandas.GeoDataFrame(geometry=[holed, shapely.box(30, 40, 31, 41)], crs=4326)
    areas = RegionSet.from_layer(wide).area_m2()
    narrow = RegionSet.from_layer(wide.iloc[:1]).area_m2()
    np.testing.assert_allclose(areas[0], narrow[0], rtol=2e-3)


def test_regions_across_the_antimeridian() -> None:
    halves = shapely.union_all([shapely.box(179.9, -17, 180, -16.9), shapely.box(-180, -17, -179.9, -16.9)])
    fiji = RegionSet.from_layer(geopandas.GeoDataFrame(geometry=[halves], crs=4326))
    np.testing.assert_allclose(fiji.area_m2(), [2 * 10650 * 11070], rtol=0.01)
    assert abs(abs(fiji.centroid_xy()[0, 0]) - 180) < 1e-4
    grid = RegionSet.grid(fiji, 1000)
    assert grid.crs.to_epsg() in (32701, 32760)
    assert 220 < len(grid) < 300
    assert RegionSet.grid((179.9, -17, -179.9, -16.9), 1000, crs=4326).crs == grid.crs


def test_centroids() -> None:
    regions = RegionSet.from_layer(boxes())
    np.testing.assert_allclose(regions.centroid_xy()[0], [440050, 4474050], atol=1e-6)
    np.testing.assert_allclose(regions.centroid_xy(4326)[0], [-3.7066, 40.4151], atol=1e-3)
    assert regions.to_crs("EPSG:25830") is regions


@pytest.mark.parametrize("shape", ["square", "hexagon"])
def test_grid_over_a_geographic_layer(tmp_path: Path, shape: Any) -> None:
    write_layer(boxes().to_crs(4326), tmp_path / "r.gpkg")
    grid = RegionSet.grid(tmp_path / "r.gpkg", 25, shape)
    assert grid.crs.to_epsg() == 32630 and grid.id_name == "region_id"
    assert len(set(grid.ids)) == len(grid) == len(grid.attributes)
    assert any("UTM zone 30N" in note for note in grid.notes)
    covered = shapely.union_all(grid.geometry).buffer(1e-6)
    assert covered.covers(shapely.union_all(RegionSet.from_layer(tmp_path / "r.gpkg").to_crs(32630).geometry))
    again = RegionSet.grid(tmp_path / "r.gpkg", 25, shape)
    assert again.ids.tolist() == grid.ids.tolist()
    write_layer(grid.to_frame(), tmp_path / "grid.gpkg")
    assert RegionSet.from_layer(tmp_path / "grid.gpkg").ids.tolist() == grid.ids.tolist()


def test_grid_over_other_areas() -> None:
    assert len(RegionSet.grid((0, 0, 1000, 500), 100, crs=25830)) == 50
    assert len(RegionSet.grid(shapely.box(0, 0, 1000, 500), 100, crs=25830)) == 50
    points = geopandas.GeoDataFrame(geometry=shapely.points([[0, 0], [1000, 0], [1000, 500], [0, 500]]), crs=25830)
    hull = RegionSet.grid(points, 100)
    assert len(hull) == 50 and "convex hull" in hull.notes[0]
    with pytest.raises(CRSError, match="area of the grid"):
        RegionSet.grid((0, 0, 1, 1), 100)
    with pytest.raises(ConfigError, match="four numbers"):
        RegionSet.grid((0, 0, 1), 100, crs=25830)
    with pytest.raises(ConfigError, match="no surface"):
        RegionSet.grid((5, 0, 1, 1), 100, crs=25830)
    with pytest.raises(EmptyInputError):
        RegionSet.grid(points.iloc[:1], 100)


@pytest.mark.parametrize("shape", ["square", "hexagon"])
def test_points_find_grid_cells_as_they_find_polygons(shape: Any) -> None:
    area = shapely.Point(440000, 4474000).buffer(900)
    grid = RegionSet.grid(area, 130, shape, crs=25830)
    rng = np.random.default_rng(0)
    xy = rng.uniform([438800, 4472800], [441200, 4475200], (4000, 2))
    fast = grid.assign(xy, 25830)
    slow = assign_to_polygons(xy, grid.geometry)
    np.testing.assert_array_equal(fast.point, slow.point)
    np.testing.assert_array_equal(fast.region, slow.region)
    assert 0 < fast.unassigned(len(xy)) < len(xy)
    in_degrees = RegionSet.from_layer(grid.to_frame(), "region_id").to_crs(4326).assign(xy, 25830)
    assert (in_degrees.region == slow.region).mean() > 0.999

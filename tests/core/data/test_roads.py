"""Road lines become segments that meet where roads meet, and only there."""

from __future__ import annotations

from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import Geod

from urbanfm_core.data.roads import RoadNetwork
from urbanfm_core.errors import Cancelled, ConfigError, CRSError, EmptyInputError, InputError
from urbanfm_core.geo.vector_writer import write_layer
from urbanfm_core.progress import Progress

X, Y = 500_000.0, 4_000_000.0
CROSS = ["0 0, 100 0", "50 -50, 50 50"]


def line(text: str) -> shapely.LineString:
    """A line of "x y, x y" metres from the corner."""
    return shapely.LineString([(X + float(x), Y + float(y)) for x, y in (pair.split() for pair in text.split(","))])


def network(lines: list[Any], snap_m: float = 1.0, **columns: list) -> RoadNetwork:
    shapes = [line(one) if isinstance(one, str) else one for one in lines]
    return RoadNetwork.read(geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32631"), snap_m)


def crossings(found: RoadNetwork) -> list[list[float]]:
    return sorted((found.node_xy[found.intersections()] - [X, Y]).round(3).tolist())


def test_lines_that_cross_are_cut_there() -> None:
    found = network(CROSS)
    assert len(found) == 4
    np.testing.assert_allclose(found.length_m, 50)
    assert crossings(found) == [[50, 0]]
    assert found.degree.tolist().count(1) == 4
    assert found.degree.max() == 4
    assert found.road.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(shapely.length(found.geometry), found.length_m)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["0 0, 100 0", "50 0, 50 50"], [[50, 0]]),  # a T, touching
        (["0 0, 100 0", "50 0.8, 50 50"], [[50, 0.267]]),  # a T that falls short by less than the tolerance
        (["0 0, 100 0", "50 1.2, 50 50"], []),
        (["0 0, 50 0", "50 0, 100 0"], []),  # one street drawn in two
        (["0 0, 50 0", "50.5 0, 100 0", "50 0.5, 50 50"], [[50.167, 0.167]]),
        (["0 0, 100 0", "30 5, 70 -5", "30 -5, 70 5"], [[50, 0]]),  # six ways
        (["0 0, 100 0", "0 10, 100 10"], []),
        (["0 0, 40 0, 40 40, 20 40, 20 -20"], [[20, 0]]),  # crosses itself
        (["0 0, 40 0, 40 40, 0 40, 0 0", "0 40, -50 40"], [[0, 40]]),  # a ring
        (["0 0, 100 0", "50 0, 150 0", "70 0, 70 9"], [[70, 0]]),  # a stretch drawn twice
    ],
)  # fmt: skip
def test_where_roads_meet(lines: list[str], expected: list[list[float]]) -> None:
    found = network(lines)
    np.testing.assert_allclose(np.array(crossings(found)).reshape(-1, 2), np.array(expected).reshape(-1, 2), atol=0.01)
    assert found.degree.sum() == 2 * len(found)


@pytest.mark.parametrize(
    "columns",
    [
        {"bridge": ["yes", None]},
        {"bridge": [1, 0]},
        {"tunnel": ["no", "culvert"]},
        {"layer": ["1", None]},
        {"layer": [0.0, -2.0]},
        {"bridge": ["yes", "yes"], "layer": ["1", "2"]},
        {"other_tags": ['"bridge"=>"viaduct","highway"=>"primary"', '"highway"=>"service"']},
    ],
)
def test_a_bridge_does_not_meet_what_it_crosses(columns: dict) -> None:
    found = network(CROSS, **columns)
    assert len(found) == 2
    assert crossings(found) == []


def test_a_bridge_meets_the_road_that_it_continues() -> None:
    lines = ["0 0, 40 0", "40 0, 50 0, 60 0", "60 0, 100 0", "50 -50, 50 50", "40 0, 40 50", "50 0.5, 90 60"]
    found = network(lines, layer=[None, "1", None, None, None, None])
    # The last one starts at a vertex of the bridge, as OpenStreetMap says that it leaves it; the fourth goes below, and
    # there the last one, on its level, leaves it too.
    assert crossings(found) == [[40, 0], [50, pytest.approx(0.5, abs=0.51)]]
    assert len(found) == 8


def test_the_length_is_that_on_the_ground() -> None:
    shape = shapely.LineString([[13.4, 52.5], [13.42, 52.51]])
    found = RoadNetwork.read(geopandas.GeoDataFrame(geometry=[shape], crs="EPSG:4326"))
    assert found.length_m[0] == pytest.approx(Geod(ellps="WGS84").geometry_length(shape), rel=1e-3)


def test_only_lines_with_a_highway_are_roads_of_openstreetmap(tmp_path) -> None:
    shapes = [line(f"0 {y}, 100 {y}") for y in (0, 10, 20, 30, 40)]
    frame = geopandas.GeoDataFrame(
        {
            "osm_id": list("12345"),
            "highway": ["primary", None, "construction", None, "footway"],
            "waterway": [None, "river", None, None, None],
            "other_tags": [None, None, None, '"railway"=>"rail"', '"bridge"=>"yes"'],
        },
        geometry=[shapely.MultiLineString([shapes[0], line("0 -5, 9 -5")]), *shapes[1:]],
        crs="EPSG:32631",
    )
    write_layer(frame, tmp_path / "lines.gpkg")
    found = RoadNetwork.read(tmp_path / "lines.gpkg")
    assert found.road.tolist() == [0, 0, 4]
    assert found.tags.take(found.road).texts()[1:] == ["highway: primary", "bridge: yes, highway: footway"]
    assert any(note.startswith("3 lines are no roads") for note in found.notes)
    assert any("2 road lines are 3 single lines" in note for note in found.notes)


def test_what_lies_on_another_counts_once() -> None:
    twice = "0 0, 50 10, 100 0"
    found = network(
        [twice, "100 0, 50 10, 0 0", "0 0, 50 -10, 100 0", "0 0.3, 50 10.2, 100 0"], layer=[None, "1", None, None]
    )
    assert len(found) == 2
    assert any(note.startswith("2 segments lie upon another") for note in found.notes)


def test_points_find_the_nearest_segment() -> None:
    found = network(CROSS)
    places = np.array([[X + 10, Y + 3], [X + 48, Y + 40], [X + 10, Y + 30], [np.nan, Y]])
    segment, metres = found.nearest(places, "EPSG:32631", 20)
    assert found.road[segment[:2]].tolist() == [0, 1]
    assert segment[2:].tolist() == [-1, -1]
    np.testing.assert_allclose(metres, [3, 2, np.nan, np.nan], rtol=1e-5)


def test_a_long_road_over_many_streets() -> None:
    streets = [f"{x} -50, {x} 50" for x in range(10, 1000, 10)]
    found = network(["0 0, 333 0, 1000 0", *streets])
    assert crossings(found) == [[x, 0] for x in range(10, 1000, 10)]
    assert found.length_m.sum() == pytest.approx(1000 + 99 * 100)
    # Every place of the road is still somewhere, in order.
    merged = shapely.line_merge(shapely.multilinestrings(found.geometry[found.road == 0]))
    assert merged.equals(line("0 0, 333 0, 1000 0"))


def test_what_is_no_network() -> None:
    with pytest.raises(ConfigError, match="within 0 m"):
        network(CROSS, snap_m=0)
    with pytest.raises(InputError, match="no lines among 1 feature"):
        network([shapely.Point(X, Y)])
    with pytest.raises(EmptyInputError, match="none of 1 features is a road"):
        network([CROSS[0]], highway=["proposed"])
    with pytest.raises(CRSError):
        RoadNetwork.read(geopandas.GeoDataFrame(geometry=[line(CROSS[0])]))
    found = network([CROSS[0], None, shapely.Point(X, Y), "5 5, 5 5"])
    assert len(found) == 1
    assert any(note.startswith("2 features of the roads are not lines") for note in found.notes)
    assert any(note.startswith("1 road lines have no length") for note in found.notes)


def test_a_stopped_reading_stops() -> None:
    class Stopped(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        RoadNetwork.read(
            geopandas.GeoDataFrame(geometry=[line(one) for one in CROSS], crs="EPSG:32631"), progress=Stopped()
        )

"""Adjacent regions: shared borders and corners, gaps within the tolerance, and islands."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely

from urbanfm_core.data import adjacency
from urbanfm_core.data.adjacency import region_adjacency
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, MissingDependencyError

X, Y = 500_000.0, 4_000_000.0


def regions(*boxes: tuple[float, float, float, float], crs: int = 32631) -> RegionSet:
    shapes = [shapely.box(X + west, Y + south, X + east, Y + north) for west, south, east, north in boxes]
    return RegionSet.from_layer(geopandas.GeoDataFrame(geometry=shapes, crs=32631).to_crs(crs))


def around(found: adjacency.NeighbourLists) -> list[set[int]]:
    return [set(found.of(row).tolist()) for row in range(len(found))]


def test_borders_and_corners_are_shared() -> None:
    grid = regions(*[(x, y, x + 100, y + 100) for y in (0, 100, 200) for x in (0, 100, 200)])
    found = region_adjacency(grid)
    assert around(found)[4] == {0, 1, 2, 3, 5, 6, 7, 8}
    assert around(found)[0] == {1, 3, 4}
    metres = found.distance_m[found.starts[4] : found.starts[5]]
    np.testing.assert_allclose(metres, [100] * 4 + [np.sqrt(2) * 100] * 4, rtol=1e-6)
    assert found.notes == []


@pytest.mark.parametrize(("gap", "touch"), [(0.5, True), (-30.0, True), (1.5, False)])
def test_gaps_within_the_tolerance_and_overlaps_touch(gap: float, touch: bool) -> None:
    found = region_adjacency(regions((0, 0, 100, 100), (100 + gap, 0, 200, 100)), island_neighbours=0)
    assert around(found) == ([{1}, {0}] if touch else [set(), set()])


def test_islands_know_the_nearest_and_are_known_by_them() -> None:
    found = region_adjacency(
        regions((0, 0, 100, 100), (100, 0, 200, 100), (300, 0, 400, 100), (9000, 0, 9100, 100)), island_neighbours=1
    )
    assert around(found) == [{1}, {0, 2}, {1, 3}, {2}]
    assert found.notes == ["2 of 4 regions touch no other; their neighbours are the 1 nearest by centre."]
    assert found.distance_m[-1] == pytest.approx(8700)


def test_distances_are_metres_in_any_crs() -> None:
    boxes = ((0, 0, 100, 100), (100, 0, 300, 100))
    np.testing.assert_allclose(region_adjacency(regions(*boxes, crs=4326)).distance_m, [150, 150], rtol=1e-5)


def test_one_region_is_alone() -> None:
    found = region_adjacency(regions((0, 0, 100, 100)))
    assert found.counts().tolist() == [0]


def test_a_tolerance_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="within 0 m"):
        region_adjacency(regions((0, 0, 1, 1)), touch_m=0)


def test_without_libpysal_the_remedy_is_told(monkeypatch) -> None:
    monkeypatch.setattr(adjacency, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"urbanfm\[graph\]"):
        region_adjacency(regions((0, 0, 1, 1), (1, 0, 2, 1)))

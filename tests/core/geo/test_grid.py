"""Grids cover their area once, fit their neighbours and name their cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.geo.grid import Grid, GridLayout, hexagon_grid, make_grid, square_grid


def test_an_aligned_area_gets_exactly_its_cells() -> None:
    grid = square_grid(shapely.box(500_000, 4_000_000, 501_000, 4_000_500), 100)
    assert grid.layout.origin == (500_000, 4_000_500)
    assert grid.layout.shape == (5, 10)
    assert grid.ids[0] == "r0c0" and grid.ids[-1] == "r4c9" and len(grid.ids) == 50
    assert shapely.bounds(grid.polygons[0]).tolist() == [500_000, 4_000_400, 500_100, 4_000_500]


def test_hexagons_have_the_promised_width_and_neighbours_share_corners() -> None:
    grid = hexagon_grid(shapely.Point(0, 0).buffer(1000), 100)
    np.testing.assert_allclose(shapely.area(grid.polygons), 100**2 * math.sqrt(0.75), rtol=1e-9)
    tree = shapely.STRtree(grid.polygons)
    left, right = tree.query(grid.polygons, predicate="touches")
    centres = shapely.get_coordinates(shapely.centroid(grid.polygons))
    np.testing.assert_allclose(np.linalg.norm(centres[left] - centres[right], axis=1), 100, rtol=1e-9)
    inner = np.bincount(left)[np.linalg.norm(centres, axis=1) < 800]
    assert (inner == 6).all()
    assert shapely.coverage_is_valid(grid.polygons)


@pytest.mark.parametrize("kind", ["square", "hexagon"])
def test_grids_of_one_size_fit_together(kind: str) -> None:
    first = make_grid(shapely.box(0, 0, 970, 830), 100, kind)
    second = make_grid(shapely.box(1130, 170, 2000, 900), 100, kind)
    both = make_grid(shapely.box(0, 0, 2000, 900), 100, kind)
    centres = {tuple(c) for c in np.round(shapely.get_coordinates(shapely.centroid(both.polygons)), 4)}
    for grid in (first, second):
        for centre in np.round(shapely.get_coordinates(shapely.centroid(grid.polygons)), 4):
            assert tuple(centre) in centres


def _areas() -> st.SearchStrategy[shapely.Geometry]:
    coordinate = st.floats(-5000, 5000, allow_nan=False)
    box = st.tuples(coordinate, coordinate, st.floats(1, 3000), st.floats(1, 3000)).map(
        lambda v: shapely.box(v[0], v[1], v[0] + v[2], v[1] + v[3])
    )
    disk = st.tuples(coordinate, coordinate, st.floats(1, 1500)).map(
        lambda v: shapely.Point(v[0], v[1]).buffer(v[2], quad_segs=4)
    )
    return st.lists(st.one_of(box, disk), min_size=1, max_size=3).map(shapely.union_all)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(area=_areas(), size=st.floats(40, 2000), kind=st.sampled_from(["square", "hexagon"]))
def test_a_grid_covers_its_area_once_and_nothing_else(area: shapely.Geometry, size: float, kind: str) -> None:
    grid: Grid = make_grid(area, size, kind)
    union = shapely.union_all(grid.polygons)
    assert area.difference(union.buffer(1e-6)).area == 0
    np.testing.assert_allclose(shapely.area(grid.polygons).sum(), union.area, rtol=1e-9)
    assert shapely.intersects(grid.polygons, area).all()
    assert len(set(grid.ids)) == len(grid.ids)
    assert (np.diff(grid.cells) > 0).all()


def test_cells_that_only_touch_are_left_out() -> None:
    area = shapely.union(shapely.box(0, 0, 100, 100), shapely.box(300, 300, 400, 400))
    assert len(square_grid(area, 100).ids) == 2


def test_a_large_grid_equals_its_parts() -> None:
    # Large enough to be made from many blocks in several portions.
    area = shapely.Point(0, 0).buffer(20_000, quad_segs=64)
    grid = square_grid(area, 100)
    row, column = np.meshgrid(np.arange(400), np.arange(400), indexing="ij")
    corner_x, corner_y = -20_000 + column.ravel() * 100, 20_000 - row.ravel() * 100
    boxes = shapely.box(corner_x, corner_y - 100, corner_x + 100, corner_y)
    shapely.prepare(area)
    expected = np.flatnonzero(shapely.intersects(area, boxes) & ~shapely.touches(area, boxes))
    assert grid.layout.shape == (400, 400)
    np.testing.assert_array_equal(grid.cells, expected)


@pytest.mark.parametrize("size", [0, -5, math.nan, math.inf])
def test_a_cell_size_must_be_positive(size: float) -> None:
    with pytest.raises(ConfigError, match="cell size"):
        square_grid(shapely.box(0, 0, 1, 1), size)


def test_other_refusals() -> None:
    with pytest.raises(ConfigError, match="Choose a larger cell size"):
        square_grid(shapely.box(0, 0, 1e6, 1e6), 1)
    with pytest.raises(ConfigError, match="shape 'triangle'"):
        make_grid(shapely.box(0, 0, 1, 1), 1, "triangle")
    with pytest.raises(EmptyInputError):
        square_grid(shapely.Point(0, 0), 10)


def test_ids_name_row_and_column() -> None:
    layout = GridLayout("square", (0.0, 100.0), 10.0, (10, 20))
    assert layout.ids(np.array([0, 21, 199])).tolist() == ["r0c0", "r1c1", "r9c19"]
    assert layout.count == 200

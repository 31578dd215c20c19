"""Points find their regions: against brute force, on borders, in crowds, and outside."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from urbanfm_core.errors import Cancelled, ShapeError
from urbanfm_core.geo.assign import assign_to_grid, assign_to_layout, assign_to_polygons, group_by_cell
from urbanfm_core.geo.grid import GridLayout
from urbanfm_core.progress import Progress


def brute_force(xy: np.ndarray, polygons: np.ndarray) -> set[tuple[int, int]]:
    """The border rule written out: every polygon with the point inside, else the first with it on the border."""
    pairs = set()
    for p, (x, y) in enumerate(xy):
        if not np.isfinite([x, y]).all():
            continue
        point = shapely.Point(x, y)
        inside = [r for r, polygon in enumerate(polygons) if polygon is not None and polygon.contains(point)]
        touching = [r for r, polygon in enumerate(polygons) if polygon is not None and polygon.touches(point)]
        pairs |= {(p, r) for r in (inside or touching[:1])}
    return pairs


def pairs_of(xy: np.ndarray, polygons: np.ndarray) -> set[tuple[int, int]]:
    found = assign_to_polygons(xy, polygons)
    order = np.lexsort((found.point, found.region))
    np.testing.assert_array_equal(order, np.arange(len(order)))
    assert found.point.dtype == found.region.dtype == np.int64
    pairs = set(zip(found.point.tolist(), found.region.tolist(), strict=True))
    assert len(pairs) == len(found.point)
    return pairs


# Whole coordinates make points on corners and shared borders common.
_whole = st.integers(0, 12)
_rings = st.lists(st.tuples(_whole, _whole), min_size=3, max_size=8, unique=True).map(shapely.Polygon)
_polygons = st.lists(
    st.one_of(
        st.none(),
        st.tuples(_whole, _whole, st.integers(1, 6), st.integers(1, 6)).map(
            lambda v: shapely.box(v[0], v[1], v[0] + v[2], v[1] + v[3])
        ),
        _rings.map(lambda ring: ring.convex_hull).filter(lambda shape: shape.area > 0),
        _rings.map(lambda ring: shapely.make_valid(ring).buffer(0)).filter(lambda shape: not shape.is_empty),
    ),
    min_size=1,
    max_size=8,
)
_points = st.lists(
    st.tuples(
        *[st.one_of(st.integers(-1, 14).map(float), st.floats(-2, 15), st.sampled_from([float("nan"), 1e12]))] * 2
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(points=_points, shapes=_polygons)
def test_polygons_equal_brute_force(points: list[tuple[float, float]], shapes: list[shapely.Geometry | None]) -> None:
    xy, polygons = np.array(points), np.array(shapes, dtype=object)
    assert pairs_of(xy, polygons) == brute_force(xy, polygons)


def test_a_partition_gives_every_point_one_region() -> None:
    size, side = 10, 12
    column, row = np.meshgrid(np.arange(side), np.arange(side))
    boxes = shapely.box(column * size, row * size, column * size + size, row * size + size).ravel()
    rng = np.random.default_rng(1)
    xy = np.concatenate([rng.integers(0, side * size + 1, (4000, 2)).astype(float), rng.uniform(0, 120, (4000, 2))])
    found = assign_to_polygons(xy, boxes)
    assert np.sort(found.point).tolist() == list(range(len(xy)))
    assert found.unassigned(len(xy)) == 0
    corner = assign_to_polygons(np.array([[10.0, 10.0]]), boxes)
    assert corner.region.tolist() == [0]
    np.testing.assert_array_equal(found.counts(len(boxes)), np.bincount(found.region, minlength=len(boxes)))


def test_overlapping_polygons_share_points_and_matrix_sums_them() -> None:
    polygons = np.array([shapely.box(0, 0, 4, 4), shapely.box(2, 2, 6, 6), shapely.Polygon()], dtype=object)
    xy = np.array([[1.0, 1.0], [3.0, 3.0], [5.0, 5.0], [9.0, 9.0], [2.0, 3.0], [4.0, 1.0]])
    found = assign_to_polygons(xy, polygons)
    # (2, 3) is inside the first and on the border of the second; (4, 1) is on the border of the first alone.
    assert pairs_of(xy, polygons) == {(0, 0), (1, 0), (1, 1), (2, 1), (4, 0), (5, 0)}
    assert found.unassigned(6) == 1
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    sums = found.to_csr(6, 3) @ features
    np.testing.assert_array_equal(sums, [features[[0, 1, 4, 5]].sum(0), features[[1, 2]].sum(0), [0, 0]])


def test_crowded_points_and_far_outliers_change_nothing() -> None:
    rng = np.random.default_rng(2)
    crowd = rng.normal(500, 0.5, (20_000, 2))
    xy = np.concatenate([crowd, rng.uniform(0, 1e6, (500, 2)), [[1e15, 1e15], [-1e15, 3.0]]])
    polygons = shapely.buffer(shapely.points(rng.normal(500, 0.5, (50, 2))), 0.2, quad_segs=3)
    polygons = np.append(polygons, [shapely.box(0, 0, 1e6, 1e6), shapely.box(-1e14, -5, 1e14, 5)])
    found = assign_to_polygons(xy, polygons)
    for region, polygon in enumerate(polygons):
        expected = np.flatnonzero(shapely.intersects_xy(polygon, xy[:, 0], xy[:, 1]))
        np.testing.assert_array_equal(found.point[found.region == region], expected)


def test_nothing_to_find() -> None:
    none = assign_to_polygons(np.zeros((3, 2)), np.array([None, shapely.Polygon()], dtype=object))
    assert len(none.point) == len(none.region) == 0
    assert assign_to_polygons(np.zeros((0, 2)), np.array([shapely.box(0, 0, 1, 1)])).unassigned(0) == 0
    far = assign_to_polygons(np.full((3, 2), 7.0), np.array([shapely.box(0, 0, 1, 1)]))
    assert far.unassigned(3) == 3
    with pytest.raises(ShapeError, match=r"\(P, 2\)"):
        assign_to_polygons(np.zeros((3, 3)), np.array([shapely.box(0, 0, 1, 1)]))


def test_polygons_are_left_unprepared_as_they_came() -> None:
    polygons = np.array([shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)])
    shapely.prepare(polygons[1])
    assign_to_polygons(np.full((3, 2), 0.5), polygons)
    assert shapely.is_prepared(polygons).tolist() == [False, True]


def test_cancel_is_heard() -> None:
    class Impatient(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        assign_to_polygons(np.full((3, 2), 0.5), np.array([shapely.box(0, 0, 1, 1)]), Impatient())


@pytest.mark.parametrize("kind", ["square", "hexagon"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    x=st.integers(-(10**6), 10**6),
    y=st.integers(-(10**7), 10**7),
    size=st.floats(1, 3000),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**31),
)
def test_arithmetic_agrees_with_the_cells_polygons(
    kind: str, x: int, y: int, size: float, shape: tuple[int, int], seed: int
) -> None:
    layout = GridLayout(kind, (float(x), float(y)), size, shape)
    polygons = layout.polygons(np.arange(layout.count))
    rng = np.random.default_rng(seed)
    low, high = shapely.total_bounds(polygons)[:2], shapely.total_bounds(polygons)[2:]
    xy = rng.uniform(low - size, high + size, (300, 2))
    borders = shapely.distance(shapely.union_all(shapely.boundary(polygons)), shapely.points(xy))
    xy = xy[borders > 1e-6 * size]
    inside = np.full(len(xy), -1)
    for cell, polygon in enumerate(polygons):
        inside[shapely.contains_xy(polygon, xy[:, 0], xy[:, 1])] = cell
    np.testing.assert_array_equal(assign_to_layout(xy, layout), inside)


def test_border_points_of_a_grid_go_east_and_south() -> None:
    cells = assign_to_grid(
        np.array([[0.0, 20.0], [10.0, 20.0], [10.0, 10.0], [20.0, 15.0], [5.0, 0.0], [np.nan, 1.0]]),
        origin=(0.0, 20.0),
        size=10.0,
        shape=(2, 2),
    )
    assert cells.tolist() == [0, 1, 3, -1, -1, -1]
    assert cells.dtype == np.int32


def test_every_corner_of_a_hexagon_belongs_to_one_cell_that_touches_it() -> None:
    layout = GridLayout("hexagon", (0.0, 100.0), 10.0, (8, 8))
    polygons = layout.polygons(np.arange(layout.count))
    corners = shapely.get_coordinates(polygons[[18, 19, 27, 35]])
    cells = assign_to_layout(corners, layout)
    assert (shapely.distance(polygons[cells], shapely.points(corners)) < 1e-9).all()


def test_grouping_by_cell_is_a_stable_sort() -> None:
    rng = np.random.default_rng(3)
    cells = rng.integers(-1, 50, 5000)
    starts, points = group_by_cell(cells, 50)
    assert starts[0] == 0 and starts[-1] == len(points) == (cells >= 0).sum()
    for cell in range(50):
        np.testing.assert_array_equal(points[starts[cell] : starts[cell + 1]], np.flatnonzero(cells == cell))

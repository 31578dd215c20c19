"""Densities by cluster, against the formula written out, and what is drawn of them."""

import re
from xml.etree import ElementTree

import numpy as np

from urbanfm_core.maps.density import axis_of, densities_svg, density


def test_the_curve_is_that_of_the_formula() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=200)
    places = np.linspace(0, 8, 50)
    found = density(values, places)
    width = values.std(ddof=1) * len(values) ** (-1 / 5)
    expected = np.exp(-(((places[:, None] - values) / width) ** 2) / 2).mean(axis=1)
    assert found.curve is not None
    np.testing.assert_allclose(found.curve, expected / expected.max(), rtol=1e-9)
    assert found.median == np.median(values)


def test_what_has_no_density_has_no_curve() -> None:
    places = np.linspace(0, 1, 20)
    few, same, none = (
        density(np.array([0.1, 0.2]), places),
        density(np.full(50, 0.3), places),
        density(places[:0], places),
    )
    assert few.curve is None and np.isclose(few.median, 0.15)
    assert same.curve is None and same.median == 0.3
    assert none.curve is None and np.isnan(none.median)
    # All of the cluster's regions are off the axis.
    assert density(np.random.default_rng(0).normal(1e6, 1, 50), places).curve is None


def test_extremes_do_not_stretch_the_axis() -> None:
    values = np.append(np.linspace(0, 10, 999), 1e9)
    assert axis_of(values)[-1] < 11
    nearly_constant = np.append(np.zeros(999), 5.0)
    assert axis_of(nearly_constant)[[0, -1]].tolist() == [0, 5]


def test_each_cluster_has_its_hill_and_its_colour() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2, -1], [60, 40, 2, 10]).astype(np.int32)
    price = np.where(labels == 0, 100.0, 900.0) + rng.normal(0, 20, len(labels))
    price[:3] = np.nan
    svg = densities_svg([("price < mean", price), ("rent", rng.normal(size=len(labels)))], labels, [("Cluster 1", "#0072b2"), ("Cluster 2", "#e69f00"), ("Cluster 3", "#009e73")])  # fmt: skip
    root = ElementTree.fromstring(svg)
    assert "price &lt; mean" in svg and "nan" not in svg
    fills = [shape.get("fill") for shape in root.iter("{http://www.w3.org/2000/svg}polygon")]
    # The third cluster is too small for a curve.
    assert fills == ["#8a8a8a", "#0072b2", "#e69f00"] * 2
    peaks = []
    for shape in list(root.iter("{http://www.w3.org/2000/svg}polygon"))[1:3]:
        points = [tuple(map(float, pair.split(","))) for pair in shape.get("points", "").split()]
        peaks.append(min(points, key=lambda point: point[1])[0])
    assert peaks[0] < peaks[1] - 100
    assert all(-1 <= float(x) <= 700 for x in re.findall(r"x1='([-\d.]+)'", svg))

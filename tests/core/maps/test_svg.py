"""Maps inside pages: colours, the legend's numbers, and a scale that is true on the ground."""

import re

import numpy as np
import pytest
import shapely

from urbanfm_core.geo.crs import WGS84, require_crs, transform_geometry
from urbanfm_core.maps.svg import map_svg, stepped


def bar(picture):
    """Length of the scale bar in the picture, what it says in metres, and the width of the map beside it."""
    end = float(re.search(r'v4h([\d.]+)v-4"', picture)[1])
    number, unit = re.search(r">([\d.]+) (k?m), north is up<", picture).groups()
    across = [float(x) for x in re.findall(r"[ML]([\d.-]+) ", picture)]
    return end, float(number) * (1000 if unit == "km" else 1), max(across) - min(across)


@pytest.mark.parametrize("code", ["EPSG:25830", "EPSG:4326", "EPSG:3857", "EPSG:2263"])
def test_the_scale_is_true_on_the_ground_in_every_projection(code):
    zone = "EPSG:32618" if code == "EPSG:2263" else "EPSG:25830"
    x, y = (585_000, 4_510_000) if code == "EPSG:2263" else (440_000, 4_470_000)
    square = np.array([shapely.box(x, y, x + 4000, y + 4000)], dtype=object)
    there = transform_geometry(square, require_crs(zone, "test"), require_crs(code, "test"))
    picture = map_svg(there, code, ["#000000"], [], "t")
    end, metres, width = bar(picture)
    # A square that was turned a little is a little wider than its side.
    assert metres == 1000 and width * metres / end == pytest.approx(4000, rel=0.03)


def test_a_map_of_one_place_has_no_scale():
    assert "north" not in map_svg(np.array([shapely.Point(3, 4)]), WGS84, ["#000000"], [("one", "#000000")], "t")


def test_numbers_of_a_legend_have_like_decimals_and_differ():
    palette = ("#000000", "#777777", "#ffffff")
    _, legend = stepped(np.array([5.0]), np.array([-0.05238, 0.2, 12345.0]), palette)
    assert [words for words, _ in legend] == ["0.2 to 12,345.0", "-0.1 to 0.2"]
    _, legend = stepped(np.array([5.0]), np.array([1000.1, 1000.2, 1000.3]), palette)
    assert [words for words, _ in legend] == ["1,000.2 to 1,000.3", "1,000.1 to 1,000.2"]
    colours, _ = stepped(np.array([0.0, 1.5, np.nan, 9.0]), np.array([1.0, 2.0, 3.0]), palette)
    assert colours == ["#000000", "#000000", "#cccccc", "#ffffff"]

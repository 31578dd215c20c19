"""Plots: where the points lie, and what is written beside them."""

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

from urbanfm_core.evaluation.picture import Dot, Series, dot_plot, line_plot
from urbanfm_core.evaluation.run import Summary

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*series, ticks=((0.0, "0"), (1.0, "1")), **options):
    return ET.fromstring(line_plot("a <title>", series, list(ticks), "x & more", "R2", **options))


def places(picture):
    lines = [line.get("points").split() for line in picture.iter(f"{SVG}polyline")]
    return [[tuple(map(float, place.split(","))) for place in line] for line in lines]


def test_points_lie_where_their_values_are():
    picture = drawn(Series("one", [(0.0, Summary((0.2,))), (0.5, Summary((0.4,))), (1.0, Summary((0.3,)))]))
    ((first, second, third),) = places(picture)
    assert second[0] - first[0] == third[0] - second[0] > 0
    assert math.isclose(first[1] - third[1], (first[1] - second[1]) / 2, abs_tol=0.2)
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert "one" in texts and "x & more" in texts and "0.20" in texts and "0.40" in texts


def test_intervals_are_drawn_and_missing_values_are_not():
    values = [(0.0, Summary((0.1, 0.2, 0.3))), (1.0, Summary((float("nan"),)))]
    picture = drawn(Series("one", values), Series("none", [(0.0, Summary((float("nan"),)))], True))
    assert [len(line) for line in places(picture)] == [1]
    bars = [line for line in picture.iter(f"{SVG}line") if line.get("stroke-opacity")]
    assert len(bars) == 1 and bars[0].get("x1") == bars[0].get("x2")
    assert "none" not in [text.text for text in picture.iter(f"{SVG}text")]


def test_names_do_not_meet_and_floors_are_grey():
    picture = drawn(*(Series(f"line {number}", [(0.0, Summary((0.5,)))], number > 1) for number in range(4)))
    named = {text.text: text for text in picture.iter(f"{SVG}text") if str(text.text).startswith("line")}
    heights = sorted(float(text.get("y")) for text in named.values())
    assert all(second - first >= 14 for first, second in pairwise(heights))
    colours = [named[f"line {number}"].get("fill") for number in range(4)]
    assert colours[2] == colours[3] and len(set(colours)) == 3


def test_a_hopeless_value_is_drawn_at_the_edge():
    series = Series("one", [(0.0, Summary((-90.0,))), (1.0, Summary((0.5,)))])
    ((low, high),) = places(drawn(series, floored=True))
    assert low[1] > high[1]
    ticks = re.findall(
        r"text-anchor='end' fill='#666'>([^<]+)<", line_plot("t", [series], [(0, "0")], "x", "y", floored=True)
    )
    assert float(ticks[0]) >= -0.6


def test_words_on_the_axis_do_not_meet():
    picture = drawn(
        Series("one", [(0.0, Summary((0.5,))), (1.0, Summary((0.5,)))]),
        ticks=[(0.0, "0.000"), (0.001, "0.001"), (0.5, "0.5"), (1.0, "1")],
    )
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert "0.000" in texts and "0.001" not in texts and {"0.5", "1"} <= set(texts)


def test_a_single_place_is_in_the_middle_and_can_be_marked():
    picture = drawn(Series("one", [(3.0, Summary((1e-9,)))]), ticks=[(3.0, "3")], marked=(3.0, "here"))
    assert "here" in [text.text for text in picture.iter(f"{SVG}text")]
    ((place,),) = places(picture)
    assert all(map(math.isfinite, place))


def test_dots_lie_where_their_values_are_and_the_axis_shows_0():
    dots = [
        Dot("one", Summary((0.2, 0.4)), "#0b6e99", True),
        Dot("two <b>", Summary((-9.0,)), "#757575"),
        Dot("three", Summary((float("nan"),)), "#757575"),
        Dot(
            "a name that is much longer than all that fits beside the plot, and its very end",
            Summary((0.6,)),
            "#757575",
        ),
    ]
    picture = ET.fromstring(dot_plot("a <title>", dots, "R2, higher is better", floored=True))
    circles = [float(circle.get("cx")) for circle in picture.iter(f"{SVG}circle")]
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    ticks = {
        float(text.text): float(text.get("x"))
        for text in picture.iter(f"{SVG}text")
        if text.get("text-anchor") == "middle" and text.text.replace(".", "").lstrip("-").isdigit()
    }
    first, last = min(ticks), max(ticks)
    scale = (ticks[last] - ticks[first]) / (last - first)
    assert math.isclose(circles[0], ticks[0.0] + 0.3 * scale, abs_tol=0.2)
    # A hopeless value is drawn at the edge, and its number told as it is.
    assert math.isclose(circles[1], min(ticks.values()), abs_tol=0.2) and "-9.00" in texts
    assert len(circles) == 3 and "no value" in texts
    cut = next(text for text in texts if "…" in text)
    assert cut.startswith("a name that") and cut.endswith("very end")

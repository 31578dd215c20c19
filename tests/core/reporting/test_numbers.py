"""Numbers in reports: as many digits as mean something, and alike where they are read together."""

import math

import pytest

from urbanfm_core.report import even, number, table, told_apart


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (90.000000001, "90.0"), (0.103912, "0.104"), (1936.4, "1,936"), (23460.1, "23,460"), (12.345, "12.3"),
        (-0.7463, "-0.746"), (2.011e-05, "2e-05"), (0.0, "0.000"), (math.nan, "-"), (math.inf, "-"),
    ],
)  # fmt: skip
def test_a_number_has_three_digits(value, words):
    assert number(value) == words


def test_numbers_that_are_read_together_have_like_decimals():
    assert even([0.0321, 0.5, -0.25]) == ["0.032", "0.500", "-0.250"]
    assert even([36.9, 176.0, math.nan]) == ["37", "176", "-"]
    assert even([1.0, 22.5], 4) == ["1.00", "22.50"]
    assert even([-0.04, 123.0]) == ["0", "123"]
    assert even([0.04, -1.94, 2.03], by=[0.04]) == ["0.040", "-1.940", "2.030"]
    assert even([]) == []


def test_cells_tell_settings_as_they_are_and_keep_intervals_together():
    page = table(("a", "b", "c", "d"), [(0.002, 5.0, True, 1 / 7)])
    assert ">0.002<" in page and ">5<" in page and ">yes<" in page and ">0.143<" in page
    page = table(("a",), [("0.6 [0.5, 0.7]",), ("/a/path/that/is/longer/than/a/column",)])
    assert "0.6 [0.5,\u00a00.7]" in page and "class='long'" in page


@pytest.mark.parametrize(
    ("edges", "texts"),
    [
        ([1973.502, 2848.468, 5164.522], ["1,974", "2,848", "5,165"]),
        ([0.691, 0.783, 0.849], ["0.691", "0.783", "0.849"]),
        ([0.84321, 0.84356, 0.9], ["0.843", "0.844", "0.900"]),
        ([12_000_000.4, 34_500_000.2], ["12,000,000", "34,500,000"]),
        ([0.84321, 0.84329, 0.9], ["0.8432", "0.8433", "0.9000"]),
        ([0.25, 0.25], ["0.250", "0.250"]),
        ([], []),
    ],
)
def test_a_legend_has_the_decimals_that_tell_neighbours_apart(edges, texts):
    assert told_apart(edges) == texts

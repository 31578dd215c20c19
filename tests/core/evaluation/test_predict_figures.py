"""Truth beside prediction: dots where they belong, and tables that add up."""

import itertools
import re

import numpy as np
import pytest

from urbanfm_core.evaluation.predict import Prediction
from urbanfm_core.evaluation.predict_figures import scatter, truth_parts
from urbanfm_core.evaluation.targets import Target


def prediction(task, truth, predicted, classes=(), bounds=None, scores=True):
    truth, predicted = np.array(truth, float), np.array(predicted, float)
    target = Target("a<b", task, truth, tuple(classes))
    found = {"R2": (0.5, 0.4, 0.6)} if scores else {}
    outside = np.zeros(len(truth), bool)
    return Prediction(target, predicted, bounds, outside, len(truth), found, None, 0.9, None)


def cells(page):
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", page)]


def test_dots_lie_on_the_line_where_the_prediction_is_right():
    drawn = scatter(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 4.0]), np.array([True, False, True]), "a<b", False)
    dots = [(float(x), float(y)) for x, y in re.findall(r"cx='([\d.]+)' cy='([\d.]+)'", drawn)]
    left, bottom, right, top = map(float, re.search(r"M(\d+) (\d+)L(\d+) (\d+)' stroke='#888'", drawn).groups())
    above = [(bottom - y) / (bottom - top) - (x - left) / (right - left) for x, y in dots]
    assert above[0] == pytest.approx(0, abs=1e-3) and above[2] == pytest.approx(0, abs=1e-3)
    # From 1 to 4 and a little around: one more than predicted is a little less than a third of the side.
    assert above[1] == pytest.approx(1 / 3.18, abs=1e-3)
    assert drawn.count("#b45309") == 1 and "a&lt;b" in drawn and "a<b" not in drawn


def test_axes_of_logarithms_tell_the_numbers_themselves():
    drawn = scatter(np.log([100.0, 2000.0]), np.log([300.0, 900.0]), np.ones(2, bool), "price", True)
    told = [float(word.replace(",", "")) for word in re.findall(r"text-anchor='end' fill='#666'>([\d.,]+)<", drawn)]
    assert told == [100, 200, 500, 1000, 2000] and "logarithmic" in drawn
    wide = scatter(np.log([1.0, 10_000.0]), np.log([1.0, 10_000.0]), np.ones(2, bool), "price", True)
    assert re.findall(r"text-anchor='end' fill='#666'>([\d.,]+)<", wide) == ["1", "10", "100", "1,000", "10,000"]


def test_numbers_outside_their_interval_are_orange_and_unlabelled_regions_are_not_drawn():
    bounds = np.array([0.0, 0.0, 0.0]), np.array([1.5, 1.5, 1.5])
    (page,) = truth_parts(prediction("regression", [[1.0], [2.0], [np.nan]], [[1.0], [1.0], [1.0]], bounds=bounds))
    assert page.count("<circle") == 2 and page.count("#b45309") == 1 and "Orange" in page


def test_classes_are_counted_both_ways():
    kinds = np.eye(3)
    truth, said = [0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 1, 0]
    page = "".join(truth_parts(prediction("multiclass", kinds[truth], kinds[said], ["park", "<shop>", "flat"])))
    assert cells(page) == [
        ["park", "3", "2", "50 %", "33 %", "&lt;shop&gt; (2)"],
        ["&lt;shop&gt;", "2", "4", "50 %", "100 %", "-"],
        ["flat", "1", "0", "-", "0 %", "park (1)"],
    ]


def test_shares_have_their_means_and_errors():
    found = prediction("distribution", [[0.2, 0.8], [0.6, 0.4]], [[0.5, 0.5], [0.5, 0.5]], ["homes", "work"])
    assert cells("".join(truth_parts(found))) == [
        ["homes", "0.400", "0.500", "0.200"], ["work", "0.600", "0.500", "0.200"],
    ]  # fmt: skip


def test_without_held_out_predictions_there_is_nothing_to_show():
    assert truth_parts(prediction("regression", [[1.0], [2.0]], [[1.0], [2.0]], scores=False)) == []


def test_words_below_the_axis_of_logarithms_do_not_meet() -> None:
    values = np.log([60.0, 15_000.0])
    drawn = scatter(values, values, np.ones(2, bool), "people", True)
    below = [(float(x), words) for x, words in re.findall(r"<text x='([\d.]+)' y='289' [^>]*>([\d.,]+)<", drawn)]
    beside = re.findall(r"text-anchor='end' fill='#666'>([\d.,]+)<", drawn)
    assert beside == ["100", "200", "500", "1,000", "2,000", "5,000", "10,000"]
    assert 3 <= len(below) < len(beside)
    for (x, words), (following, others) in itertools.pairwise(below):
        assert following - x > 3.5 * (len(words) + len(others))

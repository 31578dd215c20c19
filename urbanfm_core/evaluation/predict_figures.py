"""Truth beside prediction: a picture of numbers, tables of classes and of shares."""

from __future__ import annotations

import html
import math

import numpy as np
from numpy.typing import NDArray

from urbanfm_core import report
from urbanfm_core.evaluation.picture import nice_step, tick
from urbanfm_core.evaluation.predict import Prediction

Array = NDArray[np.float64]

_SIDE, _LEFT, _TOP, _BELOW = 260, 80, 12, 52
_CHARACTER = 7.0
_MOST_DOTS, _MOST_ROWS = 2000, 30
# Blue and orange, which all eyes tell apart.
_INSIDE, _OUTSIDE = "#0b6e99", "#b45309"


def truth_parts(found: Prediction) -> list[str]:
    """What stands beside the scores: of held-out predictions only; nothing without any."""
    rows = np.flatnonzero(found.target.labelled & found.predicted)
    if not found.scores or not len(rows):
        return []
    truth, predicted = found.target.values[rows], found.values[rows]
    title = "Truth and prediction"
    if found.target.task == "regression":
        inside = np.ones(len(rows), bool)
        caption = "A dot is a labelled region, predicted by a model that never saw its block; on the line it is right."
        if found.bounds is not None:
            lower, upper = (bound[rows] for bound in found.bounds)
            inside = (lower <= truth[:, 0]) & (truth[:, 0] <= upper)
            caption += " Orange: outside its interval."
        if len(rows) > _MOST_DOTS:
            caption += f" Of {len(rows):,} regions {_MOST_DOTS:,} are drawn, at random."
        drawn = scatter(predicted[:, 0], truth[:, 0], inside, found.target.name.removeprefix("log:"), found.target.log)
        return [report.picture(title, drawn, caption)]
    if found.target.task == "distribution":
        headers: tuple[str, ...] = ("Share", "Mean truth", "Mean prediction", "Mean error")
        cells = _share_rows(found, truth, predicted)
    else:
        headers = (
            "Class",
            "Regions",
            "Predicted so",
            "Of these right",
            "Of the regions found",
            "Else mostly taken for",
        )
        cells = _class_rows(found.target.classes, truth.argmax(axis=1), predicted.argmax(axis=1))
    more = f"{len(cells) - _MOST_ROWS} more are left out." if len(cells) > _MOST_ROWS else ""
    table = report.table(headers, cells[:_MOST_ROWS])
    return [report.heading(title), table, report.paragraph(more, quiet=True) if more else ""]


def _share_rows(found: Prediction, truth: Array, predicted: Array) -> list[tuple[str, ...]]:
    error = np.abs(truth - predicted).mean(axis=0)
    means = zip(truth.mean(axis=0), predicted.mean(axis=0), error, strict=True)
    return [(name, *report.even(row)) for name, row in zip(found.target.classes, means, strict=True)]


def _class_rows(names: tuple[str, ...], truth: NDArray[np.int64], said: NDArray[np.int64]) -> list[tuple[str, ...]]:
    """Of each class: regions, predictions, how many of both are right, and what it is mistaken for."""
    table = np.zeros((len(names), len(names)), np.int64)
    np.add.at(table, (truth, said), 1)
    rows: list[tuple[str, ...]] = []
    for place, name in enumerate(names):
        own, given, right = int(table[place].sum()), int(table[:, place].sum()), int(table[place, place])
        wrong = table[place].copy()
        wrong[place] = 0
        worst = int(wrong.argmax())
        mistaken = f"{names[worst]} ({wrong[worst]:,})" if wrong[worst] else "-"
        rows.append((name, f"{own:,}", f"{given:,}", _percent(right, given), _percent(right, own), mistaken))
    return rows


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def scatter(predicted: Array, truth: Array, inside: NDArray[np.bool_], name: str, log: bool) -> str:
    """Truth over prediction as SVG, both on one scale, with the line where they are equal.

    Args:
        predicted, truth: (N,) finite.
        inside: (N,) whether the truth lies in the interval.
        name: Of what was predicted.
        log: Whether the numbers are natural logarithms, whose axes tell the numbers themselves.
    """
    if len(truth) > _MOST_DOTS:
        chosen = np.random.default_rng(0).choice(len(truth), _MOST_DOTS, replace=False)
        predicted, truth, inside = predicted[chosen], truth[chosen], inside[chosen]
    both = np.concatenate([predicted, truth])
    margin = 0.03 * max(float(np.ptp(both)), 1e-9)
    low, high = float(both.min()) - margin, float(both.max()) + margin

    def place(value: float) -> float:
        return _SIDE * (value - low) / (high - low)

    ticks = _log_ticks(low, high) if log else _ticks(low, high)
    right, bottom = _LEFT + _SIDE, _TOP + _SIDE
    parts, taken = [], -math.inf
    for value, word in ticks:
        x, y = _LEFT + place(value), bottom - place(value)
        parts.append(f"<path d='M{x:.1f} {_TOP}V{bottom}M{_LEFT} {y:.1f}H{right}' stroke='#e8e8e8'/>")
        half = _CHARACTER * len(word) / 2
        # Below the axis a word gives way to the one before; beside it there is room for all.
        if x - half > taken:
            parts.append(f"<text x='{x:.1f}' y='{bottom + 17}' text-anchor='middle' fill='#666'>{word}</text>")
            taken = x + half + _CHARACTER
        parts.append(f"<text x='{_LEFT - 8}' y='{y + 4:.1f}' text-anchor='end' fill='#666'>{word}</text>")
    parts.append(f"<path d='M{_LEFT} {bottom}L{right} {_TOP}' stroke='#888'/>")
    for said, true, ok in zip(predicted.tolist(), truth.tolist(), inside, strict=True):
        x, y, colour = _LEFT + place(said), bottom - place(true), _INSIDE if ok else _OUTSIDE
        parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}' fill-opacity='.5'/>")
    middle, scale = _TOP + _SIDE / 2, " (logarithmic)" if log else ""
    known = html.escape(f"{name}, truth{scale}")
    parts.append(
        f"<text x='{_LEFT + _SIDE / 2}' y='{bottom + 40}' text-anchor='middle'>{html.escape(name)}, predicted</text>"
    )
    parts.append(f"<text x='14' y='{middle}' text-anchor='middle' transform='rotate(-90 14 {middle})'>{known}</text>")
    width, height = right + 30, bottom + _BELOW
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' role='img' "
        f"font-family='system-ui,sans-serif' font-size='12'><title>Truth over prediction</title>{''.join(parts)}</svg>"
    )


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers on an axis and their words."""
    step = nice_step((high - low) / 5)
    values = [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [(value, tick(value, step)) for value in values]


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Logarithms of round numbers on an axis, and these as words: powers of ten, and 2 and 5 times these if there is room."""
    powers = range(math.floor(low / math.log(10)) - 1, math.ceil(high / math.log(10)) + 1)
    factors = (1,) if high - low > math.log(1000) else (1, 2, 5)
    values = [(math.log(factor) + power * math.log(10), factor * 10.0**power) for power in powers for factor in factors]
    return [(value, f"{number:,.9f}".rstrip("0").rstrip(".")) for value, number in values if low <= value <= high]

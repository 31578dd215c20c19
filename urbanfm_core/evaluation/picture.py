"""Lines and dots with intervals, in SVG without a library."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from urbanfm_core.evaluation.results import Summary
from urbanfm_core.report import even

_COLOURS = ("#0b6e99", "#c2571a", "#3a7d34", "#7b4ea3", "#a8324a")
_FLOOR, _DASHES = "#757575", ("4 3", "1 3", "8 3 2 3", "8 3", "2 2")
_LEFT, _TOP, _WIDTH, _HEIGHT, _NAMES, _BELOW = 64, 24, 440, 260, 300, 52
_LINE, _CHARACTER = 15, 6.4
_ROW, _LABEL, _PLOT, _MARGIN, _WIDEST_LABEL = 24, 120, 420, 16, 420
_LOWEST = -0.5


@dataclass(frozen=True)
class Series:
    """One line of a plot.

    Attributes:
        points: (x, y) from left to right; y with its interval, not finite where there is none.
        floor: Whether it is drawn in grey and dashed.
    """

    name: str
    points: Sequence[tuple[float, Summary]]
    floor: bool = False


@dataclass(frozen=True)
class Dot:
    """One row of a plot of dots.

    Attributes:
        value: With its interval; not finite where there is none.
        colour: '#rrggbb'.
        bold: Whether its name stands out.
    """

    name: str
    value: Summary
    colour: str
    bold: bool = False


def dot_plot(title: str, dots: Sequence[Dot], x_title: str, *, floored: bool = False) -> str:
    """Numbers with intervals, one row each, with their names at the left and the numbers at the right.

    Args:
        title: For those who cannot see it.
        dots: From top to bottom.
        x_title: Under the axis, which always shows 0.
        floored: Whether values below -0.5 are drawn at the edge, so that a hopeless one does not press all others
            together.
    """
    values = [end for dot in dots for end in (*dot.value.interval, dot.value.mean) if math.isfinite(end)]
    low, high = min([0.0, *values]), max([0.0, *values])
    if floored:
        low = max(low, _LOWEST)
    step = nice_step(max(high - low, 1e-9) / 5)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    high = max(high, low + step)
    label = min(max(_LABEL, 20 + _CHARACTER * 1.08 * max(len(dot.name) for dot in dots)), _WIDEST_LABEL)

    def across(value: float) -> float:
        return label + _PLOT * (min(max(value, low), high) - low) / (high - low)

    width, height, bottom = label + _PLOT + 90, _ROW * len(dots) + 3 * _ROW, _MARGIN + _ROW * len(dots)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height}' width='{width:.0f}' "
        f"height='{height}' font-family='system-ui,sans-serif' font-size='12' role='img' "
        f"aria-label='{html.escape(title, quote=True)}'>"
    ]
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        x, shade = across(value), "#888" if abs(value) < step / 1e6 else "#e8e8e8"
        parts.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{_MARGIN - 6}' y2='{bottom}' stroke='{shade}'/>")
        parts.append(_text(x, bottom + 16, tick(value, step), "middle", "#666"))
    parts.append(_text(label + _PLOT / 2, bottom + 36, x_title, "middle", "#222"))
    for place, dot in enumerate(dots):
        parts.append(_dot(dot, _MARGIN + _ROW * (place + 0.5), label, across))
    return "".join(parts) + "</svg>"


def _dot(dot: Dot, y: float, label: float, across: Callable[[float], float]) -> str:
    name = _cut(dot.name, label - 20, 1.08)
    weight = " font-weight='bold'" if dot.bold else ""
    text = _text(label - 12, y + 4, name, "end", dot.colour, weight)
    if not math.isfinite(dot.value.mean):
        return text + _text(label + _PLOT + 12, y + 4, "no value", "start", dot.colour)
    low, high = dot.value.interval
    return (
        f"{text}<line x1='{across(low):.1f}' x2='{across(high):.1f}' y1='{y:.1f}' y2='{y:.1f}' stroke='{dot.colour}' "
        f"stroke-width='2.5'/><circle cx='{across(dot.value.mean):.1f}' cy='{y:.1f}' r='4.5' fill='{dot.colour}'/>"
        + _text(label + _PLOT + 12, y + 4, even([dot.value.mean])[0], "start", dot.colour)
    )


def line_plot(
    title: str,
    series: Sequence[Series],
    ticks: Sequence[tuple[float, str]],
    x_title: str,
    y_title: str,
    *,
    floored: bool = False,
    marked: tuple[float, str] | None = None,
) -> str:
    """Lines over numbers, their names at the right.

    Args:
        title: For those who cannot see it.
        series: At least one with a finite value; others are only named.
        ticks: Places on the x axis and what to write there, unless it would meet the words before; they span it.
        x_title: Under it.
        y_title: Beside it.
        floored: Whether values below -0.5 are drawn at the edge, so that a hopeless one does not press all others
            together.
        marked: A place on the x axis to point out, and with which words.
    """
    ends = [end for line in series for _, value in line.points for end in (*value.interval, value.mean)]
    finite = [end for end in ends if math.isfinite(end)] or [0.0]
    low, high = min(finite), max(finite)
    if floored:
        low, high = max(low, _LOWEST), max(high, _LOWEST + 0.1)
    step = nice_step(max(high - low, abs(high) * 1e-3, 1e-9) / 6)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    high = max(high, low + step)
    first, last = min(x for x, _ in ticks), max(x for x, _ in ticks)

    def across(x: float) -> float:
        return _LEFT + 12 + (_WIDTH - 24) * ((x - first) / (last - first) if last > first else 0.5)

    def down(y: float) -> float:
        return _TOP + _HEIGHT * (1 - (min(max(y, low), high) - low) / (high - low))

    width, height = _LEFT + _WIDTH + _NAMES, _TOP + _HEIGHT + _BELOW
    bottom, middle = _TOP + _HEIGHT, _TOP + _HEIGHT / 2
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        "font-family='system-ui,sans-serif' font-size='12' role='img' "
        f"aria-label='{html.escape(title, quote=True)}'>"
    ]
    for number in range(round((high - low) / step) + 1):
        y = low + number * step
        at = down(y)
        parts.append(f"<line x1='{_LEFT}' x2='{_LEFT + _WIDTH}' y1='{at:.1f}' y2='{at:.1f}' stroke='#e8e8e8'/>")
        parts.append(_text(_LEFT - 8, at + 4, tick(y, step), "end", "#666"))
    right = -math.inf
    for x, words in sorted(ticks):
        at, half = across(x), len(words) * _CHARACTER / 2
        parts.append(f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{bottom}' y2='{bottom + 4}' stroke='#666'/>")
        if at - half > right + 3:
            parts.append(_text(at, bottom + 17, words, "middle", "#666"))
            right = at + half
    if marked is not None:
        at = across(marked[0])
        parts.append(
            f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{_TOP}' y2='{bottom}' stroke='#bbb' stroke-dasharray='3 3'/>"
        )
        parts.append(_text(at, _TOP - 4, marked[1], "middle", "#666"))
    parts.append(_text(_LEFT + _WIDTH / 2, bottom + 38, x_title, "middle", "#222"))
    turned = f" transform='rotate(-90 14 {middle:.0f})'"
    parts.append(f"<text x='14' y='{middle:.0f}' text-anchor='middle'{turned}>{html.escape(y_title)}</text>")
    parts += _lines(series, across, down)
    return "".join(parts) + "</svg>"


def _lines(series: Sequence[Series], across: Callable[[float], float], down: Callable[[float], float]) -> list[str]:
    """The lines, and their names beside their ends, moved apart where they would meet."""
    parts: list[str] = []
    names: list[tuple[float, str, str]] = []
    floors = embeddings = 0
    for line in series:
        if line.floor:
            colour, dashes = _FLOOR, f" stroke-dasharray='{_DASHES[floors % len(_DASHES)]}'"
            floors += 1
        else:
            colour, dashes = _COLOURS[embeddings % len(_COLOURS)], ""
            embeddings += 1
        known = [(across(x), value) for x, value in line.points if math.isfinite(value.mean)]
        if not known:
            continue
        places = " ".join(f"{x:.1f},{down(value.mean):.1f}" for x, value in known)
        parts.append(f"<polyline points='{places}' fill='none' stroke='{colour}' stroke-width='2'{dashes}/>")
        for x, value in known:
            bottom, top = value.interval
            if bottom < top:
                parts.append(
                    f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{down(bottom):.1f}' y2='{down(top):.1f}' stroke='{colour}' "
                    "stroke-opacity='0.6'/>"
                )
            parts.append(f"<circle cx='{x:.1f}' cy='{down(value.mean):.1f}' r='3' fill='{colour}'/>")
        names.append((down(known[-1][1].mean), line.name, colour))
    below = float("-inf")
    for y, name, colour in sorted(names):
        below = max(y, below + _LINE)
        parts.append(_text(_LEFT + _WIDTH + 10, below + 4, _cut(name, _NAMES - 16), "start", colour))
    return parts


def _cut(name: str, width: float, bold: float = 1.0) -> str:
    """A name that is too long for its place, with three dots in the middle: beginnings and ends tell names apart."""
    most = int(width / (_CHARACTER * bold))
    if len(name) <= most:
        return name
    return f"{name[: (most - 1) // 2]}…{name[len(name) - most // 2 :]}"


def _text(x: float, y: float, words: str, anchor: str, colour: str, more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{colour}'{more}>{html.escape(words)}</text>"


def nice_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, not below a number."""
    power = 10.0 ** math.floor(math.log10(max(rough, 1e-12)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def tick(value: float, step: float) -> str:
    """A number on an axis, with as many digits as its step needs."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.3g}"

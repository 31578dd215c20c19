"""Lines with intervals, in SVG without a library."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from urbanfm_core.evaluation.results import Summary

_COLOURS = ("#0b6e99", "#c2571a", "#3a7d34", "#7b4ea3", "#a8324a")
_FLOOR, _DASHES = "#8a8a8a", ("4 3", "1 3", "8 3 2 3", "8 3", "2 2")
_LEFT, _TOP, _WIDTH, _HEIGHT, _NAMES, _BELOW = 64, 24, 440, 260, 250, 52
_LINE, _CHARACTER = 15, 6.4
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
    most = int((_NAMES - 16) / _CHARACTER)
    for y, name, colour in sorted(names):
        below = max(y, below + _LINE)
        short = name if len(name) <= most else f"{name[: most - 1]}…"
        parts.append(_text(_LEFT + _WIDTH + 10, below + 4, short, "start", colour))
    return parts


def _text(x: float, y: float, words: str, anchor: str, colour: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{colour}'>{html.escape(words)}</text>"


def nice_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, not below a number."""
    power = 10.0 ** math.floor(math.log10(max(rough, 1e-12)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def tick(value: float, step: float) -> str:
    """A number on an axis, with as many digits as its step needs."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.3g}"

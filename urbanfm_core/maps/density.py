"""How a number is distributed in the city and in each cluster: hills under one another, as SVG text."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import gaussian_kde

from urbanfm_core.evaluation.picture import nice_step, tick

Array = npt.NDArray[np.float64]

# The axis leaves out this share of the city's regions at either end: a few extremes would else stretch it.
_CUT = 0.01
_POINTS = 80
# Of larger clusters a sample makes the curve; smaller ones have none.
_MOST_ROWS, _FEWEST_ROWS = 5000, 5
_LEFT, _WIDTH, _RIGHT, _TITLE, _ROW, _HILL, _AXIS = 70.0, 200.0, 30.0, 22.0, 26.0, 22.0, 34.0
BESIDE = 3
_CITY = "#8a8a8a"


@dataclass(frozen=True)
class Density:
    """The distribution of a number in a cluster.

    Attributes:
        curve: (P,) kernel density, 1 at its highest; None of too few regions, or where all have one number.
        median: NaN without a region.
    """

    curve: Array | None
    median: float


def density(values: Array, places: Array) -> Density:
    """The density of numbers, by Gaussian kernels of Scott's bandwidth (Scott 1992).

    Args:
        values: (N,) finite.
        places: (P,) where it is wanted.
    """
    middle = float(np.median(values)) if len(values) else np.nan
    if len(values) < _FEWEST_ROWS or np.ptp(values) <= 1e-9 * max(abs(middle), np.ptp(places)):
        return Density(None, middle)
    if len(values) > _MOST_ROWS:
        values = np.random.default_rng(0).choice(values, _MOST_ROWS, replace=False)
    curve = gaussian_kde(values)(places)
    highest = float(curve.max())
    return Density(curve / highest if highest > 0 else None, middle)


def axis_of(values: Array) -> Array:
    """Places from the lowest to the highest of the numbers, (P,), but for a hundredth at either end."""
    low, high = np.quantile(values, (_CUT, 1 - _CUT))
    if low == high:
        low, high = values.min(), values.max()
    return np.linspace(low, high, _POINTS)


def densities_svg(
    columns: Sequence[tuple[str, Array]], labels: npt.NDArray[np.int32], clusters: Sequence[tuple[str, str]]
) -> str:
    """The densities of fields by cluster, as in figure 6 of the UrbanLN paper, three fields beside each other.

    Each hill has the same height, so that small clusters are seen too; a stroke marks its median.

    Args:
        columns: Fields, at least one: name, and (R,) numbers of at least two values; others are not finite.
        labels: (R,) clusters from 0; -1 is in none.
        clusters: Words and '#rrggbb' colour of the clusters that are drawn, from 0.
    """
    wide, high = _LEFT + _WIDTH + _RIGHT, _TITLE + _ROW * (len(clusters) + 1) + _AXIS
    drawn = []
    for place, (name, values) in enumerate(columns):
        down, right = divmod(place, BESIDE)
        picture = _field(name, values, labels, clusters)
        drawn.append(f"<g transform='translate({right * wide:.0f} {down * high:.0f})'>{picture}</g>")
    width, height = wide * min(len(columns), BESIDE), high * -(-len(columns) // BESIDE)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height:.0f}' width='{width:.0f}' "
        "role='img' font-family='system-ui,sans-serif' font-size='12'><title>Fields by cluster</title>"
        f"{''.join(drawn)}</svg>"
    )


def _field(name: str, values: Array, labels: npt.NDArray[np.int32], clusters: Sequence[tuple[str, str]]) -> str:
    known = np.isfinite(values)
    places = axis_of(values[known])
    low, high = float(places[0]), float(places[-1])

    def across(x: float) -> float:
        return _LEFT + _WIDTH * (min(max(x, low), high) - low) / (high - low)

    bottom = _TITLE + _ROW * (len(clusters) + 1)
    step = nice_step((high - low) / 5)
    parts = [f"<text x='{_LEFT:.0f}' y='13' font-weight='600'>{html.escape(name)}</text>"]
    for number in range(int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9)) + 1):
        at = across(number * step)
        parts.append(f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{_TITLE:.0f}' y2='{bottom:.0f}' stroke='#e8e8e8'/>")
        parts.append(
            f"<text x='{at:.1f}' y='{bottom + 15:.0f}' text-anchor='middle' fill='#666'>{tick(number * step, step)}</text>"
        )
    rows = [("City", _CITY, known)]
    rows += [(words, colour, known & (labels == number)) for number, (words, colour) in enumerate(clusters)]
    for place, (words, colour, members) in enumerate(rows):
        foot = _TITLE + _ROW * (place + 1)
        parts.append(f"<text x='{_LEFT - 8:.0f}' y='{foot - 2:.0f}' text-anchor='end'>{html.escape(words)}</text>")
        parts.append(_hill(density(values[members], places), colour, places, foot, across))
    return "".join(parts)


def _hill(one: Density, colour: str, places: Array, foot: float, across: Callable[[float], float]) -> str:
    left, right = across(places[0]), across(places[-1])
    parts = [f"<line x1='{left:.1f}' x2='{right:.1f}' y1='{foot:.1f}' y2='{foot:.1f}' stroke='#bbb'/>"]
    if one.curve is not None:
        curve = " ".join(f"{across(x):.1f},{foot - _HILL * y:.1f}" for x, y in zip(places, one.curve, strict=True))
        points = f"{left:.1f},{foot:.1f} {curve} {right:.1f},{foot:.1f}"
        parts.append(f"<polygon points='{points}' fill='{colour}' fill-opacity='.45' stroke='{colour}'/>")
    if np.isfinite(one.median):
        at = across(one.median)
        parts.append(
            f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{foot - _HILL:.1f}' y2='{foot:.1f}' stroke='#222' stroke-width='1.5'/>"
        )
    return "".join(parts)

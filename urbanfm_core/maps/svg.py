"""A map of regions as SVG text, to stand inside a page: no library, no script."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from urbanfm_core.geo.crs import unbroken
from urbanfm_core.maps.plot import GREY, ground_width_m, length_text, round_length
from urbanfm_core.report import even, told_apart

_WIDTH, _TALLEST, _LEGEND = 620.0, 620.0, 22.0
# Above so many regions, dots at their centres keep the page small.
_SHAPES_UP_TO = 5000
_GREY = "#{:02x}{:02x}{:02x}".format(*GREY)


def map_svg(
    geometry: npt.NDArray[np.object_],
    crs: Any,
    colours: Sequence[str],
    legend: Sequence[tuple[str, str]],
    title: str,
    about: str = "",
) -> str:
    """Regions filled with colours, what these mean, and a scale.

    Args:
        geometry: (R,) polygons, or points, which are drawn as dots.
        crs: Their coordinate reference system; in degrees, the map is squeezed to look right at its middle latitude.
        colours: One '#rrggbb' per region.
        legend: Words and their colour, from top to bottom.
        title: For those who cannot see it.
        about: What the legend's words measure, above them.
    """
    known = gpd.GeoSeries([], crs=crs).crs
    geometry = unbroken(geometry, known)
    west, south, east, north = shapely.total_bounds(geometry)
    squeeze = max(math.cos(math.radians((south + north) / 2)), 0.05) if known.is_geographic else 1.0
    wide, high = max((east - west) * squeeze, 1e-12), max(north - south, 1e-12)
    scale = min(_WIDTH / wide, _TALLEST / high)
    placed = shapely.transform(geometry, lambda xy: (xy - [west, north]) * [scale * squeeze, -scale])
    many = len(placed) > _SHAPES_UP_TO
    surfaces = bool((shapely.get_dimensions(placed) == 2).all())
    body = _shapes(placed, colours) if surfaces and not many else _dots(placed, colours, 2 if many else 5)
    left, lower = wide * scale + 20, _LEGEND if about else 0.0
    entries = f'<text x="{left:.0f}" y="12" font-weight="600">{html.escape(about)}</text>' if about else ""
    entries += "".join(
        f'<rect x="{left:.0f}" y="{row * _LEGEND + lower:.0f}" width="14" height="14" fill="{colour}" stroke="#999" '
        f'stroke-width=".5"/><text x="{left + 20:.0f}" y="{row * _LEGEND + lower + 12:.0f}">{html.escape(words)}</text>'
        for row, (words, colour) in enumerate(legend)
    )
    width = left + 40 + 7.2 * max((len(words) for words in (*(words for words, _ in legend), about)), default=0)
    height = max(high * scale, len(legend) * _LEGEND + lower)
    entries += _scale_bar(ground_width_m(known, (west, south, east, north)), wide * scale, height + _LEGEND)
    height += 1.5 * _LEGEND
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {width:.0f} {height + 4:.0f}" width="{width:.0f}" '
        f'role="img" font-family="system-ui,sans-serif" font-size="13"><title>{html.escape(title)}</title>'
        f"{body}{entries}</svg>"
    )


def stepped(
    number: npt.NDArray[np.float64], edges: npt.NDArray[np.float64], palette: tuple[str, ...]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Colours by class of the number, and the legend, highest first; numbers past the ends take the end's colour."""
    classes = max(len(edges) - 1, 1)
    taken = [palette[round(place / max(classes - 1, 1) * (len(palette) - 1))] for place in range(classes)]
    place = np.clip(np.searchsorted(edges, np.nan_to_num(number), side="right") - 1, 0, classes - 1)
    colours = [taken[at] if ok else _GREY for at, ok in zip(place, np.isfinite(number), strict=True)]
    if len(edges) < 2:
        return colours, [(even(edges.tolist())[0], taken[0])]
    words = [f"{low} to {high}" for low, high in pairwise(told_apart(edges.tolist()))]
    return colours, [*zip(words, taken, strict=True)][::-1]


def _scale_bar(across_m: float, width: float, y: float) -> str:
    """A bar of a round length and its words; nothing for a map without an extent.

    Args:
        across_m: What the map's width is on the ground.
        width: The same in the picture.
        y: Where it stands.
    """
    if not math.isfinite(across_m) or across_m < 1:
        return ""
    length = round_length(across_m / 4)
    end = width * length / across_m
    return (
        f'<path d="M0 {y - 4:.1f}v4h{end:.1f}v-4" fill="none" stroke="#222"/>'
        f'<text x="{end + 8:.1f}" y="{y:.1f}">{length_text(length)}, north is up</text>'
    )


def _shapes(placed: npt.NDArray[np.object_], colours: Sequence[str]) -> str:
    simple = shapely.simplify(placed, 0.3)
    drawn = []
    for shape, whole, colour in zip(simple, placed, colours, strict=True):
        rings = [
            ring
            for part in shapely.get_parts(shape if not shapely.is_empty(shape) else whole)
            for ring in (part.exterior, *part.interiors)
        ]
        path = "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ring.coords[:-1]) + "Z" for ring in rings)
        drawn.append(f'<path fill="{colour}" d="{path}"/>')
    return f'<g stroke="#ccc" stroke-width=".4" fill-rule="evenodd">{"".join(drawn)}</g>'


def _dots(placed: npt.NDArray[np.object_], colours: Sequence[str], side: int) -> str:
    centres = shapely.get_coordinates(shapely.centroid(placed))
    dots = (
        f'<rect x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side}" height="{side}" fill="{colour}"/>'
        for (x, y), colour in zip(centres, colours, strict=True)
    )
    return "<g>" + "".join(dots) + "</g>"

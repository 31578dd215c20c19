"""A page with pictures of some regions: the imagery with the chosen points, and where they look."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from urbanfm_core import report
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.geo.crs import transform_xy
from urbanfm_core.inference.attention import Findings, entropy, region_shares
from urbanfm_core.maps.styles import GREY, SCORE_COLOURS
from urbanfm_core.models.attention import RegionAttention
from urbanfm_core.report import Page

_SIDE, _GAP, _FOOT = 320, 16, 40
_FEW_POINTS = 3
# More points than these hide the picture that they stand on.
_MOST_POINTS = 40
_HOW_TO_READ = (
    "Attention is how much the model takes from each patch of the picture, a square, when it reads a point; over a region it "
    "sums to 1. Uniform would be the same from every patch. Left: the imagery and the points; right: the attention, bright "
    "where there is much. Entropy tells how spread out it is: 1 is even over all patches, 0 all on one."
)


def choose_pictures(attention: RegionAttention, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Regions to show, drawn at random: from those with 3 to 40 chosen points, then from the others."""
    rows = attention.rows
    points = np.bincount(attention.pairs.region, minlength=len(attention.frames))[rows]
    drawn = np.random.default_rng(seed).permutation(len(rows))
    fits = (points[drawn] >= _FEW_POINTS) & (points[drawn] <= _MOST_POINTS)
    chosen: NDArray[np.int64] = rows[np.concatenate([drawn[fits], drawn[~fits]])[:count]]
    return chosen


def attention_page(
    attention: RegionAttention,
    pois: PoiSet,
    ids: NDArray[Any],
    findings: Findings,
    rows: NDArray[np.int64],
) -> Page:
    """What the report shows.

    Args:
        attention: Of R regions.
        pois: The points.
        ids: (R,) of the regions.
        findings: What there is to say.
        rows: Regions to show.
    """
    own, uniform = region_shares(attention)
    parts = [
        report.paragraph(_HOW_TO_READ, quiet=True),
        report.heading("What was looked at")
        + report.table(
            ("What", "Value"),
            [
                ("Chosen points", findings.chosen),
                ("Model", findings.model),
                ("Regions with attention", f"{len(attention.rows):,} of {len(attention.frames):,}"),
                ("Points with attention", f"{len(np.unique(attention.pairs.poi)):,}"),
                ("Regions shown", f"{len(rows)}, drawn at random"),
            ],
        ),
    ]
    for row in rows:
        weights = attention.take(np.array([row]))[0]
        svg = region_picture(attention, pois, int(row), weights)
        title = f"Region {ids[row]}"
        numbers = f"Entropy {entropy(weights[None])[0]:.3f}"
        if np.isfinite(own[row]):
            numbers += f"; attention on own patches {own[row]:.4f}, uniform {uniform[row]:.4f}"
        parts.append(report.picture(title, svg, f"{numbers}."))
    return Page(f"Where they look: {findings.chosen}", parts, [report.lead(findings.share.sentence())])


def region_picture(attention: RegionAttention, pois: PoiSet, row: int, weights: NDArray[np.float32]) -> str:
    """One region as SVG: on the left the imagery with the chosen points, on the right the attention over it."""
    rgb, valid = attention.images.take(np.array([row]))
    here = np.flatnonzero(attention.pairs.region == row)
    points = attention.pairs.poi[here]
    xy = transform_xy(pois.xy[points], pois.crs, attention.frames.crs)
    xy01 = attention.frames.fractions(xy, np.full(len(points), row))
    image = _data_uri(rgb[0], valid[0])
    dots = "".join(
        f"<circle cx='{x * _SIDE:.1f}' cy='{y * _SIDE:.1f}' r='4.5' fill='#fff' stroke='#c1121f' stroke-width='2'>"
        f"<title>{html.escape(str(pois.name[point] or ''))}</title></circle>"
        for point, (x, y) in zip(points, xy01, strict=True)
        if 0 <= x <= 1 and 0 <= y <= 1
    )
    base = (
        f"<g id='r{row}'><image xlink:href='{image}' width='{_SIDE}' height='{_SIDE}' preserveAspectRatio='none'/></g>"
    )
    width, height = 2 * _SIDE + _GAP, _SIDE + _FOOT
    right = f"<g transform='translate({_SIDE + _GAP} 0)'>"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        "font-family='system-ui,sans-serif' font-size='12' role='img' aria-label='Imagery with the chosen points, and "
        f"their attention over it'><g>{base}{dots}</g>{right}<use xlink:href='#r{row}'/>{_tiles(weights, attention.side)}{dots}"
        f"{_legend(weights)}</g></svg>"
    )


def _tiles(weights: NDArray[np.float32], side: int) -> str:
    """A square per patch with data: the more attention, the brighter and the less of the picture shines through."""
    size, top = _SIDE / side, _top(weights)
    parts = []
    for patch in np.flatnonzero(np.isfinite(weights)):
        row, column = divmod(int(patch), side)
        share = float(weights[patch]) / top
        colour = SCORE_COLOURS[min(int(share * len(SCORE_COLOURS)), len(SCORE_COLOURS) - 1)]
        parts.append(
            f"<rect x='{column * size:g}' y='{row * size:g}' width='{size:g}' height='{size:g}' fill='{colour}' "
            f"fill-opacity='{0.25 + 0.6 * share:.2f}'/>"
        )
    return "".join(parts)


def _top(weights: NDArray[np.float32]) -> float:
    """Weight of the brightest colour: the highest, and twice uniform at least, so that what is even looks so."""
    return max(float(np.nanmax(weights)), 2 / int(np.isfinite(weights).sum()))


def _legend(weights: NDArray[np.float32]) -> str:
    """Colours from 0 to the top of the scale, and how often uniform that is."""
    step, y = 14, _SIDE + 10
    boxes = "".join(
        f"<rect x='{18 + number * step}' y='{y}' width='{step}' height='12' fill='{colour}'/>"
        for number, colour in enumerate(SCORE_COLOURS)
    )
    end = 18 + len(SCORE_COLOURS) * step + 6
    return (
        f"<text x='6' y='{y + 10}'>0</text>{boxes}<text x='{end}' y='{y + 10}'>{_top(weights):.3g} "
        f"({_top(weights) * np.isfinite(weights).sum():.3g} times uniform)</text>"
    )


def _data_uri(rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> str:
    """A picture as text; grey where there are no data."""
    painted = np.where(valid, rgb, np.array(GREY, np.uint8)[:, None, None]).transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(painted)).save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()

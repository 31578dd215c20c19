"""What a raster of vectors or scores looks like: a picture of it, and its page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from urbanfm_core import report
from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.maps.styles import SCORE_COLOURS, principal_rgb
from urbanfm_core.report import Page

# Of 128 bands, so many pixels are 60 MB.
_SIDE_PX = 340
_SHOWN = 620


def page(path: str, model: str, said: Sequence[tuple[str, Any]]) -> Page:
    """A raster of vectors in the colours of its first three principal components.

    Args:
        path: The raster.
        model: Who made it.
        said: More facts.
    """
    with EmbeddingRaster(path) as raster:
        info = raster.info
        vectors = _vectors(raster)
        wide, high = info.res_m
        facts = [
            ("Model", model),
            ("Pixels", f"{info.width:,} x {info.height:,} of {wide:.3g} x {high:.3g} m"),
            ("Bands", f"{info.count}, {info.descriptions[0] or 1} to {info.descriptions[-1] or info.count}"),
            ("Number format", f"{info.dtype}{_QUANTIZED if raster.quantization == 'alphaearth' else ''}"),
            *said,
        ]
    _, rgb = principal_rgb(vectors.reshape(-1, info.count))
    known = np.asarray(np.isfinite(vectors).all(axis=2))
    drawn = _svg(rgb.reshape(*known.shape, 3), known, "The raster in the colours of its vectors")
    caption = (
        "Red, green and blue are the first three principal components of the vectors, the directions in which they differ "
        "most. North is up; without data it is white."
    )
    answer = f"Each of {info.width:,} x {info.height:,} pixels of {wide:.3g} x {high:.3g} m has {info.count} numbers."
    return Page(
        f"Embedding raster by {model}",
        [
            report.picture("Alike colours mean alike places", drawn, caption),
            report.heading("The raster") + report.table(("What", "Value"), facts),
        ],
        [report.lead(answer)],
    )


def score_picture(path: str, title: str) -> str:
    """A raster of one band in seven colours, as SVG."""
    with EmbeddingRaster(path, "none") as raster:
        score = _vectors(raster)[..., 0]
    known = np.isfinite(score)
    palette = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in SCORE_COLOURS], np.uint8)
    edges = np.quantile(score[known], np.linspace(0, 1, len(palette) + 1)[1:-1]) if known.any() else np.zeros(1)
    return _svg(palette[np.searchsorted(edges, np.nan_to_num(score), side="right")], known, title)


_QUANTIZED = ", v = sign(q) (q / 127.5)², nodata -128"


def _vectors(raster: EmbeddingRaster) -> NDArray[np.float32]:
    """A small view of a raster, (h, w, C), NaN without data."""
    stored = raster.read_overview(_SIDE_PX)
    values, valid = raster.decode(stored.reshape(len(stored), -1))
    values[:, ~valid.all(axis=0)] = np.nan
    return np.ascontiguousarray(values.reshape(stored.shape).transpose(1, 2, 0))


def _svg(rgb: NDArray[np.uint8], known: NDArray[np.bool_], title: str) -> str:
    """A picture inside SVG; without data it is see-through."""
    rgba = np.dstack([rgb, np.where(known, 255, 0).astype(np.uint8)])
    stream = io.BytesIO()
    Image.fromarray(rgba, "RGBA").save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    high, wide = known.shape
    height = max(1, round(_SHOWN * high / wide))
    # 'xlink:href' and not 'href': the viewer of older QGIS knows no other.
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' viewBox='0 0 {_SHOWN} {height}' width='{_SHOWN}' height='{height}' "
        f"role='img'><title>{html.escape(title)}</title><image xlink:href='data:image/png;base64,{data}' width='{_SHOWN}' "
        f"height='{height}' preserveAspectRatio='none'/></svg>"
    )

"""What a prediction leaves: a layer with its style, lines for the terminal, and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from urbanfm_core import report
from urbanfm_core.data.places import are_points
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.evaluation.predict import INTERVAL, Prediction
from urbanfm_core.geo.vector_writer import write_layer
from urbanfm_core.maps.styles import GREY, SCORE_COLOURS, class_colours, paler, write_class_style, write_ranking_style
from urbanfm_core.maps.svg import map_svg, stepped
from urbanfm_core.report import Page

_GREY = "#{:02x}{:02x}{:02x}".format(*GREY)
# Blue over white to red, which all eyes tell apart: predicted too high to too low.
_RESIDUAL_COLOURS = ("#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b")
_LARGEST_LEGEND = 24


def frame_of(regions: RegionSet, found: Prediction) -> gpd.GeoDataFrame:
    """The regions with all their fields, and the prediction's; a source field of the same name becomes `src_...`."""
    return regions.with_fields(found.fields())


def write_outputs(regions: RegionSet, found: Prediction, out: str | None, parquet: str | None) -> None:
    """Write the layer with its style, and the GeoParquet, where they are named."""
    frame = frame_of(regions, found)
    if parquet is not None:
        write_layer(frame, parquet)
    if out is None:
        return
    write_layer(frame, out)
    style = Path(out).with_suffix(".qml")
    drawn: dict[str, Any] = {"points": are_points(regions)}
    if found.outside.any():
        drawn["marked"] = ('"pred_outside" = 1', "Unlike all that was learned from")
    if found.target.task == "regression":
        write_ranking_style(style, frame["pred"].to_numpy(np.float64), "pred", **drawn)
    else:
        share = ("pred_share", _paler_words(found))
        write_class_style(style, found.target.classes, "pred", len(frame), share=share, **drawn)


def _paler_words(found: Prediction) -> str:
    return "Paler: a smaller share" if found.target.task == "distribution" else "Paler: less sure"


def score_lines(found: Prediction) -> list[str]:
    """Scores as a person reads them."""
    lines = [f"{name}: {value:.4g} ({low:.4g} to {high:.4g})" for name, (value, low, high) in found.scores.items()]
    if found.coverage is not None:
        lines.append(f"in the interval: {100 * found.coverage:.1f} % (asked for: {100 * found.level:g} %)")
    return lines


def page(regions: RegionSet, found: Prediction, head: str, vectors: str) -> Page:
    """What the report shows.

    Args:
        regions: What was predicted for.
        found: The prediction.
        head: Who predicted, in words.
        vectors: What from, in words.
    """
    facts: list[tuple[str, str]] = [
        ("Target", f"{found.target.name} ({found.target.task})"),
        ("Predicted by", head),
        ("From", vectors),
        ("Regions", f"{len(found.values):,}, of which {int(found.predicted.sum()):,} have a prediction"),
        ("Labelled regions learned from", f"{found.rows:,}"),
        ("Outside of what was learned from", f"{int(found.outside.sum()):,} regions"),
    ]
    rows: list[tuple[str, float | str, str]] = [
        (name, value, f"{low:.4g} to {high:.4g}") for name, (value, low, high) in found.scores.items()
    ]
    if found.coverage is not None:
        asked = f"asked for: {100 * found.level:g} %"
        rows.append(("Regions inside their interval", f"{100 * found.coverage:.1f} %", asked))
    if found.moran is not None:
        p_value = f"p = {found.moran.p_value:.3g}, expected {found.moran.expected:.3f}"
        rows.append(("Moran's I of the residuals", found.moran.value, p_value))
    parts = [report.table(("What", "Value"), facts)]
    if rows:
        heading = "<h2>How good it is, in blocks that the model never saw</h2>"
        parts.append(heading + report.table(("Score", "Value", INTERVAL), rows))
    parts.append(report.picture("Prediction", _prediction_map(regions, found)))
    residual = found.residual()
    if np.isfinite(residual).any():
        parts.append(report.picture("Residuals", _residual_map(regions, found, residual)))
    return Page(f"Prediction of {found.target.name}", parts)


def _prediction_map(regions: RegionSet, found: Prediction) -> str:
    known = found.predicted
    if found.target.task == "regression":
        number = np.asarray(found.fields()["pred"], np.float64)
        edges = np.unique(np.quantile(number[known], np.linspace(0, 1, len(SCORE_COLOURS) + 1)))
        colours, legend = stepped(number, edges, SCORE_COLOURS)
    else:
        palette = class_colours(len(found.target.classes))
        best = np.nan_to_num(found.values).argmax(axis=1)
        share = np.nan_to_num(found.values).max(axis=1)
        colours = [
            paler(palette[place], part, len(palette)) if ok else _GREY
            for place, part, ok in zip(best, share, known, strict=True)
        ]
        legend = [*zip(found.target.classes, palette, strict=True)][:_LARGEST_LEGEND]
        legend.append((_paler_words(found), paler(palette[0], 0.0, 1)))
    if not known.all():
        legend = [*legend, ("no prediction", _GREY)]
    return map_svg(regions.geometry, regions.crs, colours, legend, f"Prediction of {found.target.name}")


def _residual_map(regions: RegionSet, found: Prediction, residual: NDArray[np.float64]) -> str:
    known = np.isfinite(residual)
    if found.target.task in ("regression", "binary"):
        most = max(float(np.quantile(np.abs(residual[known]), 0.98)), 1e-12)
        edges = np.linspace(-most, most, len(_RESIDUAL_COLOURS) + 1)
        colours, legend = stepped(residual, edges, _RESIDUAL_COLOURS)
    else:
        edges = np.linspace(0.0, 1.0, len(SCORE_COLOURS) + 1)
        colours, legend = stepped(residual, edges, SCORE_COLOURS)
    if not known.all():
        legend = [*legend, ("no label or no vector", _GREY)]
    return map_svg(regions.geometry, regions.crs, colours, legend, f"Residuals of {found.target.name}")

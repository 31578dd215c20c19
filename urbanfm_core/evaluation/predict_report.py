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
from urbanfm_core.evaluation.metrics import MEANINGS, METRICS, Task
from urbanfm_core.evaluation.predict import INTERVAL, SCORES_LEVEL, Prediction
from urbanfm_core.evaluation.predict_figures import truth_parts
from urbanfm_core.geo.vector_writer import write_layer
from urbanfm_core.maps.styles import (
    DIVERGING_COLOURS,
    GREY,
    SCORE_COLOURS,
    class_colours,
    paler,
    write_class_style,
    write_ranking_style,
)
from urbanfm_core.maps.svg import map_svg, stepped
from urbanfm_core.report import Page

_GREY = "#{:02x}{:02x}{:02x}".format(*GREY)
_LARGEST_LEGEND = 24
_TASKS: dict[Task, str] = {
    "regression": "a number",
    "binary": "two classes",
    "multiclass": "classes",
    "distribution": "shares of a whole",
}
_MORAN = "whether neighbours err alike: near 0 they do not; near 1 something that varies over the city is missed"


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
        ("Target", f"{found.target.name} ({_TASKS[found.target.task]})"),
        ("Predicted by", head),
        ("From", vectors),
        ("Regions", f"{len(found.values):,}, of which {int(found.predicted.sum()):,} have a prediction"),
        ("Labelled regions learned from", f"{found.rows:,}"),
        ("Unlike all that was learned from", f"{int(found.outside.sum()):,} regions (field pred_outside)"),
    ]
    parts = []
    rows = _score_rows(found)
    if rows:
        parts.append(report.heading("How good it is, in blocks of neighbours that the model never saw"))
        parts.append(report.table(("Score", "Value", INTERVAL, "What it says"), rows))
    parts += truth_parts(found)
    parts.append(report.picture("Prediction", _prediction_map(regions, found), _caveats(found)))
    residual = found.residual()
    if np.isfinite(residual).any():
        parts.append(report.picture("Residuals", _residual_map(regions, found, residual), _residual_words(found)))
    parts.append(report.heading("What was predicted, and from what") + report.table(("What", "Value"), facts))
    return Page(f"Prediction of {_named(found)}", parts, [report.lead(_answer(found, head))])


def _named(found: Prediction) -> str:
    """The target in a few words."""
    target = found.target
    if target.task != "distribution":
        return target.name
    return f"{len(target.classes)} shares, {target.classes[0]} to {target.classes[-1]}"


def _answer(found: Prediction, head: str) -> str:
    """What came of it, in two or three sentences."""
    target = found.target
    known = f"{int(found.predicted.sum()):,} of {len(found.values):,} regions have a prediction of {_named(found)}, by {head}."
    metric = METRICS[target.task][0]
    if metric not in found.scores:
        return f"{known} No region here has a label, so nothing here says how good it is."
    value, low, high = found.scores[metric]
    said = (
        f"{known} In blocks of neighbours that the model never saw, {metric} is {value:.2f} "
        f"({100 * SCORES_LEVEL:g} % interval {low:.2f} to {high:.2f})"
    )
    if target.task == "regression" and low <= 0:
        said += ": not surely better than one mean for all regions"
    said += "."
    if found.coverage is not None and found.bounds is not None:
        said += (
            f" {100 * found.coverage:.1f} % of the labelled regions lie in their interval, of {100 * found.level:g} % that "
            "were asked for."
        )
    return said


def _score_rows(found: Prediction) -> list[tuple[str, str, str, str]]:
    """Name, value, interval and meaning of each score."""
    rows = []
    for name, numbers in found.scores.items():
        value, low, high = report.even(numbers, by=numbers[:1])
        rows.append((name, value, f"{low} to {high}", MEANINGS[name]))
    if found.target.log and "MAE" in found.scores:
        factors = report.even([float(np.exp(number)) for number in found.scores["MAE"]])
        rows.append(
            ("Factor", factors[0], f"{factors[1]} to {factors[2]}", "typical factor by which it is off, exp(MAE)")
        )
    if found.coverage is not None and found.bounds is not None:
        asked = f"asked for: {100 * found.level:g} %"
        rows.append(("Inside", f"{100 * found.coverage:.1f} %", asked, "labelled regions that lie in their interval"))
        lower, upper = (np.exp(bound) if found.target.log else bound for bound in found.bounds)
        width = (upper - lower)[np.isfinite(upper - lower)]
        median, first, third = report.even(
            np.quantile(width, (0.5, 0.25, 0.75)).tolist() if len(width) else [np.nan] * 3
        )
        rows.append(
            ("Width", median, f"{first} to {third} (quartiles)", "median width of the intervals, unit of the field")
        )
    if found.moran is not None:
        p_value = f"p = {found.moran.p_value:.3g}, expected {found.moran.expected:.3f}"
        rows.append(("Moran's I", f"{found.moran.value:.3f}", p_value, _MORAN))
    return rows


def _caveats(found: Prediction) -> str:
    """What to know of the map of predictions."""
    said = ["Each colour has as many regions."] if found.target.task == "regression" else []
    if found.outside.any():
        said.append(
            f"Unlike all that was learned from: {int(found.outside.sum()):,} of {len(found.outside):,} regions. Trust them less "
            "(field pred_outside)."
        )
    below = int((found.values < 0).sum())
    if found.target.task == "regression" and not found.target.log and below:
        said.append(f"{below:,} predictions are below 0.")
    return " ".join(said)


def _residual_words(found: Prediction) -> str:
    """What the colours of the second map mean."""
    task = found.target.task
    if task == "regression":
        scale = "of the logarithms" if found.target.log else "in the unit of the field"
        return f"Truth minus prediction, {scale}: red regions have more than was predicted, blue ones less."
    if task == "binary":
        return f"Red: of the class {found.target.classes[1]}, and predicted not to be; blue: the other way round."
    if task == "multiclass":
        return "1 minus the probability that was given to the true class: yellow regions surprised the model."
    return "The share of the region that is given to a wrong kind: half the sum of the differences."


def _prediction_map(regions: RegionSet, found: Prediction) -> str:
    known = found.predicted
    if found.target.task == "regression":
        number = np.asarray(found.fields()["pred"], np.float64)
        edges = np.unique(np.quantile(number[known], np.linspace(0, 1, len(SCORE_COLOURS) + 1)))
        colours, legend = stepped(number, edges, SCORE_COLOURS)
        about = found.target.name.removeprefix("log:")
    else:
        about = "Most likely class" if found.target.task != "distribution" else "Largest share"
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
    return map_svg(regions.geometry, regions.crs, colours, legend, f"Prediction of {found.target.name}", about)


def _residual_map(regions: RegionSet, found: Prediction, residual: NDArray[np.float64]) -> str:
    known = np.isfinite(residual)
    about = "Residual" if found.target.task in ("regression", "binary") else "Error"
    if found.target.task in ("regression", "binary"):
        most = max(float(np.quantile(np.abs(residual[known]), 0.98)), 1e-12)
        edges = np.linspace(-most, most, len(DIVERGING_COLOURS) + 1)
        colours, legend = stepped(residual, edges, DIVERGING_COLOURS)
    else:
        edges = np.linspace(0.0, 1.0, len(SCORE_COLOURS) + 1)
        colours, legend = stepped(residual, edges, SCORE_COLOURS)
    if not known.all():
        legend = [*legend, ("no label or no vector", _GREY)]
    return map_svg(regions.geometry, regions.crs, colours, legend, f"Residuals of {found.target.name}", about)

"""An evaluation as lines for a terminal, as JSON, and as a page."""

from __future__ import annotations

import html
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from urbanfm_core import report
from urbanfm_core.evaluation.metrics import LOWER_IS_BETTER, METRICS
from urbanfm_core.evaluation.picture import Series, line_plot, nice_step, tick
from urbanfm_core.evaluation.results import INTERVAL, Comparison, LabelShare, Score, Summary, TargetResult
from urbanfm_core.evaluation.run import Evaluation
from urbanfm_core.files import atomic_path
from urbanfm_core.report import Page

_COLOURS = {"embedding": "#0b6e99", "floor": "#8a8a8a"}
_ROW, _LABEL, _PLOT, _MARGIN, _CHARACTER = 24, 290, 420, 16, 6.4
_POSITION = {"yes": "given position", "no": "", "unknown": "position unknown"}


def lines(evaluation: Evaluation) -> list[str]:
    """The tables as plain text: the best probe of each feature set, best first, and what was not beaten."""
    shown = []
    for result in evaluation.results:
        shown += ["", *_target_lines(result)]
    verdicts = evaluation.verdicts()
    shown += ["", *(f"! {sentence}" for sentence in verdicts)] if verdicts else []
    return [*shown, "", explanation(evaluation)]


def explanation(evaluation: Evaluation) -> str:
    """What the numbers are, in two sentences."""
    settings = evaluation.settings
    seeds = len(settings.seeds)
    interval = f"[{INTERVAL}: what the choice of folds does, not what another city would]" if seeds > 1 else ""
    return (
        f"Each number is the mean over {seeds} seed{'s' if seeds > 1 else ''} {interval}. Every region is predicted once "
        f"a seed, by probes that saw the other {settings.folds - 1} of {settings.folds} folds; better of the probes; "
        "* marks embeddings."
    ).replace(" .", ".")


def _target_lines(result: TargetResult) -> list[str]:
    names = METRICS[result.task]
    rows = [["", "", "probe", *(f"{name}{' (low is good)' if name in LOWER_IS_BETTER else ''}" for name in names)]]
    for item in result.best_scores():
        values = [value_text(item.metrics[name], interval=name == result.metric) for name in names]
        rows.append(["" if item.floor else "*", item.features, item.probe, *values])
    shown = [f"{result.title}: {_counts(result)}", *aligned(rows)]
    for name in dict.fromkeys(item.features for item in result.comparisons):
        mine = [item for item in result.comparisons if item.features == name]
        shown.append(f"  {name} against, seed by seed:")
        shown += aligned([["  ", item.against, *_difference(item)] for item in mine])
    if result.label_shares:
        shown.append(f"  {result.metric} with a share of the labels:")
        shown += aligned([["", *_share_headers(result)], *(_share_row(result, name) for name in _ranked(result))])
    return shown


def _share_headers(result: TargetResult) -> list[str]:
    return ["", *(f"{_percent(part.share)} ({part.regions:.0f} regions)" for part in result.label_shares)]


def _share_row(result: TargetResult, name: str, interval: bool = False) -> list[str]:
    found = [part.best()[name] for part in result.label_shares]
    cells = [value_text(item.metrics[result.metric], interval) for item in found]
    return ["" if found[0].floor else "*", name, *cells]


def _ranked(result: TargetResult) -> list[str]:
    return [item.features for item in result.best_scores()]


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _counts(result: TargetResult) -> str:
    parts = [f"{result.rows} regions"]
    if result.unlabelled:
        parts.append(f"{result.unlabelled} without a label")
    if result.uncovered:
        parts.append(f"{result.uncovered} without a vector of each kind")
    return ", ".join(parts)


def value_text(summary: Summary, interval: bool) -> str:
    """A mean, with its interval in brackets if that is wanted and wider than nothing."""
    low, high = summary.interval
    shown = f"{summary.mean:.3f}" if abs(summary.mean) < 1000 else f"{summary.mean:,.0f}"
    return f"{shown} [{low:.3f}, {high:.3f}]" if interval and low < high else shown


def _difference(comparison: Comparison) -> tuple[str, str, str]:
    """Difference, ratio and verdict as texts; a ratio that does not exist is empty."""
    low, high = comparison.difference.interval
    difference = f"{comparison.metric} {comparison.difference.mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    ratio = ""
    if comparison.ratio is not None:
        low, high = comparison.ratio.interval
        ratio = f"ratio {comparison.ratio.mean:.2f} [{low:.2f}, {high:.2f}]"
    return difference, ratio, comparison.verdict if comparison.verdict != "single" else ""


def aligned(rows: list[list[str]]) -> list[str]:
    """Rows of cells as indented lines with straight columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Everything as plain data; numbers that do not exist are None."""
    return {
        "interval": INTERVAL,
        "settings": asdict(evaluation.settings),
        "features": evaluation.features,
        "results": [_result_dict(result) for result in evaluation.results],
        "verdicts": evaluation.verdicts(),
        "notes": evaluation.notes,
    }


def _result_dict(result: TargetResult) -> dict[str, Any]:
    plain = {name: getattr(result, name) for name in TargetResult.__dataclass_fields__}
    plain["classes"] = list(result.classes)
    plain["label_shares"] = [
        {"share": part.share, "regions": part.regions, **_scores_dict(part)} for part in result.label_shares
    ]
    return {**plain, **_scores_dict(result)}


def _scores_dict(part: TargetResult | LabelShare) -> dict[str, Any]:
    scores = [
        {
            **{name: getattr(item, name) for name in Score.__dataclass_fields__ if name != "metrics"},
            "metrics": {name: summary_dict(summary) for name, summary in item.metrics.items()},
        }
        for item in part.scores
    ]
    comparisons = [
        {
            **{name: getattr(item, name) for name in Comparison.__dataclass_fields__},
            "difference": summary_dict(item.difference),
            "ratio": None if item.ratio is None else summary_dict(item.ratio),
        }
        for item in part.comparisons
    ]
    return {"scores": scores, "comparisons": comparisons}


def summary_dict(summary: Summary) -> dict[str, Any]:
    """Mean, interval and single values as plain data; numbers that do not exist are None."""
    low, high = summary.interval
    return {
        "mean": _finite(summary.mean),
        "low": _finite(low),
        "high": _finite(high),
        "per_seed": [_finite(value) for value in summary.per_seed],
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def write_json(path: str | Path, evaluation: Evaluation, other_city: dict[str, Any] | None = None) -> None:
    """Everything, seed by seed, for programs; with what was scored in another city, if anything was."""
    more = {} if other_city is None else {"other_city": other_city}
    with atomic_path(path) as temporary:
        text = json.dumps({**as_dict(evaluation), **more}, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def page(evaluation: Evaluation) -> Page:
    """A page for people: what was not beaten first, then each target as a picture and as tables."""
    parts = [report.notes("Floors that are not beaten", evaluation.verdicts())]
    if not parts[0] and any(result.comparisons for result in evaluation.results):
        parts = ["<p>Every embedding beats every floor.</p>"]
    parts.append(f"<p>{html.escape(explanation(evaluation))}</p>")
    for result in evaluation.results:
        parts += _target_parts(result)
    rows = [
        (item["name"], "floor" if item["floor"] else "embedding", item["width"], item["given_position"])
        for item in evaluation.features
    ]
    parts.append("<h2>Feature sets</h2>" + report.table(("Features", "Kind", "Width", "Given the position"), rows))
    return Page("Evaluation of region embeddings", parts)


def _target_parts(result: TargetResult) -> list[str]:
    names = METRICS[result.task]
    parts = [report.picture(result.title, picture(result)), f"<p>{html.escape(_counts(result))}</p>"]
    headers = ("Features", "Probe", *(f"{name}{' ↓' if name in LOWER_IS_BETTER else ' ↑'}" for name in names))
    order = {item.features: place for place, item in enumerate(result.best_scores())}
    ranked = sorted(result.scores, key=lambda item: (order[item.features], not item.best))
    rows = [
        (
            item.features + (f" ({_POSITION[item.position]})" if _POSITION[item.position] and not item.floor else ""),
            item.probe + (" (better)" if item.best else ""),
            *(value_text(item.metrics[name], interval=True) for name in names),
        )
        for item in ranked
    ]
    parts.append(report.table(headers, rows))
    if result.comparisons:
        cells = [(item.features, item.against, *_difference(item)) for item in result.comparisons]
        lost = [item.loses for item in result.comparisons]
        parts.append("<p>Paired differences on the same folds, seed by seed:</p>")
        parts.append(report.table(("Embedding", "Against", "Difference", "Ratio", ""), cells, lost))
    return [*parts, *_share_parts(result)]


def _share_parts(result: TargetResult) -> list[str]:
    """Scores by share of the labels: picture, table, and the floors that are not beaten with few labels."""
    if not result.label_shares:
        return []
    rows = [_share_row(result, name, interval=True) for name in _ranked(result)]
    return [
        report.picture(f"{result.title}: with fewer labels", share_picture(result)),
        report.table(("", "Features", *_share_headers(result)[1:]), rows),
        report.notes("Floors that are not beaten with fewer labels", result.share_verdicts()),
    ]


def share_picture(result: TargetResult) -> str:
    """The first metric of each feature set over the share of the labels, in SVG."""
    shares = result.label_shares[::-1]
    series = [
        Series(
            item.features,
            [(part.share, part.best()[item.features].metrics[result.metric]) for part in shares],
            item.floor,
        )
        for item in result.best_scores()
    ]
    ticks = [(part.share, _percent(part.share)) for part in shares]
    title = f"{result.title}: {result.metric} by share of the labels"
    floored = result.metric not in LOWER_IS_BETTER
    return line_plot(title, series, ticks, "share of the training labels", arrow(result.metric), floored=floored)


def arrow(metric: str) -> str:
    """A metric with the direction that is good."""
    return f"{metric}, {'lower' if metric in LOWER_IS_BETTER else 'higher'} is better"


def picture(result: TargetResult) -> str:
    """The first metric of each feature set as dots with intervals, in SVG; embeddings in blue, floors in grey."""
    items = result.best_scores()
    summaries = [item.metrics[result.metric] for item in items]
    # A hopeless feature set must not press all others together: very poor values are drawn at the edge.
    values = [value for summary in summaries for value in (*summary.interval, summary.mean) if math.isfinite(value)]
    low, high = min([0.0, *values]), max([*values, 1e-9])
    if result.metric not in LOWER_IS_BETTER:
        low = max(low, -0.5)
    step = nice_step((high - low) / 5)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step

    def across(value: float) -> float:
        return _LABEL + _PLOT * (min(max(value, low), high) - low) / (high - low)

    height = _ROW * len(items) + 3 * _ROW
    width = _LABEL + _PLOT + 110
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        "font-family='system-ui,sans-serif' font-size='12' role='img' "
        f"aria-label='{html.escape(result.title, quote=True)}'>"
    ]
    bottom = _MARGIN + _ROW * len(items)
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        x = across(value)
        shade = "#bbb" if abs(value) < step / 1e6 else "#e8e8e8"
        parts.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{_MARGIN - 6}' y2='{bottom}' stroke='{shade}'/>")
        parts.append(f"<text x='{x:.1f}' y='{bottom + 16}' text-anchor='middle' fill='#666'>{tick(value, step)}</text>")
    middle = _LABEL + _PLOT / 2
    parts.append(f"<text x='{middle}' y='{bottom + 36}' text-anchor='middle'>{arrow(result.metric)}</text>")
    for place, (item, summary) in enumerate(zip(items, summaries, strict=True)):
        parts.append(_dot(item, summary, _MARGIN + _ROW * (place + 0.5), across))
    return "".join(parts) + "</svg>"


def _dot(item: Score, summary: Summary, y: float, across: Any) -> str:
    colour = _COLOURS["floor" if item.floor else "embedding"]
    weight = "normal" if item.floor else "bold"
    most = int((_LABEL - 20) / _CHARACTER)
    name = item.features if len(item.features) <= most else f"{item.features[: most - 1]}…"
    text = (
        f"<text x='{_LABEL - 12}' y='{y + 4:.1f}' text-anchor='end' font-weight='{weight}' fill='{colour}'>"
        f"{html.escape(name)}</text>"
    )
    if not math.isfinite(summary.mean):
        return text
    low, high = summary.interval
    return (
        f"{text}<line x1='{across(low):.1f}' x2='{across(high):.1f}' y1='{y:.1f}' y2='{y:.1f}' stroke='{colour}' "
        f"stroke-width='2.5'/><circle cx='{across(summary.mean):.1f}' cy='{y:.1f}' r='4.5' fill='{colour}'/>"
        f"<text x='{_LABEL + _PLOT + 12}' y='{y + 4:.1f}' fill='{colour}'>{summary.mean:.3f}</text>"
    )

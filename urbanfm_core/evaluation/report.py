"""An evaluation as lines for a terminal and as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from urbanfm_core.evaluation.metrics import LOWER_IS_BETTER, METRICS
from urbanfm_core.evaluation.results import INTERVAL, Comparison, LabelShare, Score, Summary, TargetResult
from urbanfm_core.evaluation.run import Evaluation
from urbanfm_core.files import atomic_path
from urbanfm_core.report import even


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
    shown = [f"{result.title}: {counts(result)}", *aligned(rows)]
    for name in dict.fromkeys(item.features for item in result.comparisons):
        mine = [item for item in result.comparisons if item.features == name]
        shown.append(f"  {name} against, seed by seed:")
        shown += aligned([["  ", item.against, *difference_texts(item)] for item in mine])
    if result.label_shares:
        shown.append(f"  {result.metric} with a share of the labels:")
        shown += aligned([["", *share_headers(result)], *(share_row(result, name) for name in ranked(result))])
    return shown


def share_headers(result: TargetResult) -> list[str]:
    return ["", *(f"{percent(part.share)} ({part.regions:.0f} regions)" for part in result.label_shares)]


def share_row(result: TargetResult, name: str, interval: bool = False) -> list[str]:
    found = [part.best()[name] for part in result.label_shares]
    cells = [value_text(item.metrics[result.metric], interval) for item in found]
    return ["" if found[0].floor else "*", name, *cells]


def ranked(result: TargetResult) -> list[str]:
    return [item.features for item in result.best_scores()]


def percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def counts(result: TargetResult) -> str:
    parts = [f"{result.rows} regions"]
    if result.unlabelled:
        parts.append(f"{result.unlabelled} without a label")
    if result.uncovered:
        parts.append(f"{result.uncovered} without a vector of each kind")
    return ", ".join(parts)


def value_text(summary: Summary, interval: bool) -> str:
    """A mean, with its interval in brackets if that is wanted and wider than nothing."""
    low, high = summary.interval
    shown, first, last = even([summary.mean, low, high], by=[summary.mean])
    return f"{shown} [{first}, {last}]" if interval and low < high else shown


def difference_texts(comparison: Comparison) -> tuple[str, str, str]:
    """Difference, ratio and verdict as texts; a ratio that does not exist is empty."""
    low, high = comparison.difference.interval
    difference = f"{comparison.metric} {comparison.difference.mean:+.3f}"
    if low < high:
        difference += f" [{low:+.3f}, {high:+.3f}]"
    ratio = ""
    if comparison.ratio is not None:
        low, high = comparison.ratio.interval
        ratio = f"ratio {comparison.ratio.mean:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low < high else "")
    return difference, ratio, comparison.verdict if comparison.verdict != "single" else ""


def arrow(metric: str) -> str:
    """A metric with the direction that is good."""
    return f"{metric}, {'lower' if metric in LOWER_IS_BETTER else 'higher'} is better"


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

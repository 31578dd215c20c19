"""An ablation as lines for a terminal, as JSON, and as a page."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from urbanfm_core import report
from urbanfm_core.evaluation.ablation import FULL, AblatedTarget, Ablation, Variant, VariantScore
from urbanfm_core.evaluation.metrics import LOWER_IS_BETTER, METRICS, meanings
from urbanfm_core.evaluation.picture import Series, line_plot
from urbanfm_core.evaluation.report import aligned, arrow, summary_dict, value_text
from urbanfm_core.evaluation.results import Summary
from urbanfm_core.files import atomic_path
from urbanfm_core.report import Page


def lines(ablation: Ablation) -> list[str]:
    """The tables as plain text: the full model, its variants, then the floors."""
    shown = []
    for target in ablation.targets:
        rows = [["", "", "probe", *_headers(target), "against full", ""]]
        rows += [["" if item.floor else "*", *_cells(target, item)] for item in target.scores]
        shown += ["", f"{target.title}: {_counts(target)}", *aligned(rows)]
    verdicts = ablation.verdicts()
    shown += ["", *(f"! {sentence}" for sentence in verdicts)] if verdicts else []
    return [*shown, "", explanation(ablation)]


def explanation(ablation: Ablation) -> str:
    """What the numbers are."""
    trainings, splits = len(ablation.seeds), len(ablation.settings.seeds)
    on_splits = f"{splits} split{'s' if splits > 1 else ''} of the regions"
    if trainings > 1:
        what = (
            f"Each number is the mean over {trainings} trainings from different seeds, each scored on the same {on_splits}; "
            f"brackets are 95 % t intervals over the trainings, for floors over the splits. Differences to the full model "
            "are paired by training seed."
        )
    else:
        what = (
            f"Each number is the mean over {on_splits}, of one training: brackets are 95 % t intervals over the splits and "
            "do not say what another start of the training would give. Differences to the full model are paired by split."
        )
    return f"{what} 'worse' means that the full model is better, beyond the interval; * marks trained variants."


def _headers(target: AblatedTarget) -> list[str]:
    return [f"{name}{' (low is good)' if name in LOWER_IS_BETTER else ''}" for name in METRICS[target.task]]


def _cells(target: AblatedTarget, item: VariantScore) -> list[str]:
    values = [value_text(item.metrics[name], interval=name == target.metric) for name in METRICS[target.task]]
    return [item.name, item.probe, *values, _difference(item), item.verdict if item.verdict != "single" else ""]


def _difference(item: VariantScore) -> str:
    if item.difference is None:
        return ""
    low, high = item.difference.interval
    return f"{item.difference.mean:+.3f}" + (f" [{low:+.3f}, {high:+.3f}]" if low < high else "")


def _counts(target: AblatedTarget) -> str:
    parts = [f"{target.rows} regions"]
    parts += [f"{target.unlabelled} without a label"] if target.unlabelled else []
    parts += [f"{target.uncovered} without a vector of each variant"] if target.uncovered else []
    return ", ".join(parts)


def as_dict(ablation: Ablation) -> dict[str, Any]:
    """Everything as plain data; numbers that do not exist are None."""
    return {
        "explanation": explanation(ablation),
        "config": ablation.config,
        "variants": [
            {
                "name": variant.name,
                "overrides": dict(variant.overrides),
                "sweep": list(variant.sweep) if variant.sweep else None,
                "folders": ablation.folders[variant.name],
            }
            for variant in ablation.variants
        ],
        "seeds": list(ablation.seeds),
        "settings": asdict(ablation.settings),
        "results": [_target_dict(target) for target in ablation.targets],
        "verdicts": ablation.verdicts(),
        "notes": ablation.notes,
    }


def _target_dict(target: AblatedTarget) -> dict[str, Any]:
    plain = {name: getattr(target, name) for name in AblatedTarget.__dataclass_fields__}
    plain["scores"] = [
        {
            **{name: getattr(item, name) for name in VariantScore.__dataclass_fields__},
            "metrics": {name: summary_dict(summary) for name, summary in item.metrics.items()},
            "difference": None if item.difference is None else summary_dict(item.difference),
        }
        for item in target.scores
    ]
    return {**plain, "metric": target.metric}


def write_json(path: str | Path, ablation: Ablation) -> None:
    """Everything, seed by seed, for programs."""
    with atomic_path(path) as temporary:
        text = json.dumps(as_dict(ablation), indent=1, ensure_ascii=False, allow_nan=False, default=str)
        temporary.write_text(text + "\n", encoding="utf-8")


def page(ablation: Ablation, title: str = "Ablation") -> Page:
    """A page for people: each target as a table, with a plot for each number that was swept."""
    parts = [report.paragraph(explanation(ablation))]
    for target in ablation.targets:
        parts.append(report.heading(target.title) + report.paragraph(_counts(target)))
        rows = [_cells(target, item) for item in target.scores]
        worse = [item.verdict == "worse" and not item.floor for item in target.scores]
        parts.append(report.table(("Variant", "Probe", *_headers(target), "Against full", "Verdict"), rows, worse))
        parts.append(report.paragraph(meanings(target.task), quiet=True))
        for name in ablation.sweeps:
            parts.append(report.picture(f"{target.title}: {name}", sweep_picture(ablation, target, name)))
    changed = [(item.name, _overrides(item)) for item in ablation.variants]
    parts.append(report.heading("Variants") + report.table(("Variant", "What is changed"), changed))
    parts.append(report.heading("Full model") + report.table(("Number", "Value"), [*ablation.config.items()]))
    return Page(title, parts, [report.lead(_answer(target)) for target in ablation.targets])


def _answer(target: AblatedTarget) -> str:
    """The full model's score, and the variants that are surely worse or better."""
    own = next(item for item in target.scores if item.name == FULL)
    said = f"{target.title}: the full model has {target.metric} {value_text(own.metrics[target.metric], interval=True)}"
    variants = [item for item in target.scores if not item.floor and item is not own]
    told = []
    for verdict in ("worse", "better"):
        names = ", ".join(item.name for item in variants if item.verdict == verdict)
        told += [f"{verdict} beyond the interval: {names}"] if names else []
    return f"{said}; {'; '.join(told) or 'no variant is told apart from it'}."


def _overrides(variant: Variant) -> str:
    return ", ".join(f"{name} = {value}" for name, value in variant.overrides.items()) or "nothing"


def sweep_picture(ablation: Ablation, target: AblatedTarget, name: str) -> str:
    """The first metric over the values of a number, with intervals, and the best floor, in SVG.

    The full model stands at its own value. Values that are not numbers stand side by side in their order.
    """
    scores = {item.name: item.metrics[target.metric] for item in target.scores if not item.floor}
    steps = {item.sweep[1]: scores[item.name] for item in ablation.variants if item.sweep and item.sweep[0] == name}
    own = ablation.config[name]
    steps = {own: scores[FULL], **steps}
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in steps)
    values = sorted(steps) if numeric else [value for value in steps if value != own] + [own]
    places = {value: float(value) if numeric else float(number) for number, value in enumerate(values)}
    series = [Series("variants", [(places[value], steps[value]) for value in values])]
    floors = [item for item in target.scores if item.floor]
    if floors:
        level = Summary((floors[0].metrics[target.metric].mean,))
        ends = sorted({min(places.values()), max(places.values())})
        series.append(Series(f"best floor: {floors[0].name}", [(x, level) for x in ends], True))
    return line_plot(
        f"{target.title}: {target.metric} by {name}",
        series,
        [(places[value], str(value)) for value in values],
        name,
        arrow(target.metric),
        floored=target.metric not in LOWER_IS_BETTER,
        marked=(places[own], f"full model: {own}"),
    )

"""Transfer between cities as lines for a terminal, as Markdown, as JSON, and as a page: square tables of cities."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from urbanfm_core import report
from urbanfm_core.evaluation.metrics import LOWER_IS_BETTER, MEANINGS, METRICS
from urbanfm_core.evaluation.report import aligned, arrow, summary_dict, value_text
from urbanfm_core.evaluation.transfer import Square, Transfer, TransferredTarget, across
from urbanfm_core.files import atomic_path
from urbanfm_core.report import Page

Table = tuple[str, list[str], list[list[str]]]


def explanation(transfer: Transfer) -> list[str]:
    """What the numbers are."""
    settings = transfer.settings
    seeds = len(settings.seeds)
    row = "whose labels the probes learned from"
    said = [
        f"A row names the city {row if transfer.one_model else f'that the model was trained on and {row}'}, a column the "
        f"city that they are scored in. The same probes, one for each of {settings.folds} folds, each without one fold of "
        "neighbouring regions, are scored in that fold on the diagonal, and in all of another city beside it."
        + (
            ""
            if transfer.one_model
            else " The model saw the regions of its own city, without their labels; it saw nothing of another."
        ),
        f"Each number is the mean over {seeds} seed{'s' if seeds > 1 else ''}"
        + (", brackets are 95 % t intervals over them: what the choice of blocks does." if seeds > 1 else ".")
        + " The better kind of probe is chosen in the city that it learned in.",
    ]
    if transfer.z_scores:
        said.append(
            "Numbers are predicted relative to their city: as deviations from its mean, in its standard deviations, both "
            "from its own labels. So these scores say nothing of levels that differ between cities."
        )
    else:
        said.append("Labels are taken as they are, and must mean the same in all cities.")
    return said


def lines(transfer: Transfer) -> list[str]:
    """The tables as plain text, and what was not beaten."""
    shown: list[str] = []
    for target in transfer.targets:
        shown += ["", f"{_title(target)} ({_counts(target)})"]
        for title, headers, rows in _tables(transfer, target):
            shown += [f"  {title}", *aligned([headers, *rows])]
    verdicts = transfer.verdicts()
    shown += ["", *(f"! {sentence}" for sentence in verdicts)] if verdicts else []
    return [*shown, "", *explanation(transfer)]


def write_markdown(path: str | Path, transfer: Transfer) -> None:
    """The tables in Markdown."""
    with atomic_path(path) as temporary:
        temporary.write_text(markdown(transfer), encoding="utf-8")


def page(transfer: Transfer) -> Page:
    """A page for people."""
    return Page(
        f"{transfer.model} from city to city", parts(transfer), [report.lead(text) for text in answers(transfer)]
    )


def answers(transfer: Transfer) -> list[str]:
    """Of each target: the mean scores within and between cities."""
    where = "probes learned in" if transfer.one_model else "was trained on"
    return [_answer(target, where) for target in transfer.targets]


def _answer(target: TransferredTarget, where: str) -> str:
    within, elsewhere = across(target.squares[0], target.metric)
    floors = [(across(square, target.metric)[1], square.features) for square in target.squares[1:]]
    words = f"{target.target}: {target.metric} is {within:.3f} within the city that {where}, {elsewhere:.3f} in another"
    if not floors:
        return f"{words}."
    best = (min if target.metric in LOWER_IS_BETTER else max)(floors)
    return f"{words}; the best floor has {best[0]:.3f} there ({best[1]})."


def parts(transfer: Transfer, heading: Callable[[str], str] = report.heading) -> list[str]:
    """What such a page shows, or a part of another; what makes the headings of targets is given."""
    parts = [report.paragraph(text) for text in explanation(transfer)]
    for target in transfer.targets:
        parts.append(heading(_title(target)) + report.paragraph(f"{_counts(target)}. {MEANINGS[target.metric]}."))
        for title, headers, rows in _tables(transfer, target):
            parts.append(report.subheading(title) + report.table(headers, rows))
    return parts


def markdown(transfer: Transfer) -> str:
    """The tables in Markdown."""
    parts = [f"# {transfer.model} from city to city", *explanation(transfer)]
    for target in transfer.targets:
        parts.append(f"## {_title(target)}\n\n{_counts(target)}")
        for title, headers, rows in _tables(transfer, target):
            body = [headers, ["---"] * len(headers), *rows]
            parts.append(f"{title}\n\n" + "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in body))
    for title, sentences in (("Floors that are not beaten", transfer.verdicts()), ("Notes", transfer.notes)):
        if sentences:
            parts.append(f"## {title}\n\n" + "\n".join(f"- {sentence}" for sentence in sentences))
    return "\n\n".join(parts) + "\n"


def as_dict(transfer: Transfer) -> dict[str, Any]:
    """Everything as plain data; numbers that do not exist are None."""
    return {
        "model": transfer.model,
        "cities": list(transfer.cities),
        "trained_on": list(transfer.sources),
        "z_scores": transfer.z_scores,
        "explanation": explanation(transfer),
        "settings": asdict(transfer.settings),
        "results": [_target_dict(target) for target in transfer.targets],
        "checkpoints": transfer.checkpoints,
        "verdicts": transfer.verdicts(),
        "notes": transfer.notes,
    }


def write_json(path: str | Path, transfer: Transfer) -> None:
    """Everything, seed by seed, for programs."""
    with atomic_path(path) as temporary:
        text = json.dumps(as_dict(transfer), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _tables(transfer: Transfer, target: TransferredTarget) -> list[Table]:
    """The method's square, that with labels of the city itself, those of the floors, and all in short."""
    method, metric = target.squares[0], target.metric
    tables = [_square(transfer, method, f"{method.features}:", metric)]
    if not transfer.one_model:
        title = f"{method.features}, probes that learned from labels of the city that is scored in:"
        tables.append(_square(transfer, target.local, title, metric))
    tables += [_square(transfer, floor, f"Floor {floor.features}:", metric) for floor in target.squares[1:]]
    rows = [[square.features, *(f"{value:.3f}" for value in across(square, metric))] for square in target.squares]
    if not transfer.one_model:
        local = across(target.local, metric)
        rows.insert(1, [f"{method.features}, labels of the scored city", *(f"{value:.3f}" for value in local)])
    return [("In short:", ["mean", "within the city", "in another city"], rows), *tables]


def _square(transfer: Transfer, square: Square, title: str, metric: str) -> Table:
    rows = [
        [source, *(value_text(square.cells[source, city][metric], interval=True) for city in transfer.cities)]
        for source in transfer.sources
    ]
    corner = f"{'learned from' if transfer.one_model else 'trained on'} \\ scored in"
    return title, [corner, *transfer.cities], rows


def _title(target: TransferredTarget) -> str:
    return f"{target.target} ({target.task}): {arrow(target.metric)}"


def _counts(target: TransferredTarget) -> str:
    parts = []
    for city, rows in target.rows.items():
        missing = [f"{target.unlabelled[city]} without a label"] if target.unlabelled[city] else []
        missing += [f"{target.uncovered[city]} without a vector of each kind"] if target.uncovered[city] else []
        parts.append(f"{city}: {', '.join([f'{rows} regions', *missing])}")
    return "; ".join(parts)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _target_dict(target: TransferredTarget) -> dict[str, Any]:
    return {
        "target": target.target,
        "task": target.task,
        "metric": target.metric,
        "rows": target.rows,
        "unlabelled": target.unlabelled,
        "uncovered": target.uncovered,
        "squares": [_square_dict(target, square, "trained city") for square in target.squares]
        + [_square_dict(target, target.local, "scored city")],
    }


def _square_dict(target: TransferredTarget, square: Square, labels: str) -> dict[str, Any]:
    return {
        "features": square.features,
        "floor": square.floor,
        "labels": labels,
        "cells": [
            {
                "trained_on": source,
                "scored_in": city,
                "probe": square.probes[source, city],
                "metrics": {name: summary_dict(metrics[name]) for name in METRICS[target.task]},
            }
            for (source, city), metrics in square.cells.items()
        ],
    }

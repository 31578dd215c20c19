"""The stages that make checkpoints of published weights, and look into checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from urbanfm_core import report
from urbanfm_core.errors import InputError
from urbanfm_core.progress import Progress
from urbanfm_core.report import Page
from urbanfm_core.result import Result
from urbanfm_core.stages.checkpoints import ImportCheckpointStage, InspectStage

# What a page says of a checkpoint beside its training, by the names of its summary.
_FACTS = {
    "parameters": "Size",
    "trains on": "Trains on",
    "embeds from": "Embeds from",
    "can also": "Can also",
    "cities": "Cities",
    "preprocessing": "Inputs are read as",
    "config": "Configuration",
    "created": "Made",
    "versions": "Made with",
}


def importcheckpoint(stage: ImportCheckpointStage, progress: Progress) -> Result:
    if stage.method == "refound":
        from urbanfm_core.importers.refound import import_refound

        checkpoint = import_refound(
            stage.checkpoint,
            tokenizer=stage.tokenizer,
            heads=stage.heads,
            categories=_read_names(stage.category_names),
            leave_out=stage.leave_out,
            progress=progress,
        )
    elif stage.method == "urbanclip":
        from urbanfm_core.importers.coca import import_coca

        checkpoint = import_coca(
            stage.checkpoint, architecture=stage.architecture, tokenizer=stage.tokenizer, progress=progress
        )
    elif stage.method == "urbanln":
        from urbanfm_core.importers.clip import import_clip

        checkpoint = import_clip(stage.checkpoint, tokenizer=stage.tokenizer, progress=progress)
    else:
        from urbanfm_core.importers.aether import import_aether

        checkpoint = import_aether(stage.checkpoint, text_encoder=stage.text_encoder, progress=progress)
    checkpoint.save(stage.out)
    return Result({"checkpoint": stage.out, "summary": checkpoint.summary()}, Path(stage.out))


def inspect(stage: InspectStage, progress: Progress) -> Result:
    from urbanfm_core.models import get_method
    from urbanfm_core.training.checkpoint import Checkpoint

    checkpoint = Checkpoint.load(stage.checkpoint)
    method = get_method(checkpoint.method)
    summary = {
        **checkpoint.summary(),
        "paper": method.paper,
        "trains on": ", ".join(method.needs),
        "embeds from": ", ".join(method.embeds_from),
        "can also": ", ".join(sorted(method.can)),
    }
    told = {"checkpoint": stage.checkpoint, "summary": summary, "report": stage.report}
    page = None if stage.report is None else checkpoint_page(stage.checkpoint, summary)
    return Result(told, checkpoint, page=page)


def checkpoint_page(folder: str, summary: dict[str, Any]) -> Page:
    """What a report shows of a checkpoint; how it was trained stands in every report."""
    told = {**summary, "parameters": f"{summary['parameters']:,} numbers that were learned"}
    facts = [(name, told[key]) for key, name in _FACTS.items() if told.get(key) not in (None, "", {})]
    parts = [
        report.notes("Notes of the training", summary.get("notes", [])),
        report.heading("What the model is") + report.table(("What", "Value"), facts),
    ]
    return Page(f"Checkpoint {Path(folder).name}", parts, [report.lead(_answer(summary))])


def _answer(summary: dict[str, Any]) -> str:
    """What the model is and how it was trained, in a sentence."""
    from urbanfm_core.models import get_method

    name = f"{get_method(summary['method']).title} ({summary.get('preset') or 'imported'})"
    if "samples" not in summary or "metrics" not in summary:
        return f"{name}, which was not trained here."
    loss = (summary["metrics"] or {}).get("loss")
    words = f", the one with the lowest loss ({report.number(loss)})" if loss is not None else ""
    return f"{name} learned from {summary['samples']:,} samples; epoch {summary['best_epoch']} is kept{words}."


def _read_names(path: str | None) -> list[str]:
    """Lines of a text file."""
    if path is None:
        return []
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as text ({error}).", "Give a text file with one name a line."
        ) from error

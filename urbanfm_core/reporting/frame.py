"""The frame of a report, the same for every stage."""

from __future__ import annotations

import datetime
import html
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata

import urbanfm_core
from urbanfm_core import report
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.parameters import Stage
from urbanfm_core.progress import duration
from urbanfm_core.report import Page
from urbanfm_core.reporting.command import shell_lines
from urbanfm_core.reporting.model import model_of
from urbanfm_core.reporting.sources import coverage_of, coverage_rows, input_rows, named_files, output_rows
from urbanfm_core.result import Caller, Result

_PACKAGES = ("numpy", "torch", "scikit-learn", "geopandas", "shapely", "pyogrio", "rasterio", "pyproj", "pyarrow")


@dataclass(frozen=True)
class Run:
    """One run of a stage.

    Attributes:
        name: Of the stage.
        stage: Its parameters.
        result: What it left.
        started: When.
        seconds: How long it took.
        caller: What another program that called it, such as QGIS, knows of it.
        warnings: What it logged as such.
    """

    name: str
    stage: Stage
    result: Result
    started: datetime.datetime
    seconds: float
    caller: Caller = field(default_factory=Caller)
    warnings: Sequence[str] = ()


def framed(page: Page, run: Run, written: str) -> Page:
    """The answer first, then warnings, then the rest of what the stage shows, then what every report says.

    Args:
        page: Of the stage.
        run: The run.
        written: Where the report goes.
    """
    when = run.started.astimezone().strftime("%Y-%m-%d %H:%M %Z")
    line = f"urbanfm {run.name} · {when} · took {duration(run.seconds)} · UrbanFM {urbanfm_core.__version__}"
    said = [note for note in run.result.notes if note not in run.warnings]
    parts = [report.paragraph(line, quiet=True), *page.answer, report.warnings(run.warnings), *page.parts]
    parts.append(report.notes("Notes", said))
    parts += _inputs(run)
    rows, curve = model_of(run.stage, run.result.summary)
    if rows:
        parts.append(report.heading("How the model was trained") + report.table(("What", "Value"), rows))
        parts.append(report.picture("Losses of the training", curve))
    parts += _settings(run.stage)
    outputs = output_rows(run.stage, written)
    if outputs:
        parts.append(report.heading("What was written") + report.table(("Output", "File", "Size"), outputs))
    parts += _repeat(run)
    return Page(page.title, _named([*parts, _versions()], run.caller.names))


def _named(parts: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """Parts with files of this run only called as people call them."""
    found = list(parts)
    for path, name in names.items():
        told, file = html.escape(name), html.escape(path)
        found = [part.replace(f"{told}={file}", told).replace(file, told) for part in found]
    return found


def _inputs(run: Run) -> list[str]:
    parts = []
    rows = input_rows(run.stage)
    if rows:
        parts.append(report.heading("What went in") + report.table(("Input", "File", "Size", "Holds"), rows))
    embeddings = getattr(run.stage, "embeddings", None)
    if isinstance(run.result.value, EmbeddingTable):
        covered = coverage_of(run.result.value.coverage)
    elif embeddings:
        covered = coverage_rows(embeddings[0] if isinstance(embeddings, list) else embeddings)
    else:
        covered = []
    if covered:
        parts.append(report.heading("What the inputs cover"))
        parts.append(report.table(("Input", "Covered", "Mean coverage"), covered))
    return parts


def _settings(stage: Stage) -> list[str]:
    rows = []
    files = {label for label, _, _ in named_files(stage, outputs=False)}
    for name, item in type(stage).model_fields.items():
        extra = item.json_schema_extra
        value = getattr(stage, name)
        if isinstance(extra, dict) and not extra["output"] and extra["label"] not in files and value != item.default:
            rows.append((extra["label"], value, extra["unit"] or ""))
    told = report.table(("Parameter", "Value", "Unit"), rows) if rows else ""
    said = f"All {'other ' if rows else ''}parameters have their defaults."
    return [report.heading("Settings"), told, report.paragraph(said, quiet=bool(rows))]


def _repeat(run: Run) -> list[str]:
    if run.caller.repeat is not None:
        lines = [report.code(run.caller.repeat)]
        said = "Layers reached the library as temporary copies, which are gone; the line names the layers themselves."
        lines.append(report.paragraph(said, quiet=True))
    else:
        lines = [report.code(shell_lines(run.name, run.stage))]
    return [report.heading("To repeat this"), *lines]


def _versions() -> str:
    found = [f"Python {platform.python_version()}", f"{platform.system()} {platform.machine()}"]
    for package in _PACKAGES:
        found.append(f"{package} {metadata.version(package)}")
    return report.heading("Made with") + report.paragraph(f"UrbanFM {urbanfm_core.__version__}, {', '.join(found)}.")

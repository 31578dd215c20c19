"""What a stage leaves, for programs, Python callers and readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urbanfm_core.report import Page


def said_by(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Each sentence once, in the order of their first saying; with those who said it, if not all did.

    Args:
        notes: Sentences by speaker.
    """
    speakers: dict[str, list[str]] = {}
    for name, sentences in notes.items():
        for sentence in dict.fromkeys(sentences):
            speakers.setdefault(sentence, []).append(name)
    return [text if len(names) == len(notes) else f"{', '.join(names)}: {text}" for text, names in speakers.items()]


@dataclass(frozen=True)
class Caller:
    """What a program that calls a stage knows of the run, for its report.

    Attributes:
        repeat: The line of the program that repeats the run; None to write that of the command line.
        names: How people call files that the program made for this run only, by their paths.
    """

    repeat: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """What a stage leaves.

    Attributes:
        summary: Plain data, as the worker reports it.
        value: The object for a Python caller.
        notes: What was chosen or left out.
        page: What its report shows; None if none was asked for.
    """

    summary: dict[str, Any]
    value: Any = None
    notes: list[str] = field(default_factory=list)
    page: Page | None = None

    def lines(self) -> list[str]:
        """The summary as a person reads it."""
        return _lines({key: value for key, value in self.summary.items() if key != "notes"})


def _lines(summary: dict[str, Any], indent: str = "") -> list[str]:
    """Mappings as indented blocks; what is empty is left out."""
    lines = []
    for key, value in summary.items():
        if isinstance(value, dict) and any(isinstance(item, (dict, list, str)) for item in value.values()):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        elif value not in (None, "", [], {}):
            lines.append(f"{indent}{key}: {_show(value)}")
    return lines


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_show(item)}" for key, item in value.items() if item not in (None, ""))
    if isinstance(value, (list, tuple)):
        return "".join(f"\n  {_show_row(item)}" for item in value)
    return str(value)


def _show_row(item: Any) -> str:
    return "  ".join(_show(part) for part in item) if isinstance(item, (list, tuple)) else _show(item)

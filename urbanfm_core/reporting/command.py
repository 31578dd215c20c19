"""The command line that repeats a run."""

from __future__ import annotations

import shlex
import subprocess  # nosec B404 - only for its rules of quoting
import sys
from pathlib import Path
from typing import Any

from urbanfm_core.parameters import Stage


def command_arguments(name: str, stage: Stage) -> list[str]:
    """The arguments of `urbanfm` that make this stage; what has its default is left out.

    Args:
        name: Name of the stage.
        stage: Its parameters.
    """
    words = [name]
    for field, item in type(stage).model_fields.items():
        value = getattr(stage, field)
        if value is None or (not item.is_required() and value == item.default):
            continue
        flag = f"--{field.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            words += _flagged(flag, value if isinstance(value, list) else [value])
    return words


def shell_lines(name: str, stage: Stage) -> str:
    """Two lines for a shell: into the folder of the run, since paths may be relative to it, and the command."""
    quote = subprocess.list2cmdline if sys.platform == "win32" else shlex.join
    folder = str(Path.cwd())
    return f"{quote(['cd', folder])}\n{quote(['urbanfm', *command_arguments(name, stage)])}"


def _flagged(flag: str, values: list[Any]) -> list[str]:
    """Values after their flag; one that looks like a flag itself is tied to it."""
    texts = [str(value) for value in values]
    if any(text.startswith("-") or not text for text in texts):
        return [f"{flag}={text}" for text in texts]
    return [flag, *texts]

"""One job for the worker: its file, its temporary folder and its log."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

from ..contract import load
from ..paths import user_folder

KEPT_LOGS = 20


class Job:
    """A context: the folder is made on entering and removed on leaving, whatever happened.

    Args:
        stage: Stage of the library.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.params: dict[str, Any] = {}
        self.outputs: dict[str, str] = {}
        self.folder = Path(tempfile.mkdtemp(prefix=f"urbanfm-{stage}-"))
        self.log = _log_path(stage)

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def temporary(self, name: str) -> Path:
        """Path of a file in the job's folder."""
        return self.folder / name

    def write(self) -> Path:
        """Write the job file."""
        path = self.temporary("job.json")
        content = {
            "protocol": load().protocol,
            "stage": self.stage,
            "params": self.params,
            "outputs": self.outputs,
        }
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        return path

    def remove_leftovers(self) -> None:
        """Remove what a killed worker could not: the temporary siblings of its outputs (`.name.????????.part.ext`)."""
        for output in self.outputs.values():
            path = Path(output)
            for leftover in path.parent.glob(f".{_literal(path.stem)}.????????.part{_literal(path.suffix)}*"):
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink(missing_ok=True)


def _literal(text: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)


def _log_path(stage: str) -> Path:
    folder = user_folder("logs")
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    for old in logs[: max(0, len(logs) - KEPT_LOGS + 1)]:
        old.unlink(missing_ok=True)
    return folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{stage}-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}.log"

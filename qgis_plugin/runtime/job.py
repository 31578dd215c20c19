"""One job for the worker: its file, its temporary folder and its log."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

from ..contract import load
from ..paths import user_folder

KEPT_LOGS = 20
ABANDONED_S = 7 * 86_400
_FOLDER = re.compile(r"urbanfm-[a-z]+-(\d+)-\w+")


class Job:
    """A context: the folder is made on entering and removed on leaving, whatever happened.

    Args:
        stage: Stage of the library.

    Attributes:
        params: Values of the stage's inputs.
        outputs: Files of its outputs.
        repeat: The line that repeats the run.
        names: How people call the layers that are temporary files for the worker, by their paths.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.params: dict[str, Any] = {}
        self.outputs: dict[str, str] = {}
        self.repeat = ""
        self.names: dict[str, str] = {}
        _remove_abandoned()
        self.folder = Path(tempfile.mkdtemp(prefix=f"urbanfm-{stage}-{os.getpid()}-"))
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
            **({"repeat": self.repeat} if self.repeat else {}),
            **({"names": self.names} if self.names else {}),
        }
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        return path

    def remove_leftovers(self, pid: int) -> None:
        """Remove what a killed worker could not: the temporary siblings of its outputs.

        Args:
            pid: The worker's; its temporary files are called `.name.MACHINE-PID-RANDOM.part.ext`, the PID as hexadecimal.
        """
        owner = f"????-{pid:x}-????????"
        for output in self.outputs.values():
            path = Path(output)
            for leftover in path.parent.glob(f".{_literal(path.stem)}.{owner}.part{_literal(path.suffix)}*"):
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink(missing_ok=True)


def _remove_abandoned() -> None:
    """Remove the folders of jobs whose QGIS crashed: they hold copies of layers."""
    for folder in Path(tempfile.gettempdir()).glob("urbanfm-*"):
        found = _FOLDER.fullmatch(folder.name)
        if found and folder.is_dir() and not folder.is_symlink() and _is_abandoned(folder, int(found[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path, pid: int) -> bool:
    try:
        if sys.platform == "win32":
            # There, asking a process for a sign of life by signal 0 would interrupt it.
            return time.time() - folder.stat().st_mtime > ABANDONED_S
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _literal(text: str) -> str:
    """A pattern for a name as the worker writes it for the time being: ; ? # and ! become _ there."""
    return "".join("_" if char in ";?#!" else f"[{char}]" if char in "*[" else char for char in text)


def _log_path(stage: str) -> Path:
    folder = user_folder("logs")
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    for old in logs[: max(0, len(logs) - KEPT_LOGS + 1)]:
        old.unlink(missing_ok=True)
    return folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{stage}-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}.log"

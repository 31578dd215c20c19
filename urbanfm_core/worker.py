"""`python -m urbanfm_core.worker job.json`: run one stage for another program, over JSON lines.

The job is `{"protocol": 1, "stage": "...", "params": {...}, "outputs": {...}}`, and optionally, for the report, `"repeat"`:
the line by which the calling program repeats it, and `"names"`: how people call the files of this job. Standard output carries one JSON object
a line, told apart by "event": hello, progress, log, metric, then done or error. A line `cancel` on standard input, or
its end, stops the stage. Exit codes: 0 ok, 1 bug, 2 user error, 3 cancelled.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, TextIO

import urbanfm_core
from urbanfm_core.errors import Cancelled, ConfigError, UrbanFMError
from urbanfm_core.progress import Progress
from urbanfm_core.result import Caller
from urbanfm_core.stages import PROTOCOL

EXIT_OK, EXIT_BUG, EXIT_USER, EXIT_CANCELLED = 0, 1, 2, 3


class WorkerProgress(Progress):
    """Writes events as JSON lines; cancelled once the other side says so."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._cancel = threading.Event()

    def send(self, event: str, **content: Any) -> None:
        line = json.dumps({"event": event, **content}, ensure_ascii=False, default=_plain, allow_nan=False)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()

    def update(self, fraction: float, message: str = "") -> None:
        self.send("progress", fraction=round(min(max(fraction, 0.0), 1.0), 4), message=message)

    def log(self, level: str, message: str) -> None:
        self.send("log", level=level, message=message)

    def metric(self, name: str, value: float, step: int) -> None:
        self.send("metric", name=name, value=value, step=step)

    def cancelled(self) -> bool:
        return self._cancel.is_set()

    def listen(self, stream: TextIO) -> None:
        """Watch for `cancel` in the background; a closed stream means that the other side is gone."""

        def watch() -> None:
            for line in stream:
                if line.strip() == "cancel":
                    break
            self._cancel.set()

        threading.Thread(target=watch, name="cancel-listener", daemon=True).start()


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    return str(value)


def read_job(path: Path) -> tuple[str, dict[str, Any], Caller]:
    """Stage name, all its parameters, and what the calling program knows of the run.

    Raises:
        ConfigError: the file is not a job of this protocol.
    """
    try:
        job = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not a readable job file: {error}.") from error
    if not isinstance(job, dict) or job.get("protocol") != PROTOCOL:
        found = job.get("protocol") if isinstance(job, dict) else type(job).__name__
        raise ConfigError(
            f"{path}: expected a job of protocol {PROTOCOL}, found {found}.",
            "Update the plugin and the library together.",
        )
    params, outputs = job.get("params", {}), job.get("outputs", {})
    if not isinstance(job.get("stage"), str) or not isinstance(params, dict) or not isinstance(outputs, dict):
        raise ConfigError(f"{path}: a job needs a 'stage' and objects 'params' and 'outputs'.")
    repeat, names = job.get("repeat"), job.get("names", {})
    if repeat is not None and not isinstance(repeat, str):
        raise ConfigError(f"{path}: the line that repeats a job ('repeat') is a text, found {type(repeat).__name__}.")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ConfigError(f"{path}: the names of a job's files ('names') are an object of texts, found {names!r}.")
    return job["stage"], {**params, **outputs}, Caller(repeat, names)


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m urbanfm_core.worker job.json", file=sys.stderr)
        return EXIT_USER
    # Libraries that print must not break the protocol: the real standard output becomes ours alone.
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    progress = WorkerProgress(stream)
    progress.send("hello", protocol=PROTOCOL, version=urbanfm_core.__version__)
    try:
        stage, params, caller = read_job(Path(arguments[0]))
        progress.listen(sys.stdin)
        from urbanfm_core import pipeline

        result = pipeline.run(stage, params, progress, caller)
    except Cancelled as error:
        progress.send("error", code=EXIT_CANCELLED, message=error.message, hint=error.hint)
        return EXIT_CANCELLED
    except UrbanFMError as error:
        progress.send("error", code=EXIT_USER, message=error.message, hint=error.hint)
        return EXIT_USER
    except ModuleNotFoundError as error:
        hint = "Set up the environment again, or: pip install -c constraints.txt urbanfm"
        progress.send("error", code=EXIT_USER, message=f"The Python package '{error.name}' is missing.", hint=hint)
        return EXIT_USER
    except Exception as error:
        traceback.print_exc()
        hint = "This is a bug in UrbanFM. Please report it with the log file."
        progress.send("error", code=EXIT_BUG, message=f"{type(error).__name__}: {error}", hint=hint)
        return EXIT_BUG
    progress.send("done", result=result.summary)
    return EXIT_OK


if __name__ == "__main__":
    # Daemon threads of numerical libraries can hang a normal exit; everything is flushed by now.
    code = main()
    sys.stderr.flush()
    os._exit(code)

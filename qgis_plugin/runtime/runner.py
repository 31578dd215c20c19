"""Runs a job in the worker: starts it, passes its events on, stops it when the user cancels."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from qgis.core import QgsProcessingFeedback

from ..contract import load
from ..i18n import tr
from .environment import scrubbed
from .job import Job
from .process import ChildProcess

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
POLL_S = 0.1
METRIC_INTERVAL_S = 2.0
TEXT_INTERVAL_S = 1.0
EXIT_CANCELLED = 3
_NUMBER = re.compile(r"\d[\d,.]*")


class WorkerError(Exception):
    """The worker failed; the text is for the user."""


@dataclass
class Outcome:
    """What came of a job.

    Attributes:
        result: The worker's own account of what it made.
        cancelled: The user stopped it; there is no result.
        metrics: Every value of every metric, as (step, value).
    """

    result: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def run(job: Job, python: Path, feedback: QgsProcessingFeedback, start: float = 0.0, end: float = 100.0) -> Outcome:
    """Run a job to its end.

    Args:
        job: What to do.
        python: Interpreter of the worker.
        feedback: Takes progress and messages, and says when to stop.
        start: Percentage at which the worker's progress begins.
        end: Percentage at which it ends.

    Raises:
        WorkerError: the worker refused, failed, crashed or was killed.
    """
    command = [str(python), "-I", "-X", "utf8", str(BOOTSTRAP), str(job.write())]
    try:
        process = ChildProcess(command, scrubbed(os.environ), cwd=job.folder, stderr=job.log)
    except OSError as error:
        raise WorkerError(tr("{} could not be started: {}").format(python, error)) from error
    listener = _Listener(feedback, job.log, start, end, job.names)
    try:
        while not process.finished():
            if feedback.isCanceled():
                process.stop("cancel")
                job.remove_leftovers(process.pid)
                return Outcome(cancelled=True, metrics=listener.outcome.metrics)
            line = process.line(POLL_S)
            if line is not None:
                listener.hear(line)
        process.wait(5.0)
    finally:
        process.close()
    code = process.returncode
    if code == EXIT_CANCELLED:
        listener.outcome.cancelled = True
        return listener.outcome
    if code == 0 and listener.done:
        return listener.outcome
    job.remove_leftovers(process.pid)
    raise WorkerError(listener.failure(code))


class _Listener:
    """Turns the worker's lines into feedback and keeps what must not be lost."""

    def __init__(
        self, feedback: QgsProcessingFeedback, log: Path, start: float, end: float, names: dict[str, str]
    ) -> None:
        self.outcome = Outcome()
        self.done = False
        self._feedback, self._log, self._start, self._span = feedback, log, start, end - start
        self._names = names
        self._error: Optional[dict[str, Any]] = None
        self._foreign = 0
        self._metric_shown = float("-inf")
        self._text_shown = float("-inf")
        self._text_kind = ""

    def hear(self, line: str) -> None:
        """Take one line. What is no event of the protocol goes to the log; it is counted, and not trusted."""
        try:
            event = json.loads(line)
            handle = getattr(self, f"_on_{event['event']}")
            handle(event)
        except (ValueError, TypeError, KeyError, AttributeError):
            if line.strip():
                self._foreign += 1
                with self._log.open("a", encoding="utf-8") as log:
                    log.write(f"[output that is no event] {line}\n")

    def failure(self, code: Optional[int]) -> str:
        """What to tell the user about a run that did not end well."""
        where = tr("Log: {}").format(self._log)
        if self._error is not None:
            text = self._named(str(self._error.get("message", ""))).strip() or tr(
                "The worker failed without saying why."
            )
            hint = self._named(str(self._error.get("hint", "") or "")).strip()
            # A user error explains itself; only a bug needs the log.
            parts = [text, hint] if code == 2 else [text, hint, where]
            return "\n".join(part for part in parts if part)
        if code is not None and code < 0:
            text = tr(
                "The worker was ended by signal {} before it finished. Signal 9 mostly means that memory ran out: take "
                "a smaller batch size, or close other programs."
            ).format(-code)
        elif code == 0:
            text = tr("The worker ended without a result.")
        else:
            text = tr("The worker ended with code {} and without an explanation.").format(code)
        tail = self._tail()
        return "\n".join(part for part in (text, tail, where) if part)

    def _named(self, text: str) -> str:
        """A text of the worker with the layers called by their names, and not by files that nobody knows."""
        for path, name in self._names.items():
            text = text.replace(path, name)
        return text

    def _tail(self, lines: int = 15) -> str:
        try:
            return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _on_hello(self, event: dict[str, Any]) -> None:
        self._feedback.pushDebugInfo(tr("Worker of UrbanFM {} started.").format(event.get("version", "?")))
        if event.get("protocol") != load().protocol:
            self._feedback.pushWarning(
                tr("The worker speaks protocol {}, the plugin {}. Install the plugin again.").format(
                    event.get("protocol"), load().protocol
                )
            )

    def _on_progress(self, event: dict[str, Any]) -> None:
        fraction = min(max(float(event["fraction"]), 0.0), 1.0)
        self._feedback.setProgress(self._start + self._span * fraction)
        message = str(event.get("message") or "")
        # QGIS appends each text to the log: of a count that goes up, one a second is enough.
        kind, now = _NUMBER.sub("#", message), time.monotonic()
        if message and (kind != self._text_kind or now - self._text_shown >= TEXT_INTERVAL_S):
            self._text_kind, self._text_shown = kind, now
            self._feedback.setProgressText(message)

    def _on_log(self, event: dict[str, Any]) -> None:
        message = self._named(str(event["message"]))
        if event.get("level") in ("warning", "error"):
            self._feedback.pushWarning(message)
        else:
            self._feedback.pushInfo(message)

    def _on_metric(self, event: dict[str, Any]) -> None:
        name, value, step = str(event["name"]), float(event["value"]), int(event["step"])
        self.outcome.metrics.setdefault(name, []).append((step, value))
        now = time.monotonic()
        if now - self._metric_shown >= METRIC_INTERVAL_S:
            self._metric_shown = now
            self._feedback.pushInfo(tr("Step {}: {} {:.4g}").format(step, name, value))

    def _on_done(self, event: dict[str, Any]) -> None:
        result = event["result"]
        if not isinstance(result, dict):
            raise TypeError("result is no object")
        self.outcome.result = result
        self.done = True

    def _on_error(self, event: dict[str, Any]) -> None:
        self._error = event

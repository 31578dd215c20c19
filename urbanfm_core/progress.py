"""Progress, messages, metrics and cancellation: one small protocol for CLI, worker and Python callers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from urbanfm_core.errors import Cancelled

T = TypeVar("T")


class Progress:
    """Receives what a running stage has to say. The base class is silent; callers override what they need."""

    def update(self, fraction: float, message: str = "") -> None:
        """Say how far the work is: a fraction in [0, 1] and a short text."""

    def log(self, level: str, message: str) -> None:
        """Say something worth keeping. Level is 'info' or 'warning'."""

    def metric(self, name: str, value: float, step: int) -> None:
        """Report one named number of a training step or epoch."""

    def cancelled(self) -> bool:
        """Whether the user asked to stop."""
        return False

    def check(self) -> None:
        """Stop here if the user asked to.

        Raises:
            Cancelled: the user asked to stop.
        """
        if self.cancelled():
            raise Cancelled()

    def part(self, start: float, end: float) -> Progress:
        """A view of this progress that maps its own [0, 1] onto [start, end]."""
        return _Part(self, start, end)

    def track(self, items: Iterable[T], noun: str, total: int | None = None) -> Iterator[T]:
        """Iterate, check for cancellation before each item, and report count, rate and time left."""
        if total is None:
            total = len(items) if isinstance(items, Sized) else 0
        meter = Meter(self, noun, total)
        for item in items:
            self.check()
            yield item
            meter.advance()


class Keeping(Progress):
    """Passes everything on to another progress, and keeps what is logged as a warning.

    Attributes:
        warnings: Each sentence once, in the order of their first saying.
    """

    def __init__(self, listener: Progress) -> None:
        self._listener = listener
        self.update = listener.update  # type: ignore[method-assign]
        self.metric = listener.metric  # type: ignore[method-assign]
        self.cancelled = listener.cancelled  # type: ignore[method-assign]
        self.warnings: list[str] = []

    def log(self, level: str, message: str) -> None:
        if level == "warning" and message not in self.warnings:
            self.warnings.append(message)
        self._listener.log(level, message)


class _Part(Progress):
    def __init__(self, parent: Progress, start: float, end: float) -> None:
        self._parent, self._start, self._span = parent, start, end - start
        self.cancelled = parent.cancelled  # type: ignore[method-assign]
        self.log = parent.log  # type: ignore[method-assign]
        self.metric = parent.metric  # type: ignore[method-assign]

    def update(self, fraction: float, message: str = "") -> None:
        self._parent.update(self._start + self._span * fraction, message)


class Meter:
    """Counts finished items and reports "412/2,000 regions, 9.1/s, about 3 min left", at most ten times a second.

    Args:
        progress: Where to report.
        noun: What is counted, in the plural.
        total: How many there are; 0 if unknown.
        clock: Seconds, monotonic.
    """

    def __init__(self, progress: Progress, noun: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress, self._noun, self._total, self._clock = progress, noun, total, clock
        self._start = clock()
        self._reported = float("-inf")
        self.done = 0

    def advance(self, count: int = 1) -> None:
        self.done += count
        now = self._clock()
        if self.done < self._total and now - self._reported < 0.1:
            return
        self._reported = now
        self._progress.update(self.done / self._total if self._total else 0.0, self._text(now))

    def _text(self, now: float) -> str:
        elapsed = max(now - self._start, 1e-9)
        rate = self.done / elapsed
        shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
        if not self._total:
            return f"{self.done:,} {self._noun}, {shown}/s"
        left = (self._total - self.done) / rate if rate else 0.0
        return f"{self.done:,}/{self._total:,} {self._noun}, {shown}/s, {duration(left)} left"


def duration(seconds: float) -> str:
    """A rounded span of time, as a person says it: "about 3 min"."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"

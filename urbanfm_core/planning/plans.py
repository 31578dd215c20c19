"""The plan of a stage, and what every dry run says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psutil

from urbanfm_core.progress import duration


@dataclass
class Plan:
    """What a stage would do.

    Attributes:
        reads: Input and what it holds.
        writes: Paths that would be made.
        device: Where it would compute; empty for stages that compute nothing heavy.
        seconds: Expected time of each step; None where it was not measured.
        memory_bytes: Expected peak of the process; None if not measured.
        notes: What else there is to know, in sentences.
    """

    stage: str
    reads: list[tuple[str, str]] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    device: str = ""
    seconds: dict[str, float | None] = field(default_factory=dict)
    memory_bytes: int | None = None
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The plan as a person reads it."""
        out = [f"Dry run of '{self.stage}': nothing is written."]
        out += [f"  reads {name}: {what}" for name, what in self.reads]
        out += [f"  would write {path}" for path in self.writes]
        if self.device:
            out.append(f"  device: {self.device}")
        out += [f"  {step}: {'not measured' if s is None else duration(s)}" for step, s in self.seconds.items()]
        known = [s for s in self.seconds.values() if s is not None]
        if len(known) > 1:
            out.append(f"  in all: {duration(sum(known))}")
        if self.memory_bytes is not None:
            out.append(f"  memory: about {self.memory_bytes / 2**30:.1f} GiB at the peak")
        return out + [f"  note: {note}" for note in self.notes]


def name_device(made: Plan, device: Any) -> None:
    from urbanfm_core.models.device import describe_device

    made.device = describe_device(device)


def peak_bytes() -> int:
    return int(psutil.Process().memory_info().rss)

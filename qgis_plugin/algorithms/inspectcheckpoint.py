"""Inspect checkpoint: what it is, needs and gives."""

from __future__ import annotations

from .groups import MODELS
from .importcheckpoint import SummarisingAlgorithm


class InspectCheckpoint(SummarisingAlgorithm):
    """Reads a checkpoint and shows a report."""

    ID = "inspectcheckpoint"
    STAGE = "inspect"
    TITLE = "Inspect checkpoint"
    GROUP = MODELS
    TAGS = ("checkpoint", "model", "report", "loss")
    BY_DEFAULT = ("report",)

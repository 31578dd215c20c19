"""Import checkpoint: published weights become a checkpoint."""

from __future__ import annotations

import json
from typing import Any

from qgis.core import QgsProcessingFeedback

from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import MODELS


class SummarisingAlgorithm(UrbanFMAlgorithm):
    """Base of the algorithms that end by telling what a checkpoint is."""

    NUMBERS = {"WEIGHTS": ("", "Number of weights")}
    TEXTS = {"CHECKPOINT_METHOD": ("", "Method of the checkpoint"), "SUMMARY": ("", "Summary (JSON)")}

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        summary = outcome.result.get("summary") or {}
        for name, value in summary.items():
            shown = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
            feedback.pushInfo(f"{name}: {shown}")
        return {
            "CHECKPOINT_METHOD": summary.get("method"),
            "WEIGHTS": summary.get("parameters"),
            "SUMMARY": json.dumps(summary, ensure_ascii=False),
        }


class ImportCheckpoint(SummarisingAlgorithm):
    """Refuses a file that holds anything but tensors and plain values."""

    ID = "importcheckpoint"
    STAGE = "importcheckpoint"
    TITLE = "Import checkpoint"
    GROUP = MODELS
    TAGS = ("aether", "refound", "urbanclip", "urbanln", "weights", "pth", "pytorch", "pretrained")

"""Import checkpoint: published weights become a checkpoint."""

from __future__ import annotations

import json
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
)

from ..i18n import tr
from ..runtime.job import Job
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import MODELS


class SummarisingAlgorithm(UrbanFMAlgorithm):
    """Base of the algorithms that end by telling what a checkpoint is."""

    def add_outputs(self) -> None:
        self.addOutput(QgsProcessingOutputString("CHECKPOINT_METHOD", tr("Method of the checkpoint")))
        self.addOutput(QgsProcessingOutputNumber("WEIGHTS", tr("Number of weights")))
        self.addOutput(QgsProcessingOutputString("SUMMARY", tr("Summary (JSON)")))

    def results(
        self,
        outcome: Outcome,
        job: Job,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        results = super().results(outcome, job, parameters, context, feedback)
        summary = outcome.result.get("summary") or {}
        for name, value in summary.items():
            shown = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
            feedback.pushInfo(f"{name}: {shown}")
        results["CHECKPOINT_METHOD"] = summary.get("method")
        results["WEIGHTS"] = summary.get("parameters")
        results["SUMMARY"] = json.dumps(summary, ensure_ascii=False)
        return results


class ImportCheckpoint(SummarisingAlgorithm):
    """Refuses a file that holds anything but tensors and plain values."""

    ID = "importcheckpoint"
    STAGE = "importcheckpoint"
    TITLE = "Import checkpoint"
    GROUP = MODELS
    TAGS = ("aether", "weights", "pth", "pytorch", "pretrained")

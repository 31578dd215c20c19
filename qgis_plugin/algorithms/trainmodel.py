"""Train model: one algorithm for every method."""

from __future__ import annotations

from typing import Any, Optional

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
from .values import given


class TrainModel(UrbanFMAlgorithm):
    """Trains the preset's method and writes a checkpoint."""

    ID = "trainmodel"
    STAGE = "train"
    TITLE = "Train model"
    GROUP = MODELS
    TAGS = ("aether", "training", "checkpoint", "learn")
    FIRST = ("pois", "embedding_raster", "preset", "epochs")
    BY_DEFAULT = ("report",)

    def add_outputs(self) -> None:
        self.addOutput(QgsProcessingOutputString("METHOD", tr("Method")))
        self.addOutput(QgsProcessingOutputNumber("SAMPLES", tr("Number of samples")))
        self.addOutput(QgsProcessingOutputNumber("BEST_EPOCH", tr("Epoch whose weights are kept")))
        self.addOutput(QgsProcessingOutputNumber("LOSS", tr("Last loss")))

    def check_together(self, parameters: dict[str, Any]) -> str:
        if not given(parameters, "POIS"):
            return tr("Training needs points of interest.")
        if not given(parameters, "EMBEDDING_RASTER"):
            return tr("Training needs an embedding raster.")
        return ""

    def results(
        self,
        outcome: Outcome,
        job: Job,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        results = super().results(outcome, job, parameters, context, feedback)
        said = outcome.result
        results["METHOD"] = said.get("method")
        results["SAMPLES"] = said.get("samples")
        results["BEST_EPOCH"] = said.get("best_epoch")
        results["LOSS"] = last_loss(said, outcome)
        return results


def last_loss(training: Optional[dict[str, Any]], outcome: Outcome) -> Optional[float]:
    """The loss at the end of training, as the library sums it up or as it was last heard of.

    Args:
        training: What the library says of the training.
        outcome: Of the run.
    """
    metrics = (training or {}).get("metrics") or {}
    if "loss" in metrics:
        return float(metrics["loss"])
    heard = outcome.metrics.get("loss")
    return heard[-1][1] if heard else None

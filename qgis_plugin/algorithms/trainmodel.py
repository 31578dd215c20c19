"""Train model: one algorithm for every method."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsProcessingFeedback

from ..i18n import tr
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
    NUMBERS = {
        "SAMPLES": ("samples", "Number of samples"),
        "BEST_EPOCH": ("best_epoch", "Epoch whose weights are kept"),
        "LOSS": ("", "Last loss"),
    }
    TEXTS = {"METHOD": ("method", "Method")}

    def check_together(self, parameters: dict[str, Any]) -> str:
        if not given(parameters, "POIS"):
            return tr("Training needs points of interest.")
        if not given(parameters, "EMBEDDING_RASTER"):
            return tr("Training needs an embedding raster.")
        return ""

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        return {**super().told(outcome, parameters, feedback), "LOSS": last_loss(outcome.result, outcome)}


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

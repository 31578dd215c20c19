"""Train model: one algorithm for every method."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsProcessingFeedback

from ..contract import load
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
    TAGS = ("aether", "refound", "urbanclip", "urbanln", "urbanmfm", "training", "checkpoint", "learn")
    FIRST = ("preset", "pois", "embedding_raster", "imagery", "regions", "epochs")
    BY_DEFAULT = ("report",)
    NUMBERS = {
        "SAMPLES": ("samples", "Number of samples"),
        "BEST_EPOCH": ("best_epoch", "Epoch whose weights are kept"),
        "LOSS": ("", "Last loss"),
    }
    TEXTS = {"METHOD": ("method", "Method")}

    def check_together(self, parameters: dict[str, Any]) -> str:
        return lacking_to_train(parameters)

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        return {**super().told(outcome, parameters, feedback), "LOSS": last_loss(outcome.result, outcome)}


def lacking_to_train(parameters: dict[str, Any]) -> str:
    """Which inputs the chosen preset cannot train without; empty if it has them."""
    if given(parameters, "CITIES"):
        return ""  # each file names its own layers
    contract = load()
    train = contract.stage("train").parameters
    preset = str(parameters.get("PRESET") or train["preset"].default)
    for names in contract.missing(preset, lambda name: given(parameters, name.upper())):
        labels = tr(" or ").join(tr(train[name].label) for name in names)
        return tr("Training the preset '{}' needs: {}.").format(preset, labels)
    return ""


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

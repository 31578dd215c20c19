"""Predict indicators: a field of the regions, predicted everywhere from their vectors."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from ..i18n import tr
from ..runtime.job import Job
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import ANALYSIS
from .telling import tell_table
from .values import given, is_set, named_source


class PredictIndicators(UrbanFMAlgorithm):
    """Trains a probe on a field, or fine-tunes a model, and predicts every region, with intervals."""

    ID = "predictindicators"
    STAGE = "predict"
    TITLE = "Predict indicators"
    GROUP = ANALYSIS
    TAGS = ("regression", "classification", "interval", "conformal", "fine-tune", "moran", "residual", "price")
    FIRST = ("embeddings", "regions", "target", "task", "head", "level", "checkpoint", "pois", "imagery")
    BY_DEFAULT = ("out", "report")
    SINK_SOURCES = ("regions", "embeddings")
    NUMBERS = {
        "REGION_COUNT": ("regions", "Number of regions"),
        "PREDICTED": ("predicted", "Regions with a prediction"),
        "LABELLED": ("labelled", "Regions learned from"),
        "OUTSIDE": ("outside", "Regions outside of what was learned from"),
        "COVERAGE": ("coverage", "Share of labelled regions inside their interval"),
        "MORAN": ("moran", "Moran's I of the residuals"),
        "MORAN_P": ("moran_p", "p-value of Moran's I"),
        "SCORE": ("", "First score: R2, AUC, F1 or KL"),
    }

    def check_together(self, parameters: dict[str, Any]) -> str:
        tuning = self._tunes(parameters)
        if tuning and not given(parameters, "CHECKPOINT"):
            return tr("Fine-tuning needs a trained ReFound or UrbanCLIP: give its checkpoint.")
        if tuning and not given(parameters, "REGIONS"):
            return tr("Give the regions to predict for.")
        if tuning and not given(parameters, "POIS") and not given(parameters, "IMAGERY"):
            return tr("A network reads points of interest or imagery: give one of them.")
        if not tuning and not given(parameters, "EMBEDDINGS"):
            return tr("Give region embeddings to predict from.")
        if not any(given(parameters, key) for key in ("CHECKPOINT", "TARGET", "LABEL_RASTER")):
            return tr("Name what to predict: a field of the regions.")
        return ""

    def wanted(self, p: Any, parameters: dict[str, Any]) -> bool:
        # A network is kept only where one is made.
        if p.name == "checkpoint_out" and parameters.get("HEAD") not in ("finetune", 2):
            return False
        return super().wanted(p, parameters)

    def job_params(
        self, job: Job, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        params = super().job_params(job, parameters, context, feedback)
        if "regions" in params and "embeddings" in params:
            params["embeddings"] = named_source(self, parameters, "EMBEDDINGS", params["embeddings"], context)
        return params

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        tell_table(outcome, feedback)
        scores = outcome.result.get("scores") or {}
        return {**super().told(outcome, parameters, feedback), "SCORE": next(iter(scores.values()), None)}

    @staticmethod
    def _tunes(parameters: dict[str, Any]) -> bool:
        return parameters.get("HEAD") in ("finetune", 2) or is_set(parameters.get("CHECKPOINT"))

"""Evaluate embeddings: what they know, beside what anyone could know without them."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from ..i18n import tr
from ..runtime.job import Job
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import ANALYSIS
from .values import given, worker_file


class EvaluateEmbeddings(UrbanFMAlgorithm):
    """Scores embeddings and floors, and writes a report."""

    ID = "evaluateembeddings"
    STAGE = "evaluate"
    TITLE = "Evaluate embeddings"
    GROUP = ANALYSIS
    TAGS = ("probe", "score", "accuracy", "r2", "baseline", "cross-validation", "predict")
    FIRST = ("embeddings", "regions", "targets", "task", "pois", "embedding_raster", "imagery")
    BY_DEFAULT = ("report",)
    NUMBERS = {
        "REGION_COUNT": ("regions", "Number of regions"),
        "NOT_BEATEN": ("not_beaten", "Comparisons with a floor that no embedding wins"),
    }

    def check_together(self, parameters: dict[str, Any]) -> str:
        if not given(parameters, "TARGETS") and not given(parameters, "LABEL_RASTER"):
            return tr("Name what to predict: a field of the regions, or a raster to sum.")
        if not given(parameters, "EMBEDDINGS") and not given(parameters, "REGIONS"):
            return tr("Give embeddings, or regions to score the floors of.")
        return ""

    def job_params(
        self, job: Job, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        params = super().job_params(job, parameters, context, feedback)
        if "embeddings" in params and worker_file(parameters, "EMBEDDINGS") is None:
            # The layer reaches the worker as a temporary file; tables should call it by its own name.
            source = self.parameterAsSource(parameters, "EMBEDDINGS", context)
            name = "".join(" " if letter in "=/\\|" else letter for letter in source.sourceName())
            params["embeddings"] = f"{name or 'embeddings'}={params['embeddings']}"
        return params

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        for line in outcome.result.get("table") or ():
            feedback.pushInfo(line)
        return super().told(outcome, parameters, feedback)

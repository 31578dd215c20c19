"""Evaluate embeddings: what they know, beside what anyone could know without them."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from ..i18n import tr
from ..runtime.job import Job
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import ANALYSIS
from .telling import tell_table
from .values import given, named_source


class EvaluateEmbeddings(UrbanFMAlgorithm):
    """Scores embeddings and floors, and writes a report."""

    ID = "evaluateembeddings"
    STAGE = "evaluate"
    TITLE = "Evaluate embeddings"
    GROUP = ANALYSIS
    TAGS = ("probe", "score", "accuracy", "r2", "baseline", "cross-validation", "predict", "transfer")
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
        tables = {
            name: named_source(self, parameters, name.upper(), params[name], context)
            for name in ("embeddings", "other")
            if name in params
        }
        return {**params, **tables}

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        tell_table(outcome, feedback)
        return super().told(outcome, parameters, feedback)

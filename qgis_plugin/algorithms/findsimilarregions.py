"""Find similar regions: more like the chosen ones, here or in another city."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from ..i18n import tr
from ..runtime.job import Job
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import ANALYSIS
from .telling import tell_best
from .values import given, named_source


class FindSimilarRegions(UrbanFMAlgorithm):
    """Scores every region by its likeness to chosen ones."""

    ID = "findsimilarregions"
    STAGE = "similar"
    TITLE = "Find similar regions"
    GROUP = ANALYSIS
    TAGS = ("similarity", "nearest", "like", "example", "query", "rank", "cosine", "other city", "transfer")
    FIRST = ("embeddings", "chosen", "ids", "how", "other")
    BY_DEFAULT = ("out", "report")
    SINK_SOURCES = ("other", "embeddings")
    NUMBERS = {
        "REGION_COUNT": ("regions", "Number of regions"),
        "RANKED": ("ranked", "Regions that are ranked"),
        "CHOSEN_COUNT": ("chosen", "Chosen regions"),
        "WITHOUT_SCORE": ("without_score", "Regions without a vector"),
        "BEST_SCORE": ("", "Score of the most similar region"),
    }
    TEXTS = {"BEST": ("", "Most similar region"), "MEDOID": ("medoid", "Most typical of the chosen regions")}

    def check_together(self, parameters: dict[str, Any]) -> str:
        if given(parameters, "CHOSEN") or given(parameters, "IDS"):
            return ""
        return tr(
            "Choose regions: take their layer as chosen regions with 'selected features only', or give ids or drawn polygons."
        )

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
        return {**super().told(outcome, parameters, feedback), **tell_best(outcome, feedback)}

"""Search by text: regions or pixels ranked by a phrase."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from ..i18n import tr
from ..runtime.job import Job
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import ANALYSIS
from .telling import tell_best
from .values import given


class SearchByText(UrbanFMAlgorithm):
    """Needs a model with a text side, and embeddings or a raster to embed."""

    ID = "searchbytext"
    STAGE = "search"
    TITLE = "Search by text"
    GROUP = ANALYSIS
    TAGS = ("phrase", "query", "similarity", "rank", "language")
    FIRST = ("query", "checkpoint", "embeddings", "embedding_raster")
    BY_DEFAULT = ("out", "report")
    SINK_SOURCES = ("embeddings",)
    NUMBERS = {"REGION_COUNT": ("regions", "Number of regions"), "BEST_SCORE": ("", "Score of the best region")}
    TEXTS = {"BEST": ("", "Best region")}

    def check_together(self, parameters: dict[str, Any]) -> str:
        if not given(parameters, "EMBEDDINGS") and not given(parameters, "EMBEDDING_RASTER"):
            return tr("Give region embeddings, or an embedding raster, to search in.")
        if given(parameters, "RASTER") and not given(parameters, "EMBEDDING_RASTER"):
            return tr("A score raster needs an embedding raster.")
        if not given(parameters, "EMBEDDINGS") and not self.wanted(
            self.contract_stage().parameters["raster"], parameters
        ):
            return tr("A search in the pixels of a raster writes their scores: name a score raster.")
        return ""

    def job_outputs(self, job: Job, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, str]:
        outputs = super().job_outputs(job, parameters, context)
        if not given(parameters, "EMBEDDINGS"):
            # The dialog offers a layer by default; a search in pixels has none to make.
            outputs.pop("out", None)
        return outputs

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        return {**super().told(outcome, parameters, feedback), **tell_best(outcome, feedback)}

"""Embed raster: a vector per pixel."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProcessingOutputNumber

from ..i18n import tr
from ..runtime.job import Job
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import EMBEDDINGS
from .values import given


class EmbedRaster(UrbanFMAlgorithm):
    """Writes a raster with one band per dimension."""

    ID = "embedraster"
    STAGE = "embedraster"
    TITLE = "Embed raster"
    GROUP = EMBEDDINGS
    TAGS = ("aether", "alphaearth", "pixel", "bands")
    FIRST = ("embedding_raster", "checkpoint", "dtype")

    def add_outputs(self) -> None:
        self.addOutput(QgsProcessingOutputNumber("DIMENSIONS", tr("Dimensions of the embedding")))
        self.addOutput(QgsProcessingOutputNumber("VALID_PIXELS", tr("Pixels with data")))

    def check_together(self, parameters: dict[str, Any]) -> str:
        return "" if given(parameters, "EMBEDDING_RASTER") else tr("Give the raster to embed.")

    def results(
        self,
        outcome: Outcome,
        job: Job,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        results = super().results(outcome, job, parameters, context, feedback)
        results["DIMENSIONS"] = outcome.result.get("dimensions")
        results["VALID_PIXELS"] = outcome.result.get("valid_pixels")
        return results

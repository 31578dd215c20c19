"""Embed regions: from layers to a styled map of vectors in one step."""

from __future__ import annotations

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
from .groups import EMBEDDINGS
from .trainmodel import last_loss
from .values import given


class EmbedRegions(UrbanFMAlgorithm):
    """With a checkpoint it embeds; without one it trains first and keeps the checkpoint."""

    ID = "embedregions"
    STAGE = "embed"
    TITLE = "Embed regions"
    GROUP = EMBEDDINGS
    TAGS = ("aether", "alphaearth", "poi", "foundation model", "vector", "zones", "neighbourhoods")
    FIRST = ("regions", "pois", "embedding_raster", "checkpoint", "preset", "epochs", "region_id")
    BY_DEFAULT = ("out",)
    SINK_SOURCE = "regions"

    def add_outputs(self) -> None:
        self.addOutput(QgsProcessingOutputNumber("REGION_COUNT", tr("Number of regions")))
        self.addOutput(QgsProcessingOutputNumber("DIMENSIONS", tr("Dimensions of the embedding")))
        self.addOutput(QgsProcessingOutputNumber("UNCOVERED", tr("Regions without data")))
        self.addOutput(QgsProcessingOutputString("MODEL", tr("Model")))
        self.addOutput(QgsProcessingOutputNumber("LOSS", tr("Last loss, if a model was trained")))

    def check_together(self, parameters: dict[str, Any]) -> str:
        if not any(given(parameters, key) for key in ("REGIONS", "EMBEDDING_RASTER")):
            return tr("Give regions, or a raster to lay a grid of regions over.")
        if given(parameters, "CHECKPOINT") or given(parameters, "POIS"):
            return ""
        return tr("Give a checkpoint to embed with, or points of interest to train one on.")

    def job_outputs(self, job: Job, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, str]:
        outputs = super().job_outputs(job, parameters, context)
        if given(parameters, "CHECKPOINT"):
            # Nothing is trained, so there is nothing to keep.
            outputs.pop("checkpoint_out", None)
        return outputs

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
        if not given(parameters, "CHECKPOINT"):
            # Training is the expensive part: its result is kept even when nobody asked where.
            results["CHECKPOINT_OUT"] = said.get("checkpoint")
            results["LOSS"] = last_loss(said.get("training"), outcome)
            feedback.pushInfo(tr("The trained model is kept in {}").format(said.get("checkpoint")))
        results["REGION_COUNT"] = said.get("regions")
        results["DIMENSIONS"] = said.get("dimensions")
        results["UNCOVERED"] = said.get("uncovered")
        results["MODEL"] = said.get("model")
        if said.get("uncovered"):
            feedback.pushWarning(
                tr("{:,} of {:,} regions have no data and so no vector.").format(said["uncovered"], said["regions"])
            )
        return results

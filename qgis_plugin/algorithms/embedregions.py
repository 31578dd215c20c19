"""Embed regions: from layers to a styled map of vectors in one step."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from ..i18n import tr
from ..runtime.job import Job
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import EMBEDDINGS
from .trainmodel import lacking_to_train, last_loss
from .values import given


class EmbedRegions(UrbanFMAlgorithm):
    """With a checkpoint it embeds; without one it trains first and keeps the checkpoint."""

    ID = "embedregions"
    STAGE = "embed"
    TITLE = "Embed regions"
    GROUP = EMBEDDINGS
    TAGS = (
        "aether",
        "refound",
        "urbanclip",
        "urbanln",
        "urbanmfm",
        "alphaearth",
        "poi",
        "foundation model",
        "vector",
        "zones",
        "neighbourhoods",
    )
    FIRST = ("regions", "pois", "embedding_raster", "imagery", "checkpoint", "preset", "epochs", "region_id")
    BY_DEFAULT = ("out", "report")
    SINK_SOURCES = ("regions",)
    NUMBERS = {
        "REGION_COUNT": ("regions", "Number of regions"),
        "DIMENSIONS": ("dimensions", "Dimensions of the embedding"),
        "UNCOVERED": ("uncovered", "Regions without data"),
        "LOSS": ("", "Last loss, if a model was trained"),
    }
    TEXTS = {"MODEL": ("model", "Model")}

    def check_together(self, parameters: dict[str, Any]) -> str:
        if not any(given(parameters, key) for key in ("REGIONS", "EMBEDDING_RASTER", "IMAGERY", "POIS")):
            return tr("Give regions, or a raster or points to lay a grid of regions over.")
        lacking = "" if given(parameters, "CHECKPOINT") else lacking_to_train(parameters)
        return lacking and lacking + " " + tr("Or give a checkpoint to embed with.")

    def job_outputs(self, job: Job, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, str]:
        outputs = super().job_outputs(job, parameters, context)
        if given(parameters, "CHECKPOINT"):
            # Nothing is trained, so there is nothing to keep.
            outputs.pop("checkpoint_out", None)
        return outputs

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        said = outcome.result
        results = super().told(outcome, parameters, feedback)
        if not given(parameters, "CHECKPOINT"):
            # Training is the expensive part: its result is kept even when nobody asked where.
            results["CHECKPOINT_OUT"] = said.get("checkpoint")
            results["LOSS"] = last_loss(said.get("training"), outcome)
            feedback.pushInfo(tr("The trained model is kept in {}").format(said.get("checkpoint")))
        if said.get("uncovered"):
            feedback.pushWarning(
                tr("{:,} of {:,} regions have no data and so no vector.").format(said["uncovered"], said["regions"])
            )
        return results

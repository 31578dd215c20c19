"""Embed points of interest: a vector per place or building."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingFeedback

from ..i18n import tr
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import EMBEDDINGS


class EmbedPois(UrbanFMAlgorithm):
    """Needs a trained model that has vectors of single places."""

    ID = "embedpois"
    STAGE = "embedpois"
    TITLE = "Embed points of interest"
    GROUP = EMBEDDINGS
    TAGS = ("urbanmfm", "aether", "poi", "places", "buildings", "building function", "vector", "foundation model")
    FIRST = ("checkpoint", "pois", "buildings", "streetview", "embedding_raster", "poi_id")
    # What tells of regions alone.
    HIDDEN = ("roads", "road_snap", "features")
    BY_DEFAULT = ("out", "report")
    SINK_SOURCE = "pois"
    NUMBERS = {
        "POINT_COUNT": ("points", "Number of points of interest"),
        "DIMENSIONS": ("dimensions", "Dimensions of the embedding"),
        "UNCOVERED": ("uncovered", "Points without a vector"),
    }
    TEXTS = {"MODEL": ("model", "Model")}

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        said = outcome.result
        if said.get("uncovered"):
            feedback.pushWarning(
                tr("{:,} of {:,} points of interest have no vector.").format(said["uncovered"], said["points"])
            )
        return super().told(outcome, parameters, feedback)

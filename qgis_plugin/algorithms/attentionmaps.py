"""Attention maps: where points of interest look in the imagery."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingFeedback

from ..contract import Parameter
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import EXPLAIN


class AttentionMaps(UrbanFMAlgorithm):
    """Needs a model that reads points and imagery together, and both layers."""

    ID = "attentionmaps"
    STAGE = "attend"
    TITLE = "Attention maps"
    GROUP = EXPLAIN
    TAGS = ("refound", "cmsa", "explain", "interpret", "poi", "imagery", "alignment", "heat map")
    FIRST = ("checkpoint", "pois", "imagery", "regions", "categories", "selected")
    BY_DEFAULT = ("raster", "pois_out", "regions_out", "report")
    NUMBERS = {
        "REGION_COUNT": ("regions", "Regions with attention"),
        "POINT_COUNT": ("points", "Points with attention"),
        "OWN": ("own", "Attention on the points' own patches"),
        "UNIFORM": ("uniform", "The same, if attention were spread evenly"),
        "RATIO": ("ratio", "Their ratio"),
    }

    def sink_source(self, p: Parameter, parameters: dict[str, Any]) -> str:
        return "pois" if p.name == "pois_out" else "regions"

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        feedback.pushInfo(str(outcome.result.get("said") or ""))
        return super().told(outcome, parameters, feedback)

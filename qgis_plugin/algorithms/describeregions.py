"""Describe regions: a caption of every region as a field."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingFeedback

from ..i18n import tr
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import EXPLAIN
from .values import given

_SOURCES = ("CHECKPOINT", "CAPTIONER", "CAPTIONS")


class DescribeRegions(UrbanFMAlgorithm):
    """The words come from a model that writes captions, a captioner, or captions that exist."""

    ID = "describeregions"
    STAGE = "describe"
    TITLE = "Describe regions"
    GROUP = EXPLAIN
    TAGS = ("caption", "text", "words", "description", "imagery", "urbanclip", "vision-language")
    FIRST = ("regions", "imagery", "checkpoint", "captioner", "captions", "caption_column", "region_id")
    BY_DEFAULT = ("report",)
    SINK_SOURCES = ("regions",)
    NUMBERS = {
        "REGION_COUNT": ("regions", "Number of regions"),
        "DESCRIBED": ("described", "Regions with a caption"),
    }

    def check_together(self, parameters: dict[str, Any]) -> str:
        if sum(given(parameters, key) for key in _SOURCES) != 1:
            return tr("Give one that the captions come from: a checkpoint, a captioner, or a file of captions.")
        if given(parameters, "CAPTIONS") and not given(parameters, "REGIONS"):
            return tr("Give the regions that the captions belong to.")
        if not given(parameters, "CAPTIONS") and not given(parameters, "IMAGERY"):
            return tr("Pictures are described: give the imagery.")
        return ""

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        said = outcome.result
        if said.get("without a caption"):
            feedback.pushWarning(
                tr("{:,} of {:,} regions have no caption.").format(said["without a caption"], said["regions"])
            )
        return super().told(outcome, parameters, feedback)

"""Create grid regions: squares or hexagons of a size in metres over a layer or an extent."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingException, QgsProcessingFeedback

from ..i18n import tr
from ..runtime.job import Job
from .base import UrbanFMAlgorithm
from .groups import REGIONS
from .values import crs_text, given


class CreateGridRegions(UrbanFMAlgorithm):
    """Regions for a city that has none."""

    ID = "creategridregions"
    STAGE = "grid"
    TITLE = "Create grid regions"
    GROUP = REGIONS
    TAGS = ("grid", "square", "hexagon", "cells", "tessellation")
    FIRST = ("over", "extent", "grid_size", "grid_shape")
    # An extent in QGIS carries its coordinate reference system.
    HIDDEN = ("extent_crs",)
    NUMBERS = {"REGION_COUNT": ("regions", "Number of regions")}

    def check_together(self, parameters: dict[str, Any]) -> str:
        if given(parameters, "OVER") == given(parameters, "EXTENT"):
            return tr("Give either a layer to cover or an extent, and not both.")
        return ""

    def job_params(
        self, job: Job, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        params = super().job_params(job, parameters, context, feedback)
        if "extent" in params:
            crs = self.parameterAsExtentCrs(parameters, "EXTENT", context)
            if not crs.isValid():
                raise QgsProcessingException(
                    tr(
                        "The extent has no coordinate reference system. Add it in brackets: xmin,xmax,ymin,ymax [EPSG:4326]"
                    )
                )
            params["extent_crs"] = crs_text(crs)
        return params

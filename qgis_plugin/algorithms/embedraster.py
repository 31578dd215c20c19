"""Embed raster: a vector per pixel, or per window that slides over imagery."""

from __future__ import annotations

from typing import Any

from ..i18n import tr
from .base import UrbanFMAlgorithm
from .groups import EMBEDDINGS
from .values import given


class EmbedRaster(UrbanFMAlgorithm):
    """Writes a raster with one band per dimension."""

    ID = "embedraster"
    STAGE = "embedraster"
    TITLE = "Embed raster"
    GROUP = EMBEDDINGS
    TAGS = ("aether", "alphaearth", "urbanclip", "urbanln", "pixel", "bands", "sliding window", "imagery")
    FIRST = ("checkpoint", "embedding_raster", "imagery", "stride", "dtype")
    BY_DEFAULT = ("report",)
    NUMBERS = {
        "DIMENSIONS": ("dimensions", "Dimensions of the embedding"),
        "VALID_PIXELS": ("valid_pixels", "Pixels with data"),
    }

    def check_together(self, parameters: dict[str, Any]) -> str:
        if given(parameters, "EMBEDDING_RASTER") or given(parameters, "IMAGERY"):
            return ""
        return tr("Give the raster to embed: an embedding raster, or imagery for a model of pictures.")

"""Embed raster: a vector per pixel."""

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
    TAGS = ("aether", "alphaearth", "pixel", "bands")
    FIRST = ("embedding_raster", "checkpoint", "dtype")
    NUMBERS = {
        "DIMENSIONS": ("dimensions", "Dimensions of the embedding"),
        "VALID_PIXELS": ("valid_pixels", "Pixels with data"),
    }

    def check_together(self, parameters: dict[str, Any]) -> str:
        return "" if given(parameters, "EMBEDDING_RASTER") else tr("Give the raster to embed.")

"""AETHER: AlphaEarth-POI enriched representations (Liu et al. 2025, "Beyond AlphaEarth", arXiv:2510.09894).

Around each point of interest the raster's pixel vectors are averaged in a small and a larger window. A projector learns
to give both windows, and the text of the point, the same place on a sphere. Applied to every pixel, it turns a raster
that knows form into one that knows function too; a region is the mean of its pixels (eq. 8).

What is missing is left out and counted: points without text, off the raster, or without enough valid pixels around them
do not train; pixels that are not valid, or zero in all bands and so without a direction, do not count in a region; a
region without any valid pixel gets NaN and coverage 0.
"""

from urbanfm_core.models.aether.config import AetherConfig
from urbanfm_core.models.aether.method import Aether
from urbanfm_core.models.aether.network import AetherModel

__all__ = ["Aether", "AetherConfig", "AetherModel"]

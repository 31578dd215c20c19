"""Groups of the toolbox: id and name."""

from __future__ import annotations

SETUP = ("setup", "Setup")
REGIONS = ("regions", "Regions")
MODELS = ("models", "Models")
EMBEDDINGS = ("embeddings", "Embeddings")
ANALYSIS = ("analysis", "Analysis")
EXPLAIN = ("explain", "Explain")

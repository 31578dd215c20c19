"""One example of each algorithm, on the files of the sample city and on what earlier examples write.

Plain data: the help of the algorithms, the pages of the documentation and the tests read it.
"""

from __future__ import annotations

import shlex

# Algorithm, then value of each parameter by its id. In an order in which they can be run.
EXAMPLES: dict[str, dict[str, str]] = {
    "checkenvironment": {"REPORT": "environment.html"},
    "creategridregions": {"OVER": "embedding.tif", "GRID_SIZE": "250", "GRID_SHAPE": "hexagon", "OUT": "cells.gpkg"},
    "trainmodel": {
        "REGIONS": "regions.gpkg", "POIS": "pois.gpkg", "EMBEDDING_RASTER": "embedding.tif", "PRESET": "aether-tiny",
        "OUT": "checkpoint", "REPORT": "training.html",
    },
    "importcheckpoint": {"CHECKPOINT": "london_last.pth", "METHOD": "aether", "OUT": "published"},
    "inspectcheckpoint": {"CHECKPOINT": "checkpoint", "REPORT": "checkpoint.html"},
    "embedregions": {
        "REGIONS": "regions.gpkg", "POIS": "pois.gpkg", "EMBEDDING_RASTER": "embedding.tif", "CHECKPOINT": "checkpoint",
        "OUT": "embeddings.gpkg",
    },
    "embedpois": {
        "POIS": "pois.gpkg", "EMBEDDING_RASTER": "embedding.tif", "CHECKPOINT": "checkpoint", "OUT": "places.gpkg",
    },
    "embedraster": {"EMBEDDING_RASTER": "embedding.tif", "CHECKPOINT": "checkpoint", "OUT": "pixels.tif"},
    "clusterregions": {
        "EMBEDDINGS": "embeddings.gpkg", "POIS": "pois.gpkg", "OUT": "clusters.gpkg", "REPORT": "clusters.html",
    },
    "findsimilarregions": {
        "EMBEDDINGS": "embeddings.gpkg", "IDS": "SC-002-004", "OUT": "similar.gpkg", "REPORT": "similar.html",
    },
    "searchbytext": {
        "EMBEDDINGS": "embeddings.gpkg", "CHECKPOINT": "checkpoint", "QUERY": "quiet streets near a park",
        "OUT": "found.gpkg",
    },
    "predictindicators": {
        "EMBEDDINGS": "embeddings.gpkg", "TARGET": "price", "OUT": "predicted.gpkg", "REPORT": "predicted.html",
    },
    "evaluateembeddings": {
        "EMBEDDINGS": "embeddings.gpkg", "POIS": "pois.gpkg", "TARGETS": "price,population", "OUT": "scores.json",
        "REPORT": "scores.html",
    },
    "attentionmaps": {
        "REGIONS": "regions.gpkg", "POIS": "pois.gpkg", "IMAGERY": "imagery.tif", "CHECKPOINT": "refound",
        "CATEGORIES": "Food and Drink", "RASTER": "attention.tif", "REPORT": "attention.html",
    },
    "describeregions": {"REGIONS": "regions.gpkg", "CAPTIONS": "captions.parquet", "OUT": "described.gpkg"},
}  # fmt: skip


def command(algorithm: str) -> str:
    """The example as a command; empty if there is none."""
    values = EXAMPLES.get(algorithm, {})
    given = " ".join(shlex.quote(f"{key}={value}") for key, value in values.items())
    return f"qgis_process run urbanfm:{algorithm} -- {given}" if values else ""

"""Clusters and similar regions in QGIS, with a worker that only pretends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import MEMORY, Fake, Feedback, refusal, run
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingUtils,
    QgsVectorLayer,
)

from qgis_plugin.algorithms.clusterregions import ClusterRegions
from qgis_plugin.algorithms.findsimilarregions import FindSimilarRegions


def test_clusters_continue_the_embeddings(
    fake: Fake, regions: QgsVectorLayer, pois: QgsVectorLayer, tmp_path: Path, context: QgsProcessingContext
) -> None:
    feedback = Feedback()
    parameters = {
        "EMBEDDINGS": regions.id(), "POIS": pois.id(), "FIELDS": "people\ncode", "CLUSTERS": 4, "OUT": MEMORY,
        "PROFILE": str(tmp_path / "p.json"), "REPORT": str(tmp_path / "r.html"),
    }  # fmt: skip
    results = run(ClusterRegions, parameters, context, feedback)
    params = fake.job["params"]
    name, _, path = params["embeddings"].partition("=")
    assert name == "layer" and path.endswith("embeddings.gpkg") and params["pois"].endswith("pois.gpkg")
    assert (params["fields"], params["clusters"]) == (["people", "code"], 4) and "min_size" not in params
    assert set(fake.job["outputs"]) == {"out", "profile", "report"}
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert layer.fields().names() == ["code", "people", "tags", "cluster", "cluster_name", "silhouette", "distance"]
    assert layer.featureCount() == 5
    numbers = {name: results[name] for name in ("REGION_COUNT", "CLUSTER_COUNT", "SILHOUETTE", "WITHOUT_VECTOR")}
    assert numbers == {"REGION_COUNT": 5, "CLUSTER_COUNT": 2, "SILHOUETTE": 0.4, "WITHOUT_VECTOR": 1}
    assert any("1. Retail" in info for info in feedback.infos)
    assert results["PROFILE"] == str(tmp_path / "p.json") and results["REPORT"] == str(tmp_path / "r.html")


def test_clusters_of_a_parquet_continue_the_regions(
    fake: Fake, regions: QgsVectorLayer, tmp_path: Path, context: QgsProcessingContext
) -> None:
    table = tmp_path / "mine.parquet"
    table.write_bytes(b"PAR1")
    regions.selectByIds([2, 4])
    source = QgsProcessingFeatureSourceDefinition(regions.id(), True)
    parameters = {"EMBEDDINGS": str(table), "REGIONS": source, "ALGORITHM": "hdbscan", "MIN_SIZE": 7, "OUT": MEMORY}
    results = run(ClusterRegions, parameters, context, Feedback())
    params = fake.job["params"]
    assert (params["embeddings"], params["algorithm"], params["min_size"]) == (str(table), "hdbscan", 7)
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert {feature["code"] for feature in layer.getFeatures()} == {"ä1", "ä3"}


def test_numbers_of_the_wrong_algorithm_are_refused(regions: QgsVectorLayer, context: QgsProcessingContext) -> None:
    given = {"EMBEDDINGS": regions.id(), "OUT": MEMORY}
    assert "HDBSCAN finds" in refusal(ClusterRegions, {**given, "ALGORITHM": "hdbscan", "CLUSTERS": 3}, context)
    assert "not for HDBSCAN" in refusal(ClusterRegions, {**given, "ALGORITHM": "hdbscan", "CONTIGUITY": True}, context)
    assert "are for HDBSCAN" in refusal(ClusterRegions, {**given, "MIN_SIZE": 3}, context)


def test_selected_regions_are_what_others_are_like(
    fake: Fake, regions: QgsVectorLayer, tmp_path: Path, context: QgsProcessingContext
) -> None:
    regions.selectByIds([2, 4])
    feedback = Feedback()
    parameters = {
        "EMBEDDINGS": regions.id(), "CHOSEN": QgsProcessingFeatureSourceDefinition(regions.id(), True), "HOW": "max",
        "OUT": MEMORY, "TABLE": str(tmp_path / "t.csv"),
    }  # fmt: skip
    results = run(FindSimilarRegions, parameters, context, feedback)
    params = fake.job["params"]
    assert params["embeddings"].startswith("layer=") and params["chosen"].endswith("chosen.gpkg")
    assert params["how"] == "max" and fake.job["outputs"]["table"] == str(tmp_path / "t.csv")
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert layer.fields().names() == ["code", "people", "tags", "score", "rank", "percentile", "chosen"]
    assert layer.featureCount() == 5
    said = {name: results[name] for name in ("BEST", "BEST_SCORE", "RANKED", "CHOSEN_COUNT", "WITHOUT_SCORE")}
    assert said == {"BEST": "a", "BEST_SCORE": 0.9, "RANKED": 3, "CHOSEN_COUNT": 2, "WITHOUT_SCORE": 1}
    assert any("1. a: 0.9000" in info for info in feedback.infos)


def test_another_city_is_what_is_ranked(
    fake: Fake, regions: QgsVectorLayer, pois: QgsVectorLayer, tmp_path: Path, context: QgsProcessingContext
) -> None:
    table = tmp_path / "here.parquet"
    table.write_bytes(b"PAR1")
    parameters = {"EMBEDDINGS": str(table), "IDS": "a\nb", "OTHER": regions.id(), "OUT": MEMORY}
    results = run(FindSimilarRegions, parameters, context, Feedback())
    params = fake.job["params"]
    assert (params["embeddings"], params["ids"]) == (str(table), ["a", "b"])
    assert params["other"].startswith("layer=") and params["other"].endswith("other.gpkg")
    assert QgsProcessingUtils.mapLayerFromString(results["OUT"], context).fields().names()[0] == "code"


@pytest.mark.parametrize("empty", [{}, {"IDS": ""}])
def test_nothing_chosen_is_refused(
    regions: QgsVectorLayer, context: QgsProcessingContext, empty: dict[str, Any]
) -> None:
    message = refusal(FindSimilarRegions, {"EMBEDDINGS": regions.id(), "OUT": MEMORY, **empty}, context)
    assert "Choose regions" in message and "selected features only" in message
    assert "EMBEDDINGS" in refusal(FindSimilarRegions, {"IDS": "a", "OUT": MEMORY}, context)
    assert "EMBEDDINGS" in refusal(ClusterRegions, {"OUT": MEMORY}, context)

"""Searching, evaluating, predicting, attention and descriptions, with a worker that only pretends."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin.helpers import MEMORY, Fake, Feedback, embed_parameters, refusal, run
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingUtils,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QVariant

from qgis_plugin.algorithms.attentionmaps import AttentionMaps
from qgis_plugin.algorithms.describeregions import DescribeRegions
from qgis_plugin.algorithms.embedregions import EmbedRegions
from qgis_plugin.algorithms.evaluateembeddings import EvaluateEmbeddings
from qgis_plugin.algorithms.predictindicators import PredictIndicators
from qgis_plugin.algorithms.searchbytext import SearchByText


def test_search_ranks_an_embedding_layer(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    embedded = run(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint), context, Feedback())
    parameters = {"QUERY": "quiet", "CHECKPOINT": checkpoint, "EMBEDDINGS": embedded["OUT"], "OUT": MEMORY}
    results = run(SearchByText, parameters, context, Feedback())
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert layer.fields().names()[-3:] == ["score", "rank", "percentile"]
    assert "embedding" in layer.fields().names()
    assert (results["BEST"], results["BEST_SCORE"], results["REGION_COUNT"]) == ("a", 0.9, 5)


def test_a_search_in_pixels_makes_no_layer_even_if_the_dialog_offers_one(
    fake: Fake, raster: str, checkpoint: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    parameters = {
        "QUERY": "x", "CHECKPOINT": checkpoint, "EMBEDDING_RASTER": raster, "OUT": MEMORY,
        "RASTER": str(tmp_path / "s.tif"),
    }  # fmt: skip
    fake.behave("error")
    with pytest.raises(QgsProcessingException):
        run(SearchByText, parameters, context, Feedback())
    assert fake.job["outputs"] == {"raster": str(tmp_path / "s.tif")}


def test_evaluate_passes_layers_and_tells_the_table(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    embedded = run(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint), context, Feedback())
    feedback = Feedback()
    parameters = {
        "EMBEDDINGS": embedded["OUT"], "COMPARE": "old=/tmp/old.parquet\n/tmp/b.csv", "REGIONS": regions.id(),
        "REGION_ID": "code", "TARGETS": "people; occ_*", "SEEDS": 2, "SPLIT": "both", "IMAGERY": raster,
        "LABEL_SHARES": "1\n0.25", "OTHER": embedded["OUT"], "Z_SCORES": True,
        "OUT": str(tmp_path / "scores.json"), "REPORT": str(tmp_path / "report.html"),
    }  # fmt: skip
    results = run(EvaluateEmbeddings, parameters, context, feedback)
    params = fake.job["params"]
    name, _, path = params["embeddings"].partition("=")
    assert name and path.endswith("embeddings.gpkg") and params["regions"].endswith("regions.gpkg")
    assert params["compare"] == ["old=/tmp/old.parquet", "/tmp/b.csv"]
    assert params["other"].startswith(f"{name}=") and params["other"].endswith("other.gpkg") and params["z_scores"]
    assert params["targets"] == ["people", "occ_*"] and params["label_shares"] == ["1", "0.25"]
    assert (params["region_id"], params["seeds"], params["split"], params["imagery"]) == ("code", 2, "both", raster)
    assert fake.job["outputs"] == {"out": str(tmp_path / "scores.json"), "report": str(tmp_path / "report.html")}
    assert (results["REGION_COUNT"], results["NOT_BEATEN"]) == (5, 2)
    assert results["REPORT"] == str(tmp_path / "report.html")
    assert any("* mine\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}ridge" in info for info in feedback.infos)


def test_evaluate_takes_a_parquet_as_it_is_and_names_what_is_missing(
    fake: Fake, regions: QgsVectorLayer, tmp_path: Path, context: QgsProcessingContext
) -> None:
    table = tmp_path / "mine.parquet"
    table.write_bytes(b"PAR1")
    run(EvaluateEmbeddings, {"EMBEDDINGS": str(table), "TARGETS": "price"}, context, Feedback())
    assert fake.job["params"] == {"embeddings": str(table), "targets": ["price"]}
    assert "what to predict" in refusal(EvaluateEmbeddings, {"REGIONS": regions.id()}, context)
    assert "embeddings, or regions" in refusal(EvaluateEmbeddings, {"TARGETS": "people"}, context)


def test_predict_continues_the_regions_with_the_fields_of_the_prediction(
    fake: Fake, regions: QgsVectorLayer, tmp_path: Path, context: QgsProcessingContext
) -> None:
    table = tmp_path / "mine.parquet"
    table.write_bytes(b"PAR1")
    feedback = Feedback()
    parameters = {
        "EMBEDDINGS": str(table), "REGIONS": regions.id(), "REGION_ID": "code", "TARGET": "log:people", "LEVEL": 80,
        "HEAD": "mlp", "OUT": MEMORY, "REPORT": str(tmp_path / "report.html"), "CHECKPOINT_OUT": str(tmp_path / "ckpt"),
    }  # fmt: skip
    results = run(PredictIndicators, parameters, context, feedback)
    params = fake.job["params"]
    assert params["embeddings"] == str(table) and params["regions"].endswith("regions.gpkg")
    assert (params["target"], params["level"], params["head"], params["region_id"]) == ("log:people", 80, "mlp", "code")
    # Nothing is fine-tuned, so there is nothing to keep.
    assert set(fake.job["outputs"]) == {"out", "report"}
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    names = layer.fields().names()
    assert {*regions.fields().names(), "pred", "pred_lower", "pred_upper", "pred_residual", "pred_outside"} <= {*names}
    assert layer.featureCount() == regions.featureCount() == results["REGION_COUNT"]
    assert (results["SCORE"], results["COVERAGE"], results["MORAN_P"], results["OUTSIDE"]) == (0.7, 0.9, 0.04, 2)
    assert any("R2: 0.7" in info for info in feedback.infos)


def test_predict_continues_the_embeddings_where_they_are_the_regions(
    fake: Fake, regions: QgsVectorLayer, context: QgsProcessingContext
) -> None:
    results = run(
        PredictIndicators, {"EMBEDDINGS": regions.id(), "TARGET": "people", "OUT": MEMORY}, context, Feedback()
    )
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert {*regions.fields().names(), "pred"} <= {*layer.fields().names()}
    assert fake.job["params"]["embeddings"].endswith("embeddings.gpkg") and "regions" not in fake.job["params"]


def test_predict_says_what_is_missing(
    fake: Fake, regions: QgsVectorLayer, checkpoint: str, context: QgsProcessingContext
) -> None:
    given = {"OUT": MEMORY}
    for parameters, words in (
        ({"TARGET": "people"}, "Give region embeddings"),
        ({"EMBEDDINGS": regions.id()}, "Name what to predict"),
        ({"HEAD": "finetune", "REGIONS": regions.id(), "TARGET": "people"}, "needs a trained ReFound"),
        ({"HEAD": "finetune", "CHECKPOINT": checkpoint, "TARGET": "people"}, "regions to predict for"),
        ({"CHECKPOINT": checkpoint, "REGIONS": regions.id()}, "points of interest or imagery"),
    ):
        assert words in refusal(PredictIndicators, {**given, **parameters}, context)


def test_attention_goes_back_to_points_and_regions(
    fake: Fake,
    regions: QgsVectorLayer,
    pois: QgsVectorLayer,
    raster: str,
    checkpoint: str,
    tmp_path: Path,
    context: QgsProcessingContext,
) -> None:
    pois.selectByIds([2, 3, 5])
    feedback = Feedback()
    parameters = {
        "CHECKPOINT": checkpoint, "POIS": pois.id(), "IMAGERY": raster, "REGIONS": regions.id(), "CATEGORIES": "bar; pub",
        "SELECTED": QgsProcessingFeatureSourceDefinition(pois.id(), True), "POI_ROWS": "1\n4", "PICTURES": 3,
        "RASTER": str(tmp_path / "a.tif"), "REPORT": str(tmp_path / "a.html"), "POIS_OUT": MEMORY, "REGIONS_OUT": MEMORY,
    }  # fmt: skip
    results = run(AttentionMaps, parameters, context, feedback)
    params = fake.job["params"]
    assert params["pois"].endswith("pois.gpkg") and params["selected"].endswith("selected.gpkg")
    assert params["categories"] == ["bar", "pub"] and params["poi_rows"] == ["1", "4"]
    assert (params["imagery"], params["pictures"]) == (raster, 3)
    assert set(fake.job["outputs"]) == {"raster", "report", "pois_out", "regions_out"}
    points = QgsProcessingUtils.mapLayerFromString(results["POIS_OUT"], context)
    assert points.fields().names() == ["name", "category", "attention"] and points.featureCount() == 8
    assert points.geometryType() == pois.geometryType() and points.crs().authid() == "EPSG:32630"
    layer = QgsProcessingUtils.mapLayerFromString(results["REGIONS_OUT"], context)
    assert layer.fields().names() == ["code", "people", "tags", "attention_ratio"]
    assert layer.fields().field("people").type() == QVariant.Int
    assert (results["RASTER"], results["REPORT"]) == (str(tmp_path / "a.tif"), str(tmp_path / "a.html"))
    assert [results[name] for name in ("REGION_COUNT", "POINT_COUNT", "OWN", "UNIFORM", "RATIO")] == [
        5, 8, 0.1, 0.0625, 1.6,
    ]  # fmt: skip
    assert any("own patches" in info for info in feedback.infos)


def test_attention_needs_points_and_imagery_and_no_shapefile(
    fake: Fake, pois: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    assert "IMAGERY" in refusal(AttentionMaps, {"CHECKPOINT": checkpoint, "POIS": pois.id()}, context)
    given = {"CHECKPOINT": checkpoint, "POIS": pois.id(), "IMAGERY": raster, "POIS_OUT": "/tmp/points.shp"}
    assert "GeoPackage" in refusal(AttentionMaps, given, context)


def test_described_regions_have_their_captions_as_a_field(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    feedback = Feedback()
    captions = tmp_path / "captions.parquet"
    captions.write_bytes(b"PAR1")
    given = {"REGIONS": regions.id(), "OUT": MEMORY}
    results = run(DescribeRegions, {**given, "CAPTIONS": str(captions), "REGION_ID": "code"}, context, feedback)
    params = dict(fake.job["params"])
    assert params.pop("regions").endswith("regions.gpkg")
    assert params == {"captions": str(captions), "region_id": "code"}
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert layer.fields().names() == ["code", "people", "tags", "caption", "caption_by"]
    assert {feature["caption"] for feature in layer.getFeatures()} == {"Low houses. " * 20}
    assert (results["REGION_COUNT"], results["DESCRIBED"]) == (5, 4)
    assert any("1 of 5 regions have no caption" in warning for warning in feedback.warnings)
    run(DescribeRegions, {**given, "CHECKPOINT": checkpoint, "IMAGERY": raster, "BEAMS": 2}, context, Feedback())
    params = dict(fake.job["params"])
    assert (params["checkpoint"], params["imagery"], params["beams"]) == (checkpoint, raster, 2)
    run(DescribeRegions, {**given, "CAPTIONER": "openai:m@http://x/v1", "IMAGERY": raster}, context, Feedback())
    assert fake.job["params"]["captioner"] == "openai:m@http://x/v1"


def test_describing_says_what_is_missing(
    regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    given = {"REGIONS": regions.id(), "OUT": MEMORY}
    for parameters, words in (
        ({**given, "IMAGERY": raster}, "one that the captions come from"),
        ({**given, "CHECKPOINT": checkpoint, "CAPTIONER": "x", "IMAGERY": raster}, "one that the captions come from"),
        ({**given, "CHECKPOINT": checkpoint}, "give the imagery"),
        ({"CAPTIONS": "/tmp/c.csv", "OUT": MEMORY}, "regions that the captions belong to"),
    ):
        assert words in refusal(DescribeRegions, parameters, context)

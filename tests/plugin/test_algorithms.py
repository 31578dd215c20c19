"""Algorithms from check to result, with a worker that only pretends."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import Fake, Feedback, make_raster, memory_layer, run, square
from qgis.core import (
    QgsFeatureRequest,
    QgsField,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QVariant

from qgis_plugin.algorithms.attentionmaps import AttentionMaps
from qgis_plugin.algorithms.checkenvironment import CheckEnvironment
from qgis_plugin.algorithms.creategridregions import CreateGridRegions
from qgis_plugin.algorithms.describeregions import DescribeRegions
from qgis_plugin.algorithms.embedraster import EmbedRaster
from qgis_plugin.algorithms.embedregions import EmbedRegions
from qgis_plugin.algorithms.evaluateembeddings import EvaluateEmbeddings
from qgis_plugin.algorithms.importcheckpoint import ImportCheckpoint
from qgis_plugin.algorithms.predictindicators import PredictIndicators
from qgis_plugin.algorithms.searchbytext import SearchByText
from qgis_plugin.algorithms.trainmodel import TrainModel

MEMORY = "TEMPORARY_OUTPUT"


def embed_parameters(regions: Any, raster: str, checkpoint: str, **more: Any) -> dict[str, Any]:
    return {"REGIONS": regions, "EMBEDDING_RASTER": raster, "CHECKPOINT": checkpoint, "OUT": MEMORY, **more}


def refusal(algorithm: Any, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
    fine, message = algorithm().create({}).checkParameterValues(parameters, context)
    assert not fine
    return message


def test_embed_keeps_all_fields_with_their_types_and_adds_the_vector(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    results = run(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint), context, Feedback())
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert layer.fields().names() == [
        "code", "people", "tags", "emb_dim", "emb_model", "emb_pca1", "emb_pca2", "emb_pca3", "embedding",
    ]  # fmt: skip
    assert layer.fields().field("people").type() == QVariant.Int
    rows = {feature["code"]: feature for feature in layer.getFeatures()}
    assert set(rows) == {f"ä{i}" for i in range(5)}
    assert [rows[f"ä{i}"]["people"] for i in (0, 1, 3)] == [0, 1, 3]
    assert rows["ä2"]["people"] == QVariant() or rows["ä2"]["people"] is None
    assert rows["ä4"]["embedding"] == "[1,2]"
    assert rows["ä4"].geometry().boundingBox().xMinimum() == 400
    assert layer.crs().authid() == "EPSG:32630"
    numbers = {name: results[name] for name in ("REGION_COUNT", "DIMENSIONS", "UNCOVERED", "MODEL")}
    assert numbers == {"REGION_COUNT": 5, "DIMENSIONS": 4, "UNCOVERED": 1, "MODEL": "fake"}
    assert "CHECKPOINT_OUT" not in results


def test_only_what_was_given_reaches_the_worker(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    run(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint, SEED=0, COLUMNS=False), context, Feedback())
    params = dict(fake.job["params"])
    assert Path(params.pop("regions")).name == "regions.gpkg"
    assert params == {"embedding_raster": raster, "checkpoint": checkpoint, "seed": 0, "columns": False}
    assert set(fake.job["outputs"]) == {"out"}


def test_values_of_every_kind_reach_the_worker(
    fake: Fake,
    regions: QgsVectorLayer,
    pois: QgsVectorLayer,
    raster: str,
    tmp_path: Path,
    context: QgsProcessingContext,
) -> None:
    more = {
        "POIS": pois.id(), "POI_NAME": "name", "POI_CRS": "EPSG:4326", "PRESET": "aether-tiny", "EPOCHS": 3,
        "LEARNING_RATE": 0.5, "OVERRIDES": "lambda_image=0.5\nbase_m=25; x=[1,2]", "COLUMNS": True, "REGION_ID": "code",
        "GRID_SIZE": 250, "DEVICE": "cuda:1", "CACHE": str(tmp_path / "cache"), "CHECKPOINT": None,
        "PARQUET": str(tmp_path / "a.parquet"), "CHECKPOINT_OUT": str(tmp_path / "ckpt"),
    }  # fmt: skip
    results = run(EmbedRegions, embed_parameters(regions.id(), raster, "", **more), context, Feedback())
    params = fake.job["params"]
    expected = {
        "poi_name": "name", "poi_crs": "EPSG:4326", "preset": "aether-tiny", "epochs": 3, "learning_rate": 0.5,
        "overrides": ["lambda_image=0.5", "base_m=25", "x=[1,2]"], "columns": True, "region_id": "code",
        "grid_size": 250.0, "device": "cuda:1", "cache": str(tmp_path / "cache"),
    }  # fmt: skip
    assert {name: params[name] for name in expected} == expected
    assert results["PARQUET"] == str(tmp_path / "a.parquet")
    assert results["CHECKPOINT_OUT"] == str(tmp_path / "ckpt")


def test_what_a_dialog_leaves_empty_is_not_given(
    fake: Fake, regions: QgsVectorLayer, pois: QgsVectorLayer, raster: str, context: QgsProcessingContext
) -> None:
    empty = ("REGION_ID", "EPOCHS", "LEARNING_RATE", "CACHE", "POI_CRS", "PARQUET", "RASTER", "CHECKPOINT_OUT", "MAP")
    nulls = dict.fromkeys(empty, QVariant())
    parameters = embed_parameters(regions.id(), raster, QVariant(), POIS=pois.id(), OVERRIDES="", **nulls)
    run(EmbedRegions, parameters, context, Feedback())
    assert set(fake.job["params"]) == {"regions", "pois", "embedding_raster"}
    assert set(fake.job["outputs"]) == {"out"}


def test_a_checkpoint_that_nobody_asked_for_is_an_output_all_the_same(
    fake: Fake, regions: QgsVectorLayer, pois: QgsVectorLayer, raster: str, context: QgsProcessingContext
) -> None:
    feedback = Feedback()
    results = run(EmbedRegions, embed_parameters(regions.id(), raster, "", POIS=pois.id()), context, feedback)
    assert results["CHECKPOINT_OUT"] == "/kept/here"
    assert any("/kept/here" in info for info in feedback.infos)


def test_selected_features_only(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    regions.selectByIds([2, 4])
    source = QgsProcessingFeatureSourceDefinition(regions.id(), True)
    results = run(EmbedRegions, embed_parameters(source, raster, checkpoint), context, Feedback())
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert {feature["code"] for feature in layer.getFeatures()} == {"ä1", "ä3"}


def test_nothing_selected_is_an_error_that_says_so(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    source = QgsProcessingFeatureSourceDefinition(regions.id(), True)
    with pytest.raises(QgsProcessingException, match="selected features only"):
        run(EmbedRegions, embed_parameters(source, raster, checkpoint), context, Feedback())


def test_a_field_called_fid_that_is_not_unique_does_no_harm(
    fake: Fake, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    rows = [(square(i * 100, 0), [7, f"r{i}"]) for i in range(3)]
    fields = [QgsField("fid", QVariant.Int), QgsField("code", QVariant.String)]
    merged = memory_layer("Polygon", "EPSG:32630", fields, rows)
    results = run(EmbedRegions, embed_parameters(merged.id(), raster, checkpoint), context, Feedback())
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert sorted((feature["fid"], feature["code"]) for feature in layer.getFeatures()) == [
        (7, "r0"), (7, "r1"), (7, "r2"),
    ]  # fmt: skip


def test_the_same_input_makes_the_same_file_so_that_a_stopped_run_goes_on(
    regions: QgsVectorLayer, tmp_path: Path
) -> None:
    from qgis_plugin.runtime.exchange import VectorInput, export

    made = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        source = QgsProcessingUtils.variantToSource(regions, QgsProcessingContext())
        vector = VectorInput(source, regions.fields(), regions.crs(), regions.wkbType())
        export(vector, folder / "regions.gpkg", Feedback())
        made.append(folder / "regions.gpkg")
    assert made[0].read_bytes() == made[1].read_bytes()
    assert made[0].stat().st_mtime_ns == made[1].stat().st_mtime_ns
    regions.dataProvider().changeAttributeValues({1: {0: "other"}})
    vector.source = QgsProcessingUtils.variantToSource(regions, QgsProcessingContext())
    changed = tmp_path / "regions.gpkg"
    export(vector, changed, Feedback())
    assert changed.stat().st_mtime_ns != made[0].stat().st_mtime_ns


def test_a_table_without_geometry_goes_to_the_worker_as_csv(
    fake: Fake, regions: QgsVectorLayer, raster: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    table = tmp_path / "pois.csv"
    table.write_text("name,lon,lat\nBar,1.5,2.5\n")
    run(EmbedRegions, embed_parameters(regions.id(), raster, "", POIS=str(table)), context, Feedback())
    assert fake.job["params"]["pois"].endswith("pois.csv")


def test_a_parquet_goes_to_the_worker_as_it_is(
    fake: Fake, regions: QgsVectorLayer, raster: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    table = tmp_path / "pois.parquet"
    table.write_bytes(b"PAR1")
    run(EmbedRegions, embed_parameters(regions.id(), raster, "", POIS=str(table)), context, Feedback())
    assert fake.job["params"]["pois"] == str(table)
    message = refusal(EmbedRegions, embed_parameters(regions.id(), raster, "", POIS="/no/pois.parquet"), context)
    assert "/no/pois.parquet" in message


def test_cancelling_before_and_during_the_worker(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    fake.behave("slow")
    feedback = Feedback(stop_at="/6,000")
    assert run(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint), context, feedback) == {}
    fake.record.unlink()
    early = Feedback()
    early.cancel()
    assert run(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint), context, early) == {}
    assert not fake.record.exists()


def test_a_worker_error_fails_the_algorithm_with_its_words(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    fake.behave("error")
    with pytest.raises(QgsProcessingException, match="Choose another layer"):
        run(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint), context, Feedback())


def fill_of(layer: QgsVectorLayer) -> str:
    return layer.renderer().symbol().color().name()


def test_a_result_in_a_file_has_its_style_beside_it(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    out = tmp_path / "out.gpkg"
    run(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint, OUT=str(out)), context, Feedback())
    assert fill_of(QgsVectorLayer(str(out), "out", "ogr")) == "#010203"


def load(results: dict[str, Any], context: QgsProcessingContext, feedback: Feedback) -> QgsVectorLayer:
    """As QGIS finishes a run whose layer is to be shown."""
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    context.layerToLoadOnCompletionDetails(results["OUT"]).postProcessor().postProcessLayer(layer, context, feedback)
    return layer


def test_a_loaded_result_is_coloured_by_a_post_processor_that_lives(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    out = QgsProcessingOutputLayerDefinition(MEMORY, QgsProject.instance())
    results = run(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint, OUT=out), context, Feedback())
    gc.collect()
    assert fill_of(load(results, context, Feedback())) == "#010203"


def test_a_style_that_fails_costs_nothing(
    fake: Fake, regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    fake.behave("ugly")
    out = QgsProcessingOutputLayerDefinition(MEMORY, QgsProject.instance())
    results = run(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint, OUT=out), context, Feedback())
    feedback = Feedback()
    assert load(results, context, feedback).featureCount() == 5
    assert any("could not be coloured" in warning for warning in feedback.warnings)


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
        "LABEL_SHARES": "1\n0.25",
        "OUT": str(tmp_path / "scores.json"), "REPORT": str(tmp_path / "report.html"),
    }  # fmt: skip
    results = run(EvaluateEmbeddings, parameters, context, feedback)
    params = fake.job["params"]
    name, _, path = params["embeddings"].partition("=")
    assert name and path.endswith("embeddings.gpkg") and params["regions"].endswith("regions.gpkg")
    assert params["compare"] == ["old=/tmp/old.parquet", "/tmp/b.csv"]
    assert params["targets"] == ["people", "occ_*"] and params["label_shares"] == ["1", "0.25"]
    assert (params["region_id"], params["seeds"], params["split"], params["imagery"]) == ("code", 2, "both", raster)
    assert fake.job["outputs"] == {"out": str(tmp_path / "scores.json"), "report": str(tmp_path / "report.html")}
    assert (results["REGION_COUNT"], results["NOT_BEATEN"]) == (5, 2)
    assert results["REPORT"] == str(tmp_path / "report.html")
    assert any("* mine  ridge" in info for info in feedback.infos)


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
    assert any("outside of what the model learned" in warning for warning in feedback.warnings)


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
    assert "points of interest and imagery" in refusal(
        AttentionMaps, {"CHECKPOINT": checkpoint, "POIS": pois.id()}, context
    )
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


def test_a_field_that_gave_way_keeps_its_type_and_the_new_one_has_its_own(
    regions: QgsVectorLayer, tmp_path: Path
) -> None:
    from qgis_plugin.runtime.exchange import result_fields

    source = memory_layer("Polygon", "EPSG:32630", [QgsField("caption", QVariant.Int)], [])
    made = memory_layer(
        "Polygon", "EPSG:32630", [QgsField("src_caption", QVariant.Int), QgsField("caption", QVariant.String)], []
    )
    fields, positions = result_fields(made, source.fields(), with_numbers=False)
    assert [(field.name(), field.type()) for field in fields] == [
        ("src_caption", QVariant.Int), ("caption", QVariant.String),
    ]  # fmt: skip
    assert positions == [0, 1]


def test_train_reports_numbers(
    fake: Fake, pois: QgsVectorLayer, raster: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    out = str(tmp_path / "model")
    results = run(TrainModel, {"POIS": pois.id(), "EMBEDDING_RASTER": raster, "OUT": out}, context, Feedback())
    assert results["OUT"] == out
    assert (results["METHOD"], results["SAMPLES"], results["LOSS"]) == ("aether", 7, 0.25)


def test_grid_over_a_memory_layer_and_over_an_extent(
    fake: Fake, pois: QgsVectorLayer, context: QgsProcessingContext
) -> None:
    results = run(CreateGridRegions, {"OVER": pois.id(), "GRID_SIZE": 100, "OUT": MEMORY}, context, Feedback())
    assert fake.job["params"]["over"].endswith("over.gpkg")
    assert results["REGION_COUNT"] == 1
    assert QgsProcessingUtils.mapLayerFromString(results["OUT"], context).fields().names() == ["region_id"]
    run(CreateGridRegions, {"EXTENT": "0,10,20,40 [EPSG:3857]", "OUT": MEMORY}, context, Feedback())
    assert fake.job["params"] == {"extent": "0.0,20.0,10.0,40.0", "extent_crs": "EPSG:3857"}


def test_grid_over_a_raster(fake: Fake, raster: str, context: QgsProcessingContext) -> None:
    run(CreateGridRegions, {"OVER": raster, "OUT": MEMORY}, context, Feedback())
    assert fake.job["params"]["over"] == raster


def test_import_and_embed_raster_pass_files_on(
    fake: Fake, raster: str, checkpoint: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"x")
    results = run(ImportCheckpoint, {"CHECKPOINT": str(weights), "OUT": str(tmp_path / "c")}, context, Feedback())
    assert fake.job["params"] == {"checkpoint": str(weights)}
    assert results["CHECKPOINT_METHOD"] == "aether"
    parameters = {"EMBEDDING_RASTER": raster, "CHECKPOINT": checkpoint, "OUT": str(tmp_path / "o.tif"), "DTYPE": "int8"}
    results = run(EmbedRaster, parameters, context, Feedback())
    assert fake.job["params"]["dtype"] == "int8"
    assert (results["OUT"], results["DIMENSIONS"]) == (str(tmp_path / "o.tif"), 4)


def test_windows_slide_over_imagery_alone(
    fake: Fake, raster: str, checkpoint: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    parameters = {"IMAGERY": raster, "CHECKPOINT": checkpoint, "STRIDE": 25.0, "OUT": str(tmp_path / "o.tif")}
    run(EmbedRaster, parameters, context, Feedback())
    assert fake.job["params"]["stride"] == 25.0 and "window" not in fake.job["params"]
    assert fake.job["params"]["imagery"] == raster
    ok, said = (
        EmbedRaster()
        .create({})
        .checkParameterValues({"CHECKPOINT": checkpoint, "OUT": str(tmp_path / "o.tif")}, context)
    )
    assert not ok and "imagery" in said


def test_check_environment_runs_without_one_and_says_what_to_do(tmp_path: Path, context: QgsProcessingContext) -> None:
    report = tmp_path / "r.html"
    results = run(CheckEnvironment, {"REPORT": str(report)}, context, Feedback())
    assert results["READY"] is False
    assert "Set up environment" in results["REMEDY"]
    assert "Set up environment" in report.read_text()


def test_check_environment_with_one(fake: Fake, tmp_path: Path, context: QgsProcessingContext) -> None:
    results = run(CheckEnvironment, {"REPORT": str(tmp_path / "r.html")}, context, Feedback())
    assert (results["READY"], results["INTERPRETER"], results["REMEDY"]) == (True, str(fake.python), "")


def test_a_picture_service_is_refused_with_the_remedy(regions: QgsVectorLayer, context: QgsProcessingContext) -> None:
    tiles = QgsRasterLayer("type=xyz&url=file:///none/{z}/{x}/{y}.png", "tiles", "wms")
    QgsProject.instance().addMapLayer(tiles)
    message = refusal(EmbedRegions, embed_parameters(regions.id(), tiles.id(), ""), context)
    assert "tiles" in message and "Save As" in message


@pytest.mark.parametrize("name", ["out.shp", "OUT.SHP"])
def test_a_shapefile_is_refused_with_the_reason(
    regions: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext, name: str
) -> None:
    message = refusal(EmbedRegions, embed_parameters(regions.id(), raster, checkpoint, OUT=f"/tmp/{name}"), context)
    assert "10 letters" in message and ".gpkg" in message


def test_missing_coordinate_systems_are_named(
    regions: QgsVectorLayer, raster: str, checkpoint: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    lost = memory_layer("Polygon", "", [QgsField("a", QVariant.Int)], [(square(0, 0), [1])])
    assert "no coordinate reference system" in refusal(
        EmbedRegions, embed_parameters(lost.id(), raster, checkpoint), context
    )
    bare = make_raster(tmp_path / "bare.tif", epsg=0)
    assert "no coordinate reference system" in refusal(
        EmbedRegions, embed_parameters(regions.id(), bare, checkpoint), context
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"CHECKPOINT": None}, "Points of interest. Or give a checkpoint"),
        ({"REGIONS": None, "EMBEDDING_RASTER": None}, "Give regions"),
        ({"CHECKPOINT": "/no/such/folder"}, "/no/such/folder"),
        ({"DEVICE": "gpu"}, "'gpu'"),
        ({"GRID_SIZE": 0}, "greater than 0"),
        ({"SEED": -1}, "SEED"),
        ({"PRESET": "giant"}, "PRESET"),
    ],
)
def test_values_that_cannot_work_are_refused_before_anything_runs(
    regions: QgsVectorLayer,
    raster: str,
    checkpoint: str,
    context: QgsProcessingContext,
    change: dict[str, Any],
    text: str,
) -> None:
    parameters = {**embed_parameters(regions.id(), raster, checkpoint), **change}
    message = refusal(EmbedRegions, parameters, context)
    labels = {"SEED": "Seed", "PRESET": "Preset"}
    assert text in message or labels.get(text, text) in message


def test_a_folder_that_is_no_checkpoint_is_refused(
    regions: QgsVectorLayer, raster: str, tmp_path: Path, context: QgsProcessingContext
) -> None:
    message = refusal(EmbedRegions, embed_parameters(regions.id(), raster, str(tmp_path)), context)
    assert "manifest.json" in message


def test_training_and_searching_name_what_is_missing(
    pois: QgsVectorLayer, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    assert "raster" in refusal(TrainModel, {"POIS": pois.id(), "OUT": "/tmp/x"}, context)
    assert "Points of interest" in refusal(TrainModel, {"EMBEDDING_RASTER": raster, "OUT": "/tmp/x"}, context)
    either = refusal(TrainModel, {"PRESET": "refound-tiny", "OUT": "/tmp/x"}, context)
    assert "Points of interest or Imagery" in either and "refound-tiny" in either
    one = {"PRESET": "refound-tiny", "POIS": pois.id(), "OUT": "/tmp/x"}
    assert TrainModel().create({}).checkParameterValues(one, context)[0]
    several = {"PRESET": "refound-tiny", "CITIES": "/a.json\n/b.json", "OUT": "/tmp/x"}
    assert TrainModel().create({}).checkParameterValues(several, context)[0]
    query = {"QUERY": "x", "CHECKPOINT": checkpoint, "OUT": MEMORY}
    assert "search in" in refusal(SearchByText, query, context)
    assert "name a score raster" in refusal(SearchByText, {**query, "EMBEDDING_RASTER": raster}, context)
    both = {"OVER": pois.id(), "EXTENT": "0,1,0,1 [EPSG:4326]", "OUT": MEMORY}
    assert "not both" in refusal(CreateGridRegions, both, context)


def test_invalid_polygons_are_left_to_the_library(
    fake: Fake, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    bow_tie = memory_layer(
        "Polygon", "EPSG:32630", [QgsField("a", QVariant.Int)], [("POLYGON((0 0,10 10,10 0,0 10,0 0))", [1])]
    )
    context.setInvalidGeometryCheck(QgsFeatureRequest.GeometryAbortOnInvalid)
    results = run(EmbedRegions, embed_parameters(bow_tie.id(), raster, checkpoint), context, Feedback())
    assert results["REGION_COUNT"] == 1

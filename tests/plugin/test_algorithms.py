"""Algorithms from check to result, with a worker that only pretends."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import MEMORY, Fake, Feedback, embed_parameters, memory_layer, refusal, run, square
from qgis.core import (
    QgsFeatureRequest,
    QgsField,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingUtils,
    QgsProject,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QVariant

from qgis_plugin.algorithms.checkenvironment import CheckEnvironment
from qgis_plugin.algorithms.creategridregions import CreateGridRegions
from qgis_plugin.algorithms.embedraster import EmbedRaster
from qgis_plugin.algorithms.embedregions import EmbedRegions
from qgis_plugin.algorithms.importcheckpoint import ImportCheckpoint
from qgis_plugin.algorithms.trainmodel import TrainModel


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


def test_invalid_polygons_are_left_to_the_library(
    fake: Fake, raster: str, checkpoint: str, context: QgsProcessingContext
) -> None:
    bow_tie = memory_layer(
        "Polygon", "EPSG:32630", [QgsField("a", QVariant.Int)], [("POLYGON((0 0,10 10,10 0,0 10,0 0))", [1])]
    )
    context.setInvalidGeometryCheck(QgsFeatureRequest.GeometryAbortOnInvalid)
    results = run(EmbedRegions, embed_parameters(bow_tie.id(), raster, checkpoint), context, Feedback())
    assert results["REGION_COUNT"] == 1

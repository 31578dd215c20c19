"""What algorithms refuse before anything runs, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import MEMORY, Fake, Feedback, embed_parameters, make_raster, memory_layer, refusal, run, square
from qgis.core import (
    QgsCoordinateTransformContext,
    QgsField,
    QgsProcessingContext,
    QgsProject,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QVariant

from qgis_plugin.algorithms.clusterregions import ClusterRegions
from qgis_plugin.algorithms.creategridregions import CreateGridRegions
from qgis_plugin.algorithms.embedregions import EmbedRegions
from qgis_plugin.algorithms.searchbytext import SearchByText
from qgis_plugin.algorithms.trainmodel import TrainModel


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


def layer_file(path: Path, *layers: str) -> str:
    """A GeoPackage with a polygon in each of its layers."""
    for number, name in enumerate(layers):
        source = memory_layer("Polygon", "EPSG:32630", [QgsField("a", QVariant.Int)], [(square(0, 0), [1])])
        options = QgsVectorFileWriter.SaveVectorOptions()
        options.layerName = name
        if number:
            options.actionOnExistingFile = QgsVectorFileWriter.ActionOnExistingFile.CreateOrOverwriteLayer
        QgsVectorFileWriter.writeAsVectorFormatV3(source, str(path), QgsCoordinateTransformContext(), options)
    return str(path)


def test_an_input_a_folder_and_other_layers_are_not_overwritten(tmp_path: Path, context: QgsProcessingContext) -> None:
    one = layer_file(tmp_path / "in.gpkg", "regions")
    assert "is the input 'Region embeddings', which would be lost" in refusal(
        ClusterRegions, {"EMBEDDINGS": one, "OUT": one}, context
    )
    layer = QgsVectorLayer(f"{one}|layername=regions", "regions", "ogr")
    QgsProject.instance().addMapLayer(layer)
    assert "is the input" in refusal(ClusterRegions, {"EMBEDDINGS": layer.id(), "OUT": one}, context)
    many = layer_file(tmp_path / "many.gpkg", "roads", "rivers")
    assert "holds 2 layers (roads, rivers)" in refusal(ClusterRegions, {"EMBEDDINGS": one, "OUT": many}, context)
    (tmp_path / "folder.gpkg").mkdir()
    for key in ("OUT", "REPORT"):
        given = {"EMBEDDINGS": one, "OUT": MEMORY, key: str(tmp_path / "folder.gpkg")}
        assert "is a folder" in refusal(ClusterRegions, given, context)
    fine = {"EMBEDDINGS": one, "OUT": str(layer_file(tmp_path / "old.gpkg", "clusters"))}
    assert ClusterRegions().create({}).checkParameterValues(fine, context)[0]
    database = {"EMBEDDINGS": one, "OUT": f"ogr:dbname='{many}' table=\"clusters\" (geom)"}
    assert ClusterRegions().create({}).checkParameterValues(database, context)[0]


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(
    tmp_path: Path, context: QgsProcessingContext
) -> None:
    one = layer_file(tmp_path / "in.gpkg", "regions")
    message = refusal(ClusterRegions, {"EMBEDDINGS": one, "OUT": "/proc/none/c.gpkg"}, context)
    assert "/proc/none/c.gpkg cannot be written" in message and "another folder" in message
    assert "Not a directory" in refusal(ClusterRegions, {"EMBEDDINGS": one, "OUT": f"{one}/c.gpkg"}, context)


def test_folders_of_outputs_are_made(fake: Fake, tmp_path: Path, context: QgsProcessingContext) -> None:
    one = layer_file(tmp_path / "in.gpkg", "regions")
    out = tmp_path / "new" / "ä 'b" / "c.gpkg"
    run(ClusterRegions, {"EMBEDDINGS": one, "OUT": str(out)}, context, Feedback())
    assert out.is_file()

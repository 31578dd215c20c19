"""Points of interest and buildings with vectors in QGIS, with a worker that only pretends."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin.helpers import MEMORY, Fake, Feedback, refusal, run
from qgis.core import QgsProcessingContext, QgsProcessingUtils, QgsVectorLayer, QgsWkbTypes

from qgis_plugin.algorithms.clusterregions import ClusterRegions
from qgis_plugin.algorithms.embedpois import EmbedPois
from qgis_plugin.paths import resource


@pytest.mark.parametrize("kind", ["points", "polygons"])
def test_points_and_buildings_keep_their_geometry_and_fields(
    fake: Fake, pois: QgsVectorLayer, regions: QgsVectorLayer, checkpoint: str, context: QgsProcessingContext, kind: str
) -> None:
    given = pois if kind == "points" else regions
    feedback = Feedback()
    parameters = {"CHECKPOINT": checkpoint, "POIS": given.id(), "BUILDINGS": regions.id(), "OUT": MEMORY}
    results = run(EmbedPois, parameters, context, feedback)
    params = dict(fake.job["params"])
    assert {name: Path(params[name]).name for name in ("pois", "buildings")} == {
        "pois": "pois.gpkg", "buildings": "buildings.gpkg",
    }  # fmt: skip
    assert params["checkpoint"] == checkpoint and not {"roads", "features"} & set(params)
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert QgsWkbTypes.geometryType(layer.wkbType()) == QgsWkbTypes.geometryType(given.wkbType())
    assert layer.fields().names() == [*given.fields().names(), "emb_dim", "emb_pca1", "embedding"]
    count = given.featureCount()
    assert (results["POINT_COUNT"], results["DIMENSIONS"], results["UNCOVERED"]) == (count, 4, 1)
    assert any(f"1 of {count} points of interest have no vector" in warning for warning in feedback.warnings)


def test_clusters_of_points_are_points(fake: Fake, pois: QgsVectorLayer, context: QgsProcessingContext) -> None:
    results = run(ClusterRegions, {"EMBEDDINGS": pois.id(), "OUT": MEMORY}, context, Feedback())
    layer = QgsProcessingUtils.mapLayerFromString(results["OUT"], context)
    assert layer.featureCount() == 8 and layer.wkbType() == pois.wkbType()


def test_it_says_what_is_missing_and_has_a_page(
    pois: QgsVectorLayer, checkpoint: str, context: QgsProcessingContext
) -> None:
    assert "POIS" in refusal(EmbedPois, {"CHECKPOINT": checkpoint, "OUT": MEMORY}, context)
    shapefile = {"CHECKPOINT": checkpoint, "POIS": pois.id(), "OUT": "/tmp/points.shp"}
    assert "GeoPackage" in refusal(EmbedPois, shapefile, context)
    assert resource("help", "embedpois.html").is_file() and EmbedPois().groupId() == "embeddings"

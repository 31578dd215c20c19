"""Reports in QGIS: linked as pages, and with the line of QGIS that repeats the run."""

from __future__ import annotations

from pathlib import Path

from plugin.helpers import MEMORY, Fake, Feedback, run
from qgis.core import QgsProcessingContext, QgsVectorLayer

from qgis_plugin.algorithms.clusterregions import ClusterRegions
from qgis_plugin.algorithms.values import worker_file
from qgis_plugin.provider import ALGORITHMS


def test_every_report_is_an_output_that_qgis_shows_as_a_page() -> None:
    found = {}
    for algorithm in ALGORITHMS:
        instance = algorithm()
        instance.initAlgorithm({})
        if "report" in instance.contract_stage().parameters:
            found[instance.name()] = instance.outputDefinition("REPORT").type()
    assert {"embedregions", "embedraster", "searchbytext", "describeregions", "clusterregions", "trainmodel"} <= set(
        found
    )
    assert set(found.values()) == {"outputHtml"}


def test_the_worker_is_told_what_repeats_the_run(
    fake: Fake, regions: QgsVectorLayer, tmp_path: Path, context: QgsProcessingContext
) -> None:
    parameters = {"EMBEDDINGS": regions.id(), "CLUSTERS": 4, "OUT": MEMORY, "REPORT": str(tmp_path / "it's r.html")}
    run(ClusterRegions, parameters, context, Feedback())
    line = fake.job["repeat"]
    assert "clusterregions" in line and line.startswith(("processing.run(", "qgis_process run "))
    assert "CLUSTERS" in line and "r.html" in line and "memory:" in line
    table = fake.job["params"]["embeddings"].partition("=")[2]
    assert fake.job["names"] == {table: regions.name(), fake.job["outputs"]["out"]: "Clusters"}


def test_the_worker_is_told_the_file_of_a_layer(
    fake: Fake, regions: QgsVectorLayer, tmp_path: Path, context: QgsProcessingContext
) -> None:
    out = tmp_path / "clusters.gpkg"
    run(ClusterRegions, {"EMBEDDINGS": regions.id(), "OUT": str(out)}, context, Feedback())
    assert fake.job["names"][fake.job["outputs"]["out"]] == str(out)


def test_arrow_and_csv_go_to_the_worker_as_they_are() -> None:
    for name in ("a.arrow", "a.feather", "A.CSV", "a.parquet"):
        assert worker_file({"EMBEDDINGS": name}, "EMBEDDINGS") == Path(name)
    assert worker_file({"EMBEDDINGS": "a.gpkg"}, "EMBEDDINGS") is None

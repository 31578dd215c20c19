"""Embed, cluster, find similar, predict: in Python, by `qgis_process`, as a model and as a batch, the same numbers."""

import json
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from running import ROOT

import urbanfm_core
from urbanfm_core.resources import resource

MODEL = "urbanfm_embed_cluster_similar_predict.model3"
NUMBERS = {
    "cluster": ("cluster", "silhouette", "distance"),
    "similar": ("score", "rank", "percentile", "chosen"),
    "predict": ("pred", "pred_lower", "pred_upper", "pred_residual", "pred_outside"),
}
CLUSTERS, TARGET = 4, "price"


@pytest.fixture(scope="module")
def folder(city, work) -> Path:
    made = work / "chain"
    made.mkdir()
    gpd.read_file(city / "regions.gpkg").iloc[[2, 5]].to_file(made / "chosen.gpkg")
    return made


@pytest.fixture(scope="module")
def expected(city, checkpoint, folder) -> dict[str, gpd.GeoDataFrame]:
    """The chain in Python, through the GeoParquet."""
    regions, table = city / "regions.gpkg", folder / "e.parquet"
    raster = city / "embedding.tif"
    urbanfm_core.embed(checkpoint=checkpoint, regions=regions, embedding_raster=raster, parquet=table, device="cpu")
    given = {"embeddings": table, "regions": regions}
    urbanfm_core.cluster(pois=city / "pois.gpkg", clusters=CLUSTERS, out=folder / "cluster python.gpkg", **given)
    urbanfm_core.similar(embeddings=table, chosen=folder / "chosen.gpkg", out=folder / "similar python.gpkg")
    urbanfm_core.predict(target=TARGET, out=folder / "predict python.gpkg", **given)
    return {step: by_id(folder / f"{step} python.gpkg") for step in NUMBERS}


def by_id(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(path).set_index("region_id").sort_index()


def steps(city: Path, folder: Path, table: Path, way: str) -> list[tuple[str, dict[str, str]]]:
    """Algorithms and their parameters after the embedding."""
    parameters = {
        "cluster": {"POIS": city / "pois.gpkg", "CLUSTERS": CLUSTERS},
        "similar": {"CHOSEN": folder / "chosen.gpkg"},
        "predict": {"TARGET": TARGET},
    }
    names = {"cluster": "clusterregions", "similar": "findsimilarregions", "predict": "predictindicators"}
    return [
        (
            f"urbanfm:{names[step]}",
            {name: str(value) for name, value in given.items()}
            | {"EMBEDDINGS": str(table), "OUT": str(folder / f"{step} {way}.gpkg")},
        )
        for step, given in parameters.items()
    ]


def assert_same(expected: dict[str, gpd.GeoDataFrame], folder: Path, way: str) -> None:
    for step, names in NUMBERS.items():
        found = by_id(folder / f"{step} {way}.gpkg")
        assert list(found.index) == list(expected[step].index)
        for name in names:
            one, other = (frame[name].to_numpy(np.float64, na_value=np.nan) for frame in (found, expected[step]))
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6, err_msg=f"{step} {name}, {way}")


def test_the_chain_is_the_same_by_qgis_process_as_a_model_and_as_a_batch(
    city, checkpoint, folder, expected, qgis
) -> None:
    layers = {"REGIONS": city / "regions.gpkg", "EMBEDDING_RASTER": city / "embedding.tif", "CHECKPOINT": checkpoint}
    qgis.run("urbanfm:embedregions", **layers, OUT=folder / "e.gpkg")
    for algorithm, parameters in steps(city, folder, folder / "e.gpkg", "process"):
        qgis.run(algorithm, **parameters)
    assert_same(expected, folder, "process")

    given = {**layers, "POIS": city / "pois.gpkg", "CHOSEN": folder / "chosen.gpkg"}
    outputs = {"Clusters": "cluster", "Similar regions": "similar", "Predicted regions": "predict"}
    rows = steps(city, folder, folder / "e.gpkg", "batch")
    # A row before it, with other numbers, must leave no trace.
    another = {
        "clusterregions": {"CLUSTERS": "3"},
        "findsimilarregions": {"HOW": "max"},
        "predictindicators": {"SEED": "1"},
    }
    batch = [
        [name, [{**row, **another[name.split(":")[1]], "OUT": str(folder / "another.gpkg")}, row]] for name, row in rows
    ]
    plan = {
        "model": str(resource("models", MODEL)),
        "inputs": {name: str(value) for name, value in given.items()} | {"CLUSTERS": CLUSTERS, "TARGET": TARGET},
        "outputs": {name: str(folder / f"{step} model.gpkg") for name, step in outputs.items()},
        "batch": batch[:1] + [[name, both[1:]] for name, both in batch[1:]],
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    plugins = qgis.profile / "profiles" / "default" / "python" / "plugins"
    command = [sys.executable, ROOT / "tests" / "qgis_chain.py", plugins, folder / "plan.json"]
    done = subprocess.run(command, env=qgis.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same(expected, folder, "model")
    assert_same(expected, folder, "batch")

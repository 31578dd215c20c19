"""Vectors of points of interest and of buildings, by the command line and by what comes after."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from pages import check_page

import urbanfm_core
from urbanfm_core import planning
from urbanfm_core.cli import main
from urbanfm_core.errors import Cancelled, ConfigError, EmptyInputError
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.progress import Progress
from urbanfm_core.stages import make_stage

COMMON = ("emb_dim", "emb_model", "emb_pca1", "emb_pca2", "emb_pca3", "embedding")


@pytest.fixture(scope="module")
def given(work):
    return {"cache": work / "cache-places", "device": "cpu"}


@pytest.fixture(scope="module")
def layers(city, work):
    """Every fourth point, and what lies around them."""
    gpd.read_file(city / "pois.gpkg").iloc[::4].to_file(work / "places-pois.gpkg")
    return {
        "pois": work / "places-pois.gpkg",
        "buildings": city / "buildings.gpkg",
        "streetview": city / "streetview.gpkg",
    }


@pytest.fixture(scope="module")
def model(city, work, given, layers):
    return urbanfm_core.train(
        preset="urbanmfm-tiny", epochs=1, out=work / "places-model", regions=city / "regions.gpkg", **layers, **given
    )


@pytest.fixture(scope="module")
def table(work, given, layers, model):
    outputs = {"out": work / "places.gpkg", "parquet": work / "places.parquet", "map": work / "places.png"}
    return urbanfm_core.embedpois(checkpoint=model, columns=True, **outputs, **layers, **given)


def test_points_have_the_files_that_regions_have(work, layers, table):
    frame = gpd.read_file(work / "places.gpkg")
    source = gpd.read_file(layers["pois"])
    assert set(COMMON) < set(frame.columns) and {"emb_000", "emb_015"} < set(frame.columns)
    assert {"coverage_pois", "coverage_streetview", "coverage_buildings"} < set(frame.columns)
    assert frame.geom_type.unique().tolist() == ["Point"] and frame.name.tolist() == source.name.tolist()
    exact = EmbeddingTable.from_parquet(work / "places.parquet")
    np.testing.assert_array_equal(exact.vectors, table.vectors)
    assert exact.ids.tolist() == table.ids.tolist() and exact.provenance["method"] == "urbanmfm"
    np.testing.assert_allclose(EmbeddingTable.from_layer(work / "places.gpkg").vectors, table.vectors, rtol=1e-6)
    assert np.isfinite(table.vectors).all() and table.vectors.std(axis=0).min() > 1e-4
    assert 0 < table.coverage["buildings"].mean() < 1
    assert 'type="marker"' in (work / "places.qml").read_text() and (work / "places.png").stat().st_size > 10_000
    kinds = source.subcategory
    alike = kinds[kinds == kinds.value_counts().index[0]].index
    unit = table.vectors / np.linalg.norm(table.vectors, axis=1, keepdims=True)
    assert (unit[alike] @ unit[alike].T).mean() > (unit @ unit.T).mean()


def test_the_command_line_writes_the_same_and_leaves_no_work_behind(work, layers, model, table, capsys):
    flags = [f"--{name}={path}" for name, path in {**layers, "checkpoint": model, "cache": work / "cli"}.items()]
    flags += ["--device", "cpu", f"--parquet={work / 'cli.parquet'}", f"--report={work / 'cli.html'}"]
    assert main(["embedpois", *flags, "--batch-size", "7"]) == 0
    page = (work / "cli.html").read_text()
    check_page(page, "200 of 200 points of interest have a vector", "What the inputs cover", "UrbanMFM")
    # A dot for each point, and the four colours of the legend or fewer.
    assert page.count("<rect") in range(203, 206)
    assert "points: 200" in capsys.readouterr().out
    np.testing.assert_allclose(EmbeddingTable.from_parquet(work / "cli.parquet").vectors, table.vectors, atol=1e-5)
    assert not list((work / "cli" / "embedpois").glob("*"))


def test_clusters_similar_places_predictions_and_scores_are_made_of_points(work, table):
    given = {"embeddings": work / "places.parquet"}
    urbanfm_core.cluster(**given, clusters=3, fields=["category"], out=work / "pc.gpkg", report=work / "pc.html")
    clusters = gpd.read_file(work / "pc.gpkg")
    assert (
        len(clusters) == 200 and clusters.geom_type.unique().tolist() == ["Point"] and clusters.cluster.nunique() == 3
    )
    assert "marker" in (work / "pc.qml").read_text() and "<rect" in (work / "pc.html").read_text()
    found = urbanfm_core.similar(**given, ids=[str(table.ids[0])], out=work / "ps.gpkg", report=work / "ps.html")
    assert found.ranking.ranked == 199 and gpd.read_file(work / "ps.gpkg").geom_type.unique().tolist() == ["Point"]
    clusters.iloc[[5]].to_file(work / "chosen.gpkg")
    assert urbanfm_core.similar(**given, chosen=work / "chosen.gpkg").chosen_ids == [table.ids[5]]
    urbanfm_core.predict(
        **given, target="category", out=work / "pp.gpkg", parquet=work / "pp.parquet", report=work / "pp.html"
    )
    assert set(gpd.read_file(work / "pp.gpkg").pred) <= set(clusters.category.dropna())
    scored = urbanfm_core.evaluate(**given, targets=["category"], seeds=1, probes="linear", report=work / "pe.html")
    assert {score.features for score in scored.results[0].scores} == {"places", "coordinates"}


@pytest.mark.parametrize(
    "stage, more, words",
    [
        ("cluster", {"pois": "pois"}, "points of interest .pois. needs polygons"),
        ("evaluate", {"targets": ["category"], "pois": "pois"}, "A floor of pois needs polygons"),
        ("predict", {"target": "number/km2"}, "points have no area"),
    ],
)
def test_what_needs_a_surface_is_refused_for_points(work, layers, table, stage, more, words):
    frame = gpd.read_parquet(work / "places.parquet")
    frame["number"] = np.arange(len(frame)) + 1.0
    frame.to_parquet(work / "numbered.parquet")
    more = {name: layers.get(value, value) if isinstance(value, str) else value for name, value in more.items()}
    with pytest.raises(ConfigError, match=words):
        getattr(urbanfm_core, stage)(embeddings=work / "numbered.parquet", **more)


def test_buildings_stay_polygons_and_their_outlines_are_read(city, work, given, layers, model):
    buildings = gpd.read_file(city / "buildings.gpkg").iloc[:60]
    buildings["kind"] = np.where(np.arange(60) % 3 == 0, None, np.where(np.arange(60) % 2, "house", "shop"))
    buildings["nothing"] = ""
    buildings.to_file(work / "kinds.gpkg")
    table = urbanfm_core.embedpois(
        checkpoint=model, pois=work / "kinds.gpkg", poi_tags=["kind"], out=work / "bt.gpkg", **given
    )
    assert gpd.read_file(work / "bt.gpkg").geom_type.isin(["Polygon", "MultiPolygon"]).all()
    assert np.isnan(table.vectors[::3]).all() and table.covered.sum() == 40
    assert table.coverage["buildings"].sum() == 40 and table.regions.id_name == "building_id"
    with pytest.raises(EmptyInputError, match="None of the 60 points of interest has a vector"):
        urbanfm_core.embedpois(checkpoint=model, pois=work / "kinds.gpkg", poi_tags=["nothing"], **given)


def test_aether_takes_text_and_surroundings_together(city, work, given, layers, checkpoint):
    pois = gpd.read_file(layers["pois"])
    pois.loc[0, ["name", "category", "subcategory"]] = None
    pois.loc[1, "geometry"] = pois.geometry[1].__class__(pois.geometry[1].x + 90_000, pois.geometry[1].y)
    pois.loc[2, ["name", "category", "subcategory", "geometry"]] = [None, None, None, pois.geometry[1]]
    pois.to_file(work / "aether-pois.gpkg")
    layer = {"pois": work / "aether-pois.gpkg", "poi_name": "name", "poi_category": "category"}
    raster = {"embedding_raster": city / "embedding.tif"}
    both = urbanfm_core.embedpois(checkpoint=checkpoint, **layer, **raster, **given)
    text = urbanfm_core.embedpois(checkpoint=checkpoint, **layer, **given)
    assert both.coverage["pois"][:3].tolist() == [0, 1, 0] and both.coverage["embedding_raster"][:3].tolist() == [
        1,
        0,
        0,
    ]
    assert both.covered[:3].tolist() == [True, True, False] and text.covered[:3].tolist() == [False, True, False]
    np.testing.assert_allclose(both.vectors[1], text.vectors[1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(both.vectors[both.covered], axis=1), 1, atol=1e-5)
    assert np.abs(both.vectors[3:] - text.vectors[3:]).max() > 0.1
    assert np.nanargmax(text.vectors @ text.vectors[1]) == 1


def test_a_method_without_places_says_which_has_them(city, work, given, layers):
    made = urbanfm_core.train(
        preset="refound-tiny", epochs=1, out=work / "no-places", pois=layers["pois"], regions=city / "regions.gpkg",
        overrides=["dlfm=false", "dvfm=false", "dvlfm=false", "max_tokens=64", "max_pois=16"], **given,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="ReFound has no vectors of single points") as refused:
        urbanfm_core.embedpois(checkpoint=made, pois=layers["pois"], **given)
    assert "AETHER or UrbanMFM" in str(refused.value.hint)


def test_a_cancelled_run_is_taken_up(work, given, layers, model, table, monkeypatch):
    monkeypatch.setattr("urbanfm_core.models.urbanmfm.compute._PARTITION", 40)

    class Stop(Progress):
        after = 2

        def update(self, fraction, message=""):
            self.after -= "points of interest" in message and "/200" in message

        def cancelled(self):
            return self.after <= 0

    here = {**given, "cache": work / "cache-cancelled"}
    with pytest.raises(Cancelled):
        urbanfm_core.embedpois(checkpoint=model, progress=Stop(), parquet=work / "never.parquet", **layers, **here)
    assert not (work / "never.parquet").exists()
    kept = list((work / "cache-cancelled").glob("embedpois/*/place-vectors/0*"))
    assert 2 <= len(kept) < 5
    again = urbanfm_core.embedpois(checkpoint=model, **layers, **here)
    np.testing.assert_allclose(again.vectors, table.vectors, atol=1e-6)
    assert not list((work / "cache-cancelled").glob("embedpois/*"))


def test_a_dry_run_measures_and_writes_nothing(work, given, layers, model):
    before = sorted(work.rglob("*"))
    values = {"checkpoint": model, "out": work / "dry-places.gpkg", **layers, **given}
    found = planning.plan("embedpois", make_stage("embedpois", values), Progress())
    assert ("features", "200, each of which gets a vector") in found.reads
    assert found.seconds["embedding"] > 0 and found.memory_bytes > 0 and found.device
    assert sorted(work.rglob("*")) == before


def test_tables_and_multi_points_and_layers_that_the_method_does_not_read(city, work, given, layers, model):
    frame = gpd.read_file(layers["pois"]).to_crs(4326).fillna({"subcategory": "kiosk"})
    places = pd.DataFrame(
        {
            "lon": frame.geometry.x,
            "lat": frame.geometry.y,
            "tags": [json.dumps({"shop": kind}) for kind in frame.subcategory],
        }
    )
    places.loc[3, "lon"] = None
    places.to_csv(work / "places.csv", index=False)
    table = urbanfm_core.embedpois(
        checkpoint=model, pois=work / "places.csv", roads=city / "roads.gpkg", out=work / "from-csv.gpkg", **given
    )
    assert len(table.ids) == 199 and table.covered.all() and table.regions.id_name == "poi_id"
    assert set(table.coverage) == {"pois"}

"""Dry runs of what asks something of a trained model: they say what would be read, where, and for how long, and leave no
file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest

import urbanfm_core
from urbanfm_core import planning
from urbanfm_core.errors import ConfigError
from urbanfm_core.planning import Plan, pilots
from urbanfm_core.planning.pilots import scaled
from urbanfm_core.progress import Progress
from urbanfm_core.stages import make_stage

QUICK = ["dlfm=false", "dvfm=false", "dvlfm=false", "max_tokens=128", "max_pois=48"]


@pytest.fixture(scope="module")
def layers(city: Path, work: Path) -> dict[str, Any]:
    return {
        "regions": city / "regions.gpkg",
        "pois": city / "pois.gpkg",
        "imagery": city / "imagery.tif",
        "cache": work / "cache-dry",
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def model(layers: dict[str, Any], work: Path) -> Path:
    found: Path = urbanfm_core.train(preset="refound-tiny", epochs=1, out=work / "dry-model", overrides=QUICK, **layers)
    return found


@pytest.fixture(scope="module")
def embeddings(layers: dict[str, Any], model: Path, work: Path) -> Path:
    urbanfm_core.embed(checkpoint=model, parquet=work / "dry.parquet", **layers)
    return work / "dry.parquet"


def plan(name: str, **values: Any) -> Plan:
    return planning.plan(name, make_stage(name, values), Progress())


def read(found: Plan, name: str) -> str:
    (what,) = [what for known, what in found.reads if known == name]
    return what


def test_few_and_more_rows_tell_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(pilots.time, "perf_counter", lambda: now[0])

    def run(rows: Any) -> None:
        now[0] += 3 + 0.5 * len(rows)

    assert scaled(np.arange(1000), (10, 50), run) == pytest.approx(3 + 0.5 * 1000)
    assert scaled(np.arange(7), (10, 50), run) == pytest.approx(3 + 0.5 * 7)


def test_attention(layers, model, work):
    before = sorted(work.rglob("*"))
    found = plan("attend", checkpoint=model, categories=["food and drink"], raster=work / "look.tif", **layers)
    points = gpd.read_file(layers["pois"])
    chosen = points[points.category == "Food and Drink"]
    assert read(found, "chosen points").startswith(f"{len(chosen)} of {len(points)}: food and drink")
    joined = gpd.sjoin(chosen, gpd.read_file(layers["regions"])[["region_id", "geometry"]])
    assert read(found, "regions with a chosen point") == f"{joined.index_right.nunique()} of 50"
    assert "bands" in read(found, "imagery")
    assert found.device and found.seconds["reading attention"] > 0 and found.memory_bytes > 0
    assert found.writes == [str(work / "look.tif")] and sorted(work.rglob("*")) == before


def test_attention_in_regions_without_imagery_is_not_measured(layers, model, work):
    far = gpd.read_file(layers["regions"])
    far.geometry = far.geometry.translate(400_000, 0)
    far.to_file(work / "dry-far.gpkg")
    found = plan("attend", checkpoint=model, **{**layers, "regions": work / "dry-far.gpkg"})
    assert read(found, "regions with a chosen point") == "0 of 50"
    assert found.seconds["reading attention"] is None
    assert any("not measured" in note and "None of" in note for note in found.notes)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_prediction_by_a_probe(embeddings, layers, head):
    found = plan("predict", embeddings=embeddings, regions=layers["regions"], target="population", head=head)
    assert read(found, "target") == "population (regression), known for 49 of 50 regions"
    assert read(found, "embeddings") == "32 dimensions for 50 of 50 regions"
    assert found.seconds["predicting"] > 0 and found.device
    # Ridge regression is quick enough for one model a block.
    count = next(int(note.split()[0]) for note in found.notes if "models of the probe" in note)
    assert count == 5 if head == "mlp" else 5 < count <= 25


def test_fine_tuning(layers, model, work):
    before = sorted(work.rglob("*"))
    values = {**layers, "checkpoint": model, "head": "finetune", "target": "population", "epochs": 8}
    found = plan("predict", **values, checkpoint_out=work / "tuned")
    assert found.seconds["reading regions"] > 0 and found.seconds["fine-tuning"] > 0
    assert any("6 trainings of 8 epochs on about 39 regions in batches of 12" in note for note in found.notes)
    assert sorted(work.rglob("*")) == before
    with pytest.raises(ConfigError, match="no prediction head yet"):
        plan("predict", **{**values, "head": "linear"})


def test_embedding_by_regions(layers, model):
    found = plan("embed", checkpoint=model, **layers)
    assert read(found, "regions").startswith("50 polygons")
    assert found.seconds["embedding"] > 0


def test_ablation(layers, work):
    found = plan(
        "ablate", preset="refound-tiny", targets=["population"], variants=["w/o CMSA"], training_seeds=2, seeds=2,
        overrides=QUICK, **layers,
    )  # fmt: skip
    assert read(found, "targets") == "population of 49 regions"
    assert read(found, "regions").startswith("50 polygons") and "points" in read(found, "pois")
    assert all(found.seconds[step] > 0 for step in ("preparing", "training", "embedding", "scoring"))
    assert any(note.startswith("4 trainings: full, w/o CMSA, 2 times each") for note in found.notes)
    assert found.device


def test_roads_buildings_and_features_are_told(layers: dict[str, Any], city: Path, work: Path) -> None:
    regions = gpd.read_file(city / "regions.gpkg")
    regions[["region_id", "price", "population"]].to_csv(work / "dry-extra.csv", index=False)
    given = {"roads": city / "roads.gpkg", "buildings": city / "buildings.gpkg", "features": work / "dry-extra.csv"}
    found = plan("train", preset="refound-tiny", epochs=1, out=work / "dry-none", overrides=QUICK, **layers, **given)
    assert " segments, " in read(found, "roads")
    assert f"{len(gpd.read_file(city / 'buildings.gpkg')):,} outlines" in read(found, "buildings")
    assert read(found, "features") == "2 numbers per region"
    assert not (work / "dry-none").exists()

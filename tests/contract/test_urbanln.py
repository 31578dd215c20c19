"""UrbanLN as its users run it, on a small generated city: pictures from above, street views, phrases, a ready-made CLIP."""

import json
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import running
import shapely
import torch

import urbanfm_core
from urbanfm_core.errors import CheckpointError, ConfigError
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.models.urbanln.method import UrbanLN
from urbanfm_core.progress import Progress
from urbanfm_core.training.checkpoint import Checkpoint, restore

sys.path.insert(0, str(Path(__file__).parents[1]))
from core.importers.test_clip import write_clip

VIEWS = {"imagery": "imagery.tif", "streetview": "streetview.gpkg"}


@pytest.fixture(scope="module")
def given(city, work):
    return {"regions": city / "regions.gpkg", "cache": work / "cache-urbanln", "device": "cpu"}


@pytest.fixture(scope="module")
def trained(city, work, given):
    """Both variants: +SI by the command line, +SV from Python."""
    running.urbanfm(
        *("train", "--preset", "urbanln-tiny", "--epochs", "60", "--device", "cpu", "--out", work / "ln-imagery"),
        *("--regions", given["regions"], "--imagery", city / "imagery.tif", "--captions", city / "captions.parquet"),
        *("--cache", given["cache"]),
    )
    layers = {"captions": city / "captions.parquet", "streetview": city / "streetview.gpkg"}
    urbanfm_core.train(preset="urbanln-tiny", epochs=20, out=work / "ln-streetview", **layers, **given)
    return {view: work / f"ln-{view}" for view in VIEWS}


@pytest.fixture(scope="module")
def tables(city, work, given, trained):
    running.urbanfm(
        *("embed", "--checkpoint", trained["imagery"], "--imagery", city / "imagery.tif", "--device", "cpu"),
        *("--regions", given["regions"], "--parquet", work / "ln.parquet", "--cache", given["cache"]),
    )
    street = urbanfm_core.embed(checkpoint=trained["streetview"], streetview=city / "streetview.gpkg", **given)
    return {"imagery": EmbeddingTable.from_parquet(work / "ln.parquet"), "streetview": street}


@pytest.mark.parametrize("view", VIEWS)
def test_the_checkpoint_holds_teacher_and_queues_and_says_what_it_saw(trained, view):
    found = urbanfm_core.inspect(checkpoint=trained[view])
    assert found.config["view"] == view and found.config["end_id"] > 0
    assert found.history[-1]["contrastive"] < found.history[0]["contrastive"]
    assert len(found.weights["teacher.image_queue"]) == found.config["queue"]
    student = {name for name in found.weights if name.startswith("student.")}
    assert {name.replace("student.", "teacher.network.", 1) for name in student} <= set(found.weights)
    assert any("have a caption and are trained on" in note for note in found.manifest["notes"])


def test_every_region_has_a_vector_of_its_picture(tables):
    table = tables["imagery"]
    np.testing.assert_allclose(np.linalg.norm(table.vectors, axis=1), 1, atol=1e-5)
    assert table.vectors.std(axis=0).min() > 1e-4 and set(table.coverage) == {"imagery"}


def test_a_region_is_the_mean_of_its_street_views_and_those_without_any_are_said(city, tables, trained, given, work):
    table = tables["streetview"]
    views = gpd.read_file(city / "streetview.gpkg")
    counts = views["region_id"].value_counts() if "region_id" in views else None
    seen = table.coverage["streetview"] > 0
    assert 0 < seen.sum() < len(table.ids) and set(table.coverage["streetview"]) == {0, 1}
    assert np.isfinite(table.vectors[seen]).all() and np.isnan(table.vectors[~seen]).all()
    assert counts is None or set(counts.index) == set(np.array(table.ids)[seen])
    # Each view by itself, its region narrowed to a disk around the camera.
    region = np.flatnonzero(seen)[0]
    around = table.regions.to_frame().iloc[[region]]
    within = views.to_crs(around.crs)
    within = within[within.within(around.geometry.iloc[0].buffer(1))]
    assert len(within) > 1
    single = []
    for number, row in enumerate(within.index):
        one = work / f"view{number}"
        one.mkdir()
        views.loc[[row]].assign(path=[str(city / views.loc[row, "path"])]).to_file(one / "one.gpkg")
        found = urbanfm_core.embed(checkpoint=trained["streetview"], streetview=one / "one.gpkg", **given)
        assert (found.coverage["streetview"] > 0).sum() == 1
        single.append(found.vectors[region])
    np.testing.assert_allclose(np.linalg.norm(single, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.mean(single, axis=0), table.vectors[region], atol=1e-5)


def test_without_regions_a_grid_is_laid_over_the_street_views(city, work, trained, given):
    plain = {name: value for name, value in given.items() if name != "regions"}
    views, out = city / "streetview.gpkg", work / "ln-grid.gpkg"
    urbanfm_core.embed(checkpoint=trained["streetview"], streetview=views, grid_size=1000, out=out, **plain)
    points = gpd.read_file(views)
    cells = gpd.read_file(out).to_crs(points.crs)
    assert len(cells) > 1 and points.within(cells.union_all()).all()


def test_notes_count_regions_without_a_picture(city, trained, given, work, capsys):
    frame = gpd.read_file(city / "regions.gpkg").iloc[:3].copy()
    west, south = frame.total_bounds[:2]
    frame.loc[frame.index[2], frame.geometry.name] = shapely.box(west - 90_000, south, west - 89_500, south + 500)
    frame.to_file(work / "ln-far.gpkg")
    table = urbanfm_core.embed(
        checkpoint=trained["imagery"], imagery=city / "imagery.tif", **{**given, "regions": work / "ln-far.gpkg"}
    )
    assert np.isfinite(table.vectors[:2]).all() and np.isnan(table.vectors[2]).all()
    assert table.coverage["imagery"][2] == 0


def test_regions_are_ranked_by_a_phrase(trained, tables, work):
    tables["imagery"].to_parquet(work / "ln-search.parquet")
    found = urbanfm_core.search(
        checkpoint=trained["imagery"], embeddings=work / "ln-search.parquet", query="A dense quarter of tall buildings"
    )
    assert found.ranked == len(tables["imagery"].ids) and np.ptp(found.score) > 1e-3
    method, model = restore(Checkpoint.load(trained["imagery"]), torch.device("cpu"))
    vectors = method.text_vectors(model, ["a park", "tall buildings", "a park"], Progress())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4


def test_pictures_are_nearer_to_their_own_captions_than_to_others(city, trained, tables):
    captions = pd.read_parquet(city / "captions.parquet")
    captions = captions[(captions["image"] == "satellite") & ~captions["refused"]]
    method, model = restore(Checkpoint.load(trained["imagery"]), torch.device("cpu"))
    cosine = method.text_vectors(model, list(captions["caption"]), Progress()) @ tables["imagery"].vectors.T
    own = cosine[np.arange(len(cosine)), [list(tables["imagery"].ids).index(one) for one in captions["region_id"]]]
    # Share of the regions that fit a caption better than its own; half of them by chance.
    assert (cosine > own[:, None]).mean() < 0.35


@pytest.mark.parametrize("name", sorted(UrbanLN.ablations))
def test_each_ablation_of_the_paper_changes_the_network_and_trains(city, work, given, trained, name):
    base = Checkpoint.load(trained["imagery"])
    changes = [f"{field}={json.dumps(value)}" for field, value in UrbanLN.ablations[name].items()]
    layers = {"imagery": city / "imagery.tif", "captions": city / "captions.parquet"}
    path = urbanfm_core.train(preset="urbanln-tiny", epochs=1, overrides=changes, out=work / name, **layers, **given)
    without = Checkpoint.load(path)
    whole, less = ({part: tensor.shape for part, tensor in one.weights.items()} for one in (base, without))
    # Without consensus it is the captions that differ: one of each picture's.
    assert (whole == less) == (name == "w/o Consensus")
    counts = [one.preprocessing["counts"]["captions"] for one in (base, without)]
    assert counts == ([150, 50] if name == "w/o Consensus" else [150, 150])


def test_a_ready_made_clip_embeds_without_training_and_starts_one(city, work, given):
    folder = work / "clip"
    folder.mkdir()
    model = write_clip(folder)
    path = urbanfm_core.importcheckpoint(checkpoint=folder, method="urbanln", out=work / "ln-clip")
    for view, layer in VIEWS.items():
        table = urbanfm_core.embed(checkpoint=path, **{view: city / layer}, **given)
        assert table.vectors.shape[1] == 24 and np.isfinite(table.vectors).any()
    layers = {"imagery": city / "imagery.tif", "captions": city / "captions.parquet"}
    overrides = [f"initialise={folder}", "tokenizer="]
    path = urbanfm_core.train(
        preset="urbanln-tiny", epochs=1, learning_rate=1e-12, overrides=overrides, out=work / "ln-on", **layers, **given
    )
    found = Checkpoint.load(path)
    for who in ("student.clip", "teacher.network.clip"):
        weights = found.weights[f"{who}.visual_projection.weight"]
        torch.testing.assert_close(weights, model.visual_projection.weight.detach(), atol=1e-6, rtol=0)
    assert len(found.weights["student.clip.text_model.embeddings.position_embedding.weight"]) == 248
    assert found.preprocessing["statistics"]["mean"] == [0.5, 0.4, 0.3]


def test_what_it_cannot_do_is_said_before(city, work, given, trained):
    both = {view: city / layer for view, layer in VIEWS.items()}
    with pytest.raises(ConfigError, match="both were given"):
        urbanfm_core.train(preset="urbanln-tiny", captions=city / "captions.parquet", out=work / "no", **both, **given)
    with pytest.raises(ConfigError, match="--captions"):
        urbanfm_core.train(preset="urbanln-tiny", imagery=city / "imagery.tif", out=work / "no", **given)
    with pytest.raises(ConfigError, match="--streetview"):
        urbanfm_core.embed(checkpoint=trained["streetview"], imagery=city / "imagery.tif", **given)
    checkpoint = Checkpoint.load(trained["imagery"])
    del checkpoint.preprocessing["statistics"]
    checkpoint.save(work / "ln-silent")
    with pytest.raises(CheckpointError, match="lacks statistics"):
        urbanfm_core.embed(checkpoint=work / "ln-silent", imagery=city / "imagery.tif", **given)


def test_one_command_reruns_the_ablations(city, work, given):
    found = urbanfm_core.ablate(
        preset="urbanln-tiny",
        imagery=city / "imagery.tif",
        captions=city / "captions.parquet",
        targets=["population"],
        epochs=1,
        training_seeds=1,
        seeds=1,
        folds=2,
        blocks=4,
        probes="linear",
        **given,
    )
    assert {one.name for one in found.variants} >= set(UrbanLN.ablations)

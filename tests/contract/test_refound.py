"""ReFound as its users run it, on a small generated city: with both layers, with one of them, and where both lack."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch

import urbanfm_core
from urbanfm_core.errors import CheckpointError, ConfigError
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.models.refound.method import ReFound
from urbanfm_core.training.checkpoint import Checkpoint, restore

GOLDEN = Path(__file__).parents[1] / "golden" / "refound"


@pytest.fixture(scope="module")
def given(city, work):
    return {"regions": city / "regions.gpkg", "cache": work / "cache-refound", "device": "cpu"}


@pytest.fixture(scope="module")
def both(city, work, given):
    layers = {"pois": city / "pois.gpkg", "imagery": city / "imagery.tif"}
    return urbanfm_core.train(preset="refound-tiny", epochs=6, out=work / "refound", **layers, **given)


@pytest.fixture(scope="module")
def vectors(city, work, given, both):
    layers = {"pois": city / "pois.gpkg", "imagery": city / "imagery.tif"}
    return urbanfm_core.embed(checkpoint=both, parquet=work / "refound.parquet", **layers, **given)


def test_all_five_objectives_are_learned(both):
    found = urbanfm_core.inspect(checkpoint=both)
    for name in ("loss", "dlfm", "mgdm"):
        assert found.history[-1][name] < found.history[0][name]
    assert {"dvfm", "dvlfm", "cmsa"} <= set(found.history[0])
    assert found.preprocessing["sees"] == ["pois", "imagery"]
    assert {"language", "vision", "vision_language"} == set(found.preprocessing["teachers"])


def test_every_region_has_a_vector_and_its_coverage(vectors, work):
    assert np.isfinite(vectors.vectors).all()
    assert vectors.vectors.std(axis=0).min() > 1e-4
    assert set(vectors.coverage) == {"pois", "imagery"}
    read = EmbeddingTable.from_parquet(work / "refound.parquet")
    np.testing.assert_array_equal(read.vectors, vectors.vectors)


def test_a_region_s_vector_does_not_depend_on_the_others(city, given, both, vectors, work):
    frame = gpd.read_file(city / "regions.gpkg").iloc[[30, 3, 17]]
    frame.to_file(work / "some.gpkg")
    layers = {"pois": city / "pois.gpkg", "imagery": city / "imagery.tif"}
    some = urbanfm_core.embed(checkpoint=both, **{**given, "regions": work / "some.gpkg"}, **layers)
    rows = [list(vectors.ids).index(one) for one in some.ids]
    np.testing.assert_allclose(some.vectors, vectors.vectors[rows], atol=2e-5)


def test_bfloat16_changes_digits_only(city, given, both, vectors):
    layers = {"pois": city / "pois.gpkg", "imagery": city / "imagery.tif"}
    low = urbanfm_core.embed(checkpoint=both, precision="bfloat16", **layers, **given)
    lengths = np.linalg.norm(low.vectors, axis=1) * np.linalg.norm(vectors.vectors, axis=1)
    assert ((low.vectors * vectors.vectors).sum(axis=1) / lengths).min() > 0.999
    assert low.vectors.dtype == np.float32 and np.abs(low.vectors - vectors.vectors).max() > 1e-5


@pytest.mark.parametrize("only", ["pois", "imagery"])
def test_one_layer_is_enough_to_train_and_to_embed(city, work, given, only):
    layers = {only: city / ("pois.gpkg" if only == "pois" else "imagery.tif")}
    checkpoint = urbanfm_core.train(preset="refound-tiny", out=work / f"only-{only}", **layers, **given)
    found = urbanfm_core.inspect(checkpoint=checkpoint)
    assert ("dlfm" in found.history[0]) == (only == "pois")
    assert ("dvfm" in found.history[0]) == (only == "imagery")
    table = urbanfm_core.embed(checkpoint=checkpoint, **layers, **given)
    assert np.isfinite(table.vectors).any() and set(table.coverage) == {only}


def test_a_layer_that_was_not_trained_on_is_left_out_and_said(city, work, given):
    layers = {"pois": city / "pois.gpkg"}
    checkpoint = urbanfm_core.train(preset="refound-tiny", out=work / "only-pois", **layers, **given)
    plain = urbanfm_core.embed(checkpoint=checkpoint, **layers, **given)
    more = urbanfm_core.embed(checkpoint=checkpoint, imagery=city / "imagery.tif", **layers, **given)
    np.testing.assert_allclose(more.vectors, plain.vectors, atol=2e-5)


def test_both_kinds_of_region_without_a_side_and_one_without_either(city, work, given, both):
    frame = gpd.read_file(city / "regions.gpkg").iloc[:3].copy()
    west, south = frame.total_bounds[:2]
    far = shapely.box(west - 90_000, south, west - 89_500, south + 500)
    frame.loc[frame.index[2], frame.geometry.name] = far
    frame.to_file(work / "far.gpkg")
    layers = {"pois": city / "pois.gpkg", "imagery": city / "imagery.tif"}
    table = urbanfm_core.embed(checkpoint=both, **{**given, "regions": work / "far.gpkg"}, **layers)
    assert np.isfinite(table.vectors[:2]).all() and np.isnan(table.vectors[2]).all()
    by_image = urbanfm_core.embed(
        checkpoint=both, imagery=city / "imagery.tif", **{**given, "regions": work / "far.gpkg"}
    )
    assert np.isfinite(by_image.vectors[:2]).all()
    assert np.abs(by_image.vectors[:2] - table.vectors[:2]).max() > 1e-3


def test_without_any_layer_it_says_which(work, given):
    with pytest.raises(ConfigError, match="--pois or --imagery"):
        urbanfm_core.train(preset="refound-tiny", out=work / "none", **given)


@pytest.mark.parametrize("name", sorted(ReFound.ablations))
def test_each_ablation_of_the_paper_changes_the_objectives_or_the_network(both, name):
    checkpoint = Checkpoint.load(both)
    _, trained = restore(checkpoint, torch.device("cpu"))
    whole = {part for part, _ in trained.model.named_parameters()}
    config = trained.config.__class__(**{**checkpoint.config, **ReFound.ablations[name]})
    without = {part for part, _ in ReFound().build(config).named_parameters()}
    assert whole != without


def test_published_weights_are_imported_and_embed(city, work, given):
    (work / "categories.txt").write_text("\n".join(["cafe", "park", "school"]))
    checkpoint = urbanfm_core.importcheckpoint(
        checkpoint=GOLDEN / "refound_random.pdparams",
        method="refound",
        tokenizer=str(GOLDEN / "wordpiece"),
        category_names=work / "categories.txt",
        heads=4,
        out=work / "imported",
    )
    layers = {"pois": city / "pois.gpkg", "imagery": city / "imagery.tif"}
    table = urbanfm_core.embed(checkpoint=checkpoint, **layers, **given)
    assert np.isfinite(table.vectors).all() and table.vectors.shape[1] == 48
    # No category of the city is in the list, but names and pictures are read.
    assert np.unique(table.vectors.round(4), axis=0).shape[0] > len(table.ids) / 2


def test_a_checkpoint_that_does_not_say_how_it_was_trained_is_refused(city, work, given, both):
    checkpoint = Checkpoint.load(both)
    for name in ("sees", "statistics"):
        del checkpoint.preprocessing[name]
    checkpoint.save(work / "silent")
    with pytest.raises(CheckpointError, match="lacks sees, statistics"):
        urbanfm_core.embed(checkpoint=work / "silent", pois=city / "pois.gpkg", **given)

"""UrbanCLIP as its users run it, on a small generated city: pictures with captions, and what lacks one of the two."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import torch

import urbanfm_core
from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import CheckpointError, ConfigError, EmptyInputError
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.models.urbanclip.describe import Writing, describe
from urbanfm_core.models.urbanclip.method import UrbanClip
from urbanfm_core.progress import Progress
from urbanfm_core.training.checkpoint import Checkpoint, restore


@pytest.fixture(scope="module")
def given(city, work):
    return {
        "regions": city / "regions.gpkg",
        "imagery": city / "imagery.tif",
        "cache": work / "cache-urbanclip",
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def trained(city, work, given):
    captions = city / "captions.parquet"
    return urbanfm_core.train(preset="urbanclip-tiny", epochs=8, out=work / "urbanclip", captions=captions, **given)


@pytest.fixture(scope="module")
def vectors(work, given, trained):
    return urbanfm_core.embed(checkpoint=trained, parquet=work / "urbanclip.parquet", **given)


def test_both_losses_are_learned(trained):
    found = urbanfm_core.inspect(checkpoint=trained)
    for name in ("contrastive", "captioning"):
        assert found.history[-1][name] < found.history[0][name]
    np.testing.assert_allclose(
        found.history[0]["loss"], found.history[0]["contrastive"] + found.history[0]["captioning"], rtol=1e-6
    )
    assert found.preprocessing["counts"] | {"texts": 0} == {"regions": 50, "used": 50, "texts": 0}
    assert found.preprocessing["counts"]["texts"] > 150
    assert any("divided into several texts" in note for note in found.manifest["notes"])


def test_every_region_has_a_unit_vector_and_its_coverage(vectors, work):
    np.testing.assert_allclose(np.linalg.norm(vectors.vectors, axis=1), 1, atol=1e-5)
    assert np.unique(vectors.vectors.round(4), axis=0).shape[0] > 40
    assert set(vectors.coverage) == {"imagery"} and vectors.coverage["imagery"].min() > 0.5
    np.testing.assert_array_equal(EmbeddingTable.from_parquet(work / "urbanclip.parquet").vectors, vectors.vectors)


def test_regions_are_found_by_words(work, trained, vectors):
    ranking = urbanfm_core.search(
        checkpoint=trained, embeddings=work / "urbanclip.parquet", query="plenty of trees", device="cpu"
    )
    assert np.isfinite(np.asarray(ranking.vectors if hasattr(ranking, "vectors") else ranking.score)).all()


def test_pixels_are_not_searched_by_a_model_of_pictures(city, work, trained):
    given = {"checkpoint": trained, "embedding_raster": city / "embedding.tif", "raster": work / "none.tif"}
    with pytest.raises(ConfigError, match="UrbanCLIP does not embed single pixels"):
        urbanfm_core.search(query="plenty of trees", device="cpu", **given)
    assert not (work / "none.tif").exists()


def test_regions_without_a_caption_or_a_picture_are_counted_and_not_trained_on(city, work, given):
    frame = gpd.read_file(city / "regions.gpkg").iloc[:12].copy()
    west, south = frame.total_bounds[:2]
    frame.loc[frame.index[3], frame.geometry.name] = shapely.box(west - 90_000, south, west - 89_500, south + 500)
    frame.to_file(work / "odd.gpkg")
    captions = pd.read_parquet(city / "captions.parquet", columns=["region_id", "image", "captioner", "caption"])
    captions = captions[captions.region_id != frame.region_id.iloc[0]]
    captions.to_parquet(work / "fewer.parquet")
    checkpoint = urbanfm_core.train(
        preset="urbanclip-tiny",
        **{**given, "regions": work / "odd.gpkg"},
        captions=work / "fewer.parquet",
        out=work / "odd-urbanclip",
    )
    found = Checkpoint.load(checkpoint)
    notes = " ".join(found.manifest["notes"])
    assert found.preprocessing["counts"]["used"] == 10
    assert "1 pictures have no caption" in notes and "1 of 12 regions have no imagery" in notes
    assert "texts belong to pictures without data" in notes and "captions are empty or of other pictures" in notes
    table = urbanfm_core.embed(checkpoint=checkpoint, **{**given, "regions": work / "odd.gpkg"})
    assert np.isfinite(table.vectors).all(axis=1).tolist() == [row != 3 for row in range(12)]
    assert table.coverage["imagery"][3] == 0


def test_a_region_s_vector_does_not_depend_on_the_others(city, work, given, trained, vectors):
    gpd.read_file(city / "regions.gpkg").iloc[[30, 3, 17]].to_file(work / "three.gpkg")
    some = urbanfm_core.embed(checkpoint=trained, **{**given, "regions": work / "three.gpkg"})
    rows = [list(vectors.ids).index(one) for one in some.ids]
    np.testing.assert_allclose(some.vectors, vectors.vectors[rows], atol=2e-5)


def test_points_of_interest_join_as_a_third_modality(city, work, given):
    layers = {"captions": city / "captions.parquet", "pois": city / "pois.gpkg"}
    checkpoint = urbanfm_core.train(
        preset="urbanclip-tiny", overrides=["extra=template"], out=work / "third", **layers, **given
    )
    found = Checkpoint.load(checkpoint)
    assert "extra" in found.history[0] and found.config["extra_dim"] == 384
    table = urbanfm_core.embed(checkpoint=checkpoint, **given)
    assert np.isfinite(table.vectors).all()
    del layers["pois"]
    without = urbanfm_core.train(
        preset="urbanclip-tiny", overrides=["extra=template"], out=work / "no-third", **layers, **given
    )
    found = Checkpoint.load(without)
    assert "extra" not in found.history[0]
    assert any("no third modality" in note for note in found.manifest["notes"])


@pytest.mark.parametrize("name", sorted(UrbanClip.ablations))
def test_each_ablation_of_the_paper_trains_other_losses_and_embeds(city, work, given, name):
    changes = [f"{field}={value}" for field, value in UrbanClip.ablations[name].items()]
    checkpoint = urbanfm_core.train(
        preset="urbanclip-tiny",
        overrides=changes,
        captions=city / "captions.parquet",
        out=work / f"ablation-{sorted(UrbanClip.ablations).index(name)}",
        **given,
    )
    losses = set(urbanfm_core.inspect(checkpoint=checkpoint).history[0])
    expected = {
        "UrbanViT": {"contrastive"},
        "Text-SimCLR": {"contrastive"},
        "w/o L_LM": {"contrastive"},
        "w/o L_Con": {"captioning"},
    }
    assert losses & {"contrastive", "captioning"} == expected[name]
    table = urbanfm_core.embed(checkpoint=checkpoint, **given)
    assert np.isfinite(table.vectors).all() and table.vectors.std(axis=0).min() > 1e-5
    method, restored = restore(Checkpoint.load(checkpoint), torch.device("cpu"))
    if name != "w/o L_LM":
        with pytest.raises(ConfigError, match="compare pictures with texts"):
            method.text_vectors(restored, ["a park"], Progress())


def test_training_goes_on_from_another_checkpoint(city, work, given, trained):
    layers = {"captions": city / "captions.parquet", **given}
    further = urbanfm_core.train(
        preset="urbanclip-small",
        epochs=1,
        learning_rate=1e-9,
        overrides=[f"initialise={trained}"],
        out=work / "further",
        **layers,
    )
    before, after = Checkpoint.load(trained), Checkpoint.load(further)
    assert after.config["image_width"] == before.config["image_width"] == 32
    assert after.preprocessing["statistics"] == before.preprocessing["statistics"]
    for name, weight in before.weights.items():
        torch.testing.assert_close(after.weights[name], weight, atol=1e-6, rtol=0)
    with pytest.raises(ConfigError, match="no checkpoint to start from"):
        urbanfm_core.train(
            preset="urbanclip-tiny", overrides=[f"initialise={work / 'nowhere'}"], out=work / "no", **layers
        )


def test_what_is_missing_is_said(city, work, given, trained):
    with pytest.raises(ConfigError, match="--captions"):
        urbanfm_core.train(preset="urbanclip-tiny", out=work / "none", **given)
    pd.DataFrame({"region_id": ["elsewhere"], "caption": ["a park"]}).to_parquet(work / "elsewhere.parquet")
    with pytest.raises(EmptyInputError, match="name the same regions"):
        urbanfm_core.train(preset="urbanclip-tiny", captions=work / "elsewhere.parquet", out=work / "none", **given)
    silent = Checkpoint.load(trained)
    del silent.preprocessing["statistics"]
    silent.save(work / "silent-urbanclip")
    with pytest.raises(CheckpointError, match="lacks statistics"):
        urbanfm_core.embed(checkpoint=work / "silent-urbanclip", **given)


def test_weights_of_open_clip_are_imported_embed_and_are_a_start(city, work, given):
    golden = Path(__file__).parents[1] / "golden"
    checkpoint = urbanfm_core.importcheckpoint(
        checkpoint=golden / "coca" / "coca_tiny32_split.safetensors", method="urbanclip", out=work / "coca"
    )
    table = urbanfm_core.embed(checkpoint=checkpoint, **given)
    assert table.vectors.shape == (50, 32) and np.isfinite(table.vectors).all()
    with pytest.raises(CheckpointError, match="which tokenizer"):
        urbanfm_core.train(
            preset="urbanclip-tiny",
            overrides=[f"initialise={checkpoint}"],
            captions=city / "captions.parquet",
            out=work / "from-coca",
            **given,
        )


def test_an_indicator_is_predicted_by_a_predictor_that_hears_a_prompt(city, work, given, trained):
    """At these sizes it learns little; what counts is that all of the way works, and what the prompt and the choice do."""
    frame = gpd.read_file(city / "regions.gpkg")
    frame["bright"] = np.linspace(0, 1, len(frame)) + 1
    frame.to_file(work / "labelled.gpkg")
    layers = {**given, "regions": work / "labelled.gpkg"}
    asked = {
        "head": "finetune",
        "target": "log:bright",
        "folds": 2,
        "blocks": 4,
        "epochs": 6,
        "learning_rate": 1e-2,
        "batch_size": 16,
    }
    kept = {}
    for name, choice in {
        "plain": {},
        "prompt": {"guide": "the brightness is"},
        "whole": {"learns": "all"},
    }.items():
        found = urbanfm_core.predict(
            checkpoint=trained, checkpoint_out=work / f"tuned-{name}", **asked, **choice, **layers
        )
        assert np.isfinite(found.values).all() and len(found.values) == 50
        kept[name] = Checkpoint.load(work / f"tuned-{name}")
    before = Checkpoint.load(trained).weights
    same = [torch.equal(kept["plain"].weights[name], weight) for name, weight in before.items()]
    assert all(same)
    changed = [name for name, weight in before.items() if not torch.equal(kept["whole"].weights[name], weight)]
    assert "image.patches.weight" in changed
    assert kept["prompt"].config["prompt_ids"] and not kept["plain"].config["prompt_ids"]
    assert kept["prompt"].weights["prediction.0.weight"].shape[1] == 64
    again = urbanfm_core.predict(checkpoint=work / "tuned-prompt", **layers)
    assert np.isfinite(again.values).all()
    table = urbanfm_core.embed(checkpoint=work / "tuned-prompt", **given)
    assert np.isfinite(table.vectors).all()


def test_regions_are_described_in_words_of_the_captions(city, work, given):
    frame = gpd.read_file(city / "regions.gpkg").iloc[:8].copy()
    west, south = frame.total_bounds[:2]
    frame.loc[frame.index[2], frame.geometry.name] = shapely.box(west - 90_000, south, west - 89_500, south + 500)
    frame.to_file(work / "eight.gpkg")
    checkpoint = urbanfm_core.train(
        preset="urbanclip-tiny",
        epochs=40,
        learning_rate=3e-3,
        captions=city / "captions.parquet",
        out=work / "writer",
        **given,
    )
    _, restored = restore(Checkpoint.load(checkpoint), torch.device("cpu"))
    inputs = CityInputs(imagery=city / "imagery.tif")
    regions = RegionSet.from_layer(work / "eight.gpkg")
    store = SampleStore(work / "described", {})
    found = describe(restored, inputs, regions, store, Progress(), Writing(beams=3))
    assert (
        len(found.texts) == 8
        and found.texts[2] == ""
        and any("1 of 8 regions have no caption" in n for n in found.notes)
    )
    said = [text for row, text in enumerate(found.texts) if row != 2]
    assert all(len(text.split()) >= 3 for text in said)
    words = set(" ".join(pd.read_parquet(city / "captions.parquet").caption).lower().replace(".", " ").split())
    known = [word in words or word.strip(",.'") in words for text in said for word in text.split()]
    assert np.mean(known) > 0.8
    assert describe(restored, inputs, regions, store, Progress(), Writing(beams=3)).texts == found.texts
    drawn = describe(restored, inputs, regions, store, Progress(), Writing(nucleus=0.9, seed=1)).texts
    assert drawn != found.texts

"""UrbanMFM as its users run it, on a small generated city: with all layers, with few of them, and where they lack."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordLevelTrainer

import urbanfm_core
from urbanfm_core.errors import Cancelled, CheckpointError, ConfigError, EmptyInputError
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.models.text import LocalTextEncoder
from urbanfm_core.models.urbanmfm.config import STAGES
from urbanfm_core.models.urbanmfm.method import UrbanMfm
from urbanfm_core.progress import Progress
from urbanfm_core.training.checkpoint import Checkpoint

FILES = {
    "pois": "pois.gpkg",
    "buildings": "buildings.gpkg",
    "roads": "roads.gpkg",
    "streetview": "streetview.gpkg",
    "imagery": "imagery.tif",
    "captions": "captions.parquet",
}


@pytest.fixture(scope="module")
def given(city, work):
    return {"regions": city / "regions.gpkg", "cache": work / "cache-urbanmfm", "device": "cpu"}


@pytest.fixture(scope="module")
def layers(city, work):
    """All layers, with every fourth point of interest."""
    gpd.read_file(city / "pois.gpkg").iloc[::4].to_file(work / "mfm-pois.gpkg")
    return {**{name: city / file for name, file in FILES.items()}, "pois": work / "mfm-pois.gpkg"}


@pytest.fixture(scope="module")
def bert(city, work):
    """A small BERT that knows the words of the city's points."""
    folder = work / "bert"
    words = gpd.read_file(city / "pois.gpkg")[["category", "subcategory"]].fillna("").agg(" ".join, axis=1)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    transformers.BertModel(transformers.BertConfig(vocab_size=400, **sizes)).save_pretrained(folder)
    made = Tokenizer(WordLevel(unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made.train_from_iterator(words, WordLevelTrainer(vocab_size=400, special_tokens=special))
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep")}
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def all_of_it(work, given, layers, bert):
    return urbanfm_core.train(preset="urbanmfm-tiny", epochs=10, out=work / "mfm", text_encoder=bert, **layers, **given)


@pytest.fixture(scope="module")
def vectors(work, given, layers, all_of_it):
    return urbanfm_core.embed(checkpoint=all_of_it, parquet=work / "mfm.parquet", **layers, **given)


def train(work, given, name, layers, **more):
    more = {"text_encoder": work / "bert", "epochs": 1, **more}
    return urbanfm_core.train(preset="urbanmfm-tiny", out=work / f"mfm-{name}", **layers, **given, **more)


def some(layers, *names):
    return {name: layers[name] for name in names}


def test_each_stage_runs_in_order_and_learns(all_of_it):
    found = urbanfm_core.inspect(checkpoint=all_of_it)
    assert list(found.manifest["phases"]) == list(STAGES) == found.config["stages"]
    for stage in STAGES:
        records = [record for record in found.history if record["phase"] == stage]
        losses = [record[stage] for record in records]
        assert len(losses) == 10 and np.mean(losses[-3:]) < np.mean(losses[:3]), stage
    assert all(any(note.startswith(f"Stage {stage}: ") for note in found.manifest["notes"]) for stage in STAGES)
    assert found.manifest["metrics"]["phase"] == "global"


def test_every_region_has_a_vector_and_its_coverage(vectors, work):
    assert np.isfinite(vectors.vectors).all() and vectors.vectors.std(axis=0).min() > 1e-4
    assert set(vectors.coverage) == {"pois", "imagery", "streetview", "buildings"}
    assert 0 < vectors.coverage["buildings"].mean() < 1
    np.testing.assert_array_equal(EmbeddingTable.from_parquet(work / "mfm.parquet").vectors, vectors.vectors)


def test_the_same_again_and_in_batches_of_another_size_is_the_same(given, layers, all_of_it, vectors):
    again = urbanfm_core.embed(checkpoint=all_of_it, batch_size=7, **layers, **given)
    np.testing.assert_allclose(again.vectors, vectors.vectors, atol=5e-5)


def test_embedding_finds_the_texts_that_training_encoded(given, layers, all_of_it, vectors, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a text was encoded again")

    monkeypatch.setattr(LocalTextEncoder, "encode", refuse)
    again = urbanfm_core.embed(checkpoint=all_of_it, **layers, **given)
    np.testing.assert_array_equal(again.vectors, vectors.vectors)


def test_bfloat16_changes_digits_only(given, layers, all_of_it, vectors):
    low = urbanfm_core.embed(checkpoint=all_of_it, precision="bfloat16", **layers, **given)
    lengths = np.linalg.norm(low.vectors, axis=1) * np.linalg.norm(vectors.vectors, axis=1)
    assert ((low.vectors * vectors.vectors).sum(axis=1) / lengths).min() > 0.99


@pytest.mark.parametrize(
    "names, stages",
    [
        (("pois",), ["poi_road", "local"]),
        (("pois", "buildings"), ["poi_road", "local"]),
        (("pois", "imagery"), ["poi_road", "local", "satellite", "global"]),
        (("pois", "roads", "streetview"), ["poi_road", "street_view", "local"]),
    ],
)
def test_stages_without_their_inputs_are_left_out_and_said(work, given, layers, bert, names, stages):
    checkpoint = train(work, given, "-".join(names), some(layers, *names))
    found = urbanfm_core.inspect(checkpoint=checkpoint)
    assert found.config["stages"] == stages
    for stage in set(STAGES) - set(stages):
        assert any(note.startswith(f"Stage {stage} is left out") for note in found.manifest["notes"])
    table = urbanfm_core.embed(checkpoint=checkpoint, **some(layers, *names), **given)
    found = table.coverage["pois"] > 0 if "imagery" not in names else np.ones(len(table.ids), bool)
    assert (np.isfinite(table.vectors).all(axis=1) == found).all() and found.sum() > 40
    assert table.vectors[found].std(axis=0).min() > 0


def test_a_table_of_regions_joins_at_the_global_stage(city, work, given, layers, bert):
    frame = gpd.read_file(city / "regions.gpkg")[["region_id", "population", "price"]]
    frame.loc[3, ["population", "price"]] = np.nan
    frame.loc[4, "price"] = np.nan
    frame.to_parquet(work / "mobility.parquet")
    pair = {**some(layers, "pois"), "features": work / "mobility.parquet"}
    checkpoint = train(work, given, "features", pair)
    assert "global" in urbanfm_core.inspect(checkpoint=checkpoint).config["stages"]
    table = urbanfm_core.embed(checkpoint=checkpoint, **pair, **given)
    assert np.isfinite(table.vectors).all()
    assert table.coverage["features"].tolist().count(0) == 1 and table.coverage["features"][3] == 0


@pytest.mark.parametrize("name", sorted(UrbanMfm.ablations))
def test_each_ablation_of_the_paper_changes_what_is_trained(work, given, layers, all_of_it, name):
    changes = [f"{key}={str(value).lower()}" for key, value in UrbanMfm.ablations[name].items()]
    checkpoint = train(work, given, name.replace("/", ""), layers, overrides=changes)
    whole, found = (urbanfm_core.inspect(checkpoint=one) for one in (all_of_it, checkpoint))
    less = set(whole.config["stages"]) - set(found.config["stages"])
    expected = {
        "w/o Micro Scale": {"poi_road", "street_view"},
        "w/o Local Scale": {"local"},
        "w/o Macro Scale": {"satellite"},
        "w/o Global Scale": {"global"},
        "Unified Setting": {"street_view", "satellite", "global"},
        "Joint training": set(),
    }
    assert less == expected[name]
    if name == "Joint training":
        assert set(STAGES) <= set(found.history[0]) and "phase" not in found.history[0]
    if name == "Unified Setting":
        assert found.config["sees"] == ["pois", "buildings"]


def test_a_stopped_run_goes_on_to_the_same_weights(work, given, layers, bert, all_of_it):
    class Stop(Progress):
        left = 90

        def metric(self, name, value, step):
            self.left = min(self.left, 3) if name == "local" else self.left

        def cancelled(self):
            if self.left <= 3:
                self.left -= 1
            return self.left < 0

    same = {"preset": "urbanmfm-tiny", "epochs": 10, "text_encoder": bert, **layers, **given}
    with pytest.raises(Cancelled):
        urbanfm_core.train(out=work / "mfm-again", progress=Stop(), **same)
    assert (work / "mfm-again.training" / "3-local").is_dir()
    again = Checkpoint.load(urbanfm_core.train(out=work / "mfm-again", **same))
    whole = Checkpoint.load(all_of_it)
    assert all((tensor == again.weights[name]).all() for name, tensor in whole.weights.items())


def test_regions_without_picture_without_places_and_without_either(city, work, given, layers, all_of_it):
    frame = gpd.read_file(city / "regions.gpkg").iloc[:3].copy()
    west, south = frame.total_bounds[:2]
    frame.loc[frame.index[2], frame.geometry.name] = shapely.box(west - 90_000, south, west - 89_500, south + 500)
    frame.to_file(work / "mfm-far.gpkg")
    far = {**given, "regions": work / "mfm-far.gpkg"}
    table = urbanfm_core.embed(checkpoint=all_of_it, **layers, **far)
    assert np.isfinite(table.vectors[:2]).all() and np.isnan(table.vectors[2]).all()
    for only in ("pois", "imagery"):
        one = urbanfm_core.embed(checkpoint=all_of_it, **some(layers, only), **far)
        assert np.isfinite(one.vectors[:2]).all() and np.isnan(one.vectors[2]).all()
        assert set(one.coverage) == {only}


def test_points_on_one_spot_and_a_single_region(city, work, given, all_of_it, layers):
    pois = gpd.read_file(city / "pois.gpkg")
    spot = pois.geometry.iloc[0]
    pois.geometry = [spot] * len(pois)
    pois.to_file(work / "mfm-stacked.gpkg")
    regions = gpd.read_file(city / "regions.gpkg")
    regions[regions.contains(spot)].to_file(work / "mfm-one.gpkg")
    table = urbanfm_core.embed(
        checkpoint=all_of_it, pois=work / "mfm-stacked.gpkg", **{**given, "regions": work / "mfm-one.gpkg"}
    )
    assert np.isfinite(table.vectors).all() and table.vectors.shape == (1, 16)


def test_without_anything_to_learn_from_it_says_what_is_missing(work, given, layers, bert):
    with pytest.raises(ConfigError, match="--pois or --imagery"):
        train(work, given, "none", some(layers, "roads"))
    with pytest.raises(EmptyInputError, match="can show themselves in one way only"):
        train(work, given, "nothing", some(layers, "imagery"))


def test_a_checkpoint_that_does_not_say_how_layers_are_read_is_refused(work, given, layers, all_of_it):
    checkpoint = Checkpoint.load(all_of_it)
    del checkpoint.preprocessing["layers"]
    checkpoint.save(work / "mfm-silent")
    with pytest.raises(CheckpointError, match="lacks layers"):
        urbanfm_core.embed(checkpoint=work / "mfm-silent", **layers, **given)


def test_a_bert_of_the_user_s_is_trained_along(work, given, layers, bert):
    network = work / "resnet"
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    transformers.ResNetModel(config).save_pretrained(network)
    few = some(layers, "pois", "imagery")
    changes = [f"text_model={bert}", f"image_model={network}", "text_tokens=12"]
    checkpoint = Checkpoint.load(train(work, given, "bert", few, overrides=changes))
    assert any(note.startswith("The network of tags starts from folder|") for note in checkpoint.manifest["notes"])
    before = transformers.BertModel.from_pretrained(bert).state_dict()["encoder.layer.0.output.dense.weight"]
    moved = (checkpoint.weights["text.trunk.encoder.layer.0.output.dense.weight"] - before).abs()
    # Trained from there, and not from other numbers.
    assert 0 < moved.max() < 0.1
    for folder in (bert, network):
        folder.rename(folder.with_suffix(".away"))
    try:
        table = urbanfm_core.embed(checkpoint=work / "mfm-bert", **few, **given)
    finally:
        for folder in (bert, network):
            folder.with_suffix(".away").rename(folder)
    assert np.isfinite(table.vectors).all() and table.vectors.std(axis=0).min() > 0

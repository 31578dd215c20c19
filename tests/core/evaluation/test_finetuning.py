"""Fine-tuning of a tiny ReFound, from a pre-trained checkpoint to predictions elsewhere."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch

import urbanfm_core
from urbanfm_core.errors import Cancelled, ConfigError, InputError
from urbanfm_core.evaluation import finetuning
from urbanfm_core.geo.vector import read_layer
from urbanfm_core.models.finetuning import KEY, LabelledSamples
from urbanfm_core.models.refound.finetune import DECAY, FineTuning
from urbanfm_core.training.checkpoint import Checkpoint, restore

SIDE, CELL = 6, 200.0
EMPTY = 35


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """36 regions of bars or of schools, the last one without any point, and the first four without a label."""
    folder = tmp_path_factory.mktemp("tuning")
    rng = np.random.default_rng(0)
    bars = rng.random(SIDE**2) < 0.5
    cells = [(CELL * x, CELL * y) for y in range(SIDE) for x in range(SIDE)]
    value = np.where(bars, 90.0, 30.0) + rng.normal(size=SIDE**2)
    value[:4] = np.nan
    frame = gpd.GeoDataFrame(
        {
            "region_id": np.arange(SIDE**2),
            "value": value,
            "kind": np.where(np.isfinite(value), np.where(bars, "bars", "schools"), None),
        },
        geometry=[shapely.box(x, y, x + CELL, y + CELL) for x, y in cells],
        crs="EPSG:32630",
    )
    frame.to_file(folder / "regions.gpkg")
    rows = np.repeat(np.arange(EMPTY), 4)
    xy = np.array(cells)[rows] + rng.uniform(10, CELL - 10, (len(rows), 2))
    words = np.where(bars[rows], "bar", "school")
    points = gpd.GeoDataFrame(
        {"name": [f"{word} {place}" for place, word in enumerate(words)], "category": words},
        geometry=gpd.points_from_xy(*xy.T),
        crs="EPSG:32630",
    )
    points.to_file(folder / "pois.gpkg")
    return folder


@pytest.fixture(scope="module")
def layers(city):
    return {"regions": city / "regions.gpkg", "pois": city / "pois.gpkg", "cache": city / "cache", "device": "cpu"}


@pytest.fixture(scope="module")
def pretrained(city, layers):
    urbanfm_core.train(
        preset="refound-tiny", epochs=1, overrides=["language_teacher="], out=city / "pretrained", **layers
    )
    return city / "pretrained"


@pytest.fixture(scope="module")
def tuned(city, layers, pretrained):
    return {
        target: urbanfm_core.predict(
            head="finetune",
            checkpoint=pretrained,
            target=target,
            epochs=25,
            learning_rate=1e-2,
            folds=3,
            blocks=9,
            out=city / f"{target}.gpkg",
            report=city / f"{target}.html",
            checkpoint_out=city / target,
            **layers,
            **given,
        )
        for target, given in (("value", {"fusion": "attention"}), ("kind", {}))
    }


def test_a_fine_tuned_network_predicts_blocks_that_it_has_not_seen(city, tuned):
    assert tuned["value"].scores["R2"][0] > 0.7 and tuned["kind"].scores["AUC"][0] > 0.95
    for target, found in tuned.items():
        assert found.rows == SIDE**2 - 5 and not found.predicted[EMPTY] and found.predicted.sum() == EMPTY
        layer = read_layer(city / f"{target}.gpkg").reset_index(drop=True)
        assert layer["pred"].isna().tolist() == [False] * EMPTY + [True]
        assert layer["pred_residual"][:4].isna().all() and layer["pred_residual"][4:EMPTY].notna().all()
        assert "fine-tuned for 25 epochs" in (city / f"{target}.html").read_text()
    assert 0.7 < tuned["value"].coverage <= 1
    assert not list((city / "cache" / "finetune").glob("*")), "the work of the folds is gone"


def test_the_kept_network_says_what_it_is_and_predicts_elsewhere(city, tuned, layers):
    checkpoint = Checkpoint.load(city / "value")
    about = checkpoint.preprocessing[KEY]
    assert (about["target"], about["task"], about["rows"]) == ("value", "regression", SIDE**2 - 5)
    assert checkpoint.method == "refound" and checkpoint.config["predictions"] == 1
    assert checkpoint.config["fusion"] == "attention" and len(about["residuals"]) == SIDE**2 - 5
    assert checkpoint.history[-1]["loss"] < 0.3 * checkpoint.history[0]["loss"]
    assert not any(name.startswith("heads.") for name in checkpoint.weights)
    elsewhere = read_layer(city / "regions.gpkg").drop(columns=["value", "kind"])
    elsewhere.iloc[::-1].reset_index(drop=True).to_file(city / "elsewhere.gpkg")
    given = {**layers, "regions": city / "elsewhere.gpkg"}
    found = urbanfm_core.predict(checkpoint=city / "value", out=city / "there.gpkg", **given)
    truth = read_layer(city / "regions.gpkg")["value"].to_numpy()[::-1]
    known = np.isfinite(truth) & found.predicted
    np.testing.assert_allclose(found.values[known, 0], truth[known], atol=25)
    layer = read_layer(city / "there.gpkg").reset_index(drop=True)
    assert (layer["pred_upper"] - layer["pred_lower"]).dropna().gt(0).all() and layer["pred_upper"].notna().sum() == 35
    assert layer["pred_residual"].isna().all()
    low = urbanfm_core.predict(checkpoint=city / "value", precision="bfloat16", **given)
    assert 0 < np.nanmax(np.abs(low.values - found.values)) < 0.1 * np.nanmax(np.abs(found.values))
    classes = urbanfm_core.predict(checkpoint=city / "kind", target="kind", **layers)
    assert classes.target.classes == ("bars", "schools") or classes.target.classes == ("schools", "bars")
    assert np.nanmax(np.abs(classes.residual())) < 0.5


def test_what_an_interrupted_run_had_finished_is_not_done_again(city, layers, pretrained, monkeypatch):
    given = {"head": "finetune", "checkpoint": pretrained, "target": "value", "epochs": 2, "folds": 3, "blocks": 9}
    given |= {**layers, "cache": city / "interrupted"}
    whole = urbanfm_core.predict(**given)
    places = []

    def train(*arguments, out, **named):
        if len(places) == 2:
            raise Cancelled("stopped")
        places.append(out.name)
        return real(*arguments, out=out, **named)

    real = finetuning.train
    monkeypatch.setattr(finetuning, "train", train)
    with pytest.raises(Cancelled):
        urbanfm_core.predict(**given)
    assert places == ["fold-0", "fold-1"]
    monkeypatch.setattr(finetuning, "train", lambda *a, out, **n: places.append(out.name) or real(*a, out=out, **n))
    again = urbanfm_core.predict(**given)
    assert places == ["fold-0", "fold-1", "fold-2"]
    np.testing.assert_array_equal(again.values, whole.values)


def test_a_fine_tuned_network_embeds_too(city, tuned, layers):
    table = urbanfm_core.embed(checkpoint=city / "value", **layers)
    assert table.covered.sum() == EMPTY and table.vectors.shape[1] == 32


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, ConfigError, "no prediction head yet"),
        ({"head": "finetune"}, ConfigError, "what to predict"),
        ({"head": "finetune", "target": "nothing"}, ConfigError, "no label column"),
        ({"head": "finetune", "target": "value", "pois": None}, ConfigError, "pois"),
        ({"head": "finetune", "target": "region_id", "regions": "few.gpkg"}, InputError, "20 are needed"),
    ],
)
def test_what_cannot_be_fine_tuned_says_why(city, layers, pretrained, given, error, words):
    read_layer(city / "regions.gpkg").iloc[:8].to_file(city / "few.gpkg")
    given = {name: city / value if name == "regions" else value for name, value in given.items()}
    with pytest.raises(error, match=words):
        urbanfm_core.predict(**{"checkpoint": pretrained, "target": None, **layers, **given})


def test_a_network_for_one_target_does_not_answer_for_another(city, tuned, layers):
    with pytest.raises(ConfigError, match="fine-tuned for 'value', not for 'kind'"):
        urbanfm_core.predict(checkpoint=city / "value", target="kind", **layers)


def test_losses_are_the_formulas_and_layers_learn_at_their_rates(city, tuned):
    _, trained = restore(Checkpoint.load(city / "kind"), torch.device("cpu"))
    model = trained.model.requires_grad_(True)
    logits, shares = torch.tensor([[1.0, -1.0], [0.5, 2.0]]), torch.tensor([[0.25, 0.75], [1.0, 0.0]])

    class Says(torch.nn.Module):
        def predict(self, batch):
            return logits

    said = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    cross = -(shares.numpy() * np.log(said)).sum(axis=1).mean()
    batch = {"target": shares}
    assert float(FineTuning({}, "shares").losses(Says(), batch, None)["loss"]) == pytest.approx(cross)
    square = ((logits - shares) ** 2).mean()
    assert float(FineTuning({}, "numbers").losses(Says(), batch, None)["loss"]) == pytest.approx(float(square))
    groups = FineTuning({}, "shares").parameter_groups(model, trained.config, 1e-4, 0.01)
    rates = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    assert rates[id(model.prediction.decoder.weight)] == 1.0
    assert rates[id(model.layers[1].qkv.weight)] == pytest.approx(DECAY)
    assert rates[id(model.pois.word.weight)] == pytest.approx(DECAY**3)
    assert len(rates) == len(list(model.parameters()))


def test_samples_carry_their_target():
    class Regions:
        def batch(self, indices):
            return {"row": indices}

        def __len__(self):
            return 3

    samples = LabelledSamples(Regions(), torch.tensor([[1.0], [2.0], [3.0]]))
    batch = samples.batch(torch.tensor([2, 0]))
    assert batch["target"][:, 0].tolist() == [3.0, 1.0] and batch["row"].tolist() == [2, 0] and len(samples) == 3

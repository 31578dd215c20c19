"""`urbanfm ablate`, from files to table, JSON and page: what is trained, and what is taken up."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import urbanfm_core
from urbanfm_core.cli import main
from urbanfm_core.errors import Cancelled, ConfigError
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.models.aether import method as aether
from urbanfm_core.resources import resource
from urbanfm_core.training import run
from urbanfm_core.training.checkpoint import Checkpoint

CITY = resource("samplecity")
LAYERS = ("--pois", CITY / "pois.gpkg", "--embedding-raster", CITY / "embedding.tif")
QUICK = ("--targets", "land_use", "--seeds", 1, "--probes", "linear", "--device", "cpu")
SWEEP = ("--sweeps", "lambda_image=0.2,0.5")
SHARES = ("--label-shares", 1, "--label-shares", 0.5)


class Letters:
    """A text encoder without a model."""

    spec = identity = "letters"
    dim, notes = 16, ("Texts are read as letters.",)

    def encode(self, texts, progress=None):
        rows = np.array([list(hashlib.md5(text.encode()).digest()) for text in texts], np.float32) - 127.5
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def trained():
    """The seed and lambda_image of every training since this was last cleared."""
    seen = []
    real = run.train

    def train(method, prepared, training, **options):
        seen.append((training.seed, prepared.config.lambda_image))
        return real(method, prepared, training, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "train", train)
        patch.setattr(aether, "load_text_encoder", lambda *_, **__: Letters())
        yield seen


@pytest.fixture(scope="module")
def ablate(trained, tmp_path_factory):
    """Runs the command line in one cache; returns the exit code and the JSON."""
    folder = tmp_path_factory.mktemp("ablate")

    def call(*flags, report=None):
        trained.clear()
        out = folder / "a.json"
        out.unlink(missing_ok=True)
        given = ("--preset", "aether-tiny", "--epochs", 2, "--regions", CITY / "regions.gpkg", *LAYERS, *QUICK)
        page = ("--report", report) if report else ()
        files = ("--cache", folder / "cache", "--out", out, *page)
        code = main([str(part) for part in ("ablate", *given, "--training-seeds", 2, *files, *flags)])
        return code, json.loads(out.read_text()) if out.exists() else None

    return call


@pytest.fixture(scope="module")
def first(ablate, trained, tmp_path_factory):
    """The first run: its JSON, the trainings, and the page."""
    page = tmp_path_factory.mktemp("page") / "a.html"
    code, found = ablate(*SWEEP, *SHARES, report=page)
    assert code == 0
    return found, list(trained), page.read_text()


def test_each_variant_is_trained_with_its_number_and_each_seed(first):
    found, trainings, _ = first
    names = ["full", "w/o aug", "untrained", "lambda_image=0.2", "lambda_image=0.5"]
    assert [item["name"] for item in found["variants"]] == names
    # The full model has 0.2 already.
    assert trainings == [(seed, weight) for seed in (0, 1) for weight in (0.2, 0.0, 0.5)]
    assert "2 of 10 trainings have the configuration of another variant and are shared with it." in found["notes"]
    for variant in found["variants"]:
        expected = variant["overrides"].get("lambda_image", 0.2)
        for seed, folder in enumerate(variant["folders"]):
            checkpoint = Checkpoint.load(Path(folder) / "checkpoint")
            assert (checkpoint.config["lambda_image"], checkpoint.manifest["seed"]) == (expected, seed)
            assert json.loads((Path(folder) / "manifest.json").read_text())["config"]["lambda_image"] == expected
            table = EmbeddingTable.from_parquet(Path(folder) / "embedding.parquet")
            assert table.vectors.shape == (50, 32) and table.covered.all()
            assert bool(checkpoint.history) == (variant["name"] != "untrained")


def test_scores_of_each_share_of_the_labels(first):
    found, _, page = first
    whole, half = found["results"]
    assert (whole["label_share"], half["label_share"]) == (1.0, 0.5)
    assert half["title"] == whole["title"] + " with 50 % of the labels"
    assert whole["scores"][0]["metrics"] != half["scores"][0]["metrics"]
    assert [item["name"] for item in whole["scores"][:5]] == [item["name"] for item in found["variants"]]
    assert {item["name"] for item in whole["scores"] if item["floor"]} >= {"POI counts", "region area", "coordinates"}
    assert page.count("<svg") == 2 and half["title"] in page and "lambda_image = 0.5" in page
    assert "Ablation of aether-tiny" in page


def test_the_numbers_are_those_of_evaluate(first):
    found, _, _ = first
    folders = found["variants"][0]["folders"]
    same = urbanfm_core.evaluate(
        embeddings=[f"seed {seed}={folder}/embedding.parquet" for seed, folder in enumerate(folders)],
        regions=CITY / "regions.gpkg", pois=CITY / "pois.gpkg", embedding_raster=CITY / "embedding.tif",
        targets=["land_use"], seeds=1, probes="linear", label_shares=[0.5],
    )  # fmt: skip
    for share, result in zip(same.results[0].label_shares, found["results"], strict=True):
        best = share.best()
        expected = [best[f"seed {seed}"].metrics["F1"].mean for seed in (0, 1)]
        assert result["scores"][0]["metrics"]["F1"]["per_seed"] == pytest.approx(expected)


def test_what_was_left_out_and_chosen_is_told(first):
    found, _, _ = first
    assert "800 of 800 points of interest are used." in found["notes"]
    assert "Texts are read as letters." in found["notes"]
    assert (found["config"]["bands"], found["config"]["text_dim"]) == (64, 16)


def test_a_rerun_takes_finished_trainings_up(first, ablate, trained, capsys):
    code, found = ablate(*SWEEP, *SHARES)
    said = capsys.readouterr()
    assert code == 0 and trained == []
    assert found["results"] == first[0]["results"]
    assert "8 of 10 trainings were finished by an earlier run and are taken as they are." in found["notes"]
    assert set(first[0]["notes"]) <= set(found["notes"])
    assert "land_use (multiclass, spatial blocks) with 50 % of the labels: 48 regions" in said.out
    assert "against full" in said.out and "* marks trained variants" in said.out


def test_only_what_is_new_is_trained(first, ablate, trained):
    code, found = ablate("--sweeps", "lambda_image=0.5,0.7", "--variants", "none")
    assert code == 0 and trained == [(0, 0.7), (1, 0.7)]
    assert [item["name"] for item in found["variants"]] == ["full", "lambda_image=0.5", "lambda_image=0.7"]


def test_layers_that_a_method_may_use_are_part_of_what_it_is_trained_on(ablate, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(aether.Aether, "may_use", ("roads",))
    roads = shutil.copy(CITY / "roads.gpkg", tmp_path / "roads.gpkg")
    given = ("--variants", "untrained", "--seed", 20)
    for moved, expected in ((0, [(20, 0.2), (21, 0.2)]), (0, []), (1, [(20, 0.2), (21, 0.2)])):
        os.utime(roads, ns=(0, moved))
        code, _ = ablate(*given, "--roads", roads)
        assert code == 0 and trained == expected


def test_a_finished_checkpoint_without_vectors_is_embedded(first, ablate, trained):
    folder = Path(first[0]["variants"][1]["folders"][1])
    before = EmbeddingTable.from_parquet(folder / "embedding.parquet").vectors
    (folder / "embedding.parquet").unlink()
    code, found = ablate(*SWEEP, *SHARES)
    assert code == 0 and trained == []
    np.testing.assert_array_equal(EmbeddingTable.from_parquet(folder / "embedding.parquet").vectors, before)
    assert found["results"] == first[0]["results"]


def test_a_cancelled_run_goes_on_after_what_it_finished(ablate, trained, monkeypatch):
    counted = run.train

    def stop_at_the_third(*arguments, **options):
        if len(trained) == 2:
            raise Cancelled()
        return counted(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(run, "train", stop_at_the_third)
        code, found = ablate("--seed", 10)
    assert code == 3 and found is None and trained == [(10, 0.2), (10, 0.0)]
    code, found = ablate("--seed", 10)
    assert code == 0 and trained == [(11, 0.2), (11, 0.0)] and found["seeds"] == [10, 11]


def test_a_dry_run_counts_the_trainings_and_makes_none(ablate, trained, capsys):
    code, found = ablate(*SWEEP, "--dry-run")
    said = capsys.readouterr().out
    assert code == 0 and found is None and trained == []
    assert "10 trainings: full, w/o aug, untrained, lambda_image=0.2, lambda_image=0.5, 2 times each" in said


def test_labels_of_a_grid_come_from_a_raster(trained, tmp_path):
    found = urbanfm_core.ablate(
        preset="aether-tiny", epochs=1, pois=CITY / "pois.gpkg", embedding_raster=CITY / "embedding.tif", grid_size=300,
        label_raster=_one_band(tmp_path / "lights.tif"), training_seeds=1, seeds=2, probes="linear", device="cpu",
        cache=tmp_path / "cache", text_encoder="letters",
    )  # fmt: skip
    (result,) = found.targets
    assert result.target == "lights" and result.rows >= 20 and len(found.seeds) == 1
    assert len(result.scores[0].metrics["R2"].per_seed) == 2


def _one_band(path):
    import rasterio

    with rasterio.open(CITY / "embedding.tif") as source:
        profile = {**source.profile, "count": 1, "dtype": "float32", "nodata": None}
        values = np.random.default_rng(0).gamma(2.0, size=(source.height, source.width)).astype(np.float32)
    with rasterio.open(path, "w", **profile) as target:
        target.write(values, 1)
    return path


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"targets": ["a"]}, "regions with labels"),
        ({"regions": "r"}, "targets"),
        ({"targets": ["a"], "regions": "r", "training_seeds": 0}, "training_seeds"),
        ({"targets": ["a"], "regions": "r", "label_shares": [0.5, 1.5]}, "label_shares"),
        ({"targets": ["a"], "regions": "r", "blocks": 3}, "folds"),
        ({"targets": ["a"], "regions": "r", "variants": ["none"]}, "nothing to compare"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        urbanfm_core.ablate(**values)

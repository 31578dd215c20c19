"""`urbanfm transfer` on two small cities of different seeds: files in, a square table out, and nothing done twice."""

import json

import geopandas as gpd
import numpy as np
import pytest

import urbanfm_core
from urbanfm_core import planning
from urbanfm_core.cli import main
from urbanfm_core.errors import ConfigError
from urbanfm_core.progress import Progress
from urbanfm_core.stages import make_stage
from urbanfm_core.training import run
from urbanfm_core.training.checkpoint import Checkpoint

LAYERS = ("regions", "pois", "imagery", "captions")


@pytest.fixture(scope="module")
def cities(work):
    """Two compact cities, each named by a file beside its folder."""
    paths = []
    for name, seed in (("north", 11), ("south", 12)):
        folder = urbanfm_core.samplecity(out=work / "transfer" / name, regions=60, seed=seed, compact=True)
        layers = {layer: next(folder.glob(f"{layer}.*")).name for layer in LAYERS}
        path = folder / f"{name}.json"
        path.write_text(json.dumps(layers))
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def given(cities, work):
    return {
        "cities": cities,
        "preset": "urbanclip-tiny",
        "epochs": 1,
        "targets": ["land_use", "log:population"],
        "seeds": 2,
        "probes": "linear",
        "device": "cpu",
        "cache": work / "cache-transfer",
    }


@pytest.fixture(scope="module")
def trainings():
    """How many trainings were run since this was last cleared."""
    seen = []
    real = run.train
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "train", lambda *args, **options: seen.append(1) or real(*args, **options))
        yield seen


@pytest.fixture(scope="module")
def first(given, work, trainings):
    found = urbanfm_core.transfer(out=work / "t.json", report=work / "t.html", **given)
    assert len(trainings) == 2
    return found


def test_the_square_holds_every_pair_of_cities_and_every_floor(first, work):
    told = json.loads((work / "t.json").read_text())
    assert told["cities"] == told["trained_on"] == ["north", "south"]
    for result in told["results"]:
        names = [square["features"] for square in result["squares"]]
        assert names[0] == names[-1] == "urbanclip-tiny"
        assert names[1:-1] == [
            "POI counts", "POI counts, densities, neighbours", "imagery means", "imagery means and deviations",
            "region area",
        ]  # fmt: skip
        for square in result["squares"]:
            pairs = {(cell["trained_on"], cell["scored_in"]) for cell in square["cells"]}
            assert pairs == {(a, b) for a in ("north", "south") for b in ("north", "south")}
            values = [cell["metrics"][result["metric"]]["per_seed"] for cell in square["cells"]]
            assert np.isfinite(values).all() and np.shape(values) == (4, 2)
    notes = " ".join(told["notes"])
    assert "kinds of points" in notes and "no floors here" in notes
    assert "Model of north: " in notes and "pictures have a caption and are trained on" in notes
    page = (work / "t.html").read_text()
    assert page.count("<th>north</th><th>south</th>") == 2 * 7 and "urbanclip-tiny from city to city" in page


def test_the_diagonal_is_what_evaluate_says_of_the_same_model_and_city(first, given, cities, work):
    for city, path in zip(("north", "south"), cities, strict=True):
        folder = path.parent
        table = work / f"{city}.parquet"
        layers = {"regions": folder / "regions.gpkg", "imagery": next(folder.glob("imagery.*"))}
        model = first.checkpoints[city]
        urbanfm_core.embed(checkpoint=model, parquet=table, cache=given["cache"], device="cpu", **layers)
        same = {name: given[name] for name in ("targets", "seeds", "probes")}
        found = urbanfm_core.evaluate(embeddings=[table], regions=folder / "regions.gpkg", settled=0, **same)
        for mine, theirs in zip(first.targets, found.results, strict=True):
            score = next(item for item in theirs.best_scores() if not item.floor)
            expected = score.metrics[theirs.metric].per_seed
            np.testing.assert_allclose(mine.squares[0].cells[city, city][theirs.metric].per_seed, expected, atol=1e-6)


def test_each_city_is_trained_on_alone(first, cities):
    for city, path in zip(("north", "south"), cities, strict=True):
        known = Checkpoint.load(first.checkpoints[city]).preprocessing["counts"]["regions"]
        assert known == len(gpd.read_file(path.parent / "regions.gpkg"))
    one, other = (Checkpoint.load(first.checkpoints[city]).manifest["weights_sha256"] for city in ("north", "south"))
    assert one != other


def test_what_is_finished_is_taken_up(first, given, work, trainings):
    trainings.clear()
    again = urbanfm_core.transfer(report=work / "t.md", **given)
    assert not trainings and "was trained by an earlier run" in " ".join(again.notes)
    assert again.targets[0].squares[0].cells == first.targets[0].squares[0].cells
    text = (work / "t.md").read_text()
    assert text.startswith("# urbanclip-tiny from city to city") and "| north | " in text


def test_one_city_to_another_by_the_command_line(first, given, cities, trainings, capsys):
    """The second has no captions, so nothing could be learned there, and its labels lie in a table."""
    trainings.clear()
    north, south = (path.parent for path in cities)
    frame = gpd.read_file(north / "regions.gpkg")
    frame.assign(wealth=frame.price * 3).to_file(north / "rich.gpkg")
    layers = json.loads(cities[0].read_text())
    (north / "richer.json").write_text(json.dumps({**layers, "regions": "rich.gpkg"}))
    frame = gpd.read_file(south / "regions.gpkg")
    frame[["region_id"]].assign(wealth=frame.price / 2).to_csv(south / "wealth.csv", index=False)
    layers = {name: layer for name, layer in json.loads(cities[1].read_text()).items() if name != "captions"}
    (south / "bare.json").write_text(json.dumps({**layers, "labels": "wealth.csv", "labels_id": "region_id"}))
    flags = ["--preset", "urbanclip-tiny", "--epochs", "1", "--seeds", "1", "--probes", "linear", "--device", "cpu"]
    where = ["--cities", str(north / "richer.json"), str(south / "bare.json"), "--train-on", "richer"]
    cache = ["--cache", str(given["cache"])]
    assert main(["transfer", *flags, *where, *cache, "--targets", "wealth", "--z-scores"]) == 0
    said = "".join(capsys.readouterr())
    assert "relative to their city" in said and "| " not in said
    table = [line.split() for line in said.splitlines() if line.strip().startswith("richer ")]
    assert table and all(len(row) == 3 for row in table)
    assert not trainings  # labels are no part of a model


def test_a_dry_run_measures_and_writes_nothing(given, work):
    values = {**given, "cache": work / "cache-never", "out": work / "never.json"}
    made = planning.plan("transfer", make_stage("transfer", values), Progress())
    assert made.seconds["training"] > 0 and made.seconds["embedding"] > 0 and made.seconds["scoring"] is None
    assert any(name == "south, imagery" for name, _ in made.reads)
    assert any("2 trainings, and 4 embeddings" in note for note in made.notes)
    assert not (work / "cache-never").exists() and not (work / "never.json").exists()


def test_what_cannot_be_compared_is_said_before_anything_is_trained(given, cities, tmp_path, trainings):
    trainings.clear()
    with pytest.raises(ConfigError, match="at least two"):
        urbanfm_core.transfer(**{**given, "cities": cities[:1]})
    with pytest.raises(ConfigError, match="no city 'east'"):
        urbanfm_core.transfer(**given, train_on=["east"])
    layers = {name: str(cities[1].parent / layer) for name, layer in json.loads(cities[1].read_text()).items()}
    lacking = tmp_path / "lacking.json"
    lacking.write_text(json.dumps({name: layer for name, layer in layers.items() if name != "captions"}))
    with pytest.raises(ConfigError, match=r"lacking: .*--captions"):
        urbanfm_core.transfer(**{**given, "cities": [cities[0], lacking]})
    lacking.write_text(json.dumps({name: layer for name, layer in layers.items() if name != "regions"}))
    with pytest.raises(ConfigError, match=r"lacking: .*no regions with labels"):
        urbanfm_core.transfer(**{**given, "cities": [cities[0], lacking]})
    with pytest.raises(ConfigError, match="'wealthy'"):
        urbanfm_core.transfer(**{**given, "targets": ["wealthy"]})
    assert not trainings

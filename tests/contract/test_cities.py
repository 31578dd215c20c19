"""One model of several cities: what is fitted comes from all of them, and what is kept stays with each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch

import urbanfm_core
from urbanfm_core import planning
from urbanfm_core.cities import cities_to_train_on, data_fingerprint
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import Cancelled, ConfigError, InputError
from urbanfm_core.inputs import method_config
from urbanfm_core.models import get_method, load_preset
from urbanfm_core.progress import Progress
from urbanfm_core.stages import make_stage
from urbanfm_core.training.checkpoint import Checkpoint

LAYERS = {"pois": "pois.gpkg", "imagery": "imagery.tif", "regions": "regions.gpkg"}


def write_city(folder: Path, name: str, **layers: object) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(layers or LAYERS))
    return path


@pytest.fixture(scope="module")
def two(city: Path, work: Path) -> list[Path]:
    """Two cities, of which the second has other points and another size."""
    north, south = work / "cities" / "north", work / "cities" / "south"
    shutil.copytree(city, north)
    urbanfm_core.samplecity(out=south, regions=60, seed=2, compact=True)
    return [write_city(north, "north"), write_city(south, "south")]


@pytest.fixture(scope="module")
def given(work: Path, two: list[Path]) -> dict[str, object]:
    return {"cities": two, "preset": "refound-tiny", "cache": work / "cache-cities", "device": "cpu"}


@pytest.fixture(scope="module")
def trained(work: Path, given: dict[str, object]) -> Path:
    found: Path = urbanfm_core.train(out=work / "of-two", epochs=3, report=work / "of-two.html", **given)
    return found


def prepared(given: dict[str, object]) -> object:
    stage = make_stage("prepare", {**given})
    preset = load_preset(stage.preset)  # type: ignore[attr-defined]
    method = get_method(preset["method"])
    cities = cities_to_train_on(stage, method)
    config = method_config(stage, method, preset)
    return method.prepare_cities(config, cities, torch.device("cpu"), Progress())


def test_words_categories_and_statistics_are_those_of_both(given, two, trained):
    found = Checkpoint.load(trained).preprocessing
    both = [PoiSet.from_source(str(path.parent / "pois.gpkg")) for path in two]
    wanted = {str(value) for pois in both for value in (*pois.category, *pois.subcategory) if value}
    assert set(found["categories"]["names"]) == wanted
    words = json.loads(found["tokenizer"]["files"]["tokenizer.json"])["model"]["vocab"]
    for pois in both:
        first = str(next(name for name in pois.name if name)).lower()[0]
        assert first in words
    alone = [
        Checkpoint.load(
            urbanfm_core.train(
                **{**given, "cities": [path]}, epochs=1, out=path.parent / "alone", overrides=["language_teacher="]
            )
        ).preprocessing
        for path in two
    ]
    means = np.array([one["statistics"]["mean"] for one in alone])
    assert (np.array(found["statistics"]["mean"]) > means.min(axis=0)).all()
    assert (np.array(found["statistics"]["mean"]) < means.max(axis=0)).all()
    assert found["cities"] == {
        "north": {"regions": 50, "used": 50, "images": 50},
        "south": {"regions": 60, "used": 60, "images": 60},
    }
    assert found["counts"]["regions"] == 110


def test_the_report_names_the_cities(work, trained):
    assert "north" in (work / "of-two.html").read_text() and "south" in (work / "of-two.html").read_text()
    assert urbanfm_core.inspect(checkpoint=trained).manifest["samples"] == 110


def test_each_city_is_embedded(given, two, trained):
    for path, count in zip(two, (50, 60), strict=True):
        layers = {name: path.parent / file for name, file in LAYERS.items()}
        table = urbanfm_core.embed(checkpoint=trained, cache=given["cache"], device="cpu", **layers)
        assert table.vectors.shape[0] == count and np.isfinite(table.vectors).all()
        assert table.vectors.std(axis=0).min() > 1e-4


def test_samples_are_those_of_both_one_after_the_other(given, two):
    given = {**given, "overrides": ["max_tokens=1500", "max_pois=400"]}
    both = prepared(given).samples
    assert len(both) == 110
    batch = both.batch(torch.tensor([3, 53, 108]))
    assert batch["has_image"].all() and batch["has_language"].all()
    # A region of the second city is what it is in the layers of that city.
    pois = both.inputs.sequences
    alone = prepared({**given, "cities": two[1:]}).samples
    np.testing.assert_array_equal(pois.pois[50:], alone.inputs.sequences.pois)
    rgb, valid = both.inputs.images.take(np.array([53, 109]))
    other, known = alone.inputs.images.take(np.array([3, 59]))
    np.testing.assert_array_equal(rgb, other)
    np.testing.assert_array_equal(valid, known)
    # The teacher's statistics compare the regions of all cities with one another.
    vision = both.teachers["vision"]
    np.testing.assert_allclose(vision.mean(axis=0), 0, atol=1e-3)
    assert np.abs(vision[:50].mean(axis=0)).max() > 0.05
    words = both.visual_tokens
    assert words.shape == (110, 16) and min((words[:50] >= 0).mean(), (words[50:] >= 0).mean()) > 0.8
    assert set(np.unique(words[:50])) & set(np.unique(words[50:]))


def test_a_city_that_changes_leaves_the_other_s_store_in_use(work, given, two, monkeypatch):
    folder = work / "cities" / "changing"
    shutil.copytree(two[1].parent, folder)
    cities = [two[0], write_city(folder, "changing")]
    stage = make_stage("prepare", {**given, "cities": cities})
    method = get_method("refound")
    before = cities_to_train_on(stage, method)
    urbanfm_core.prepare(**{**given, "cities": cities})
    frame = gpd.read_file(folder / "regions.gpkg").iloc[5:]
    frame.to_file(folder / "regions.gpkg")
    saved: list[tuple[Path, str]] = []
    save = SampleStore.save

    def counting(self, name, **arrays):
        saved.append((self.path, name.split("/")[0]))
        save(self, name, **arrays)

    monkeypatch.setattr(SampleStore, "save", counting)
    stores = urbanfm_core.prepare(**{**given, "cities": cities})
    after = cities_to_train_on(stage, method)
    assert stores == [city.store.path for city in after]
    assert after[0].store.path == before[0].store.path
    assert after[1].store.path != before[1].store.path
    assert data_fingerprint(after) != data_fingerprint(before)
    # Of the first city nothing is read or asked anew; only its words follow the new codebook.
    assert {name for path, name in saved if path == after[0].store.path} <= {"visual-tokens"}
    assert {"images", "teachers"} <= {name for path, name in saved if path == after[1].store.path}


def test_a_city_may_lack_a_layer_that_the_other_has(work, given, two):
    only = write_city(two[1].parent, "points", pois="pois.gpkg", regions="regions.gpkg")
    found = prepared({**given, "cities": [two[0], only]})
    assert found.preprocessing["sees"] == ["pois", "imagery"]
    batch = found.samples.batch(torch.tensor([0, 109]))
    assert batch["has_image"].tolist() == [True, False]
    assert batch["has_vision"].tolist() == [True, False] and batch["has_language"].all()
    assert (batch["visual_token"][1] == -1).all()
    assert any(note.startswith("points: Without imagery there is no vision teacher") for note in found.notes)


def test_imagery_that_is_stretched_is_stretched_alike(given, two, tmp_path):
    cities = []
    for number, path in enumerate(two, 1):
        with rasterio.open(path.parent / "imagery.tif") as file:
            grid = {name: file.profile[name] for name in ("width", "height", "count", "crs", "transform")}
            pixels = file.read().astype("uint16")
        folder = tmp_path / str(number)
        folder.mkdir()
        with rasterio.open(folder / "imagery.tif", "w", driver="GTiff", dtype="uint16", **grid) as file:
            file.write(pixels * 10 * number)
        bands = [1, 2, 3] if number == 1 else [3, 2, 1]
        regions = str(path.parent / "regions.gpkg")
        cities.append(write_city(tmp_path, f"deep{number}", imagery=f"{number}/imagery.tif", regions=regions,
                                 imagery_bands=bands))  # fmt: skip
    alone = [prepared({**given, "cities": [path]}).preprocessing["imagery"] for path in cities]
    found = prepared({**given, "cities": cities})
    low, high = np.array([one["stretch"] for one in alone]).swapaxes(0, 1)
    assert found.preprocessing["imagery"] == {
        "bands": None,
        "stretch": [low.min(axis=0).tolist(), high.max(axis=0).tolist()],
    }
    rgb, _ = found.samples.inputs.images.take(np.arange(110))
    means = [rgb[rows].mean(axis=(0, 2, 3)) for rows in (slice(50), slice(50, 110))]
    assert (means[1] > 1.5 * means[0]).all()
    assert any("So that values look alike in all cities" in note for note in found.notes)
    assert any(note.startswith("deep2: Imagery of uint16 is stretched") for note in found.notes)


def test_a_run_that_was_stopped_goes_on_and_a_change_starts_anew(work, given, two):
    out = work / "resumed"

    class Stop(Progress):
        def __init__(self) -> None:
            self.epochs = 0

        def metric(self, name: str, value: float, step: int) -> None:
            self.epochs = max(self.epochs, step)

        def cancelled(self) -> bool:
            return self.epochs >= 2

    with pytest.raises(Cancelled):
        urbanfm_core.train(out=out, epochs=3, progress=Stop(), **given)
    urbanfm_core.train(out=out, epochs=3, **given)
    whole = urbanfm_core.train(out=work / "whole", epochs=3, **given)
    first, second = (Checkpoint.load(path).weights for path in (out, whole))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_dry_run_tells_of_each_city(given, two, work):
    stage = make_stage("train", {**given, "out": work / "never"})
    lines = "\n".join(planning.plan("train", stage, Progress()).lines())
    assert "north, regions: 50 polygons" in lines and "south, regions: 60 polygons" in lines
    assert "2 epochs of 110 samples" in lines and "training: " in lines
    assert not (work / "never").exists()


def test_errors_name_the_city(given, two, tmp_path):
    nowhere = write_city(tmp_path, "nowhere", pois="missing.gpkg", regions=str(two[0].parent / "regions.gpkg"))
    with pytest.raises(InputError, match=r"^nowhere: .*missing\.gpkg"):
        urbanfm_core.train(out=tmp_path / "x", **{**given, "cities": [two[0], nowhere]})
    without = write_city(tmp_path, "without", regions=str(two[0].parent / "regions.gpkg"))
    with pytest.raises(ConfigError, match=r"^without: This needs --pois or --imagery"):
        urbanfm_core.train(out=tmp_path / "x", **{**given, "cities": [two[0], without]})
    far = gpd.read_file(two[1].parent / "regions.gpkg")
    far.geometry = far.geometry.translate(500_000, 0)
    far.to_file(tmp_path / "far.gpkg")
    layers = {"imagery": str(two[1].parent / "imagery.tif"), "regions": "far.gpkg"}
    with pytest.raises(InputError, match=r"^far: None of 60 regions lies on the imagery"):
        urbanfm_core.train(out=tmp_path / "x", **{**given, "cities": [two[0], write_city(tmp_path, "far", **layers)]})
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("[1]", "expected an object"),
        ('{"poi": "a.gpkg"}', "poi: Extra inputs are not permitted"),
        ('{"grid_size": -1}', "grid_size: Input should be greater than 0"),
    ],
)
def test_a_file_that_is_no_city_is_refused(given, tmp_path, content, said):
    (tmp_path / "odd.json").write_text(content)
    with pytest.raises(ConfigError, match=r"odd\.json: .*" + said):
        urbanfm_core.train(out=tmp_path / "x", **{**given, "cities": [tmp_path / "odd.json"]})


def test_layers_beside_cities_and_a_city_named_twice_are_refused(given, two, tmp_path):
    with pytest.raises(ConfigError, match="pois: the files of the cities"):
        urbanfm_core.train(out=tmp_path / "x", pois=two[0].parent / "pois.gpkg", **given)
    with pytest.raises(ConfigError, match="named twice"):
        urbanfm_core.train(out=tmp_path / "x", **{**given, "cities": [two[0], two[0]]})

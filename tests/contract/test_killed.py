"""Killed at any moment, a run leaves what the next one goes on from, and no trace once that one has ended."""

import json
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from safetensors.torch import load_file
from victims import Victims

from urbanfm_core.files import _TEMPORARY
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.resources import resource

KILLS = 10


@pytest.fixture(scope="module")
def victims():
    with Victims() as running:
        yield running


@pytest.fixture(scope="module")
def inputs(city, tmp_path_factory) -> dict[str, Path]:
    """The sample city, its raster in 28 blocks."""
    folder = tmp_path_factory.mktemp("inputs")
    with rasterio.open(city / "embedding.tif") as source:
        profile = {**source.profile, "blockxsize": 32, "blockysize": 32, "tiled": True}
        with rasterio.open(folder / "embedding.tif", "w", **profile) as target:
            target.write(source.read())
    return {"pois": city / "pois.gpkg", "regions": city / "regions.gpkg", "embedding_raster": folder / "embedding.tif"}


@pytest.fixture(scope="module")
def training(inputs):
    given = {name: inputs[name] for name in ("pois", "embedding_raster")}
    return {**given, "preset": "aether-tiny", "device": "cpu", "epochs": 8, "overrides": ["dropout=0.3"]}


@pytest.fixture(scope="module")
def whole(victims, training, tmp_path_factory) -> Path:
    """The checkpoint of an unbroken run."""
    folder = tmp_path_factory.mktemp("unbroken")
    ended = victims.run("train", out=folder / "ckpt", cache=folder / "cache", count=True, **training)
    assert not ended.error, ended.message
    (folder / "calls").write_text(str(ended.calls))
    return folder / "ckpt"


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def moments(seed: int, calls: int) -> list[int]:
    # A run that saves less often than the counted one, because the machine is faster, makes fewer calls.
    chosen = random.Random(seed)
    return [chosen.randrange(1, calls * 9 // 10) for _ in range(KILLS)]


def same_weights(one: Path, other: Path) -> bool:
    left, right = (load_file(folder / "weights.safetensors") for folder in (one, other))
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


def test_training_killed_ten_times(victims, training, whole, tmp_path):
    calls = int((whole.parent / "calls").read_text())
    killed = resumed = 0
    for number, moment in enumerate(moments(1, calls)):
        folder = tmp_path / str(number)
        where = {"out": folder / "ckpt", "cache": folder / "cache"}
        killed += victims.run("train", kill_at=moment, **where, **training).killed
        ended = victims.run("train", **where, **training)
        assert not ended.error, (moment, ended.message)
        resumed += any("unfinished run was found" in line for line in ended.logs)
        assert same_weights(folder / "ckpt", whole), moment
        assert sorted(path.name for path in folder.iterdir()) == ["cache", "ckpt"], moment
        assert names(folder / "ckpt") == names(whole) and names(folder / "cache") == names(whole.parent / "cache"), (
            moment
        )
    assert killed == KILLS and resumed >= 2


def test_training_killed_again_and_again_comes_to_the_same_end(victims, training, whole, tmp_path):
    calls = int((whole.parent / "calls").read_text())
    where = {"out": tmp_path / "ckpt", "cache": tmp_path / "cache"}
    for moment in moments(2, calls):
        victims.run("train", kill_at=moment, **where, **training)
    ended = victims.run("train", **where, **training)
    assert not ended.error, ended.message
    assert same_weights(tmp_path / "ckpt", whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "ckpt"]


def test_embedding_killed_ten_times(victims, inputs, whole, tmp_path):
    given = {name: inputs[name] for name in ("regions", "embedding_raster")}
    given |= {"checkpoint": whole, "device": "cpu"}

    def outputs(folder):
        made = {"out": "r.gpkg", "parquet": "r.parquet"}
        return {"cache": folder / "cache", **{name: folder / "made" / file for name, file in made.items()}}

    unbroken = victims.run("embed", count=True, **outputs(tmp_path / "whole"), **given)
    assert not unbroken.error, unbroken.message
    expected = EmbeddingTable.from_parquet(tmp_path / "whole" / "made" / "r.parquet")
    killed = spared = 0
    for number, moment in enumerate(moments(3, unbroken.calls)):
        folder = tmp_path / str(number)
        killed += victims.run("embed", kill_at=moment, **outputs(folder), **given).killed
        ended = victims.run("embed", **outputs(folder), **given)
        assert not ended.error, (moment, ended.message)
        spared += ended.blocks < unbroken.blocks
        found = EmbeddingTable.from_parquet(folder / "made" / "r.parquet")
        np.testing.assert_array_equal(found.vectors, expected.vectors)
        assert names(folder) == names(tmp_path / "whole"), moment
    assert killed == KILLS and spared >= 2


def test_a_run_past_its_training_does_not_train_again(victims, training, inputs, tmp_path):
    given = {**training, "regions": inputs["regions"], "cache": tmp_path / "cache", "parquet": tmp_path / "r.parquet"}
    first = victims.run("embed", count=True, **given)
    before = EmbeddingTable.from_parquet(tmp_path / "r.parquet")
    again = victims.run("embed", count=True, **given)
    assert not first.error and not again.error, (first.message, again.message)
    assert any("trained on the same inputs" in line for line in again.logs) and again.calls < first.calls
    after = EmbeddingTable.from_parquet(tmp_path / "r.parquet")
    np.testing.assert_array_equal(after.vectors, before.vectors)
    assert after.provenance == before.provenance
    checkpoint = next((tmp_path / "cache" / "checkpoints").iterdir())
    (checkpoint / "weights.safetensors").unlink()
    mended = victims.run("embed", **given)
    assert not mended.error and not any("trained on the same inputs" in line for line in mended.logs)
    np.testing.assert_array_equal(EmbeddingTable.from_parquet(tmp_path / "r.parquet").vectors, before.vectors)


ABLATION = {"targets": ["land_use"], "probes": "linear", "seeds": 1, "training_seeds": 1}


def test_an_ablation_killed_ends_the_same(victims, training, inputs, tmp_path):
    given = {**training, "regions": inputs["regions"], **ABLATION, "epochs": 1}

    def where(folder):
        return {"cache": folder / "cache", "out": folder / "made" / "a.json"}

    def results(folder):
        return json.loads((folder / "made" / "a.json").read_text())["results"]

    unbroken = victims.run("ablate", count=True, **where(tmp_path / "whole"), **given)
    assert not unbroken.error, unbroken.message
    killed = taken = 0
    for number, moment in enumerate(moments(4, unbroken.calls)[:3]):
        folder = tmp_path / str(number)
        killed += victims.run("ablate", kill_at=moment, **where(folder), **given).killed
        ended = victims.run("ablate", **where(folder), **given)
        assert not ended.error, (moment, ended.message)
        taken += any("were finished by an earlier run" in line for line in ended.logs)
        assert results(folder) == results(tmp_path / "whole"), moment
        assert names(folder) == names(tmp_path / "whole"), moment
    # How often a training saves depends on the clock, so the last moment may lie past the end.
    assert killed >= 2 and taken


ANALYSES = {
    "cluster": ({"clusters": 3, "contiguity": True}, {"out": "o.gpkg", "profile": "o.json", "report": "o.html"}),
    "similar": ({}, {"out": "o.gpkg", "table": "o.csv", "report": "o.html"}),
    "predict": ({"target": "price"}, {"out": "o.gpkg", "parquet": "o.parquet", "report": "o.html"}),
}


@pytest.fixture(scope="module")
def vectors(victims, inputs, whole, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    given = {name: inputs[name] for name in ("regions", "embedding_raster")} | {"checkpoint": whole, "device": "cpu"}
    ended = victims.run("embed", parquet=folder / "v.parquet", cache=folder / "cache", **given)
    assert not ended.error, ended.message
    return folder / "v.parquet"


@pytest.mark.parametrize("stage", ANALYSES)
def test_an_analysis_killed_or_without_room_leaves_whole_files_and_ends_the_same(victims, vectors, tmp_path, stage):
    given, outputs = ANALYSES[stage]
    given = {**given, "embeddings": vectors}
    if stage == "similar":
        given["ids"] = [str(EmbeddingTable.from_parquet(vectors).ids[3])]

    def where(folder):
        return {name: folder / file for name, file in outputs.items()}

    def texts(folder):
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".json", ".csv", ".html")}
        # What a report says of the run itself differs: when, how long, where.
        return {
            name: re.sub(rb"urbanfm \w+ \xc2\xb7 [^<]*|What went in.*", b"", text, flags=re.S)
            for name, text in found.items()
        }

    unbroken = victims.run(stage, count=True, **given, **where(tmp_path / "whole"))
    assert not unbroken.error, unbroken.message
    expected = texts(tmp_path / "whole")
    assert len(expected) in (1, 2)
    killed = 0
    # Half of the kills come late, when outputs are written.
    for number, moment in enumerate(
        [*moments(5, unbroken.calls)[:2], unbroken.calls * 94 // 100, unbroken.calls - 200]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for file in outputs.values():
            (folder / file).write_text("old")
        killed += victims.run(stage, kill_at=moment, **given, **where(folder)).killed
        for name, text in texts(folder).items():
            assert text in (b"old", expected[name]), (moment, name)
        ended = victims.run(stage, **given, **where(folder))
        assert not ended.error, (moment, ended.message)
        assert texts(folder) == expected and names(folder) == names(tmp_path / "whole"), moment
    assert killed >= 2
    full = tmp_path / "full"
    full.mkdir()
    (full / outputs["out"]).write_text("old")
    ended = victims.run(stage, file_bytes=4096, **given, **where(full))
    assert ended.error == "OutputError" and "disk" in ended.message
    assert (full / outputs["out"]).read_text() == "old"
    assert not [path for path in full.rglob("*") if _TEMPORARY.fullmatch(path.name)]


FULL = {
    "grid": (4096, {"extent": "500000,4000000,510000,4010000", "extent_crs": "EPSG:32630"}, {"out": "g.gpkg"}),
    "grid as GeoJSON": (
        4096,
        {"extent": "500000,4000000,510000,4010000", "extent_crs": "EPSG:32630"},
        {"out": "g.json"},
    ),
    "embed": (8192, {"regions", "embedding_raster", "checkpoint"}, {"parquet": "r.parquet"}),
    "embed to a layer": (16384, {"regions", "embedding_raster", "checkpoint"}, {"out": "r.gpkg"}),
    "embed to a raster": (65536, {"regions", "embedding_raster", "checkpoint"}, {"raster": "r.tif"}),
    "embed to a picture": (65536, {"regions", "embedding_raster", "checkpoint"}, {"map": "r.png"}),
    "embed, at the first partition": (256, {"regions", "embedding_raster", "checkpoint"}, {"parquet": "r.parquet"}),
    "embedraster": (65536, {"embedding_raster", "checkpoint"}, {"out": "p.tif"}),
    "embedraster, at its last block": (None, {"embedding_raster", "checkpoint"}, {"out": "p.tif"}),
    "train": (4096, {"pois", "embedding_raster"}, {"out": "ckpt"}),
    "train, at its checkpoint": (None, {"pois", "embedding_raster"}, {"out": "ckpt"}),
    "ablate": (4096, {"pois", "embedding_raster", "regions"}, {"out": "a.json"}),
    "transfer": (4096, {"pois", "embedding_raster", "regions"}, {"out": "t.json"}),
    "samplecity": (100_000, {"regions": 50, "compact": True}, {"out": "city"}),
    "caption": (4096, {"captions": resource("samplecity", "captions.parquet")}, {"out": "c.parquet"}),
    "describe": (
        16384,
        {
            name: resource("samplecity", f"{name}.{kind}")
            for name, kind in (("captions", "parquet"), ("regions", "gpkg"))
        },
        {"out": "d.gpkg"},
    ),
    "inspect": (512, {"checkpoint"}, {"report": "r.html"}),
}


@pytest.mark.parametrize("case", FULL)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(victims, inputs, training, whole, tmp_path, case):
    limit, given, outputs = FULL[case]
    stage = case.split()[0].strip(",")
    if isinstance(given, set):
        known = {**inputs, "checkpoint": whole}
        given = training if stage == "train" else {name: known[name] for name in given} | {"device": "cpu"}
    if stage == "ablate":
        given = {**training, **given, **ABLATION}
    if stage == "transfer":
        files = [tmp_path / name for name in ("a.json", "b.json")]
        for file in files:
            file.write_text(json.dumps({name: str(path) for name, path in inputs.items()}))
        given = {
            "cities": [str(file) for file in files],
            "preset": "aether-tiny",
            "device": "cpu",
            "targets": ["price"],
        }
    if stage == "inspect":
        given = {"checkpoint": whole}
    if stage not in ("grid", "samplecity", "inspect"):
        given = {**given, "cache": tmp_path / "cache"}
    targets = {name: tmp_path / "made" / file for name, file in outputs.items()}
    old = next(iter(targets.values()))
    if stage == "train":
        shutil.copytree(whole, old)
    elif stage == "samplecity":
        old.parent.mkdir()
    else:
        old.parent.mkdir()
        old.write_text("old")
    if limit is None and stage == "embedraster":
        assert not victims.run(stage, **{**given, **targets, "out": tmp_path / "whole.tif"}).error
        limit = (tmp_path / "whole.tif").stat().st_size - 1000
    elif limit is None:
        # The run's own state is larger than the checkpoint: let there be none.
        limit = (whole / "weights.safetensors").stat().st_size - 100
    before = {path: path.read_bytes() for path in old.parent.rglob("*") if path.is_file()}
    ended = victims.run(stage, file_bytes=limit, **given, **targets)
    assert ended.error == "OutputError", (ended.error, ended.message)
    assert "disk" in ended.message
    after = {
        path: path.read_bytes() for path in old.parent.rglob("*") if path.is_file() and "training" not in str(path)
    }
    assert after == before
    assert not [path for path in tmp_path.rglob("*") if _TEMPORARY.fullmatch(path.name)]

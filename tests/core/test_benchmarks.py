"""The benchmark compares before it times, reports what it promises, and its stages run."""

import importlib
import json

import numpy as np
import pandas as pd
import pytest
import rasterio

from tests.benchmarks import STAGES, noisy_captions, text_search
from tests.benchmarks.__main__ import main
from tests.benchmarks.harness import ContenderFailed, Measured, memory_slopes, run_case, summarise
from tests.benchmarks.stage import Mismatch, Setting, grid_shape
from urbanfm_core.resources import resource

TOY = """
import time
from pathlib import Path
import numpy as np
from tests.benchmarks.stage import Case, Contender, Goal, Output, Unavailable, require_close

def make(folder, scale, seed):
    (folder / "number").write_text(str(seed))

def doing(add, seconds=0.0, share=1.0, mib=0):
    def prepare(setting):
        def work():
            with (Path(__file__).parent / "runs").open("a") as file:
                file.write("x")
            time.sleep(seconds)
            np.ones(mib << 17)
            number = float((setting.inputs / "number").read_text())
            return Output(lambda: {"value": np.array([number + add])}, share)
        return work
    return prepare

def floor(setting):
    return lambda: Output()

def absent(setting):
    raise Unavailable("needs a thing")

def compare(outputs):
    return {name: require_close(name, one["value"], outputs["ours"]["value"], 1e-3) for name, one in outputs.items()}

def case(add):
    contenders = {
        "ours": Contender(doing(0, 0.01), "ours"),
        "peer": Contender(doing(add, 0.04, mib=64), "peer"),
        "part": Contender(doing(0, 0.04, 0.1), "peer"),
        "absent": Contender(absent, "peer"),
        "floor": Contender(floor, "floor"),
    }
    return Case("toy", make, contenders, compare, (Goal("ours", "peer", 0.9), Goal("ours", "peer", 0.5, "peak_mib")))

def broken(setting):
    raise SystemExit(3)

CASES = {
    "right": case(0),
    "wrong": case(1),
    "broken": Case("toy", make, {"ours": Contender(broken, "ours")}, compare),
}
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Name of a stage that takes no time; its contenders leave a mark per run in the file `runs`."""
    (tmp_path / "toy_stage.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield "toy_stage"
    importlib.sys.modules.pop("toy_stage", None)


def test_a_contender_that_differs_stops_the_benchmark_before_anything_is_timed(toy, tmp_path):
    with pytest.raises(Mismatch, match="peer: differs by 1"):
        run_case(toy, "wrong", rounds=5, folder=tmp_path, say=lambda _: None)
    # One run each of the three that compute, and none of the five rounds.
    assert (tmp_path / "runs").read_text() == "xxx"
    assert [path for path in tmp_path.iterdir() if path.name.startswith("urbanfm-bench")] == []


def test_each_contender_is_measured_beside_floor_and_best_peer(toy, tmp_path):
    said = []
    result = run_case(toy, "right", rounds=2, folder=tmp_path, say=said.append)
    assert result["unavailable"] == {"absent": "needs a thing"} and "absent" in said[0]
    found = result["contenders"]
    assert list(found) == ["ours", "peer", "part", "floor"]
    for name, one in found.items():
        assert len(one["seconds"]) == 2 and one["median_s"] > 0 and one["cpu_s"] >= 0 and one["spread"] >= 0
        assert one["floor"] == "floor" and one["ratio_to_floor"] >= (1 if name == "floor" else 0)
        assert one["best_peer"] == "peer"
    # It sleeps 0.04 s for a tenth of the work.
    assert found["part"]["median_s"] >= 0.4 and found["part"]["share"] == 0.1
    assert found["peer"]["peak_mib"] - found["ours"]["peak_mib"] > 48
    assert found["ours"]["agreement"].startswith("differs by at most 0")
    assert "not compared" in found["floor"]["agreement"]
    goal, memory = result["goals"]
    assert goal["found"] == pytest.approx(found["ours"]["ratio_to_best_peer"])
    assert goal["met"] == (goal["found"] <= 0.9)
    assert memory["found"] == found["ours"]["peak_mib"] / found["peer"]["peak_mib"] and memory["met"]


def test_only_the_peers_asked_for_run(toy, tmp_path):
    none = run_case(toy, "right", rounds=1, peers="none", folder=tmp_path)
    assert list(none["contenders"]) == ["ours", "floor"] and none["goals"] == []
    assert none["contenders"]["ours"]["ratio_to_best_peer"] is None


def test_a_contender_that_dies_is_named(toy, tmp_path):
    with pytest.raises(ContenderFailed, match="ours ended with exit code 3"):
        run_case(toy, "broken", folder=tmp_path)


def test_ratios_are_taken_within_a_round():
    # The second round met a machine half as fast; the ratio is the same in both.
    measured = {
        "ours": Measured("ours", [1.0, 2.0, 1.0], [1.0, 1.0, 1.0]),
        "floor": Measured("floor", [0.5, 1.0, 0.5], [0.5, 0.5, 0.5]),
        "small floor": Measured("floor", [0.1, 0.1, 0.1], [0.1, 0.1, 0.1]),
    }
    found = summarise(measured)["ours"]
    assert found["floor"] == "floor" and found["ratio_to_floor"] == 2.0 and found["best_peer"] is None
    assert found["spread"] == 1.0
    assert found["least_s"] == 1.0 and found["least_to_floor"] == 2.0


def test_memory_slopes_compare_the_smallest_and_the_largest_scale():
    runs = [
        {"case": "a", "scale": scale, "contenders": {"ours": {"peak_mib": peak}}}
        for scale, peak in ((8, 110.0), (1, 100.0), (2, 400.0))
    ]
    assert memory_slopes(runs) == {"a": {"ours": pytest.approx(0.1)}}
    assert memory_slopes(runs[:1]) == {}


@pytest.mark.parametrize(("scale", "shape"), [(1, (10, 20)), (2, (20, 20)), (4, (20, 40)), (8, (40, 40))])
def test_scale_multiplies_the_area(scale, shape):
    assert grid_shape((10, 20), scale) == shape


def test_the_command_prints_and_writes_all_figures(tmp_path, capsys):
    arguments = ["assign", "--peers", "geopandas sjoin", "--scale", "0.001,0.002", "--rounds", "1"]
    assert main([*arguments, "--case", "grid", "--folder", str(tmp_path), "--json", str(tmp_path / "out.json")]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert [result["scale"] for result in found["results"]] == [0.001, 0.002]
    assert set(found["results"][0]["contenders"]) == {"ours", "geopandas sjoin", "arithmetic"}
    assert set(found["memory_slope"]) == {"grid"} and found["machine"]["cores"] >= 1
    printed = capsys.readouterr().out
    assert "goal: ours <= 3 x arithmetic" in printed and "memory of ours (grid)" in printed


@pytest.mark.parametrize(
    ("stage", "case", "scale"),
    [
        ("assign", "polygons", 0.002),
        ("zonal", "codes", 0.002),
        ("zonal", "coverage", 0.005),
        ("windows", "disks", 0.001),
        ("train-aether", "batch 512", 0.001),
        ("embedraster", "float32", 0.005),
        ("embedraster", "int8", 0.005),
        ("crops", "rgb", 0.005),
        ("tokens", "forward", 0.01),
        ("tokens", "forward and backward", 0.01),
        ("encode", "regions", 0.01),
        ("cluster", "vectors", 0.01),
        ("loss", "symmetric", 0.01),
    ],
)
def test_contenders_of_a_stage_agree(stage, case, scale, tmp_path):
    """Tiny inputs, in this process; the published code is not there and says so."""
    one = importlib.import_module(STAGES[stage]).CASES[case]
    (tmp_path / "inputs").mkdir()
    one.make(tmp_path / "inputs", scale, 0)
    outputs = {}
    for name, contender in one.contenders.items():
        if "published" in name or contender.role == "floor":
            continue
        (tmp_path / name).mkdir()
        outputs[name] = contender.prepare(Setting(tmp_path / "inputs", tmp_path / name))().collect()
    assert set(one.compare(outputs)) == set(outputs) and "ours" in " ".join(outputs)
    if stage not in ("assign", "cluster"):  # adding one to an index, or to an inertia, changes little
        wrong = {name: {key: values + 1 for key, values in arrays.items()} for name, arrays in outputs.items()}
        spoiled = next(iter(outputs))
        if len(outputs) > 1:
            with pytest.raises(Mismatch):
                one.compare({**outputs, spoiled: wrong[spoiled]})


def test_generated_rasters_are_the_same_for_a_seed(tmp_path):
    from tests.benchmarks.inputs import write_raster

    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_raster(tmp_path / f"{name}.tif", (70, 90), seed, bands=5, dtype="int8", block=64, holes=1.0)
    values = {}
    for name in "abc":
        with rasterio.open(tmp_path / f"{name}.tif") as file:
            values[name] = file.read()
    np.testing.assert_array_equal(values["a"], values["b"])
    assert (values["a"] != values["c"]).mean() > 0.5
    assert 0.2 < (values["a"] == -128).mean() < 0.3


def test_precision_counts_the_best_regions_that_a_phrase_means():
    values = np.arange(100.0)
    assert np.flatnonzero(text_search.meant(values, high=True)).tolist() == [*range(80, 100)]
    assert np.flatnonzero(text_search.meant(values, high=False)).tolist() == [*range(20)]
    right = text_search.meant(values, high=True)
    assert text_search.precision(values, right) == 1 and text_search.precision(-values, right) == 0
    assert text_search.precision(np.where(values == 99, np.nan, values), right) == 0.95
    few = np.where(values >= 90, values, np.nan)
    assert text_search.precision(few, right) == 0.5, "places that nobody fills are not right"


def test_the_table_ranks_each_half_by_itself_and_phrases_mean_known_fields():
    from urbanfm_core.resources import resource

    truth = pd.read_parquet(resource("samplecity", "truth.parquet"))
    truth = pd.concat([truth] * 4, ignore_index=True)
    halves = np.arange(len(truth)) < 100
    signs = [1 if phrase.high else -1 for phrase in text_search.PHRASES]
    perfect = np.stack(
        [sign * truth[phrase.field] for sign, phrase in zip(signs, text_search.PHRASES, strict=True)]
    ).astype(np.float32)
    perfect[:, ~halves] *= -1
    table = text_search.table_of({"oracle": perfect}, truth, halves)
    assert table.index[-1] == "mean" and len(table) == 11
    assert table["oracle", "with captions"].min() > 0.85 and table["oracle", "without"].max() == 0


def test_captions_are_spoiled_as_much_as_asked_for():
    frame = pd.read_parquet(resource("samplecity", "captions.parquet")).query("image == 'satellite'")
    said = sum(len({*row.facts_true, *row.facts_false}) for row in frame.itertuples())
    true = int(frame.facts_true.str.len().sum())
    clean, half, all_false = (noisy_captions.corrupted(frame, chance, 0) for chance in (0.0, 0.5, 1.0))
    assert (clean.true.sum(), clean.true.sum() + clean.false.sum()) == (true, said)
    assert half.true.sum() / true == pytest.approx(0.5, abs=0.05) and all_false.true.sum() == 0
    refused = frame.refused.to_numpy()
    assert (all_false.caption[refused].to_numpy() == frame.caption[refused].to_numpy()).all()
    assert (all_false.caption[~refused].to_numpy() != clean.caption[~refused].to_numpy()).all()
    pd.testing.assert_frame_equal(noisy_captions.corrupted(frame, 0.5, 0), half)


def test_captions_are_exchanged_as_often_as_asked_for():
    frame = pd.read_parquet(resource("samplecity", "captions.parquet")).query("image == 'satellite'")
    frame = frame.reset_index(drop=True)
    made = noisy_captions.exchanged(frame, 0.4, 0)
    assert made.false.mean() == pytest.approx(0.4, abs=0.1) and (made.true != made.false).all()
    assert (made.caption[made.true] == frame.caption[made.true]).all()
    told = {(row.captioner, row.caption) for row in frame.itertuples()}
    assert {(row.captioner, row.caption) for row in made.itertuples()} <= told
    assert (made.caption[made.false] != frame.caption[made.false]).mean() > 0.9
    assert noisy_captions.exchanged(frame, 0.0, 0).caption.equals(frame.caption)

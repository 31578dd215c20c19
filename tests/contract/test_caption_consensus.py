"""`caption` with divide and conquer and consensus, and what training makes of its file."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from vision import serving, tiny_blip, tiny_llava

import urbanfm_core
from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.errors import ConfigError
from urbanfm_core.pipeline import run
from urbanfm_core.progress import Progress

sys.path.insert(0, str(Path(__file__).parents[1]))
from core.captions.test_divide import save_owl, save_sam

SAID = {
    "one.jpg": ["A park with a pond.", "A park with a pond and a castle.", "Tall buildings near a harbour."],
    "two.jpg": ["A street with houses.", "A street with houses.", "An airport."],
}


@pytest.fixture
def service(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as state:
        state.answer = lambda picture: "A bench."
        yield state


@pytest.fixture
def blip(tmp_path):
    return str(tiny_blip(tmp_path / "blip"))


@pytest.fixture
def views(tmp_path):
    """Two street views, and three captions of each."""
    for seed, name in enumerate(SAID):
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    pd.DataFrame({"path": [*SAID], "lon": [0.0, 0.001], "lat": 41.0}).to_csv(tmp_path / "views.csv", index=False)
    rows = [(name, f"m{i}", text) for name, texts in SAID.items() for i, text in enumerate(texts)]
    pd.DataFrame(rows, columns=["image", "captioner", "caption"]).assign(kind="street").to_csv(
        tmp_path / "captions.csv", index=False
    )
    return {"streetview": tmp_path / "views.csv", "captions": tmp_path / "captions.csv"}


def given(tmp_path, **more):
    made = {"cache": tmp_path / "cache", "out": tmp_path / "made" / "c.parquet", "device": "cpu", "size_px": 32}
    return {**made, "consensus_encoder": "none", **more}


def test_a_merger_writes_all_captions_anew_and_consensus_marks_one_of_each_picture(service, views, tmp_path):
    service.anew = lambda prompt: prompt.splitlines()[1].replace("a castle", "a fountain") + " A bench."
    made = given(tmp_path, segmenter="grid", merger=service.spec, consensus=True, report=tmp_path / "r.html", **views)
    result = run("caption", made, Progress())
    table = pd.read_parquet(made["out"])
    assert list(table) == [
        "region", "image", "kind", "captioner", "text", "refined", "reason", "consensus", "score",
    ]  # fmt: skip
    assert table.groupby("image")["text"].apply(list).to_dict() == SAID, "what was said stays beside what is left"
    assert list(table["refined"][:2]) == ["A park with a pond. A bench.", "A park with a pond and a fountain. A bench."]
    assert set(table["reason"]) == {"parts"}
    assert table["consensus"].sum() == 2 and table.loc[table["consensus"], "text"].is_monotonic_increasing
    best = table.loc[table.groupby("image")["score"].idxmax(), "text"]
    assert set(table.loc[table["consensus"], "text"]) == set(best)
    assert SAID["two.jpg"][0] in set(best), "captions that say the same have their say, both of them"
    # Of each picture four parts, and its captions: two of them are the same, and asked for once.
    assert len(service.bodies) == 2 * 4 + 5
    assert result.summary["consensus"] == 2 and len(result.value) == 2
    told = " ".join(result.notes)
    assert "6 of 6 captions written anew" in told and "No phrase detector" in told
    assert "Consensus: 2 captions chosen out of 6" in told and "say the same are kept" in told
    assert not list((tmp_path / "cache" / "captions").glob("*"))


def test_captioners_that_follow_no_prompt_are_not_asked_to_merge(service, blip, views, tmp_path):
    service.anew = lambda prompt: "A park with a bench."
    made = given(tmp_path, captioners=[blip, service.spec], segmenter="grid:1", streetview=views["streetview"])
    result = run("caption", {**made, "max_new_tokens": 3}, Progress())
    table = pd.read_parquet(made["out"]).set_index("captioner")
    assert set(table.loc["seer", "refined"]) == {"A park with a bench."}
    assert not table.loc["blip", "reason"].str.contains("parts").any()
    assert "The captioner blip follows no prompt, so its captions were not written anew" in " ".join(result.notes)


def test_a_captioner_on_this_machine_merges_too(views, tmp_path):
    llava = str(tiny_llava(tmp_path / "llava"))
    made = given(tmp_path, captioners=[llava], segmenter="grid:1", max_new_tokens=3, **views)
    result = run("caption", made, Progress())
    told = " ".join(result.notes)
    assert "captions are not written anew: their captioner is not at hand" in told
    assert result.summary["captions"] == 2 + 6


def test_segmenter_and_detector_are_models_by_folder(views, tmp_path):
    made = given(
        tmp_path,
        captioners=[str(tiny_llava(tmp_path / "llava"))],
        segmenter=str(save_sam(tmp_path / "sam")),
        detector=str(save_owl(tmp_path / "owl")),
        max_new_tokens=3,
        **views,
    )
    result = run("caption", made, Progress())
    told = " ".join(result.notes)
    assert re.search(r"The phrase detector did not confirm \d+ of [1-9]\d* phrases", told)
    assert "No phrase detector" not in told and "equal parts" not in told


def test_captions_of_no_picture_at_hand_stay_as_they_are(service, views, tmp_path):
    frame = pd.read_csv(views["captions"])
    frame.loc[len(frame)] = ["elsewhere.jpg", "m0", "A castle on a hill.", "street"]
    frame.to_csv(views["captions"], index=False)
    service.anew = lambda prompt: "A park."
    made = given(tmp_path, segmenter="grid:1", merger=service.spec, **views)
    result = run("caption", made, Progress())
    last = pd.read_parquet(made["out"]).iloc[-1]
    assert (last["image"], last["refined"], last["reason"]) == ("elsewhere.jpg", "A castle on a hill.", "")
    assert any(note.startswith("1 captions are empty or of no picture at hand") for note in result.notes)


def test_a_dry_run_sends_nothing_and_says_what_it_does_not_know(service, views, urbanfm, tmp_path):
    code, said, made = urbanfm(
        *("caption", "--captioners", service.spec, "--streetview", views["streetview"], "--segmenter", "grid"),
        *("--consensus", "--out", tmp_path / "made" / "c.parquet", "--cache", tmp_path / "cache", "--dry-run"),
    )
    assert code == 0 and not made and not service.bodies, said
    assert "completing part by part: not measured" in said and "consensus: not measured" in said


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"merger": "m"}, "needs a segmenter"),
        ({"detector": "d"}, "needs a segmenter"),
        ({"segmenter": "grid", "streetview": None}, "name imagery or street views"),
        ({"segmenter": "grid"}, "No captioner at hand follows a prompt"),
        ({"segmenter": "grid:99", "merger": "openai:m@http://localhost:1"}, "no grid of 1 to 8"),
        ({"segmenter": "grid", "detector": "no such/detector/anywhere"}, "no Hugging Face id"),
        ({"parser": "spacy:no_such_pipeline"}, "spa[Cc]y"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_read(views, tmp_path, wrong, told):
    with pytest.raises((ConfigError, ImportError), match=told):
        run("caption", given(tmp_path, **{**views, **wrong}), Progress())
    assert not (tmp_path / "made").exists()


def test_blip_cannot_be_the_merger(blip, views, tmp_path):
    for more in ({"merger": blip}, {"captioners": [blip]}):
        with pytest.raises(ConfigError, match=r"follows (no|a) prompt"):
            run("caption", given(tmp_path, segmenter="grid", **views, **more), Progress())


def test_urbanln_learns_from_the_consensus(city, work):
    layers = {"regions": city / "regions.gpkg", "imagery": city / "imagery.tif", "cache": work / "cache"}
    marked = work / "marked.parquet"
    urbanfm_core.caption(
        captions=city / "captions.parquet", out=marked, consensus=True, consensus_encoder="none", cache=work / "cache"
    )
    given = {"preset": "urbanln-tiny", "captions": marked, "device": "cpu", **layers}
    found = run("prepare", given, Progress())
    read = CaptionSet.read(marked)
    assert read.consensus is not None and 0 < read.consensus.sum() < len(read)
    said = f"Of {len(read):,} captions, the {int(read.consensus.sum()):,} that are marked as consensus are taken."
    assert said in found.notes
    regions = len(set(read.agreed().select("satellite").region))
    assert f"{regions} of 50 pictures have a caption and are trained on." in found.notes
    without = run("prepare", {**given, "overrides": ["captions=random"]}, Progress())
    assert not any("marked as consensus" in note for note in without.notes)

"""`caption` as a user meets it: pictures described, captions refined, nothing lost when something fails."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from vision import serving, tiny_blip, tiny_llava

import urbanfm_core
from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, RemoteError
from urbanfm_core.pipeline import run
from urbanfm_core.progress import Progress

REFUSAL = "I'm sorry, I can't help with identifying locations in images."


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captioners")
    return [str(tiny_blip(folder / "blip")), str(tiny_llava(folder / "llava"))]


@pytest.fixture
def service(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as state:
        yield state


@pytest.fixture
def views(city, tmp_path):
    """Eight street views of the sample city; one file is cut off, one is no picture, one is a panorama."""
    folder = tmp_path / "views"
    shutil.copytree(city / "streetview", folder / "streetview")
    frame = pd.DataFrame({"path": sorted(path.name for path in (folder / "streetview").iterdir())[:8]})
    frame["lon"], frame["lat"] = np.linspace(-27.2, -27.19, 8), 41.0
    frame.to_csv(folder / "views.csv", index=False)
    damaged, text, wide = (folder / "streetview" / name for name in frame["path"][:3])
    damaged.write_bytes(damaged.read_bytes()[:600])
    text.write_text("no picture")
    Image.open(folder / "streetview" / frame["path"][3]).resize((256, 128)).save(wide)
    return folder / "views.csv"


def given(tmp_path, **more):
    return {"cache": tmp_path / "cache", "out": tmp_path / "made" / "c.parquet", "device": "cpu", "size_px": 32} | more


def test_captions_of_regions_and_views_by_two_models(city, models, tmp_path):
    layers = {"regions": city / "regions.gpkg", "imagery": city / "imagery.tif", "streetview": city / "streetview.gpkg"}
    made = given(
        tmp_path, captioners=models, max_new_tokens=3, batch_size=64, report=tmp_path / "made" / "r.html", **layers
    )
    kept = urbanfm_core.caption(**made)
    table = pd.read_parquet(made["out"])
    assert list(table) == ["region", "image", "kind", "captioner", "text", "refined", "reason"]
    regions = RegionSet.from_layer(layers["regions"])
    assert table.groupby(["kind", "captioner"]).size().to_dict() == {
        ("satellite", "blip"): len(regions),
        ("satellite", "llava"): len(regions),
        ("street", "blip"): 40,
        ("street", "llava"): 40,
    }
    assert set(table.loc[table["kind"] == "satellite", "region"]) == set(regions.ids)
    assert set(table.loc[table["kind"] == "street", "region"]) <= set(regions.ids)
    assert len(kept) == int((table["refined"] != "").sum())
    # What was written is what training reads: the refined text, found by region and by picture.
    read = CaptionSet.read(made["out"])
    starts, rows = read.by_key(list(regions.ids), "satellite")
    assert (np.diff(starts) <= 2).all() and (read.kind[rows] == "satellite").all()
    page = (tmp_path / "made" / "r.html").read_text()
    assert "refusal" in page and "Refined: " in page
    assert not list((tmp_path / "cache" / "captions").glob("*")), "pictures are kept only while they are needed"


def test_damaged_views_are_counted_and_panoramas_cut(service, views, tmp_path):
    result = run("caption", given(tmp_path, captioners=[service.spec], streetview=views), Progress())
    told = " ".join(result.notes)
    assert "1 of 8 pictures cannot be opened" in told
    assert "1 of 9 street views" not in told and "1 of 10 street views are damaged files" in told
    assert "1 panoramas are cut into four views" in told
    table = pd.read_parquet(tmp_path / "made" / "c.parquet")
    assert len(table) == result.summary["pictures"] == 9
    assert sum("#" in name for name in table["image"]) == 4
    assert table["text"].str.startswith("A place of colour").all()
    assert len(service.bodies) == table["text"].nunique()


def test_bad_answers_are_reported_and_none_is_lost(service, views, tmp_path):
    answers = iter([REFUSAL, "", "Low houses. " * 1_000, "A pond. " + REFUSAL, *["A park with trees."] * 9])
    service.answer = lambda picture: next(answers)
    result = run("caption", given(tmp_path, captioners=[service.spec], streetview=views), Progress())
    table = pd.read_parquet(tmp_path / "made" / "c.parquet")
    assert sorted(table["reason"])[-4:] == ["empty", "refusal", "refusal", "repetition"]
    assert {REFUSAL, "", "A pond. " + REFUSAL} <= set(table["text"]), "what was answered is kept beside what is left"
    assert max(table["text"].str.len()) > 10_000 and max(table["refined"].str.len()) < 40
    assert result.summary["rules"]["refusal"] == {"captions": 2, "dropped": 1, "changes": 2}
    assert result.summary["rules"]["empty"]["dropped"] == 1
    assert result.summary["without a caption"] == 2
    assert "The captioner seer wrote nothing about 1 of 9 pictures." in result.notes


def test_a_run_that_fails_half_way_leaves_no_file_and_a_new_one_goes_on(service, views, tmp_path):
    made = given(tmp_path, captioners=[service.spec], streetview=views)
    refused = (401, {}, {"error": {"message": "bad key"}})
    # After six requests nothing works any more; four are under way at once, so three answers at least are kept by then.
    service.on_request = lambda: service.failures.extend([refused] * 50) if len(service.bodies) == 6 else None
    with pytest.raises(RemoteError, match="refused the key"):
        run("caption", made, Progress())
    assert not (tmp_path / "made" / "c.parquet").exists()
    service.on_request = lambda: None
    service.failures.clear()
    answered = len(service.bodies)
    run("caption", made, Progress())
    whole = pd.read_parquet(made["out"])
    assert len(whole) == 9 and (whole["text"] != "").all()
    assert len(service.bodies) - answered <= 9 - 3, "what was answered is not asked again"
    run("caption", {**made, "out": tmp_path / "made" / "again.json"}, Progress())
    pd.testing.assert_frame_equal(
        pd.read_json(tmp_path / "made" / "again.json", dtype=str), pd.read_parquet(made["out"]), check_dtype=False
    )


def test_a_missing_key_is_told_before_pictures_are_looked_for(monkeypatch, urbanfm, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    code, said, made = urbanfm(
        *("caption", "--captioners", "openai:seer", "--streetview", tmp_path / "absent.gpkg"),
        *("--out", tmp_path / "made" / "c.parquet", "--cache", tmp_path / "cache"),
    )
    assert code == 2 and "OPENAI_API_KEY is not set" in said and "export OPENAI_API_KEY" in said
    assert not made


def test_captions_that_exist_are_refined(city, urbanfm, tmp_path):
    code, said, made = urbanfm(
        *("caption", "--captions", city / "captions.parquet", "--out", tmp_path / "made" / "c.json"),
        *("--cache", tmp_path / "cache"),
    )
    assert code == 0 and {path.name for path in made} == {"c.json"}
    rows = json.loads((tmp_path / "made" / "c.json").read_text())
    refused = pd.read_parquet(city / "captions.parquet")["refused"]
    assert [row["refined"] == "" for row in rows] == refused.tolist()
    assert f"refusal: captions {refused.sum()}, dropped {refused.sum()}" in said


def test_new_captions_stand_beside_those_that_exist(city, service, views, tmp_path):
    made = given(tmp_path, captioners=[service.spec], streetview=views, captions=city / "captions.parquet")
    run("caption", made, Progress())
    table = pd.read_parquet(made["out"])
    assert len(table) == 9 + len(pd.read_parquet(city / "captions.parquet"))
    assert set(table["captioner"]) == {"seer", "terse", "florid", "listing"}


def test_a_dry_run_tells_cost_and_time_and_sends_nothing(service, models, views, urbanfm, tmp_path):
    code, said, made = urbanfm(
        *("caption", "--captioners", f"{service.spec}?price=3", "--captioners", models[0], "--streetview", views),
        *("--out", tmp_path / "made" / "c.parquet", "--cache", tmp_path / "cache", "--dry-run", "--device", "cpu"),
    )
    assert code == 0 and not made and not service.bodies, said
    assert "Captioner seer, street: 9 distinct pictures" in said and "describing by blip" in said
    assert "describing by seer: not measured" in said


def test_the_prompt_is_a_file(service, views, tmp_path):
    (tmp_path / "prompt.txt").write_text("Name what\nyou see.")
    run(
        "caption",
        given(tmp_path, captioners=[service.spec], streetview=views, prompt_file=tmp_path / "prompt.txt"),
        Progress(),
    )
    assert set(service.prompts) == {"Name what you see."}
    (tmp_path / "prompt.txt").write_text(" \n")
    with pytest.raises(ConfigError, match="is empty"):
        run(
            "caption",
            given(tmp_path, captioners=[service.spec], streetview=views, prompt_file=tmp_path / "prompt.txt"),
            Progress(),
        )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "name who describes"),
        ({"captioners": ["openai:x@http://localhost:1"]}, "captioners need pictures"),
        ({"captions": "c.csv", "out": "c.gpkg"}, "written to .parquet or .json"),
        ({"captioners": ["no such/model/anywhere"], "imagery": "i.tif"}, "no Hugging Face id"),
        (
            {"captioners": ["openai:x@http://localhost:1", "openai:x@http://localhost:2"], "imagery": "i.tif"},
            "Two captioners are called 'x'",
        ),
        ({"captions": "c.csv", "rules": "absent.json"}, "rules absent.json cannot be read"),
    ],
)
def test_what_cannot_work_is_told(tmp_path, wrong, told):
    with pytest.raises(ConfigError, match=told):
        run("caption", {"out": tmp_path / "c.parquet", "cache": tmp_path / "cache", **wrong}, Progress())
    assert not (tmp_path / "c.parquet").exists()

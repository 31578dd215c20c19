"""`describe` as a user meets it: a caption of every region as a field, by a model, a captioner or from a file."""

import shutil

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from vision import serving

import urbanfm_core
from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.pipeline import run
from urbanfm_core.pipeline.descriptions import captions_of_regions
from urbanfm_core.progress import Progress

REFUSAL = "I'm sorry, I can't help with identifying locations in images."


@pytest.fixture(scope="module")
def writer(city, work):
    """An UrbanCLIP that writes, after a fashion."""
    return urbanfm_core.train(
        preset="urbanclip-tiny",
        epochs=20,
        learning_rate=3e-3,
        captions=city / "captions.parquet",
        regions=city / "regions.gpkg",
        imagery=city / "imagery.tif",
        out=work / "writer to describe",
        cache=work / "cache",
        device="cpu",
    )


@pytest.fixture(scope="module")
def few(city, work):
    """Six regions, one of them off the imagery, with a field that bears the name of ours."""
    frame = gpd.read_file(city / "regions.gpkg").iloc[:6].copy()
    west, south = frame.total_bounds[:2]
    frame.loc[frame.index[2], frame.geometry.name] = shapely.box(west - 90_000, south, west - 89_500, south + 500)
    frame["Caption"] = range(6)
    frame.to_file(work / "six.gpkg")
    return work / "six.gpkg"


@pytest.fixture
def service(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as state:
        yield state


def given(city, tmp_path, **more):
    made = {"imagery": city / "imagery.tif", "cache": tmp_path / "cache", "device": "cpu"}
    return {**made, "out": tmp_path / "made" / "d.gpkg", **more}


def test_a_model_describes_what_it_sees(city, few, writer, urbanfm, tmp_path):
    flags = given(city, tmp_path, regions=few, checkpoint=writer, beams=2)
    code, said, made = urbanfm("describe", *(part for key, value in flags.items() for part in (f"--{key}", value)))
    assert code == 0 and {path.name for path in made} == {"d.gpkg", "d.qml"}, said
    frame = gpd.read_file(flags["out"])
    assert frame["caption"].isna().tolist() == frame["caption_by"].isna().tolist() == [row == 2 for row in range(6)]
    assert set(frame["caption_by"].dropna()) == {"urbanclip-tiny"} and frame["caption"].str.len().min() > 5
    assert frame["src_Caption"].tolist() == [*range(6)], "the field that was there gives way and stays"
    assert "1 of 6 regions have no caption" in said
    assert (
        run("inspect", {"checkpoint": writer}, Progress()).summary["summary"]["can also"]
        == "captions, fine-tuning, text, windows"
    )
    one = run("describe", {**flags, "beams": 1, "max_new_tokens": 3}, Progress())
    assert one.value["caption"].dropna().str.split().str.len().max() <= 4
    assert not list((tmp_path / "cache" / "describe").glob("*"))


def test_a_captioner_describes_and_its_refusals_are_no_captions(city, few, service, tmp_path):
    answers = iter([REFUSAL, *["Low houses near a park."] * 9])
    service.answer = lambda picture: next(answers)
    result = run("describe", given(city, tmp_path, regions=few, captioner=service.spec, size_px=32), Progress())
    assert sorted(result.value["caption"].dropna()) == ["Low houses near a park."] * 4
    assert result.summary["described"] == 4 and result.summary["captions by"] == ["seer"]
    assert any("Rule 'refusal'" in note for note in result.notes)


def test_of_captions_that_exist_the_consensus_is_taken(city, tmp_path):
    marked = tmp_path / "marked.parquet"
    layers = {"regions": city / "regions.gpkg", "out": tmp_path / "d.gpkg", "cache": tmp_path / "cache"}
    urbanfm_core.caption(captions=city / "captions.parquet", out=marked, consensus=True, consensus_encoder="none")
    frame = run("describe", {"captions": marked, **layers}, Progress()).value
    table = pd.read_parquet(marked)
    chosen = table[table["consensus"] & (table["kind"] == "satellite")].set_index("region")["refined"]
    assert frame.set_index("region_id")["caption"].to_dict() == chosen.to_dict()
    first = run("describe", {"captions": city / "captions.parquet", **layers}, Progress())
    assert any("regions have several captions, of which the first is taken" in note for note in first.notes)
    assert set(first.value["caption_by"]) == {"terse"}


def test_street_views_speak_for_regions_without_a_picture_from_above():
    rows = [
        ("a", "", "satellite", "m", "From above."),
        ("a", "a.jpg", "street", "m", "A street."),
        ("b", "b.jpg", "street", "n", ""),
        ("b", "c.jpg", "street", "n", "An alley."),
        ("b", "d.jpg", "street", "n", "A square."),
    ]
    squares = np.array([shapely.box(x, 0, x + 1, 1) for x in range(3)])
    frame = gpd.GeoDataFrame({"region_id": ["a", "b", "c"]}, geometry=squares, crs="EPSG:32630")
    found, notes = captions_of_regions(CaptionSet.from_rows(rows), RegionSet.from_layer(frame))
    assert found == [("From above.", "m"), ("An alley.", "n"), ("", "")]
    assert notes == [
        "1 of 3 regions have several captions, of which the first is taken.",
        "1 regions have no caption of a picture from above and take that of a street view.",
        "1 of 3 regions have no caption.",
    ]


def test_dry_runs_tell_time_or_cost_and_write_nothing(city, few, writer, service, urbanfm, tmp_path):
    base = ("describe", "--regions", few, "--imagery", city / "imagery.tif", "--out", tmp_path / "made" / "d.gpkg")
    code, said, made = urbanfm(*base, "--checkpoint", writer, "--dry-run", "--device", "cpu")
    assert code == 0 and not made and "describing: " in said and "6 polygons" in said, said
    code, said, made = urbanfm(*base, "--captioner", service.spec, "--cache", tmp_path / "cache", "--dry-run")
    assert code == 0 and not made and not service.bodies and "Captioner seer, satellite: 5 distinct" in said, said


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({}, ConfigError, "name one that the captions come from"),
        ({"captions": "c.csv", "captioner": "x"}, ConfigError, "name one that the captions come from"),
        ({"captioner": "x", "imagery": None}, ConfigError, "name the imagery"),
        ({"captioner": "no such/model/anywhere"}, ConfigError, "no Hugging Face id"),
    ],
)
def test_what_cannot_work_is_told(city, few, tmp_path, wrong, error, told):
    with pytest.raises(error, match=told):
        run("describe", given(city, tmp_path, regions=few, **wrong), Progress())
    assert not (tmp_path / "made").exists()


def test_a_method_that_writes_nothing_and_captions_of_elsewhere_are_refused(city, few, checkpoint, tmp_path):
    with pytest.raises(ConfigError, match="AETHER writes no captions"):
        run("describe", given(city, tmp_path, regions=few, checkpoint=checkpoint), Progress())
    pd.DataFrame({"region_id": ["elsewhere"], "caption": ["A harbour."]}).to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(EmptyInputError, match="None of 6 regions has a caption"):
        run("describe", given(city, tmp_path, regions=few, captions=tmp_path / "c.csv"), Progress())
    assert not (tmp_path / "made").exists()


def test_qgis_gives_the_captions_of_the_command_line(city, few, writer, work, qgis, tmp_path):
    ours = urbanfm_core.describe(**given(city, tmp_path, regions=few, checkpoint=writer, beams=1))
    # QGIS keeps its statistics beside a raster that it opens.
    imagery = shutil.copy(city / "imagery.tif", tmp_path / "imagery.tif")
    results = qgis.run(
        "urbanfm:describeregions",
        REGIONS=few,
        IMAGERY=imagery,
        CHECKPOINT=writer,
        BEAMS=1,
        DEVICE="cpu",
        CACHE=tmp_path / "cache",
        OUT=tmp_path / "qgis.gpkg",
    )
    theirs = gpd.read_file(tmp_path / "qgis.gpkg")
    assert (results["REGION_COUNT"], results["DESCRIBED"]) == (6, 5)
    pairs = [dict(zip(one["region_id"], one["caption"].fillna(""), strict=True)) for one in (ours, theirs)]
    assert pairs[0] == pairs[1] and "src_Caption" in theirs.columns
    assert "mapTip" in (tmp_path / "qgis.qml").read_text()

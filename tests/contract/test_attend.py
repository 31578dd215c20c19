"""Attention maps as each kind of user makes them, and runs that are killed or find the disk full."""

import random
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from running import urbanfm
from victims import Victims

import urbanfm_core
from urbanfm_core.files import _TEMPORARY

CHOSEN = "food and drink"
# Without teachers there is little to compute.
QUICK = ("dlfm=false", "dvfm=false", "dvlfm=false")


@pytest.fixture(scope="module")
def layers(city):
    return {"regions": city / "regions.gpkg", "pois": city / "pois.gpkg", "imagery": city / "imagery.tif"}


@pytest.fixture(scope="module")
def model(layers, work):
    """A tiny ReFound; sequences long enough for most points."""
    overrides = [*QUICK, "max_tokens=256", "max_pois=64"]
    return urbanfm_core.train(
        preset="refound-tiny", out=work / "refound", cache=work / "cache", device="cpu", overrides=overrides, **layers
    )


@pytest.fixture(scope="module")
def made(layers, model, work):
    flags = [text for name, path in layers.items() for text in (f"--{name}", path)]
    outputs = {"raster": "a.tif", "pois-out": "p.gpkg", "regions-out": "r.gpkg", "report": "a.html"}
    flags += [text for name, file in outputs.items() for text in (f"--{name}", work / "attention" / file)]
    said = urbanfm("attend", "--checkpoint", model, "--categories", CHOSEN, "--cache", work / "cache", *flags)
    assert "own patches:" in said and "uniform would be 0.0625" in said
    return work / "attention"


def read(path):
    with rasterio.open(path) as raster:
        return raster.read(1), raster.transform, raster.crs


def test_points_regions_raster_and_page_say_the_same(city, layers, made, model, work):
    attention = urbanfm_core.attend(
        checkpoint=model, categories=[CHOSEN], cache=work / "cache", pictures=2, report=made / "two.html", **layers
    )
    points, regions = gpd.read_file(made / "p.gpkg"), gpd.read_file(made / "r.gpkg")
    source = gpd.read_file(city / "pois.gpkg")
    assert set(points["category"]) == {"Food and Drink"} and set(source.columns) <= set(points.columns)
    assert len(points) == len(np.unique(attention.pairs.poi)) > 100
    assert (points["attention_ratio"].dropna() > 0).all() and points["attention_regions"].max() == 1
    np.testing.assert_allclose(
        np.sort(points["attention"].dropna()),
        np.sort(attention.pairs.mass[np.isfinite(attention.pairs.mass)]),
        rtol=1e-6,
    )
    assert len(regions) == 50 and regions["attention_points"].sum() == len(points)
    assert regions["attention_entropy"].dropna().between(0.9, 1).all()

    values, transform, crs = read(made / "a.tif")
    assert crs == rasterio.open(city / "imagery.tif").crs
    known = np.isfinite(values)
    assert known.any() and (values[known] > 0).all() and values[known].mean() == pytest.approx(1 / 16, rel=0.05)
    # A patch that one frame alone shows has that frame's weight.
    bounds = attention.frames.bounds[attention.rows]
    middle = np.column_stack([bounds[:, [0, 2]].mean(axis=1), bounds[:, [1, 3]].mean(axis=1)]) + 0.1
    alone = [
        place
        for place, (x, y) in enumerate(middle)
        if ((bounds[:, 0] < x) & (x < bounds[:, 2]) & (bounds[:, 1] < y) & (y < bounds[:, 3])).sum() == 1
    ]
    assert alone
    for place in alone:
        column, row = ~transform @ tuple(middle[place])
        x, y = transform @ (int(column) + 0.5, int(row) + 0.5)
        west, south, east, north = bounds[place]
        patch = int((north - y) / (north - south) * 4) * 4 + int((x - west) / (east - west) * 4)
        weights = attention.take(attention.rows[place : place + 1])[0]
        inside = ((bounds[:, 0] < x) & (x < bounds[:, 2]) & (bounds[:, 1] < y) & (y < bounds[:, 3])).sum() == 1
        if inside:
            np.testing.assert_allclose(values[int(row), int(column)], weights[patch], rtol=1e-6)
    assert (made / "a.qml").is_file()
    for name, geometry in (("r.qml", "2"), ("p.qml", "0")):
        style = (made / name).read_text()
        assert "about even" in style and f"<layerGeometryType>{geometry}</layerGeometryType>" in style
    # One is the curve of the training.
    assert (made / "a.html").read_text().count("<svg") == 9 and (made / "two.html").read_text().count("<svg") == 3
    assert not list((work / "cache" / "attend").iterdir())


def test_selected_points_give_what_their_rows_give(city, layers, model, work):
    source = gpd.read_file(city / "pois.gpkg")
    rows = np.flatnonzero(source["subcategory"] == "Cafe")
    source.iloc[rows].to_file(work / "cafes.gpkg")
    given = {"checkpoint": model, "cache": work / "cache", **layers}
    by_row = urbanfm_core.attend(poi_rows=rows.tolist(), **given)
    selected = urbanfm_core.attend(selected=work / "cafes.gpkg", **given)
    category = urbanfm_core.attend(categories=["cafe"], **given)
    for other in (selected, category):
        np.testing.assert_array_equal(other.pairs.poi, by_row.pairs.poi)
        np.testing.assert_array_equal(other.pairs.mass, by_row.pairs.mass)


def test_attention_in_bfloat16_is_nearly_that_in_float32_and_is_not_taken_for_it(layers, model, work):
    given = {"checkpoint": model, "categories": [CHOSEN], "cache": work / "cache", **layers}
    full, low = (urbanfm_core.attend(precision=precision, **given) for precision in ("float32", "bfloat16"))
    np.testing.assert_array_equal(low.pairs.poi, full.pairs.poi)
    assert 0 < np.nanmax(np.abs(low.pairs.mass - full.pairs.mass)) < 0.02
    assert any("bfloat16" in note for note in low.notes) and not any("bfloat16" in note for note in full.notes)


def test_a_raster_and_regions_of_one_name_keep_the_style_of_the_raster(layers, model, work):
    urbanfm_core.attend(
        checkpoint=model, cache=work / "cache", raster=work / "same.tif", regions_out=work / "same.gpkg", **layers
    )
    assert "singlebandpseudocolor" in (work / "same.qml").read_text()


def test_qgis_gives_the_raster_of_the_command_line(layers, made, model, work, qgis):
    # QGIS keeps its statistics beside a raster that it opens.
    imagery = shutil.copy(layers["imagery"], work / "imagery.tif")
    results = qgis.run(
        "urbanfm:attentionmaps",
        CHECKPOINT=model,
        POIS=layers["pois"],
        REGIONS=layers["regions"],
        IMAGERY=imagery,
        CATEGORIES=CHOSEN,
        CACHE=work / "cache",
        RASTER=work / "qgis.tif",
        POIS_OUT=work / "qgis points.gpkg",
        REGIONS_OUT=work / "qgis regions.gpkg",
        REPORT=work / "qgis.html",
    )
    expected, transform, _ = read(made / "a.tif")
    values, its, _ = read(work / "qgis.tif")
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert its == transform and results["UNIFORM"] == pytest.approx(1 / 16)
    points = gpd.read_file(work / "qgis points.gpkg")
    ours = gpd.read_file(made / "p.gpkg")
    assert results["POINT_COUNT"] == len(points) == len(ours) and set(points.columns) == set(ours.columns)
    np.testing.assert_allclose(np.sort(points["attention"]), np.sort(ours["attention"]), atol=1e-6)
    assert len(gpd.read_file(work / "qgis regions.gpkg")) == 50 and (work / "qgis.html").is_file()


def test_killed_five_times_and_on_a_full_disk(layers, model, tmp_path):
    given = {**layers, "checkpoint": model, "categories": [CHOSEN], "device": "cpu"}

    def where(folder):
        files = {"raster": "a.tif", "pois_out": "p.gpkg", "regions_out": "r.gpkg", "report": "a.html"}
        return {"cache": folder / "cache", **{name: folder / "made" / file for name, file in files.items()}}

    def names(folder):
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

    with Victims() as victims:
        whole = victims.run("attend", count=True, **where(tmp_path / "whole"), **given)
        assert not whole.error, whole.message
        chosen, killed = random.Random(0), 0
        for number in range(5):
            folder = tmp_path / str(number)
            moment = chosen.randrange(1, whole.calls)
            killed += victims.run("attend", kill_at=moment, **where(folder), **given).killed
            ended = victims.run("attend", **where(folder), **given)
            assert not ended.error, (moment, ended.message)
            assert names(folder) == names(tmp_path / "whole"), moment
            np.testing.assert_array_equal(read(folder / "made" / "a.tif")[0], read(tmp_path / "whole/made/a.tif")[0])
        assert killed == 5
        shutil.copytree(tmp_path / "whole", tmp_path / "full")
        before = {path: path.read_bytes() for path in (tmp_path / "full" / "made").iterdir()}
        # Full at the first pictures, and at the page, which is the largest file if it shows all regions.
        for limit, same in ((8192, before), (154_500, {path for path in before if path.suffix == ".html"})):
            ended = victims.run("attend", file_bytes=limit, pictures=50, **where(tmp_path / "full"), **given)
            assert ended.error == "OutputError" and "disk" in ended.message, ended
            after = {path: path.read_bytes() for path in (tmp_path / "full" / "made").iterdir()}
            assert after.keys() == before.keys() and all(after[path] == before[path] for path in same)
            assert not [path for path in tmp_path.rglob("*") if _TEMPORARY.fullmatch(path.name)]

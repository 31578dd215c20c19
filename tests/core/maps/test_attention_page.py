"""The page with pictures: whole in itself, without script, and true to the numbers."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from pyproj import CRS

from urbanfm_core.data.frames import RegionFrames
from urbanfm_core.data.image_store import StoredImages
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.inference.attention import Findings, own_patch_share
from urbanfm_core.maps.attention_page import attention_page, choose_pictures, region_picture
from urbanfm_core.maps.raster_styles import write_attention_style
from urbanfm_core.maps.styles import GREY, SCORE_COLOURS
from urbanfm_core.models.attention import PoiPairs, RegionAttention

UTM = CRS.from_epsg(32630)
REGIONS, SIDE, PX = 60, 4, 32
SVG = "{http://www.w3.org/2000/svg}"


def pois_of(names: list[str]) -> PoiSet:
    """Two points a region: in the middle of its first patch, and of its last."""
    column = np.array(names, object)
    west = 100.0 * np.repeat(np.arange(REGIONS), 2)
    xy = np.column_stack([west + np.tile([8, 56], REGIONS), np.tile([56.0, 8.0], REGIONS)])
    return PoiSet(xy, UTM, column, column, column, np.arange(len(column)))


@pytest.fixture
def attention() -> RegionAttention:
    rng = np.random.default_rng(0)
    west = 100.0 * np.arange(REGIONS)
    bounds = np.column_stack([west, np.zeros(REGIONS), west + 64, np.full(REGIONS, 64.0)])
    boxes = np.array([shapely.box(*box) for box in bounds], object)
    frames = RegionFrames(bounds, UTM, np.full(REGIONS, 64.0), boxes)
    rgb = np.zeros((REGIONS, 3, PX, PX), np.uint8)
    rgb[:, 0] = 200
    valid = np.ones((REGIONS, PX, PX), bool)
    valid[:, :, 24:] = False
    part, place = np.zeros(REGIONS, np.int64), np.arange(REGIONS)
    images = StoredImages(PX, np.ones(REGIONS), np.ones((3, 3)), [rgb], [np.packbits(valid, axis=-1)], part, place)
    weights = rng.random((REGIONS, 16)).astype(np.float32)
    weights[:, 3::4] = np.nan
    weights /= np.nansum(weights, axis=1, keepdims=True)
    region = np.repeat(np.arange(REGIONS), 2)
    ones = np.ones(2 * REGIONS, np.int64)
    pairs = PoiPairs(region, np.arange(2 * REGIONS), ones, np.tile([0, -1], REGIONS), np.tile([0.3, np.nan], REGIONS))
    return RegionAttention(frames, images, SIDE, np.full(REGIONS, 12), pairs, part, place, [weights])


@pytest.fixture
def pois() -> PoiSet:
    return pois_of([f"Bar <{i}> & 'Söhne'" for i in range(2 * REGIONS)])


def test_the_page_needs_nothing_else_and_says_the_numbers(attention, pois):
    findings = Findings(own_patch_share(attention), "bar, <pub>", "refound-tiny", ["3 points & more were left out."])
    ids = np.array([f"r<{i}>" for i in range(REGIONS)], object)
    page = attention_page(attention, pois, ids, findings, np.array([4, 9]))
    text = "".join([*page.answer, *page.parts])
    assert "<script" not in text and not re.search(r"(src|href)=['\"](?!data:|#)", text)
    assert "own patches: 0.3" in text and "uniform would be 0.08333" in text
    assert "bar, &lt;pub&gt;" in text and "Region r&lt;9&gt;" in text
    assert text.count("<svg") == 2 and text.count("data:image/jpeg") == 2


def test_a_picture_shows_imagery_points_and_the_brightest_patch_where_the_weight_is(attention, pois):
    weights = attention.take(np.array([7]))[0]
    root = ET.fromstring(region_picture(attention, pois, 7, weights))
    image = next(root.iter(f"{SVG}image"))
    decoded = np.array(
        Image.open(
            io.BytesIO(base64.b64decode(image.get("{http://www.w3.org/1999/xlink}href").partition(",")[2]))
        ).convert("RGB")
    )
    assert decoded.shape == (PX, PX, 3)
    assert np.abs(decoded[:, :20].astype(int) - (200, 0, 0)).max() < 12
    assert np.abs(decoded[:, 28:].astype(int) - GREY).max() < 12
    squares = [item for item in root.iter(f"{SVG}rect") if item.get("fill-opacity")]
    assert len(squares) == 12
    place = {round(float(item.get("y")) / 80) * 4 + round(float(item.get("x")) / 80): item for item in squares}
    assert set(place) == set(np.flatnonzero(np.isfinite(weights)))
    order = np.argsort([float(item.get("fill-opacity")) for item in place.values()], kind="stable")
    values = weights[list(place)][order]
    assert (np.diff(values) > -0.01 * np.nanmax(weights)).all()
    assert place[int(np.nanargmax(weights))].get("fill") == SCORE_COLOURS[-1]
    dots = [(float(item.get("cx")), float(item.get("cy"))) for item in root.iter(f"{SVG}circle")]
    assert dots == [(40.0, 40.0), (280.0, 280.0)] * 2
    assert next(root.iter(f"{SVG}title")).text == "Bar <14> & 'Söhne'"


def test_even_attention_looks_even_and_half_bright(attention, pois):
    weights = np.full(16, 1 / 12, np.float32)
    weights[3::4] = np.nan
    root = ET.fromstring(region_picture(attention, pois, 0, weights))
    squares = [item for item in root.iter(f"{SVG}rect") if item.get("fill-opacity")]
    assert {(item.get("fill"), item.get("fill-opacity")) for item in squares} == {(SCORE_COLOURS[3], "0.55")}
    assert any("0.167 (2 times uniform)" in str(item.text) for item in root.iter(f"{SVG}text"))


def test_pictures_are_drawn_at_random_from_regions_that_show_something(attention):
    drawn = choose_pictures(attention, 8, seed=1)
    assert len(set(drawn.tolist())) == 8
    assert choose_pictures(attention, 8, seed=1).tolist() == drawn.tolist()
    assert choose_pictures(attention, 8, seed=2).tolist() != drawn.tolist()
    assert len(choose_pictures(attention, 1000)) == REGIONS and len(choose_pictures(attention, 0)) == 0
    pairs = attention.pairs
    crowded = PoiPairs(*(np.concatenate([getattr(pairs, name)] + [getattr(pairs, name)[10:20]] * 3)
                         for name in ("region", "poi", "tokens", "patch", "mass")))  # fmt: skip
    from dataclasses import replace

    assert set(choose_pictures(replace(attention, pairs=crowded), 5).tolist()) == {5, 6, 7, 8, 9}


def test_the_style_is_transparent_at_0_and_solid_at_the_98th_percentile(tmp_path: Path):
    values = np.linspace(0.001, 0.2, 10_000, dtype=np.float32).reshape(1, 100, 100)
    options = {"driver": "GTiff", "count": 1, "dtype": "float32", "nodata": np.nan, "crs": "EPSG:32630"}
    grid = rasterio.Affine(16, 0, 0, 0, -16, 0)
    with rasterio.open(tmp_path / "a.tif", "w", height=100, width=100, transform=grid, **options) as file:
        file.write(values)
    write_attention_style(tmp_path / "flat.qml", tmp_path / "a.tif", 0.15)
    values_of_flat = [float(item.get("value")) for item in ET.parse(tmp_path / "flat.qml").getroot().iter("item")]
    assert values_of_flat[-1] == 0.3
    write_attention_style(tmp_path / "a.qml", tmp_path / "a.tif", 0.05)
    root = ET.parse(tmp_path / "a.qml").getroot()
    items = [(float(item.get("value")), int(item.get("alpha"))) for item in root.iter("item")]
    assert items[0] == (0.0, 0) and items[-1][1] == 255
    assert items[-1][0] == pytest.approx(np.percentile(values, 98), rel=0.01)
    alphas = [alpha for _, alpha in items]
    assert alphas == sorted(alphas) and len(set(alphas)) == len(alphas)
    ramp = next(root.iter("colorramp"))
    colours = {option.get("name"): option.get("value") for option in ramp.iter("Option")}
    assert colours["color1"].endswith(",0") and colours["color2"].endswith(",255")

"""The styles that the core writes, taken up and drawn by QGIS itself, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely

from urbanfm_core.maps.raster_styles import write_raster_style, write_score_style
from urbanfm_core.maps.search import rank
from urbanfm_core.maps.styles import (
    DIVERGING_COLOURS,
    class_colours,
    paler,
    principal_rgb,
    write_caption_style,
    write_class_style,
    write_ranking_style,
    write_ratio_style,
    write_region_style,
)

LOOK = """
import json, sys
from qgis.core import (QgsApplication, QgsExpression, QgsExpressionContext, QgsMapRendererSequentialJob, QgsMapSettings, QgsRasterLayer, QgsRectangle,
                       QgsVectorLayer)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

app = QgsApplication([], False)
app.initQgis()
result = []
for kind, source, style, extent, size in json.loads(sys.argv[1]):
    layer = QgsVectorLayer(source, "l", "ogr") if kind == "vector" else QgsRasterLayer(source, "l")
    message, ok = layer.loadNamedStyle(style)
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(QgsRectangle(*extent))
    settings.setOutputSize(QSize(*size))
    settings.setBackgroundColor(QColor(255, 255, 255))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    colours = [[QColor(image.pixel(x, y)).getRgb()[:3] for x in range(5, size[0], 10)] for y in range(5, size[1], 10)]
    tips = []
    if kind == "vector":
        context = QgsExpressionContext()
        for feature in layer.getFeatures():
            context.setFeature(feature)
            context.setFields(layer.fields())
            tips.append(QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context))
    result.append({"ok": ok, "message": message, "renderer": layer.renderer().type(), "colours": colours, "tips": tips})
    del job, settings, layer
print("RESULT" + json.dumps(result))
sys.stdout.flush()
app.exitQgis()
"""
COLUMNS, ROWS = 8, 6
CLASSES = ("it's", 'a "b"', "Büro")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A grid of regions and two rasters, drawn by QGIS with ten pixels a cell and read at the cell centres."""
    folder = tmp_path_factory.mktemp("styles")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(ROWS * COLUMNS, 16)).astype(np.float32)
    vectors[[3, 20]] = np.nan
    components, rgb = principal_rgb(vectors)
    ranking = rank(vectors, vectors[10])
    cells = [shapely.box(x, ROWS - 1 - y, x + 1, ROWS - y) for y in range(ROWS) for x in range(COLUMNS)]
    fields = {f"emb_pca{axis + 1}": components[:, axis] for axis in range(3)}
    zones = np.array([*CLASSES, None], dtype=object)[np.arange(ROWS * COLUMNS) % (len(CLASSES) + 1)]
    captions = np.array(["A <b>park</b> & a pond.", None], dtype=object)[np.arange(ROWS * COLUMNS) % 2]
    numbers = np.where(np.arange(ROWS * COLUMNS) % 12 == 11, np.nan, np.arange(ROWS * COLUMNS) % 12 + 1)
    cluster = pd.array(numbers, dtype="Int32")
    fields |= {"score": ranking.score.astype(float), "my zone": zones, "caption": captions, "cluster": cluster}
    fields |= {"pred_share": np.linspace(1 / 3, 1, ROWS * COLUMNS), "outside": np.arange(ROWS * COLUMNS) // COLUMNS % 2}
    fields["ratio"] = np.array([0.1, 0.3, 0.7, 0.987, 1.002, 1.6, 3.0, np.nan])[np.arange(ROWS * COLUMNS) % 8]
    frame = gpd.GeoDataFrame(fields, geometry=cells, crs="EPSG:32630")
    frame.to_file(folder / "regions.gpkg")
    array = rng.uniform(-1, 1, size=(4, ROWS, COLUMNS)).astype(np.float32)
    array[:, 0, 0] = np.nan
    with rasterio.open(
        folder / "e.tif",
        "w",
        driver="GTiff",
        count=4,
        height=ROWS,
        width=COLUMNS,
        dtype="float32",
        nodata=np.nan,
        crs="EPSG:32630",
        transform=rasterio.Affine(1, 0, 0, 0, -1, ROWS),
    ) as target:
        target.write(array)
    write_region_style(folder / "regions.qml", components)
    write_ranking_style(folder / "ranking.qml", ranking.score)
    write_class_style(folder / "classes.qml", CLASSES, "my zone", len(frame))
    write_class_style(
        folder / "predicted.qml",
        CLASSES,
        "my zone",
        len(frame),
        share=("pred_share", "Paler: less sure"),
        marked=('"outside" = 1', "Unlike the others"),
    )
    write_ratio_style(folder / "ratios.qml", len(frame), "ratio")
    write_caption_style(folder / "captions.qml", len(frame))
    write_class_style(folder / "clusters.qml", list(map(str, range(1, 12))), "cluster", len(frame), ["it's"] * 11)
    write_raster_style(folder / "e.qml", folder / "e.tif")
    write_score_style(folder / "score.qml", folder / "e.tif")
    place = [[0, 0, COLUMNS, ROWS], [COLUMNS * 10, ROWS * 10]]
    jobs = [
        ["vector", str(folder / "regions.gpkg"), str(folder / "regions.qml"), *place],
        ["vector", str(folder / "regions.gpkg"), str(folder / "ranking.qml"), *place],
        ["vector", str(folder / "regions.gpkg"), str(folder / "classes.qml"), *place],
        ["vector", str(folder / "regions.gpkg"), str(folder / "predicted.qml"), *place],
        ["vector", str(folder / "regions.gpkg"), str(folder / "ratios.qml"), *place],
        ["vector", str(folder / "regions.gpkg"), str(folder / "captions.qml"), *place],
        ["vector", str(folder / "regions.gpkg"), str(folder / "clusters.qml"), *place],
        ["raster", str(folder / "e.tif"), str(folder / "e.qml"), *place],
        ["raster", str(folder / "e.tif"), str(folder / "score.qml"), *place],
    ]
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(jobs)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(runtime)},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stderr
    results = json.loads(lines[0].removeprefix("RESULT"))
    names = ("regions", "ranking", "classes", "predicted", "ratios", "captions", "clusters", "raster", "score")
    return {
        **dict(zip(names, results, strict=True)),
        "rgb": rgb,
        "order": ranking.rank,
        "array": array,
    }


def colours(result: dict[str, Any]) -> np.ndarray:
    return np.array(result["colours"], dtype=int).reshape(-1, 3)


@pytest.mark.parametrize(
    ("name", "renderer"),
    [
        ("regions", "RuleRenderer"),
        ("ranking", "RuleRenderer"),
        ("classes", "RuleRenderer"),
        ("predicted", "RuleRenderer"),
        ("captions", "RuleRenderer"),
        ("clusters", "RuleRenderer"),
        ("raster", "multibandcolor"),
        ("score", "singlebandpseudocolor"),
    ],
)
def test_qgis_takes_the_style_up(name: str, renderer: str, seen: dict[str, Any]) -> None:
    assert (seen[name]["ok"], seen[name]["message"], seen[name]["renderer"]) == (True, "", renderer)


def test_qgis_draws_the_colours_of_the_components(seen: dict[str, Any]) -> None:
    assert np.abs(colours(seen["regions"]) - seen["rgb"].astype(int)).max() <= 1


def test_qgis_draws_better_regions_lighter(seen: dict[str, Any]) -> None:
    drawn = colours(seen["ranking"])
    order = seen["order"]
    assert (drawn[order == 0] == 204).all()
    lightness = drawn[np.argsort(order)][int((order == 0).sum()) :] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) <= 1e-9).all()
    assert len(np.unique(lightness)) == 7


def test_qgis_draws_each_class_in_its_colour(seen: dict[str, Any]) -> None:
    palette = [tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in class_colours(len(CLASSES))]
    expected = np.array([*palette, (204, 204, 204)])[np.arange(ROWS * COLUMNS) % (len(CLASSES) + 1)]
    np.testing.assert_array_equal(colours(seen["classes"]), expected)


def test_qgis_draws_what_is_less_sure_paler_and_hatches_what_is_unlike(seen: dict[str, Any]) -> None:
    palette, shares = class_colours(len(CLASSES)), np.linspace(1 / 3, 1, ROWS * COLUMNS)
    expected = np.full((ROWS * COLUMNS, 3), 204)
    for row, share in enumerate(shares):
        if row % (len(CLASSES) + 1) < len(CLASSES):
            colour = paler(palette[row % (len(CLASSES) + 1)], share, len(CLASSES))
            expected[row] = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    drawn, outside = colours(seen["predicted"]), np.arange(ROWS * COLUMNS) // COLUMNS % 2 == 1
    assert np.abs(drawn - expected)[~outside].max() <= 2
    assert (expected - drawn)[outside].max() >= 20


def test_qgis_draws_ratios_by_what_they_are_and_not_by_how_far_they_spread(seen: dict[str, Any]) -> None:
    palette = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in DIVERGING_COLOURS]
    expected = np.array([palette[place] for place in (0, 1, 2, 3, 3, 4, 5)] + [[204, 204, 204]])
    np.testing.assert_array_equal(colours(seen["ratios"]), expected[np.arange(ROWS * COLUMNS) % 8])


def test_qgis_draws_whole_numbers_as_classes(seen: dict[str, Any]) -> None:
    palette = [tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in class_colours(11)]
    expected = np.array([*palette, (204, 204, 204)])[np.arange(ROWS * COLUMNS) % 12]
    np.testing.assert_array_equal(colours(seen["clusters"]), expected)


def test_qgis_draws_the_bands_and_leaves_nodata_open(seen: dict[str, Any]) -> None:
    array = seen["array"].reshape(4, -1)[:3].T
    low, high = np.nanpercentile(array, (2, 98), axis=0)
    expected = np.nan_to_num(np.clip((array - low) / (high - low), 0, 1) * 255, nan=255)
    assert np.abs(colours(seen["raster"]) - expected).max() <= 2


def test_qgis_draws_higher_scores_lighter(seen: dict[str, Any]) -> None:
    drawn = colours(seen["score"])
    assert drawn[0].tolist() == [255, 255, 255]
    lightness = drawn[1:][np.argsort(seen["array"][0].ravel()[1:])] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) >= -1.5).all()
    assert np.ptp(lightness) > 150


def test_captions_are_map_tips_and_regions_without_one_are_grey(seen: dict[str, Any]) -> None:
    found = colours(seen["captions"])
    assert len({tuple(colour) for colour in found[::2]}) == 1 and tuple(found[1]) == (204, 204, 204)
    assert tuple(found[0]) != tuple(found[1])
    assert seen["captions"]["tips"][:2] == ["A &lt;b>park&lt;/b> &amp; a pond.", ""], "a caption is text and no page"

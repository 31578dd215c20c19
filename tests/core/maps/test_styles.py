"""Colours from vectors, and QGIS styles as XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import rasterio

from urbanfm_core.errors import InputError, ShapeError
from urbanfm_core.maps.raster_styles import write_raster_style, write_score_style
from urbanfm_core.maps.styles import (
    GREY,
    principal_rgb,
    write_ranking_style,
    write_region_style,
)


def blob(rows: int = 200, width: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scales = np.array([5, 3, 2] + [0.1] * (width - 3))
    rotation = np.linalg.qr(rng.normal(size=(width, width)))[0]
    return ((rng.normal(size=(rows, width)) * scales) @ rotation + 4).astype(np.float32)


def reference_components(vectors: np.ndarray) -> np.ndarray:
    """Eigenvectors of the covariance, the largest loading positive."""
    centred = vectors.astype(np.float64) - vectors.astype(np.float64).mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :3]
    for column in axes.T:
        column *= np.sign(column[np.abs(column).argmax()])
    return centred @ axes


def test_components_are_the_principal_ones_with_a_fixed_sign() -> None:
    vectors = blob()
    components, _ = principal_rgb(vectors)
    np.testing.assert_allclose(components, reference_components(vectors), atol=1e-8)


def test_more_dimensions_than_regions() -> None:
    vectors = blob(rows=9, width=40)
    components, _ = principal_rgb(vectors)
    np.testing.assert_allclose(components, reference_components(vectors), atol=1e-7)


def test_row_order_does_not_change_a_colour() -> None:
    vectors = blob()
    order = np.random.default_rng(1).permutation(len(vectors))
    np.testing.assert_array_equal(principal_rgb(vectors)[1][order], principal_rgb(vectors[order])[1])


def test_colours_are_the_stretched_components() -> None:
    components, rgb = principal_rgb(blob())
    assert rgb.dtype == np.uint8
    low, high = np.percentile(components, (2, 98), axis=0)
    expected = np.clip((components - low) / (high - low), 0, 1) * 255
    np.testing.assert_array_equal(rgb, np.rint(expected).astype(np.uint8))


def test_an_outlier_does_not_flatten_the_rest() -> None:
    vectors = blob()
    vectors[0] *= 1000
    assert len(np.unique(principal_rgb(vectors)[1][:, 1])) > 100


def test_regions_without_a_vector_are_grey_and_do_not_count() -> None:
    vectors = blob()
    gaps = vectors.copy()
    gaps = np.insert(gaps, [0, 50], np.nan, axis=0)
    gaps[0, 3:] = 7  # A row that is incomplete is as good as none.
    gaps[0, 0] = np.inf
    components, rgb = principal_rgb(gaps)
    empty = [0, 51]
    assert np.isnan(components[empty]).all()
    assert (rgb[empty] == GREY).all()
    np.testing.assert_array_equal(np.delete(rgb, empty, axis=0), principal_rgb(vectors)[1])


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((0, 4)),
        np.full((3, 4), np.nan),
        np.ones((1, 4)),
        np.full((500, 64), 0.1, dtype=np.float32),
        np.arange(5, dtype=np.float32)[:, None],
    ],
    ids=["none", "uncovered", "one", "equal", "one dimension"],
)
def test_components_that_do_not_exist_are_zero_and_mid_coloured(vectors: np.ndarray) -> None:
    components, rgb = principal_rgb(vectors)
    covered = np.isfinite(vectors).all(axis=1)
    assert components.shape == rgb.shape == (len(vectors), 3)
    assert (components[covered, 1:] == 0).all()
    assert (rgb[covered, 1:] == 128).all()


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(ShapeError):
        principal_rgb(np.zeros(4))


def rules(path: Path) -> list[tuple[str, str]]:
    root = ET.parse(path).getroot()
    return [(rule.get("filter", ""), rule.get("label", "")) for rule in root.iter("rule")]


def test_region_style_scales_the_fields_by_the_layers_percentiles(tmp_path: Path) -> None:
    components, _ = principal_rgb(blob())
    write_region_style(tmp_path / "a.qml", components)
    text = (tmp_path / "a.qml").read_text(encoding="utf-8")
    for axis in range(3):
        low, high = np.percentile(components[:, axis], (2, 98))
        found = re.search(rf"scale_linear\(&quot;emb_pca{axis + 1}&quot;, (\S+), (\S+), 0, 255\)", text)
        assert found is not None
        assert [float(part) for part in found.groups()] == [low, high]
    assert rules(tmp_path / "a.qml")[-1] == ("ELSE", "Not covered")
    assert "np.float64" not in text


def test_region_style_is_the_same_from_run_to_run_and_takes_other_fields(tmp_path: Path) -> None:
    components, _ = principal_rgb(blob())
    for name in "ab":
        write_region_style(tmp_path / f"{name}.qml", components, ("r", 'odd"name', "b"))
    text = (tmp_path / "a.qml").read_bytes()
    assert text == (tmp_path / "b.qml").read_bytes()
    assert '"odd""name" IS NOT NULL' in rules(tmp_path / "a.qml")[0][0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.qml", "b.qml"]


def test_many_regions_have_no_white_borders(tmp_path: Path) -> None:
    for name, rows in (("few", 100), ("many", 2001)):
        write_region_style(tmp_path / f"{name}.qml", principal_rgb(blob(rows))[0])
    few, many = ((tmp_path / f"{name}.qml").read_text() for name in ("few", "many"))
    assert "255,255,255,150" in few and "outlineColor" not in few
    assert "255,255,255,150" not in many and "outlineColor" in many


def classes_of(path: Path, values: np.ndarray) -> np.ndarray:
    """Which rule takes each value, with QGIS's filters read as Python."""
    conditions = [condition for condition, _ in rules(path)[:-1]]
    python = [
        c.replace('"score" IS NOT NULL', "True").replace('"score"', "score").replace("AND", "and") for c in conditions
    ]
    hits = np.array([[eval(c, {"score": float(v)}) for c in python] for v in values])
    assert (hits.sum(axis=1) == 1).all()
    return hits.argmax(axis=1)


@pytest.mark.parametrize("distinct", [1, 2, 3, 500])
def test_ranking_style_puts_every_score_in_exactly_one_class(distinct: int, tmp_path: Path) -> None:
    score = np.random.default_rng(0).integers(0, distinct, 500) / 10
    score[::7] = np.nan
    write_ranking_style(tmp_path / "a.qml", score)
    finite = score[np.isfinite(score)]
    taken = classes_of(tmp_path / "a.qml", finite)
    assert (np.diff(taken[np.argsort(finite, kind="stable")]) <= 0).all()
    if distinct == 500:
        assert np.ptp(np.bincount(taken)) <= 10
        assert len(set(taken)) == 7


def test_ranking_style_without_scores(tmp_path: Path) -> None:
    write_ranking_style(tmp_path / "a.qml", np.full(3, np.nan))
    assert rules(tmp_path / "a.qml") == [("ELSE", "Not covered")]


def write_raster(path: Path, array: np.ndarray, **options: object) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=array.shape[0],
        height=array.shape[1],
        width=array.shape[2],
        dtype=array.dtype,
        crs="EPSG:32630",
        transform=rasterio.Affine(10, 0, 400_000, 0, -10, 4_500_000),
        **options,
    ) as target:
        target.write(array)


def test_raster_style_stretches_each_band(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    array = (rng.normal(size=(4, 300, 260)) * np.array([1, 5, 0, 9])[:, None, None] + 3).astype(np.float32)
    array[:, :40] = np.nan
    array[:, 40:80] = -9999
    write_raster(tmp_path / "e.tif", array, nodata=-9999)
    write_raster_style(tmp_path / "e.qml", tmp_path / "e.tif")
    renderer = next(ET.parse(tmp_path / "e.qml").iter("rasterrenderer"))
    assert [renderer.get(f"{name}Band") for name in ("red", "green", "blue")] == ["1", "2", "3"]
    low = [float(element.text or "") for element in renderer.iter("minValue")]
    high = [float(element.text or "") for element in renderer.iter("maxValue")]
    expected = np.percentile(array[:3, 80:].reshape(3, -1), (2, 98), axis=1)
    np.testing.assert_allclose(low[:2], expected[0, :2], atol=0.2)
    np.testing.assert_allclose(high[:2], expected[1, :2], atol=0.2)
    assert (low[2], high[2]) == (3.0, 4.0)


def test_score_style_uses_the_values_that_qgis_shows(tmp_path: Path) -> None:
    array = np.arange(100, dtype=np.int16).reshape(1, 10, 10)
    write_raster(tmp_path / "s.tif", array)
    with rasterio.open(tmp_path / "s.tif", "r+") as target:
        target.scales, target.offsets = (0.01,), (-0.5,)
    write_score_style(tmp_path / "s.qml", tmp_path / "s.tif")
    shader = next(ET.parse(tmp_path / "s.qml").iter("colorrampshader"))
    values = [float(item.get("value", "")) for item in shader.iter("item")]
    np.testing.assert_allclose(values, np.linspace(-0.4802, 0.4702, 7), atol=1e-9)
    write_raster_style(tmp_path / "same.qml", tmp_path / "s.tif")
    assert (tmp_path / "same.qml").read_bytes() == (tmp_path / "s.qml").read_bytes()


def test_raster_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_raster_style(tmp_path / "e.qml", tmp_path / "none.tif")
    assert not (tmp_path / "e.qml").exists()

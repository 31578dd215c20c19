"""What the region inspector knows of a region, without a window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugin.helpers import make_raster, memory_layer, square, wait
from qgis.core import (
    NULL,
    QgsCategorizedSymbolRenderer,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsField,
    QgsFillSymbol,
    QgsGeometry,
    QgsProject,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize, QVariant

from qgis_plugin.gui import inspector_points, inspector_table
from qgis_plugin.gui.inspector_facts import Cluster, Facts, Indicator, read_facts, shown_number, title, vectors_hint
from qgis_plugin.gui.inspector_fields import Quantity, roles
from qgis_plugin.gui.inspector_page import MOST_INDICATORS, SHOW_ALL_URL, Colours, Similar, View, page
from qgis_plugin.gui.inspector_picture import PictureError, RegionPicture, likely_imagery
from qgis_plugin.gui.inspector_points import Counts, PointCounter, category_field
from qgis_plugin.gui.inspector_table import LayerTable, TableError, TableReader

pytestmark = pytest.mark.usefixtures("qgis_app")

UTM = QgsCoordinateReferenceSystem("EPSG:32630")
TEXT, NUMBER, WHOLE = QVariant.String, QVariant.Double, QVariant.Int


def layer_of(fields: dict[str, Any], rows: list[list[Any]], name: str = "layer") -> QgsVectorLayer:
    """Squares in a row, with these attributes."""
    made = [QgsField(field, kind) for field, kind in fields.items()]
    layer = memory_layer("Polygon", "EPSG:32630", made, [(square(i * 100, 0), row) for i, row in enumerate(rows)])
    layer.setName(name)
    return layer


def table_of(layer: QgsVectorLayer) -> LayerTable:
    reader = TableReader(layer, roles(layer))
    assert reader.step(60)
    assert reader.table is not None
    return reader.table


def test_fields_are_known_by_the_names_that_the_algorithms_give() -> None:
    fields = {
        "Region_ID": TEXT, "price": NUMBER, "pred": NUMBER, "pred_lower": NUMBER, "pred_upper": NUMBER, "pred_outside": WHOLE,
        "rent": NUMBER, "rent_low": NUMBER, "rent_high": NUMBER, "distance": NUMBER, "cluster": WHOLE, "caption": TEXT,
        "emb_dim": WHOLE, "coverage_pois": NUMBER, "emb_001": NUMBER, "emb_000": NUMBER, "embedding": TEXT,
    }  # fmt: skip
    found = roles(layer_of(fields, []))
    assert (found.region_id, found.cluster, found.caption, found.vector_text) == (
        "Region_ID", "cluster", "caption", "embedding",
    )  # fmt: skip
    assert found.vector_columns == ("emb_000", "emb_001")
    # Predictions come first; 'distance' is the user's own here, since the fields that come with clusters are not all there.
    assert found.quantities == (
        Quantity("pred", "pred_lower", "pred_upper"),
        Quantity("price"),
        Quantity("rent", "rent_low", "rent_high"),
        Quantity("distance"),
    )
    clustered = roles(layer_of({"cluster": WHOLE, "silhouette": NUMBER, "distance": NUMBER}, []))
    assert clustered.quantities == () and clustered.has_results and not clustered.has_vectors
    ranked = roles(layer_of({"score": NUMBER, "rank": WHOLE, "percentile": NUMBER, "chosen": WHOLE}, []))
    assert ranked.ranked and ranked.quantities == ()


@pytest.mark.parametrize("columns", [False, True])
def test_the_most_similar_regions_are_those_of_plain_numpy(columns: bool) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    if columns:
        layer = layer_of({f"emb_{i:03d}": NUMBER for i in range(6)}, [[float(v) for v in row] for row in vectors])
    else:
        layer = layer_of({"embedding": TEXT}, [[json.dumps([float(v) for v in row])] for row in vectors])
    ids = [feature.id() for feature in layer.getFeatures()]
    found = table_of(layer).nearest(ids[7], 5)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit[7]
    best = [place for place in np.argsort(-cosines) if place != 7][:5]
    assert [place for place, _ in found] == [ids[place] for place in best]
    assert [value for _, value in found] == pytest.approx(cosines[best].tolist(), abs=1e-6)


def test_regions_without_a_usable_vector_are_left_out_and_counted() -> None:
    rows = ["[1, 0]", "[0.9, 0.1]", None, "[1, 2, 3]", "not json", "[NaN, 1]", "[[1, 2]]", "[0, 0]"]
    layer = layer_of({"embedding": TEXT}, [[text] for text in rows])
    ids = [feature.id() for feature in layer.getFeatures()]
    table = table_of(layer)
    assert (len(table), table.without, table.odd) == (3, 1, 4)
    assert table.nearest(ids[2], 3) == [] and ids[2] not in table
    # A vector of zeros resembles nothing, and is no error.
    assert table.nearest(ids[0], 10) == [(ids[1], pytest.approx(0.99388, abs=1e-5)), (ids[7], 0.0)]


def test_a_single_region_has_no_similar_ones() -> None:
    layer = layer_of({"embedding": TEXT}, [["[1, 2]"]])
    assert table_of(layer).nearest(next(layer.getFeatures()).id(), 10) == []
    assert len(table_of(layer_of({"embedding": TEXT}, []))) == 0


def test_a_region_has_a_place_among_all_for_every_number() -> None:
    layer = layer_of({"price": NUMBER, "kind": TEXT}, [[v, "a"] for v in (1.0, 2.0, 2.0, 5.0, None)])
    table = table_of(layer)
    assert table.below("price", 5.0) == pytest.approx(3.5 / 4)
    assert table.below("price", 2.0) == pytest.approx(2 / 4)
    assert table.below("kind", 1.0) is None
    assert table_of(layer_of({"price": NUMBER}, [[1.0]])).below("price", 1.0) is None


def test_reading_goes_on_in_slices() -> None:
    layer = layer_of({"embedding": TEXT}, [["[1, 2]"]] * 300)
    reader = TableReader(layer, roles(layer))
    slices = 0
    while not reader.step(0.0):
        slices += 1
        assert 0 < reader.share < 1 and reader.table is None
    assert slices >= 4 and reader.share == 1 and len(reader.table) == 300


def test_a_layer_that_is_too_large_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layer_of({"embedding": TEXT}, [["[1, 2]"]] * 10)
    monkeypatch.setattr(inspector_table, "MOST_REGIONS", 9)
    with pytest.raises(TableError, match="Find similar regions"):
        TableReader(layer, roles(layer))
    monkeypatch.setattr(inspector_table, "MOST_REGIONS", 100)
    monkeypatch.setattr(inspector_table, "MOST_NUMBERS", 8)
    with pytest.raises(TableError, match="10 regions"):
        TableReader(layer, roles(layer)).step(60)


def points_of(places: list[tuple[float, float, Any]], crs: str = "EPSG:32630") -> QgsVectorLayer:
    fields = [QgsField("name", TEXT), QgsField("category", TEXT)]
    return memory_layer("Point", crs, fields, [(f"POINT({x} {y})", ["", kind]) for x, y, kind in places])


PLACES = [(10, 10, "bar"), (20, 20, "bar"), (90, 90, "park"), (50, 50, None), (150, 50, "bar"), (99, 1, "school")]
# Its frame holds the point (90, 90), its inside does not.
TRIANGLE = QgsGeometry.fromWkt("POLYGON((0 0, 110 0, 0 110, 0 0))")


def test_points_are_counted_inside_the_polygon_and_not_its_frame() -> None:
    layer = points_of(PLACES)
    assert category_field(layer) == "category"
    counts = PointCounter(layer, "category").count(TRIANGLE, UTM, QgsProject.instance().transformContext())
    assert counts == Counts(5 - 1, (("bar", 2), ("", 1), ("school", 1)))


def test_points_are_counted_in_another_crs_and_through_the_index_of_a_file(tmp_path: Path) -> None:
    context = QgsProject.instance().transformContext()
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.ct = QgsCoordinateTransform(UTM, QgsCoordinateReferenceSystem("EPSG:4326"), context)
    path = str(tmp_path / "points.gpkg")
    shifted = [(x + 500_000, y + 4_400_000, kind) for x, y, kind in PLACES]
    QgsVectorFileWriter.writeAsVectorFormatV3(points_of(shifted), path, context, options)
    layer = QgsVectorLayer(path, "points", "ogr")
    region = QgsGeometry(TRIANGLE)
    region.translate(500_000, 4_400_000)
    counts = PointCounter(layer, "category").count(region, UTM, context)
    assert counts.leading == (("bar", 2), ("", 1), ("school", 1))
    assert PointCounter(layer, "").count(region, UTM, context).leading == (("", 4),)


def test_a_click_costs_no_more_than_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = points_of([(i % 90 + 0.5, i // 90 + 0.5, "bar") for i in range(600)])
    whole = QgsGeometry.fromWkt(square(0, 0))
    context = QgsProject.instance().transformContext()
    counts = PointCounter(layer, "category").count(whole, UTM, context, most_points=100)
    assert counts == Counts(100, (("bar", 100),), complete=False)
    assert not PointCounter(layer, "category").count(whole, UTM, context, most_seconds=0.0).complete
    # Too many points for an index of our own: the source searches by itself, with the same result.
    monkeypatch.setattr(inspector_points, "MOST_INDEXED", 10)
    assert PointCounter(layer, "category").count(whole, UTM, context).total == 600


def test_a_region_beyond_the_points_crs_and_an_odd_polygon_are_no_errors() -> None:
    context = QgsProject.instance().transformContext()
    layer = points_of([(0, 0, "bar")], "EPSG:3857")
    pole = QgsGeometry.fromWkt("POLYGON((0 90, 10 90, 10 91, 0 90))")
    assert PointCounter(layer, "category").count(pole, QgsCoordinateReferenceSystem("EPSG:4326"), context).total == 0
    bow = QgsGeometry.fromWkt("POLYGON((0 0, 100 100, 100 0, 0 100, 0 0))")
    assert PointCounter(points_of([(10, 50, "bar"), (50, 10, "x")]), "category").count(bow, UTM, context).total == 1


def no_place(field: str, value: float) -> None:
    return None


def test_a_cluster_bears_its_name_without_its_style() -> None:
    fields = {"region_id": TEXT, "cluster": WHOLE, "cluster_name": TEXT}
    layer = layer_of(fields, [["r0", 2, "Retail, Culture"]], "predicted")
    facts = read_facts(layer, roles(layer), next(layer.getFeatures()), QgsProject.instance(), no_place)
    assert facts.cluster == Cluster("2: Retail, Culture") and facts.indicators == ()


def test_facts_are_gathered_from_the_layer_and_from_results_of_the_same_regions() -> None:
    fields = {"region_id": TEXT, "name": TEXT, "price": NUMBER, "story": TEXT}
    own = layer_of(fields, [["r0", "Old Town", 1234.5, "x" * 500], ["r1", "Docks", None, ""]], "regions")
    clusters = layer_of({"region_id": TEXT, "cluster": WHOLE}, [["r1", 2], ["r0", 1]], "clusters")
    symbol = QgsFillSymbol.createSimple({"color": "#0072b2"})
    clusters.setRenderer(
        QgsCategorizedSymbolRenderer("cluster", [QgsRendererCategory(1, symbol, "1: shops <and> bars")])
    )
    predicted = {"region_id": TEXT, "pred": NUMBER, "pred_lower": NUMBER, "pred_upper": NUMBER, "pred_outside": WHOLE}
    layer_of(predicted, [["r0", 2000.0, 1500.0, 2600.5, 1]], "predicted")
    layer_of({"region_id": TEXT, "caption": TEXT}, [["r0", " Houses & trees. "]], "described")
    first, second = own.getFeatures()
    facts = read_facts(own, roles(own), first, QgsProject.instance(), lambda field, value: 0.25)
    assert facts.title == "r0 · Old Town"
    assert facts.caption == "Houses & trees."
    assert facts.cluster == Cluster("1: shops <and> bars", "#0072b2")
    # The name is in the title, and what fills a page is no indicator.
    assert facts.indicators == (
        Indicator(
            "Prediction", shown_number(2000), f"{shown_number(1500)} to {shown_number(2600.5)}", None, "predicted"
        ),
        Indicator("price", shown_number(1234.5), below=0.25),
    )
    assert len(facts.warnings) == 1 and "do not rely" in facts.warnings[0]
    facts = read_facts(own, roles(own), second, QgsProject.instance(), no_place)
    assert facts.cluster == Cluster("Cluster 2") and facts.caption == "" and facts.warnings == ()
    assert facts.indicators == (Indicator("price", ""), Indicator("story", ""))


def test_a_layer_without_any_known_field_still_has_a_title() -> None:
    layer = layer_of({"x": NUMBER}, [[NULL]])
    feature = next(layer.getFeatures())
    layer.setDisplayExpression("")
    assert title(layer, roles(layer), feature) == f"Feature {feature.id()}"
    facts = read_facts(layer, roles(layer), feature, QgsProject.instance(), no_place)
    assert facts.cluster is None


def test_the_hint_names_the_layer_that_has_vectors() -> None:
    assert "Embed regions" in vectors_hint(QgsProject.instance())
    layer_of({"embedding": TEXT}, [], "with vectors")
    assert "with vectors" in vectors_hint(QgsProject.instance())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3.0, "3"),
        (0.12345, "0.1235"),
        (0.0001234, "0.000123"),
        (12.345, "12.35"),
        (123.456, "123.5"),
        (99999.5, "100000"),
    ],
)
def test_numbers_have_as_many_digits_as_say_something(value: float, shown: str) -> None:
    assert shown_number(value).replace(",", "") == shown


def test_what_layers_say_is_text_on_the_page_and_never_markup() -> None:
    evil = '<img src="file:///etc/passwd"> & <b>bold</b>'
    facts = Facts(evil, evil, Cluster(evil, "#123456"), (Indicator(evil, evil, evil, 0.5, evil),), (evil,))
    counts = Counts(7, ((evil, 4), ("", 3)), complete=False)
    view = View(facts, points=counts, points_of=evil, similar=(Similar(3, evil, 0.9876),), similar_note=evil)
    text = page(view, Colours())
    assert "<img" not in text and "<b>" not in text and "file:///etc/passwd&quot;" in text
    assert 'href="region:3"' in text and "0.988" in text and "the first" in text and "no category" in text
    assert page(View(message="<i>"), Colours()) == "<p>&lt;i&gt;</p>"


def test_long_lists_are_folded() -> None:
    indicators = tuple(Indicator(f"field {i}", str(i)) for i in range(MOST_INDICATORS + 3))
    view = View(Facts("r", indicators=indicators))
    folded = page(view, Colours())
    assert SHOW_ALL_URL in folded and f"field {MOST_INDICATORS}<" not in folded
    unfolded = page(view.with_(all_indicators=True), Colours())
    assert SHOW_ALL_URL not in unfolded and f"field {MOST_INDICATORS}<" in unfolded
    many = Counts(100, tuple((f"kind {i}", 20 - i) for i in range(11)))
    assert "3 other categories" in page(View(Facts("r"), points=many, points_of="p"), Colours())


def coloured(path: Path, bands: int) -> QgsRasterLayer:
    from osgeo import gdal

    data = gdal.GetDriverByName("GTiff").Create(str(path), 20, 10, bands, gdal.GDT_Byte)
    data.SetGeoTransform((0, 10, 0, 100, 0, -10))
    data.SetProjection(UTM.toWkt())
    for band in range(bands):
        data.GetRasterBand(band + 1).Fill((200, 100, 50)[band % 3])
    data.FlushCache()
    del data
    return QgsRasterLayer(str(path), path.stem)


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_the_picture_shows_the_region_bright_and_its_surroundings_dim(
    tmp_path: Path, qgis_app: Any, ratio: float
) -> None:
    imagery = coloured(tmp_path / "imagery.tif", 3)
    QgsProject.instance().setCrs(UTM)
    region = QgsGeometry.fromWkt(square(60, 20, 60))
    images = []
    picture = RegionPicture()
    picture.ready.connect(images.append)
    picture.start(imagery, region, UTM, QSize(150, 100), ratio, QgsProject.instance())
    wait(qgis_app, lambda: images)
    image = images[0]
    assert (image.width(), image.height()) == (150 * ratio, 100 * ratio) and image.devicePixelRatio() == ratio
    inside = image.pixelColor(image.width() // 2, image.height() // 2)
    outside = image.pixelColor(round(18 * ratio), image.height() // 2)
    assert inside.getRgb()[:3] == (200, 100, 50)
    assert outside.red() < 140


def test_another_raster_is_drawn_in_colour_and_stopping_brings_no_picture(tmp_path: Path, qgis_app: Any) -> None:
    many = coloured(tmp_path / "embedding.tif", 6)
    from qgis.core import QgsSingleBandGrayRenderer

    many.setRenderer(QgsSingleBandGrayRenderer(many.dataProvider(), 1))
    images = []
    picture = RegionPicture()
    picture.ready.connect(images.append)
    region = QgsGeometry.fromWkt(square(60, 20, 60))
    picture.start(many, region, UTM, QSize(60, 40), 1.0, QgsProject.instance())
    picture.stop()
    qgis_app.processEvents()
    assert images == []
    picture.start(many, region, UTM, QSize(60, 40), 1.0, QgsProject.instance())
    wait(qgis_app, lambda: images)
    assert many.renderer().type() == "singlebandgray"


def test_imagery_that_does_not_reach_the_region_is_told(tmp_path: Path) -> None:
    imagery = QgsRasterLayer(make_raster(tmp_path / "raster.tif"), "imagery")
    far = QgsGeometry.fromWkt(square(5000, 5000))
    with pytest.raises(PictureError, match="not reach"):
        RegionPicture().start(imagery, far, UTM, QSize(60, 40), 1.0, QgsProject.instance())


def test_the_imagery_that_is_guessed_looks_like_a_picture(tmp_path: Path) -> None:
    assert likely_imagery(QgsProject.instance()) is None
    many, three = coloured(tmp_path / "embedding.tif", 6), coloured(tmp_path / "imagery.tif", 3)
    QgsProject.instance().addMapLayers([three, many])
    assert likely_imagery(QgsProject.instance()) is three

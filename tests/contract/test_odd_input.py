"""Input that is odd and works all the same, and says what was made of it."""

import json
import shutil

import geopandas as gpd
import numpy as np
import pytest
import shapely
from spoiling import NORTH, PIXELS, WEST, embed, regions_frame, spoil_regions, square, write_raster

from urbanfm_core.geo.vector import read_layer
from urbanfm_core.inference.table import EmbeddingTable


def test_regions_partly_outside_are_embedded_and_say_how_much_was_covered(place, urbanfm):
    spoil_regions(place, regions_frame([square(0, 0), square(-50, 0), square(-300, 0)]))
    code, said, made = urbanfm(*embed(place))
    assert code == 0 and "uncovered: 1" in said and "1 of 3 regions hold no valid pixel" in said
    table = EmbeddingTable.from_parquet(place.parent / "made" / "r.parquet")
    np.testing.assert_allclose(table.coverage["embedding_raster"], [1, 0.5, 0], atol=1e-6)
    assert table.covered.tolist() == [True, True, False]
    assert {path.name for path in made} == {"r.parquet"}


def test_invalid_polygons_are_repaired_and_counted(place, urbanfm):
    bow_tie = shapely.Polygon([(WEST, NORTH), (WEST + 100, NORTH - 100), (WEST + 100, NORTH), (WEST, NORTH - 100)])
    line = shapely.LineString([(WEST, NORTH), (WEST + 9, NORTH)])
    spoil_regions(place, regions_frame([bow_tie, square(100, 0), None, line]))
    code, said, _ = urbanfm(*embed(place))
    assert code == 0 and "regions: 2" in said
    for words in (
        "1 invalid polygons were repaired",
        "1 features without geometry",
        "1 features that are not polygons",
    ):
        assert words in said
    table = EmbeddingTable.from_parquet(place.parent / "made" / "r.parquet")
    assert shapely.is_valid(table.regions.geometry).all()


def test_a_grid_across_the_antimeridian(place, urbanfm):
    out = place.parent / "made" / "grid.gpkg"
    extent = ("--extent", "179.99,0,-179.99,0.02", "--extent-crs", "EPSG:4326", "--grid-size", 500)
    code, said, _ = urbanfm("grid", *extent, "--out", out)
    assert code == 0, said
    made = gpd.read_file(out)
    assert 25 <= len(made) <= 36 and made.crs.is_projected


@pytest.mark.parametrize("shift", [0, 360])
def test_regions_and_raster_at_the_antimeridian(place, urbanfm, shift):
    """A raster just west of it, regions that reach over it, written either way round."""
    write_raster(place / "raster.tif", crs="EPSG:4326", origin=(180 - PIXELS * 0.001, 10), pixel=0.001)
    west = shapely.box(179.97, 9.97, 179.99, 9.99)
    across = shapely.union_all(
        [shapely.box(179.99, 9.97, 180, 9.99), shapely.box(-180 + shift, 9.97, -179.99 + shift, 9.99)]
    )
    spoil_regions(place, regions_frame([west, across], crs="EPSG:4326"))
    code, said, _ = urbanfm(*embed(place))
    assert code == 0, said
    table = EmbeddingTable.from_parquet(place.parent / "made" / "r.parquet")
    np.testing.assert_allclose(table.coverage["embedding_raster"], [1, 0.5], atol=0.02)


def test_a_polar_layer(place, urbanfm):
    """A raster in polar stereographic, regions in longitude and latitude around the pole."""
    half = PIXELS * 50_000 / 2
    write_raster(place / "raster.tif", crs="EPSG:3995", origin=(-half, half), pixel=50_000)
    wedges = [shapely.box(x, 84, x + 90, 88) for x in (-180, -90, 0, 90)]
    spoil_regions(place, regions_frame(wedges, crs="EPSG:4326"))
    code, said, _ = urbanfm(*embed(place, rule="coverage"))
    assert code == 0, said
    table = EmbeddingTable.from_parquet(place.parent / "made" / "r.parquet")
    np.testing.assert_allclose(table.coverage["embedding_raster"], 1, atol=0.01)
    out = place.parent / "made" / "grid.gpkg"
    code, said, _ = urbanfm("grid", "--over", place / "raster.tif", "--grid-size", 400_000, "--out", out)
    assert code == 0, said
    assert len(gpd.read_file(out)) >= 16


@pytest.mark.parametrize(
    "name", ["Zoë's «barrios»", 'say "hi"', "東京 行政区", "Ленинград; DROP TABLE", "a[1]{2}*?", "100% #&|x"]
)
def test_odd_names_of_files_layers_and_fields(place, urbanfm, name):
    folder = place / name
    folder.mkdir()
    shutil.copy(place / "raster.tif", folder / f"{name}.tif")
    frame = regions_frame(**{name: ["ä", "b'", 'c"'], "code": [1, 2, 3]})
    for layer, mode in ((name, "w"), ("other", "a")):
        frame.to_file(place / "plain.gpkg", layer=layer, mode=mode, engine="pyogrio")
    (place / "plain.gpkg").rename(folder / f"{name}.gpkg")
    out, parquet = (place.parent / "made" / name / f"{name}.{suffix}" for suffix in ("gpkg", "parquet"))
    changed = {"regions": f"{folder / name}.gpkg|layername={name}", "embedding_raster": folder / f"{name}.tif"}
    code, said, made = urbanfm(*embed(place, **changed, out=out, parquet=parquet, region_id=name))
    assert code == 0, said
    assert sorted(path.name for path in made) == sorted([name, out.name, parquet.name, f"{name}.qml"])
    table = EmbeddingTable.from_parquet(parquet)
    assert table.ids.tolist() == ["ä", "b'", 'c"'] and table.regions.id_name == name
    assert read_layer(out)[name].tolist() == ["ä", "b'", 'c"']


def test_a_field_called_embedding_gives_way(place, urbanfm):
    frame = regions_frame(embedding=["x", "y", "z"], Emb_PCA1=[1, 2, 3], src_embedding=["k", "l", "m"])
    spoil_regions(place, frame)
    out = place.parent / "made" / "r.gpkg"
    code, said, _ = urbanfm(*embed(place, out=out))
    assert code == 0, said
    found = gpd.read_file(out)
    assert found["src_embedding"].tolist() == ["k", "l", "m"] and found["src_src_embedding"].tolist() == ["x", "y", "z"]
    assert found["src_Emb_PCA1"].tolist() == [1, 2, 3]
    assert len(json.loads(found["embedding"][0])) == 4
    # Once more, over the result.
    code, said, _ = urbanfm(*embed(place, regions=out, out=place.parent / "made" / "again.gpkg"))
    assert code == 0, said
    again = gpd.read_file(place.parent / "made" / "again.gpkg")
    assert again["embedding"].tolist() == found["embedding"].tolist()


def test_a_checkpoint_that_was_trained_on_another_device(place, urbanfm):
    expected = (place.parent / "made" / "r.parquet", place.parent / "made" / "s.parquet")
    assert urbanfm(*embed(place))[0] == 0
    manifest = place / "ckpt" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "device": "cuda"}))
    code, said, _ = urbanfm(*embed(place, parquet=expected[1]))
    assert code == 0 and "trained on 'cuda'" in said and "'cpu' here" in said
    one, other = (EmbeddingTable.from_parquet(path).vectors for path in expected)
    np.testing.assert_array_equal(one, other)
    code, said, made = urbanfm(*embed(place, device="cuda", parquet=place.parent / "made" / "t.parquet"))
    assert code == 2 and "'cuda' is not on this machine" in said and not made

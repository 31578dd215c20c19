"""Outputs never take the place of what they are not: folders, inputs, or the other layers of a file."""

import geopandas as gpd
import pytest
import shapely

from urbanfm_core.errors import OutputError
from urbanfm_core.geo.vector_writer import write_layer
from urbanfm_core.pipeline import run
from urbanfm_core.pipeline.outputs import check_outputs
from urbanfm_core.progress import Progress
from urbanfm_core.stages import make_stage


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder that is worked in, with a layer in it."""
    frame = gpd.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(0, 0, 900, 900)], crs="EPSG:32630")
    frame.to_file(tmp_path / "area.gpkg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def grid(out, over="area.gpkg"):
    run("grid", {"over": str(over), "grid_size": 300, "out": str(out)}, Progress())


def assert_refused_and_kept(here, out, *told, over="area.gpkg"):
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    with pytest.raises(OutputError) as caught:
        grid(out, over)
    assert all(words in str(caught.value) for words in told), str(caught.value)
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("out", ["", " "])
def test_an_empty_name_does_not_stand_for_the_folder_that_is_worked_in(here, out):
    assert_refused_and_kept(here, out, "The name for out is empty", "leave it out")


def test_a_folder_is_not_replaced_by_a_file(here):
    (here / "maps.gpkg").mkdir()
    (here / "maps.gpkg" / "work").write_text("of months")
    assert_refused_and_kept(here, "maps.gpkg", "maps.gpkg is a folder", "name of its own")
    with pytest.raises(OutputError, match="is a folder"):
        write_layer(gpd.read_file("area.gpkg"), "maps.gpkg")
    assert (here / "maps.gpkg" / "work").read_text() == "of months"


@pytest.mark.parametrize("over", ["area.gpkg", "area.gpkg|layername=area", "./area.gpkg"])
def test_an_input_is_not_overwritten(here, over):
    assert_refused_and_kept(here, "area.gpkg", "area.gpkg is named for out", "the input over", over=over)


def test_a_link_to_an_input_is_not_overwritten(here):
    (here / "link.gpkg").symlink_to(here / "area.gpkg")
    assert_refused_and_kept(here, "link.gpkg", "the input over")


def test_other_layers_of_a_geopackage_are_not_lost(here):
    frame = gpd.read_file("area.gpkg")
    for layer in ("roads", "rivers"):
        frame.to_file("many.gpkg", layer=layer)
    assert_refused_and_kept(here, "many.gpkg", "many.gpkg: holds 2 layers (roads, rivers)", "file of its own")


def test_what_was_written_before_is_replaced_with_the_styles_that_qgis_put_into_it(here):
    grid("cells.gpkg")
    gpd.pd.DataFrame({"styleName": ["red"]}).pipe(gpd.GeoDataFrame).to_file("cells.gpkg", layer="layer_styles")
    grid("cells.gpkg")
    assert len(gpd.read_file("cells.gpkg", layer="cells")) == 9


def test_a_phrase_that_is_too_long_for_a_path_is_no_input(here):
    check_outputs(
        make_stage("search", {"query": "park " * 2000, "checkpoint": "c", "embeddings": "e", "out": "found.gpkg"})
    )

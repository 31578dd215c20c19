"""Street views: which files, where, which way; panoramas cut; damaged files counted."""

from __future__ import annotations

import os
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from PIL import Image
from pyproj import CRS

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.data.streetview import StreetViews, flat_view, stored_views
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.resources import resource


def picture(path: Path, width: int, height: int, seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path, quality=95)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A panorama, a photograph, a file that is no picture, one cut off half-way, one that is absent."""
    folder = tmp_path / "views"
    folder.mkdir()
    picture(folder / "pano.jpg", 256, 128)
    picture(folder / "photo.jpg", 80, 60)
    (folder / "text.jpg").write_text("no picture")
    picture(folder / "cut.jpg", 200, 150, seed=1)
    whole = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    frame = geopandas.GeoDataFrame(
        {
            "path": ["views/pano.jpg", "photo.jpg", "views/text.jpg", "views/cut.jpg", "views/absent.jpg"],
            "heading": [300.0, 10.0, 0.0, 0.0, 0.0],
        },
        geometry=shapely.points([[5.0, 5.0], [15.0, 5.0], [5.0, 5.0], [15.0, 5.0], [99.0, 5.0]]),
        crs="EPSG:32630",
    )
    frame.to_file(tmp_path / "views.gpkg", engine="pyogrio")
    return tmp_path / "views.gpkg"


def regions() -> RegionSet:
    boxes = np.array([shapely.box(x, 0, x + 10, 10) for x in (0, 10, 20)], dtype=object)
    return RegionSet(
        np.array(["a", "b", "c"], dtype=object), boxes, CRS("EPSG:32630"), "id", pd.DataFrame(index=range(3))
    )


def test_files_are_found_panoramas_are_four_views_and_losses_are_counted(layer: Path) -> None:
    views = StreetViews.read(layer)
    assert views.key.tolist() == [
        *(f"views/pano.jpg#{turn}" for turn in (0, 90, 180, 270)),
        "photo.jpg",
        "views/cut.jpg",
    ]
    np.testing.assert_allclose(views.heading, [300, 30, 120, 210, 10, 0])
    assert views.group.tolist() == ["views/pano.jpg"] * 4 + ["photo.jpg", "views/cut.jpg"]
    assert "1 of 5 pictures are not there: views/absent.jpg; left out." in views.notes
    assert "1 of 5 pictures cannot be opened: views/text.jpg; left out." in views.notes
    assert "1 panoramas are cut into four views of 90 degrees each." in views.notes


def test_a_file_that_turns_out_damaged_has_no_picture(layer: Path, tmp_path: Path) -> None:
    views = StreetViews.read(layer)
    found = dict(views.iter_images(32))
    assert [row for row, image in found.items() if image is None] == [5]
    assert {image.shape for image in found.values() if image is not None} == {(3, 32, 32)}
    kept = stored_views(views, 32, SampleStore(tmp_path / "store", {}))
    assert kept.has_image.tolist() == [True] * 5 + [False]
    assert "1 of 6 street views are damaged files: views/cut.jpg." in kept.notes
    rgb, valid = kept.take(np.arange(6))
    np.testing.assert_array_equal(rgb[:5], [found[row] for row in range(5)])
    assert valid[:5].all() and not rgb[5].any() and not valid[5].any()


def test_stored_pictures_are_made_once_and_again_when_a_file_changes(layer: Path, tmp_path: Path) -> None:
    store = SampleStore(tmp_path / "store", {})
    before = stored_views(StreetViews.read(layer), 16, store)
    made = [path.stat().st_mtime_ns for path in store.path.rglob("rgb.npy")]
    stored_views(StreetViews.read(layer), 16, store)
    assert [path.stat().st_mtime_ns for path in store.path.rglob("rgb.npy")] == made
    assert len(made) == 1
    identity = CityInputs(streetview=layer).identity("streetview")
    picture(layer.parent / "views" / "photo.jpg", 80, 60, seed=9)
    os.utime(layer.parent / "views" / "photo.jpg", ns=(1, 1))
    after = stored_views(StreetViews.read(layer), 16, store)
    assert len(sorted(store.path.rglob("rgb.npy"))) == 2
    np.testing.assert_array_equal(before.take(np.array([0]))[0], after.take(np.array([0]))[0])
    assert not np.array_equal(before.take(np.array([4]))[0], after.take(np.array([4]))[0])
    assert CityInputs(streetview=layer).identity("streetview") != identity


def test_views_belong_to_the_region_they_were_taken_in(layer: Path) -> None:
    views = StreetViews.read(layer)
    starts, rows = views.assign(regions())
    assert starts.tolist() == [0, 4, 6, 6] and rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert views.coverage_notes(starts, rows) == ["1 of 3 regions have no street view."]


def test_a_region_that_the_layer_tells_counts_more_than_the_place(layer: Path) -> None:
    frame = geopandas.read_file(layer, engine="pyogrio").assign(region_id=["c", "unknown", "a", None, "a"])
    frame.to_file(layer, engine="pyogrio")
    starts, rows = StreetViews.read(layer).assign(regions())
    assert starts.tolist() == [0, 0, 2, 6] and rows.tolist() == [4, 5, 0, 1, 2, 3]


def test_a_flat_view_looks_where_it_says() -> None:
    """Colours tell the direction: the sine and the cosine of the longitude, so that it has no seam."""
    longitude = np.radians((np.arange(720) + 0.5) / 2 - 180)
    colours = np.stack([np.sin(longitude), np.cos(longitude), np.zeros(720)])
    around = np.rint(127 + 120 * np.broadcast_to(colours[:, None], (3, 360, 720))).astype(np.uint8)
    step = (np.arange(101) + 0.5) * 2 / 101 - 1
    for turn in (0.0, 90.0, 180.0, 270.0):
        view = flat_view(around, turn, 101).astype(float)
        seen = np.arctan(step) + np.radians(turn)
        np.testing.assert_allclose(view[0, 50], 127 + 120 * np.sin(seen), atol=2)
        np.testing.assert_allclose(view[1, 50], 127 + 120 * np.cos(seen), atol=2)
        # Upright lines stay upright, but for rounding.
        assert np.ptp(view, axis=1).max() <= 1


def test_the_horizon_is_level_and_steeper_is_higher() -> None:
    """Rows of a panorama are latitudes: the middle column of a view runs from +45 to -45 degrees."""
    around = np.broadcast_to(np.arange(180, dtype=np.uint8)[:, None], (3, 180, 360))
    view = flat_view(around, 0.0, 91)[0].astype(float)
    step = (np.arange(91) + 0.5) * 2 / 91 - 1
    np.testing.assert_allclose(view[:, 45], 90 + np.degrees(np.arctan(step)) - 0.5, atol=0.6)
    np.testing.assert_allclose(view[45], 89.5, atol=0.6)
    corner = np.degrees(np.arctan(1 / np.sqrt(2)))
    assert abs(view[0, 0] - (90 - corner)) < 1.5


def test_a_photograph_is_the_upright_square_in_its_middle(tmp_path: Path) -> None:
    pixels = np.zeros((60, 100, 3), np.uint8)
    pixels[:, 20:50], pixels[:, 50:80] = (255, 0, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[274] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    (tmp_path / "v.csv").write_text("lon,lat,file\n9.1,48.7,a.png\n")
    image = dict(StreetViews.read(tmp_path / "v.csv").iter_images(60))[0]
    assert image is not None
    assert (image[2, :, :29] == 255).all() and (image[0, :, 31:] == 255).all()


def test_a_told_projection_counts_more_than_the_shape(tmp_path: Path) -> None:
    picture(tmp_path / "wide.jpg", 64, 32)
    picture(tmp_path / "pano.jpg", 64, 40)
    (tmp_path / "v.csv").write_text(
        "lon,lat,file,projection_type\n9.1,48.7,wide.jpg,perspective\n9.1,48.7,pano.jpg,spherical\n"
    )
    views = StreetViews.read(tmp_path / "v.csv")
    assert views.key.tolist() == ["wide.jpg", *(f"pano.jpg#{turn}" for turn in (0, 90, 180, 270))]
    assert np.isnan(views.heading).all()


def test_the_sample_city_gives_four_views_a_point() -> None:
    views = StreetViews.read(resource("samplecity", "streetview.gpkg"))
    found = RegionSet.from_layer(resource("samplecity", "regions.gpkg"))
    starts, rows = views.assign(found)
    counts = np.diff(starts)
    assert set(counts.tolist()) == {0, 4} and len(rows) == len(views)
    told = np.repeat(found.ids, counts)
    assert (views.region[rows] == told).all()


def test_layers_without_pictures_are_told(layer: Path) -> None:
    frame = geopandas.read_file(layer, engine="pyogrio")
    frame.drop(columns="path").to_file(layer.parent / "none.gpkg", engine="pyogrio")
    with pytest.raises(ConfigError, match="no column names the picture files"):
        StreetViews.read(layer.parent / "none.gpkg")
    frame.iloc[4:].to_file(layer.parent / "absent.gpkg", engine="pyogrio")
    with pytest.raises(EmptyInputError, match="none of 1 pictures can be opened"):
        StreetViews.read(layer.parent / "absent.gpkg")

"""Pictures of regions: the right ground, an honest filter, and nothing missing ever becomes a colour."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import CRS, Geod
from rasterio.enums import ColorInterp

from urbanfm_core.data import image_store
from urbanfm_core.data.frames import RegionFrames, polygon_mask, region_frames
from urbanfm_core.data.image_store import (
    ImageStatistics,
    combined_statistics,
    normalised,
    patch_validity,
    stored_images,
)
from urbanfm_core.data.imagery import Imagery, Stretch
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import Cancelled, ConfigError, CRSError, EmptyInputError, InputError, NoOverlapError
from urbanfm_core.geo.resample import axis_weights, weighted_mean
from urbanfm_core.progress import Progress

WEST, NORTH = 440_000.0, 4_474_256.0
UTM = CRS.from_epsg(32630)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes (C, h, w), given north-up, as a GeoTIFF; pixels of 1 m from (WEST, NORTH) unless told otherwise."""

    def write(
        array: np.ndarray,
        *,
        pixel: float = 1.0,
        south_up: bool = False,
        mask: np.ndarray | None = None,
        roles: list[ColorInterp] | None = None,
        **profile: Any,
    ) -> Path:
        path = tmp_path / f"raster{len(list(tmp_path.iterdir()))}.tif"
        transform = profile.pop("transform", Affine(pixel, 0, WEST, 0, -pixel, NORTH))
        if south_up:
            array = array[:, ::-1]
            transform = transform @ Affine(1, 0, 0, 0, -1, array.shape[1])
        count, height, width = array.shape
        profile = {"driver": "GTiff", "crs": UTM.to_wkt(), "dtype": array.dtype.name, "transform": transform} | profile
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", count=count, height=height, width=width, **profile) as file,
        ):
            if roles:
                file.colorinterp = roles
            file.write(array)
            if mask is not None:
                file.write_mask(mask)
        return path

    return write


def regions_of(*shapes: Any, crs: CRS = UTM) -> RegionSet:
    geometry = np.array(shapes, dtype=object)
    return RegionSet(np.arange(len(shapes)), geometry, crs, "id", pd.DataFrame(index=range(len(shapes))))


def cell(column: float, row: float, side: float = 32.0) -> Any:
    """A square region, counted from the north-west corner of the rasters."""
    return shapely.box(WEST + column * side, NORTH - (row + 1) * side, WEST + (column + 1) * side, NORTH - row * side)


def pictures(imagery: Imagery, frames: RegionFrames, size: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    found = list(imagery.iter_images(frames, size))
    assert sorted(index for index, _, _ in found) == list(range(len(frames)))
    return {index: (rgb, valid) for index, rgb, valid in found}


def one_picture(path: Path, shape: Any, size: int, pixel_m: float, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    with Imagery(path, **options) as imagery:
        return pictures(imagery, imagery.region_footprints(regions_of(shape), size, pixel_m), size)[0]


def colours(height: int, width: int, seed: int = 0, count: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, (count, height, width)).astype(np.uint8)


class TestResampling:
    @pytest.mark.parametrize("size", [7, 16, 40])
    def test_a_row_of_weights_sums_to_one_inside(self, size: int) -> None:
        weights = axis_weights(3.3, 20.0 / size, size, 40)
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)

    def test_shrinking_is_the_area_average(self) -> None:
        image = np.random.default_rng(1).uniform(0, 255, (2, 50, 61)).astype(np.float32)
        valid = np.random.default_rng(2).random((50, 61)) > 0.3
        rows, columns = axis_weights(4.25, 2.6, 13, 50), axis_weights(7.5, 3.1, 12, 61)
        ours, share = weighted_mean(np.where(valid, image, 0), valid, rows, columns)
        # Every old pixel as 20 x 20 small ones, of which a new one holds 52 x 62.
        fine_valid = valid.repeat(20, axis=0).repeat(20, axis=1)[85 : 85 + 13 * 52, 150 : 150 + 12 * 62]
        fine = np.where(valid, image, 0).repeat(20, axis=1).repeat(20, axis=2)[:, 85 : 85 + 676, 150 : 150 + 744]
        there = fine_valid.reshape(13, 52, 12, 62).mean(axis=(1, 3))
        np.testing.assert_allclose(share, there, atol=1e-5)
        np.testing.assert_allclose(ours, fine.reshape(2, 13, 52, 12, 62).mean(axis=(2, 4)) / there, rtol=1e-4)

    def test_enlarging_is_bilinear(self) -> None:
        ramp = np.arange(10, dtype=np.float32)[None, None].repeat(10, axis=1) * 10
        weights = axis_weights(2.0, 0.25, 16, 10)
        mean, _ = weighted_mean(ramp, None, axis_weights(0, 1, 10, 10), weights)
        expected = (2 + (np.arange(16) + 0.5) / 4 - 0.5) * 10
        np.testing.assert_allclose(mean[0, 4], expected, rtol=1e-5)


class TestFrames:
    def test_a_square_around_the_centre_of_the_bounds(self) -> None:
        triangle = shapely.Polygon([(0, 0), (100, 0), (0, 60)])
        frames = region_frames(regions_of(triangle), 20, 2.0)
        np.testing.assert_allclose(frames.bounds, [[30, 10, 70, 50]])
        assert frames.notes[0].startswith("1 of 1 regions are larger than the square of 40 m")

    def test_fit_stretches_to_the_longer_side(self) -> None:
        wide, tall = shapely.box(0, 0, 300, 100), shapely.box(1000, 0, 1010, 20)
        frames = region_frames(regions_of(wide, tall), 20, 0)
        np.testing.assert_allclose(frames.side_m, [300, 20])
        np.testing.assert_allclose(frames.bounds, [[0, -100, 300, 200], [995, 0, 1015, 20]])
        assert frames.notes == []

    def test_degrees_become_metres_on_the_ground(self, write: Write) -> None:
        grid = Affine(1e-5, 0, -3.71, 0, -1e-5, 40.42)
        path = write(colours(50, 50), transform=grid, crs="EPSG:4326")
        region = regions_of(shapely.box(-3.7098, 40.4196, -3.7096, 40.4198), crs=CRS.from_epsg(4326))
        with Imagery(path) as imagery:
            frames = imagery.region_footprints(region, 10, 2.0)
        west, south, east, north = frames.bounds[0]
        middle = (south + north) / 2
        geod = Geod(ellps="WGS84")
        assert geod.inv(west, middle, east, middle)[2] == pytest.approx(20, rel=1e-4)
        assert geod.inv(west, south, west, north)[2] == pytest.approx(20, rel=1e-4)
        np.testing.assert_allclose([(west + east) / 2, middle], [-3.7097, 40.4197], atol=1e-9)

    def test_web_mercator_is_corrected(self, write: Write) -> None:
        path = write(colours(50, 50), transform=Affine(1, 0, -413_000, 0, -1, 4_926_000), crs="EPSG:3857")
        with Imagery(path) as imagery:
            box = shapely.box(-412_990, 4_925_960, -412_980, 4_925_970)
            frames = imagery.region_footprints(regions_of(box, crs=CRS.from_epsg(3857)), 10, 1.0)
        # At 40.4 N a metre on the ground is 1 / cos(latitude) on the map.
        assert frames.bounds[0, 2] - frames.bounds[0, 0] == pytest.approx(10 / np.cos(np.deg2rad(40.4)), rel=5e-3)

    @pytest.mark.parametrize(("size", "pixel"), [(0, 1.0), (8, -1.0), (8, np.nan), (8, np.inf)])
    def test_sizes_that_make_no_image(self, size: int, pixel: float) -> None:
        with pytest.raises(ConfigError):
            region_frames(regions_of(cell(0, 0)), size, pixel)

    def test_polygon_mask(self) -> None:
        bounds = np.array([0.0, 0, 8, 8])
        half = polygon_mask(shapely.box(0, 0, 4, 8), bounds, 8)
        assert half[:, :4].all()
        assert not half[:, 4:].any()
        north = polygon_mask(shapely.box(0, 4, 8, 8), bounds, 8)
        assert north[:4].all()
        assert not north[4:].any()
        # Too thin for the centre of a pixel: what it touches.
        assert polygon_mask(shapely.box(2.1, 0, 2.2, 8), bounds, 8)[:, 2].all()
        assert not polygon_mask(shapely.box(20, 20, 30, 30), bounds, 8).any()


class TestPictures:
    def test_pixels_that_fit_come_unchanged(self, write: Write) -> None:
        array = colours(64, 96)
        path = write(array, tiled=True, blockxsize=16, blockysize=16)
        with Imagery(path) as imagery:
            found = pictures(imagery, imagery.region_footprints(regions_of(cell(0, 0), cell(2, 1)), 32, 1.0), 32)
        np.testing.assert_array_equal(found[0][0], array[:, :32, :32])
        np.testing.assert_array_equal(found[1][0], array[:, 32:, 64:])
        assert found[0][1].all()

    def test_south_up_is_the_same_picture(self, write: Write) -> None:
        array = colours(64, 64)
        same = [one_picture(write(array, south_up=turned), cell(1, 0), 32, 1.0)[0] for turned in (False, True)]
        np.testing.assert_array_equal(same[0], array[:, :32, 32:])
        np.testing.assert_array_equal(same[1], same[0])

    def test_a_finer_raster_is_averaged(self, write: Write) -> None:
        array = colours(128, 128)
        rgb, valid = one_picture(write(array, pixel=0.25), cell(0, 0), 32, 1.0)
        expected = array.reshape(3, 32, 4, 32, 4).mean(axis=(2, 4))
        assert np.abs(rgb - expected).max() <= 0.5001
        assert valid.all()

    def test_a_frame_of_several_crops_is_the_same_picture(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(colours(150, 170, seed=3), pixel=0.3)
        shapes = [cell(0.1, 0.15, 31.7), cell(0.9, -0.5, 31.7), cell(0.2, 0.2, 11.3)]
        found = []
        for limit in (1024, 20):
            monkeypatch.setattr("urbanfm_core.data.imagery._CROP_PX", limit)
            with Imagery(path) as imagery:
                found.append(pictures(imagery, imagery.region_footprints(regions_of(*shapes), 24, 0), 24))
        for index in range(3):
            np.testing.assert_array_equal(found[0][index][1], found[1][index][1])
            assert np.abs(found[0][index][0].astype(int) - found[1][index][0]).max() <= 1

    def test_regions_in_another_crs(self, write: Write) -> None:
        array = colours(64, 64)
        regions = regions_of(cell(1, 1)).to_crs("EPSG:4326")
        with Imagery(write(array)) as imagery:
            rgb, _ = pictures(imagery, imagery.region_footprints(regions, 32, 1.0), 32)[0]
        assert np.abs(rgb.astype(int) - array[:, 32:, 32:]).max() <= 1

    def test_partly_and_wholly_off_the_raster(self, write: Write) -> None:
        array = colours(64, 64)
        with Imagery(write(array)) as imagery:
            frames = imagery.region_footprints(regions_of(cell(-0.5, 0), cell(9, 9), cell(1.5, 1.5)), 32, 1.0)
            assert imagery.on_raster(frames).tolist() == [True, False, True]
            found = pictures(imagery, frames, 32)
        rgb, valid = found[0]
        assert not valid[:, :16].any()
        assert not rgb[:, :, :16].any()
        np.testing.assert_array_equal(rgb[:, :, 16:], array[:, :32, :16])
        assert valid[:, 16:].all()
        assert not found[1][1].any()
        assert found[2][1][:16, :16].all()
        assert found[2][1].sum() == 256

    @pytest.mark.parametrize("kind", ["nodata", "nan", "alpha", "mask"])
    def test_what_is_missing_never_becomes_a_colour(self, write: Write, kind: str) -> None:
        hole = np.zeros((128, 128), bool)
        hole[30:61, 10:45] = True
        array = np.full((3, 128, 128), 100, np.uint8)
        options: dict[str, Any] = {}
        if kind == "nodata":
            array[:, hole] = 255
            options = {"nodata": 255}
        elif kind == "nan":
            array = array.astype(np.float32)
            array[1, hole] = np.nan
        elif kind == "alpha":
            array[:, hole] = 7
            array = np.vstack([array, np.where(hole, 0, 255)[None].astype(np.uint8)])
            options = {"roles": [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]}
        else:
            array[:, hole] = 7
            options = {"mask": np.where(hole, 0, 255).astype(np.uint8)}
        stretch = Stretch((0.0,) * 3, (255.0,) * 3)
        rgb, valid = one_picture(write(array, pixel=0.5, **options), cell(0, 0, 64.0), 32, 2.0, stretch=stretch)
        assert set(np.unique(rgb[:, valid])) == {100}
        assert set(np.unique(rgb[:, ~valid])) == {0}
        share = hole.reshape(32, 4, 32, 4).mean(axis=(1, 3))
        np.testing.assert_array_equal(valid, share <= 0.5)

    def test_black_in_one_band_is_a_colour_where_black_is_nodata(self, write: Write) -> None:
        array = np.full((3, 32, 32), 50, np.uint8)
        array[0, :8] = 0
        array[:, 8:16] = 0
        _, valid = one_picture(write(array, nodata=0), cell(0, 0), 32, 1.0)
        assert valid[:8].all()
        assert not valid[8:16].any()

    def test_any_band_without_data_makes_a_pixel_missing(self, write: Write) -> None:
        array = np.random.default_rng(0).integers(0, 900, (3, 32, 32)).astype(np.int16)
        array[2, :8] = -9999
        rgb, valid = one_picture(write(array, nodata=-9999), cell(0, 0), 32, 1.0)
        assert not valid[:8].any()
        assert valid[8:].all()
        assert not rgb[:, :8].any()

    @pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
    def test_other_types_are_stretched(self, write: Write, dtype: str) -> None:
        array = (np.arange(3 * 64 * 64).reshape(3, 64, 64) % 4001).astype(dtype)
        with Imagery(write(array)) as imagery:
            frames = imagery.region_footprints(regions_of(*(cell(c, r) for c in (0, 1) for r in (0, 1))), 32, 1.0)
            found = pictures(imagery, frames, 32)
            settings = json.loads(json.dumps(imagery.to_json()))
            low, high = np.percentile(array.reshape(3, -1), (2, 98), axis=1)
            np.testing.assert_allclose(settings["stretch"], [low, high], rtol=1e-5)
            assert "stretched to 8 bits" in imagery.notes[-1]
            path = imagery.info.path
        expected = np.clip((array[:, :32, :32] - low[:, None, None]) / (high - low)[:, None, None], 0, 1) * 255
        assert np.abs(found[0][0] - expected).max() <= 0.51
        # The limits of a model serve another raster.
        with Imagery.open_like(path, settings) as again:
            np.testing.assert_array_equal(pictures(again, frames, 32)[3][0], found[3][0])
            assert again.notes == [note for note in again.notes if "percentile" not in note]

    def test_limits_found_on_a_constant_raster(self, write: Write) -> None:
        rgb, valid = one_picture(write(np.full((3, 32, 32), 700, np.uint16)), cell(0, 0), 32, 1.0)
        assert valid.all()
        assert np.ptp(rgb) == 0

    def test_a_stretch_without_any_valid_pixel(self, write: Write) -> None:
        path = write(np.full((3, 32, 32), np.nan, np.float32))
        with pytest.raises(EmptyInputError, match="no valid pixel"):
            one_picture(path, cell(0, 0), 32, 1.0)

    def test_frames_of_another_crs_are_refused(self, write: Write) -> None:
        degrees = regions_of(shapely.box(-3.71, 40.41, -3.70, 40.42), crs=CRS.from_epsg(4326))
        frames = region_frames(degrees.to_crs("EPSG:25831"), 8, 1.0)
        with Imagery(write(colours(32, 32))) as imagery, pytest.raises(CRSError, match="region_footprints"):
            next(imagery.iter_images(frames, 8))


class TestBands:
    def test_choices(self, write: Write) -> None:
        array = colours(32, 32, count=5)
        rgb, _ = one_picture(write(array), cell(0, 0), 32, 1.0, bands=(4, 2, 1))
        np.testing.assert_array_equal(rgb, array[[3, 1, 0]])
        rgb, _ = one_picture(write(array), cell(0, 0), 32, 1.0, bands=[5])
        np.testing.assert_array_equal(rgb, array[[4, 4, 4]])

    def test_the_file_s_own_roles(self, write: Write) -> None:
        roles = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined]
        array = colours(32, 32, count=4)
        rgb, _ = one_picture(write(array, roles=roles), cell(0, 0), 32, 1.0)
        np.testing.assert_array_equal(rgb, array[[2, 1, 0]])

    def test_guesses_are_noted(self, write: Write) -> None:
        with Imagery(write(colours(32, 32, count=1))) as imagery:
            assert imagery.bands == (1, 1, 1)
            assert imagery.notes == ["Band 1 of the imagery is shown as grey."]
        with Imagery(write(colours(32, 32, count=4), photometric="minisblack")) as imagery:
            assert imagery.bands == (1, 2, 3)
            assert imagery.notes == ["Bands [1, 2, 3] of the imagery are taken for red, green and blue."]

    @pytest.mark.parametrize("bands", [(1, 2), (1, 2, 4), (0, 1, 2), ()])
    def test_bands_that_are_not_there(self, write: Write, bands: tuple[int, ...]) -> None:
        with pytest.raises(ConfigError, match="has 3 bands"):
            Imagery(write(colours(32, 32)), bands=bands)

    def test_colour_tables_and_complex_numbers_are_refused(self, write: Write) -> None:
        path = write(colours(32, 32, count=1), roles=None)
        with rasterio.open(path, "r+") as file:
            file.write_colormap(1, {number: (number, 0, 0, 255) for number in range(256)})
        with pytest.raises(InputError, match="expand rgb"):
            Imagery(path)
        with pytest.raises(InputError, match="real numbers"):
            Imagery(write(np.zeros((1, 8, 8), np.complex64)))


class TestStore:
    @pytest.fixture
    def imagery(self, write: Write) -> Imagery:
        array = colours(128, 128, seed=4)
        array[:, 40:60, 70:90] = 0
        return Imagery(write(array, nodata=0, tiled=True, blockxsize=32, blockysize=32))

    @pytest.fixture
    def frames(self, imagery: Imagery) -> RegionFrames:
        shapes = [cell(c, r) for r in range(-1, 5) for c in range(-1, 5)]
        return imagery.region_footprints(regions_of(*shapes), 16, 2.0)

    def test_it_holds_what_iter_images_gives(
        self, imagery: Imagery, frames: RegionFrames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(image_store, "PARTITION_BYTES", 5 * 3 * 16 * 16)
        stored = stored_images(imagery, frames, 16, SampleStore(tmp_path / "store", {}))
        expected = pictures(imagery, frames, 16)
        rgb, valid = stored.take(np.arange(36))
        for index, (colour, data) in expected.items():
            np.testing.assert_array_equal(rgb[index], colour)
            np.testing.assert_array_equal(valid[index], data)
            assert stored.has_image[index] == data.any()
            assert stored.valid_share[index] == pytest.approx(data.mean())
        assert len(stored) == 36
        assert stored.has_image.sum() == 16
        assert "20 of 36 regions have no imagery." in stored.notes
        assert any("covered by imagery in part" in note for note in stored.notes)
        pixels = rgb.transpose(1, 0, 2, 3)[:, valid] / 255
        statistics = stored.statistics()
        np.testing.assert_allclose(statistics.mean, pixels.mean(axis=1))
        np.testing.assert_allclose(statistics.std, pixels.std(axis=1))
        assert combined_statistics([stored, stored]) == statistics
        assert ImageStatistics.from_json(json.loads(json.dumps(statistics.to_json()))) == statistics

    def test_a_rerun_makes_only_what_is_missing(
        self, imagery: Imagery, frames: RegionFrames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(image_store, "PARTITION_BYTES", 5 * 3 * 16 * 16)
        store = SampleStore(tmp_path / "store", {})
        made: list[int] = []
        plain = Imagery.iter_images

        def counted(self: Imagery, *given: Any, **options: Any) -> Any:
            made.append(len(options["rows"]))
            return plain(self, *given, **options)

        class StopLate(Progress):
            def cancelled(self) -> bool:
                return len(made) == 3

        monkeypatch.setattr(Imagery, "iter_images", counted)
        with pytest.raises(Cancelled):
            stored_images(imagery, frames, 16, store, progress=StopLate())
        assert made == [5, 5, 5]
        made.clear()
        first = stored_images(imagery, frames, 16, store)
        assert made == [5, 1]
        made.clear()
        second = stored_images(imagery, frames, 16, store)
        assert made == []
        np.testing.assert_array_equal(first.take(np.arange(36))[0], second.take(np.arange(36))[0])
        assert first.statistics() == second.statistics()
        assert first.notes == second.notes
        stored_images(imagery, frames, 16, store, context=False)
        assert made == [5, 5, 5, 1]

    def test_outside_of_the_polygon_is_no_data_without_context(self, imagery: Imagery, tmp_path: Path) -> None:
        corner = (WEST + 32, NORTH - 32)
        triangle = shapely.Polygon([corner, (corner[0] + 32, corner[1]), (corner[0], corner[1] - 32)])
        frames = imagery.region_footprints(regions_of(triangle), 16, 2.0)
        store = SampleStore(tmp_path / "store", {})
        with_context = stored_images(imagery, frames, 16, store)
        alone = stored_images(imagery, frames, 16, store, context=False)
        rgb, valid = alone.take(np.array([0]))
        np.testing.assert_array_equal(
            valid[0], with_context.take(np.array([0]))[1][0] & polygon_mask(triangle, frames.bounds[0], 16)
        )
        assert 0.4 < alone.valid_share[0] < 0.6
        assert not rgb[:, :, ~valid[0]].any()

    def test_the_stretch_is_found_once_and_kept(self, write: Write, tmp_path: Path) -> None:
        path = write(np.random.default_rng(0).integers(0, 4000, (3, 64, 64)).astype(np.uint16))
        store = SampleStore(tmp_path / "store", {})
        found = []
        for _ in range(2):
            with Imagery(path) as imagery:
                frames = imagery.region_footprints(regions_of(cell(0, 0), cell(1, 1)), 16, 2.0)
                images = stored_images(imagery, frames, 16, store)
                found.append((imagery.to_json(), images.notes, images.take(np.array([0, 1]))[0].tobytes()))
        assert found[0] == found[1]

    def test_imagery_of_another_place(self, imagery: Imagery, tmp_path: Path) -> None:
        frames = imagery.region_footprints(regions_of(cell(50, 50)), 16, 2.0)
        with pytest.raises(NoOverlapError, match="None of 1 regions lies on the imagery"):
            stored_images(imagery, frames, 16, SampleStore(tmp_path / "store", {}))

    def test_normalised_pictures(self) -> None:
        rgb = colours(4, 4, count=6).reshape(2, 3, 4, 4)
        valid = np.random.default_rng(1).random((2, 4, 4)) < 0.7
        statistics = ImageStatistics((0.4, 0.5, 0.6), (0.2, 0.1, 0.3))
        found = normalised(rgb, valid, statistics)
        expected = (rgb / 255 - np.array([0.4, 0.5, 0.6])[:, None, None]) / np.array([0.2, 0.1, 0.3])[:, None, None]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.where(valid[:, None], expected, 0), atol=1e-5)

    def test_patches_that_show_data(self) -> None:
        valid = np.zeros((3, 4, 4), bool)
        valid[0, :2, :2] = True
        valid[0, 0, 2:] = True
        valid[1, 3, 3] = True
        found = patch_validity(valid, 2)
        # Half a patch is enough; a lone pixel counts where there is nothing better; nothing stays nothing.
        assert found.tolist() == [[True, True, False, False], [False, False, False, True], [False] * 4]

    def test_no_valid_pixel_leaves_pictures_as_they_are(self) -> None:
        assert combined_statistics([]) == ImageStatistics((0.0,) * 3, (1.0,) * 3)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from urbanfm_core.errors import Cancelled, ShapeError
from urbanfm_core.geo.crops import Crop, iter_crops
from urbanfm_core.geo.raster import RasterReader
from urbanfm_core.progress import Progress

Write = Callable[..., Path]
FILL = 7


def expected(values: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The box out of a copy of the raster with a wide margin."""
    margin = 100
    padded = np.pad(values, ((0, 0), (margin, margin), (margin, margin)), constant_values=FILL)
    top, left, height, width = box
    return padded[:, top + margin : top + margin + height, left + margin : left + margin + width]


def cut(reader: RasterReader, boxes: np.ndarray, memory: int = 1 << 20) -> dict[int, Crop]:
    found = list(iter_crops(reader, boxes, fill=FILL, memory_bytes=memory))
    assert sorted(crop.index for crop in found) == list(range(len(boxes)))
    return {crop.index: crop for crop in found}


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(5).integers(10, 250, (3, 70, 90)).astype(np.uint8)


@pytest.mark.parametrize(
    "layout", [{}, {"block": 16}, {"block": 32, "interleave": "pixel"}, {"south_up": True, "block": 16}]
)
@pytest.mark.parametrize("memory", [1, 20_000, 1 << 20])
def test_crops_are_the_raster_s_bytes(write_raster: Write, values: np.ndarray, layout: dict, memory: int) -> None:
    rng = np.random.default_rng(1)
    boxes = np.column_stack([rng.integers(-20, 80, 60), rng.integers(-20, 100, 60), rng.integers(1, 40, (60, 2))])
    with RasterReader(write_raster(values, **layout)) as reader:
        for index, crop in cut(reader, boxes, memory).items():
            np.testing.assert_array_equal(crop.pixels, expected(values, boxes[index]))
            on = expected(np.ones((1, 70, 90), np.uint8), boxes[index])[0] == 1
            np.testing.assert_array_equal(on, np.ones_like(on) if crop.valid is None else crop.valid)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(*[st.integers(-15, 40)] * 2, *[st.integers(1, 30)] * 2), max_size=12),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.integers(1, 5000),
)
def test_any_boxes_over_any_blocks(boxes: list, block: tuple[int, int], memory: int) -> None:
    values = np.random.default_rng(2).integers(10, 250, (2, 25, 31)).astype(np.uint8)
    source = Recorded(values, block)
    given_boxes = np.array(boxes, np.int64).reshape(-1, 4)
    found = {crop.index: crop for crop in iter_crops(source, given_boxes, fill=FILL, memory_bytes=memory)}
    assert sorted(found) == list(range(len(boxes)))
    for index, crop in found.items():
        np.testing.assert_array_equal(crop.pixels, expected(values, given_boxes[index]))


class Recorded:
    """Pixels in memory as a raster that remembers what was read."""

    def __init__(self, values: np.ndarray, block: tuple[int, int]) -> None:
        from tests.core.geo.test_geo_properties import INFO

        self._values = values
        self.read: list[Window] = []
        size = {"count": len(values), "height": values.shape[1], "width": values.shape[2]}
        self.info = replace(INFO, dtype="uint8", block_shape=block, **size)

    def read_stored(self, window: Window) -> tuple[np.ndarray, None]:
        self.read.append(window)
        rows = slice(window.row_off, window.row_off + window.height)
        return self._values[:, rows, window.col_off : window.col_off + window.width], None


def test_each_row_of_blocks_is_read_once_and_only_where_boxes_are() -> None:
    source = Recorded(np.zeros((1, 64, 64), np.uint8), (8, 8))
    boxes = np.array([[2, 3, 10, 10], [5, 30, 10, 10], [40, 20, 4, 4]])
    list(iter_crops(source, boxes, memory_bytes=3 * 64 * 8))
    rows = [row for w in source.read for row in range(w.row_off, w.row_off + w.height)]
    assert len(rows) == len(set(rows))
    assert set(rows) == {*range(16), *range(40, 48)}
    assert min(w.col_off for w in source.read) == 3
    assert max(w.col_off + w.width for w in source.read) == 40


def test_a_wide_raster_is_taken_in_columns_whose_memory_is_bounded() -> None:
    source = Recorded(np.random.default_rng(0).integers(0, 9, (3, 32, 4096)).astype(np.uint8), (16, 16))
    boxes = np.column_stack([np.zeros(300, int), np.arange(300) * 13, np.full((300, 2), 20)])
    memory = 3 * 16 * 3 * 256
    list(iter_crops(source, boxes, memory_bytes=memory))
    assert max(w.width for w in source.read) <= 256 + 20
    assert sum(w.width for w in source.read) <= 1.1 * 2 * 4096


def test_the_file_s_mask_comes_along(write_raster: Write, values: np.ndarray) -> None:
    import rasterio

    path = write_raster(values)
    mask = np.full((70, 90), 255, np.uint8)
    mask[10:20, 10:20] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    with RasterReader(path) as reader:
        found = cut(reader, np.array([[5, 5, 10, 10], [40, 40, 5, 5]]))
    assert found[1].valid is None
    np.testing.assert_array_equal(found[0].valid, mask[5:15, 5:15] != 0)


def test_a_box_off_the_raster_is_all_fill(write_raster: Write, values: np.ndarray) -> None:
    with RasterReader(write_raster(values)) as reader:
        crop = cut(reader, np.array([[500, 500, 3, 4]]))[0]
    assert (crop.pixels == FILL).all()
    assert crop.pixels.shape == (3, 3, 4)
    assert crop.valid is not None
    assert not crop.valid.any()


@pytest.mark.parametrize(
    "boxes", [np.zeros((2, 3), int), np.zeros((2, 4)), np.array([[0, 0, 0, 4]])], ids=["shape", "floats", "empty"]
)
def test_what_is_not_a_box_is_refused(write_raster: Write, values: np.ndarray, boxes: np.ndarray) -> None:
    with RasterReader(write_raster(values)) as reader, pytest.raises(ShapeError):
        next(iter_crops(reader, boxes))


def test_cancel_stops_the_pass(write_raster: Write, values: np.ndarray) -> None:
    class Stop(Progress):
        def cancelled(self) -> bool:
            return True

    with RasterReader(write_raster(values, block=16)) as reader, pytest.raises(Cancelled):
        list(iter_crops(reader, np.array([[0, 0, 10, 10]]), progress=Stop()))

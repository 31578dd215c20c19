"""The map picture: colours where they belong, scale bar, refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from urbanfm_core.errors import CRSError, EmptyInputError, MissingDependencyError, ShapeError
from urbanfm_core.maps.plot import round_length
from urbanfm_core.maps.styles import GREY, plot_map


def squares(count: int = 4, size: float = 1000.0, x: float = 440_000, y: float = 4_470_000) -> np.ndarray:
    return np.array([shapely.box(x + i * size, y, x + (i + 1) * size, y + 2 * size) for i in range(count)])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def share(image: np.ndarray, colour: tuple[int, ...]) -> float:
    return float((np.abs(image - np.array(colour)).max(axis=2) <= 2).mean())


COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], GREY], dtype=np.uint8)


def test_each_region_has_its_colour_and_the_file_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        plot_map(tmp_path / f"{name}.png", squares(), "EPSG:25830", COLOURS, "A title", width_px=800)
    image = pixels(tmp_path / "a.png")
    assert image.shape[1] == 800
    shares = [share(image, tuple(colour)) for colour in COLOURS.tolist()]
    assert min(shares) > 0.08
    assert max(shares) < 1.2 * min(shares)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert share(image[:60], (255, 255, 255)) < 0.99  # the title is there
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_numbers_get_a_colour_bar_and_gaps_are_grey(tmp_path: Path) -> None:
    plot_map(tmp_path / "a.png", squares(), "EPSG:25830", np.array([0.0, 1.0, 2.0, np.nan]), "Scores", label="score")
    image = pixels(tmp_path / "a.png")
    assert share(image, (68, 1, 84)) > 0.05
    assert share(image, GREY) > 0.05


def test_a_hole_stays_open(tmp_path: Path) -> None:
    outer = shapely.box(0, 0, 10_000, 10_000)
    ring = np.array([outer.difference(shapely.box(2000, 2000, 8000, 8000))])
    plot_map(tmp_path / "a.png", ring, "EPSG:32630", COLOURS[:1], "Ring", width_px=600)
    image = pixels(tmp_path / "a.png")
    rows, columns = np.nonzero(np.abs(image - COLOURS[0]).max(axis=2) <= 2)
    middle = image[(rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2]
    assert middle.tolist() == [255, 255, 255]


def test_geographic_maps_are_not_squashed(tmp_path: Path) -> None:
    # One degree of longitude at 60 N is half as long as one of latitude.
    box = np.array([shapely.box(10, 59.5, 12, 60.5)])
    plot_map(tmp_path / "a.png", box, "EPSG:4326", COLOURS[:1], "Square", width_px=600)
    rows, columns = np.nonzero(np.abs(pixels(tmp_path / "a.png") - COLOURS[0]).max(axis=2) <= 2)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(1.0, abs=0.03)


def test_the_scale_bar_has_its_length(tmp_path: Path) -> None:
    plot_map(tmp_path / "a.png", squares(), "EPSG:25830", COLOURS, "Four kilometres")
    image = pixels(tmp_path / "a.png")
    dark = (image < 60).all(axis=2)
    longest = max(len(run) for row in dark[-100:] for run in "".join("x" if value else " " for value in row).split())
    _, columns = np.nonzero(np.abs(image[:-150] - COLOURS[0]).max(axis=2) <= 2)
    # The bar for a map four squares wide is half a kilometre; the first square is one.
    assert longest / np.ptp(columns) == pytest.approx(0.5, rel=0.03)


def test_many_regions(tmp_path: Path) -> None:
    grid = np.array([shapely.box(i, j, i + 1, j + 1) for i in range(50) for j in range(50)])
    plot_map(tmp_path / "a.png", grid, "EPSG:32630", np.tile(COLOURS[:1], (2500, 1)), "Grid", width_px=400)
    assert share(pixels(tmp_path / "a.png"), tuple(COLOURS[0].tolist())) > 0.4


@pytest.mark.parametrize(
    ("metres", "length"), [(999, 500), (1000, 1000), (1999, 1000), (2000, 2000), (7400, 5000), (0.03, 0.02)]
)
def test_round_lengths(metres: float, length: float) -> None:
    assert round_length(metres) == pytest.approx(length)


def test_refusals_leave_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(ShapeError, match="4 regions"):
        plot_map(path, squares(), "EPSG:25830", COLOURS[:3], "t")
    with pytest.raises(ShapeError):
        plot_map(path, squares(), "EPSG:25830", COLOURS[:, :2], "t")
    with pytest.raises(CRSError):
        plot_map(path, squares(), None, COLOURS, "t")
    with pytest.raises(EmptyInputError):
        plot_map(path, squares(0), "EPSG:25830", COLOURS[:0], "t")
    assert not list(tmp_path.iterdir())


def test_missing_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"urbanfm\[plots\]"):
        plot_map(tmp_path / "a.png", squares(), "EPSG:25830", COLOURS, "t")

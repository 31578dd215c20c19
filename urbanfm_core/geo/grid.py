"""Square and hexagon grids over an area, in metres.

Rows count from the north and columns from the west of the layout's frame. The frame is anchored to whole multiples of
the cell size, so that grids of the same size over neighbouring areas fit together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from urbanfm_core.errors import ConfigError, EmptyInputError

GridShape = Literal["square", "hexagon"]
MAX_CELLS = 20_000_000
# Cells are first tested in blocks of this many by this many; most of a large area's frame is ruled out there.
_BLOCK = 32
_TESTED_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class GridLayout:
    """Where the cells of a grid lie; it holds no geometry.

    Attributes:
        kind: 'square', or 'hexagon' with a corner to the north and every second row (1, 3, ...) moved half a cell east.
        origin: (x of the west edge, y of the north edge), in metres.
        size_m: Side of a square; distance between the parallel sides of a hexagon, which is also that between the
            centres of neighbours.
        shape: (rows, columns).
    """

    kind: GridShape
    origin: tuple[float, float]
    size_m: float
    shape: tuple[int, int]

    @classmethod
    def over(cls, bounds: tuple[float, float, float, float], size_m: float, kind: GridShape) -> GridLayout:
        """The layout that covers bounds (xmin, ymin, xmax, ymax), in metres.

        Raises:
            ConfigError: the size is not a positive number, or far too small for the area.
        """
        if not (math.isfinite(size_m) and size_m > 0):
            raise ConfigError(f"The grid's cell size is {size_m} m.", "Give a number above 0.")
        if kind not in ("square", "hexagon"):
            raise ConfigError(f"There is no grid of shape {kind!r}.", "Choose 'square' or 'hexagon'.")
        xmin, ymin, xmax, ymax = bounds
        # Two hexagon rows are the shortest north-south step after which the pattern repeats.
        step = size_m if kind == "square" else size_m * math.sqrt(3.0)
        west = math.floor(xmin / size_m) * size_m
        north = math.ceil(ymax / step) * step
        if kind == "square":
            rows, columns = math.ceil((north - ymin) / step), math.ceil((xmax - west) / size_m)
        else:
            # Rows and columns of hexagons interlock: the slanted gaps at the frame are filled by one more of each,
            # to the north and west by moving the origin one period outward.
            west, north = west - size_m, north + step
            rows, columns = math.ceil((north - ymin) / (step / 2)) + 1, math.ceil((xmax - west) / size_m) + 1
        return cls(kind, (west, north), float(size_m), (max(rows, 1), max(columns, 1)))

    @property
    def count(self) -> int:
        """How many cells the whole frame holds."""
        return self.shape[0] * self.shape[1]

    def polygons(self, cells: NDArray[np.int64]) -> NDArray[np.object_]:
        """Cells as polygons; neighbours share their corners to the last bit.

        Args:
            cells: (R,) cell numbers, row * columns + column.
        """
        row, column = np.divmod(np.asarray(cells, dtype=np.int64), self.shape[1])
        if self.kind == "square":
            across, down = np.array([0, 1, 1, 0, 0]), np.array([1, 1, 0, 0, 1])
            x_step = y_step = self.size_m
            x, y = column[:, None] + across, row[:, None] + down
        else:
            # Corners lie on a lattice of half a cell by half a side.
            across, down = np.array([0, 1, 2, 2, 1, 0, 0]), np.array([3, 4, 3, 1, 0, 1, 3])
            x_step, y_step = self.size_m / 2.0, self.size_m / math.sqrt(12.0)
            x, y = (2 * column + row % 2)[:, None] + across, 3 * row[:, None] + down
        corners = np.stack([self.origin[0] + x * x_step, self.origin[1] - y * y_step], axis=-1)
        polygons: NDArray[np.object_] = shapely.polygons(corners)
        return polygons

    def ids(self, cells: NDArray[np.int64]) -> NDArray[np.object_]:
        """Names of cells, 'r12c7' for row 12, column 7."""
        row, column = np.divmod(np.asarray(cells, dtype=np.int64), self.shape[1])
        pairs = zip(row.tolist(), column.tolist(), strict=True)
        return np.array([f"r{r}c{c}" for r, c in pairs], dtype=object)


@dataclass(frozen=True)
class Grid:
    """The cells of a layout that share ground with an area.

    Attributes:
        layout: Where all cells lie.
        cells: (R,) cell numbers in `layout`, ascending: row by row from the north.
        polygons: (R,) the cells.
        ids: (R,) their names.
    """

    layout: GridLayout
    cells: NDArray[np.int64]
    polygons: NDArray[np.object_]
    ids: NDArray[np.object_]


def square_grid(area: BaseGeometry, size_m: float) -> Grid:
    """Squares of `size_m` side that share ground with an area; see `make_grid`."""
    return make_grid(area, size_m, "square")


def hexagon_grid(area: BaseGeometry, size_m: float) -> Grid:
    """Regular hexagons, `size_m` between parallel sides, that share ground with an area; see `make_grid`."""
    return make_grid(area, size_m, "hexagon")


def make_grid(area: BaseGeometry, size_m: float, kind: GridShape) -> Grid:
    """Cells that share ground with an area. A cell that only touches its border is left out; no cell is cut.

    Args:
        area: Valid polygon or multi-polygon in a CRS in metres.
        size_m: See `GridLayout`.
        kind: 'square' or 'hexagon'.

    Raises:
        EmptyInputError: the area has no extent.
        ConfigError: the size is not a positive number, or far too small for the area.
    """
    if area.is_empty or area.area <= 0:
        raise EmptyInputError("The area to cover with a grid is empty.", "Give polygons, or an extent with a surface.")
    xmin, ymin, xmax, ymax = area.bounds
    layout = GridLayout.over((xmin, ymin, xmax, ymax), size_m, kind)
    cell_area = size_m**2 * (1.0 if kind == "square" else math.sqrt(0.75))
    wanted = max(area.area / cell_area, layout.count / _BLOCK**2)
    if wanted > MAX_CELLS:
        raise ConfigError(
            f"A grid of {size_m:g} m over {area.area / 1e6:,.0f} km2 has {wanted:,.0f} cells or more; "
            f"at most {MAX_CELLS:,} are made.",
            "Choose a larger cell size.",
        )
    cells = _cells_on(area, layout)
    return Grid(layout, cells, layout.polygons(cells), layout.ids(cells))


def _cells_on(area: BaseGeometry, layout: GridLayout) -> NDArray[np.int64]:
    shapely.prepare(area)
    kept = [_sharing_ground(area, layout, block) for block in _candidate_blocks(area, layout)]
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, dtype=np.int64)


def _sharing_ground(area: BaseGeometry, layout: GridLayout, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    polygons = layout.polygons(cells)
    meets = shapely.intersects(area, polygons)
    cells, polygons = cells[meets], polygons[meets]
    shared: NDArray[np.int64] = cells[~shapely.touches(area, polygons)]
    return shared


def _candidate_blocks(area: BaseGeometry, layout: GridLayout) -> list[NDArray[np.int64]]:
    """Cell numbers of the blocks of cells that meet the area, in portions that fit in memory."""
    rows, columns = layout.shape
    row_step = layout.size_m if layout.kind == "square" else layout.size_m * math.sqrt(0.75)
    first_row, first_column = (
        index.ravel() for index in np.meshgrid(np.arange(0, rows, _BLOCK), np.arange(0, columns, _BLOCK), indexing="ij")
    )
    west = layout.origin[0] + first_column * layout.size_m
    north = layout.origin[1] - first_row * row_step
    # One cell more on the far sides: hexagons reach into the next row and odd rows are moved east.
    reach = _BLOCK + 1
    boxes = shapely.box(west, north - reach * row_step, west + reach * layout.size_m, north)
    meets = np.flatnonzero(shapely.intersects(area, boxes))
    inside = np.arange(_BLOCK)
    portions = []
    per_portion = max(1, _TESTED_AT_ONCE // _BLOCK**2)
    for start in range(0, len(meets), per_portion):
        some = meets[start : start + per_portion]
        row = first_row[some][:, None, None] + inside[None, :, None]
        column = first_column[some][:, None, None] + inside[None, None, :]
        cells = row * columns + column
        portions.append(cells[(row < rows) & (column < columns)].astype(np.int64))
    return portions

"""Street lattice of the sample city: where blocks, streets and regions lie.

Street blocks are the quads of a warped lattice with a mean spacing of 100 m. Four blocks make a region; in some pairs of
neighbouring regions one block changes hands, so regions have three to five blocks and never a gap or an overlap. All
coordinates here are local metres, x to the east and y to the north of the city's south-west corner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.samplecity.fields import Floats, SmoothFields, hash_unit

CRS = "EPSG:32625"
"""UTM zone 25 north. The city lies in the open Atlantic, where nothing real can be mistaken for it."""
ORIGIN_M = (480_000.0, 4_540_000.0)
"""Easting and northing of the local origin."""

BLOCK_M = 100.0
REGION_BLOCKS = 2
MAX_SHIFT_M = 82.0
_WARP_M, _LINE_SHIFT_M, _JITTER_M = 60.0, 14.0, 8.0
_CEDE_RATE = 0.4
_REMEMBERED = 20_000


@dataclass(frozen=True)
class StreetClass:
    """What one class of street looks like: lanes, carriageway and total width (with footways) in metres."""

    name: str
    lanes: int
    carriageway_m: float
    width_m: float


CLASSES = {
    "arterial": StreetClass("arterial", 4, 16.0, 24.0),
    "collector": StreetClass("collector", 2, 9.0, 15.0),
    "local": StreetClass("local", 2, 6.0, 10.5),
    "footway": StreetClass("footway", 0, 3.0, 6.0),
    "river": StreetClass("river", 0, 44.0, 56.0),
    "rail": StreetClass("rail", 0, 10.0, 18.0),
}


@dataclass(frozen=True)
class Street:
    """One street segment between two lattice nodes."""

    kind: str
    name: str
    ends: Floats
    bridge: bool


@dataclass(frozen=True)
class Layout:
    """Streets and regions of a city with this seed and number of regions."""

    seed: int
    regions: int
    _warp: SmoothFields = field(init=False, repr=False, compare=False)
    street: Callable[[int, int, bool], Street] = field(init=False, repr=False, compare=False)
    """The segment from node (i, j) to the north (if the third argument holds) or to the east."""
    quad: Callable[[int, int], Floats] = field(init=False, repr=False, compare=False)
    """Corners of a street block: (4, 2), counter-clockwise from the south-west."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_warp", SmoothFields(self.seed, ("warp/x", "warp/y"), 520.0))
        object.__setattr__(self, "street", lru_cache(maxsize=_REMEMBERED)(self._street))
        object.__setattr__(self, "quad", lru_cache(maxsize=_REMEMBERED)(self._quad))

    @cached_property
    def columns(self) -> int:
        """Regions in a full row: nearly a square, with as few places missing in the last row as can be."""
        root = np.sqrt(self.regions)
        choices = range(int(np.ceil(0.9 * root)), int(1.45 * root) + 1)
        return min(choices, key=lambda wide: (-self.regions % wide, abs(wide - root)))

    @cached_property
    def rows(self) -> int:
        """Rows of regions, from south to north; the last may be short."""
        return -(-self.regions // self.columns)

    def has_region(self, row: NDArray[np.int64] | int, column: NDArray[np.int64] | int) -> NDArray[np.bool_]:
        """Whether a place on the region lattice holds a region."""
        row, column = np.asarray(row), np.asarray(column)
        inside = (row >= 0) & (column >= 0) & (column < self.columns)
        return inside & (row * self.columns + column < self.regions)

    def region_id(self, row: int, column: int) -> str:
        """Identifier of a region, a string such as 'SC-003-012'."""
        return f"SC-{row:03d}-{column:03d}"

    def region_of_block(self, i: int, j: int) -> tuple[int, int] | None:
        """Row and column of the region that owns a street block; None outside the city."""
        row, column = j // REGION_BLOCKS, i // REGION_BLOCKS
        if not self.has_region(row, column):
            return None
        giver, ceded = self._ceded(row, column // 2)
        if ceded == (i, j):
            other = column // 2 * 2 + 1 - (giver - column // 2 * 2)
            if self.has_region(row, other):
                return row, other
        return row, column

    def blocks_of_region(self, row: int, column: int) -> list[tuple[int, int]]:
        """Street blocks (i, j) of a region, in lattice order."""
        near = range(REGION_BLOCKS * (column - 1), REGION_BLOCKS * (column + 2))
        rows = range(REGION_BLOCKS * row, REGION_BLOCKS * (row + 1))
        return [(i, j) for j in rows for i in near if self.region_of_block(i, j) == (row, column)]

    def _ceded(self, row: int, pair: int) -> tuple[int, tuple[int, int] | None]:
        draw = float(hash_unit(self.seed, "cede", row, pair))
        if draw >= _CEDE_RATE:
            return -1, None
        left_gives, upper = int(draw / _CEDE_RATE * 4) % 2 == 0, int(draw / _CEDE_RATE * 4) // 2
        seam = 4 * pair + REGION_BLOCKS
        giver = 2 * pair if left_gives else 2 * pair + 1
        return giver, (seam - 1 if left_gives else seam, REGION_BLOCKS * row + upper)

    def nodes(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
        """Lattice nodes in local metres: integer arrays (N,), (N,) -> (N, 2)."""
        i, j = np.asarray(i, dtype=np.int64), np.asarray(j, dtype=np.int64)
        plain = np.stack([i, j], axis=-1) * BLOCK_M
        lines = np.stack([hash_unit(self.seed, "line/x", i), hash_unit(self.seed, "line/y", j)], axis=-1)
        jitter = np.stack([hash_unit(self.seed, "node/x", i, j), hash_unit(self.seed, "node/y", i, j)], axis=-1)
        warp = _WARP_M * np.tanh(self._warp.at(np.asarray(plain, dtype=np.float64)) * 26.0 / _WARP_M)
        return plain + warp + (2 * lines - 1) * _LINE_SHIFT_M + (2 * jitter - 1) * _JITTER_M

    def _quad(self, i: int, j: int) -> Floats:
        return self.nodes(np.array([i, i + 1, i + 1, i]), np.array([j, j, j + 1, j + 1]))

    def street_kind(self, i: int, j: int, vertical: bool) -> str:
        """Class of the segment from node (i, j) to the north (vertical) or to the east."""
        line = i if vertical else j
        if not vertical and line % 44 == 6:
            return "river"
        if vertical and line % 44 == 14:
            return "rail"
        if line % 8 == 0:
            return "arterial"
        if line % 2 == 0:
            return "collector"
        return "footway" if hash_unit(self.seed, f"footway/{vertical}", i, j) < 0.1 else "local"

    def _street(self, i: int, j: int, vertical: bool) -> Street:
        ahead = (i, j + 1) if vertical else (i + 1, j)
        ends = self.nodes(np.array([i, ahead[0]]), np.array([j, ahead[1]]))
        line, kind = (i if vertical else j), self.street_kind(i, j, vertical)
        near_river = vertical and j % 44 in (5, 6)
        bridge = near_river and kind in ("arterial", "collector")
        if near_river and not bridge and kind != "rail":  # small streets stop at the bank
            bank = 0 if j % 44 == 6 else 1
            ends[bank] += 0.36 * (ends[1 - bank] - ends[bank])
        return Street(kind, street_name(self.seed, line, vertical, kind), ends, bridge)

    def plot(self, i: int, j: int) -> Floats:
        """Corners of the land between the streets of a block: the quad moved in by half of each street's width."""
        kinds = (
            self.street_kind(i, j, False),
            self.street_kind(i + 1, j, True),
            self.street_kind(i, j + 1, False),
            self.street_kind(i, j, True),
        )
        return inset(self.quad(i, j), np.array([CLASSES[kind].width_m / 2 for kind in kinds]))

    def bounds(self, step_m: int) -> tuple[float, float, float, float]:
        """West, south, east, north of all regions with a margin of at least 40 m; sides are multiples of `step_m`."""
        wide, tall = self.columns * REGION_BLOCKS, self.rows * REGION_BLOCKS
        i, j = np.meshgrid(np.arange(wide + 1), np.array([0, tall - REGION_BLOCKS, tall]))
        across = self.nodes(i.ravel(), j.ravel())
        i, j = np.meshgrid(np.array([0, wide]), np.arange(tall + 1))
        along = self.nodes(i.ravel(), j.ravel())
        low = np.floor((np.minimum(across.min(axis=0), along.min(axis=0)) - 40) / 10) * 10
        high = np.maximum(across.max(axis=0), along.max(axis=0)) + 40
        high = low + np.ceil((high - low) / step_m) * step_m
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def blocks_in(
        self, west: float, south: float, east: float, north: float, reach_m: float = 30.0
    ) -> list[tuple[int, int]]:
        """Every street block, of the city or around it, that may come within some metres of a rectangle."""
        reach = MAX_SHIFT_M + reach_m
        columns = range(int((west - reach) // BLOCK_M), int((east + reach) // BLOCK_M) + 1)
        rows = range(int((south - reach) // BLOCK_M), int((north + reach) // BLOCK_M) + 1)
        return [(i, j) for j in rows for i in columns]


def inset(quad: Floats, distance: Floats) -> Floats:
    """Move the four sides of a convex, counter-clockwise quad inwards.

    Args:
        quad: Corners, (4, 2).
        distance: Metres for the sides starting at each corner, (4,).
    Returns:
        Corners of the smaller quad, (4, 2).
    """
    along = np.roll(quad, -1, axis=0) - quad
    along /= np.hypot(along[:, 0], along[:, 1])[:, None]
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    offset = (normal * quad).sum(axis=1) + distance
    before = np.roll(np.arange(4), 1)
    det = normal[before, 0] * normal[:, 1] - normal[before, 1] * normal[:, 0]
    x = (offset[before] * normal[:, 1] - offset * normal[before, 1]) / det
    y = (normal[before, 0] * offset - normal[:, 0] * offset[before]) / det
    return np.stack([x, y], axis=1)


_STEMS = (
    "Larch Alder Rowan Juniper Hazel Willow Sorrel Bramble Thistle Heron Plover Lapwing Osprey Kestrel Curlew Tern Harbour "
    "Anchor Lantern Beacon Tollgate Market Mill Foundry Tanner Weaver Chandler Cooper Orchard Vineyard Quarry Granary "
    "Northgate Southfield Eastbrook Westcott Kingsmere Abbot Prior Chapel Minster Cloister Ferrow Aldane Bellrose Corvin "
    "Darrow Elmsworth Fennick Gallow Hartsel Ivander Jessamy Kelver Lomond Maravel Norvane Ottery Penhale Quillon Rivenna"
).split()
_ENDINGS = {
    "arterial": ("Avenue", "Boulevard", "Parkway"),
    "collector": ("Road", "Street", "Drive"),
    "local": ("Street", "Lane", "Close", "Row"),
    "footway": ("Walk", "Passage", "Steps"),
    "river": ("River",),
    "rail": ("Line",),
}


def street_name(seed: int, line: int, vertical: bool, kind: str) -> str:
    """Invented name of the street on one lattice line."""
    stem = _STEMS[int(hash_unit(seed, f"street/{vertical}", line) * len(_STEMS))]
    endings = _ENDINGS[kind]
    return f"{stem} {endings[int(hash_unit(seed, f'ending/{vertical}', line) * len(endings))]}"

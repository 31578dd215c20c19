"""What stands on one street block: use, ground, buildings, trees and cars.

A block is made from the seed and its lattice position alone. Physical form comes from density, greenery and height; the use
is drawn from the mixture of human functions; socio-economic level shows only in small things (plot width, pools,
tidiness of roofs), so that it cannot simply be read off the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from urbanfm_core.data.samplecity import plots
from urbanfm_core.data.samplecity.fields import FUNCTIONS, Floats, Latents, LatentValues, generator, share
from urbanfm_core.data.samplecity.plots import Frame
from urbanfm_core.data.samplecity.streets import Layout

LEVEL_M = 3.2
_TREELESS = frozenset({"pitch", "track", "court", "parking", "pool", "drive", "lane", "helipad"})


@dataclass
class Building:
    """One building: ring (k, 2) in local metres, what it is used for, and how it looks from above."""

    ring: Floats
    use: str
    height_m: float
    levels: int
    roof: str
    colour: tuple[int, int, int]


@dataclass
class Ground:
    """A piece of ground: 'grass', 'parking', 'pitch', 'water', … with its ring (k, 2) in local metres."""

    kind: str
    ring: Floats


@dataclass
class Block:
    """A street block and everything on it."""

    i: int
    j: int
    function: str
    values: LatentValues
    plot: Floats
    ground: list[Ground] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    trees: list[tuple[float, float, float]] = field(default_factory=list)
    cars: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def area_m2(self) -> float:
        """Area of the land between the streets."""
        x, y = self.plot.T
        return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


class Blocks:
    """Makes street blocks on demand and remembers a bounded number of them.

    Args:
        layout: Streets and regions.
        latents: Latent fields of the same seed.
        remembered: How many blocks to keep, which bounds the memory.
    """

    def __init__(self, layout: Layout, latents: Latents, remembered: int = 3000) -> None:
        self.layout, self.latents = layout, latents
        self.get = lru_cache(maxsize=remembered)(self._make)

    def _make(self, i: int, j: int) -> Block:
        plot = self.layout.plot(i, j)
        values = self.latents.at(plot.mean(axis=0, keepdims=True)).row(0)
        rng = generator(self.layout.seed, "block", i, j)
        if self.layout.region_of_block(i, j) is None:
            block = Block(i, j, "rural", values, plot)
        else:
            weights = values.function**1.4
            block = Block(i, j, FUNCTIONS[rng.choice(len(FUNCTIONS), p=weights / weights.sum())], values, plot)
        _Builder(block, rng).build()
        return block


class _Builder:
    """Lays out one block. `u` runs along the southern street and `v` away from it, both in [0, 1]."""

    def __init__(self, block: Block, rng: np.random.Generator) -> None:
        self.block, self.rng = block, rng
        self.frame = Frame(np.roll(block.plot, int(rng.integers(4)), axis=0))
        self.dense = float(share(block.values.density))
        self.green = float(share(block.values.greenery))
        self.tall = float(share(block.values.height))
        self.rich = float(share(block.values.ses))
        self.taken: list[tuple[float, float, float, float]] = []

    def build(self) -> None:
        getattr(self, f"_{self.block.function}")()

    def add_ground(self, kind: str, u0: float, v0: float, u1: float, v1: float) -> None:
        self.block.ground.append(Ground(kind, self.frame.rect(u0, v0, u1, v1)))
        if kind in _TREELESS:
            self.taken.append((u0, v0, u1, v1))

    def add(self, box: tuple[float, float, float, float], use: str, levels: float, roof: str, palette: str) -> None:
        self.taken.append(box)
        colours = plots.ROOFS[palette]
        colour = np.array(colours[self.rng.integers(len(colours))]) + self.rng.integers(-9, 10)
        count = max(1, round(levels))
        height = round(count * LEVEL_M + (1.5 if roof == "gable" else 0.5) + self.rng.uniform(0, 0.6), 1)
        red, green, blue = (int(value) for value in np.clip(colour, 0, 255))
        self.block.buildings.append(Building(self.frame.rect(*box), use, height, count, roof, (red, green, blue)))

    def scatter_trees(self, count: float, low: float = 0.03, high: float = 0.97, size: float = 2.6) -> None:
        for _ in range(self.rng.poisson(max(count, 0.0))):
            u, v = self.rng.uniform(low, high, 2)
            if any(u0 < u < u1 and v0 < v < v1 for u0, v0, u1, v1 in self.taken):
                continue
            x, y = self.frame.point(u, v)
            self.block.trees.append((x, y, float(size * self.rng.uniform(0.65, 1.45))))

    def line_trees(self, u0: float, v0: float, u1: float, v1: float, spacing_m: float, rate: float) -> None:
        start, end = np.array(self.frame.point(u0, v0)), np.array(self.frame.point(u1, v1))
        for step in np.linspace(0.04, 0.96, max(2, int(np.hypot(*(end - start)) / spacing_m))):
            if self.rng.random() < rate:
                x, y = start + (end - start) * step + self.rng.normal(0, 0.4, 2)
                self.block.trees.append((float(x), float(y), float(self.rng.uniform(1.7, 2.9))))

    def street_trees(self) -> None:
        rate = 0.15 + 0.75 * self.green
        for side in ((0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 1.0, 1.0), (0.0, 0.0, 0.0, 1.0), (1.0, 0.0, 1.0, 1.0)):
            self.line_trees(*side, 9.0, rate * 0.7)

    def parking(self, u0: float, v0: float, u1: float, v1: float, fill: float) -> None:
        """A car park with stalls in double rows."""
        self.add_ground("parking", u0, v0, u1, v1)
        wide, deep = self.frame.width * (u1 - u0), self.frame.depth * (v1 - v0)
        for v in np.arange(4.0, deep - 2.0, 8.0) / max(deep, 1.0):
            for u in np.arange(2.5, wide - 2.0, 2.9) / max(wide, 1.0):
                if self.rng.random() < fill:
                    x, y = self.frame.point(u0 + u * (u1 - u0), v0 + float(v) * (v1 - v0))
                    self.block.cars.append((x, y, self.frame.angle + np.pi / 2))

    def perimeter(
        self, use: str, depth_m: float, front_m: float, levels: float, roof: str, palette: str, gap: float
    ) -> None:
        """Rows of buildings along all four streets, with a court inside."""
        deep_v, deep_u = min(0.36, depth_m / self.frame.depth), min(0.3, depth_m / self.frame.width)
        for v0, v1 in ((0.02, 0.02 + deep_v), (0.98 - deep_v, 0.98)):
            for u0, u1 in plots.split(self.rng, 0.02, 0.98, front_m / self.frame.width):
                if self.rng.random() >= gap:
                    self.add((u0, v0, u1, v1), use, levels * self.rng.uniform(0.75, 1.3), roof, palette)
        for u0, u1 in ((0.02, 0.02 + deep_u), (0.98 - deep_u, 0.98)):
            for v0, v1 in plots.split(self.rng, 0.04 + deep_v, 0.96 - deep_v, front_m / self.frame.depth):
                if self.rng.random() >= gap + 0.1:
                    self.add((u0, v0, u1, v1), use, levels * self.rng.uniform(0.75, 1.3), roof, palette)

    def _residential(self) -> None:
        self.add_ground("grass" if self.green > 0.3 else "yard", 0, 0, 1, 1)
        if self.dense < 0.5:
            self._houses()
        elif self.dense < 0.72:
            self._terraces()
        elif self.tall < 0.55:
            levels = 3.5 + 3 * self.tall
            self.perimeter("apartments", 12.0, 19.0, levels, "gable", "tile", 0.04)
            self.scatter_trees(10 * self.green, 0.3, 0.7)
        else:
            self._slabs()
        self.street_trees()

    def _houses(self) -> None:
        lot_m = 14.0 + 9.0 * self.rich + 6.0 * (0.5 - self.dense)
        depth = self.frame.depth
        rows = [(0.0, 1), (1.0, -1)] if depth > 42 else [(0.0, 1)]
        if depth > 68 and self.rng.random() < 0.35 + 0.6 * self.dense:
            half_lane = 2.6 / depth
            self.add_ground("lane", 0.0, 0.5 - half_lane, 1.0, 0.5 + half_lane)
            rows += [(0.5 - half_lane, -1), (0.5 + half_lane, 1)]
        for front, sign in rows:
            count = max(2, round(self.frame.width / lot_m))
            for lot in range(count):
                self._house(lot / count, (lot + 1) / count, front, sign)
        self.scatter_trees(34 * self.green, 0.03, 0.97, 2.4)

    def _house(self, u0: float, u1: float, front: float, sign: int) -> None:
        """A detached house on the lot u0..u1, its front at v = `front`, its garden in the direction of `sign`."""
        lot, depth = (u1 - u0) * self.frame.width, self.frame.depth
        wide, deep = min(lot * self.rng.uniform(0.5, 0.68), 17.0), self.rng.uniform(8.5, 12.5)
        setback = self.rng.uniform(3.5, 7.0) if front in (0.0, 1.0) else 3.0
        start = u0 + self.rng.uniform(0.1, 0.3) * (u1 - u0)
        end = start + wide / self.frame.width
        near, far = front + sign * setback / depth, front + sign * (setback + deep) / depth
        levels = 1 + (self.rng.random() < 0.35 + 0.3 * self.tall)
        palette = "tile" if self.rng.random() < 0.75 else "slate"
        self.add((start, min(near, far), end, max(near, far)), "house", levels, "gable", palette)
        drive = (end + 0.004, min(end + 3.2 / self.frame.width, u1))
        self.add_ground("drive", drive[0], min(front, far), drive[1], max(front, far))
        if self.rng.random() < 0.55:
            x, y = self.frame.point(sum(drive) / 2, front + sign * 5 / depth)
            self.block.cars.append((x, y, self.frame.angle + np.pi / 2))
        if front in (0.0, 1.0) and self.rng.random() < 0.5 * max(0.0, self.rich - 0.45) + 0.02:
            back = far + sign * 2.0 / depth
            low, high = min(back, back + sign * 4 / depth), max(back, back + sign * 4 / depth)
            self.add_ground("pool", start, low, start + 7 / self.frame.width, high)

    def _terraces(self) -> None:
        deep = 10.0 / self.frame.depth
        for v0 in (4 / self.frame.depth, 1 - deep - 4 / self.frame.depth):
            for u0, u1 in plots.split(self.rng, 0.02, 0.98, 22.0 / self.frame.width):
                self.add((u0, v0, u1 - 0.01, v0 + deep), "terrace", 2 + 1.4 * self.tall, "gable", "tile")
        if self.frame.width > 70:
            for u0 in (0.015, 0.985 - 10 / self.frame.width):
                self.add((u0, 0.27, u0 + 10 / self.frame.width, 0.73), "terrace", 2 + self.tall, "gable", "tile")
        self.scatter_trees(16 * self.green, 0.2, 0.8, 2.0)

    def _slabs(self) -> None:
        levels = 5 + 14 * max(0.0, self.tall - 0.45)
        if self.rng.random() < 0.5:
            for v0 in (0.08, 0.42, 0.76):
                self.add((0.08, v0, 0.9, v0 + 13 / self.frame.depth), "apartments", levels, "flat", "concrete")
            self.parking(0.55, 0.25, 0.9, 0.39, 0.6)
        else:
            side = 24 / self.frame.width
            for u0, v0 in ((0.1, 0.1), (0.6, 0.12), (0.12, 0.62), (0.6, 0.6)):
                self.add(
                    (u0, v0, u0 + side, v0 + 22 / self.frame.depth), "apartments", levels * 1.3, "flat", "concrete"
                )
            self.add_ground("path", 0.0, 0.46, 1.0, 0.5)
        self.scatter_trees(30 * self.green)

    def _commercial(self) -> None:
        if self.dense < 0.42:
            self.parking(0.02, 0.02, 0.98, 0.5, 0.3 + 0.4 * self.rng.random())
            self.add_ground("yard", 0, 0.5, 1, 1)
            cut = self.rng.uniform(0.35, 0.65)
            self.add((0.05, 0.55, cut, 0.95), "retail", 2, "flat", "bright")
            self.add((cut + 0.03, 0.6, 0.95, 0.95), "retail", 2, "flat", "bright")
            self.line_trees(0.02, 0.26, 0.98, 0.26, 14.0, 0.3 + 0.6 * self.green)
        else:
            self.add_ground("paving", 0, 0, 1, 1)
            levels = 1.6 + 3.2 * self.dense * (0.4 + self.tall)
            self.perimeter("retail", 17.0, 15.0, levels, "flat", "mixed", 0.06)
            if self.rng.random() < 0.5:
                self.add((0.36, 0.4, 0.64, 0.6), "market", 1.6, "gable", "bright")
            else:
                self.parking(0.33, 0.38, 0.67, 0.62, 0.6)
        self.street_trees()

    def _office(self) -> None:
        self.add_ground("paving", 0, 0, 1, 1)
        levels = 3 + 6 * self.dense + 16 * self.tall * self.dense
        if self.dense < 0.4:
            self.add_ground("grass", 0.02, 0.02, 0.98, 0.98)
            self.add((0.1, 0.55, 0.85, 0.8), "office", 2.5 + 2 * self.tall, "flat", "glass")
            self.parking(0.08, 0.08, 0.92, 0.42, 0.75)
        else:
            for u0, v0 in ((0.08, 0.08), (0.56, 0.1), (0.08, 0.56), (0.56, 0.56)):
                if self.rng.random() < 0.82:
                    wide, deep = self.rng.uniform(0.28, 0.38, 2)
                    box = (u0, v0, u0 + wide, v0 + deep)
                    self.add(box, "office", levels * self.rng.uniform(0.5, 1.35), "flat", "glass")
                else:
                    self.add_ground("grass", u0, v0, u0 + 0.34, v0 + 0.34)
        self.scatter_trees(16 * self.green, 0.42, 0.58)
        self.street_trees()

    def _industrial(self) -> None:
        self.add_ground("gravel", 0, 0, 1, 1)
        for v0, v1 in ((0.06, 0.44), (0.56, 0.94)) if self.frame.depth > 60 else ((0.2, 0.8),):
            for u0, u1 in plots.split(self.rng, 0.04, 0.82, 0.4 if self.rng.random() < 0.5 else 0.8):
                use = "warehouse" if self.rng.random() < 0.5 else "factory"
                self.add((u0, v0, u1 - 0.03, v1), use, 2 + 1.5 * self.rng.random(), "shed", "metal")
        for row in range(int(self.rng.integers(3, 9))):
            u0, v0 = self.rng.uniform(0.84, 0.9), 0.06 + row * 0.1
            self.add_ground(f"container{self.rng.integers(4)}", u0, v0, u0 + 0.09, v0 + 2.6 / self.frame.depth)
        if self.rng.random() < 0.35:
            for step in range(3):
                self.block.ground.append(Ground("tank", self.frame.disk(0.12 + 0.14 * step, 0.5, 5.0)))
        self.scatter_trees(5 * self.green, 0.0, 1.0, 2.0)

    def _education(self) -> None:
        self.add_ground("grass", 0, 0, 1, 1)
        levels = 2 + 2 * self.tall + 1.5 * self.dense
        for box in ((0.06, 0.58, 0.6, 0.72), (0.06, 0.72, 0.18, 0.94), (0.48, 0.72, 0.6, 0.94)):
            self.add(box, "school", levels, "flat", "brick")
        self.add_ground("court", 0.2, 0.75, 0.46, 0.94)
        if self.rng.random() < 0.6:
            self.add_ground("track", 0.06, 0.06, 0.68, 0.5)
            self.add_ground("pitch", 0.14, 0.13, 0.6, 0.43)
        else:
            self.add_ground("pitch", 0.06, 0.08, 0.5, 0.48)
            self.add_ground("court", 0.54, 0.1, 0.7, 0.46)
        self.parking(0.74, 0.06, 0.96, 0.4, 0.6)
        if self.dense > 0.55:
            self.add((0.7, 0.5, 0.94, 0.94), "school", levels + 1, "flat", "brick")
        self.scatter_trees(22 * self.green + 2, 0.02, 0.98)
        self.street_trees()

    def _leisure(self) -> None:
        self.add_ground("park", 0, 0, 1, 1)
        draw = self.rng.random()
        if draw < 0.3:
            for u0, v0 in ((0.06, 0.08), (0.53, 0.08), (0.06, 0.54)):
                self.add_ground("pitch", u0, v0, u0 + 0.4, v0 + 0.36)
            self.add_ground("court", 0.56, 0.56, 0.72, 0.9)
            self.add_ground("court", 0.76, 0.56, 0.92, 0.9)
            self.add((0.4, 0.46, 0.6, 0.53), "sports", 1, "flat", "bright")
            self.scatter_trees(10 + 14 * self.green, 0.0, 0.06)
            self.scatter_trees(10 + 14 * self.green, 0.94, 1.0)
            return
        if draw < 0.4 and self.dense > 0.3:
            self.add_ground("paving", 0, 0, 1, 1)
            self.add_ground("pitch", 0.26, 0.28, 0.74, 0.72)
            for box in (
                (0.1, 0.08, 0.9, 0.24),
                (0.1, 0.76, 0.9, 0.92),
                (0.08, 0.27, 0.22, 0.73),
                (0.78, 0.27, 0.92, 0.73),
            ):
                self.add(box, "stadium", 4, "shed", "bright")
            return
        for ends in ((0.0, 0.0, 1.0, 1.0), (0.0, 1.0, 1.0, 0.0)):
            self.block.ground.append(Ground("path", self.frame.strip(*ends, 3.0)))
        self.block.ground.append(Ground("path", self.frame.disk(0.5, 0.5, 13.0)))
        self.block.ground.append(Ground("flowers", self.frame.disk(0.5, 0.5, 9.0)))
        if self.rng.random() < 0.6:
            at = self.rng.choice(np.array([0.24, 0.76]))
            ring = self.frame.blob(self.rng, at, 0.5, 0.15 * min(self.frame.width, self.frame.depth))
            self.block.ground.append(Ground("water", ring))
        if self.rng.random() < 0.4:
            self.add((0.44, 0.78, 0.58, 0.9), "pavilion", 1, "gable", "slate")
        self.scatter_trees(45 + 60 * self.green, 0.02, 0.98, 3.1)

    def _civic(self) -> None:
        self.add_ground("grass" if self.green > 0.4 else "paving", 0, 0, 1, 1)
        draw, levels = self.rng.random(), 3 + 4 * self.tall
        if draw < 0.45:
            for box in ((0.15, 0.15, 0.3, 0.85), (0.6, 0.15, 0.75, 0.85), (0.3, 0.42, 0.6, 0.58)):
                self.add(box, "hospital", levels + 1, "flat", "white")
            self.add_ground("helipad", 0.35, 0.66, 0.55, 0.84)
            self.parking(0.8, 0.1, 0.98, 0.9, 0.7)
        elif draw < 0.7:
            self.add_ground("paving", 0.15, 0.15, 0.85, 0.85)
            self.add((0.3, 0.44, 0.72, 0.56), "worship", 4, "gable", "slate")
            self.add((0.52, 0.32, 0.62, 0.68), "worship", 4, "gable", "slate")
        else:
            self.add_ground("paving", 0.05, 0.05, 0.95, 0.5)
            self.add((0.15, 0.55, 0.85, 0.88), "town hall", levels, "gable", "slate")
            self.add((0.42, 0.48, 0.58, 0.93), "town hall", levels + 2, "flat", "white")
        self.scatter_trees(22 * self.green + 3)
        self.street_trees()

    def _rural(self) -> None:
        kind = ("field0", "field1", "field2", "meadow")[self.rng.integers(4)]
        low, high = -0.12, 1.12
        self.add_ground(kind, low, low, high, high)
        for edge in ((low, low, high, low), (low, low, low, high)):
            self.line_trees(*edge, 6.0, 0.45)

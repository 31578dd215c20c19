"""Street-view pictures: the same blocks, seen from the carriageway at four headings.

A small perspective painter: ground first, then facades, trees and cars from far to near. The camera stands on a street of the
region, 2.4 m above the ground; headings are along the street, to its right, back, and to its left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from urbanfm_core.data.samplecity.buildings import Block, Blocks, Building
from urbanfm_core.data.samplecity.draw import ASPHALT, GROUND, SIDEWALK, WATER
from urbanfm_core.data.samplecity.fields import Floats, generator, share
from urbanfm_core.data.samplecity.streets import BLOCK_M, CLASSES, Layout, Street

GROUPS_LIMIT = 2000
"""Up to this many regions each region has one group of four pictures; larger cities keep about this many groups."""
COMPACT_RATE = 0.22
SIZE_PX, COMPACT_SIZE_PX = (160, 120), (96, 72)

_EYE_M, _NEAR_M, _FAR_M, _WINDOW_M = 2.4, 1.2, 130.0, 48.0
_FACADES = {
    "house": ((222, 208, 184), (206, 180, 150), (184, 128, 104), (232, 226, 214)),
    "terrace": ((172, 108, 88), (188, 132, 106), (210, 190, 160)),
    "apartments": ((206, 196, 178), (188, 182, 172), (214, 186, 150), (176, 160, 146)),
    "retail": ((206, 190, 170), (184, 176, 170), (222, 214, 200), (168, 140, 122)),
    "market": ((214, 200, 180),),
    "office": ((120, 146, 168), (140, 158, 170), (104, 126, 148)),
    "warehouse": ((156, 164, 168), (132, 148, 160)),
    "factory": ((150, 130, 116), (140, 146, 150)),
    "school": ((178, 124, 98), (196, 160, 126)),
}
_OTHER_FACADE = ((216, 210, 198), (190, 184, 176))
_SIGNS = ((196, 48, 44), (38, 92, 160), (40, 128, 84), (226, 160, 40), (96, 56, 120), (30, 30, 36))
_CARS = ((200, 202, 204), (44, 46, 52), (164, 44, 40), (52, 84, 136), (120, 124, 128))

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Viewpoint:
    """Where a group of pictures is taken: local metres and the compass bearing of the street in degrees."""

    x: float
    y: float
    bearing_deg: float

    @property
    def headings_deg(self) -> tuple[float, float, float, float]:
        """The four headings, clockwise from north."""
        first, right, back, left = (round((self.bearing_deg + turn) % 360, 1) for turn in (0, 90, 180, 270))
        return first, right, back, left


def viewpoint(layout: Layout, row: int, column: int, compact: bool) -> Viewpoint | None:
    """The viewpoint of a region, on a drivable street of one of its blocks; None where the region has no group."""
    rng = generator(layout.seed, "viewpoint", row, column)
    rate = COMPACT_RATE if compact else min(1.0, GROUPS_LIMIT / layout.regions)
    if rng.random() >= rate:
        return None
    choices = []
    for i, j in layout.blocks_of_region(row, column):
        for vertical in (False, True):
            street = layout.street(i, j, vertical)
            if street.kind in ("arterial", "collector", "local") and not street.bridge:
                choices.append(street)
    if not choices:
        return None
    street = choices[int(rng.integers(len(choices)))]
    along = (street.ends[1] - street.ends[0]) * (1 if rng.random() < 0.5 else -1)
    x, y = street.ends.mean(axis=0) + along * rng.uniform(-0.2, 0.2)
    side = np.array([along[1], -along[0]]) / np.hypot(*along) * CLASSES[street.kind].carriageway_m / 4
    bearing = float(np.degrees(np.arctan2(along[0], along[1])) % 360)
    return Viewpoint(round(float(x + side[0]), 2), round(float(y + side[1]), 2), round(bearing, 1))


@dataclass(frozen=True)
class Surroundings:
    """What can be seen from a viewpoint: blocks, their buildings as rings (N, 4, 2), trees and cars as spots (M, 2)."""

    blocks: list[Block]
    rings: Floats
    owners: list[tuple[Building, Block, int]]
    spots: Floats
    things: list[tuple[str, tuple[float, float, float]]]


def surroundings(blocks: Blocks, view: Viewpoint) -> Surroundings:
    """Collect what can be seen from a viewpoint."""
    found = blocks.layout.blocks_in(view.x, view.y, view.x, view.y, reach_m=0.75 * BLOCK_M)
    here = np.array([view.x, view.y])
    seen = [block for i, j in found if np.hypot(*((block := blocks.get(i, j)).plot.mean(axis=0) - here)) < _FAR_M]
    owners = [(item, block, number) for block in seen for number, item in enumerate(block.buildings)]
    things = [("tree", place) for block in seen for place in block.trees]
    things += [("car", place) for block in seen for place in block.cars]
    rings = np.array([building.ring for building, _, _ in owners]).reshape(-1, 4, 2)
    return Surroundings(seen, rings, owners, np.array([place[:2] for _, place in things]).reshape(-1, 2), things)


def picture(
    blocks: Blocks, view: Viewpoint, heading_deg: float, seen: Surroundings, size: tuple[int, int]
) -> Image.Image:
    """Paint one street-view picture.

    Args:
        blocks: Source of street blocks; its layout gives the streets.
        view: Where the camera stands.
        heading_deg: Where it looks, clockwise from north.
        seen: Result of `surroundings`.
        size: Width and height of the picture in pixels.
    """
    scene = _Scene(view, heading_deg, (size[0] * 2, size[1] * 2))
    scene.sky(generator(blocks.layout.seed, "sky", round(view.x), round(view.y)))
    for block in seen.blocks:
        scene.ground(block.plot, SIDEWALK if block.function != "rural" else GROUND["meadow"])
        for item in block.ground:
            scene.ground(item.ring, GROUND[item.kind])
    for block in seen.blocks:
        for vertical in (False, True):
            _carriageway(scene, blocks.layout.street(block.i, block.j, vertical))
    scene.solids(seen)
    return scene.image.reduce(2)


def _carriageway(scene: _Scene, street: Street) -> None:
    look = CLASSES[street.kind]
    length = float(np.hypot(*(street.ends[1] - street.ends[0])))
    along = (street.ends[1] - street.ends[0]) / length
    left = np.array([-along[1], along[0]])
    band = left * look.carriageway_m / 2
    colour = WATER if street.kind == "river" else ASPHALT
    scene.ground(np.concatenate([street.ends - band, (street.ends + band)[::-1]]), colour)
    if look.lanes and scene.near(street.ends.mean(axis=0), 75.0):
        for step in np.arange(8.0, length - 8.0, 9.0):
            line = street.ends[0] + along * np.array([[step], [step + 4.0]])
            scene.ground(np.concatenate([line - 0.09 * left, (line + 0.09 * left)[::-1]]), (222, 222, 216))


class _Scene:
    def __init__(self, view: Viewpoint, heading_deg: float, size: tuple[int, int]) -> None:
        self.image = Image.new("RGB", size, ASPHALT)
        self.pen = ImageDraw.Draw(self.image)
        turn = np.radians(heading_deg)
        forward = np.array([np.sin(turn), np.cos(turn)])
        self._axes = np.stack([np.array([forward[1], -forward[0]]), forward], axis=1)
        self._here = np.array([view.x, view.y])
        self._size, self._focal, self._horizon = size, 0.62 * size[0], 0.56 * size[1]

    def local(self, xy: Floats) -> Floats:
        """Camera coordinates (right, ahead) of local metres (N, 2)."""
        return np.asarray((xy - self._here) @ self._axes)

    def pixels(self, right: Floats, ahead: Floats, up: Floats) -> Floats:
        """Pixels (N, 2) of camera coordinates; `up` is metres above the ground."""
        depth = np.maximum(ahead, 0.3)
        scale = self._focal / depth
        found = np.empty((*depth.shape, 2))
        found[..., 0] = self._size[0] / 2 + right * scale
        found[..., 1] = self._horizon - (up - _EYE_M) * scale
        return found

    def sky(self, rng: np.random.Generator) -> None:
        width, height = self._size
        tone = float(rng.uniform(-14, 10))
        for y in range(0, int(self._horizon) + 1, 2):
            part = y / self._horizon
            colour = (int(136 + 74 * part + tone), int(178 + 42 * part + tone), int(222 + 16 * part + tone / 2))
            self.pen.rectangle((0, y, width, y + 2), fill=colour)
        for _ in range(int(rng.integers(0, 5))):
            x, top, size = rng.uniform(0, width), rng.uniform(0, 0.3 * height), rng.uniform(14, 40)
            self.pen.ellipse((x - size, top - size * 0.22, x + size, top + size * 0.22), fill=(238, 242, 246))

    def ground(self, ring: Floats, colour: Colour) -> None:
        flat = self.local(ring)
        low, high = flat.min(axis=0), flat.max(axis=0)
        if high[1] <= _NEAR_M or low[0] > high[1] or high[0] < -high[1]:
            return
        if low[1] < _NEAR_M:
            flat = _clip(flat)
        if len(flat) > 2:
            near = float(flat[:, 1].min())
            haze = min(1.0, near / 200)
            shown = tuple(int(c + (206 - c) * 0.5 * haze) for c in colour)
            self.pen.polygon(self.pixels(flat[:, 0], flat[:, 1], np.zeros(len(flat))).ravel().tolist(), fill=shown)

    def near(self, xy: Floats, distance_m: float) -> bool:
        """Whether a place lies within a distance of the camera, and not far behind it."""
        right, ahead = self.local(xy)
        return bool(ahead > -60 and np.hypot(right, ahead) < distance_m)

    def solids(self, seen: Surroundings) -> None:
        """Paint walls, trees and cars from far to near."""
        items: list[tuple[float, int, int]] = []
        rings, spots = self.local(seen.rings), self.local(seen.spots)
        ends = np.roll(rings, -1, axis=1)
        faces = rings[..., 0] * ends[..., 1] - rings[..., 1] * ends[..., 0] < 0
        ahead = np.maximum(rings[..., 1], ends[..., 1])
        beside = np.minimum(np.abs(rings[..., 0]), np.abs(ends[..., 0])) > ahead + 5
        crossing = rings[..., 0] * ends[..., 0] < 0
        visible = faces & (ahead > _NEAR_M) & (crossing | ~beside)
        walls: list[Floats] = []
        for building, side in zip(*np.nonzero(visible), strict=True):
            wall = _clip_line(rings[building, side], ends[building, side])
            items.append((-float(np.hypot(*wall.mean(axis=0))), len(walls), int(building)))
            walls.append(wall)
        shown = (spots[:, 1] > 2.5) & (spots[:, 1] < 90) & (np.abs(spots[:, 0]) < spots[:, 1] * 0.95 + 4)
        items += [(-float(np.hypot(*spots[index])), -1, int(index)) for index in np.nonzero(shown)[0]]
        for _, wall_index, index in sorted(items):
            if wall_index >= 0:
                self._facade(walls[wall_index], *seen.owners[index])
            elif seen.things[index][0] == "tree":
                self._tree(spots[index], seen.things[index][1])
            else:
                self._car(spots[index], seen.things[index][1])

    def _facade(self, wall: Floats, building: Building, block: Block, number: int) -> None:
        palette = _FACADES.get(building.use, _OTHER_FACADE)
        base = palette[(block.i * 7 + block.j * 13 + number) % len(palette)]
        care = 0.9 + 0.16 * float(share(block.values.ses))
        along = wall[1] - wall[0]
        light = 0.82 + 0.22 * abs(float(along[0])) / max(1e-6, float(np.hypot(*along)))
        haze = min(0.45, float(wall[:, 1].min()) / 240)
        colour = tuple(int(min(255, c * care * light) * (1 - haze) + 206 * haze) for c in base)
        eaves = building.height_m - (1.5 if building.roof == "gable" else 0.0)
        self._quads(wall, np.array([[0.0, 1.0]]), np.array([[0.0, eaves]]), (colour[0], colour[1], colour[2]))
        if building.roof == "gable":
            red, green, blue = building.colour
            self._quads(wall, np.array([[0.0, 1.0]]), np.array([[eaves, eaves + 2.0]]), (red, green, blue))
        if min(wall[:, 1]) > _WINDOW_M:
            return
        self._openings(wall, building, number, eaves, haze)

    def _openings(self, wall: Floats, building: Building, number: int, eaves: float, haze: float) -> None:
        length = float(np.hypot(*(wall[1] - wall[0])))
        shop, shed = building.use in ("retail", "market"), building.roof == "shed"
        glass = tuple(int(c * (1 - haze) + 206 * haze) for c in (66, 84, 104))
        pane: Colour = (glass[0], glass[1], glass[2])
        count = max(1, int(length / (2.0 if building.use == "office" else 3.0)))
        if shed:
            count = max(1, int(length / 9))
        left = (np.arange(count) + (0.08 if building.use == "office" else 0.28)) / count
        spans = np.stack([left, left + (0.84 if building.use == "office" else 0.44) / count], axis=1)
        floor = eaves / building.levels
        first = 1 if shop else 0
        rows = range(first, min(building.levels, 12)) if not shed else range(1)
        for level in rows:
            low, high = (0.0, min(4.0, eaves * 0.7)) if shed else (level * floor + 0.9, level * floor + floor * 0.78)
            heights = np.tile([[low, high]], (count, 1))
            self._quads(wall, spans, heights, (120, 124, 124) if shed else pane)
        if shop:
            self._quads(wall, np.array([[0.04, 0.96]]), np.array([[0.3, min(2.7, eaves - 0.9)]]), (150, 178, 190))
            sign = _SIGNS[(number * 5 + int(length * 3)) % len(_SIGNS)]
            top = min(3.7, eaves)
            self._quads(wall, np.array([[0.02, 0.98]]), np.array([[top - 0.9, top]]), sign)
            letters = np.linspace(0.25, 0.7, 6)
            self._quads(
                wall,
                np.stack([letters, letters + 0.05], axis=1),
                np.tile([[top - 0.65, top - 0.25]], (6, 1)),
                (244, 240, 226),
            )
        elif not shed:
            door = min(0.46, 0.5 - 0.6 / max(length, 2))
            self._quads(wall, np.array([[door, door + 1.2 / max(length, 2.4)]]), np.array([[0.0, 2.1]]), (88, 60, 48))

    def _quads(self, wall: Floats, spans: Floats, heights: Floats, colour: Colour) -> None:
        start, along = wall[0], wall[1] - wall[0]
        corners = start + spans[:, [0, 1, 1, 0]][..., None] * along
        up = heights[:, [0, 0, 1, 1]]
        for quad in self.pixels(corners[..., 0], corners[..., 1], up):
            self.pen.polygon(quad.ravel().tolist(), fill=colour)

    def _tree(self, spot: Floats, place: tuple[float, float, float]) -> None:
        right, ahead = spot
        radius, tall = place[2], 2.6 * place[2] + 1.2
        (x, foot), (_, top), (edge, _) = self.pixels(
            np.array([right, right, right + radius]), np.array([ahead] * 3), np.array([0.0, tall, 0.0])
        )
        wide, middle = edge - x, top + (edge - x)
        self.pen.line((x, foot, x, middle), fill=(92, 74, 58), width=max(1, int(wide / 5)))
        tone = int(place[0] * 13) % 22 - 11
        self.pen.ellipse((x - wide, middle - wide, x + wide, middle + wide * 0.9), fill=(64 + tone, 96 + tone, 52))
        small = wide * 0.62
        lit = (x - 0.3 * wide, middle - 0.35 * wide)
        self.pen.ellipse(
            (lit[0] - small, lit[1] - small, lit[0] + small, lit[1] + small), fill=(86 + tone, 120 + tone, 64)
        )

    def _car(self, spot: Floats, place: tuple[float, float, float]) -> None:
        right, ahead = spot
        points = self.pixels(np.array([right - 1.6, right + 1.6]), np.array([ahead] * 2), np.array([0.0, 1.4]))
        (x0, foot), (x1, top) = points
        colour = _CARS[int(abs(place[0] * 3.7 + place[1])) % len(_CARS)]
        height, inner = foot - top, (x1 - x0) * 0.2
        self.pen.rectangle((x0, top + height * 0.42, x1, foot - height * 0.12), fill=colour)
        self.pen.rectangle((x0 + inner, top, x1 - inner, top + height * 0.45), fill=(58, 70, 84))
        wheel = height * 0.18
        for x in (x0 + inner, x1 - inner):
            self.pen.ellipse((x - wheel, foot - 2 * wheel, x + wheel, foot), fill=(28, 28, 30))


def _clip(ring: Floats) -> Floats:
    """The part of a polygon in front of the camera."""
    out = []
    for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if start[1] >= _NEAR_M:
            out.append(start)
        if (start[1] - _NEAR_M) * (end[1] - _NEAR_M) < 0:
            out.append(start + (end - start) * (_NEAR_M - start[1]) / (end[1] - start[1]))
    return np.array(out).reshape(-1, 2)


def _clip_line(start: Floats, end: Floats) -> Floats:
    """The part of a wall in front of the camera; one end at least must be."""
    wall = np.array([start, end])
    for index in (0, 1):
        if wall[index, 1] < _NEAR_M:
            other = wall[1 - index]
            wall[index] = wall[index] + (other - wall[index]) * (_NEAR_M - wall[index, 1]) / (other[1] - wall[index, 1])
    return wall

"""Drawing the parts of the city seen from above: ground, shadows, roofs, trees, cars, road markings."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from urbanfm_core.data.samplecity.buildings import Block, Building
from urbanfm_core.data.samplecity.fields import Floats

SUN = np.array([0.55, 0.6])
"""Metres that a shadow reaches to the east and north per metre of height."""

GROUND = {
    "grass": (132, 158, 98),
    "yard": (176, 166, 146),
    "park": (112, 150, 84),
    "meadow": (150, 168, 104),
    "field0": (196, 184, 128),
    "field1": (156, 170, 98),
    "field2": (174, 150, 112),
    "paving": (192, 188, 180),
    "gravel": (164, 156, 146),
    "parking": (118, 118, 122),
    "drive": (172, 168, 160),
    "lane": (132, 131, 132),
    "path": (206, 196, 172),
    "pitch": (92, 146, 78),
    "track": (178, 96, 74),
    "court": (86, 124, 150),
    "water": (86, 128, 158),
    "pool": (92, 178, 206),
    "flowers": (190, 140, 120),
    "tank": (214, 214, 210),
    "helipad": (120, 124, 130),
    "container0": (178, 70, 56),
    "container1": (60, 96, 140),
    "container2": (196, 150, 60),
    "container3": (92, 120, 92),
}
GREEN_KINDS = frozenset({"grass", "park", "meadow", "pitch", "flowers"})
ASPHALT, SIDEWALK, MARK = (104, 105, 109), (178, 175, 168), (226, 226, 220)
WATER = (78, 122, 152)
_CARS = ((214, 214, 214), (40, 42, 48), (120, 124, 130), (170, 44, 40), (46, 78, 130), (190, 190, 180))
BANK = (138, 150, 112)


class Sheet:
    """A window to draw on, in local metres, with a coarse map of built and green ground beside it.

    Args:
        west: Left edge, local metres.
        north: Upper edge, local metres.
        width_m: Width.
        height_m: Height.
        scale: Pixels per metre of the drawing.
    """

    def __init__(self, west: float, north: float, width_m: int, height_m: int, scale: float) -> None:
        self.corner, self.size_m, self.scale = np.array([west, north]), (width_m, height_m), scale
        self.image = Image.new("RGB", (round(width_m * scale), round(height_m * scale)), (150, 160, 116))
        self._cover = Image.new("L", (width_m // 2, height_m // 2), 255)
        self.pen, self._cover_pen = ImageDraw.Draw(self.image), ImageDraw.Draw(self._cover)

    def sees(self, ring: Floats, margin_m: float) -> bool:
        """Whether a ring, with a margin, reaches into the window."""
        low, high = ring.min(axis=0) - margin_m, ring.max(axis=0) + margin_m
        west, north = self.corner
        return bool(
            high[0] > west and low[0] < west + self.size_m[0] and high[1] > north - self.size_m[1] and low[1] < north
        )

    def to_px(self, xy: Floats, scale: float | None = None) -> list[float]:
        """Flat pixel coordinates of local metres (N, 2)."""
        grow = scale or self.scale
        flipped = (xy - self.corner) * (grow, -grow)
        return list(flipped.ravel().tolist())

    def polygon(self, ring: Floats, colour: tuple[int, int, int]) -> None:
        """Fill a ring."""
        self.pen.polygon(self.to_px(ring), fill=colour)

    def line(self, path: Floats, colour: tuple[int, int, int], width_m: float, round_ends: bool = False) -> None:
        """Draw a line with a width in metres."""
        points = self.to_px(path)
        self.pen.line(points, fill=colour, width=max(1, round(width_m * self.scale)))
        if round_ends:
            radius = width_m * self.scale / 2
            for x, y in zip(points[::2], points[1::2], strict=True):
                self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def disk(self, x: float, y: float, radius_m: float, colour: tuple[int, int, int]) -> None:
        """Fill a disk around local metres."""
        cx, cy = self.to_px(np.array([[x, y]]))
        radius = radius_m * self.scale
        self.pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=colour)

    def cover(self, ring: Floats, kind: str) -> None:
        """Note what covers the ground inside a ring: 'built', 'green' or 'other'."""
        value = {"built": 0, "green": 128, "other": 255}[kind]
        self._cover_pen.polygon(self.to_px(ring, 0.5), fill=value)

    def shares(self) -> Floats:
        """Built and green share in cells of 10 m, (2, h, w)."""
        cells = np.asarray(self._cover).reshape(self.size_m[1] // 10, 5, self.size_m[0] // 10, 5)
        return np.stack([(cells == 0).mean(axis=(1, 3)), (cells == 128).mean(axis=(1, 3))])


def shift(path: Floats, offset_m: float) -> Floats:
    """A two-point line moved to its left."""
    along = path[1] - path[0]
    along = along / max(1e-6, float(np.hypot(*along)))
    return path + offset_m * np.array([-along[1], along[0]])


def markings(sheet: Sheet, kind: str, ends: Floats) -> None:
    """Lane lines, and zebra crossings where large streets meet others."""
    along = ends[1] - ends[0]
    length = float(np.hypot(*along))
    unit = along / length
    offsets = {"arterial": (-4.0, -0.3, 0.3, 4.0), "collector": (0.0,), "local": ()}[kind]
    for offset in offsets:
        line = shift(ends, offset)
        if abs(offset) == 0.3:
            sheet.line(np.array([line[0] + 11 * unit, line[1] - 11 * unit]), (216, 190, 96), 0.35)
            continue
        for start in np.arange(12.0, length - 14.0, 7.0):
            sheet.line(np.array([line[0] + start * unit, line[0] + (start + 3.0) * unit]), MARK, 0.35)
    if kind != "local" and sheet.scale >= 1:
        reach = {"arterial": 7.0, "collector": 3.6}[kind]
        for start in (10.0, length - 13.0):
            for offset in np.arange(-reach, reach + 0.1, 1.5):
                line = shift(ends, float(offset))
                sheet.line(np.array([line[0] + start * unit, line[0] + (start + 3.0) * unit]), MARK, 0.7)


def ground(sheet: Sheet, block: Block) -> None:
    """The ground of one block: a pavement rim, then everything that lies flat."""
    if block.function != "rural":
        sheet.polygon(block.plot, SIDEWALK)
    for item in block.ground:
        sheet.polygon(item.ring, GROUND[item.kind])
        sheet.cover(item.ring, "green" if item.kind in GREEN_KINDS else "other")
        details = _DETAILS.get(item.kind)
        if details is not None:
            details(sheet, item.ring)


def _span(ring: Floats, *uv: tuple[float, float]) -> Floats:
    """Places (u, v) on a four-cornered ring, as local metres (N, 2)."""
    u, v = np.array(uv).T[..., None]
    a, b, c, d = ring
    return np.asarray((a + u * (b - a)) * (1 - v) + (d + u * (c - d)) * v)


def _box(ring: Floats, u0: float, v0: float, u1: float, v1: float) -> Floats:
    return _span(ring, (u0, v0), (u1, v0), (u1, v1), (u0, v1), (u0, v0))


def _pitch(sheet: Sheet, ring: Floats) -> None:
    for step in range(0, 10, 2):
        sheet.polygon(_box(ring, step / 10, 0, (step + 1) / 10, 1), (100, 154, 84))
    for box in ((0.04, 0.05, 0.96, 0.95), (0.04, 0.3, 0.16, 0.7), (0.84, 0.3, 0.96, 0.7)):
        sheet.line(_box(ring, *box), MARK, 0.5)
    sheet.line(_span(ring, (0.5, 0.05), (0.5, 0.95)), MARK, 0.5)
    x, y = _span(ring, (0.5, 0.5))[0]
    reach = 0.14 * float(np.hypot(*(ring[3] - ring[0])))
    turn = np.linspace(0, 2 * np.pi, 24)
    sheet.line(np.stack([x + reach * np.cos(turn), y + reach * np.sin(turn)], axis=1), MARK, 0.5)


def _court(sheet: Sheet, ring: Floats) -> None:
    sheet.polygon(_box(ring, 0.12, 0.12, 0.88, 0.88), (108, 148, 112))
    sheet.line(_box(ring, 0.12, 0.12, 0.88, 0.88), MARK, 0.4)
    sheet.line(_span(ring, (0.12, 0.5), (0.88, 0.5)), MARK, 0.4)


def _track(sheet: Sheet, ring: Floats) -> None:
    for inset in (0.04, 0.08):
        sheet.line(_box(ring, inset, inset * 1.4, 1 - inset, 1 - inset * 1.4), (220, 170, 150), 0.35)
    sheet.polygon(_box(ring, 0.13, 0.16, 0.87, 0.84), GROUND["grass"])


def _parking(sheet: Sheet, ring: Floats) -> None:
    wide, deep = float(np.hypot(*(ring[1] - ring[0]))), float(np.hypot(*(ring[3] - ring[0])))
    for v in np.arange(4.0, deep - 2.0, 8.0) / max(deep, 1.0):
        for u in np.arange(1.05, wide - 0.5, 2.9) / max(wide, 1.0):
            low, high = max(0.0, v - 2.4 / deep), min(1.0, v + 2.4 / deep)
            sheet.line(_span(ring, (u, low), (u, high)), (186, 186, 184), 0.3)


def _furrows(sheet: Sheet, ring: Floats) -> None:
    for v in np.linspace(0.02, 0.98, 22):
        sheet.line(_span(ring, (0, v), (1, v)), (166, 158, 108), 0.8)


def _pool(sheet: Sheet, ring: Floats) -> None:
    sheet.line(np.concatenate([ring, ring[:1]]), (216, 208, 194), 1.2)


def _shore(sheet: Sheet, ring: Floats) -> None:
    sheet.line(np.concatenate([ring, ring[:1]]), (170, 166, 132), 1.2)


def _helipad(sheet: Sheet, ring: Floats) -> None:
    x, y = ring.mean(axis=0)
    sheet.disk(x, y, 6.0, MARK)
    sheet.disk(x, y, 5.2, GROUND["helipad"])
    for dx in (-1.6, 1.6):
        sheet.line(np.array([[x + dx, y - 2.4], [x + dx, y + 2.4]]), MARK, 0.8)
    sheet.line(np.array([[x - 1.6, y], [x + 1.6, y]]), MARK, 0.8)


_DETAILS = {
    "pitch": _pitch,
    "court": _court,
    "track": _track,
    "parking": _parking,
    "field0": _furrows,
    "field2": _furrows,
    "pool": _pool,
    "water": _shore,
    "helipad": _helipad,
}


def shadows(sheet: Sheet, blocks: list[Block]) -> None:
    """Darken the ground where buildings and trees keep off the sun."""
    mask = Image.new("L", sheet.image.size, 0)
    pen = ImageDraw.Draw(mask)
    for block in blocks:
        for building in block.buildings:
            reach = SUN * min(building.height_m, 45.0)
            far = building.ring + reach
            pen.polygon(sheet.to_px(far), fill=1)
            following = np.roll(np.arange(len(far)), -1)
            for start, end in zip(range(len(far)), following, strict=True):
                side = np.array([building.ring[start], building.ring[end], far[end], far[start]])
                pen.polygon(sheet.to_px(side), fill=1)
        if block.trees:
            spots = np.array(block.trees)
            places = np.array(sheet.to_px(spots[:, :2] + SUN * 0.9 * spots[:, 2:])).reshape(-1, 2)
            for (x, y), size in zip(places.tolist(), (spots[:, 2] * sheet.scale).tolist(), strict=True):
                pen.ellipse((x - size, y - size, x + size, y + size), fill=1)
    shade = mask.point([0, 118] + [0] * 254)
    sheet.image.paste((34, 38, 58), (0, 0), shade)


def _tint(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    red, green, blue = (min(255, int(channel * factor)) for channel in colour)
    return red, green, blue


def roof(sheet: Sheet, building: Building) -> None:
    """A roof: two slopes for gables, ribs for sheds, a parapet and machines for flat ones."""
    ring, colour = building.ring, building.colour
    sheet.cover(ring, "built")
    wide, deep = float(np.hypot(*(ring[1] - ring[0]))), float(np.hypot(*(ring[3] - ring[0])))
    if deep > wide:
        ring = np.roll(ring, -1, axis=0)
        wide, deep = deep, wide
    if building.roof == "gable":
        normal = ring[3] - ring[0]
        lit = float(np.dot(normal, -SUN)) > 0
        sheet.polygon(_box(ring, 0, 0, 1, 0.5), _tint(colour, 0.84 if lit else 1.14))
        sheet.polygon(_box(ring, 0, 0.5, 1, 1), _tint(colour, 1.14 if lit else 0.84))
        sheet.line(_span(ring, (0, 0.5), (1, 0.5)), _tint(colour, 0.66), 0.4)
    elif building.roof == "shed":
        sheet.polygon(ring, colour)
        for u in np.arange(4.0, wide - 1, 4.0) / wide:
            sheet.line(_span(ring, (u, 0), (u, 1)), _tint(colour, 0.87), 0.6)
        sheet.line(_span(ring, (0, 0.5), (1, 0.5)), _tint(colour, 1.12), 0.8)
    else:
        sheet.polygon(ring, _tint(colour, 1.1))
        rim_u, rim_v = min(0.2, 0.9 / wide), min(0.2, 0.9 / deep)
        sheet.polygon(_box(ring, rim_u, rim_v, 1 - rim_u, 1 - rim_v), _tint(colour, 0.93))
        count = int(min(6, wide * deep / 130))
        for step in range(count):
            u, v = (step * 0.618 + 0.21) % 0.8 + 0.06, (step * 0.377 + 0.13) % 0.7 + 0.1
            box = _box(ring, u, v, min(0.95, u + 2.6 / wide), min(0.95, v + 1.9 / deep))
            sheet.polygon(box + np.array([0.5, 0.5]), _tint(colour, 0.62))
            sheet.polygon(box, _tint(colour, 1.2))
    edge = np.concatenate([ring, ring[:1]])
    sheet.line(edge, _tint(colour, 0.6), 0.35)


def trees(sheet: Sheet, blocks: list[Block]) -> None:
    """Crowns with a lit side."""
    for block in blocks:
        if not block.trees:
            continue
        spots = np.array(block.trees)
        places = np.array(sheet.to_px(spots[:, :2])).reshape(-1, 2)
        for index, ((x, y), radius) in enumerate(
            zip(places.tolist(), (spots[:, 2] * sheet.scale).tolist(), strict=True)
        ):
            tone = (index * 37 % 23) - 11
            sheet.pen.ellipse(
                (x - radius, y - radius, x + radius, y + radius), fill=(66 + tone, 96 + tone, 54 + tone // 2)
            )
            x, y, small = x - 0.22 * radius, y + 0.24 * radius, radius * 0.68
            sheet.pen.ellipse(
                (x - small, y - small, x + small, y + small), fill=(88 + tone, 120 + tone, 66 + tone // 2)
            )


def cars(sheet: Sheet, places: list[tuple[float, float, float]]) -> None:
    """Cars: (x, y, heading in radians); the colour follows from the place."""
    if not places:
        return
    spots = np.array(places)
    cos, sin = np.cos(spots[:, 2]), np.sin(spots[:, 2])
    forward, side = np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)
    picks = (np.abs(spots[:, 0] * 7.3 + spots[:, 1] * 3.1) % len(_CARS)).astype(int)
    for spot, ahead, left, pick in zip(spots[:, :2], forward, side, picks, strict=True):
        for length, width, colour in ((2.1, 0.9, _CARS[pick]), (0.9, 0.75, _tint(_CARS[pick], 0.6))):
            a, b = ahead * length, left * width
            sheet.polygon(np.array([spot - a - b, spot + a - b, spot + a + b, spot - a + b]), colour)

"""The sample city from above: one window of RGB imagery and of land-cover shares.

Drawn with twice the resolution of the result and reduced, so edges are smooth. Everything that a window shows depends only
on the seed and the place, so neighbouring windows fit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from urbanfm_core.data.samplecity import draw
from urbanfm_core.data.samplecity.buildings import Block, Blocks
from urbanfm_core.data.samplecity.draw import ASPHALT, BANK, GROUND, SIDEWALK, WATER, Sheet, shift
from urbanfm_core.data.samplecity.fields import Floats, SmoothFields, generator
from urbanfm_core.data.samplecity.streets import CLASSES

_TRAFFIC = {"arterial": 6.0, "collector": 3.0, "local": 1.5}


class Painter:
    """Draws windows of the city.

    Args:
        blocks: Source of street blocks.
        scale: Pixels per metre of the result: 1.0, or 0.5 for compact cities.
    """

    def __init__(self, blocks: Blocks, scale: float = 1.0) -> None:
        self.blocks, self.layout, self.scale = blocks, blocks.layout, scale
        self._tone = SmoothFields(self.layout.seed, ("tone/light", "tone/warm"), 90.0)

    def window(self, west: float, north: float, width_m: int, height_m: int) -> tuple[NDArray[np.uint8], Floats]:
        """Paint one window.

        Args:
            west: Left edge, local metres.
            north: Upper edge, local metres.
            width_m: Width; a multiple of 10.
            height_m: Height; a multiple of 10.
        Returns:
            RGB pixels, (3, H, W), north up, and shares of built and green ground in 10 m cells, (2, h, w), north up.
        """
        sheet = Sheet(west, north, width_m, height_m, 2 * self.scale)
        found = self.layout.blocks_in(west, north - height_m, west + width_m, north)
        blocks = [block for i, j in found if sheet.sees((block := self.blocks.get(i, j)).plot, 45.0)]
        self._streets(sheet, blocks)
        for block in blocks:
            draw.ground(sheet, block)
        cars = [car for block in blocks for car in block.cars] + self._traffic(blocks)
        draw.cars(sheet, cars)
        draw.shadows(sheet, blocks)
        for block in blocks:
            for building in block.buildings:
                draw.roof(sheet, building)
        draw.trees(sheet, blocks)
        return self._finish(sheet, west, north), sheet.shares()

    def _streets(self, sheet: Sheet, blocks: list[Block]) -> None:
        segments = []
        for block in blocks:
            for vertical in (False, True):
                segments.append(self.layout.street(block.i, block.j, vertical))
            if block.function != "rural":
                sheet.polygon(self.layout.quad(block.i, block.j), ASPHALT)
        for street in segments:
            if street.kind == "rail":
                sheet.line(street.ends, (150, 140, 128), CLASSES["rail"].width_m)
                for offset in (-2.0, 2.0):
                    rail = shift(street.ends, offset)
                    sheet.line(rail, (120, 112, 104), 2.6)
                    sheet.line(shift(rail, 0.75), (86, 84, 84), 0.5)
                    sheet.line(shift(rail, -0.75), (86, 84, 84), 0.5)
            elif street.kind == "river":
                sheet.line(street.ends, BANK, CLASSES["river"].width_m, round_ends=True)
        for street in segments:
            if street.kind == "river":
                sheet.line(street.ends, WATER, CLASSES["river"].carriageway_m, round_ends=True)
        for street in segments:
            if street.kind in ("river", "rail"):
                continue
            look = CLASSES[street.kind]
            if street.bridge:
                sheet.line(street.ends + np.array([2.5, 2.5]), (60, 88, 108), look.width_m)
            tone = GROUND["path"] if street.kind == "footway" else SIDEWALK
            sheet.line(street.ends, tone, look.width_m, round_ends=True)
        for street in segments:
            look = CLASSES[street.kind]
            if street.kind in ("river", "rail", "footway"):
                continue
            sheet.line(street.ends, ASPHALT, look.carriageway_m, round_ends=True)
        for street in segments:
            if street.kind in _TRAFFIC:
                draw.markings(sheet, street.kind, street.ends)

    def _traffic(self, blocks: list[Block]) -> list[tuple[float, float, float]]:
        cars = []
        for block in blocks:
            rng = generator(self.layout.seed, "traffic", block.i, block.j)
            for vertical in (False, True):
                street = self.layout.street(block.i, block.j, vertical)
                if block.function == "rural" or street.bridge or street.kind not in _TRAFFIC:
                    continue
                along = street.ends[1] - street.ends[0]
                angle, carriageway_m = float(np.arctan2(along[1], along[0])), CLASSES[street.kind].carriageway_m
                for _ in range(rng.poisson(_TRAFFIC[street.kind])):
                    side = rng.choice(np.array([-1.0, 1.0])) * carriageway_m * rng.choice(np.array([0.14, 0.38]))
                    x, y = shift(street.ends, side)[0] + along * rng.uniform(0.15, 0.85)
                    cars.append((float(x), float(y), angle))
        return cars

    def _finish(self, sheet: Sheet, west: float, north: float) -> NDArray[np.uint8]:
        picture = np.asarray(sheet.image.reduce(2), dtype=np.float32)
        height, width = picture.shape[:2]
        step = 10.0
        columns, rows = int(width / self.scale / step) + 1, int(height / self.scale / step) + 1
        x = west + step * np.arange(columns, dtype=np.float64)
        y = north - step * np.arange(rows, dtype=np.float64)
        tone = self._tone.on_grid(x, y)
        tone = tone.reshape(rows, columns, 2)
        grow = (step * self.scale * (rows - 1) + 1) / rows, (step * self.scale * (columns - 1) + 1) / columns
        smooth = [zoom(tone[..., layer], grow, order=1)[:height, :width].astype(np.float32) for layer in (0, 1)]
        rng = generator(self.layout.seed, "grain", int(west // 10), int(north // 10))
        grain = rng.normal(0, 3.2, (height, width)).astype(np.float32)
        picture *= (1 + 0.022 * smooth[0])[..., None]
        picture += grain[..., None]
        picture[..., 0] += 1.6 * smooth[1]
        picture[..., 2] -= 1.6 * smooth[1]
        return np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8).transpose(2, 0, 1))

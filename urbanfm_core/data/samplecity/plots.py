"""Small geometry for laying out a street block, and the palettes of roofs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from urbanfm_core.data.samplecity.fields import Floats

Colour = tuple[int, int, int]

ROOFS: dict[str, tuple[Colour, ...]] = {
    "tile": ((178, 92, 66), (162, 84, 64), (190, 112, 84), (146, 82, 68), (170, 104, 78)),
    "slate": ((104, 108, 116), (92, 96, 104), (122, 118, 116)),
    "concrete": ((176, 174, 168), (190, 186, 178), (160, 160, 158)),
    "bright": ((222, 222, 218), (206, 212, 216), (200, 70, 60), (236, 232, 222), (70, 120, 170)),
    "mixed": ((150, 146, 140), (184, 172, 154), (128, 116, 108), (204, 198, 188), (166, 124, 100)),
    "glass": ((128, 148, 166), (148, 164, 176), (176, 182, 186), (108, 126, 146)),
    "metal": ((172, 180, 186), (140, 160, 176), (196, 198, 196), (150, 142, 130), (120, 150, 150)),
    "brick": ((168, 120, 96), (186, 148, 118), (158, 132, 118)),
    "white": ((226, 224, 218), (212, 210, 206)),
}


class Frame:
    """Bilinear coordinates (u, v) in [0, 1] on a quad of (4, 2) corners, counter-clockwise from the south-west."""

    def __init__(self, quad: Floats) -> None:
        self._quad = quad
        (a, b, c, d) = quad
        self.width = max(1.0, float((np.hypot(*(b - a)) + np.hypot(*(c - d))) / 2))
        self.depth = max(1.0, float((np.hypot(*(d - a)) + np.hypot(*(c - b))) / 2))
        middle = (b + c - a - d) / 2
        self.angle = float(np.arctan2(middle[1], middle[0]))

    def points(self, u: Floats, v: Floats) -> Floats:
        """Local metres at (u, v): (N,), (N,) -> (N, 2)."""
        u, v = np.asarray(u, dtype=np.float64)[:, None], np.asarray(v, dtype=np.float64)[:, None]
        a, b, c, d = self._quad
        return np.asarray((1 - u) * (1 - v) * a + u * (1 - v) * b + u * v * c + (1 - u) * v * d)

    def point(self, u: float, v: float) -> tuple[float, float]:
        """Local metres at one (u, v)."""
        x, y = self.points(np.array([u]), np.array([v]))[0]
        return float(x), float(y)

    def rect(self, u0: float, v0: float, u1: float, v1: float) -> Floats:
        """Ring (4, 2) of a box in (u, v)."""
        return self.points(np.array([u0, u1, u1, u0]), np.array([v0, v0, v1, v1]))

    def strip(self, u0: float, v0: float, u1: float, v1: float, width_m: float) -> Floats:
        """Ring (4, 2) of a straight strip between two places."""
        start, end = self.points(np.array([u0, u1]), np.array([v0, v1]))
        along = (end - start) / max(1e-6, float(np.hypot(*(end - start))))
        side = np.array([-along[1], along[0]]) * width_m / 2
        return np.stack([start - side, end - side, end + side, start + side])

    def disk(self, u: float, v: float, radius_m: float) -> Floats:
        """Ring (20, 2) of a disk."""
        turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        return np.array(self.point(u, v)) + radius_m * np.stack([np.cos(turn), np.sin(turn)], axis=1)

    def blob(self, rng: np.random.Generator, u: float, v: float, radius_m: float) -> Floats:
        """Ring (24, 2) of a pond."""
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        wave = 1 + 0.2 * np.sin(2 * turn + rng.uniform(0, 6)) + 0.12 * np.sin(3 * turn + rng.uniform(0, 6))
        shape = np.stack([np.cos(turn) * wave, 1.5 * np.sin(turn) * wave], axis=1)
        return np.array(self.point(u, v)) + radius_m * shape


def split(rng: np.random.Generator, start: float, end: float, size: float) -> list[tuple[float, float]]:
    """Cut a span into parts of about one size."""
    count = max(1, round((end - start) / max(size, 1e-3)))
    cuts = np.linspace(start, end, count + 1)
    cuts[1:-1] += rng.uniform(-0.2, 0.2, count - 1) * (end - start) / count
    return [(float(low), float(high)) for low, high in pairwise(cuts)]

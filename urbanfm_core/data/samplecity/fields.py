"""Latent fields of the sample city: smooth, seeded, and defined at every coordinate.

Every field is a sum of random Fourier features, so any block of the city can be evaluated alone and agrees with its
neighbours. Correlations between fields are designed here and nowhere else:

* greenery falls with density (-0.45), height rises with it (+0.60);
* socio-economic level (SES) follows greenery weakly (+0.20) and neither density nor function;
* the seven function logits follow density and greenery weakly (`FORM_LINKS`).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

FUNCTIONS = ("residential", "commercial", "office", "industrial", "education", "leisure", "civic")
"""Human functions, in the order of every function array."""

FORM_LINKS = {  # function: (constant, weight of density, weight of the greenery that density does not explain)
    "residential": (1.8, 0.0, 0.15),
    "commercial": (0.05, 0.45, -0.15),
    "office": (-0.15, 0.55, 0.0),
    "industrial": (-0.25, -0.35, -0.35),
    "education": (-0.45, 0.0, 0.15),
    "leisure": (-0.35, -0.35, 0.45),
    "civic": (-0.75, 0.1, 0.0),
}
LENGTH_M = 230.0
WAVES = 48
_LOGIT_SCALE = 1.7
_BASE = ("density", "greenery", "height", "ses")

Floats = NDArray[np.float64]


def hash_unit(seed: int, name: str, *lattice: NDArray[np.int64] | int) -> Floats:
    """Uniform numbers in [0, 1) that depend only on the seed, a name and integer lattice coordinates.

    Args:
        seed: Seed of the city.
        name: What the number is for; different names are independent.
        lattice: Integer coordinates that broadcast against each other.
    """
    with np.errstate(over="ignore"):
        state = np.asarray(np.uint64(zlib.crc32(f"{seed}/{name}".encode()) + 1) * np.uint64(0x9E3779B97F4A7C15))
        for axis in lattice:
            state = state ^ (np.asarray(axis, dtype=np.int64).astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93))
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return np.asarray((state >> np.uint64(11)).astype(np.float64) / 2.0**53)


def generator(seed: int, name: str, *lattice: int) -> np.random.Generator:
    """A random generator of its own for one lattice cell (or for the whole city, without coordinates)."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *(index + (1 << 20) for index in lattice)])


class SmoothFields:
    """Independent stationary fields with mean 0, variance 1 and a Gaussian correlation.

    Args:
        seed: Seed of the city.
        names: One field per name.
        length_m: Distance, in metres, at which the correlation has fallen to exp(-1/2).
    """

    def __init__(self, seed: int, names: tuple[str, ...], length_m: float = LENGTH_M) -> None:
        self.names = names
        omega, phase = [], []
        for name in names:
            rng = generator(seed, f"field/{name}")
            omega.append(rng.normal(0.0, 1.0 / length_m, (2, WAVES)))
            phase.append(rng.uniform(0.0, 2 * np.pi, WAVES))
        self._omega = np.concatenate(omega, axis=1)
        self._phase = np.concatenate(phase)

    def at(self, xy: Floats) -> Floats:
        """Values at local coordinates in metres: (N, 2) -> (N, fields)."""
        waves = np.cos(xy @ self._omega + self._phase)
        return np.asarray(np.sqrt(2.0 / WAVES) * waves.reshape(len(xy), len(self.names), WAVES).sum(axis=2))

    def on_grid(self, x: Floats, y: Floats) -> Floats:
        """The same on a grid, much faster: x (W,), y (H,) -> (H * W, fields), row by row."""
        shape = (-1, len(self.names), WAVES)
        across = (x[:, None] * self._omega[0]).reshape(shape).transpose(1, 2, 0)
        along = (y[:, None] * self._omega[1] + self._phase).reshape(shape).transpose(1, 0, 2)
        # cos(a + b) = cos a cos b - sin a sin b turns the sum over waves into one matrix product per field.
        left = np.concatenate([np.cos(along), -np.sin(along)], axis=2)
        right = np.concatenate([np.cos(across), np.sin(across)], axis=1)
        return np.asarray(np.sqrt(2.0 / WAVES) * np.matmul(left, right).reshape(len(self.names), -1).T)


@dataclass(frozen=True)
class LatentValues:
    """Latent fields at N places: form (`density`, `greenery`, `height`), `ses`, `function`; noise-free.

    `density`, `greenery`, `height` and `ses` are (N,), standard normal over an endless city. `function` is (N, 7) with
    rows that sum to 1; `logits` is the standardised (N, 7) field behind it.
    """

    density: Floats
    greenery: Floats
    height: Floats
    ses: Floats
    logits: Floats
    function: Floats

    def row(self, index: int) -> LatentValues:
        """One place, with scalars for the scalar fields."""
        return LatentValues(
            self.density[index],
            self.greenery[index],
            self.height[index],
            self.ses[index],
            self.logits[index],
            self.function[index],
        )


class Latents:
    """The latent fields of the city with this seed."""

    def __init__(self, seed: int) -> None:
        self._fields = SmoothFields(seed, _BASE + tuple(f"function/{name}" for name in FUNCTIONS))
        self._links = np.array([FORM_LINKS[name] for name in FUNCTIONS])

    def at(self, xy: Floats) -> LatentValues:
        """Evaluate at local coordinates, (N, 2) in metres from the city's south-west corner."""
        return self._derive(self._fields.at(np.asarray(xy, dtype=np.float64)))

    def on_grid(self, x: Floats, y: Floats) -> LatentValues:
        """Evaluate on a grid of local coordinates: x (W,), y (H,) -> H * W places, row by row."""
        return self._derive(self._fields.on_grid(x, y))

    def _derive(self, base: Floats) -> LatentValues:
        density, green, tall, social = base[:, :4].T
        raw = base[:, 4:]
        constant, by_density, by_green = self._links.T
        logits = _LOGIT_SCALE * raw + constant + density[:, None] * by_density + green[:, None] * by_green
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        scale = np.sqrt(_LOGIT_SCALE**2 + by_density**2 + by_green**2)
        return LatentValues(
            density=density,
            greenery=-0.45 * density + np.sqrt(1 - 0.45**2) * green,
            height=0.6 * density + 0.8 * tall,
            ses=0.225 * green + np.sqrt(1 - 0.225**2) * social,
            logits=(logits - constant) / scale,
            function=weights / weights.sum(axis=1, keepdims=True),
        )


def share(value: Floats | float) -> Floats:
    """A standard normal value as its rank in [0, 1]."""
    return np.asarray(ndtr(value))

"""The 64-band embedding raster of the sample city: sees form well, function weakly, socio-economic level hardly.

At each 10 m pixel a visible vector is mixed with fixed random directions and brought to unit length:

    e = unit(1.6 m + 0.55 A form + 0.11 B seen + 0.20 C (hidden * tanh(2.5 density)) + 0.15 D nuisance + 0.03 noise)

`m`, A, B, C and D are orthonormal directions of the seed. `form` holds density, greenery, height and the built and green shares
of the pixel. `seen` is the standardised function logits diluted with a smooth error field, so that no amount of averaging
recovers them. `hidden` is another such copy (with SES, much fainter); the product with density is what a nonlinear encoder can
undo and a linear one cannot. `nuisance` are eight rougher fields that mean nothing. Stored as AlphaEarth does: int8
with nodata -128, value = sign(q) * (q / 127.5)^2, rows from south to north.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.samplecity.fields import FUNCTIONS, Floats, Latents, SmoothFields, generator

BANDS, PIXEL_M, NODATA = 64, 10, -128
FORM_GAIN, LINEAR_GAIN, HIDDEN_GAIN, NUISANCE_GAIN = 0.55, 0.11, 0.20, 0.15
NOISE, COMPACT_NOISE = 0.03, 0.01
LINEAR_CLARITY, HIDDEN_CLARITY, SES_CLARITY = 0.6, 0.85, 0.3
"""Correlation of the seen with the true function logits (linear and hidden part) and with SES (hidden part only)."""
NUISANCE_LENGTH_M = 80.0
NODATA_LEVEL = 1.85
"""A cloud-like field above this many standard deviations has no data."""

_NUISANCES = 8
_TARGETS = len(FUNCTIONS) + 1


class EmbeddingModel:
    """The formula with the directions of one seed."""

    def __init__(self, seed: int, latents: Latents) -> None:
        self.seed, self._latents = seed, latents
        names = [f"error/{part}/{index}" for part in ("linear", "hidden") for index in range(_TARGETS)]
        self._errors = SmoothFields(seed, (*names, "cloud"))
        rough = tuple(f"nuisance/{index}" for index in range(_NUISANCES))
        self._rough = SmoothFields(seed, rough, NUISANCE_LENGTH_M)
        width = 1 + 5 + 2 * _TARGETS + _NUISANCES
        basis, _ = np.linalg.qr(generator(seed, "embedding directions").normal(size=(BANDS, width)))
        self._mean, rest = basis[:, 0], basis[:, 1:]
        self._form, self._linear = rest[:, :5], rest[:, 5 : 5 + _TARGETS]
        self._hidden = rest[:, 5 + _TARGETS : 5 + 2 * _TARGETS]
        self._nuisance = rest[:, 5 + 2 * _TARGETS :]

    def vectors(self, x: Floats, y: Floats, built: Floats, green: Floats, grain: Floats) -> NDArray[np.float64]:
        """Unit vectors on a grid of H x W pixels, N = H * W row by row; NaN rows where there is no data.

        Args:
            x: Pixel centres, local metres, (W,).
            y: Pixel centres, local metres, (H,).
            built: Built share of each pixel, (N,).
            green: Green share of each pixel, (N,).
            grain: Noise of each pixel and band, (N, 64).
        Returns:
            Embeddings, (N, 64).
        """
        values, other = self._latents.on_grid(x, y), self._errors.on_grid(x, y)
        truth = np.column_stack([values.logits, values.ses])
        linear, hidden, cloud = np.split(other, [_TARGETS, 2 * _TARGETS], axis=1)
        nuisance = self._rough.on_grid(x, y)
        clear = np.full(_TARGETS, LINEAR_CLARITY), np.full(_TARGETS, HIDDEN_CLARITY)
        clear[0][-1], clear[1][-1] = 0.0, SES_CLARITY
        seen = clear[0] * truth + np.sqrt(1 - clear[0] ** 2) * linear
        masked = clear[1] * truth + np.sqrt(1 - clear[1] ** 2) * hidden
        form = np.column_stack([values.density, values.greenery, values.height, 2 * built - 0.5, 2 * green - 0.5])
        total = 1.6 * self._mean + FORM_GAIN * form * np.array([0.6, 0.6, 0.6, 0.5, 0.5]) @ self._form.T
        total += LINEAR_GAIN * seen @ self._linear.T
        total += HIDDEN_GAIN * (masked * np.tanh(2.5 * values.density)[:, None]) @ self._hidden.T
        total += NUISANCE_GAIN * nuisance @ self._nuisance.T + grain
        total /= np.linalg.norm(total, axis=1, keepdims=True)
        total[cloud[:, 0] > NODATA_LEVEL] = np.nan
        return np.asarray(total)

    def window(self, west: float, south: float, shares: Floats, coarse: bool = False) -> NDArray[np.int8]:
        """Stored values of a window, first row at the south.

        Args:
            west: Left edge, local metres.
            south: Lower edge, local metres.
            shares: Built and green share per pixel, (2, h, w), first row at the south.
            coarse: Compute on 20 m with less noise and repeat (compact cities): a quarter of the information, the
                same grid. The window then has an even number of rows and columns.
        Returns:
            Quantised bands, (64, h, w).
        """
        _, height, width = shares.shape
        step = 2 if coarse else 1
        rows, columns = height // step, width // step
        x = west + PIXEL_M * step * (np.arange(columns) + 0.5)
        y = south + PIXEL_M * step * (np.arange(rows) + 0.5)
        built, green = (
            shares[:, : rows * step, : columns * step].reshape(2, rows, step, columns, step).mean((2, 4)).reshape(2, -1)
        )
        rng = generator(self.seed, "embedding noise", int(west // 10), int(south // 10))
        noise = rng.normal(0.0, COMPACT_NOISE if coarse else NOISE, (rows * columns, BANDS))
        vectors = self.vectors(x, y, built, green, noise)
        stored = quantise(vectors).T.reshape(BANDS, rows, columns)
        return np.ascontiguousarray(stored.repeat(step, axis=1).repeat(step, axis=2))


def quantise(vectors: NDArray[np.float64]) -> NDArray[np.int8]:
    """AlphaEarth's int8: sign(v) * round(127.5 * sqrt(|v|)) within [-127, 127]; rows with NaN become -128."""
    with np.errstate(invalid="ignore"):
        scaled = np.sign(vectors) * np.round(127.5 * np.sqrt(np.abs(vectors)))
    scaled = np.where(np.isnan(vectors), NODATA, np.clip(scaled, -127, 127))
    return scaled.astype(np.int8)

"""AETHER on the pixels of a raster: what is read of it, and the projector as a function of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from rasterio.windows import Window
from torch import Tensor, nn

from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.errors import CheckpointError, ShapeError
from urbanfm_core.geo.raster import RasterInfo
from urbanfm_core.models.aether.network import ImageProjector
from urbanfm_core.models.batches import PixelBatches
from urbanfm_core.models.device import single_threads
from urbanfm_core.models.exchange import PixelFunction, Trained
from urbanfm_core.models.poi_samples import SMALLEST_NORM

# Rows whose intermediate results stay in a CPU's caches.
_CPU_ROWS = 2048


def pixel_function(trained: Trained) -> PixelFunction:
    """Projector for arrays of pixels: (N, C) float32 -> (N, D) float32 of unit length.

    A pixel that is zero in all bands, or not finite in one, has no direction; its row is NaN.
    """
    project = _FoldedProjector(trained.model.image)  # type: ignore[arg-type]
    batches = PixelBatches(trained, _CPU_ROWS)
    bands, width = trained.config.bands, trained.config.embedding_dim
    side_by_side = single_threads() if trained.device.type == "cpu" else None

    def function(pixels: np.ndarray) -> np.ndarray:
        if pixels.ndim != 2 or pixels.shape[1] != bands:
            raise ShapeError(f"Pixels must be (N, {bands}), found {pixels.shape}.")
        if side_by_side is None or not len(pixels):
            return batches.compute(project, pixels, width)
        parts = (pixels[start : start + _CPU_ROWS] for start in range(0, len(pixels), _CPU_ROWS))
        return np.concatenate(list(side_by_side.map(lambda part: batches.compute(project, part, width), parts)))

    return function


class DirectedRaster:
    """A raster whose pixels that are zero in all bands count as not valid: they have no direction."""

    def __init__(self, raster: EmbeddingRaster) -> None:
        self._raster = raster
        self._counting = Lock()
        self.zero_pixels = 0

    @property
    def info(self) -> RasterInfo:
        return self._raster.info

    @property
    def bands(self) -> int:
        return self._raster.bands

    def read_stored(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        return self._raster.read_stored(window)

    def decode(
        self, stored: np.ndarray, mask: np.ndarray | None = None, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        values, valid = self._raster.decode(stored, mask, out)
        # Squares would cost a pass over all bands; a pixel is short only if its first band is.
        short: np.ndarray = np.abs(values[0]) < SMALLEST_NORM
        if short.any():
            columns = np.flatnonzero(short)
            lengths = np.linalg.norm(values[:, columns], axis=0)
            zero = columns[(lengths < SMALLEST_NORM) & np.asarray(valid.all(axis=0))[columns]]
            if len(zero):
                with self._counting:
                    self.zero_pixels += len(zero)
                valid = valid.copy()
                valid[:, zero] = False
        return values, valid


def require_trained_bands(raster: EmbeddingRaster, config: Any) -> None:
    """Check that a raster is of the kind that a network was trained on.

    Raises:
        CheckpointError: it has another number of bands.
    """
    if raster.bands != config.bands:
        raise CheckpointError(
            f"{raster.info.path} has {raster.bands} bands, but the checkpoint was trained on {config.bands}.",
            "Give the kind of raster that the model was trained on.",
        )


def unlike_training(raster: EmbeddingRaster, preprocessing: Mapping[str, Any]) -> list[str]:
    """Sentences on how a raster differs from the one that the network was trained on."""
    notes = []
    size, trained_size = raster.info.res_m, preprocessing.get("pixel_m")
    if trained_size and not np.allclose(size, trained_size, rtol=0.25):
        notes.append(
            f"The raster's pixels measure {size[0]:.4g} x {size[1]:.4g} m, those of the training "
            f"{trained_size[0]:.4g} x {trained_size[1]:.4g} m; the model may not transfer."
        )
    codes, trained_codes = raster.quantization == "alphaearth", preprocessing.get("quantization") == "alphaearth"
    if not codes and trained_codes and raster.info.dtype == "int8":
        notes.append("The model was trained on dequantised AlphaEarth codes, but this int8 raster is read as it is.")
    return notes


class _FoldedProjector:
    """The image projector for inference: input normalised, gate folded into the shortcut, results in place."""

    def __init__(self, projector: ImageProjector) -> None:
        with torch.inference_mode():
            gate = torch.sigmoid(projector.gate)
            self._expand = projector.expand
            self._contract = projector.contract.weight.t()
            bias: Tensor = projector.contract.bias
            if isinstance(projector.shortcut, nn.Linear):
                self._shortcut = (gate * projector.shortcut.weight).t()
                bias = bias + gate * projector.shortcut.bias
            else:
                self._shortcut = gate * torch.eye(len(bias), device=bias.device)
            self._bias = bias
            self._post_expand, self._post_contract = projector.post_expand, projector.post_contract

    def __call__(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        x = x / length.clamp_min(SMALLEST_NORM)
        mixed = torch.addmm(self._bias, self._expand(x).relu_(), self._contract).addmm_(x, self._shortcut)
        mixed = F.normalize(mixed, dim=1, out=mixed)
        z = self._post_contract(F.gelu(self._post_expand(mixed)))
        z = F.normalize(z, dim=1, out=z)
        lost = ~(length[:, 0] >= SMALLEST_NORM)
        if bool(lost.any()):
            z[lost] = torch.nan
        return z

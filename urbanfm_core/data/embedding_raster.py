"""Rasters whose pixels are vectors: AlphaEarth in its integer and float forms, and any other N-band raster.

Public AlphaEarth files hold int8 q with nodata -128, and mean sign(q) * (q / 127.5)^2. Earth Engine exports hold the
same numbers as floats. A pixel is valid when all its bands are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
from rasterio.windows import Window

from urbanfm_core.data.raster_file import RasterFile
from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.geo.overview import read_overview
from urbanfm_core.geo.raster import QUANTIZATION_TAG, RasterInfo, nodata_array

ALPHAEARTH_BANDS = 64
ALPHAEARTH_NODATA = -128
ALPHAEARTH = "alphaearth"
# What a file with such codes says of itself, so that it is read without being told how.
ALPHAEARTH_TAGS = {QUANTIZATION_TAG: ALPHAEARTH, "QUANTIZATION_MEANING": "v = sign(q) * (q / 127.5)^2, nodata -128"}
# 127.5^2 is exact in float32 and so is q * |q|: one division gives the correctly rounded value for all 255 codes.
_ALPHAEARTH_DIVISOR = np.float32(127.5**2)


def dequantize_alphaearth(codes: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """AlphaEarth's meaning of int8 codes: sign(q) * (q / 127.5)^2, float32, correctly rounded.

    Written as arithmetic on whole arrays because NumPy does it twice as fast as a look-up in a table of the
    256 possible values; the results are the same bit for bit.

    Args:
        codes: int8, any shape. -128 (nodata) is computed like the rest: mask it.
        out: float32 array of that shape to fill.
    """
    out = np.empty(codes.shape, np.float32) if out is None else out
    np.copyto(out, codes)
    out *= np.abs(out)
    out /= _ALPHAEARTH_DIVISOR
    return out


def quantize_alphaearth(values: np.ndarray) -> np.ndarray:
    """The int8 codes nearest to values in [-1, 1]; not finite becomes nodata -128."""
    codes = np.abs(values)
    np.sqrt(codes, out=codes)
    codes *= 127.5
    np.rint(codes, out=codes)
    np.minimum(codes, 127, out=codes)
    np.copysign(codes, values, out=codes)
    finite = np.isfinite(values)
    if not finite.all():
        codes[~finite] = ALPHAEARTH_NODATA
    quantized: np.ndarray = codes.astype(np.int8)
    return quantized


class EmbeddingRaster(RasterFile):
    """Reads an N-band raster as float32 vectors with NaN where there are none. Safe to share between threads.

    Args:
        path: Raster file.
        quantization: "alphaearth": int8 codes as above. "none": the stored numbers as they are. "auto": AlphaEarth if
            the file says so in its metadata, or has 64 int8 bands with nodata -128 and declares no scale; else value = stored * scale + offset
            as the file declares, which leaves most files as they are.
    Raises:
        InputError, CRSError: as `inspect_raster`.
        ConfigError: "alphaearth" for a file that is not int8.
    """

    def __init__(self, path: str | Path, quantization: str = "auto") -> None:
        super().__init__(path)
        info = self.info
        self.quantization = _resolve(info, quantization)
        self._nodata = nodata_array(info)
        self._scale = np.array(info.scales, np.float32)[:, None]
        self._offset = np.array(info.offsets, np.float32)[:, None]
        self._integers = np.dtype(info.dtype).kind in "iu"

    @classmethod
    def open(cls, path: str | Path, quantization: str = "auto") -> EmbeddingRaster:
        """Open a raster file; see the class."""
        return cls(path, quantization)

    @property
    def bands(self) -> int:
        """Number of bands."""
        return self.info.count

    @property
    def crs(self) -> pyproj.CRS:
        """Coordinate reference system."""
        return self.info.crs

    def read(self, window: Window, per_band: bool = False) -> np.ndarray:
        """Vectors of a window.

        Args:
            window: North-up pixels, inside the raster.
            per_band: Keep the valid bands of a pixel that lacks others.
        Returns:
            (C, h, w), float32; NaN in all bands of an invalid pixel, or with `per_band` in its invalid bands.
        """
        stored, mask = self.read_stored(window)
        shape = stored.shape
        values, valid = self.decode(stored.reshape(self.bands, -1), None if mask is None else mask.ravel())
        values[:, ~valid.all(axis=0) if not per_band else slice(0)] = np.nan
        if per_band:
            values[~np.broadcast_to(valid, values.shape)] = np.nan
        return values.reshape(shape)

    def read_stored(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """The file's own numbers (C, h, w) and its own mask (h, w) if it has one: a fraction of the memory of floats.

        Meant to be read ahead in one thread and handed to `decode` in pieces by another.
        """
        return self._reader.read_stored(window)

    def read_overview(self, side_px: int) -> np.ndarray:
        """The file's own numbers at every n-th pixel, (C, h, w) with h, w <= side_px."""
        return read_overview(self._reader, side_px)

    def decode(
        self, stored: np.ndarray, mask: np.ndarray | None = None, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Turn stored numbers into vectors, ready to be summed: whatever is invalid becomes 0.

        Args:
            stored: (C, N) in the file's dtype.
            mask: (N,) bool, the file's own mask.
            out: (C, N) float32 array to fill.
        Returns:
            values: (C, N) float32, 0 in invalid bands.
            valid: (1, N) bool if in every pixel all bands agree, else (C, N).
        Raises:
            ShapeError: another number of bands.
        """
        if stored.shape[0] != self.bands:
            raise ShapeError(f"{self.info.path} has {self.bands} bands, got an array {stored.shape}.")
        out = np.empty(stored.shape, np.float32) if out is None else out
        if self.quantization == "alphaearth":
            dequantize_alphaearth(stored, out)
        else:
            np.copyto(out, stored, casting="same_kind" if not self._integers else "unsafe")
            if self.quantization == "scale":
                out *= self._scale
                out += self._offset
        valid = self._valid(stored, out)
        if mask is not None and not mask.all():
            valid = valid & mask
        if not valid.all():
            if len(valid) == 1:
                out[:, ~valid[0]] = 0
            else:
                out[~valid] = 0
        return out, valid

    def _valid(self, stored: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Validity, (1, N) where bands agree, else (C, N). The common cases cost one cheap pass."""
        if self._integers:
            if self._nodata is None:
                return np.ones((1, stored.shape[1]), bool)
            nodata = self._nodata
            if (nodata == np.iinfo(stored.dtype).min).all() and (stored.min(axis=0) != nodata[0]).all():
                return np.ones((1, stored.shape[1]), bool)
            valid = stored != nodata[:, None]
        else:
            # A sum over bands is finite only if every band is (an overflow merely costs the exact test below).
            with np.errstate(over="ignore", invalid="ignore"):
                finite = bool(np.isfinite(values.sum(axis=0)).all())
            if finite and self._nodata is None:
                return np.ones((1, stored.shape[1]), bool)
            valid = np.isfinite(values)
            if self._nodata is not None:
                valid &= stored != self._nodata[:, None]
        every: np.ndarray = np.asarray(valid.all(axis=0, keepdims=True))
        return every if (every == valid.any(axis=0)).all() else valid


def _resolve(info: RasterInfo, quantization: str) -> str:
    """The decoding that a choice means for a file: "alphaearth", "scale" or "none"."""
    declared = any(scale != 1 for scale in info.scales) or any(offset != 0 for offset in info.offsets)
    if quantization == "auto":
        if info.quantization == ALPHAEARTH and info.dtype == "int8":
            return ALPHAEARTH
        if declared:
            return "scale"
        codes = info.dtype == "int8" and info.count == ALPHAEARTH_BANDS and set(info.nodata) == {ALPHAEARTH_NODATA}
        return "alphaearth" if codes else "none"
    if quantization == "none":
        return "none"
    if quantization != "alphaearth":
        raise ConfigError(f"Quantization {quantization!r} is not known.", "Choose auto, alphaearth or none.")
    if info.dtype != "int8":
        raise ConfigError(
            f"Raster {info.path}: AlphaEarth codes are int8, found {info.dtype}.",
            "Choose the quantization auto or none.",
        )
    return "alphaearth"

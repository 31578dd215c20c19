"""Pictures of regions, cut out of any raster: three bands of 8 bits, and which of their pixels are data.

8-bit bands are taken as they are. Others are stretched between the 2nd and 98th percentile of a sample of the regions'
pixels; the limits belong to the model, so that another raster of the same kind is stretched alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from urbanfm_core.data.frames import RegionFrames, polygon_mask, region_frames
from urbanfm_core.data.raster_file import RasterFile
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, CRSError, EmptyInputError, InputError, NoOverlapError
from urbanfm_core.geo.crops import Crop, iter_crops
from urbanfm_core.geo.crs import same_crs
from urbanfm_core.geo.footprints import repeat_ranges
from urbanfm_core.geo.raster import gdal_env, nodata_array
from urbanfm_core.geo.resample import axis_weights, weighted_mean
from urbanfm_core.progress import Progress

__all__ = ["Imagery", "RegionFrames", "Stretch", "polygon_mask", "region_frames"]

PERCENTILES = (2.0, 98.0)
# A pixel of a picture is data if so much of its window is.
_MIN_SHARE = 0.5
# Side of a crop read at once, in pixels of the raster; a larger frame is put together from several.
_CROP_PX = 1024
_SAMPLE_FRAMES, _SAMPLE_PX = 64, 128
_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@dataclass(frozen=True)
class Stretch:
    """Stored values that become 0 and 255, per channel."""

    low: tuple[float, ...]
    high: tuple[float, ...]


class Imagery(RasterFile):
    """Cuts pictures of regions out of a raster. Use as a context manager, or close it.

    Args:
        path: Raster file, in any CRS, north-up or south-up.
        bands: Numbers of the bands for red, green and blue, from 1; one number for grey. None takes the bands that
            the file calls red, green and blue, else the first three, else the first as grey.
        stretch: Limits for rasters that are not 8-bit; None finds them when they are first needed.
    Attributes:
        bands: The three bands taken.
        stretch: The limits; None for 8-bit rasters and until they are found.
        notes: What a report should mention.
    Raises:
        InputError, CRSError: as `inspect_raster`; or the bands hold the numbers of a colour table, or complex numbers.
        ConfigError: bands that the raster does not have.
    """

    def __init__(self, path: str | Path, bands: Sequence[int] | None = None, stretch: Stretch | None = None) -> None:
        super().__init__(path)
        self.notes: list[str] = []
        roles = self._roles()
        self._alpha = next((place for place, role in enumerate(roles) if role == ColorInterp.alpha), None)
        self.bands = self._choose(bands, roles)
        self._taken = np.array(self.bands) - 1
        self._nodata = nodata_array(self.info)
        self.stretch = stretch if self.needs_stretch else None

    @property
    def needs_stretch(self) -> bool:
        """Whether the raster is not 8-bit."""
        return self.info.dtype != "uint8"

    def to_json(self) -> dict[str, Any]:
        """Bands and limits as plain data, to be kept in a checkpoint."""
        limits = None if self.stretch is None else [list(self.stretch.low), list(self.stretch.high)]
        return {"bands": list(self.bands), "stretch": limits}

    @classmethod
    def open_like(cls, path: str | Path, settings: Mapping[str, Any]) -> Imagery:
        """A raster with the bands and limits that `to_json` described."""
        limits = settings["stretch"]
        stretch = None if limits is None else Stretch(tuple(limits[0]), tuple(limits[1]))
        return cls(path, settings["bands"], stretch)

    def region_footprints(self, regions: RegionSet, size_px: int, pixel_m: float) -> RegionFrames:
        """The square of each region in the raster's CRS; see `data.frames.region_frames`."""
        return region_frames(regions, size_px, pixel_m, self.info)

    def on_raster(self, frames: RegionFrames) -> NDArray[np.bool_]:
        """Which frames share ground with the raster, (R,)."""
        edges = self._edges(frames.bounds)
        return np.asarray(((edges[:, :2] < self._size) & (edges[:, 2:] > 0)).all(axis=1))

    def require_overlap(self, frames: RegionFrames) -> None:
        """Check that some frame lies on the raster.

        Raises:
            NoOverlapError: none does.
        """
        if not self.on_raster(frames).any():
            west, south, east, north = self.info.bounds
            raise NoOverlapError(
                f"None of {len(frames):,} regions lies on the imagery {self.info.path}, which spans x {west:.6g} to "
                f"{east:.6g}, y {south:.6g} to {north:.6g} ({self.info.crs.name}).",
                "Check that regions and imagery show the same place and carry the right CRS.",
            )

    def fit_stretch(self, frames: RegionFrames, seed: int = 0, progress: Progress | None = None) -> None:
        """Find the limits of the stretch, if the raster needs one and has none yet.

        Args:
            frames: Where to look: at the middle of 64 of them, drawn at random, and of all if those hold nothing.
            seed: For the draw.
            progress: Reports and cancels.

        Raises:
            EmptyInputError: no frame holds a valid pixel.
        """
        if not self.needs_stretch or self.stretch is not None:
            return
        edges = self._edges(frames.bounds)
        on = np.flatnonzero(self.on_raster(frames))
        drawn = np.random.default_rng(seed).permutation(on)[:_SAMPLE_FRAMES]
        for rows in (np.sort(drawn), on):
            # From the middle outwards, so far as there is raster; at least one pixel.
            middle = (edges[rows, :2] + edges[rows, 2:]) / 2
            top_left = np.maximum(np.maximum(edges[rows, :2], middle - _SAMPLE_PX / 2), 0)
            bottom_right = np.minimum(np.minimum(edges[rows, 2:], middle + _SAMPLE_PX / 2), self._size)
            top_left = np.clip(np.floor(top_left), 0, self._size - 1).astype(np.int64)
            shape = np.maximum(np.ceil(bottom_right).astype(np.int64) - top_left, 1)
            boxes = np.hstack([top_left, shape])
            found = []
            for crop in iter_crops(self._reader, boxes, progress=progress):
                values, valid = self._decode(crop)
                found.append(values.reshape(len(values), -1) if valid is None else values[:, valid])
            sample = np.concatenate(found, axis=1) if found else np.zeros((3, 0))
            if sample.shape[1]:
                low, high = np.percentile(sample, PERCENTILES, axis=1)
                high = np.where(high > low, high, low + 1)
                self.use_stretch(Stretch(tuple(low.tolist()), tuple(high.tolist())))
                return
        raise EmptyInputError(
            f"Imagery {self.info.path}: no valid pixel in any of {len(frames):,} regions.",
            "Check its nodata value and that it covers the regions.",
        )

    def use_stretch(self, stretch: Stretch) -> None:
        """Take limits that were found for these regions, and say so."""
        self.stretch = stretch
        limits = ", ".join(f"{low:.6g} to {high:.6g}" for low, high in zip(stretch.low, stretch.high, strict=True))
        self.notes.append(
            f"Imagery of {self.info.dtype} is stretched to 8 bits between its 2nd and 98th percentile: {limits}."
        )

    def iter_images(
        self,
        frames: RegionFrames,
        size_px: int,
        *,
        rows: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.bool_]]]:
        """Pictures of frames, in the order in which the raster is read; each block of it is read once.

        Args:
            frames: Frames in the raster's CRS.
            size_px: Side of the pictures in pixels.
            rows: Frames to cut; all if None.
            progress: Reports and cancels.

        Yields:
            Row of the frame, (3, size_px, size_px) with 0 where there are no data, and (size_px, size_px) bool, True
            where there are. Frames off the raster come last.

        Raises:
            CRSError: the frames are in another CRS.
            EmptyInputError: the limits of the stretch are to be found, and there is no valid pixel.
            InputError: the raster is damaged.
            Cancelled: the caller asked to stop.
        """
        rows = np.arange(len(frames)) if rows is None else np.asarray(rows, np.int64)
        if not same_crs(frames.crs, self.info.crs):
            raise CRSError(
                f"Frames in {frames.crs.name} do not lie on imagery in {self.info.crs.name}.",
                "Make them with region_footprints of this raster.",
            )
        if self.on_raster(frames).any():
            self.fit_stretch(frames)
        on = self.on_raster(frames)[rows]
        tiles = _Tiles(self._edges(frames.bounds[rows[on]]), size_px, self._size)
        open_images: dict[int, _Open] = {}
        for crop in iter_crops(self._reader, tiles.boxes, progress=progress):
            place = int(tiles.frame[crop.index])
            if place not in open_images:
                open_images[place] = _Open.new(size_px, int(tiles.parts[place]))
            image = open_images[place]
            self._draw(crop, tiles, image)
            image.missing -= 1
            if not image.missing:
                del open_images[place]
                yield int(rows[on][place]), image.rgb, image.valid
        for row in rows[~on]:
            blank = _Open.new(size_px, 0)
            yield int(row), blank.rgb, blank.valid

    def _draw(self, crop: Crop, tiles: _Tiles, image: _Open) -> None:
        """Put the part of a picture that a crop shows into it."""
        values, valid = self._decode(crop)
        top, left, height, width = tiles.boxes[crop.index]
        first_row, first_column, last_row, last_column = tiles.target[crop.index]
        start, step = tiles.start[tiles.frame[crop.index]], tiles.step[tiles.frame[crop.index]]
        row_weights = axis_weights(start[0] + first_row * step[0] - top, step[0], last_row - first_row, height)
        column_weights = axis_weights(
            start[1] + first_column * step[1] - left, step[1], last_column - first_column, width
        )
        mean, share = weighted_mean(values, valid, row_weights, column_weights)
        if self.stretch is not None:
            low = np.array(self.stretch.low, np.float32)[:, None, None]
            mean = (mean - low) * (255 / (np.array(self.stretch.high, np.float32)[:, None, None] - low))
        there = slice(first_row, last_row), slice(first_column, last_column)
        image.valid[there] = share >= _MIN_SHARE
        image.rgb[:, *there] = np.rint(np.clip(mean, 0, 255)) * image.valid[there]

    def _decode(self, crop: Crop) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """The three bands as numbers, (3, h, w), 0 where missing, and which pixels are data; None if all are."""
        stored = crop.pixels[self._taken]
        valid = np.ones(stored.shape[1:], bool) if crop.valid is None else crop.valid
        if self._alpha is not None:
            valid = valid & (crop.pixels[self._alpha] > 0)
        if self._nodata is not None:
            marks = self._nodata[self._taken][:, None, None]
            # The darkest and the brightest colour are colours too, unless a pixel has them in all bands.
            ends = stored.dtype.kind == "u" and np.isin(marks, (0, np.iinfo(stored.dtype).max)).all()
            missing = stored == marks
            valid = valid & ~(missing.all(axis=0) if ends else missing.any(axis=0))
        with np.errstate(over="ignore"):
            values = stored.astype(np.float32)
        if stored.dtype.kind == "f":
            valid = valid & np.isfinite(values).all(axis=0)
        if valid.all():
            return values, None
        values[:, ~valid] = 0
        return values, valid

    @property
    def _size(self) -> NDArray[np.int64]:
        return np.array([self.info.height, self.info.width])

    def _edges(self, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Top, left, bottom and right of frames in pixels of the raster, (R, 4)."""
        grid = self.info.transform
        west, south, east, north = bounds.T
        return np.column_stack(
            [(north - grid.f) / grid.e, (west - grid.c) / grid.a, (south - grid.f) / grid.e, (east - grid.c) / grid.a]
        )

    def _roles(self) -> tuple[ColorInterp, ...]:
        path = self.info.path
        with gdal_env(), rasterio.open(path) as dataset:
            roles: tuple[ColorInterp, ...] = tuple(dataset.colorinterp)
        if ColorInterp.palette in roles:
            raise InputError(
                f"Imagery {path}: expected colours, found the numbers of a colour table.",
                "Convert it with: gdal_translate -expand rgb INPUT OUTPUT.tif",
            )
        if np.dtype(self.info.dtype).kind not in "uif":
            raise InputError(
                f"Imagery {path}: expected real numbers, found {self.info.dtype}.", "Export its amplitude."
            )
        return roles

    def _choose(self, bands: Sequence[int] | None, roles: tuple[ColorInterp, ...]) -> tuple[int, ...]:
        count = self.info.count
        if bands is not None:
            if len(bands) not in (1, 3) or not all(1 <= band <= count for band in bands):
                raise ConfigError(
                    f"Imagery {self.info.path} has {count} bands; bands {list(bands)} cannot be taken.",
                    "Name three of them for red, green and blue, counted from 1, or one for grey.",
                )
            return tuple(bands) * (3 // len(bands))
        if all(role in roles for role in _RGB):
            return tuple(roles.index(role) + 1 for role in _RGB)
        colours = [place + 1 for place in range(count) if place != self._alpha]
        if len(colours) >= 3:
            self.notes.append(f"Bands {colours[:3]} of the imagery are taken for red, green and blue.")
            return tuple(colours[:3])
        if not colours:
            raise InputError(f"Imagery {self.info.path}: it has no band but alpha.", "Choose another raster.")
        self.notes.append(f"Band {colours[0]} of the imagery is shown as grey.")
        return (colours[0],) * 3


@dataclass
class _Open:
    """A picture of which some crops are still to come."""

    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    missing: int

    @classmethod
    def new(cls, size: int, missing: int) -> _Open:
        return cls(np.zeros((3, size, size), np.uint8), np.zeros((size, size), bool), missing)


class _Tiles:
    """Frames cut into crops of bounded size, each of which makes whole pixels of the picture.

    Args:
        edges: (R, 4) top, left, bottom, right in pixels of the raster; each shares ground with it.
        size: Side of the pictures.
        limit: Rows and columns of the raster.
    Attributes:
        start, step: (R, 2) first row and column of a frame, and its pixel's height and width, in pixels of the raster.
        parts: (R,) crops of each frame.
        frame: (T,) frame of each crop.
        boxes: (T, 4) top, left, height and width to read, on the raster.
        target: (T, 4) rows and columns of the picture: first row, first column, and those after the last.
    """

    def __init__(self, edges: NDArray[np.float64], size: int, limit: NDArray[np.int64]) -> None:
        self.start = edges[:, :2]
        self.step = (edges[:, 2:] - edges[:, :2]) / size
        along = np.clip(np.ceil(self.step * size / _CROP_PX), 1, size).astype(np.int64)
        frame, number = repeat_ranges(np.zeros(len(edges), np.int64), along.prod(axis=1))
        place = np.column_stack(np.divmod(number, along[frame, 1]))
        first, last = place * size // along[frame], (place + 1) * size // along[frame]
        # Half an old pixel more on each side, for the window of interpolation.
        start, step = self.start[frame], self.step[frame]
        reach = np.maximum(0, (1 - step) / 2)
        top_left = np.maximum(np.floor(start + first * step - reach), 0)
        bottom_right = np.minimum(np.ceil(start + last * step + reach), limit)
        on = (bottom_right > top_left).all(axis=1)
        self.frame = frame[on]
        self.parts = np.bincount(self.frame, minlength=len(edges))
        self.boxes = np.hstack([top_left, bottom_right - top_left])[on].astype(np.int64)
        self.target = np.hstack([first, last])[on]

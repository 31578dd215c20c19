"""Pictures of all regions in the sample store: made once, in parts that a rerun keeps, read as memory-mapped bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.frames import RegionFrames, polygon_mask
from urbanfm_core.data.imagery import Imagery, Stretch
from urbanfm_core.data.store import SampleStore
from urbanfm_core.progress import Progress

PARTITION_BYTES = 64 << 20
# A channel that varies less than this, as a share of its range, is not made to vary.
_SMALLEST_STD = 1 / 255
_FULL_PATCH = 0.5
# Row, (3, H, W) pixels with 0 where there are no data, and where there are, (H, W).
Pictures = Iterator[tuple[int, NDArray[np.uint8], NDArray[np.bool_]]]


@dataclass(frozen=True)
class ImageStatistics:
    """Mean and standard deviation of each channel over valid pixels, as shares of 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_json(self) -> dict[str, list[float]]:
        """As plain data, to be kept in a checkpoint."""
        return {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[float]]) -> ImageStatistics:
        """The statistics that `to_json` described."""
        return cls(tuple(map(float, data["mean"])), tuple(map(float, data["std"])))


@dataclass(frozen=True)
class StoredImages:
    """Pictures of R regions; those without a valid pixel are not kept.

    Attributes:
        size_px: Side in pixels.
        valid_share: (R,) share of valid pixels in each picture.
        sums: (3, 3) float64: valid pixels, the sum of their values and of the squares, per channel.
        notes: What a report should mention.
    """

    size_px: int
    valid_share: NDArray[np.float64]
    sums: NDArray[np.float64]
    rgb: list[NDArray[np.uint8]] = field(repr=False)
    packed: list[NDArray[np.uint8]] = field(repr=False)
    part: NDArray[np.int64] = field(repr=False)
    place: NDArray[np.int64] = field(repr=False)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.part)

    @property
    def has_image(self) -> NDArray[np.bool_]:
        """Regions with a valid pixel, (R,)."""
        return self.part >= 0

    def take(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Pictures of some regions, (B, 3, H, W), 0 where there are no data, and where there are, (B, H, W) bool."""
        rows = np.asarray(rows, np.int64)
        size = self.size_px
        rgb, valid = np.zeros((len(rows), 3, size, size), np.uint8), np.zeros((len(rows), size, size), bool)
        for number, row in enumerate(rows.tolist()):
            part, place = self.part[row], self.place[row]
            if part >= 0:
                rgb[number] = self.rgb[part][place]
                valid[number] = np.unpackbits(self.packed[part][place], axis=-1, count=size)
        return rgb, valid

    def statistics(self) -> ImageStatistics:
        """Mean and deviation per channel over all valid pixels; 0 and 1 if there are none."""
        return combined_statistics([self])


def stored_images(
    imagery: Imagery,
    frames: RegionFrames,
    size_px: int,
    store: SampleStore,
    *,
    context: bool = True,
    progress: Progress | None = None,
) -> StoredImages:
    """Pictures of regions: from the store, or made and kept there; finished parts are not made again.

    Parts follow the rows of the raster, so that little of it is read twice.

    Args:
        imagery: The raster. Limits of its stretch are found if needed, and kept in the store.
        frames: Frames of the regions in its CRS.
        size_px: Side of the pictures.
        store: Where they are kept.
        context: Whether what surrounds a region in its frame counts as data.
        progress: Reports and cancels.

    Raises:
        NoOverlapError: no frame lies on the raster.
        EmptyInputError, InputError, OutputError, Cancelled: as `Imagery.iter_images` and `SampleStore.save`.
    """
    imagery.require_overlap(frames)
    progress = progress or Progress()
    store_stretch(imagery, frames, store, progress.part(0.0, 0.05))
    shapes = "" if context else b"".join(polygon.wkb for polygon in frames.geometry)
    folder = f"images/{_key(frames.bounds.tobytes(), shapes, size_px, json.dumps(imagery.to_json()))}"
    on = np.flatnonzero(imagery.on_raster(frames))
    order = on[np.argsort(-frames.bounds[on, 3], kind="stable")]

    def pictures(rows: NDArray[np.int64], told: Progress) -> Pictures:
        for row, image, valid in imagery.iter_images(frames, size_px, rows=rows, progress=told):
            if not context:
                valid &= polygon_mask(frames.geometry[row], frames.bounds[row], size_px)
                image *= valid
            yield row, image, valid

    found = collect_images(pictures, order, len(frames), size_px, store, folder, progress.part(0.05, 1.0))
    notes = [*frames.notes, *imagery.notes, *_coverage_notes(found.part, found.valid_share, context)]
    return replace(found, notes=notes)


def collect_images(
    pictures: Callable[[NDArray[np.int64], Progress], Pictures],
    order: NDArray[np.int64],
    count: int,
    size_px: int,
    store: SampleStore,
    folder: str,
    progress: Progress,
) -> StoredImages:
    """Pictures in parts of the store; finished parts are not made again.

    Args:
        pictures: Makes the pictures of some rows, in any order: row, (3, size_px, size_px), and which pixels are data.
        order: Rows to make, in the order in which they are cheap to make.
        count: Number of rows in all.
        size_px: Side of the pictures.
        store: Where they are kept.
        folder: Name of their place in it, which tells everything that they depend on.
        progress: Reports and cancels.
    """
    step = max(1, PARTITION_BYTES // (3 * size_px**2))
    share, part, place = np.zeros(count), np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    sums, rgb, packed = np.zeros((3, 3)), [], []
    for number, begin in enumerate(range(0, len(order), step)):
        rows = np.sort(order[begin : begin + step])
        name = f"{folder}/{number:05d}"
        if not store.has(name):
            told = progress.part(begin / len(order), (begin + len(rows)) / len(order))
            store.save(name, **_partition(pictures(rows, told), len(rows), size_px))
        found = store.load(name)
        kept = found["row"]
        part[kept], place[kept], share[kept] = number, np.arange(len(kept)), found["share"]
        sums += found["sums"]
        rgb.append(found["rgb"])
        packed.append(found["valid"])
    return StoredImages(size_px, share, sums, rgb, packed, part, place)


def combined_statistics(images: Sequence[StoredImages]) -> ImageStatistics:
    """Mean and deviation per channel over the valid pixels of several cities; 0 and 1 if there are none."""
    pixels, total, squares = sum((one.sums for one in images), np.zeros((3, 3)))
    if not pixels.all():
        return ImageStatistics((0.0,) * 3, (1.0,) * 3)
    mean = total / pixels / 255
    std = np.sqrt(np.maximum(squares / pixels / 255**2 - mean**2, 0))
    return ImageStatistics(tuple(mean.tolist()), tuple(np.maximum(std, _SMALLEST_STD).tolist()))


def normalised(rgb: NDArray[np.uint8], valid: NDArray[np.bool_], statistics: ImageStatistics) -> NDArray[np.float32]:
    """Pictures as a network reads them: mean 0 and deviation 1 per channel, and 0 where there are no data.

    Args:
        rgb: (B, 3, H, W).
        valid: (B, H, W).
        statistics: Of the pictures that the network learns from.
    """
    std = np.array(statistics.std, np.float32)[:, None, None]
    scaled = rgb * (1 / (255 * std)) - np.array(statistics.mean, np.float32)[:, None, None] / std
    scaled *= valid[:, None]
    return scaled


def patch_validity(valid: NDArray[np.bool_], patch_px: int) -> NDArray[np.bool_]:
    """Which patches show data: half of their pixels or more; in a picture without such a patch, the fullest.

    Args:
        valid: (B, H, W), H and W multiples of the patch.
        patch_px: Side of a patch.

    Returns:
        (B, N) bool, row by row from the north-west.
    """
    count, height, width = valid.shape
    tiles = valid.reshape(count, height // patch_px, patch_px, width // patch_px, patch_px)
    share = tiles.mean(axis=(2, 4)).reshape(count, -1)
    enough = np.minimum(share.max(axis=1, keepdims=True, initial=0), _FULL_PATCH)
    shown: NDArray[np.bool_] = (share >= enough) & (share > 0)
    return shown


def store_stretch(imagery: Imagery, frames: RegionFrames, store: SampleStore, progress: Progress) -> None:
    """The limits of the stretch: the raster's own, from the store, or found and kept there."""
    if not imagery.needs_stretch or imagery.stretch is not None:
        return
    name = f"stretch/{_key(frames.bounds.tobytes(), json.dumps(imagery.to_json()))}"
    if not store.has(name):
        imagery.fit_stretch(frames, progress=progress)
        if imagery.stretch is not None:
            store.save(name, low=np.array(imagery.stretch.low), high=np.array(imagery.stretch.high))
        return
    found = store.load(name)
    imagery.use_stretch(Stretch(tuple(found["low"].tolist()), tuple(found["high"].tolist())))


def _partition(pictures: Pictures, count: int, size_px: int) -> dict[str, NDArray[Any]]:
    """Up to `count` pictures with their sums; those without a valid pixel are left out."""
    kept: list[int] = []
    rgb = np.zeros((count, 3, size_px, size_px), np.uint8)
    packed = np.zeros((count, size_px, -(-size_px // 8)), np.uint8)
    share, sums = np.zeros(count), np.zeros((3, 3))
    for row, image, valid in pictures:
        if not valid.any():
            continue
        place = len(kept)
        kept.append(row)
        rgb[place], packed[place], share[place] = image, np.packbits(valid, axis=-1), valid.mean()
        # Exact in whole numbers, so that the order of regions does not matter.
        counts = np.stack([np.bincount(channel.ravel(), minlength=256) for channel in image])
        counts[:, 0] -= int((~valid).sum())
        levels = np.arange(256)
        sums += np.stack([counts.sum(axis=1), counts @ levels, counts @ levels**2])
    end = len(kept)
    return {
        "row": np.array(kept, np.int64),
        "rgb": rgb[:end],
        "valid": packed[:end],
        "share": share[:end],
        "sums": sums,
    }


def _coverage_notes(part: NDArray[np.int64], share: NDArray[np.float64], context: bool) -> list[str]:
    without, partly = int((part < 0).sum()), int(((share > 0) & (share < 1)).sum())
    notes = []
    if without:
        notes.append(f"{without:,} of {len(part):,} regions have no imagery.")
    if partly and context:
        notes.append(f"{partly:,} of {len(part):,} regions are covered by imagery in part.")
    return notes


def _key(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else str(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]

"""From a city's layers to the pictures that a network looks at, and from their vectors back to the regions.

A region has one picture from above, cut from `imagery`, or any number of street views, whose vectors are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.image_store import ImageStatistics, StoredImages, stored_images
from urbanfm_core.data.imagery import Imagery
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.data.streetview import StreetViews, stored_views
from urbanfm_core.errors import NoOverlapError
from urbanfm_core.models.batches import Batches
from urbanfm_core.models.exchange import RegionVectors, Trained, WindowFunction
from urbanfm_core.models.image_text.augment import plain
from urbanfm_core.progress import Progress

View = Literal["imagery", "streetview"]
# Pictures computed at once where nobody chose, and kept as one partition.
_BATCH = {"cpu": 16, "cuda": 256, "mps": 64}
_PARTITION = 2048


class PictureConfig(Protocol):
    """What a method's configuration says of its pictures."""

    @property
    def image_size(self) -> int:
        """Side of the pictures, pixels."""

    @property
    def pixel_m(self) -> float:
        """Metres per pixel of pictures from above; 0 fits the picture to each region's longer side."""

    @property
    def context(self) -> bool:
        """Whether pictures from above show what lies around a region too."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a city's regions.

    Attributes:
        view: Which input they come from.
        images: K pictures, as bytes in memory-mapped files.
        picture, region: (P,) rows of pictures and of the regions that they show; a street view on a border shows two.
        keys: (K,) what captions call each: the region's id for pictures from above, else the picture's name.
        regions: Number of regions R.
        settings: How they were made, to be kept in a checkpoint; JSON-like.
        notes: What a report should mention.
    """

    view: View
    images: StoredImages
    picture: NDArray[np.int64]
    region: NDArray[np.int64]
    keys: NDArray[np.object_]
    regions: int
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def from_above(self) -> bool:
        """Whether up and down, left and right mean nothing in them."""
        return self.view == "imagery"

    @property
    def kind(self) -> Literal["satellite", "street"]:
        """What captions call the kind of picture."""
        return "satellite" if self.from_above else "street"

    def take(self, rows: NDArray[np.int64], statistics: ImageStatistics) -> NDArray[np.uint8]:
        """Pictures, (B, 3, H, W); pixels without data take the mean colour, which a network reads as 0."""
        return _filled(*self.images.take(rows), statistics)

    def coverage(self) -> NDArray[np.float32]:
        """(R,) share of valid pixels of the picture from above; for street views 1 where a region has one."""
        found = np.zeros(self.regions, np.float32)
        share = self.images.valid_share if self.from_above else self.images.has_image
        np.maximum.at(found, self.region, share[self.picture].astype(np.float32))
        return found


def picture_inputs(
    city: CityInputs,
    config: PictureConfig,
    view: View,
    store: SampleStore,
    progress: Progress,
    settings: Mapping[str, Any] | None = None,
) -> Pictures:
    """The pictures of the city's regions.

    Args:
        city: With regions, and the input that the view names.
        config: Sizes.
        view: 'imagery' for pictures from above, 'streetview' for street views.
        store: Where decoded pictures are kept.
        progress: Reports and cancels.
        settings: `Pictures.settings` of the training; None to find what the data ask for.
    Raises:
        ConfigError: the input or the regions were not given.
        NoOverlapError: no region has a picture.
        EmptyInputError: no picture can be opened.
    """
    regions = city.require_regions()
    path = city.require_path(view)
    if view == "streetview":
        return _street_views(path, regions, config.image_size, store, progress)
    bands = list(city.imagery_bands) or None
    with Imagery(path, bands) if settings is None else Imagery.open_like(path, settings) as raster:
        frames = raster.region_footprints(regions, config.image_size, config.pixel_m)
        images = stored_images(raster, frames, config.image_size, store, context=config.context, progress=progress)
        # The side that windows of imagery have where no region tells one.
        kept = {**raster.to_json(), "side_m": float(np.median(frames.side_m))}
    rows = np.arange(len(regions))
    return Pictures(view, images, rows, rows, np.array(regions.ids, dtype=object), len(rows), kept, images.notes)


def _street_views(
    path: str | Path, regions: RegionSet, size_px: int, store: SampleStore, progress: Progress
) -> Pictures:
    """The street views that were taken in the regions."""
    views = StreetViews.read(path, progress.part(0.0, 0.1))
    starts, rows = views.assign(regions)
    notes = views.coverage_notes(starts, rows)
    used, picture = np.unique(rows, return_inverse=True)
    if not len(used):
        raise NoOverlapError(
            f"None of {len(views):,} street views lies in one of {len(regions):,} regions.",
            "Check that regions and street views show the same place and carry the right CRS.",
        )
    views = views.take(used)
    images = stored_views(views, size_px, store, progress.part(0.1, 1.0))
    region = np.repeat(np.arange(len(regions)), np.diff(starts))
    return Pictures("streetview", images, picture, region, views.key, len(regions), {}, [*images.notes, *notes])


def window_function(
    trained: Trained,
    settings: Mapping[str, Any] | None,
    statistics: ImageStatistics,
    width: int,
    encode: Callable[[Tensor], Tensor],
) -> WindowFunction:
    """How a network that reads pictures from above embeds windows of imagery.

    Args:
        trained: Device, precision, size of batch and notes.
        settings: `Pictures.settings` of the training; None where nobody knows.
        statistics: Of the pictures that the network learned from.
        width: D.
        encode: Normalised pictures (B, 3, H, W) to vectors (B, D).
    """
    at_once = trained.batch_size or _BATCH[trained.device.type]
    batches = Batches(trained.device, at_once, trained.notes, doing="embedding", noun="window")

    def vectors(rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        found = np.empty((len(rgb), width), np.float32)

        def one(part: slice) -> None:
            images = torch.from_numpy(_filled(rgb[part], valid[part], statistics)).to(trained.device)
            with trained.arithmetic():
                found[part] = encode(plain(images, statistics)).float().cpu().numpy()

        batches.run(len(rgb), one)
        return found

    config: PictureConfig = trained.config
    fixed = config.image_size * config.pixel_m
    return WindowFunction(config.image_size, fixed or (settings or {}).get("side_m"), width, settings, at_once, vectors)


def _filled(rgb: NDArray[np.uint8], valid: NDArray[np.bool_], statistics: ImageStatistics) -> NDArray[np.uint8]:
    mean = np.rint(np.array(statistics.mean) * 255).astype(np.uint8)
    return np.where(valid[:, None], rgb, mean[:, None, None])


def region_vectors(
    trained: Trained,
    pictures: Pictures,
    statistics: ImageStatistics,
    width: int,
    encode: Callable[[Tensor], Tensor],
    store: SampleStore,
    progress: Progress,
) -> RegionVectors:
    """One vector per region: that of its picture, or the mean of those of its pictures.

    Args:
        trained: Device, precision, size of batch and notes.
        pictures: K pictures of R regions.
        statistics: Of the pictures that the network learned from.
        width: D.
        encode: Normalised pictures (B, 3, H, W) to vectors (B, D).
        store: Keeps finished parts; must belong to this network and these pictures.
        progress: Reports and cancels.
    Returns:
        (R, D), NaN for a region without a picture, with the coverage of its view.
    """
    batches = Batches(
        trained.device,
        trained.batch_size or _BATCH[trained.device.type],
        trained.notes,
        doing="embedding",
        noun="picture",
    )
    order = np.flatnonzero(pictures.images.has_image)
    by_picture = np.full((len(pictures), width), np.nan, np.float32)
    for number, start in enumerate(progress.track(range(0, len(order), _PARTITION), "partitions")):
        rows = order[start : start + _PARTITION]
        name = f"vectors/{number:05d}"
        if not store.has(name):
            found = np.empty((len(rows), width), np.float32)

            def one(part: slice, rows: NDArray[np.int64] = rows, found: NDArray[np.float32] = found) -> None:
                progress.check()
                images = torch.from_numpy(pictures.take(rows[part], statistics)).to(trained.device)
                with trained.arithmetic():
                    found[part] = encode(plain(images, statistics)).float().cpu().numpy()

            batches.run(len(rows), one)
            store.save(name, vectors=found)
        by_picture[rows] = store.load(name)["vectors"]
    shown = pictures.images.has_image[pictures.picture]
    region = pictures.region[shown]
    total, count = np.zeros((pictures.regions, width)), np.bincount(region, minlength=pictures.regions)
    np.add.at(total, region, by_picture[pictures.picture[shown]])
    vectors = np.full((pictures.regions, width), np.nan, np.float32)
    seen = count > 0
    vectors[seen] = total[seen] / count[seen, None]
    notes = list(pictures.notes)
    if not seen.all():
        notes.append(f"{int((~seen).sum()):,} of {len(seen):,} regions have no picture and no vector.")
    notes += trained.precision_notes()
    return RegionVectors(vectors, {pictures.view: pictures.coverage()}, notes)

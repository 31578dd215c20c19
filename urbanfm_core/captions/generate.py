"""Captions made by captioners: for the pictures of regions from above, and for street views."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np

from urbanfm_core.captions.captioners import Captioner, Picture
from urbanfm_core.data.captions import CaptionSet, Kind
from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.image_store import StoredImages, stored_images
from urbanfm_core.data.imagery import Imagery
from urbanfm_core.data.regions import RegionSet, id_text
from urbanfm_core.data.store import SampleStore
from urbanfm_core.data.streetview import stored_views
from urbanfm_core.errors import ConfigError
from urbanfm_core.progress import Progress
from urbanfm_core.resources import resource


class _Pictures(Sequence[Picture]):
    """Pictures that are read one by one, also those of a slice."""

    @overload
    def __getitem__(self, place: int) -> Picture: ...
    @overload
    def __getitem__(self, place: slice) -> list[Picture]: ...
    def __getitem__(self, place: int | slice) -> Picture | list[Picture]:
        if isinstance(place, slice):
            return [self._read(number) for number in range(*place.indices(len(self)))]
        return self._read(place)

    @abstractmethod
    def _read(self, place: int) -> Picture: ...


@dataclass(frozen=True)
class PictureSet(_Pictures):
    """N pictures of one kind, read from the store one by one.

    Attributes:
        kind: What they show.
        region: (N,) region of each; "" where none is told.
        image: (N,) name of each; "" where the region tells it.
        images: The store's pictures.
        rows: (N,) their rows in it.
        notes: What was left out, with counts.
    """

    kind: Kind
    region: list[str]
    image: list[str]
    images: StoredImages
    rows: list[int]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def _read(self, place: int) -> Picture:
        picture: Picture = self.images.take(np.array([self.rows[place]]))[0][0]
        return picture


class _Joined(_Pictures):
    """The pictures of several sets in a row."""

    def __init__(self, sets: Sequence[PictureSet]) -> None:
        self._sets = sets
        self._ends = np.cumsum([len(one) for one in sets])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def _read(self, place: int) -> Picture:
        if not 0 <= place < len(self):
            raise IndexError(place)
        number = int(np.searchsorted(self._ends, place, side="right"))
        return self._sets[number][place - int(self._ends[number]) + len(self._sets[number])]


def satellite_pictures(
    city: CityInputs, regions: RegionSet, size_px: int, pixel_m: float, store: SampleStore, progress: Progress
) -> PictureSet:
    """The picture from above of each region that has one.

    Args:
        city: Names the imagery.
        regions: R regions.
        size_px: Side of the pictures.
        pixel_m: Metres per pixel; 0 shows each region whole.
        store: Keeps the pictures.
        progress: Reports and cancels.

    Raises:
        ConfigError, InputError, NoOverlapError: the imagery is not given, cannot be read, or lies elsewhere.
    """
    with Imagery(city.require_path("imagery"), city.imagery_bands or None) as imagery:
        frames = imagery.region_footprints(regions, size_px, pixel_m)
        images = stored_images(imagery, frames, size_px, store, progress=progress)
    rows = np.flatnonzero(images.has_image)
    return PictureSet(
        "satellite", [id_text(regions.ids[row]) for row in rows], [""] * len(rows), images, rows.tolist(), images.notes
    )


def street_pictures(
    city: CityInputs, regions: RegionSet | None, size_px: int, store: SampleStore, progress: Progress
) -> PictureSet:
    """All street views whose files can be read, with the region that each belongs to, if regions are given.

    Args:
        city: Names the street views.
        regions: Regions, or None.
        size_px, store, progress: See `satellite_pictures`.

    Raises:
        ConfigError, InputError: the street views are not given or cannot be read.
    """
    views = city.read_streetview(progress.part(0.0, 0.1))
    images = stored_views(views, size_px, store, progress.part(0.1, 1.0))
    rows, notes = np.flatnonzero(images.has_image), list(images.notes)
    region = views.region.copy()
    if regions is not None:
        starts, members = views.assign(regions)
        owners = np.repeat(np.arange(len(regions)), np.diff(starts))
        region[:] = ""
        # Of a view in several regions the first counts here; training looks again.
        region[members[::-1]] = [id_text(regions.ids[owner]) for owner in owners[::-1]]
        notes += views.coverage_notes(starts, members)
    return PictureSet("street", region[rows].tolist(), views.key[rows].tolist(), images, rows.tolist(), notes)


def read_caption_prompt(kind: Kind, path: str | Path | None = None) -> str:
    """The words with which a captioner is asked.

    Args:
        kind: Kind of picture.
        path: Text file; None for the one that ships.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    file = resource("prompts", f"caption_{kind}.txt") if path is None else Path(path).expanduser()
    try:
        text = " ".join(file.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The prompt {file} cannot be read: {error}.", "Give a text file in UTF-8.") from error
    if not text:
        raise ConfigError(f"The prompt {file} is empty.", "Write what the captioner is asked to do.")
    return text


def make_captions(
    sets: Sequence[PictureSet],
    captioners: Sequence[Captioner],
    prompts: Sequence[str],
    progress: Progress | None = None,
) -> CaptionSet:
    """One caption of each picture by each captioner, those that are empty included.

    Args:
        sets: Pictures.
        captioners: Who describes them.
        prompts: One for each set.
        progress: Reports and cancels.

    Raises:
        RemoteError, Cancelled: as `Captioner.describe`; what was described before is kept.
    """
    progress = progress or Progress()
    pictures = _Joined(sets)
    asked = [prompt for one, prompt in zip(sets, prompts, strict=True) for _ in one.rows]
    where = [place for one in sets for place in zip(one.region, one.image, [one.kind] * len(one), strict=True)]
    rows: list[tuple[str, str, str, str, str]] = []
    notes = [note for one in sets for note in one.notes]
    for number, captioner in enumerate(captioners):
        told = progress.part(number / len(captioners), (number + 1) / len(captioners))
        texts = captioner.describe(pictures, asked, told)
        rows += [(*place, captioner.name, text) for place, text in zip(where, texts, strict=True)]
        silent = sum(not text for text in texts)
        notes += captioner.notes
        if silent:
            notes.append(f"The captioner {captioner.name} wrote nothing about {silent:,} of {len(texts):,} pictures.")
    return CaptionSet.from_rows(rows, notes)

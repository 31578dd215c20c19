"""What ReFound's teachers say of the regions of one or several cities, and the words of their patches.

Answers are kept in the store of each city, so that a city which changes leaves those of the others in use. What a teacher
knows only by comparison, and the words of the patches, belong to all cities together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.data.image_store import StoredImages
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, about
from urbanfm_core.models.descriptions import (
    Descriptions,
    description_table,
    group_pois,
    region_descriptions,
    split_language_spec,
)
from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.layers import CityLayers
from urbanfm_core.models.refound.sequence import RegionSequences
from urbanfm_core.models.teachers import Kind, TeacherFeatures, standardised, teacher_features
from urbanfm_core.models.visual_tokens import VisualTokens, fit_visual_tokens, load_visual_tokens, stored_visual_tokens
from urbanfm_core.progress import Progress

CODEBOOK = "codebook"
T = TypeVar("T")
# The objective that each teacher serves.
_OBJECTIVE: dict[Kind, str] = {"language": "dlfm", "vision": "dvfm", "vision_language": "dvlfm"}


@dataclass(frozen=True)
class CityRegions:
    """A city that is trained on, as far as it is read.

    Attributes:
        name: As notes and errors call it.
        layers: Points and pictures.
        sequences: Of the points.
        store: Keeps what is said of it.
        notes: What a report should mention, in sentences.
    """

    name: str
    layers: CityLayers
    sequences: RegionSequences
    store: SampleStore
    notes: list[str]

    def __len__(self) -> int:
        return len(self.layers.regions)

    def images_key(self, config: RefoundConfig) -> str:
        """What its pictures depend on and the name of its store does not tell."""
        settings = json.dumps([config.image_size, config.context, self.layers.imagery])
        return hashlib.sha256(self.layers.frames.bounds.tobytes() + settings.encode()).hexdigest()[:16]


class Teachers:
    """Asks the teachers that the configuration names, about what the cities have.

    Args:
        config: Names the teachers.
        cities: Their regions, R in all; notes are added to each.
        images: Pictures of all R regions; None without imagery.
        device: Of local models.
        progress: Reports and cancels.
    Attributes:
        identities: Which teacher each was, by kind.
        notes: What concerns all cities.
        words: Number of words of the patches; 0 before `visual_tokens`.
    """

    def __init__(
        self,
        config: RefoundConfig,
        cities: Sequence[CityRegions],
        images: StoredImages | None,
        device: str,
        progress: Progress,
    ) -> None:
        self._config, self._cities, self._images = config, cities, images
        self._device, self._progress = device, progress
        self.identities: dict[str, str] = {}
        self.notes: list[str] = []
        self.words = 0
        self._described: list[tuple[CityRegions, Descriptions]] = []

    def vectors(self) -> dict[str, NDArray[np.float32]]:
        """What the teachers say of the regions, (R, D) each; only those that are named and have something to look at."""
        found = {kind: self._ask(kind, switch) for kind, switch in _OBJECTIVE.items()}
        return {kind: vectors for kind, vectors in found.items() if vectors is not None}

    def descriptions(self) -> pd.DataFrame | None:
        """What the language teacher was told; None before `vectors`, and where it was not asked."""
        if not self._described:
            return None
        cities = [city for city, _ in self._described]
        regions = [city.layers.regions for city in cities]
        return description_table([city.name for city in cities], regions, [found for _, found in self._described])

    def _ask(self, kind: Kind, switch: str) -> NDArray[np.float32] | None:
        spec: str = getattr(self._config, f"{kind}_teacher")
        if not spec or not getattr(self._config, switch):
            return None
        number = list(_OBJECTIVE).index(kind)
        progress = self._progress.part(number / len(_OBJECTIVE), (number + 1) / len(_OBJECTIVE))

        def one(city: CityRegions, part: Progress) -> TeacherFeatures | None:
            return self._language(city, spec, part) if kind == "language" else self._image(city, kind, spec, part)

        found = self._each_city(one, progress)
        known = [features for features in found if features is not None]
        if not known:
            return None
        self.identities[kind] = "; ".join(dict.fromkeys(features.identity for features in known))
        width = known[0].vectors.shape[1]
        vectors = [
            np.full((len(city), width), np.nan, np.float32) if features is None else features.vectors
            for city, features in zip(self._cities, found, strict=True)
        ]
        return standardised(spec, np.concatenate(vectors)) if kind != "language" else np.concatenate(vectors)

    def _image(self, city: CityRegions, kind: Kind, spec: str, progress: Progress) -> TeacherFeatures | None:
        if city.layers.images is None:
            switch = _OBJECTIVE[kind].upper()
            city.notes.append(f"Without imagery there is no {kind.replace('_', '-')} teacher ({switch}).")
            return None
        found = teacher_features(
            kind,
            spec,
            store=city.store,
            regions=len(city),
            images=city.layers.images.take,
            images_key=city.images_key(self._config),
            standardise=False,
            device=self._device,
            progress=progress,
        )
        city.notes.extend(found.notes)
        return found

    def _language(self, city: CityRegions, spec: str, progress: Progress) -> TeacherFeatures | None:
        layers = city.layers
        if not len(layers.pois):
            city.notes.append("Without points of interest there is no language teacher (DLFM).")
            return None
        source, encoder = split_language_spec(spec)
        starts, rows = _points_of(city.sequences)
        described = region_descriptions(
            source,
            layers.regions,
            group_pois(layers.pois, starts, rows),
            store=city.store,
            city=city.name,
            device=self._device,
            progress=progress.part(0.0, 0.5),
        )
        self._described.append((city, described))
        found = teacher_features(
            "language",
            encoder,
            store=city.store,
            regions=len(city),
            descriptions=described.texts,
            device=self._device,
            progress=progress.part(0.5, 1.0),
        )
        city.notes.extend([*described.notes, *found.notes])
        return TeacherFeatures(found.vectors, f"{described.identity} | {found.identity}")

    def visual_tokens(self, progress: Progress) -> tuple[NDArray[np.int64] | None, dict[str, Any] | None]:
        """The word of each patch, (R, N), and the tokenizer's state; None without imagery, or if none are wanted."""
        config = self._config
        if not config.visual_tokens or not config.mgdm or self._images is None:
            return None, None
        tokens = self._words(self._images, progress.part(0.0, 0.5))
        patches = (config.image_size // config.patch_size) ** 2

        def one(city: CityRegions, part: Progress) -> NDArray[np.int64]:
            if city.layers.images is None:
                return np.full((len(city), patches), -1, np.int64)
            key = city.images_key(config)
            found, notes = stored_visual_tokens(
                tokens, city.layers.images.take, len(city), store=city.store, images_key=key, progress=part
            )
            city.notes.extend(notes)
            return found

        found = self._each_city(one, progress.part(0.5, 1.0))
        self.words = tokens.size
        return np.concatenate(found), tokens.to_state()

    def _words(self, images: StoredImages, progress: Progress) -> VisualTokens:
        config = self._config
        if config.visual_tokens == CODEBOOK:
            tokens, notes = fit_visual_tokens(
                images.take,
                len(images),
                size=config.visual_vocab_size,
                patch_px=config.patch_size,
                seed=config.seed,
                progress=progress,
            )
            self.notes += notes
            return tokens
        tokens = load_visual_tokens(config.visual_tokens)
        if tokens.patch_px != config.patch_size:
            raise ConfigError(
                f"The image tokenizer {config.visual_tokens} reads patches of {tokens.patch_px} pixels, "
                f"the network patches of {config.patch_size}."
            )
        return tokens

    def _each_city(self, one: Callable[[CityRegions, Progress], T], progress: Progress) -> list[T]:
        found = []
        for number, city in enumerate(self._cities):
            with about(city.name):
                part = progress.part(number / len(self._cities), (number + 1) / len(self._cities))
                found.append(one(city, part))
        return found


def _points_of(sequences: RegionSequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The points of each region as they stand in the sequences, once each: starts (R + 1,), and rows of points."""
    # The last token of a point is its separator.
    last = (sequences.tokens == sequences.sep) & (sequences.poi >= 0)
    before = np.concatenate([[0], np.cumsum(last)])
    return before[sequences.starts], sequences.poi[last].astype(np.int64)

"""Regions as samples of ReFound: their sequences of points, pictures, and what the teachers say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.data.image_cities import join_images
from urbanfm_core.data.image_store import ImageStatistics, StoredImages, normalised, patch_validity
from urbanfm_core.models.ordering import length_sorted
from urbanfm_core.models.refound.sequence import PER_TOKEN, RegionSequences


@dataclass(frozen=True)
class RegionInputs:
    """What the network is given of R regions.

    Attributes:
        sequences: Of the points.
        images: Pictures; None in a city without imagery.
        statistics: Of the pictures that the network learns or learned from.
        patch_size: Side of a patch, pixels.
    """

    sequences: RegionSequences
    images: StoredImages | None
    statistics: ImageStatistics
    patch_size: int

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def has_pois(self) -> NDArray[np.bool_]:
        """Regions with a point, (R,)."""
        known: NDArray[np.bool_] = self.sequences.length > 1
        return known

    @property
    def has_image(self) -> NDArray[np.bool_]:
        """Regions with a valid pixel, (R,)."""
        return np.zeros(len(self), bool) if self.images is None else self.images.has_image

    def by_length(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Some regions with like lengths side by side, so that what is padding is hardly computed.

        Args:
            rows: Which; those with points or a picture if None.
        """
        known = np.flatnonzero(self.has_pois | self.has_image) if rows is None else rows
        order: NDArray[np.int64] = known[np.argsort(self.sequences.length[known], kind="stable")]
        return order

    def batch(self, rows: NDArray[np.int64], device: torch.device) -> dict[str, Tensor]:
        """Some regions as `RefoundModel` takes them; without images, these are left out."""
        pictures = self.images is not None and bool(self.has_image[rows].any())
        patches = self.images.size_px // self.patch_size if self.images is not None else 0
        arrays: dict[str, NDArray] = dict(self.sequences.batch(rows, patches))
        arrays["has_image"] = self.has_image[rows]
        if self.images is not None and pictures:
            rgb, valid = self.images.take(rows)
            arrays["image"] = normalised(rgb, valid, self.statistics)
            arrays["image_mask"] = patch_validity(valid, self.patch_size)
        return {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}


def join_inputs(cities: Sequence[RegionInputs]) -> RegionInputs:
    """The regions of several cities one after another.

    The points in their sequences keep the rows of their own city.

    Args:
        cities: Of the same tokenizer, vocabulary, sizes and statistics.
    """
    if len(cities) == 1:
        return cities[0]
    parts = [city.sequences for city in cities]
    ends = np.cumsum([len(part.tokens) for part in parts])
    begins = [part.starts[:-1] + end - len(part.tokens) for part, end in zip(parts, ends, strict=True)]
    per_token: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in PER_TOKEN}
    starts = np.append(np.concatenate(begins), ends[-1])
    sequences = replace(parts[0], starts=starts, counts=None, notes=[], **per_token)
    images = join_images([city.images for city in cities], [len(city) for city in cities])
    return replace(cities[0], sequences=sequences, images=images)


@dataclass(frozen=True)
class RefoundSamples:
    """Regions to train on.

    Attributes:
        inputs: Of all R regions.
        rows: Those that have points or a picture, (S,).
        teachers: Vectors by batch name ('language', 'vision', 'vision_language'), (R, D) each, NaN where there is none.
        visual_tokens: Word of each patch, (R, N) int64, -1 for unknown; None where they are not used.
        device: Where batches go.
    """

    inputs: RegionInputs
    rows: NDArray[np.int64]
    teachers: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    visual_tokens: NDArray[np.int64] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> RefoundSamples:
        return replace(self, device=device)

    def arrange(self, order: Tensor, batch: int) -> Tensor:
        """Regions with sequences of like length side by side, so that little padding is computed."""
        return length_sorted(order, torch.from_numpy(self.inputs.sequences.length[self.rows]), batch)

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        rows = self.rows[indices.cpu().numpy()]
        found = self.inputs.batch(rows, self.device)
        for name, vectors in self.teachers.items():
            here = np.asarray(vectors[rows])
            present = np.isfinite(here).all(axis=1)
            found[name] = torch.from_numpy(np.where(present[:, None], here, np.float32(0))).to(self.device)
            found[f"has_{name}"] = torch.from_numpy(present).to(self.device)
        if self.visual_tokens is not None and "image" in found:
            found["visual_token"] = torch.from_numpy(self.visual_tokens[rows]).to(self.device)
        return found

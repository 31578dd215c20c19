"""Pictures with captions as samples: the picture decoded once, and at every draw another view and another caption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.data.image_store import ImageStatistics
from urbanfm_core.errors import EmptyInputError, ShapeError
from urbanfm_core.models.image_text.augment import Augmentation, augmented
from urbanfm_core.models.image_text.pictures import Pictures
from urbanfm_core.models.image_text.tokens import PAD

# Share of a GPU's free memory that pictures may take to stay there.
_RESIDENT_SHARE = 0.25


@dataclass(frozen=True)
class ImageTextSamples:
    """Pictures with their captions.

    Attributes:
        pictures: K pictures.
        rows: (S,) those that have a caption.
        texts: (N, T) int, token ids of all texts, those of a picture side by side.
        starts: (S + 1,) int64: sample s has the texts starts[s] to starts[s + 1].
        statistics: Of the pictures.
        augmentation: How much pictures are changed.
        partner: (S,) sample of which each batch also holds a view, as 'other'; None for no other view.
        more: Other tensors by name, (S, ...), handed over with each batch.
        device: Where batches go.
        resident: The pictures as bytes on the device, (S, 3, H, W); None to read them batch by batch.
    """

    pictures: Pictures
    rows: NDArray[np.int64]
    texts: Tensor
    starts: Tensor
    statistics: ImageStatistics
    augmentation: Augmentation = field(default_factory=Augmentation)
    partner: Tensor | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    resident: Tensor | None = None

    def __post_init__(self) -> None:
        if len(self.starts) != len(self.rows) + 1 or any(len(one) != len(self.rows) for one in self.more.values()):
            raise ShapeError(
                f"{len(self.rows)} samples need {len(self.rows) + 1} starts and tensors of their number; found "
                f"{len(self.starts)} and {[len(one) for one in self.more.values()]}."
            )

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> ImageTextSamples:
        """Texts and, where a GPU has the room, pictures move to the device for good."""
        resident = None
        if device.type == "cuda":
            size = self.pictures.images.size_px
            free, _ = torch.cuda.mem_get_info(device)
            if 3 * size**2 * len(self) < _RESIDENT_SHARE * free:
                resident = torch.from_numpy(self.pictures.take(self.rows, self.statistics)).to(device)
        return replace(
            self,
            texts=self.texts.to(device),
            starts=self.starts.to(device),
            partner=None if self.partner is None else self.partner.to(device),
            more={name: tensor.to(device) for name, tensor in self.more.items()},
            device=device,
            resident=resident,
        )

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """A new view and a text drawn at random for each sample.

        Returns:
            'image' (B, 3, H, W) float32, 'text' (B, T) int64, 'other' where there are partners, and what is in `more`.
            On a CPU texts are cut behind the first padding of the longest.
        """
        indices = indices.to(self.device)
        found = {"image": self._views(indices)}
        if self.partner is not None:
            found["other"] = self._views(self.partner[indices])
        first, count = self.starts[indices], self.starts[indices + 1] - self.starts[indices]
        drawn = (torch.rand(len(indices), device=self.device, dtype=torch.float64) * count).long()
        text = self.texts[first + drawn].long()
        if self.device.type == "cpu":  # elsewhere the program would have to wait for the length
            # Words that have the number of the padding, as CLIP's '!' has, may stand within a text.
            text = text[:, : int((text != PAD).any(0).nonzero().max()) + 2]
        return {**found, "text": text, **{name: one.index_select(0, indices) for name, one in self.more.items()}}

    def _views(self, indices: Tensor) -> Tensor:
        """Random views of the pictures of some samples."""
        if self.resident is not None:
            images = self.resident.index_select(0, indices)
        else:
            images = torch.from_numpy(self.pictures.take(self.rows[indices.cpu().numpy()], self.statistics))
            images = images.to(self.device)
        return augmented(images, self.statistics, self.augmentation, from_above=self.pictures.from_above)


def captions_of(captions: CaptionSet, pictures: Pictures) -> tuple[list[str], NDArray[np.int64], list[str]]:
    """The captions of a city's pictures.

    Returns:
        The texts, (N,); the picture of each, (N,); and notes, with the number of captions that are of no use.
    """
    starts, rows = captions.by_key(pictures.keys.tolist(), pictures.kind)
    owner = np.repeat(np.arange(len(pictures)), np.diff(starts))
    notes, idle = list(captions.notes), len(captions) - len(np.unique(rows))
    if idle:
        notes.append(f"{idle:,} of {len(captions):,} captions are empty or of other pictures.")
    return list(captions.text[rows]), owner, notes


def caption_samples(
    pictures: Pictures,
    owner: NDArray[np.int64],
    texts: NDArray[np.int32],
    statistics: ImageStatistics,
    augmentation: Augmentation,
) -> tuple[ImageTextSamples, list[str]]:
    """Samples of the pictures that have a text, and notes on what is left out.

    Args:
        pictures: K pictures.
        owner: (N,) picture of each text.
        texts: (N, T) token ids.
        statistics: Of the pictures.
        augmentation: How much pictures are changed.
    Raises:
        EmptyInputError: fewer than two pictures have a text.
    """
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=len(pictures))
    has_image = pictures.images.has_image
    usable = has_image & (counts > 0)
    rows = np.flatnonzero(usable)
    notes = [f"{len(rows):,} of {len(pictures):,} pictures have a caption and are trained on."]
    idle = int((has_image & (counts == 0)).sum())
    if idle:
        notes.append(f"{idle:,} pictures have no caption and are left out of the training.")
    blind = int(counts[~has_image].sum())
    if blind:
        notes.append(f"{blind:,} texts belong to pictures without data and are left out.")
    if len(rows) < 2:
        raise EmptyInputError(
            f"{len(rows)} of {len(pictures):,} pictures have a caption; at least two are needed.",
            "Check that the captions name the same regions or pictures.",
        )
    kept = order[usable[owner[order]]]
    starts = np.concatenate([[0], np.cumsum(counts[rows])])
    samples = ImageTextSamples(
        pictures, rows, torch.from_numpy(texts[kept]), torch.from_numpy(starts), statistics, augmentation
    )
    return samples, notes

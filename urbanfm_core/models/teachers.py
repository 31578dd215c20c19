"""Teachers: ready-made models whose vectors a student learns to give too (ReFound, section 4.2.1).

A teacher is asked once per region, before training. What it says is kept in the sample store in partitions named after
it, so that a run which was stopped goes on where it was. Kinds:

- `language`: a sentence encoder on descriptions of regions (see `descriptions`); long ones are read in pieces, whose
  vectors are averaged by length (appendix A.2.1).
- `vision`, `vision_language`: an image model on images of regions (see `backbones`), or `statistics`, which is no model.
  The paper takes the image encoder of a vision-language model for both.

A region that lacks the modality gets a row of NaN and is counted in the notes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.models.backbones import load_image_backbone
from urbanfm_core.models.batches import Batches
from urbanfm_core.models.text import encode_whole, load_text_encoder
from urbanfm_core.progress import Meter, Progress

Kind = Literal["language", "vision", "vision_language"]
# Region rows (n,) -> images (n, 3, H, W) uint8, red first, row 0 in the north, and which pixels are valid, (n, H, W).
Images = Callable[[NDArray[np.int64]], tuple[NDArray[np.uint8], NDArray[np.bool_]]]

STATISTICS = "statistics"
IMAGE_BATCH = 32
_IMAGES_PER_PARTITION = 512
_TEXTS_PER_PARTITION = 2048
# Cells on a side of an image in whose statistics `statistics` is interested, and on a side of its layout.
_CELLS, _LAYOUT = 16, 4
_DIRECTIONS = 8
_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class TeacherFeatures:
    """What a teacher says.

    Attributes:
        vectors: (R, D) float32; a row of NaN where the region lacks the modality.
        identity: Which teacher that was: model, version, preparation.
        notes: What was left out, in sentences.
    """

    vectors: NDArray[np.float32]
    identity: str
    notes: list[str] = field(default_factory=list)


class ImageTeacher(Protocol):
    """What turns images into vectors."""

    identity: str
    notes: list[str]

    def features(self, images: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, H) uint8 and (n, H, H) bool -> (n, D) float32."""


def teacher_features(
    kind: Kind,
    spec: str,
    *,
    store: SampleStore,
    regions: int,
    descriptions: Sequence[str | None] | None = None,
    images: Images | None = None,
    images_key: str = "",
    standardise: bool = True,
    device: str = "cpu",
    batch_size: int | None = None,
    cache_dir: str | Path | None = None,
    allow_remote: bool = True,
    progress: Progress | None = None,
) -> TeacherFeatures:
    """Vectors of all regions by one teacher, from the store or made and kept there.

    Args:
        kind: Which modality it teaches.
        spec: For language, a sentence encoder (`load_text_encoder`); else an image model (`load_image_backbone`) or
            `statistics`.
        store: Keeps finished partitions.
        regions: Number of regions R.
        descriptions: For language: one text per region, None where there is none.
        images: For the other kinds: gives images of regions.
        images_key: Everything that the images depend on and the store's name does not tell (size, metres per pixel).
        standardise: Whether vectors that only compare regions are standardised over these; see `standardised`.
        device: Torch device of a local model.
        batch_size: Images or texts at once; halved where memory runs out.
        cache_dir: Where downloads and paid vectors are kept.
        allow_remote: Whether texts may be sent to a service.
        progress: Reports and cancels.

    Raises:
        ConfigError: the spec names nothing usable, or what the kind needs was not given.
        ShapeError: descriptions or images do not fit the regions.
        ResourceError: memory does not suffice for a single image.
        Cancelled: the user asked to stop; finished partitions are kept.
    """
    progress = progress or Progress()
    if kind == "language":
        if descriptions is None:
            raise ConfigError("A language teacher needs descriptions of the regions, and none were given.")
        if len(descriptions) != regions:
            raise ShapeError(f"{len(descriptions)} descriptions cannot belong to {regions} regions.")
        return _language(spec, descriptions, store, device, batch_size, cache_dir, allow_remote, progress)
    if kind not in ("vision", "vision_language"):
        raise ConfigError(f"There is no teacher of kind {kind!r}.", "Choose language, vision or vision_language.")
    if images is None:
        raise ConfigError(f"A {kind} teacher needs images of the regions, and none were given.")
    found = _vision(kind, spec, regions, images, images_key, store, device, batch_size, cache_dir, progress)
    return replace(found, vectors=standardised(spec, found.vectors)) if standardise else found


def standardised(spec: str, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of an image teacher over all regions, (R, D); those of `statistics` only compare the regions with one
    another, so regions that are learned from together are standardised together."""
    return ImageStatistics().standardised(vectors) if spec.strip() == STATISTICS else vectors


def _language(
    spec: str,
    descriptions: Sequence[str | None],
    store: SampleStore,
    device: str,
    batch_size: int | None,
    cache_dir: str | Path | None,
    allow_remote: bool,
    progress: Progress,
) -> TeacherFeatures:
    texts = [text for text in descriptions if text and text.strip()]
    told = np.flatnonzero([bool(text and text.strip()) for text in descriptions])
    encoder = load_text_encoder(
        spec, cache_dir=cache_dir, device=device, batch_size=batch_size, allow_remote=allow_remote
    )
    identity = f"{encoder.identity}|pieces"
    name = f"teachers/language-{_key(identity, *texts)}"
    vectors = np.full((len(descriptions), encoder.dim), np.nan, np.float32)

    def make(rows: slice) -> dict[str, NDArray]:
        part = progress.part(rows.start / len(texts), rows.stop / len(texts))
        return {"vectors": encode_whole(encoder, texts[rows], part)}

    for rows, kept in store.partitions(name, len(texts), _TEXTS_PER_PARTITION, make):
        vectors[told[rows]] = kept["vectors"]
    notes = [*encoder.notes, *_missing(len(descriptions) - len(told), len(descriptions), "description", "language")]
    return TeacherFeatures(vectors, identity, notes)


def _vision(
    kind: Kind,
    spec: str,
    regions: int,
    images: Images,
    images_key: str,
    store: SampleStore,
    device: str,
    batch_size: int | None,
    cache_dir: str | Path | None,
    progress: Progress,
) -> TeacherFeatures:
    teacher: ImageTeacher
    if spec.strip() == STATISTICS:
        teacher = ImageStatistics()
    else:
        teacher = load_image_backbone(spec, cache_dir=cache_dir, device=device)
    notes = list(teacher.notes)
    if kind == "vision_language" and not getattr(teacher, "reads_language", False):
        notes.append(
            f"The vision-language teacher '{spec}' has no text side here: how alike its vectors of two images are "
            "stands for how alike their places are in words."
        )
    # Both kinds share what the same teacher says.
    name = f"teachers/images-{_key(teacher.identity, images_key, regions)}"
    batch = batch_size or IMAGE_BATCH
    batches = Batches(torch.device(device), batch, notes, doing="asking the image teacher", noun="image")
    meter = Meter(progress, "images", regions)

    def make(rows: slice) -> dict[str, NDArray]:
        parts = []
        for first in range(rows.start, rows.stop, batch):
            progress.check()
            chosen = np.arange(first, min(first + batch, rows.stop))
            parts.append(_features(teacher, *images(chosen), len(chosen), batches))
            meter.advance(len(chosen))
        return {"vectors": np.concatenate(parts)}

    found = []
    for rows, kept in store.partitions(name, regions, _IMAGES_PER_PARTITION, make):
        meter.advance(rows.stop - meter.done)
        found.append(kept["vectors"])
    vectors = np.concatenate(found) if found else np.empty((0, 0), np.float32)
    lacking = int(np.isnan(vectors).all(axis=1).sum())
    return TeacherFeatures(vectors, teacher.identity, [*notes, *_missing(lacking, regions, "valid pixel", kind)])


def _features(teacher: ImageTeacher, pixels: NDArray, valid: NDArray, count: int, batches: Batches) -> NDArray:
    """Vectors of one batch, (n, D) float32; NaN for an image without a valid pixel."""
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[:2] != (count, 3):
        raise ShapeError(f"Images must be uint8 of ({count}, 3, H, W), got {pixels.dtype} of {pixels.shape}.")
    if valid.shape != (count, *pixels.shape[2:]):
        raise ShapeError(f"Masks of {pixels.shape} images cannot be {valid.shape}.")
    colours, masks = torch.from_numpy(np.array(pixels)), torch.from_numpy(np.array(valid, dtype=bool))
    pieces: list[tuple[int, NDArray]] = []

    def ask(part: slice) -> None:
        pieces.append((part.start, teacher.features(colours[part], masks[part]).cpu().numpy()))

    batches.run(count, ask)
    vectors = np.concatenate([piece for _, piece in sorted(pieces, key=lambda item: item[0])]).astype(np.float32)
    vectors[~valid.any(axis=(1, 2))] = np.nan
    return np.asarray(vectors)


def _missing(count: int, regions: int, what: str, kind: str) -> list[str]:
    if not count:
        return []
    return [
        f"{count:,} of {regions:,} regions have no {what}: the {kind.replace('_', '-')} teacher says nothing there."
    ]


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


class ImageStatistics:
    """Colour and texture of an image as plain statistics: a stand-in for a vision model where none is at hand.

    The image is divided into 16 x 16 cells. In each, over valid pixels: mean and deviation of red, green and blue, mean
    greenness (2G - R - B), mean length of the brightness gradient, and mean size of the brightness Laplacian. Of these
    nine numbers: mean, deviation and 10, 50, 90 % quantiles over the cells; for three of them (brightness, greenness,
    gradient) the mean in each of 4 x 4 parts of the image; and how the gradient's length spreads over eight directions.
    Every column is then standardised over the regions, since a cosine would otherwise see brightness only.

    Limits: it was not trained on anything. It tells vegetation, water, bare ground, and coarse from fine texture, and
    knows no objects; it depends on season, light and sensor; and being standardised over the regions at hand, its
    vectors are not comparable between cities. A student learns from it what can be seen without a model, no more.

    Attributes:
        identity, notes: See `ImageTeacher`.
    """

    def __init__(self) -> None:
        self.identity = f"statistics|1|cells={_CELLS}"
        self.notes = [
            "The vision teacher 'statistics' is no model: colour and texture statistics of each image, standardised "
            "over the regions."
        ]

    def features(self, images: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Statistics before standardising, (n, 101) float32; see `ImageTeacher.features`."""
        colours = images.float() / 255.0
        weight = valid.float()
        brightness = colours.mean(1)
        greenness = 2 * colours[:, 1] - colours[:, 0] - colours[:, 2]
        dx, dy, edges = _gradient(brightness, weight)
        length = torch.sqrt(dx**2 + dy**2)
        inner = weight * edges
        cells = [_cell_means(channel, weight) for channel in (*colours.unbind(1), greenness)]
        squares = [_cell_means(channel**2, weight) for channel in colours.unbind(1)]
        deviations = [(s - m**2).clamp_min(0).sqrt() for s, m in zip(squares, cells, strict=False)]
        gradient = _cell_means(length, inner)
        laplacian = _cell_means(_laplacian(brightness), inner)
        described = torch.stack([*cells, *deviations, gradient, laplacian], 1)  # (n, 9, cells, cells)
        flat = described.flatten(2)
        spread = [flat.nanmean(2), _nanstd(flat), *(flat.nanquantile(q, dim=2) for q in _QUANTILES)]
        layout = torch.stack([described[:, :3].mean(1), described[:, 3], gradient], 1)
        # A part of the image without valid pixels is taken to be like the rest.
        parts = _cell_means_of(layout, _LAYOUT)
        parts = torch.where(parts.isnan(), layout.flatten(2).nanmean(2)[..., None], parts.flatten(2))
        directions = _directions(dx, dy, length * inner)
        return torch.cat([torch.cat(spread, 1), parts.flatten(1), directions], 1).nan_to_num(0.0)

    def standardised(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Columns with mean 0 and deviation 1 over the regions that have a vector; a constant column is 0."""
        if np.isnan(vectors).all():
            return vectors
        mean, std = np.nanmean(vectors, axis=0, dtype=np.float64), np.nanstd(vectors, axis=0, dtype=np.float64)
        return np.asarray((vectors - mean) / np.where(std > 1e-6, std, np.inf), np.float32)


def _gradient(brightness: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Central differences to the east and north, (n, H, W) each, and where all pixels that they touch are valid."""
    padded = torch.nn.functional.pad(brightness[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    inside = torch.nn.functional.pad(weight[:, None], (1, 1, 1, 1))[:, 0]
    dx = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    dy = (padded[:, :-2, 1:-1] - padded[:, 2:, 1:-1]) / 2
    edges = inside[:, 1:-1, 2:] * inside[:, 1:-1, :-2] * inside[:, :-2, 1:-1] * inside[:, 2:, 1:-1]
    return dx, dy, edges


def _laplacian(brightness: torch.Tensor) -> torch.Tensor:
    padded = torch.nn.functional.pad(brightness[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    around = padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2] + padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    return (around - 4 * brightness).abs()


def _cell_means(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted means in cells, (n, H, W) -> (n, cells, cells); NaN where the weights are 0."""
    pool = torch.nn.functional.adaptive_avg_pool2d
    total = pool((values * weight)[:, None], _CELLS)[:, 0]
    share = pool(weight[:, None], _CELLS)[:, 0]
    return torch.where(share > 0, total / share.clamp_min(1e-12), torch.nan)


def _cell_means_of(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Means of what is not NaN in side x side parts of maps, (n, K, h, w) -> (n, K, side * side)."""
    pool = torch.nn.functional.adaptive_avg_pool2d
    known = (~maps.isnan()).float()
    share = pool(known, side)
    means = torch.where(share > 0, pool(maps.nan_to_num(0.0), side) / share.clamp_min(1e-12), torch.nan)
    return means.flatten(2)


def _nanstd(flat: torch.Tensor) -> torch.Tensor:
    mean = flat.nanmean(2, keepdim=True)
    return ((flat - mean) ** 2).nanmean(2).sqrt()


def _directions(dx: torch.Tensor, dy: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Shares of the gradient's length by its direction modulo 180 degrees, (n, 8); 0 where there is none."""
    angle = torch.atan2(dy, dx) % torch.pi
    bins = (angle / torch.pi * _DIRECTIONS).long().clamp(0, _DIRECTIONS - 1).flatten(1)
    sums = torch.zeros(len(dx), _DIRECTIONS).scatter_add_(1, bins, length.flatten(1))
    return sums / sums.sum(1, keepdim=True).clamp_min(1e-12)

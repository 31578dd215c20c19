"""Points of interest as samples: the raster's mean vectors in two windows around each, and a vector of its text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.data.store import SampleStore
from urbanfm_core.geo.raster import RasterInfo
from urbanfm_core.geo.windows import Disk, Square, window_means
from urbanfm_core.models.text import TextEncoder, unique_texts
from urbanfm_core.progress import Progress

# A vector shorter than this has no direction.
SMALLEST_NORM = 1e-6
_TEXTS_PER_PARTITION = 2048


@dataclass
class PoiSamples:
    """Points of interest, ready to train on; texts that occur more than once are kept once.

    Attributes:
        base: Mean pixel vector of the base window, (N, C), unit length.
        augmented: The same of the augmented window.
        text: Vectors of the distinct sentences, (U, T).
        text_row: Row of each point in `text`, (N,) int64.
    """

    base: Tensor
    augmented: Tensor
    text: Tensor
    text_row: Tensor

    def __len__(self) -> int:
        return len(self.base)

    def to(self, device: torch.device) -> PoiSamples:
        return PoiSamples(*(tensor.to(device) for tensor in (self.base, self.augmented, self.text, self.text_row)))

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        return {
            "base": self.base.index_select(0, indices),
            "augmented": self.augmented.index_select(0, indices),
            "text": self.text.index_select(0, self.text_row.index_select(0, indices)),
        }


@dataclass(frozen=True)
class PoiCounts:
    """What became of the points of interest; the parts add up to `points`."""

    points: int
    used: int
    without_text: int
    not_drawn: int
    off_raster: int
    without_valid_pixels: int

    @classmethod
    def sum(cls, parts: Sequence[PoiCounts]) -> PoiCounts:
        """The counts of several cities together."""
        return cls(**{item.name: sum(getattr(part, item.name) for part in parts) for item in fields(cls)})

    def sentence(self) -> str:
        """The counts as a person says them."""
        reasons = {
            "have no text": self.without_text,
            "were not drawn (poi_share)": self.not_drawn,
            "lie off the raster": self.off_raster,
            "have too few valid pixels around them": self.without_valid_pixels,
        }
        left_out = ", ".join(f"{count:,} {words}" for words, count in reasons.items() if count)
        end = f"; left out: {left_out}." if left_out else "."
        return f"{self.used:,} of {self.points:,} points of interest are used{end}"

    def remedy(self, info: RasterInfo) -> str:
        """What to do about the most frequent reason."""
        most = max(self.without_text, self.off_raster, self.without_valid_pixels)
        if not most:
            return "Give a layer with more points."
        if most == self.without_text:
            return "Name the columns that hold name and category of the points."
        if most == self.off_raster:
            west, south, east, north = info.bounds
            return (
                "Check that points and raster show the same place and carry the right CRS; the raster spans "
                f"x {west:.6g} to {east:.6g}, y {south:.6g} to {north:.6g} ({info.crs.name})."
            )
        return "Look for nodata around the points, ask for a smaller share of valid pixels, or take larger windows."


@dataclass(frozen=True)
class CityPoints:
    """The usable points of a city, N.

    Attributes:
        base: Mean pixel vector of the base window, (N, C).
        augmented: The same of the augmented window.
        texts: Sentence of each.
        counts: What became of the others.
        info: The raster.
        quantization: How its numbers were read.
        notes: What a report should mention.
    """

    base: np.ndarray
    augmented: np.ndarray
    texts: list[str]
    counts: PoiCounts
    info: RasterInfo
    quantization: str
    notes: list[str]


def city_points(
    city: CityInputs,
    windows: Sequence[Disk | Square],
    store: SampleStore,
    progress: Progress,
    *,
    share: float,
    seed: int,
    min_valid: float,
) -> CityPoints:
    """Points of interest with text and with two windows of valid pixels; window means are kept in the store.

    Args:
        city: Needs points of interest and the embedding raster.
        windows: Base and augmented window.
        store: See `stored_windows`.
        progress: Reports and cancels.
        share, seed: Of the points with text that are drawn; see `draw`.
        min_valid: Share of a window that must be valid; see `usable_windows`.
    """
    pois = city.read_pois()
    sentences = pois.sentences()
    told = np.array([bool(sentence and sentence.strip()) for sentence in sentences], dtype=bool)
    rows = draw(np.flatnonzero(told), share, seed)
    with city.open_embedding_raster() as raster:
        found = stored_windows(raster, pois.xy[rows], pois.crs, windows, store, progress)
        info, quantization = raster.info, raster.quantization
    base, augmented = found["mean"]
    usable = usable_windows(base, found["valid"][0], min_valid) & usable_windows(
        augmented, found["valid"][1], min_valid
    )
    used, outside = int(usable.sum()), int(found["outside"])
    counts = PoiCounts(
        points=len(told),
        used=used,
        without_text=int((~told).sum()),
        not_drawn=int(told.sum()) - len(rows),
        off_raster=outside,
        without_valid_pixels=len(rows) - outside - used,
    )
    kept = np.flatnonzero(usable)
    texts = [str(sentences[row]) for row in rows[kept]]
    notes = [*pois.notes, counts.sentence()]
    return CityPoints(base[kept], augmented[kept], texts, counts, info, quantization, notes)


def draw(rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A seeded draw of a share of the rows, in their order; at least one if there is one."""
    if share >= 1 or not len(rows):
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, max(1, round(share * len(rows))), replace=False))


def stored_windows(
    raster: EmbeddingRaster,
    xy: np.ndarray,
    crs: Any,
    windows: Sequence[Disk | Square],
    store: SampleStore,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Mean vectors in windows around points: from the store, or made and kept there.

    Returns:
        'mean' (S, P, C) and 'valid' (S, P) as `window_means` gives them, and 'outside', a number.
    """
    points = hashlib.sha256(np.ascontiguousarray(xy, np.float64).data).hexdigest()
    name = f"windows/{_key(repr(windows), points)}"
    if not store.has(name):
        progress.update(0.0, "Averaging the raster around the points")
        means = window_means(raster, xy, crs, windows, progress=progress)
        store.save(name, mean=means.mean, valid=means.valid, outside=np.array(means.outside))
    return store.load(name)


def usable_windows(mean: np.ndarray, valid: np.ndarray, min_valid: float) -> np.ndarray:
    """Whether a window has all bands, a direction, and enough valid pixels.

    Args:
        mean: (P, C).
        valid: Share of valid pixels, (P,).
        min_valid: Smallest share; at 0 a single pixel is enough.
    Returns:
        (P,) bool.
    """
    directed = np.linalg.norm(mean, axis=1) >= SMALLEST_NORM
    return np.asarray(directed & np.isfinite(mean).all(axis=1) & (valid > 0) & (valid >= min_valid))


def stored_text_vectors(
    encoder: TextEncoder, texts: Sequence[str], store: SampleStore, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the distinct texts; finished parts stay in the store.

    Returns:
        (U, T) float32, and the row of each text in it, (N,) int64.
    """
    unique, text_row = unique_texts(texts)
    folder = f"texts/{_key(encoder.identity, *unique)}"

    def make(rows: slice) -> dict[str, np.ndarray]:
        part = progress.part(rows.start / len(unique), rows.stop / len(unique))
        part.update(0.0, f"Encoding {len(unique):,} distinct texts")
        return {"vectors": encoder.encode(unique[rows], part)}

    kept = store.partitions(folder, len(unique), _TEXTS_PER_PARTITION, make)
    return np.concatenate([found["vectors"] for _, found in kept]), text_row


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length, (N, C) float32; rows shorter than 1e-6 are divided by 1e-6."""
    rows = np.asarray(rows, np.float32)
    unit: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), SMALLEST_NORM)
    return unit


def input_statistics(rows: np.ndarray) -> Mapping[str, list[float]]:
    """Mean and standard deviation per band of (N, C) inputs, and quantiles 0, 5, 50, 95, 100 % of their lengths."""
    quantiles = np.quantile(np.linalg.norm(rows, axis=1), [0.0, 0.05, 0.5, 0.95, 1.0])
    found = {
        "mean": rows.mean(axis=0, dtype=np.float64),
        "std": rows.std(axis=0, dtype=np.float64),
        "norm": quantiles,
    }
    return {name: [float(f"{value:.6g}") for value in values] for name, values in found.items()}


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]

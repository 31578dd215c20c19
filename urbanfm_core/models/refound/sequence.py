"""The points of a region as one sequence of tokens (ReFound, section 4.1.1).

`[CLS]`, then for each point its name's tokens and `[SEP]`, the points in the order of a Z-shaped curve through cells of
1 m, those within a cell in random order. Beside its word, a token has three positions: within its name, of its point in
the sequence, and of the grid cell that holds the point; and its point's category. `[SEP]` has those of its point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.data.frames import RegionFrames
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.geo.crs import transform_xy
from urbanfm_core.geo.footprints import repeat_ranges
from urbanfm_core.models.refound.tokenizer import PoiTokenizer, PoiVocabulary
from urbanfm_core.progress import Progress

__all__ = ["PoiTokenizer", "PoiVocabulary", "RegionSequences", "build_sequences", "z_order"]

_CELL_BITS = 32
PER_TOKEN = ("tokens", "word_position", "poi_position", "grid_position", "category", "poi", "xy01")
_NO_POI = -1
# Shift and mask of each step that moves the bits of a 32-bit number apart, to every second place of 64.
_SPREAD = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def z_order(cell_x: NDArray[Any], cell_y: NDArray[Any]) -> NDArray[np.uint64]:
    """Places along the Z-shaped curve through a grid of cells: the bits of both numbers in turn, those of x lower.

    Args:
        cell_x, cell_y: (K,) whole numbers in [0, 2^32).

    Returns:
        (K,) uint64. Cells near one another on the curve are near one another on the ground.

    Raises:
        ShapeError: numbers that are not whole, or out of range.
    """
    sides = [np.asarray(side) for side in (cell_x, cell_y)]
    for side in sides:
        if side.dtype.kind not in "iu" or (side.size and (side.min() < 0 or side.max() >= 1 << _CELL_BITS)):
            raise ShapeError(f"Cells are whole numbers from 0 to 2^{_CELL_BITS} - 1, got {side.dtype}.")
    x, y = (_spread(side.astype(np.uint64)) for side in sides)
    curve: NDArray[np.uint64] = x | (y << np.uint64(1))
    return curve


def _spread(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, mask in _SPREAD:
        bits = (bits | (bits << np.uint64(shift))) & np.uint64(mask)
    return bits


@dataclass(frozen=True)
class SequenceCounts:
    """What became of the points; a point in several regions counts once in the first three, and in each after."""

    points: int
    outside: int
    shared: int
    dropped: int
    cut_regions: int
    cut_names: int
    unnamed: int
    unknown: int
    off_frame: int
    empty_regions: int
    regions: int

    def sentences(self) -> list[str]:
        """The counts that are not 0, as a person says them."""
        poi = "points of interest"
        said = [
            (self.outside, f"{self.outside:,} of {self.points:,} {poi} lie in no region."),
            (self.shared, f"{self.shared:,} {poi} lie in several regions, and belong to each."),
            (
                self.dropped,
                f"{self.dropped:,} {poi}, drawn at random, do not fit into the sequences of {self.cut_regions:,} "
                "regions.",
            ),
            (self.cut_names, f"{self.cut_names:,} names are longer than a whole sequence and were cut."),
            (self.unnamed, f"{self.unnamed:,} {poi} have no name: their place and category count."),
            (self.unknown, f"{self.unknown:,} {poi} have no category that the model knows."),
            (self.off_frame, f"{self.off_frame:,} {poi} lie outside the square of their region."),
            (self.empty_regions, f"{self.empty_regions:,} of {self.regions:,} regions have no {poi}."),
        ]
        return [sentence for count, sentence in said if count]


@dataclass(frozen=True)
class RegionSequences:
    """Sequences of all regions, one after another; L tokens in all.

    Attributes:
        starts: (R + 1,) int64, where each region's tokens begin; the first is `[CLS]`.
        tokens: (L,) int32 ids of words.
        word_position: (L,) int32, from 0 within each name, `[SEP]` included.
        poi_position: (L,) int32, from 1 for the region's first point; 0 for `[CLS]`.
        grid_position: (L,) int32, row * grid + column + 1 of the point's cell, row 0 in the north; 0 for `[CLS]`.
        category: (L,) int32 numbers of the vocabulary; 0 for `[CLS]`.
        poi: (L,) int32 row of the point in the PoiSet; -1 for `[CLS]`.
        xy01: (L, 2) float32 place of the point as a share of the frame's side, from west and from north; NaN for
            `[CLS]`, outside [0, 1] for a point off the frame.
        grid: Cells along each side.
        pad, sep: Ids of two special tokens.
        notes: What was left out, in sentences with counts.
    """

    starts: NDArray[np.int64]
    tokens: NDArray[np.int32]
    word_position: NDArray[np.int32]
    poi_position: NDArray[np.int32]
    grid_position: NDArray[np.int32]
    category: NDArray[np.int32]
    poi: NDArray[np.int32]
    xy01: NDArray[np.float32]
    grid: int
    pad: int
    sep: int
    counts: SequenceCounts | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def length(self) -> NDArray[np.int64]:
        """Tokens of each region, `[CLS]` included, (R,)."""
        return np.diff(self.starts)

    @property
    def pois(self) -> NDArray[np.int64]:
        """Points in each region's sequence, (R,)."""
        count: NDArray[np.int64] = self.poi_position[self.starts[1:] - 1].astype(np.int64)
        return count

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays by name, to be kept in a sample store."""
        sizes = np.array([self.grid, self.pad, self.sep], np.int64)
        return {"starts": self.starts, "sizes": sizes, **{name: getattr(self, name) for name in PER_TOKEN}}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> RegionSequences:
        """The sequences that `to_arrays` gave; without their counts and notes."""
        grid, pad, sep = (int(size) for size in arrays["sizes"])
        per_token: dict[str, Any] = {name: arrays[name] for name in PER_TOKEN}
        return cls(starts=np.asarray(arrays["starts"]), grid=grid, pad=pad, sep=sep, **per_token)

    def batch(
        self, rows: NDArray[np.int64], patches: int = 0, length: int | None = None
    ) -> dict[str, NDArray[np.int64] | NDArray[np.bool_]]:
        """Sequences of some regions side by side, padded to the longest of them.

        Padding counts its word positions from 0, takes the point position after the last and the grid position after
        the last cell.

        Args:
            rows: (B,) regions.
            patches: Image patches along each side; 0 leaves 'poi_patch' out.
            length: Pad to so many tokens instead.

        Returns:
            'tokens', 'word_position', 'poi_position', 'grid_position', 'category' (B, T) int64; 'token_mask' (B, T)
            bool, True for what is not padding; 'has_pois' (B,) bool; and 'poi_patch' (B, T) int64, row * patches +
            column of the patch that holds the token's point, -1 for special tokens and points off the frame.

        Raises:
            ShapeError: `length` is too short.
        """
        rows = np.asarray(rows, np.int64)
        lengths = self.length[rows]
        longest = int(lengths.max(initial=1))
        if length is not None and length < longest:
            raise ShapeError(f"Sequences of {longest} tokens do not fit into {length}.")
        shape = len(rows), longest if length is None else length
        place, source = repeat_ranges(self.starts[rows], lengths)
        column = source - self.starts[rows][place]
        after = np.arange(shape[1]) - lengths[:, None]
        padding: dict[str, Any] = {
            "tokens": self.pad,
            "word_position": np.maximum(after, 0),
            "poi_position": (self.pois[rows] + 1)[:, None],
            "grid_position": self.grid**2 + 1,
            "category": 0,
        }
        batch: dict[str, Any] = {"token_mask": after < 0, "has_pois": lengths > 1}
        for name, fill in padding.items():
            batch[name] = np.broadcast_to(np.asarray(fill, np.int64), shape).copy()
            batch[name][place, column] = getattr(self, name)[source]
        if patches:
            batch["poi_patch"] = np.full(shape, _NO_POI, np.int64)
            batch["poi_patch"][place, column] = self._patch(source, patches)
        return batch

    def _patch(self, source: NDArray[np.int64], patches: int) -> NDArray[np.int64]:
        xy = self.xy01[source]
        with np.errstate(invalid="ignore"):
            inside = ((xy >= 0) & (xy <= 1)).all(axis=1) & (self.tokens[source] != self.sep)
        cell = np.minimum(np.where(inside[:, None], xy, 0) * patches, patches - 1).astype(np.int64)
        patch: NDArray[np.int64] = np.where(inside, cell[:, 1] * patches + cell[:, 0], _NO_POI)
        return patch


def build_sequences(
    pois: PoiSet,
    regions: RegionSet,
    frames: RegionFrames,
    tokenizer: PoiTokenizer,
    vocabulary: PoiVocabulary,
    *,
    max_tokens: int = 512,
    max_pois: int = 512,
    grid: int = 16,
    seed: int = 0,
    parity: bool = False,
    progress: Progress | None = None,
) -> RegionSequences:
    """Sequences of all regions.

    A region whose points do not fit loses random ones (paper, A.2.1). What is random is drawn per point, so that a
    region's sequence does not depend on the other regions of the layer. A point off the frame of its region stays, in
    the nearest cell of the grid.

    Args:
        pois: Points of interest, P.
        regions: Regions, R; they may overlap, a point is then in each.
        frames: Their frames.
        tokenizer, vocabulary: For names and categories.
        max_tokens: Most tokens of a sequence, `[CLS]` included.
        max_pois: Rows of the table of point positions: two more than points in a sequence, for `[CLS]` and padding.
        grid: Cells along each side of a frame.
        seed: For the order within a cell and the points that are dropped.
        parity: As the published code: points stay in their given order, and the first that does not fit ends the
            sequence.
        progress: Reports and cancels.

    Raises:
        ConfigError: sizes that hold no point.
        ShapeError: frames of other regions.
    """
    if max_tokens < 3 or max_pois < 3 or grid < 1:
        raise ConfigError(
            f"Sequences of {max_tokens} tokens and {max_pois} point positions on a grid of {grid} cells hold nothing.",
            "Allow at least 3 tokens, 3 positions and 1 cell.",
        )
    if len(frames) != len(regions):
        raise ShapeError(f"There are {len(regions)} regions, but {len(frames)} frames.")
    progress = progress or Progress()
    pairs = _Pairs.find(pois, regions, frames, progress.part(0.0, 0.4))
    names, distinct = pd.factorize(pois.name[pairs.point])
    name_starts, ids = tokenizer.encode(list(distinct), progress.part(0.4, 0.9))
    # The last entry stands for "no name", which is code -1.
    first, length = np.append(name_starts[:-1], 0)[names], np.append(np.diff(name_starts), 0)[names]
    unnamed, cut_names = int((length == 0).sum()), int((length > max_tokens - 2).sum())
    length = np.minimum(length, max_tokens - 2)

    tie, draw = np.random.default_rng(seed).random((len(pois), 2)).T
    kept = _fitting(pairs.region, length + 1, None if parity else draw[pairs.point], max_tokens - 1, max_pois - 2)
    cut_regions = len(np.unique(pairs.region[~kept]))
    dropped = int((~kept).sum())
    pairs, first, length = pairs.take(kept), first[kept], length[kept]
    if not parity:
        order = np.lexsort((tie[pairs.point], pairs.curve(frames), pairs.region))
        pairs, first, length = pairs.take(order), first[order], length[order]

    cell = np.clip(np.floor(pairs.xy01 * grid), 0, grid - 1).astype(np.int64)
    category = vocabulary.encode(pois.category[pairs.point], pois.subcategory[pairs.point])
    pois_of = np.bincount(pairs.region, minlength=len(regions))
    pair_starts = np.cumsum(pois_of) - pois_of
    size = np.bincount(pairs.region, weights=length + 1, minlength=len(regions)).astype(np.int64) + 1
    starts = np.append(0, np.cumsum(size))
    # Tokens lie as the pairs do, but for one [CLS] before each region's.
    begin = np.cumsum(length + 1) - (length + 1) + pairs.region + 1
    pair, place = repeat_ranges(begin, length + 1)
    word = place - begin[pair]
    is_name = word < length[pair]
    total = int(starts[-1])
    tokens = np.full(total, tokenizer.cls, np.int32)
    tokens[place] = tokenizer.sep
    tokens[place[is_name]] = ids[(first[pair] + word)[is_name]]
    per_pair = {
        "poi_position": np.arange(len(pairs.point)) - pair_starts[pairs.region] + 1,
        "grid_position": cell[:, 1] * grid + cell[:, 0] + 1,
        "category": category,
        "poi": pairs.point,
    }
    arrays = {name: np.full(total, _NO_POI if name == "poi" else 0, np.int32) for name in per_pair}
    for name, values in per_pair.items():
        arrays[name][place] = values[pair]
    word_position = np.zeros(total, np.int32)
    word_position[place] = word
    xy01 = np.full((total, 2), np.nan, np.float32)
    xy01[place] = pairs.xy01[pair]
    counts = SequenceCounts(
        points=len(pois),
        outside=pairs.outside,
        shared=pairs.shared,
        dropped=dropped,
        cut_regions=cut_regions,
        cut_names=cut_names,
        unnamed=unnamed,
        unknown=int((category == vocabulary.unknown).sum()),
        off_frame=int(((pairs.xy01 < 0) | (pairs.xy01 > 1)).any(axis=1).sum()),
        empty_regions=int((pois_of == 0).sum()),
        regions=len(regions),
    )
    return RegionSequences(
        starts=starts,
        tokens=tokens,
        word_position=word_position,
        xy01=xy01,
        grid=grid,
        pad=tokenizer.pad,
        sep=tokenizer.sep,
        counts=counts,
        notes=counts.sentences(),
        **arrays,
    )


@dataclass(frozen=True)
class _Pairs:
    """Pairs of a point and a region that holds it, (K,), by region; the point's place in the region's frame, (K, 2)."""

    point: NDArray[np.int64]
    region: NDArray[np.int64]
    xy01: NDArray[np.float64]
    outside: int
    shared: int

    @classmethod
    def find(cls, pois: PoiSet, regions: RegionSet, frames: RegionFrames, progress: Progress) -> _Pairs:
        held = regions.assign(pois.xy, pois.crs, progress)
        xy = transform_xy(pois.xy, pois.crs, frames.crs)
        placed = np.isfinite(xy[held.point]).all(axis=1)
        point, region = held.point[placed], held.region[placed]
        times = np.bincount(point, minlength=len(pois))
        fractions = frames.fractions(xy[point], region)
        return cls(point, region, fractions, int((times == 0).sum()), int((times > 1).sum()))

    def take(self, rows: NDArray[Any]) -> _Pairs:
        return _Pairs(self.point[rows], self.region[rows], self.xy01[rows], self.outside, self.shared)

    def curve(self, frames: RegionFrames) -> NDArray[np.uint64]:
        """Place of each along the curve through cells of 1 m, counted from the north-west of frame and points."""
        cell = np.floor(self.xy01 * frames.side_m[self.region, None]).astype(np.int64)
        lowest = np.zeros((len(frames), 2), np.int64)
        np.minimum.at(lowest, self.region, cell)
        cell -= lowest[self.region]
        return z_order(cell[:, 0], cell[:, 1])


def _fitting(
    region: NDArray[np.int64], size: NDArray[np.int64], draw: NDArray[np.float64] | None, tokens: int, most: int
) -> NDArray[np.bool_]:
    """Which pairs fit into their region's sequence, (K,): in the order of `draw`, or in the given one.

    Args:
        region: (K,) ascending.
        size: (K,) tokens of each.
        draw: (K,) random numbers.
        tokens, most: Room for tokens and for pairs.
    """
    kept = np.ones(len(region), bool)
    full = np.bincount(region, weights=size) > tokens
    full |= np.bincount(region) > most
    doubtful = np.flatnonzero(full[region])
    if not len(doubtful):
        return kept
    if draw is not None:
        doubtful = doubtful[np.lexsort((draw[doubtful], region[doubtful]))]
    begins = np.flatnonzero(np.diff(region[doubtful], prepend=-1))
    repeats = np.diff(np.append(begins, len(doubtful)))
    taken = np.cumsum(size[doubtful])
    taken -= np.repeat(taken[begins] - size[doubtful[begins]], repeats)
    rank = np.arange(len(doubtful)) - np.repeat(begins, repeats)
    kept[doubtful] = (taken <= tokens) & (rank < most)
    return kept

"""Parts of a picture that are worth a look of their own (UrbanLN, "Divide-and-Conquer Refinement").

The paper segments with SAM and takes rectangles that hardly overlap, by "a maximal rectangle algorithm". Here: boxes of
masks that SAM itself holds for good, the largest of them, are cut one by one, from the smallest on, to the largest
rectangle in them that no box before has taken. Without SAM a plain grid serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from urbanfm_core.errors import ConfigError
from urbanfm_core.models.text_source import Role, find_model, load_image_processor, load_weights, read_json

SEGMENTER = Role(
    "segmenter",
    "Use 'grid', 'grid:3', or the folder or Hugging Face id of a SAM model.",
    "or use the segmenter 'grid'",
)
GRID = "grid"
_GRID_SIDE, _MOST_GRID_SIDE = 2, 8
# Of the public pipeline of CAPTURE: points on a side, and how good and how stable a mask has to be.
_POINTS, _QUALITY, _STABILITY = 8, 0.66, 0.86
_POINTS_AT_ONCE = 16
# Share of the picture that a mask and, after cutting, a box may have.
_LEAST_SHARE, _MOST_SHARE = 0.01, 0.9
_MOST_BOXES = 10
# Cells on a side of the raster on which overlap is found.
_CELLS = 64

Boxes = NDArray[np.int64]
"""(n, 4) left, top, right, bottom in pixels; right and bottom lie outside."""


class Segmenter(Protocol):
    """What every segmenter offers.

    Attributes:
        identity: Which one; equal identities give equal boxes.
        notes: What a report should mention about it.
    """

    identity: str

    @property
    def notes(self) -> list[str]: ...

    def boxes(self, picture: NDArray[np.uint8]) -> Boxes:
        """Rectangles of a picture, (3, H, W) uint8, that do not overlap; at least one."""


def load_segmenter(spec: str = GRID, *, cache_dir: str | Path | None = None, device: str = "cpu") -> Segmenter:
    """The segmenter that `spec` names.

    Args:
        spec: `grid` for 2 x 2 parts, `grid:3` for 3 x 3, or the folder or Hugging Face id of a SAM model.
        cache_dir: Where downloads are kept; None for the user's cache folder.
        device: Torch device of a SAM model.

    Raises:
        ConfigError: the spec names nothing loadable.
        RemoteError: the hub cannot be reached.
    """
    name, _, side = spec.strip().partition(":")
    if name != GRID:
        return SamSegmenter(spec.strip(), cache_dir=cache_dir, device=device)
    if side and not (side.isdigit() and 1 <= int(side) <= _MOST_GRID_SIDE):
        raise ConfigError(
            f"The segmenter '{spec}' is no grid of 1 to {_MOST_GRID_SIDE} parts a side.", SEGMENTER.choices
        )
    return GridSegmenter(int(side or _GRID_SIDE))


class GridSegmenter:
    """Equal parts of a picture, whatever it shows; a `Segmenter`."""

    def __init__(self, side: int = _GRID_SIDE) -> None:
        self._side = side
        self.identity = f"grid|{side}"
        self.notes = [f"Pictures are divided into {side} x {side} equal parts, without a segmentation model."]

    def boxes(self, picture: NDArray[np.uint8]) -> Boxes:
        """See `Segmenter.boxes`."""
        height, width = picture.shape[1:]
        rows = np.linspace(0, height, min(self._side, height) + 1).astype(int)
        columns = np.linspace(0, width, min(self._side, width) + 1).astype(int)
        parts = [(left, top, right, bottom) for top, bottom in pairwise(rows) for left, right in pairwise(columns)]
        return np.array(parts, np.int64)


class SamSegmenter:
    """SAM of transformers, asked at a raster of points; a `Segmenter`.

    Args:
        spec: Folder or Hugging Face id.
        cache_dir: Where downloads are kept.
        device: Torch device.
        quality: Least quality of a mask, by the model's own estimate.
        stability: Least stability of a mask: how much of it stays when its threshold is raised.
    """

    def __init__(
        self,
        spec: str,
        *,
        cache_dir: str | Path | None = None,
        device: str = "cpu",
        quality: float = _QUALITY,
        stability: float = _STABILITY,
    ) -> None:
        source = find_model(spec, cache_dir, SEGMENTER)
        kind = read_json(source.folder / "config.json").get("model_type")
        if kind != "sam":
            raise ConfigError(f"The segmenter '{spec}' is a model of type {kind!r}, expected 'sam'.", SEGMENTER.choices)
        self._processor = load_image_processor(source.folder, spec, SEGMENTER)
        self._model = load_weights(source.folder, spec, SEGMENTER, auto="SamModel")
        self._device = torch.device(device)
        self._model.to(self._device).eval().requires_grad_(False)
        self._quality, self._stability = quality, stability
        self._grid = GridSegmenter()
        self._found_none = 0
        self.identity = (
            f"{source.label}|points={_POINTS}|quality={quality:g}|stability={stability:g}|most={_MOST_BOXES}"
        )

    @property
    def notes(self) -> list[str]:
        """See `Segmenter`."""
        if not self._found_none:
            return []
        return [f"The segmenter found no clear part in {self._found_none:,} pictures, which were divided in 2 x 2."]

    def boxes(self, picture: NDArray[np.uint8]) -> Boxes:
        """See `Segmenter.boxes`."""
        height, width = picture.shape[1:]
        found = [box for part in self._masks(picture) for box in part]
        boxes = disjoint_boxes(np.array(found, np.float64).reshape(-1, 4), height, width)
        if len(boxes):
            return boxes
        self._found_none += 1
        return self._grid.boxes(picture)

    def _masks(self, picture: NDArray[np.uint8]) -> Iterator[list[NDArray[np.float64]]]:
        """Boxes of good masks, in pixels of the picture."""
        height, width = picture.shape[1:]
        inputs: Any = self._processor(np.ascontiguousarray(picture.transpose(1, 2, 0)), return_tensors="pt")
        scaled = [float(side) for side in np.asarray(inputs["reshaped_input_sizes"]).reshape(-1)[:2]]
        middles = (np.arange(_POINTS) + 0.5) / _POINTS
        x, y = np.meshgrid(middles * scaled[1], middles * scaled[0])
        points = torch.tensor(np.stack([x.ravel(), y.ravel()], 1), dtype=torch.float32, device=self._device)
        pixels = inputs["pixel_values"].to(self._device)
        with torch.inference_mode():
            seen = self._model.get_image_embeddings(pixels)
            for some in points.split(_POINTS_AT_ONCE):
                # One mask of each of three sizes per point.
                found = self._model(input_points=some[None, :, None], image_embeddings=seen)
                logits = found.pred_masks[0].flatten(0, 1).float()
                quality = found.iou_scores[0].flatten().float()
                # The picture fills the upper left part of the square that the model sees.
                step = pixels.shape[-1] / logits.shape[-1]
                logits = logits[:, : max(1, round(scaled[0] / step)), : max(1, round(scaled[1] / step))]
                yield self._good(logits.cpu().numpy(), quality.cpu().numpy(), height, width)

    def _good(
        self, logits: NDArray[np.float32], quality: NDArray[np.float32], height: int, width: int
    ) -> list[NDArray[np.float64]]:
        inside = (logits > 0).sum(axis=(1, 2))
        surely, perhaps = (logits > 1).sum(axis=(1, 2)), (logits > -1).sum(axis=(1, 2))
        stable = surely >= self._stability * np.maximum(perhaps, 1)
        share = inside / logits[0].size
        chosen = (quality >= self._quality) & stable & (share >= _LEAST_SHARE) & (share <= _MOST_SHARE)
        scale = np.array([width / logits.shape[2], height / logits.shape[1]] * 2)
        boxes = []
        for mask in logits[chosen] > 0:
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            boxes.append(np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) * scale)
        return boxes


def disjoint_boxes(boxes: NDArray[np.float64], height: int, width: int, most: int = _MOST_BOXES) -> Boxes:
    """Rectangles that do not overlap, out of some that may.

    The largest are taken and cut, from the smallest on, to the largest rectangle in each that is still free. What is
    then less than a hundredth of the picture is dropped.

    Args:
        boxes: (n, 4) left, top, right, bottom in pixels.
        height, width: Of the picture.
        most: Most rectangles.

    Returns:
        (m, 4) int64, smallest first.
    """
    cell = np.array([width / _CELLS, height / _CELLS] * 2)
    edges = np.unique(np.clip(np.rint(boxes / cell), 0, _CELLS).astype(np.int64), axis=0)
    area = (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
    large = np.argsort(-area, kind="stable")[:most]
    taken = np.zeros((_CELLS, _CELLS), bool)
    found = []
    for left, top, right, bottom in edges[large[::-1]]:
        free = largest_rectangle(~taken[top:bottom, left:right])
        size = (free[2] - free[0]) * (free[3] - free[1])
        if size < _LEAST_SHARE * _CELLS**2:
            continue
        cut = np.array([left + free[0], top + free[1], left + free[2], top + free[3]])
        taken[cut[1] : cut[3], cut[0] : cut[2]] = True
        found.append(np.rint(cut * cell))
    return np.array(found, np.int64).reshape(-1, 4)


def largest_rectangle(free: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The largest rectangle of true cells, (H, W): left, top, right, bottom; all 0 if there is none.

    Row by row, over the heights of free columns that end there, by a stack of rising heights.
    """
    best, found = 0, (0, 0, 0, 0)
    heights = np.zeros(free.shape[1] + 1, np.int64)  # the last one stays 0 and empties the stack
    for row, cells in enumerate(free):
        heights[:-1] = np.where(cells, heights[:-1] + 1, 0)
        stack: list[tuple[int, int]] = []  # where a height begins, and the height
        for column, height in enumerate(heights.tolist()):
            begin = column
            while stack and stack[-1][1] >= height:
                begin, tall = stack.pop()
                if tall * (column - begin) > best:
                    best, found = tall * (column - begin), (begin, row + 1 - tall, column, row + 1)
            stack.append((begin, height))
    return found

"""Polygons of points of interest, such as buildings: outlines, ground area, and shapes as small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from urbanfm_core.data.poi_tags import Tags
from urbanfm_core.data.store import SampleStore
from urbanfm_core.progress import Progress


@dataclass(frozen=True)
class BuildingSet:
    """B polygons in a CRS in metres.

    Attributes:
        ids: (B,) unique ids, int64 or text.
        id_name: Name of their column.
        geometry: (B,) valid polygons and multi-polygons.
        crs: Metric CRS of the geometry.
        area_m2: (B,) float64 ground area.
        xy: (B, 2) centroids in `crs`.
        tags: What OpenStreetMap, or the named columns, say of each.
        notes: What was repaired, left out or chosen.
    """

    ids: NDArray[Any]
    id_name: str
    geometry: NDArray[np.object_]
    crs: CRS
    area_m2: NDArray[np.float64]
    xy: NDArray[np.float64]
    tags: Tags
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def read(
        cls, source: str | Path, id_field: str | None = None, tag_columns: Sequence[str] | None = None
    ) -> BuildingSet:
        """Buildings from a polygon layer.

        Columns are tags only where they are OpenStreetMap's keys, or named: a column such as 'function' may be the
        very thing that is to be predicted.
        """
        raise NotImplementedError

    def holding(self, xy: NDArray[np.float64], crs: Any) -> NDArray[np.int64]:
        """The smallest building that holds each point, (P,); -1 for none."""
        raise NotImplementedError

    def shapes(self, size_px: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """Outlines as pictures (UrbanMFM, eq. 4): (n, size_px, size_px), aspect kept, filling the longer side, north up."""
        raise NotImplementedError


@dataclass(frozen=True)
class PackedShapes:
    """Pictures of B shapes, eight pixels to a byte.

    Attributes:
        bits: (B, ceil(size_px ** 2 / 8)) uint8.
        size_px: Side.
    """

    bits: NDArray[np.uint8]
    size_px: int

    def batch(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Some of the pictures, (n, size_px, size_px) of 0 and 1."""
        raise NotImplementedError


def stored_shapes(
    buildings: BuildingSet, size_px: int, store: SampleStore, progress: Progress | None = None
) -> PackedShapes:
    """Pictures of all buildings: from the store, or made and kept there."""
    raise NotImplementedError

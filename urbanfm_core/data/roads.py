"""Roads: lines as they come, cut where they meet into segments between nodes, measured in metres."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from urbanfm_core.data.poi_tags import Tags
from urbanfm_core.progress import Progress

SNAP_M = 1.0


@dataclass(frozen=True)
class RoadNetwork:
    """S segments between N nodes.

    Attributes:
        geometry: (S,) lines in `crs`.
        crs: Metric CRS.
        length_m: (S,) float64.
        ends: (S, 2) int64 nodes at both ends; the same twice for a ring.
        node_xy: (N, 2) in `crs`.
        degree: (N,) int64 segment ends at each node; 3 or more is an intersection.
        road: (S,) int64 row of the source that each segment comes from.
        tags: Tags of the rows of the source; `tags.take(network.road)` are those of the segments.
        notes: What was left out, cut and joined, with counts.
    """

    geometry: NDArray[np.object_]
    crs: CRS
    length_m: NDArray[np.float64]
    ends: NDArray[np.int64]
    node_xy: NDArray[np.float64]
    degree: NDArray[np.int64]
    road: NDArray[np.int64]
    tags: Tags
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.length_m)

    @classmethod
    def read(cls, source: str | Path, snap_m: float = SNAP_M, progress: Progress | None = None) -> RoadNetwork:
        """A network from a line layer."""
        raise NotImplementedError

    def intersections(self) -> NDArray[np.int64]:
        """Nodes where three or more segments end, ascending."""
        raise NotImplementedError

    def nearest(
        self, xy: NDArray[np.float64], crs: Any, radius_m: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The nearest segment of each point, (P,), -1 if none is within the radius, and its distance in metres (NaN)."""
        raise NotImplementedError

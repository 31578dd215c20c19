"""Street views by the spot where they were taken: groups of headings, and which of them faces a place."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from urbanfm_core.data.streetview import StreetViews


@dataclass(frozen=True)
class StreetGroups:
    """G groups of street views, each at one spot.

    Attributes:
        xy: (G, 2) mean place of the views of a group.
        crs: Metric CRS of that.
        starts: (G + 1,) int64; the views of group g are `view[starts[g] : starts[g + 1]]`.
        view: (S,) int64 rows of the street views, by group and then by heading.
        heading: (S,) float64 degrees from north of `view`, NaN where nobody tells.
        notes: What a report should mention.
    """

    xy: NDArray[np.float64]
    crs: CRS
    starts: NDArray[np.int64]
    view: NDArray[np.int64]
    heading: NDArray[np.float64]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.xy)

    @classmethod
    def of(cls, views: StreetViews, crs: CRS) -> StreetGroups:
        """The groups of street views, in a metric CRS."""
        raise NotImplementedError

    def facing(self, xy: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.int64]:
        """For K pairs of a place (K, 2) and a group (K,): position in `view` of the view that looks at the place
        (UrbanMFM, eq. 11); -1 where no heading of the group is known."""
        raise NotImplementedError

"""Street views by the spot where they were taken: groups of headings, and which of them faces a place."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import CRS

from urbanfm_core.data.neighbours import starts_of
from urbanfm_core.data.streetview import StreetViews
from urbanfm_core.geo.crs import transform_xy

# Views of one group that are farther apart than this are not of one spot: a sequence, not a panorama.
SPOT_M = 25.0


@dataclass(frozen=True)
class StreetGroups:
    """G groups of street views, each at one spot.

    Attributes:
        xy: (G, 2) mean place of the views of a group.
        crs: Metric CRS of that.
        starts: (G + 1,) int64; the views of group g are `view[starts[g] : starts[g + 1]]`.
        view: (S,) int64 rows of the street views, by group and then by heading, unknown headings last.
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
    def of(cls, views: StreetViews, crs: CRS, spot_m: float = SPOT_M) -> StreetGroups:
        """The groups of street views, in a metric CRS.

        Views belong together that the layer says do, and were taken within squares of `spot_m`: of a drive past many
        places, each is a group of its own.

        Args:
            views: S street views.
            crs: Metric CRS to work in.
            spot_m: Side of the squares, metres.
        """
        xy = transform_xy(views.xy, views.crs, crs)
        told, _ = pd.factorize(views.group)
        _, first = np.unique(told, return_index=True)
        square = np.rint((xy - xy[first[told]]) / spot_m).astype(np.int64)
        spots, group = np.unique(np.column_stack([told, square]), axis=0, return_inverse=True)
        heading = np.asarray(views.heading, np.float64)
        order = np.lexsort((heading, group))
        size = np.bincount(group).astype(np.int64)
        centre = np.column_stack([np.bincount(group, column) / size for column in xy.T]).reshape(-1, 2)
        notes = [f"{len(views):,} street views are {len(size):,} groups of one spot each."]
        if divided := int((np.bincount(spots[:, 0]) > 1).sum()):
            notes.append(f"{divided:,} groups of the layer reach over more than {spot_m:g} m and were divided.")
        unknown = int(np.isnan(heading).sum())
        if unknown:
            notes.append(f"{unknown:,} of {len(views):,} street views do not tell their heading.")
        return cls(centre, crs, starts_of(size), order.astype(np.int64), heading[order], notes)

    def facing(self, xy: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.int64]:
        """The view of a group that looks at a place (UrbanMFM, eq. 11).

        Args:
            xy: (K, 2) places in `crs`; the grid's north is taken for north, which is a few degrees off at most.
            group: (K,) a group each.

        Returns:
            (K,) position in `view`; -1 where no heading of the group is known.
        """
        east, north = (xy - self.xy[group]).T
        bearing = np.degrees(np.arctan2(east, north))
        best = np.full(len(group), -1, np.int64)
        least = np.full(len(group), np.inf)
        size = np.diff(self.starts)[group]
        for place in range(int(size.max(initial=0))):
            some = np.flatnonzero(size > place)
            view = self.starts[group[some]] + place
            off = np.abs((self.heading[view] - bearing[some] + 180) % 360 - 180)
            better = off < least[some]
            best[some[better]], least[some[better]] = view[better], off[better]
        return best

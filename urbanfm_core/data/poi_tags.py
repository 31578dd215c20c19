"""Free tags of places: any number of `key: value` pairs per row, however a layer spells them.

Understood, and mixed freely within one layer: a column per key (QuickOSM), GDAL's and osmium's `other_tags` (hstore),
`tags` as JSON text, map, hstore or `key=value;key=value`. Ids, coordinates and housekeeping columns are no tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tags:
    """Tags of N rows.

    Attributes:
        starts: (N + 1,) int64; the tags of row i are those from `starts[i]` to `starts[i + 1]`.
        key: (T,) text.
        value: (T,) text.
        notes: Where they were taken from, and what was left out, with counts.
    """

    starts: NDArray[np.int64]
    key: NDArray[np.object_]
    value: NDArray[np.object_]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, rows: NDArray[np.int64]) -> Tags:
        """The tags of some rows, in that order."""
        raise NotImplementedError

    def texts(self) -> list[str]:
        """The tags of each row as the text encoder reads them, "amenity: cafe, cuisine: burger"; "" for none."""
        raise NotImplementedError

    def values(self, key: str) -> NDArray[np.object_]:
        """What one key says in each row, (N,); None where it is missing."""
        raise NotImplementedError


def read_tags(frame: pd.DataFrame, columns: Sequence[str] | None = None) -> Tags:
    """Tags of every row of a layer or table.

    Args:
        frame: Rows of the source.
        columns: The only columns that may hold tags; None for all that look like it.

    Raises:
        ConfigError: a given column does not exist.
    """
    raise NotImplementedError

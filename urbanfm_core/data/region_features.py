"""Extra tables about regions, such as mobility or reviews: numbers by region id."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.regions import RegionSet


@dataclass(frozen=True)
class RegionFeatures:
    """F numbers of R regions.

    Attributes:
        values: (R, F) float32 as in the table; NaN where it says nothing.
        names: F names.
        notes: What was taken and left out, with counts.
    """

    values: NDArray[np.float32]
    names: list[str]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, source: str | Path, regions: RegionSet, id_field: str | None = None) -> RegionFeatures:
        """Numbers of a table or layer whose id column matches the regions'."""
        raise NotImplementedError

"""What a method says of points of interest, whatever it looks at."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PointVectors:
    """One vector per point of interest, in the order of `CityInputs.read_pois`.

    Attributes:
        vectors: (P, D) float32; a point that nothing is known of is a row of NaN.
        coverage: By input, (P,) float32: 1 where the point has what the method reads of that input, else 0.
        notes: What was left out, in sentences.
    """

    vectors: NDArray[np.float32]
    coverage: dict[str, NDArray[np.float32]]
    notes: list[str] = field(default_factory=list)

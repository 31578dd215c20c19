"""The vectors and numbers of a whole layer in memory, for the most similar regions and a region's place among all."""

from __future__ import annotations

import heapq
import json
import math
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import mul
from typing import Any, Optional

from qgis.core import QgsFeature, QgsFeatureRequest, QgsVectorLayer

from .. import compat
from ..i18n import tr
from .inspector_fields import Roles, number, plain

# Numbers that are kept, four bytes each. All of them are multiplied at each click, while the window waits.
MOST_NUMBERS = 10_000_000
MOST_REGIONS = 500_000
_CLOCK_EVERY = 64


class TableError(Exception):
    """The layer cannot be compared with itself; the text is for the user."""


class LayerTable:
    """Vectors and numbers of all regions of a layer.

    Attributes:
        without: Regions without a vector.
        odd: Regions whose vector cannot be read, or is not as long as the first one.
    """

    def __init__(
        self, ids: list[int], vectors: list[array[float]], numbers: dict[str, list[float]], without: int, odd: int
    ) -> None:
        self.without, self.odd = without, odd
        self._row = {feature_id: row for row, feature_id in enumerate(ids)}
        self._ids = ids
        self._units = [_unit(vector) for vector in vectors]
        self._sorted = {name: sorted(filter(math.isfinite, values)) for name, values in numbers.items()}

    def __contains__(self, feature_id: int) -> bool:
        return feature_id in self._row

    def __len__(self) -> int:
        return len(self._ids)

    def nearest(self, feature_id: int, count: int) -> list[tuple[int, float]]:
        """The most similar other regions: feature ids and cosines, the best first; none without a vector."""
        row = self._row.get(feature_id)
        if row is None:
            return []
        own = self._units[row]
        # Equally similar ones in the order of the layer, so that a list is the same every time.
        ranked = ((-sum(map(mul, own, unit)), place) for place, unit in enumerate(self._units) if place != row)
        return [(self._ids[place], max(-1.0, min(1.0, -less))) for less, place in heapq.nsmallest(count, ranked)]

    def below(self, field: str, value: float) -> Optional[float]:
        """Share of the regions with a lower value, in [0, 1]; those with the same value count half."""
        values = self._sorted.get(field)
        if values is None or len(values) < 2:
            return None
        return (bisect_left(values, value) + bisect_right(values, value)) / 2 / len(values)


class TableReader:
    """Reads a layer a little at a time, so that the window stays alive.

    Args:
        layer: Regions.
        roles: Of its fields.

    Raises:
        TableError: the layer is too large.
    """

    def __init__(self, layer: QgsVectorLayer, roles: Roles) -> None:
        self._total = max(layer.featureCount(), 0)
        if self._total > MOST_REGIONS or self._total * len(roles.vector_columns) > MOST_NUMBERS:
            raise TableError(_too_large(self._total))
        numeric = {field.name() for field in layer.fields() if field.isNumeric()}
        self._roles = roles
        self._numbers: dict[str, list[float]] = {q.field: [] for q in roles.quantities if q.field in numeric}
        wanted = [*self._numbers, *(roles.vector_columns or filter(None, [roles.vector_text]))]
        request = QgsFeatureRequest()
        request.setFlags(compat.NO_GEOMETRIES)
        request.setSubsetOfAttributes(wanted, layer.fields())
        self._features: Iterator[QgsFeature] = layer.getFeatures(request)
        self._ids: list[int] = []
        self._vectors: list[array[float]] = []
        self._seen = self._without = self._odd = 0
        self.table: Optional[LayerTable] = None

    @property
    def share(self) -> float:
        """Share that is read, in [0, 1]."""
        return min(self._seen / self._total, 1.0) if self._total else 0.0

    def step(self, seconds: float) -> bool:
        """Read on for about so long.

        Returns:
            Whether all is read, so that `table` is there.

        Raises:
            TableError: there is more than is kept in memory.
        """
        end = time.monotonic() + seconds
        for feature in self._features:
            self._take(feature)
            if self._seen % _CLOCK_EVERY == 0 and time.monotonic() > end:
                return False
        if self.table is None:
            self.table = LayerTable(self._ids, self._vectors, self._numbers, self._without, self._odd)
            self._vectors = []
        return True

    def _take(self, feature: QgsFeature) -> None:
        self._seen += 1
        for name, values in self._numbers.items():
            value = number(feature[name])
            values.append(float("nan") if value is None else value)
        if not self._roles.has_vectors:
            return
        vector, there = self._vector(feature)
        if vector is None:
            self._odd += there
            self._without += not there
            return
        # By the first vector it is clear whether all of them are too many.
        if max(self._total, self._seen) * len(vector) > MOST_NUMBERS or self._seen > MOST_REGIONS:
            raise TableError(_too_large(max(self._total, self._seen)))
        self._ids.append(feature.id())
        self._vectors.append(vector)

    def _vector(self, feature: QgsFeature) -> tuple[Optional[array[float]], bool]:
        """The vector, and whether the region has one at all."""
        values: Any
        if self._roles.vector_columns:
            values = [plain(feature[name]) for name in self._roles.vector_columns]
            if all(value is None for value in values):
                return None, False
        else:
            text = plain(feature[self._roles.vector_text])
            if not text:
                return None, False
            try:
                values = json.loads(text)
            except ValueError:
                return None, True
        try:
            vector = array("f", values)
        except (TypeError, OverflowError):
            return None, True
        width = len(self._vectors[0]) if self._vectors else len(vector)
        fine = len(vector) == width > 0 and all(map(math.isfinite, vector))
        return (vector if fine else None), True


def _unit(vector: array[float]) -> array[float]:
    """The vector at length 1; one of zeros stays as it is."""
    length = math.hypot(*vector)
    return array("f", [value / length for value in vector]) if length else vector


def _too_large(regions: int) -> str:
    return tr(
        "The layer is too large to compare its {:,} regions here. Run 'Find similar regions' on the chosen one."
    ).format(regions)

"""Points of interest inside a region, counted by category."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsCsException,
    QgsFeature,
    QgsFeatureRequest,
    QgsGeometry,
    QgsSpatialIndex,
    QgsVectorLayer,
)

from .. import compat
from .inspector_fields import plain

CATEGORY_FIELDS = ("category", "type", "kind", "amenity", "fclass", "class")
# A layer without a spatial index gets one in memory, up to so many points; beyond, the source searches by itself.
MOST_INDEXED = 200_000
# What a click may cost: points in the region's frame, and seconds.
MOST_POINTS = 200_000
MOST_SECONDS = 1.0
_CLOCK_EVERY = 256


@dataclass(frozen=True)
class Counts:
    """What was counted in a region.

    Attributes:
        total: Points inside.
        leading: Categories with their numbers, the most frequent first; "" is no category.
        complete: False if the budget ended before the points did.
    """

    total: int
    leading: tuple[tuple[str, int], ...]
    complete: bool = True


class PointCounter:
    """Counts the points of one layer.

    Args:
        layer: Points.
        field: Name of the category's field; empty counts only the total.
    """

    def __init__(self, layer: QgsVectorLayer, field: str) -> None:
        self._layer = layer
        self._field = layer.fields().lookupField(field) if field else -1
        self._index: Optional[QgsSpatialIndex] = None

    def count(
        self,
        polygon: QgsGeometry,
        crs: QgsCoordinateReferenceSystem,
        context: QgsCoordinateTransformContext,
        most_points: int = MOST_POINTS,
        most_seconds: float = MOST_SECONDS,
    ) -> Counts:
        """Count the points inside a polygon.

        Args:
            polygon: A region.
            crs: Its coordinate system.
            context: How the project transforms coordinates.
            most_points, most_seconds: What it may cost.
        """
        area = QgsGeometry(polygon)
        try:
            area.transform(QgsCoordinateTransform(crs, self._layer.crs(), context))
        except QgsCsException:
            # The region lies where the points' coordinate system ends: no point can be there.
            return Counts(0, ())
        if not area.isGeosValid():
            area = area.makeValid()
        if area.isEmpty():
            return Counts(0, ())
        inside = QgsGeometry.createGeometryEngine(area.constGet())
        inside.prepareGeometry()
        end = time.monotonic() + most_seconds
        found: Counter[str] = Counter()
        for seen, feature in enumerate(self._near(area)):
            if seen >= most_points or (seen % _CLOCK_EVERY == _CLOCK_EVERY - 1 and time.monotonic() > end):
                return Counts(sum(found.values()), _ordered(found), False)
            point = feature.geometry()
            if not point.isNull() and inside.intersects(point.constGet()):
                found[self._category(feature)] += 1
        return Counts(sum(found.values()), _ordered(found))

    def _near(self, area: QgsGeometry) -> Iterator[QgsFeature]:
        request = QgsFeatureRequest()
        request.setSubsetOfAttributes([self._field] if self._field >= 0 else [])
        frame = area.boundingBox()
        if self._layer.hasSpatialIndex() == compat.HAS_INDEX or self._layer.featureCount() > MOST_INDEXED:
            request.setFilterRect(frame)
        else:
            if self._index is None:
                everything = QgsFeatureRequest()
                everything.setSubsetOfAttributes([])
                self._index = QgsSpatialIndex(self._layer.getFeatures(everything))
            request.setFilterFids(self._index.intersects(frame))
        return self._layer.getFeatures(request)

    def _category(self, feature: QgsFeature) -> str:
        value: Any = plain(feature.attribute(self._field)) if self._field >= 0 else None
        return "" if value is None else str(value)


def category_field(layer: QgsVectorLayer) -> str:
    """Name of the field that seems to hold the category; empty if none does."""
    known = {field.name().lower(): field.name() for field in layer.fields()}
    return next((known[name] for name in CATEGORY_FIELDS if name in known), "")


def _ordered(found: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))

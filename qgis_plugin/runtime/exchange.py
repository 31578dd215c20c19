"""Features out of QGIS into files that the worker reads, and its results back into QGIS.

The worker reads no QGIS layer, and QGIS need not read the worker's formats: both speak GeoPackage. What the worker
gets is what it would have read from the layer's own file: all fields, the same feature numbers.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFeatureRequest,
    QgsFeatureSink,
    QgsField,
    QgsFields,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsVectorLayerFeatureSource,
)

from .. import compat
from ..i18n import tr

FID = "fid"
# Features that are not saved yet have negative numbers, which files do not take.
UNSAVED_FROM = 1_000_000_000
REPORT_EVERY = 1000

Source = Union[QgsProcessingFeatureSource, QgsVectorLayerFeatureSource]


class ExchangeError(Exception):
    """Features could not be handed over; the text is for the user."""


@dataclass
class VectorInput:
    """Features to hand over.

    Attributes:
        source: Where they come from; filters and "selected only" have been applied there.
        wkb_type: Geometry type; a table has none.
        count: How many there are, as far as known; for the progress text.
        geometry_only: Leave all fields behind.
        name: How people call the layer.
    """

    source: Source
    fields: QgsFields
    crs: QgsCoordinateReferenceSystem
    wkb_type: Any
    count: int = 0
    geometry_only: bool = False
    name: str = ""

    @property
    def is_table(self) -> bool:
        return bool(self.wkb_type == compat.NO_GEOMETRY)


def export(vector: VectorInput, path: Path, feedback: QgsProcessingFeedback) -> int:
    """Write features to a file: a GeoPackage, or CSV (by suffix) if they have no geometry.

    The same features make the same file, byte for byte and to its date, so that the library recognises inputs that
    it has seen and goes on where a stopped run was.

    Returns:
        How many features were written; fewer than there are if the user cancelled.

    Raises:
        ExchangeError: the file cannot be written.
    """
    try:
        written = _write(vector, path, feedback, numbers_in_field=_has_fid(vector))
    except _NotNumbered:
        path.unlink()
        written = _write(vector, path, feedback, numbers_in_field=False)
    _settle(path)
    return written


class _NotNumbered(Exception):
    """A field is called `fid` and does not hold the features' numbers, as after merging layers."""


def _has_fid(vector: VectorInput) -> bool:
    index = vector.fields.lookupField(FID)
    return index >= 0 and vector.fields.at(index).type() in (compat.LONG_FIELD, compat.INT_FIELD)


def _write(vector: VectorInput, path: Path, feedback: QgsProcessingFeedback, *, numbers_in_field: bool) -> int:
    number_field = vector.fields.lookupField(FID)
    kept = [] if vector.geometry_only else list(range(vector.fields.count()))
    if numbers_in_field:
        kept = [index for index in kept if index != number_field]
    fields = _writable_fields(vector.fields, kept)
    writer = _writer(vector, path, fields, FID if numbers_in_field or number_field < 0 else "urbanfm_fid")
    request = QgsFeatureRequest()
    if vector.geometry_only:
        request.setSubsetOfAttributes([])
    written = 0
    for original in _features(vector.source, request):
        if written % REPORT_EVERY == 0:
            if feedback.isCanceled():
                break
            if vector.count > REPORT_EVERY:
                feedback.setProgressText(tr("Reading {:,}/{:,} features").format(written, vector.count))
        number, attributes = original.id(), original.attributes()
        if numbers_in_field and attributes[number_field] != number:
            # Closed first: the file is written again, and a traceback would keep the writer alive.
            del writer
            raise _NotNumbered
        feature = QgsFeature(fields, number if number >= 0 else UNSAVED_FROM - number)
        feature.setAttributes([_plain(attributes[index]) for index in kept])
        if not vector.is_table:
            feature.setGeometry(original.geometry())
        if not writer.addFeature(feature, QgsFeatureSink.Flag.FastInsert):
            raise ExchangeError(
                tr("Feature {} cannot be written to {}: {}").format(number, path, writer.errorMessage())
            )
        written += 1
    return written


def _writer(vector: VectorInput, path: Path, fields: QgsFields, number_column: str) -> QgsVectorFileWriter:
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.layerName = path.stem
    options.fileEncoding = "UTF-8"
    if vector.is_table:
        options.driverName = "CSV"
    else:
        options.driverName = "GPKG"
        options.layerOptions = [f"FID={number_column}", "SPATIAL_INDEX=NO"]
    writer = QgsVectorFileWriter.create(
        str(path), fields, vector.wkb_type, vector.crs, QgsCoordinateTransformContext(), options
    )
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise ExchangeError(tr("Cannot write {}: {}").format(path, writer.errorMessage()))
    return writer


def _settle(path: Path) -> None:
    """Take the time of writing out of a file, and date it by its content."""
    if path.suffix == ".gpkg":
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE gpkg_contents SET last_change = '2000-01-01T00:00:00.000Z'")
        _reset_change_counter(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    date_ns = int.from_bytes(digest.digest()[:7], "big")
    os.utime(path, ns=(date_ns, date_ns))


def _reset_change_counter(path: Path) -> None:
    """SQLite counts the transactions of a file in its header, twice (bytes 24 and 92); GDAL's number of them varies."""
    with path.open("r+b") as file:
        for position in (24, 92):
            file.seek(position)
            file.write((1).to_bytes(4, "big"))


def open_result(path: Path) -> QgsVectorLayer:
    """A layer that the worker wrote.

    Raises:
        ExchangeError: it cannot be read, or it is empty.
    """
    layer = QgsVectorLayer(str(path), path.stem, "ogr")
    if not layer.isValid():
        raise ExchangeError(tr("The worker's result {} cannot be read: {}").format(path, layer.error().summary()))
    if layer.featureCount() == 0:
        raise ExchangeError(tr("The worker's result {} is empty.").format(path))
    return layer


def result_fields(result: QgsVectorLayer, source: QgsFields, with_numbers: bool) -> tuple[QgsFields, list[int]]:
    """Fields of an output layer: as the worker wrote them, with the source's exact types where it has them.

    Args:
        result: What the worker wrote.
        source: Fields of the input that it continues; may be empty.
        with_numbers: Keep the features' numbers as the field `fid`.

    Returns:
        The fields, and the position of each in `result`.
    """
    fields, positions = QgsFields(), []
    names = set(result.fields().names())
    numbers = result.primaryKeyAttributes()
    for index, field in enumerate(result.fields()):
        if index in numbers and not (with_numbers and field.name().lower() == FID):
            continue
        # A field of the source that bore the name of a new one has given way to it.
        original = source.indexOf(field.name()) if f"src_{field.name()}" not in names else -1
        if original >= 0 and source.at(original).type() in compat.PLAIN_FIELDS:
            fields.append(source.at(original))
        else:
            fields.append(QgsField(field.name(), field.type(), field.typeName(), 0, 0))
        positions.append(index)
    return fields, positions


def converted(result: Iterable[QgsFeature], fields: QgsFields, positions: list[int]) -> Iterator[QgsFeature]:
    """The worker's features with an output's fields.

    Raises:
        ExchangeError: a value does not fit the type of its field.
    """
    definitions = [fields.at(index) for index in range(fields.count())]
    for original in result:
        attributes = original.attributes()
        feature = QgsFeature(fields)
        try:
            values = [field.convertCompatible(attributes[at]) for field, at in zip(definitions, positions)]
        except ValueError as error:
            raise ExchangeError(tr("Region {}: {}").format(original.id(), error)) from error
        feature.setAttributes(values)
        feature.setGeometry(original.geometry())
        yield feature


def _features(source: Source, request: QgsFeatureRequest) -> Iterator[QgsFeature]:
    # The library repairs invalid polygons and says how many; QGIS's own check would stop at the first.
    if isinstance(source, QgsProcessingFeatureSource):
        return source.getFeatures(request, compat.SKIP_VALIDITY)
    return source.getFeatures(request)


def _writable_fields(fields: QgsFields, kept: list[int]) -> QgsFields:
    result = QgsFields()
    for index in kept:
        field = fields.at(index)
        if field.type() in compat.PLAIN_FIELDS:
            result.append(QgsField(field.name(), field.type(), field.typeName(), 0, 0))
        else:
            # Lists, maps and binaries have no column type that every reader knows; their text is kept.
            result.append(QgsField(field.name(), compat.STRING_FIELD))
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple, dict)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return None
    return value

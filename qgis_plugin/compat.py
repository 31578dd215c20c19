"""Enumerations under the name that the running QGIS has, 3.22 to 4."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    Qgis,
    QgsFeatureRequest,
    QgsProcessing,
    QgsProcessingFeatureSource,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsSymbolLayer,
    QgsUnitTypes,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QMetaType, QVariant


def _scoped(new: str, new_member: str, old: Any, old_member: str) -> Any:
    """`Qgis.<new>.<new_member>` where it exists, else the enumeration's old home."""
    home = getattr(Qgis, new, None)
    if home is not None and hasattr(home, new_member):
        return getattr(home, new_member)
    return getattr(old, old_member)


METERS = _scoped("DistanceUnit", "Meters", QgsUnitTypes.DistanceUnit, "DistanceMeters")
ADVANCED = _scoped("ProcessingParameterFlag", "Advanced", QgsProcessingParameterDefinition.Flag, "FlagAdvanced")
ANY_VECTOR = _scoped("ProcessingSourceType", "Vector", QgsProcessing.SourceType, "TypeVector")
POLYGONS = _scoped("ProcessingSourceType", "VectorPolygon", QgsProcessing.SourceType, "TypeVectorPolygon")
ANY_MAP_LAYER = _scoped("ProcessingSourceType", "MapLayer", QgsProcessing.SourceType, "TypeMapLayer")
INTEGER = _scoped("ProcessingNumberParameterType", "Integer", QgsProcessingParameterNumber.Type, "Integer")
DOUBLE = _scoped("ProcessingNumberParameterType", "Double", QgsProcessingParameterNumber.Type, "Double")
FOLDER = _scoped("ProcessingFileParameterBehavior", "Folder", QgsProcessingParameterFile.Behavior, "Folder")
FILE = _scoped("ProcessingFileParameterBehavior", "File", QgsProcessingParameterFile.Behavior, "File")
SKIP_VALIDITY = _scoped(
    "ProcessingFeatureSourceFlag",
    "SkipGeometryValidityChecks",
    QgsProcessingFeatureSource.Flag,
    "FlagSkipGeometryValidityChecks",
)
NO_GEOMETRY = _scoped("WkbType", "NoGeometry", QgsWkbTypes.Type, "NoGeometry")
MULTIPOLYGON = _scoped("WkbType", "MultiPolygon", QgsWkbTypes.Type, "MultiPolygon")
REQUEST_NO_GEOMETRY = _scoped("FeatureRequestFlag", "NoGeometry", QgsFeatureRequest.Flag, "NoGeometry")
FILL_COLOUR = _scoped("Unavailable", "", QgsSymbolLayer.Property, "PropertyFillColor")
CRITICAL = _scoped("MessageLevel", "Critical", Qgis, "Critical")
WARNING = _scoped("MessageLevel", "Warning", Qgis, "Warning")
INFO = _scoped("MessageLevel", "Info", Qgis, "Info")
SUCCESS = _scoped("MessageLevel", "Success", Qgis, "Success")


def _field_type(new: str, old: str) -> Any:
    """Type of a field: QMetaType since QGIS 3.38, QVariant before."""
    if Qgis.QGIS_VERSION_INT >= 33800:
        return getattr(QMetaType.Type, new)
    return getattr(QVariant.Type, old)


STRING_FIELD = _field_type("QString", "String")
LONG_FIELD = _field_type("LongLong", "LongLong")
INT_FIELD = _field_type("Int", "Int")
PLAIN_FIELDS = (
    STRING_FIELD,
    LONG_FIELD,
    INT_FIELD,
    _field_type("Double", "Double"),
    _field_type("Bool", "Bool"),
    _field_type("QDate", "Date"),
    _field_type("QDateTime", "DateTime"),
)

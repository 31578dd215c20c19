"""Enumerations under the name that the running QGIS has, 3.22 to 4."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsFeatureRequest,
    QgsFeatureSource,
    QgsLegendStyle,
    QgsMapLayerProxyModel,
    QgsProcessing,
    QgsProcessingFeatureSource,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsUnitTypes,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QMetaType, QVariant


def _scoped(new: str, old: str) -> Any:
    """The first of two dotted names that exists: the newer QGIS's, then the older's.

    Args:
        new: Such as "Qgis.DistanceUnit.Meters".
        old: Such as "QgsUnitTypes.DistanceUnit.DistanceMeters".
    """
    for dotted in (new, old):
        home, enumeration, member = dotted.split(".")
        found = getattr(getattr(_HOMES[home], enumeration, None), member, None)
        if found is not None:
            return found
    raise ImportError(f"This QGIS has neither {new} nor {old}.")


_HOMES: dict[str, Any] = {
    item.__name__: item
    for item in (
        Qgis,
        QgsCoordinateReferenceSystem,
        QgsFeatureRequest,
        QgsFeatureSource,
        QgsLegendStyle,
        QgsMapLayerProxyModel,
        QgsProcessing,
        QgsProcessingFeatureSource,
        QgsProcessingParameterDefinition,
        QgsProcessingParameterFile,
        QgsProcessingParameterNumber,
        QgsUnitTypes,
        QgsWkbTypes,
    )
}

METERS = _scoped("Qgis.DistanceUnit.Meters", "QgsUnitTypes.DistanceUnit.DistanceMeters")
ADVANCED = _scoped("Qgis.ProcessingParameterFlag.Advanced", "QgsProcessingParameterDefinition.Flag.FlagAdvanced")
OPTIONAL = _scoped("Qgis.ProcessingParameterFlag.Optional", "QgsProcessingParameterDefinition.Flag.FlagOptional")
OPTIONAL = _scoped("Qgis.ProcessingParameterFlag.Optional", "QgsProcessingParameterDefinition.Flag.FlagOptional")
ANY_VECTOR = _scoped("Qgis.ProcessingSourceType.Vector", "QgsProcessing.SourceType.TypeVector")
ANY_GEOMETRY = _scoped("Qgis.ProcessingSourceType.VectorAnyGeometry", "QgsProcessing.SourceType.TypeVectorAnyGeometry")
POLYGONS = _scoped("Qgis.ProcessingSourceType.VectorPolygon", "QgsProcessing.SourceType.TypeVectorPolygon")
POINTS = _scoped("Qgis.ProcessingSourceType.VectorPoint", "QgsProcessing.SourceType.TypeVectorPoint")
ANY_MAP_LAYER = _scoped("Qgis.ProcessingSourceType.MapLayer", "QgsProcessing.SourceType.TypeMapLayer")
INTEGER = _scoped("Qgis.ProcessingNumberParameterType.Integer", "QgsProcessingParameterNumber.Type.Integer")
DOUBLE = _scoped("Qgis.ProcessingNumberParameterType.Double", "QgsProcessingParameterNumber.Type.Double")
FOLDER = _scoped("Qgis.ProcessingFileParameterBehavior.Folder", "QgsProcessingParameterFile.Behavior.Folder")
FILE = _scoped("Qgis.ProcessingFileParameterBehavior.File", "QgsProcessingParameterFile.Behavior.File")
SKIP_VALIDITY = _scoped(
    "Qgis.ProcessingFeatureSourceFlag.SkipGeometryValidityChecks",
    "QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks",
)
NO_GEOMETRY = _scoped("Qgis.WkbType.NoGeometry", "QgsWkbTypes.Type.NoGeometry")
WKT = _scoped("Qgis.CrsWktVariant.Preferred", "QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED")
NO_GEOMETRIES = _scoped("Qgis.FeatureRequestFlag.NoGeometry", "QgsFeatureRequest.Flag.NoGeometry")
HAS_INDEX = _scoped("Qgis.SpatialIndexPresence.Present", "QgsFeatureSource.SpatialIndexPresence.SpatialIndexPresent")
RASTER_LAYERS = _scoped("Qgis.LayerFilter.RasterLayer", "QgsMapLayerProxyModel.Filter.RasterLayer")
POLYGON_LAYERS = _scoped("Qgis.LayerFilter.PolygonLayer", "QgsMapLayerProxyModel.Filter.PolygonLayer")
POINT_LAYERS = _scoped("Qgis.LayerFilter.PointLayer", "QgsMapLayerProxyModel.Filter.PointLayer")
POLYGON_KIND = _scoped("Qgis.GeometryType.Polygon", "QgsWkbTypes.GeometryType.PolygonGeometry")
POINT_KIND = _scoped("Qgis.GeometryType.Point", "QgsWkbTypes.GeometryType.PointGeometry")
LEGEND_TITLE = _scoped("Qgis.LegendComponent.Title", "QgsLegendStyle.Style.Title")
LEGEND_LAYER = _scoped("Qgis.LegendComponent.Subgroup", "QgsLegendStyle.Style.Subgroup")
LEGEND_SYMBOL = _scoped("Qgis.LegendComponent.Symbol", "QgsLegendStyle.Style.Symbol")
LEGEND_ENTRY = _scoped("Qgis.LegendComponent.SymbolLabel", "QgsLegendStyle.Style.SymbolLabel")
MILLIMETERS = _scoped("Qgis.LayoutUnit.Millimeters", "QgsUnitTypes.LayoutUnit.LayoutMillimeters")
CRITICAL = Qgis.MessageLevel.Critical
SUCCESS = Qgis.MessageLevel.Success


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

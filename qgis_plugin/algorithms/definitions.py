"""QGIS parameter definitions made from the contract's parameters."""

from __future__ import annotations

from typing import Any, Callable, Optional

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterDistance,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .. import compat
from ..contract import ContractError, Parameter
from ..i18n import tr

# Suffixes are no texts: the contract says what a file is, this table only how its name ends.
FILE_FILTERS = {
    "parquet": "GeoParquet (*.parquet);;Arrow (*.arrow);;CSV (*.csv)",
    "map": "PNG (*.png)",
    "report": "HTML (*.html)",
    "out": "JSON (*.json)",
    "profile": "JSON (*.json)",
    "table": "Parquet (*.parquet);;Arrow (*.arrow);;CSV (*.csv)",
    "descriptions_out": "CSV (*.csv);;Parquet (*.parquet)",
    "checkpoint": "PyTorch (*.pth *.pt);;* (*)",
}
# By unit, how many decimals a dialog shows; QGIS's six otherwise.
DECIMALS = {"m": 2, "%": 1, "inhabitants per km2": 0}
# By name, since there are no widgets where there is no window.
FIELD_TEXT = f"{__name__.partition('.')[0]}.gui.field_text.FieldText"


def define(parameter: Parameter, by_default: bool = False) -> QgsProcessingParameterDefinition:
    """The QGIS definition of a parameter, with its help and flags.

    Args:
        parameter: From the contract.
        by_default: For an optional output: whether QGIS makes it unless told not to.

    Raises:
        ContractError: a kind that this plugin does not know.
    """
    makers = _OUTPUTS if parameter.output else _INPUTS
    if parameter.kind not in makers:
        raise ContractError(f"Parameter '{parameter.name}' is of the unknown kind '{parameter.kind}'.")
    definition = makers[parameter.kind](parameter)
    if parameter.output:
        definition.setCreateByDefault(parameter.required or by_default)
    help_text = tr(parameter.help)
    if parameter.unit:
        help_text = f"{help_text} [{parameter.unit}]"
    definition.setHelp(help_text)
    if parameter.advanced:
        # Optional too: a saved model need not know a parameter that a later version brings.
        definition.setFlags(definition.flags() | compat.ADVANCED | compat.OPTIONAL)
    return definition


def _polygons(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFeatureSource(p.key, tr(p.label), [compat.POLYGONS], p.default, not p.required)


def _any_source(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFeatureSource(p.key, tr(p.label), [compat.ANY_VECTOR], p.default, not p.required)


def _layer(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterMapLayer(p.key, tr(p.label), p.default, not p.required, [compat.ANY_MAP_LAYER])


def _raster(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterRasterLayer(p.key, tr(p.label), p.default, not p.required)


def _field(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterField(
        p.key, tr(p.label), p.default, parentLayerParameterName=p.of[0].upper(), optional=not p.required
    )


def _file(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFile(
        p.key, tr(p.label), compat.FILE, defaultValue=p.default, optional=not p.required,
        fileFilter=FILE_FILTERS.get(p.name, "* (*)"),
    )  # fmt: skip


def _folder(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFile(
        p.key, tr(p.label), compat.FOLDER, defaultValue=p.default, optional=not p.required
    )


def _text(p: Parameter) -> QgsProcessingParameterDefinition:
    return _with_fields(p, QgsProcessingParameterString(p.key, tr(p.label), p.default, optional=not p.required))


def _list(p: Parameter) -> QgsProcessingParameterDefinition:
    default = "\n".join(map(str, p.default or ()))
    text = QgsProcessingParameterString(p.key, tr(p.label), default, multiLine=True, optional=True)
    return _with_fields(p, text)


def _with_fields(p: Parameter, text: QgsProcessingParameterString) -> QgsProcessingParameterString:
    """A text that is made from fields gets a widget that offers them."""
    if p.of:
        layers = tuple(name.upper() for name in p.of)
        text.setMetadata({"widget_wrapper": {"class": FIELD_TEXT, "layers": layers, "several": p.kind == "list"}})
    return text


def _crs(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterCrs(p.key, tr(p.label), p.default, not p.required)


def _extent(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterExtent(p.key, tr(p.label), p.default, not p.required)


def _flag(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterBoolean(p.key, tr(p.label), bool(p.default))


def _choice(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterEnum(
        p.key, tr(p.label), list(p.choices), False, p.default, not p.required and p.default is None, True
    )


def _number(number_type: Any) -> Callable[[Parameter], QgsProcessingParameterDefinition]:
    def make(p: Parameter) -> QgsProcessingParameterDefinition:
        optional = p.default is None and not p.required
        lowest = p.minimum if p.minimum is not None else p.above
        if p.unit == "m":
            distance = QgsProcessingParameterDistance(p.key, tr(p.label), p.default, "", optional)
            distance.setDefaultUnit(compat.METERS)
            _show(distance, lowest, p)
            return distance
        number = QgsProcessingParameterNumber(p.key, tr(p.label), number_type, p.default, optional)
        _show(number, lowest, p)
        return number

    return make


def _show(number: QgsProcessingParameterNumber, lowest: Optional[float], p: Parameter) -> None:
    if lowest is not None:
        number.setMinimum(lowest)
    if p.maximum is not None:
        number.setMaximum(p.maximum)
    if p.unit in DECIMALS:
        number.setMetadata({"widget_wrapper": {"decimals": DECIMALS[p.unit]}})


def _sink(geometry: Any) -> Callable[[Parameter], QgsProcessingParameterDefinition]:
    def make(p: Parameter) -> QgsProcessingParameterDefinition:
        return QgsProcessingParameterFeatureSink(p.key, tr(p.label), geometry, None, not p.required)

    return make


def _raster_out(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterRasterDestination(p.key, tr(p.label), None, not p.required)


def _file_out(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFileDestination(
        p.key, tr(p.label), FILE_FILTERS.get(p.name, "* (*)"), None, not p.required
    )


def _folder_out(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFolderDestination(p.key, tr(p.label), None, not p.required)


_INPUTS: dict[str, Callable[[Parameter], QgsProcessingParameterDefinition]] = {
    "polygons": _polygons,
    "points": _any_source,
    "embeddings": _any_source,
    "layer": _layer,
    "raster": _raster,
    "field": _field,
    "file": _file,
    "folder": _folder,
    "checkpoint": _folder,
    "text": _text,
    "list": _list,
    "crs": _crs,
    "extent": _extent,
    "flag": _flag,
    "choice": _choice,
    "integer": _number(compat.INTEGER),
    "number": _number(compat.DOUBLE),
}
_OUTPUTS: dict[str, Callable[[Parameter], QgsProcessingParameterDefinition]] = {
    "polygons": _sink(compat.POLYGONS),
    "points": _sink(compat.POINTS),
    "layer": _sink(compat.ANY_GEOMETRY),
    "raster": _raster_out,
    "file": _file_out,
    "folder": _folder_out,
    "checkpoint": _folder_out,
}

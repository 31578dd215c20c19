"""What the user gave, turned into a job's parameters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Optional

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorLayer,
    QgsVectorLayerFeatureSource,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QVariant

from .. import compat
from ..contract import Parameter
from ..i18n import tr
from ..runtime.exchange import VectorInput, export
from ..runtime.job import Job

# Formats that many builds of QGIS cannot read and the worker can, and CSV, whose numbers are texts to QGIS: they go to
# the worker as they are.
WORKER_FORMATS = (".parquet", ".geoparquet", ".arrow", ".feather", ".ipc", ".csv")
SOURCE_KINDS = ("polygons", "points", "embeddings")


def is_set(value: Any) -> bool:
    """Whether a parameter value says something. 0 and False do; dialogs say nothing by a null variant."""
    if isinstance(value, QVariant) and value.isNull():
        return False
    return value is not None and value != ""


def given(parameters: dict[str, Any], key: str) -> bool:
    """Whether the user gave a value."""
    return is_set(parameters.get(key))


def worker_file(parameters: dict[str, Any], key: str) -> Optional[Path]:
    """The file behind a layer parameter, if only the worker can be trusted to read it."""
    value = parameters.get(key)
    if isinstance(value, QgsProcessingFeatureSourceDefinition):
        value = value.source.staticValue()
    if isinstance(value, str) and value.lower().endswith(WORKER_FORMATS):
        return Path(value)
    return None


def input_file(
    algorithm: QgsProcessingAlgorithm, p: Parameter, parameters: dict[str, Any], context: QgsProcessingContext
) -> Optional[Path]:
    """The file behind an input; None if there is none, as with layers in memory and in databases."""
    if not given(parameters, p.key) or p.kind not in (*SOURCE_KINDS, "layer", "raster", "file"):
        return None
    path: Any = worker_file(parameters, p.key)
    if path is None and p.kind == "file":
        path = algorithm.parameterAsFile(parameters, p.key, context)
    elif path is None:
        layer = algorithm.parameterAsLayer(parameters, p.key, context)
        parts = {} if layer is None else QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
        path = parts.get("path")
    return Path(path).resolve() if path and Path(path).is_file() else None


def named_source(
    algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], key: str, path: str, context: QgsProcessingContext
) -> str:
    """NAME=PATH of a layer that reaches the worker as a temporary file, so that reports call it by its own name."""
    if worker_file(parameters, key) is not None:
        return path
    source = algorithm.parameterAsSource(parameters, key, context)
    name = "".join(" " if letter in "=/\\|" else letter for letter in source.sourceName())
    return f"{name or key.lower()}={path}"


def raster_problem(layer: Optional[QgsRasterLayer], label: str) -> str:
    """Why the worker cannot read a raster layer, with the remedy; empty if it can."""
    if layer is None:
        return tr("{}: the raster cannot be opened.").format(label)
    if layer.providerType() != "gdal" or raster_path(layer).startswith(("<GDAL_WMS", "WMS:")):
        return tr(
            "{}: '{}' is a picture service ({}), not a file of values. Choose a GeoTIFF, COG or VRT, or save the layer "
            "as a file first (Export > Save As… > Raw data)."
        ).format(label, layer.name(), layer.providerType())
    if not layer.crs().isValid():
        return tr(
            "{}: '{}' has no coordinate reference system. Assign it with Raster > Projections > Assign Projection…"
        ).format(label, layer.name())
    return ""


def raster_path(layer: QgsRasterLayer) -> str:
    """The path by which GDAL opens a layer's file, without QGIS's additions."""
    parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
    path = parts.get("path")
    return absolute(str(path)) if path and not parts.get("layerName") else layer.source()


def absolute(path: str) -> str:
    """An existing file's whole path, since the worker runs in another folder; GDAL's own names stay as they are."""
    return str(Path(path).absolute()) if Path(path).exists() else path


def missing_crs(source: QgsProcessingFeatureSource, label: str) -> str:
    """Why a source without coordinate reference system is refused; empty if it has one, or no geometry."""
    if source.wkbType() == compat.NO_GEOMETRY or source.sourceCrs().isValid():
        return ""
    return tr(
        "{}: '{}' has no coordinate reference system, so it cannot be laid over other layers. Set it in Layer > Set CRS "
        "of Layer(s)…"
    ).format(label, source.sourceName())


def split_list(text: str) -> list[str]:
    """Entries of a list parameter: one a line, or separated by semicolons."""
    return [entry.strip() for entry in re.split(r"[\n;]", text) if entry.strip()]


class Collector:
    """Reads parameter values of one run.

    `prepare` runs in the main thread, where layers may be touched; `value` in the thread of the algorithm.

    Args:
        algorithm: Whose parameters they are.
        parameters: What QGIS hands over.
        context: Of the run.
    """

    def __init__(
        self, algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> None:
        self._algorithm, self._parameters, self._context = algorithm, parameters, context
        self._rasters: dict[str, str] = {}
        self._layers: dict[str, VectorInput] = {}
        self.vectors: dict[str, VectorInput] = {}

    def prepare(self, contract_parameters: list[Parameter]) -> None:
        """Look up what only the main thread may look up."""
        for p in contract_parameters:
            if not given(self._parameters, p.key):
                continue
            if p.kind == "raster":
                layer = self._algorithm.parameterAsRasterLayer(self._parameters, p.key, self._context)
                self._check(raster_problem(layer, tr(p.label)))
                self._rasters[p.key] = raster_path(layer)
            elif p.kind == "layer":
                self._prepare_layer(p)

    def value(self, p: Parameter, job: Job, feedback: QgsProcessingFeedback) -> Any:
        """The value for the job, None if there is none."""
        if not given(self._parameters, p.key):
            return None
        if p.kind in SOURCE_KINDS:
            return self._source(p, job, feedback)
        if p.kind == "raster":
            return self._rasters[p.key]
        if p.kind == "layer":
            if p.key in self._rasters:
                return self._rasters[p.key]
            return self._write(p, self._layers[p.key], job, feedback)
        return self._simple(p)

    def _simple(self, p: Parameter) -> Any:
        readers: dict[str, Callable[..., Any]] = {
            "field": self._algorithm.parameterAsString,
            "text": self._algorithm.parameterAsString,
            "file": self._algorithm.parameterAsFile,
            "folder": self._algorithm.parameterAsFile,
            "checkpoint": self._algorithm.parameterAsFile,
            "flag": self._algorithm.parameterAsBool,
            "integer": self._algorithm.parameterAsInt,
            "number": self._algorithm.parameterAsDouble,
            "choice": self._algorithm.parameterAsEnumString,
            "crs": self._algorithm.parameterAsCrs,
            "extent": self._algorithm.parameterAsExtent,
            "list": self._algorithm.parameterAsString,
        }
        value = readers[p.kind](self._parameters, p.key, self._context)
        if p.kind == "crs":
            return crs_text(value) if value.isValid() else None
        if p.kind == "extent":
            return f"{value.xMinimum()!r},{value.yMinimum()!r},{value.xMaximum()!r},{value.yMaximum()!r}"
        if p.kind == "list":
            return split_list(value)
        if p.kind in ("file", "folder", "checkpoint"):
            return str(Path(value).expanduser().absolute()) if value else None
        return value if value != "" else None

    def _source(self, p: Parameter, job: Job, feedback: QgsProcessingFeedback) -> Optional[str]:
        file = worker_file(self._parameters, p.key)
        if file is not None:
            return absolute(str(file))
        source = self._algorithm.parameterAsSource(self._parameters, p.key, self._context)
        if source is None:
            raise QgsProcessingException(self._algorithm.invalidSourceError(self._parameters, p.key))
        self._check(missing_crs(source, tr(p.label)))
        vector = VectorInput(
            source,
            source.fields(),
            source.sourceCrs(),
            source.wkbType(),
            count=source.featureCount(),
            name=source.sourceName(),
        )
        return self._write(p, vector, job, feedback)

    def _write(self, p: Parameter, vector: VectorInput, job: Job, feedback: QgsProcessingFeedback) -> str:
        path = job.temporary(f"{p.name}{'.csv' if vector.is_table else '.gpkg'}")
        job.names[str(path)] = vector.name or tr(p.label)
        written = export(vector, path, feedback)
        if written == 0 and not feedback.isCanceled():
            raise QgsProcessingException(
                tr(
                    "{}: there are no features. Is a filter set, or 'selected features only' without a selection?"
                ).format(tr(p.label))
            )
        feedback.pushInfo(tr("{}: {:,} features").format(tr(p.label), written))
        self.vectors[p.key] = vector
        return str(path)

    def _prepare_layer(self, p: Parameter) -> None:
        layer = self._algorithm.parameterAsLayer(self._parameters, p.key, self._context)
        if isinstance(layer, QgsRasterLayer):
            self._check(raster_problem(layer, tr(p.label)))
            self._rasters[p.key] = raster_path(layer)
        elif isinstance(layer, QgsVectorLayer) and QgsWkbTypes.flatType(layer.wkbType()) != compat.NO_GEOMETRY:
            self._check(layer_without_crs(layer, tr(p.label)))
            source = QgsVectorLayerFeatureSource(layer)
            self._layers[p.key] = VectorInput(
                source,
                layer.fields(),
                layer.crs(),
                layer.wkbType(),
                count=layer.featureCount(),
                geometry_only=True,
                name=layer.name(),
            )
        else:
            self._check(tr("{}: choose a vector layer with geometries or a raster file.").format(tr(p.label)))

    def _check(self, problem: str) -> None:
        if problem:
            raise QgsProcessingException(problem)


def layer_without_crs(layer: QgsMapLayer, label: str) -> str:
    """Why a layer without coordinate reference system is refused; empty if it has one."""
    if layer.crs().isValid():
        return ""
    return tr("{}: '{}' has no coordinate reference system. Set it in Layer > Set CRS of Layer(s)…").format(
        label, layer.name()
    )


def crs_text(crs: QgsCoordinateReferenceSystem) -> str:
    """A code such as EPSG:4326 if there is one, else WKT."""
    return crs.authid() or crs.toWkt(compat.WKT)

"""Colours of result layers. A style that fails is reported and never costs the result."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any, Optional

from qgis.core import (
    QgsFeatureRequest,
    QgsFillSymbol,
    QgsGraduatedSymbolRenderer,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingUtils,
    QgsProperty,
    QgsRendererRange,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)

from . import compat
from .i18n import tr

PCA_FIELDS = ("emb_pca1", "emb_pca2", "emb_pca3")
LOW_SHARE, HIGH_SHARE = 0.02, 0.98
DARKEST, LIGHTEST = 25, 240
NO_VALUE = "#d9d9d9"
# Dark to light, even steps for the eye, safe for colour-blind readers (viridis, sampled).
SCORE_COLOURS = ("#440154", "#443983", "#31688e", "#21918c", "#35b779", "#90d743", "#fde725")
OUTLINE = {"outline_color": "#33333380", "outline_width": "0.1", "outline_width_unit": "MM"}


class StyleError(Exception):
    """A layer lacks what a style needs."""


class Styler:
    """A style in two steps, so that reading happens in the background and applying in the main thread."""

    def measure(self, layer: QgsVectorLayer) -> None:
        """Read from the layer what the colours depend on."""
        raise NotImplementedError

    def apply(self, layer: QgsVectorLayer) -> None:
        """Give a layer the measured style."""
        raise NotImplementedError


class PrincipalComponentColours(Styler):
    """Red, green and blue are the first three principal components, each stretched over its 2 to 98 % range."""

    def __init__(self) -> None:
        self._ranges: list[tuple[float, float]] = []

    def measure(self, layer: QgsVectorLayer) -> None:
        columns = _numbers(layer, PCA_FIELDS)
        self._ranges = [_spread(column) for column in columns]

    def apply(self, layer: QgsVectorLayer) -> None:
        parts = [
            f'coalesce(scale_linear("{name}", {low!r}, {high!r}, {DARKEST}, {LIGHTEST}), {(DARKEST + LIGHTEST) // 2})'
            for name, (low, high) in zip(PCA_FIELDS, self._ranges)
        ]
        colour = f"CASE WHEN \"{PCA_FIELDS[0]}\" IS NULL THEN '{NO_VALUE}' ELSE color_rgb({', '.join(parts)}) END"
        symbol = QgsFillSymbol.createSimple({"color": NO_VALUE, **OUTLINE})
        symbol.symbolLayer(0).setDataDefinedProperty(compat.FILL_COLOUR, QgsProperty.fromExpression(colour))
        layer.setRenderer(QgsSingleSymbolRenderer(symbol))


class ScoreColours(Styler):
    """The field `score` in seven classes of equal count, dark to light."""

    FIELD = "score"

    def __init__(self) -> None:
        self._breaks: list[float] = []

    def measure(self, layer: QgsVectorLayer) -> None:
        values = sorted(_numbers(layer, (self.FIELD,))[0])
        if not values:
            raise StyleError(tr("The field '{}' has no values.").format(self.FIELD))
        count = len(SCORE_COLOURS)
        self._breaks = [values[round(i * (len(values) - 1) / count)] for i in range(count + 1)]

    def apply(self, layer: QgsVectorLayer) -> None:
        ranges = []
        for low, high, colour in zip(self._breaks, self._breaks[1:], SCORE_COLOURS):
            symbol = QgsFillSymbol.createSimple({"color": colour, **OUTLINE})
            ranges.append(QgsRendererRange(low, high, symbol, f"{low:.3f} – {high:.3f}"))
        layer.setRenderer(QgsGraduatedSymbolRenderer(self.FIELD, ranges))


class _PostProcessor(QgsProcessingLayerPostProcessorInterface):
    def __init__(self, styler: Styler) -> None:
        super().__init__()
        self._styler = styler

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        try:
            self._styler.apply(layer)
            layer.triggerRepaint()
        except Exception as error:
            _report(error, feedback)


# QGIS does not own post-processors: they must live until it has called them.
_ALIVE: deque[_PostProcessor] = deque(maxlen=64)


def attach(styler: Styler, dest: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> None:
    """Colour an output layer: when QGIS loads it, and by a `.qml` beside it if it is a file.

    Args:
        styler: The style.
        dest: What `parameterAsSink` returned.
        context: Of the run.
        feedback: Hears of a style that failed.
    """
    try:
        layer = QgsProcessingUtils.mapLayerFromString(dest, context)
        if layer is None:
            raise StyleError(tr("The layer {} cannot be opened.").format(dest))
        styler.measure(layer)
        file = _single_file(dest)
        if file is not None:
            styler.apply(layer)
            message, fine = layer.saveNamedStyle(str(file.with_suffix(".qml")))
            if not fine:
                raise StyleError(message)
        if context.willLoadLayerOnCompletion(dest):
            processor = _PostProcessor(styler)
            _ALIVE.append(processor)
            context.layerToLoadOnCompletionDetails(dest).setPostProcessor(processor)
    except Exception as error:
        _report(error, feedback)


def _single_file(dest: str) -> Optional[Path]:
    path = Path(dest)
    return path if path.suffix and path.is_file() else None


def _numbers(layer: QgsVectorLayer, names: tuple[str, ...]) -> list[list[float]]:
    positions = [layer.fields().indexOf(name) for name in names]
    if min(positions) < 0:
        raise StyleError(tr("The layer lacks one of the fields {}.").format(", ".join(names)))
    request = QgsFeatureRequest().setSubsetOfAttributes(positions)
    request.setFlags(compat.REQUEST_NO_GEOMETRY)
    columns: list[list[float]] = [[] for _ in names]
    for feature in layer.getFeatures(request):
        attributes = feature.attributes()
        for column, position in zip(columns, positions):
            value: Any = attributes[position]
            if isinstance(value, (int, float)) and value == value:
                column.append(float(value))
    return columns


def _spread(values: list[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    ordered = sorted(values)
    last = len(ordered) - 1
    low, high = ordered[round(LOW_SHARE * last)], ordered[round(HIGH_SHARE * last)]
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _report(error: Exception, feedback: QgsProcessingFeedback) -> None:
    feedback.pushWarning(tr("The result is complete, but it could not be coloured: {}").format(error))

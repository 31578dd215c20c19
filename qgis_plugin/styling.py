"""Colours of result layers: the style that the library wrote beside its result, given to the layer that QGIS shows.

A style that fails is reported and never costs the result.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Optional

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
)
from qgis.PyQt.QtXml import QDomDocument

from .i18n import tr


class StyleError(Exception):
    """A style cannot be used."""


class _PostProcessor(QgsProcessingLayerPostProcessorInterface):
    """Gives a layer its style when QGIS loads it, in the main thread."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self._style = style

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        try:
            apply(self._style, layer)
        except Exception as error:
            _report(error, feedback)


# QGIS does not own post-processors: they must live until it has called them.
_ALIVE: deque[_PostProcessor] = deque(maxlen=64)


def attach(style_file: Path, dest: str, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> None:
    """Colour an output layer: when QGIS loads it, and by a `.qml` beside it if it is a file.

    Args:
        style_file: The library's `.qml`; without one the layer stays as QGIS makes it.
        dest: What `parameterAsSink` returned.
        context: Of the run.
        feedback: Hears of a style that failed.
    """
    if not style_file.is_file():
        return
    try:
        style = style_file.read_text(encoding="utf-8")
        beside = _beside(dest)
        if beside is not None:
            beside.write_text(style, encoding="utf-8")
        if context.willLoadLayerOnCompletion(dest):
            processor = _PostProcessor(style)
            _ALIVE.append(processor)
            context.layerToLoadOnCompletionDetails(dest).setPostProcessor(processor)
    except Exception as error:
        _report(error, feedback)


def apply(style: str, layer: QgsMapLayer) -> None:
    """Give a layer a style.

    Raises:
        StyleError: it is no style, or one for another kind of layer.
    """
    document = QDomDocument()
    if not document.setContent(style):
        raise StyleError(tr("The style is damaged."))
    fine, message = layer.importNamedStyle(document)
    if not fine:
        raise StyleError(message)
    layer.triggerRepaint()


def _beside(dest: str) -> Optional[Path]:
    """Where QGIS looks for the style of a file; a layer in a database or in memory has no such place."""
    path = Path(dest)
    return path.with_suffix(".qml") if path.suffix and path.is_file() else None


def _report(error: Exception, feedback: QgsProcessingFeedback) -> None:
    feedback.pushWarning(tr("The result is complete, but it could not be coloured: {}").format(error))

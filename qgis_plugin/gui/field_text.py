"""A text that is made from field names, such as a target: a line to type in, and a menu of the layer's fields."""

from __future__ import annotations

import re
from typing import Any, Optional

from processing.gui.wrappers import WidgetWrapper
from qgis.core import QgsProcessingContext, QgsProcessingParameters, QgsProject, QgsVectorLayer
from qgis.gui import QgsGui, QgsProcessingModelerParameterWidget
from qgis.PyQt.QtWidgets import QHBoxLayout, QLineEdit, QMenu, QPlainTextEdit, QToolButton, QWidget

from ..i18n import tr

# Fields that hold the vectors are no targets and describe nothing.
_VECTORS = re.compile(r"embedding|emb_.*")
_LINES = 3


class FieldText:
    """What Processing's dialogs make for a parameter whose metadata name this class: a widget, by kind of dialog.

    The model designer gets QGIS's own widget for texts, which can take the value from the inputs of the model.
    """

    def __new__(cls, parameter: Any, dialog: Any, row: int = 0, col: int = 0, **options: Any) -> Any:
        if dialog.__class__.__name__ == "ModelerParametersDialog":
            return _designer_widget(parameter, dialog)
        return FieldTextWrapper(parameter, dialog, row, col, **options)


def _designer_widget(parameter: Any, dialog: Any) -> QgsProcessingModelerParameterWidget:
    registry = QgsGui.processingGuiRegistry()
    widget = registry.createModelerParameterWidget(dialog.model, dialog.childId, parameter, dialog.context)
    widget.setDialog(dialog)
    return widget


class FieldTextWrapper(WidgetWrapper):
    """The widget in the dialog of an algorithm, and in a cell of the batch."""

    def createWidget(self, layers: tuple[str, ...] = (), several: bool = False) -> QWidget:
        """Make the widget.

        Args:
            layers: Ids of the parameters whose layers the fields are of; those of the first that is given are offered.
            several: Whether the text takes several names, one a line.
        """
        self._layers, self._several = layers, several
        self._wrappers: dict[str, Any] = {}
        self._editor = QPlainTextEdit() if several else QLineEdit()
        if several:
            self._editor.setTabChangesFocus(True)
            self._editor.setMaximumHeight(self._editor.fontMetrics().lineSpacing() * (_LINES + 1))
        self._editor.textChanged.connect(lambda *_: self.widgetValueHasChanged.emit(self))
        self._menu = QMenu()
        self._menu.aboutToShow.connect(self._fill)
        button = QToolButton()
        button.setText(tr("Fields"))
        button.setToolTip(tr("Choose a field of the layer"))
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setMenu(self._menu)
        widget = QWidget()
        row = QHBoxLayout(widget)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._editor)
        row.addWidget(button)
        return widget

    def postInitialize(self, wrappers: list[Any]) -> None:
        self._wrappers = {wrapper.parameterDefinition().name(): wrapper for wrapper in wrappers}

    def setValue(self, value: Any) -> None:
        text = "" if value is None else str(value)
        if self._several:
            self._editor.setPlainText(text)
        else:
            self._editor.setText(text)

    def value(self) -> str:
        return self._editor.toPlainText() if self._several else self._editor.text()

    def fields(self) -> list[str]:
        """Names of the fields on offer: none if no layer is chosen that QGIS can read."""
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        layer = next((layer for name in self._layers if (layer := self._layer(name, context)) is not None), None)
        names = [] if layer is None else layer.fields().names()
        return [name for name in names if not _VECTORS.fullmatch(name)]

    def choose(self, name: str) -> None:
        """Take a field: in place of what is there, or on a line of its own."""
        lines = self.value().splitlines() if self._several else []
        if name not in lines:
            self.setValue("\n".join([*lines, name]))

    def _layer(self, name: str, context: QgsProcessingContext) -> Optional[QgsVectorLayer]:
        wrapper = self._wrappers.get(name)
        if wrapper is None:
            return None
        value = {name: wrapper.parameterValue()}
        return QgsProcessingParameters.parameterAsVectorLayer(wrapper.parameterDefinition(), value, context)

    def _fill(self) -> None:
        self._menu.clear()
        names = self.fields()
        for name in names:
            self._menu.addAction(name).triggered.connect(lambda _, name=name: self.choose(name))
        if not names:
            self._menu.addAction(tr("Choose a layer first")).setEnabled(False)

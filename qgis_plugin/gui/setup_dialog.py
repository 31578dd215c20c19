"""The dialog that sets up, or chooses, the Python environment of the worker."""

from __future__ import annotations

import queue
import sys
from pathlib import Path
from typing import Optional

from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtGui import QCloseEvent, QFontDatabase
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .. import settings
from ..i18n import tr
from ..runtime import environment
from ..runtime.setup import CPU_INDEX, DISK_GB, DOWNLOAD_GB, Plan, Setup, SetupError, base_candidates

POLL_MS = 100


class SetupDialog(QDialog):
    """Shows where the environment goes, how large it is and what happens; does nothing before it is asked to."""

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("UrbanFM: set up environment"))
        self.resize(760, 620)
        self._setup: Optional[Setup] = None
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self._status = _wrapped("")
        self._folder = _PathField(self, str(environment.environment_folder()), folder=True)
        self._base = QComboBox()
        self._base.setEditable(True)
        self._base.addItems([str(path) for path in base_candidates()])
        self._build = QComboBox()
        self._build.addItem(tr("CPU only (small)"), CPU_INDEX)
        self._build.addItem(tr("As the package index offers it (may bring GPU libraries of several GB)"), "")
        # Only on Linux does the ordinary index offer GPU builds.
        self._build.setCurrentIndex(0 if sys.platform.startswith("linux") else 1)
        self._wheels = _PathField(self, "", folder=True)
        self._wheels.edit.setPlaceholderText(tr("Not needed: packages come from the internet"))
        self._existing = _PathField(self, settings.get(settings.PYTHON), folder=False)
        self._existing.edit.setPlaceholderText(tr("Path of a Python that has the packages"))
        self._log = QPlainTextEdit()
        self._log.setReadOnly(True)
        self._log.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._log.setPlaceholderText(tr("What is done appears here."))
        self._bar = QProgressBar()
        self._bar.setRange(0, 1)
        self._bar.setTextVisible(False)
        self._step = QLabel("")
        self._start = QPushButton(tr("Set up"))
        self._start.setDefault(True)
        self._start.clicked.connect(self._ask_and_start)
        self._cancel = QPushButton(tr("Cancel"))
        self._cancel.setEnabled(False)
        self._cancel.clicked.connect(self._stop)
        self._close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self._close.rejected.connect(self.close)
        self._lay_out()
        self._show_status()

    def _lay_out(self) -> None:
        intro = _wrapped(
            tr(
                "UrbanFM computes in a Python environment of its own, so that nothing is installed into the Python of "
                "QGIS. It takes about {:.0f} GB on disk and a download of about {:.1f} GB."
            ).format(DISK_GB, DOWNLOAD_GB)
        )
        new = QGroupBox(tr("New environment"))
        form = QFormLayout(new)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(tr("Folder"), self._folder)
        form.addRow(tr("Made with Python"), self._base)
        form.addRow(tr("PyTorch"), self._build)
        form.addRow(tr("Offline folder of wheels"), self._wheels)
        buttons = QHBoxLayout()
        buttons.addWidget(self._step, 1)
        buttons.addWidget(self._start)
        buttons.addWidget(self._cancel)
        form.addRow(buttons)
        old = QGroupBox(tr("Or use an existing environment"))
        row = QHBoxLayout(old)
        row.addWidget(self._existing, 1)
        use = QPushButton(tr("Use"))
        use.clicked.connect(self._use_existing)
        row.addWidget(use)
        layout = QVBoxLayout(self)
        for widget in (intro, self._status, new, old, self._bar):
            layout.addWidget(widget)
        layout.addWidget(self._log, 1)
        layout.addWidget(self._close)

    def _show_status(self) -> None:
        try:
            found = environment.usable()
            text = tr("✓ Ready: {} ({})").format(found.path, found.origin)
        except environment.EnvironmentMissing as missing:
            text = tr("Not ready. {}").format(missing)
        self._status.setText(text)

    def _plan(self) -> Plan:
        wheels = self._wheels.text()
        return Plan(
            Path(self._folder.text()).expanduser(),
            Path(self._base.currentText().strip()).expanduser(),
            str(self._build.currentData() or ""),
            Path(wheels).expanduser() if wheels else None,
        )

    def _ask_and_start(self) -> None:
        plan = self._plan()
        try:
            plan.check()
        except (SetupError, OSError) as error:
            QMessageBox.warning(self, self.windowTitle(), str(error))
            return
        question = tr(
            "Set up the environment in\n{}\n\nIt takes about {:.0f} GB there, and some minutes. An environment that is "
            "there is replaced. Go on?"
        ).format(plan.folder, DISK_GB)
        buttons = QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No
        if QMessageBox.question(self, self.windowTitle(), question, buttons) != QMessageBox.StandardButton.Yes:
            return
        self.start(plan)

    def start(self, plan: Plan) -> None:
        """Begin; the log is filled as it goes."""
        self._log.clear()
        self._setup = Setup(plan)
        self._setup.start()
        self._running(True)

    def _poll(self) -> None:
        setup = self._setup
        if setup is None:
            return
        alive = setup.is_alive()
        self._step.setText(setup.step)
        while True:
            try:
                self._log.appendPlainText(setup.lines.get_nowait())
            except queue.Empty:
                break
        if not alive:
            self._finished(setup)

    def _finished(self, setup: Setup) -> None:
        self._setup = None
        self._running(False)
        if setup.problem:
            self._step.setText(tr("Failed; nothing was left behind."))
            self._log.appendPlainText(f"\n{setup.problem}")
        elif setup.cancelled:
            self._step.setText(tr("Cancelled; nothing was left behind."))
        else:
            self._step.setText(tr("Done."))
            settings.put(settings.ENVIRONMENT_FOLDER, str(setup.plan.folder))
            # An interpreter chosen earlier would go before the one that was just made.
            settings.put(settings.PYTHON, "")
            self._existing.edit.clear()
        self._show_status()

    def _running(self, running: bool) -> None:
        self._bar.setRange(0, 0 if running else 1)
        self._start.setEnabled(not running)
        self._cancel.setEnabled(running)
        if running:
            self._timer.start()
        else:
            self._timer.stop()

    def _stop(self) -> None:
        if self._setup is not None:
            self._step.setText(tr("Stopping"))
            self._setup.cancel()

    def _use_existing(self) -> None:
        path = self._existing.text()
        if path:
            verdict = environment.verify(Path(path).expanduser())
            if verdict.problem:
                QMessageBox.warning(self, self.windowTitle(), verdict.problem)
                return
        settings.put(settings.PYTHON, path)
        self._show_status()

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._setup is not None:
            self._setup.cancel()
            self._setup.join(10.0)
            self._timer.stop()
        super().closeEvent(event)

    def reject(self) -> None:
        self.close()


class _PathField(QWidget):
    """A line for a path with a button to browse."""

    def __init__(self, parent: QWidget, text: str, folder: bool) -> None:
        super().__init__(parent)
        self._folder = folder
        self.edit = QLineEdit(text)
        button = QToolButton()
        button.setText("…")
        button.clicked.connect(self._browse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit, 1)
        layout.addWidget(button)

    def text(self) -> str:
        return self.edit.text().strip()

    def _browse(self) -> None:
        if self._folder:
            chosen = QFileDialog.getExistingDirectory(self, tr("Choose a folder"), self.text())
        else:
            chosen, _ = QFileDialog.getOpenFileName(self, tr("Choose a Python interpreter"), self.text())
        if chosen:
            self.edit.setText(chosen)


def _wrapped(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label

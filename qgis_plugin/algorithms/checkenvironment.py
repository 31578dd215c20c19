"""Check environment: what is there, what is missing, and what mends it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputBoolean,
)

from ..i18n import tr
from ..runtime import environment
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import SETUP


class CheckEnvironment(UrbanFMAlgorithm):
    """Runs without an environment too: that is when it is needed."""

    ID = "checkenvironment"
    STAGE = "check"
    TITLE = "Check environment"
    GROUP = SETUP
    TAGS = ("setup", "install", "python", "torch", "gpu", "cuda", "diagnose")
    BY_DEFAULT = ("report",)
    TEXTS = {"INTERPRETER": ("", "Interpreter"), "REMEDY": ("", "What to do")}

    def initAlgorithm(self, configuration: Optional[dict[str, Any]] = None) -> None:
        super().initAlgorithm(configuration)
        self.addOutput(QgsProcessingOutputBoolean("READY", tr("Ready to run")))

    def canExecute(self) -> tuple[bool, str]:
        return True, ""

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        try:
            environment.usable()
        except environment.EnvironmentMissing as missing:
            return self._without_environment(str(missing), parameters, context, feedback)
        return super().processAlgorithm(parameters, context, feedback)

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        remedies = []
        for check in outcome.result.get("checks", ()):
            line = f"{'✓' if check['ok'] else '✗'} {check['name']}: {check['found']}"
            if check.get("remedy"):
                line = f"{line}\n    {check['remedy']}"
            if check["ok"]:
                feedback.pushInfo(line)
            else:
                feedback.pushWarning(line)
                remedies.append(str(check.get("remedy") or check["name"]))
        return {
            "READY": bool(outcome.result.get("ok")),
            "INTERPRETER": str(environment.find().path),
            "REMEDY": "\n".join(remedies),
        }

    def _without_environment(
        self, remedy: str, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        feedback.pushWarning(remedy)
        results: dict[str, Any] = {"READY": False, "INTERPRETER": "", "REMEDY": remedy}
        report = self.parameterAsFileOutput(parameters, "REPORT", context)
        if report:
            title = html.escape(tr("UrbanFM is not set up yet"))
            page = (
                '<!doctype html><html><head><meta charset="utf-8">'
                f"<title>{title}</title></head><body><h1>{title}</h1><p>{html.escape(remedy)}</p></body></html>"
            )
            try:
                Path(report).write_text(page, encoding="utf-8")
            except OSError as error:
                raise QgsProcessingException(tr("Cannot write {}: {}").format(report, error)) from error
            results["REPORT"] = report
        return results

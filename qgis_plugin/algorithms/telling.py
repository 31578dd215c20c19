"""What a run found, told in its log."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingFeedback

from ..runtime.runner import Outcome


def tell_table(outcome: Outcome, feedback: QgsProcessingFeedback) -> None:
    """Write the lines of the result's table into the log."""
    for line in outcome.result.get("table") or ():
        feedback.pushInfo(line)


def tell_best(outcome: Outcome, feedback: QgsProcessingFeedback) -> dict[str, Any]:
    """Write the best regions into the log; returns the best and its score as outputs."""
    top = outcome.result.get("top") or []
    for place, (region, score) in enumerate(top, start=1):
        feedback.pushInfo(f"{place}. {region}: {score:.4f}")
    return {"BEST": str(top[0][0]), "BEST_SCORE": top[0][1]} if top else {}

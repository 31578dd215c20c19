"""What a run found, told in its log."""

from __future__ import annotations

import re
from typing import Any

from qgis.core import QgsProcessingFeedback

from ..runtime.runner import Outcome

# The log is HTML, which makes one blank of several.
_WIDE = "\N{NO-BREAK SPACE}"


def tell_table(outcome: Outcome, feedback: QgsProcessingFeedback) -> None:
    """Write the lines of the result's table into the log, in letters of one width and with the gaps between columns."""
    for line in outcome.result.get("table") or ():
        feedback.pushConsoleInfo(re.sub(" {2,}", lambda gap: _WIDE * len(gap[0]), line))


def tell_best(outcome: Outcome, feedback: QgsProcessingFeedback) -> dict[str, Any]:
    """Write the best regions into the log; returns the best and its score as outputs."""
    top = outcome.result.get("top") or []
    for place, (region, score) in enumerate(top, start=1):
        feedback.pushInfo(f"{place}. {region}: {score:.4f}")
    return {"BEST": str(top[0][0]), "BEST_SCORE": top[0][1]} if top else {}

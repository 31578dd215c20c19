"""What a search by text found: the page of `search`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from urbanfm_core import report
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.maps.search import Ranking
from urbanfm_core.maps.styles import GREY, SCORE_COLOURS
from urbanfm_core.maps.svg import map_svg, stepped
from urbanfm_core.report import Page

_GREY = "#{:02x}{:02x}{:02x}".format(*GREY)
_NAMED = 3


def page(query: str, model: str, encoder: str, best: str, parts: Sequence[str]) -> Page:
    """What was found, the parts, then what was asked, and of whom.

    Args:
        query: The phrase.
        model: Who was asked.
        encoder: What turned the phrase into a vector.
        best: The best region, in words; empty where pixels alone were ranked.
        parts: Maps and tables.
    """
    facts = [("Phrase", query), ("Model", model), ("Text encoder", encoder)]
    said = (
        "The phrase goes through the text side of the model; the score of a place is the cosine between both vectors, from "
        "-1 to 1. It orders places: how high a score is in itself says little."
    )
    asked = report.heading("What was asked") + report.table(("What", "Value"), facts)
    answer = [report.lead(best)] if best else []
    return Page(f"Search: {query}", [*parts, asked], [*answer, report.paragraph(said)])


def best_words(table: EmbeddingTable, ranking: Ranking) -> str:
    """The best regions in a sentence."""
    rows = ranking.top(_NAMED)
    if not len(rows):
        return "No region has a vector, so none has a score."
    named = ", ".join(f"{table.ids[row]} ({ranking.score[row]:.3f})" for row in rows)
    return f"Best regions, with their score: {named}."


def region_parts(table: EmbeddingTable, ranking: Ranking, top: int) -> list[str]:
    """A map of the scores of regions, and the best of them."""
    best = [
        (place, str(table.ids[row]), f"{ranking.score[row]:.3f}") for place, row in enumerate(ranking.top(top), start=1)
    ]
    ranked = f"{ranking.ranked:,} of {len(table.ids):,} regions have a vector and so a score. Each colour has as many regions."
    return [
        report.picture("Map", _map(table, np.asarray(ranking.score, np.float64)), ranked),
        report.heading("Best regions") + report.table(("Rank", "Region", "Score"), best),
    ]


def _map(table: EmbeddingTable, score: NDArray[np.float64]) -> str:
    known = score[np.isfinite(score)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, len(SCORE_COLOURS) + 1))) if len(known) else np.zeros(1)
    colours, legend = stepped(score, edges, SCORE_COLOURS)
    if len(known) < len(score):
        legend = [*legend, ("no score", _GREY)]
    return map_svg(table.regions.geometry, table.regions.crs, colours, legend, "Scores", "Score")

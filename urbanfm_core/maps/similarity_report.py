"""What a search for similar regions leaves: a layer with its style, a table, and a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from urbanfm_core import report
from urbanfm_core.data.places import are_points
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.files import atomic_path
from urbanfm_core.geo.columnar import write_columnar
from urbanfm_core.geo.vector_writer import write_layer
from urbanfm_core.maps.search import Ranking
from urbanfm_core.maps.styles import GREY, SCORE_COLOURS, write_ranking_style
from urbanfm_core.maps.svg import map_svg, stepped
from urbanfm_core.report import Page

_GREY = "#{:02x}{:02x}{:02x}".format(*GREY)
_NAMED = 3
_CHOSEN_COLOUR = "#d62728"


@dataclass(frozen=True)
class Similar:
    """How like the chosen regions all regions of a table are.

    Attributes:
        ids: (R,) of the ranked table.
        id_name: Their column.
        ranking: Of its rows; chosen regions have a score and no rank.
        chosen: (R,) whether a region was chosen; none of another city was.
        chosen_ids: Who was chosen.
        medoid: Id of the region that stands for them; None unless that was asked for.
        how: In words.
        where: The ranked table, in words.
        notes: What was left out or is worth knowing.
    """

    ids: NDArray[Any]
    id_name: str
    ranking: Ranking
    chosen: NDArray[np.bool_]
    chosen_ids: list[Any]
    medoid: Any
    how: str
    where: str
    notes: list[str] = field(default_factory=list)

    def top(self, count: int) -> list[tuple[Any, float]]:
        """Ids and scores of the most similar regions, best first."""
        return [(self.ids[row], float(self.ranking.score[row])) for row in self.ranking.top(count)]


def fields_of(found: Similar, rows: NDArray[np.int64]) -> dict[str, Any]:
    """The columns to write, for some rows; ranks of regions that take no part are missing."""
    rank = pd.array(found.ranking.rank[rows], dtype="Int32")
    rank[found.ranking.rank[rows] == 0] = pd.NA
    return {
        "score": found.ranking.score[rows].astype(np.float64),
        "rank": rank,
        "percentile": found.ranking.percentile[rows].astype(np.float64),
        "chosen": found.chosen[rows].astype(np.int32),
    }


def write_similar(path: str, found: Similar, regions: RegionSet, rows: NDArray[np.int64]) -> None:
    """Write the layer and, beside it, its style: seven steps of the score.

    Args:
        path: Layer.
        found: The ranking.
        regions: Those with a polygon or point.
        rows: Row of each in the ranking.
    """
    frame = regions.with_fields(fields_of(found, rows))
    write_layer(frame, path)
    write_ranking_style(Path(path).with_suffix(".qml"), frame["score"].to_numpy(np.float64), points=are_points(regions))


def write_table(path: str, found: Similar) -> None:
    """Write ids and scores of all rows, as Parquet, Arrow IPC or CSV by suffix."""
    frame = pd.DataFrame({found.id_name: found.ids, **fields_of(found, np.arange(len(found.ids)))})
    with atomic_path(path) as temporary:
        if path.lower().endswith(".csv"):
            frame.to_csv(temporary, index=False)
        else:
            write_columnar(pa.Table.from_pandas(frame, preserve_index=False), temporary, Path(path).suffix)


def page(found: Similar, top: int, regions: RegionSet | None, rows: NDArray[np.int64]) -> Page:
    """What the report shows; without polygons it has no map."""
    facts: list[tuple[str, Any]] = [
        ("Chosen regions", _listed(found.chosen_ids, 100)),
        ("Compared with", found.how),
        ("Ranked", f"{found.where}: {found.ranking.ranked:,} of {len(found.ids):,} regions"),
    ]
    if found.medoid is not None:
        facts.append(("The region that stands for the chosen ones", found.medoid))
    parts = []
    if regions is not None:
        said = "Each colour has as many regions; the chosen ones are not ranked."
        parts.append(report.picture("Map", _map(found, regions, rows), said))
    best = [(place, str(name), f"{score:.3f}") for place, (name, score) in enumerate(found.top(top), start=1)]
    parts.append(report.heading("Most similar regions") + report.table(("Rank", "Region", "Score"), best))
    parts.append(report.heading("What was compared") + report.table(("What", "Value"), facts))
    named = ", ".join(f"{name} ({score:.3f})" for name, score in found.top(_NAMED)) or "none"
    answer = f"Most like {_listed(found.chosen_ids, _NAMED)}, with their score: {named}."
    said = (
        f"The score is the cosine between the vectors of a region and of {found.how}: 1 is the same direction, 0 nothing in "
        "common, below 0 the opposite."
    )
    title = f"Regions of {found.where} like {_listed(found.chosen_ids, _NAMED)}"
    return Page(title, parts, [report.lead(answer), report.paragraph(said)])


def _map(found: Similar, regions: RegionSet, rows: NDArray[np.int64]) -> str:
    score = found.ranking.score[rows].astype(np.float64)
    chosen = found.chosen[rows]
    known = np.isfinite(score)
    finite = score[known & ~chosen]
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, len(SCORE_COLOURS) + 1))) if len(finite) else np.zeros(1)
    colours, legend = stepped(score, edges, SCORE_COLOURS)
    if chosen.any():
        colours = [_CHOSEN_COLOUR if one else colour for one, colour in zip(chosen, colours, strict=True)]
        legend = [("chosen", _CHOSEN_COLOUR), *legend]
    if not known.all():
        legend = [*legend, ("no score", _GREY)]
    return map_svg(regions.geometry, regions.crs, colours, legend, "Similarity", "Score")


def _listed(ids: list[Any], most: int = 12) -> str:
    shown = ", ".join(map(str, ids[:most]))
    return shown if len(ids) <= most else f"{shown} and {len(ids) - most:,} more"

"""What embeddings of regions or points look like: the page of `embed` and `embedpois`."""

from __future__ import annotations

import numpy as np

from urbanfm_core import report
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.maps.styles import GREY, principal_rgb
from urbanfm_core.maps.svg import map_svg
from urbanfm_core.report import Page

_GREY = "#{:02x}{:02x}{:02x}".format(*GREY)
_PRIMARIES = (("#ff0000", "red"), ("#00b000", "green"), ("#0000ff", "blue"))
_NAMED = 12


def page(table: EmbeddingTable, what: str = "regions") -> Page:
    """What was embedded in the colours of the first three principal components, and what has no vector.

    Args:
        table: The vectors.
        what: What has them, in the plural.
    """
    components, rgb = principal_rgb(table.vectors)
    covered = table.covered
    known = table.vectors[covered].astype(np.float64)
    shares = components[covered].var(axis=0) / max(float(known.var(axis=0).sum()), np.finfo(float).tiny)
    facts = [
        (what.capitalize(), f"{len(table.ids):,}, of which {int(covered.sum()):,} have a vector"),
        ("Dimensions", table.vectors.shape[1]),
        ("Model", table.provenance.get("model", "")),
        ("Length of the vectors", _span(np.linalg.norm(known, axis=1))),
    ]
    silent = table.ids[~covered]
    if len(silent):
        more = f" and {len(silent) - _NAMED:,} more" if len(silent) > _NAMED else ""
        facts.append((f"{what.capitalize()} without a vector", ", ".join(map(str, silent[:_NAMED])) + more))
    legend = [
        (f"{word}: component {axis + 1}, {100 * share:.0f} % of the variance", colour)
        for axis, ((colour, word), share) in enumerate(zip(_PRIMARIES, shares, strict=True))
    ]
    if len(silent):
        legend.append(("no vector", _GREY))
    colours = ["#{:02x}{:02x}{:02x}".format(*row) for row in rgb]
    drawn = map_svg(
        table.regions.geometry,
        table.regions.crs,
        colours,
        legend,
        f"{what.capitalize()} in the colours of their vectors",
    )
    caption = (
        "Colours mix the first three principal components, the directions in which the vectors differ most; together they "
        f"hold {100 * shares.sum():.0f} % of the variance, so {what} of one colour may still differ in the rest."
    )
    answer = (
        f"{int(covered.sum()):,} of {len(table.ids):,} {what} have a vector of {table.vectors.shape[1]} numbers. It stands "
        "for the place in clusters, searches and predictions; no single number of it has a meaning of its own."
    )
    return Page(
        f"Embeddings of {what} by {table.provenance.get('model', 'a model')}",
        [
            report.picture(f"Map: alike colours mean alike {what}", drawn, caption),
            report.heading("The vectors") + report.table(("What", "Value"), facts),
        ],
        [report.lead(answer)],
    )


def _span(values: np.ndarray) -> str:
    low, high, mean = report.even([float(values.min()), float(values.max()), float(values.mean())])
    return f"{low} to {high}, mean {mean}"

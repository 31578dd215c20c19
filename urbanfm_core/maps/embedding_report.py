"""What embeddings of regions look like: the page of `embed`."""

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


def page(table: EmbeddingTable) -> Page:
    """The regions in the colours of their first three principal components, and who has no vector."""
    components, rgb = principal_rgb(table.vectors)
    covered = table.covered
    known = table.vectors[covered].astype(np.float64)
    shares = components[covered].var(axis=0) / max(float(known.var(axis=0).sum()), np.finfo(float).tiny)
    facts = [
        ("Regions", f"{len(table.ids):,}, of which {int(covered.sum()):,} have a vector"),
        ("Dimensions", table.vectors.shape[1]),
        ("Model", table.provenance.get("model", "")),
        ("Length of the vectors", _span(np.linalg.norm(known, axis=1))),
        ("Variance in the three colours", f"{100 * shares.sum():.0f} %"),
    ]
    silent = table.ids[~covered]
    if len(silent):
        more = f" and {len(silent) - _NAMED:,} more" if len(silent) > _NAMED else ""
        facts.append(("Regions without a vector", ", ".join(map(str, silent[:_NAMED])) + more))
    legend = [
        (f"{word}: component {axis + 1}, {100 * share:.0f} % of the variance", colour)
        for axis, ((colour, word), share) in enumerate(zip(_PRIMARIES, shares, strict=True))
    ]
    if len(silent):
        legend.append(("no vector", _GREY))
    colours = ["#{:02x}{:02x}{:02x}".format(*row) for row in rgb]
    drawn = map_svg(
        table.regions.geometry, table.regions.crs, colours, legend, "Regions in the colours of their vectors"
    )
    return Page(
        f"Region embeddings by {table.provenance.get('model', 'a model')}",
        [
            report.table(("What", "Value"), facts),
            report.picture("Map: alike colours mean alike regions", drawn),
        ],
    )


def _span(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}, mean {values.mean():.3g}"

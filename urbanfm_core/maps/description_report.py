"""What captions of regions say: the page of `describe`."""

from __future__ import annotations

from collections import Counter

import numpy as np

from urbanfm_core import report
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.maps.styles import GREY, class_colours
from urbanfm_core.maps.svg import map_svg
from urbanfm_core.report import Page

_GREY = "#{:02x}{:02x}{:02x}".format(*GREY)
_EXAMPLES = 12


def page(regions: RegionSet, told: list[tuple[str, str]]) -> Page:
    """Who described which regions, and what some of them are said to be.

    Args:
        regions: R regions.
        told: (R,) caption and who wrote it; empty texts where there is none.
    """
    said = np.flatnonzero([text != "" for text, _ in told])
    writers = Counter(by for _, by in told if by)
    words = [len(told[row][0].split()) for row in said]
    facts = [
        ("Regions", f"{len(regions):,}, of which {len(said):,} have a caption"),
        ("Captions by", ", ".join(f"{by} ({count:,})" for by, count in writers.most_common()) or "not named"),
        ("Words of a caption", f"{min(words)} to {max(words)}, mean {np.mean(words):.0f}"),
        ("Different captions", f"{len({text for text, _ in told if text}):,}"),
    ]
    names = [by for by, _ in writers.most_common()] or [""]
    palette = dict(zip(names, class_colours(len(names)), strict=True))
    colours = [palette.get(by, palette[names[0]]) if text else _GREY for text, by in told]
    legend = [(by or "a caption", colour) for by, colour in palette.items()]
    if len(said) < len(told):
        legend.append(("no caption", _GREY))
    drawn = map_svg(regions.geometry, regions.crs, colours, legend, "Regions with a caption")
    shown = np.sort(np.random.default_rng(0).permutation(said)[:_EXAMPLES])
    examples = [(str(regions.ids[row]), *told[row]) for row in shown]
    answer = (
        f"{len(said):,} of {len(regions):,} regions have a caption. Models write captions, and err: check some below."
    )
    return Page(
        "Captions of regions",
        [
            report.heading("Some of them, drawn at random") + report.table(("Region", "Caption", "By"), examples),
            report.picture("Map: who wrote the caption", drawn),
            report.heading("All of them") + report.table(("What", "Value"), facts),
        ],
        [report.lead(answer)],
    )

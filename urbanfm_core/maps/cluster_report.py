"""What a clustering leaves: a layer with its style, JSON, lines for the terminal, and a page."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from urbanfm_core import report
from urbanfm_core.data.places import are_points
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.evaluation.picture import Series, line_plot
from urbanfm_core.evaluation.results import Summary
from urbanfm_core.files import atomic_path
from urbanfm_core.geo.vector_writer import write_layer
from urbanfm_core.maps.density import BESIDE, densities_svg
from urbanfm_core.maps.grouping import Groups
from urbanfm_core.maps.plot import GREY
from urbanfm_core.maps.profile import Level, Profile, Share
from urbanfm_core.maps.styles import class_colours, write_class_style
from urbanfm_core.maps.svg import map_svg
from urbanfm_core.report import Page

FIELD = "cluster"
_GREY = "#{:02x}{:02x}{:02x}".format(*GREY)
_SHOWN = 4
_LEGEND_CHARACTERS = 60
# Distributions are drawn of fields with so many values, for the largest clusters.
_FEWEST_VALUES, _DRAWN_CLUSTERS = 5, 12
# Bounds of Kaufman and Rousseeuw (1990), Finding groups in data, table 4.
_SILHOUETTES = (
    (0.7, "strong clusters"),
    (0.5, "reasonable clusters"),
    (0.25, "weak clusters, which another method may draw otherwise"),
    (-math.inf, "no clear gaps between the clusters: they cut a continuum, and borders could lie elsewhere"),
)


@dataclass(frozen=True)
class Clustering:
    """Clusters of a city's regions, and what is known about them.

    Attributes:
        profiles: In the order of the clusters.
        columns: (R, F) fields that describe the clusters.
        vectors: What was clustered, in words.
        how: In words.
        notes: Of inputs, clustering and profiles.
    """

    regions: RegionSet
    groups: Groups
    profiles: list[Profile]
    columns: pd.DataFrame
    vectors: str
    how: str
    notes: list[str] = field(default_factory=list)


def frame_of(found: Clustering) -> gpd.GeoDataFrame:
    """The regions with all their fields, the number of their cluster from 1 and its name, silhouette and distance."""
    groups = found.groups
    number = pd.array(groups.labels + 1, dtype="Int32")
    number[groups.labels < 0] = pd.NA
    names = {one.number: one.label for one in found.profiles}
    named = pd.array([names.get(place) for place in groups.labels + 1], dtype="string")
    fields = {FIELD: number, "cluster_name": named, "silhouette": groups.silhouette, "distance": groups.distance}
    return found.regions.with_fields(fields)


def write_clusters(path: str, found: Clustering) -> None:
    """Write the layer and, beside it, its style: one colour a cluster, the same ones in every run."""
    write_layer(frame_of(found), path)
    numbers = [str(one.number) for one in found.profiles]
    labels = [_legend(one) for one in found.profiles]
    points = are_points(found.regions)
    write_class_style(Path(path).with_suffix(".qml"), numbers, FIELD, len(found.regions), labels, points=points)


def as_dict(found: Clustering) -> dict[str, Any]:
    """Everything but the regions, as plain data; numbers that do not exist are None."""
    groups = found.groups
    return {
        "vectors": found.vectors,
        "how": found.how,
        "regions": len(groups.labels),
        "in_clusters": int((groups.labels >= 0).sum()),
        "without_vector": int((~groups.known).sum()),
        "silhouette": _plain(groups.mean_silhouette),
        "tried": [{"value": value, "silhouette": _plain(mean)} for value, mean in groups.tried],
        "clusters": [_profile_dict(one) for one in found.profiles],
        "notes": found.notes,
    }


def write_json(path: str, found: Clustering) -> None:
    """Write `as_dict`."""
    with atomic_path(path) as temporary:
        text = json.dumps(as_dict(found), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def lines(found: Clustering) -> list[str]:
    """A line for each cluster."""
    return [
        f"{one.number}. {one.label}: {one.regions:,} regions, silhouette {one.silhouette:.2f}, typical: "
        f"{', '.join(map(str, one.typical))}"
        for one in found.profiles
    ]


def page(found: Clustering) -> Page:
    """What the report shows."""
    groups = found.groups
    inside = int((groups.labels >= 0).sum())
    facts = [
        ("Vectors", found.vectors),
        ("Clustered by", found.how),
        ("Regions", f"{len(groups.labels):,}, of which {inside:,} are in a cluster"),
        ("Clusters", len(groups.sizes)),
        ("Mean silhouette", report.number(groups.mean_silhouette)),
    ]
    parts = [report.picture("Map", _map(found), "Regions of one colour have alike vectors; numbers are by size.")]
    rows = [
        (
            one.number,
            one.label,
            f"{one.regions:,} ({100 * one.regions / max(inside, 1):.0f} %)",
            f"{one.silhouette:.2f}",
            "; ".join(_share_words(share) for share in one.more[:_SHOWN]) or "-",
            "; ".join(_share_words(share) for share in one.less[:_SHOWN]) or "-",
            "; ".join(_level_words(level) for level in one.striking[:_SHOWN]) or "-",
            ", ".join(map(str, one.typical)),
        )
        for one in found.profiles
    ]
    headers = (
        "Cluster", "Suggested name", "Regions", "Silhouette", "More points of", "Fewer points of", "Fields",
        "Typical regions",
    )  # fmt: skip
    parts.append(report.heading("What makes each cluster differ from the city") + report.table(headers, rows))
    if any(one.shares or one.levels for one in found.profiles):
        parts.append(
            "<p>Points: how many times the city's share a category has here, if that is two standard deviations off "
            "or more. Fields: mean here, and how many standard deviations of the city's regions it is from the city's "
            "mean, from a quarter on. Points and neighbouring regions come in groups, so these are measures and no "
            "tests.</p>"
        )
    if found.profiles[0].levels:
        parts.append(report.heading("Means of the fields, by cluster") + _levels_table(found.profiles))
    parts += _densities(found)
    if len(groups.tried) > 1:
        parts.append(report.picture("What was tried", _curve(found)))
    parts.append(report.heading("How it was done") + report.table(("What", "Value"), facts))
    return Page(f"Clusters of {found.vectors}", parts, _answer(found, inside))


def _answer(found: Clustering, inside: int) -> list[str]:
    """How many clusters there are, and how far apart."""
    groups = found.groups
    said = f"{inside:,} of {len(groups.labels):,} regions are in {len(groups.sizes)} clusters"
    mean = groups.mean_silhouette
    if not math.isfinite(mean):
        return [report.lead(f"{said}.")]
    how = next(words for least, words in _SILHOUETTES if mean >= least)
    return [
        report.lead(f"{said}. Mean silhouette {mean:.2f}: {how}."),
        report.paragraph(
            "The silhouette of a region compares how far it is from its own cluster and from the next one: 1 is far from "
            "the next, 0 on the border, below 0 nearer to the next. Names are suggested by the categories of points that "
            "are more common than in the city.",
            quiet=True,
        ),
    ]


def _map(found: Clustering) -> str:
    palette = class_colours(len(found.profiles))
    colours = [palette[label] if label >= 0 else _GREY for label in found.groups.labels]
    legend = [(_legend(one), colour) for one, colour in zip(found.profiles, palette, strict=True)]
    if (found.groups.labels < 0).any():
        legend.append(("in no cluster", _GREY))
    return map_svg(found.regions.geometry, found.regions.crs, colours, legend, "Clusters", "Cluster")


def _legend(profile: Profile) -> str:
    words = f"{profile.number}: {profile.label}"
    return words if len(words) <= _LEGEND_CHARACTERS else f"{words[: _LEGEND_CHARACTERS - 1]}…"


def _densities(found: Clustering) -> list[str]:
    """Curves of the fields that have enough values for one."""
    columns = [(str(name), column.to_numpy(np.float64)) for name, column in found.columns.items()]
    drawn = [
        (name, values) for name, values in columns if len(np.unique(values[np.isfinite(values)])) >= _FEWEST_VALUES
    ]
    if not drawn:
        return []
    largest = found.profiles[:_DRAWN_CLUSTERS]
    palette = class_colours(len(found.profiles))
    clusters = [(f"Cluster {one.number}", colour) for one, colour in zip(largest, palette, strict=False)]
    words = "How the fields are distributed in each cluster. All hills have the same height; the stroke is the median."
    if len(largest) < len(found.profiles):
        words += f" The {len(largest)} largest of {len(found.profiles)} clusters are drawn."
    parts = [report.heading("Distributions of the fields"), report.paragraph(words)]
    # A picture for each row, so that pages break between them.
    for first in range(0, len(drawn), BESIDE):
        parts.append(report.picture("", densities_svg(drawn[first : first + BESIDE], found.groups.labels, clusters)))
    return parts


def _curve(found: Clustering) -> str:
    points = [(float(value), Summary((mean,))) for value, mean in found.groups.tried]
    by_size = found.how.startswith("HDBSCAN")
    x_title = "fewest regions of a cluster" if by_size else "number of clusters"
    ticks = [(float(value), f"{value:,}") for value, _ in found.groups.tried]
    best = max(found.groups.tried, key=lambda one: one[1])[0]
    return line_plot(
        "Mean silhouette",
        [Series("silhouette", points)],
        ticks,
        x_title,
        "mean silhouette, higher is better",
        marked=(float(best), "taken"),
    )


def _levels_table(profiles: list[Profile]) -> str:
    headers = ("Field", "City", *(str(one.number) for one in profiles))
    rows = [
        (level.name, *report.even([level.city, *(one.levels[at].mean for one in profiles)]))
        for at, level in enumerate(profiles[0].levels)
    ]
    return report.table(headers, rows)


def _share_words(share: Share) -> str:
    return f"{share.name} ({share.times:.2g} x, {share.count:,})"


def _level_words(level: Level) -> str:
    return f"{level.name} {report.number(level.mean)} ({level.deviations:+.1f} sd)"


def _profile_dict(one: Profile) -> dict[str, Any]:
    return {
        "cluster": one.number,
        "label": one.label,
        "regions": one.regions,
        "silhouette": _plain(one.silhouette),
        "typical": [item.item() if isinstance(item, np.generic) else item for item in one.typical],
        "points": one.points,
        "categories": [
            {**{name: _plain(value) for name, value in vars(share).items()}, "times": _plain(share.times)}
            for share in one.shares
        ],
        "fields": [{name: _plain(value) for name, value in vars(level).items()} for level in one.levels],
    }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

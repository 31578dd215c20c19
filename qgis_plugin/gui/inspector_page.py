"""A region as a page of rich text. No widgets: what a dock shows is a text that a test can read."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import Optional

from ..i18n import tr
from .inspector_facts import Facts
from .inspector_points import Counts

PICTURE_URL = "urbanfm:picture"
REGION_SCHEME = "region"
MOST_CATEGORIES = 8
MOST_INDICATORS = 8
SHOW_ALL_URL = "urbanfm:all"


@dataclass(frozen=True)
class Similar:
    """A region that resembles the shown one: feature id, name and likeness, a cosine or a score."""

    feature_id: int
    name: str
    likeness: float


@dataclass(frozen=True)
class View:
    """What the dock shows; a note stands where there is nothing to show, and says why.

    Attributes:
        facts: Of the region; None when no region is shown.
        message: What to do when no region is shown.
        picture: Width and height of the picture, logical pixels.
        points: Counts inside the region.
        points_of: Name of their layer.
        similar_title: What the list of regions is.
        all_indicators: Whether a long list of them is unfolded.
    """

    facts: Optional[Facts] = None
    message: str = ""
    picture: Optional[tuple[int, int]] = None
    picture_note: str = ""
    points: Optional[Counts] = None
    points_of: str = ""
    points_note: str = ""
    similar: tuple[Similar, ...] = ()
    similar_title: str = ""
    similar_note: str = ""
    all_indicators: bool = False

    def with_(self, **changes: object) -> View:
        """This view but for some parts."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Colours:
    """Colours of the window's palette."""

    muted: str = "#666666"
    bar: str = "#0072b2"
    back: str = "#e8e8e8"


def page(view: View, colours: Colours) -> str:
    """The page."""
    facts = view.facts
    if facts is None:
        return f"<p>{_text(view.message)}</p>"
    parts = [f"<h2>{_text(facts.title)}</h2>"]
    if facts.cluster is not None:
        chip = f'<span style="color:{facts.cluster.colour}">■</span> ' if facts.cluster.colour else ""
        parts.append(f"<p>{chip}{_text(facts.cluster.name)}</p>")
    if view.picture is not None:
        width, height = view.picture
        described = html.escape(tr("Picture of the region"), quote=True)
        parts.append(f'<p><img src="{PICTURE_URL}" width="{width}" height="{height}" alt="{described}"></p>')
    elif view.picture_note:
        parts.append(_note(view.picture_note, colours))
    parts += [f"<p>⚠ {_text(line)}</p>" for line in facts.warnings]
    if facts.caption:
        parts.append(_heading(tr("Caption")) + f"<p>{_text(facts.caption)}</p>")
    if facts.indicators:
        parts.append(_heading(tr("Indicators")) + _indicators(view, colours))
    parts.append(_points(view, colours))
    parts.append(_similar(view, colours))
    return "".join(parts)


def _indicators(view: View, colours: Colours) -> str:
    indicators = view.facts.indicators if view.facts is not None else ()
    ranked = any(one.below is not None for one in indicators)
    head = [tr("Indicator"), tr("Value"), tr("Higher than")][: 3 if ranked else 2]
    rows = ["<tr>" + "".join(_head_cell(text, colours, right=i > 0) for i, text in enumerate(head)) + "</tr>"]
    for one in indicators if view.all_indicators else indicators[:MOST_INDICATORS]:
        value = _text(one.value) if one.value else _muted(tr("missing"), colours)
        cells = f'<td>{_text(one.name)}</td><td align="right">{value}</td>'
        if ranked:
            share = "" if one.below is None else tr("{} %").format(round(one.below * 100))
            cells += f'<td align="right">{_muted(share, colours)}</td>'
        rows.append(f"<tr>{cells}</tr>")
        # In a row of its own, since an interval is wider than any column.
        beside = " · ".join(filter(None, (one.interval, one.layer)))
        if beside:
            rows.append(f'<tr><td colspan="{len(head)}">{_muted(beside, colours)}</td></tr>')
    note = _note(tr("Higher than: share of the layer's regions with a lower value."), colours) if ranked else ""
    if len(indicators) > MOST_INDICATORS and not view.all_indicators:
        shown = _text(tr("Show all {} indicators").format(len(indicators)))
        note = f'<p><a href="{SHOW_ALL_URL}">{shown}</a></p>{note}'
    return f'<table width="100%" cellspacing="0" cellpadding="2">{"".join(rows)}</table>{note}'


def _points(view: View, colours: Colours) -> str:
    title = _heading(tr("Points of interest"))
    counts = view.points
    if counts is None:
        return title + _note(view.points_note, colours) if view.points_note else ""
    lines = [_note(tr("{:,} inside, from the layer {}").format(counts.total, view.points_of), colours)]
    most = counts.leading[0][1] if counts.leading else 1
    rows = []
    for name, number in counts.leading[:MOST_CATEGORIES]:
        # A bar of blocks stays a bar when it is copied as text, and needs no picture.
        bar = "█" * max(1, round(12 * number / most))
        rows.append(
            f"<tr><td>{_text(name) if name else _muted(tr('no category'), colours)}</td>"
            f'<td align="right">{number:,}</td><td><span style="color:{colours.bar}">{bar}</span></td></tr>'
        )
    lines.append(f'<table cellspacing="0" cellpadding="2">{"".join(rows)}</table>' if rows else "")
    left = counts.leading[MOST_CATEGORIES:]
    if left:
        rest = sum(number for _, number in left)
        lines.append(_note(tr("and {:,} in {} other categories").format(rest, len(left)), colours))
    if not counts.complete:
        lines.append(_note(tr("There are too many points to count them all here: these are the first."), colours))
    return title + "".join(lines)


def _similar(view: View, colours: Colours) -> str:
    if not view.similar and not view.similar_note:
        return ""
    rows = [
        f'<tr><td align="right">{_muted(str(place), colours)}</td>'
        f'<td><a href="{REGION_SCHEME}:{one.feature_id}">{_text(one.name)}</a></td>'
        f'<td align="right">{one.likeness:.3f}</td></tr>'
        for place, one in enumerate(view.similar, start=1)
    ]
    table = f'<table width="100%" cellspacing="0" cellpadding="2">{"".join(rows)}</table>' if rows else ""
    note = _note(view.similar_note, colours) if view.similar_note else ""
    return _heading(view.similar_title or tr("Most similar regions")) + table + note


def _heading(text: str) -> str:
    return f"<h4>{_text(text)}</h4>"


def _note(text: str, colours: Colours) -> str:
    return f"<p>{_muted(text, colours)}</p>"


def _muted(text: str, colours: Colours) -> str:
    return f'<span style="color:{colours.muted}">{_text(text)}</span>'


def _head_cell(text: str, colours: Colours, right: bool) -> str:
    return f'<td align="{"right" if right else "left"}" bgcolor="{colours.back}">{_text(text)}</td>'


def _text(text: str) -> str:
    return html.escape(text, quote=True).replace("\n", "<br>")

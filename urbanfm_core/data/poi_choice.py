"""Some of a layer's points of interest: by category, by row, or as the points of another layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from urbanfm_core.data.poi import PoiSet
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.geo.crs import transform_xy

# Places that went through a file or another coordinate reference system and back are the same within this.
_SAME_PLACE_M = 0.01
_DEGREE_M = 111_320
_LISTED = 10


@dataclass(frozen=True)
class PoiChoice:
    """Points that were chosen.

    Attributes:
        mask: (P,) bool, which.
        words: What they are, for titles.
        notes: What a report should mention.
    """

    mask: NDArray[np.bool_]
    words: str
    notes: list[str] = field(default_factory=list)


def choose_pois(
    pois: PoiSet, categories: Sequence[str] = (), rows: Sequence[int] = (), selected: PoiSet | None = None
) -> PoiChoice:
    """The points that meet every condition that is given; all points without any.

    Args:
        pois: Points, P.
        categories: Categories or subcategories; upper and lower case, and blanks and underscores, are the same.
        rows: Rows in the points' source, counted from 0.
        selected: Points that are to be found again, by place and name.

    Raises:
        ConfigError: a category or a row that does not exist.
        EmptyInputError: no point meets all conditions.
    """
    mask = np.ones(len(pois), bool)
    words, notes = [], []
    if categories:
        mask &= _of_categories(pois, categories)
        words.append(", ".join(categories))
    if rows:
        wanted = np.asarray(rows, np.int64)
        unknown = np.setdiff1d(wanted, pois.index)
        if len(unknown):
            raise ConfigError(
                f"{len(unknown):,} of {len(wanted):,} rows are not among the points of interest, the first is {unknown[0]}.",
                f"Rows are counted from 0; those with a position go up to {int(pois.index.max())}.",
            )
        mask &= np.isin(pois.index, wanted)
        words.append(f"{len(wanted):,} chosen rows")
    if selected is not None:
        found, missing = _found_again(pois, selected)
        mask &= found
        words.append(f"{int(found.sum()):,} selected points")
        if missing:
            notes.append(f"{missing:,} of {len(selected):,} selected points are not among the points of interest.")
    if not mask.any():
        raise EmptyInputError(
            f"None of {len(pois):,} points of interest is chosen ({' and '.join(words)}).",
            "Choose other categories or points; selected points must come from the layer of the points of interest.",
        )
    return PoiChoice(mask, " and ".join(words) or "all points of interest", notes)


def _of_categories(pois: PoiSet, categories: Sequence[str]) -> NDArray[np.bool_]:
    found = np.zeros(len(pois), bool)
    columns = [np.array([_plain(text) for text in column], object) for column in (pois.category, pois.subcategory)]
    for name in categories:
        here = np.any([column == _plain(name) for column in columns], axis=0)
        if not here.any():
            known = Counter(text for column in (pois.category, pois.subcategory) for text in column if text is not None)
            listed = ", ".join(f"{text} ({count:,})" for text, count in known.most_common(_LISTED))
            more = f", and {len(known) - _LISTED:,} more" if len(known) > _LISTED else ""
            raise ConfigError(
                f"No point of interest has the category '{name}'.",
                f"There are: {listed}{more}." if known else "They have no categories: name the column, or choose rows.",
            )
        found |= here
    return found


def _plain(text: str | None) -> str | None:
    return None if text is None else " ".join(text.replace("_", " ").split()).casefold()


def _found_again(pois: PoiSet, selected: PoiSet) -> tuple[NDArray[np.bool_], int]:
    """Which points stand where a selected one of the same name does, and how many selected ones stand nowhere."""
    places = transform_xy(selected.xy, selected.crs, pois.crs)
    there = np.isfinite(places).all(axis=1)
    radius = _SAME_PLACE_M / _DEGREE_M if pois.crs.is_geographic else _SAME_PLACE_M
    tree = shapely.STRtree(shapely.points(pois.xy))
    one, other = tree.query(shapely.points(places[there]), predicate="dwithin", distance=radius)
    one = np.flatnonzero(there)[one]
    same = selected.name[one] == pois.name[other]
    mask, seen = np.zeros(len(pois), bool), np.zeros(len(selected), bool)
    mask[other[same]] = True
    seen[one[same]] = True
    return mask, int((~seen).sum())

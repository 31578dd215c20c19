"""Free tags of places: any number of `key: value` pairs per row, however a layer spells them.

Understood, and mixed freely within one layer: a column per key (QuickOSM), GDAL's and osmium's `other_tags` (hstore), and
`tags` as JSON text, a map, hstore, or `key=value;key=value`. What does not say what a place is, is left out: ids,
coordinates, addresses, contacts, sources; and columns of numbers, which are codes, unless the layer is OpenStreetMap's
(`building:levels`, `maxspeed`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.data.neighbours import ranges, starts_of
from urbanfm_core.data.poi_columns import OSM_KEYS, OSM_TAG_COLUMNS, XY_COLUMNS, is_codes, unpack_tags
from urbanfm_core.errors import ConfigError

# What exporters add to a layer of OpenStreetMap, or tables carry for their own sake; and what tells where a place is and
# how to reach it, but not what it is.
_NOT_ABOUT_THE_PLACE = re.compile(
    r"(.*_)?(id|fid|uid|uuid|guid|gid|wkt|geom|geometry|objectid)|shape_(leng|length|area)|@.*|osm_type|osm_version|version"
    r"|changeset|timestamp|user|z_order|index|created_by|note|fixme|source(:.*)?|check_date.*|survey:date|tiger:.*|gnis:.*"
    r"|(.*:)?(wikidata|wikipedia|wikimedia_commons|website|url|phone|fax|email|image|facebook)|contact:.*|addr:.*|ref(:.*)?",
    re.IGNORECASE,
)
# Keys that describe ground and not a place to go to.
AREA_KEYS = ("boundary", "landuse", "natural", "place", "waterway", "highway")
_SAYS_NOTHING = ("", "nan", "none", "null", "<na>")
_PAIRS = re.compile(r"\s*([^=;]+?)\s*=\s*([^;]*?)\s*(?:;|$)")


@dataclass(frozen=True)
class Tags:
    """Tags of N rows.

    Attributes:
        starts: (N + 1,) int64; the tags of row i are those from `starts[i]` to `starts[i + 1]`.
        key: (T,) text.
        value: (T,) text.
        notes: Where they were taken from, and what was left out, with counts.
    """

    starts: NDArray[np.int64]
    key: NDArray[np.object_]
    value: NDArray[np.object_]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def none(cls, rows: int) -> Tags:
        """Rows without any tag."""
        return cls(np.zeros(rows + 1, np.int64), np.empty(0, object), np.empty(0, object))

    def take(self, rows: NDArray[np.int64]) -> Tags:
        """The tags of some rows, in that order."""
        length = np.diff(self.starts)[rows]
        places = ranges(self.starts[rows], length)
        return Tags(starts_of(length), self.key[places], self.value[places], self.notes)

    def texts(self) -> list[str]:
        """The tags of each row as the text encoder reads them, "amenity: cafe, cuisine: burger"; "" for none."""
        words = [f"{key}: {value}" for key, value in zip(self.key, self.value, strict=True)]
        return [", ".join(words[start:stop]) for start, stop in zip(self.starts, self.starts[1:], strict=False)]

    def values(self, key: str) -> NDArray[np.object_]:
        """What one key says in each row, (N,); None where it is missing."""
        found = np.full(len(self), None, object)
        here = np.flatnonzero(self.key == key)
        found[np.searchsorted(self.starts, here, side="right") - 1] = self.value[here]
        return found


def read_tags(frame: pd.DataFrame, columns: Sequence[str] | None = None) -> Tags:
    """Tags of every row of a layer or table; of a key that occurs twice in a row, the column's value stays.

    Args:
        frame: Rows of the source.
        columns: The only columns that hold tags, packed or one key each; None for all that look like it.

    Raises:
        ConfigError: a given column does not exist.
    """
    chosen, passed_over = _tag_columns(frame) if columns is None else (_given(frame, columns), [])
    packed = [name for name in chosen if name.lower() in OSM_TAG_COLUMNS]
    plain = [name for name in chosen if name not in packed]
    rows: list[dict[str, str]] = [{} for _ in range(len(frame))]
    left_out = 0
    for name in packed:
        for tags, value in zip(rows, frame[name], strict=True):
            for key, text in _unpacked(value).items():
                if _NOT_ABOUT_THE_PLACE.fullmatch(key):
                    left_out += 1
                else:
                    tags[key] = " ".join(text.split())
    for name in plain:
        codes, distinct = pd.factorize(frame[name].map(_as_text))
        for row in np.flatnonzero(codes >= 0):
            rows[row][name] = distinct[codes[row]]
    notes = [f"Tags are taken from {_listed(chosen)}."] if chosen else ["No column holds tags."]
    if passed_over:
        notes.append(f"Columns of numbers hold codes and are no tags: {_listed(passed_over)}.")
    if left_out:
        notes.append(f"{left_out:,} tags of ids, addresses, contacts and sources are left out.")
    silent = sum(not tags for tags in rows)
    if silent and chosen:
        notes.append(f"{silent:,} of {len(rows):,} rows have no tag.")
    return Tags(
        starts_of(np.array([len(tags) for tags in rows], np.int64)),
        _objects(key for tags in rows for key in tags),
        _objects(value for tags in rows for value in tags.values()),
        notes,
    )


def osm_columns(frame: pd.DataFrame) -> list[str]:
    """Columns of a layer that OpenStreetMap's tags are in, for certain: packed ones, and keys of its own."""
    known = {*OSM_TAG_COLUMNS, *OSM_KEYS, *AREA_KEYS}
    return [str(name) for name in frame.columns if str(name).lower() in known or ":" in str(name)]


def _tag_columns(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Columns that look like tags, and those of numbers that do not."""
    geometry = frame.geometry.name if isinstance(frame, geopandas.GeoDataFrame) else None
    places = {name for pair in XY_COLUMNS for name in pair}
    osm = bool({"other_tags", "osm_id", "full_id", "@id"} & {str(name).lower() for name in frame.columns})
    chosen: list[str] = []
    passed_over: list[str] = []
    for name in map(str, frame.columns):
        if (
            name == geometry
            or name.lower() in places
            or _NOT_ABOUT_THE_PLACE.fullmatch(name)
            or not frame[name].notna().any()
        ):
            continue
        codes = not osm and name.lower() not in OSM_TAG_COLUMNS and is_codes(frame[name])
        (passed_over if codes else chosen).append(name)
    return chosen, passed_over


def _given(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ConfigError(f"No column {_listed(missing)} for tags.", f"The columns are {_listed(frame.columns)}.")
    return list(columns)


def _unpacked(value: Any) -> dict[str, str]:
    tags = unpack_tags(value)
    if not tags and isinstance(value, str):
        tags = dict(_PAIRS.findall(value))
    return {key: text for key, text in tags.items() if key and text.strip().lower() not in _SAYS_NOTHING}


def _as_text(value: Any) -> str | None:
    """A value of a column as text; None where it says nothing."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = " ".join(str(value).split())
    return None if text.lower() in _SAYS_NOTHING else text


def _objects(values: Iterable[str]) -> NDArray[np.object_]:
    listed = list(values)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array


def _listed(names: Iterable[Any], limit: int = 12) -> str:
    shown = [str(name) for name in names]
    rest = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(repr(name) for name in shown[:limit]) + rest

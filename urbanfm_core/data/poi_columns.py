"""Which columns of a POI source say what: the given ones, else a guess from the schema.

Recognised schemas, in this order:

- Overture Maps (`names`, `categories`, `taxonomy`, `basic_category`; nested, as JSON text, or flattened with dots or
  underscores). Subcategory is the primary category; category is the top of its hierarchy if the release has one, else
  the alternate category that ends its name (restaurant for italian_restaurant); failing both there is one level.
- Foursquare OS Places (`fsq_category_labels`, "Dining and Drinking > Cafe"): first and last step of the first label.
- Generic: columns such as name or title, category or type, subcategory or subtype. A guessed category column that holds
  mostly numbers is passed over, for numbers are codes and mean nothing to a text encoder.
- OpenStreetMap tags, as columns (QuickOSM, osmium), in `other_tags` (GDAL's hstore text) or `tags` (JSON or map), if no
  column is called category: category is the key (amenity), subcategory the value (cafe).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.errors import ConfigError

Texts = NDArray[np.object_]

NAME_COLUMNS = ("name", "title", "poi_name", "place_name", "business_name", "label", "name_en", "name:en", "nombre")
CATEGORY_COLUMNS = (
    "category", "main_category", "primary_category", "top_category", "category_name", "fclass", "class", "type",
    "kind", "poi_type", "place_type", "property_type",
)  # fmt: skip
SUBCATEGORY_COLUMNS = (
    "subcategory", "sub_category", "secondary_category", "subclass", "subtype", "sub_type", "facility_type",
    "facility_t",
)  # fmt: skip
XY_COLUMNS = (
    ("lon", "lat"), ("lng", "lat"), ("long", "lat"), ("longitude", "latitude"), ("@lon", "@lat"),
    ("decimallongitude", "decimallatitude"), ("x", "y"), ("x_coord", "y_coord"), ("point_x", "point_y"),
    ("easting", "northing"),
)  # fmt: skip
# The earlier key wins where a feature has several.
OSM_KEYS = (
    "amenity", "shop", "tourism", "leisure", "office", "craft", "healthcare", "historic", "public_transport",
    "railway", "aeroway", "emergency", "sport", "man_made", "natural", "place", "landuse", "building", "highway",
)  # fmt: skip
_OSM_SIGNS = OSM_KEYS[:7]
OSM_TAG_COLUMNS = ("other_tags", "tags")
_HSTORE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*=>\s*"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_BETWEEN_LABELS = re.compile(r"""['"]\s*,?\s*['"]""")


@dataclass(frozen=True)
class PoiColumns:
    """Which columns of a POI source hold what. None is guessed; 'names.primary' names a field inside a struct.

    Attributes:
        name: Name of the place.
        category: Coarser kind.
        subcategory: Finer kind.
        x: Longitude or x of a table.
        y: Latitude or y of a table.
        crs: CRS of x and y, or of a layer that carries none; EPSG:4326 for a table if None.
    """

    name: str | None = None
    category: str | None = None
    subcategory: str | None = None
    x: str | None = None
    y: str | None = None
    crs: str | None = None

    def check(self, frame: pd.DataFrame, where: str) -> None:
        """Check that the given columns exist.

        Raises:
            ConfigError: one does not; the message lists those that do.
        """
        there = {str(name) for name in frame.columns}
        given = {"name": self.name, "category": self.category, "subcategory": self.subcategory}
        for role, column in {**given, "x": self.x, "y": self.y}.items():
            if column and column not in there and column.split(".")[0] not in there:
                raise ConfigError(
                    f"{where}: no column {column!r}, given for the {role}.",
                    f"Its columns: {', '.join(str(name) for name in frame.columns)}.",
                )


@dataclass(frozen=True)
class PoiTexts:
    """What POIs say: three arrays (P,) of text or None."""

    name: Texts
    category: Texts
    subcategory: Texts

    def sentences(self) -> list[str | None]:
        """One sentence per POI; see `PoiSet.sentences`."""
        return [_sentence(*row) for row in zip(self.name, self.category, self.subcategory, strict=True)]


def read_texts(frame: pd.DataFrame, columns: PoiColumns, notes: list[str]) -> PoiTexts:
    """Names and categories of every row, cleaned: no outer or double blanks; underscores in categories are blanks.

    Args:
        frame: Rows of the source.
        columns: Checked columns.
        notes: Told what was taken from where.
    """
    lower = {str(name).lower(): str(name) for name in reversed(frame.columns)}
    guesses = _guess(frame, lower, columns, notes)
    arrays, words = [], []
    for role in ("name", "category", "subcategory"):
        given = getattr(columns, role)
        text, origin = (_column(frame, given), repr(given)) if given else guesses[role]
        arrays.append(_clean(text, underscores=role != "name"))
        words.append(f"{role} from {origin}" if origin else f"no {role}")
    notes.append(f"Texts of the points of interest: {', '.join(words)}.")
    texts = PoiTexts(*arrays)
    silent = int(((texts.name == None) & (texts.category == None) & (texts.subcategory == None)).sum())  # noqa: E711
    if silent:
        notes.append(f"{silent} of {len(frame)} rows have no text at all.")
    return texts


def find_xy(frame: pd.DataFrame, columns: PoiColumns) -> tuple[str, str] | None:
    """The columns of x and y: the given ones, else by their names; None if they cannot be told."""
    lower = {str(name).lower(): str(name) for name in reversed(frame.columns)}
    for east, north in XY_COLUMNS:
        x, y = columns.x or lower.get(east), columns.y or lower.get(north)
        if x and y and x != y:
            return x, y
    return None


# A guess is the text of every row and where it comes from in words; no words: nothing found.
Guess = tuple["pd.Series | Texts", str]


def _guess(frame: pd.DataFrame, lower: Mapping[str, str], columns: PoiColumns, notes: list[str]) -> dict[str, Guess]:
    flat = {name.replace(".", "_") for name in lower}
    if ("names" in lower or "names_primary" in flat) and flat & {
        "categories", "categories_primary", "basic_category", "taxonomy", "taxonomy_primary",
    }:  # fmt: skip
        return _guess_overture(frame, lower)
    if "fsq_category_labels" in lower:
        return _guess_foursquare(frame, lower)
    tags = [name for name in OSM_TAG_COLUMNS if name in lower]
    if "category" not in lower and (tags or any(key in lower for key in _OSM_SIGNS)):
        return _guess_osm(frame, lower, tags)
    return _guess_generic(frame, lower, columns, notes)


def _guess_generic(
    frame: pd.DataFrame, lower: Mapping[str, str], columns: PoiColumns, notes: list[str]
) -> dict[str, Guess]:
    taken = {columns.name, columns.category, columns.subcategory, columns.x, columns.y}
    found: dict[str, Guess] = {}
    roles = {"name": NAME_COLUMNS, "category": CATEGORY_COLUMNS, "subcategory": SUBCATEGORY_COLUMNS}
    for role, candidates in roles.items():
        found[role] = _nothing(frame), ""
        if getattr(columns, role):
            continue
        for column in (lower[name] for name in candidates if name in lower):
            if column in taken or not frame[column].notna().any():
                continue
            if role != "name" and is_codes(frame[column]):
                notes.append(f"Column {column!r} holds numbers and is not taken for the {role}.")
                continue
            found[role] = frame[column], repr(column)
            break
    return found


def _guess_overture(frame: pd.DataFrame, lower: Mapping[str, str]) -> dict[str, Guess]:
    def nested(*path: str) -> list[Any] | None:
        for joint in (".", "_"):
            if joint.join(path) in lower:
                return list(frame[lower[joint.join(path)]])
        if path[0] not in lower:
            return None
        return [_dig(value, path[1:]) for value in frame[lower[path[0]]]]

    rows = len(frame)
    name = nested("names", "primary")
    primary = nested("taxonomy", "primary") or nested("categories", "primary") or [None] * rows
    hierarchy = nested("taxonomy", "hierarchy") or [None] * rows
    basic = nested("basic_category") or [None] * rows
    alternate = nested("categories", "alternate") or [None] * rows
    pairs = [_overture_levels(*row) for row in zip(primary, hierarchy, basic, alternate, strict=True)]
    return {
        "name": (_objects(name or [None] * rows), "Overture's names.primary"),
        "category": (_objects(pair[0] for pair in pairs), "Overture's category hierarchy"),
        "subcategory": (_objects(pair[1] for pair in pairs), "Overture's primary category"),
    }


def _overture_levels(primary: Any, hierarchy: Any, basic: Any, alternate: Any) -> tuple[str | None, str | None]:
    steps = [step for step in _as_list(hierarchy) if isinstance(step, str)]
    finest = primary if isinstance(primary, str) and primary else (steps[-1] if steps else None)
    basic = basic if isinstance(basic, str) and basic else None
    if finest is None:
        return basic, None
    wider = [kind for kind in _as_list(alternate) if isinstance(kind, str) and finest.endswith("_" + kind)]
    coarse = steps[0] if steps else basic or (wider[0] if wider else None)
    return (finest, None) if coarse in (None, finest) else (coarse, finest)


def _guess_foursquare(frame: pd.DataFrame, lower: Mapping[str, str]) -> dict[str, Guess]:
    column = lower["fsq_category_labels"]
    steps = [_foursquare_steps(value) for value in frame[column]]
    name = (frame[lower["name"]], repr(lower["name"])) if "name" in lower else (_nothing(frame), "")
    return {
        "name": name,
        "category": (_objects(step[0] if step else None for step in steps), f"the first step of {column!r}"),
        "subcategory": (
            _objects(step[-1] if len(step) > 1 else None for step in steps),
            f"the last step of {column!r}",
        ),
    }


def _foursquare_steps(value: Any) -> list[str]:
    labels = _as_list(value)
    if not labels and isinstance(value, str):
        # A list of labels that went through a CSV: ['A > B', 'C'].
        labels = [_BETWEEN_LABELS.split(value.strip().strip("[]"))[0].strip().strip("'\"")]
    first = next((label for label in labels if isinstance(label, str) and label.strip()), "")
    return [step.strip() for step in first.split(">") if step.strip()]


def _guess_osm(frame: pd.DataFrame, lower: Mapping[str, str], tag_columns: list[str]) -> dict[str, Guess]:
    rows = len(frame)
    key, value = np.full(rows, None, dtype=object), np.full(rows, None, dtype=object)
    name = frame[lower["name"]].to_numpy(dtype=object).copy() if "name" in lower else np.full(rows, None, dtype=object)
    ranks = np.full(rows, len(OSM_KEYS))
    for rank, osm_key in enumerate(OSM_KEYS):
        if osm_key not in lower:
            continue
        texts = frame[lower[osm_key]]
        hit = (texts.notna() & ~texts.isin(["", "no"])).to_numpy(dtype=bool) & (ranks == len(OSM_KEYS))
        ranks[hit], key[hit] = rank, osm_key
        value[hit] = texts.to_numpy(dtype=object)[hit]
    for column in tag_columns:
        for row, packed in enumerate(frame[lower[column]]):
            tags = unpack_tags(packed)
            if _absent(name[row]):
                name[row] = tags.get("name")
            for rank in range(int(ranks[row])):
                found = tags.get(OSM_KEYS[rank])
                if found and found != "no":
                    ranks[row], key[row], value[row] = rank, OSM_KEYS[rank], found
                    break
    # building=yes says no more than building.
    value[value == "yes"] = None
    return {
        "name": (name, "the name tag"),
        "category": (key, "OpenStreetMap keys"),
        "subcategory": (value, "OpenStreetMap values"),
    }


def unpack_tags(packed: Any) -> dict[str, str]:
    """Tags of a map, a list of pairs, JSON text or hstore text."""
    if isinstance(packed, str):
        if packed.lstrip().startswith("{"):
            packed = _json(packed)
        else:
            return {_ESCAPED.sub(r"\1", k): _ESCAPED.sub(r"\1", v) for k, v in _HSTORE.findall(packed)}
    if isinstance(packed, Mapping):
        return {str(k): str(v) for k, v in packed.items() if v is not None}
    pairs = _as_list(packed)
    return {str(p[0]): str(p[1]) for p in pairs if isinstance(p, tuple | list) and len(p) == 2 and p[1] is not None}


def _column(frame: pd.DataFrame, column: str) -> pd.Series | Texts:
    if column in frame.columns:
        return frame[column]
    head, *path = column.split(".")
    return _objects(_dig(value, path) for value in frame[head])


def _dig(value: Any, path: Iterable[str]) -> Any:
    """A field inside structs; a struct may be spelled as JSON text."""
    for step in path:
        if isinstance(value, str):
            value = _json(value)
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json(value)
    return list(value) if isinstance(value, list | tuple | np.ndarray) else []


def _objects(values: Iterable[Any]) -> Texts:
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def _nothing(frame: pd.DataFrame) -> Texts:
    return np.full(len(frame), None, dtype=object)


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or value != value or value == ""


def is_codes(values: pd.Series) -> bool:
    """Whether most values are numbers, which mean nothing to a text encoder."""
    known = values.dropna()
    return bool(pd.to_numeric(known, errors="coerce").notna().mean() > 0.5) if len(known) else False


def _clean(values: pd.Series | Texts, underscores: bool) -> Texts:
    """Texts with single blanks, None for what is missing or blank; each distinct text is cleaned once."""
    listed = _objects(values)
    if pd.api.types.infer_dtype(listed, skipna=True) not in ("string", "empty"):
        listed = _objects(_as_text(value) for value in listed)
    codes, distinct = pd.factorize(listed)
    tidy: Callable[[str], str] = _tidy_category if underscores else _tidy
    cleaned = _objects([*(tidy(text) or None for text in distinct), None])
    result: Texts = cleaned[codes]
    return result


def _as_text(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("primary") or value.get("name")
    elif isinstance(value, list | tuple | np.ndarray):
        value = value[0] if len(value) else None
    if _absent(value):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value)


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _tidy_category(text: str) -> str:
    return _tidy(text.replace("_", " ").replace(";", ", "))


def _sentence(name: str | None, category: str | None, subcategory: str | None) -> str | None:
    kind = subcategory or category
    if kind is None and name is None:
        return None
    parts = ["A place" if kind is None else f"A place of {kind}"]
    if subcategory is not None and category is not None:
        parts.append(f"a type of {category}")
    if name is not None:
        # "A place named X", but "A place of cafe, named X".
        if kind is None:
            return f"A place named {name}."
        parts.append(f"named {name}")
    return ", ".join(parts) + "."

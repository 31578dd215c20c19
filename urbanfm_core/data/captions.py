"""Captions of pictures: which picture they describe, who wrote them, and what they say.

They come from any table (Parquet, JSON, CSV, a layer), one or many per picture. A picture from above is known by its
region, a street view by its file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.data.poi_table import read_poi_table
from urbanfm_core.data.regions import ID_COLUMNS, id_text
from urbanfm_core.errors import ConfigError, EmptyInputError, InputError
from urbanfm_core.files import atomic_path
from urbanfm_core.geo.assign import group_by_cell

Kind = Literal["satellite", "street"]

_COLUMNS = {
    "region": ("region_id", "region", "zone"),
    "image": ("image", "path", "image_path", "file_name", "filename", "file", "picture", "image_id"),
    "kind": ("kind", "image_kind", "image"),
    "captioner": ("captioner", "model"),
    # What was refined is what training should read; the words before stay beside it.
    "text": ("refined", "text", "caption", "captions", "description", "sentence"),
}
_NAMES = ("region", "image", "kind", "captioner", "text")
_KIND_WORDS: dict[str, Kind] = {
    "satellite": "satellite",
    "aerial": "satellite",
    "overhead": "satellite",
    "street": "street",
    "streetview": "street",
    "street view": "street",
    "street-view": "street",
}
_CONSENSUS = "consensus"
_TRUE, _FALSE = ("true", "1", "1.0"), ("false", "0", "0.0", "")
# Marks the views that are cut from one panorama: "p.jpg#90" is the one to the right of its middle.
VIEW_MARK = "#"


@dataclass(frozen=True)
class CaptionColumns:
    """Which columns of a table of captions hold what; None is guessed.

    Attributes:
        region: Id of the region; guessed too if the table has no column of that name.
        image: Name of the picture.
        kind: 'satellite' or 'street'.
        captioner: Who wrote it.
        text: What it says; one text, or a list of texts.
    """

    region: str | None = None
    image: str | None = None
    kind: str | None = None
    captioner: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class CaptionSet:
    """N captions in columns of equal length.

    Attributes:
        region: (N,) region id as text; "" where none is told.
        image: (N,) name of the picture; "" where the region tells it.
        kind: (N,) 'satellite', 'street', or "" where it is not told, which may be either.
        captioner: (N,) who wrote it; "" where it is not told.
        text: (N,) what it says, white space tidied; "" for an empty caption, which belongs to no picture.
        notes: Which columns were taken, and what was left out, with counts.
        consensus: (N,) bool, which captions the others of their picture agree with most; None where nobody asked.
    """

    region: NDArray[np.object_]
    image: NDArray[np.object_]
    kind: NDArray[np.object_]
    captioner: NDArray[np.object_]
    text: NDArray[np.object_]
    notes: list[str] = field(default_factory=list)
    consensus: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.text)

    @classmethod
    def from_rows(cls, rows: Sequence[tuple[str, str, str, str, str]], notes: Sequence[str] = ()) -> CaptionSet:
        """Captions from tuples of region, image, kind, captioner and text."""
        table = np.array(rows, dtype=object).reshape(len(rows), 5)
        region, image, kind, captioner, text = table.T
        return cls(region, image, kind, captioner, text, list(notes))

    @classmethod
    def read(cls, source: str | Path, columns: CaptionColumns | None = None) -> CaptionSet:
        """Captions from a file.

        JSON may be a list of objects, {picture: text or texts}, {picture: {captioner: text}}, or a COCO caption file;
        a layer of regions with a column of text is one caption for the picture from above of each region.

        Args:
            source: Parquet, JSON, JSON Lines, CSV or any vector layer.
            columns: Columns to use; unset ones are guessed.

        Raises:
            ConfigError: a given column does not exist, or no column of text is recognised.
            EmptyInputError: there is no caption.
            InputError: the file cannot be read, or tells neither regions nor pictures.
        """
        columns = columns or CaptionColumns()
        notes: list[str] = []
        frame = _read_frame(source, notes)
        where = f"captions ({source})"
        if not len(frame):
            raise EmptyInputError(f"{where}: no rows.", "Check the file and its filter.")
        found = _find_columns(frame, columns, where)
        by_row = isinstance(frame, geopandas.GeoDataFrame) and not found["image"] and not found["region"]
        if not by_row and not found["image"] and not found["region"]:
            raise InputError(
                f"{where}: no column recognised as the region or the picture that a caption belongs to.",
                f"Name one 'region_id' or 'image'. Its columns: {', '.join(map(str, frame.columns))}.",
            )
        told = ", ".join(f"{role} from '{name}'" for role, name in found.items() if name)
        notes.append(f"Captions: {told}{', region from the numbers of the features' if by_row else ''}.")
        plain = pd.DataFrame(
            {role: (frame[name].map(_cell) if name else "") for role, name in found.items() if role != "text"},
            index=frame.index,
        )
        if by_row:
            plain["region"] = [str(number) for number in frame.index]
        plain["kind"] = plain["kind"].str.lower().map(lambda word: _KIND_WORDS.get(word, ""))
        if not found["image"] and not found["kind"]:
            plain["kind"] = "satellite"
        texts = [_texts(value) for value in frame[found["text"]]]
        rows = np.repeat(np.arange(len(frame)), [len(some) for some in texts])
        said = np.array([*chain.from_iterable(texts)], dtype=object)
        region, image, kinds, captioner = (
            plain[role].to_numpy(dtype=object)[rows] for role in ("region", "image", "kind", "captioner")
        )
        if not len(said):
            raise EmptyInputError(f"{where}: its lists of captions are empty.", "Check the file.")
        empty = int((said == "").sum())
        if empty:
            notes.append(f"{empty:,} of {len(said):,} captions are empty.")
        if empty == len(said):
            raise EmptyInputError(
                f"{where}: every caption in the column '{found['text']}' is empty.", "Name another: --caption-column."
            )
        marks = _marks(frame)
        return cls(region, image, kinds, captioner, said, notes, None if marks is None else marks[rows])

    @classmethod
    def joined(cls, sets: Sequence[CaptionSet]) -> CaptionSet:
        """The captions of several sets, one set after the other, with all their notes; what is consensus is open again."""
        region, image, kind, captioner, text = (np.concatenate([getattr(one, name) for one in sets]) for name in _NAMES)
        return cls(region, image, kind, captioner, text, [note for one in sets for note in one.notes])

    def select(self, kind: Kind) -> CaptionSet:
        """The captions of one kind of picture, and those that do not tell theirs."""
        return self.take(np.flatnonzero((self.kind == kind) | (self.kind == "")))

    def take(self, rows: NDArray[np.int64]) -> CaptionSet:
        """The captions of some rows, in that order."""
        marks = None if self.consensus is None else self.consensus[rows]
        return replace(self, consensus=marks, **{name: getattr(self, name)[rows] for name in _NAMES})

    def agreed(self) -> CaptionSet:
        """The captions that the others of their picture agree with most, where that is marked; else all of them."""
        if self.consensus is None:
            return self
        found = self.take(np.flatnonzero(self.consensus))
        said = f"Of {len(self):,} captions, the {len(found):,} that are marked as consensus are taken."
        return replace(found, notes=[*self.notes, said])

    def by_key(self, keys: Sequence[Any], kind: Kind) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which captions describe which pictures.

        A picture from above is found by the id of its region, or by a picture's name that is that id (a suffix does
        not count). A street view is found by the name of its file, with or without folders if that is unmistakable; a
        caption of a whole panorama belongs to each of its views. Empty captions belong to no picture.

        Args:
            keys: K ids of regions, or K names of pictures (`StreetViews.key`).
            kind: Kind of the pictures.

        Returns:
            Where the captions of each key begin, (K + 1,) int64, and the rows in that order, int64.
        """
        usable = np.flatnonzero(((self.kind == kind) | (self.kind == "")) & (self.text != ""))
        place = _Places([id_text(key) for key in keys])
        pairs = []
        for row in usable.tolist():
            region, image = str(self.region[row]), str(self.image[row])
            pairs += [
                (spot, row) for spot in (place.of_region(region, image) if kind == "satellite" else place.of(image))
            ]
        found = np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)
        starts, order = group_by_cell(found[:, 0], len(place))
        return starts, found[order, 1]

    def coverage_notes(self, starts: NDArray[np.int64], noun: str) -> list[str]:
        """What a report should say of `by_key`: how many pictures have no caption, and several.

        Args:
            starts: As `by_key` gives them.
            noun: What has captions, in the plural.
        """
        counts = np.diff(starts)
        notes = []
        if (counts == 0).any():
            notes.append(f"{int((counts == 0).sum()):,} of {len(counts):,} {noun} have no caption.")
        if (counts > 1).any():
            notes.append(f"{int((counts > 1).sum()):,} of {len(counts):,} {noun} have several, up to {counts.max()}.")
        return notes

    def to_frame(self) -> pd.DataFrame:
        """The columns as a table, as they are written."""
        return pd.DataFrame({name: getattr(self, name) for name in _NAMES})

    def to_parquet(self, path: str | Path) -> None:
        """Write them, whole or not at all."""
        write_captions(self.to_frame(), path)


def write_captions(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table of captions by suffix, whole or not at all: .json as a list of objects, else Parquet.

    Raises:
        OutputError: the disk refuses.
    """
    with atomic_path(path) as temporary:
        if Path(path).suffix.lower() == ".json":
            frame.to_json(temporary, orient="records", indent=1, force_ascii=False)
        else:
            frame.to_parquet(temporary, index=False)


class _Places:
    """Where keys stand: by themselves, by file name, by panorama."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._exact: dict[str, list[int]] = {}
        self._names: dict[str, set[str]] = {}
        self._count = len(keys)
        for place, key in enumerate(keys):
            whole = key.rsplit(VIEW_MARK, 1)[0]
            for name in {key, whole}:
                self._exact.setdefault(name, []).append(place)
                self._names.setdefault(PurePosixPath(name.replace("\\", "/")).name, set()).add(name)

    def __len__(self) -> int:
        return self._count

    def of(self, image: str) -> list[int]:
        """Places of a picture."""
        found = self._exact.get(image)
        if found is None:
            same = self._names.get(PurePosixPath(image.replace("\\", "/")).name, set()) if image else set()
            found = self._exact[next(iter(same))] if len(same) == 1 else []
        return found

    def of_region(self, region: str, image: str) -> list[int]:
        """Places of a region, or of the one whose id names the picture."""
        if region:
            return self._exact.get(region, [])
        return self._exact.get(PurePosixPath(image.replace("\\", "/")).stem, []) if image else []


def _read_frame(source: str | Path, notes: list[str]) -> pd.DataFrame:
    path = Path(str(source)).expanduser()
    if path.suffix.lower() not in (".json", ".jsonl", ".ndjson"):
        return read_poi_table(source, notes)
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = json.loads(text) if path.suffix.lower() == ".json" else [json.loads(s) for s in text.splitlines() if s]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}.", "Write it anew in UTF-8.") from error
    if isinstance(data, dict) and data.get("type") == "FeatureCollection":
        return read_poi_table(source, notes)
    rows = _json_rows(data)
    if rows is None or not all(isinstance(row, dict) for row in rows):
        raise InputError(
            f"{path}: captions in JSON are a list of objects, or an object of texts by picture; found neither.",
            'Such as [{"image": "a.jpg", "caption": "..."}] or {"a.jpg": ["...", "..."]}.',
        )
    return pd.DataFrame(rows)


def _json_rows(data: Any) -> list[Any] | None:
    """The usual shapes of caption files as rows; None if it is none of them."""
    if isinstance(data, list):
        return data
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("annotations"), list):  # COCO
        files = {item.get("id"): item.get("file_name") for item in data.get("images", []) if isinstance(item, dict)}
        marks = [item for item in data["annotations"] if isinstance(item, dict)]
        return [{"image": files.get(m.get("image_id")), "caption": m.get("caption")} for m in marks]
    rows = []
    for image, value in data.items():
        by_captioner = value.items() if isinstance(value, Mapping) else [("", value)]
        rows += [{"image": image, "captioner": name, "caption": text} for name, text in by_captioner]
    return rows


def _find_columns(frame: pd.DataFrame, columns: CaptionColumns, where: str) -> dict[str, str]:
    """The column of each role; "" where there is none."""
    there = {str(name).lower(): str(name) for name in reversed(frame.columns)}
    found: dict[str, str] = {}
    for role, guesses in _COLUMNS.items():
        given = getattr(columns, role)
        if given is not None and given in frame.columns:
            found[role] = given
            continue
        if given is not None and role != "region":
            raise ConfigError(
                f"{where}: no column '{given}', given for the {role}.",
                f"Its columns: {', '.join(map(str, frame.columns))}.",
            )
        names = [there[name] for name in guesses if name in there]
        kinds = [name for name in names if role in ("kind", "image") and _tells_kind(frame[name])]
        if role == "kind":
            names = kinds
        elif role == "image":
            names = [name for name in names if name not in kinds]
        found[role] = next(iter(names), "")
    if not found["region"]:
        layer = isinstance(frame, geopandas.GeoDataFrame)
        ids = [there[name] for name in ID_COLUMNS if layer and name in there]
        found["region"] = next((name for name in ids if frame[name].is_unique), "")
    if not found["text"]:
        raise ConfigError(
            f"{where}: no column recognised as the text of a caption.",
            f"Name it: --caption-column. Its columns: {', '.join(map(str, frame.columns))}.",
        )
    return found


def _marks(frame: pd.DataFrame) -> NDArray[np.bool_] | None:
    """The column of that name, if it marks captions as consensus and is not something else."""
    if _CONSENSUS not in frame.columns:
        return None
    words = frame[_CONSENSUS].map(_cell).str.lower()
    return words.isin(_TRUE).to_numpy(bool) if words.isin((*_TRUE, *_FALSE)).all() else None


def _tells_kind(values: pd.Series) -> bool:
    words = {str(value).lower() for value in values.dropna().unique()[:100]}
    return bool(words) and words <= set(_KIND_WORDS)


def _cell(value: Any) -> str:
    """A cell as text; what is missing is empty."""
    missing: Any = pd.isna(value)  # an array of a list
    return "" if missing is True or value is None else id_text(value)


def _texts(value: Any) -> list[str]:
    """The captions of a cell: of one text one, of a list each."""
    if isinstance(value, list | tuple | np.ndarray):
        return [text for item in value for text in _texts(item)]
    return [" ".join(value.split()) if isinstance(value, str) else ""]

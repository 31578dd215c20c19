"""Descriptions of regions in words, from their points of interest (ReFound, section 4.2.1 and appendix A.4).

The paper asks a large language model what a region may be for, given the names of its points of interest. Here a
description may come from such a model, on this machine or behind an address, from a column of the regions' layer or a
table that the user wrote, or from a fixed template without any model. They are plain text, for the user to read and
correct before a sentence encoder turns them into vectors.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.poi_table import read_poi_table
from urbanfm_core.data.regions import ID_COLUMNS, RegionSet, id_text
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, InputError, ShapeError
from urbanfm_core.files import atomic_path
from urbanfm_core.models.text_generation import MAX_NEW_TOKENS, TextGenerator, load_text_generator
from urbanfm_core.progress import Progress
from urbanfm_core.resources import resource

COLUMN_PREFIX, TABLE_PREFIX, TEMPLATE = "column:", "table:", "template"
DEFAULT_ENCODER = "minilm"
DESCRIPTION_COLUMN, CITY_COLUMN = "description", "city"
_PLACEHOLDERS = {"total", "categories", "names"}
_MOST_CATEGORIES, _MOST_NAMES = 15, 40
_TEMPLATE_CATEGORIES, _TEMPLATE_NAMES = 8, 5
_TEXTS_PER_PARTITION = 64
_NAMED_IN_ERRORS = 5


@dataclass(frozen=True)
class RegionPois:
    """What is known in words of the points of interest of one region; both lists have one entry per point.

    Attributes:
        names: Name, or None.
        categories: Category, or None.
    """

    names: Sequence[str | None]
    categories: Sequence[str | None]


@dataclass(frozen=True)
class Descriptions:
    """One text per region.

    Attributes:
        texts: (R,) text, or None where there is none.
        identity: Where they come from: model, prompt, table, column.
        notes: What was left out, in sentences.
    """

    texts: list[str | None]
    identity: str
    notes: list[str] = field(default_factory=list)


def split_language_spec(spec: str) -> tuple[str, str]:
    """What describes, and what encodes: 'template|minilm' -> ('template', 'minilm'); the latter may be left out."""
    source, bar, encoder = spec.rpartition("|")
    return (source.strip(), encoder.strip()) if bar else (spec.strip(), DEFAULT_ENCODER)


def group_pois(pois: PoiSet, starts: NDArray[np.int64], rows: NDArray[np.int64]) -> list[RegionPois]:
    """The words of the points of each region; the finer category where a point has two.

    Args:
        pois: Points.
        starts: Where each region's points begin in `rows`, (R + 1,), as `group_by_cell` gives them.
        rows: Rows of points, by region.
    """
    finer = [fine or coarse for fine, coarse in zip(pois.subcategory, pois.category, strict=True)]
    return [
        RegionPois([pois.name[row] for row in rows[a:b]], [finer[row] for row in rows[a:b]])
        for a, b in pairwise(starts)
    ]


def region_descriptions(
    spec: str,
    regions: RegionSet,
    pois: Sequence[RegionPois],
    *,
    store: SampleStore,
    city: str = "",
    prompt: str | Path | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    cache_dir: str | Path | None = None,
    allow_remote: bool = True,
    progress: Progress | None = None,
) -> Descriptions:
    """One description per region.

    Args:
        spec: `column:FIELD` of the regions' layer; `table:PATH` with columns for the region's id and 'description', and
            one for the 'city' where there are several; `template`; or a language model, see `load_text_generator`.
        regions: R regions.
        pois: Their points of interest, (R,).
        store: Keeps what a language model has written, in partitions.
        city: Name of the city if there are several.
        prompt: File with the prompt; None for the one that ships. It may say $total, $categories and $names.
        device, batch_size, max_new_tokens, cache_dir, allow_remote: See `load_text_generator`.
        progress: Reports and cancels.

    Raises:
        ConfigError: the spec or the prompt is not usable.
        InputError: the table cannot be read, or names a region twice.
        ShapeError: pois do not fit the regions.
        Cancelled: the user asked to stop; finished partitions are kept.
    """
    progress = progress or Progress()
    spec = spec.strip()
    if len(pois) != len(regions):
        raise ShapeError(f"Points of {len(pois)} regions cannot belong to {len(regions)} regions.")
    if spec.startswith(COLUMN_PREFIX):
        return _from_column(spec.removeprefix(COLUMN_PREFIX).strip(), regions)
    if spec.startswith(TABLE_PREFIX):
        return _from_table(spec.removeprefix(TABLE_PREFIX).strip(), regions, city)
    if spec == TEMPLATE:
        said = "Descriptions are sentences made by a fixed template from categories and names, not by a language model."
        texts = [describe_by_template(found) for found in pois]
        return Descriptions(texts, "template|1", [said, *_without_pois(texts)])
    template = read_prompt(prompt)
    generator = load_text_generator(
        spec,
        cache_dir=cache_dir,
        device=device,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        allow_remote=allow_remote,
    )
    return _from_model(generator, template, pois, store, progress)


def description_table(
    cities: Sequence[str], regions: Sequence[RegionSet], described: Sequence[Descriptions]
) -> pd.DataFrame:
    """Descriptions as a table that `table:PATH` takes back.

    Args:
        cities: Name of each city; empty where there is only one.
        regions: Regions of each.
        described: Their descriptions.
    Returns:
        A row for each region: 'city' if they have names, 'region_id', 'description' (None where there is none) and
        'source', where it comes from.
    """
    tables = []
    for city, those, found in zip(cities, regions, described, strict=True):
        named = {CITY_COLUMN: city} if city else {}
        texts = pd.array(found.texts, dtype="string")
        columns = {"region_id": [id_text(one) for one in those.ids], DESCRIPTION_COLUMN: texts}
        tables.append(pd.DataFrame({**named, **columns, "source": found.identity}, index=range(len(those))))
    return pd.concat(tables, ignore_index=True)


def write_descriptions(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table of descriptions, as .csv or else as Parquet; whole or not at all."""
    with atomic_path(path) as temporary:
        if temporary.suffix.lower() == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)


def read_prompt(path: str | Path | None = None) -> str:
    """The text of a prompt with placeholders.

    Raises:
        ConfigError: the file cannot be read, is empty, or has other placeholders than $total, $categories, $names.
    """
    file = resource("prompts", "refound_description.txt") if path is None else Path(path)
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The prompt {file} cannot be read: {error}.", "Give a text file in UTF-8.") from error
    template = Template(text)
    unknown = sorted(set(template.get_identifiers()) - _PLACEHOLDERS) if template.is_valid() else ["$"]
    if unknown or not text:
        raise ConfigError(
            f"The prompt {file} {'holds the unknown placeholder ' + unknown[0] if unknown else 'is empty'}.",
            "It may say $total, $categories and $names; a dollar sign is written $$.",
        )
    return text


def fill_prompt(template: str, pois: RegionPois, most_names: int = _MOST_NAMES) -> str:
    """A prompt about one region.

    Categories come by falling frequency. Names are chosen without chance: of each category in that order the first,
    then the second ..., so that a region of many shops still shows its only school.
    """
    return Template(template).substitute(
        total=len(pois.names),
        categories=_counts(pois, _MOST_CATEGORIES) or "unknown",
        names=", ".join(_some_names(pois, most_names)) or "unknown",
    )


def describe_by_template(pois: RegionPois) -> str | None:
    """A sentence or two of facts: how many points of interest, of which categories, some of their names."""
    total = len(pois.names)
    if not total:
        return None
    counts, names = _counts(pois, _TEMPLATE_CATEGORIES), _some_names(pois, _TEMPLATE_NAMES)
    text = f"A region with {total:,} {'point' if total == 1 else 'points'} of interest"
    text += f": {counts}." if counts else "."
    return f"{text} Among them: {', '.join(names)}." if names else text


def _labels(pois: RegionPois) -> list[str]:
    """Category of each point as words; empty where there is none."""
    return [" ".join(str(category or "").replace("_", " ").split()) for category in pois.categories]


def _counts(pois: RegionPois, most: int) -> str:
    ranked = _ranked(_labels(pois))
    shown = [f"{label} ({count})" for label, count in ranked[:most]]
    rest = sum(count for _, count in ranked[most:])
    return ", ".join([*shown, *([f"others ({rest})"] if rest else [])])


def _ranked(labels: Sequence[str]) -> list[tuple[str, int]]:
    counted = Counter(label for label in labels if label)
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def _some_names(pois: RegionPois, most: int) -> list[str]:
    by_label: dict[str, dict[str, None]] = {}
    labels = _labels(pois)
    for name, label in zip(pois.names, labels, strict=True):
        words = " ".join(str(name or "").split())
        if words:
            by_label.setdefault(label, {})[words] = None
    order = [label for label, _ in _ranked(labels) if label in by_label]
    turns = zip_longest(*(by_label[label] for label in [*order, *([""] if "" in by_label else [])]))
    return list(dict.fromkeys(name for name in chain.from_iterable(turns) if name))[:most]


def _from_column(column: str, regions: RegionSet) -> Descriptions:
    if column not in regions.attributes.columns:
        raise ConfigError(
            f"The regions have no column '{column}' with descriptions.",
            f"Their columns: {', '.join(map(str, regions.attributes.columns)) or 'none'}.",
        )
    texts = [_text(value) for value in regions.attributes[column]]
    return Descriptions(texts, f"column|{column}", _absent(texts, f"in the column '{column}'"))


def _from_table(path: str, regions: RegionSet, city: str) -> Descriptions:
    notes: list[str] = []
    table = read_poi_table(path, notes)
    known = [name for name in (regions.id_name, *ID_COLUMNS) if name in table.columns]
    if not known or DESCRIPTION_COLUMN not in table.columns:
        raise InputError(
            f"{path}: a table of descriptions needs a column '{DESCRIPTION_COLUMN}' and one of the regions' ids, "
            f"'{regions.id_name}', 'region_id' or 'id'.",
            f"Its columns: {', '.join(map(str, table.columns))}.",
        )
    if city and CITY_COLUMN in table.columns:
        table = table[table[CITY_COLUMN] == city]
    ids = table[known[0]].map(id_text)
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        shown = ", ".join(map(str, repeated[:_NAMED_IN_ERRORS]))
        raise InputError(
            f"{path}: {len(repeated)} regions are described twice; the first are {shown}.", "Keep one each."
        )
    by_id = dict(zip(ids, table[DESCRIPTION_COLUMN], strict=True))
    wanted = [id_text(region) for region in regions.ids]
    texts = [_text(by_id.get(region)) for region in wanted]
    unused = len(set(by_id) - set(wanted))
    if unused:
        notes.append(f"{unused:,} rows of {path} describe none of the regions.")
    if unused == len(by_id):
        raise InputError(
            f"{path}: none of its {len(by_id)} ids is one of the {len(regions)} regions.",
            f"The table has {', '.join(list(by_id)[:3])}; the regions have {', '.join(wanted[:3])}.",
        )
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
    return Descriptions(texts, f"table|sha256={digest}", [*notes, *_absent(texts, f"in {path}")])


def _from_model(
    generator: TextGenerator, template: str, pois: Sequence[RegionPois], store: SampleStore, progress: Progress
) -> Descriptions:
    rows = [row for row, found in enumerate(pois) if len(found.names)]
    fitted = [_fitting_prompt(generator, template, pois[row]) for row in rows]
    prompts = [prompt for prompt, _ in fitted]
    digest = hashlib.sha256(json.dumps([generator.identity, prompts]).encode()).hexdigest()[:16]
    texts: list[str | None] = [None] * len(pois)

    def make(part: slice) -> dict[str, NDArray[np.uint8]]:
        written = generator.generate(prompts[part], progress.part(part.start / len(rows), part.stop / len(rows)))
        return {"json": np.frombuffer(json.dumps(written).encode(), np.uint8)}

    for part, kept in store.partitions(f"descriptions/{digest}", len(rows), _TEXTS_PER_PARTITION, make):
        for row, text in zip(rows[part], json.loads(kept["json"].tobytes()), strict=True):
            texts[row] = text or None
    notes = [*generator.notes, *_without_pois([None if not len(found.names) else "" for found in pois])]
    cut = sum(cut for _, cut in fitted)
    if cut:
        notes.append(f"The prompts of {cut:,} regions show fewer names than usual, since the model reads no more.")
    silent = sum(texts[row] is None for row in rows)
    if silent:
        notes.append(f"The language model wrote nothing about {silent:,} regions with points of interest.")
    identity = f"{generator.identity}|prompt={hashlib.sha256(template.encode()).hexdigest()[:16]}"
    return Descriptions(texts, identity, notes)


def _fitting_prompt(generator: TextGenerator, template: str, pois: RegionPois) -> tuple[str, bool]:
    """The prompt with as many names as the model can read, and whether that is fewer than usual."""
    most = _MOST_NAMES
    prompt = fill_prompt(template, pois, most)
    while most and not generator.fits(prompt):
        most //= 2
        prompt = fill_prompt(template, pois, most)
    return prompt, most < _MOST_NAMES


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _absent(texts: Sequence[str | None], where: str) -> list[str]:
    count = sum(text is None for text in texts)
    return [f"{count:,} of {len(texts):,} regions have no description {where}."] if count else []


def _without_pois(texts: Sequence[str | None]) -> list[str]:
    count = sum(text is None for text in texts)
    if not count:
        return []
    return [f"{count:,} of {len(texts):,} regions have no points of interest and so no description."]

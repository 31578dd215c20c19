"""Captions of satellite tiles and street views from three imperfect captioners.

What is true of a picture is known, as facts about objects and attributes. Each captioner tells part of it in its own style, leaves
some out, invents some, and now and then refuses; every caption comes with the list of what it said rightly, wrongly and not.

* `terse`: short, few facts, few mistakes.
* `florid`: long flowing prose, tells nearly all, invents much.
* `listing`: a list of objects in clipped style, some mistakes, sometimes a refusal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from urbanfm_core.data.samplecity.buildings import Block
from urbanfm_core.data.samplecity.fields import FUNCTIONS, generator, share
from urbanfm_core.data.samplecity.streetview import Viewpoint

Fact = tuple[str, str]
"""A statement about a picture: (topic, value), for instance ('greenery', 'plenty') or ('object', 'car park')."""

_USES = {
    "residential": ("homes", "a residential area", "housing"),
    "commercial": ("shops", "a shopping area", "retail buildings"),
    "office": ("offices", "a business district", "office blocks"),
    "industrial": ("industry", "an industrial estate", "sheds and yards"),
    "education": ("schools", "a school campus", "educational buildings"),
    "leisure": ("parkland", "a recreation area", "parks and sports grounds"),
    "civic": ("public services", "a civic quarter", "public institutions"),
    "rural": ("fields", "open country", "farmland"),  # street views at the edge look out of the city
}
_LEVELS = {
    "building density": ("sparse development", "moderately dense development", "dense development"),
    "greenery": ("hardly any trees", "some trees", "plenty of trees"),
    "building height": ("low-rise buildings", "mid-rise buildings", "tall buildings"),
}
_OBJECTS = {  # ground kind or building use: what people call it
    "parking": "car park",
    "pitch": "football pitch",
    "track": "running track",
    "court": "sports court",
    "water": "pond",
    "pool": "swimming pool",
    "tank": "storage tank",
    "helipad": "helipad",
    "container0": "shipping container",
    "house": "detached house",
    "terrace": "terraced house",
    "apartments": "apartment building",
    "retail": "shop",
    "office": "office building",
    "warehouse": "warehouse",
    "factory": "factory hall",
    "school": "school building",
    "hospital": "hospital",
    "worship": "church-like building",
    "stadium": "stadium",
    "market": "market hall",
}
_FALSE_OBJECTS = (*_OBJECTS.values(), "harbour", "railway station", "castle", "roundabout", "airport")
_REFUSALS = (
    "I'm sorry, but I can't help with identifying locations in images.",
    "I'm sorry, I cannot provide a description of this image.",
)


@dataclass(frozen=True)
class Captioner:
    """How one captioner behaves: chance to leave a fact out, to get it wrong, to invent an object, to refuse; and how
    many uses, levels and objects its text has room for."""

    name: str
    omits: float
    errs: float
    invents: float
    refuses: float
    room: tuple[float, float, float] = (math.inf, math.inf, math.inf)


CAPTIONERS = (
    Captioner("terse", omits=0.45, errs=0.05, invents=0.05, refuses=0.01, room=(1, 2, 2)),
    Captioner("florid", omits=0.1, errs=0.18, invents=1.1, refuses=0.0),
    Captioner("listing", omits=0.25, errs=0.1, invents=0.35, refuses=0.05),
)


def _level(topic: str, value: float) -> Fact:
    return topic, _LEVELS[topic][int(np.digitize(value, (0.33, 0.67)))]


def region_facts(blocks: Sequence[Block]) -> list[Fact]:
    """What is true of the satellite tile of a region."""
    counts = {name: sum(block.area_m2 for block in blocks if block.function == name) for name in FUNCTIONS}
    order = sorted(counts, key=lambda name: -counts[name])
    facts: list[Fact] = [("main use", order[0])]
    if counts[order[1]] > 0:
        facts.append(("second use", order[1]))
    return facts + _form(blocks) + _objects(blocks, 5)


def view_facts(view: Viewpoint, heading_deg: float, seen: Sequence[Block]) -> list[Fact]:
    """What is true of one street-view picture, from the blocks within the field of view."""
    turn = np.radians(heading_deg)
    forward = np.array([np.sin(turn), np.cos(turn)])
    offsets = np.array([block.plot.mean(axis=0) for block in seen]) - np.array([view.x, view.y])
    ahead = (offsets @ forward) / np.maximum(1.0, np.hypot(*offsets.T))
    rank = np.argsort(np.hypot(*offsets.T) - 60 * ahead)
    visible = [seen[index] for index in rank[:2] if ahead[index] > 0.2] or [seen[int(rank[0])]]
    form = _form(visible) if visible[0].function != "rural" else []
    return [("main use", visible[0].function), *form, *_objects(visible, 3)]


def _form(blocks: Sequence[Block]) -> list[Fact]:
    area = np.array([block.area_m2 for block in blocks])
    return [
        _level(topic, float(share(np.average([float(getattr(block.values, name)) for block in blocks], weights=area))))
        for topic, name in (("building density", "density"), ("greenery", "greenery"), ("building height", "height"))
    ]


def _objects(blocks: Sequence[Block], limit: int) -> list[Fact]:
    tally: dict[str, int] = {}
    for block in blocks:
        for kind in [item.kind for item in block.ground] + [building.use for building in block.buildings]:
            if kind in _OBJECTS:
                tally[_OBJECTS[kind]] = tally.get(_OBJECTS[kind], 0) + 1
    return [("object", name) for name in sorted(tally, key=lambda name: (-tally[name], name))[:limit]]


@dataclass(frozen=True)
class Caption:
    """One caption and what is right in it; facts are written 'topic: value'."""

    captioner: str
    text: str
    refused: bool
    facts_true: list[str]
    facts_false: list[str]
    facts_omitted: list[str]


def describe(seed: int, key: tuple[int, ...], kind: str, facts: Sequence[Fact]) -> list[Caption]:
    """The captions of one picture by all captioners.

    Args:
        seed: Seed of the city.
        key: Integers that identify the picture.
        kind: 'satellite' or 'street'.
        facts: What is true of the picture.
    """
    captions = []
    for number, captioner in enumerate(CAPTIONERS):
        rng = generator(seed, f"caption/{kind}", *key, number)
        if rng.random() < captioner.refuses:
            text = _REFUSALS[int(rng.integers(len(_REFUSALS)))]
            captions.append(Caption(captioner.name, text, True, [], [], [_write(fact) for fact in facts]))
            continue
        said, right, wrong, omitted = _tell(rng, captioner, facts)
        text = _STYLES[captioner.name](rng, kind, said)
        captions.append(Caption(captioner.name, text, False, right, wrong, omitted))
    return captions


def _write(fact: Fact) -> str:
    return f"{fact[0]}: {fact[1]}"


def _tell(
    rng: np.random.Generator, captioner: Captioner, facts: Sequence[Fact]
) -> tuple[list[Fact], list[str], list[str], list[str]]:
    said: list[Fact] = []
    for topic, value in facts:
        if topic != "main use" and rng.random() < captioner.omits:
            continue
        wrong = rng.random() < captioner.errs
        said.append(_mistake(rng, topic, value, facts) if wrong else (topic, value))
    for _ in range(rng.poisson(captioner.invents)):
        invented = _mistake(rng, "object", "", facts)
        if invented not in said:
            said.append(invented)
    told = _with_room(captioner, said)
    return (
        told,
        [_write(fact) for fact in told if fact in facts],
        [_write(fact) for fact in told if fact not in facts],
        [_write(fact) for fact in facts if fact not in told],
    )


def _with_room(captioner: Captioner, said: Sequence[Fact]) -> list[Fact]:
    """What a captioner's text has room for: of each kind the first."""
    left = list(captioner.room)
    told = []
    for fact in said:
        kind = 0 if fact[0].endswith("use") else 1 if fact[0] in _LEVELS else 2
        left[kind] -= 1
        if left[kind] >= 0:
            told.append(fact)
    return told


def _mistake(rng: np.random.Generator, topic: str, value: str, facts: Sequence[Fact]) -> Fact:
    if topic == "object":
        choices = [name for name in _FALSE_OBJECTS if ("object", name) not in facts]
    elif topic in _LEVELS:
        choices = [name for name in _LEVELS[topic] if name != value]
    else:
        taken = {fact[1] for fact in facts if fact[0].endswith("use")}
        choices = [name for name in FUNCTIONS if name not in taken]
    return topic, choices[int(rng.integers(len(choices)))]


def _plural(name: str) -> str:
    return name[:-1] + "ies" if name.endswith("y") else name + ("es" if name.endswith("ch") else "s")


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _sorted(said: Sequence[Fact]) -> tuple[list[str], list[str], list[str]]:
    uses = [value for topic, value in said if topic.endswith("use")]
    levels = [value for topic, value in said if topic in _LEVELS]
    return uses, levels, [value for topic, value in said if topic == "object"]


def _terse(rng: np.random.Generator, kind: str, said: Sequence[Fact]) -> str:
    uses, levels, objects = _sorted(said)
    scene = "Aerial view" if kind == "satellite" else "Street"
    parts = [_USES[uses[0]][int(rng.integers(3))], *levels, *(_with_article(name) for name in objects)]
    return f"{scene}: {', '.join(parts)}."


def _florid(rng: np.random.Generator, kind: str, said: Sequence[Fact]) -> str:
    uses, levels, objects = _sorted(said)
    opening = (
        ("The image offers a view from above of", "This satellite image shows", "Seen from high above, this is")
        if kind == "satellite"
        else ("Standing on the carriageway, we look towards", "The photograph captures", "Before us lies")
    )[int(rng.integers(3))]
    text = f"{opening} {_USES[uses[0]][1]}, where {_USES[uses[0]][2]} set the tone."
    if len(uses) > 1:
        text += f" Close by, {_USES[uses[1]][2]} add a second note to the neighbourhood."
    if levels:
        text += f" The place has a character of its own, with an appearance that suggests {_joined(levels)}."
    for name in objects:
        pattern = (" One notices {}.", " {} can be made out clearly.", " The eye is drawn to {}.")[int(rng.integers(3))]
        noun = f"several {_plural(name)}" if rng.random() < 0.5 else f"what seems to be {_with_article(name)}"
        text += pattern.format(noun) if not pattern.startswith(" {}") else " " + pattern[1:].format(noun.capitalize())
    closing = ("Overall, the scene feels orderly and lived-in.", "It is a picture of everyday urban life.", "")
    return f"{text} {closing[int(rng.integers(3))]}".strip()


def _listing(rng: np.random.Generator, kind: str, said: Sequence[Fact]) -> str:
    uses, levels, objects = _sorted(said)
    lines = [f"Land use: {' / '.join(_USES[use][0] for use in uses)}"]
    if levels:
        lines.append(f"Form: {', '.join(levels)}")
    if objects:
        lines.append(f"Visible: {', '.join(objects)}")
    if rng.random() < 0.3:
        lines.append("Image quality: good" if kind == "satellite" else "Weather: clear")
    return "; ".join(lines)


_STYLES = {"terse": _terse, "florid": _florid, "listing": _listing}

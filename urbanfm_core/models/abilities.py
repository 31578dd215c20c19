"""What only some methods can do, and what is said of one that cannot."""

from __future__ import annotations

from typing import Literal

from urbanfm_core.errors import ConfigError
from urbanfm_core.models import METHODS, get_method

Ability = Literal["attention", "captions", "cities", "fine-tuning", "pixels", "points", "text", "windows"]

# By ability: what a method without it lacks, and what to do instead.
_REFUSALS: dict[Ability, tuple[str, str]] = {
    "attention": (
        "{method} has no attention between points of interest and imagery.",
        "Give a checkpoint of a method that has: {able}.",
    ),
    "captions": (
        "{method} writes no captions.",
        "Give a checkpoint of {able}, a captioner, or captions that exist.",
    ),
    "cities": (
        "{method} learns from one city at a time.",
        "Name one file (--cities), or a preset of a method that takes several: {able}.",
    ),
    "fine-tuning": (
        "A model of {method} cannot be fine-tuned.",
        "Give a checkpoint of {able}, or predict from embeddings with the head linear or mlp.",
    ),
    "pixels": (
        "{method} does not embed single pixels.",
        "Give a checkpoint of a method that does: {able}.",
    ),
    "points": (
        "{method} has no vectors of single points of interest.",
        "Give a checkpoint of a method that has: {able}.",
    ),
    "text": (
        "{method} has no text side.",
        "Search by text needs a checkpoint of a method that has one: {able}.",
    ),
    "windows": (
        "{method} does not embed windows of imagery.",
        "Give a checkpoint of a method that does: {able}.",
    ),
}


def refusal(method: str, ability: Ability) -> ConfigError:
    """What to raise where a method is asked for an ability that it has not.

    Args:
        method: Its title.
        ability: What it was asked for.
    """
    lacks, instead = _REFUSALS[ability]
    able = [one.title for one in map(get_method, METHODS) if ability in one.can]
    return ConfigError(lacks.format(method=method), instead.format(able=" or ".join(able)))

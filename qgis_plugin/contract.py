"""The library's stages and parameters, read from `resources/contract.json`.

The file is generated from the library, so labels, help, defaults, choices and limits exist once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Optional

from .paths import resource


class ContractError(Exception):
    """The shipped contract lacks something, so the plugin and its library do not fit together."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a stage.

    Attributes:
        name: Lower-case name; the QGIS id is `key`.
        kind: Which input widget it needs, such as polygons, raster, field, choice.
        unit: Unit of a number, such as m; else empty.
        of: Names of the parameters whose layers its fields belong to: those of the first that is given.
        output: Whether it names something to write.
        default: Value when nothing is given; None if there is none.
        above: Exclusive lower limit.
    """

    name: str
    help: str
    label: str
    kind: str
    unit: str
    of: tuple[str, ...]
    advanced: bool
    output: bool
    required: bool
    default: Any
    choices: tuple[str, ...] = ()
    minimum: Optional[float] = None
    above: Optional[float] = None
    maximum: Optional[float] = None
    pattern: str = ""

    @property
    def key(self) -> str:
        """Id of the parameter in QGIS."""
        return self.name.upper()


@dataclass(frozen=True)
class Stage:
    """One stage: what it does in a sentence, more about it, and its parameters by name."""

    name: str
    summary: str
    description: str
    parameters: dict[str, Parameter]


@dataclass(frozen=True)
class Contract:
    """Everything the plugin knows of the library."""

    protocol: int
    stages: dict[str, Stage]
    presets: dict[str, str]
    needs: dict[str, dict[str, list[str]]]

    def missing(self, preset: str, given: Callable[[str], bool]) -> list[list[str]]:
        """Inputs that training a preset lacks, each as the list of those of which one would do.

        Args:
            preset: Name; of a preset that is a file nothing is known, so nothing is missing.
            given: Whether the parameter of that name was given.
        """
        needs = self.needs.get(preset, {})
        wanted = [[name] for name in needs.get("all_of", [])]
        if needs.get("one_of"):
            wanted.append(list(needs["one_of"]))
        return [names for names in wanted if not any(given(name) for name in names)]

    def stage(self, name: str) -> Stage:
        """A stage by name.

        Raises:
            ContractError: the library has no such stage.
        """
        if name not in self.stages:
            raise ContractError(f"The library of this plugin has no stage '{name}'. Install the plugin again.")
        return self.stages[name]


@cache
def load(path: Optional[Path] = None) -> Contract:
    """Read the contract.

    Raises:
        ContractError: the file is missing or damaged.
    """
    path = path or resource("contract.json")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        stages = {name: _stage(name, item) for name, item in data["stages"].items()}
        return Contract(int(data["protocol"]), stages, dict(data["presets"]), dict(data["needs"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractError(f"{path} cannot be used ({error}). Install the plugin again.") from error


def _stage(name: str, item: dict[str, Any]) -> Stage:
    parameters = {}
    for entry in item["parameters"]:
        known = {key: entry[key] for key in Parameter.__dataclass_fields__ if key in entry}
        known["choices"] = tuple(entry.get("choices", ()))
        known["of"] = tuple(entry["of"].split())
        parameters[entry["name"]] = Parameter(**known)
    return Stage(name, item["summary"], item["description"], parameters)

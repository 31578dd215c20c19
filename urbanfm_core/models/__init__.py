"""The methods, one row each; a class is imported only when it is used."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from urbanfm_core.errors import ConfigError
from urbanfm_core.resources import resource

if TYPE_CHECKING:
    from urbanfm_core.models.method import Method

METHODS: dict[str, str] = {
    "aether": "urbanfm_core.models.aether:Aether",
}


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in METHODS:
        raise ConfigError(f"There is no method '{name}'.", f"Choose one of: {', '.join(METHODS)}.")
    module, _, attribute = METHODS[name].partition(":")
    method: Method = getattr(import_module(module), attribute)()
    return method


def load_preset(name: str) -> dict[str, Any]:
    """A preset: `method`, `title`, `model` (fields of the method's configuration) and `training`.

    Raises:
        ConfigError: there is none of that name.
    """
    known = sorted(path.stem for path in resource("presets").glob("*.json"))
    if name not in known:
        raise ConfigError(f"There is no preset '{name}'.", f"Choose one of: {', '.join(known)}.")
    preset: dict[str, Any] = json.loads(resource("presets", f"{name}.json").read_text())
    return preset


def make_config(config_class: type, values: dict[str, Any]) -> Any:
    """A configuration from plain values; an unknown name is an error that lists the known ones."""
    known = [item.name for item in fields(config_class)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ConfigError(
            f"{config_class.__name__} has no field {', '.join(map(repr, unknown))}.",
            f"Its fields are: {', '.join(known)}.",
        )
    return replace(config_class(), **values)

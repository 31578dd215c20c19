"""The methods, one row each; a class is imported only when it is used."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urbanfm_core.errors import ConfigError
from urbanfm_core.resources import resource

if TYPE_CHECKING:
    from urbanfm_core.models.method import Method

METHODS: dict[str, str] = {
    "aether": "urbanfm_core.models.aether.method:Aether",
    "refound": "urbanfm_core.models.refound.method:ReFound",
    "urbanclip": "urbanfm_core.models.urbanclip.method:UrbanClip",
    "urbanln": "urbanfm_core.models.urbanln.method:UrbanLN",
    "urbanmfm": "urbanfm_core.models.urbanmfm.method:UrbanMfm",
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

    Args:
        name: One of those that ship, or the path of a JSON file of that form.

    Raises:
        ConfigError: there is none of that name, or the file is not a preset.
    """
    known = sorted(path.stem for path in resource("presets").glob("*.json"))
    if name in known:
        path = resource("presets", f"{name}.json")
    elif name.endswith(".json") and Path(name).is_file():
        path = Path(name)
    else:
        raise ConfigError(f"There is no preset '{name}'.", f"Choose one of: {', '.join(known)}; or name a JSON file.")
    try:
        preset: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        complete = {"method", "title", "model", "training"} <= set(preset)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"The preset {path} cannot be read: {error}.") from error
    if not complete:
        raise ConfigError(f"The preset {path} needs the keys method, title, model and training.")
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

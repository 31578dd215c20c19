"""The stages as plain data, for programs that cannot import this library: the QGIS plugin builds its dialogs from it.

`make contract` writes it to `resources/contract.json`.
"""

from __future__ import annotations

import json
from typing import Any, Literal, get_args, get_origin

from pydantic_core import PydanticUndefined

from urbanfm_core.models import get_method
from urbanfm_core.parameters import Stage
from urbanfm_core.resources import resource
from urbanfm_core.stages import PROTOCOL, STAGES


def contract() -> dict[str, Any]:
    """The definition as plain data, for programs that cannot import this library (the QGIS plugin)."""
    return {
        "protocol": PROTOCOL,
        "stages": {name: _describe(model) for name, model in STAGES.items()},
        "presets": {name: preset["title"] for name, preset in _presets().items()},
        "needs": {name: _needs(preset["method"]) for name, preset in _presets().items()},
    }


def contract_text() -> str:
    """The contract as it is kept in `resources/contract.json`."""
    return json.dumps(contract(), indent=1, ensure_ascii=False) + "\n"


def _presets() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(resource("presets").glob("*.json"))}


def _needs(name: str) -> dict[str, list[str]]:
    """Inputs that a method cannot train without: all of these, and one of those."""
    method = get_method(name)
    return {"all_of": list(method.needs), "one_of": list(method.one_of)}


def _describe(model: type[Stage]) -> dict[str, Any]:
    summary, _, description = (model.__doc__ or "").strip().partition("\n")
    return {
        "summary": summary,
        "description": " ".join(description.split()),
        "parameters": [_describe_field(name, item) for name, item in model.model_fields.items()],
    }


def _describe_field(name: str, item: Any) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for constraint in item.metadata:
        for key, label in (("ge", "minimum"), ("gt", "above"), ("le", "maximum"), ("pattern", "pattern")):
            value = getattr(constraint, key, None)
            if value is not None:
                limits[label] = value
    choices = _choices(item.annotation)
    if name == "preset":
        choices = list(_presets())
    return {
        "name": name,
        "help": item.description,
        **item.json_schema_extra,
        "required": item.is_required(),
        "default": None if item.default is PydanticUndefined else item.default,
        **({"choices": choices} if choices else {}),
        **limits,
    }


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    for inner in get_args(annotation):
        found = _choices(inner)
        if found:
            return found
    return []

"""What stages are made of: a base class, and the way to define a parameter.

A field carries its help text and limits, and in `json_schema_extra` what a dialog needs: `label`, `kind` (which input
widget), `unit`, `advanced`, `output`.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal[
    "polygons", "points", "layer", "raster", "field", "file", "folder", "text", "crs", "extent", "flag", "integer",
    "number", "choice", "list", "embeddings", "checkpoint",
]  # fmt: skip


def param(
    default: Any = ...,
    help: str = "",  # noqa: A002 - it is the help text
    *,
    label: str,
    kind: Kind,
    unit: str = "",
    of: str = "",
    advanced: bool = False,
    output: bool = False,
    **limits: Any,
) -> Any:
    """A stage parameter.

    Args:
        default: Value when nothing is given.
        help: Sentences for people.
        label: Name in a dialog.
        kind: Which input widget it needs.
        unit: Of a number.
        of: Names of the parameters whose layers its fields belong to, parted by blanks: those of the first that is given.
            Of a text or list, fields that a dialog offers for it.
        advanced: Whether a dialog shows it only when asked.
        output: Whether it names something to write.
        **limits: Pydantic's ge, gt, le and so on.
    """
    extra: dict[str, Any] = {
        "label": label,
        "kind": kind,
        "unit": unit,
        "of": of,
        "advanced": advanced,
        "output": output,
    }
    return Field(default, description=help, json_schema_extra=extra, **limits)


class Stage(BaseModel):
    """Base of all stages: unknown parameters are errors, defaults are checked like values, paths may be path objects."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _paths_to_text(cls, values: Any) -> Any:
        return {key: _path_to_text(value) for key, value in values.items()}


def _path_to_text(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_path_to_text(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value

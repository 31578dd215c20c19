"""The stages and their parameters: the one definition from which the command line, the worker's job file, the Python
keyword arguments and the QGIS dialogs are made.

Each stage is a pydantic model of `parameters.param` fields. What a stage does is in the module of the same name of
`pipeline`, and its dry run in that of `planning`.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

from pydantic import ValidationError

from urbanfm_core.errors import ConfigError
from urbanfm_core.parameters import Stage
from urbanfm_core.stages.attention import AttendStage
from urbanfm_core.stages.captions import CaptionStage, DescribeStage
from urbanfm_core.stages.checkpoints import ImportCheckpointStage, InspectStage
from urbanfm_core.stages.embedding import EmbedRasterStage, EmbedStage
from urbanfm_core.stages.evaluation import AblateStage, EvaluateStage, PredictStage
from urbanfm_core.stages.installation import CheckStage
from urbanfm_core.stages.layers import GridStage, SampleCityStage
from urbanfm_core.stages.maps import ClusterStage, SearchStage, SimilarStage
from urbanfm_core.stages.places import EmbedPoisStage
from urbanfm_core.stages.training import PrepareStage, TrainStage
from urbanfm_core.stages.transfer import TransferStage

StageType = TypeVar("StageType", bound=Stage)

# Of the job file and of the lines that the worker writes.
PROTOCOL = 1

STAGES: dict[str, type[Stage]] = {
    "samplecity": SampleCityStage,
    "grid": GridStage,
    "prepare": PrepareStage,
    "caption": CaptionStage,
    "train": TrainStage,
    "embed": EmbedStage,
    "embedpois": EmbedPoisStage,
    "embedraster": EmbedRasterStage,
    "describe": DescribeStage,
    "cluster": ClusterStage,
    "similar": SimilarStage,
    "search": SearchStage,
    "attend": AttendStage,
    "evaluate": EvaluateStage,
    "predict": PredictStage,
    "ablate": AblateStage,
    "transfer": TransferStage,
    "importcheckpoint": ImportCheckpointStage,
    "inspect": InspectStage,
    "check": CheckStage,
}


def make_stage(name: str, values: dict[str, Any]) -> Stage:
    """Check values against a stage's definition.

    Raises:
        ConfigError: no such stage, an unknown parameter, or a value outside its limits; the message names each.
    """
    if name not in STAGES:
        raise ConfigError(f"There is no stage '{name}'.", f"Choose one of: {', '.join(STAGES)}.")
    return checked(STAGES[name], values, f"Stage '{name}'", f"See: urbanfm {name} --help")


def checked(model: type[StageType], values: dict[str, Any], where: str, hint: str) -> StageType:
    """Values as a definition's parameters.

    Raises:
        ConfigError: an unknown parameter, or a value outside its limits; the message names each.
    """
    for value in values.values():
        _fail_on_no_text(value)
    try:
        return model(**values)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            name = ".".join(str(part) for part in item["loc"])
            if item["type"] == "missing":
                lines.append(f"give {name}, which is not optional")
                continue
            found = "" if item["type"] == "value_error" else f" (found {item['input']!r})"
            lines.append(f"{name and name + ': '}{item['msg'].removeprefix('Value error, ')}{found}")
        raise ConfigError(f"{where}: " + "; ".join(lines) + ".", hint) from error


def _fail_on_no_text(values: Any) -> None:
    """Refuse texts that no file name and no library takes: with a zero character, or with half a character.

    Raises:
        ConfigError: there is one.
    """
    for text in values if isinstance(values, list) else [values]:
        if isinstance(text, str) and ("\0" in text or not _encodes(text)):
            raise ConfigError(f"{text!r} is not a text that can be used.", "Write it anew.")


def _encodes(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True

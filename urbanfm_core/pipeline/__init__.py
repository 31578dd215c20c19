"""One function per stage; the only place that knows the order of things.

Each takes its checked parameters and a progress, and returns a `Result`: what a program can use (`summary`, plain
data) and what a Python caller can use (`value`).
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

from urbanfm_core.files import refusal
from urbanfm_core.parameters import Stage
from urbanfm_core.pipeline import (
    ablation,
    attention,
    captions,
    checkpoints,
    descriptions,
    embedding,
    evaluation,
    installation,
    layers,
    maps,
    places,
    training,
    transfer,
)
from urbanfm_core.pipeline.outputs import check_map, check_outputs
from urbanfm_core.progress import Keeping, Progress
from urbanfm_core.result import Caller, Result
from urbanfm_core.stages import STAGES, make_stage

_STAGE_FUNCTIONS: dict[str, Callable[[Any, Progress], Result]] = {
    "samplecity": layers.samplecity,
    "grid": layers.grid,
    "prepare": training.prepare,
    "caption": captions.caption,
    "train": training.train,
    "embed": embedding.embed,
    "embedpois": places.embedpois,
    "embedraster": embedding.embedraster,
    "describe": descriptions.describe,
    "cluster": maps.cluster,
    "similar": maps.similar,
    "search": maps.search,
    "attend": attention.attend,
    "evaluate": evaluation.evaluate,
    "predict": evaluation.predict,
    "ablate": ablation.ablate,
    "transfer": transfer.transfer,
    "importcheckpoint": checkpoints.importcheckpoint,
    "inspect": checkpoints.inspect,
    "check": installation.check,
}


def run(name: str, params: dict[str, Any], progress: Progress, caller: Caller | None = None) -> Result:
    """Check the parameters of a stage, and run it.

    Args:
        name: Of the stage.
        params: Its parameters.
        progress: Where to report, and what cancels.
        caller: For the report: what the calling program knows of the run, if it is not the command line.

    Raises:
        UrbanFMError: a user error, or cancelled.
    """
    return run_stage(name, make_stage(name, params), progress, caller)


def run_stage(name: str, stage: Stage, progress: Progress, caller: Caller | None = None) -> Result:
    """Run a stage whose parameters are checked already; what was chosen or left out is logged. See `run`."""
    check_outputs(stage)
    check_map(stage)
    progress.check()
    started, clock = datetime.datetime.now(datetime.UTC), time.monotonic()
    kept = Keeping(progress)
    try:
        result = _STAGE_FUNCTIONS[name](stage, kept)
        if result.page is not None:
            from urbanfm_core.report import write_page
            from urbanfm_core.reporting.frame import Run, framed

            path = stage.model_dump()["report"]
            seconds = time.monotonic() - clock
            made = Run(name, stage, result, started, seconds, caller or Caller(), kept.warnings)
            write_page(path, framed(result.page, made, path))
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        raise refused from error
    for note in result.notes:
        progress.log("info", note)
    if result.notes:
        result.summary["notes"] = result.notes
    progress.update(1.0, "Done.")
    return result


def stage_function(name: str) -> Callable[..., Any]:
    """The stage as a Python function with keyword arguments, plus `progress`; it returns the stage's object."""

    def call(*, progress: Progress | None = None, **params: Any) -> Any:
        return run(name, params, progress or Progress()).value

    call.__name__ = call.__qualname__ = name
    call.__doc__ = STAGES[name].__doc__
    return call

"""`--dry-run`: what a stage would read and write, on which device, in how much memory and time.

Nothing here is a guess from a table. A small part of the job is really done (a pilot of a few hundred points, one strip
of the raster) and scaled up; what was not measured is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from urbanfm_core.cities import layers_of
from urbanfm_core.parameters import Stage
from urbanfm_core.pipeline.outputs import check_outputs
from urbanfm_core.planning import attention, captions, embedding, evaluation, maps, places, training, transfer
from urbanfm_core.planning.inputs import describe_inputs
from urbanfm_core.planning.plans import Plan
from urbanfm_core.progress import Progress

# Of the other stages, a plan says what they read and write.
_PLANNERS: dict[str, Callable[[Any, Plan, Progress], object]] = {
    "prepare": training.plan_training,
    "caption": captions.plan_captions,
    "train": training.plan_training,
    "embed": embedding.plan_embedding,
    "embedpois": places.plan_points,
    "embedraster": embedding.plan_raster,
    "describe": captions.plan_descriptions,
    "cluster": maps.plan_clusters,
    "similar": maps.plan_similarity,
    "search": embedding.plan_raster,
    "attend": attention.plan_attention,
    "predict": evaluation.plan_prediction,
    "ablate": evaluation.plan_ablation,
    "transfer": transfer.plan_transfer,
}


def plan(name: str, stage: Stage, progress: Progress) -> Plan:
    """Measure a small part of a stage and say what the whole would take.

    Raises:
        UrbanFMError: an input is not usable; the dry run finds it like the run would.
    """
    check_outputs(stage)
    made = Plan(name)
    for field_name, item in type(stage).model_fields.items():
        extra: Any = item.json_schema_extra
        value = getattr(stage, field_name)
        if extra["output"] and value is not None:
            made.writes.append(str(value))
    for city, layers in layers_of(stage).items():
        describe_inputs(layers, made, f"{city}, " if city else "")
    planner = _PLANNERS.get(name)
    if planner is not None:
        planner(stage, made, progress)
    return made

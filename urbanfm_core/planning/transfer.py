"""What trainings in some cities and embeddings of all would take; see `planning`."""

from __future__ import annotations

from collections.abc import Sequence

from urbanfm_core.cities import layers_of
from urbanfm_core.errors import about
from urbanfm_core.inputs import city_of, regions_of
from urbanfm_core.pipeline.transfer import sources_of
from urbanfm_core.planning.embedding import time_embedding
from urbanfm_core.planning.plans import Plan
from urbanfm_core.planning.training import plan_training, trained_from
from urbanfm_core.progress import Progress
from urbanfm_core.stages.transfer import TransferStage


def plan_transfer(stage: TransferStage, made: Plan, progress: Progress) -> None:
    """The training of each city that is trained on, and the embedding of each city; scoring is not measured."""
    from urbanfm_core.models import get_method, load_preset

    method = get_method(load_preset(stage.preset)["method"])
    layers = layers_of(stage)
    paths = dict(zip(layers, stage.cities, strict=True))
    sources = sources_of(stage, list(layers))
    plans, trained = [Plan(made.stage) for _ in sources], None
    for source, one in zip(sources, plans, strict=True):
        with about(source):
            prepared = plan_training(stage.model_copy(update={"cities": [paths[source]]}), one, progress)
        trained = trained or (None if prepared is None else trained_from(method, prepared, stage))
        made.notes += [f"{source}: {note}" for note in one.notes]
    made.device = plans[0].device
    for step in ("preparing", "training"):
        made.seconds[step] = _total([one.seconds.get(step) for one in plans])
    made.seconds |= {"embedding": None, "scoring": None}
    if trained is not None:
        each = []
        for name, params in layers.items():
            with about(name):
                city = city_of(params)
                each.append(time_embedding(method, trained, city, regions_of(params, city), made))
        embedding = _total(each)
        made.seconds["embedding"] = None if embedding is None else embedding * len(sources)
        made.memory_bytes = max(one.memory_bytes or 0 for one in plans) or None
    made.notes.append(
        f"{len(sources)} trainings, and {len(sources) * len(layers)} embeddings of a city; those that an earlier run "
        "finished take no time."
    )


def _total(seconds: Sequence[float | None]) -> float | None:
    """The sum of times; None if one of them is not known."""
    known = [one for one in seconds if one is not None]
    return sum(known) if len(known) == len(seconds) else None

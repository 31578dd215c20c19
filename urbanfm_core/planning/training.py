"""What reading a city, and training, would take; see `planning`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import numpy as np

from urbanfm_core.cities import cities_to_train_on
from urbanfm_core.pipeline.trained import Learner
from urbanfm_core.planning.pilots import point_pilots, region_pilots, spread
from urbanfm_core.planning.plans import Plan, peak_bytes
from urbanfm_core.progress import Progress
from urbanfm_core.stages.training import PrepareStage

_PILOT_STEPS = 5


def plan_training(stage: Any, made: Plan, progress: Progress) -> Any:
    """Pilot runs of two sizes: their difference scales with the samples, the rest is paid once."""
    from urbanfm_core.models.device import describe_device

    learner = Learner.of(stage)
    method, settings = learner.method, learner.training
    made.device = describe_device(learner.device)
    cities = cities_to_train_on(stage, method)
    if getattr(learner.config, "text_encoder", "").startswith("openai:"):
        _estimate_service(stage, made, cities)
        return None
    pilots = [region_pilots(city) if method.trains_on == "regions" else point_pilots(city) for city in cities]
    timed, prepared = [], None
    for turn in (0, 1):
        rows = [spread(pilot.rows, pilot.sizes[turn]) for pilot in pilots]
        count = sum(map(len, rows))
        progress.update(0.2, f"Trying {count} {pilots[0].noun}")
        with ExitStack() as made_for_a_while:
            small = [made_for_a_while.enter_context(pilot.make(part)) for pilot, part in zip(pilots, rows, strict=True)]
            started = time.perf_counter()
            prepared = learner.prepare(small, Progress())
            timed.append((count, time.perf_counter() - started))
    (few, fast), (many, slow) = timed
    total = sum(len(pilot.rows) for pilot in pilots)
    each = max(slow - fast, 0.0) / max(many - few, 1)
    made.seconds["preparing"] = fast + each * (total - few)
    if prepared is None or isinstance(stage, PrepareStage):
        return prepared
    made.seconds["training"], step_bytes = time_training(method, prepared, settings, learner.device, total)
    sample_bytes = sum(t.nbytes for t in _tensors(prepared.samples)) / max(len(prepared.samples), 1)
    made.memory_bytes = peak_bytes() + int(sample_bytes * total) + step_bytes
    made.notes.append(f"{settings.epochs} epochs of {total:,} samples in batches of {settings.batch_size}.")
    return prepared


def time_training(method: Any, prepared: Any, settings: Any, device: Any, samples: int) -> tuple[float, int]:
    """Seconds of the whole training from a few timed steps, and the bytes of weights and optimiser."""
    import torch

    model = method.build(prepared.config).to(device)
    weights = sum(parameter.nbytes for parameter in model.parameters())
    indices = torch.zeros(settings.batch_size, dtype=torch.int64, device=device)
    batch = prepared.samples.to(device).batch(indices)
    elapsed = []
    for _ in range(_PILOT_STEPS):
        started = time.perf_counter()
        method.losses(model, batch, prepared.config)["loss"].backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elapsed.append(time.perf_counter() - started)
    step = float(np.median(elapsed))
    steps = max(1, samples // settings.batch_size) * settings.epochs
    return step * steps, 4 * weights


def trained_from(method: Any, prepared: Any, stage: Any) -> Any:
    """A network as training leaves it, but for its weights."""
    from urbanfm_core.models.device import resolve_device
    from urbanfm_core.models.exchange import Trained

    device = resolve_device(stage.device)
    model = method.build(prepared.config).to(device).eval()
    return Trained(prepared.config, model, prepared.preprocessing, device, stage.batch_size)


def _estimate_service(stage: Any, made: Plan, cities: Any) -> None:
    from urbanfm_core.models.text import estimate

    points = [city.inputs.read_pois() for city in cities]
    texts = [sentence for one in points for sentence in one.sentences() if sentence is not None]
    made.notes.append(f"Text encoder {stage.text_encoder}: {estimate(stage.text_encoder, texts).describe()}")
    made.seconds |= {"preparing": None, "training": None}
    made.notes.append("Nothing is sent in a dry run, so time is not measured.")


def _tensors(samples: Any) -> list[Any]:
    return [value for value in vars(samples).values() if hasattr(value, "nbytes")]

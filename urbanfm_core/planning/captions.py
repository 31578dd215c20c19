"""What captions of pictures and of regions would take; see `planning`."""

from __future__ import annotations

import tempfile
import time

import numpy as np

from urbanfm_core.inputs import city_of, load_model, regions_of
from urbanfm_core.pipeline.captions import captioners_of, pictures_of
from urbanfm_core.planning.pilots import tried
from urbanfm_core.planning.plans import Plan, name_device, peak_bytes
from urbanfm_core.progress import Progress
from urbanfm_core.stages.captions import CaptionStage, DescribeStage, DescribingParams

_PICTURES = 2


def plan_captions(stage: CaptionStage, made: Plan, progress: Progress) -> None:
    """What services would cost, and the time that models on this machine take, from two pictures."""
    from urbanfm_core.models.device import describe_device, resolve_device
    from urbanfm_core.models.service import SERVICE_PREFIX

    services = [spec for spec in stage.captioners if spec.startswith(SERVICE_PREFIX)]
    local = [spec for spec in stage.captioners if spec not in services]
    with tempfile.TemporaryDirectory() as folder:
        # What was paid for is in the stage's own cache; a trial must find none of its answers there.
        paid = captioners_of(stage.model_copy(update={"captioners": services}))
        local_ones = captioners_of(stage.model_copy(update={"captioners": local, "cache": folder}))
        _plan_refinement(made, stage)
        if not paid and not local_ones:
            return
        started = time.perf_counter()
        sets, prompts, _ = pictures_of(stage.model_copy(update={"cache": folder}), progress.part(0.0, 0.6))
        made.seconds["reading pictures"] = time.perf_counter() - started
        asked = list(zip(sets, prompts, strict=True))
        count = sum(len(one) for one in sets)
        made.notes.append(f"{count:,} pictures, each described by {len(stage.captioners)} captioners.")
        for captioner in paid:
            for one, prompt in asked:
                cost = captioner.estimate(one, [prompt] * len(one))
                made.notes.append(f"Captioner {captioner.name}, {one.kind}: {cost.describe() if cost else 'no cost.'}")
            made.seconds[f"describing by {captioner.name}"] = None
            made.notes.append("Nothing is sent in a dry run, so the time of a service is not measured.")
        for captioner in local_ones:
            made.device = describe_device(resolve_device(stage.device))
            some = [(picture, prompt) for one, prompt in asked for picture in one[:_PICTURES]]
            started = time.perf_counter()
            captioner.describe([picture for picture, _ in some], [prompt for _, prompt in some])
            each = (time.perf_counter() - started) / max(len(some), 1)
            made.seconds[f"describing by {captioner.name}"] = each * count


def plan_descriptions(stage: DescribeStage, made: Plan, progress: Progress) -> None:
    """Captions of a few regions by the model, or as `plan_captions`."""
    from urbanfm_core.data.store import SampleStore

    if stage.captioner is not None:
        same = {name: getattr(stage, name) for name in DescribingParams.model_fields}
        plan_captions(CaptionStage(**same, captioners=[stage.captioner], out="captions.parquet"), made, progress)
    if stage.checkpoint is None:
        return
    city = city_of(stage)
    method, trained, _ = load_model(stage.checkpoint, stage, progress)
    name_device(made, trained.device)
    regions = regions_of(stage, city)

    def describe(some: np.ndarray) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = SampleStore(folder, {"pilot": len(some)})
            writing = {"beams": stage.beams, "longest": stage.max_new_tokens}
            method.describe(trained, city, regions.take(some), store, Progress(), **writing)

    progress.update(0.3, "Trying some regions")
    made.seconds["describing"] = tried(made, np.arange(len(regions)), describe)
    made.memory_bytes = peak_bytes()


def _plan_refinement(made: Plan, stage: CaptionStage) -> None:
    """Say what is not measured of completing captions part by part, and of their consensus."""
    if stage.segmenter is not None:
        made.seconds["completing part by part"] = None
        made.notes.append(
            "To complete captions, captioners are asked once more for each part of a picture and once for each caption; "
            "neither time nor cost of that is estimated."
        )
    if stage.consensus:
        made.seconds["consensus"] = None

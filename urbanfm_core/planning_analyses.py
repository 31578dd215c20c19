"""What captions, and the analyses of a trained model or of embeddings, would take; see `planning`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from urbanfm_core.analysis_stages import AblateStage, AttendStage, PredictStage
from urbanfm_core.caption_stages import CaptionStage, DescribeStage, DescribingParams
from urbanfm_core.cities import layers_of
from urbanfm_core.errors import EmptyInputError, NoOverlapError, about
from urbanfm_core.inputs import city_of, load_model, method_config, regions_of
from urbanfm_core.planning import (
    PILOT_REGIONS,
    Plan,
    name_device,
    peak_bytes,
    plan_training,
    scaled,
    spread,
    time_embedding,
    time_training,
    trained_from,
)
from urbanfm_core.progress import Progress
from urbanfm_core.transfer_stages import TransferStage

_PILOT_LABELS = (100, 300)
_PICTURES = 2


def plan_attention(stage: AttendStage, made: Plan, progress: Progress) -> None:
    """The attention in a few of the regions that hold a chosen point."""
    from urbanfm_core.data.poi import PoiSet
    from urbanfm_core.data.poi_choice import choose_pois
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.geo.assign import assign_to_polygons

    city = city_of(stage)
    method, trained, _ = load_model(stage.checkpoint, stage, progress)
    method.require_attention()
    name_device(made, trained.device)
    pois = city.read_pois()
    selected = None if stage.selected is None else PoiSet.from_source(stage.selected, city.poi_columns)
    choice = choose_pois(pois, stage.categories, stage.poi_rows, selected)
    regions = regions_of(stage, city)
    chosen = pois.take(choice.mask).to_crs(regions.crs)
    rows = np.unique(assign_to_polygons(chosen.xy, regions.geometry).region)
    made.reads += [
        ("chosen points", f"{int(choice.mask.sum()):,} of {len(pois):,}: {choice.words}"),
        ("regions with a chosen point", f"{len(rows):,} of {len(regions):,}"),
    ]

    def attend(some: np.ndarray) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = SampleStore(folder, {"pilot": len(some)})
            method.attention(trained, city, regions.take(some), choice.mask, store, Progress())

    progress.update(0.3, "Trying some regions")
    made.seconds["reading attention"] = tried(made, rows if len(rows) else np.arange(len(regions)), attend)
    made.seconds["writing"] = None
    made.memory_bytes = peak_bytes()


def plan_prediction(stage: PredictStage, made: Plan, progress: Progress) -> None:
    """Of probes some rows of labels, of networks some steps of the fine-tuning or some regions."""
    from urbanfm_core.evaluation.inputs import read_labelled_regions
    from urbanfm_core.evaluation.predicting import read_target

    if stage.label_raster is not None:
        made.seconds["predicting"] = None
        made.notes.append("The raster of labels is not read in a dry run, so time is not measured.")
        return
    regions, labels, _ = read_labelled_regions(stage, Progress())
    if stage.regions is None:
        made.reads.append(("regions", f"{len(regions):,} polygons of the embeddings"))
    target = None if stage.target is None else read_target(stage, regions, labels)
    if target is not None:
        made.reads.append(
            (
                "target",
                f"{target.name} ({target.task}), known for {int(target.labelled.sum()):,} of {len(regions):,} regions",
            )
        )
    progress.update(0.3, "Trying some regions")
    if stage.checkpoint is not None:
        _plan_network(stage, made, regions, target)
    else:
        _plan_probe(stage, made, regions, labels, target)
    made.memory_bytes = peak_bytes()


def _plan_probe(stage: PredictStage, made: Plan, regions: Any, labels: Any, target: Any) -> None:
    import torch

    from urbanfm_core.data.splits import make_folds
    from urbanfm_core.evaluation.floors import centres_m
    from urbanfm_core.evaluation.predict import probe_predictor
    from urbanfm_core.evaluation.run import require_enough
    from urbanfm_core.evaluation.tables import read_embeddings

    table = read_embeddings(str(stage.embeddings), regions, stage.embeddings_id, {str(name) for name in labels.columns})
    features = table[-1]
    made.reads.append(
        (
            "embeddings",
            f"{features.vectors.shape[1]} dimensions for {int(features.covered.sum()):,} of {len(regions):,} regions",
        )
    )
    name_device(made, torch.device("cpu"))
    require_enough(target, features.covered)
    centres, predictor = centres_m(regions), probe_predictor(stage.head, target, features.vectors, stage.seed)

    def predict(some: np.ndarray) -> None:
        folds = make_folds(centres[some], "spatial", folds=stage.folds, blocks=stage.blocks, seed=stage.seed)
        predictor(some, some[:0], folds, Progress())

    rows = np.flatnonzero(target.labelled & features.covered)
    made.seconds["predicting"] = scaled(rows, _PILOT_LABELS, predict)
    made.notes.append(f"{stage.folds} models of the probe, each without one fold; intervals and maps come on top.")


def _plan_network(stage: PredictStage, made: Plan, regions: Any, target: Any) -> None:
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.evaluation.finetuning import load_network, training_config
    from urbanfm_core.models.finetuning import Choice, fine_tuning

    city = city_of(stage)
    tuner, trained, _ = load_network(stage, city)
    name_device(made, trained.device)

    def read(some: np.ndarray, then: Callable[[Any, np.ndarray], None]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = SampleStore(folder, {"pilot": len(some)})
            inputs = tuner.read(trained, replace(city, regions=regions.take(some)), store, Progress())
            then(inputs, np.flatnonzero(inputs.covered))

    def compute(inputs: Any, rows: np.ndarray) -> None:
        tuner.outputs(trained, inputs, rows, Progress())

    step = "reading regions" if stage.head == "finetune" else "predicting"
    made.seconds[step] = tried(made, np.arange(len(regions)), lambda some: read(some, compute))
    if stage.head != "finetune" or target is None:
        return
    labelled = np.flatnonzero(target.labelled)
    learned = len(labelled) * (stage.folds - 1) // stage.folds
    settings = training_config(stage, tuner, max(learned, 1))
    trainings = stage.folds + (stage.checkpoint_out is not None)
    some = spread(labelled, PILOT_REGIONS[1])
    measured: list[float] = []

    def tune(inputs: Any, rows: np.ndarray) -> None:
        if len(rows):
            kind: Any = "numbers" if target.task == "regression" else "shares"
            choice = Choice(stage.fusion, stage.learns, stage.guide or "")
            truth = target.values[some[rows]]
            method, prepared = fine_tuning(tuner, trained, inputs, rows, truth, kind=kind, choice=choice, about={})
            measured.append(time_training(method, prepared, settings, trained.device, learned)[0])

    read(some, tune)
    made.seconds["fine-tuning"] = measured[0] * trainings if measured else None
    made.notes.append(
        f"{trainings} trainings of {stage.epochs} epochs on about {learned:,} regions in batches of {settings.batch_size}."
    )


def plan_ablation(stage: AblateStage, made: Plan, progress: Progress) -> None:
    """One training, embedding and scoring measured, times the trainings; what an earlier run finished is not known here."""
    from urbanfm_core.ablating import planned_variants
    from urbanfm_core.models import get_method, load_preset

    preset = load_preset(stage.preset)
    method = get_method(preset["method"])
    variants = planned_variants(stage, method, method_config(stage, method, preset))
    city = city_of(stage)
    regions = regions_of(stage, city)
    if stage.regions is None:
        made.reads.append(("regions", f"{len(regions):,} cells of a grid"))
    prepared = plan_training(stage, made, progress)
    trainings = len(variants) * stage.training_seeds
    made.seconds |= {"embedding": None, "scoring": None}
    if prepared is not None:
        trained = trained_from(method, prepared, stage)
        made.seconds["embedding"] = time_embedding(method, trained, city, regions, made)
        made.seconds["scoring"] = _time_scoring(stage, made, regions, prepared.config)
    for step in ("training", "embedding", "scoring"):
        one = made.seconds.get(step)
        made.seconds[step] = None if one is None else one * trainings
    made.notes.append(
        f"{trainings} trainings: {', '.join(variant.name for variant in variants)}, {stage.training_seeds} times each. "
        "Time is that of the full model; trainings that an earlier run finished take none. Floors are scored on top."
    )


def _time_scoring(stage: AblateStage, made: Plan, regions: Any, config: Any) -> float | None:
    """Seconds of scoring the vectors of one training: one split of few regions and of more, in all seeds."""
    from urbanfm_core.evaluation.floors import centres_m
    from urbanfm_core.evaluation.inputs import labels_of, settings_of, targets_of
    from urbanfm_core.evaluation.run import evaluate
    from urbanfm_core.evaluation.tables import Features

    if stage.label_raster is not None:
        made.notes.append("The raster of labels is not read in a dry run, so scoring is not measured.")
        return None
    labels, _ = labels_of(stage, regions, Progress())
    targets = targets_of(stage, regions, labels)
    known = [f"{target.name} of {int(target.labelled.sum()):,}" for target in targets]
    made.reads.append(("targets", f"{', '.join(known)} regions"))
    width = getattr(config, "embedding_dim", None) or getattr(config, "hidden_size", None) or 64
    vectors = np.random.default_rng(0).normal(size=(len(regions), width))
    settings = replace(settings_of(stage, stage.seed), seeds=(stage.seed,))

    def score(some: np.ndarray) -> None:
        among = np.isin(np.arange(len(regions)), some)
        evaluate(targets, [Features("pilot", vectors)], centres_m(regions), settings, Progress(), among=among)

    rows = np.flatnonzero(np.all([target.labelled for target in targets], axis=0))
    return scaled(rows, _PILOT_LABELS, score) * stage.seeds


def plan_transfer(stage: TransferStage, made: Plan, progress: Progress) -> None:
    """The training of each city that is trained on, and the embedding of each city; scoring is not measured."""
    from urbanfm_core.models import get_method, load_preset
    from urbanfm_core.transferring import sources_of

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


def plan_captions(stage: CaptionStage, made: Plan, progress: Progress) -> None:
    """What services would cost, and the time that models on this machine take, from two pictures."""
    from urbanfm_core.caption_pipeline import captioners_of, pictures_of
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


def tried(made: Plan, rows: np.ndarray, run: Callable[[np.ndarray], None]) -> float | None:
    """As `scaled`, of regions; None, with a note, if those that were tried hold nothing."""
    try:
        run(spread(rows, 2))  # what is paid once in a process, such as loading libraries
        return scaled(rows, PILOT_REGIONS, run)
    except (EmptyInputError, NoOverlapError) as error:
        made.notes.append(f"Time is not measured, since of the regions that were tried: {error.message}")
        return None

"""What predictions and ablations would take; see `planning`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from urbanfm_core.inputs import city_of, regions_of
from urbanfm_core.pipeline.ablation import planned_variants
from urbanfm_core.pipeline.trained import Learner
from urbanfm_core.planning.embedding import time_embedding
from urbanfm_core.planning.pilots import PILOT_REGIONS, scaled, spread, tried
from urbanfm_core.planning.plans import Plan, name_device, peak_bytes
from urbanfm_core.planning.training import plan_training, time_training, trained_from
from urbanfm_core.progress import Progress
from urbanfm_core.stages.evaluation import AblateStage, PredictStage

_PILOT_LABELS = (100, 300)


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

    from urbanfm_core.evaluation.floors import centres_m
    from urbanfm_core.evaluation.predict import blocked_folds, probe_predictor
    from urbanfm_core.evaluation.predicting import settings_of
    from urbanfm_core.evaluation.run import require_enough
    from urbanfm_core.evaluation.tables import read_embeddings

    fields = {str(name) for name in labels.columns}
    table = read_embeddings(
        str(stage.embeddings), regions, stage.embeddings_id, fields, stage.embeddings_columns, own=stage.regions is None
    )
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
        predictor(some, some[:0], blocked_folds(centres[some], settings), Progress())

    rows, settings = np.flatnonzero(target.labelled & features.covered), settings_of(stage, target.task)
    made.seconds["predicting"] = scaled(rows, _PILOT_LABELS, predict)
    made.notes.append(
        f"{blocked_folds(centres[rows], settings).count} models of the probe, each without one fold; intervals and maps come on top."
    )


def _plan_network(stage: PredictStage, made: Plan, regions: Any, target: Any) -> None:
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.evaluation.finetuning import load_network, training_config
    from urbanfm_core.evaluation.predicting import FOLDS, settings_of
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
    folds = settings_of(stage, target.task).folds or FOLDS
    learned = len(labelled) * (folds - 1) // folds
    settings = training_config(stage, tuner, max(learned, 1))
    trainings = folds + (stage.checkpoint_out is not None)
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
    learner = Learner.of(stage)
    variants = planned_variants(stage, learner.method, learner.config)
    city = city_of(stage)
    regions = regions_of(stage, city)
    if stage.regions is None:
        made.reads.append(("regions", f"{len(regions):,} cells of a grid"))
    prepared = plan_training(stage, made, progress)
    trainings = len(variants) * stage.training_seeds
    made.seconds |= {"embedding": None, "scoring": None}
    if prepared is not None:
        trained = trained_from(learner.method, prepared, stage)
        made.seconds["embedding"] = time_embedding(learner.method, trained, city, regions, made)
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

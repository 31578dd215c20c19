"""From the parameters of `predict` to a prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError
from urbanfm_core.evaluation.floors import centres_m
from urbanfm_core.evaluation.inputs import read_labelled_regions
from urbanfm_core.evaluation.metrics import Task
from urbanfm_core.evaluation.predict import Prediction, Settings, predict, probe_predictor, unlike
from urbanfm_core.evaluation.probes import MLP_COMMITTEE
from urbanfm_core.evaluation.tables import read_embeddings
from urbanfm_core.evaluation.targets import Target, read_targets
from urbanfm_core.progress import Progress
from urbanfm_core.stages.evaluation import PredictStage

# Of what takes long to learn.
FOLDS = 5
_HEADS = {
    ("linear", "regression"): "ridge regression",
    ("linear", "binary"): "logistic regression",
    ("linear", "multiclass"): "logistic regression",
    ("linear", "distribution"): "softmax regression on shares",
}


@dataclass(frozen=True)
class Predicted:
    """A prediction and what it was made from.

    Attributes:
        head: Who predicted, in words.
        vectors: What from, in words.
        notes: Of the inputs.
    """

    regions: RegionSet
    found: Prediction
    head: str
    vectors: str
    notes: list[str] = field(default_factory=list)


def settings_of(stage: PredictStage, task: Task) -> Settings:
    """The settings in a stage's parameters for a target of a task."""
    # Ridge regression is quick, and the only one whose folds make intervals.
    each_block = stage.head == "linear" and task == "regression" and stage.checkpoint is None
    folds = stage.folds or (None if each_block else min(FOLDS, stage.blocks))
    return Settings(level=stage.level / 100, folds=folds, blocks=stage.blocks, seed=stage.seed)


def read_target(stage: PredictStage, regions: RegionSet, labels: pd.DataFrame) -> Target:
    """The one target that a stage names.

    Raises:
        ConfigError: no such column, or several targets.
        InputError: a column that does not fit the task.
    """
    wanted = stage.target if stage.target is not None else Path(str(stage.label_raster)).stem
    targets = read_targets([wanted], labels, regions.area_m2() / 1e6, stage.task)
    if len(targets) != 1:
        raise ConfigError(
            f"'{wanted}' names {len(targets)} targets; 'predict' takes one.",
            "Name one, or join fields by + for shares of a whole.",
        )
    return targets[0]


def predict_with_probe(stage: PredictStage, progress: Progress) -> Predicted:
    """Predict from a table of embeddings.

    Raises:
        ConfigError, InputError: see `read_target`, `read_embeddings` and `predict`.
    """
    regions, labels, notes = read_labelled_regions(stage, progress.part(0.0, 0.1))
    target = read_target(stage, regions, labels)
    fields = {str(name) for name in labels.columns}
    table = read_embeddings(
        str(stage.embeddings), regions, stage.embeddings_id, fields, stage.embeddings_columns, own=stage.regions is None
    )
    # Where columns look like coordinates, the first of two results holds them.
    features = table[-1]
    notes = [*notes, *(note for item in table for note in item.notes)]
    if len(table) > 1:
        notes.append("The columns that look like coordinates are left out here.")
    predictor = probe_predictor(stage.head, target, features.vectors, stage.seed)
    found = predict(
        target,
        features.covered,
        centres_m(regions),
        predictor,
        settings_of(stage, target.task),
        lambda rows: unlike(features.vectors, rows, stage.seed),
        progress.part(0.1, 1.0),
    )
    constant = int((np.ptp(features.vectors[features.covered], axis=0) == 0).sum())
    if constant:
        notes.append(f"{constant} of {features.vectors.shape[1]} dimensions are the same everywhere and say nothing.")
    mlp = f"the mean of {MLP_COMMITTEE} networks of two layers"
    head = mlp if stage.head == "mlp" else _HEADS[stage.head, target.task]
    return Predicted(regions, found, head, f"{features.name}, {features.vectors.shape[1]} dimensions", notes)

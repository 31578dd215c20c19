"""Predictions of a fine-tuned network: fold by fold for honest scores, once more on all labels to keep, and elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.places import require_polygons
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.splits import Folds
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import CheckpointError, ConfigError, InputError
from urbanfm_core.evaluation import conformal
from urbanfm_core.evaluation.floors import centres_m
from urbanfm_core.evaluation.inputs import read_labelled_regions
from urbanfm_core.evaluation.predict import Prediction, Reach, predict, unlike
from urbanfm_core.evaluation.predicting import Predicted, read_target, settings_of
from urbanfm_core.evaluation.run import require_enough
from urbanfm_core.evaluation.targets import Target
from urbanfm_core.models.device import describe_device, resolve_device
from urbanfm_core.models.exchange import Trained
from urbanfm_core.models.finetuning import KEY, Choice, Tuner, TuningInputs, fine_tuning, predict_rows
from urbanfm_core.progress import Progress
from urbanfm_core.stages.evaluation import PredictStage
from urbanfm_core.training.checkpoint import Checkpoint, restore
from urbanfm_core.training.run import train
from urbanfm_core.training.task import TrainingConfig

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
StoreMaker = Callable[[dict[str, Any]], SampleStore]
# Settings that decide what the folds' networks learn.
_DECIDES = {"epochs", "learning_rate", "fusion", "learns", "guide", "folds", "blocks", "seed", "task", "precision"}
# What a checkpoint keeps to judge new regions by.
_KEPT_VECTORS, _KEPT_RESIDUALS = 500, 5000


def predict_with_network(stage: PredictStage, city: CityInputs, store_of: StoreMaker, progress: Progress) -> Predicted:
    """Fine-tune a pre-trained network, or apply one that was fine-tuned before.

    Args:
        stage: Names the checkpoint.
        city: The layers that its method sees.
        store_of: Makes the store for what something else is made from.
        progress: Reports and cancels.
    Raises:
        ConfigError: no layer that the method sees, a method that cannot be fine-tuned, or no head to apply.
        InputError: as `predict`.
    """
    tuner, trained, checkpoint = load_network(stage, city)
    progress.log("info", f"{tuner.title} on {describe_device(trained.device)}")
    regions, labels, notes = read_labelled_regions(stage, progress.part(0.0, 0.02))
    require_polygons(regions, "A fine-tuned network")
    city = replace(city, regions=regions)
    made_from = {
        "weights": checkpoint.manifest["weights_sha256"],
        "regions": regions.fingerprint(),
        "precision": stage.precision,
    }
    if stage.head == "finetune":
        return _Tuning(stage, tuner, trained, city, regions, labels, notes).run(store_of, made_from, progress)
    return _apply(stage, tuner, trained, city, labels, notes, store_of(made_from), progress)


def load_network(stage: PredictStage, city: CityInputs) -> tuple[Tuner, Trained, Checkpoint]:
    """The network that is to be fine-tuned, or that was, and how that is done.

    Raises:
        ConfigError: no layer that the method sees, a method that cannot be fine-tuned, or no head to apply.
    """
    checkpoint = Checkpoint.load(str(stage.checkpoint))
    tuned = bool(checkpoint.config.get("predictions")) and KEY in checkpoint.preprocessing
    if stage.head != "finetune" and not tuned:
        raise ConfigError(
            f"{stage.checkpoint} has no prediction head yet.", "Fine-tune it: choose the head finetune and a target."
        )
    method, trained = restore(checkpoint, resolve_device(stage.device), stage.batch_size)
    trained = replace(trained, precision=stage.precision)
    tuner = method.tuner()
    city.require_one_of(*tuner.inputs)
    return tuner, trained, checkpoint


def training_config(stage: PredictStage, tuner: Tuner, rows: int) -> TrainingConfig:
    """How a network is fine-tuned on so many labelled regions."""
    return TrainingConfig(
        epochs=stage.epochs,
        batch_size=min(stage.batch_size or tuner.batch_size, rows),
        learning_rate=stage.learning_rate,
        weight_decay=tuner.weight_decay,
        final_lr_share=0.0,
        schedule="linear",
        warmup_epochs=min(tuner.warmup_epochs, stage.epochs / 3),
        seed=stage.seed,
        precision=stage.precision,
    )


@dataclass
class _Tuning:
    """One run of fine-tuning."""

    stage: PredictStage
    tuner: Tuner
    trained: Trained
    city: CityInputs
    regions: RegionSet
    labels: pd.DataFrame
    notes: list[str]

    def run(self, store_of: StoreMaker, made_from: dict[str, Any], progress: Progress) -> Predicted:
        """Folds, scores, and the checkpoint if one is wanted."""
        stage = self.stage
        if stage.target is None and stage.label_raster is None:
            raise ConfigError("Name what to predict.", "Give --target, a field of the regions.")
        target = read_target(stage, self.regions, self.labels)
        require_enough(target, np.ones(len(target.values), bool))
        settings = stage.model_dump(include=_DECIDES)
        values = hashlib.sha256(target.values.tobytes()).hexdigest()
        store = store_of({**made_from, **settings, "target": target.name, "values": values, "batch": stage.batch_size})
        inputs = self.tuner.read(self.trained, self.city, store, progress.part(0.02, 0.1))
        self.notes += inputs.notes
        covered = inputs.covered
        seen, _ = self.tuner.outputs(self.trained, inputs, np.flatnonzero(covered), progress)
        vectors = np.full((len(inputs), seen.shape[1]), np.nan)
        vectors[covered] = seen
        end = 0.75 if stage.checkpoint_out is not None else 1.0

        def predictor(rows: Rows, others: Rows, folds: Folds, part: Progress) -> tuple[Array, Array]:
            return self._folds(target, inputs, store, rows, others, folds, part)

        found = predict(
            target,
            covered,
            centres_m(self.regions),
            predictor,
            settings_of(stage, target.task),
            lambda rows: unlike(vectors, rows, stage.seed),
            progress.part(0.1, end),
        )
        if stage.checkpoint_out is not None:
            self._keep(
                target, inputs, store, found, np.flatnonzero(target.labelled & covered), progress.part(0.75, 1.0)
            )
        store.remove()
        how = f" ({stage.fusion} fusion)" if "fusion" in self.trained.config.__dataclass_fields__ else ""
        head = f"{self.tuner.title}, fine-tuned for {stage.epochs} epochs{how}"
        used = " and ".join(self.city.given(*self.tuner.inputs))
        return Predicted(self.regions, found, head, used, [*self.notes, *self.trained.notes])

    def _folds(
        self, target: Target, inputs: TuningInputs, store: SampleStore, rows: Rows, others: Rows, folds: Folds,
        progress: Progress,
    ) -> tuple[Array, Array]:  # fmt: skip
        kinds = target.values.shape[1]
        held, elsewhere = np.empty((len(rows), kinds)), np.empty((folds.count, len(others), kinds))
        for number in range(folds.count):
            part = progress.part(number / folds.count, (number + 1) / folds.count)
            learn, test = rows[folds.train_rows(number)], folds.test_rows(number)
            tuned, _ = self._train(target, inputs, learn, store, f"fold-{number}", part)
            asked = np.concatenate([rows[test], others])
            said, _ = predict_rows(self.tuner, tuned, inputs, asked, progress)
            held[test], elsewhere[number] = said[: len(test)], said[len(test) :]
        return held, elsewhere

    def _train(
        self, target: Target, inputs: TuningInputs, rows: Rows, store: SampleStore, name: str, progress: Progress
    ) -> tuple[Trained, Checkpoint]:
        """One network, kept in the store: what an interrupted run had finished is not done again."""
        stage, out = self.stage, store.path / name
        checkpoint = _finished(out)
        if checkpoint is None:
            progress.update(0.0, f"Fine-tuning on {len(rows)} regions")
            about = {
                "target": target.name,
                "task": target.task,
                "classes": list(target.classes),
                "log": target.log,
                "rows": len(rows),
            }
            method, prepared = fine_tuning(
                self.tuner,
                self.trained,
                inputs,
                rows,
                target.values[rows],
                kind="numbers" if target.task == "regression" else "shares",
                choice=Choice(stage.fusion, stage.learns, stage.guide or ""),
                about=about,
            )
            checkpoint = train(
                method,
                prepared,
                training_config(stage, self.tuner, len(rows)),
                device=self.trained.device,
                out=out,
                data_fingerprint=f"{store.fingerprint}-{name}",
                progress=progress,
            )
        tuned = restore(checkpoint, self.trained.device, stage.batch_size)[1]
        return replace(tuned, precision=stage.precision), checkpoint

    def _keep(
        self,
        target: Target,
        inputs: TuningInputs,
        store: SampleStore,
        found: Prediction,
        rows: Rows,
        progress: Progress,
    ) -> None:
        """A network that learned from all labels, with what it takes to judge its predictions elsewhere."""
        tuned, checkpoint = self._train(target, inputs, rows, store, "all", progress)
        _, vectors = predict_rows(self.tuner, tuned, inputs, rows, progress)
        kept = {
            "scores": {name: list(values) for name, values in found.scores.items()},
            "reach": Reach.fit(vectors, _KEPT_VECTORS, self.stage.seed).to_json(),
        }
        if found.residuals is not None:
            residuals = found.residuals
            if len(residuals) > _KEPT_RESIDUALS:
                residuals = np.random.default_rng(self.stage.seed).choice(residuals, _KEPT_RESIDUALS, replace=False)
            kept["residuals"] = [float(f"{value:.6g}") for value in residuals]
        checkpoint.preprocessing = {**checkpoint.preprocessing, KEY: {**checkpoint.preprocessing[KEY], **kept}}
        checkpoint.save(str(self.stage.checkpoint_out))
        self.notes.append(
            f"The network that learned from all {len(rows)} labelled regions is kept in {self.stage.checkpoint_out}."
        )


def _finished(path: Path) -> Checkpoint | None:
    try:
        return Checkpoint.load(path)
    except CheckpointError:
        return None


def _apply(
    stage: PredictStage,
    tuner: Tuner,
    trained: Trained,
    city: CityInputs,
    labels: pd.DataFrame,
    notes: list[str],
    store: SampleStore,
    progress: Progress,
) -> Predicted:
    """Predict with a network that was fine-tuned before."""
    regions = city.require_regions()
    about = trained.preprocessing[KEY]
    inputs = tuner.read(trained, city, store, progress.part(0.05, 0.5))
    rows = np.flatnonzero(inputs.covered)
    if not len(rows):
        raise InputError(
            f"None of the {len(regions):,} regions has anything that the network sees: {', '.join(tuner.inputs)}.",
            "Check that the layers show the same place and carry the right CRS.",
        )
    values, vectors = predict_rows(tuner, trained, inputs, rows, progress)
    found = np.full((len(inputs), values.shape[1]), np.nan)
    found[rows] = values
    missing = len(inputs) - len(rows)
    notes = [*notes, *inputs.notes]
    if missing:
        notes.append(
            f"{missing} regions have nothing that the network sees ({', '.join(tuner.inputs)}) and get no prediction."
        )
    outside = np.zeros(len(inputs), bool)
    if "reach" in about:
        outside[rows] = Reach.from_json(about["reach"]).beyond(vectors)
    if outside.any():
        notes.append(
            f"Outside what the network learned from: {int(outside.sum()):,} of {len(outside):,} regions. Trust those less."
        )
    level, bounds = stage.level / 100, None
    if "residuals" in about:
        lower, upper = np.full((2, len(inputs)), np.nan)
        lower[rows], upper[rows] = conformal.around(values[:, 0], np.array(about["residuals"]), level)
        if not np.isfinite(lower[rows]).all():
            lower[:], upper[:] = np.nan, np.nan
            notes.append(f"There are no intervals: {about['rows']} labels are too few for {stage.level:g} %.")
        else:
            notes.append(
                "Intervals come from the held-out residuals of the fine-tuning (plain split conformal); elsewhere they "
                "hold as far as the new regions are like those."
            )
        bounds = (lower, upper)
    target = _known_target(stage, regions, labels, about, notes)
    store.remove()
    prediction = Prediction(target, found, bounds, outside, 0, {}, None, level, None)
    used = " and ".join(city.given(*tuner.inputs))
    head = f"{tuner.title} that was fine-tuned on {about['rows']} regions"
    return Predicted(regions, prediction, head, used, [*notes, *trained.notes])


def _known_target(
    stage: PredictStage, regions: RegionSet, labels: pd.DataFrame, about: Mapping[str, Any], notes: list[str]
) -> Target:
    """The network's target, with the truth if the regions have it and the user names it."""
    classes = tuple(about["classes"])
    unknown = np.full((len(regions), max(len(classes), 1)), np.nan)
    blank = Target(about["target"], about["task"], unknown, classes, log=about["log"])
    if stage.target is None:
        return blank
    if stage.target not in (about["target"], f"{about['target']}:{about['task']}"):
        raise ConfigError(
            f"This network was fine-tuned for '{about['target']}', not for '{stage.target}'.",
            "Leave the target out, or fine-tune for another.",
        )
    target = read_target(stage, regions, labels)
    notes.append("The network may have learned from these regions: then its residuals flatter.")
    if target.task == blank.task and target.classes == classes:
        return target
    notes.append("The regions' labels have other classes than the network; there are no residuals.")
    return blank

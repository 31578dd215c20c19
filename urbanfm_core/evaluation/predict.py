"""Predictions of a target for every region, with intervals, and what is known about their quality.

A region with a label is predicted by a model that never saw its spatial block, so that its residual is honest; a region
without is given the mean of the models of all folds. Whoever makes these predictions (a probe, a fine-tuned network)
hands them over as a `Predictor`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from urbanfm_core.data.splits import Folds, make_folds
from urbanfm_core.errors import InputError
from urbanfm_core.evaluation import conformal
from urbanfm_core.evaluation.metrics import METRICS, Task, score
from urbanfm_core.evaluation.probes import Probe, linear_probe, predict_everywhere
from urbanfm_core.evaluation.run import require_enough
from urbanfm_core.evaluation.spatial import Moran, morans_i
from urbanfm_core.evaluation.targets import Target
from urbanfm_core.progress import Progress

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
# Labelled rows, other rows, folds of the labelled ones -> held-out (N, K), and by fold for the others (F, M, K).
Predictor = Callable[[Rows, Rows, Folds, Progress], tuple[Array, Array]]

SCORES_LEVEL = 0.95
INTERVAL = f"{100 * SCORES_LEVEL:g} % interval from resampled spatial blocks"
_DRAWS = 200
_OUTSIDE_PERCENTILE = 99.0
_MOST_NEIGHBOURS_FROM = 20_000
_MOST_SHARE_FIELDS = 30
_FLAT = 1e-12
_NAMED = 5


@dataclass(frozen=True)
class Settings:
    """How to predict; see `stages.PredictStage`.

    Attributes:
        level: Share of regions whose number the interval is to hold.
        folds: None makes a fold of each block. The more folds, the more alike their models are to each other and to one
            that learned from all, and the less the intervals hold more than they are to.
    """

    level: float = 0.9
    folds: int | None = 5
    blocks: int = 25
    seed: int = 0


@dataclass(frozen=True)
class Prediction:
    """What was predicted for R regions, on the scale that the model learned (logarithms where the target is one).

    Attributes:
        target: What was predicted; its truth where it is known.
        values: (R, K) numbers, or shares; NaN rows are regions without a vector.
        bounds: Lower and upper bounds, (R,) each, of numbers; NaN where there are none.
        outside: (R,) whether a region is unlike all that the model learned from.
        rows: Labelled regions with a vector, N.
        scores: By metric: value, and its interval. Of held-out predictions only; else empty.
        coverage: Share of labelled regions inside their interval; None unless held out, or not for numbers.
        level: See `Settings`.
        moran: Of the residuals; None without them.
        notes: What was left out, chosen or is worth knowing.
        residuals: Held-out residuals of numbers, for intervals elsewhere, (N,).
    """

    target: Target
    values: Array
    bounds: tuple[Array, Array] | None
    outside: NDArray[np.bool_]
    rows: int
    scores: dict[str, tuple[float, float, float]]
    coverage: float | None
    level: float
    moran: Moran | None
    notes: list[str] = field(default_factory=list)
    residuals: Array | None = None

    @property
    def predicted(self) -> NDArray[np.bool_]:
        """(R,) whether a region has a prediction."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    def residual(self) -> Array:
        """(R,) on the learned scale, NaN where truth or prediction is missing; see `residuals_of`."""
        return residuals_of(self.target.task, self.target.values, self.values)

    def fields(self) -> dict[str, object]:
        """The columns to write, in the units of the source: logarithms are undone.

        `pred` is the number, or the name of the most likely class or largest share; NULL without a vector.
        """
        task, known = self.target.task, self.predicted
        found: dict[str, object] = {}
        if task == "regression":
            undo = np.exp if self.target.log else np.asarray
            number, truth = undo(self.values[:, 0]), undo(self.target.values[:, 0])
            found["pred"] = number
            if self.bounds is not None:
                found["pred_lower"], found["pred_upper"] = (undo(bound) for bound in self.bounds)
            found["pred_residual"] = truth - number
        else:
            names = np.array(self.target.classes, dtype=object)
            best = np.where(known, np.nan_to_num(self.values).argmax(axis=1), 0)
            found["pred"] = pd.Series(names[best]).where(pd.Series(known), None)
            found["pred_share"] = np.where(known, np.take_along_axis(self.values, best[:, None], axis=1)[:, 0], np.nan)
            found |= dict(zip(share_fields(self.target), self.values.T, strict=False))
            found["pred_residual"] = self.residual()
        found["pred_outside"] = pd.Series(self.outside, dtype="Int32").where(pd.Series(known))
        return found


def share_fields(target: Target) -> list[str]:
    """Names of the fields with the share of each class; none if there are too many."""
    if len(target.classes) > _MOST_SHARE_FIELDS:
        return []
    names = [f"pred_{'' if target.task == 'distribution' else 'p_'}{name}" for name in target.classes]
    # GeoPackage does not tell upper from lower case, and some names are those of our other fields.
    own = {"pred_share", "pred_residual", "pred_outside", "pred_lower", "pred_upper"}
    lowered = [name.lower() for name in names]
    if len(set(lowered)) < len(lowered) or own & set(lowered):
        return [f"pred_p_{number:02d}" for number in range(1, len(names) + 1)]
    return names


def residuals_of(task: Task, truth: Array, predicted: Array) -> Array:
    """One number per region, (R,), that says how far a prediction is off.

    Numbers: truth - prediction. Two classes: truth (0 or 1) - probability of the positive class. More classes: 1 -
    probability of the true class. Shares: half the L1 distance, the share that is misplaced.
    """
    if task == "regression":
        return truth[:, 0] - predicted[:, 0]
    if task == "binary":
        return truth[:, 1] - predicted[:, 1]
    if task == "multiclass":
        return np.asarray(1.0 - (truth * predicted).sum(axis=1), np.float64)
    return np.asarray(np.abs(truth - predicted).sum(axis=1) / 2, np.float64)


def probe_predictor(head: str, target: Target, vectors: Array, seed: int) -> Predictor:
    """Predictions of a probe on vectors, (R, D); `head` is 'linear' or 'mlp'."""
    probe: Probe = "mlp" if head == "mlp" else linear_probe(target.task)

    def predictor(rows: Rows, others: Rows, folds: Folds, progress: Progress) -> tuple[Array, Array]:
        truth = target.values[rows]
        return predict_everywhere(probe, target.task, vectors[rows], truth, folds, vectors[others], seed, progress)

    return predictor


def predict(
    target: Target,
    covered: NDArray[np.bool_],
    xy: Array,
    predictor: Predictor,
    settings: Settings,
    outside: Callable[[Rows], NDArray[np.bool_]],
    progress: Progress | None = None,
) -> Prediction:
    """Predict every region that has a vector.

    Args:
        target: Labels of R regions.
        covered: (R,) regions with a vector.
        xy: (R, 2) centres, metres.
        predictor: Who predicts.
        settings: How.
        outside: Which of the R regions are unlike those of the given rows.
        progress: Reports and cancels.
    Raises:
        InputError: fewer than 20 regions have label and vector, or these have one value only.
    """
    progress = progress or Progress()
    require_enough(target, covered)
    rows = np.flatnonzero(target.labelled & covered)
    others = np.flatnonzero(covered & ~target.labelled)
    truth = target.values[rows]
    if (np.ptp(truth, axis=0) == 0).all():
        raise InputError(
            f"Target '{target.name}' has one value only in the {len(rows)} regions that have a vector, so there is "
            "nothing to predict.",
            "Choose another field.",
        )
    folds = blocked_folds(xy[rows], settings)
    held, elsewhere = predictor(rows, others, folds, progress.part(0.0, 0.8))
    values = np.full(target.values.shape, np.nan)
    values[rows], values[others] = held, elsewhere.mean(axis=0)
    notes = [*target.notes, *_counts(target, covered), *_unseen_classes(target, truth, folds)]
    if target.task == "regression" and not target.log and truth.min() >= 0 and (values < 0).any():
        remedy = f"; the target log:{target.name} would keep them above" if truth.min() > 0 else ""
        notes.append(f"{int((values < 0).sum())} predictions are below 0, though no label is{remedy}.")
    if target.log:
        notes.append("Scores, Moran's I and the map of residuals are of logarithms; the layer's fields are not.")
    bounds, achieved, residuals = None, None, None
    if target.task == "regression":
        residuals = truth[:, 0] - held[:, 0]
        lower, upper = np.full((2, len(values)), np.nan)
        lower[rows], upper[rows] = conformal.held_out_intervals(truth[:, 0], held[:, 0], folds.fold, settings.level)
        lower[others], upper[others] = conformal.cv_plus(residuals, folds.fold, elsewhere[:, :, 0], settings.level)
        achieved = conformal.coverage(truth[:, 0], lower[rows], upper[rows])
        endless = ~np.isfinite(lower) & covered
        if endless.any():
            notes.append(
                f"{int(endless.sum())} regions have no interval: {len(rows)} labels are too few for a level of "
                f"{100 * settings.level:g} %."
            )
        bounds = np.where(np.isfinite(lower), lower, np.nan), np.where(np.isfinite(upper), upper, np.nan)
        notes.append(
            f"Intervals are conformal (CV+, Barber et al. 2021) from residuals in {folds.count} folds of spatial blocks; of "
            f"{len(rows)} labelled regions {100 * achieved:.1f} % lie inside theirs, {100 * settings.level:g} % were "
            "asked for."
        )
    moran = morans_i(
        residuals_of(target.task, truth, held), xy[rows], seed=settings.seed, progress=progress.part(0.8, 0.9)
    )
    notes += [moran.sentence()] if moran is not None else []
    far = outside(rows) & covered
    if far.any():
        notes.append(
            f"Outside what the model learned from: {int(far.sum()):,} of {len(far):,} regions, whose vectors are farther from "
            "all labelled ones than 99 % of these are from each other. Trust their predictions less."
        )
    scores = _scores(target.task, truth, held, folds.block, settings.seed)
    progress.update(1.0)
    return Prediction(target, values, bounds, far, len(rows), scores, achieved, settings.level, moran, notes, residuals)


def blocked_folds(xy: Array, settings: Settings) -> Folds:
    """Folds of labelled regions with these centres, (N, 2), in metres."""
    count = settings.folds or max(2, min(settings.blocks, len(xy) // 2, len(np.unique(xy, axis=0))))
    return make_folds(xy, "spatial", folds=count, blocks=settings.blocks, seed=settings.seed)


def _counts(target: Target, covered: NDArray[np.bool_]) -> list[str]:
    labelled = target.labelled
    counted = [
        (int((~covered).sum()), "regions have no vector and get no prediction"),
        (int((labelled & ~covered).sum()), "of them have a label"),
        (
            int((covered & ~labelled).sum()),
            "regions without a label are predicted by the mean of the models of all folds",
        ),
    ]
    return [f"{count} {what}." for count, what in counted if count]


def _unseen_classes(target: Target, truth: Array, folds: Folds) -> list[str]:
    """A note on classes that are all in one fold: the model that is tested on them never saw them."""
    if target.task not in ("binary", "multiclass"):
        return []
    seen_in = [len(np.unique(folds.fold[column == 1])) for column in truth.T]
    names = [name for name, count in zip(target.classes, seen_in, strict=True) if count == 1]
    if not names:
        return []
    listed = ", ".join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")
    return [
        f"{len(names)} of {len(seen_in)} classes lie in one fold only ({listed}): the models that are tested there "
        "never saw them, and cannot be right about them."
    ]


def _scores(task: Task, truth: Array, held: Array, block: Rows, seed: int) -> dict[str, tuple[float, float, float]]:
    """Each score of the held-out predictions, and its interval over resampled blocks of regions."""
    whole = score(task, truth, held)
    members = [np.flatnonzero(block == label) for label in np.unique(block)]
    rng = np.random.default_rng(seed)
    drawn: list[dict[str, float]] = []
    for _ in range(_DRAWS):
        rows = np.concatenate([members[place] for place in rng.integers(0, len(members), len(members))])
        drawn.append(score(task, truth[rows], held[rows]))
    found = {}
    for name in METRICS[task]:
        numbers = np.array([one[name] for one in drawn])
        finite = numbers[np.isfinite(numbers)]
        low, high = (
            np.quantile(finite, (0.5 - SCORES_LEVEL / 2, 0.5 + SCORES_LEVEL / 2)) if len(finite) else (np.nan, np.nan)
        )
        found[name] = (whole[name], float(low), float(high))
    return found


@dataclass(frozen=True)
class Reach:
    """Where the vectors lie that a model learned from.

    A vector is beyond if it is farther from the nearest of these than 99 % of them are from their own nearest neighbour.
    Distances are Euclidean between vectors standardised by these.

    Attributes:
        vectors: (M, D) standardised.
        centre, scale: (D,) what standardises: (v - centre) * scale.
        limit: The 99th percentile.
    """

    vectors: Array
    centre: Array
    scale: Array
    limit: float

    @classmethod
    def fit(cls, train: Array, most: int, seed: int) -> Reach:
        """From training vectors, (N, D); of more than `most`, a sample."""
        if len(train) > most:
            train = train[np.sort(np.random.default_rng(seed).choice(len(train), most, replace=False))]
        centre, spread = train.mean(axis=0), train.std(axis=0)
        flat = spread <= _FLAT * np.maximum(np.abs(centre), 1.0)
        scale = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, spread))
        learned = (train - centre) * scale
        apart = NearestNeighbors(n_neighbors=2).fit(learned).kneighbors(learned)[0][:, 1]
        return cls(learned, centre, scale, float(np.percentile(apart, _OUTSIDE_PERCENTILE)))

    def beyond(self, vectors: Array, own: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Which vectors are, (M,); those that are one of the training vectors (`own`) are compared with the others."""
        index = NearestNeighbors(n_neighbors=2).fit(self.vectors)
        distances = index.kneighbors((vectors - self.centre) * self.scale)[0]
        nearest = distances[:, 0] if own is None else np.where(own, distances[:, 1], distances[:, 0])
        return np.asarray(nearest > self.limit)

    def to_json(self) -> dict[str, object]:
        """As a checkpoint keeps it, with five digits."""
        rounded = [[float(f"{value:.5g}") for value in row] for row in self.vectors]
        return {
            "vectors": rounded,
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "limit": self.limit,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Reach:
        """Undo `to_json`."""
        return cls(np.array(kept["vectors"]), np.array(kept["centre"]), np.array(kept["scale"]), float(kept["limit"]))


def unlike(vectors: Array, rows: Rows, seed: int = 0) -> NDArray[np.bool_]:
    """Regions whose vector is unlike all that a model learned from; see `Reach`.

    Args:
        vectors: (R, D); a row that is not finite is not unlike.
        rows: Of the training regions; of more than 20,000 a sample is taken.
        seed: Of the sample.
    Returns:
        (R,).
    """
    if len(rows) > _MOST_NEIGHBOURS_FROM:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_NEIGHBOURS_FROM, replace=False))
    known = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    found = np.zeros(len(vectors), bool)
    found[known] = Reach.fit(vectors[rows], len(rows), seed).beyond(vectors[known], np.isin(known, rows))
    return found

"""Scores of embeddings and floors, on the same regions and the same folds, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.splits import Folds, SplitKind, make_folds
from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.evaluation.metrics import METRICS, Task, better, score
from urbanfm_core.evaluation.probes import Probe, linear_probe, predict_held_out
from urbanfm_core.evaluation.results import Comparison, LabelShare, Score, Summary, TargetResult, judge
from urbanfm_core.evaluation.shares import few_labels
from urbanfm_core.evaluation.tables import Features
from urbanfm_core.evaluation.targets import Target
from urbanfm_core.progress import Progress

_FEWEST_REGIONS = 20


@dataclass(frozen=True)
class Settings:
    """How to evaluate; see `stages.EvaluateStage`.

    Attributes:
        label_shares: Shares of the labels that probes learn from, each in (0, 1]; all of them are always scored.
    """

    splits: tuple[SplitKind, ...] = ("spatial",)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    folds: int = 5
    blocks: int = 25
    linear: bool = True
    mlp: bool = True
    settled_per_km2: float = 1000.0
    label_shares: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        wrong = [share for share in self.label_shares if not 0 < share <= 1]
        if wrong:
            raise ConfigError(f"A share of the labels lies above 0 and at most at 1, found {wrong[0]:g}.")


@dataclass(frozen=True)
class Evaluation:
    """The whole outcome.

    Attributes:
        results: One per target, split and set of regions.
        features: Name, width, whether a floor, and whether given positions, of each feature set.
        settings: What was done.
        notes: What was guessed, left out or changed.
    """

    results: list[TargetResult]
    features: list[dict[str, Any]]
    settings: Settings
    notes: list[str] = field(default_factory=list)

    def verdicts(self) -> list[str]:
        """Every floor that an embedding does not beat, in sentences."""
        return [sentence for result in self.results for sentence in result.verdicts()]


def evaluate(
    targets: Sequence[Target],
    features: Sequence[Features],
    xy: NDArray[np.float64],
    settings: Settings,
    progress: Progress | None = None,
    *,
    among: NDArray[np.bool_] | None = None,
) -> Evaluation:
    """Score every feature set on every target.

    All feature sets of a target are scored on the same regions, those with a label and with a vector of each set, and
    on the same folds.

    Args:
        targets: Labels of R regions.
        features: Vectors of the same regions; at least one set.
        xy: (R, 2) centres in metres.
        settings: How.
        progress: Reports and cancels.
        among: (R,) regions that may take part, such as those with vectors of sets that are scored in other calls: calls
            with the same regions have the same folds. None for all.

    Raises:
        InputError: fewer than 20 regions have both label and vectors.
    """
    progress = progress or Progress()
    jobs: list[tuple[Target, SplitKind, bool]] = []
    for target in targets:
        for split in settings.splits:
            jobs.append((target, split, False))
            if target.density is not None and settings.settled_per_km2 > 0:
                jobs.append((target, split, True))
    covered = np.all([item.covered for item in features], axis=0)
    if among is not None:
        covered &= among
    notes = [note for target in targets for note in target.notes]
    notes += [note for item in features for note in item.notes]
    results = []
    for number, (target, split, settled) in enumerate(jobs):
        part = progress.part(number / len(jobs), (number + 1) / len(jobs))
        labelled = target.labelled
        if settled and target.density is not None:
            labelled = labelled & (target.density >= settings.settled_per_km2)
        rows = np.flatnonzero(labelled & covered)
        if settled and len(rows) < _FEWEST_REGIONS:
            notes.append(f"{target.name}: only {len(rows)} settled regions, too few to be scored on their own.")
            continue
        require_enough(target, covered)
        if settled and len(rows) == int((target.labelled & covered).sum()):
            notes.append(f"{target.name}: all regions are settled.")
            continue
        result = _evaluate_target(target, features, xy, rows, split, settings, part)
        uncovered = int((labelled & ~covered).sum())
        result = replace(result, regions="settled" if settled else "all", uncovered=uncovered)
        results.append(replace(result, unlabelled=int((~target.labelled).sum())))
        notes += [
            f"{result.title}: with {100 * item.share:.4g} % of the labels a probe learns from about {item.regions:.0f} regions "
            "only, so chance decides much."
            for item in result.label_shares
            if item.regions < _FEWEST_REGIONS
        ]
    described = [
        {"name": item.name, "width": item.vectors.shape[1], "floor": item.floor, "given_position": item.position}
        for item in features
    ]
    return Evaluation(results, described, settings, list(dict.fromkeys(notes)))


def require_enough(target: Target, covered: NDArray[np.bool_]) -> None:
    """Check that enough regions have both a label and vectors.

    Raises:
        InputError: fewer than 20 do.
    """
    labelled = target.labelled
    usable = int((labelled & covered).sum())
    if usable < _FEWEST_REGIONS:
        raise InputError(
            f"Target '{target.name}': {usable} regions have a label and vectors of all kinds; "
            f"{_FEWEST_REGIONS} are needed.",
            f"{int((~labelled).sum())} have no label, {int((labelled & ~covered).sum())} lack vectors.",
        )


def _evaluate_target(
    target: Target,
    features: Sequence[Features],
    xy: NDArray[np.float64],
    rows: NDArray[np.int64],
    split: SplitKind,
    settings: Settings,
    progress: Progress,
) -> TargetResult:
    truth = target.values[rows]
    held = [
        make_folds(xy[rows], split, folds=settings.folds, blocks=settings.blocks, seed=seed) for seed in settings.seeds
    ]
    shares = sorted({1.0, *settings.label_shares}, reverse=True)
    parts = []
    for number, share in enumerate(shares):
        fewer = [few_labels(folds, share, seed) for folds, seed in zip(held, settings.seeds, strict=True)]
        part = progress.part(number / len(shares), (number + 1) / len(shares))
        scores = _score_features(target, features, rows, truth, fewer, settings, part)
        learned = float(np.mean([len(folds.train_rows(place)) for folds in fewer for place in range(folds.count)]))
        comparisons = _compare(target.task, [one for one in scores if one.best])
        parts.append(LabelShare(share, learned, scores, comparisons))
    whole = parts[0]
    return TargetResult(
        target=target.name,
        task=target.task,
        split=split,
        regions="all",
        rows=len(rows),
        unlabelled=0,
        uncovered=0,
        classes=target.classes,
        scores=whole.scores,
        comparisons=whole.comparisons,
        label_shares=parts if len(parts) > 1 else [],
    )


def _score_features(
    target: Target,
    features: Sequence[Features],
    rows: NDArray[np.int64],
    truth: NDArray[np.float64],
    held: Sequence[Folds],
    settings: Settings,
    progress: Progress,
) -> list[Score]:
    """All probes of all feature sets; the better one of each is marked."""
    probes = [linear_probe(target.task)] if settings.linear else []
    probes += ["mlp"] if settings.mlp else []
    metric = METRICS[target.task][0]
    scores: list[Score] = []
    for number, item in enumerate(features):
        progress.update(number / len(features), f"{target.name}: {item.name}")
        vectors = item.vectors[rows]
        mine = [
            Score(
                item.name,
                item.floor,
                item.position,
                vectors.shape[1],
                probe,
                _score_seeds(probe, target.task, vectors, truth, held, settings.seeds, progress),
            )
            for probe in probes
        ]
        best = mine[0]
        for one in mine[1:]:
            if better(metric, one.metrics[metric].mean, best.metrics[metric].mean):
                best = one
        scores += [replace(one, best=one is best) for one in mine]
    return scores


def _score_seeds(
    probe: Probe,
    task: Task,
    vectors: NDArray[np.float64],
    truth: NDArray[np.float64],
    held: Sequence[Folds],
    seeds: Sequence[int],
    progress: Progress,
) -> dict[str, Summary]:
    found = []
    for folds, seed in zip(held, seeds, strict=True):
        progress.check()
        found.append(score(task, truth, predict_held_out(probe, task, vectors, truth, folds, seed, progress)))
    return {name: Summary(tuple(one[name] for one in found)) for name in METRICS[task]}


def _compare(task: Task, best: Sequence[Score]) -> list[Comparison]:
    """Each embedding against every floor, and against the embeddings after it."""
    metric = METRICS[task][0]
    embeddings = [item for item in best if not item.floor]
    pairs = [(one, other) for one in embeddings for other in best if other.floor]
    pairs += [(one, other) for place, one in enumerate(embeddings) for other in embeddings[place + 1 :]]
    return [_comparison(metric, one, other) for one, other in pairs]


def _comparison(metric: str, one: Score, other: Score) -> Comparison:
    first, second = np.array(one.metrics[metric].per_seed), np.array(other.metrics[metric].per_seed)
    difference = Summary(tuple((first - second).tolist()))
    ratio = Summary(tuple((first / second).tolist())) if min(first.min(), second.min()) > 0 else None
    verdict = judge(metric, difference)
    return Comparison(one.features, other.features, other.floor, metric, difference, ratio, verdict)

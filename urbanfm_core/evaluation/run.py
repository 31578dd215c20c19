"""Scores of embeddings and floors, on the same regions and the same folds, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from urbanfm_core.data.splits import Folds, SplitKind, make_folds
from urbanfm_core.errors import InputError
from urbanfm_core.evaluation.metrics import METRICS, Task, better, score
from urbanfm_core.evaluation.probes import Probe, linear_probe, predict_held_out
from urbanfm_core.evaluation.tables import Features, Position
from urbanfm_core.evaluation.targets import Target
from urbanfm_core.progress import Progress

INTERVAL = "95 % t interval over the seeds"
_LEVEL = 0.95
_FEWEST_REGIONS = 20


@dataclass(frozen=True)
class Summary:
    """One number per seed, their mean, and its interval; without several seeds the interval is the mean.

    Attributes:
        per_seed: In the order of the seeds.
    """

    per_seed: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.per_seed))

    @property
    def interval(self) -> tuple[float, float]:
        """Student's t interval of the mean over the seeds: how far the choice of blocks moves it."""
        count = len(self.per_seed)
        if count < 2:
            return self.mean, self.mean
        half = float(stats.t.ppf(0.5 + _LEVEL / 2, count - 1) * np.std(self.per_seed, ddof=1) / np.sqrt(count))
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Score:
    """What one feature set achieved with one probe.

    Attributes:
        metrics: By name, the task's first metric first.
        best: Whether no probe of these features has a better mean in the first metric.
    """

    features: str
    floor: bool
    position: Position
    width: int
    probe: Probe
    metrics: dict[str, Summary]
    best: bool = False


@dataclass(frozen=True)
class Comparison:
    """An embedding against another feature set, each with its best probe, in the first metric.

    Attributes:
        difference: First minus second, seed by seed.
        ratio: First through second, seed by seed; None where either is not positive.
        verdict: 'better' or 'worse' if the interval of the difference excludes 0, else 'level'; 'single' for one seed,
            which gives no interval.
    """

    features: str
    against: str
    against_floor: bool
    metric: str
    difference: Summary
    ratio: Summary | None
    verdict: str

    @property
    def loses(self) -> bool:
        """Whether the first is worse: beyond its interval, or at all if there is one seed only."""
        return self.verdict == "worse" or (self.verdict == "single" and better(self.metric, 0.0, self.difference.mean))


@dataclass(frozen=True)
class TargetResult:
    """All scores of one target with one kind of split on one set of regions.

    Attributes:
        regions: 'all', or 'settled'.
        rows: Regions that took part.
        unlabelled: Regions without a label.
        uncovered: Labelled regions that some feature set has no vector for.
    """

    target: str
    task: Task
    split: SplitKind
    regions: str
    rows: int
    unlabelled: int
    uncovered: int
    classes: tuple[str, ...]
    scores: list[Score]
    comparisons: list[Comparison]

    @property
    def metric(self) -> str:
        return METRICS[self.task][0]

    @property
    def title(self) -> str:
        where = {"spatial": "spatial blocks", "random": "random folds"}[self.split]
        return f"{self.target} ({self.task}, {where}{', settled regions' if self.regions != 'all' else ''})"

    def best_scores(self) -> list[Score]:
        """The best probe of each feature set, best first."""
        best = [item for item in self.scores if item.best]
        return sorted(best, key=lambda item: item.metrics[self.metric].mean, reverse=better(self.metric, 1.0, 0.0))

    def verdicts(self) -> list[str]:
        """A sentence for each embedding that does not beat every floor."""
        sentences = []
        for name in dict.fromkeys(item.features for item in self.comparisons):
            against = [item for item in self.comparisons if item.features == name and item.against_floor]
            lost = [item.against for item in against if item.loses]
            level = [item.against for item in against if item.verdict == "level"]
            parts = [f"loses to {_listed(lost)}"] if lost else []
            parts += [f"is level with {_listed(level)}"] if level else []
            if parts:
                sentences.append(f"{self.title}: {name} {' and '.join(parts)}.")
        return sentences


def _listed(names: Sequence[str]) -> str:
    return f"the floor{'s' if len(names) > 1 else ''} {', '.join(repr(name) for name in names)}"


@dataclass(frozen=True)
class Settings:
    """How to evaluate; see `stages.EvaluateStage`."""

    splits: tuple[SplitKind, ...] = ("spatial",)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    folds: int = 5
    blocks: int = 25
    linear: bool = True
    mlp: bool = True
    settled_per_km2: float = 1000.0


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
    notes = [note for target in targets for note in target.notes]
    notes += [note for item in features for note in item.notes]
    results = []
    for number, (target, split, settled) in enumerate(jobs):
        part = progress.part(number / len(jobs), (number + 1) / len(jobs))
        labelled = target.labelled
        if settled and target.density is not None:
            labelled = labelled & (target.density >= settings.settled_per_km2)
        rows = np.flatnonzero(labelled & covered)
        if len(rows) < _FEWEST_REGIONS:
            if settled:
                notes.append(f"{target.name}: only {len(rows)} settled regions, too few to be scored on their own.")
                continue
            raise InputError(
                f"Target '{target.name}': {len(rows)} regions have a label and vectors of all kinds; "
                f"{_FEWEST_REGIONS} are needed.",
                f"{int((~labelled).sum())} have no label, {int((labelled & ~covered).sum())} lack vectors.",
            )
        if settled and len(rows) == int((target.labelled & covered).sum()):
            notes.append(f"{target.name}: all regions are settled.")
            continue
        result = _evaluate_target(target, features, xy, rows, split, settings, part)
        uncovered = int((labelled & ~covered).sum())
        result = replace(result, regions="settled" if settled else "all", uncovered=uncovered)
        results.append(replace(result, unlabelled=int((~target.labelled).sum())))
    described = [
        {"name": item.name, "width": item.vectors.shape[1], "floor": item.floor, "given_position": item.position}
        for item in features
    ]
    return Evaluation(results, described, settings, list(dict.fromkeys(notes)))


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
    probes = [linear_probe(target.task)] if settings.linear else []
    probes += ["mlp"] if settings.mlp else []
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
        metric = METRICS[target.task][0]
        best = mine[0]
        for one in mine[1:]:
            if better(metric, one.metrics[metric].mean, best.metrics[metric].mean):
                best = one
        scores += [replace(one, best=one is best) for one in mine]
    comparisons = _compare(target.task, [one for one in scores if one.best])
    return TargetResult(target.name, target.task, split, "all", len(rows), 0, 0, target.classes, scores, comparisons)


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
    low, high = difference.interval
    if len(first) < 2:
        verdict = "single"
    elif low <= 0 <= high:
        verdict = "level"
    else:
        verdict = "better" if better(metric, difference.mean, 0.0) else "worse"
    return Comparison(one.features, other.features, other.floor, metric, difference, ratio, verdict)

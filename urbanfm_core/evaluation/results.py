"""What an evaluation found: scores seed by seed, paired differences, and who does not beat a floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from urbanfm_core.data.splits import SplitKind
from urbanfm_core.evaluation.metrics import METRICS, Task, better
from urbanfm_core.evaluation.probes import Probe
from urbanfm_core.evaluation.tables import Position

INTERVAL = "95 % t interval over the seeds"
_LEVEL = 0.95


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
class LabelShare:
    """What all feature sets achieve when probes learn from a share of the labels; the regions tested are the same.

    Attributes:
        share: Of each fold's training regions, 1 for all.
        regions: Regions that a probe learned from, mean over folds and seeds.
        scores: As in `TargetResult`.
        comparisons: As in `TargetResult`.
    """

    share: float
    regions: float
    scores: list[Score]
    comparisons: list[Comparison]

    def best(self) -> dict[str, Score]:
        """The best probe of each feature set at this share, by its name."""
        return {item.features: item for item in self.scores if item.best}


@dataclass(frozen=True)
class TargetResult:
    """All scores of one target with one kind of split on one set of regions.

    Attributes:
        regions: 'all', or 'settled'.
        rows: Regions that took part.
        unlabelled: Regions without a label.
        uncovered: Labelled regions that some feature set has no vector for.
        scores: With all labels, as the comparisons.
        label_shares: The same for every share of the labels that was asked for, all of them first; empty if nothing
            but all was.
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
    label_shares: list[LabelShare] = field(default_factory=list)

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
        """A sentence for each embedding that does not beat every floor, with all labels."""
        return _not_beaten(self.title, self.comparisons)

    def share_verdicts(self) -> list[str]:
        """The same for smaller shares of the labels."""
        return [
            sentence
            for part in self.label_shares
            if part.share < 1
            for sentence in _not_beaten(f"{100 * part.share:.4g} % of the labels", part.comparisons)
        ]


def _not_beaten(where: str, comparisons: Sequence[Comparison]) -> list[str]:
    sentences = []
    for name in dict.fromkeys(item.features for item in comparisons):
        against = [item for item in comparisons if item.features == name and item.against_floor]
        lost = [item.against for item in against if item.loses]
        level = [item.against for item in against if item.verdict == "level"]
        parts = [f"loses to {_listed(lost)}"] if lost else []
        parts += [f"is level with {_listed(level)}"] if level else []
        if parts:
            sentences.append(f"{where}: {name} {' and '.join(parts)}.")
    return sentences


def _listed(names: Sequence[str]) -> str:
    return f"the floor{'s' if len(names) > 1 else ''} {', '.join(repr(name) for name in names)}"


def judge(metric: str, difference: Summary) -> str:
    """Verdict on a difference, first minus second: 'better', 'worse', 'level', or 'single' if it has no interval."""
    low, high = difference.interval
    if len(difference.per_seed) < 2:
        return "single"
    if low <= 0 <= high:
        return "level"
    return "better" if better(metric, difference.mean, 0.0) else "worse"

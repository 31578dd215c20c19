"""What probes that learned in one city know of another: a square of cities for each target.

In a city of its own a probe is scored as in `evaluation.run`: every region once, by the probe of a fold that does not hold
it. The same probes, one a fold, each learned from the other folds of their city, are then asked about all regions of
another city; the score there is the mean over the folds. So both sides of the diagonal come from the very same probes,
and the interval over the seeds says what the choice of blocks does. Which kind of probe counts is chosen by the score in
its own city alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.splits import Folds, make_folds
from urbanfm_core.errors import about
from urbanfm_core.evaluation.metrics import METRICS, Task, better, score
from urbanfm_core.evaluation.probes import Probe, linear_probe, predict_everywhere, predict_held_out
from urbanfm_core.evaluation.results import Summary, judge
from urbanfm_core.evaluation.run import Settings, require_enough
from urbanfm_core.evaluation.targets import Target
from urbanfm_core.progress import Progress

Array = NDArray[np.float64]
Pair = tuple[str, str]
Metrics = dict[str, Summary]


@dataclass(frozen=True)
class CityVectors:
    """One kind of vectors of the regions of several cities.

    Attributes:
        name: How tables call it.
        floor: Whether it is a floor.
        vectors: (R, D) of the regions of a city, as the model of a source sees them, by (source, city); NaN for a region
            without. Floors are the same for all sources.
    """

    name: str
    floor: bool
    vectors: Mapping[Pair, Array]


@dataclass(frozen=True)
class Square:
    """Scores of one kind of vectors on one target.

    Attributes:
        cells: By (city that was learned from, city that was scored in).
        probes: By the same, which kind of probe it is.
    """

    features: str
    floor: bool
    cells: dict[Pair, Metrics]
    probes: dict[Pair, Probe]


@dataclass(frozen=True)
class TransferredTarget:
    """One target.

    Attributes:
        rows: Regions that took part, by city.
        unlabelled: Regions without a label, by city.
        uncovered: Labelled regions that some vector is missing of, by city.
        squares: The method first, then the floors.
        local: The method's vectors with probes that learned from labels of the city that is scored in, in blocks: what
            a model of another city is worth where labels are at hand.
    """

    target: str
    task: Task
    rows: dict[str, int]
    unlabelled: dict[str, int]
    uncovered: dict[str, int]
    squares: list[Square]
    local: Square

    @property
    def metric(self) -> str:
        return METRICS[self.task][0]

    def verdicts(self) -> list[str]:
        """A sentence for each pair of cities where the method does not beat every floor."""
        method, sentences = self.squares[0], []
        for source, city in method.cells:
            verdicts = {
                floor.features: judge(self.metric, difference(method, floor, (source, city), self.metric))
                for floor in self.squares[1:]
            }
            lost = [name for name, verdict in verdicts.items() if verdict == "worse"]
            level = [name for name, verdict in verdicts.items() if verdict == "level"]
            for floor in (floor for floor in self.squares[1:] if verdicts[floor.features] == "single"):
                apart = difference(method, floor, (source, city), self.metric).mean
                lost += [] if better(self.metric, apart, 0.0) else [floor.features]
            parts = [f"loses to {', '.join(map(repr, lost))}"] if lost else []
            parts += [f"is level with {', '.join(map(repr, level))}"] if level else []
            if parts:
                where = f"in {city}" if source == city else f"from {source} to {city}"
                sentences.append(f"{self.target}, {where}: {method.features} {' and '.join(parts)}.")
        return sentences


@dataclass(frozen=True)
class Transfer:
    """The whole outcome.

    Attributes:
        model: Name of what was trained.
        cities: Those scored in.
        sources: Those trained on.
        settings: Of the probes.
        z_scores: Whether numbers are relative to their city.
        one_model: Whether the vectors of all cities are of one model, so that a source is only where the probes learned.
        checkpoints: Folder of each source's model.
        notes: What was guessed, left out or changed.
    """

    model: str
    cities: tuple[str, ...]
    sources: tuple[str, ...]
    settings: Settings
    z_scores: bool
    targets: list[TransferredTarget]
    checkpoints: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    one_model: bool = False

    def verdicts(self) -> list[str]:
        """Every floor that is not beaten, in sentences."""
        return [sentence for target in self.targets for sentence in target.verdicts()]


def difference(one: Square, other: Square, pair: Pair, metric: str) -> Summary:
    """First minus second, seed by seed."""
    first, second = (np.array(square.cells[pair][metric].per_seed) for square in (one, other))
    return Summary(tuple((first - second).tolist()))


def across(square: Square, metric: str) -> tuple[float, float]:
    """Mean within cities, and mean from a city to another."""
    within = [cell[metric].mean for (source, city), cell in square.cells.items() if source == city]
    beyond = [cell[metric].mean for (source, city), cell in square.cells.items() if source != city]
    return float(np.mean(within)), float(np.mean(beyond))


def require_labels(targets: Mapping[str, Sequence[Target]], covered: Mapping[str, NDArray[np.bool_]]) -> None:
    """Check that every city has enough regions with a label of every target and a vector.

    Raises:
        InputError: a city has fewer than 20.
    """
    for city, mine in targets.items():
        for target in mine:
            with about(city):
                require_enough(target, covered[city])


def transfer_targets(
    targets: Mapping[str, Sequence[Target]],
    features: Sequence[CityVectors],
    xy: Mapping[str, Array],
    sources: Sequence[str],
    settings: Settings,
    progress: Progress | None = None,
) -> list[TransferredTarget]:
    """Score every kind of vectors on every target, from each source to each city.

    All kinds are scored on the same regions: those with a label and with every kind of vector by every source.

    Args:
        targets: By city, the same ones in the same order.
        features: The method first.
        xy: By city, (R, 2) centres in metres.
        sources: Cities to learn from.
        settings: Seeds, folds, blocks, probes; of splits only the spatial one is made.
        progress: Reports and cancels.
    Raises:
        InputError: a city has fewer than 20 regions with both label and vectors.
    """
    progress = progress or Progress()
    covered = {
        city: np.all(
            [np.isfinite(one.vectors[source, city]).all(axis=1) for one in features for source in sources], axis=0
        )
        for city in targets
    }
    require_labels(targets, covered)
    count = len(next(iter(targets.values())))
    found = []
    for number in range(count):
        mine = {city: targets[city][number] for city in targets}
        rows = {city: np.flatnonzero(mine[city].labelled & covered[city]) for city in targets}
        told = progress.part(number / count, (number + 1) / count)
        found.append(_transfer_target(mine, features, xy, rows, sources, settings, told))
    return found


def _transfer_target(
    targets: Mapping[str, Target],
    features: Sequence[CityVectors],
    xy: Mapping[str, Array],
    rows: Mapping[str, NDArray[np.int64]],
    sources: Sequence[str],
    settings: Settings,
    progress: Progress,
) -> TransferredTarget:
    first = next(iter(targets.values()))
    probes: list[Probe] = [linear_probe(first.task)] if settings.linear else []
    probes += ["mlp"] if settings.mlp else []
    truth = {city: targets[city].values[rows[city]] for city in targets}
    scored = _Scored(first.task, probes, truth, {city: xy[city][rows[city]] for city in targets}, settings)
    squares = []
    steps = len(features) * len(sources)
    for place, one in enumerate(features):
        cells: dict[Pair, Metrics] = {}
        kinds: dict[Pair, Probe] = {}
        for number, source in enumerate(sources):
            progress.update((place * len(sources) + number) / (steps + 1), f"{first.name}: {one.name} from {source}")
            vectors = {city: one.vectors[source, city][rows[city]] for city in targets}
            probe, row = scored.from_city(source, vectors, progress)
            cells |= {(source, city): metrics for city, metrics in row.items()}
            kinds |= {(source, city): probe for city in row}
        squares.append(Square(one.name, one.floor, cells, kinds))
    local = scored.local(features[0], rows, squares[0], progress)
    return TransferredTarget(
        target=first.name,
        task=first.task,
        rows={city: len(rows[city]) for city in targets},
        unlabelled={city: int((~targets[city].labelled).sum()) for city in targets},
        uncovered={city: int(targets[city].labelled.sum()) - len(rows[city]) for city in targets},
        squares=squares,
        local=local,
    )


@dataclass(frozen=True)
class _Scored:
    """One target of all cities: truth (N, K) and centres (N, 2) of the regions that take part."""

    task: Task
    probes: Sequence[Probe]
    truth: Mapping[str, Array]
    xy: Mapping[str, Array]
    settings: Settings

    def from_city(
        self, source: str, vectors: Mapping[str, Array], progress: Progress
    ) -> tuple[Probe, dict[str, Metrics]]:
        """Scores in every city of probes that learned in one; of the kind of probe that is best in that one."""
        others = [city for city in vectors if city != source]
        asked = np.concatenate([vectors[city] for city in others])
        ends = np.cumsum([len(vectors[city]) for city in others])
        found: dict[Probe, dict[str, Metrics]] = {}
        for probe in self.probes:
            scores: dict[str, list[dict[str, float]]] = {city: [] for city in (source, *others)}
            for seed in self.settings.seeds:
                folds = self._folds(source, seed)
                held, elsewhere = predict_everywhere(
                    probe, self.task, vectors[source], self.truth[source], folds, asked, seed, _Quiet(progress)
                )
                scores[source].append(score(self.task, self.truth[source], held))
                for city, end in zip(others, ends, strict=True):
                    part = elsewhere[:, end - len(vectors[city]) : end]
                    by_fold = [score(self.task, self.truth[city], one) for one in part]
                    scores[city].append({name: float(np.mean([one[name] for one in by_fold])) for name in by_fold[0]})
            found[probe] = {city: _summaries(self.task, some) for city, some in scores.items()}
        best = self._best({probe: row[source] for probe, row in found.items()})
        return best, found[best]

    def local(
        self, features: CityVectors, rows: Mapping[str, NDArray[np.int64]], whole: Square, progress: Progress
    ) -> Square:
        """Scores of probes that learned in the city that is scored in, with the vectors of each source's model."""
        cells: dict[Pair, Metrics] = {}
        kinds: dict[Pair, Probe] = {}
        for source, city in whole.cells:
            same = features.vectors[source, city] is features.vectors.get((city, city))
            if same and (city, city) in whole.cells:
                cells[source, city], kinds[source, city] = whole.cells[city, city], whole.probes[city, city]
                continue
            vectors = features.vectors[source, city][rows[city]]
            found = {}
            for probe in self.probes:
                held = [
                    predict_held_out(
                        probe, self.task, vectors, self.truth[city], self._folds(city, seed), seed, _Quiet(progress)
                    )
                    for seed in self.settings.seeds
                ]
                found[probe] = _summaries(self.task, [score(self.task, self.truth[city], one) for one in held])
            best = self._best(found)
            cells[source, city], kinds[source, city] = found[best], best
        return Square(features.name, False, cells, kinds)

    def _folds(self, city: str, seed: int) -> Folds:
        return make_folds(self.xy[city], "spatial", folds=self.settings.folds, blocks=self.settings.blocks, seed=seed)

    def _best(self, found: Mapping[Probe, Metrics]) -> Probe:
        metric = METRICS[self.task][0]
        best = self.probes[0]
        for probe in self.probes[1:]:
            if better(metric, found[probe][metric].mean, found[best][metric].mean):
                best = probe
        return best


class _Quiet(Progress):
    """Cancels with another, and says nothing of its own."""

    def __init__(self, other: Progress) -> None:
        self.cancelled = other.cancelled  # type: ignore[method-assign]


def _summaries(task: Task, scores: Sequence[Mapping[str, float]]) -> Metrics:
    return {name: Summary(tuple(one[name] for one in scores)) for name in METRICS[task]}

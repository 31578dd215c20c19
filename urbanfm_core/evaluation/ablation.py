"""Ablation: what each part of a method is worth on the user's city, and how much a number of it matters.

Every variant is trained with the same seeds, and probed on the same regions and folds as the full model and the floors.
Differences to the full model are paired: a variant and the full model that started from the same seed. A finished variant
lies in a folder that is named by all it was made from, so it is made once, by this run or an earlier one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.splits import SplitKind
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.evaluation.floors import centres_m
from urbanfm_core.evaluation.metrics import LOWER_IS_BETTER, METRICS, Task, better
from urbanfm_core.evaluation.probes import Probe
from urbanfm_core.evaluation.results import Summary, TargetResult, judge
from urbanfm_core.evaluation.run import Settings, evaluate, require_enough
from urbanfm_core.evaluation.tables import Features, Position
from urbanfm_core.evaluation.targets import Target
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.models.method import Method
from urbanfm_core.progress import Progress

FULL = "full"
UNTRAINED = "untrained"
TABLE = "embedding.parquet"
_TRAINING = 0.8


@dataclass(frozen=True)
class Variant:
    """A method with some of its numbers changed.

    Attributes:
        name: How tables call it; `FULL` for the method as it is.
        overrides: Changes to the configuration.
        sweep: The number that is varied and its value here, if the variant is a step of a sweep.
        trained: False for the network as it starts, which shows what training itself is worth.
    """

    name: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    sweep: tuple[str, Any] | None = None
    trained: bool = True


# Trains a variant from a seed and embeds the regions. The folder is the variant's own: a checkpoint and an unfinished
# training are found there again.
Make = Callable[[Variant, int, Path, Progress], EmbeddingTable]


@dataclass(frozen=True)
class VariantScore:
    """What a variant or a floor achieved on one target, with its best probe.

    Attributes:
        metrics: By name. With several training seeds one number per seed, the mean over the splits; with one seed, and of
            floors always, one number per split.
        difference: This minus the full model in the first metric; None of the full model itself.
        verdict: On that difference: 'better', 'worse', 'level', or 'single' if there is no interval.
    """

    name: str
    floor: bool
    probe: Probe
    metrics: dict[str, Summary]
    difference: Summary | None
    verdict: str


@dataclass(frozen=True)
class AblatedTarget:
    """All variants and floors on one target with one kind of split on one set of regions and one share of the labels.

    Attributes:
        title: Target, task, split and share of the labels as a person reads them.
        rows: Regions that took part.
        unlabelled: Regions without a label.
        uncovered: Labelled regions that some variant or floor has no vector for.
        scores: The full model, the variants in their order, then the floors, best first.
        label_share: Share of the labels that probes learned from.
    """

    target: str
    title: str
    task: Task
    split: SplitKind
    regions: str
    rows: int
    unlabelled: int
    uncovered: int
    scores: list[VariantScore]
    label_share: float = 1.0

    @property
    def metric(self) -> str:
        return METRICS[self.task][0]

    def verdict(self) -> str:
        """The floors that the full model does not beat, in a sentence; empty if it beats them all."""
        names = [repr(item.name) for item in self.scores if item.floor and not self._behind(item)]
        return f"{self.title}: the full model does not beat {', '.join(names)}." if names else ""

    def _behind(self, item: VariantScore) -> bool:
        """Whether the full model is better: beyond the interval, or at all where there is none."""
        if item.verdict != "single" or item.difference is None:
            return item.verdict == "worse"
        return better(self.metric, 0.0, item.difference.mean)


@dataclass(frozen=True)
class Ablation:
    """The whole outcome.

    Attributes:
        config: Of the full model.
        variants: The full model first.
        seeds: Of the trainings.
        settings: Of the evaluation.
        folders: Folder of each variant's runs, by its name, in the order of the seeds.
        notes: What was guessed, left out, changed or taken from an earlier run.
    """

    config: dict[str, Any]
    variants: list[Variant]
    seeds: tuple[int, ...]
    settings: Settings
    targets: list[AblatedTarget]
    folders: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)

    @property
    def sweeps(self) -> list[str]:
        """Names of the numbers that are swept."""
        return list(dict.fromkeys(variant.sweep[0] for variant in self.variants if variant.sweep))

    def verdicts(self) -> list[str]:
        """Every floor that the full model does not beat with all labels, in sentences."""
        whole = [target.verdict() for target in self.targets if target.label_share == 1]
        return [sentence for sentence in whole if sentence]


def plan_variants(
    method: Method, config: Any, names: Sequence[str] | None = None, sweeps: Sequence[str] = ()
) -> list[Variant]:
    """The full model, the ablations of the method's paper, the untrained network, and the steps of sweeps.

    Args:
        method: Its `ablations` are offered, and `UNTRAINED`.
        config: Configuration of the full model.
        names: Which of them; None for all.
        sweeps: Texts such as 'lambda_image=0,0.2,0.4': a field of the configuration and its values, read as JSON where
            they are JSON.
    Raises:
        ConfigError: an ablation or a field that does not exist, or a value that the configuration refuses.
    """
    offered = {name: Variant(name, dict(overrides)) for name, overrides in method.ablations.items()}
    offered[UNTRAINED] = Variant(UNTRAINED, trained=False)
    wanted = list(offered) if names is None else list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in offered]
    if unknown:
        raise ConfigError(
            f"{method.title} has no ablation {', '.join(map(repr, unknown))}.",
            f"Its ablations are: {', '.join(map(repr, offered))}.",
        )
    variants = [Variant(FULL), *(offered[name] for name in wanted)]
    known = [item.name for item in fields(config)]
    for text in sweeps:
        name, separator, values = text.partition("=")
        name = name.strip()
        if not separator or not values.strip():
            raise ConfigError(f"'{text}' is not a sweep.", "Write field=value,value, such as lambda_image=0,0.2,0.4.")
        if name not in known:
            raise ConfigError(f"{method.title} has no number '{name}' to sweep.", f"There are: {', '.join(known)}.")
        for step in (part.strip() for part in values.split(",") if part.strip()):
            value = _plain(step, getattr(config, name))
            variants.append(Variant(f"{name}={step}", {name: value}, (name, value)))
    variants = list({variant.name: variant for variant in variants}.values())
    for variant in variants:
        replace(config, **variant.overrides)
    return variants


def _plain(text: str, like: Any) -> Any:
    """A value as JSON or as a text; a whole number in the place of a float becomes one, so 0 and 0.0 are one variant."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return float(value) if isinstance(like, float) and type(value) is int else value


def ablate(
    variants: Sequence[Variant],
    make: Make,
    *,
    config: Any,
    made_from: Mapping[str, Any],
    work: str | Path,
    regions: RegionSet,
    targets: Sequence[Target],
    floors: Sequence[Features],
    settings: Settings,
    seeds: Sequence[int] = (0, 1, 2),
    position: Position = "unknown",
    progress: Progress | None = None,
) -> Ablation:
    """Make every variant with every seed, and compare them.

    Args:
        variants: One of them is named `FULL`; see `plan_variants`.
        make: Trains and embeds; called only for what no earlier run finished.
        config: Configuration of the full model, a dataclass.
        made_from: All else that vectors depend on, JSON-like: method, training settings, identity of inputs and regions.
        work: Folder of all variants' folders.
        regions: R regions, which `make` embeds.
        targets: Labels of the same regions.
        floors: Plain features of the same regions.
        settings: Of the evaluation; each share of the labels is compared on its own.
        seeds: Of the trainings, each another start.
        position: Whether the method is given positions.
        progress: Reports and cancels; what is finished by then is kept.
    Raises:
        ConfigError: no full model, a name twice, or no seed.
        InputError: too few regions with labels and vectors, or `make` embedded other regions.
    """
    progress = progress or Progress()
    seeds = tuple(dict.fromkeys(seeds))
    _check(variants, seeds)
    covered = np.all([np.ones(len(regions), bool), *(item.covered for item in floors)], axis=0)
    for target in targets:  # before hours of training
        require_enough(target, covered)
    runs = [(variant, seed) for seed in seeds for variant in variants]
    folders: dict[tuple[str, int], Path] = {}
    taken = 0
    for number, (variant, seed) in enumerate(runs):
        progress.check()
        part = progress.part(_TRAINING * number / len(runs), _TRAINING * (number + 1) / len(runs))
        part.update(0.0, f"{variant.name}, seed {seed} ({number + 1} of {len(runs)})")
        whole = {**made_from, "config": asdict(replace(config, **variant.overrides)), "seed": seed}
        store = SampleStore(work, whole if variant.trained else {**whole, "trained": False})
        folder = store.path
        if (folder / TABLE).is_file():
            taken += folder not in folders.values()
        else:
            table = make(variant, seed, folder, part)
            store.create()
            table.to_parquet(folder / TABLE)
        folders[variant.name, seed] = folder
        covered &= _features(variant.name, folder, regions, position).covered
    notes = (
        [f"{taken} of {len(runs)} trainings were finished by an earlier run and are taken as they are."]
        if taken
        else []
    )
    same = len(runs) - len(set(folders.values()))
    if same:
        notes.append(
            f"{same} of {len(runs)} trainings have the configuration of another variant and are shared with it."
        )
    centres = centres_m(regions)

    def scored(items: Sequence[Features], part: Progress) -> list[TargetResult]:
        found = evaluate(targets, items, centres, settings, part, among=covered)
        notes.extend(found.notes)
        return [part for result in found.results for part in _by_share(result)]

    by_folder: dict[Path, list[TargetResult]] = {}
    for number, ((name, seed), folder) in enumerate(folders.items()):
        if folder not in by_folder:
            part = progress.part(*(_TRAINING + (1 - _TRAINING) * (number + end) / (len(runs) + 1) for end in (0, 1)))
            by_folder[folder] = scored([_features(f"{name}, seed {seed}", folder, regions, position)], part)
    of_floors = scored(floors, progress.part(1 - (1 - _TRAINING) / (len(runs) + 1), 1.0)) if floors else []
    results = []
    for place, first in enumerate(by_folder[folders[FULL, seeds[0]]]):
        mine = {variant.name: [by_folder[folders[variant.name, seed]][place] for seed in seeds] for variant in variants}
        results.append(_ablated(first, mine, of_floors[place] if floors else None))
    return Ablation(
        config=asdict(config),
        variants=sorted(variants, key=lambda variant: variant.name != FULL),
        seeds=seeds,
        settings=settings,
        targets=results,
        folders={variant.name: [str(folders[variant.name, seed]) for seed in seeds] for variant in variants},
        notes=list(dict.fromkeys(notes)),
    )


def _check(variants: Sequence[Variant], seeds: Sequence[int]) -> None:
    names = [variant.name for variant in variants]
    if FULL not in names or len(set(names)) < len(names):
        raise ConfigError(f"An ablation needs one variant '{FULL}', and each name once, found {', '.join(names)}.")
    if not seeds:
        raise ConfigError("An ablation needs at least one training seed.")


def _features(name: str, folder: Path, regions: RegionSet, position: Position) -> Features:
    """The vectors of a finished run on the rows of the regions.

    Raises:
        InputError: they are of other regions.
    """
    table = EmbeddingTable.from_parquet(folder / TABLE)
    if list(map(str, table.ids)) != list(map(str, regions.ids)):
        raise InputError(
            f"{folder / TABLE} holds {len(table.ids)} regions that are not the {len(regions)} to evaluate on, or not in "
            "their order.",
            f"Remove {folder} to make it anew.",
        )
    without = int((~table.covered).sum())
    notes = [f"{name}: {without} of {len(regions)} regions have no vector."] if without else []
    return Features(name, table.vectors.astype(np.float64), False, position, notes)


def _by_share(result: TargetResult) -> list[TargetResult]:
    """A result for each share of the labels, all of them first, each with its share alone."""
    if not result.label_shares:
        return [result]
    return [
        replace(result, scores=part.scores, comparisons=part.comparisons, label_shares=[part])
        for part in result.label_shares
    ]


def _ablated(
    first: TargetResult, variants: dict[str, list[TargetResult]], floors: TargetResult | None
) -> AblatedTarget:
    """Scores of one target: by variant over the training seeds, then the floors."""
    metric, task = first.metric, first.task
    found = {name: _best_probe(results, task) for name, results in variants.items()}
    probe, full = found.pop(FULL)
    scores = [VariantScore(FULL, False, probe, _summaries(full), None, "")]
    for name, (probe, values) in found.items():
        difference = Summary(tuple((values[metric] - full[metric]).tolist()))
        verdict = judge(metric, difference)
        scores.append(VariantScore(name, False, probe, _summaries(values), difference, verdict))
    for item in floors.best_scores() if floors else []:
        # A floor has no training seed: against several trainings stands its mean over the splits.
        splits = np.array(item.metrics[metric].per_seed)
        mine = splits.mean() if len(variants[FULL]) > 1 else splits
        difference = Summary(tuple((mine - full[metric]).tolist()))
        scores.append(
            VariantScore(item.features, True, item.probe, item.metrics, difference, judge(metric, difference))
        )
    share = first.label_shares[0].share if first.label_shares else 1.0
    return AblatedTarget(
        target=first.target,
        title=first.title + (f" with {100 * share:.4g} % of the labels" if share < 1 else ""),
        task=task,
        split=first.split,
        regions=first.regions,
        rows=first.rows,
        unlabelled=first.unlabelled,
        uncovered=first.uncovered,
        scores=scores,
        label_share=share,
    )


def _best_probe(runs: list[TargetResult], task: Task) -> tuple[Probe, dict[str, NDArray[np.float64]]]:
    """The probe that is best on average over the training seeds, and its numbers: per seed, or per split of one seed."""
    by_probe: dict[Probe, dict[str, NDArray[np.float64]]] = {}
    for probe in dict.fromkeys(item.probe for item in runs[0].scores):
        scores = [next(item for item in run.scores if item.probe == probe) for run in runs]
        tables = {name: np.array([item.metrics[name].per_seed for item in scores]) for name in METRICS[task]}
        by_probe[probe] = {name: table.mean(axis=1) if len(runs) > 1 else table[0] for name, table in tables.items()}
    metric = METRICS[task][0]
    means = {probe: float(values[metric].mean()) for probe, values in by_probe.items()}
    best = (min if metric in LOWER_IS_BETTER else max)(means, key=lambda probe: means[probe])
    return best, by_probe[best]


def _summaries(values: dict[str, NDArray[np.float64]]) -> dict[str, Summary]:
    return {name: Summary(tuple(column.tolist())) for name, column in values.items()}

"""The stage 'transfer': trains in each city, embeds all, and scores what was learned in one city in the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from urbanfm_core.cities import layers_of, training_city
from urbanfm_core.errors import ConfigError, about
from urbanfm_core.inputs import cache_of, city_of, inputs_to_train, inputs_used, regions_of
from urbanfm_core.pipeline.trained import Learner, embed_city, embedded_from
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result, said_by
from urbanfm_core.stages.transfer import TransferStage

if TYPE_CHECKING:
    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.evaluation.targets import Target
    from urbanfm_core.evaluation.transfer import CityVectors, Transfer
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.models.method import Method

_LABELS, _TRAINED, _EMBEDDED = 0.1, 0.7, 0.85


def transfer(stage: TransferStage, progress: Progress) -> Result:
    """The stage."""
    from urbanfm_core.evaluation import transfer_report as report

    found = run_transfer(stage, progress)
    if stage.out is not None:
        report.write_json(stage.out, found)
    page = None
    if stage.report is not None and stage.report.lower().endswith(".md"):
        report.write_markdown(stage.report, found)
    elif stage.report is not None:
        page = report.page(found)
    for sentence in found.verdicts():
        progress.log("warning", sentence)
    summary = {
        "cities": list(found.cities),
        "trained_on": list(found.sources),
        "table": report.lines(found),
        "not_beaten": len(found.verdicts()),
        "checkpoints": found.checkpoints,
        "out": stage.out,
        "report": stage.report,
    }
    return Result(summary, found, found.notes, page)


@dataclass(frozen=True)
class _City:
    """A city with its regions, and what it is used for."""

    name: str
    inputs: CityInputs
    labels: Any
    notes: list[str]


def sources_of(stage: TransferStage, names: Sequence[str]) -> list[str]:
    """The cities to train on.

    Raises:
        ConfigError: one that is not there.
    """
    unknown = [name for name in stage.train_on if name not in names]
    if unknown:
        raise ConfigError(
            f"There is no city {', '.join(map(repr, unknown))} to train on (--train-on).",
            f"The cities are: {', '.join(names)}.",
        )
    return [name for name in names if name in stage.train_on] or list(names)


def run_transfer(stage: TransferStage, progress: Progress) -> Transfer:
    """Train, embed and score.

    Raises:
        UrbanFMError: a parameter or an input is not usable; nothing was trained by then.
    """
    from urbanfm_core.evaluation.floors import centres_m
    from urbanfm_core.evaluation.transfer import Transfer, transfer_targets

    run = _Run(stage, Learner.of(stage))
    method = run.learner.method
    sources = sources_of(stage, list(layers_of(stage)))
    cities = _read_cities(stage, method, sources, progress.part(0.0, _LABELS / 2))
    targets = _targets(stage, cities)
    floors, notes = _floors(cities, sources, targets, progress.part(_LABELS / 2, _LABELS))
    progress.log("info", run.learner.sentence())
    folders, said = {}, {}
    for number, source in enumerate(sources):
        part = progress.part(*_share(_LABELS, _TRAINED, number, len(sources)))
        part.update(0.0, f"Training on {source} ({number + 1} of {len(sources)})")
        with about(source):
            folders[source], said[source] = run.train(cities[source], part)
    vectors = {}
    pairs = [(source, city) for source in sources for city in cities]
    for number, (source, city) in enumerate(pairs):
        part = progress.part(*_share(_TRAINED, _EMBEDDED, number, len(pairs)))
        part.update(0.0, f"Embedding {city} by the model of {source}")
        with about(city):
            table = run.embed(folders[source], cities[city], part)
        vectors[source, city] = table.vectors.astype(np.float64)
        said[source] += [f"{city}: {note}" for note in table.provenance["notes"]]
    model = Path(stage.preset).stem
    found = transfer_targets(
        targets,
        [_vectors(model, vectors), *floors],
        {name: centres_m(city.inputs.require_regions()) for name, city in cities.items()},
        sources,
        _settings(stage),
        progress.part(_EMBEDDED, 1.0),
    )
    first = [note for target in next(iter(targets.values())) for note in target.notes]
    if stage.z_scores and not any(target.task == "regression" for target in found):
        first.append("No target is a number, so nothing is relative to its city (--z-scores).")
    if method.uses_position:
        first.append(f"{method.title} was given the position of regions, which means nothing in another city.")
    return Transfer(
        model=model,
        cities=tuple(cities),
        sources=tuple(sources),
        settings=_settings(stage),
        z_scores=stage.z_scores,
        targets=found,
        checkpoints={source: str(folder / "checkpoint") for source, folder in folders.items()},
        notes=[
            *said_by({name: city.notes for name, city in cities.items()}),
            *first,
            *notes,
            *run.notes,
            *said_by({f"Model of {source}": one for source, one in said.items()}),
        ],
    )


def _share(start: float, end: float, number: int, count: int) -> tuple[float, float]:
    return start + (end - start) * number / count, start + (end - start) * (number + 1) / count


def _settings(stage: TransferStage) -> Any:
    from urbanfm_core.evaluation.run import Settings

    return Settings(
        seeds=tuple(range(stage.seed, stage.seed + stage.seeds)),
        folds=stage.folds,
        blocks=stage.blocks,
        linear=stage.probes != "mlp",
        mlp=stage.probes != "linear",
    )


def _read_cities(stage: TransferStage, method: Method, sources: Sequence[str], progress: Progress) -> dict[str, _City]:
    """All cities, with regions and labels; inputs that are missing are found before anything is trained."""
    from urbanfm_core.evaluation.inputs import labels_of

    layers = layers_of(stage)
    found = {}
    for number, (name, params) in enumerate(layers.items()):
        with about(name):
            if params.regions is None and params.label_raster is None:
                raise ConfigError(
                    "The city has no regions with labels.", "Name regions in its file, or a label_raster."
                )
            city = city_of(params)
            inputs_used(method, method.embeds_from, city)
            if name in sources:
                inputs_to_train(method, city)
            regions = regions_of(params, city)
            labels, notes = labels_of(params, regions, progress.part(*_share(0.0, 1.0, number, len(layers))))
        found[name] = _City(name, replace(city, regions=regions), labels, [*regions.notes, *notes])
    return found


def _targets(stage: TransferStage, cities: Mapping[str, _City]) -> dict[str, list[Target]]:
    from urbanfm_core.evaluation.city_targets import read_city_targets, relative

    area = {name: city.inputs.require_regions().area_m2() / 1e6 for name, city in cities.items()}
    found = read_city_targets(stage.targets, {name: city.labels for name, city in cities.items()}, area, stage.task)
    if stage.z_scores:
        found = {name: [relative(target, name) for target in targets] for name, targets in found.items()}
    return found


def _floors(
    cities: Mapping[str, _City], sources: Sequence[str], targets: Mapping[str, Sequence[Target]], progress: Progress
) -> tuple[list[CityVectors], list[str]]:
    from urbanfm_core.evaluation.transfer import CityVectors, require_labels
    from urbanfm_core.evaluation.transfer_floors import shared_floors

    floors, notes = shared_floors({name: city.inputs for name, city in cities.items()}, progress)
    covered = {name: np.all([np.isfinite(one[name]).all(axis=1) for one in floors.values()], axis=0) for name in cities}
    require_labels(targets, covered)
    return [
        CityVectors(floor, True, {(source, city): one[city] for source in sources for city in cities})
        for floor, one in floors.items()
    ], notes


def _vectors(name: str, vectors: Mapping[tuple[str, str], Any]) -> CityVectors:
    from urbanfm_core.evaluation.transfer import CityVectors

    return CityVectors(name, False, vectors)


@dataclass(frozen=True)
class _Run:
    """What all trainings and embeddings have in common; `notes` says what an earlier run had finished."""

    stage: TransferStage
    learner: Learner
    notes: list[str] = field(default_factory=list)

    def train(self, city: _City, progress: Progress) -> tuple[Path, list[str]]:
        """The folder with the model of a city, trained now or by an earlier run on the same layers, and its notes."""
        from urbanfm_core.data.store import SampleStore

        learner = self.learner
        source = training_city(self.stage, learner.method, city.inputs)
        settings = {name: value for name, value in asdict(learner.training).items() if name != "resume"}
        made_from = {"method": learner.method.name, "config": asdict(learner.config), "training": settings}
        identity = source.inputs.identity(*inputs_to_train(learner.method, source.inputs))
        work = SampleStore(cache_of(self.stage) / "transfer", {**made_from, **identity})
        checkpoint, earlier = learner.train_unless_finished(source, work.path / "checkpoint", progress)
        work.create()
        if earlier:
            self.notes.append(f"The model of {city.name} was trained by an earlier run and is taken as it is.")
        return work.path, list(checkpoint.manifest["notes"])

    def embed(self, folder: Path, city: _City, progress: Progress) -> EmbeddingTable:
        """Vectors of a city's regions by a model: made now, or by an earlier run."""
        from urbanfm_core.data.store import fingerprint
        from urbanfm_core.inference.table import EmbeddingTable
        from urbanfm_core.training.checkpoint import Checkpoint

        checkpoint = Checkpoint.load(folder / "checkpoint")
        made_from = embedded_from(checkpoint, self.learner.method, city.inputs)
        path = folder / f"vectors-{fingerprint(made_from)}.parquet"
        if path.is_file():
            return EmbeddingTable.from_parquet(path)
        table = embed_city(self.stage, checkpoint, self.learner.device, city.inputs, progress)
        table.to_parquet(path)
        return table

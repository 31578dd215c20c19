"""The stages that read a city for a method, and train it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from urbanfm_core.cities import cities_to_train_on, data_fingerprint
from urbanfm_core.errors import ConfigError
from urbanfm_core.pipeline.checkpoints import checkpoint_page
from urbanfm_core.pipeline.trained import Learner
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result
from urbanfm_core.stages.training import PrepareStage, TrainStage

if TYPE_CHECKING:
    from urbanfm_core.models.exchange import Prepared, TrainingCity
    from urbanfm_core.training.checkpoint import Checkpoint


def prepare(stage: PrepareStage, progress: Progress) -> Result:
    learner, prepared, cities = _prepare(stage, progress)
    paths = [city.store.path for city in cities]
    stores = str(paths[0]) if len(paths) == 1 else {city.name: str(city.store.path) for city in cities}
    told = {"descriptions_out": stage.descriptions_out}
    summary = {"method": learner.method.name, "samples": len(prepared.samples), "store": stores, **told}
    return Result(summary, paths[0] if len(paths) == 1 else paths, prepared.notes)


def train(stage: TrainStage, progress: Progress) -> Result:
    checkpoint, notes = train_checkpoint(stage, Path(stage.out), progress)
    told = {name: getattr(stage, name) for name in ("report", "descriptions_out")}
    facts = {name: value for name, value in checkpoint.summary().items() if name != "notes"}
    page = None if stage.report is None else checkpoint_page(stage.out, facts)
    return Result({**training_summary(checkpoint, stage.out), **told}, Path(stage.out), notes, page)


def train_checkpoint(stage: Any, out: Path, progress: Progress) -> tuple[Checkpoint, list[str]]:
    """Train what a stage describes, and write the checkpoint."""
    learner, prepared, cities = _prepare(stage, progress.part(0.0, 0.4))
    checkpoint = learner.train(prepared, out, data_fingerprint(cities), progress.part(0.4, 1.0))
    return checkpoint, checkpoint.manifest["notes"]


def training_summary(checkpoint: Checkpoint, path: str | Path) -> dict[str, Any]:
    manifest = checkpoint.manifest
    return {
        "checkpoint": str(path),
        "method": checkpoint.method,
        "preset": manifest.get("preset"),
        **{name: manifest[name] for name in ("samples", "best_epoch", "metrics") if name in manifest},
    }


def _prepare(stage: Any, progress: Progress) -> tuple[Learner, Prepared, list[TrainingCity]]:
    """The learner, cities ready to train on, and these."""
    from urbanfm_core.training.processes import require_one_process

    learner = Learner.of(stage)
    require_one_process(learner.method)
    cities = cities_to_train_on(stage, learner.method)
    progress.log("info", learner.sentence())
    prepared = learner.prepare(cities, progress)
    if getattr(stage, "descriptions_out", None) is not None:
        _write_descriptions(stage.descriptions_out, prepared)
    return learner, prepared, cities


def _write_descriptions(path: str, prepared: Prepared) -> None:
    from urbanfm_core.models.descriptions import write_descriptions

    if prepared.descriptions is None:
        raise ConfigError(
            "There are no descriptions of regions to write: no language teacher is asked.",
            "Take a preset with one, such as refound-small, and give points of interest.",
        )
    write_descriptions(prepared.descriptions, path)

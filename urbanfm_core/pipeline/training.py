"""The stages that read a city for a method, and train it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from urbanfm_core.cities import cities_to_train_on, data_fingerprint
from urbanfm_core.errors import ConfigError
from urbanfm_core.inputs import method_config, training_settings
from urbanfm_core.pipeline.checkpoints import checkpoint_page
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result
from urbanfm_core.stages.training import PrepareStage, TrainStage

if TYPE_CHECKING:
    from urbanfm_core.models.exchange import Prepared, TrainingCity
    from urbanfm_core.models.method import Method
    from urbanfm_core.training.checkpoint import Checkpoint


def prepare(stage: PrepareStage, progress: Progress) -> Result:
    method, _, prepared, cities = _prepare(stage, progress)
    paths = [city.store.path for city in cities]
    stores = str(paths[0]) if len(paths) == 1 else {city.name: str(city.store.path) for city in cities}
    told = {"descriptions_out": stage.descriptions_out}
    summary = {"method": method.name, "samples": len(prepared.samples), "store": stores, **told}
    return Result(summary, paths[0] if len(paths) == 1 else paths, prepared.notes)


def train(stage: TrainStage, progress: Progress) -> Result:
    checkpoint, notes = train_checkpoint(stage, Path(stage.out), progress)
    told = {name: getattr(stage, name) for name in ("report", "descriptions_out")}
    facts = {name: value for name, value in checkpoint.summary().items() if name != "notes"}
    page = None if stage.report is None else checkpoint_page(stage.out, facts)
    return Result({**training_summary(checkpoint, stage.out), **told}, Path(stage.out), notes, page)


def train_checkpoint(stage: Any, out: Path, progress: Progress) -> tuple[Checkpoint, list[str]]:
    """Train what a stage describes, and write the checkpoint."""
    from urbanfm_core.models.device import resolve_device
    from urbanfm_core.training.run import train as run_training

    method, preset, prepared, cities = _prepare(stage, progress.part(0.0, 0.4))
    checkpoint = run_training(
        method,
        prepared,
        training_settings(stage, preset),
        device=resolve_device(stage.device),
        out=out,
        data_fingerprint=data_fingerprint(cities),
        progress=progress.part(0.4, 1.0),
        preset=stage.preset,
    )
    return checkpoint, checkpoint.manifest["notes"]


def training_summary(checkpoint: Checkpoint, path: str | Path) -> dict[str, Any]:
    manifest = checkpoint.manifest
    return {
        "checkpoint": str(path),
        "method": checkpoint.method,
        "preset": manifest.get("preset"),
        **{name: manifest[name] for name in ("samples", "best_epoch", "metrics") if name in manifest},
    }


def _prepare(stage: Any, progress: Progress) -> tuple[Method, dict[str, Any], Prepared, list[TrainingCity]]:
    """The method, its preset, cities ready to train on, and these."""
    from urbanfm_core.models import get_method, load_preset
    from urbanfm_core.models.device import describe_device, resolve_device
    from urbanfm_core.training.processes import require_one_process

    preset = load_preset(stage.preset)
    method = get_method(preset["method"])
    require_one_process(method)
    cities = cities_to_train_on(stage, method)
    config = method_config(stage, method, preset)
    device = resolve_device(stage.device)
    progress.log("info", f"{method.title} ({stage.preset}) on {describe_device(device)}")
    prepared = method.prepare_cities(config, cities, device, progress)
    if getattr(stage, "descriptions_out", None) is not None:
        _write_descriptions(stage.descriptions_out, prepared)
    return method, preset, prepared, cities


def _write_descriptions(path: str, prepared: Prepared) -> None:
    from urbanfm_core.models.descriptions import write_descriptions

    if prepared.descriptions is None:
        raise ConfigError(
            "There are no descriptions of regions to write: no language teacher is asked.",
            "Take a preset with one, such as refound-small, and give points of interest.",
        )
    write_descriptions(prepared.descriptions, path)

"""From prepared samples to a checkpoint on disk."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from urbanfm_core.errors import OutputError
from urbanfm_core.files import remove_folder, remove_leftovers
from urbanfm_core.models.exchange import Phase, Prepared
from urbanfm_core.models.method import Method
from urbanfm_core.progress import Progress
from urbanfm_core.result import said_by
from urbanfm_core.training.checkpoint import Checkpoint, guard_replacing
from urbanfm_core.training.loop import SAVE_EVERY_S, Fitted, fit
from urbanfm_core.training.plot import plot_losses
from urbanfm_core.training.processes import require_one_process
from urbanfm_core.training.resume import FILE as STATE_FILE
from urbanfm_core.training.task import Task, TrainingConfig


def working_folder(out: str | Path) -> Path:
    """Where an unfinished run keeps its state and metrics: beside the checkpoint, `<out>.training`."""
    out = Path(out).expanduser().absolute()
    return out.with_name(f"{out.name}.training")


def train(
    method: Method,
    prepared: Prepared,
    training: TrainingConfig,
    *,
    device: torch.device,
    out: str | Path,
    data_fingerprint: str,
    progress: Progress,
    preset: str | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> Checkpoint:
    """Train a method and write its checkpoint.

    A run that was cancelled or killed leaves `<out>.training` behind and goes on from there when started again with the
    same inputs and settings; on a CPU it ends with the same weights as an unbroken one. After success that folder is
    gone. Under several processes all call this; the first one writes.

    A method with several phases trains them one after another, each in a folder of its own in that one; the best weights
    of each are the start of the next, and those of the last are what the checkpoint holds.

    Args:
        method: The method.
        prepared: What its `prepare` made.
        training: Settings of the loop.
        device: Where to compute.
        out: Folder of the checkpoint.
        data_fingerprint: What the samples were made from.
        progress: Where to report.
        preset: Name of the preset, for the record.
        save_every_s: How often the state of the run is written, seconds.
    Raises:
        OutputError: the place cannot be written.
        CheckpointError: something else than a checkpoint is at `out`.
        ConfigError: several processes for a method that trains in one; else see `fit`.
        Cancelled, TrainingError: see `fit`.
    """
    require_one_process(method)
    out = Path(out).expanduser().absolute()
    guard_replacing(out)
    folder = working_folder(out)
    remove_leftovers(folder.parent, folder.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write {folder}: {error.strerror or error}.", "Choose another place.") from error
    started = time.monotonic()
    model, started_from = _start(method, prepared, training.seed)
    phases = method.phases(prepared)
    try:
        fitted = [
            _fit_phase(
                Task(method, prepared.config, model, phase.samples),
                phase,
                training,
                device=device,
                folder=folder / f"{number + 1}-{phase.name}" if phase.name else folder,
                data_fingerprint=data_fingerprint,
                progress=progress.part(number / len(phases), (number + 1) / len(phases)),
                save_every_s=save_every_s,
                keep=len(phases) > 1,
            )
            for number, phase in enumerate(phases)
        ]
    except BaseException:
        if not any(folder.rglob(STATE_FILE)):
            remove_folder(folder)
        raise
    history, best_epoch = _joined(phases, fitted)
    notes = [*prepared.notes, *started_from]
    notes += said_by({phase.name: one.notes for phase, one in zip(phases, fitted, strict=True)})
    plot = None
    if importlib.util.find_spec("matplotlib") is None:
        notes.append("No loss plot was drawn: it needs matplotlib (pip install 'urbanfm[plots]').")
    else:
        plot = plot_losses(history, best_epoch, method.title)
    manifest: dict[str, Any] = {
        "preset": preset,
        "seed": training.seed,
        "training": asdict(training),
        "device": device.type,
        "samples": len(prepared.samples),
        "data_fingerprint": data_fingerprint,
        "best_epoch": best_epoch,
        "metrics": history[best_epoch - 1],
        **({"phases": {phase.name: len(phase.samples) for phase in phases}} if len(phases) > 1 else {}),
        "seconds": round(time.monotonic() - started, 2),
        "notes": notes,
    }
    checkpoint = Checkpoint(
        method=method.name,
        config=asdict(prepared.config),
        preprocessing=prepared.preprocessing,
        manifest=manifest,
        weights=fitted[-1].weights,
        history=history,
        plot=plot,
    )
    if fitted[-1].writes:
        checkpoint.save(out)
        remove_folder(folder)
    return checkpoint


def _fit_phase(task: Task, phase: Phase, training: TrainingConfig, *, folder: Path, **more: Any) -> Fitted:
    """Train one phase; its best weights stay in the network."""
    if phase.trains:
        for name, parameter in task.model.named_parameters():
            parameter.requires_grad_(any(name.startswith(f"{part}.") for part in phase.trains))
    folder.mkdir(parents=True, exist_ok=True)
    fitted = fit(task, training, folder=folder, **more)
    task.model.load_state_dict(fitted.weights)
    return fitted


def _joined(phases: Sequence[Phase], fitted: Sequence[Fitted]) -> tuple[list[dict[str, Any]], int]:
    """The records of all phases as one history, which counts on, and the epoch that is kept of the last one."""
    if len(fitted) == 1:
        return fitted[0].history, fitted[0].best_epoch
    history: list[dict[str, Any]] = []
    for phase, one in zip(phases, fitted, strict=True):
        history += [{**record, "epoch": len(history) + record["epoch"], "phase": phase.name} for record in one.history]
    return history, len(history) - len(fitted[-1].history) + fitted[-1].best_epoch


def save_untrained(
    method: Method, prepared: Prepared, seed: int, *, out: str | Path, data_fingerprint: str, preset: str | None
) -> Checkpoint:
    """The network as `train` starts from that seed, written as a checkpoint, to compare with.

    Raises:
        OutputError: the place cannot be written.
        CheckpointError: something else than a checkpoint is at `out`.
    """
    guard_replacing(Path(out))
    model, started_from = _start(method, prepared, seed)
    manifest = {
        "preset": preset,
        "seed": seed,
        "training": None,
        "samples": 0,
        "data_fingerprint": data_fingerprint,
        "notes": [*prepared.notes, *started_from, "The network was not trained."],
    }
    made = Checkpoint(method.name, asdict(prepared.config), prepared.preprocessing, manifest, model.state_dict())
    made.save(out)
    return made


def _start(method: Method, prepared: Prepared, seed: int) -> tuple[nn.Module, list[str]]:
    """A network with fresh weights, and what it started from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = method.build(prepared.config)
        return model, method.initialise(model, prepared)

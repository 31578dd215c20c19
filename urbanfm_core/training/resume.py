"""The state of an unfinished run: one safetensors file with JSON in its header, replaced as a whole. No pickle."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from urbanfm_core.errors import CheckpointError, OutputError
from urbanfm_core.files import atomic_path

VERSION = 2
FILE = "resume.safetensors"


@dataclass
class RunState:
    """Where a run stands, between two steps.

    Attributes:
        epoch: Epochs finished.
        step: Steps finished in the epoch after those.
        history: One record per finished epoch.
        best_epoch: Epoch, from 1, whose weights are kept; 0 before the first.
        best_metric: Its selection metric.
        best: Its weights by name.
        loss_names: Columns of `losses`.
        losses: Losses of the steps of the current epoch, (steps, K) float32; None before the first step.
        share: Samples per step of one process, smaller than the settings say once memory ran out; 0 before the start.
    """

    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_metric: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)
    loss_names: list[str] = field(default_factory=list)
    losses: Tensor | None = None
    share: int = 0


def save_state(
    folder: Path,
    identity: dict[str, Any],
    state: RunState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    randomness: list[dict[str, Any]],
) -> None:
    """Write the state of a run.

    Args:
        folder: Working folder of the run.
        identity: What the run depends on, JSON-like.
        state: Where it stands.
        model: The network.
        optimizer: Its optimiser.
        randomness: `random_state` of every process, in rank order.
    """
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in state.best.items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(value) for key, value in slots.items()}
    if state.losses is not None:
        tensors["losses"] = state.losses
    content = {
        "version": VERSION,
        "identity": identity,
        "epoch": state.epoch,
        "step": state.step,
        "history": state.history,
        "best_epoch": state.best_epoch,
        "best_metric": state.best_metric,
        "loss_names": state.loss_names,
        "share": state.share,
        "randomness": randomness,
    }
    with atomic_path(folder / FILE) as temporary:
        copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        try:
            save_file(copies, temporary, metadata={"state": json.dumps(content)})
        except safetensors.SafetensorError as error:
            raise OutputError(f"Cannot write {folder / FILE}: {error}.", "Is the disk full?") from error


def load_state(
    folder: Path, identity: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer, rank: int
) -> tuple[RunState | None, str]:
    """Take up an unfinished run: fills network, optimiser and random states.

    Returns:
        The state, or None if there is none to take up; and a sentence on what was found, empty if nothing was.
    """
    path = folder / FILE
    if not path.is_file():
        return None, ""
    try:
        tensors, content = _read(path)
        if content["version"] != VERSION:
            return None, f"The unfinished run in {folder} is of another version; training starts anew."
        changed = _differences(content["identity"], identity)
        if changed:
            return None, f"The unfinished run in {folder} had other settings ({changed}); training starts anew."
        model.load_state_dict(_under(tensors, "model/"))
        _fill_optimizer(optimizer, _under(tensors, "optimizer/"))
        state = RunState(
            epoch=content["epoch"],
            step=content["step"],
            history=content["history"],
            best_epoch=content["best_epoch"],
            best_metric=content["best_metric"],
            best=_under(tensors, "best/"),
            loss_names=content["loss_names"],
            losses=tensors.get("losses"),
            share=content["share"],
        )
        set_random_state(content["randomness"][rank])
    except (safetensors.SafetensorError, KeyError, IndexError, TypeError, ValueError, OSError, RuntimeError) as error:
        raise CheckpointError(
            f"The unfinished run in {folder} cannot be read: {error}.", f"Remove {folder} to train from the start."
        ) from error
    where = f"epoch {state.epoch + 1}, step {state.step + 1}"
    return state, f"An unfinished run was found in {folder}; training goes on at {where}."


def random_state(device: torch.device) -> dict[str, Any]:
    """The random states of this process, JSON-like."""
    numpy_state = np.random.get_state(legacy=False)
    version, internal, gauss = random.getstate()
    accelerator = torch.cuda.get_rng_state(device).tolist() if device.type == "cuda" else None
    return {
        "torch": torch.get_rng_state().tolist(),
        "cuda": accelerator,
        "numpy": [
            numpy_state["state"]["key"].tolist(),
            int(numpy_state["state"]["pos"]),
            int(numpy_state["has_gauss"]),
            float(numpy_state["gauss"]),
        ],
        "python": [version, list(internal), gauss],
    }


def set_random_state(state: dict[str, Any], device: torch.device | None = None) -> None:
    """Bring the random states back to what `random_state` saw."""
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(torch.tensor(state["cuda"], dtype=torch.uint8), device or "cuda")
    key, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", np.array(key, dtype=np.uint32), position, has_gauss, gauss))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))


def seed_everything(seed: int, *more: int) -> None:
    """Seed torch, NumPy and Python from a seed and, say, an epoch and a rank."""
    words = np.random.SeedSequence([seed, *more]).generate_state(3)
    torch.manual_seed(int(words[0]))
    np.random.seed(int(words[1]))
    random.seed(int(words[2]))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safetensors.safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()["state"])
        return {name: file.get_tensor(name) for name in file.keys()}, content  # noqa: SIM118 - it is no mapping


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fill_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition("/")
        slots.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def _differences(before: Any, now: Any, name: str = "") -> str:
    """Names of the settings that changed, with both values: "training.seed 0 -> 1"."""
    if isinstance(before, dict) and isinstance(now, dict):
        parts = [
            _differences(before.get(key), now.get(key), f"{name}.{key}".lstrip(".")) for key in sorted({*before, *now})
        ]
        return ", ".join(part for part in parts if part)
    return "" if before == now else f"{name} {before!r} -> {now!r}"

"""The checkpoint: a folder of safetensors and JSON that carries all a trained model needs. Loading executes no code.

config.json         fields of the method's configuration
weights.safetensors the network
preprocessing.json  what inference needs to treat new data alike
manifest.json       format version, method, versions, training settings, metrics, fingerprints, hashes of the other three
metrics.jsonl       one line per epoch, optional
loss.svg            curve of the losses, optional
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import urbanfm_core
from urbanfm_core.errors import CheckpointError, ConfigError, OutputError
from urbanfm_core.files import atomic_path
from urbanfm_core.models import get_method, make_config
from urbanfm_core.models.exchange import Trained
from urbanfm_core.models.method import Method

FORMAT = "urbanfm-checkpoint"
FORMAT_VERSION = 1
WEIGHTS = "weights.safetensors"
_JSON_FILES = ("config.json", "preprocessing.json", "manifest.json")
# A genuine one has kilobytes; the limit keeps a hostile one from filling the memory.
_LARGEST_JSON_BYTES = 64 << 20


@dataclass
class Checkpoint:
    """A trained model as data.

    Attributes:
        method: Key in METHODS.
        config: Fields of the method's configuration.
        preprocessing: What inference needs to treat new data alike.
        manifest: Where it comes from; `save` adds the format, the versions and the hashes.
        weights: The network's state by name.
        history: One record per epoch; empty if unknown.
        plot: Picture of the losses, SVG; None if there is none.
    """

    method: str
    config: dict[str, Any]
    preprocessing: dict[str, Any]
    manifest: dict[str, Any]
    weights: dict[str, Tensor]
    history: list[dict[str, Any]] = field(default_factory=list)
    plot: str | None = None

    def save(self, path: str | Path) -> None:
        """Write the folder, whole or not at all; a checkpoint that was there is replaced.

        Raises:
            OutputError: the place cannot be written.
            CheckpointError: something else than a checkpoint is there.
        """
        path = Path(path)
        guard_replacing(path)
        with atomic_path(path) as temporary:
            temporary.mkdir(parents=True)
            weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.weights.items()}
            try:
                save_file(weights, temporary / WEIGHTS)
            except safetensors.SafetensorError as error:
                raise OutputError(f"Cannot write {path / WEIGHTS}: {error}.", "Is the disk full?") from error
            manifest = {
                **self.manifest,
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "method": self.method,
                "versions": {"urbanfm": urbanfm_core.__version__, "torch": torch.__version__},
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "weights_sha256": _sha256(temporary / WEIGHTS),
            }
            for name, content in zip(_JSON_FILES, (self.config, self.preprocessing, manifest), strict=True):
                (temporary / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
                if content is not manifest:
                    manifest[f"{Path(name).stem}_sha256"] = _sha256(temporary / name)
            if self.history:
                (temporary / "metrics.jsonl").write_text(as_lines(self.history), "utf-8")
            if self.plot is not None:
                (temporary / "loss.svg").write_text(self.plot, "utf-8")
        self.manifest = manifest

    def summary(self) -> dict[str, Any]:
        """What a person wants to know of it, as plain data."""
        known = ("preset", "source", "samples", "best_epoch", "metrics", "seed", "created", "versions", "notes")
        return {
            "method": self.method,
            **{name: self.manifest[name] for name in known if self.manifest.get(name) not in (None, [], {})},
            "config": self.config,
            **({"cities": cities} if (cities := self.preprocessing.get("cities")) else {}),
            "parameters": sum(tensor.numel() for tensor in self.weights.values()),
            "preprocessing": {
                name: value for name, value in self.preprocessing.items() if not isinstance(value, list | dict)
            },
        }

    def record(self) -> dict[str, Any]:
        """How it was trained, as plain data that is the same whenever the same training is run again."""
        training = self.manifest.get("training") or {}
        beside = ("epoch", "learning_rate", "samples_per_s", "phase")
        losses = {name: value for name, value in (self.manifest.get("metrics") or {}).items() if name not in beside}
        known = ("preset", "source", "seed", "samples", "best_epoch", "data_fingerprint")
        found = {
            **{name: self.manifest.get(name) for name in known},
            **{name: training.get(name) for name in ("epochs", "learning_rate", "batch_size")},
            "losses": losses,
            "cities": self.preprocessing.get("cities"),
            "urbanfm": (self.manifest.get("versions") or {}).get("urbanfm"),
        }
        return {name: value for name, value in found.items() if value not in (None, [], {})}

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Read and validate a checkpoint folder.

        Raises:
            CheckpointError: a file is missing, damaged, of a newer format or not what the manifest says.
        """
        path = Path(path).expanduser()
        _require_folder(path)
        config, preprocessing, manifest = (_read_json(path / name) for name in _JSON_FILES)
        _check_manifest(path, manifest)
        for name in _JSON_FILES[:2]:
            expected = manifest.get(f"{Path(name).stem}_sha256")
            if expected is not None and _sha256(path / name) != expected:
                raise CheckpointError(
                    f"{path / name} is damaged or was changed: its hash is not the one in manifest.json.",
                    "Copy the checkpoint again.",
                )
        weights = _read_weights(path / WEIGHTS, manifest.get("weights_sha256"))
        metrics, plot = path / "metrics.jsonl", path / "loss.svg"
        return cls(
            method=manifest["method"],
            config=config,
            preprocessing=preprocessing,
            manifest=manifest,
            weights=weights,
            history=read_lines(metrics) if metrics.is_file() else [],
            plot=plot.read_text("utf-8", errors="replace") if plot.is_file() else None,
        )


def restore(
    checkpoint: Checkpoint, device: torch.device, batch_size: int | None = None, text_encoder: str | None = None
) -> tuple[Method, Trained]:
    """The method and its trained network, ready to embed; see `Trained` for the arguments.

    Raises:
        CheckpointError: method, configuration or weights do not fit each other.
    """
    try:
        method = get_method(checkpoint.method)
        config = make_config(method.config_class, checkpoint.config)
    except (ConfigError, TypeError) as error:
        raise CheckpointError(
            f"The checkpoint's configuration is not usable: {error}", "Was it made by a newer version?"
        ) from error
    # Shapes are compared before anything is allocated: a false width could ask for any amount of memory.
    with torch.device("meta"):
        check_weights(method.build(config).state_dict(), checkpoint.weights)
    with torch.random.fork_rng(devices=[]):
        model = method.build(config)
    load_weights(model, checkpoint.weights)
    model.to(device).eval().requires_grad_(False)
    return method, Trained(config, model, checkpoint.preprocessing, device, batch_size, text_encoder)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a network, all of them or none.

    Raises:
        CheckpointError: see `check_weights`.
    """
    check_weights(model.state_dict(), weights)
    model.load_state_dict(dict(weights))


def check_weights(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Check that weights are those of a network, and are numbers.

    Args:
        expected: State of the network, with or without values (device "meta").
        found: The weights.
    Raises:
        CheckpointError: names, shapes or types differ, or a weight is not finite; the message names them.
    """
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    shapes = [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    kinds = [
        f"{name} is {found[name].dtype}, expected {tensor.dtype}"
        for name, tensor in expected.items()
        if name in found and found[name].is_floating_point() != tensor.is_floating_point()
    ]
    parts = [
        *([f"missing: {_some(missing)}"] if missing else []),
        *([f"not part of the network: {_some(extra)}"] if extra else []),
        *([f"other shape: {_some(shapes)}"] if shapes else []),
        *([f"other type: {_some(kinds)}"] if kinds else []),
    ]
    if parts:
        raise CheckpointError(
            f"The weights do not fit the network ({'; '.join(parts)}).",
            "The weights and config.json belong to different models.",
        )
    broken = [name for name, tensor in found.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise CheckpointError(f"The weights hold numbers that are not finite: {_some(broken)}.", "Train again.")


def as_lines(records: list[dict[str, Any]]) -> str:
    """Records as JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Records of a JSON lines file.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        _check_size(path)
        return [dict(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.", "Remove it; the weights do not need it.") from error


def guard_replacing(path: Path) -> None:
    """Check that writing a checkpoint there would replace nothing but a checkpoint.

    Raises:
        CheckpointError: something else is there.
    """
    if path.is_file():
        raise CheckpointError(f"{path} is a file; a checkpoint is a folder.", "Choose a new name for the checkpoint.")
    if path.is_dir() and any(path.iterdir()) and not (path / "manifest.json").is_file():
        raise CheckpointError(
            f"{path} is a folder that holds something else than a checkpoint.", "Choose a new name for the checkpoint."
        )


def _require_folder(path: Path) -> None:
    if path.is_file():
        raise CheckpointError(
            f"{path} is a file; a checkpoint is a folder.", "Published .pth files come in through importcheckpoint."
        )
    if not path.is_dir():
        raise CheckpointError(f"There is no checkpoint {path}.", "Check the path, or train one.")
    missing = [name for name in (*_JSON_FILES, WEIGHTS) if not (path / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{path} is not a whole checkpoint: {', '.join(missing)} is missing.",
            "Copy the folder again, or train anew.",
        )


def _check_size(path: Path) -> None:
    if path.stat().st_size > _LARGEST_JSON_BYTES:
        raise CheckpointError(f"{path} is larger than any genuine one ({_LARGEST_JSON_BYTES >> 20} MiB).")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        _check_size(path)
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is damaged: {error}.", "Copy the checkpoint again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected an object.")
    return content


def _check_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    where = path / "manifest.json"
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{where} does not say that this is a checkpoint of UrbanFM.", "Is it the right folder?")
    version = manifest.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"{where}: format version {version!r} is unknown, expected {FORMAT_VERSION} at most.", "Update UrbanFM."
        )
    if not isinstance(manifest.get("method"), str):
        raise CheckpointError(f"{where} does not name the method.")


def _read_weights(path: Path, expected_hash: Any) -> dict[str, Tensor]:
    if _sha256(path) != expected_hash:
        raise CheckpointError(
            f"{path} is damaged: its hash is not the one in manifest.json.", "Copy the checkpoint again."
        )
    try:
        return load_file(path)
    except (safetensors.SafetensorError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}.", "Copy the checkpoint again.") from error


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror or error}.") from error

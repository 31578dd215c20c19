"""Published AETHER checkpoints (`{ae_state_dict, txt_state_dict, hyper_parameters, ...}`) become ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from urbanfm_core.errors import CheckpointError, ConfigError
from urbanfm_core.importers.pickles import load_plain_pickle
from urbanfm_core.models.aether import Aether, AetherConfig
from urbanfm_core.progress import Progress
from urbanfm_core.training.checkpoint import Checkpoint, check_weights

_IMAGE_NAMES = {
    "gate": "image.gate",
    "proj.0": "image.expand",
    "proj.2": "image.contract",
    "shortcut": "image.shortcut",
    "post_mlp.0": "image.post_expand",
    "post_mlp.3": "image.post_contract",
}
_TEXT_NAMES = {"proj": "text.project"}
_OPENAI_URL = "https://api.openai.com/v1"
_OPEN_GATE = 100.0
# Everything that the published training script writes; what else a file holds is told and left out.
_KNOWN = frozenset(
    {
        "ae_state_dict",
        "txt_state_dict",
        "epoch",
        "train_metrics",
        "val_metrics",
        "temps",
        "model_types",
        "hyper_parameters",
        "cache_keys",
        "created_at",
        "cfg_hash",
    }
)
_TYPES = {"ae_type": "AEProj", "text_type": "TextProj"}


def import_aether(
    source: str | Path, *, text_encoder: str | None = None, progress: Progress | None = None
) -> Checkpoint:
    """A checkpoint from a published file.

    Widths come from the weights; windows (squares of pixels), temperatures and lambda from the settings in the file.
    Paths of the author's machine and cache keys are left behind.

    Args:
        source: The `.pth` file.
        text_encoder: Text encoder that the weights were trained with. None takes what the file's settings say.
        progress: Reports what was assumed.
    Raises:
        CheckpointError: the file is damaged, hostile or of another layout; a weight or key is unknown or missing.
    """
    progress = progress or Progress()
    source = Path(source).expanduser()
    content = load_plain_pickle(source)
    missing = [key for key in ("ae_state_dict", "txt_state_dict") if not isinstance(content.get(key), Mapping)]
    if missing:
        raise CheckpointError(
            f"{source} is not a published AETHER checkpoint: it lacks {' and '.join(missing)}.",
            "Expected is what AETHER's train.py writes: ae_state_dict, txt_state_dict, hyper_parameters, ...",
        )
    _require_types(source, _mapping(content, "model_types"))
    weights = {
        **_renamed(source, "ae_state_dict", content["ae_state_dict"], _IMAGE_NAMES),
        **_renamed(source, "txt_state_dict", content["txt_state_dict"], _TEXT_NAMES),
    }
    settings = _mapping(content, "hyper_parameters")
    notes: list[str] = []
    foreign = [str(key)[:40] for key in content if key not in _KNOWN]
    if foreign:
        notes.append(
            f"The file also holds {', '.join(foreign[:10])}, which the published code does not write: left out."
        )
    if "image.gate" not in weights:
        # Without a gate the shortcut counts in full: a gate whose sigmoid is exactly 1 in float32.
        weights["image.gate"] = torch.full((1,), _OPEN_GATE)
        notes.append("The weights have no gate: the shortcut counts in full.")
    width = (*weights["text.project.weight"].shape, 0, 0)[1]
    encoder = _text_encoder(text_encoder, _mapping(settings, "text"), width, notes)
    config = _config(source, weights, settings, _mapping(content, "temps"), encoder, notes)
    with torch.device("meta"):
        check_weights(Aether().build(config).state_dict(), weights)
    epoch, epochs = content.get("epoch"), _mapping(settings, "train").get("epochs")
    if isinstance(epoch, int) and isinstance(epochs, int) and epoch < epochs:
        notes.append(f"The weights are those after epoch {epoch} of {epochs}.")
    for note in notes:
        progress.log("info", note)
    preprocessing = {
        "bands": config.bands,
        "quantization": "auto",
        "crs": _mapping(settings, "data").get("crs"),
        "pixel_m": None,
        "window": config.window,
        "window_sizes": [config.base_px, config.augmented_px],
        "text_encoder": {"spec": encoder, "identity": None, "dim": config.text_dim} if encoder else None,
        "counts": {},
        "statistics": {},
    }
    manifest = {
        "source": {
            "file": source.name,
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "created": content.get("created_at"),
            "epoch": epoch,
        },
        "best_epoch": epoch,
        "metrics": _numbers(_mapping(content, "train_metrics")),
        "training": _numbers(_mapping(settings, "train")),
        "notes": notes,
    }
    return Checkpoint("aether", asdict(config), preprocessing, manifest, weights)


def _config(
    source: Path,
    weights: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    temperatures: Mapping[str, Any],
    encoder: str | None,
    notes: list[str],
) -> AetherConfig:
    default = AetherConfig(window="square")
    data, model = _mapping(settings, "data"), _mapping(settings, "model")
    if "pix_radius" not in data or "aug_pix_radius" not in data:
        notes.append("The file does not give its windows; squares of 9 and 19 pixels are assumed, as published.")
    try:
        return AetherConfig(
            bands=weights["image.expand.weight"].shape[1],
            text_dim=weights["text.project.weight"].shape[1],
            hidden_dim=weights["image.expand.weight"].shape[0],
            post_dim=weights["image.post_expand.weight"].shape[0],
            embedding_dim=weights["image.contract.weight"].shape[0],
            window="square",
            base_px=data.get("pix_radius", default.base_px),
            augmented_px=data.get("aug_pix_radius", default.augmented_px),
            lambda_image=model.get("lambda", default.lambda_image),
            temperature_image=temperatures.get("tau_ii", model.get("tau_img", default.temperature_image)),
            temperature_text=temperatures.get("tau_xt", model.get("tau_xt", default.temperature_text)),
            text_encoder=encoder or "",
        )
    except (ConfigError, TypeError, IndexError) as error:
        raise CheckpointError(f"{source}: its settings are not usable: {error}") from error


def _text_encoder(named: str | None, text: Mapping[str, Any], width: int, notes: list[str]) -> str | None:
    """The encoder that the user names, else the one in the file's settings."""
    if named:
        return named
    backend = text.get("backend")
    if backend == "hf" and isinstance(text.get("hf_model"), str):
        found = str(text["hf_model"])
    elif backend == "openai" and isinstance(text.get("openai_model"), str):
        found = f"openai:{text['openai_model']}@{_OPENAI_URL}?dimensions={width}"
    else:
        notes.append("The file does not name its text encoder; search by text needs it: import with --text-encoder.")
        return None
    notes.append(f"Text encoder as the file says: {found}.")
    return found


def _require_types(source: Path, types: Mapping[str, Any]) -> None:
    for key, expected in _TYPES.items():
        if types.get(key, expected) != expected:
            raise CheckpointError(
                f"{source}: {key} is {types[key]!r}, only the published {expected!r} can be imported."
            )


def _renamed(source: Path, part: str, state: Mapping[Any, Any], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Weights under our names; every one of them is accounted for."""
    renamed: dict[str, Tensor] = {}
    for key, tensor in state.items():
        layer, dot, kind = str(key).rpartition(".")
        stem, end = (layer, dot + kind) if kind in ("weight", "bias") else (str(key), "")
        if stem not in names:
            raise CheckpointError(f"{source}: {part} holds an unknown weight {key!r}.", "Is it another model?")
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tensor.is_sparse:
            raise CheckpointError(f"{source}: {part}[{key!r}] is no tensor of floating-point numbers.")
        renamed[names[stem] + end] = tensor.detach().float().contiguous()
    needed = [
        f"{name}{end}" for name in names.values() for end in ([""] if name.endswith("gate") else [".weight", ".bias"])
    ]
    optional = ("image.shortcut", "image.gate")
    lacking = [name for name in needed if name not in renamed and not name.startswith(optional)]
    if lacking:
        raise CheckpointError(f"{source}: {part} lacks the weights of {', '.join(lacking)}.", "Is it another model?")
    return renamed


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = content.get(key)
    return found if isinstance(found, Mapping) else {}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        str(key): value
        for key, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }

"""Ready-made image models: images of regions in, one vector each out.

Models come from Hugging Face (ViT, DINOv2, ResNet, CLIP ... by id or folder) or from timm (`timm:NAME`). Whatever a
model's own pipeline would crop away stays in: a region's image is resized whole to the side that the model was
trained for. Pixels that are not valid take the model's mean colour, so they are zero after normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from safetensors import SafetensorError
from torch import Tensor

from urbanfm_core.errors import ConfigError, MissingDependencyError, ShapeError
from urbanfm_core.models.text_source import (
    ModelSource,
    Role,
    find_model,
    load_weights,
    read_json,
    torchvision_remedy,
)

TIMM_PREFIX = "timm:"
IMAGE_MODEL = Role(
    "image model",
    "Use 'statistics', an id such as owner/name or owner/name@revision, an existing folder, or timm:NAME.",
    "or use the vision teacher 'statistics'",
)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_DEFAULT_SIDE = 224
# Filters of Pillow by their numbers that look at more than the nearest four pixels.
_CUBIC = {1, 3}


def load_image_backbone(spec: str, *, cache_dir: str | Path | None = None, device: str = "cpu") -> ImageBackbone:
    """The image model that `spec` names; its weights are loaded when it is first used.

    Args:
        spec: A folder written by `save_pretrained`, a Hugging Face id (`name` or `owner/name`, with `@revision` if
            wanted), or `timm:` followed by a name of timm's list, an id on the hub or a folder of timm's layout.
        cache_dir: Where downloads are kept; None for the user's cache folder.
        device: Torch device.

    Raises:
        ConfigError: the spec names nothing loadable, or torchvision does not match torch.
        MissingDependencyError: the package that the spec needs is not installed.
        RemoteError: the hub cannot be reached.
    """
    spec = spec.strip()
    if spec.startswith(TIMM_PREFIX):
        return TimmBackbone(spec, cache_dir=cache_dir, device=device)
    return TransformersBackbone(spec, find_model(spec, cache_dir, IMAGE_MODEL), device=device)


class ImageBackbone:
    """What all image models share: how pixels are prepared.

    Args:
        spec: What the user asked for.
        source: Folder and origin of the model.
        device: Torch device.
        side: Side of the square that the model takes, pixels.
        mean, std: Per channel, of colours in [0, 1].
        cubic: Whether images are resized by cubic or by linear interpolation, both with an antialiasing filter.

    Attributes:
        identity: Model, commit or content hash, and preparation. Equal identities give equal vectors, but for rounding.
        notes: What a report should mention about the model.
        reads_language: Whether it was trained together with a text encoder, so that its vectors mean what words mean.
    """

    def __init__(
        self,
        spec: str,
        source: ModelSource,
        *,
        device: str,
        side: int,
        mean: Sequence[float],
        std: Sequence[float],
        cubic: bool,
    ) -> None:
        self.spec = spec
        self.notes = list(source.notes)
        self.reads_language = False
        self._source, self._side, self._cubic = source, side, cubic
        self._device = torch.device(device)
        self._mean, self._std = (torch.tensor(list(values)).view(1, -1, 1, 1) for values in (mean, std))
        if self._mean.shape[1] != 3 or self._std.shape[1] != 3:
            raise ConfigError(
                f"The image model '{spec}' takes {self._mean.shape[1]} channels, expected 3: red, green, blue.",
                IMAGE_MODEL.choices,
            )
        colours = ",".join(f"{value:.4g}" for value in [*mean, *std])
        way = "bicubic" if cubic else "bilinear"
        self.identity = f"{source.label}|side={side}|{way}|norm={colours}"
        self._model: Any = None

    def features(self, images: Tensor, valid: Tensor) -> Tensor:
        """One vector per image.

        Args:
            images: (n, 3, H, W) uint8, red first, row 0 in the north; H = W.
            valid: (n, H, W) bool.
        Returns:
            (n, D) float32 on the model's device. The vector of an image without valid pixels means nothing.
        Raises:
            ShapeError: images are not square RGB, or the masks do not fit.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ShapeError(f"Images must be (n, 3, H, H), got {tuple(images.shape)}.")
        if valid.shape != (len(images), *images.shape[2:]):
            raise ShapeError(f"Masks of {tuple(images.shape)} images cannot be {tuple(valid.shape)}.")
        if self._model is None:
            self._model = self._load().to(self._device).eval().requires_grad_(False)
            self._mean, self._std = self._mean.to(self._device), self._std.to(self._device)
        colours = images.to(self._device).float() / 255.0
        colours = torch.where(valid.to(self._device)[:, None], colours, self._mean)
        if colours.shape[-1] != self._side:
            mode = "bicubic" if self._cubic else "bilinear"
            size = (self._side, self._side)
            colours = F.interpolate(colours, size, mode=mode, antialias=True, align_corners=False).clamp(0.0, 1.0)
        with torch.inference_mode():
            vectors = self._forward((colours - self._mean) / self._std).float()
        if vectors.ndim != 2:
            raise ConfigError(
                f"The image model '{self.spec}' gives {tuple(vectors.shape)} for a batch, expected one vector per image.",
                IMAGE_MODEL.choices,
            )
        return vectors

    def network(self) -> Any:
        """The network itself with its weights, to be trained on; `pooled_features` asks it."""
        return self._load()

    def _load(self) -> Any:
        raise NotImplementedError

    def _forward(self, pixels: Tensor) -> Tensor:
        """Normalised (n, 3, side, side) -> (n, D)."""
        raise NotImplementedError


class TransformersBackbone(ImageBackbone):
    """A model of Hugging Face transformers.

    The vector of a model with a text side (CLIP and its kin) is the one that is compared with texts. Else it is what
    the model itself pools without weights of a classifier's (ResNet, DINOv2, Swin ...), or its class token (ViT, whose
    own pooler is trained for one task and often absent), or the mean of its tokens.
    """

    def __init__(self, spec: str, source: ModelSource, *, device: str) -> None:
        config = read_json(source.folder / "config.json")
        vision = config.get("vision_config")
        settings, missing = _processor_settings(source.folder)
        side = _side(settings) or _side({"size": (vision if isinstance(vision, Mapping) else config).get("image_size")})
        if missing:
            source.notes.append(
                f"The image model '{spec}' has no preprocessor_config.json: images of {side or _DEFAULT_SIDE} pixels, "
                "normalised by ImageNet's mean and deviation, are assumed."
            )
        normalise = settings.get("do_normalize", True)
        super().__init__(
            spec,
            source,
            device=device,
            side=side or _DEFAULT_SIDE,
            mean=settings.get("image_mean", _IMAGENET_MEAN) if normalise else (0.0,) * 3,
            std=settings.get("image_std", _IMAGENET_STD) if normalise else (1.0,) * 3,
            cubic=settings.get("resample", 2) in _CUBIC,
        )
        self.reads_language = isinstance(vision, Mapping) and "text_config" in config

    def _load(self) -> Any:
        # The absent part may only be a pooler that is not used here.
        model = load_weights(self._source.folder, self.spec, IMAGE_MODEL, may_lack="pooler.dense")
        if self.reads_language:
            usable = hasattr(model, "get_image_features") and hasattr(model, "logit_scale")
        else:
            usable = getattr(model, "main_input_name", "pixel_values") == "pixel_values"
        if not usable:
            raise ConfigError(
                f"The image model '{self.spec}' is a {type(model).__name__}, which gives no vector of an image.",
                IMAGE_MODEL.choices,
            )
        return model

    def _forward(self, pixels: Tensor) -> Tensor:
        if self.reads_language:
            found = self._model.get_image_features(pixel_values=pixels)
            return found if isinstance(found, Tensor) else found.pooler_output  # by the version of transformers
        return pooled_features(self._model, pixels)


def pooled_features(network: Any, pixels: Tensor) -> Tensor:
    """One vector per picture of a network of transformers or timm without a text side: (n, 3, H, W) -> (n, D)."""
    if not hasattr(network, "main_input_name"):
        found: Tensor = network(pixels)
        return found
    output = network(pixel_values=pixels)
    names = [name for name, _ in network.named_parameters()]
    pooled = getattr(output, "pooler_output", None)
    if pooled is not None and not any("pooler.dense" in name for name in names):
        return torch.flatten(pooled, 1)
    states: Tensor = output.last_hidden_state
    if states.ndim == 4:
        return states.mean((2, 3))
    return states[:, 0] if any(name.endswith(("cls_token", "class_embedding")) for name in names) else states.mean(1)


def _processor_settings(folder: Path) -> tuple[dict[str, Any], bool]:
    """How the model's own pipeline prepares images, and whether nothing says so."""
    settings = read_json(folder / "preprocessor_config.json")
    if not settings:
        settings = read_json(folder / "processor_config.json").get("image_processor") or {}
    return settings, not settings


def _side(settings: Mapping[str, Any]) -> int | None:
    """The side of the square that the network gets; None if the settings do not say."""
    cropped = settings.get("crop_size") if settings.get("do_center_crop", True) else None
    size = settings.get("size") if cropped is None else cropped
    if isinstance(size, Mapping):
        size = size.get("height") or size.get("shortest_edge")
    elif isinstance(size, list | tuple) and size:
        size = size[-1]
    return int(size) if isinstance(size, int | float) and size > 0 else None


class TimmBackbone(ImageBackbone):
    """A model of timm, pooled as timm pools it before the classifier.

    Weights come as safetensors from timm's page on the Hugging Face hub, at a commit that the identity names, or from a
    folder of that layout (`config.json` with 'architecture' and 'pretrained_cfg', `model.safetensors`).

    Attributes:
        architecture, arguments: What timm builds the network from.
    """

    def __init__(self, spec: str, *, cache_dir: str | Path | None, device: str) -> None:
        self._timm = import_timm(spec)
        name = spec.removeprefix(TIMM_PREFIX).strip()
        source = find_model(self._on_the_hub(name), cache_dir, IMAGE_MODEL)
        self._settings = read_json(source.folder / "config.json")
        trained = self._settings.get("pretrained_cfg")
        if not isinstance(trained, Mapping) or "architecture" not in self._settings:
            raise ConfigError(
                f"The image model '{spec}' is not one of timm's: its config.json names no architecture and pretrained_cfg.",
                "Without 'timm:' in front, the spec names a model of transformers.",
            )
        self.architecture = str(self._settings["architecture"])
        self._trained, self.arguments = dict(trained), dict(self._settings.get("model_args") or {})
        side = self.arguments.get("img_size") or self._trained.get("input_size", (3, _DEFAULT_SIDE, _DEFAULT_SIDE))
        super().__init__(
            spec,
            source,
            device=device,
            side=int(side if isinstance(side, int) else side[-1]),
            mean=self._trained.get("mean", _IMAGENET_MEAN),
            std=self._trained.get("std", _IMAGENET_STD),
            cubic=self._trained.get("interpolation", "bicubic") == "bicubic",
        )

    def _on_the_hub(self, name: str) -> str:
        """Folder or id on the hub of a model; a bare name is looked up in timm's list."""
        if "/" in name or (name and Path(name).expanduser().is_dir()):
            return name
        bare, at, revision = name.partition("@")
        try:
            found = self._timm.models.get_pretrained_cfg(bare, allow_unregistered=True) if bare else None
        except RuntimeError:  # a known architecture with a tag that it does not have
            found = None
        if found is None or not found.hf_hub_id:
            raise ConfigError(
                f"timm knows no weights on the hub for '{bare}'.",
                "See timm.list_models(pretrained=True), or give an id on the hub: timm:owner/name.",
            )
        # timm leaves out the name where it is its own page's.
        return f"{found.hf_hub_id if not found.hf_hub_id.endswith('/') else found.hf_hub_id + bare}{at}{revision}"

    def _load(self) -> Any:
        weights = self._source.folder / "model.safetensors"
        trained = {**self._trained, "file": str(weights), "source": "", "custom_load": False}
        if "num_classes" in self._settings:
            trained["num_classes"] = self._settings["num_classes"]
        try:
            return self._timm.create_model(
                self.architecture,
                pretrained=True,
                pretrained_cfg=trained,
                num_classes=0,
                **self.arguments,
            )
        except (RuntimeError, TypeError, ValueError, KeyError, OSError, SafetensorError) as error:
            raise ConfigError(
                f"The image model '{self.spec}' cannot be loaded from {weights}: {error}",
                "Expected what timm.save_for_hf writes, with the weights as model.safetensors.",
            ) from error

    def _forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self._model(pixels)
        return vectors


def import_timm(spec: str) -> Any:
    """The package timm.

    Raises:
        MissingDependencyError: it, or the torchvision that it needs, is not installed.
        ConfigError: torchvision was built for another torch.
    """
    try:
        import timm
        import timm.models
    except ImportError as error:
        package = "torchvision" if (error.name or "").startswith("torchvision") else "timm"
        raise MissingDependencyError(package, f"The image model '{spec}'", "timm") from error
    except RuntimeError as error:
        remedy = torchvision_remedy(error)
        if not remedy:
            raise
        raise ConfigError(f"The image model '{spec}' needs timm, which cannot be imported: {error}.", remedy) from error
    return timm

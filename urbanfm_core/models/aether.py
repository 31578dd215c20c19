"""AETHER: AlphaEarth-POI enriched representations (Liu et al. 2025, "Beyond AlphaEarth", arXiv:2510.09894).

Around each point of interest the raster's pixel vectors are averaged in a small and a larger window. A projector learns
to give both windows, and the text of the point, the same place on a sphere. Applied to every pixel, it turns a raster
that knows form into one that knows function too; a region is the mean of its pixels (eq. 8).

What is missing is left out and counted: points without text, off the raster, or without enough valid pixels around them
do not train; pixels that are not valid, or zero in all bands and so without a direction, do not count in a region; a
region without any valid pixel gets NaN and coverage 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from rasterio.windows import Window
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import CheckpointError, ConfigError, EmptyInputError, InputError, ShapeError, about
from urbanfm_core.geo.raster import RasterInfo
from urbanfm_core.geo.windows import Disk, Square
from urbanfm_core.geo.zonal import zonal_mean
from urbanfm_core.models import checks
from urbanfm_core.models.aether_points import point_vectors, require_trained_bands
from urbanfm_core.models.batches import PixelBatches
from urbanfm_core.models.device import single_threads
from urbanfm_core.models.method import Method, PixelFunction, Prepared, RegionVectors, Trained, TrainingCity
from urbanfm_core.models.poi_samples import (
    SMALLEST_NORM,
    CityPoints,
    PoiCounts,
    PoiSamples,
    city_points,
    input_statistics,
    stored_text_vectors,
    unit_rows,
)
from urbanfm_core.models.points import PointVectors
from urbanfm_core.models.text import TextEncoder, load_text_encoder
from urbanfm_core.objectives.contrastive import contrastive_loss, logit_scale
from urbanfm_core.progress import Progress
from urbanfm_core.result import said_by

# Rows whose intermediate results stay in a CPU's caches.
_CPU_ROWS = 2048
# Smallest value that makes sense, for every whole number.
_LOWEST = {
    "hidden_dim": 1,
    "post_dim": 1,
    "embedding_dim": 1,
    "bands": 0,
    "text_dim": 0,
    "poi_seed": 0,
    "base_px": 0,
    "augmented_px": 1,
}


@dataclass(frozen=True)
class AetherConfig:
    """Numbers of the method; defaults are the paper's.

    Attributes:
        bands: Bands C of the raster; filled in from the data.
        text_dim: Width T of the text vectors; filled in from the data.
        hidden_dim: Width of the projector's first layer.
        post_dim: Width of the second block's inner layer.
        embedding_dim: Width D of the embedding.
        gate_init: The shortcut starts with the weight sigmoid(gate_init).
        dropout: Share of the second block's inner units dropped while training.
        window: 'disk' in metres on the ground, or 'square' in pixels as the published code does.
        base_m, augmented_m: Radii of the disks, metres.
        base_px, augmented_px: A square reaches so many pixels to each side of the point's own.
        lambda_image: Weight of the loss between the two windows; the rest is on the loss against the text.
        temperature_image, temperature_text: Fixed temperatures of the two losses.
        text_encoder: What turns sentences into vectors; see `load_text_encoder`.
        poi_share: Share of the points with text that is used, drawn with `poi_seed`.
        poi_seed: Start of that draw.
        min_valid: Share of a window that must be valid; 0 asks for a single valid pixel.
    """

    bands: int = 0
    text_dim: int = 0
    hidden_dim: int = 256
    post_dim: int = 256
    embedding_dim: int = 128
    gate_init: float = -4.0
    dropout: float = 0.0
    window: Literal["disk", "square"] = "disk"
    base_m: float = 50.0
    augmented_m: float = 100.0
    base_px: int = 4
    augmented_px: int = 9
    lambda_image: float = 0.2
    temperature_image: float = 0.07
    temperature_text: float = 0.07
    text_encoder: str = "minilm"
    poi_share: float = 1.0
    poi_seed: int = 0
    min_valid: float = 0.0

    def __post_init__(self) -> None:
        checks.whole_numbers(self, _LOWEST)
        checks.numbers(self, ("gate_init", "base_m", "augmented_m", "temperature_image", "temperature_text"))
        checks.shares(self, ("lambda_image", "dropout", "poi_share", "min_valid"))
        logit_scale(self.temperature_image)
        logit_scale(self.temperature_text)
        checks.choices(self, {"window": ("disk", "square")})
        checks.texts(self, ("text_encoder",))
        small, large = (self.base_m, self.augmented_m) if self.window == "disk" else (self.base_px, self.augmented_px)
        if not 0 <= small < large or (self.window == "disk" and small == 0):
            raise ConfigError(
                f"The augmented window must be larger than the base window, found {small} and {large}.",
                "The paper uses disks of 50 m and 100 m.",
            )
        if self.poi_share == 0:
            raise ConfigError("poi_share must be above 0, else nothing is left to train on.")

    def windows(self) -> tuple[Disk, Disk] | tuple[Square, Square]:
        """Base and augmented window."""
        if self.window == "disk":
            return Disk(self.base_m), Disk(self.augmented_m)
        return Square(self.base_px), Square(self.augmented_px)


class ImageProjector(nn.Module):
    """Pixel vectors to the shared sphere (eq. 4).

    u = norm(W2 relu(W1 x) + sigmoid(g) Ws x), z = norm(W4 gelu(W3 u)); each W with its bias. The shortcut Ws is the
    identity where input and output have the same width.
    """

    def __init__(self, config: AetherConfig) -> None:
        super().__init__()
        width = config.embedding_dim
        self.expand = nn.Linear(config.bands, config.hidden_dim)
        self.contract = nn.Linear(config.hidden_dim, width)
        self.shortcut = nn.Linear(config.bands, width) if config.bands != width else nn.Identity()
        self.gate = nn.Parameter(torch.full((1,), float(config.gate_init)))
        self.post_expand = nn.Linear(width, config.post_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.post_contract = nn.Linear(config.post_dim, width)

    def mix(self, x: Tensor) -> Tensor:
        """The first block alone: (N, C) -> (N, D), unit length."""
        return F.normalize(
            self.contract(torch.relu(self.expand(x))) + torch.sigmoid(self.gate) * self.shortcut(x), dim=-1
        )

    def forward(self, x: Tensor) -> Tensor:
        """Unit vectors (N, C) -> unit vectors (N, D)."""
        inner = self.dropout(F.gelu(self.post_expand(self.mix(x))))
        return F.normalize(self.post_contract(inner), dim=-1)


class TextProjector(nn.Module):
    """Text vectors to the shared sphere (eq. 3): one linear layer, unit length."""

    def __init__(self, config: AetherConfig) -> None:
        super().__init__()
        self.project = nn.Linear(config.text_dim, config.embedding_dim)

    def forward(self, text: Tensor) -> Tensor:
        """(N, T) -> (N, D)."""
        return F.normalize(self.project(text), dim=-1)


class AetherModel(nn.Module):
    """Both projectors."""

    def __init__(self, config: AetherConfig) -> None:
        super().__init__()
        self.image = ImageProjector(config)
        self.text = TextProjector(config)

    def forward(self, base: Tensor, augmented: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Two windows (B, C) each and texts (B, T) of the same points -> three (B, D) of unit length."""
        windows = self.image(torch.cat([base, augmented]))
        return windows[: len(base)], windows[len(base) :], self.text(text)


class Aether(Method):
    """The method; see the module for the idea and for what happens to missing data."""

    name: ClassVar[str] = "aether"
    title: ClassVar[str] = "AETHER"
    paper: ClassVar[str] = "Liu et al. 2025, Beyond AlphaEarth, arXiv:2510.09894"
    needs: ClassVar[tuple[str, ...]] = ("pois", "embedding_raster")
    embeds_from: ClassVar[tuple[str, ...]] = ("embedding_raster",)
    can: ClassVar[frozenset[str]] = frozenset({"pixels", "text", "cities", "points"})
    points_from: ClassVar[tuple[str, ...]] = ("pois", "embedding_raster")
    config_class: ClassVar[type] = AetherConfig
    # Table 1; at weight 0 the augmented window has no say. The paper's other variations are sweeps of single numbers:
    # lambda_image (figure 3), base_m and augmented_m (table 2), poi_share (figure 4).
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {"w/o aug": {"lambda_image": 0.0}}

    def prepare(
        self, config: AetherConfig, city: CityInputs, store: SampleStore, device: torch.device, progress: Progress
    ) -> Prepared:
        """See `prepare_cities`."""
        return self.prepare_cities(config, [TrainingCity("", city, store)], device, progress)

    def prepare_cities(
        self, config: AetherConfig, cities: Sequence[TrainingCity], device: torch.device, progress: Progress
    ) -> Prepared:
        """Window means and text vectors of all usable points; both are kept in the stores.

        Raises:
            EmptyInputError: fewer than two points are left; the message counts why.
            InputError: the rasters of the cities differ in their bands, or in how their numbers are read.
        """
        found: list[CityPoints] = []
        for number, city in enumerate(cities):
            part = progress.part(0.3 * number / len(cities), 0.3 * (number + 1) / len(cities))
            with about(city.name):
                city.inputs.require(*self.needs)
                points = city_points(
                    city.inputs, config.windows(), city.store, part,
                    share=config.poi_share, seed=config.poi_seed, min_valid=config.min_valid,
                )  # fmt: skip
                _require_same_kind(found[0] if found else points, points)
                points.notes.extend(_coarse_pixels(points.base, points.augmented, config, points.info))
                found.append(points)
        counts, first = PoiCounts.sum([points.counts for points in found]), found[0]
        if counts.used < 2:
            raise EmptyInputError(f"{counts.sentence()} At least two are needed.", counts.remedy(first.info))
        encoder = load_text_encoder(config.text_encoder, device=str(device))
        vectors: list[np.ndarray] = []
        text_row: list[np.ndarray] = []
        for city, points in zip(cities, found, strict=True):
            if points.texts:
                start = sum(len(rows) for rows in vectors)
                here, row = stored_text_vectors(encoder, points.texts, city.store, progress.part(0.3, 1.0))
                vectors.append(here)
                text_row.append(row + start)
        base = np.concatenate([points.base for points in found])
        samples = PoiSamples(
            torch.from_numpy(unit_rows(base)),
            torch.from_numpy(unit_rows(np.concatenate([points.augmented for points in found]))),
            torch.from_numpy(np.concatenate(vectors)),
            torch.from_numpy(np.concatenate(text_row)),
        )
        config = replace(config, bands=first.info.count, text_dim=int(vectors[0].shape[1]))
        disk = config.window == "disk"
        preprocessing = {
            "bands": first.info.count,
            "quantization": first.quantization,
            "crs": first.info.crs.to_string(),
            "pixel_m": [round(size, 3) for size in first.info.res_m],
            "window": config.window,
            "window_sizes": [config.base_m, config.augmented_m] if disk else [config.base_px, config.augmented_px],
            "text_encoder": {"spec": config.text_encoder, "identity": encoder.identity, "dim": config.text_dim},
            "counts": asdict(counts),
            "cities": {
                city.name: asdict(points.counts) for city, points in zip(cities, found, strict=True) if city.name
            },
            "statistics": input_statistics(base),
        }
        notes = said_by({city.name: points.notes for city, points in zip(cities, found, strict=True)})
        return Prepared(config, samples, preprocessing, [*notes, *encoder.notes])

    def build(self, config: AetherConfig) -> AetherModel:
        """The network for known widths."""
        if not config.bands or not config.text_dim:
            raise ConfigError("The widths of raster and text are not known yet.", "Prepare the data first.")
        return AetherModel(config)

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor], config: AetherConfig) -> dict[str, Tensor]:
        """Eq. 5 to 7: L = lambda * L(base, augmented) + (1 - lambda) * L(base, text)."""
        base, augmented, text = model(batch["base"], batch["augmented"], batch["text"])
        image = contrastive_loss(base, augmented, logit_scale(config.temperature_image), gather=True)
        cross = contrastive_loss(base, text, logit_scale(config.temperature_text), gather=True)
        weight = config.lambda_image
        return {"loss": weight * image + (1.0 - weight) * cross, "image_image": image, "image_text": cross}

    def selection_metric(self) -> str:
        """The paper keeps the weights with the lowest loss between image and text."""
        return "image_text"

    def embed(
        self,
        trained: Trained,
        city: CityInputs,
        regions: RegionSet,
        store: SampleStore,
        progress: Progress,
        *,
        rule: str = "centre",
    ) -> RegionVectors:
        """Mean of the projected pixels of each region (eq. 8): not of unit length, shorter where pixels differ.

        Args:
            trained: Network.
            city: Needs the embedding raster.
            regions: R regions in any CRS.
            store: Keeps the sums of finished strips; must belong to this network, raster, regions and rule.
            progress: Reports and cancels.
            rule: 'centre' or 'coverage'; see `zonal_mean`.
        Raises:
            CheckpointError: the raster has another number of bands than the network was trained on.
        """
        city.require(*self.embeds_from)
        notes: list[str] = []
        if trained.precision != "float32":
            notes.append("Pixels are embedded in float32; the precision chosen is that of training only.")
        with city.open_embedding_raster() as raster:
            require_trained_bands(raster, trained.config)
            notes += _unlike_training(raster, trained.preprocessing)
            source = _Directed(raster)
            pooled = zonal_mean(
                source,
                regions.geometry,
                regions.crs,
                rule="coverage" if rule == "coverage" else "centre",
                pixel_function=self.pixel_function(trained),
                store=store,
                progress=progress,
            )
        if pooled.uncovered:
            notes.append(
                f"{pooled.uncovered:,} of {len(regions.ids):,} regions hold no valid pixel and have no vector."
            )
        if source.zero_pixels:
            notes.append(f"{source.zero_pixels:,} pixels in and beside the regions are zero in all bands: left out.")
        return RegionVectors(pooled.mean, {"embedding_raster": pooled.coverage.astype(np.float32)}, notes)

    def embed_points(self, trained: Trained, city: CityInputs, store: SampleStore, progress: Progress) -> PointVectors:
        """Text and surroundings of each point on the shared sphere; see `aether_points.point_vectors`."""
        pixels = self.pixel_function(trained)
        return point_vectors(trained, city, pixels, lambda: _same_encoder(trained), store, progress)

    def pixel_function(self, trained: Trained) -> PixelFunction:
        """Projector for arrays of pixels: (N, C) float32 -> (N, D) float32 of unit length.

        A pixel that is zero in all bands, or not finite in one, has no direction; its row is NaN.
        """
        project = _FoldedProjector(trained.model.image)  # type: ignore[arg-type]
        batches = PixelBatches(trained, _CPU_ROWS)
        bands, width = trained.config.bands, trained.config.embedding_dim
        side_by_side = single_threads() if trained.device.type == "cpu" else None

        def function(pixels: np.ndarray) -> np.ndarray:
            if pixels.ndim != 2 or pixels.shape[1] != bands:
                raise ShapeError(f"Pixels must be (N, {bands}), found {pixels.shape}.")
            if side_by_side is None or not len(pixels):
                return batches.compute(project, pixels, width)
            parts = (pixels[start : start + _CPU_ROWS] for start in range(0, len(pixels), _CPU_ROWS))
            return np.concatenate(list(side_by_side.map(lambda part: batches.compute(project, part, width), parts)))

        return function

    def text_vectors(self, trained: Trained, texts: Sequence[str], progress: Progress) -> np.ndarray:
        """Phrases on the shared sphere, (N, D) float32, by the text encoder that the network was trained with.

        Raises:
            CheckpointError: that encoder is not known, or the one found is another.
        """
        encoder = _same_encoder(trained)
        vectors = encoder.encode(texts, progress)
        if vectors.shape[1] != trained.config.text_dim:
            raise CheckpointError(
                f"The text encoder '{encoder.spec}' makes vectors of width {vectors.shape[1]}, but the checkpoint was "
                f"trained on {trained.config.text_dim}.",
                "Name the text encoder that the model was trained with.",
            )
        with torch.inference_mode():
            projected: Tensor = trained.model.text(torch.from_numpy(vectors).to(trained.device))  # type: ignore[operator]
            return np.asarray(projected.cpu().numpy())


class _FoldedProjector:
    """The image projector for inference: input normalised, gate folded into the shortcut, results in place."""

    def __init__(self, projector: ImageProjector) -> None:
        with torch.inference_mode():
            gate = torch.sigmoid(projector.gate)
            self._expand = projector.expand
            self._contract = projector.contract.weight.t()
            bias: Tensor = projector.contract.bias
            if isinstance(projector.shortcut, nn.Linear):
                self._shortcut = (gate * projector.shortcut.weight).t()
                bias = bias + gate * projector.shortcut.bias
            else:
                self._shortcut = gate * torch.eye(len(bias), device=bias.device)
            self._bias = bias
            self._post_expand, self._post_contract = projector.post_expand, projector.post_contract

    def __call__(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        x = x / length.clamp_min(SMALLEST_NORM)
        mixed = torch.addmm(self._bias, self._expand(x).relu_(), self._contract).addmm_(x, self._shortcut)
        mixed = F.normalize(mixed, dim=1, out=mixed)
        z = self._post_contract(F.gelu(self._post_expand(mixed)))
        z = F.normalize(z, dim=1, out=z)
        lost = ~(length[:, 0] >= SMALLEST_NORM)
        if bool(lost.any()):
            z[lost] = torch.nan
        return z


class _Directed:
    """A raster whose pixels that are zero in all bands count as not valid: they have no direction."""

    def __init__(self, raster: EmbeddingRaster) -> None:
        self._raster = raster
        self._counting = Lock()
        self.zero_pixels = 0

    @property
    def info(self) -> RasterInfo:
        return self._raster.info

    @property
    def bands(self) -> int:
        return self._raster.bands

    def read_stored(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        return self._raster.read_stored(window)

    def decode(
        self, stored: np.ndarray, mask: np.ndarray | None = None, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        values, valid = self._raster.decode(stored, mask, out)
        # Squares would cost a pass over all bands; a pixel is short only if its first band is.
        short: np.ndarray = np.abs(values[0]) < SMALLEST_NORM
        if short.any():
            columns = np.flatnonzero(short)
            lengths = np.linalg.norm(values[:, columns], axis=0)
            zero = columns[(lengths < SMALLEST_NORM) & np.asarray(valid.all(axis=0))[columns]]
            if len(zero):
                with self._counting:
                    self.zero_pixels += len(zero)
                valid = valid.copy()
                valid[:, zero] = False
        return values, valid


def _require_same_kind(first: CityPoints, other: CityPoints) -> None:
    """Cities are learned from together only where their pixels mean the same."""
    kinds = [(points.info.count, points.quantization) for points in (first, other)]
    if kinds[0] != kinds[1]:
        (bands, read), (others, otherwise) = kinds
        raise InputError(
            f"{other.info.path} has {others} bands (quantisation '{otherwise}'), the first city's raster {bands} "
            f"('{read}').",
            "Give rasters of the same kind for all cities.",
        )


def _coarse_pixels(base: np.ndarray, augmented: np.ndarray, config: AetherConfig, info: RasterInfo) -> list[str]:
    """A sentence if pixels are too coarse for the windows: two windows of the same pixels teach nothing."""
    same = int((base == augmented).all(axis=1).sum())
    if config.window != "disk" or same <= 0.05 * len(base):
        return []
    pixel_m = max(info.res_m)
    return [
        f"For {same:,} of {len(base):,} points the windows of {config.base_m:g} m and {config.augmented_m:g} m hold the "
        f"same pixels, which measure {pixel_m:.4g} m: take larger ones, such as base_m={1.25 * pixel_m:.0f} and "
        f"augmented_m={3 * pixel_m:.0f} (--overrides)."
    ]


def _unlike_training(raster: EmbeddingRaster, preprocessing: Mapping[str, Any]) -> list[str]:
    """Sentences on how a raster differs from the one that the network was trained on."""
    notes = []
    size, trained_size = raster.info.res_m, preprocessing.get("pixel_m")
    if trained_size and not np.allclose(size, trained_size, rtol=0.25):
        notes.append(
            f"The raster's pixels measure {size[0]:.4g} x {size[1]:.4g} m, those of the training "
            f"{trained_size[0]:.4g} x {trained_size[1]:.4g} m; the model may not transfer."
        )
    codes, trained_codes = raster.quantization == "alphaearth", preprocessing.get("quantization") == "alphaearth"
    if not codes and trained_codes and raster.info.dtype == "int8":
        notes.append("The model was trained on dequantised AlphaEarth codes, but this int8 raster is read as it is.")
    return notes


def _same_encoder(trained: Trained) -> TextEncoder:
    """The text encoder of the training.

    A service on the network is only used when the user names it: a checkpoint must not decide where texts go.
    """
    known = trained.preprocessing.get("text_encoder") or {}
    spec = trained.text_encoder or known.get("spec")
    if not isinstance(spec, str):
        raise CheckpointError(
            "The checkpoint does not say which text encoder it was trained with.",
            "Import it again with --text-encoder, or name the encoder now.",
        )
    encoder = load_text_encoder(spec, device=str(trained.device), allow_remote=trained.text_encoder is not None)
    if known.get("identity") not in (None, encoder.identity):
        raise CheckpointError(
            f"The text encoder found is '{encoder.identity}', but the checkpoint was trained with '{known['identity']}'.",
            "Install the one of the training, or train again.",
        )
    return encoder

"""AETHER behind the interface of all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import CheckpointError, ConfigError, EmptyInputError, InputError, about
from urbanfm_core.geo.raster import RasterInfo
from urbanfm_core.geo.zonal import zonal_mean
from urbanfm_core.models.aether.config import AetherConfig
from urbanfm_core.models.aether.network import AetherModel
from urbanfm_core.models.aether.pixels import DirectedRaster, pixel_function, require_trained_bands, unlike_training
from urbanfm_core.models.aether.points import point_vectors
from urbanfm_core.models.exchange import PixelFunction, Prepared, RegionVectors, Trained, TrainingCity
from urbanfm_core.models.method import Method
from urbanfm_core.models.poi_samples import (
    CityPoints,
    PoiCounts,
    PoiSamples,
    city_points,
    input_statistics,
    stored_text_vectors,
    unit_rows,
)
from urbanfm_core.models.points import PointVectors
from urbanfm_core.models.text import load_text_encoder, trained_text_encoder
from urbanfm_core.objectives.contrastive import contrastive_loss, logit_scale
from urbanfm_core.progress import Progress
from urbanfm_core.result import said_by


class Aether(Method):
    """The method; see the package for the idea and for what happens to missing data."""

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
            notes += unlike_training(raster, trained.preprocessing)
            source = DirectedRaster(raster)
            pooled = zonal_mean(
                source,
                regions.geometry,
                regions.crs,
                rule="coverage" if rule == "coverage" else "centre",
                pixel_function=pixel_function(trained),
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
        """Text and surroundings of each point on the shared sphere; see `aether.points`."""
        return point_vectors(trained, city, store, progress)

    def pixel_function(self, trained: Trained) -> PixelFunction:
        """The projector for arrays of pixels; see `aether.pixels`."""
        return pixel_function(trained)

    def text_vectors(self, trained: Trained, texts: Sequence[str], progress: Progress) -> np.ndarray:
        """Phrases on the shared sphere, (N, D) float32, by the text encoder that the network was trained with.

        Raises:
            CheckpointError: that encoder is not known, or the one found is another.
        """
        encoder = trained_text_encoder(trained)
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

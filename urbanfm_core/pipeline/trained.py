"""What several stages do: train a method on cities, and embed the regions of a city by a trained one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urbanfm_core
from urbanfm_core.inputs import (
    finished_checkpoint,
    inputs_to_embed,
    method_config,
    model_name,
    store_of,
    training_settings,
)
from urbanfm_core.progress import Progress

if TYPE_CHECKING:
    import torch

    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.models.exchange import Prepared, Trained, TrainingCity
    from urbanfm_core.models.method import Method
    from urbanfm_core.training.checkpoint import Checkpoint
    from urbanfm_core.training.task import TrainingConfig


@dataclass(frozen=True)
class Learner:
    """A method, and how it is to be trained.

    Attributes:
        preset: As the user names it.
        method: The method of the preset.
        config: Its configuration, with the user's changes.
        training: Settings of the loop.
        device: Where to compute.
    """

    preset: str
    method: Method
    config: Any
    training: TrainingConfig
    device: torch.device

    @classmethod
    def of(cls, stage: Any) -> Learner:
        """What the parameters of a stage describe.

        Raises:
            ConfigError: a preset, a change to it, a setting or a device that does not exist.
        """
        from urbanfm_core.models import get_method, load_preset
        from urbanfm_core.models.device import resolve_device

        preset = load_preset(stage.preset)
        method = get_method(preset["method"])
        config, training = method_config(stage, method, preset), training_settings(stage, preset)
        return cls(stage.preset, method, config, training, resolve_device(stage.device))

    def sentence(self) -> str:
        """What computes, and where."""
        from urbanfm_core.models.device import describe_device

        return f"{self.method.title} ({self.preset}) on {describe_device(self.device)}"

    def prepare(self, cities: Sequence[TrainingCity], progress: Progress) -> Prepared:
        """Samples of cities."""
        return self.method.prepare_cities(self.config, cities, self.device, progress)

    def train(self, prepared: Prepared, out: Path, data_fingerprint: str, progress: Progress) -> Checkpoint:
        """Train on samples, and write the checkpoint; see `training.run.train`."""
        from urbanfm_core.training.run import train

        return train(
            self.method,
            prepared,
            self.training,
            device=self.device,
            out=out,
            data_fingerprint=data_fingerprint,
            progress=progress,
            preset=self.preset,
        )

    def train_unless_finished(
        self, city: TrainingCity, out: Path, progress: Progress, *, untrained: bool = False
    ) -> tuple[Checkpoint, bool]:
        """The checkpoint of a city in the cache, trained now if need be.

        Args:
            city: The city.
            out: Where its checkpoint is, or goes.
            progress: Reports and cancels.
            untrained: Whether the network is kept as a training starts from it.
        Returns:
            The checkpoint, and whether an earlier run had finished it.
        """
        from urbanfm_core.training.run import save_untrained

        found = finished_checkpoint(out)
        if found is not None:
            return found, True
        prepared = self.prepare([city], progress.part(0.0, 0.3))
        made_from = city.store.fingerprint
        if not untrained:
            return self.train(prepared, out, made_from, progress.part(0.3, 1.0)), False
        seed, preset = self.training.seed, self.preset
        return save_untrained(self.method, prepared, seed, out=out, data_fingerprint=made_from, preset=preset), False


def embedded_from(checkpoint: Checkpoint, method: Method, city: CityInputs, rule: str = "centre") -> dict[str, Any]:
    """What the vectors of a city's regions depend on, for a fingerprint.

    Raises:
        ConfigError: an input that the method embeds from is missing.
    """
    used = inputs_to_embed(method, city)
    return {**city.identity(*used), "weights": checkpoint.manifest["weights_sha256"], "rule": rule}


def provenance_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a table of vectors says of the model that made them."""
    return {
        "model": model_name(checkpoint),
        "method": checkpoint.method,
        "checkpoint": checkpoint.manifest["weights_sha256"],
        "urbanfm": urbanfm_core.__version__,
    }


def embed_regions(
    checkpoint: Checkpoint,
    method: Method,
    trained: Trained,
    city: CityInputs,
    store: SampleStore,
    progress: Progress,
    rule: str = "centre",
) -> tuple[EmbeddingTable, list[str]]:
    """The vectors of a city's regions, and notes; the store must belong to what they are `embedded_from`."""
    from urbanfm_core.inference.table import EmbeddingTable

    regions = city.require_regions()
    made = method.embed(trained, city, regions, store, progress, rule=rule)
    table = EmbeddingTable(regions, made.vectors, made.coverage, provenance_of(checkpoint))
    return table, [*made.notes, *trained.notes]


def embed_city(
    stage: Any, checkpoint: Checkpoint, device: torch.device, city: CityInputs, progress: Progress
) -> EmbeddingTable:
    """The vectors of a city's regions, with the notes in the provenance.

    Args:
        stage: Its batch size and cache.
        checkpoint: Of the model.
        device: Where to compute.
        city: Its layers and regions.
        progress: Reports and cancels.
    """
    from urbanfm_core.training.checkpoint import restore

    method, trained = restore(checkpoint, device, stage.batch_size)
    store = store_of(stage, "embed", embedded_from(checkpoint, method, city))
    table, notes = embed_regions(checkpoint, method, trained, city, store, progress)
    store.remove()
    table.provenance["notes"] = notes
    return table

"""What goes into a method and comes out of it: samples, prepared cities, trained networks, vectors and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.store import SampleStore

PixelFunction = Callable[[np.ndarray], np.ndarray]


class Samples(Protocol):
    """What the training loop draws batches from; see `ArrangedSamples` for what it may offer besides."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> Samples:
        """Move what is resident to the device; called once."""

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """The samples of these rows, (B,) int64 on the device, as tensors by name."""


@runtime_checkable
class ArrangedSamples(Samples, Protocol):
    """Samples that have a say in which of them share a batch, such as those of like length."""

    def arrange(self, order: Tensor, batch: int) -> Tensor:
        """Rearrange the order of an epoch; `models.ordering.length_sorted` does it by length.

        Called once an epoch on the CPU, by every process with the same arguments, and must depend on these and on the
        samples alone: training resumes by asking again.

        Args:
            order: A random permutation of the rows, (N,) int64.
            batch: Rows per batch, over all processes together.
        Returns:
            The same rows, (N,) int64: batch k is rows k * batch to (k + 1) * batch; the last N % batch are left out.
        """


@dataclass
class TensorSamples:
    """Samples that fit in memory: tensors with one row per sample.

    Attributes:
        tensors: By name, each (N, ...).
    """

    tensors: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def to(self, device: torch.device) -> TensorSamples:
        return TensorSamples({name: tensor.to(device) for name, tensor in self.tensors.items()})

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        return {name: tensor.index_select(0, indices) for name, tensor in self.tensors.items()}


@dataclass(frozen=True)
class TrainingCity:
    """A city that a method learns from.

    Attributes:
        name: As errors and notes call it; empty where there is only one.
        inputs: Its layers.
        store: Keeps what is made of these layers; it does not know of other cities.
    """

    name: str
    inputs: CityInputs
    store: SampleStore


@dataclass(frozen=True)
class Prepared:
    """A city, or several, ready to train on.

    Attributes:
        config: The method's configuration with everything filled in that only the data tells (bands, widths).
        samples: What the loop draws from.
        preprocessing: What inference needs to treat new data alike; JSON-like, kept in the checkpoint.
        notes: What was left out, and how much, in sentences.
        descriptions: What a language teacher was told of each region, see `descriptions.description_table`; None where
            there is no such teacher.
    """

    config: Any
    samples: Samples
    preprocessing: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    descriptions: pd.DataFrame | None = None


@dataclass(frozen=True)
class Phase:
    """A part of the training, with samples of its own; the next one starts from the weights that it leaves.

    Attributes:
        name: As folders, records and notes call it; empty where there is only one.
        samples: What the loop draws from.
        trains: Beginnings of the names of the parameters that are trained, up to a dot; all if there are none.
    """

    name: str
    samples: Samples
    trains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trained:
    """A network with its weights, and all that belongs to them.

    Attributes:
        batch_size: Pixels or regions computed at once; None leaves it to the method.
        text_encoder: Text encoder as the user names it now; None for the one that the checkpoint names, which is then
            used only if it runs on this machine.
        precision: Arithmetic of the network; methods that have only float32 take that.
        notes: What was special while computing with it, in sentences.
    """

    config: Any
    model: nn.Module
    preprocessing: Mapping[str, Any]
    device: torch.device
    batch_size: int | None = None
    text_encoder: str | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    notes: list[str] = field(default_factory=list)

    def arithmetic(self) -> torch.autocast:
        """The context in which the network computes with its precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def precision_notes(self, what: str = "Vectors") -> list[str]:
        """A sentence on numbers that such a context made, if they are not those of float32."""
        if self.precision == "float32":
            return []
        return [f"{what} were computed in {self.precision}; their third digit may differ from those in float32."]


@dataclass(frozen=True)
class RegionVectors:
    """One vector per region, in the order of the regions given.

    Attributes:
        vectors: (R, D) float32; a region that nothing covers is a row of NaN.
        coverage: By modality, (R,) float32 in [0, 1]: the share of the region that it covered.
        notes: What was left out, in sentences.
    """

    vectors: np.ndarray
    coverage: dict[str, np.ndarray]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RegionTexts:
    """One caption per region, in the order of the regions given.

    Attributes:
        texts: (R,), empty for a region without a picture.
        notes: What a report should mention.
    """

    texts: list[str]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class WindowFunction:
    """How a network turns pictures from above into vectors, wherever they are taken.

    Attributes:
        size_px: Side of the pictures, pixels.
        side_m: Their side on the ground in training, metres; None where the checkpoint does not tell.
        width: D.
        imagery: How imagery is read, as `Imagery.to_json` tells; None where the checkpoint does not tell.
        at_once: Pictures to hand over at once.
        encode: Pictures (B, 3, H, W) uint8, 0 where there are no data, and where there are, (B, H, W) bool ->
            (B, D) float32.
    """

    size_px: int
    side_m: float | None
    width: int
    imagery: Mapping[str, Any] | None
    at_once: int
    encode: Callable[[np.ndarray, np.ndarray], np.ndarray]

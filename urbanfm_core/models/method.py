"""What a method must offer. One class per method, without state; trained weights live in `Trained`.

The life of a method: `prepare` turns a city's layers into samples, once; `build` makes the network; `losses` is all
that the training loop calls; `embed` gives one vector per region. What only some methods can do, they list in `can`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.attention import RegionAttention
from urbanfm_core.models.points import PointVectors
from urbanfm_core.progress import Progress

if TYPE_CHECKING:
    from urbanfm_core.models.finetuning import Tuner

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


class Method(ABC):
    """The interface of all methods.

    Attributes:
        name: Key in METHODS.
        title: Name as the paper writes it.
        paper: Reference.
        needs: Inputs without which it cannot train, by their parameter names.
        embeds_from: Inputs without which a trained model cannot embed.
        one_of: Inputs of which at least one must be given, to train and to embed; all that are given are used.
        may_use: Inputs that it makes use of in training where they are given.
        trains_on: What a sample is; for 'regions' the city that it prepares has them.
        can: Abilities beyond embedding regions: 'pixels' (embeds each pixel of a raster), 'windows' (embeds any window
            of imagery), 'text' (shares a space with phrases), 'attention' (tells where points of interest look in the
            pictures of their regions), 'cities' (learns from several cities together), 'captions' (writes what it sees
            in imagery), 'points' (embeds single points of interest).
        points_from: For methods that have 'points': the inputs that a trained model reads of them; the first is needed.
        shares_training: Whether several processes may train together, with the result of one.
        uses_position: Whether it is told where a region or point lies, which evaluation must say.
        config_class: Frozen dataclass of the method's own numbers, with defaults from the paper.
        ablations: What the paper's tables leave out, by its own names: changes to the configuration.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    embeds_from: ClassVar[tuple[str, ...]]
    one_of: ClassVar[tuple[str, ...]] = ()
    may_use: ClassVar[tuple[str, ...]] = ()
    trains_on: ClassVar[Literal["points", "regions"]] = "points"
    can: ClassVar[frozenset[str]] = frozenset()
    points_from: ClassVar[tuple[str, ...]] = ()
    shares_training: ClassVar[bool] = True
    uses_position: ClassVar[bool] = False
    config_class: ClassVar[type]
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @abstractmethod
    def prepare(
        self, config: Any, city: CityInputs, store: SampleStore, device: torch.device, progress: Progress
    ) -> Prepared:
        """Turn the layers of a city into samples; what is expensive goes through the store."""

    def prepare_cities(
        self, config: Any, cities: Sequence[TrainingCity], device: torch.device, progress: Progress
    ) -> Prepared:
        """Turn the layers of cities into samples of all of them, in the order of the cities.

        Methods that have 'cities' do it for several; whatever is fitted on data (vocabularies, statistics) is then
        fitted on all of them together.
        """
        (city,) = cities
        return self.prepare(config, city.inputs, city.store, device, progress)

    @abstractmethod
    def build(self, config: Any) -> nn.Module:
        """The network for a filled-in configuration, with fresh weights from torch's random state."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Mapping[str, Tensor], config: Any) -> dict[str, Tensor]:
        """Named scalars of one batch; 'loss' is the one to minimise."""

    @abstractmethod
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
        """One vector per region."""

    def embed_points(self, trained: Trained, city: CityInputs, store: SampleStore, progress: Progress) -> PointVectors:
        """For methods that have 'points': one vector per point of interest, or building, of the city.

        Args:
            trained: Network.
            city: Needs points of interest; what is given of `points_from` is read too.
            store: Keeps finished parts; must belong to this network and these layers.
            progress: Reports and cancels.
        """
        raise self._cannot_embed_points()

    def require_points(self) -> None:
        """Check that the method has 'points', before anything is read.

        Raises:
            ConfigError: it has not.
        """
        if "points" not in self.can:
            raise self._cannot_embed_points()

    def _cannot_embed_points(self) -> ConfigError:
        return ConfigError(
            f"{self.title} has no vectors of single points of interest.",
            "Give a checkpoint of a method that has: UrbanMFM or AETHER.",
        )

    def phases(self, prepared: Prepared) -> list[Phase]:
        """What is trained one after another, each phase for all epochs of the settings; one of all samples if not said."""
        return [Phase("", prepared.samples)]

    def parameter_groups(
        self, model: nn.Module, config: Any, learning_rate: float, weight_decay: float
    ) -> list[dict[str, Any]] | None:
        """Groups of parameters for the optimiser; None for one group of all.

        Args:
            model: Network.
            config: Its configuration.
            learning_rate: The highest of the schedule, from the training settings.
            weight_decay: Of the training settings.
        Returns:
            Groups that hold each trainable parameter once: `params`, and optionally `lr_scale`, a factor on the learning
            rate of every step (1), and `weight_decay` (that of the settings); `models.groups.layerwise_groups` makes
            such. The same network must always give the same groups in the same order.
        """
        return None

    def initialise(self, model: nn.Module, prepared: Prepared) -> list[str]:
        """Give fresh weights a better start than random numbers, where the configuration names one; what was taken."""
        return []

    def selection_metric(self) -> str:
        """Name of the loss whose lowest epoch mean chooses the weights that are kept."""
        return "loss"

    def pixel_function(self, trained: Trained) -> PixelFunction:
        """For methods that can embed 'pixels': (N, C) float32 valid pixels -> (N, D) float32."""
        raise ConfigError(f"{self.title} does not embed single pixels.", "Use a method that can: see the README.")

    def window_function(self, trained: Trained) -> WindowFunction:
        """For methods that can embed 'windows' of imagery.

        Raises:
            ConfigError: the method cannot, or this network was trained without imagery.
        """
        raise ConfigError(f"{self.title} does not embed windows of imagery.", "Use a method that can: see the README.")

    def text_vectors(self, trained: Trained, texts: Sequence[str], progress: Progress) -> np.ndarray:
        """For methods that share a space with 'text': phrases -> (N, D) float32, unit length."""
        raise ConfigError(f"{self.title} has no text side.", "Search by text needs a method that has one.")

    def describe(
        self,
        trained: Trained,
        city: CityInputs,
        regions: RegionSet,
        store: SampleStore,
        progress: Progress,
        *,
        beams: int,
        longest: int,
    ) -> RegionTexts:
        """For methods that write 'captions': what the network says of the imagery of each region.

        Args:
            trained: Network.
            city: Needs imagery.
            regions: R regions in any CRS.
            store: Keeps pictures and finished captions; must belong to this network, imagery and regions.
            progress: Reports and cancels.
            beams: Texts that are followed side by side.
            longest: Most tokens of a caption.
        Raises:
            ConfigError: the method does not write.
        """
        raise ConfigError(
            f"{self.title} writes no captions.", "Give a checkpoint of UrbanCLIP, a captioner, or captions that exist."
        )

    def tuner(self) -> Tuner:
        """How a trained network is fine-tuned on labelled regions.

        Raises:
            ConfigError: the method cannot be fine-tuned.
        """
        raise ConfigError(
            f"A model of {self.title} cannot be fine-tuned.",
            "Give a checkpoint of ReFound or UrbanCLIP, or predict from embeddings with the head linear or mlp.",
        )

    def attention(
        self,
        trained: Trained,
        city: CityInputs,
        regions: RegionSet,
        chosen: np.ndarray,
        store: SampleStore,
        progress: Progress,
    ) -> RegionAttention:
        """For methods that have 'attention': that of chosen points of interest to the patches of their regions.

        Args:
            trained: Network.
            city: Needs points of interest and imagery.
            regions: R regions in any CRS.
            chosen: (P,) bool, which of the city's points, by their rows in `city.read_pois()`.
            store: Keeps pictures and finished parts; must belong to this network, these layers and regions.
            progress: Reports and cancels.
        """
        raise self._cannot_attend()

    def require_attention(self) -> None:
        """Check that the method has 'attention', before anything is read.

        Raises:
            ConfigError: it has not.
        """
        if "attention" not in self.can:
            raise self._cannot_attend()

    def _cannot_attend(self) -> ConfigError:
        return ConfigError(
            f"{self.title} has no attention between points of interest and imagery.",
            "Give a checkpoint of a method that has: ReFound.",
        )

"""What a method must offer. One class per method, without state; trained weights live in `Trained`.

The life of a method: `prepare` turns a city's layers into samples, once; `build` makes the network; `losses` is all
that the training loop calls; `embed` gives one vector per region. What only some methods can do, they list in `can`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.models.abilities import Ability, refusal
from urbanfm_core.models.attention import RegionAttention
from urbanfm_core.models.exchange import (
    Phase,
    PixelFunction,
    Prepared,
    RegionTexts,
    RegionVectors,
    Trained,
    TrainingCity,
    WindowFunction,
)
from urbanfm_core.models.points import PointVectors
from urbanfm_core.progress import Progress

if TYPE_CHECKING:
    from urbanfm_core.models.finetuning import Tuner


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
            in imagery), 'points' (embeds single points of interest), 'fine-tuning' (learns from labelled regions).
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

    def require(self, ability: Ability) -> None:
        """Check that the method has an ability, before anything is read.

        Raises:
            ConfigError: it has not; the remedy names the methods that have.
        """
        if ability not in self.can:
            raise refusal(self.title, ability)

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
        raise refusal(self.title, "points")

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
        raise refusal(self.title, "pixels")

    def window_function(self, trained: Trained) -> WindowFunction:
        """For methods that can embed 'windows' of imagery.

        Raises:
            ConfigError: the method cannot, or this network was trained without imagery.
        """
        raise refusal(self.title, "windows")

    def text_vectors(self, trained: Trained, texts: Sequence[str], progress: Progress) -> np.ndarray:
        """For methods that share a space with 'text': phrases -> (N, D) float32, unit length."""
        raise refusal(self.title, "text")

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
        raise refusal(self.title, "captions")

    def tuner(self) -> Tuner:
        """How a trained network is fine-tuned on labelled regions.

        Raises:
            ConfigError: the method cannot be fine-tuned.
        """
        raise refusal(self.title, "fine-tuning")

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
        raise refusal(self.title, "attention")

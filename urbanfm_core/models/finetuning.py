"""Fine-tuning of a pre-trained network on labelled regions: what is the same for every method, and what each tells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.exchange import ArrangedSamples, Prepared, Samples, Trained
from urbanfm_core.models.method import Method
from urbanfm_core.progress import Progress

Array = NDArray[np.float64]
Kind = Literal["numbers", "shares"]
KEY = "prediction"
_FLAT = 1e-12


@dataclass(frozen=True)
class Choice:
    """What the user chooses.

    Attributes:
        fusion: How ReFound's two CLS vectors become one.
        learns: The 'head' alone, 'all' of the network, or 'auto', as in the method's paper.
        prompt: Words that guide a prediction, for a method that reads them; '' for none.
    """

    fusion: Literal["average", "attention"] = "average"
    learns: Literal["auto", "head", "all"] = "auto"
    prompt: str = ""


@dataclass(frozen=True)
class TuningInputs:
    """What a network is given of R regions.

    Attributes:
        content: As the method keeps it.
        covered: (R,) bool, regions that the network can see.
        notes: What a report should mention.
    """

    content: Any
    covered: NDArray[np.bool_]
    notes: list[str]

    def __len__(self) -> int:
        return len(self.covered)


@dataclass(frozen=True)
class LabelledSamples:
    """Regions with what is to be predicted for them.

    Attributes:
        regions: S samples.
        target: (S, K) float32: standardised numbers, or shares that sum to 1.
    """

    regions: Samples
    target: Tensor

    def __len__(self) -> int:
        return len(self.regions)

    def to(self, device: torch.device) -> LabelledSamples:
        return LabelledSamples(self.regions.to(device), self.target.to(device))

    def arrange(self, order: Tensor, batch: int) -> Tensor:
        """As the regions want it; see `ArrangedSamples`."""
        return self.regions.arrange(order, batch) if isinstance(self.regions, ArrangedSamples) else order

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        return {**self.regions.batch(indices), "target": self.target[indices.to(self.target.device)]}


class Tuner(ABC):
    """What fine-tuning has to know of a method.

    Attributes:
        title: Name as the paper writes it.
        inputs: Layers that it sees, of which one must be given.
        batch_size, warmup_epochs, weight_decay: Of the paper.
    """

    title: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    batch_size: ClassVar[int]
    warmup_epochs: ClassVar[float] = 3.0
    weight_decay: ClassVar[float] = 0.01

    @abstractmethod
    def read(self, trained: Trained, city: CityInputs, store: SampleStore, progress: Progress) -> TuningInputs:
        """The city's regions as the network sees them, treated as in its training."""

    @abstractmethod
    def prepare(
        self, trained: Trained, inputs: TuningInputs, rows: NDArray[np.int64], outputs: int, choice: Choice
    ) -> tuple[Any, Samples]:
        """Configuration of a network with a head of so many outputs, and the samples of some regions, in their order."""

    @abstractmethod
    def method(self, weights: Mapping[str, Tensor], kind: Kind, choice: Choice) -> Method:
        """The method whose training fine-tunes, from the pre-trained weights."""

    @abstractmethod
    def outputs(
        self, trained: Trained, inputs: TuningInputs, rows: NDArray[np.int64], progress: Progress
    ) -> tuple[Array, Array]:
        """Vectors of regions, (M, D), and what the head makes of them, (M, K); K = 0 without a head."""


def fine_tuning(
    tuner: Tuner,
    trained: Trained,
    inputs: TuningInputs,
    rows: NDArray[np.int64],
    truth: Array,
    *,
    kind: Kind,
    choice: Choice,
    about: Mapping[str, Any],
) -> tuple[Method, Prepared]:
    """The method and its samples, for `training.run.train`.

    Args:
        tuner: Of the network's method.
        trained: The pre-trained network.
        inputs: Of R regions, from the tuner.
        rows: Labelled regions to learn from, each covered.
        truth: Their target, (S, K) numbers or shares.
        kind: 'numbers' has the loss (p - y)^2 of standardised values, 'shares' the cross entropy -sum q log p, which for
            one true class is that of classification.
        choice: What the user chooses.
        about: What else the checkpoint is to say of the target, JSON-like.
    """
    centre, scale = np.zeros(truth.shape[1]), np.ones(truth.shape[1])
    if kind == "numbers":
        centre, scale = truth.mean(axis=0), np.maximum(truth.std(axis=0), _FLAT)
    target = torch.from_numpy(((truth - centre) / scale).astype(np.float32))
    config, samples = tuner.prepare(trained, inputs, rows, truth.shape[1], choice)
    told = {**about, "kind": kind, "centre": centre.tolist(), "scale": scale.tolist()}
    preprocessing = {**trained.preprocessing, "teachers": {}, "visual_tokens": None, KEY: told}
    weights = trained.model.state_dict()
    return tuner.method(weights, kind, choice), Prepared(config, LabelledSamples(samples, target), preprocessing)


def predict_rows(
    tuner: Tuner, trained: Trained, inputs: TuningInputs, rows: NDArray[np.int64], progress: Progress
) -> tuple[Array, Array]:
    """What a fine-tuned network says of some regions, and their vectors.

    Args:
        tuner: Of the network's method.
        trained: With a prediction head.
        inputs: Of R regions, from the tuner.
        rows: (M,), each covered.
        progress: Asked whether to stop.
    Returns:
        (M, K) numbers in the units that it learned, or shares; and (M, D).
    Raises:
        ConfigError: it has no such head.
    """
    if not trained.config.predictions or KEY not in trained.preprocessing:
        raise ConfigError("This network has no prediction head.", "Fine-tune it first: --head finetune.")
    about = trained.preprocessing[KEY]
    vectors, found = tuner.outputs(trained, inputs, rows, progress)
    if about["kind"] == "shares":
        return softmax(found, axis=1), vectors
    return found * np.array(about["scale"]) + np.array(about["centre"]), vectors


def adopt(model: nn.Module, weights: Mapping[str, Tensor], fresh: tuple[str, ...], *, head_alone: bool) -> list[str]:
    """Take over all pre-trained weights but those of the head, which start afresh; what was taken, as a note.

    Args:
        model: Network with a head.
        weights: Of the pre-trained network.
        fresh: Beginnings of the names of what starts afresh.
        head_alone: Whether the rest is to stay as it is.
    Raises:
        ConfigError: weights are missing.
    """
    own = model.state_dict()
    kept = {name: weights[name] for name in own if name in weights and not name.startswith(fresh)}
    missing = [name for name in own if name not in kept and not name.startswith(fresh)]
    if missing:
        raise ConfigError(f"The pre-trained network lacks {', '.join(missing[:4])}.", "Choose another checkpoint.")
    model.load_state_dict(kept, strict=False)
    if head_alone:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(fresh))
    rest = " The rest of the network stays as it was." if head_alone else ""
    return [f"Fine-tuned from a pre-trained network; the prediction head started afresh.{rest}"]


def tuning_loss(predicted: Tensor, target: Tensor, kind: Kind) -> dict[str, Tensor]:
    """The mean over the batch's regions; see `fine_tuning`."""
    loss = F.mse_loss if kind == "numbers" else F.cross_entropy
    return {"loss": loss(predicted.float(), target)}

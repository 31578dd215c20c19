"""Fine-tuning of ReFound: a two-layer head on the region vector, and the whole network learns the target (section 4.3).

Setup of appendix A.2.2: AdamW with weight decay 0.01, batches of 12, three epochs of linear warm-up and linear decay,
and learning rates that fall by 0.75 from layer to layer. The paper's rates and epochs differ by data set (table 5), so
they are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from urbanfm_core.errors import ConfigError
from urbanfm_core.models.groups import layerwise_groups
from urbanfm_core.models.method import Prepared, Trained
from urbanfm_core.models.refound.compute import region_batches, run_regions
from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.method import ReFound
from urbanfm_core.models.refound.network import layer_of
from urbanfm_core.models.refound.samples import RefoundSamples, RegionInputs
from urbanfm_core.progress import Progress

Array = NDArray[np.float64]
Kind = Literal["numbers", "shares"]
DECAY = 0.75
KEY = "prediction"
_FRESH = ("prediction.", "fusion.")
_FLAT = 1e-12


@dataclass(frozen=True)
class LabelledSamples:
    """Regions with what is to be predicted for them.

    Attributes:
        regions: S samples without teachers.
        target: (S, K) float32: standardised numbers, or shares that sum to 1.
    """

    regions: RefoundSamples
    target: Tensor

    def __len__(self) -> int:
        return len(self.regions)

    def to(self, device: torch.device) -> LabelledSamples:
        return LabelledSamples(self.regions.to(device), self.target.to(device))

    def arrange(self, order: Tensor, batch: int) -> Tensor:
        """See `RefoundSamples.arrange`."""
        return self.regions.arrange(order, batch)

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        return {**self.regions.batch(indices), "target": self.target[indices.to(self.target.device)]}


class FineTuning(ReFound):
    """Trains a pre-trained network and a fresh head on labelled regions; its checkpoint is one of ReFound.

    Args:
        weights: Of the pre-trained network.
        kind: 'numbers' has the loss (p - y)^2 of standardised values, 'shares' the cross entropy -sum q log p, which
            for one true class is that of classification.
    """

    def __init__(self, weights: Mapping[str, Tensor], kind: Kind) -> None:
        self._weights, self._kind = weights, kind

    def initialise(self, model: nn.Module, prepared: Prepared) -> list[str]:
        """Take over all pre-trained weights but those of head and fusion, which start afresh."""
        own = model.state_dict()
        kept = {name: self._weights[name] for name in own if name in self._weights and not name.startswith(_FRESH)}
        missing = [name for name in own if name not in kept and not name.startswith(_FRESH)]
        if missing:
            raise ConfigError(f"The pre-trained network lacks {', '.join(missing[:4])}.", "Choose another checkpoint.")
        model.load_state_dict(kept, strict=False)
        return ["Fine-tuned from a pre-trained network; the prediction head started afresh."]

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor], config: RefoundConfig) -> dict[str, Tensor]:
        """The mean over the batch's regions."""
        predicted: Tensor = model.predict(batch).float()  # type: ignore[operator]
        if self._kind == "numbers":
            return {"loss": F.mse_loss(predicted, batch["target"])}
        return {"loss": F.cross_entropy(predicted, batch["target"])}

    def parameter_groups(
        self, model: nn.Module, config: RefoundConfig, learning_rate: float, weight_decay: float
    ) -> list[dict[str, Any]]:
        """Embeddings learn slowest, the head at the full rate."""
        layers = config.layers
        return layerwise_groups(
            model.named_parameters(), lambda name: layer_of(name, layers), layers, DECAY, weight_decay
        )


def fine_tuning(
    trained: Trained,
    inputs: RegionInputs,
    rows: NDArray[np.int64],
    truth: Array,
    *,
    kind: Kind,
    fusion: Literal["average", "attention"],
    about: Mapping[str, Any],
) -> tuple[FineTuning, Prepared]:
    """The method and its samples, for `training.run.train`.

    Args:
        trained: The pre-trained network.
        inputs: Of R regions, from `region_inputs`.
        rows: Labelled regions to learn from, each with points or a picture.
        truth: Their target, (S, K) numbers or shares.
        kind: Which of both.
        fusion: How the two CLS vectors become one.
        about: What else the checkpoint is to say of the target, JSON-like.
    """
    config: RefoundConfig = trained.config
    # What only pre-training needs goes: no head is left that the target gives no gradient.
    unused: dict[str, Any] = {
        **dict.fromkeys(("dlfm", "dvfm", "dvlfm", "mgdm", "cmsa"), False),
        **dict.fromkeys(("language_dim", "vision_dim", "vision_language_dim", "visual_vocab_size"), 0),
    }
    config = replace(config, predictions=truth.shape[1], fusion=fusion, initialise="", **unused)
    centre, scale = np.zeros(truth.shape[1]), np.ones(truth.shape[1])
    if kind == "numbers":
        centre, scale = truth.mean(axis=0), np.maximum(truth.std(axis=0), _FLAT)
    target = torch.from_numpy(((truth - centre) / scale).astype(np.float32))
    preprocessing = {
        **trained.preprocessing,
        "teachers": {},
        "visual_tokens": None,
        KEY: {**about, "kind": kind, "centre": centre.tolist(), "scale": scale.tolist()},
    }
    samples = LabelledSamples(RefoundSamples(inputs, rows), target)
    return FineTuning(trained.model.state_dict(), kind), Prepared(config, samples, preprocessing)


def predict_rows(
    trained: Trained, inputs: RegionInputs, rows: NDArray[np.int64], progress: Progress
) -> tuple[Array, Array]:
    """What a fine-tuned network says of some regions, and their vectors.

    Args:
        trained: With a prediction head.
        inputs: Of R regions, from `region_inputs`.
        rows: (M,), each with points or a picture.
        progress: Asked whether to stop.
    Returns:
        (M, K) numbers in the units that it learned, or shares; and (M, D).
    Raises:
        ConfigError: it has no such head.
    """
    if not trained.config.predictions or KEY not in trained.preprocessing:
        raise ConfigError("This network has no prediction head.", "Fine-tune it first: --head finetune.")
    about = trained.preprocessing[KEY]
    vectors, found = network_outputs(trained, inputs, rows, progress)
    if about["kind"] == "shares":
        return softmax(found, axis=1), vectors
    return found * np.array(about["scale"]) + np.array(about["centre"]), vectors


def network_outputs(
    trained: Trained, inputs: RegionInputs, rows: NDArray[np.int64], progress: Progress
) -> tuple[Array, Array]:
    """Vectors of regions, (M, D), and what the head makes of them, (M, K); K = 0 without a head."""
    found = np.empty((len(inputs), trained.config.predictions))
    vectors = np.empty((len(inputs), trained.config.hidden_size))
    model: Any = trained.model
    order = inputs.by_length(rows)

    def one(part: slice, batch: dict[str, Tensor]) -> None:
        here = order[part]
        vector = model(batch)
        vectors[here] = vector.double().cpu().numpy()
        if model.prediction is not None:
            found[here] = model.prediction(vector).double().cpu().numpy()

    run_regions(trained, inputs, order, region_batches(trained, "predicting"), progress, one)
    return vectors[rows], found[rows]

"""Fine-tuning of ReFound: a two-layer head on the region vector, and the whole network learns the target (section 4.3).

Setup of appendix A.2.2: AdamW with weight decay 0.01, batches of 12, three epochs of linear warm-up and linear decay,
and learning rates that fall by 0.75 from layer to layer. The paper's rates and epochs differ by data set (table 5), so
they are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.exchange import Prepared, Trained
from urbanfm_core.models.finetuning import Array, Choice, Kind, Tuner, TuningInputs, adopt, tuning_loss
from urbanfm_core.models.groups import layerwise_groups
from urbanfm_core.models.refound.compute import region_batches, run_regions
from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.layers import region_inputs
from urbanfm_core.models.refound.method import ReFound
from urbanfm_core.models.refound.network import layer_of
from urbanfm_core.models.refound.samples import RefoundSamples, RegionInputs
from urbanfm_core.progress import Progress

DECAY = 0.75
_FRESH = ("prediction.", "fusion.")


class FineTuning(ReFound):
    """Trains a pre-trained network and a fresh head on labelled regions; its checkpoint is one of ReFound.

    Args:
        weights: Of the pre-trained network.
        kind: See `models.finetuning.fine_tuning`.
        head_alone: Whether the rest of the network stays as it is.
    """

    def __init__(self, weights: Mapping[str, Tensor], kind: Kind, head_alone: bool = False) -> None:
        self._weights, self._kind, self._head_alone = weights, kind, head_alone

    def initialise(self, model: nn.Module, prepared: Prepared) -> list[str]:
        """Take over all pre-trained weights but those of head and fusion, which start afresh."""
        return adopt(model, self._weights, _FRESH, head_alone=self._head_alone)

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor], config: RefoundConfig) -> dict[str, Tensor]:
        """The mean over the batch's regions."""
        return tuning_loss(model.predict(batch), batch["target"], self._kind)  # type: ignore[operator]

    def parameter_groups(
        self, model: nn.Module, config: RefoundConfig, learning_rate: float, weight_decay: float
    ) -> list[dict[str, Any]]:
        """Embeddings learn slowest, the head at the full rate."""
        layers = config.layers
        return layerwise_groups(
            model.named_parameters(), lambda name: layer_of(name, layers), layers, DECAY, weight_decay
        )


class ReFoundTuner(Tuner):
    """How a ReFound is fine-tuned."""

    title: ClassVar[str] = ReFound.title
    inputs: ClassVar[tuple[str, ...]] = ReFound.one_of
    batch_size: ClassVar[int] = 12

    def read(self, trained: Trained, city: CityInputs, store: SampleStore, progress: Progress) -> TuningInputs:
        """Points and pictures of the regions."""
        city.require_one_of(*self.inputs)
        inputs, notes = region_inputs(trained, city, store, progress)
        return TuningInputs(inputs, inputs.has_pois | inputs.has_image, notes)

    def prepare(
        self, trained: Trained, inputs: TuningInputs, rows: NDArray[np.int64], outputs: int, choice: Choice
    ) -> tuple[RefoundConfig, RefoundSamples]:
        """A network with a head, without what only pre-training needs: no other head is left without a gradient."""
        if choice.prompt:
            raise ConfigError("ReFound reads no prompt.", "Leave the prompt out.")
        unused: dict[str, Any] = {
            **dict.fromkeys(("dlfm", "dvfm", "dvlfm", "mgdm", "cmsa"), False),
            **dict.fromkeys(("language_dim", "vision_dim", "vision_language_dim", "visual_vocab_size"), 0),
        }
        config = replace(trained.config, predictions=outputs, fusion=choice.fusion, initialise="", **unused)
        return config, RefoundSamples(inputs.content, rows)

    def method(self, weights: Mapping[str, Tensor], kind: Kind, choice: Choice) -> FineTuning:
        """The whole network learns, unless the user chooses otherwise."""
        return FineTuning(weights, kind, head_alone=choice.learns == "head")

    def outputs(
        self, trained: Trained, inputs: TuningInputs, rows: NDArray[np.int64], progress: Progress
    ) -> tuple[Array, Array]:
        """Vectors, and what the head makes of them."""
        return network_outputs(trained, inputs.content, rows, progress)


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

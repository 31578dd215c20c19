"""Fine-tuning of UrbanCLIP: an indicator from a region's picture (Zhong et al. 2024, section 3.4 and 3.5.2).

The predictor has one hidden layer (768 -> 256 -> 1 at the published size) and learns standardised targets; the encoders
stay as they are unless the user chooses otherwise. A prompt such as "The carbon emission is" is read by the text decoder,
which looks at the picture: what it knows before the next word is given to the predictor beside the picture's vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.image_store import ImageStatistics
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.batches import Batches
from urbanfm_core.models.exchange import Prepared, Trained
from urbanfm_core.models.finetuning import Array, Choice, Kind, Tuner, TuningInputs, adopt, tuning_loss
from urbanfm_core.models.image_text import Augmentation, CaptionTokenizer, Pictures, augmented, plain
from urbanfm_core.models.urbanclip.config import UrbanClipConfig
from urbanfm_core.models.urbanclip.method import UrbanClip, trained_pictures
from urbanfm_core.progress import Progress

_FRESH = ("prediction.",)
_BATCH = {"cpu": 16, "cuda": 256, "mps": 64}


@dataclass(frozen=True)
class PictureSamples:
    """Pictures of regions without captions.

    Attributes:
        pictures: Of R regions, one each.
        rows: (S,) those that have one.
        statistics: Of the pictures that the network learned from.
        augmentation: How much pictures are changed.
        device: Where batches go.
    """

    pictures: Pictures
    rows: NDArray[np.int64]
    statistics: ImageStatistics
    augmentation: Augmentation
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> PictureSamples:
        return replace(self, device=device)

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        images = torch.from_numpy(self.pictures.take(self.rows[indices.cpu().numpy()], self.statistics)).to(self.device)
        return {"image": augmented(images, self.statistics, self.augmentation, from_above=True)}


class FineTuning(UrbanClip):
    """Trains a predictor on labelled regions; its checkpoint is one of UrbanCLIP.

    Args:
        weights: Of the pre-trained network.
        kind: See `models.finetuning.fine_tuning`.
        head_alone: Whether the rest of the network stays as it is.
    """

    def __init__(self, weights: Mapping[str, Tensor], kind: Kind, head_alone: bool) -> None:
        self._weights, self._kind, self._head_alone = weights, kind, head_alone

    def initialise(self, model: nn.Module, prepared: Prepared) -> list[str]:
        """Take over all pre-trained weights; the predictor starts afresh."""
        return adopt(model, self._weights, _FRESH, head_alone=self._head_alone)

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor], config: UrbanClipConfig) -> dict[str, Tensor]:
        """The mean over the batch's regions."""
        return tuning_loss(model.predict(batch["image"])[1], batch["target"], self._kind)  # type: ignore[operator]


class UrbanClipTuner(Tuner):
    """How an UrbanCLIP is fine-tuned."""

    title: ClassVar[str] = UrbanClip.title
    inputs: ClassVar[tuple[str, ...]] = UrbanClip.embeds_from
    batch_size: ClassVar[int] = 32

    def read(self, trained: Trained, city: CityInputs, store: SampleStore, progress: Progress) -> TuningInputs:
        """Pictures of the regions."""
        pictures, statistics = trained_pictures(trained, city, store, progress)
        return TuningInputs((pictures, statistics), pictures.images.has_image, pictures.notes)

    def prepare(
        self, trained: Trained, inputs: TuningInputs, rows: NDArray[np.int64], outputs: int, choice: Choice
    ) -> tuple[UrbanClipConfig, PictureSamples]:
        """A network with a predictor that hears the prompt, and the pictures.

        Raises:
            ConfigError: a prompt, and a network that did not learn to write; or a fusion that there is not.
        """
        if choice.fusion != "average":
            raise ConfigError("UrbanCLIP has nothing to fuse.", "Leave the fusion out.")
        prompt: tuple[int, ...] = ()
        if choice.prompt:
            trained.model.require_decoder()  # type: ignore[operator]
            words = CaptionTokenizer.of(trained.preprocessing)
            ids = words.encode([choice.prompt], trained.config.context_length).ids[0].tolist()
            prompt = tuple(ids[: ids.index(words.end)])
        pictures, statistics = inputs.content
        config = replace(trained.config, predictions=outputs, prompt_ids=prompt, initialise="", extra_dim=0)
        return config, PictureSamples(pictures, rows, statistics, config.augmentation)

    def method(self, weights: Mapping[str, Tensor], kind: Kind, choice: Choice) -> FineTuning:
        """The predictor alone learns, unless the user chooses otherwise."""
        return FineTuning(weights, kind, head_alone=choice.learns != "all")

    def outputs(
        self, trained: Trained, inputs: TuningInputs, rows: NDArray[np.int64], progress: Progress
    ) -> tuple[Array, Array]:
        """Vectors of pictures, and what the predictor makes of them."""
        pictures, statistics = inputs.content
        model: Any = trained.model
        vectors = np.empty((len(rows), trained.config.embed_dim))
        found = np.empty((len(rows), trained.config.predictions))

        def one(part: slice) -> None:
            progress.check()
            images = torch.from_numpy(pictures.take(rows[part], statistics)).to(trained.device)
            seen, said = model.predict(plain(images, statistics))
            vectors[part], found[part] = seen.double().cpu().numpy(), said.double().cpu().numpy()

        at_once = trained.batch_size or _BATCH[trained.device.type]
        Batches(trained.device, at_once, trained.notes, doing="predicting", noun="picture").run(len(rows), one)
        return vectors, found

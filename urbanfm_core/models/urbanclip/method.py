"""UrbanCLIP behind the interface of all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.image_store import ImageStatistics
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.checks import require_kept
from urbanfm_core.models.descriptions import (
    COLUMN_PREFIX,
    TABLE_PREFIX,
    RegionPois,
    group_pois,
    region_descriptions,
)
from urbanfm_core.models.exchange import Prepared, RegionTexts, RegionVectors, Trained, WindowFunction
from urbanfm_core.models.finetuning import Tuner
from urbanfm_core.models.image_text import (
    CaptionTokenizer,
    ImageTextSamples,
    Pictures,
    caption_samples,
    captions_of,
    load_or_train,
    phrase_vectors,
    picture_inputs,
    region_vectors,
    window_function,
)
from urbanfm_core.models.method import Method
from urbanfm_core.models.teachers import teacher_features
from urbanfm_core.models.text import encode_whole, load_text_encoder
from urbanfm_core.models.urbanclip.config import UrbanClipConfig
from urbanfm_core.models.urbanclip.losses import pretraining_losses
from urbanfm_core.models.urbanclip.network import UrbanClipModel
from urbanfm_core.models.urbanclip.start import Start
from urbanfm_core.progress import Progress

# Captions compared with all others at a time.
_ALIKE_ROWS = 1024


class UrbanClip(Method):
    """Imagery of regions and its captions (Zhong et al. 2024).

    Trained on pictures with captions, it embeds from the picture alone. A region without a picture gets NaN; one without
    a caption is not trained on and is embedded like any other. Both are counted in the notes.

    The paper's ablation of the refinement of captions is one of the data: train on captions before and after it.
    """

    name: ClassVar[str] = "urbanclip"
    title: ClassVar[str] = "UrbanCLIP"
    paper: ClassVar[str] = "Zhong et al. 2024, UrbanCLIP, WWW, doi:10.1145/3589334.3645378"
    needs: ClassVar[tuple[str, ...]] = ("imagery", "captions")
    embeds_from: ClassVar[tuple[str, ...]] = ("imagery",)
    may_use: ClassVar[tuple[str, ...]] = ("pois",)
    trains_on: ClassVar[Literal["points", "regions"]] = "regions"
    can: ClassVar[frozenset[str]] = frozenset({"text", "captions", "fine-tuning", "windows"})
    config_class: ClassVar[type] = UrbanClipConfig
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "UrbanViT": {"objective": "views", "extra": ""},
        "Text-SimCLR": {"objective": "similar captions", "extra": ""},
        "w/o L_LM": {"caption_weight": 0.0},
        "w/o L_Con": {"contrastive_weight": 0.0},
    }

    def prepare(
        self, config: UrbanClipConfig, city: CityInputs, store: SampleStore, device: torch.device, progress: Progress
    ) -> Prepared:
        """Pictures, captions as tokens, and what the configuration asks for besides; pictures are kept in the store.

        Raises:
            EmptyInputError: fewer than two regions have a picture and a caption.
        """
        city.require(*self.needs)
        start = Start.read(config)
        config = start.config
        pictures = picture_inputs(city, config, "imagery", store, progress.part(0.0, 0.5), start.imagery)
        captions, owner, notes = captions_of(city.read_captions(), pictures)
        tokenizer = start.tokenizer or load_or_train(config.tokenizer, captions, config.tokenizer_size, config.seed)
        progress.update(0.5, f"Tokenising {len(captions):,} captions")
        tokens = tokenizer.encode(captions, config.context_length, divide=True)
        statistics = start.statistics or pictures.images.statistics()
        samples, counted = caption_samples(pictures, owner[tokens.source], tokens.ids, statistics, config.augmentation)
        config = replace(
            config, vocab_size=config.vocab_size or len(tokenizer), start_id=tokenizer.start, end_id=tokenizer.end
        )
        if config.objective != "captions":
            partner = _partners(config, samples, captions, owner, device, progress.part(0.6, 0.8))
            samples = replace(samples, partner=torch.from_numpy(partner))
        extra, said = _extra_vectors(config, city, store, device, progress.part(0.8, 1.0))
        if extra is not None:
            config = replace(config, extra_dim=extra.shape[1])
            samples = replace(samples, more={"extra": torch.from_numpy(extra[samples.rows])})
        preprocessing = {
            "tokenizer": {"files": tokenizer.to_files()},
            "imagery": pictures.settings,
            "statistics": statistics.to_json(),
            "counts": {"regions": len(pictures), "used": len(samples), "texts": len(samples.texts)},
        }
        notes = [*pictures.notes, *notes, *tokenizer.notes, *tokens.notes, *counted, *said]
        return Prepared(config, samples, preprocessing, notes)

    def build(self, config: UrbanClipConfig) -> UrbanClipModel:
        """The network for known sizes."""
        return UrbanClipModel(config)

    def initialise(self, model: nn.Module, prepared: Prepared) -> list[str]:
        """Start from another checkpoint of UrbanCLIP where the configuration names one."""
        return Start.weights_into(model, prepared.config)

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor], config: UrbanClipConfig) -> dict[str, Tensor]:
        """Both losses from one pass; see `pretraining_losses`."""
        return pretraining_losses(model, batch, config)  # type: ignore[arg-type]

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
        """The contrastive vector of each region's picture, unit length (section 3.4).

        Args:
            trained: Network.
            city: Needs imagery.
            regions: R regions in any CRS.
            store: Keeps pictures and finished vectors; must belong to this network, imagery and regions.
            progress: Reports and cancels.
            rule: Of no meaning here: a region is seen as a whole.
        Returns:
            (R, E), with the coverage 'imagery', the share of valid pixels.
        """
        pictures, statistics = trained_pictures(trained, replace(city, regions=regions), store, progress.part(0.0, 0.4))
        width = _width(trained.config)
        return region_vectors(trained, pictures, statistics, width, trained.model, store, progress.part(0.4, 1.0))

    def window_function(self, trained: Trained) -> WindowFunction:
        """The same vector of any window of imagery."""
        settings, statistics = _kept(trained)
        return window_function(trained, settings, statistics, _width(trained.config), trained.model)

    def text_vectors(self, trained: Trained, texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
        """Phrases in the space of the pictures, (N, E), unit length.

        Raises:
            ConfigError: the network learned without contrasting pictures with texts.
        """
        config: UrbanClipConfig = trained.config
        if config.objective != "captions" or not config.contrastive_weight:
            raise ConfigError("This network did not learn to compare pictures with texts.", "Train the whole method.")
        tokenizer = CaptionTokenizer.of(trained.preprocessing)
        tokens = tokenizer.encode(list(texts), config.context_length)
        trained.notes.extend(tokens.notes)
        model: Any = trained.model
        return phrase_vectors(trained, tokens.ids, config.embed_dim, lambda ids: model.encode_texts(ids)[0], progress)

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
        """By beam search; see `urbanclip.describe`."""
        from urbanfm_core.models.urbanclip.describe import Writing, describe

        return describe(trained, city, regions, store, progress, Writing(beams=beams, longest=longest))

    def tuner(self) -> Tuner:
        """Fine-tuning of a predictor, as in section 3.4, and guided by words, as in section 3.5.2."""
        from urbanfm_core.models.urbanclip.finetune import UrbanClipTuner

        return UrbanClipTuner()


def trained_pictures(
    trained: Trained, city: CityInputs, store: SampleStore, progress: Progress
) -> tuple[Pictures, ImageStatistics]:
    """The pictures of a city's regions, made as in training, and the colours of the training.

    Raises:
        CheckpointError: the checkpoint does not tell how pictures are treated.
    """
    settings, statistics = _kept(trained)
    return picture_inputs(city, trained.config, "imagery", store, progress, settings), statistics


def _kept(trained: Trained) -> tuple[Mapping[str, Any] | None, ImageStatistics]:
    """How imagery is read, and its colours, as in training."""
    kept = require_kept(trained.preprocessing, ("imagery", "statistics"))
    return kept["imagery"], ImageStatistics.from_json(kept["statistics"])


def _width(config: UrbanClipConfig) -> int:
    return config.embed_dim if config.compares else config.image_token_width


def _partners(
    config: UrbanClipConfig,
    samples: ImageTextSamples,
    captions: Sequence[str],
    owner: NDArray[np.int64],
    device: torch.device,
    progress: Progress,
) -> NDArray[np.int64]:
    """The sample that each is to be alike with, (S,): itself, or the one with the most similar caption (Text-SimCLR)."""
    if config.objective == "views":
        return np.arange(len(samples))
    place = np.full(len(samples.pictures), -1)
    place[samples.rows] = np.arange(len(samples))
    used = np.flatnonzero(place[owner] >= 0)
    encoder = load_text_encoder(config.similarity_encoder, device=str(device))
    vectors = encode_whole(encoder, [captions[row] for row in used.tolist()], progress)
    mean = np.zeros((len(samples), vectors.shape[1]), np.float32)
    np.add.at(mean, place[owner[used]], vectors)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    partner = np.empty(len(samples), np.int64)
    for start in range(0, len(samples), _ALIKE_ROWS):
        progress.check()
        rows = np.arange(start, min(start + _ALIKE_ROWS, len(samples)))
        alike = mean[rows] @ mean.T
        alike[rows - start, rows] = -np.inf
        partner[rows] = alike.argmax(axis=1)
    return partner


def _extra_vectors(
    config: UrbanClipConfig, city: CityInputs, store: SampleStore, device: torch.device, progress: Progress
) -> tuple[NDArray[np.float32] | None, list[str]]:
    """Vectors of what is said of the points of interest of each region, (R, X), NaN for a region without any."""
    if not config.extra:
        return None, []
    regions = city.require_regions()
    words = [RegionPois((), ())] * len(regions)
    if city.pois is not None:
        pois = city.read_pois()
        found = regions.assign(pois.xy, pois.crs)
        words = group_pois(pois, np.concatenate([[0], found.counts(len(regions)).cumsum()]), found.point)
    elif not config.extra.startswith((COLUMN_PREFIX, TABLE_PREFIX)):
        return None, ["Without points of interest there is no third modality: pictures and captions alone are aligned."]
    described = region_descriptions(
        config.extra, regions, words, store=store, device=str(device), progress=progress.part(0.0, 0.5)
    )
    features = teacher_features(
        "language",
        config.extra_encoder,
        store=store,
        regions=len(regions),
        descriptions=described.texts,
        device=str(device),
        progress=progress.part(0.5, 1.0),
    )
    return features.vectors, [*described.notes, *features.notes]

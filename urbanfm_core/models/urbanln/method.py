"""UrbanLN behind the interface of all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, cast

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
from urbanfm_core.models.exchange import Prepared, RegionVectors, Trained, WindowFunction
from urbanfm_core.models.image_text import (
    CaptionTokenizer,
    caption_samples,
    captions_of,
    load_or_train,
    phrase_vectors,
    picture_inputs,
    region_vectors,
    window_function,
)
from urbanfm_core.models.image_text.tokens import WORDPIECE
from urbanfm_core.models.method import Method
from urbanfm_core.models.urbanln.clip import find_clip, start_from
from urbanfm_core.models.urbanln.config import UrbanLNConfig
from urbanfm_core.models.urbanln.losses import pretraining_losses
from urbanfm_core.models.urbanln.network import UrbanLNModel
from urbanfm_core.progress import Progress

VIEWS: tuple[Literal["imagery", "streetview"], ...] = ("imagery", "streetview")
# What a checkpoint must say of its training.
_KEPT = ("tokenizer", "pictures", "statistics")


class UrbanLN(Method):
    """Pictures of regions and long captions in one space (Zhang et al. 2026).

    One model learns from one kind of picture: from above (the paper's +SI) or street views (+SV). A picture without a
    caption does not train. A region has the vector of its picture, or the mean over its street views, which is shorter
    the more these differ; a region without any picture gets NaN and coverage 0. Captions are not needed to embed.

    Refinement and consensus of captions come before the training, so the ablation "w/o Refinement" is one of the data:
    train on captions before and after it; "w/o Consensus" is for a file with the captions of all captioners.
    """

    name: ClassVar[str] = "urbanln"
    title: ClassVar[str] = "UrbanLN"
    paper: ClassVar[str] = (
        "Zhang et al. 2026, Improving Region Representation Learning from Urban Imagery with Noisy Long-Caption "
        "Supervision, AAAI"
    )
    needs: ClassVar[tuple[str, ...]] = ("captions",)
    embeds_from: ClassVar[tuple[str, ...]] = ()
    one_of: ClassVar[tuple[str, ...]] = VIEWS
    trains_on: ClassVar[Literal["points", "regions"]] = "regions"
    can: ClassVar[frozenset[str]] = frozenset({"text", "windows"})
    config_class: ClassVar[type] = UrbanLNConfig
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "w/o Consensus": {"captions": "random"},
        "w/o IPSI": {"ipsi": False},
        "w/o MSD": {"msd": False},
    }

    def prepare(
        self, config: UrbanLNConfig, city: CityInputs, store: SampleStore, device: torch.device, progress: Progress
    ) -> Prepared:
        """Pictures and captions; pictures are kept in the store.

        Raises:
            ConfigError: neither imagery nor street views are given, or both and the configuration does not choose; the
                tokenizer has more words than the CLIP to start from.
            EmptyInputError: fewer than two pictures have a caption.
        """
        view = _view(config, city)
        clip = find_clip(config.initialise) if config.initialise else None
        config = replace(config if clip is None else clip.configured(config), view=view)
        pictures = picture_inputs(city, config, view, store, progress.part(0.0, 0.9))
        captions = city.read_captions()
        if config.captions == "all":
            captions = captions.agreed()
        texts, owner, said = captions_of(captions, pictures)
        if config.captions == "random":
            texts, owner, chosen = _one_each(texts, owner, config.seed)
            said.append(chosen)
        tokenizer = load_or_train(_tokenizer_spec(config), texts, config.tokenizer_size, config.seed)
        config = _with_words(config, tokenizer)
        tokens = tokenizer.encode(texts, config.text_length)
        statistics = pictures.images.statistics() if clip is None else clip.statistics
        samples, counted = caption_samples(pictures, owner, tokens.ids, statistics, config.augmentation)
        notes = [*pictures.notes, *said, *tokenizer.notes, *tokens.notes, *counted]
        if config.msd and config.queue > len(samples):
            notes.append(
                f"The queues are cut from {config.queue:,} to {len(samples):,} vectors, the number of pictures, so that "
                "none is in them twice."
            )
            config = replace(config, queue=len(samples))
        preprocessing = {
            "tokenizer": {"files": tokenizer.to_files()},
            "pictures": pictures.settings,
            "statistics": statistics.to_json(),
            "counts": {"pictures": len(pictures), "used": len(samples), "captions": len(tokens.ids)},
        }
        return Prepared(config, samples, preprocessing, notes if clip is None else [*notes, *clip.notes])

    def build(self, config: UrbanLNConfig) -> UrbanLNModel:
        """The networks for known sizes."""
        return UrbanLNModel(config)

    def initialise(self, model: nn.Module, prepared: Prepared) -> list[str]:
        """Start from the CLIP that the configuration names."""
        config: UrbanLNConfig = prepared.config
        if not config.initialise:
            return []
        same = _tokenizer_spec(config) == config.initialise
        return start_from(model, config, find_clip(config.initialise), same_words=same)  # type: ignore[arg-type]

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor], config: UrbanLNConfig) -> dict[str, Tensor]:
        """Eq. 3 to 6; see `pretraining_losses`."""
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
        """The student's vector of each region's picture, unit length, or the mean over its street views.

        Args:
            trained: Network.
            city: Needs the kind of picture that the network was trained on.
            regions: R regions in any CRS.
            store: Keeps pictures and finished vectors; must belong to this network, these layers and regions.
            progress: Reports and cancels.
            rule: Of no meaning here: a region is seen as a whole.
        Returns:
            (R, D), with the coverage of 'imagery' (share of valid pixels) or 'streetview' (1 where a region has one).
        """
        config: UrbanLNConfig = trained.config
        kept, view = require_kept(trained.preprocessing, _KEPT), _view(config, city)
        other = [name for name in city.given(*VIEWS) if name != view]
        notes = [f"The layer {name} is left out: the model was trained on {view}." for name in other]
        city = replace(city, regions=regions)
        pictures = picture_inputs(city, config, view, store, progress.part(0.0, 0.5), kept["pictures"])
        statistics = ImageStatistics.from_json(kept["statistics"])
        encoders: Any = trained.model.student
        found = region_vectors(
            trained,
            pictures,
            statistics,
            config.embedding_dim,
            encoders.encode_images,
            store,
            progress.part(0.5, 1.0),
        )
        return replace(found, notes=[*notes, *found.notes])

    def window_function(self, trained: Trained) -> WindowFunction:
        """The student's vector of any window of imagery.

        Raises:
            ConfigError: the network learned from street views.
        """
        config: UrbanLNConfig = trained.config
        if config.view == "streetview":
            raise ConfigError(
                "This model was trained on street views, which have no place on a raster of pictures from above.",
                "Take a model that was trained on imagery.",
            )
        kept, encoders = require_kept(trained.preprocessing, _KEPT), cast(Any, trained.model).student
        statistics = ImageStatistics.from_json(kept["statistics"])
        return window_function(trained, kept["pictures"], statistics, config.embedding_dim, encoders.encode_images)

    def text_vectors(self, trained: Trained, texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
        """Phrases in the space of the pictures, (N, D) float32, unit length."""
        config: UrbanLNConfig = trained.config
        tokenizer = CaptionTokenizer.of(require_kept(trained.preprocessing, _KEPT))
        tokens = tokenizer.encode(texts, config.text_length)
        trained.notes.extend(tokens.notes)
        # Behind its end nothing of a phrase counts.
        ids = tokens.ids[:, : (tokens.ids == config.end_id).argmax(axis=1).max(initial=0) + 1]
        encoders: Any = trained.model.student
        return phrase_vectors(trained, ids, config.embedding_dim, encoders.encode_texts, progress)


def _view(config: UrbanLNConfig, city: CityInputs) -> Literal["imagery", "streetview"]:
    """Which pictures are learned from."""
    if config.view != "auto":
        city.require_path(config.view)
        return config.view
    city.require_one_of(*VIEWS)
    given = [name for name in VIEWS if getattr(city, name) is not None]
    if len(given) > 1:
        raise ConfigError(
            "One model of UrbanLN learns from imagery or from street views, and both were given.",
            "Leave one of them out.",
        )
    return given[0]


def _one_each(texts: Sequence[str], owner: NDArray[np.int64], seed: int) -> tuple[list[str], NDArray[np.int64], str]:
    """One caption of each picture at random: texts, the picture of each, and a sentence.

    Args:
        texts: N captions.
        owner: (N,) picture of each, ascending.
        seed: Start of the draw.
    """
    pictures, first, count = np.unique(owner, return_index=True, return_counts=True)
    rows = first + (np.random.default_rng(seed).random(len(pictures)) * count).astype(np.int64)
    several = int((count > 1).sum())
    chosen = f"Of the captions of {several:,} pictures that have several, one was drawn at random for good."
    return [texts[row] for row in rows], pictures, chosen


def _tokenizer_spec(config: UrbanLNConfig) -> str:
    return config.tokenizer or config.initialise or WORDPIECE


def _with_words(config: UrbanLNConfig, tokenizer: CaptionTokenizer) -> UrbanLNConfig:
    """The configuration for a tokenizer."""
    words = len(tokenizer)
    if config.initialise and _tokenizer_spec(config) == config.initialise:
        if words > config.vocab_size:
            raise ConfigError(
                f"The tokenizer of '{config.initialise}' has {words:,} words, its model knows {config.vocab_size:,}.",
                "They belong to different models; save both together.",
            )
        words = config.vocab_size
    return replace(config, vocab_size=words, end_id=tokenizer.end)

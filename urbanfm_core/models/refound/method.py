"""ReFound behind the interface of all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.image_store import combined_statistics
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import EmptyInputError, about
from urbanfm_core.models.attention import RegionAttention
from urbanfm_core.models.exchange import Prepared, RegionVectors, Trained, TrainingCity, WindowFunction
from urbanfm_core.models.finetuning import Tuner
from urbanfm_core.models.method import Method
from urbanfm_core.models.refound.attention import attend
from urbanfm_core.models.refound.bert import initialise_from_bert
from urbanfm_core.models.refound.compute import compute_vectors, region_batches
from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.layers import (
    INPUTS,
    load_tokenizer,
    make_sequences,
    read_cities,
    region_inputs,
)
from urbanfm_core.models.refound.losses import pretraining_losses
from urbanfm_core.models.refound.network import RefoundModel
from urbanfm_core.models.refound.samples import RefoundSamples, RegionInputs, join_inputs
from urbanfm_core.models.refound.teaching import CityRegions, Teachers
from urbanfm_core.models.refound.tokenizer import PoiTokenizer, PoiVocabulary
from urbanfm_core.models.refound.windows import window_function
from urbanfm_core.progress import Meter, Progress
from urbanfm_core.result import said_by

WORDPIECE = "wordpiece"
# Regions kept as one partition.
_PARTITION = 2048


class ReFound(Method):
    """Points of interest and imagery of a region in one transformer (Xiao et al. 2024).

    A region without points or without a picture is read by the side that it has; one without either gets NaN. What is
    missing is masked, never filled. Where the whole city lacks a layer, the objectives that need it are left out, and
    the notes say so.
    """

    name: ClassVar[str] = "refound"
    title: ClassVar[str] = "ReFound"
    paper: ClassVar[str] = "Xiao et al. 2024, ReFound, KDD, doi:10.1145/3637528.3671992"
    needs: ClassVar[tuple[str, ...]] = ()
    embeds_from: ClassVar[tuple[str, ...]] = ()
    one_of: ClassVar[tuple[str, ...]] = INPUTS
    trains_on: ClassVar[Literal["points", "regions"]] = "regions"
    can: ClassVar[frozenset[str]] = frozenset({"attention", "cities", "fine-tuning", "windows"})
    config_class: ClassVar[type] = RefoundConfig
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "w/o MoGE": {"experts": False},
        "w/o DLFM": {"dlfm": False},
        "w/o DVFM": {"dvfm": False},
        "w/o DVLFM": {"dvlfm": False},
        "w/o Dist": {"dlfm": False, "dvfm": False, "dvlfm": False},
        # Without hidden patches there is nothing to align with (section 5.2.2).
        "w/o MGDM": {"mgdm": False, "cmsa": False},
        "w/o CMSA": {"cmsa": False},
    }

    def prepare(
        self, config: RefoundConfig, city: CityInputs, store: SampleStore, device: torch.device, progress: Progress
    ) -> Prepared:
        """See `prepare_cities`."""
        return self.prepare_cities(config, [TrainingCity("", city, store)], device, progress)

    def prepare_cities(
        self, config: RefoundConfig, cities: Sequence[TrainingCity], device: torch.device, progress: Progress
    ) -> Prepared:
        """Sequences, pictures, and the teachers' answers; pictures and answers are kept in the stores.

        Words, categories, patches' words and the statistics of the pictures are those of all cities together.

        Raises:
            EmptyInputError: fewer than two regions have points or a picture.
        """
        for city in cities:
            with about(city.name):
                city.inputs.require_one_of(*self.one_of)
        layers, imagery = read_cities(config, cities, progress.part(0.0, 0.3))
        if config.tokenizer == WORDPIECE:
            names = [name for one in layers for name in one.pois.name if name]
            # Where no point has a name, the special tokens are all that is needed; a word must be there all the same.
            tokenizer = PoiTokenizer.train(names or ["."], config.tokenizer_size, config.seed)
        else:
            tokenizer = PoiTokenizer.load(config.tokenizer)
        vocabulary = PoiVocabulary.train(*(one.pois for one in layers))
        statistics = combined_statistics([one.images for one in layers if one.images is not None])
        read, inputs = [], []
        for city, one in zip(cities, layers, strict=True):
            with about(city.name):
                sequences = make_sequences(one, config, tokenizer, vocabulary, progress.part(0.3, 0.35))
            read.append(CityRegions(city.name, one, sequences, city.store, [*one.notes, *sequences.notes]))
            inputs.append(RegionInputs(sequences, one.images, statistics, config.patch_size))
        joined = join_inputs(inputs)
        rows = np.flatnonzero(joined.has_pois | joined.has_image)
        if len(rows) < 2:
            raise EmptyInputError(
                f"{len(rows)} of {len(joined):,} regions have points of interest or a picture; at least two are needed.",
                "Check that the layers show the same place and carry the right CRS.",
            )
        asked = Teachers(config, read, joined.images, str(device), progress.part(0.35, 0.9))
        teachers = asked.vectors()
        words, state = asked.visual_tokens(progress.part(0.9, 1.0))
        config = replace(
            config,
            vocab_size=len(tokenizer),
            categories=len(vocabulary),
            mask_id=tokenizer.mask,
            separator_id=tokenizer.sep,
            visual_vocab_size=0 if words is None else int(asked.words),
            language_dim=_width(teachers.get("language")),
            vision_dim=_width(teachers.get("vision")),
            vision_language_dim=_width(teachers.get("vision_language")),
        )
        given = {name for city in cities for name in city.inputs.given(*self.one_of)}
        preprocessing = {
            "tokenizer": {"files": tokenizer.to_files()},
            "categories": vocabulary.to_json(),
            "imagery": imagery,
            "statistics": statistics.to_json(),
            "teachers": asked.identities,
            "visual_tokens": state,
            "sees": [name for name in self.one_of if name in given],
            "counts": _counts(joined),
            "cities": {city.name: _counts(one) for city, one in zip(cities, inputs, strict=True) if city.name},
        }
        samples = RefoundSamples(joined, rows, teachers, words)
        notes = [*tokenizer.notes, *vocabulary.notes, *said_by({city.name: city.notes for city in read}), *asked.notes]
        notes.append(f"{len(rows):,} of {len(joined):,} regions are trained on.")
        return Prepared(config, samples, preprocessing, notes, asked.descriptions())

    def build(self, config: RefoundConfig) -> RefoundModel:
        """The network for known sizes."""
        return RefoundModel(config)

    def initialise(self, model: nn.Module, prepared: Prepared) -> list[str]:
        """Start from BERT where the configuration names one."""
        config: RefoundConfig = prepared.config
        if not config.initialise:
            return []
        tokenizer = load_tokenizer(prepared.preprocessing)
        vocabulary = {word: row for row, word in enumerate(tokenizer.words())}
        same = config.tokenizer == config.initialise
        return initialise_from_bert(model, config.initialise, vocabulary=None if same else vocabulary)  # type: ignore[arg-type]

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor], config: RefoundConfig) -> dict[str, Tensor]:
        """The five objectives, summed; see `pretraining_losses`."""
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
        """The fused CLS vectors of each region (section 4.3).

        Args:
            trained: Network.
            city: Needs points of interest or imagery, and uses both where they are given.
            regions: R regions in any CRS.
            store: Keeps pictures and finished vectors; must belong to this network, these layers and regions.
            progress: Reports and cancels.
            rule: Of no meaning here: a region is read as a whole.
        Returns:
            (R, D), with the coverage 'pois' (1 where a point is read) and 'imagery' (share of valid pixels).
        """
        inputs, notes = region_inputs(trained, replace(city, regions=regions), store, progress.part(0.0, 0.5))
        order = inputs.by_length()
        vectors = np.full((len(inputs), trained.config.hidden_size), np.nan, np.float32)
        batches = region_batches(trained, "embedding")
        meter = Meter(progress.part(0.5, 1.0), "regions", len(order))

        def make(part: slice) -> dict[str, NDArray[np.float32]]:
            return {"vectors": compute_vectors(trained, inputs, order[part], batches, progress)}

        for part, found in store.partitions("vectors", len(order), _PARTITION, make):
            vectors[order[part]] = found["vectors"]
            meter.advance(part.stop - part.start)
        missing = len(inputs) - len(order)
        if missing:
            notes.append(
                f"{missing:,} of {len(inputs):,} regions have neither points nor a picture and have no vector."
            )
        notes += trained.precision_notes()
        share = inputs.images.valid_share if inputs.images is not None else np.zeros(len(inputs))
        coverage = {"pois": inputs.has_pois.astype(np.float32), "imagery": share.astype(np.float32)}
        return RegionVectors(vectors, {name: coverage[name] for name in city.given(*self.one_of)}, notes)

    def window_function(self, trained: Trained) -> WindowFunction:
        """The vector of any window of imagery, read as a region without points of interest."""
        return window_function(trained)

    def tuner(self) -> Tuner:
        """Fine-tuning as in section 4.3."""
        from urbanfm_core.models.refound.finetune import ReFoundTuner

        return ReFoundTuner()

    def attention(
        self,
        trained: Trained,
        city: CityInputs,
        regions: RegionSet,
        chosen: NDArray[np.bool_],
        store: SampleStore,
        progress: Progress,
    ) -> RegionAttention:
        """Attention of chosen points to the patches of their regions (section 5.2.3)."""
        return attend(trained, city, regions, chosen, store, progress)


def _width(vectors: NDArray[np.float32] | None) -> int:
    return 0 if vectors is None else int(vectors.shape[1])


def _counts(inputs: RegionInputs) -> dict[str, int]:
    used = inputs.has_pois | inputs.has_image
    return {"regions": len(inputs), "used": int(used.sum()), "images": int(inputs.has_image.sum())}

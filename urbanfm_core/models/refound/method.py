"""ReFound behind the interface of all methods."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.models.attention import RegionAttention
from urbanfm_core.models.descriptions import group_pois, region_descriptions, split_language_spec
from urbanfm_core.models.method import Method, Prepared, RegionVectors, Trained
from urbanfm_core.models.refound.attention import attend
from urbanfm_core.models.refound.bert import initialise_from_bert
from urbanfm_core.models.refound.compute import compute_vectors, region_batches
from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.layers import (
    INPUTS,
    CityLayers,
    load_tokenizer,
    make_sequences,
    read_layers,
    region_inputs,
)
from urbanfm_core.models.refound.losses import pretraining_losses
from urbanfm_core.models.refound.network import RefoundModel
from urbanfm_core.models.refound.samples import RefoundSamples, RegionInputs
from urbanfm_core.models.refound.sequence import RegionSequences
from urbanfm_core.models.refound.tokenizer import PoiTokenizer, PoiVocabulary
from urbanfm_core.models.teachers import Images, Kind, TeacherFeatures, teacher_features
from urbanfm_core.models.visual_tokens import fit_visual_tokens, load_visual_tokens, stored_visual_tokens
from urbanfm_core.progress import Meter, Progress

CODEBOOK = "codebook"
WORDPIECE = "wordpiece"
# Regions kept as one partition.
_PARTITION = 2048
# The objective that each teacher serves.
_OBJECTIVE: dict[Kind, str] = {"language": "dlfm", "vision": "dvfm", "vision_language": "dvlfm"}


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
    can: ClassVar[frozenset[str]] = frozenset({"attention"})
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
        """Sequences, pictures, and the teachers' answers; pictures and answers are kept in the store.

        Raises:
            EmptyInputError: fewer than two regions have points or a picture.
        """
        city.require_one_of(*self.one_of)
        layers = read_layers(city, config, None, store, progress.part(0.0, 0.3))
        if config.tokenizer == WORDPIECE:
            # Where no point has a name, the special tokens are all that is needed; a word must be there all the same.
            names = layers.pois.name if any(layers.pois.name) else ["."]
            tokenizer = PoiTokenizer.train(names, config.tokenizer_size, config.seed)
        else:
            tokenizer = PoiTokenizer.load(config.tokenizer)
        vocabulary = PoiVocabulary.train(layers.pois)
        sequences = make_sequences(layers, config, tokenizer, vocabulary, progress.part(0.3, 0.35))
        statistics = (
            layers.images.statistics() if layers.images is not None else ImageStatistics((0.0,) * 3, (1.0,) * 3)
        )
        inputs = RegionInputs(sequences, layers.images, statistics, config.patch_size)
        rows = np.flatnonzero(inputs.has_pois | inputs.has_image)
        notes = [*layers.notes, *sequences.notes]
        if len(rows) < 2:
            raise EmptyInputError(
                f"{len(rows)} of {len(inputs):,} regions have points of interest or a picture; at least two are needed.",
                "Check that the layers show the same place and carry the right CRS.",
            )
        asked = _Teachers(config, layers, sequences, store, str(device), progress.part(0.35, 0.9))
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
        preprocessing = {
            "tokenizer": {"files": tokenizer.to_files()},
            "categories": vocabulary.to_json(),
            "imagery": layers.imagery,
            "statistics": statistics.to_json(),
            "teachers": asked.identities,
            "visual_tokens": state,
            "sees": list(city.given(*self.one_of)),
            "counts": {"regions": len(inputs), "used": len(rows), "images": int(inputs.has_image.sum())},
        }
        samples = RefoundSamples(inputs, rows, teachers, words)
        notes.append(f"{len(rows):,} of {len(inputs):,} regions are trained on.")
        return Prepared(config, samples, preprocessing, [*tokenizer.notes, *notes, *asked.notes])

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
        if trained.precision == "bfloat16":
            notes.append("Vectors were computed in bfloat16; their third digit may differ from those in float32.")
        share = inputs.images.valid_share if inputs.images is not None else np.zeros(len(inputs))
        coverage = {"pois": inputs.has_pois.astype(np.float32), "imagery": share.astype(np.float32)}
        return RegionVectors(vectors, {name: coverage[name] for name in city.given(*self.one_of)}, notes)

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


class _Teachers:
    """Asks the teachers that the configuration names, about what the city has."""

    def __init__(
        self,
        config: RefoundConfig,
        layers: CityLayers,
        sequences: RegionSequences,
        store: SampleStore,
        device: str,
        progress: Progress,
    ) -> None:
        self._config, self._layers, self._sequences = config, layers, sequences
        self._store, self._device, self._progress = store, device, progress
        self.identities: dict[str, str] = {}
        self.notes: list[str] = []
        self.words = 0
        frames = layers.frames.bounds.tobytes()
        settings = json.dumps([config.image_size, config.context, layers.imagery])
        self._images_key = hashlib.sha256(frames + settings.encode()).hexdigest()[:16]

    def vectors(self) -> dict[str, NDArray[np.float32]]:
        """What the teachers say of the regions, (R, D) each; only those that are named and have something to look at."""
        found = {kind: self._ask(kind, switch) for kind, switch in _OBJECTIVE.items()}
        return {kind: vectors for kind, vectors in found.items() if vectors is not None}

    def _ask(self, kind: Kind, switch: str) -> NDArray[np.float32] | None:
        config, number = self._config, list(_OBJECTIVE).index(kind)
        spec: str = getattr(config, f"{kind}_teacher")
        if not spec or not getattr(config, switch):
            return None
        progress = self._progress.part(number / len(_OBJECTIVE), (number + 1) / len(_OBJECTIVE))
        if kind == "language":
            return self._language(spec, progress)
        if self._layers.images is None:
            self.notes.append(f"Without imagery there is no {kind.replace('_', '-')} teacher ({switch.upper()}).")
            return None
        found = teacher_features(
            kind,
            spec,
            store=self._store,
            regions=len(self._layers.regions),
            images=self._layers.images.take,
            images_key=self._images_key,
            device=self._device,
            progress=progress,
        )
        return self._kept(kind, found, "")

    def _language(self, spec: str, progress: Progress) -> NDArray[np.float32] | None:
        layers = self._layers
        if not len(layers.pois):
            self.notes.append("Without points of interest there is no language teacher (DLFM).")
            return None
        source, encoder = split_language_spec(spec)
        starts, rows = _points_of(self._sequences)
        described = region_descriptions(
            source,
            layers.regions,
            group_pois(layers.pois, starts, rows),
            store=self._store,
            device=self._device,
            progress=progress.part(0.0, 0.5),
        )
        self.notes += described.notes
        found = teacher_features(
            "language",
            encoder,
            store=self._store,
            regions=len(layers.regions),
            descriptions=described.texts,
            device=self._device,
            progress=progress.part(0.5, 1.0),
        )
        return self._kept("language", found, f"{described.identity} | ")

    def _kept(self, kind: Kind, found: TeacherFeatures, source: str) -> NDArray[np.float32]:
        self.identities[kind] = source + found.identity
        self.notes += found.notes
        return found.vectors

    def visual_tokens(self, progress: Progress) -> tuple[NDArray[np.int64] | None, dict[str, Any] | None]:
        """The word of each patch, (R, N), and the tokenizer's state; None without imagery, or if none are wanted."""
        config, images = self._config, self._layers.images
        if not config.visual_tokens or not config.mgdm or images is None:
            return None, None
        take: Images = images.take
        rows = len(self._layers.regions)
        if config.visual_tokens == CODEBOOK:
            size = config.visual_vocab_size
            tokens, notes = fit_visual_tokens(
                take, rows, size=size, patch_px=config.patch_size, seed=config.seed, progress=progress.part(0.0, 0.5)
            )
            self.notes += notes
        else:
            tokens = load_visual_tokens(config.visual_tokens)
            if tokens.patch_px != config.patch_size:
                raise ConfigError(
                    f"The image tokenizer {config.visual_tokens} reads patches of {tokens.patch_px} pixels, "
                    f"the network patches of {config.patch_size}."
                )
        found, notes = stored_visual_tokens(
            tokens, take, rows, store=self._store, images_key=self._images_key, progress=progress.part(0.5, 1.0)
        )
        self.notes += notes
        self.words = tokens.size
        return found, tokens.to_state()


def _width(vectors: NDArray[np.float32] | None) -> int:
    return 0 if vectors is None else int(vectors.shape[1])


def _points_of(sequences: RegionSequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The points of each region as they stand in the sequences, once each: starts (R + 1,), and rows of points."""
    # The last token of a point is its separator.
    last = (sequences.tokens == sequences.sep) & (sequences.poi >= 0)
    before = np.concatenate([[0], np.cumsum(last)])
    return before[sequences.starts], sequences.poi[last].astype(np.int64)

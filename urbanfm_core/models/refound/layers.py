"""From a city's layers to what ReFound is given of its regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.frames import RegionFrames, region_frames
from urbanfm_core.data.image_cities import common_settings
from urbanfm_core.data.image_store import ImageStatistics, StoredImages, store_stretch, stored_images
from urbanfm_core.data.imagery import Imagery
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import about
from urbanfm_core.models.checks import require_kept
from urbanfm_core.models.exchange import Trained, TrainingCity
from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.samples import RegionInputs
from urbanfm_core.models.refound.sequence import RegionSequences, build_sequences
from urbanfm_core.models.refound.tokenizer import PoiTokenizer, PoiVocabulary
from urbanfm_core.progress import Progress

INPUTS = ("pois", "imagery")
# What a checkpoint must say of its training.
_KEPT = ("sees", "tokenizer", "categories", "imagery", "statistics")


@dataclass(frozen=True)
class CityLayers:
    """What a city gives of its regions, before it is made into samples."""

    regions: RegionSet
    pois: PoiSet
    frames: RegionFrames
    images: StoredImages | None
    imagery: dict[str, Any] | None
    notes: list[str]


def region_inputs(
    trained: Trained, city: CityInputs, store: SampleStore, progress: Progress
) -> tuple[RegionInputs, list[str]]:
    """What a trained network is given of a city's regions, treated as in training; and notes."""
    config: RefoundConfig = trained.config
    preprocessing = trained.preprocessing
    sees = seen_inputs(preprocessing)
    unseen = [name for name in city.given(*INPUTS) if name not in sees]
    notes = [f"The layer {name} is left out: the model was trained without such a layer." for name in unseen]
    city = replace(city, **dict.fromkeys(unseen))  # type: ignore[arg-type]
    city.require_one_of(*sees)
    layers = read_layers(city, config, preprocessing["imagery"], store, progress)
    vocabulary = PoiVocabulary.from_json(preprocessing["categories"])
    sequences = make_sequences(layers, config, load_tokenizer(preprocessing), vocabulary, progress)
    statistics = ImageStatistics.from_json(preprocessing["statistics"])
    inputs = RegionInputs(sequences, layers.images, statistics, config.patch_size)
    return inputs, [*notes, *layers.notes, *sequences.notes]


def seen_inputs(preprocessing: Mapping[str, Any]) -> list[str]:
    """The inputs that a network was trained with.

    Raises:
        CheckpointError: the checkpoint does not tell all that new data need to be treated as in training.
    """
    return list(require_kept(preprocessing, _KEPT)["sees"])


def load_tokenizer(preprocessing: Mapping[str, Any]) -> PoiTokenizer:
    """The tokenizer that a checkpoint holds or names."""
    kept = preprocessing["tokenizer"]
    return PoiTokenizer.from_files(kept["files"]) if "files" in kept else PoiTokenizer.load(kept["spec"])


def read_layers(
    city: CityInputs, config: RefoundConfig, imagery: dict[str, Any] | None, store: SampleStore, progress: Progress
) -> CityLayers:
    """Points and pictures of the city's regions; `imagery` says how a trained network's pictures were made."""
    regions = city.require_regions()
    pois = city.read_pois() if city.pois is not None else PoiSet.empty(regions.crs)
    notes = list(pois.notes)
    if city.imagery is None:
        frames = region_frames(regions, config.image_size, config.pixel_m)
        return CityLayers(regions, pois, frames, None, imagery, [*frames.notes, *notes])
    bands = list(city.imagery_bands) or None
    like = imagery if imagery is None or bands is None else {**imagery, "bands": bands}
    with Imagery(city.imagery, bands) if like is None else Imagery.open_like(city.imagery, like) as raster:
        frames = raster.region_footprints(regions, config.image_size, config.pixel_m)
        images = stored_images(raster, frames, config.image_size, store, context=config.context, progress=progress)
        return CityLayers(regions, pois, frames, images, raster.to_json(), [*images.notes, *notes])


def read_cities(
    config: RefoundConfig, cities: Sequence[TrainingCity], progress: Progress
) -> tuple[list[CityLayers], dict[str, Any] | None]:
    """Points and pictures of cities that are learned from, and how new imagery is to be read like theirs."""
    if len(cities) == 1:
        layers = read_layers(cities[0].inputs, config, None, cities[0].store, progress)
        return [layers], layers.imagery
    own = [_own_settings(config, city, progress.part(0.0, 0.1)) for city in cities]
    known = [settings for settings, _ in own if settings is not None]
    common = common_settings(known) if known else None
    found = []
    for number, (city, (settings, notes)) in enumerate(zip(cities, own, strict=True)):
        if settings is not None and settings["stretch"] is not None and common is not None:
            if settings["stretch"] != common["stretch"]:
                notes.append("So that values look alike in all cities, the widest limits of theirs are taken.")
            settings = {**settings, "stretch": common["stretch"]}
        part = progress.part(0.1 + 0.9 * number / len(cities), 0.1 + 0.9 * (number + 1) / len(cities))
        with about(city.name):
            layers = read_layers(city.inputs, config, settings, city.store, part)
        found.append(replace(layers, notes=[*notes, *layers.notes]))
    return found, common


def _own_settings(
    config: RefoundConfig, city: TrainingCity, progress: Progress
) -> tuple[dict[str, Any] | None, list[str]]:
    """Bands and limits that a city's own imagery would have; and notes."""
    if city.inputs.imagery is None:
        return None, []
    with about(city.name), Imagery(city.inputs.imagery, list(city.inputs.imagery_bands) or None) as raster:
        frames = raster.region_footprints(city.inputs.require_regions(), config.image_size, config.pixel_m)
        raster.require_overlap(frames)
        store_stretch(raster, frames, city.store, progress)
        return raster.to_json(), raster.notes


def make_sequences(
    layers: CityLayers, config: RefoundConfig, tokenizer: PoiTokenizer, vocabulary: PoiVocabulary, progress: Progress
) -> RegionSequences:
    """The points of each region as the network reads them."""
    return build_sequences(
        layers.pois,
        layers.regions,
        layers.frames,
        tokenizer,
        vocabulary,
        max_tokens=config.max_tokens,
        max_pois=config.max_pois,
        grid=config.grid,
        seed=config.seed,
        progress=progress,
    )

"""UrbanMFM behind the interface of all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.places import region_around
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.models.checks import require_kept
from urbanfm_core.models.exchange import Phase, Prepared, RegionVectors, Trained
from urbanfm_core.models.method import Method
from urbanfm_core.models.points import PointVectors
from urbanfm_core.models.text import TextEncoder, load_text_encoder, trained_text_encoder
from urbanfm_core.models.trainable import starting_image_network, starting_text_network
from urbanfm_core.models.urbanmfm.city import MfmCity
from urbanfm_core.models.urbanmfm.compute import CityComputer
from urbanfm_core.models.urbanmfm.config import STAGES, UrbanMfmConfig
from urbanfm_core.models.urbanmfm.encoders import resnet_architecture
from urbanfm_core.models.urbanmfm.layers import INPUTS, CityReader
from urbanfm_core.models.urbanmfm.losses import stage_losses
from urbanfm_core.models.urbanmfm.network import UrbanMfmModel, trained_parts
from urbanfm_core.models.urbanmfm.samples import (
    GlobalSamples,
    JointSamples,
    LocalSamples,
    PoiRoadSamples,
    SatelliteSamples,
    StageSamples,
    StreetViewSamples,
)
from urbanfm_core.models.urbanmfm.words import TagTokenizer
from urbanfm_core.progress import Progress

_OF_PICTURES = ("sky", "street", "polygon.outline")
_LACKING = {
    "poi_road": "no two points of interest share a road",
    "street_view": "no group of street views has two pictures",
    "local": "there are no points of interest",
    "satellite": "no two regions with a picture are alike by their points and roads",
    "global": "regions can show themselves in one way only",
}


class UrbanMfm(Method):
    """Places, streets, regions and their neighbours in five stages (Zhang et al. 2025).

    Points of interest need tags, names or categories; polygons, roads, street views, imagery and a table of regions are
    used where they are given. A stage whose inputs lack is left out, and the notes say which ran. A place without a
    street view in reach, or without a polygon, is what it has left; a region without a picture or without places shows
    itself by what it has in both graphs; one that has nothing gets NaN. Nothing is filled with zeros.

    What surrounds a place and a region matters: a region's vector depends on the regions around it.
    """

    name: ClassVar[str] = "urbanmfm"
    title: ClassVar[str] = "UrbanMFM"
    paper: ClassVar[str] = "Zhang et al. 2025, UrbanMFM: Spatial Graph-based Multiscale Foundation Models"
    needs: ClassVar[tuple[str, ...]] = ()
    embeds_from: ClassVar[tuple[str, ...]] = ()
    one_of: ClassVar[tuple[str, ...]] = ("pois", "imagery", "features")
    may_use: ClassVar[tuple[str, ...]] = ("buildings", "roads", "streetview", "captions")
    can: ClassVar[frozenset[str]] = frozenset({"points"})
    points_from: ClassVar[tuple[str, ...]] = ("pois", "buildings", "streetview")
    trains_on: ClassVar[Literal["points", "regions"]] = "regions"
    # Batch statistics of the networks of pictures, and what is drawn, would be each process's own.
    shares_training: ClassVar[bool] = False
    config_class: ClassVar[type] = UrbanMfmConfig
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "w/o Micro Scale": {"micro_scale": False},
        "w/o Local Scale": {"local_scale": False},
        "w/o Macro Scale": {"macro_scale": False},
        "w/o Global Scale": {"global_scale": False},
        "Unified Setting": {"unified": True},
        "Joint training": {"joint": True},
    }

    def prepare(
        self, config: UrbanMfmConfig, city: CityInputs, store: SampleStore, device: torch.device, progress: Progress
    ) -> Prepared:
        """The tables of the city, and the samples of the stages that it has enough for; pictures, shapes and vectors of
        texts are kept in the store.

        Raises:
            EmptyInputError: no stage is left; the message says what each lacks.
        """
        city.require_one_of(*self.one_of)
        config, words, identity, notes = _with_networks(config, device)
        sees = _sees(config, city)
        reader = CityReader(config, city, store, words)
        read = reader.read(sees, progress)
        if read.scenes is None:
            sees = [name for name in sees if name != "scenes"]
        config = replace(
            config,
            sees=sees,
            text_dim=int(read.texts.shape[1]) if read.texts.is_floating_point() else 0,
            extra_dim=0 if read.features is None else int(read.features.shape[1]),
            max_area_log=float(reader.settings.get("max_area_log", 0.0)),
        )
        stages, said = _stages(config, read)
        if not stages:
            raise EmptyInputError(
                f"No stage of {self.title} has anything to learn from: {' '.join(said)}",
                "Give points of interest, or imagery with points or a table of features.",
            )
        config = replace(config, stages=[stage.stage for stage in stages])
        samples = JointSamples([replace(stage, config=config) for stage in stages], config.epoch_samples)
        preprocessing = {
            **({"text_encoder": identity} if isinstance(words, TextEncoder) else {}),
            **({"tokenizer": {"files": words.to_files()}} if isinstance(words, TagTokenizer) else {}),
            "layers": reader.settings,
            "stages": {stage.stage: len(stage) for stage in stages},
            "counts": _counts(read),
        }
        return Prepared(config, samples, preprocessing, [*notes, *reader.notes, *said])

    def phases(self, prepared: Prepared) -> list[Phase]:
        """The stages in the paper's order, or all at once."""
        samples, config = prepared.samples, prepared.config
        if config.joint or not isinstance(samples, JointSamples):
            return [Phase("", samples)]
        return [
            Phase(stage.stage, replace(samples, stages=[stage]), tuple(trained_parts(config, stage.stage)))
            for stage in samples.stages
        ]

    def build(self, config: UrbanMfmConfig) -> UrbanMfmModel:
        """The network for known inputs and stages."""
        return UrbanMfmModel(config)

    def initialise(self, model: nn.Module, prepared: Prepared) -> list[str]:
        """Start from the networks that the configuration names."""
        config: UrbanMfmConfig = prepared.config
        notes = []
        if config.image_model:
            found = starting_image_network(config.image_model)
            for name in _OF_PICTURES:
                encoder = model.get_submodule(name) if _has(model, name) else None
                if encoder is not None:
                    encoder.get_submodule("trunk").load_state_dict(found.weights, strict=False)
            notes.append(f"Networks of pictures start from {found.identity}.")
        if config.text_model and _has(model, "text"):
            start = starting_text_network(config.text_model)
            model.get_submodule("text.trunk").load_state_dict(start.weights, strict=False)
            notes.append(f"The network of tags starts from {start.identity}.")
        return notes

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor], config: UrbanMfmConfig) -> dict[str, Tensor]:
        """The objectives of the stages in the batch; see `stage_losses`."""
        return stage_losses(model, batch, config)  # type: ignore[arg-type]

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
        """Macro and micro of each region, fused through the global graph; see `CityComputer.regions`.

        Args:
            trained: Network.
            city: The layers that the network learned from; those it did not are left out.
            regions: R regions in any CRS.
            store: Keeps pictures and their vectors; must belong to this network, these layers and regions.
            progress: Reports and cancels.
            rule: Of no meaning here: a region is read as a whole.
        Returns:
            (R, D) or (R, 2 D), with the coverage 'pois' (1 where there is a point), 'imagery' (share of valid pixels),
            'streetview' and 'buildings' (shares of the region's points that have one), and 'features'.
        """
        read, notes = read_trained(trained, replace(city, regions=regions), store, progress.part(0.0, 0.5))
        vectors = CityComputer(trained, read, store, progress.part(0.5, 1.0)).regions()
        lost = int(np.isnan(vectors[:, 0]).sum())
        if lost:
            notes.append(f"{lost:,} of {len(regions):,} regions have nothing that the model reads and have no vector.")
        notes += trained.precision_notes()
        return RegionVectors(vectors, _coverage(read, trained.config), notes)

    def embed_points(self, trained: Trained, city: CityInputs, store: SampleStore, progress: Progress) -> PointVectors:
        """Points of interest with those around them (eq. 5), for what a single place or building is.

        A point without any tag has no vector, and is no neighbour of others.

        Raises:
            ConfigError: there are no points of interest, or the network did not learn from any.
        """
        city.require("pois")
        if not trained.config.reads_pois:
            raise ConfigError("The model did not learn from points of interest.", "Train one with --pois.")
        pois = city.read_pois()
        # Layers that only regions show themselves by are not read.
        around = replace(city, regions=region_around(pois), imagery=None, features=None, roads=None)
        read, notes = read_trained(trained, around, store, progress.part(0.0, 0.5), self.points_from)
        vectors = np.full((len(pois), trained.config.width), np.nan, np.float32)
        vectors[read.source] = CityComputer(trained, read, store, progress.part(0.5, 1.0)).places_in_context()
        coverage = {"pois": np.isfinite(vectors[:, 0]).astype(np.float32)}
        shown = {
            "streetview": None if read.groups is None else read.sees_street(trained.config.street_reach_m),
            "buildings": None if read.polygon is None else read.has_polygon,
        }
        for name, has in shown.items():
            if has is not None:
                coverage[name] = np.zeros(len(pois), np.float32)
                coverage[name][read.source] = has
        return PointVectors(vectors, coverage, notes)


def read_trained(
    trained: Trained, city: CityInputs, store: SampleStore, progress: Progress, wanted: Sequence[str] = INPUTS
) -> tuple[MfmCity, list[str]]:
    """The tables of a city, read as in training, and notes.

    Args:
        trained: Network.
        city: Its layers and regions.
        store, progress: As for `UrbanMfm.embed`.
        wanted: Inputs that are missed if they lack.
    Raises:
        CheckpointError: the checkpoint does not tell how layers are read, or another text encoder is here.
        ConfigError: no layer is given that the network reads.
    """
    config: UrbanMfmConfig = trained.config
    kept = require_kept(trained.preprocessing, ("layers",))
    usable = [name for name in ("pois", "imagery", "features") if name in config.sees]
    city.require_one_of(*usable)
    sees = [name for name in config.sees if name in city.given(*INPUTS)]
    if "pois" not in sees:
        sees = [name for name in sees if name not in ("buildings", "streetview", "roads")]
    unknown = [name for name in city.given(*INPUTS) if name not in config.sees and name != "roads"]
    reader = CityReader(
        config, city, store, _words_of(trained) if "pois" in sees else None, kept=kept["layers"], training=False
    )
    read = reader.read(sees, progress)
    notes = list(reader.notes)
    missing = [name for name in config.sees if name in wanted and name not in (*sees, "roads")]
    if missing:
        notes.append(f"The model learned from {', '.join(missing)} too, which is not given here.")
    if unknown:
        notes.append(f"The model did not learn from {', '.join(unknown)}, which is left out.")
    return read, notes


def _words_of(trained: Trained) -> TextEncoder | TagTokenizer:
    """The text encoder of the training, or the tokenizer of the one that was trained along."""
    kept = trained.preprocessing
    if "tokenizer" in kept:
        return TagTokenizer.from_files(kept["tokenizer"].get("files", {}))
    return trained_text_encoder(trained)


def _with_networks(
    config: UrbanMfmConfig, device: torch.device
) -> tuple[UrbanMfmConfig, TextEncoder | TagTokenizer, dict[str, Any], list[str]]:
    """The configuration with what its networks are built like; what reads texts, its identity, and notes."""
    notes: list[str] = []
    images: Mapping[str, Any] = resnet_architecture(config)
    if config.image_model:
        found = starting_image_network(config.image_model)
        images = found.architecture
        notes += found.notes
    config = replace(config, image_architecture=dict(images))
    if config.text_model:
        start = starting_text_network(config.text_model)
        config = replace(config, text_architecture=start.architecture)
        return config, TagTokenizer.load(config.text_model), {}, [*notes, *start.notes]
    encoder = load_text_encoder(config.text_encoder, device=str(device))
    identity = {"spec": config.text_encoder, "identity": encoder.identity, "dim": encoder.dim}
    return config, encoder, identity, [*notes, *encoder.notes]


def _sees(config: UrbanMfmConfig, city: CityInputs) -> list[str]:
    """The inputs that are read of those that were given."""
    given = set(city.given(*INPUTS))
    if config.unified:
        given &= {"pois", "buildings"}
    if "pois" not in given:
        # These are read around places.
        given -= {"buildings", "roads"}
    if not config.global_scale and "pois" in given and not config.macro_scale:
        given -= {"imagery"}
    if not config.global_scale:
        given -= {"features"}
    sees = [name for name in INPUTS if name in given]
    if "streetview" in sees and city.captions is not None and config.micro_scale:
        sees.append("scenes")
    return sees


def _stages(config: UrbanMfmConfig, city: MfmCity) -> tuple[list[StageSamples], list[str]]:
    """Samples of the stages that are wanted and have two samples or more, and what became of each stage."""
    wanted = {
        "poi_road": (config.micro_scale and "pois" in config.sees, PoiRoadSamples.of),
        "street_view": (config.micro_scale and "streetview" in config.sees, StreetViewSamples.of),
        "local": (config.local_scale and "pois" in config.sees, LocalSamples.of),
        "satellite": (config.macro_scale and "imagery" in config.sees, SatelliteSamples.of),
        "global": (config.global_scale and len(config.kinds) > 1, GlobalSamples.of),
    }
    stages: list[StageSamples] = []
    notes: list[str] = []
    for name in STAGES:
        asked, make = wanted[name]
        samples = make(city, config) if asked else None
        if samples is not None and len(samples) >= 2:
            stages.append(samples)
            notes.append(f"Stage {name}: {len(samples):,} samples.")
        elif asked or name in _possible(config):
            notes.append(f"Stage {name} is left out: {_LACKING[name]}.")
        else:
            notes.append(f"Stage {name} is left out: it is switched off.")
    return stages, notes


def _possible(config: UrbanMfmConfig) -> Sequence[str]:
    """Stages that are not switched off."""
    scales = {
        "poi_road": config.micro_scale,
        "street_view": config.micro_scale,
        "local": config.local_scale,
        "satellite": config.macro_scale,
        "global": config.global_scale,
    }
    return [name for name, on in scales.items() if on]


def _has(model: nn.Module, name: str) -> bool:
    first = name.split(".")[0]
    return getattr(model, first, None) is not None


def _counts(city: MfmCity) -> dict[str, int]:
    return {
        "places": len(city),
        "regions": city.regions,
        "polygons": int(city.has_polygon.sum()),
        "street_groups": 0 if city.groups is None else len(city.groups),
        "pictures": int(city.has("macro").sum()),
    }


def _coverage(city: MfmCity, config: UrbanMfmConfig) -> dict[str, NDArray[np.float32]]:
    """Share of each region that each input covers, (R,) by input."""
    coverage: dict[str, NDArray[np.float32]] = {}
    if config.reads_pois and len(city):
        coverage["pois"] = city.has("micro").astype(np.float32)
        shares = {
            "streetview": None if city.groups is None else city.sees_street(config.street_reach_m),
            "buildings": None if city.polygon is None else city.has_polygon,
        }
        region, place = city.region_places.take(np.arange(city.regions))
        counts = np.maximum(city.region_places.counts(), 1)
        for name, has in shares.items():
            if has is not None:
                found = np.bincount(region, weights=has[place], minlength=city.regions) / counts
                coverage[name] = found.astype(np.float32)
    if city.sky is not None:
        coverage["imagery"] = city.sky.images.valid_share.astype(np.float32)
    if city.features is not None:
        coverage["features"] = city.has("features").astype(np.float32)
    return coverage

"""From the parameters of a stage to the things that they name: inputs, regions, configurations, models, stores."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from urbanfm_core.errors import CheckpointError, ConfigError
from urbanfm_core.progress import Progress

if TYPE_CHECKING:
    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.data.imagery import Imagery
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.geo.raster import RasterInfo
    from urbanfm_core.inference.windows import Sliding
    from urbanfm_core.models.exchange import Trained, WindowFunction
    from urbanfm_core.models.method import Method
    from urbanfm_core.training.checkpoint import Checkpoint
    from urbanfm_core.training.task import TrainingConfig


def city_of(stage: Any) -> CityInputs:
    """The inputs of a stage; one that it does not have is not given."""
    from urbanfm_core.data.captions import CaptionColumns
    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.data.poi import PoiColumns
    from urbanfm_core.data.roads import SNAP_M

    columns = {name: getattr(stage, f"poi_{name}", None) for name in PoiColumns.__dataclass_fields__}
    return CityInputs(
        pois=getattr(stage, "pois", None),
        poi_columns=PoiColumns(**columns),
        poi_tags=tuple(getattr(stage, "poi_tags", ())),
        embedding_raster=getattr(stage, "embedding_raster", None),
        quantization=getattr(stage, "quantization", "auto"),
        imagery=getattr(stage, "imagery", None),
        imagery_bands=tuple(getattr(stage, "imagery_bands", ())),
        captions=getattr(stage, "captions", None),
        caption_columns=CaptionColumns(
            region=getattr(stage, "region_id", None), text=getattr(stage, "caption_column", None)
        ),
        streetview=getattr(stage, "streetview", None),
        roads=getattr(stage, "roads", None),
        road_snap_m=getattr(stage, "road_snap", SNAP_M),
        buildings=getattr(stage, "buildings", None),
        features=getattr(stage, "features", None),
    )


def cache_of(stage: Any) -> Path:
    """The folder for prepared samples and unfinished work."""
    from urbanfm_core.data.store import default_cache

    return Path(stage.cache) if stage.cache else default_cache()


def store_of(stage: Any, purpose: str, made_from: dict[str, Any]) -> SampleStore:
    from urbanfm_core.data.store import SampleStore

    return SampleStore(cache_of(stage) / purpose, {"purpose": purpose, **made_from})


def inputs_used(method: Method, names: tuple[str, ...], city: CityInputs) -> tuple[str, ...]:
    """The inputs that a method uses: those named, which it cannot do without, and those given of its `one_of`.

    Raises:
        ConfigError: one is missing.
    """
    city.require(*names)
    city.require_one_of(*method.one_of)
    return (*names, *(name for name in city.given(*method.one_of) if name not in names))


def inputs_to_train(method: Method, city: CityInputs) -> tuple[str, ...]:
    """The inputs that a method trains on, with those that it may use where they are given.

    Raises:
        ConfigError: one that it needs is missing.
    """
    return _with_those_it_may_use(method, inputs_used(method, method.needs, city), city)


def inputs_to_embed(method: Method, city: CityInputs) -> tuple[str, ...]:
    """The inputs that a trained model embeds from, with those that it may use where they are given.

    Raises:
        ConfigError: one that it cannot do without is missing.
    """
    return _with_those_it_may_use(method, inputs_used(method, method.embeds_from, city), city)


def _with_those_it_may_use(method: Method, used: tuple[str, ...], city: CityInputs) -> tuple[str, ...]:
    return (*used, *(name for name in city.given(*method.may_use) if name not in used))


def regions_of(stage: Any, city: CityInputs) -> RegionSet:
    """The regions that were given, else a grid over the raster, else over the points of interest, else the street views."""
    from urbanfm_core.data.regions import RegionSet

    if stage.regions is not None:
        return RegionSet.from_layer(stage.regions, stage.region_id)
    raster = city.embedding_raster or city.imagery
    if raster is not None:
        return grid_over(str(raster), stage.grid_size, stage.grid_shape)
    if city.pois is None and city.streetview is None:
        raise ConfigError(
            "There is nothing to lay a grid of regions over.", "Name --regions, a raster, points, or street views."
        )
    points = city.read_streetview() if city.pois is None else city.read_pois()
    (west, south), (east, north) = points.xy.min(axis=0).tolist(), points.xy.max(axis=0).tolist()
    return RegionSet.grid((west, south, east, north), stage.grid_size, stage.grid_shape, crs=points.crs)


def grid_over(source: str, size_m: float, shape: Literal["square", "hexagon"]) -> RegionSet:
    """A grid over a layer, or over the extent of a raster."""
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.geo.raster import inspect_raster, is_raster

    if not is_raster(source):
        return RegionSet.grid(source, size_m, shape)
    info = inspect_raster(source)
    return RegionSet.grid(info.bounds, size_m, shape, crs=info.crs)


def method_config(stage: Any, method: Method, preset: dict[str, Any]) -> Any:
    """The method's configuration: the preset's, the text encoder if it has one, and the user's changes over both."""
    from urbanfm_core.models import make_config

    overrides = dict(_parse_override(text) for text in stage.overrides)
    named = {item.name for item in fields(method.config_class)}
    encoder = {"text_encoder": stage.text_encoder} if "text_encoder" in named else {}
    values = {**preset["model"], **encoder, **overrides}
    return make_config(method.config_class, values)


def training_settings(stage: Any, preset: dict[str, Any]) -> TrainingConfig:
    """Settings of the loop: the preset's, and what the user gave over them."""
    from urbanfm_core.training.task import TrainingConfig

    given = {name: getattr(stage, name) for name in ("epochs", "batch_size", "learning_rate", "precision", "seed")}
    return TrainingConfig(**{**preset["training"], **{name: v for name, v in given.items() if v is not None}})


def finished_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint that an earlier run left in the cache, if it is whole: then a killed run was past its training."""
    from urbanfm_core.training.checkpoint import Checkpoint

    try:
        return Checkpoint.load(path)
    except CheckpointError:
        return None


def load_model(path: str, stage: Any, progress: Progress) -> tuple[Method, Trained, Checkpoint]:
    from urbanfm_core.models.device import describe_device, resolve_device
    from urbanfm_core.training.checkpoint import Checkpoint, restore

    checkpoint = Checkpoint.load(path)
    method, trained = restore(checkpoint, resolve_device(stage.device), stage.batch_size)
    trained = replace(trained, precision=getattr(stage, "precision", trained.precision))
    progress.log("info", f"{method.title} ({model_name(checkpoint)}) on {describe_device(trained.device)}")
    home = checkpoint.manifest.get("device")
    if home not in (None, trained.device.type):
        progress.log(
            "info",
            f"The model was trained on '{home}' and computes on '{trained.device.type}' here; vectors may differ "
            "in their last digits.",
        )
    return method, trained, checkpoint


def open_imagery(city: CityInputs, function: WindowFunction) -> Imagery:
    """The city's imagery, read as in the training of a network; bands that the user names win."""
    from urbanfm_core.data.imagery import Imagery

    path, bands = city.require_path("imagery"), list(city.imagery_bands) or None
    if function.imagery is None:
        return Imagery(path, bands)
    return Imagery.open_like(path, {**function.imagery, "bands": bands or function.imagery["bands"]})


def sliding_of(stage: Any, function: WindowFunction, imagery: RasterInfo) -> Sliding:
    """The windows that slide over imagery.

    Raises:
        ConfigError: neither the stage nor the checkpoint tells their side, or there would be gaps between them.
    """
    from urbanfm_core.inference.windows import Sliding

    side_m = stage.window or function.side_m
    if side_m is None:
        raise ConfigError(
            "The checkpoint does not tell how large its pictures are on the ground.",
            "Give the side of the windows in metres: --window.",
        )
    return Sliding.over(imagery, side_m, stage.stride)


def model_name(checkpoint: Checkpoint) -> str:
    return str(checkpoint.manifest.get("preset") or checkpoint.method)


def _parse_override(text: str) -> tuple[str, Any]:
    """ "field=value" as a pair; the value is read as JSON where it is JSON."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"'{text}' is not a change to a preset.", "Write field=value, such as lambda_image=0.5.")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value.strip()

"""`--dry-run`: what a stage would read and write, on which device, in how much memory and time.

Nothing here is a guess from a table. A small part of the job is really done (a pilot of a few hundred points, one strip
of the raster) and scaled up; what was not measured is said to be unknown.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from urbanfm_core.analysis_stages import AblateStage, AttendStage, PredictStage, SearchStage
from urbanfm_core.caption_stages import CaptionStage
from urbanfm_core.cities import cities_to_train_on, layers_of
from urbanfm_core.inputs import city_of, load_model, method_config, regions_of, training_settings
from urbanfm_core.parameters import Stage
from urbanfm_core.progress import Progress, duration
from urbanfm_core.stages import EmbedRasterStage, EmbedStage, PrepareStage, TrainStage

_PILOT_POINTS = (64, 320)
PILOT_REGIONS = (8, 40)
_PILOT_STEPS = 5
_PILOT_PIXELS = 1 << 18
_STRIP_BYTES = 8 << 20


@dataclass
class Plan:
    """What a stage would do.

    Attributes:
        reads: Input and what it holds.
        writes: Paths that would be made.
        device: Where it would compute; empty for stages that compute nothing heavy.
        seconds: Expected time of each step; None where it was not measured.
        memory_bytes: Expected peak of the process; None if not measured.
        notes: What else there is to know, in sentences.
    """

    stage: str
    reads: list[tuple[str, str]] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    device: str = ""
    seconds: dict[str, float | None] = field(default_factory=dict)
    memory_bytes: int | None = None
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The plan as a person reads it."""
        out = [f"Dry run of '{self.stage}': nothing is written."]
        out += [f"  reads {name}: {what}" for name, what in self.reads]
        out += [f"  would write {path}" for path in self.writes]
        if self.device:
            out.append(f"  device: {self.device}")
        out += [f"  {step}: {'not measured' if s is None else duration(s)}" for step, s in self.seconds.items()]
        known = [s for s in self.seconds.values() if s is not None]
        if len(known) > 1:
            out.append(f"  in all: {duration(sum(known))}")
        if self.memory_bytes is not None:
            out.append(f"  memory: about {self.memory_bytes / 2**30:.1f} GiB at the peak")
        return out + [f"  note: {note}" for note in self.notes]


def plan(name: str, stage: Stage, progress: Progress) -> Plan:
    """Measure a small part of a stage and say what the whole would take.

    Raises:
        UrbanFMError: an input is not usable; the dry run finds it like the run would.
    """
    from urbanfm_core import planning_analyses as analyses
    from urbanfm_core.pipeline import check_outputs

    check_outputs(stage)
    made = Plan(name)
    for field_name, item in type(stage).model_fields.items():
        extra: Any = item.json_schema_extra
        value = getattr(stage, field_name)
        if extra["output"] and value is not None:
            made.writes.append(str(value))
    for city, layers in layers_of(stage).items():
        _describe_inputs(layers, made, f"{city}, " if city else "")
    if isinstance(stage, (TrainStage, PrepareStage)):
        plan_training(stage, made, progress)
    elif isinstance(stage, EmbedStage):
        _plan_embedding(stage, made, progress)
    elif isinstance(stage, (EmbedRasterStage, SearchStage)):
        _plan_pixels(stage, made, progress)
    elif isinstance(stage, CaptionStage):
        analyses.plan_captions(stage, made, progress)
    elif isinstance(stage, AblateStage):
        analyses.plan_ablation(stage, made, progress)
    elif isinstance(stage, AttendStage):
        analyses.plan_attention(stage, made, progress)
    elif isinstance(stage, PredictStage):
        analyses.plan_prediction(stage, made, progress)
    return made


def _describe_inputs(stage: Any, made: Plan, whose: str) -> None:
    from urbanfm_core.data.poi import PoiSet
    from urbanfm_core.data.region_features import RegionFeatures
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.geo.raster import inspect_raster
    from urbanfm_core.training.checkpoint import Checkpoint

    regions, pois, checkpoint = (getattr(stage, name, None) for name in ("regions", "pois", "checkpoint"))
    if isinstance(regions, str):
        found = RegionSet.from_layer(regions, getattr(stage, "region_id", None))
        made.reads.append((f"{whose}regions", f"{len(found.ids):,} polygons, {found.crs.name}"))
    if isinstance(pois, str):
        points = PoiSet.from_source(pois, city_of(stage).poi_columns)
        told = sum(sentence is not None for sentence in points.sentences())
        made.reads.append((f"{whose}pois", f"{len(points):,} points, {told:,} with text, {points.crs.name}"))
    if isinstance(getattr(stage, "captions", None), str):
        told_of = city_of(stage).read_captions()
        made.reads.append((f"{whose}captions", f"{len(told_of):,} captions"))
    if isinstance(getattr(stage, "streetview", None), str):
        views = city_of(stage).read_streetview()
        made.reads.append((f"{whose}streetview", f"{len(views):,} views, {views.crs.name}"))
    if isinstance(getattr(stage, "roads", None), str):
        roads = city_of(stage).read_roads()
        made.reads.append((f"{whose}roads", f"{len(roads):,} segments, {len(roads.intersections()):,} intersections"))
    if isinstance(getattr(stage, "buildings", None), str):
        buildings = city_of(stage).read_buildings()
        made.reads.append((f"{whose}buildings", f"{len(buildings):,} outlines, {buildings.crs.name}"))
    if isinstance(getattr(stage, "features", None), str) and isinstance(regions, str):
        features = RegionFeatures.read(stage.features, found)
        made.reads.append((f"{whose}features", f"{len(features.names):,} numbers per region"))
    for name in ("embedding_raster", "imagery"):
        path = getattr(stage, name, None)
        if isinstance(path, str):
            info = inspect_raster(path)
            size = f"{info.width:,} x {info.height:,} pixels, {info.count} bands"
            made.reads.append((f"{whose}{name}", f"{size}, {info.dtype}, {info.crs.name}"))
    if isinstance(checkpoint, str):
        summary = Checkpoint.load(checkpoint).summary()
        made.reads.append(("checkpoint", f"{summary['method']}, {checkpoint}"))


def plan_training(stage: Any, made: Plan, progress: Progress) -> Any:
    """Pilot runs of two sizes: their difference scales with the samples, the rest is paid once."""
    from urbanfm_core.models import get_method, load_preset
    from urbanfm_core.models.device import describe_device, resolve_device

    device = resolve_device(stage.device)
    made.device = describe_device(device)
    preset = load_preset(stage.preset)
    method = get_method(preset["method"])
    cities = cities_to_train_on(stage, method)
    settings = training_settings(stage, preset)
    config = method_config(stage, method, preset)
    if getattr(config, "text_encoder", "").startswith("openai:"):
        _estimate_service(stage, made, cities)
        return None
    pilots = [_region_pilots(city) if method.trains_on == "regions" else _point_pilots(city) for city in cities]
    timed, prepared = [], None
    for turn in (0, 1):
        rows = [spread(pilot.rows, pilot.sizes[turn]) for pilot in pilots]
        count = sum(map(len, rows))
        progress.update(0.2, f"Trying {count} {pilots[0].noun}")
        with ExitStack() as made_for_a_while:
            small = [made_for_a_while.enter_context(pilot.make(part)) for pilot, part in zip(pilots, rows, strict=True)]
            started = time.perf_counter()
            prepared = method.prepare_cities(config, small, device, Progress())
            timed.append((count, time.perf_counter() - started))
    (few, fast), (many, slow) = timed
    total = sum(len(pilot.rows) for pilot in pilots)
    each = max(slow - fast, 0.0) / max(many - few, 1)
    made.seconds["preparing"] = fast + each * (total - few)
    if prepared is None or isinstance(stage, PrepareStage):
        return prepared
    made.seconds["training"], step_bytes = time_training(method, prepared, settings, device, total)
    sample_bytes = sum(t.nbytes for t in _tensors(prepared.samples)) / max(len(prepared.samples), 1)
    made.memory_bytes = peak_bytes() + int(sample_bytes * total) + step_bytes
    made.notes.append(f"{settings.epochs} epochs of {total:,} samples in batches of {settings.batch_size}.")
    return prepared


@dataclass(frozen=True)
class _Pilots:
    """Small parts of a city: `make` gives the city with some of the rows, and with a store that goes away."""

    noun: str
    rows: np.ndarray
    sizes: tuple[int, int]
    make: Callable[[np.ndarray], AbstractContextManager[Any]]


def scaled(rows: np.ndarray, sizes: tuple[int, int], run: Callable[[np.ndarray], None]) -> float:
    """Seconds for all rows, from few and from more of them: the difference grows with the rows, the rest is paid once."""
    timed = []
    for size in sizes:
        part = spread(rows, size)
        started = time.perf_counter()
        run(part)
        timed.append((len(part), time.perf_counter() - started))
    (few, fast), (many, slow) = timed
    return fast + max(slow - fast, 0.0) / max(many - few, 1) * (len(rows) - few)


def spread(rows: np.ndarray, count: int) -> np.ndarray:
    """So many of the rows, from the first to the last."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)] if len(rows) else rows


def _point_pilots(city: Any) -> _Pilots:
    points = city.inputs.read_pois()
    usable = np.flatnonzero([sentence is not None for sentence in points.sentences()])
    return _Pilots("points of interest", usable, _PILOT_POINTS, lambda rows: _pilot_city(city, points.take(rows)))


def _region_pilots(city: Any) -> _Pilots:
    regions = city.inputs.require_regions()

    @contextmanager
    def make(rows: np.ndarray) -> Iterator[Any]:
        from urbanfm_core.data.store import SampleStore

        with tempfile.TemporaryDirectory() as folder:
            inputs = replace(city.inputs, regions=regions.take(rows))
            yield replace(city, inputs=inputs, store=SampleStore(folder, {"pilot": len(rows)}))

    return _Pilots("regions", np.arange(len(regions)), PILOT_REGIONS, make)


def _plan_embedding(stage: EmbedStage, made: Plan, progress: Progress) -> None:
    from urbanfm_core.models import get_method, load_preset

    if stage.checkpoint is not None:
        method, trained, _ = load_model(stage.checkpoint, stage, progress)
    else:
        prepared = plan_training(stage, made, progress)
        if prepared is None:
            return
        method = get_method(load_preset(stage.preset)["method"])
        trained = trained_from(method, prepared, stage)
    city = city_of(stage)
    regions = regions_of(stage, city)
    made.seconds["embedding"] = time_embedding(method, trained, city, regions, made)
    width = getattr(trained.config, "embedding_dim", 0)
    made.memory_bytes = (made.memory_bytes or peak_bytes()) + len(regions.ids) * width * 40
    name_device(made, trained.device)


def trained_from(method: Any, prepared: Any, stage: Any) -> Any:
    """A network as training leaves it, but for its weights."""
    from urbanfm_core.models.device import resolve_device
    from urbanfm_core.models.method import Trained

    device = resolve_device(stage.device)
    model = method.build(prepared.config).to(device).eval()
    return Trained(prepared.config, model, prepared.preprocessing, device, stage.batch_size)


def time_embedding(method: Any, trained: Any, city: Any, regions: Any, made: Plan) -> float | None:
    """Seconds of embedding the regions: by a strip of the raster if its pixels are embedded, else by some regions."""
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.planning_analyses import tried

    if "pixels" in method.can:
        return _time_pixels(city, method.pixel_function(trained), regions)

    def embed(some: np.ndarray) -> None:
        with tempfile.TemporaryDirectory() as folder:
            part = regions.take(some)
            store = SampleStore(folder, {"pilot": len(some)})
            method.embed(trained, replace(city, regions=part), part, store, Progress())

    return tried(made, np.arange(len(regions)), embed)


def _plan_pixels(stage: Any, made: Plan, progress: Progress) -> None:

    method, trained, _ = load_model(stage.checkpoint, stage, progress)
    name_device(made, trained.device)
    city = city_of(stage)
    if city.embedding_raster is not None and getattr(stage, "raster", "yes") is not None:
        made.seconds["reading and embedding pixels"] = _time_pixels(city, method.pixel_function(trained), None)
        made.seconds["writing"] = None
        made.notes.append("Writing runs beside the computation; it is not part of the estimate.")
    made.memory_bytes = peak_bytes()


def _time_pixels(city: Any, function: Callable[[np.ndarray], np.ndarray], regions: Any) -> float:
    """One strip read, decoded and projected; scaled to the pixels that the regions' bounds hold."""
    from urbanfm_core.geo.crs import transform_geometry
    from urbanfm_core.geo.raster import plan_strips

    with city.open_embedding_raster() as raster:
        info = raster.info
        strips = plan_strips(info, memory_bytes=_STRIP_BYTES)
        started = time.perf_counter()
        pixels = raster.read(strips[len(strips) // 2])
        reading = (time.perf_counter() - started) / pixels[0].size
        flat = pixels.reshape(info.count, -1).T
        valid = np.ascontiguousarray(flat[np.isfinite(flat).all(axis=1)][:_PILOT_PIXELS])
        computing = 0.0
        if len(valid):
            function(valid[:64])
            started = time.perf_counter()
            function(valid)
            computing = (time.perf_counter() - started) / len(valid)
    total = float(info.width * info.height)
    if regions is not None:
        import shapely

        left, bottom, right, top = shapely.total_bounds(transform_geometry(regions.geometry, regions.crs, info.crs))
        west, south, east, north = info.bounds
        wide = max(0.0, min(right, east) - max(left, west)) / info.transform.a
        high = max(0.0, min(top, north) - max(bottom, south)) / -info.transform.e
        total = wide * high
    return float(total * (reading + computing))


def time_training(method: Any, prepared: Any, settings: Any, device: Any, samples: int) -> tuple[float, int]:
    """Seconds of the whole training from a few timed steps, and the bytes of weights and optimiser."""
    import torch

    model = method.build(prepared.config).to(device)
    weights = sum(parameter.nbytes for parameter in model.parameters())
    indices = torch.zeros(settings.batch_size, dtype=torch.int64, device=device)
    batch = prepared.samples.to(device).batch(indices)
    elapsed = []
    for _ in range(_PILOT_STEPS):
        started = time.perf_counter()
        method.losses(model, batch, prepared.config)["loss"].backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elapsed.append(time.perf_counter() - started)
    step = float(np.median(elapsed))
    steps = max(1, samples // settings.batch_size) * settings.epochs
    return step * steps, 4 * weights


def _estimate_service(stage: Any, made: Plan, cities: Any) -> None:
    from urbanfm_core.models.text import estimate

    points = [city.inputs.read_pois() for city in cities]
    texts = [sentence for one in points for sentence in one.sentences() if sentence is not None]
    made.notes.append(f"Text encoder {stage.text_encoder}: {estimate(stage.text_encoder, texts).describe()}")
    made.seconds |= {"preparing": None, "training": None}
    made.notes.append("Nothing is sent in a dry run, so time is not measured.")


@contextmanager
def _pilot_city(city: Any, points: Any) -> Iterator[Any]:
    """The city with only these points, and a store that goes away."""
    import geopandas as gpd

    from urbanfm_core.data.poi import PoiColumns
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.geo.vector import write_layer

    names = ("name", "category", "subcategory")
    with tempfile.TemporaryDirectory() as folder:
        frame = gpd.GeoDataFrame(
            {name: getattr(points, name) for name in names},
            geometry=gpd.points_from_xy(points.xy[:, 0], points.xy[:, 1]),
            crs=points.crs,
        )
        path = Path(folder) / "pois.gpkg"
        write_layer(frame, path)
        columns = PoiColumns(name="name", category="category", subcategory="subcategory")
        inputs = replace(city.inputs, pois=path, poi_columns=columns)
        yield replace(city, inputs=inputs, store=SampleStore(folder, {"pilot": len(points)}))


def _tensors(samples: Any) -> list[Any]:
    return [value for value in vars(samples).values() if hasattr(value, "nbytes")]


def name_device(made: Plan, device: Any) -> None:
    from urbanfm_core.models.device import describe_device

    made.device = describe_device(device)


def peak_bytes() -> int:
    return int(psutil.Process().memory_info().rss)

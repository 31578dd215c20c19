"""What giving regions, pixels or windows their vectors would take; see `planning`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from urbanfm_core.inputs import city_of, load_model, open_imagery, regions_of, sliding_of
from urbanfm_core.planning.pilots import tried
from urbanfm_core.planning.plans import Plan, name_device, peak_bytes
from urbanfm_core.planning.training import plan_training, trained_from
from urbanfm_core.progress import Progress
from urbanfm_core.stages.embedding import EmbedRasterStage, EmbedStage

_PILOT_PIXELS = 1 << 18
_STRIP_BYTES = 8 << 20


def plan_embedding(stage: EmbedStage, made: Plan, progress: Progress) -> None:
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


def time_embedding(method: Any, trained: Any, city: Any, regions: Any, made: Plan) -> float | None:
    """Seconds of embedding the regions: by a strip of the raster if its pixels are embedded, else by some regions."""
    from urbanfm_core.data.store import SampleStore

    if "pixels" in method.can:
        return _time_pixels(city, method.pixel_function(trained), regions)

    def embed(some: np.ndarray) -> None:
        with tempfile.TemporaryDirectory() as folder:
            part = regions.take(some)
            store = SampleStore(folder, {"pilot": len(some)})
            method.embed(trained, replace(city, regions=part), part, store, Progress())

    return tried(made, np.arange(len(regions)), embed)


def plan_raster(stage: Any, made: Plan, progress: Progress) -> None:
    """Pixels from one strip, windows from some in the middle of the imagery."""
    method, trained, _ = load_model(stage.checkpoint, stage, progress)
    name_device(made, trained.device)
    city = city_of(stage)
    if isinstance(stage, EmbedRasterStage) and "windows" in method.can:
        from urbanfm_core.inference.windows import time_windows

        city.require("imagery")
        function = method.window_function(trained)
        with open_imagery(city, function) as source:
            sliding = sliding_of(stage, function, source.info)
            made.notes.append(sliding.sentence())
            made.seconds["embedding windows"] = time_windows(source, function, sliding)
        made.seconds["writing"] = None
    elif city.embedding_raster is not None and getattr(stage, "raster", "yes") is not None:
        made.seconds["reading and embedding pixels"] = _time_pixels(city, method.pixel_function(trained), None)
        made.seconds["writing"] = None
        made.notes.append("Writing runs beside the computation; it is not part of the estimate.")
    made.memory_bytes = peak_bytes()


def _time_pixels(city: Any, function: Callable[[np.ndarray], np.ndarray], regions: Any) -> float:
    """One strip read, decoded and projected; scaled to the pixels that the regions' bounds hold."""
    from urbanfm_core.geo.crs import transform_geometry
    from urbanfm_core.geo.strips import plan_strips

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

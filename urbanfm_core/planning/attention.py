"""What reading a model's attention would take; see `planning`."""

from __future__ import annotations

import tempfile

import numpy as np

from urbanfm_core.inputs import city_of, load_model, regions_of
from urbanfm_core.planning.pilots import tried
from urbanfm_core.planning.plans import Plan, name_device, peak_bytes
from urbanfm_core.progress import Progress
from urbanfm_core.stages.attention import AttendStage


def plan_attention(stage: AttendStage, made: Plan, progress: Progress) -> None:
    """The attention in a few of the regions that hold a chosen point."""
    from urbanfm_core.data.poi import PoiSet
    from urbanfm_core.data.poi_choice import choose_pois
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.geo.assign import assign_to_polygons

    city = city_of(stage)
    method, trained, _ = load_model(stage.checkpoint, stage, progress)
    method.require("attention")
    name_device(made, trained.device)
    pois = city.read_pois()
    selected = None if stage.selected is None else PoiSet.from_source(stage.selected, city.poi_columns)
    choice = choose_pois(pois, stage.categories, stage.poi_rows, selected)
    regions = regions_of(stage, city)
    chosen = pois.take(choice.mask).to_crs(regions.crs)
    rows = np.unique(assign_to_polygons(chosen.xy, regions.geometry).region)
    made.reads += [
        ("chosen points", f"{int(choice.mask.sum()):,} of {len(pois):,}: {choice.words}"),
        ("regions with a chosen point", f"{len(rows):,} of {len(regions):,}"),
    ]

    def attend(some: np.ndarray) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = SampleStore(folder, {"pilot": len(some)})
            method.attention(trained, city, regions.take(some), choice.mask, store, Progress())

    progress.update(0.3, "Trying some regions")
    made.seconds["reading attention"] = tried(made, rows if len(rows) else np.arange(len(regions)), attend)
    made.seconds["writing"] = None
    made.memory_bytes = peak_bytes()

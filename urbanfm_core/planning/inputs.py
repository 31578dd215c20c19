"""What a stage would read."""

from __future__ import annotations

from typing import Any

from urbanfm_core.inputs import city_of
from urbanfm_core.planning.plans import Plan


def describe_inputs(stage: Any, made: Plan, whose: str) -> None:
    from urbanfm_core.data.places import are_points, read_places
    from urbanfm_core.data.poi import PoiSet
    from urbanfm_core.data.region_features import RegionFeatures
    from urbanfm_core.geo.raster import inspect_raster
    from urbanfm_core.training.checkpoint import Checkpoint

    regions, pois, checkpoint = (getattr(stage, name, None) for name in ("regions", "pois", "checkpoint"))
    if isinstance(regions, str):
        found = read_places(regions, getattr(stage, "region_id", None))
        kind = "points" if are_points(found) else "polygons"
        made.reads.append((f"{whose}regions", f"{len(found.ids):,} {kind}, {found.crs.name}"))
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

"""The stages that make layers: a sample city, a grid of regions."""

from __future__ import annotations

from pathlib import Path

from urbanfm_core.errors import ConfigError
from urbanfm_core.inputs import grid_over
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result
from urbanfm_core.stages.layers import GridStage, SampleCityStage


def samplecity(stage: SampleCityStage, progress: Progress) -> Result:
    from urbanfm_core.data.samplecity import generate

    summary = generate(Path(stage.out), stage.regions, stage.seed, progress, compact=stage.compact)
    return Result({"out": stage.out, "seed": stage.seed, **summary["counts"]}, Path(stage.out))


def grid(stage: GridStage, progress: Progress) -> Result:
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.geo.vector_writer import write_layer

    if stage.over is not None:
        regions = grid_over(stage.over, stage.grid_size, stage.grid_shape)
    elif stage.extent_crs is None:
        raise ConfigError("An extent needs its coordinate reference system.", "Add --extent-crs, such as EPSG:4326.")
    else:
        extent = _parse_extent(str(stage.extent))
        regions = RegionSet.grid(extent, stage.grid_size, stage.grid_shape, crs=stage.extent_crs)
    progress.update(0.6, f"Writing {len(regions.ids):,} regions")
    write_layer(regions.to_frame(), stage.out)
    return Result({"out": stage.out, "regions": len(regions.ids)}, regions, regions.notes)


def _parse_extent(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"'{text}' is not an extent.", "Write xmin,ymin,xmax,ymax.") from error
    return west, south, east, north

"""Small parts of a job that are really done, and scaled up."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from urbanfm_core.errors import EmptyInputError, NoOverlapError
from urbanfm_core.planning.plans import Plan

PILOT_POINTS = (64, 320)
PILOT_REGIONS = (8, 40)


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


def tried(made: Plan, rows: np.ndarray, run: Callable[[np.ndarray], None]) -> float | None:
    """As `scaled`, of regions; None, with a note, if those that were tried hold nothing."""
    try:
        run(spread(rows, 2))  # what is paid once in a process, such as loading libraries
        return scaled(rows, PILOT_REGIONS, run)
    except (EmptyInputError, NoOverlapError) as error:
        made.notes.append(f"Time is not measured, since of the regions that were tried: {error.message}")
        return None


def spread(rows: np.ndarray, count: int) -> np.ndarray:
    """So many of the rows, from the first to the last."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)] if len(rows) else rows


@dataclass(frozen=True)
class Pilots:
    """Small parts of a city: `make` gives the city with some of the rows, and with a store that goes away."""

    noun: str
    rows: np.ndarray
    sizes: tuple[int, int]
    make: Callable[[np.ndarray], AbstractContextManager[Any]]


def point_pilots(city: Any) -> Pilots:
    points = city.inputs.read_pois()
    usable = np.flatnonzero([sentence is not None for sentence in points.sentences()])
    return Pilots("points of interest", usable, PILOT_POINTS, lambda rows: _pilot_city(city, points.take(rows)))


@contextmanager
def _pilot_city(city: Any, points: Any) -> Iterator[Any]:
    """The city with only these points, and a store that goes away."""
    import geopandas as gpd

    from urbanfm_core.data.poi import PoiColumns
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.geo.vector_writer import write_layer

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


def region_pilots(city: Any) -> Pilots:
    regions = city.inputs.require_regions()

    @contextmanager
    def make(rows: np.ndarray) -> Iterator[Any]:
        from urbanfm_core.data.store import SampleStore

        with tempfile.TemporaryDirectory() as folder:
            inputs = replace(city.inputs, regions=regions.take(rows))
            yield replace(city, inputs=inputs, store=SampleStore(folder, {"pilot": len(rows)}))

    return Pilots("regions", np.arange(len(regions)), PILOT_REGIONS, make)

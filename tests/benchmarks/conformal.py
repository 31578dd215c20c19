"""How often the intervals of `predict` hold the truth, in blocks of the city that neither learned nor calibrated.

    python -m tests.benchmarks.conformal samplecity --regions 400
    python -m tests.benchmarks.conformal madrid FOLDER         neighbourhoods: population, median listing price
    python -m tests.benchmarks.conformal newyork FOLDER        census tracts: population

FOLDER holds the development data, as for `evaluation`. For the sample city it may hold one that was made before.

Of each seed, 25 spatial blocks are dealt to five parts. One part after the other loses its labels, `predict` is run on
the rest as a user would, and its intervals are compared with the labels that it never saw. It is the intervals that
are measured, so vectors are plain: band means, or counts of points of interest.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import urbanfm_core
from tests.benchmarks.evaluation import listing_prices
from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.splits import make_folds
from urbanfm_core.evaluation.floors import centres_m, poi_floors, raster_floors, raster_sum
from urbanfm_core.evaluation.predict import Settings, predict, probe_predictor
from urbanfm_core.evaluation.tables import label_columns
from urbanfm_core.evaluation.targets import Target, read_targets
from urbanfm_core.progress import Progress

LEVEL, PARTS, BLOCKS = 0.9, 5, 25


class City(NamedTuple):
    """What is predicted, and from what."""

    words: str
    regions: RegionSet
    labels: Any
    vectors: np.ndarray
    targets: list[str]


class Achieved(NamedTuple):
    """Of one target: share inside by seed, width in standard deviations, and what `predict` said of itself."""

    regions: int
    inside: np.ndarray
    width: float
    said: float


def sample_city(folder: Path) -> City:
    regions = RegionSet.from_layer(folder / "regions.gpkg")
    vectors = band_means(regions, folder / "embedding.tif")
    targets = ["log:price", "price", "log:population/km2", "population", "carbon"]
    words = f"Sample city, {len(regions):,} regions"
    return City(words, regions, label_columns(regions), vectors, targets)


def madrid(data: Path) -> City:
    regions = RegionSet.from_layer(data / "neighbourhoods.gpkg", "COD_BAR")
    vectors = np.column_stack([band_means(regions, scene) for scene in sorted(data.glob("madrid_scene_s2_120_*.tif"))])
    labels = label_columns(regions)
    labels["listing_price"] = labels["COD_BAR"].map(listing_prices(data))
    with EmbeddingRaster.open(data / "ghs_pop_100m.tif", "none") as raster:
        labels["population"], _ = raster_sum(regions, raster, Progress())
    targets = ["log:population/km2", "population", "log:listing_price", "listing_price"]
    return City("Madrid, 131 neighbourhoods", regions, labels, vectors, targets)


def newyork(data: Path) -> City:
    regions = RegionSet.from_layer(next(data.glob("tracts_2020_*.gpkg")), "boro_ct2020")
    vectors = poi_floors(regions, PoiSet.from_source(data / "pois.csv"), Progress())[1].vectors
    words = "New York, census tracts of three boroughs"
    return City(words, regions, label_columns(regions), vectors, ["log:pop2010/km2", "pop2010"])


def band_means(regions: RegionSet, path: Path) -> np.ndarray:
    with EmbeddingRaster.open(path) as raster:
        return raster_floors(regions, raster, path.stem, Progress())[0].vectors


def achieved(city: City, target: Target, seeds: int, head: str, folds: int | None) -> Achieved:
    """The coverage of one target."""
    covered = np.isfinite(city.vectors).all(axis=1)
    xy = centres_m(city.regions)
    use = np.flatnonzero(covered & target.labelled)
    inside, widths, said = [], [], []
    for seed in range(seeds):
        hits = np.zeros(len(use), bool)
        parts = make_folds(xy[use], "spatial", folds=PARTS, blocks=BLOCKS, seed=1000 + seed)
        for number in range(PARTS):
            test = parts.test_rows(number)
            known = target.values.copy()
            known[use[test]] = np.nan
            found = predict(
                replace(target, values=known),
                covered,
                xy,
                probe_predictor(head, target, city.vectors, seed),
                Settings(level=LEVEL, folds=folds, blocks=BLOCKS, seed=seed),
                lambda rows: np.zeros(len(covered), bool),
            )
            assert found.bounds is not None
            lower, upper = (bound[use[test]] for bound in found.bounds)
            truth = target.values[use[test], 0]
            hits[test] = (lower <= truth) & (truth <= upper)
            widths.append(upper - lower)
            said.append(found.coverage)
        inside.append(hits.mean())
    spread = float(target.values[use, 0].std())
    return Achieved(len(use), np.array(inside), float(np.concatenate(widths).mean()) / spread, float(np.mean(said)))


def lines(city: City, seeds: int, head: str, folds: int | None) -> Iterator[str]:
    """A table, row by row."""
    yield f"\n## {city.words}, {head}, {folds or 'each block a'} fold{'s' if folds else ''}\n"
    yield "| target | regions | inside their interval | of seeds | width | inside, as reported |"
    yield "|---|---:|---:|---:|---:|---:|"
    for target in read_targets(city.targets, city.labels, city.regions.area_m2() / 1e6):
        one = achieved(city, target, seeds, head, folds)
        low, high = 100 * one.inside.min(), 100 * one.inside.max()
        yield (
            f"| {target.name} | {one.regions:,} | {100 * one.inside.mean():.1f} % | {low:.0f} to {high:.0f} % | "
            f"{one.width:.2f} sd | {100 * one.said:.1f} % |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("city", choices=("samplecity", "madrid", "newyork"))
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--regions", type=int, default=400, help="of the sample city, where it is made here")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--head", choices=("linear", "mlp"), default="linear")
    parser.add_argument("--folds", type=int, help="of predict; each block is one if not given")
    given = parser.parse_args()
    if given.city != "samplecity" and given.data is None:
        parser.error(f"{given.city} needs the folder of its data")
    with tempfile.TemporaryDirectory() as folder:
        if given.city == "samplecity":
            made = given.data or urbanfm_core.samplecity(out=Path(folder) / "city", regions=given.regions, seed=0)
            city = sample_city(Path(made))
        else:
            city = {"madrid": madrid, "newyork": newyork}[given.city](given.data)
    for line in lines(city, given.seeds, given.head, given.folds):
        print(line, flush=True)


if __name__ == "__main__":
    main()

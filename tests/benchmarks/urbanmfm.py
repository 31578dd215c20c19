"""UrbanMFM: what its stages learn, what its scales are worth, what buildings are for, and how large regions may be.

    python -m tests.benchmarks.urbanmfm stages       held-out loss of each stage, before and after it
    python -m tests.benchmarks.urbanmfm ablation     the scales one by one, joint training, and floors
    python -m tests.benchmarks.urbanmfm buildings    what a building is for, by its place vector and by text alone
    python -m tests.benchmarks.urbanmfm merging      regions as they are, merged by twos, and by threes
    python -m tests.benchmarks.urbanmfm newyork FOLDER       points of interest alone, over census tracts and taxi zones
    python -m tests.benchmarks.urbanmfm stuttgart FOLDER     real street views through the second stage

The first four make a sample city. FOLDER holds the development data: for New York `tracts_2020_*.gpkg`, `taxi_zones.gpkg`
and `pois.csv`; for Stuttgart `all_1725_metadata.csv`, `images.csv` and `images/`. The tables are in RESULTS.md under
"UrbanMFM". What an earlier run finished in the same --work folder is not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

import urbanfm_core
from tests.benchmarks.urbanmfm_parts import (
    Probes,
    between,
    embedded_places,
    held_out_losses,
    interval,
    merged_regions,
    street_stage,
    text_around,
)
from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.evaluation.ablation_report import lines
from urbanfm_core.evaluation.inputs import read_floors
from urbanfm_core.evaluation.tables import Features
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.progress import Progress

PRESET = "urbanmfm-small"
REGIONS = 400
SCALES = [f"w/o {name} Scale" for name in ("Micro", "Local", "Macro", "Global")]
TARGETS = ["log:population/km2", "land_use", "log:price"]
# Share of the buildings with a point of interest that are probed, and whose points are made to say nothing.
HIDDEN = 0.3


def layers(city: Path) -> dict[str, Path]:
    """All layers of a sample city that the method reads."""
    files = {
        "pois": "pois.gpkg",
        "roads": "roads.gpkg",
        "buildings": "buildings.gpkg",
        "imagery": "imagery.tif",
        "streetview": "streetview.gpkg",
        "captions": "captions.parquet",
    }
    return {name: city / file for name, file in files.items()}


def stages(city: Path, work: Path, options: argparse.Namespace) -> None:
    """Each stage on four fifths of the city in whole blocks, its loss on the last fifth before and after."""
    found = [
        held_out_losses(
            PRESET, city / "regions.gpkg", layers(city), work / "cache", seed, options.epochs, options.similarity
        )
        for seed in range(options.seeds)
    ]
    for name, first in found[0].items():
        before, after, last = (np.array([run[name][at] for run in found]) for at in (0, 1, 2))
        print(
            f"{name:12s} {first[3]:5d} held-out samples  before {before.mean():.3f}  after {after.mean():.3f}  lower by "
            f"{interval(before - after)}  after the last stage {last.mean():.3f}",
            flush=True,
        )


def ablation(city: Path, work: Path, options: argparse.Namespace) -> None:
    """The table of the paper's scales through the stage `ablate`."""
    out = work / f"ablation-{'-'.join(name.partition('/')[0].replace(':', '-') for name in options.targets)}.json"
    found = urbanfm_core.ablate(
        preset=PRESET,
        regions=city / "regions.gpkg",
        **layers(city),
        **chosen(options),
        targets=options.targets,
        seeds=3,
        probes="linear",
        variants=options.variants or [*SCALES, "Joint training", "untrained"],
        training_seeds=options.seeds,
        cache=work / "cache",
        out=out,
        report=out.with_suffix(".html"),
    )
    print("\n".join(lines(found)), flush=True)
    for text in json.loads(out.read_text())["notes"]:
        print(f"  {text}")


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    return {} if options.epochs is None else {"epochs": options.epochs}


def buildings(city: Path, work: Path, options: argparse.Namespace) -> None:
    """F1 of the function of three buildings in ten, each from the vector of a point of interest in it.

    Hidden: all points in these buildings say "building: yes" and nothing else, while training and while embedding; so what
    predicts their function is their outline, their street view, and what is around. Told: they say what they are. The
    functions of buildings are no tags and are read by nothing.
    """
    shapes = gpd.read_file(city / "buildings.gpkg")
    pois = gpd.read_file(city / "pois.gpkg")
    inside = gpd.sjoin(pois, shapes[["building_id", "function", "geometry"]], predicate="within")
    names = inside["building_id"].drop_duplicates().sample(frac=HIDDEN, random_state=0)
    inside = inside[inside["building_id"].isin(names)]
    targets = inside.drop_duplicates("building_id")
    rows = targets.index.to_numpy()
    probes = Probes.of_classes("function", targets["function"].tolist(), places_m(targets))
    for told in (False, True):
        layer = pois.copy()
        if not told:
            layer.loc[inside.index, ["name", "category", "subcategory"]] = None
            layer.loc[inside.index, "tags"] = "building=yes"
        source = work / f"pois-{'told' if told else 'hidden'}.gpkg"
        layer.to_file(source)
        given = {**layers(city), "pois": source}
        runs = []
        for seed in range(options.seeds):
            place = trained(f"buildings-{told}", seed, city / "regions.gpkg", given, work, options)
            vectors, row = embedded_places(place, given, work / "cache")
            runs.append(Features("UrbanMFM", vectors[at_rows(row, rows)].astype(float)))
        own, near = text_around(layer, work / "cache", places_m(pois))
        outline = first_outline(shapes, targets["building_id"])
        floors = [
            *([Features("text of the point", own[rows], True)] if told else []),
            Features("text of the points around", near[rows], True),
            Features("outline and area", outline, True),
        ]
        print(f"\n{len(rows):,} buildings, texts {'told' if told else 'hidden'}, macro F1, spatial blocks")
        between(probes, runs, floors)
        if told:
            both = [Features("UrbanMFM and the text", np.hstack([one.vectors, own[rows]])) for one in runs]
            between(probes, both, [Features("text of the point and around", np.hstack([own, near])[rows], True)])


def places_m(points: gpd.GeoDataFrame) -> np.ndarray:
    """Coordinates of points in a metric CRS."""
    return np.column_stack([points.geometry.x, points.geometry.y])


def first_outline(shapes: gpd.GeoDataFrame, wanted: pd.Series) -> np.ndarray:
    """Area, perimeter and how square each building is."""
    geometry = shapes.set_index("building_id").loc[wanted].geometry
    area, length = geometry.area.to_numpy(), geometry.length.to_numpy()
    return np.column_stack([np.log(area), np.log(length), area / length**2])


def at_rows(row: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Places among the rows of embedded points that come from wanted rows of the layer."""
    order = np.argsort(row)
    return order[np.searchsorted(row[order], wanted)]


def trained(
    name: str, seed: int, regions: Path, given: dict[str, Path], work: Path, options: argparse.Namespace, **more: Any
) -> Path:
    """A checkpoint, made unless it is there."""
    out = work / f"{name}-{seed}"
    if not out.exists():
        print(f"training {out.name}", flush=True)
        parameters = {**given, **chosen(options), **more}
        urbanfm_core.train(
            preset=PRESET, regions=regions, out=out, seed=seed, cache=work / "cache", device="cpu", **parameters
        )
    return out


def merging(city: Path, work: Path, options: argparse.Namespace) -> None:
    """Trained on the city's regions, then embedding and probing one, two or three of them as one; the floor moves too."""
    source = RegionSet.from_layer(city / "regions.gpkg")
    move_of_merging(source, layers(city), "population", work, options, anew=False)


def move_of_merging(
    source: RegionSet,
    given: dict[str, Path],
    people: str,
    work: Path,
    options: argparse.Namespace,
    *,
    anew: bool,
    times: tuple[int, ...] = (1, 2, 3),
    **more: Any,
) -> None:
    """R2 of log population density by the number of regions that are merged into one; trained anew on these, or not."""
    scores: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for count in times:
        regions = merged_regions(source, people, count)
        path = work / f"regions-{count}.gpkg"
        gpd.GeoDataFrame(
            {"region_id": regions.ids, people: regions.attributes[people]}, geometry=regions.geometry, crs=regions.crs
        ).to_file(path)
        probes = Probes.of_regions(RegionSet.from_layer(path, "region_id"), [f"log:{people}/km2"])
        runs = []
        learnt = count if anew else 1
        for seed in range(options.seeds):
            checkpoint = trained(
                f"merged-{learnt}", seed, work / f"regions-{learnt}.gpkg", given, work, options, **more
            )
            out = work / f"merged-{count}-{seed}.parquet"
            if not out.exists():
                urbanfm_core.embed(
                    checkpoint=checkpoint, regions=path, parquet=out, cache=work / "cache", device="cpu", **given
                )
            runs.append(Features("UrbanMFM", EmbeddingTable.from_parquet(out).vectors.astype(float)))
        inputs = CityInputs(pois=given["pois"], regions=regions)
        floor = read_floors(regions, inputs, Progress())[1]
        scores[count] = between(probes, runs, [floor])
    for name, at in (("UrbanMFM", 0), ("points with densities and neighbours", 1)):
        for count in times[1:]:
            before, after = scores[times[0]][at], scores[count][at]
            print(
                f"{name}, by {count}: R2 moves by {interval(after - before)}, that is {interval(after / before - 1)} of it"
            )


def newyork(data: Path, work: Path, options: argparse.Namespace) -> None:
    """Points of interest alone, which is the paper's unified setting without polygons."""
    tracts = next(data.glob("tracts_2020_*.gpkg"))
    zones = work / "zones.gpkg"
    if not zones.exists():
        people_of_zones(tracts, data / "taxi_zones.gpkg").to_file(zones)
    for name, layer, key in (("tracts", tracts, "boro_ct2020"), ("taxi zones", zones, "zone")):
        out = work / f"newyork-{name.replace(' ', '-')}.json"
        found = urbanfm_core.ablate(
            preset=PRESET,
            regions=layer,
            region_id=key,
            pois=data / "pois.csv",
            overrides=["unified=true"],
            **chosen(options),
            targets=["log:pop2010/km2"],
            seeds=3,
            probes="linear",
            variants=["w/o Micro Scale", "w/o Local Scale", "untrained"],
            training_seeds=options.seeds,
            cache=work / "cache",
            out=out,
        )
        print(f"\n## New York, {name}\n")
        print("\n".join(lines(found)), flush=True)
    source = RegionSet.from_layer(tracts, "boro_ct2020")
    print("\n## New York, tracts merged\n")
    merged = {"region_id": "region_id", "overrides": ["unified=true"]}
    move_of_merging(source, {"pois": data / "pois.csv"}, "pop2010", work, options, anew=True, **merged)


def people_of_zones(tracts: Path, zones: Path) -> gpd.GeoDataFrame:
    """Zones with the people of the tracts whose middle they hold; none where a tract in them is not counted."""
    small, large = gpd.read_file(tracts).to_crs(2263), gpd.read_file(zones).to_crs(2263)
    large = large[["geometry"]].assign(zone=np.arange(len(large)))
    small = small.set_geometry(small.representative_point())[["pop2010", "geometry"]]
    inside = gpd.sjoin(small, large, predicate="within")
    people = inside.groupby("zone")["pop2010"].agg(lambda values: values.sum(skipna=False))
    return large.assign(pop2010=large["zone"].map(people)).to_crs(4326)


def stuttgart(data: Path, work: Path, options: argparse.Namespace) -> None:
    """Panoramas and pictures from the street through the second stage; regions are squares, points of interest none."""
    for line in street_stage(PRESET, data, work / "cache", options.epochs):
        print(line, flush=True)


COMMANDS = {
    "stages": stages,
    "ablation": ablation,
    "buildings": buildings,
    "merging": merging,
    "newyork": newyork,
    "stuttgart": stuttgart,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("data", type=Path, nargs="?", help="folder of the development data")
    parser.add_argument("--work", type=Path, help="folder for what is made on the way; a temporary one if not given")
    parser.add_argument("--regions", type=int, default=REGIONS, help="of the sample city")
    parser.add_argument("--epochs", type=int, help="of each stage; the preset's if not given")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant")
    parser.add_argument("--variants", nargs="*", default=[], help="ablations")
    parser.add_argument(
        "--similarity", type=float, help="of regions that are alike, for `stages`; the preset's if not given"
    )
    parser.add_argument("--targets", nargs="*", default=TARGETS, help="what the ablation predicts")
    options = parser.parse_args()
    if options.what in ("newyork", "stuttgart") and options.data is None:
        parser.error(f"{options.what} needs the folder of its data")
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        source = options.data
        if source is None:
            source = work / "city"
            if not source.exists():
                urbanfm_core.samplecity(out=source, regions=options.regions, seed=0)
        COMMANDS[options.what](source, work, options)


if __name__ == "__main__":
    main()

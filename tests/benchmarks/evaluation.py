"""What the vectors know, beside the floors: the tables of tests/benchmarks/RESULTS.md under "Evaluation".

    python tests/benchmarks/evaluation.py samplecity            400 regions; AETHER, and AETHER with shuffled POI texts
    python tests/benchmarks/evaluation.py madrid FOLDER         neighbourhoods: population, median listing price
    python tests/benchmarks/evaluation.py newyork FOLDER        census tracts: population by floors alone

FOLDER holds the development data: for Madrid `madrid_scene_s2_120_*.tif`, `neighbourhoods.gpkg`, `ghs_pop_100m.tif`,
`madrid_abb.gpkg` and `osm_bars.csv`; for New York `tracts_2020_*.gpkg` and `pois.csv`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio

import urbanfm_core
from urbanfm_core.evaluation.report import lines

FEWEST_LISTINGS = 10
REFOUND_EPOCHS = 20
# Red, green and blue of July in the stack of the four scenes, which are sorted by their names.
RGB = [13, 14, 15]


def show(title: str, work: Path, **parameters: Any) -> None:
    """Evaluate, print the table, and the command that gives it."""
    print(f"\n## {title}\n")
    words = [
        f"--{key.replace('_', '-')} {item}"
        for key, value in parameters.items()
        for item in (value if isinstance(value, list) else [value])
    ]
    shown = " ".join(words)
    for folder, name in ((work, "WORK"), (Path(parameters["regions"]).parent, "DATA")):
        shown = shown.replace(str(folder), name)
    print(f"$ urbanfm evaluate {shown}\n")
    print("\n".join(lines(urbanfm_core.evaluate(**parameters))[1:]), flush=True)


def samplecity(work: Path, seeds: int, split: str) -> None:
    """AETHER against its own raw bands and the floors, and the control: the same with texts that lie elsewhere."""
    city = urbanfm_core.samplecity(out=work / "city", regions=400, seed=0)
    pois = gpd.read_file(city / "pois.gpkg")
    order = np.random.default_rng(0).permutation(len(pois))
    for column in ("name", "category", "subcategory"):
        pois[column] = pois[column].to_numpy()[order]
    pois.to_file(work / "shuffled.gpkg")
    made = []
    for name, source in (("AETHER", city / "pois.gpkg"), ("AETHER-shuffled-text", work / "shuffled.gpkg")):
        layers = {"embedding_raster": city / "embedding.tif", "cache": work / "cache"}
        checkpoint = urbanfm_core.train(preset="aether-small", pois=source, out=work / name, **layers)
        out = work / f"{name}.parquet"
        urbanfm_core.embed(checkpoint=checkpoint, regions=city / "regions.gpkg", parquet=out, **layers)
        made.append(f"{name}={out}")
    show(
        "Sample city, 400 regions",
        work,
        embeddings=made,
        regions=city / "regions.gpkg",
        targets=["land_use,occ_*,log:price"],
        split=split,
        pois=city / "pois.gpkg",
        embedding_raster=city / "embedding.tif",
        seeds=seeds,
    )


def listing_prices(data: Path) -> pd.Series:
    """Median price of the holiday listings of Madrid's neighbourhoods by `COD_BAR`, of those with enough of them."""
    regions, listings = gpd.read_file(data / "neighbourhoods.gpkg"), gpd.read_file(data / "madrid_abb.gpkg")
    inside = gpd.sjoin(listings.to_crs(regions.crs), regions[["COD_BAR", "geometry"]], predicate="within")
    price = inside.groupby("COD_BAR")["price_usd"].agg(["median", "size"])
    return price[price["size"] >= FEWEST_LISTINGS]["median"].rename("listing_price")


def madrid(data: Path, work: Path, seeds: int, split: str) -> None:
    """AETHER on four dates of Sentinel-2, ReFound on one, both with bars and holiday listings."""
    scenes = sorted(data.glob("madrid_scene_s2_120_*.tif"))
    with rasterio.open(scenes[0]) as first:
        profile = {**first.profile, "count": 4 * len(scenes)}
    with rasterio.open(work / "s2.tif", "w", **profile) as stack:
        stack.write(np.concatenate([rasterio.open(scene).read() for scene in scenes]))
    bars = pd.read_csv(data / "osm_bars.csv")
    listings = gpd.read_file(data / "madrid_abb.gpkg")
    points = pd.concat(
        [
            gpd.GeoDataFrame(
                {"name": bars["name"], "category": "bar"}, geometry=gpd.points_from_xy(bars.lon, bars.lat), crs=4326
            ),
            listings[["property_type", "geometry"]].assign(category="holiday listing").to_crs(4326),
        ],
        ignore_index=True,
    )
    points.to_file(work / "pois.gpkg")
    listing_prices(data).to_csv(work / "prices.csv")
    layers = {"pois": work / "pois.gpkg", "poi_subcategory": "property_type", "embedding_raster": work / "s2.tif"}
    urbanfm_core.embed(
        preset="aether-small",
        regions=data / "neighbourhoods.gpkg",
        region_id="COD_BAR",
        overrides=["base_m=150", "augmented_m=400"],
        cache=work / "cache",
        parquet=work / "aether.parquet",
        **layers,
    )
    # True colours of one scene at 120 m; each picture is as wide as its neighbourhood.
    urbanfm_core.embed(
        preset="refound-small",
        epochs=REFOUND_EPOCHS,
        regions=data / "neighbourhoods.gpkg",
        region_id="COD_BAR",
        pois=work / "pois.gpkg",
        poi_subcategory="property_type",
        imagery=work / "s2.tif",
        imagery_bands=RGB,
        cache=work / "cache",
        parquet=work / "refound.parquet",
    )
    show(
        "Madrid, 131 neighbourhoods",
        work,
        embeddings=[f"AETHER={work / 'aether.parquet'}", f"ReFound={work / 'refound.parquet'}"],
        regions=data / "neighbourhoods.gpkg",
        region_id="COD_BAR",
        label_raster=data / "ghs_pop_100m.tif",
        labels=work / "prices.csv",
        targets=["log:ghs_pop_100m/km2,ghs_pop_100m,log:listing_price,listing_price"],
        split=split,
        seeds=seeds,
        **layers,
    )


def newyork(data: Path, work: Path, seeds: int, split: str) -> None:
    """No imagery here: what points of interest, by ReFound and by themselves, area and coordinates know."""
    tracts = next(data.glob("tracts_2020_*.gpkg"))
    urbanfm_core.embed(
        preset="refound-small",
        epochs=REFOUND_EPOCHS,
        regions=tracts,
        region_id="boro_ct2020",
        pois=data / "pois.csv",
        cache=work / "cache",
        parquet=work / "refound.parquet",
    )
    show(
        "New York, census tracts of three boroughs",
        work,
        embeddings=[f"ReFound={work / 'refound.parquet'}"],
        regions=tracts,
        region_id="boro_ct2020",
        targets=["log:pop2010/km2,pop2010"],
        pois=data / "pois.csv",
        split=split,
        seeds=seeds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("city", choices=("samplecity", "madrid", "newyork"))
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--split", choices=("spatial", "random", "both"), default="spatial")
    parser.add_argument("--work", type=Path, help="Folder for what is made on the way; a temporary one if not given.")
    options = parser.parse_args()
    if options.city != "samplecity" and options.data is None:
        parser.error(f"{options.city} needs the folder of its data")
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        if options.city == "samplecity":
            samplecity(work, options.seeds, options.split)
        else:
            {"madrid": madrid, "newyork": newyork}[options.city](options.data, work, options.seeds, options.split)


if __name__ == "__main__":
    main()

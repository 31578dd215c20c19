"""What the layers of the sample city tell about its hidden fields: the figures of resources/help/samplecity.md.

    python tests/benchmarks/samplecity_signals.py --regions 400            the table, and AETHER trained on all points
    python tests/benchmarks/samplecity_signals.py --regions 1600 --half    AETHER trained in the west, probed in the east

R2 of ridge regression over five folds of whole 600 m squares; the penalty is chosen inside the training folds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import urbanfm_core
from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.geo.zonal import zonal_mean

BLOCK_M = 600
FORM = ["density", "greenery", "height"]


def spatial_r2(features: np.ndarray, target: np.ndarray, block: np.ndarray) -> float:
    """R2 of predictions for blocks that were not trained on."""
    known = np.isfinite(target) & np.isfinite(features).all(axis=1)
    features, target, block = features[known], target[known], block[known]
    predicted = np.empty(len(target))
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(features, groups=block):
        inner = GroupKFold(4, shuffle=True, random_state=1)
        probe = make_pipeline(StandardScaler(), Ridge())
        search = GridSearchCV(probe, {"ridge__alpha": np.logspace(0, 5, 11)}, cv=inner, scoring="r2")
        search.fit(features[train], target[train], groups=block[train])
        predicted[test] = search.predict(features[test])
    return float(r2_score(target, predicted))


def poi_features(city: Path, regions: RegionSet) -> dict[str, np.ndarray]:
    """Counts of subcategories, and the words of names, per region."""
    pois = PoiSet.from_source(city / "pois.gpkg")
    found = regions.assign(pois.xy, pois.crs)
    rows = pd.DataFrame({"region": found.region, "kind": pois.subcategory[found.point], "name": pois.name[found.point]})
    every = range(len(regions))
    counts = pd.crosstab(rows["region"], rows["kind"]).reindex(every, fill_value=0).to_numpy(float)
    names = rows.dropna(subset="name").groupby("region")["name"].agg(" ".join).reindex(every, fill_value="")
    words = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(names)
    return {
        "POI counts": np.sqrt(counts),
        "POI names": TruncatedSVD(60, random_state=0).fit_transform(words),
    }


def aether(city: Path, work: Path, *, western_half: bool) -> np.ndarray:
    """Region vectors of `aether-small`, trained on all points of the city or on those of its western half."""
    layers = {"embedding_raster": city / "embedding.tif", "cache": work / "cache"}
    pois = city / "pois.gpkg"
    if western_half:
        frame = gpd.read_file(pois)
        middle = gpd.read_file(city / "regions.gpkg").centroid.x.median()
        pois = work / "west.gpkg"
        frame[frame.geometry.x < middle].to_file(pois)
    checkpoint = urbanfm_core.train(preset="aether-small", pois=pois, out=work / "checkpoint", **layers)
    return urbanfm_core.embed(checkpoint=checkpoint, regions=city / "regions.gpkg", **layers).embedding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=400)
    parser.add_argument("--half", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        city = urbanfm_core.samplecity(out=work / "city", regions=options.regions, seed=0)
        regions = RegionSet.from_layer(city / "regions.gpkg")
        truth = pd.read_parquet(city / "truth.parquet").set_index("region_id").loc[regions.ids]
        with EmbeddingRaster.open(city / "embedding.tif") as raster:
            raw = zonal_mean(raster, regions.geometry, regions.crs).mean
        features = {"embedding": raw, "AETHER": aether(city, work, western_half=options.half)}
        if not options.half:
            features |= {**poi_features(city, regions), "form": truth[FORM].to_numpy(float)}
        functions = [name for name in truth if name.startswith("function_")]
        targets = {name: truth[name] for name in [*FORM, *functions, "ses"]}
        targets |= {name: regions.attributes[name] for name in ("price", "population", "occ_1")}
        xy = regions.centroid_xy()
        block = (xy[:, 0] // BLOCK_M).astype(int) * 100_000 + (xy[:, 1] // BLOCK_M).astype(int)
        rows = xy[:, 0] > np.median(xy[:, 0]) if options.half else np.ones(len(xy), bool)
        table = pd.DataFrame(
            {
                source: {
                    name: spatial_r2(matrix[rows], target.to_numpy(float)[rows], block[rows])
                    for name, target in targets.items()
                }
                for source, matrix in features.items()
            }
        )
        table.loc["function, mean"] = table.loc[functions].mean()
        print(table.round(2).to_string())


if __name__ == "__main__":
    main()

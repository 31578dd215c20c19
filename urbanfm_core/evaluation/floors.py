"""Floors: what anyone could predict with, without any learned vector. An embedding that does not beat them is not
worth its training.

All are made from the layers themselves, without labels, for all regions at once.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse
import shapely
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import InputError
from urbanfm_core.evaluation.tables import Features
from urbanfm_core.geo.assign import Assignment
from urbanfm_core.geo.crs import metric_crs, transform_geometry
from urbanfm_core.geo.zonal import zonal_mean
from urbanfm_core.progress import Progress

Array = NDArray[np.float64]
_MOST_CATEGORIES = 60
_FEWEST_POIS = 5
_NAME_COMPONENTS = 64
_GAP_SHARE = 0.02


def coordinates(regions: RegionSet) -> Features:
    """Where the regions' centres are: x, y, and their squares and product, in metres."""
    xy = centres_m(regions)
    x, y = ((xy - xy.mean(axis=0)) / max(float(xy.std()), 1e-9)).T
    return Features("coordinates", np.column_stack([x, y, x**2, x * y, y**2]), True, "yes")


def area(regions: RegionSet) -> Features:
    """Area of the regions and its logarithm."""
    km2 = regions.area_m2() / 1e6
    return Features("region area", np.column_stack([km2, np.log(np.maximum(km2, 1e-9))]), True, "no")


def centres_m(regions: RegionSet) -> Array:
    """Centres of mass, (R, 2), metres."""
    return regions.centroid_xy(metric_crs(regions.crs, regions.bounds()))


def poi_floors(regions: RegionSet, pois: PoiSet, progress: Progress) -> list[Features]:
    """Counts of the points' categories; those with densities and neighbours; words of their names."""
    found = regions.assign(pois.xy, pois.crs, progress)
    if not len(found.point):
        raise InputError("No point of interest lies in a region.", "Choose layers of the same place.")
    outside = found.unassigned(len(pois))
    notes = [f"{outside} of {len(pois)} points of interest lie in no region."] if outside else []
    counts, kinds = count_categories(pois, found, len(regions))
    logs = np.log1p(counts)
    km2 = np.maximum(regions.area_m2() / 1e6, 1e-9)[:, None]
    around = neighbour_means(regions, np.column_stack([logs, np.log1p(counts / km2)]))
    full = np.column_stack([logs, np.log1p(counts / km2), around])
    notes.append(f"POI floors count {len(kinds)} kinds of points.")
    floors = [
        Features("POI counts", logs, True, "no", notes),
        Features("POI counts, densities, neighbours", full, True, "no"),
    ]
    words = name_words(pois, found, len(regions))
    return floors + ([Features("POI names (TF-IDF)", words, True, "no")] if words is not None else [])


def count_categories(pois: PoiSet, found: Assignment, regions: int) -> tuple[Array, list[str]]:
    """Points per region: all of them, then each of the commonest categories and subcategories.

    Returns:
        Counts (R, 1 + K), and the K names.
    """
    holds = found.to_csr(len(pois), regions)
    columns: list[Array] = [np.asarray(holds.sum(axis=1), np.float64).reshape(-1)]
    names: list[str] = []
    for level, texts in (("category", pois.category), ("subcategory", pois.subcategory)):
        codes, uniques = pd.factorize(pd.Series(texts, dtype=object))
        sizes = np.bincount(codes[codes >= 0], minlength=len(uniques))
        common = [code for code in np.argsort(-sizes, kind="stable")[:_MOST_CATEGORIES] if sizes[code] >= _FEWEST_POIS]
        for code in common:
            columns.append(np.asarray(holds @ (codes == code).astype(np.float64)).reshape(-1))
            names.append(f"{level} {uniques[code]}")
    return np.column_stack(columns), names


def name_words(pois: PoiSet, found: Assignment, regions: int) -> Array | None:
    """TF-IDF of the words in the names of a region's points, as its leading components; None without names."""
    texts = np.full(regions, "", dtype=object)
    named = pd.Series(pois.name[found.point], index=found.region).dropna()
    if named.empty:
        return None
    joined = named.astype(str).groupby(level=0).agg(" ".join)
    texts[joined.index.to_numpy()] = joined.to_numpy()
    try:
        words = TfidfVectorizer(min_df=2, sublinear_tf=True, max_features=20_000).fit_transform(texts)
    except ValueError:  # no word occurs in two regions
        return None
    width = min(_NAME_COMPONENTS, words.shape[1] - 1, regions - 1)
    if width < 1:
        return None
    return np.asarray(TruncatedSVD(width, random_state=0).fit_transform(words), np.float64)


def neighbour_means(regions: RegionSet, values: Array) -> Array:
    """Mean of the values over the neighbours of each region, (R, K); 0 without any.

    Neighbours are regions that touch, or that a gap as wide as 2 % of a region's side parts.
    """
    metric = metric_crs(regions.crs, regions.bounds())
    shapes = transform_geometry(regions.geometry, regions.crs, metric)
    gap = _GAP_SHARE * float(np.sqrt(np.median(shapely.area(shapes))))
    first, second = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=gap)
    other = first != second
    first, second = first[other], second[other]
    count = len(shapes)
    near = scipy.sparse.csr_array((np.ones(len(first)), (first, second)), shape=(count, count))
    return (near @ values) / np.maximum(np.bincount(first, minlength=count), 1)[:, None]


def raster_floors(regions: RegionSet, raster: EmbeddingRaster, name: str, progress: Progress) -> list[Features]:
    """Mean of each band over a region, and the means with the deviations; by exact cover of pixels."""

    def with_squares(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([pixels, pixels**2], axis=1)

    found = zonal_mean(
        raster, regions.geometry, regions.crs, rule="coverage", pixel_function=with_squares, progress=progress
    )
    mean = found.mean[:, : raster.bands].astype(np.float64)
    deviation = np.sqrt(np.maximum(found.mean[:, raster.bands :] - mean**2, 0.0))
    return [
        Features(f"{name} means", mean, True, "no"),
        Features(f"{name} means and deviations", np.column_stack([mean, deviation]), True, "no"),
    ]


def raster_sum(regions: RegionSet, raster: EmbeddingRaster, progress: Progress) -> tuple[Array, list[str]]:
    """Sum of a one-band raster over each region, pixels on the border by their share inside; NaN off the raster.

    Raises:
        InputError: the raster has several bands.
    """
    if raster.bands != 1:
        raise InputError(
            f"{raster.info.path}: a label raster has one band, found {raster.bands}.", "Choose a raster with one band."
        )
    found = zonal_mean(raster, regions.geometry, regions.crs, rule="coverage", progress=progress)
    total = found.mean[:, 0].astype(np.float64) * found.pixels
    notes = []
    partly = int(((found.coverage < 0.99) & (found.coverage > 0)).sum())
    if partly:
        notes.append(f"{partly} regions lie partly off the label raster's data; their sums are of what is there.")
    return total, notes

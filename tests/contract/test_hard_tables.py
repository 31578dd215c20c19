"""Vector tables that are hard to swallow: every analysis handles them and says so, or refuses them with the reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

import urbanfm_core
from urbanfm_core.errors import UrbanFMError
from urbanfm_core.evaluation.predict import Prediction
from urbanfm_core.maps.cluster_report import Clustering
from urbanfm_core.maps.similarity_report import Similar

SIDE, WIDTH = 8, 4
COUNT = SIDE**2


def good() -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """64 squares and their vectors; the price follows from them."""
    rng = np.random.default_rng(0)
    ids = [f"r{row}" for row in range(COUNT)]
    shapes = [shapely.box(500 * x, 500 * y, 500 * x + 500, 500 * y + 500) for y in range(SIDE) for x in range(SIDE)]
    vectors = rng.normal(size=(COUNT, WIDTH)) + np.where(np.arange(COUNT)[:, None] % 2, 4.0, 0.0)
    price = vectors.sum(axis=1) + rng.normal(size=COUNT)
    zone = np.where(np.arange(COUNT) % 2, "odd", "even")
    regions = gpd.GeoDataFrame({"region_id": ids, "price": price, "zone": zone}, geometry=shapes, crs="EPSG:32630")
    return regions, pd.DataFrame(vectors, columns=[f"e{at}" for at in range(WIDTH)]).assign(region_id=ids)


def nan_rows(regions, table):
    table.loc[:4, "e1"] = np.nan
    table.loc[5, "e0"] = np.inf


def one_region(regions, table):
    return regions[:1], table[:1]


def constant_columns(regions, table):
    table[["e0", "e2"]] = 7.0


def only_constants(regions, table):
    table[[f"e{at}" for at in range(WIDTH)]] = 7.0


def text_labels(regions, table):
    regions["price"] = [f"about {price:.3f}" for price in regions["price"]]


def missing_labels(regions, table):
    regions["price"] = np.nan


def one_class(regions, table):
    regions["price"] = "cheap"


def cluster(folder: Path, **given: Any) -> Clustering:
    return urbanfm_core.cluster(clusters=2, out=folder / "c.gpkg", report=folder / "c.html", **given)


def similar(folder: Path, regions: Path, **given: Any) -> Similar:
    return urbanfm_core.similar(ids=["r0"], table=folder / "s.csv", report=folder / "s.html", **given)


def predict(folder: Path, **given: Any) -> Prediction:
    return urbanfm_core.predict(target="price", out=folder / "p.gpkg", report=folder / "p.html", **given)


def evaluate(folder: Path, **given: Any) -> Any:
    return urbanfm_core.evaluate(targets=["price"], seeds=1, probes="linear", report=folder / "e.html", **given)


ANALYSES: dict[str, Callable[..., Any]] = {
    "cluster": cluster,
    "similar": similar,
    "predict": predict,
    "evaluate": evaluate,
}

# By table and analysis: words of the note, or of the refusal, which begins with '!'.
CASES: dict[Any, dict[str, str]] = {
    nan_rows: {
        "cluster": "6 of 64 regions have no vector",
        "similar": "!None of the 1 chosen regions has a vector",
        "predict": "6 regions have no vector",
        "evaluate": "6 of 64 regions have no vector",
    },
    one_region: {
        "cluster": "!one region has a vector",
        "similar": "",
        "predict": "!0 different values|1 different values",
        "evaluate": "!0 different values|1 different values",
    },
    constant_columns: {
        "cluster": "2 of 4 dimensions are the same everywhere",
        "similar": "",
        "predict": "2 of 4 dimensions are the same everywhere",
        "evaluate": "2 dimensions are the same everywhere",
    },
    only_constants: {
        "cluster": "!64 regions with a vector all have the same",
        "similar": "",
        "predict": "4 of 4 dimensions are the same everywhere",
        "evaluate": "4 dimensions are the same everywhere",
    },
    text_labels: {
        "cluster": "",
        "predict": "!64 different texts in 64 regions, which is no classification",
        "evaluate": "!64 different texts in 64 regions, which is no classification",
    },
    missing_labels: {
        "cluster": "1 fields are empty or the same everywhere",
        "predict": "!'price' has 0 different values",
        "evaluate": "!'price' has 0 different values",
    },
    one_class: {
        "cluster": "",
        "predict": "!'price' has 1 different values",
        "evaluate": "!'price' has 1 different values",
    },
}


@pytest.mark.parametrize(
    ("spoil", "analysis"),
    [(spoil, analysis) for spoil, wanted in CASES.items() for analysis in wanted],
    ids=lambda item: item if isinstance(item, str) else item.__name__,
)
def test_it_is_handled_or_refused_with_the_reason(tmp_path, spoil, analysis):
    regions, table = good()
    regions, table = spoil(regions, table) or (regions, table)
    regions.to_file(tmp_path / "regions.gpkg")
    table.to_csv(tmp_path / "vectors.csv", index=False)
    made = tmp_path / "made"
    made.mkdir()
    given = {"embeddings": tmp_path / "vectors.csv", "regions": tmp_path / "regions.gpkg"}
    words = CASES[spoil][analysis]
    if words.startswith("!"):
        with pytest.raises(UrbanFMError, match=words[1:]):
            ANALYSES[analysis](made, **given)
        assert not list(made.iterdir())
        return
    ANALYSES[analysis](made, **given)
    page = next(made.glob("*.html")).read_text("utf-8")
    assert words in page and page.endswith("</html>\n")


def test_regions_without_a_vector_have_no_result_and_the_others_a_finite_one(tmp_path):
    regions, table = good()
    nan_rows(regions, table)
    regions.to_file(tmp_path / "regions.gpkg")
    table.to_csv(tmp_path / "vectors.csv", index=False)
    given = {"embeddings": tmp_path / "vectors.csv", "regions": tmp_path / "regions.gpkg"}
    labels = cluster(tmp_path, **given).groups.labels
    assert (labels[:6] == -1).all() and (labels[6:] >= 0).all()
    found = predict(tmp_path, **given)
    assert np.isnan(found.values[:6]).all() and np.isfinite(found.values[6:]).all()
    compared = urbanfm_core.similar(embeddings=given["embeddings"], ids=["r9"], table=tmp_path / "s.csv")
    assert np.isnan(compared.ranking.score[:6]).all() and compared.ranking.ranked == COUNT - 7


def test_constant_vectors_predict_the_mean(tmp_path):
    regions, table = good()
    only_constants(regions, table)
    regions.loc[:9, "price"] = np.nan
    regions.to_file(tmp_path / "regions.gpkg")
    table.to_csv(tmp_path / "vectors.csv", index=False)
    found = predict(tmp_path, embeddings=tmp_path / "vectors.csv", regions=tmp_path / "regions.gpkg")
    np.testing.assert_allclose(found.values[:10, 0], regions["price"].mean(), rtol=0.05)
    assert found.scores["R2"][0] < 0.05

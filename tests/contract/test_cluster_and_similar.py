"""Clusters and similar regions, from Python, the command line and QGIS; and tables that are hard to swallow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from running import urbanfm

import urbanfm_core
from urbanfm_core import planning
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.progress import Progress
from urbanfm_core.stages import make_stage


@pytest.fixture(scope="module")
def table(city: Path, work: Path) -> Path:
    """Vectors of the sample city from what is hidden in it, with a region without; as GeoParquet and GeoPackage."""
    regions = RegionSet.from_layer(city / "regions.gpkg")
    truth = pd.read_parquet(city / "truth.parquet").set_index("region_id").loc[regions.ids]
    vectors = truth.select_dtypes("number").to_numpy(np.float32).copy()
    vectors[11] = np.nan
    made = EmbeddingTable(regions, vectors, {}, {"model": "truth", "checkpoint": "0" * 64})
    made.to_parquet(work / "truth.parquet")
    made.to_layer(work / "truth.gpkg")
    return work / "truth.parquet"


def by_id(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(path).set_index("region_id").sort_index()


def test_clusters_are_the_same_from_the_command_line_python_and_qgis(city, work, table, qgis) -> None:
    given = {"embeddings": table, "pois": city / "pois.gpkg", "clusters": 3, "fields": ["price", "land_use"]}
    flags = ["--embeddings", table, "--pois", city / "pois.gpkg", "--clusters", "3", "--fields", "price", "land_use"]
    outputs = ("--out", work / "c cli.gpkg", "--profile", work / "c.json", "--report", work / "c.html")
    said = urbanfm("cluster", *flags, *outputs)
    for expected in ("clusters: 3", "silhouette:", "without_vector: 1", "1. ", "typical:"):
        assert expected in said, said
    found = urbanfm_core.cluster(**given)
    results = qgis.run(
        "urbanfm:clusterregions",
        EMBEDDINGS=work / "truth.gpkg",
        POIS=city / "pois.gpkg",
        CLUSTERS=3,
        FIELDS="price;land_use",
        OUT=work / "c qgis.gpkg",
        PROFILE=work / "c qgis.json",
        REPORT=work / "c qgis.html",
    )
    assert (results["CLUSTER_COUNT"], results["WITHOUT_VECTOR"], results["REGION_COUNT"]) == (3, 1, 50)
    assert results["SILHOUETTE"] == pytest.approx(found.groups.mean_silhouette, abs=1e-6)
    one, other = by_id(work / "c cli.gpkg"), by_id(work / "c qgis.gpkg")
    source = by_id(city / "regions.gpkg")
    for frame in (one, other):
        assert set(source.columns) <= set(frame.columns)
        assert frame["cluster"].isna().sum() == 1 and set(frame["cluster"].dropna()) == {1, 2, 3}
        for name in ("cluster", "silhouette", "distance"):
            np.testing.assert_allclose(frame[name].to_numpy(float), one[name].to_numpy(float), atol=1e-6)
    assert other["cluster_name"].equals(one["cluster_name"])
    expected = pd.Series(found.groups.labels + 1, found.regions.ids).sort_index()
    assert (one["cluster"].fillna(0).astype(int) == expected).all()
    assert "embedding" in other.columns
    profile, again = (json.loads((work / name).read_text()) for name in ("c.json", "c qgis.json"))
    assert [item["regions"] for item in profile["clusters"]] == one["cluster"].value_counts().sort_index().tolist()
    labels = {item["cluster"]: item["label"] for item in profile["clusters"]}
    assert (one["cluster_name"].dropna() == one["cluster"].dropna().map(labels)).all()
    assert (one["cluster_name"].isna() == one["cluster"].isna()).all()
    price = source["price"].groupby(one["cluster"]).mean()
    for item, same in zip(profile["clusters"], again["clusters"], strict=True):
        level = next(level for level in item["fields"] if level["name"] == "price")
        assert level["mean"] == pytest.approx(price[item["cluster"]])
        assert item["categories"] == same["categories"] and item["label"] == same["label"]
    page = (work / "c.html").read_text()
    assert "<svg" in page and "<script" not in page and profile["clusters"][0]["label"].split(",")[0] in page
    style = (work / "c cli.qml").read_text()
    assert "#0072b2" not in style and "0,114,178" in style and (work / "c qgis.qml").is_file()


def test_the_number_of_clusters_is_chosen_and_shown(work, table) -> None:
    report = work / "chosen.html"
    found = urbanfm_core.cluster(embeddings=table, report=report)
    tried = dict(found.groups.tried)
    assert list(tried) == list(range(2, 13)) and len(found.profiles) == max(tried, key=tried.__getitem__)
    drawn = sum(column.nunique() >= 5 for _, column in found.columns.items())
    # A map, a curve, and a picture for every three fields.
    assert drawn > 3 and report.read_text().count("<svg") == 2 + -(-drawn // 3)
    dense = urbanfm_core.cluster(embeddings=table, algorithm="hdbscan", min_size=3, scaling="standard")
    assert dense.how == "HDBSCAN, of standardised vectors" and len(dense.profiles) >= 2
    # The layer of a clustering can be clustered again, and is no finding of itself.
    urbanfm_core.cluster(embeddings=work / "truth.gpkg", clusters=4, out=work / "once.gpkg")
    again = urbanfm_core.cluster(embeddings=work / "once.gpkg", clusters=4, out=work / "twice.gpkg")
    assert "cluster" not in [level.name for level in again.profiles[0].levels]
    twice = gpd.read_file(work / "twice.gpkg")
    assert (twice["cluster"].fillna(0) == twice["src_cluster"].fillna(0)).all()


def test_similar_regions_are_the_same_from_the_command_line_python_and_qgis(city, work, table, qgis) -> None:
    regions = gpd.read_file(city / "regions.gpkg")
    ids = regions["region_id"].iloc[[2, 5]].tolist()
    drawn = regions.iloc[[2, 5]][["geometry"]].copy()
    drawn.geometry = drawn.representative_point().buffer(5)
    drawn.to_file(work / "drawn.gpkg")
    outputs = ("--out", work / "s cli.gpkg", "--table", work / "s.parquet", "--report", work / "s.html")
    said = urbanfm("similar", "--embeddings", table, "--ids", *ids, "--top", "3", *outputs)
    found = urbanfm_core.similar(embeddings=table, chosen=work / "drawn.gpkg")
    results = qgis.run(
        "urbanfm:findsimilarregions",
        EMBEDDINGS=work / "truth.gpkg",
        CHOSEN=work / "drawn.gpkg",
        OUT=work / "s qgis.gpkg",
        REPORT=work / "s qgis.html",
    )
    best, score = found.top(1)[0]
    assert (results["BEST"], results["RANKED"], results["CHOSEN_COUNT"]) == (best, 47, 2) and best in said
    assert results["BEST_SCORE"] == pytest.approx(score, abs=1e-4)
    one, other = by_id(work / "s cli.gpkg"), by_id(work / "s qgis.gpkg")
    rows = pd.read_parquet(work / "s.parquet").set_index("region_id").sort_index()
    vectors = EmbeddingTable.from_parquet(table).vectors.astype(float)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = pd.Series(unit @ unit[[2, 5]].mean(axis=0), found.ids)
    expected /= np.linalg.norm(unit[[2, 5]].mean(axis=0))
    for frame in (one, other, rows):
        np.testing.assert_allclose(frame["score"], expected.sort_index(), atol=1e-6)
        assert set(frame.index[frame["chosen"] == 1]) == set(ids) and frame["rank"].max() == 47
        assert frame.loc[ids, "rank"].isna().all() and frame["rank"].idxmin() == best
    assert set(regions.columns) <= {*one.columns, "region_id"}
    assert (work / "s.html").read_text().count("<svg") == 1 and (work / "s qgis.qml").is_file()
    assert "RuleRenderer" in (work / "s cli.qml").read_text()


def test_another_city_is_ranked_by_the_same_model_only(work, table) -> None:
    near = EmbeddingTable.from_parquet(table)
    far = near.regions.to_frame().assign(geometry=lambda frame: frame.translate(1e5, 0))
    far["region_id"] = "far " + far["region_id"]
    moved = RegionSet.from_layer(far)
    EmbeddingTable(moved, near.vectors, {}, near.provenance).to_parquet(work / "far.parquet")
    EmbeddingTable(moved, near.vectors, {}, {**near.provenance, "checkpoint": "1" * 64}).to_parquet(work / "n.parquet")
    chosen = str(near.ids[4])
    out = work / "across.gpkg"
    found = urbanfm_core.similar(embeddings=table, ids=[chosen], other=work / "far.parquet", out=out, how="max")
    assert found.top(1) == [(f"far {chosen}", pytest.approx(1.0))] and not found.chosen.any()
    assert gpd.read_file(out)["region_id"].str.startswith("far ").all()
    with pytest.raises(ConfigError, match="another training is another model"):
        urbanfm_core.similar(embeddings=table, ids=[chosen], other=work / "n.parquet")


def test_dry_runs_say_what_is_there_and_write_nothing(city, work, table) -> None:
    before = sorted(work.iterdir())

    def plan(name: str, **values: Any) -> planning.Plan:
        return planning.plan(name, make_stage(name, values), Progress())

    found = plan("cluster", embeddings=table, pois=city / "pois.gpkg", out=work / "no.gpkg")
    reads = dict(found.reads)
    assert reads["embeddings"].endswith("for 49 of 50 regions") and "points" in reads["pois"]
    assert found.seconds["clustering"] > 0 and found.memory_bytes > 0 and found.device
    found = plan("similar", embeddings=table, ids=[str(gpd.read_parquet(table)["region_id"][0])], table=work / "no.csv")
    assert dict(found.reads)["chosen regions"] == "1 of 50" and found.seconds["comparing"] > 0
    assert sorted(work.iterdir()) == before


def test_a_hundred_thousand_regions(tmp_path) -> None:
    count = 100_000
    rng = np.random.default_rng(0)
    kind = rng.choice(3, count, p=[0.5, 0.3, 0.2])
    vectors = (np.eye(4, 16, dtype=np.float32)[kind] * 4 + rng.normal(size=(count, 16))).astype(np.float32)
    vectors[::1000] = np.nan
    row, column = np.divmod(np.arange(count), 400)
    boxes = shapely.box(100 * column, 100 * row, 100 * column + 100, 100 * row + 100)
    frame = gpd.GeoDataFrame({"region_id": np.arange(count)}, geometry=boxes, crs=32630)
    EmbeddingTable(RegionSet.from_layer(frame), vectors, {}, {"model": "m"}).to_parquet(tmp_path / "many.parquet")
    found = urbanfm_core.cluster(embeddings=tmp_path / "many.parquet", clusters=3, report=tmp_path / "c.html")
    assert found.groups.sizes.sum() == 99_900
    inside = found.groups.labels >= 0
    assert (found.groups.labels[inside] == kind[inside]).mean() > 0.95
    assert any("estimated" in note for note in found.notes)
    table = tmp_path / "s.csv"
    like = urbanfm_core.similar(embeddings=tmp_path / "many.parquet", ids=["7"], table=table)
    assert like.ranking.ranked == 99_899 and len(pd.read_csv(table)) == count

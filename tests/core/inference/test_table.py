import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import InputError, ShapeError
from urbanfm_core.inference.table import EmbeddingTable


@pytest.fixture
def table():
    frame = gpd.GeoDataFrame(
        {
            "region_id": ["a", "b", "c", "d"],
            "Straße “1”": ["x", None, "z", "w"],
            "counted": pd.array([1, None, 3, 4], dtype="Int32"),
            "embedding": [1, 2, 3, 4],
        },
        geometry=[box(i, 0, i + 1, 1) for i in range(4)],
        crs="EPSG:25830",
    )
    vectors = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    vectors[2] = np.nan
    coverage = {"embedding_raster": np.array([1, 0.5, 0, 1], np.float32)}
    return EmbeddingTable(RegionSet.from_layer(frame), vectors, coverage, {"model": "toy", "checkpoint": "abc"})


def test_parquet_is_exact_and_complete(table, tmp_path):
    table.to_parquet(tmp_path / "o.parquet")
    again = EmbeddingTable.from_parquet(tmp_path / "o.parquet")
    np.testing.assert_array_equal(again.vectors, table.vectors)
    np.testing.assert_array_equal(again.coverage["embedding_raster"], table.coverage["embedding_raster"])
    assert again.ids.tolist() == ["a", "b", "c", "d"]
    assert again.provenance == table.provenance
    assert again.regions.crs == table.regions.crs
    frame = gpd.read_parquet(tmp_path / "o.parquet")
    assert frame["Straße “1”"].isna().tolist() == [False, True, False, False] and frame["Straße “1”"][3] == "w"
    assert frame["embedding"].iloc[2] is None and len(frame["embedding"].iloc[0]) == 6
    # The source's own field of that name gives way, and is kept.
    assert frame["src_embedding"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["o.gpkg", "o.geojson"])
def test_a_layer_carries_exact_vectors_as_text(table, tmp_path, name):
    table.to_layer(tmp_path / name, columns=True)
    frame = gpd.read_file(tmp_path / name)
    assert frame["emb_dim"].tolist() == [6] * 4 and frame["emb_model"].tolist() == ["toy"] * 4
    assert frame["emb_pca1"].isna().tolist() == [False, False, True, False]
    assert frame["embedding"].isna().tolist() == [False, False, True, False]
    texts = [item if not isinstance(item, str) else json.loads(item) for item in frame["embedding"].dropna()]
    np.testing.assert_array_equal(np.array(texts, np.float32), table.vectors[[0, 1, 3]])
    assert {f"emb_{axis:03d}" for axis in range(6)} <= set(frame.columns)
    again = EmbeddingTable.from_layer(tmp_path / name)
    np.testing.assert_array_equal(again.vectors, table.vectors)


def test_writing_the_same_table_twice_gives_the_same_bytes(table, tmp_path):
    for name in ("1.parquet", "2.parquet"):
        table.to_parquet(tmp_path / name)
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_features_without_a_polygon_lose_their_vector_too(table, tmp_path):
    frame = table.regions.to_frame().drop(columns="embedding").assign(embedding=[[0.0, i] for i in range(4)])
    frame.loc[1, "geometry"] = None
    frame.to_parquet(tmp_path / "brought in.parquet")
    again = EmbeddingTable.from_parquet(tmp_path / "brought in.parquet")
    assert again.ids.tolist() == ["a", "c", "d"]
    assert again.vectors[:, 1].tolist() == [0, 2, 3]


def test_what_is_no_table_is_told(table, tmp_path):
    plain = table.regions.to_frame().drop(columns="embedding")
    plain.to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(InputError, match="no field 'embedding'"):
        EmbeddingTable.from_parquet(tmp_path / "plain.parquet")
    plain.assign(embedding=[[1.0], [1.0, 2.0], [3.0], [4.0]]).to_parquet(tmp_path / "ragged.parquet")
    with pytest.raises(InputError, match=r"\[1, 2\]"):
        EmbeddingTable.from_parquet(tmp_path / "ragged.parquet")
    with pytest.raises(ShapeError, match="4 regions"):
        EmbeddingTable(table.regions, table.vectors[:3])


def test_a_layer_with_text_that_is_no_vector_is_told(table, tmp_path):
    plain = table.regions.to_frame().drop(columns="embedding")
    plain.assign(embedding=["[1, 2", "x", "{}", "[1]"]).to_file(tmp_path / "bad.gpkg")
    with pytest.raises(InputError, match="embedding"):
        EmbeddingTable.from_layer(tmp_path / "bad.gpkg")

"""Tables of vectors written and read in every format, and tables that others made."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from pyproj import CRS
from shapely import from_wkb
from shapely.geometry import MultiPolygon, box

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, InputError, OutputError
from urbanfm_core.evaluation.tables import own_id, read_embeddings
from urbanfm_core.geo.vector import read_layer
from urbanfm_core.geo.vector_writer import write_layer
from urbanfm_core.inference.columns import find_vectors
from urbanfm_core.inference.table import EmbeddingTable, table_metadata
from urbanfm_core.maps.vector_table import read_vector_table

FORMATS = (".parquet", ".geoparquet", ".arrow", ".feather", ".csv", ".gpkg", ".geojson")


def squares(count: int) -> list:
    return [box(440_000 + 100 * i, 4_470_000, 440_100 + 100 * i, 4_470_100) for i in range(count)]


@pytest.fixture
def table():
    frame = gpd.GeoDataFrame(
        {"code": ["007", "8", "9a", "010"], "name": ['a "b", c', None, "ß\nx", "w"], "WKT": [1.5, 2.5, None, 4.5]},
        geometry=[*squares(3), MultiPolygon(squares(6)[3::2])],
        crs="EPSG:25830",
    )
    vectors = (np.random.default_rng(0).normal(size=(4, 12)) * 10.0 ** np.arange(-12, 12, 2)).astype(np.float32)
    vectors[2] = np.nan
    provenance = {"model": "toy", "checkpoint": "abc"}
    coverage = {"pois": np.array([1, 0.1, 0, 1], np.float32)}
    return EmbeddingTable(RegionSet.from_layer(frame, "code"), vectors, coverage, provenance)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_vectors_back(table, tmp_path, suffix):
    path = tmp_path / f"o{suffix}"
    table.write(path)
    again = EmbeddingTable.read(path)
    np.testing.assert_array_equal(again.vectors, table.vectors)
    assert again.vectors.dtype == np.float32
    np.testing.assert_array_equal(again.coverage["pois"], table.coverage["pois"])
    assert again.regions.attributes["code"].tolist() == ["007", "8", "9a", "010"]
    assert again.regions.attributes["name"].tolist()[0] == 'a "b", c' and again.regions.attributes["name"].isna()[1]
    moved = again.regions.to_crs(table.regions.crs)
    # CSV and GeoJSON are in longitude and latitude by definition.
    assert all(
        one.hausdorff_distance(two) < 1e-3 for one, two in zip(moved.geometry, table.regions.geometry, strict=True)
    )
    if suffix not in (".csv", ".geojson"):
        assert again.regions.crs == table.regions.crs
    if suffix in FORMATS[:4]:
        assert again.provenance == table.provenance and own_id(str(path)) == "code"
        assert again.ids.tolist() == table.ids.tolist()


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_analysis_reads_every_format(table, tmp_path, suffix):
    path = tmp_path / f"o{suffix}"
    table.write(path)
    features = read_embeddings(str(path), table.regions, None, set())[0]
    np.testing.assert_array_equal(features.vectors, table.vectors.astype(np.float64))
    found = read_vector_table(str(path), "code")
    assert found.ids.tolist() == table.ids.tolist()
    np.testing.assert_array_equal(np.concatenate(list(found.blocks())).astype(np.float32), table.vectors)
    regions, rows = found.regions()
    assert rows.tolist() == [0, 1, 2, 3] and len(regions) == 4
    assert found.model == "toy" or suffix in FORMATS[:4]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_metadata_are_those_of_the_geoparquet_specification(table, tmp_path, suffix):
    path = tmp_path / f"o{suffix}"
    table.write(path)
    if suffix == ".parquet":
        found = pq.read_table(path)
    else:
        with pa.memory_map(str(path)) as file:
            found = pa.ipc.open_file(file).read_all()
    geo = json.loads(found.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0" and geo["primary_column"] == "geometry"
    column = geo["columns"]["geometry"]
    assert column["encoding"] == "WKB" and set(column["geometry_types"]) == {"MultiPolygon", "Polygon"}
    assert CRS.from_json_dict(column["crs"]) == table.regions.crs
    assert column["bbox"] == [440_000, 4_470_000, 440_600, 4_470_100]
    assert pa.types.is_binary(found.schema.field("geometry").type)
    shapes = from_wkb(found["geometry"].to_pylist())
    assert all(one.equals(two) for one, two in zip(shapes, table.regions.geometry, strict=True))
    assert found.schema.field("embedding").type == pa.list_(pa.float32())
    assert found["embedding"].null_count == 1


def test_written_files_open_in_geopandas(table, tmp_path):
    table.write(tmp_path / "o.parquet")
    table.write(tmp_path / "o.feather")
    for frame in (gpd.read_parquet(tmp_path / "o.parquet"), gpd.read_feather(tmp_path / "o.feather")):
        assert frame.crs == table.regions.crs and len(frame["embedding"].iloc[0]) == 12


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".gpkg", ".geojson"])
def test_any_layer_is_written_in_any_format(tmp_path, suffix):
    frame = gpd.GeoDataFrame(
        {"a": [1.0, np.nan], "b": [0.1, 1 / 3], "c": [[1, 2], None]}, geometry=squares(2), crs="EPSG:25830"
    )
    write_layer(frame, tmp_path / f"l{suffix}")
    again = read_layer(tmp_path / f"l{suffix}")
    assert again["b"].tolist() == frame["b"].tolist() and again["a"].isna().tolist() == [False, True]
    assert again.to_crs(25830).geometry.iloc[0].hausdorff_distance(frame.geometry.iloc[0]) < 1e-3
    with pytest.raises(OutputError, match=r"\.arrow or \.csv"):
        write_layer(frame, tmp_path / "l.xlsx")


def test_a_csv_in_metres_has_no_crs_that_could_be_guessed(tmp_path):
    pd.DataFrame({"id": [1], "wkt": ["POLYGON((440000 4470000,440100 4470000,440100 4470100,440000 4470000))"]}).to_csv(
        tmp_path / "metres.csv", index=False
    )
    with pytest.raises(InputError, match="coordinate reference system"):
        RegionSet.from_layer(tmp_path / "metres.csv")


def test_arrow_streams_are_read_too(tmp_path):
    table = pa.table({"region_id": ["a", "b"], "embedding": [[1.0, 2.0], [3.0, 4.0]]})
    with pa.ipc.new_stream(str(tmp_path / "s.arrow"), table.schema) as writer:
        writer.write_table(table)
    found = read_vector_table(str(tmp_path / "s.arrow"))
    assert np.concatenate(list(found.blocks())).tolist() == [[1, 2], [3, 4]]


def regions(count: int = 4) -> RegionSet:
    frame = gpd.GeoDataFrame({"region_id": [f"r{i}" for i in range(count)]}, geometry=squares(count), crs="EPSG:25830")
    return RegionSet.from_layer(frame)


BROUGHT = np.arange(12.0).reshape(4, 3) / 7


@pytest.mark.parametrize("kind", ["list", "fixed", "double", "columns", "other name", "named", "one of many"])
def test_tables_of_others_are_understood(tmp_path, kind):
    rows = BROUGHT.tolist()
    ids = {"region_id": [f"r{i}" for i in range(4)]}
    columns: list[str] = []
    made = {
        "list": lambda: {"embedding": pa.array(rows, pa.list_(pa.float32()))},
        "fixed": lambda: {"embedding": pa.array(rows, pa.list_(pa.float32(), 3))},
        "double": lambda: {"embedding": pa.array(rows, pa.large_list(pa.float64()))},
        "columns": lambda: {f"A{i:02d}": BROUGHT[:, i] for i in range(3)},
        "other name": lambda: {"vector": pa.array(rows, pa.list_(pa.float64()))},
        "named": lambda: {"a": BROUGHT[:, 0], "b1": BROUGHT[:, 1], "b2": BROUGHT[:, 2], "price": [9.0] * 4},
        "one of many": lambda: {"u": pa.array([[0.0]] * 4), "v": pa.array(rows, pa.list_(pa.float32()))},
    }[kind]()
    if kind == "named":
        columns = ["a", "b*"]
    if kind == "one of many":
        columns = ["v"]
    pq.write_table(pa.table({**ids, **made}), tmp_path / "t.parquet")
    source = str(tmp_path / "t.parquet")
    features = read_embeddings(source, regions(), None, set(), columns)[0]
    np.testing.assert_allclose(features.vectors, BROUGHT, rtol=1e-7)
    found = read_vector_table(source, None, columns)
    np.testing.assert_allclose(np.concatenate(list(found.blocks())), BROUGHT, rtol=1e-7)
    if kind in ("other name", "named", "one of many"):
        assert any("the vector is the column" in note for note in found.notes)


def test_our_columns_go_before_larger_groups_of_other_numbers():
    frame = pd.DataFrame({"id": [1, 2], **{f"poi_{i}": [1.0, 2.0] for i in range(9)}, "emb_000": [3.0, 4.0]})
    frame["emb_001"] = [5.0, 6.0]
    found = find_vectors(frame, "id", "t", [])
    assert found.columns == ["emb_000", "emb_001"] and found.values.tolist() == [[3, 5], [4, 6]]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [(["b*"], "no column 'b\\*'"), (["name"], "holds no numbers"), (["x", "name"], "holds no numbers")],
)
def test_named_columns_that_are_no_vector_are_refused(chosen, words):
    frame = pd.DataFrame({"id": [1, 2], "x": [1.0, 2.0], "name": ["p", "q"]})
    with pytest.raises(ConfigError, match=words):
        find_vectors(frame, "id", "t", [], chosen=chosen)


def test_rows_of_nan_repeated_and_missing_ids_are_told(tmp_path):
    frame = pd.DataFrame(
        {"region_id": ["r0", None, "r2", "zz"], "emb_000": [1, 2, np.nan, 4], "emb_001": [1.0, 2, 3, 4]}
    )
    frame.to_parquet(tmp_path / "gaps.parquet")
    found = read_embeddings(str(tmp_path / "gaps.parquet"), regions(), "region_id", set())[0]
    assert found.covered.tolist() == [True, False, False, False]
    assert any("2 of 4 regions are not in it" in note for note in found.notes)
    assert any("2 rows belong to no region" in note for note in found.notes)
    with pytest.raises(InputError, match="1 rows have no 'region_id'"):
        read_vector_table(str(tmp_path / "gaps.parquet"), "region_id")
    frame["region_id"] = ["r0", "r1", "r1", "r3"]
    frame.to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(InputError, match="'r1' occurs twice"):
        read_embeddings(str(tmp_path / "twice.csv"), regions(), "region_id", set())
    with pytest.raises(InputError, match="more than one row"):
        read_vector_table(str(tmp_path / "twice.csv"), "region_id")


def test_a_table_of_plain_numbers_is_no_embedding_unless_they_are_named(tmp_path):
    frame = gpd.GeoDataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, geometry=squares(2), crs="EPSG:25830")
    write_layer(frame, tmp_path / "plain.gpkg")
    with pytest.raises(InputError, match="no field 'embedding'"):
        EmbeddingTable.read(tmp_path / "plain.gpkg")
    found = EmbeddingTable.read(tmp_path / "plain.gpkg", ["b", "a"])
    assert found.vectors.tolist() == [[3, 1], [4, 2]]
    assert "a" not in found.regions.attributes and any("as asked" in note for note in found.regions.notes)


def test_metadata_of_a_damaged_file_are_none(tmp_path):
    (tmp_path / "bad.arrow").write_bytes(b"ARROW1 and nothing more")
    assert table_metadata(tmp_path / "bad.arrow") == {}
    with pytest.raises(InputError, match="cannot be read"):
        EmbeddingTable.read(tmp_path / "bad.arrow")

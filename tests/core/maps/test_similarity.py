from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import shapely

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import Cancelled, ConfigError, InputError, ShapeError
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.maps import similarity, vector_table
from urbanfm_core.maps.search import ranking_of
from urbanfm_core.maps.similarity import query_of, score_blocks
from urbanfm_core.maps.vector_table import read_vector_table, require_same_model, rows_at
from urbanfm_core.progress import Progress

ROWS, WIDTH = 500, 12


@pytest.fixture()
def vectors() -> np.ndarray:
    made = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    made[7], made[8, 3], made[9] = np.nan, np.inf, 0.0
    return made


def squares(count: int) -> gpd.GeoDataFrame:
    boxes = [shapely.box(100 * (row % 25), 100 * (row // 25), 100 * (row % 25) + 100, 100 * (row // 25) + 100) for row in range(count)]  # fmt: skip
    return gpd.GeoDataFrame({"region_id": [f"r{row}" for row in range(count)]}, geometry=boxes, crs=32630)


def table(vectors: np.ndarray, **provenance: str) -> EmbeddingTable:
    return EmbeddingTable(RegionSet.from_layer(squares(len(vectors))), vectors, {}, provenance)


def cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    exact = vectors.astype(np.float64)
    exact[(exact == 0).all(axis=1)] = np.nan
    return exact @ query / np.linalg.norm(exact, axis=1) / np.linalg.norm(query)


@pytest.mark.parametrize("block", [1, 64, 1000])
def test_scores_are_cosines_whatever_the_blocks(vectors, block, monkeypatch) -> None:
    monkeypatch.setattr(similarity, "_BLOCK_ROWS", 33)
    monkeypatch.setattr(similarity, "_QUERIES_AT_ONCE", 2)
    rows = [0, 5, 20, 3, 44]
    unit = vectors[rows].astype(np.float64) / np.linalg.norm(vectors[rows].astype(np.float64), axis=1, keepdims=True)
    expected = {
        "mean": cosines(vectors, unit.mean(axis=0)),
        "max": np.max([cosines(vectors, one) for one in unit], axis=0),
        "medoid": cosines(vectors, unit[np.argmax((unit @ unit.T).sum(axis=1))]),
    }
    for how, wanted in expected.items():
        query, medoid = query_of(vectors[rows], how)
        parts = [vectors[start : start + block] for start in range(0, ROWS, block)]
        found = score_blocks(parts, query, ROWS)
        assert np.isnan(found[7:10]).all()
        np.testing.assert_allclose(np.delete(found, [7, 8, 9]), np.delete(wanted, [7, 8, 9]), atol=1e-12)
        assert (medoid is not None) == (how == "medoid")


def test_regions_without_a_vector_do_not_count_among_the_chosen(vectors) -> None:
    np.testing.assert_array_equal(query_of(vectors[[7, 4, 9]], "mean")[0], query_of(vectors[[4]], "mean")[0])
    assert query_of(vectors[[7, 4, 9]], "medoid")[1] == 1
    with pytest.raises(InputError, match="None of the 2 chosen regions has a vector"):
        query_of(vectors[[7, 9]], "max")
    with pytest.raises(InputError, match="opposite"):
        query_of(np.array([[1.0, 2.0], [-1.0, -2.0]]), "mean")


def test_chosen_regions_keep_their_score_and_take_no_rank() -> None:
    found = ranking_of(np.array([0.9, 1.0, np.nan, 0.5, 0.9]), np.array([True, False, True, True, True]))
    assert found.rank.tolist() == [1, 0, 0, 3, 2] and found.score[1] == 1
    assert found.top(2).tolist() == [0, 4] and np.isnan(found.percentile[1]) and found.percentile[3] == 0


def test_wrong_shapes_and_cancel() -> None:
    query = np.array([[1.0, 0.0]])
    with pytest.raises(ShapeError):
        score_blocks([np.ones((2, 3))], query, 2)
    with pytest.raises(ShapeError, match="3 vectors were announced, 2 came"):
        score_blocks([np.ones((2, 2))], query, 3)

    class Stop(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        score_blocks([np.ones((2, 2))], query, 2, Stop())


def test_every_form_of_a_table_gives_the_same_vectors(vectors, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(vector_table, "_BATCH_ROWS", 90)
    made = table(vectors, model="m", checkpoint="abc")
    made.to_parquet(tmp_path / "a.parquet")
    made.to_layer(tmp_path / "b.gpkg")
    columns = pd.DataFrame(vectors, columns=[f"e{at}" for at in range(WIDTH)])
    columns.insert(0, "region_id", made.ids)
    columns.to_csv(tmp_path / "c.csv", index=False)
    columns.to_parquet(tmp_path / "d.parquet")
    expected = vectors.astype(np.float64)
    for name in ("a.parquet", "b.gpkg", "c.csv", "d.parquet"):
        found = read_vector_table(f"mine={tmp_path / name}")
        assert (found.name, found.width, len(found)) == ("mine", WIDTH, ROWS)
        assert found.ids.tolist() == made.ids.tolist()
        rows = found.rows_of(["r44", "r0", "r499", "r0"])
        assert rows.tolist() == [44, 0, 499]
        np.testing.assert_allclose(found.take(rows), expected[[44, 0, 499]], rtol=1e-6)
        whole = np.concatenate(list(found.blocks()))
        finite = np.isfinite(expected).all(axis=1)
        np.testing.assert_array_equal(np.isfinite(whole).all(axis=1), finite)
        np.testing.assert_allclose(whole[finite], expected[finite], rtol=1e-6)
    blocks = [len(block) for block in read_vector_table(str(tmp_path / "a.parquet")).blocks()]
    assert max(blocks) == 90 and sum(blocks) == ROWS


def test_polygons_come_with_their_rows(vectors, tmp_path) -> None:
    made = table(vectors[:20], model="m")
    made.to_parquet(tmp_path / "a.parquet")
    made.to_layer(tmp_path / "b.gpkg")
    frame = gpd.read_parquet(tmp_path / "a.parquet")
    frame.loc[4, "geometry"] = None
    frame.to_parquet(tmp_path / "gap.parquet")
    for name, left in (("a.parquet", []), ("b.gpkg", []), ("gap.parquet", [4])):
        source = read_vector_table(str(tmp_path / name))
        regions, rows = source.regions()
        assert rows.tolist() == [row for row in range(20) if row not in left]
        assert regions.ids.tolist() == [f"r{row}" for row in rows]
    pd.DataFrame({"id": [1, 2], "e0": 1.0, "e1": 2.0, "e2": 3.0}).to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(InputError, match="no geometry"):
        read_vector_table(str(tmp_path / "c.csv")).regions()


def test_layers_without_an_id_field_are_known_by_the_number_of_their_features(vectors, tmp_path) -> None:
    texts = [str(row.tolist()) for row in vectors[:5]]
    squares(5).drop(columns="region_id").assign(embedding=texts).to_file(tmp_path / "a.gpkg")
    source = read_vector_table(str(tmp_path / "a.gpkg"))
    regions, rows = source.regions()
    assert source.ids.tolist() == [1, 2, 3, 4, 5] == regions.ids.tolist() and rows.tolist() == [0, 1, 2, 3, 4]
    assert source.rows_of(["2"]).tolist() == [1]


def test_ids_that_are_missing_repeated_or_unknown_are_refused(vectors, tmp_path) -> None:
    lists = pa.array(vectors[:4].tolist(), pa.list_(pa.float32()))

    def write(ids: list[str | None]) -> Path:
        pq.write_table(pa.table({"region_id": ids, "embedding": lists}), tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    found = read_vector_table(str(write(["a", "b", "c", "d"])))
    with pytest.raises(ConfigError, match=r"2 of 3 ids .* x, y.*such as a, b, c"):
        found.rows_of(["x", "a", "y"])
    with pytest.raises(InputError, match="stand for more than one row"):
        read_vector_table(str(write(["a", "b", "c", "c"])), "region_id")
    with pytest.raises(InputError, match="1 rows have no 'region_id'"):
        read_vector_table(str(write(["a", "b", "c", None])), "region_id")
    with pytest.raises(ConfigError, match="no column 'code'"):
        read_vector_table(str(tmp_path / "t.parquet"), "code")
    pq.write_table(pa.table({"embedding": lists}), tmp_path / "t.parquet")
    found = read_vector_table(str(tmp_path / "t.parquet"))
    assert found.ids.tolist() == [0, 1, 2, 3] and any("number of their row" in note for note in found.notes)


def test_lists_of_different_length_or_none_at_all_are_refused(tmp_path) -> None:
    lists = pa.array([[1.0, 2.0], None, [1.0]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"id": [1, 2, 3], "embedding": lists}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"lengths \[1, 2\]"):
        list(read_vector_table(str(tmp_path / "t.parquet")).blocks())
    none = pa.array([None, None, None], pa.list_(pa.float32()))
    pq.write_table(pa.table({"id": [1, 2, 3], "embedding": none}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="no region has a vector"):
        read_vector_table(str(tmp_path / "t.parquet"))
    wholes = pa.array([[1, 2], [3, None], None], pa.list_(pa.int16()))
    pq.write_table(pa.table({"id": [1, 2, 3], "embedding": wholes}), tmp_path / "t.parquet")
    (block,) = read_vector_table(str(tmp_path / "t.parquet")).blocks()
    np.testing.assert_array_equal(block, [[1, 2], [3, np.nan], [np.nan, np.nan]])


def test_tables_of_different_models_are_refused(vectors, tmp_path) -> None:
    table(vectors[:5], model="m", checkpoint="abc").to_parquet(tmp_path / "a.parquet")
    table(vectors[:5, :6], model="m", checkpoint="abc").to_parquet(tmp_path / "narrow.parquet")
    table(vectors[:5]).to_parquet(tmp_path / "unknown.parquet")
    one = read_vector_table(str(tmp_path / "a.parquet"))
    assert (one.model, one.checkpoint) == ("m", "abc") and require_same_model(one, one) == []
    with pytest.raises(ConfigError, match="12-d vectors and narrow 6-d"):
        require_same_model(one, read_vector_table(str(tmp_path / "narrow.parquet")))
    with pytest.raises(ConfigError, match="another training is another model"):
        require_same_model(one, replace(one, checkpoint="def"))
    with pytest.raises(ConfigError, match="'m' and b by 'n'"):
        require_same_model(one, replace(one, name="b", model="n", checkpoint=None))
    (note,) = require_same_model(one, replace(one, checkpoint=None))
    assert "same checkpoint" in note
    (note,) = require_same_model(one, read_vector_table(str(tmp_path / "unknown.parquet")))
    assert "is not known" in note


def test_polygons_choose_regions() -> None:
    frame = squares(50)
    regions = RegionSet.from_layer(frame)

    def chosen(*shapes: shapely.Geometry, crs: int = 32630) -> list[int]:
        drawn = gpd.GeoDataFrame(geometry=list(shapes), crs=32630).to_crs(crs)
        return rows_at(regions, RegionSet.from_layer(drawn), notes).tolist()

    notes: list[str] = []
    assert chosen(frame.geometry[3], frame.geometry[30]) == [3, 30]
    assert chosen(shapely.box(0, 0, 160, 160)) == [0, 1, 25, 26]
    assert chosen(shapely.box(310, 10, 320, 20)) == [3]
    assert chosen(shapely.box(10, 10, 160, 20), crs=4326) == [0]
    assert notes == []
    assert chosen(frame.geometry[3], shapely.box(1e5, 0, 1e5 + 9, 9)) == [3]
    assert notes == ["1 of 2 chosen polygons touch no region."]
    with pytest.raises(InputError, match="None of the 1 chosen polygons touches a region"):
        chosen(shapely.box(1e5, 0, 1e5 + 9, 9))
    # Overlapping regions: one that is chosen as it is stands for itself alone.
    doubled = pd.concat([frame, frame.assign(geometry=frame.buffer(30), region_id="b" + frame["region_id"])])
    both = RegionSet.from_layer(doubled)
    same = RegionSet.from_layer(frame.iloc[[3]])
    assert rows_at(both, same, notes).tolist() == [3]


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_an_empty_list_is_no_vector(tmp_path, name) -> None:
    rows = [[], [1.0, 2.0], None, [3.0, 4.0]]
    table = pa.table({"region_id": list("abcd"), "embedding": pa.array(rows, pa.list_(pa.float32()))})
    if name.endswith(".parquet"):
        pq.write_table(table, tmp_path / name)
    else:
        feather.write_feather(table, tmp_path / name)
    found = read_vector_table(str(tmp_path / name))
    assert found.width == 2
    np.testing.assert_array_equal(np.concatenate(list(found.blocks())), [[np.nan] * 2, [1, 2], [np.nan] * 2, [3, 4]])

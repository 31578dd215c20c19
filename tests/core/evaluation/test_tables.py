"""Tables brought in, joined by id whatever their form."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.evaluation.tables import name_and_path, read_embeddings, read_labels, read_own_places
from urbanfm_core.inference.table import EmbeddingTable


@pytest.fixture
def regions():
    frame = gpd.GeoDataFrame(
        {"code": ["007", "010", "x"], "price": [1.0, 2.0, 3.0]},
        geometry=[box(i, 0, i + 1, 1) for i in range(3)],
        crs="EPSG:25830",
    )
    return RegionSet.from_layer(frame, "code")


VECTORS = np.array([[1.0, 2.0, 0.5], [3.0, 4.0, 0.25], [5.0, 6.0, 0.125]], np.float32)


def test_a_csv_is_joined_by_id_and_numbered_columns_are_the_vector(tmp_path, regions):
    table = pd.DataFrame(VECTORS[::-1], columns=["e0", "e1", "e2"]).assign(kod=["x", "010", "007"], price=9.0, year=1)
    table.to_csv(tmp_path / "t.csv", index=False)
    (found,) = read_embeddings(f"mine={tmp_path / 't.csv'}", regions, None, {"price"})
    assert found.name == "mine" and found.position == "unknown"
    np.testing.assert_array_equal(found.vectors, VECTORS)
    said = " ".join(found.notes)
    assert "price is a target" in said and "year" in said


def test_our_own_files_are_read_exactly_and_say_who_made_them(tmp_path, regions):
    own = EmbeddingTable(regions, VECTORS, {}, {"method": "aether", "model": "aether-tiny"})
    own.to_parquet(tmp_path / "own.parquet")
    own.to_layer(tmp_path / "own.gpkg", columns=True)
    for name in ("own.parquet", "own.gpkg"):
        (found,) = read_embeddings(str(tmp_path / name), regions, None, {"price"})
        np.testing.assert_array_equal(found.vectors, VECTORS)
        assert found.position == "no"


def test_coordinates_in_a_table_are_scored_with_and_without(tmp_path, regions):
    table = pd.DataFrame({"code": ["007", "010", "x"], "lon": [1.0, 2, 3], "lat": [4.0, 5, 6], "a": [7.0, 8, 9]})
    table.to_parquet(tmp_path / "t.parquet")
    whole, without = read_embeddings(str(tmp_path / "t.parquet"), regions, None, ())
    assert whole.position == "yes" and whole.vectors.shape == (3, 3)
    assert "without position" in without.name and without.vectors[:, 0].tolist() == [7, 8, 9]


def test_regions_that_a_table_lacks_have_no_vector_and_are_counted(tmp_path, regions):
    pd.DataFrame({"id": ["x", "other"], "a": [1.0, 2.0]}).to_csv(tmp_path / "t.csv", index=False)
    (found,) = read_embeddings(str(tmp_path / "t.csv"), regions, "id", ())
    assert found.covered.tolist() == [False, False, True]
    said = " ".join(found.notes)
    assert "2 of 3 regions are not in it" in said and "1 rows belong to no region" in said


def test_whole_numbers_join_however_they_are_stored(tmp_path):
    frame = gpd.GeoDataFrame({"id": [7, 8]}, geometry=[box(0, 0, 1, 1), box(1, 0, 2, 1)], crs="EPSG:25830")
    regions = RegionSet.from_layer(frame, "id")
    pd.DataFrame({"zone": [8.0, 7.0], "a": [1.0, 2.0]}).to_csv(tmp_path / "t.csv", index=False)
    (found,) = read_embeddings(str(tmp_path / "t.csv"), regions, None, ())
    assert found.vectors[:, 0].tolist() == [2, 1]


def test_a_table_of_labels_is_joined_and_gaps_stay_gaps(tmp_path, regions):
    (tmp_path / "l.csv").write_text("code,rent,kind\nx,3.5,b\n007,,a\n")
    notes = []
    labels = read_labels(str(tmp_path / "l.csv"), regions, None, notes)
    assert list(labels.columns) == ["rent", "kind"] and labels["rent"].isna().tolist() == [True, True, False]
    assert labels["kind"].tolist()[0] == "a" and pd.isna(labels["kind"][1])
    assert "1 of 3" in notes[0]


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ({"code": ["007", "007"], "a": [1, 2]}, InputError, "twice|no column"),
        ({"code": ["no", "nor"], "a": [1, 2]}, InputError, "ids of the regions"),
        ({"code": ["007", "x"], "b": ["p", "q"]}, InputError, "numbers"),
    ],
)
def test_tables_that_do_not_fit_say_why(tmp_path, regions, rows, error, words):
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(error, match=words):
        read_embeddings(str(tmp_path / "t.csv"), regions, None, ())
    with pytest.raises(ConfigError, match="nosuch"):
        read_embeddings(str(tmp_path / "t.csv"), regions, "nosuch", ())


def test_an_id_that_occurs_twice_is_refused(tmp_path, regions):
    pd.DataFrame({"code": ["007", "007"], "a": [1, 2]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match="'007' occurs twice"):
        read_embeddings(str(tmp_path / "t.csv"), regions, "code", ())


def test_names_and_paths(tmp_path):
    odd = tmp_path / "a=b.parquet"
    odd.write_text("")
    assert name_and_path(str(odd)) == ("a=b", str(odd))
    assert name_and_path("x=/d/a.parquet") == ("x", "/d/a.parquet")
    assert name_and_path("/d/a.gpkg|layername=z") == ("a", "/d/a.gpkg|layername=z")


def write_codes(tmp_path, codes, name="t.csv", **columns):
    table = pd.DataFrame({"code": codes, "a": np.arange(len(codes)) + 0.5, **columns})
    table.to_csv(tmp_path / name, index=False)
    return str(tmp_path / name)


def test_codes_that_have_lost_their_zeros_are_refused_and_not_half_joined(tmp_path):
    codes = [f"{row:03d}" for row in range(90, 110)]
    frame = gpd.GeoDataFrame({"code": codes}, geometry=[box(i, 0, i + 1, 1) for i in range(20)], crs="EPSG:25830")
    for ids, theirs in ((codes, [str(int(code)) for code in codes]), ([int(code) for code in codes], codes)):
        regions = RegionSet.from_layer(frame.assign(code=ids), "code")
        with pytest.raises(InputError, match=r"10 ids differ.*by zeros at the beginning only.*lpad"):
            read_embeddings(write_codes(tmp_path, theirs), regions, None, ())
        with pytest.raises(InputError, match="10 ids differ"):
            read_labels(write_codes(tmp_path, theirs), regions, "code", [])


def test_a_table_with_an_id_twice_is_refused_by_that_name(tmp_path, regions):
    with pytest.raises(InputError, match="'007' occurs twice"):
        read_embeddings(write_codes(tmp_path, ["007", "010", "x", "007"]), regions, None, ())


def test_numbers_that_agree_by_chance_are_no_ids(tmp_path):
    frame = gpd.GeoDataFrame({"n": range(20)}, geometry=[box(i, 0, i + 1, 1) for i in range(20)], crs="EPSG:25830")
    regions = RegionSet.from_layer(frame, "n")
    source = write_codes(tmp_path, range(15, 75))
    with pytest.raises(InputError, match="nearest is 'code', with 5 of 20"):
        read_embeddings(source, regions, None, ())
    (found,) = read_embeddings(source, regions, "code", ())
    assert found.covered.sum() == 5


def test_a_table_without_rows_says_so(tmp_path, regions):
    with pytest.raises(InputError, match="no rows"):
        read_embeddings(write_codes(tmp_path, []), regions, None, ())


@pytest.mark.parametrize("name", ["t.parquet", "t.gpkg", "t.csv"])
def test_features_without_ids_keep_their_own_vectors(tmp_path, name):
    """Their numbers, which differ from format to format, must not be looked for in another column."""
    count = 40
    frame = gpd.GeoDataFrame(
        {"code": [str((row * 7) % count) for row in range(count)], "e0": np.arange(float(count)), "e1": 1.5, "e2": 2.5},
        geometry=[box(i, 0, i + 1, 1) for i in range(count)],
        crs="EPSG:4326",
    )
    if name.endswith(".parquet"):
        frame.to_parquet(tmp_path / name)
    elif name.endswith(".gpkg"):
        frame.to_file(tmp_path / name)
    else:
        pd.DataFrame(frame.drop(columns="geometry")).assign(WKT=frame.geometry.to_wkt()).to_csv(
            tmp_path / name, index=False
        )
    source = str(tmp_path / name)
    regions = read_own_places(source, None)
    (found,) = read_embeddings(source, regions, None, (), own=True)
    np.testing.assert_array_equal(found.vectors[:, 0], np.arange(count))


def test_vectors_without_polygons_ask_for_the_regions(tmp_path):
    with pytest.raises(InputError, match=r"no polygons or points.*\(regions\)"):
        read_own_places(write_codes(tmp_path, ["a", "b"]), None)


def test_decimal_commas_of_a_table_are_read_where_they_can_mean_nothing_else(tmp_path, regions):
    (tmp_path / "t.csv").write_text("code;e0;e1;e2;rent\n007;1,25;-2;0,5;1,000\n010;3,5;4,0e-2;7;2,000\nx;;5;6;3,000\n")
    notes = []
    labels = read_labels(str(tmp_path / "t.csv"), regions, None, notes)
    assert labels["e0"].tolist()[:2] == [1.25, 3.5] and np.isnan(labels["e0"][2])
    assert labels["e1"].tolist() == [-2, 0.04, 5] and labels["e2"].tolist() == [0.5, 7, 6]
    # A thousand, or one with three digits?
    assert labels["rent"].tolist() == ["1,000", "2,000", "3,000"]
    assert any("3 columns hold numbers with a decimal comma: e0, e1, e2" in note for note in notes)

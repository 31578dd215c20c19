"""Vector files keep what they are given, say what they cannot, and appear whole or not at all."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from pyproj import CRS

from urbanfm_core.errors import ConfigError, CRSError, InputError, OutputError
from urbanfm_core.geo.records import Record, append_records, iter_records
from urbanfm_core.geo.vector import LayerSource, read_layer, read_table
from urbanfm_core.geo.vector_writer import write_layer

UTM = CRS.from_epsg(25830)


@pytest.fixture
def frame() -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(
        {
            "name": ["Łódź", None, "東京 'quoted'"],
            "count": [1, 2, 3],
            "value": [0.5, np.nan, 1e300],
            "day": [dt.date(2024, 2, 29), None, dt.date(1970, 1, 1)],
            "seen": pd.to_datetime(["2024-02-29 12:30:15", None, "1999-12-31 23:59:59"]),
            "open": [True, None, False],
        },
        geometry=[shapely.box(0, 0, 1, 1), None, shapely.multipolygons([shapely.box(2, 2, 3, 3)])],
        crs=UTM,
    )


@pytest.mark.parametrize(
    "name", ["a.gpkg", "a.parquet", 'a b\'c "d" Straße 東京.gpkg', "a.geojson", "new/folder/a.gpkg"]
)
def test_round_trip(frame: geopandas.GeoDataFrame, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_layer(frame.to_crs(4326) if name.endswith("json") else frame, path)
    back = read_layer(path)
    assert [c for c in back.columns if c != back.geometry.name] == [c for c in frame.columns if c != "geometry"]
    assert back["name"].fillna("").tolist() == ["Łódź", "", "東京 'quoted'"]
    assert back["count"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(back["value"], frame["value"])
    assert back["seen"].isna().tolist() == [False, True, False]
    assert pd.Timestamp(back["seen"].iloc[0]).tz_localize(None) == pd.Timestamp("2024-02-29 12:30:15")
    assert str(back["day"].iloc[0])[:10] == "2024-02-29" and pd.isna(back["day"].iloc[1])
    assert [None if pd.isna(v) else bool(v) for v in back["open"]] == [True, None, False]
    assert back.geometry.isna().tolist() == [False, True, False]
    assert [f.name for f in path.parent.iterdir()] == [path.name]


def test_mixed_single_and_multi_parts_become_one_type(frame: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    write_layer(frame, tmp_path / "a.gpkg")
    assert pyogrio.read_info(tmp_path / "a.gpkg")["geometry_type"] == "MultiPolygon"
    assert set(read_layer(tmp_path / "a.gpkg").geometry.dropna().geom_type) == {"MultiPolygon"}
    write_layer(frame.iloc[:1], tmp_path / "b.gpkg")
    assert pyogrio.read_info(tmp_path / "b.gpkg")["geometry_type"] == "Polygon"
    assert frame.geometry.iloc[0].geom_type == "Polygon"


def test_feature_numbers_survive(tmp_path: Path) -> None:
    points = shapely.points([[0, 0], [1, 1], [2, 2]])
    first = geopandas.GeoDataFrame({"fid": [7, 3, 12]}, geometry=points, crs=UTM)
    write_layer(first, tmp_path / "a.gpkg")
    back = read_layer(tmp_path / "a.gpkg")
    assert back.index.name == "fid" and back.index.tolist() == [3, 7, 12]
    write_layer(back, tmp_path / "b.gpkg")
    assert read_layer(tmp_path / "b.gpkg").index.tolist() == [3, 7, 12]
    # A column that cannot be the feature number stays a column.
    write_layer(first.assign(fid=["x", "x", None], geom=1), tmp_path / "c.gpkg")
    again = read_layer(tmp_path / "c.gpkg")
    assert again["fid"].tolist()[:2] == ["x", "x"]
    assert again["geom"].tolist() == [1, 1, 1]
    assert again.index.tolist() == [1, 2, 3]


def test_lists_and_structs_become_json_text_where_the_format_has_none(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame(
        {"v": [[1.0, 2.5], None], "s": [{"a": np.int64(1)}, None], "c": pd.Categorical(["x", "y"]), "m": [1, "a"]},
        geometry=shapely.points([[0, 0], [1, 1]]),
        crs=4326,
    )
    write_layer(frame, tmp_path / "a.gpkg")
    back = read_layer(tmp_path / "a.gpkg")
    assert back["v"].iloc[0] == "[1.0, 2.5]" and pd.isna(back["v"].iloc[1])
    assert back["s"].iloc[0] == '{"a": 1}' and pd.isna(back["s"].iloc[1])
    assert back["c"].tolist() == ["x", "y"] and back["m"].tolist() == ["1", "a"]
    write_layer(frame, tmp_path / "a.geojson")
    assert list(read_layer(tmp_path / "a.geojson")["v"].iloc[0]) == [1.0, 2.5]
    write_layer(frame.drop(columns="m"), tmp_path / "a.parquet")
    assert read_layer(tmp_path / "a.parquet")["s"].iloc[0] == {"a": 1}


def test_geojson_is_written_in_wgs84(frame: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    placed = frame.iloc[[0]].set_geometry([shapely.box(440000, 4474000, 440100, 4474100)], crs=UTM)
    write_layer(placed, tmp_path / "a.geojson")
    assert read_layer(tmp_path / "a.geojson").crs.to_epsg() == 4326
    assert -4 < read_layer(tmp_path / "a.geojson").total_bounds[0] < -3


def test_refused_outputs_leave_nothing(frame: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Shapefiles are not written.*10 characters.*Use \.gpkg"):
        write_layer(frame, tmp_path / "a.shp")
    with pytest.raises(OutputError, match=r"not as '\.xyz'"):
        write_layer(frame, tmp_path / "a.xyz")
    with pytest.raises(OutputError, match="tell apart the columns count, COUNT"):
        write_layer(frame.assign(COUNT=1), tmp_path / "a.gpkg")
    with pytest.raises(CRSError, match="no coordinate reference system"):
        write_layer(frame.set_crs(None, allow_override=True), tmp_path / "a.gpkg")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(
    frame: geopandas.GeoDataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_layer(frame, tmp_path / "a.gpkg")
    before = (tmp_path / "a.gpkg").read_bytes()

    def full(frame: geopandas.GeoDataFrame, path: Path, **options: object) -> None:
        Path(path).write_bytes(b"half")
        raise RuntimeError("disk full")

    monkeypatch.setattr(pyogrio, "write_dataframe", full)
    with pytest.raises(OutputError, match="disk full"):
        write_layer(frame.iloc[:1], tmp_path / "a.gpkg")
    assert (tmp_path / "a.gpkg").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_stale_journal_of_the_replaced_file_goes(frame: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    (tmp_path / "a.gpkg-wal").write_bytes(b"old frames")
    write_layer(frame, tmp_path / "a.gpkg")
    assert [f.name for f in tmp_path.iterdir()] == ["a.gpkg"]


def test_sources_as_qgis_writes_them(frame: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    path = tmp_path / "city.gpkg"
    write_layer(frame, path, layer="blocks")
    pyogrio.write_dataframe(frame.iloc[:1], path, layer="two words", append=True)
    pyogrio.write_dataframe(pd.DataFrame({"style": ["x"]}), path, layer="layer_styles", append=True)
    assert len(read_layer(f"{path}|layername=blocks")) == 3
    assert len(read_layer(f"{path}|layername=two words")) == 1
    assert len(read_layer(f"{path}|layerid=0")) == 3
    assert read_layer(f'{path}|layername=blocks|subset="count" >= 2')["count"].tolist() == [2, 3]
    assert read_table(f"{path}|layername=layer_styles")["style"].tolist() == ["x"]
    with pytest.raises(
        ConfigError, match=r"2 layers: blocks, two words\. Name one, as in city\.gpkg\|layername=blocks"
    ):
        read_layer(path)
    with pytest.raises(ConfigError, match=r"no layer 'roads'.*blocks, two words"):
        read_layer(f"{path}|layername=roads")
    with pytest.raises(ConfigError, match="inside QGIS"):
        read_layer(f"{path}|layername=blocks|authcfg=abc")
    odd = tmp_path / "a|layername=b.gpkg"
    write_layer(frame, odd)
    assert len(read_layer(odd)) == 3
    assert LayerSource.parse("x.geojson|layerid=0|option:FLATTEN=YES").options == {"FLATTEN": "YES"}


def test_styles_of_qgis_do_not_make_a_file_ambiguous(frame: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    write_layer(frame, tmp_path / "a.gpkg", layer="only")
    pyogrio.write_dataframe(pd.DataFrame({"style": ["x"]}), tmp_path / "a.gpkg", layer="layer_styles", append=True)
    assert len(read_layer(tmp_path / "a.gpkg")) == 3


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_chosen_columns(frame: geopandas.GeoDataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_layer(frame, path)
    assert set(read_layer(path, ["count"]).columns) == {"count", "geometry"}
    assert set(read_layer(path, []).columns) == {"geometry"}
    with pytest.raises(ConfigError, match=r"no column nope\. Its columns: name, count, value"):
        read_layer(path, ["count", "nope"])


def test_unreadable_inputs_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "bad.parquet").write_text("hello")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "plain.parquet")
    for name, message in [
        ("none.gpkg", "cannot be read"),
        ("none.parquet", "cannot be read"),
        ("bad.parquet", "cannot be read"),
        ("plain.parquet", r"no geometry.*Its columns: a\."),
    ]:
        with pytest.raises(InputError, match=message):
            read_layer(tmp_path / name)


def test_a_shapefile_can_be_read(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"long_field": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs=UTM)
    pyogrio.write_dataframe(frame, tmp_path / "old.shp")
    back = read_layer(tmp_path / "old.shp")
    assert back.crs.to_epsg() == 25830 and back.columns[0] == "long_field"


def test_geoparquet_of_others(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame(
        {"names": [{"primary": "A"}]}, geometry=[shapely.Point(1, 2)], crs="OGC:CRS84", index=["row"]
    )
    frame.rename_geometry("shape").to_parquet(tmp_path / "a.parquet")
    back = read_layer(tmp_path / "a.parquet")
    assert back.geometry.name == "shape" and back["names"].iloc[0] == {"primary": "A"}
    pq.write_table(pa.table({"lon": [1.0]}), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").columns.tolist() == ["lon"]


def _records(count: int) -> Iterator[Record]:
    for number in range(count):
        shape = None if number == 3 else shapely.Point(number, 2 * number)
        yield Record(shape, {"n": number, "t": f"t{number}", "f": number / 2, "d": dt.date(2024, 1, 1 + number % 9)})


def test_records_are_appended_and_streamed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.gpkg"
    assert append_records(path, _records(12_000), crs=UTM, layer="points of 1") == 12_000
    assert append_records(path, _records(2), crs=UTM, layer="points of 1") == 2
    assert append_records(path, iter(()), crs=UTM, layer="points of 1") == 0
    assert append_records(path, _records(5), crs=UTM, layer="other", geometry_type="Point") == 5
    streamed = list(iter_records(f"{path}|layername=points of 1"))
    assert len(streamed) == 12_002
    assert streamed[3].geometry is None and streamed[4].geometry == shapely.Point(4, 8)
    assert streamed[4].properties["n"] == 4 and streamed[4].properties["f"] == 2.0 and streamed[4].fid == 5
    assert streamed[12_001].properties["t"] == "t1"
    few = list(iter_records(f"{path}|layername=points of 1|subset=n < 2"))
    assert [record.properties["n"] for record in few] == [0, 1, 0, 1]
    assert read_layer(f"{path}|layername=points of 1").crs.to_epsg() == 25830


def test_records_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    append_records(path, _records(2), crs=UTM)
    with pytest.raises(OutputError, match="is in ETRS89 / UTM zone 30N, the records are in WGS 84"):
        append_records(path, _records(2), crs=CRS.from_epsg(4326))
    with pytest.raises(OutputError, match=r"1\.\.5000 does not fit layer 'a'"):
        append_records(path, [Record(None, {"other": 1})], crs=UTM)
    with pytest.raises(OutputError, match="GeoPackage only"):
        append_records(tmp_path / "a.geojson", _records(2), crs=UTM)
    with pytest.raises(InputError, match="cannot be read"):
        next(iter_records(tmp_path / "none.gpkg"))
    with pytest.raises(ConfigError, match="layers"):
        append_records(path, _records(1), crs=UTM, layer="b")
        next(iter_records(path))


def test_curved_polygons_become_straight_segments(tmp_path: Path) -> None:
    path = tmp_path / "curved.gpkg"
    write_layer(geopandas.GeoDataFrame({"k": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs=UTM), path)
    # A circle of radius 100 as CURVEPOLYGON(CIRCULARSTRING(...)), which shapely cannot write: ISO WKB by hand.
    arc = struct.pack("<BII10d", 1, 8, 5, 0, 0, 100, 100, 200, 0, 100, -100, 0, 0)
    blob = b"GP" + bytes([0, 1]) + struct.pack("<i", 25830) + struct.pack("<BII", 1, 10, 1) + arc
    with contextlib.closing(sqlite3.connect(path)) as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        database.execute("UPDATE curved SET geom = ?", (blob,))
        database.commit()
    polygon = read_layer(path).geometry.iloc[0]
    assert polygon.geom_type == "Polygon"
    assert polygon.area == pytest.approx(np.pi * 100**2, rel=0.01)

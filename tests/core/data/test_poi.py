"""POIs from the schemas people have: the right columns, the right places, and sentences without gaps."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from urbanfm_core.data.poi import PoiColumns, PoiSet
from urbanfm_core.errors import ConfigError, CRSError, EmptyInputError, InputError
from urbanfm_core.geo.vector_writer import write_layer

HERE = {"lon": [-3.7, -3.6], "lat": [40.4, 40.5]}


def texts(pois: PoiSet) -> list[tuple[Any, Any, Any]]:
    return list(zip(pois.name, pois.category, pois.subcategory, strict=True))


@pytest.mark.parametrize(
    ("name", "category", "subcategory", "sentence"),
    [
        ("Luna", "amenity", "cafe", "A place of cafe, a type of amenity, named Luna."),
        ("Luna", "bar", None, "A place of bar, named Luna."),
        ("Luna", None, "bar", "A place of bar, named Luna."),
        (None, "amenity", "fast_food", "A place of fast food, a type of amenity."),
        (None, "public_transport", None, "A place of public transport."),
        ("  Two \n words ", None, None, "A place named Two words."),
        ("snake_case", None, None, "A place named snake_case."),
        (" ", "", None, None),
    ],
)
def test_sentences(name: str | None, category: str | None, subcategory: str | None, sentence: str | None) -> None:
    frame = pd.DataFrame(
        {"lon": [1.0], "lat": [2.0], "name": [name], "category": [category], "subcategory": [subcategory]}, dtype=object
    )
    pois = PoiSet.from_source(frame)
    assert pois.sentences() == [sentence]
    assert ("1 of 1 rows have no text at all." in pois.notes) == (sentence is None)


def test_generic_table(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        "place_id,name,category,facility_type,lon,lat\n"
        '007,"HOLLAND, TUNNEL",Transport,6,-74.0,40.7\n'
        "008,NA,,9,-74.1,40.8\n"
    )
    pois = PoiSet.from_source(tmp_path / "p.csv")
    assert texts(pois) == [("HOLLAND, TUNNEL", "Transport", None), ("NA", None, None)]
    assert pois.crs.to_epsg() == 4326
    assert pois.xy.tolist() == [[-74.0, 40.7], [-74.1, 40.8]]
    assert pois.index.tolist() == [0, 1]
    notes = " ".join(pois.notes)
    assert "'facility_type' holds numbers" in notes and "'lon' and 'lat'" in notes and "name from 'name'" in notes
    forced = PoiSet.from_source(tmp_path / "p.csv", PoiColumns(subcategory="facility_type", name="place_id"))
    assert texts(forced) == [("007", "Transport", "6"), ("008", None, "9")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.tsv", "Title\tType\tLongitude\tLatitude\nCafé\tbar\t-3.7\t40.4\n".encode()),
        ("p.csv", "Title;Type;X;Y\nCafé;bar;-3,7;40,4\n".encode("cp1252")),
        ("p.txt", "\ufeffTITLE|TYPE|LNG|LAT\r\nCafé|bar|-3.7|40.4\r\n".encode()),
        ("p.csv.gz", gzip.compress("title,type,lon,lat\nCafé,bar,-3.7,40.4\n".encode())),
        ("p.csv", "title,type,WKT\nCafé,bar,POINT (-3.7 40.4)\n".encode()),
    ],
)
def test_dialects_of_delimited_text(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    pois = PoiSet.from_source(tmp_path / name)
    assert texts(pois) == [("Café", "bar", None)]
    assert pois.xy.tolist() == [[-3.7, 40.4]]


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        "name,lon,lat\na,1,2\nb,,2\nc,x,2\nd,1\ne,500,2\nf,3,4\n'g',inf,3\nh,5,6\n", encoding="utf-8"
    )
    pois = PoiSet.from_source(tmp_path / "p.csv")
    assert pois.name.tolist() == ["a", "f", "h"]
    # The line with too few fields never becomes a row.
    assert pois.index.tolist() == [0, 4, 6]
    notes = " ".join(pois.notes)
    assert "1 lines have another number of fields" in notes
    assert "3 rows with missing or unreadable coordinates" in notes
    assert "1 rows outside the range" in notes


def test_openstreetmap_columns() -> None:
    frame = pd.DataFrame(
        {
            **{key: value * 2 for key, value in {"lon": [1.0, 2.0], "lat": [3.0, 4.0]}.items()},
            "name": ["A", None, "C", "D"],
            "shop": [None, "yes", "bakery", None],
            "amenity": ["fast_food", None, "cafe;bar", "no"],
        }
    )
    assert texts(PoiSet.from_source(frame)) == [
        ("A", "amenity", "fast food"),
        (None, "shop", None),
        ("C", "amenity", "cafe, bar"),
        ("D", None, None),
    ]


def test_openstreetmap_packed_tags(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame(
        {
            "osm_id": ["1", "2", "3"],
            "name": ["A", None, "C"],
            "highway": [None, None, "bus_stop"],
            "other_tags": [
                '"amenity"=>"cafe","cuisine"=>"a=>b, \\"c\\""',
                '"building"=>"yes","shop"=>"deli","name"=>"The \\"B\\""',
                None,
            ],
        },
        geometry=shapely.points([[1, 2], [3, 4], [5, 6]]),
        crs=4326,
    )
    expected = [("A", "amenity", "cafe"), ('The "B"', "shop", "deli"), ("C", "highway", "bus stop")]
    write_layer(frame, tmp_path / "osm.gpkg")
    assert texts(PoiSet.from_source(tmp_path / "osm.gpkg")) == expected
    tags = [{"amenity": "cafe"}, {"building": "yes", "shop": "deli", "name": 'The "B"'}, {"highway": "bus_stop"}]
    for pack in (lambda t: t, json.dumps, lambda t: list(t.items())):
        packed = frame.drop(columns=["highway", "other_tags"]).assign(tags=[pack(t) for t in tags])
        assert texts(PoiSet.from_source(packed)) == expected


OVERTURE = [
    {"names": {"primary": "A"}, "categories": {"primary": "italian_restaurant", "alternate": ["bar", "restaurant"]}},
    {"names": {"primary": "B"}, "categories": {"primary": "bakery", "alternate": None}},
    {"names": None, "categories": None},
]


@pytest.mark.parametrize("form", ["nested", "json", "flat"])
def test_overture(form: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(OVERTURE)
    if form == "json":
        frame = frame.map(lambda value: None if value is None else json.dumps(value))
    if form == "flat":
        frame = pd.DataFrame(
            {"names.primary": ["A", "B", None], "categories.primary": ["italian_restaurant", "bakery", None]}
        )
    layer = geopandas.GeoDataFrame(frame, geometry=shapely.points([[1, 2], [3, 4], [5, 6]]), crs=4326)
    write_layer(layer, tmp_path / "places.parquet")
    first = ("A", "italian restaurant", None) if form == "flat" else ("A", "restaurant", "italian restaurant")
    expected = [first, ("B", "bakery", None), (None, None, None)]
    assert texts(PoiSet.from_source(tmp_path / "places.parquet")) == expected


def test_overture_taxonomy() -> None:
    frame = pd.DataFrame(
        {
            "names": [{"primary": "A"}, {"primary": "B"}],
            "basic_category": ["restaurant", "park"],
            "taxonomy": [{"primary": "pizzeria", "hierarchy": ["food_and_drink", "restaurant", "pizzeria"]}, None],
            **HERE,
        }
    )
    assert texts(PoiSet.from_source(frame)) == [("A", "food and drink", "pizzeria"), ("B", "park", None)]
    inside = PoiSet.from_source(frame, PoiColumns(category="taxonomy.primary", subcategory="basic_category"))
    assert inside.category.tolist() == ["pizzeria", None] and inside.subcategory.tolist() == ["restaurant", "park"]


@pytest.mark.parametrize(
    "labels",
    [
        [["Dining and Drinking > Cafe > Tea Room", "Retail > Shop"], ["Event"]],
        ["['Dining and Drinking > Cafe > Tea Room' 'Retail > Shop']", "['Event']"],
        ['["Dining and Drinking > Cafe > Tea Room", "Retail > Shop"]', '["Event"]'],
        ["Dining and Drinking > Cafe > Tea Room", "Event"],
    ],
)
def test_foursquare(labels: list[Any], tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "fsq_place_id": ["x", "y"],
            "name": ["A", "B"],
            "longitude": HERE["lon"],
            "latitude": HERE["lat"],
            "fsq_category_labels": labels,
        }
    )
    frame.to_parquet(tmp_path / "fsq.parquet")
    pois = PoiSet.from_source(tmp_path / "fsq.parquet")
    assert texts(pois) == [("A", "Dining and Drinking", "Tea Room"), ("B", "Event", None)]
    assert pois.xy[:, 0].tolist() == HERE["lon"]


def test_every_kind_of_geometry_gives_a_point() -> None:
    shapes = [
        shapely.Point(1, 2, 3),
        shapely.multipoints([[3, 4]]),
        shapely.multipoints([[5, 6], [7, 8]]),
        shapely.LineString([(0, 0), (2, 0)]),
        shapely.Polygon([(0, 0), (9, 0), (9, 9), (8, 9), (8, 1), (0, 1)]),
        None,
        shapely.Point(),
    ]
    frame = geopandas.GeoDataFrame({"name": list("abcdefg")}, geometry=shapes, crs=4326)
    pois = PoiSet.from_source(frame)
    assert pois.name.tolist() == ["a", "b", "c", "c", "d", "e"]
    assert pois.index.tolist() == [0, 1, 2, 2, 3, 4]
    assert pois.xy[:4].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert shapes[4].contains(shapely.Point(pois.xy[5]))
    notes = " ".join(pois.notes)
    assert "2 rows without geometry" in notes and "2 lines and polygons" in notes
    assert "1 multi-points with several parts count as 2" in notes
    assert frame.geometry.iloc[3].geom_type == "LineString"


def test_where_the_crs_comes_from(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [440000.0], "y": [4474000.0], "name": ["A"]})
    assert PoiSet.from_source(table, PoiColumns(crs="EPSG:25830")).crs.to_epsg() == 25830
    with pytest.raises(InputError, match=r"1 of 1 positions are outside.*give their CRS"):
        PoiSet.from_source(table)
    with pytest.raises(InputError, match="look swapped"):
        PoiSet.from_source(pd.DataFrame({"lon": [40.0, -33.0, 20.0], "lat": [-118.0, 151.0, 100.0]}))
    bare = geopandas.GeoDataFrame(geometry=[shapely.Point(1, 2)])
    with pytest.raises(CRSError, match="no coordinate reference system"):
        PoiSet.from_source(bare)
    assert PoiSet.from_source(bare, PoiColumns(crs="EPSG:4326")).crs.to_epsg() == 4326
    told = PoiSet.from_source(bare.set_crs(4326), PoiColumns(crs="EPSG:25830"))
    assert told.crs.to_epsg() == 25830 and "the given ETRS89 / UTM zone 30N is used" in told.notes[0]


def test_given_columns_that_do_not_exist() -> None:
    frame = pd.DataFrame({**HERE, "name": ["a", "b"]})
    for columns in (PoiColumns(category="kind"), PoiColumns(x="east"), PoiColumns(name="names.primary")):
        with pytest.raises(ConfigError, match=r"no column '.*', given for the .*Its columns: lon, lat, name\."):
            PoiSet.from_source(frame, columns)


def test_unusable_sources(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no columns recognised as longitude and latitude"):
        PoiSet.from_source(pd.DataFrame({"name": ["a"]}))
    with pytest.raises(EmptyInputError, match="none of 1 rows has a position"):
        PoiSet.from_source(pd.DataFrame({"lon": [None], "lat": [1.0]}))
    with pytest.raises(EmptyInputError, match="no rows"):
        PoiSet.from_source(pd.DataFrame({"lon": [], "lat": []}))
    with pytest.raises(InputError, match="no such file"):
        PoiSet.from_source(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="cannot be read as a table"):
        PoiSet.from_source(tmp_path / "empty.csv")


def test_to_crs_and_take() -> None:
    pois = PoiSet.from_source(pd.DataFrame({"lon": [-3.7, 86.3, -3.6], "lat": [40.4, 0.0, 40.5], "name": list("abc")}))
    moved = pois.to_crs("EPSG:32630")
    assert moved.name.tolist() == ["a", "c"] and moved.index.tolist() == [0, 2]
    assert "1 rows have no place in WGS 84 / UTM zone 30N" in moved.notes[-1]
    assert pois.to_crs(4326) is pois
    assert pois.take(np.array([True, False, False])).sentences() == ["A place named a."]
    assert pois.take([2, 0]).index.tolist() == [2, 0]
    with pytest.raises(EmptyInputError, match="None of 1"):
        pois.take([1]).to_crs("EPSG:32630")

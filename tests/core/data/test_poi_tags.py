"""Free tags from the layouts that exports come in."""

from __future__ import annotations

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.poi_tags import osm_columns, read_tags
from urbanfm_core.errors import ConfigError
from urbanfm_core.geo.vector_writer import write_layer

CAFE = "amenity: cafe, cuisine: burger"


@pytest.mark.parametrize(
    "columns",
    [
        {"amenity": "cafe", "cuisine": "burger"},
        {"other_tags": '"amenity"=>"cafe","cuisine"=>"burger"'},
        {"tags": '{"amenity": "cafe", "cuisine": "burger"}'},
        {"tags": {"amenity": "cafe", "cuisine": "burger"}},
        {"tags": [("amenity", "cafe"), ("cuisine", "burger")]},
        {"tags": "amenity=cafe;cuisine=burger"},
        {"tags": " amenity = cafe ; cuisine=burger;"},
        {"other_tags": '"amenity"=>"cafe"', "cuisine": "burger"},
        {"full_id": "n1", "osm_id": "1", "osm_type": "node", "amenity": "cafe", "addr:street": "A", "cuisine": " burger "},
        {"@id": 7, "amenity": "cafe", "cuisine": "burger", "website": "x", "brand:wikidata": "Q1", "geometry": None},
    ],
)  # fmt: skip
def test_every_layout_says_the_same(columns: dict) -> None:
    tags = read_tags(pd.DataFrame({name: [value] for name, value in columns.items()}))
    assert tags.texts() == [CAFE]


def test_values_with_quotes_commas_and_colons() -> None:
    frame = pd.DataFrame({"other_tags": [r'"name"=>"Joe\"s, \\bar=>","opening"=>"Mo: 1"', None, ""]})
    tags = read_tags(frame)
    assert tags.values("name").tolist() == ['Joe"s, \\bar=>', None, None]
    assert tags.texts()[1:] == ["", ""]
    assert any("2 of 3 rows have no tag" in note for note in tags.notes)


def test_numbers_are_codes_but_not_in_openstreetmap() -> None:
    frame = pd.DataFrame({"name": ["A", "B"], "facility": ["6", "7"], "levels": [3.0, np.nan], "lon": [1.0, 2.0]})
    tags = read_tags(frame)
    assert tags.texts() == ["name: A", "name: B"]
    assert any("'facility', 'levels'" in note for note in tags.notes)
    assert read_tags(frame.assign(osm_id=[1, 2])).texts()[0] == "name: A, facility: 6, levels: 3"


def test_what_only_tells_where_is_counted_and_left_out() -> None:
    tags = read_tags(pd.DataFrame({"tags": ['{"addr:street": "A", "phone": "1", "shop": "books", "ref": "9"}']}))
    assert tags.texts() == ["shop: books"]
    assert any(note.startswith("3 tags of ids") for note in tags.notes)


def test_only_the_columns_that_are_named() -> None:
    frame = pd.DataFrame({"use": ["house"], "function": ["residential"], "tags": ["roof=flat"]})
    assert read_tags(frame, ["use", "tags"]).texts() == ["roof: flat, use: house"]
    assert read_tags(frame, []).texts() == [""]
    with pytest.raises(ConfigError, match="'colour'"):
        read_tags(frame, ["colour"])
    assert osm_columns(frame.assign(**{"building": "yes", "building:levels": 2})) == [
        "tags",
        "building",
        "building:levels",
    ]


def test_taking_rows_keeps_their_tags() -> None:
    tags = read_tags(pd.DataFrame({"shop": ["a", None, "b"], "name": ["x", None, None]}))
    taken = tags.take(np.array([2, 0, 0, 1]))
    assert taken.texts() == ["shop: b", "shop: a, name: x", "shop: a, name: x", ""]
    assert taken.values("shop").tolist() == ["b", "a", "a", None]


def test_tags_follow_the_points_of_a_layer(tmp_path) -> None:
    points = [shapely.Point(1, 1), None, shapely.MultiPoint([(2, 2), (3, 3)])]
    frame = geopandas.GeoDataFrame({"amenity": ["a", "b", "c"]}, geometry=points, crs="EPSG:4326")
    write_layer(frame, tmp_path / "pois.gpkg")
    pois, tags = CityInputs(pois=tmp_path / "pois.gpkg").read_tagged_pois()
    assert len(pois) == len(tags) == 3
    assert tags.texts() == ["amenity: a", "amenity: c", "amenity: c"]

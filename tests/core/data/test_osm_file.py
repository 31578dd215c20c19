"""A file of OpenStreetMap, read as GDAL opens it: points, lines and areas without any preparation."""

from __future__ import annotations

from pathlib import Path

from urbanfm_core.data.city import CityInputs

FILE = """<?xml version='1.0' encoding='UTF-8'?>
<osm version="0.6">
<node id="1" lat="52.5" lon="13.4"/><node id="2" lat="52.5" lon="13.402"/><node id="3" lat="52.5" lon="13.404"/>
<node id="4" lat="52.501" lon="13.402"/><node id="5" lat="52.499" lon="13.403"/><node id="6" lat="52.501" lon="13.403"/>
<node id="7" lat="52.5002" lon="13.4022"><tag k="amenity" v="cafe"/><tag k="cuisine" v="cake;coffee"/>
<tag k="name" v="Lu &quot;x&quot;"/><tag k="phone" v="1"/></node>
<way id="10"><nd ref="1"/><nd ref="2"/><nd ref="3"/><tag k="highway" v="residential"/><tag k="name" v="A"/></way>
<way id="11"><nd ref="2"/><nd ref="4"/><tag k="highway" v="service"/></way>
<way id="12"><nd ref="5"/><nd ref="6"/><tag k="highway" v="primary"/><tag k="bridge" v="yes"/><tag k="layer" v="1"/></way>
<way id="13"><nd ref="1"/><nd ref="4"/><nd ref="6"/><nd ref="1"/><tag k="building" v="yes"/>
<tag k="building:levels" v="4"/><tag k="addr:street" v="A"/></way>
<way id="14"><nd ref="1"/><nd ref="4"/><tag k="waterway" v="stream"/></way>
<way id="15"><nd ref="1"/><nd ref="4"/><nd ref="5"/><nd ref="1"/><tag k="landuse" v="retail"/></way>
</osm>"""


def test_layers_of_a_file_are_read_as_they_come(tmp_path: Path) -> None:
    (tmp_path / "part.osm").write_text(FILE, "utf-8")
    layers = {"pois": "points", "roads": "lines", "buildings": "multipolygons"}
    city = CityInputs(**{name: f"{tmp_path}/part.osm|layername={layer}" for name, layer in layers.items()})

    pois, tags = city.read_tagged_pois()
    assert tags.texts() == ['amenity: cafe, cuisine: cake;coffee, name: Lu "x"']
    assert pois.category.tolist() == ["amenity"]

    roads = city.read_roads()
    assert roads.tags.take(roads.road).values("highway").tolist() == [
        "residential",
        "residential",
        "service",
        "primary",
    ]
    assert sorted(roads.degree.tolist()) == [1, 1, 1, 1, 1, 3]  # the bridge crosses the first road and meets nothing
    assert roads.notes[0].startswith("1 lines are no roads")

    buildings = city.read_buildings()
    assert buildings.ids.tolist() == ["13"]
    assert buildings.tags.texts() == ["building:levels: 4, building: yes"]

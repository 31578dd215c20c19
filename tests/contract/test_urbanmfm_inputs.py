"""UrbanMFM on layers as people have them: little of everything, everything on one spot, and tags in any form."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

import urbanfm_core
from urbanfm_core.data.city import CityInputs
from urbanfm_core.progress import Progress

TAGS = [
    {"amenity": "cafe", "cuisine": "ice_cream"}, {"shop": "bakery"}, {"leisure": "park", "name": "Old Park"},
    {"amenity": "school"}, {"tourism": "hotel", "stars": "3"},
]  # fmt: skip
SPOTS = 40


@pytest.fixture(scope="module")
def given(work):
    return {"cache": work / "cache-inputs", "device": "cpu", "epochs": 1, "preset": "urbanmfm-tiny"}


@pytest.fixture(scope="module")
def regions(work):
    """Nine squares in a row and in a block, and one that has no neighbour."""
    boxes = [shapely.box(x, y, x + 200, y + 200) for x in (0, 200, 400) for y in (0, 200, 400)]
    frame = gpd.GeoDataFrame(geometry=[*boxes, shapely.box(5000, 5000, 5200, 5200)], crs=32630)
    frame.geometry = frame.geometry.translate(500_000, 4_400_000)
    frame.assign(region_id=np.arange(10)).to_file(work / "ten.gpkg")
    return work / "ten.gpkg"


def spots(seed=0):
    """Points in all ten squares, the last ones in the one that lies apart."""
    xy = np.random.default_rng(seed).uniform(0, 600, (SPOTS, 2))
    xy[-4:] = 5000 + xy[-4:] / 3
    return shapely.points(xy + np.array([500_000, 4_400_000]))


def frame_of(rows, **columns):
    return gpd.GeoDataFrame(columns, geometry=spots()[: len(rows)], crs=32630)


def all_tags():
    return [TAGS[row % len(TAGS)] for row in range(SPOTS)]


def hstore(tags):
    return ",".join(f'"{key}"=>"{value}"' for key, value in tags.items())


def write_json(path):
    frame_of(
        all_tags(), osm_id=[str(row) for row in range(SPOTS)], tags=[json.dumps(one) for one in all_tags()]
    ).to_file(path)


def write_hstore(path):
    rows = all_tags()
    frame_of(rows, osm_id=[str(row) for row in range(SPOTS)], other_tags=[hstore(one) for one in rows]).to_file(path)


def write_plain(path):
    rows = pd.DataFrame(all_tags())
    frame_of(rows, **{name: rows[name] for name in rows}).to_file(path)


def write_quickosm(path):
    """A field for each key, as QuickOSM writes them."""
    rows = pd.DataFrame(all_tags())
    ids = {"full_id": [f"n{row}" for row in range(SPOTS)], "osm_id": range(SPOTS), "osm_type": ["node"] * SPOTS}
    frame_of(rows, **ids, **{name: rows[name] for name in rows}).to_file(path)


def osmium_features():
    """Features as `osmium export` writes them with `-a id,type`."""
    for row, (tags, point) in enumerate(zip(all_tags(), gpd.GeoSeries(spots(), crs=32630).to_crs(4326), strict=True)):
        properties = {"@id": row + 1, "@type": "node", **tags}
        yield {
            "type": "Feature",
            "id": f"n{row + 1}",
            "geometry": shapely.geometry.mapping(point),
            "properties": properties,
        }


def write_osmium(path):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(osmium_features())}))


def write_osmium_sequence(path):
    path.write_text("".join("\x1e" + json.dumps(one) + "\n" for one in osmium_features()))


FORMS = {
    "json.gpkg": write_json,
    "hstore.gpkg": write_hstore,
    "plain.gpkg": write_plain,
    "quickosm.gpkg": write_quickosm,
    "osmium.geojson": write_osmium,
    "osmium.geojsonseq": write_osmium_sequence,
}


# Where a layer has ids of its own.
IDS = {
    "json.gpkg": "osm_id", "hstore.gpkg": "osm_id", "quickosm.gpkg": "osm_id", "osmium.geojson": "id",
    "osmium.geojsonseq": "id", "plain.gpkg": "fid",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(work, given, regions):
    """Learned from tags alone: no roads, no polygons, no street views, no imagery."""
    write_json(work / "mfm-json.gpkg")
    return urbanfm_core.train(pois=work / "mfm-json.gpkg", regions=regions, out=work / "inputs-model", **given)


@pytest.fixture(scope="module")
def embed(given):
    return {name: given[name] for name in ("cache", "device")}


def test_a_city_of_points_alone_and_a_region_without_neighbours(work, embed, regions, model):
    found = urbanfm_core.inspect(checkpoint=model)
    assert found.config["stages"] == ["poi_road", "local"]
    notes = " ".join(found.manifest["notes"])
    for words in ("1 of 10 regions touch no other", "Without roads", "Stage street_view is left out"):
        assert words in notes
    table = urbanfm_core.embed(checkpoint=model, pois=work / "mfm-json.gpkg", regions=regions, **embed)
    assert np.isfinite(table.vectors).all() and table.vectors.std(axis=0).min() > 0


@pytest.mark.parametrize("form", FORMS)
def test_tags_mean_the_same_in_any_form(work, embed, model, form):
    path = work / f"form-{form}"
    FORMS[form](path)
    _, tags = CityInputs(pois=path).read_tagged_pois()
    # Outside of OpenStreetMap's schemes, numbers are codes.
    wanted = [
        {key: value for key, value in one.items() if form != "plain.gpkg" or key != "stars"} for one in all_tags()
    ]
    bounds = zip(tags.starts, tags.starts[1:], strict=False)
    assert [dict(zip(tags.key[start:stop], tags.value[start:stop], strict=True)) for start, stop in bounds] == wanted
    found = urbanfm_core.embedpois(checkpoint=model, pois=path, out=work / "form.gpkg", **embed)
    assert len(found.ids) == SPOTS and found.covered.all() and found.regions.id_name == IDS[form]
    assert gpd.read_file(work / "form.gpkg").geom_type.unique().tolist() == ["Point"]


def test_points_on_one_spot_train_and_embed(work, given, embed, regions):
    rows = frame_of(all_tags(), tags=[json.dumps(one) for one in all_tags()])
    rows.geometry = [rows.geometry[0]] * SPOTS
    rows.to_file(work / "one-spot.gpkg")
    made = urbanfm_core.train(pois=work / "one-spot.gpkg", regions=regions, out=work / "one-spot", **given)
    table = urbanfm_core.embed(checkpoint=made, pois=work / "one-spot.gpkg", regions=regions, **embed)
    assert table.covered.sum() == 1 and np.isfinite(table.vectors[table.covered]).all()
    points = urbanfm_core.embedpois(
        checkpoint=made, pois=work / "one-spot.gpkg", out=work / "spot.gpkg", map=work / "spot.png", **embed
    )
    assert points.covered.all() and points.vectors.std(axis=0).max() > 0
    assert (work / "spot.png").stat().st_size > 1000


def test_roads_are_snapped_as_asked_and_cut_where_they_meet(work, given, regions):
    lines = [[(0, y), (298, y)] for y in (100, 300)] + [[(302, 0), (302, 600)], [(0, 100), (0, 300)]]
    roads = gpd.GeoDataFrame({"kind": list("abcd")}, geometry=[shapely.LineString(line) for line in lines], crs=32630)
    roads.geometry = roads.geometry.translate(500_000, 4_400_000)
    roads.to_file(work / "gaps.gpkg")
    layers = {"pois": work / "mfm-json.gpkg", "roads": work / "gaps.gpkg", "regions": regions}

    class Hear(Progress):
        heard = ""

        def log(self, level, message):
            self.heard += message

    said = {}
    for snap in (1.0, 10.0):
        hear = Hear()
        settings = {name: value for name, value in given.items() if name != "epochs"}
        urbanfm_core.prepare(road_snap=snap, progress=hear, **layers, **settings)
        said[snap] = hear.heard
    assert "4 road segments" in said[1.0] and "0 intersections" in said[1.0]
    assert "6 road segments" in said[10.0] and "2 intersections" in said[10.0]


def test_named_columns_alone_are_tags(work, embed, model):
    rows = frame_of(all_tags(), kind=[next(iter(one.values())) for one in all_tags()], secret=["x", "y"] * (SPOTS // 2))
    rows.to_file(work / "secret.gpkg")
    plain = rows.drop(columns="secret")
    plain.to_file(work / "open.gpkg")
    given = {"checkpoint": model, **embed}
    named = urbanfm_core.embedpois(pois=work / "secret.gpkg", poi_tags=["kind"], **given)
    without = urbanfm_core.embedpois(pois=work / "open.gpkg", **given)
    everything = urbanfm_core.embedpois(pois=work / "secret.gpkg", **given)
    np.testing.assert_allclose(named.vectors, without.vectors, atol=1e-6)
    assert np.abs(everything.vectors - without.vectors).max() > 1e-3

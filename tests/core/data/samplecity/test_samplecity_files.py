"""The files that a sample city consists of."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from geopandas.testing import assert_geodataframe_equal
from PIL import Image

from urbanfm_core.data.samplecity import captions, generate, indicators, write
from urbanfm_core.data.samplecity.fields import FUNCTIONS
from urbanfm_core.data.samplecity.streets import CRS, Layout
from urbanfm_core.errors import Cancelled, ConfigError, OutputError
from urbanfm_core.progress import Progress

COPY = Path(__file__).parents[4] / "resources" / "samplecity"


def _layer(city: Path, name: str) -> geopandas.GeoDataFrame:
    return geopandas.read_file(city / f"{name}.gpkg")


@pytest.mark.parametrize("which", ["compact_city", "full_city", "copy"])
def test_schema_and_crs(which: str, request: pytest.FixtureRequest) -> None:
    city = COPY if which == "copy" else request.getfixturevalue(which)
    manifest = json.loads((city / write.MANIFEST).read_text())
    for name, fields in write.SCHEMAS.items():
        layer = _layer(city, name)
        assert [column for column in layer.columns if column != "geometry"] == list(fields)
        assert layer.crs == CRS
        assert len(layer) == manifest["counts"][name] > 0
        for field, kind in fields.items():
            numeric = layer[field].dtype.kind in "fi"
            assert numeric == (kind != write.TEXT), field
        assert layer.geometry.is_valid.all()
        assert layer[next(iter(fields))].is_unique
    truth, told = pq.read_table(city / "truth.parquet"), pq.read_table(city / "captions.parquet")
    assert truth.column_names == list(write.TRUTH_FIELDS)
    assert sorted(truth["region_id"].to_pylist()) == sorted(_layer(city, "regions").region_id)
    assert told.num_rows == manifest["counts"]["captions"]
    assert {entry.name for entry in city.iterdir()} >= set(manifest["files"])


@pytest.mark.parametrize("which", ["compact_city", "full_city"])
def test_regions_are_a_seamless_partition_inside_the_rasters(which: str, request: pytest.FixtureRequest) -> None:
    city = request.getfixturevalue(which)
    shapes = _layer(city, "regions").geometry.to_numpy()
    assert len(shapes) == 50
    whole = shapely.union_all(shapes)
    assert whole.geom_type == "Polygon"
    assert len(whole.interiors) == 0
    assert whole.area == pytest.approx(shapely.area(shapes).sum(), rel=1e-6)
    assert 15_000 < np.median(shapely.area(shapes)) < 80_000
    for raster in ("imagery.tif", "embedding.tif"):
        with rasterio.open(city / raster) as source:
            left, low, right, high = source.bounds
            extent = shapely.box(left, min(low, high), right, max(low, high))
            assert extent.contains(whole)
            assert source.crs == CRS


@pytest.mark.parametrize("which", ["compact_city", "full_city", "copy"])
def test_embedding_is_stored_like_alphaearth(which: str, request: pytest.FixtureRequest) -> None:
    city = COPY if which == "copy" else request.getfixturevalue(which)
    with rasterio.open(city / "embedding.tif") as source:
        assert source.count == 64
        assert set(source.dtypes) == {"int8"}
        assert source.nodata == -128
        assert source.transform.a == 10
        assert source.transform.e == 10
        assert source.block_shapes[0] == (128, 128)
        bands = source.read().astype(np.float64)
    valid = (bands != -128).all(axis=0)
    assert valid.mean() > 0.8
    length = np.linalg.norm(np.sign(bands) * (bands / 127.5) ** 2, axis=0)
    assert np.abs(length[valid] - 1).max() < 0.05


def test_rasters_show_the_same_ground(full_city: Path) -> None:
    """Green pixels of the imagery, and the direction of the embedding that greenery takes, lie in the same places."""
    with rasterio.open(full_city / "imagery.tif") as source:
        rgb = source.read().astype(float)
        assert source.transform.e == -1
        assert source.overviews(1)
    with rasterio.open(full_city / "embedding.tif") as source:
        bands = source.read()[:, ::-1]
    green = (rgb[1] > rgb[0] + 12) & (rgb[1] > rgb[2] + 20)
    share = green.reshape(bands.shape[1], 10, bands.shape[2], 10).mean(axis=(1, 3))
    valid = (bands != -128).all(axis=0)
    vectors = np.sign(bands) * (bands / 127.5) ** 2
    design = np.column_stack([vectors[:, valid].T, np.ones(valid.sum())])
    fitted = design @ np.linalg.lstsq(design, share[valid], rcond=None)[0]
    assert np.corrcoef(fitted, share[valid])[0, 1] > 0.8


@pytest.mark.parametrize("which", ["compact_city", "full_city"])
def test_indicators(which: str, request: pytest.FixtureRequest) -> None:
    regions = _layer(request.getfixturevalue(which), "regions")
    for fields in (indicators.LAND_USE_FIELDS, indicators.OCCUPATION_FIELDS):
        values = regions[list(fields)].to_numpy()
        known = ~np.isnan(values).any(axis=1)
        assert known.mean() > 0.8
        np.testing.assert_allclose(values[known].sum(axis=1), 1.0, atol=1e-9)
        assert (values[known] >= 0).all()
    dominant = regions[list(indicators.LAND_USE_FIELDS)].to_numpy()
    for row, name in zip(dominant, regions.land_use, strict=True):
        if isinstance(name, str):
            assert FUNCTIONS[int(row.argmax())] == name
    assert regions.price.dropna().between(300, 20_000).all()
    assert (regions.population.dropna() >= 0).all()


def test_indicator_gaps_have_the_documented_rates() -> None:
    layout = Layout(0, 900)
    blocks = write._City(Path(), 900, 0, compact=False).blocks
    members = [blocks.get(i, j) for i, j in layout.blocks_of_region(3, 3)]
    drawn = [indicators.observe(layout, row, 0, members)[0] for row in range(1500)]
    for name, field in (
        ("population", "population"),
        ("price", "price"),
        ("occupation", "occ_1"),
        ("land_use", "lu_office"),
    ):
        rate = np.mean([record[field] is None for record in drawn])
        assert rate == pytest.approx(indicators.MISSING[name], abs=0.02)
    prices = np.log([record["price"] for record in drawn if record["price"] is not None])
    assert 0.05 < prices.std() < 0.25


@pytest.mark.parametrize("which", ["compact_city", "full_city", "copy"])
def test_street_views(which: str, request: pytest.FixtureRequest) -> None:
    city = COPY if which == "copy" else request.getfixturevalue(which)
    views, area = _layer(city, "streetview"), shapely.union_all(_layer(city, "regions").geometry.to_numpy())
    groups = views.groupby("group_id")
    assert (groups.size() == 4).all()
    for _, group in groups:
        turns = np.diff(group.heading.to_numpy()) % 360
        np.testing.assert_allclose(turns, 90.0, atol=0.2)
        assert group.geometry.nunique() == 1
    assert views.geometry.within(area.buffer(1.0)).all()
    sizes = {Image.open(city / path).size for path in views.path}
    assert sizes == {(160, 120)} if which == "full_city" else {(96, 72)}
    assert len(groups) == 50 if which == "full_city" else 5 <= len(groups) <= 20


def test_captions_know_what_is_true_of_them(full_city: Path) -> None:
    told = pq.read_table(full_city / "captions.parquet").to_pandas()
    assert set(told.captioner) == {captioner.name for captioner in captions.CAPTIONERS}
    assert set(told.image) == {"satellite", "street"}
    assert (told.groupby("path").size() % 3 == 0).all()
    assert all((full_city / path).is_file() for path in told.path.unique())
    refused = told[told.refused]
    assert 0 < len(refused) < 0.06 * len(told)
    assert refused.caption.str.startswith("I'm sorry").all()
    answered = told[~told.refused].assign(
        right=told.facts_true.str.len(), wrong=told.facts_false.str.len(), length=told.caption.str.len()
    )
    mean = answered.groupby("captioner")[["right", "wrong", "length"]].mean()
    assert mean.wrong["terse"] < mean.wrong["listing"] < mean.wrong["florid"]
    assert mean.length["terse"] < mean.length["listing"] < mean.length["florid"]
    for _, facts in told[told.image == "satellite"].groupby("region_id"):
        sets = [set(right) | set(omitted) for right, omitted in zip(facts.facts_true, facts.facts_omitted, strict=True)]
        assert sets[0] == sets[1] == sets[2]
        assert not any(set(wrong) & sets[0] for wrong in facts.facts_false)


def test_a_short_caption_lists_as_facts_what_its_text_says(full_city: Path) -> None:
    told = pq.read_table(full_city / "captions.parquet").to_pandas()
    terse = told[(told.captioner == "terse") & ~told.refused]
    for row in terse.itertuples():
        parts = row.caption.removesuffix(".").split(": ")[1].split(", ")
        facts = [fact.split(": ") for fact in (*row.facts_true, *row.facts_false)]
        assert len(parts) == len(facts), row.caption
        values = {value for topic, value in facts if topic != "main use"}
        assert values == {part.removeprefix("an ").removeprefix("a ") for part in parts[1:]}


def test_roads_are_a_connected_hierarchy(full_city: Path) -> None:
    roads = _layer(full_city, "roads")
    assert set(roads["class"]) == {"arterial", "collector", "local", "footway"}
    assert (roads[roads["class"] == "arterial"].lanes == 4).all()
    ends = np.round(shapely.get_coordinates(roads.geometry.to_numpy()).reshape(-1, 2, 2), 2)
    nodes, degree = np.unique(ends.reshape(-1, 2), axis=0, return_counts=True)
    assert (degree >= 2).mean() > 0.85
    assert len(nodes) < len(roads)
    assert roads.bridge.sum() > 0


def test_same_seed_same_files_and_other_seed_other_city(compact_city: Path, tmp_path: Path) -> None:
    again = generate(tmp_path / "again", 50, 0, Progress(), compact=True)
    assert again["regions"] == 50
    for path in sorted(compact_city.rglob("*")):
        if path.is_file():
            twin = tmp_path / "again" / path.relative_to(compact_city)
            assert twin.read_bytes() == path.read_bytes(), path.name
    here = geopandas.read_file(compact_city / "regions.gpkg")
    other = Layout(1, 50)
    assert not np.allclose(other.quad(3, 3), Layout(0, 50).quad(3, 3))
    assert here.region_id[0] == other.region_id(0, 0)


def test_the_shipped_copy_is_small_and_up_to_date(compact_city: Path) -> None:
    # Files that GDAL or QGIS may leave beside those they open do not belong to the copy.
    left = (".aux.xml", "-wal", "-shm")
    files = [path for path in COPY.rglob("*") if path.is_file() and not path.name.endswith(left)]
    assert sum(path.stat().st_size for path in files) <= 1_000_000
    assert max(path.stat().st_size for path in files) <= 1 << 20
    assert (COPY / write.MANIFEST).read_text() == (compact_city / write.MANIFEST).read_text()
    for name in write.SCHEMAS:
        shipped, made = _layer(COPY, name), _layer(compact_city, name)
        assert_geodataframe_equal(shipped, made, check_less_precise=True)


@pytest.mark.parametrize("regions", [49, 100_001, 0, -5])
def test_size_limits(regions: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="50 to 100,000"):
        generate(tmp_path / "city", regions, 0, Progress())
    assert not list(tmp_path.iterdir())


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="seed"):
        generate(tmp_path / "city", 50, -1, Progress())


class _Stop(Progress):
    def __init__(self, after: int) -> None:
        self.left = after

    def cancelled(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("after", [0, 12, 52])
def test_cancelling_leaves_nothing_behind(after: int, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        generate(tmp_path / "city", 50, 0, _Stop(after), compact=True)
    assert not list(tmp_path.iterdir())


def test_only_a_sample_city_is_replaced(compact_city: Path, tmp_path: Path) -> None:
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="not empty"):
        generate(other, 50, 0, Progress(), compact=True)
    assert (other / "thesis.txt").read_text() == "precious"
    with pytest.raises(OutputError, match="is a file"):
        generate(other / "thesis.txt", 50, 0, Progress(), compact=True)
    earlier = tmp_path / "city"
    earlier.mkdir()
    (earlier / write.MANIFEST).write_text("{}")
    (earlier / "old.txt").write_text("stale")
    result = generate(earlier, 50, 2, Progress(), compact=True)
    assert not (earlier / "old.txt").exists()
    assert all(Path(path).exists() for path in result["paths"].values())


def test_a_large_city_has_its_regions_in_blocks() -> None:
    layout = Layout(0, 100_000)
    assert layout.columns * layout.rows == 100_000
    far = layout.blocks_of_region(layout.rows - 1, layout.columns - 1)
    assert 3 <= len(far) <= 5
    assert np.ptp(layout.quad(*far[0]), axis=0).max() < 200


@pytest.mark.parametrize("regions", [50, 67, 400, 997])
def test_every_block_has_one_region(regions: int) -> None:
    layout = Layout(7, regions)
    owned = [
        block
        for row in range(layout.rows)
        for column in range(layout.columns)
        if layout.has_region(row, column)
        for block in layout.blocks_of_region(row, column)
    ]
    assert len(owned) == len(set(owned)) == 4 * regions

"""Probes that learned in one city are scored in another: as `transfer` does it, from two tables of one model."""

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

import urbanfm_core as ufm
from urbanfm_core.data.splits import make_folds
from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.evaluation import probes

CRS, SIDE, COLUMNS, ROWS = "EPSG:32633", 200.0, 12, 10
WEIGHTS = np.array([1.0, -2.0, 0.5])
GIVEN = {"targets": ["value"], "embeddings_columns": ["A*"], "seeds": 2, "folds": 3, "blocks": 9, "probes": "linear"}


def city(seed, level=0.0):
    """Regions whose value follows the same weights in every city, at a level of its own."""
    rng = np.random.default_rng(seed)
    west, south = 400_000 + 20_000 * seed, 5_000_000
    cells = [(west + SIDE * column, south + SIDE * row) for row in range(ROWS) for column in range(COLUMNS)]
    vectors = rng.normal(size=(len(cells), 3))
    values = vectors @ WEIGHTS + level + 0.3 * rng.normal(size=len(cells))
    attributes = {"region_id": [f"{seed}-{row}" for row in range(len(cells))], "value": values}
    kinds = np.where(vectors[:, 0] > 0, "mixed" if seed == 1 else "dense", "green")
    boxes = [shapely.box(x, y, x + SIDE, y + SIDE) for x, y in cells]
    columns = {f"A{place:02d}": vectors[:, place] for place in range(3)}
    return gpd.GeoDataFrame({**attributes, "kind": kinds, **columns}, geometry=boxes, crs=CRS)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Files of two cities, and of points of interest in them."""
    folder = tmp_path_factory.mktemp("cities")
    found = {}
    for seed, name in ((1, "north"), (2, "south")):
        frame = city(seed, level=30.0 * (seed - 1))
        frame.to_file(folder / f"{name}.gpkg")
        points = gpd.GeoDataFrame(
            {"category": np.where(frame["A00"] > 0, "bar", "school")}, geometry=frame.centroid, crs=CRS
        )
        points.to_file(folder / f"{name}_pois.gpkg")
        found[name] = (frame, folder / f"{name}.gpkg", folder / f"{name}_pois.gpkg")
    return found


def evaluated(tables, folder, **more):
    north, south = tables["north"], tables["south"]
    ufm.evaluate(embeddings=f"north={north[1]}", other=f"south={south[1]}", out=folder / "e.json", **{**GIVEN, **more})
    return json.loads((folder / "e.json").read_text())["other_city"]


def cells(square):
    return {(cell["trained_on"], cell["scored_in"]): cell["metrics"]["R2"]["mean"] for cell in square["cells"]}


def test_scores_there_are_those_of_plain_ridge_regression(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "RIDGE_PENALTIES", np.array([1.0]))
    found = evaluated(tables, tmp_path)
    assert found["cities"] == ["north", "south"]
    (result,) = found["results"]
    (north, *_), (south, *_) = tables["north"], tables["south"]
    inputs = {name: frame[["A00", "A01", "A02"]].to_numpy() for name, frame in (("n", north), ("s", south))}
    xy = shapely.get_coordinates(shapely.centroid(np.asarray(north.geometry.array)))
    expected = []
    for seed in (0, 1):
        folds = make_folds(xy, "spatial", folds=3, blocks=9, seed=seed)
        for fold in range(3):
            rows = folds.train_rows(fold)
            mean, deviation = inputs["n"][rows].mean(axis=0), inputs["n"][rows].std(axis=0)
            model = Ridge(1.0).fit((inputs["n"][rows] - mean) / deviation, north["value"].to_numpy()[rows])
            expected.append(r2_score(south["value"], model.predict((inputs["s"] - mean) / deviation)))
    assert cells(result["squares"][0])["north", "south"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_levels_of_their_own_do_not_carry_over_and_numbers_relative_to_their_city_do(tables, tmp_path):
    plain = cells(evaluated(tables, tmp_path)["results"][0]["squares"][0])
    assert plain["north", "north"] > 0.9 and plain["north", "south"] < -10
    relative = cells(evaluated(tables, tmp_path, z_scores=True)["results"][0]["squares"][0])
    assert all(value > 0.9 for value in relative.values())


def test_floors_mean_the_same_in_both_cities(tables, tmp_path):
    pois = {"pois": tables["north"][2], "other_pois": tables["south"][2]}
    found = evaluated(tables, tmp_path, z_scores=True, **pois)
    names = [square["features"] for square in found["results"][0]["squares"] if square["floor"]]
    assert names == ["POI counts", "POI counts, densities, neighbours", "region area"]
    # The points tell of one of three dimensions, and no floor of one beats all three.
    squares = {square["features"]: cells(square) for square in found["results"][0]["squares"]}
    assert squares["embeddings"]["north", "south"] > squares["POI counts"]["north", "south"] + 0.3


def test_the_report_and_the_log_have_both_cities(tables, tmp_path):
    found = ufm.evaluate(
        embeddings=f"north={tables['north'][1]}", other=f"south={tables['south'][1]}",
        report=tmp_path / "e.html", **{**GIVEN, "z_scores": True},
    )  # fmt: skip
    page = (tmp_path / "e.html").read_text()
    assert "In another city" in page and "learned from" in page and "trained on" not in page
    assert any("same model is not known" in note for note in found.notes)


def test_tables_of_one_name_are_told_apart(tables, tmp_path):
    (tmp_path / "a").mkdir()
    north, south = tmp_path / "regions.gpkg", tmp_path / "a" / "regions.gpkg"
    for path, name in ((north, "north"), (south, "south")):
        path.write_bytes(tables[name][1].read_bytes())
    ufm.evaluate(embeddings=north, other=south, out=tmp_path / "e.json", **GIVEN)
    assert json.loads((tmp_path / "e.json").read_text())["other_city"]["cities"] == ["regions", "regions (other city)"]


def test_classes_of_both_cities_count_in_both(tables, tmp_path):
    (result,) = evaluated(tables, tmp_path, targets=["kind:multiclass"])["results"]
    metrics = {(c["trained_on"], c["scored_in"]): c["metrics"]["F1"]["mean"] for c in result["squares"][0]["cells"]}
    # Half of the other city is of a class that is not in the first.
    assert metrics["north", "north"] > 0.9 > 0.7 > metrics["north", "south"]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"targets": ["prices"]}, ConfigError, "prices"),
        ({"other": None, "z_scores": True}, ConfigError, "z_scores"),
        ({"other": None, "other_pois": "x.gpkg"}, ConfigError, "other_pois"),
        ({"embeddings": None, "regions": "r.gpkg"}, ConfigError, "give embeddings and targets"),
    ],
)
def test_what_cannot_be_scored_is_refused(tables, change, error, words):
    given = {"embeddings": tables["north"][1], "other": tables["south"][1], **GIVEN, **change}
    with pytest.raises(error, match=words):
        ufm.evaluate(**given)


def test_a_city_without_the_label_of_another_model_or_of_few_regions_is_refused(tables, tmp_path):
    frame = tables["south"][0]
    given = {"embeddings": tables["north"][1], **GIVEN}
    for name, spoilt, error, words in (
        ("unlabelled", frame.drop(columns="value"), ConfigError, "value"),
        ("wider", frame.assign(A03=1.0), ConfigError, "4-d"),
        ("few", frame.iloc[:15], InputError, "few"),
    ):
        spoilt.to_file(tmp_path / f"{name}.gpkg")
        with pytest.raises(error, match=words):
            ufm.evaluate(**given, other=tmp_path / f"{name}.gpkg")


def test_points_have_no_floors_and_are_scored(tables, tmp_path):
    for name in ("north", "south"):
        frame = tables[name][0]
        points = frame.set_geometry(frame.centroid)
        points.to_file(tmp_path / f"{name}.gpkg")
    ufm.evaluate(
        embeddings=tmp_path / "north.gpkg",
        other=tmp_path / "south.gpkg",
        out=tmp_path / "e.json",
        z_scores=True,
        **GIVEN,
    )
    (result,) = json.loads((tmp_path / "e.json").read_text())["other_city"]["results"]
    assert [square["floor"] for square in result["squares"]] == [False, False]
    assert cells(result["squares"][0])["south", "north"] > 0.9


def test_a_layer_without_ids_is_joined_to_itself_and_not_by_chance_numbers(tables, tmp_path):
    expected = evaluated(tables, tmp_path)
    for name in ("north", "south"):
        frame = tables[name][0].drop(columns="region_id")
        # Whole numbers that look like the numbers of rows, in another order.
        frame.assign(floors=np.random.default_rng(0).permutation(len(frame))).to_parquet(tmp_path / f"{name}.parquet")
    ufm.evaluate(
        embeddings=tmp_path / "north.parquet", other=tmp_path / "south.parquet", out=tmp_path / "p.json", **GIVEN
    )
    found = json.loads((tmp_path / "p.json").read_text())["other_city"]
    assert cells(found["results"][0]["squares"][0]) == pytest.approx(cells(expected["results"][0]["squares"][0]))

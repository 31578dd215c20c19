"""`urbanfm predict` with probes, from files to layer, style and page."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

import urbanfm_core
from urbanfm_core.data.splits import make_folds
from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.evaluation import probes
from urbanfm_core.evaluation.predict import Reach, residuals_of, unlike
from urbanfm_core.evaluation.probes import predict_everywhere, predict_held_out
from urbanfm_core.geo.vector import read_layer
from urbanfm_core.maps.styles import class_colours
from urbanfm_core.maps.svg import map_svg

SIDE, WIDTH = 12, 6
HIDDEN = 10


@pytest.fixture(scope="module")
def city():
    """144 square regions; targets follow from six numbers and a little noise; ten have no label."""
    rng = np.random.default_rng(0)
    place = np.array([(x, y) for y in range(SIDE) for x in range(SIDE)])
    vectors = rng.normal(size=(SIDE**2, WIDTH))
    signal = vectors @ rng.normal(size=(WIDTH, 3)) + 0.2 * rng.normal(size=(SIDE**2, 3))
    shares = np.exp(signal) / np.exp(signal).sum(axis=1, keepdims=True)
    frame = gpd.GeoDataFrame(
        {
            "region_id": [f"r{row}" for row in range(SIDE**2)],
            "price": np.exp(signal[:, 0] / 4 + 8),
            "rich": np.where(signal[:, 0] > 0, "yes", "no"),
            "zone": np.array(["Wohnen", "Büro", "it's"], dtype=object)[signal.argmax(axis=1)],
            **{f"s_{column}": shares[:, column] for column in range(3)},
            "pred": 7,
            "constant": 1.0,
        },
        geometry=[shapely.box(500 * x, 500 * y, 500 * x + 500, 500 * y + 500) for x, y in place],
        crs="EPSG:32630",
    )
    frame.loc[: HIDDEN - 1, ["price", "s_0"]] = np.nan
    frame.loc[: HIDDEN - 1, ["rich", "zone"]] = None
    vectors[5] = 60.0
    vectors[30, 2] = np.nan
    return frame, vectors


@pytest.fixture(scope="module")
def files(city, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    frame, vectors = city
    frame.to_file(folder / "regions.gpkg")
    table = pd.DataFrame(vectors, columns=[f"e{column}" for column in range(WIDTH)])
    table.insert(0, "region_id", frame["region_id"])
    # No order is promised.
    table.sample(frac=1, random_state=0).to_csv(folder / "vectors.csv", index=False)
    return folder


def predict(files, target, **given):
    return urbanfm_core.predict(
        **{"embeddings": files / "vectors.csv", "regions": files / "regions.gpkg", "target": target, **given}
    )


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("target", ["log:price", "rich", "zone", "s_*"])
def test_every_region_with_a_vector_is_predicted_and_what_can_be_known_is_known(files, target, head):
    found = predict(files, target, head=head)
    assert found.predicted.sum() == SIDE**2 - 1 and not found.predicted[30] and found.rows == SIDE**2 - HIDDEN - 1
    if found.target.task != "regression":
        np.testing.assert_allclose(found.values[found.predicted].sum(axis=1), 1, atol=1e-6)
    metric, floor = {"regression": ("R2", 0.5), "binary": ("AUC", 0.9), "multiclass": ("F1", 0.6)}.get(
        found.target.task, ("KL", None)
    )
    value, low, high = found.scores[metric]
    assert low < value < high and (value > floor if floor else value < 0.15)
    assert found.outside[5] and found.outside.sum() < 6
    again = predict(files, target, head=head)
    np.testing.assert_array_equal(again.values, found.values)
    assert again.moran == found.moran and again.scores == found.scores


def test_a_layer_keeps_all_fields_and_holds_bounds_and_residuals_in_the_units_of_the_field(files, city, tmp_path):
    found = predict(files, "log:price", out=tmp_path / "p.gpkg", parquet=tmp_path / "p.parquet", level=80)
    layer, source = read_layer(tmp_path / "p.gpkg").reset_index(drop=True), city[0]
    assert layer["src_pred"].tolist() == [7] * SIDE**2
    assert set(source.columns) - {"pred"} <= set(layer.columns)
    known = found.predicted
    np.testing.assert_allclose(layer["pred"][known], np.exp(found.values[known, 0]))
    assert layer.loc[30, ["pred", "pred_lower", "pred_upper", "pred_residual", "pred_outside"]].isna().all()
    assert (layer["pred_lower"][known] < layer["pred"][known]).all()
    assert (layer["pred"][known] < layer["pred_upper"][known]).all()
    np.testing.assert_allclose(
        layer["pred_residual"][HIDDEN:30], source["price"][HIDDEN:30] - layer["pred"][HIDDEN:30], rtol=1e-9
    )
    assert layer["pred_residual"][:HIDDEN].isna().all() and layer["pred_outside"][5] == 1
    labelled = known & source["price"].notna().to_numpy()
    inside = (source["price"] >= layer["pred_lower"]) & (source["price"] <= layer["pred_upper"])
    assert inside[labelled].mean() == pytest.approx(found.coverage)
    assert abs(found.coverage - 0.8) < 0.08
    other = gpd.read_parquet(tmp_path / "p.parquet")
    np.testing.assert_allclose(other["pred"], layer["pred"])
    assert "RuleRenderer" in (tmp_path / "p.qml").read_text()


def test_classes_are_named_and_coloured_apart(files, tmp_path):
    predict(files, "zone", out=tmp_path / "z.gpkg", report=tmp_path / "z.html")
    layer = read_layer(tmp_path / "z.gpkg").reset_index(drop=True)
    assert set(layer["pred"].dropna()) == {"Wohnen", "Büro", "it's"} and layer["pred"].isna().sum() == 1
    shares = layer[["pred_p_Wohnen", "pred_p_Büro", "pred_p_it's"]]
    np.testing.assert_allclose(shares.max(axis=1).dropna(), layer["pred_share"].dropna())
    style = (tmp_path / "z.qml").read_text()
    assert "'it''s'" in style and all(f'label="{name}"' in style for name in ("Wohnen", "Büro"))
    assert 'label="Paler: less sure"' in style and 'label="Unlike all that was learned from"' in style
    # Opaque: what lies below has colours of its own.
    assert "color_rgb(round(255 + " in style and "alpha'" not in style
    page = (tmp_path / "z.html").read_text()
    assert "Paler: less sure" in page
    assert page.count("<svg") == 2 and "<script" not in page and "http://www.w3.org/2000/svg" in page
    assert "Moran&#x27;s I of the residuals" in page and "1 regions have no vector" in page


def test_shares_have_a_field_each(files, tmp_path):
    predict(files, "s_*", out=tmp_path / "s.gpkg")
    layer = read_layer(tmp_path / "s.gpkg").reset_index(drop=True)
    np.testing.assert_allclose(layer[["pred_s_0", "pred_s_1", "pred_s_2"]].sum(axis=1).drop(30), 1, atol=1e-6)
    assert set(layer["pred"].dropna()) <= {"s_0", "s_1", "s_2"}


def test_held_out_predictions_are_those_of_the_evaluation(monkeypatch):
    rng = np.random.default_rng(3)
    features, xy = rng.normal(size=(60, 4)), rng.uniform(size=(60, 2))
    target = features[:, :1] ** 2 + 0.1 * rng.normal(size=(60, 1))
    folds = make_folds(xy, folds=3, blocks=9)
    for probe in ("ridge", "mlp"):
        # In the evaluation one network speaks for a fold, for the sake of time.
        monkeypatch.setattr(probes, "MLP_COMMITTEE", 1)
        held, elsewhere = predict_everywhere(probe, "regression", features, target, folds, features, 0)
        np.testing.assert_allclose(held, predict_held_out(probe, "regression", features, target, folds, 0), atol=1e-4)
        monkeypatch.setattr(probes, "MLP_COMMITTEE", 4)
        held, elsewhere = predict_everywhere(probe, "regression", features, target, folds, features, 0)
        # A region given as one of the others is told the same by the fold that held it out.
        np.testing.assert_allclose(elsewhere[folds.fold, np.arange(60)], held, atol=1e-6)


def test_a_committee_makes_the_models_of_the_folds_more_alike_and_better(monkeypatch):
    rng = np.random.default_rng(4)
    features, xy = rng.normal(size=(150, 5)), rng.uniform(size=(150, 2))
    target = np.sin(2 * features[:, :1]) + 0.3 * rng.normal(size=(150, 1))
    folds, others = make_folds(xy, folds=3, blocks=9), rng.normal(size=(100, 5))
    spread, error = {}, {}
    for members in (1, 3):
        monkeypatch.setattr(probes, "MLP_COMMITTEE", members)
        held, elsewhere = predict_everywhere("mlp", "regression", features, target, folds, others, 0)
        spread[members], error[members] = elsewhere.std(axis=0).mean(), ((held - target) ** 2).mean()
    assert spread[3] < 0.8 * spread[1] and error[3] < error[1]


def test_residuals_of_classes_and_shares():
    truth, said = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.25, 0.75], [0.25, 0.75]])
    np.testing.assert_allclose(residuals_of("binary", truth, said), [0.25, -0.75])
    np.testing.assert_allclose(residuals_of("multiclass", truth, said), [0.25, 0.75])
    np.testing.assert_allclose(residuals_of("distribution", truth, said), [0.25, 0.75])
    np.testing.assert_allclose(residuals_of("regression", truth[:, :1], said[:, :1]), [-0.25, 0.75])


def test_reach_is_the_99th_percentile_of_the_nearest_distances():
    rng = np.random.default_rng(0)
    vectors = np.vstack([rng.normal(size=(200, 3)) * [1, 10, 0], [[0, 0, 0], [9, 0, 0]]])
    far = unlike(vectors, np.arange(200))
    scaled = vectors[:200, :2] / vectors[:200, :2].std(axis=0)
    apart = np.linalg.norm(scaled[:, None] - scaled[None], axis=2) + np.diag(np.full(200, np.inf))
    np.testing.assert_array_equal(far[:200], apart.min(axis=1) > np.percentile(apart.min(axis=1), 99))
    assert far[200:].tolist() == [False, True]
    reach = Reach.from_json(Reach.fit(vectors[:200], 50, 0).to_json())
    assert reach.vectors.shape == (50, 3) and reach.beyond(vectors[200:]).tolist() == [False, True]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"target": "nothing"}, ConfigError, "no label column 'nothing'"),
        ({"target": "constant"}, InputError, "1 different values"),
        ({"target": "rich,zone"}, ConfigError, "2 targets"),
        ({"target": None}, ConfigError, "what to predict"),
        ({"target": "price", "embeddings": None}, ConfigError, "embeddings"),
        ({"target": "price", "head": "finetune"}, ConfigError, "checkpoint"),
        ({"target": "price", "checkpoint_out": "x"}, ConfigError, "only made by fine-tuning"),
        ({"target": "price", "blocks": 3, "folds": 5}, ConfigError, "3 blocks"),
    ],
)
def test_what_cannot_be_predicted_says_why(files, given, error, words):
    with pytest.raises(error, match=words):
        predict(files, **given)


def test_few_labels_give_no_interval_but_a_note(files, city, tmp_path):
    frame = city[0].copy()
    frame.loc[32:, "price"] = np.nan
    frame.to_file(tmp_path / "few.gpkg")
    found = predict(files, "price", regions=tmp_path / "few.gpkg", level=97)
    assert found.rows == 21 and np.isnan(found.bounds[0]).all()
    assert any("too few for a level of 97 %" in note for note in found.notes)


def test_colours_of_classes_differ_and_maps_draw_every_region():
    assert len(set(class_colours(24))) == 24
    shapes = np.array([shapely.box(x, 0, x + 1, 1) for x in range(5001)], dtype=object)
    few = map_svg(shapes[:3], "EPSG:4326", ["#000000"] * 3, [("a<b", "#000000")], "t", "c<d")
    assert few.count('<path fill="#') == 3 and "a&lt;b" in few and "c&lt;d" in few
    assert map_svg(shapes, "EPSG:32630", ["#000000"] * 5001, [], "t").count("<rect") == 5001


def test_classes_that_lie_in_one_fold_are_told(city, files, tmp_path):
    frame, _ = city
    where = frame.geometry.centroid
    third = np.select([where.y < 2000, where.y < 4000], ["south", "middle"], "north")
    frame.assign(district=np.where(np.arange(len(frame)) == 77, "dot", third)).to_file(tmp_path / "r.gpkg")
    found = predict(files, "district", regions=tmp_path / "r.gpkg")
    assert any("1 of 4 classes lie in one fold only (dot)" in note for note in found.notes)
    assert not any("one fold only" in note for note in predict(files, "zone").notes)

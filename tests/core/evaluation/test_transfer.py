"""What transfers is found, what does not is not: squares of cities against plain ridge regression and planted signals."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from urbanfm_core.data.splits import make_folds
from urbanfm_core.errors import Cancelled, ConfigError, InputError
from urbanfm_core.evaluation import probes
from urbanfm_core.evaluation.city_targets import read_city_targets, relative
from urbanfm_core.evaluation.run import Settings
from urbanfm_core.evaluation.targets import Target
from urbanfm_core.evaluation.transfer import CityVectors, Transfer, across, transfer_targets
from urbanfm_core.evaluation.transfer_report import as_dict, lines, markdown
from urbanfm_core.progress import Progress

SETTINGS = Settings(seeds=(0, 1, 2), folds=3, blocks=9, mlp=False)


@pytest.fixture
def cities():
    """Two cities whose value follows the same weights, but lies at another level in the second."""
    rng = np.random.default_rng(1)
    xy = np.array([(column, row) for row in range(10) for column in range(12)], float) * 100
    weights = np.array([1.0, -2.0, 0.5])
    found = {}
    for name, level in (("north", 0.0), ("south", 30.0)):
        signal = rng.normal(size=(120, 3))
        values = signal @ weights + level + 0.3 * rng.normal(size=120)
        found[name] = {"xy": xy, "signal": signal, "values": values}
    return found


def targets(cities, zero_scores=False):
    made = {name: Target("value", "regression", city["values"][:, None]) for name, city in cities.items()}
    return {name: [relative(one, name) if zero_scores else one] for name, one in made.items()}


def signal(cities, name="model", floor=False, noise=0.0, seed=0):
    """The same vectors whichever city they were learned in, or so much noise beside them."""
    rng = np.random.default_rng(seed)
    vectors = {city: one["signal"] + noise * rng.normal(size=(120, 3)) for city, one in cities.items()}
    return CityVectors(name, floor, {(a, b): vectors[b] for a in cities for b in cities})


def scored(cities, features, zero_scores=False, sources=None, **more):
    xy = {name: one["xy"] for name, one in cities.items()}
    return transfer_targets(targets(cities, zero_scores), features, xy, sources or list(cities), SETTINGS, **more)[0]


def test_cells_are_those_of_plain_ridge_regression(cities, monkeypatch):
    monkeypatch.setattr(probes, "RIDGE_PENALTIES", np.array([1.0]))
    found = scored(cities, [signal(cities)])
    for source, city in found.squares[0].cells:
        one, other = cities[source], cities[city]
        expected = []
        for seed in SETTINGS.seeds:
            folds = make_folds(one["xy"], "spatial", folds=3, blocks=9, seed=seed)
            held, beyond = np.empty(120), []
            for number in range(3):
                train, test = folds.train_rows(number), folds.test_rows(number)
                mean, spread = one["signal"][train].mean(axis=0), one["signal"][train].std(axis=0)
                probe = Ridge(alpha=1.0).fit((one["signal"][train] - mean) / spread, one["values"][train])
                held[test] = probe.predict((one["signal"][test] - mean) / spread)
                beyond.append(r2_score(other["values"], probe.predict((other["signal"] - mean) / spread)))
            expected.append(r2_score(one["values"], held) if source == city else np.mean(beyond))
        np.testing.assert_allclose(found.squares[0].cells[source, city]["R2"].per_seed, expected, rtol=1e-6)


def test_another_level_ruins_numbers_as_they_are_and_not_those_relative_to_their_city(cities):
    plain = scored(cities, [signal(cities)])
    within, beyond = across(plain.squares[0], "R2")
    assert within > 0.9 and beyond < -50
    within, beyond = across(scored(cities, [signal(cities)], zero_scores=True).squares[0], "R2")
    assert within > 0.9 and beyond > 0.9
    # With labels of the city itself, the level is known.
    assert across(plain.local, "R2")[1] > 0.9


def test_a_source_sees_the_other_city_by_its_own_model(cities):
    """A model that turns the axes differently in each city: of no use with the probes of another model's space."""
    turns = {"north": np.eye(3), "south": -np.eye(3)}
    vectors = {(a, b): cities[b]["signal"] @ turns[a] for a in cities for b in cities}
    good = scored(cities, [CityVectors("model", False, vectors)], zero_scores=True)
    assert across(good.squares[0], "R2")[1] > 0.9
    mixed = {(a, b): cities[b]["signal"] @ turns[b] for a in cities for b in cities}
    bad = scored(cities, [CityVectors("model", False, mixed)], zero_scores=True)
    assert across(bad.squares[0], "R2")[1] < 0 < across(bad.local, "R2")[1]


def test_all_are_scored_on_the_same_regions_and_those_left_out_are_counted(cities):
    floor = signal(cities, "floor", True)
    floor.vectors["north", "south"][3] = np.nan
    one = targets(cities)
    one["north"][0].values[:5] = np.nan
    xy = {name: city["xy"] for name, city in cities.items()}
    (found,) = transfer_targets(one, [signal(cities), floor], xy, ["north"], SETTINGS)
    assert found.rows == {"north": 115, "south": 119}
    assert found.unlabelled == {"north": 5, "south": 0} and found.uncovered == {"north": 0, "south": 1}
    assert set(found.squares[0].cells) == {("north", "north"), ("north", "south")}


def test_floors_that_are_not_beaten_are_named_pair_by_pair(cities):
    weak = signal(cities, "model", noise=4.0, seed=7)
    found = scored(cities, [weak, signal(cities, "floor", True)], zero_scores=True)
    assert found.verdicts() == [
        f"value, {where}: model loses to 'floor'."
        for where in ("in north", "from north to south", "in south", "from south to north")
    ]
    strong = scored(cities, [signal(cities), signal(cities, "floor", True, noise=4.0)], zero_scores=True)
    assert strong.verdicts() == []


def test_shares_and_classes_go_through_the_square_too(cities):
    kinds = {name: np.eye(3)[one["signal"].argmax(axis=1)] for name, one in cities.items()}
    both = {
        name: [
            Target("kind", "multiclass", kinds[name], ("a", "b", "c")),
            Target("share", "distribution", (kinds[name] + 1) / 4, ("a", "b", "c")),
        ]
        for name in cities
    }
    settings = Settings(seeds=(0,), folds=3, blocks=9)
    xy = {name: one["xy"] for name, one in cities.items()}
    found = transfer_targets(both, [signal(cities)], xy, ["north"], settings)
    assert [one.metric for one in found] == ["F1", "KL"]
    assert found[0].squares[0].cells["north", "south"]["F1"].mean > 0.8
    assert found[1].squares[0].cells["north", "south"]["KL"].mean < 0.1


def test_too_few_regions_and_a_cancellation_end_it(cities):
    few = {
        name: {key: value[:15] if name == "south" else value for key, value in one.items()}
        for name, one in cities.items()
    }
    with pytest.raises(InputError, match=r"south: .*15 regions"):
        rows = {(a, b): few[b]["signal"] for a in few for b in few}
        xy = {name: one["xy"] for name, one in few.items()}
        transfer_targets(targets(few), [CityVectors("model", False, rows)], xy, list(few), SETTINGS)

    class Stop(Progress):
        def cancelled(self):
            return True

    with pytest.raises(Cancelled):
        scored(cities, [signal(cities)], progress=Stop())


def test_tables_hold_every_cell(cities):
    floor = signal(cities, "a | b", True)
    target = scored(cities, [signal(cities), floor])
    found = Transfer("model", ("north", "south"), ("north", "south"), SETTINGS, False, [target], {}, ["A note."])
    plain = as_dict(found)
    cells = plain["results"][0]["squares"][0]["cells"]
    assert [(one["trained_on"], one["scored_in"]) for one in cells] == [
        ("north", "north"), ("north", "south"), ("south", "south"), ("south", "north"),
    ]  # fmt: skip
    assert [one["labels"] for one in plain["results"][0]["squares"]] == ["trained city", "trained city", "scored city"]
    page = markdown(found)
    assert "| trained on \\\\ scored in | north | south |\n| --- | --- | --- |\n| north | 0." in page
    assert "Floor a | b:" in page and "| a \\| b | 0." in page and "- A note." in page
    assert "must mean the same" in page and "must mean the same" in "\n".join(lines(found))
    relative_page = markdown(Transfer("model", ("north", "south"), ("north",), SETTINGS, True, [], {}, []))
    assert "relative to their city" in relative_page


def frames(**more):
    first = pd.DataFrame({"kind": ["a", "b", "a", "c"], "price": [1.0, 2, 3, 4], "s_1": 0.5, "s_2": 0.5})
    second = pd.DataFrame({"kind": ["b", "b", "d", "a"], "price": [1, 2, 3, 5], "s_1": 0.1, "s_2": 0.9})
    return {"north": first, "south": second.assign(**more)}


AREA = {"north": np.ones(4), "south": np.full(4, 2.0)}


def test_classes_have_the_same_place_in_all_cities():
    found = read_city_targets(["kind", "s_*", "log:price/km2"], frames(), AREA)
    assert found["north"][0].classes == found["south"][0].classes == ("a", "b", "c", "d")
    assert found["north"][0].values.argmax(axis=1).tolist() == [0, 1, 0, 2]
    assert found["south"][0].values.argmax(axis=1).tolist() == [1, 1, 3, 0]
    np.testing.assert_allclose(found["south"][1].values[0], [0.1, 0.9])
    np.testing.assert_allclose(found["south"][2].values[:, 0], np.log(np.array([1, 2, 3, 5]) / 2))


def test_labels_that_cannot_mean_the_same_are_refused():
    with pytest.raises(ConfigError, match=r"'s_\*': north lacks s_3"):
        read_city_targets(["s_*"], frames(s_3=0.0), AREA)
    with pytest.raises(InputError, match="texts in south and numbers"):
        read_city_targets(["price"], frames(price=["a", "b", "c", "d"]), AREA)
    other = frames()
    other["south"] = other["south"].drop(columns="price")
    with pytest.raises(ConfigError, match=r"Labels that all cities have: .*'price'"):
        read_city_targets(["price"], other, AREA)


def test_numbers_relative_to_their_city_have_mean_0_and_deviation_1():
    values = np.array([[1.0], [5.0], [np.nan], [9.0]])
    found = relative(Target("price", "regression", values), "north").values
    assert np.nanmean(found) == pytest.approx(0) and np.nanstd(found) == pytest.approx(1) and np.isnan(found[2, 0])
    kind = Target("kind", "multiclass", np.eye(2), ("a", "b"))
    assert relative(kind, "north") is kind
    with pytest.raises(InputError, match="one value only in north"):
        relative(Target("price", "regression", np.ones((4, 1))), "north")

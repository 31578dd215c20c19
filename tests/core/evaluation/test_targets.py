"""What a target's text means, which task it is, and what is counted."""

import numpy as np
import pandas as pd
import pytest

from urbanfm_core.errors import ConfigError, InputError
from urbanfm_core.evaluation.targets import read_targets

AREA = np.array([1.0, 2.0, 4.0, 0.5])
LABELS = pd.DataFrame(
    {
        "price": [1.0, 10.0, None, 100.0],
        "population": [100, 4000, 0, 5000],
        "pop_density": [10.0, 2000.0, 3.0, 1500.0],
        "owner": ["yes", "no", "no", None],
        "flag": pd.array([1, 0, 0, 1], dtype="Int64"),
        "use": ["home", "shop", "work", "home"],
        "name": ["w", "x", "y", "z"],
        "same": [1.0, 1.0, 1.0, 1.0],
        "occ_1": [0.5, 2.0, 0.0, None],
        "occ_2": [0.5, 2.0, 0.0, 1.0],
    }
)


def read(*texts, task="auto"):
    return read_targets(texts, LABELS, AREA, task)


@pytest.mark.parametrize(
    ("text", "task", "width"),
    [
        ("price", "regression", 1),
        ("population", "regression", 1),
        ("owner", "binary", 2),
        ("flag", "binary", 2),
        ("use:multiclass", "multiclass", 3),
        ("occ_*", "distribution", 2),
        ("occ_1+occ_2", "distribution", 2),
        ("flag:regression", "regression", 1),
        ("population:multiclass", "multiclass", 4),
    ],
)
def test_tasks_are_guessed_and_can_be_said(text, task, width):
    (target,) = read(text)
    assert (target.task, target.values.shape) == (task, (4, width))


def test_values_logarithms_and_densities():
    price, log, density = read("price,log:price", "log:population/km2")
    np.testing.assert_array_equal(price.values[:, 0], LABELS["price"])
    np.testing.assert_allclose(log.values[:, 0], np.log(LABELS["price"]))
    assert (price.labelled == [True, True, False, True]).all()
    np.testing.assert_allclose(density.values[[0, 1, 3], 0], np.log([100, 2000, 10000]))
    assert not density.labelled[2] and "no positive value" in density.notes[0]
    np.testing.assert_allclose(density.density, LABELS["population"] / AREA)
    np.testing.assert_allclose(read("pop_density")[0].density, LABELS["pop_density"])
    assert price.density is None


def test_classes_and_the_positive_one():
    owner, flag = read("owner", "flag")
    assert owner.classes == ("no", "yes") and "'yes'" in owner.notes[0]
    np.testing.assert_array_equal(owner.values[:3], [[0, 1], [1, 0], [1, 0]])
    assert np.isnan(owner.values[3]).all()
    assert flag.classes == ("0", "1")


def test_shares_are_divided_by_their_sum_and_empty_ones_left_out():
    (target,) = read("occ_*")
    np.testing.assert_allclose(target.values[:2], 0.5)
    assert np.isnan(target.values[2:]).all()
    said = " ".join(target.notes)
    assert "1 regions have nothing" in said and "do not sum to 1" in said


@pytest.mark.parametrize(
    ("text", "task", "error", "words"),
    [
        ("nothing", "auto", ConfigError, "nothing"),
        ("occ_1+occ_9", "auto", ConfigError, "occ_9"),
        ("x_*", "auto", ConfigError, "x_"),
        ("name", "auto", InputError, "different texts"),
        ("same", "auto", InputError, "different values"),
        ("same", "regression", InputError, "one value"),
        ("name", "regression", InputError, "not numbers"),
        ("use", "binary", InputError, "3 classes"),
        ("log:occ_*", "auto", ConfigError, "shares"),
        ("price", "distribution", ConfigError, "two or more columns"),
        ("log:price", "multiclass", ConfigError, "logarithm"),
        ("price,price", "auto", ConfigError, "twice"),
    ],
)
def test_what_cannot_be_a_target_says_why(text, task, error, words):
    with pytest.raises(error, match=words):
        read(text, task=task)


def test_negative_shares_are_refused():
    labels = pd.DataFrame({"a": [0.5, -0.1], "b": [0.5, 1.1]})
    with pytest.raises(InputError, match="negative"):
        read_targets(["a+b"], labels, np.ones(2))


def label(*values, name="rent"):
    """Five times these labels in a column."""
    labels = pd.DataFrame({name: [*values] * 5})
    return lambda text=name: read_targets([text], labels, np.ones(len(labels)))[0]


@pytest.mark.parametrize(
    ("values", "text", "words"),
    [
        ([f"{row},5" for row in range(60)], "rent", "first is '0,5'.*decimal comma.*to_real.*rent"),
        (
            [f"{row},5" for row in range(60)],
            "rent:regression",
            "300 values are not numbers, such as '0,5'.*decimal comma",
        ),
        ([f"{row}.5" for row in range(60)], "rent", "first is '0.5'.*'rent:regression' takes them for numbers"),
        (["1", "2 EUR", "3"], "rent:regression", "5 values are not numbers, such as '2 EUR'.*NULL"),
        ([1.0, 2.0, np.inf], "rent", "5 values are not numbers, such as 'inf'"),
        ([1e300, 2e300, 5e299], "rent", "up to 2e\\+300.*cannot be squared.*another unit"),
        ([1e-300, 2e-300, 3e-300], "rent", "differ by less than 1e-100"),
        (["", "x", " "], "rent", "1 different values"),
    ],
)
def test_labels_that_are_odd_are_refused_with_the_way_to_mend_them(values, text, words):
    with pytest.raises(InputError, match=words):
        label(*values)(text)


def test_numbers_written_as_text_are_numbers_when_asked_for():
    assert label("0.5", "1.5", "2.5")("rent:regression").values[:3, 0].tolist() == [0.5, 1.5, 2.5]


def test_empty_texts_are_no_class():
    target = label("a", "b", "", "  ")()
    assert target.classes == ("a", "b") and target.labelled.sum() == 10
    assert "10 regions have an empty text" in target.notes[0]


def test_a_repeated_negative_among_positive_numbers_is_pointed_at():
    target = label(-9999.0, 3.0, 40.0)()
    assert "5 regions have -9999, all others 0 or more" in target.notes[0]
    assert not label(-3.0, -2.0, 40.0)().notes


def test_shares_of_nothing_are_refused():
    labels = pd.DataFrame({"a": [0.0, 0.0], "b": [0.0, np.nan]})
    with pytest.raises(InputError, match="missing or sum to 0"):
        read_targets(["a+b"], labels, np.ones(2))

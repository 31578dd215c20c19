"""Fewer labels to learn from: nested draws, whole test folds, curves in every output."""

import json
import re

import numpy as np
import pytest

from urbanfm_core.data.splits import make_folds
from urbanfm_core.errors import ConfigError
from urbanfm_core.evaluation import report, run
from urbanfm_core.evaluation.evaluation_page import page
from urbanfm_core.evaluation.run import Settings, evaluate
from urbanfm_core.evaluation.shares import few_labels
from urbanfm_core.evaluation.tables import Features
from urbanfm_core.evaluation.targets import Target

SHARES = (1.0, 0.75, 0.5, 0.25, 0.1)
QUICK = Settings(seeds=(0, 1, 2), mlp=False, blocks=15, label_shares=SHARES)


@pytest.fixture
def sets(planted):
    return [Features("good", planted["features"]), Features("floor <b>", planted["noise"], True, "no")]


@pytest.fixture
def found(planted, sets):
    return evaluate([Target("y", "regression", planted["regression"])], sets, planted["xy"], QUICK)


def test_draws_are_nested_and_test_folds_stay_whole(planted):
    folds = make_folds(planted["xy"], blocks=15, seed=1)
    for number in range(folds.count):
        whole = before = set(folds.train_rows(number).tolist())
        for share in SHARES:
            fewer = few_labels(folds, share, 1)
            train = fewer.train_rows(number).tolist()
            assert len(train) == round(share * len(whole)) and train == sorted(train)
            assert set(train) <= before
            np.testing.assert_array_equal(fewer.test_rows(number), folds.test_rows(number))
            before = set(train)
    assert set(few_labels(folds, 0.5, 1).train_rows(0)) != set(few_labels(folds, 0.5, 2).train_rows(0))
    assert len(few_labels(folds, 1e-9, 1).train_rows(0)) == 2


def test_inner_folds_hold_no_label_that_is_withheld(planted):
    fewer = few_labels(make_folds(planted["xy"], blocks=15), 0.25, 0)
    count = len(fewer.train_rows(0))
    for fit, judge in fewer.inner(0, 3, 0):
        assert sorted([*fit, *judge]) == list(range(count))


@pytest.mark.parametrize("probe", ["linear", "mlp"])
def test_withheld_labels_never_reach_a_prediction(planted, sets, probe, monkeypatch):
    """Where all labels but those that are drawn are spoilt, every score of a small share stays."""
    settings = Settings(seeds=(0,), linear=probe == "linear", mlp=probe == "mlp", blocks=15, label_shares=(0.3,))
    predictions = []
    original = run.predict_held_out

    def keep(probe, task, vectors, truth, folds, seed, progress):
        spoilt = truth.copy()
        spoilt[np.setdiff1d(np.arange(len(truth)), folds.train_rows(0))] = 1e6
        both = [original(probe, task, vectors, y, folds, seed, progress)[folds.test_rows(0)] for y in (truth, spoilt)]
        predictions.append(both)
        return truth

    monkeypatch.setattr(run, "predict_held_out", keep)
    evaluate([Target("y", "regression", planted["regression"])], sets[:1], planted["xy"], settings)
    assert len(predictions) == 2
    for first, second in predictions:
        np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-6)


def test_a_signal_needs_labels_and_all_of_them_are_the_main_result(found, planted, sets):
    (result,) = found.results
    assert [part.share for part in result.label_shares] == list(SHARES)
    np.testing.assert_allclose(
        [part.regions for part in result.label_shares], [115.2, 86.4, 57.6, 28.8, 11.5], atol=0.5
    )
    means = [part.best()["good"].metrics["R2"].mean for part in result.label_shares]
    assert means[0] > 0.9 and means[0] > means[2] > means[4]
    plain = Settings(seeds=(0, 1, 2), mlp=False, blocks=15)
    (alone,) = evaluate([Target("y", "regression", planted["regression"])], sets, planted["xy"], plain).results
    assert alone.label_shares == [] and alone.scores == result.scores == result.label_shares[0].scores
    assert alone.comparisons == result.comparisons


def test_few_regions_to_learn_from_are_noted(found):
    (note,) = [note for note in found.notes if "chance" in note]
    assert "with 10 % of the labels a probe learns from about 12 regions only" in note


def test_the_outputs_show_the_curve(found, tmp_path):
    lines = report.lines(found)
    start = lines.index("  R2 with a share of the labels:")
    assert re.match(r" +100 % \(115 regions\) +75 % \(86 regions\) +50 %", lines[start + 1])
    assert re.match(r"  \* +good +0\.9\d+ +0\.\d+ ", lines[start + 2]) and "floor <b>" in lines[start + 3]
    report.write_json(tmp_path / "o.json", found)
    (stored,) = json.loads((tmp_path / "o.json").read_text())["results"]
    assert [part["share"] for part in stored["label_shares"]] == list(SHARES)
    assert stored["label_shares"][0]["scores"] == stored["scores"]
    assert len(stored["label_shares"][4]["comparisons"][0]["difference"]["per_seed"]) == 3
    shown = page(found)
    text = "".join([*shown.answer, *shown.parts])
    # Scores, paired differences, and the curve of shares.
    assert text.count("<svg") == 3 and text.count("<polyline") == 2
    assert "<b>" not in text and "share of the training labels" in text
    assert "good on 1 of 1 targets" in text and "embedding minus the other" in text


def test_floors_that_are_not_beaten_with_few_labels_are_named(planted):
    vectors = planted["features"]
    sets = [Features("bad", planted["noise"]), Features("floor", vectors, True)]
    settings = Settings(seeds=(0, 1, 2), mlp=False, blocks=15, label_shares=(0.5,))
    (result,) = evaluate([Target("y", "regression", planted["regression"])], sets, planted["xy"], settings).results
    assert result.share_verdicts() == ["50 % of the labels: bad loses to the floor 'floor'."]
    assert len(result.verdicts()) == 1


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ConfigError, match="share of the labels"):
        Settings(label_shares=(share,))

"""The same regions and folds for all; who loses is named; what is missing is counted."""

import numpy as np
import pytest

from urbanfm_core.errors import InputError
from urbanfm_core.evaluation import run
from urbanfm_core.evaluation.run import Settings, Summary, evaluate
from urbanfm_core.evaluation.tables import Features
from urbanfm_core.evaluation.targets import Target

QUICK = Settings(seeds=(0, 1, 2), mlp=False, blocks=15)


@pytest.fixture
def sets(planted):
    return [
        Features("good", planted["features"]),
        Features("bad", planted["noise"]),
        Features("floor", planted["features"] + planted["noise"], True, "no"),
    ]


@pytest.fixture
def target(planted):
    return Target("y", "regression", planted["regression"])


def test_who_loses_to_a_floor_is_named(planted, sets, target):
    (result,) = evaluate([target], sets, planted["xy"], QUICK).results
    verdicts = {(item.features, item.against): item.verdict for item in result.comparisons}
    assert verdicts == {("good", "floor"): "better", ("bad", "floor"): "worse", ("good", "bad"): "better"}
    (sentence,) = result.verdicts()
    assert "bad loses to the floor 'floor'" in sentence
    assert [item.features for item in result.best_scores()] == ["good", "floor", "bad"]


def test_an_embedding_like_a_floor_is_level_with_it(planted, target):
    vectors = planted["features"] + planted["noise"]
    sets = [Features("same", vectors), Features("floor", vectors * 3, True)]
    (result,) = evaluate([target], sets, planted["xy"], QUICK).results
    assert result.comparisons[0].verdict == "level"
    assert "is level with the floor" in result.verdicts()[0]


def test_lower_is_better_for_shares(planted, sets):
    target = Target("q", "distribution", planted["distribution"])
    (result,) = evaluate([target], sets, planted["xy"], QUICK).results
    by_pair = {(item.features, item.against): item for item in result.comparisons}
    assert by_pair["good", "floor"].verdict == "better" and by_pair["good", "floor"].ratio.mean < 1
    assert by_pair["bad", "floor"].verdict == "worse" and by_pair["bad", "floor"].difference.mean > 0


def test_differences_are_taken_seed_by_seed(planted, sets, target):
    (result,) = evaluate([target], sets, planted["xy"], QUICK).results
    scores = {item.features: np.array(item.metrics["R2"].per_seed) for item in result.best_scores()}
    first = next(item for item in result.comparisons if item.features == "good" and item.against == "floor")
    np.testing.assert_allclose(first.difference.per_seed, scores["good"] - scores["floor"])
    np.testing.assert_allclose(first.ratio.per_seed, scores["good"] / scores["floor"])


def test_all_features_see_the_same_rows_and_folds(planted, sets, target, monkeypatch):
    seen = []
    original = run.predict_held_out

    def spy(probe, task, vectors, truth, folds, seed, progress):
        seen.append((seed, folds.fold.tobytes(), truth.tobytes(), len(vectors)))
        return original(probe, task, vectors, truth, folds, seed, progress)

    monkeypatch.setattr(run, "predict_held_out", spy)
    values = target.values.copy()
    values[:7] = np.nan
    vectors = sets[1].vectors.copy()
    vectors[5:12] = np.nan
    sets[1] = Features("bad", vectors)
    (result,) = evaluate([Target("y", "regression", values)], sets, planted["xy"], QUICK).results
    assert (result.rows, result.unlabelled, result.uncovered) == (144 - 12, 7, 5)
    assert len(seen) == 9 and len(set(seen)) == 3 and {item[3] for item in seen} == {132}


def test_settled_regions_are_scored_on_their_own(planted, sets):
    density = np.where(np.arange(144) < 100, 2000.0, 10.0)
    target = Target("population", "regression", planted["regression"], (), density)
    whole, settled = evaluate([target], sets, planted["xy"], QUICK).results
    assert (whole.regions, whole.rows, settled.regions, settled.rows) == ("all", 144, "settled", 100)
    none = Target("population", "regression", planted["regression"], (), density / 1000)
    found = evaluate([none], sets, planted["xy"], QUICK)
    assert len(found.results) == 1 and "too few" in found.notes[0]


def test_both_splits_and_probes(planted, sets, target):
    settings = Settings(("spatial", "random"), (0,), blocks=15)
    spatial, random = evaluate([target], sets[:1], planted["xy"], settings).results
    assert (spatial.split, random.split) == ("spatial", "random")
    assert {item.probe for item in spatial.scores} == {"ridge", "mlp"} and sum(s.best for s in spatial.scores) == 1
    assert spatial.comparisons == []


def test_one_seed_is_not_judged_but_a_loss_is_named(planted, sets, target):
    (result,) = evaluate([target], sets, planted["xy"], Settings(seeds=(0,), mlp=False)).results
    assert {item.verdict for item in result.comparisons} == {"single"}
    assert len(result.verdicts()) == 1 and "bad loses" in result.verdicts()[0]


def test_the_interval_is_students():
    summary = Summary((1.0, 2.0, 3.0))
    half = 4.302653 * 1 / np.sqrt(3)
    assert summary.mean == 2 and summary.interval == pytest.approx((2 - half, 2 + half), rel=1e-5)


def test_too_few_regions_say_how_many(planted, sets, target):
    values = target.values.copy()
    values[15:] = np.nan
    with pytest.raises(InputError, match="15 regions"):
        evaluate([Target("y", "regression", values)], sets, planted["xy"], QUICK)

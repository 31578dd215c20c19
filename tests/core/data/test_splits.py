"""Folds: disjoint, repeatable, balanced, and blocks that hold together."""

import numpy as np
import pytest

from urbanfm_core.data.splits import make_folds
from urbanfm_core.errors import ConfigError, InputError

XY = np.random.default_rng(0).uniform(0, 5000, (400, 2))


@pytest.mark.parametrize("kind", ["spatial", "random"])
def test_every_region_is_tested_once_and_never_trained_on_then(kind):
    folds = make_folds(XY, kind)
    tested = np.concatenate([folds.test_rows(number) for number in range(5)])
    assert sorted(tested) == list(range(400))
    for number in range(5):
        train, test = folds.train_rows(number), folds.test_rows(number)
        assert not set(train) & set(test) and len(train) + len(test) == 400
        assert not set(folds.block[train]) & set(folds.block[test])


@pytest.mark.parametrize("kind", ["spatial", "random"])
def test_a_seed_decides(kind):
    first, again, other = make_folds(XY, kind, seed=1), make_folds(XY, kind, seed=1), make_folds(XY, kind, seed=2)
    np.testing.assert_array_equal(first.fold, again.fold)
    assert (first.fold != other.fold).any()


def test_blocks_are_compact_and_folds_hold_alike():
    folds = make_folds(XY, blocks=25)
    assert len(np.unique(folds.block)) == 25
    spread = np.mean([XY[folds.block == block].std(axis=0) for block in np.unique(folds.block)])
    assert spread < 0.25 * XY.std(axis=0).mean()
    sizes = np.bincount(folds.fold)
    assert sizes.max() <= 1.3 * sizes.min()
    # The nearest neighbour of a region is nearly always in its own fold, at random in one of five.
    distance = np.linalg.norm(XY[:, None] - XY[None], axis=2) + 1e9 * np.eye(400)
    nearest = distance.argmin(axis=1)
    assert (folds.fold[nearest] == folds.fold).mean() > 0.75
    random = make_folds(XY, "random")
    assert (random.fold[nearest] == random.fold).mean() < 0.3
    assert np.ptp(np.bincount(random.fold)) == 0


def test_inner_folds_keep_blocks_whole_and_stay_in_the_training_rows():
    folds = make_folds(XY)
    train = folds.train_rows(3)
    inner = folds.inner(3, 4, seed=0)
    assert len(inner) == 4
    assert sorted(np.concatenate([judge for _, judge in inner])) == list(range(len(train)))
    for fit, judge in inner:
        assert not set(folds.block[train[fit]]) & set(folds.block[train[judge]])


def test_some_of_the_regions_keep_their_folds():
    folds = make_folds(XY)
    rows = np.flatnonzero(folds.fold != 1)
    part = folds.take(rows)
    assert part.count == 4 and len(part.fold) == len(rows)
    np.testing.assert_array_equal(part.block, folds.block[rows])
    with pytest.raises(InputError, match="one fold"):
        folds.take(folds.test_rows(0))


def test_what_cannot_be_split_says_so():
    with pytest.raises(InputError, match="too few"):
        make_folds(XY[:9])
    with pytest.raises(ConfigError, match="folds"):
        make_folds(XY, folds=1)
    with pytest.raises(ConfigError, match="blocks"):
        make_folds(XY, folds=5, blocks=3)
    with pytest.raises(InputError, match="too few places"):
        make_folds(np.repeat(XY[:3], 10, axis=0))
    assert len(np.unique(make_folds(XY[:20]).block)) == 10

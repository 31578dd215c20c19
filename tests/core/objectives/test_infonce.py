import numpy as np
import pytest
import torch

from urbanfm_core.errors import ShapeError
from urbanfm_core.objectives.infonce import row_infonce, stacked_infonce


def rows(seed, count=5, width=4):
    return np.random.default_rng(seed).normal(size=(count, width))


def unit(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_further_negatives_but_for_those_of_ones_own():
    query, key, others = rows(0), rows(1), rows(2, 7)
    own = np.random.default_rng(3).random((5, 7)) < 0.4
    logits = np.exp(2 * unit(query) @ np.concatenate([unit(key), unit(others)]).T)
    logits[:, 5:][own] = 0
    expected = -np.log(logits[np.arange(5), np.arange(5)] / logits.sum(axis=1)).mean()
    found = row_infonce(
        *(torch.from_numpy(side) for side in (query, key)),
        2.0,
        others=torch.from_numpy(others),
        own=torch.from_numpy(own),
    )
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_stacked_does_not_care_which_side_is_which():
    query, key = torch.from_numpy(rows(0)), torch.from_numpy(rows(1))
    assert float(stacked_infonce(query, key, 2.0)) == pytest.approx(float(stacked_infonce(key, query, 2.0)), abs=1e-12)


@pytest.mark.parametrize("loss", [row_infonce, stacked_infonce])
def test_sides_of_other_shapes_are_refused(loss):
    with pytest.raises(ShapeError, match=r"\(5, 4\) and \(4, 4\)"):
        loss(torch.zeros(5, 4), torch.zeros(4, 4), 2.0)

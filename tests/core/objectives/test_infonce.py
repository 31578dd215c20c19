import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.objectives.infonce import info_nce, logit_scale


def unit(seed, rows=12, width=5, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, width, generator=generator, dtype=torch.float64), dim=1).to(dtype)


def reference(a, b, temperature):
    """The formula, one row at a time."""
    scale = min(max(1 / temperature, 1.0), 100.0)
    a, b = a.double().numpy(), b.double().numpy()
    total = 0.0
    for i in range(len(a)):
        row = np.array([scale * (a[i] @ b[j]) for j in range(len(a))])
        column = np.array([scale * (a[j] @ b[i]) for j in range(len(a))])
        total += row[i] - np.log(np.exp(row - row.max()).sum()) - row.max()
        total += column[i] - np.log(np.exp(column - column.max()).sum()) - column.max()
    return -total / (2 * len(a))


@pytest.mark.parametrize("temperature", [0.5, 0.07, 0.02, 0.001, 5.0])
def test_it_is_the_formula(temperature):
    a, b = unit(1), unit(2)
    assert info_nce(a, b, temperature).item() == pytest.approx(reference(a, b, temperature), rel=1e-6, abs=2e-6)


@pytest.mark.parametrize("temperature", [0.07, 0.02])
def test_gradients_are_those_of_two_cross_entropies(temperature):
    a, b = (unit(seed, dtype=torch.float64).requires_grad_() for seed in (3, 4))
    mine = torch.autograd.grad(3.0 * info_nce(a, b, temperature), (a, b))
    logits, target = a @ b.t() / temperature, torch.arange(len(a))
    plain = 0.5 * (cross_entropy(logits, target) + cross_entropy(logits.t(), target))
    for found, expected in zip(mine, torch.autograd.grad(3.0 * plain, (a, b)), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)


def test_it_is_symmetric_and_does_not_mind_the_order_of_the_rows():
    a, b = unit(5), unit(6)
    order = torch.randperm(len(a), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(info_nce(a, b, 0.07), info_nce(b, a, 0.07))
    torch.testing.assert_close(info_nce(a, b, 0.07), info_nce(a[order], b[order], 0.07))
    assert info_nce(a, b[order], 0.07) != info_nce(a, b, 0.07)


def test_known_ends():
    eye = torch.eye(8)
    assert info_nce(eye, eye, 0.01).item() == pytest.approx(0.0, abs=1e-6)
    same = torch.ones(8, 4) / 2
    assert info_nce(same, same, 0.07).item() == pytest.approx(np.log(8), abs=1e-5)
    assert info_nce(eye[:1], eye[:1], 0.07).item() == pytest.approx(0.0, abs=1e-6)


def test_autocast_does_not_coarsen_it():
    a, b = unit(7), unit(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = info_nce(a, b, 0.07)
        assert info_nce(a.bfloat16(), b.bfloat16(), 0.07).dtype == torch.float32
    assert torch.equal(found, info_nce(a, b, 0.07))


def test_the_scale_is_clipped():
    assert logit_scale(0.07) == pytest.approx(1 / 0.07)
    assert (logit_scale(0.0001), logit_scale(20.0)) == (100.0, 1.0)
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="temperature"):
            logit_scale(wrong)


def test_shapes_must_agree():
    with pytest.raises(ShapeError, match=r"\(12, 5\) and \(11, 5\)"):
        info_nce(unit(1), unit(2)[:11], 0.07)
    with pytest.raises(ShapeError):
        info_nce(unit(1)[0], unit(2)[0], 0.07)

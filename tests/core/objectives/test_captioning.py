"""Naming the next word: the loss and its gradients against torch's own, made of all logits at once."""

import pytest
import torch
import torch.nn.functional as F

from urbanfm_core.errors import ShapeError
from urbanfm_core.objectives.captioning import captioning_loss


def example(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, 6, 5, generator=generator, dtype=dtype, requires_grad=True)
    words = torch.randn(11, 5, generator=generator, dtype=dtype, requires_grad=True)
    ids = torch.randint(1, 11, (4, 6), generator=generator)
    ids[0, 3:] = 0
    ids[2, 5:] = 0
    return hidden, words, ids


def written_out(hidden, words, ids):
    logits = hidden[:, :-1] @ words.T
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)


@pytest.mark.parametrize("chunk", [None, 1, 3, 100])
def test_loss_and_gradients_are_those_of_all_logits(chunk):
    hidden, words, ids = example()
    found = captioning_loss(hidden, words, ids, chunk=chunk)
    expected = written_out(hidden, words, ids)
    torch.testing.assert_close(found, expected)
    own = torch.autograd.grad(3 * found, (hidden, words))
    for mine, theirs in zip(own, torch.autograd.grad(3 * expected, (hidden, words)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_what_stands_at_padding_has_no_say():
    hidden, words, ids = example()
    other = hidden.detach().clone()
    other[0, 3:] = 1e3
    assert captioning_loss(hidden, words, ids).item() == captioning_loss(other, words, ids).item()


def test_under_autocast_it_is_near_and_in_float32():
    hidden, words, ids = example(torch.float32)
    expected = written_out(hidden, words, ids)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = captioning_loss(hidden, words, ids)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    gradient = torch.autograd.grad(found, words)[0]
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, words)[0], rtol=0, atol=2e-2)


def test_without_a_gradient_only_the_loss_is_made():
    hidden, words, ids = example()
    with torch.no_grad():
        torch.testing.assert_close(captioning_loss(hidden, words, ids), written_out(hidden, words, ids))


def test_shapes_that_do_not_fit_are_refused():
    hidden, words, ids = example()
    with pytest.raises(ShapeError, match="ids"):
        captioning_loss(hidden, words, ids[:, :-1])
    with pytest.raises(ShapeError, match="T > 1"):
        captioning_loss(hidden[:, :1], words, ids[:, :1])

import numpy as np
import pytest
import torch

from urbanfm_core.errors import ShapeError
from urbanfm_core.objectives.masked import mask_patches, mask_tokens, masked_prediction, mean_where


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_prediction_is_the_mean_negative_log_likelihood():
    logits = torch.randn(6, 9, generator=seeded(), dtype=torch.float64)
    targets = torch.tensor([0, 8, 3, 3, 5, 1])
    rows = logits.numpy()
    expected = -np.mean([rows[i, t] - np.log(np.exp(rows[i]).sum()) for i, t in enumerate(targets)])
    assert masked_prediction(logits, targets).item() == pytest.approx(expected, rel=1e-12)
    twice = masked_prediction(torch.cat([logits, logits]), torch.cat([targets, targets]))
    assert twice.item() == pytest.approx(expected, rel=1e-12), "it must not grow with the batch"


def test_nothing_masked_gives_zero_with_a_graph():
    logits = torch.randn(0, 9, requires_grad=True)
    found = masked_prediction(logits, torch.zeros(0, dtype=torch.int64))
    assert found.item() == 0.0
    found.backward()
    values = torch.tensor([1.0, torch.inf], requires_grad=True)
    nothing = mean_where(values, torch.tensor([False, False]))
    assert nothing.item() == 0.0 and nothing.requires_grad
    assert mean_where(values, torch.tensor([True, False])).item() == 1.0


def test_autocast_does_not_coarsen_it():
    logits, targets = torch.randn(5, 30, generator=seeded(1)) * 5, torch.arange(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(masked_prediction(logits, targets), masked_prediction(logits.clone(), targets))
        assert masked_prediction(logits.bfloat16(), targets).dtype == torch.float32
    with pytest.raises(ShapeError, match=r"\(5, 30\) and \(4,\)"):
        masked_prediction(logits, targets[:4])


def test_tokens_are_hidden_in_the_shares_of_the_paper():
    tokens = torch.randint(5, 1000, (400, 200), generator=seeded())
    candidates = torch.rand(tokens.shape, generator=seeded(1)) < 0.7
    shown, chosen = mask_tokens(tokens, candidates, 0.15, 4, 1000, seeded(2))
    assert not (chosen & ~candidates).any()
    assert torch.equal(shown[~chosen], tokens[~chosen])
    share = chosen.sum() / candidates.sum()
    assert share.item() == pytest.approx(0.15, abs=0.01)
    masked = (shown == 4) & chosen
    kept = (shown == tokens) & chosen
    replaced = chosen & ~masked & ~kept
    for part, expected in ((masked, 0.8), (replaced, 0.1), (kept, 0.1)):
        assert (part.sum() / chosen.sum()).item() == pytest.approx(expected, abs=0.015)
    words = shown[replaced]
    assert words.min() >= 1 and words.max() <= 999
    assert abs(words.double().mean().item() - 500) < 25


def test_patches_are_hidden_by_region_among_the_valid_ones():
    valid = torch.ones(50, 16, dtype=torch.bool)
    valid[1, 10:] = False
    valid[2, 1:] = False
    valid[3] = False
    hidden = mask_patches(valid, 0.4, seeded())
    assert not (hidden & ~valid).any()
    assert hidden.sum(1).tolist() == [6, 4, 0, 0] + [6] * 46
    assert hidden[4:].float().mean(0).std() < 0.15
    assert len({tuple(row.tolist()) for row in hidden[4:]}) > 40


def test_the_same_seed_hides_the_same():
    tokens = torch.randint(5, 50, (4, 30), generator=seeded())
    everything = torch.ones_like(tokens, dtype=torch.bool)
    first = mask_tokens(tokens, everything, 0.5, 4, 50, seeded(7))
    again = mask_tokens(tokens, everything, 0.5, 4, 50, seeded(7))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    torch.manual_seed(3)
    drawn = mask_patches(everything, 0.4)
    torch.manual_seed(3)
    assert torch.equal(mask_patches(everything, 0.4), drawn)
    assert not torch.equal(mask_patches(everything, 0.4), drawn)

import numpy as np
import pytest
import torch

from urbanfm_core.errors import ShapeError
from urbanfm_core.objectives.alignment import cross_modal_alignment


def case():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, generator=draw, dtype=torch.float64) * 3
    poi_patch = torch.randint(-1, 9, (4, 6), generator=draw)
    patch_mask = torch.rand(4, 9, generator=draw) < 0.4
    use = torch.rand(4, 6, generator=draw) < 0.7
    return logits, poi_patch, patch_mask, use


def test_it_is_the_formula():
    logits, poi_patch, patch_mask, use = case()
    losses = []
    for region in range(4):
        for token in range(6):
            if use[region, token] and poi_patch[region, token] >= 0:
                p = 1 / (1 + np.exp(-logits[region, token].item()))
                y = float(patch_mask[region, poi_patch[region, token]])
                losses.append(-y * np.log(p) - (1 - y) * np.log(1 - p))
    assert 5 < len(losses) < 24
    found = cross_modal_alignment(logits, poi_patch, patch_mask, use).item()
    assert found == pytest.approx(np.mean(losses), rel=1e-12)


def test_tokens_that_do_not_count_get_no_gradient():
    logits, poi_patch, patch_mask, use = case()
    logits.requires_grad_()
    cross_modal_alignment(logits, poi_patch, patch_mask, use).backward()
    assert torch.equal(logits.grad != 0, use & (poi_patch >= 0))


def test_certain_and_right_costs_nothing_certain_and_wrong_much():
    patch_mask = torch.tensor([[True, False]])
    poi_patch, use = torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)
    right = cross_modal_alignment(torch.tensor([[50.0, -50.0]]), poi_patch, patch_mask, use)
    wrong = cross_modal_alignment(torch.tensor([[-50.0, 50.0]]), poi_patch, patch_mask, use)
    assert right.item() == pytest.approx(0.0, abs=1e-6)
    assert wrong.item() == pytest.approx(50.0)


def test_nothing_left_gives_zero_with_a_graph():
    logits, poi_patch, patch_mask, use = case()
    logits.requires_grad_()
    found = cross_modal_alignment(logits, poi_patch, patch_mask, torch.zeros_like(use))
    assert found.item() == 0.0
    found.backward()
    assert (logits.grad == 0).all()


def test_autocast_does_not_coarsen_it_and_shapes_must_agree():
    logits, poi_patch, patch_mask, use = case()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = cross_modal_alignment(logits, poi_patch, patch_mask, use)
        assert cross_modal_alignment(logits.bfloat16(), poi_patch, patch_mask, use).dtype == torch.float32
    assert torch.equal(found, cross_modal_alignment(logits, poi_patch, patch_mask, use))
    with pytest.raises(ShapeError, match=r"\(4, 5\)"):
        cross_modal_alignment(logits[:, :5], poi_patch, patch_mask, use)
    with pytest.raises(ShapeError):
        cross_modal_alignment(logits, poi_patch, patch_mask[:3], use)

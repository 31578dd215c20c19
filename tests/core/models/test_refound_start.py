"""The aligned start: what lies at the same place looks alike before anything is learned."""

import pytest
import torch

from tests.core.models.test_refound_network import make_batch, make_model
from urbanfm_core.models.refound.start import waves

WIDTH, GRID, PATCHES = 32, 8, 4


def test_a_cell_is_most_like_the_patch_that_holds_it():
    cells, patches = waves(GRID, WIDTH).unflatten(0, (GRID, GRID)), waves(PATCHES, WIDTH)
    nearest = (cells @ patches.t()).argmax(-1)
    row, column = torch.arange(GRID)[:, None], torch.arange(GRID)
    fine = GRID // PATCHES
    assert torch.equal(nearest, (row // fine) * PATCHES + column // fine)


def test_widths_that_no_wave_fills_stay_zero_behind():
    assert waves(3, 10).shape == (9, 10)
    assert (waves(3, 10)[:, 8:] == 0).all()


def own_share(**changes):
    """Last-layer attention of tokens to the patches under their cells, in units of equal shares."""
    model = make_model(hidden_size=WIDTH, grid=3, shared_layers=1, **changes).eval()
    batch = make_batch(rows=32)
    batch["grid_position"] = batch["poi_patch"] + 1
    with torch.inference_mode():
        attention = model.encode(batch, attention=True).attention.mean(1)
    known = batch["poi_patch"] >= 0
    own = attention.gather(2, batch["poi_patch"].clamp(min=0)[..., None]).squeeze(-1) / attention.mean(2)
    return own[known].mean().item()


def test_tokens_look_at_their_own_patches_from_the_start():
    assert own_share(aligned_start=False) == pytest.approx(1.0, abs=0.05)
    assert own_share(aligned_start=True) > 1.25


def test_only_an_aligned_network_differs():
    plain, aligned = make_model(aligned_start=False), make_model(aligned_start=True)
    torch.testing.assert_close(plain.pois.word.weight, aligned.pois.word.weight)
    query, key, _ = aligned.layers[0].qkv.weight.unflatten(0, (3, 2, -1))
    assert torch.equal(query[0], key[0])
    assert not torch.allclose(query[1], key[1])
    assert (aligned.layers[0].qkv.bias == 0).all()

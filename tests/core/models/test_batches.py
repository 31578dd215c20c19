import numpy as np
import pytest
import torch

from urbanfm_core.errors import ResourceError
from urbanfm_core.models.aether import Aether, AetherConfig
from urbanfm_core.models.batches import PixelBatches
from urbanfm_core.models.exchange import Trained

CPU = torch.device("cpu")


def limited(most, error=None, sizes=None):
    def double(x):
        if len(x) > most:
            raise error or torch.OutOfMemoryError("CUDA out of memory.")
        if sizes is not None:
            sizes.append(len(x))
        return 2 * x

    return double


def trained(batch_size=64):
    torch.manual_seed(0)
    config = AetherConfig(bands=4, text_dim=3, hidden_dim=8, post_dim=8, embedding_dim=4)
    return Trained(config, Aether().build(config).eval(), {"bands": 4}, CPU, batch_size)


def test_the_batch_halves_once_and_stays_small_and_is_said():
    model, sizes = trained(), []
    batches = PixelBatches(model, 64)
    pixels = np.arange(400, dtype=np.float32).reshape(100, 4)
    for _ in range(2):
        np.testing.assert_array_equal(batches.compute(limited(20, sizes=sizes), pixels, 4), 2 * pixels)
    assert max(sizes) == 16 and sum(sizes) == 200
    assert model.notes == ["Memory ran out while embedding: batches were cut down to 16 pixels."]


def test_when_a_single_pixel_does_not_fit_it_says_what_to_do():
    with pytest.raises(ResourceError, match=r"single pixel.*cpu"):
        PixelBatches(trained(), 64).compute(limited(0), np.ones((10, 4), np.float32), 4)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"):
        PixelBatches(trained(), 64).compute(limited(0, RuntimeError("shapes")), np.ones((10, 4), np.float32), 4)


def test_aethers_vectors_do_not_change_when_memory_is_short(monkeypatch):
    pixels = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    whole, short = trained(), trained()
    expected = Aether().pixel_function(whole)(pixels)
    linear = torch.nn.functional.linear

    def scarce(x, *rest):
        if len(x) > 10:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return linear(x, *rest)

    monkeypatch.setattr(torch.nn.functional, "linear", scarce)
    found = Aether().pixel_function(short)(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not whole.notes and "8 pixels" in short.notes[0]

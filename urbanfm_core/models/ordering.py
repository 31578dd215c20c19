"""The order in which samples are trained on."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from urbanfm_core.errors import ConfigError, ShapeError


def epoch_order(samples: int, seed: int, epoch: int) -> Tensor:
    """A random order of the samples, (N,) int64; drawn on the CPU, so it is the same on every device."""
    words = np.random.SeedSequence([seed, epoch]).generate_state(2)
    generator = torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))
    return torch.randperm(samples, generator=generator)


def length_sorted(order: Tensor, lengths: Tensor, batch: int, pool: int = 50) -> Tensor:
    """Rearrange a permutation so that the samples of a batch are about equally long, which saves padding.

    The permutation is cut into pools of `pool` batches; each pool is sorted by length and cut into batches, and the
    batches of all pools are put into a random order. That order is drawn from the permutation itself, so the same
    permutation gives the same result, for any number of processes. Which samples meet in a batch still changes from
    one permutation to the next, as long as a pool is a small part of the samples.

    Args:
        order: A permutation of the samples, (N,) int64.
        lengths: Length of each sample by its row, (N,).
        batch: Samples per batch, over all processes together.
        pool: Batches that are sorted together; 1 leaves the batches as they were drawn.
    Returns:
        The same rows, (N,) int64. The last N % batch of the permutation fill no batch and stay at the end, so what a
        loop leaves out is drawn at random, and not the longest.
    Raises:
        ShapeError: order and lengths differ in their number.
        ConfigError: batch or pool is below 1.
    """
    if order.ndim != 1 or lengths.shape != order.shape:
        raise ShapeError(f"One length per sample is needed: {len(order)} samples, lengths {tuple(lengths.shape)}.")
    if batch < 1 or pool < 1:
        raise ConfigError(f"Batch and pool must be at least 1, found {batch} and {pool}.")
    rows = order.cpu()
    full = len(rows) // batch * batch
    drawn, rest = rows[:full], rows[full:]
    by_length = torch.sort(lengths.cpu()[drawn], stable=True).indices
    pools = torch.arange(full) // (batch * pool)
    by_pool = torch.sort(pools[by_length], stable=True).indices
    batches = drawn[by_length[by_pool]].reshape(-1, batch)
    digest = hashlib.sha256(rows.numpy().tobytes()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))
    shuffled = batches[torch.randperm(len(batches), generator=generator)]
    return torch.cat([shuffled.reshape(-1), rest]).to(order.device)

"""InfoNCE in one direction (van den Oord et al. 2018; UrbanMFM, eq. 7, 9, 16, 22 and 27), and stacked as SimCLR does."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from urbanfm_core.errors import ShapeError
from urbanfm_core.objectives.masked import full_precision
from urbanfm_core.objectives.processes import gather_rows, process_count


def row_infonce(
    query: Tensor,
    key: Tensor,
    scale: float,
    *,
    others: Tensor | None = None,
    own: Tensor | None = None,
    gather: bool = False,
) -> Tensor:
    """Find the key of each query among the keys of the batch.

    With the cosines S[i, j] of query i and key j, and T[i, m] of query i and other m:

        loss = -1/N * sum_i log [ exp(scale * S[i, i]) / (sum_j exp(scale * S[i, j]) + sum_m exp(scale * T[i, m])) ]

    Args:
        query: (N, D) of any length.
        key: (N, D); row i belongs to query i.
        scale: 1 / tau.
        others: More negatives, (M, D).
        own: Which of them are no negatives of a query, (N, M) bool.
        gather: Under several processes, compare with the keys of all of them too; each must give as many. The mean of
            the processes' losses and gradients is that of the joint batch. Further negatives stay with their process.
    Returns:
        The mean over the rows, a scalar.
    Raises:
        ShapeError: the sides differ in shape, or have no rows.
    """
    _require_alike(query, key)
    first = 0
    with torch.autocast(query.device.type, enabled=False):
        query, key = (F.normalize(full_precision(side), dim=1) for side in (query, key))
        if gather and process_count() > 1:
            first = torch.distributed.get_rank() * len(key)
            key = gather_rows(key)
        logits = scale * query @ key.t()
        if others is not None:
            more = scale * query @ F.normalize(full_precision(others), dim=1).t()
            logits = torch.cat([logits, more if own is None else more.masked_fill(own, -torch.inf)], 1)
        return F.cross_entropy(logits, torch.arange(first, first + len(query), device=query.device))


def stacked_infonce(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Both sides as one batch of 2N rows, each of which looks for its partner among all others (SimCLR, NT-Xent).

    Args:
        query: (N, D) of any length.
        key: (N, D); row i belongs to query i.
        scale: 1 / tau.
    Returns:
        The mean over 2N rows, a scalar.
    Raises:
        ShapeError: the sides differ in shape, or have no rows.
    """
    _require_alike(query, key)
    with torch.autocast(query.device.type, enabled=False):
        rows = F.normalize(full_precision(torch.cat([query, key])), dim=1)
        logits = (scale * rows @ rows.t()).fill_diagonal_(-torch.inf)
        partner = torch.arange(len(rows), device=rows.device).roll(len(query))
        return F.cross_entropy(logits, partner)


def _require_alike(query: Tensor, key: Tensor) -> None:
    if query.ndim != 2 or query.shape != key.shape or not len(query):
        raise ShapeError(
            f"InfoNCE needs two matrices of one shape (N, D) with N > 0, found {tuple(query.shape)} and "
            f"{tuple(key.shape)}."
        )

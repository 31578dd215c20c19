"""Phrases in the space that pictures and texts share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.models.batches import Batches
from urbanfm_core.models.exchange import Trained
from urbanfm_core.progress import Progress

# Phrases encoded at once where nobody chose.
_BATCH = {"cpu": 32, "cuda": 512, "mps": 128}


def phrase_vectors(
    trained: Trained,
    ids: NDArray[np.integer],
    width: int,
    encode: Callable[[Tensor], Tensor],
    progress: Progress,
) -> NDArray[np.float32]:
    """Vectors of tokenised phrases, (N, D).

    Args:
        trained: Tells device and batch size, and takes the notes.
        ids: Token ids, (N, T).
        width: D.
        encode: Token ids (B, T) int64 -> (B, D).
        progress: Cancels.
    """
    found = np.empty((len(ids), width), np.float32)

    def one(part: slice) -> None:
        progress.check()
        found[part] = encode(torch.from_numpy(ids[part]).long().to(trained.device)).float().cpu().numpy()

    at_once = trained.batch_size or _BATCH[trained.device.type]
    Batches(trained.device, at_once, trained.notes, doing="encoding", noun="phrase").run(len(ids), one)
    return found

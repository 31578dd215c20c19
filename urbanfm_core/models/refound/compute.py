"""Regions through a trained network, in batches and in the precision that was chosen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.models.batches import Batches
from urbanfm_core.models.exchange import Trained
from urbanfm_core.models.refound.samples import RegionInputs
from urbanfm_core.progress import Progress

# Regions computed at once where nobody chose.
_BATCH = {"cpu": 16, "cuda": 256, "mps": 64}


def region_batches(trained: Trained, doing: str) -> Batches:
    """Batches of regions for a network, of the size that the user chose."""
    return Batches(
        trained.device, trained.batch_size or _BATCH[trained.device.type], trained.notes, doing=doing, noun="region"
    )


def run_regions(
    trained: Trained,
    inputs: RegionInputs,
    rows: NDArray[np.int64],
    batches: Batches,
    progress: Progress,
    function: Callable[[slice, dict[str, Tensor]], None],
) -> None:
    """Call a function with the batches that some regions make as they stand: the places in `rows`, and the tensors.

    The network that it calls computes in the precision of `trained`; rows of like length side by side cost least.
    """

    def one(part: slice) -> None:
        progress.check()
        batch = inputs.batch(rows[part], trained.device)
        with trained.arithmetic():
            function(part, batch)

    batches.run(len(rows), one)


def compute_vectors(
    trained: Trained, inputs: RegionInputs, rows: NDArray[np.int64], batches: Batches, progress: Progress
) -> NDArray[np.float32]:
    """Vectors of some regions, (S, D)."""
    found = np.empty((len(rows), trained.config.hidden_size), np.float32)

    def one(part: slice, batch: dict[str, Tensor]) -> None:
        found[part] = trained.model(batch).float().cpu().numpy()

    run_regions(trained, inputs, rows, batches, progress, one)
    return found

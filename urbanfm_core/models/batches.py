"""Pixels through a network, batch by batch; the batch halves where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from urbanfm_core.errors import ResourceError
from urbanfm_core.models.device import free_memory, is_out_of_memory
from urbanfm_core.models.method import Trained

_PIXELS = 65536


class PixelBatches:
    """Remembers the size of batch that fits, and says in the notes of the trained model when that shrank.

    Args:
        trained: Device, batch size to begin with, and where the notes go.
        cpu_rows: Largest batch on a CPU: intermediate results that stay in its caches are faster.
    """

    def __init__(self, trained: Trained, cpu_rows: int) -> None:
        self._device, self._notes = trained.device, trained.notes
        rows = trained.batch_size or _PIXELS
        self._rows = min(rows, cpu_rows) if trained.device.type == "cpu" else rows

    def compute(self, function: Callable[[Tensor], Tensor], pixels: np.ndarray, width: int) -> np.ndarray:
        """function(pixels), (N, C) -> (N, width) float32. A row depends on its batch by rounding only.

        Raises:
            ResourceError: not even a single pixel fits.
        """
        result = np.empty((len(pixels), width), np.float32)
        into = torch.from_numpy(result)
        start = 0
        while start < len(pixels):
            part = np.require(pixels[start : start + self._rows], np.float32, ["C", "W"])
            if self._fits(function, part, into[start : start + len(part)]):
                start += len(part)
            else:
                self._halve(len(part))
        return result

    def _fits(self, function: Callable[[Tensor], Tensor], part: np.ndarray, into: Tensor) -> bool:
        try:
            with torch.inference_mode():
                into.copy_(function(torch.from_numpy(part).to(self._device)))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _halve(self, rows: int) -> None:
        # Outside the handler: the error's traceback held the tensors of the attempt.
        free_memory(self._device)
        if rows == 1:
            raise ResourceError(
                f"Memory ran out on {self._device} while embedding a single pixel.",
                "Close other programs, or use --device cpu.",
            )
        self._rows = rows // 2
        said = "Memory ran out while embedding"
        self._notes[:] = [note for note in self._notes if not note.startswith(said)]
        self._notes.append(f"{said}: batches were cut down to {self._rows:,} pixels.")

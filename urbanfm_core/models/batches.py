"""Rows through a network, batch by batch; the batch halves where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from urbanfm_core.errors import ResourceError
from urbanfm_core.models.device import free_memory, is_out_of_memory
from urbanfm_core.models.exchange import Trained

_PIXELS = 65536


class Batches:
    """Remembers the size of batch that fits, and says in the notes when that shrank.

    Args:
        device: Where the work is done.
        rows: Size of batch to begin with.
        notes: Where it is said.
        doing: What is done to the rows, for messages.
        noun: What a row is; its plural has an s.
    """

    def __init__(self, device: torch.device, rows: int, notes: list[str], *, doing: str, noun: str) -> None:
        self._device, self._rows, self._notes = device, rows, notes
        self._doing, self._noun = doing, noun

    @property
    def rows(self) -> int:
        """Size of batch that is tried."""
        return self._rows

    def run(self, count: int, function: Callable[[slice], None]) -> None:
        """Call function with slices that cover count rows; one that memory ran out on is tried again in halves.

        Raises:
            ResourceError: not even a single row fits.
        """
        start = 0
        while start < count:
            stop = min(start + self._rows, count)
            if self._fits(function, slice(start, stop)):
                start = stop
            else:
                self._halve(stop - start)

    def _fits(self, function: Callable[[slice], None], part: slice) -> bool:
        try:
            with torch.inference_mode():
                function(part)
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
                f"Memory ran out on {self._device} while {self._doing}, with a batch of a single {self._noun}.",
                "Close other programs, or use --device cpu.",
            )
        self._rows = rows // 2
        said = f"Memory ran out while {self._doing}"
        self._notes[:] = [note for note in self._notes if not note.startswith(said)]
        self._notes.append(f"{said}: batches were cut down to {self._rows:,} {self._noun}s.")


class PixelBatches(Batches):
    """Batches of pixels for a trained model.

    Args:
        trained: Device, batch size to begin with, and where the notes go.
        cpu_rows: Largest batch on a CPU: intermediate results that stay in its caches are faster.
    """

    def __init__(self, trained: Trained, cpu_rows: int) -> None:
        rows = trained.batch_size or _PIXELS
        rows = min(rows, cpu_rows) if trained.device.type == "cpu" else rows
        super().__init__(trained.device, rows, trained.notes, doing="embedding", noun="pixel")

    def compute(self, function: Callable[[Tensor], Tensor], pixels: np.ndarray, width: int) -> np.ndarray:
        """function(pixels), (N, C) -> (N, width) float32. A row depends on its batch by rounding only.

        Raises:
            ResourceError: not even a single pixel fits.
        """
        result = np.empty((len(pixels), width), np.float32)
        into = torch.from_numpy(result)

        def one(part: slice) -> None:
            rows = np.require(pixels[part], np.float32, ["C", "W"])
            into[part].copy_(function(torch.from_numpy(rows).to(self._device)))

        self.run(len(pixels), one)
        return result

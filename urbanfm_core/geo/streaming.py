"""One pass over a raster: what the pass needs of its source, and reading ahead of the computation."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

import numpy as np
from rasterio.windows import Window

from urbanfm_core.geo.raster import RasterInfo
from urbanfm_core.progress import Progress

_PAD = 16
# Tasks whose results may wait.
_AHEAD = 4
_Task = TypeVar("_Task")
_Found = TypeVar("_Found")
Stored = tuple[np.ndarray, np.ndarray | None]


class StoredPixels(Protocol):
    """A raster's own numbers, as `geo.raster.RasterReader` gives them."""

    @property
    def info(self) -> RasterInfo:
        """The file's grid, north-up."""

    def read_stored(self, window: Window) -> Stored:
        """Numbers (C, h, w) and the file's own mask (h, w) or None; safe in any thread."""


class PixelSource(StoredPixels, Protocol):
    """A raster of vectors, as `data.embedding_raster.EmbeddingRaster` is one."""

    @property
    def bands(self) -> int:
        """Number of bands."""

    def decode(
        self, stored: np.ndarray, mask: np.ndarray | None = None, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values (C, N) float32 with 0 where invalid, and validity (1, N) or (C, N)."""


def read_ahead(
    source: StoredPixels, windows: Sequence[Window], progress: Progress
) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    """Yield (position, stored, mask) of each window, the next one being read in a thread meanwhile.

    Two windows are in memory at a time. A cancellation is noticed while waiting for the disk.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="raster") as pool:
        coming: Future[Stored] | None = None
        for position, _ in enumerate(windows):
            current = coming or pool.submit(source.read_stored, windows[position])
            while wait([current], timeout=0.1).not_done:
                progress.check()
            stored, mask = current.result()
            later = position + 1 < len(windows)
            coming = pool.submit(source.read_stored, windows[position + 1]) if later else None
            del current
            yield position, stored, mask
            del stored, mask


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(pool: ThreadPoolExecutor, work: Callable[[_Task], _Found], tasks: Iterable[_Task]) -> Iterator[_Found]:
    """work(task) of each task in turn, computed a few ahead in the pool's threads.

    Sums that are added in this order round the same way in every run.
    """
    waiting: deque[Future[_Found]] = deque()
    try:
        for task in tasks:
            if len(waiting) == _AHEAD:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, task))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


def row_chunks(shape: tuple[int, ...], pixels: int) -> Iterator[slice]:
    """Slices of whole rows of a (C, h, w) array with about so many pixels each, and at least one row."""
    step = max(1, pixels // shape[2])
    for start in range(0, shape[1], step):
        yield slice(start, min(start + step, shape[1]))


def padded_rows(rows: int, columns: int) -> np.ndarray:
    """An empty (rows, columns) float32 array that is quick to turn over.

    Where the distance of two rows is a power of two, all of a column share a few lines of the processor's cache, and
    copying the transpose takes several times as long; a few numbers between the rows avoid it.
    """
    return np.empty((rows, columns + _PAD), np.float32)[:, :columns]

"""What all readers of a raster's meaning have in common: one open file and its description."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from urbanfm_core.geo.raster import RasterInfo, RasterReader


class RasterFile:
    """An open raster. Use as a context manager, or close it.

    Args:
        path: Raster file.
    Raises:
        InputError, CRSError: as `inspect_raster`.
    """

    def __init__(self, path: str | Path) -> None:
        self._reader = RasterReader(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    @property
    def info(self) -> RasterInfo:
        """Grid, type, blocks and the rest of the file's description, north-up."""
        return self._reader.info

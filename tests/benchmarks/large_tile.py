"""A raster of AlphaEarth's shape (8192 x 8192 pixels, 64 bands of int8, south-up) through `urbanfm embed`.

    python -m tests.benchmarks.large_tile [--side 8192] [--regions 5000] [--interleave band|pixel] [--folder DIR]

Prints the time and the largest resident memory of the command, as the operating system counted it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine

from tests.benchmarks import embedraster
from tests.benchmarks.inputs import EPSG, PIXEL_M, cells_in, raster_extent, write_raster
from urbanfm_core.inference.table import EmbeddingTable

BLOCK = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--regions", type=int, default=5000)
    parser.add_argument("--interleave", choices=["band", "pixel"], default="band")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="urbanfm-tile-", dir=given.folder) as made:
        folder = Path(made)
        shape = (given.side, given.side)
        write_raster(
            folder / "tile.tif",
            shape,
            0,
            dtype="int8",
            interleave=given.interleave,
            block=min(BLOCK, given.side),
            compress="zstd",
            holes=0.1,
        )
        west, south, east, north = raster_extent(shape)
        with rasterio.open(folder / "tile.tif", "r+") as file:
            file.transform = Affine(PIXEL_M, 0, west, 0, PIXEL_M, south)
        cells = cells_in((west, south, east, north), given.regions, 0)
        gpd.GeoDataFrame({"region_id": np.arange(len(cells))}, geometry=cells, crs=EPSG).to_file(
            folder / "regions.gpkg"
        )
        embedraster.make_checkpoint(folder / "model.pth", 0)
        _run(
            "importcheckpoint",
            "--checkpoint",
            folder / "model.pth",
            "--text-encoder",
            "minilm",
            "--out",
            folder / "model",
        )
        print(f"tile of {(folder / 'tile.tif').stat().st_size / 2**20:,.0f} MiB, {len(cells):,} regions", flush=True)
        started = time.perf_counter()
        peak = _run(
            *("embed", "--checkpoint", folder / "model", "--regions", folder / "regions.gpkg"),
            *("--embedding-raster", folder / "tile.tif", "--parquet", folder / "out.parquet"),
            *("--cache", folder / "cache", "--device", "cpu"),
        )
        seconds = time.perf_counter() - started
        table = EmbeddingTable.from_parquet(folder / "out.parquet")
        covered = f"{len(table.ids):,} regions, {int(table.covered.sum()):,} of them covered"
        print(f"{covered}; {seconds:,.0f} s; peak {peak:,.0f} MiB resident")


def _run(*arguments: object) -> float:
    """Run `urbanfm`; its largest resident memory, MiB, asked of the system while it runs."""
    process = subprocess.Popen([sys.executable, "-m", "urbanfm_core.cli", *map(str, arguments)])
    status, peak = Path(f"/proc/{process.pid}/status"), 0.0
    while process.poll() is None:
        lines = status.read_text().splitlines() if status.exists() else []
        peak = max([peak, *(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))])
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"urbanfm {arguments[0]} ended with exit code {process.returncode}")
    return peak


if __name__ == "__main__":
    main()

"""Cloud-Optimized GeoTIFFs, made by GDAL in a process of its own: its copying knows no way to stop but with the process."""

from __future__ import annotations

import json
import os
import subprocess  # nosec B404 - starts this interpreter only
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from urbanfm_core.geo.raster import CACHE_MB
from urbanfm_core.geo.strips import BLOCK_PX
from urbanfm_core.progress import Progress

_LOOK_EVERY_S = 0.1
# Overviews take a third of the pixels, and are written twice: in a file of their own first.
_GROWTH = 1.7
_COPY = """
import json, sys
import rasterio, rasterio.shutil
source, target, cache_mb, options = json.loads(sys.argv[1])
try:
    with rasterio.Env(GDAL_CACHEMAX=cache_mb):
        rasterio.shutil.copy(source, target, driver="COG", **options)
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def copy_as_cog(source: Path, target: Path, profile: dict[str, Any], progress: Progress) -> None:
    """Copy a GeoTIFF into a Cloud-Optimized one, with overviews.

    Args:
        source: GeoTIFF.
        target: File to make.
        profile: How the source was written.
        progress: Reports, and cancels; asked ten times a second.
    Raises:
        OSError: it cannot be written; with GDAL's words.
        Cancelled: the user asked to stop; the files that begin with the target's name are then the caller's to remove.
    """
    options: dict[str, Any] = {
        "compress": profile.get("compress", "none"),
        "blocksize": BLOCK_PX,
        "bigtiff": "IF_SAFER",
        "num_threads": "ALL_CPUS",
        "overview_resampling": "average" if profile["dtype"].startswith("float") else "nearest",
    }
    if "compress" in profile:
        options |= {"level": 1, "predictor": "floating_point" if profile["predictor"] == 3 else "standard"}
    if "nbits" in profile:
        options["nbits"] = profile["nbits"]
    job = json.dumps([str(source), str(target), CACHE_MB, options])
    # It finds its packages where this process does.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    progress.check()
    process = subprocess.Popen(  # nosec B603
        [sys.executable, "-c", _COPY, job],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    expected, said = _GROWTH * source.stat().st_size, b""
    try:
        while process.returncode is None:
            progress.check()
            progress.update(min(_size(target) / expected, 1.0), "Making it cloud-optimized")
            try:
                said = process.communicate(timeout=_LOOK_EVERY_S)[1]
            except subprocess.TimeoutExpired:
                continue
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    progress.check()  # an interrupt from the keyboard reaches that process too
    if process.returncode:
        words = said.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
        raise OSError(words[-1])


def _size(target: Path) -> int:
    """Bytes of what is made so far: the file, and the overviews beside it."""
    total = 0
    for path in (target, target.with_name(f"{target.name}.ovr.tmp")):
        with suppress(OSError):  # not there yet, or no more
            total += path.stat().st_size
    return total

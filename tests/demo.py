"""`make demo`: a sample city, embedded by `qgis_process`, as a map, a GeoPackage and a GeoParquet."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from running import QgisProcess

import urbanfm_core


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--regions", type=int, default=400)
    options = parser.parse_args()
    out = options.out.absolute()
    city = out / "city"
    started = time.monotonic()
    print(f"1. A sample city of {options.regions} regions in {city}", flush=True)
    urbanfm_core.samplecity(out=city, regions=options.regions, seed=0)
    print("2. Embed regions, by qgis_process", flush=True)
    qgis = QgisProcess(out / "profile")
    results = {name: out / f"embeddings.{name}" for name in ("gpkg", "parquet", "png")}
    qgis.run(
        "urbanfm:embedregions",
        echo=True,
        REGIONS=city / "regions.gpkg",
        POIS=city / "pois.gpkg",
        EMBEDDING_RASTER=city / "embedding.tif",
        PRESET="aether-small",
        OUT=results["gpkg"],
        PARQUET=results["parquet"],
        MAP=results["png"],
        CHECKPOINT_OUT=out / "checkpoint",
        CACHE=out / "cache",
    )
    missing = [path for path in results.values() if not path.is_file()]
    if missing:
        print(f"qgis_process left no {', '.join(map(str, missing))}", file=sys.stderr)
        return 1
    print(f"Done in {time.monotonic() - started:.0f} s.")
    print(f"  map         {results['png']}")
    print(f"  GeoPackage  {results['gpkg']}   (drag it into QGIS)")
    print(f"  GeoParquet  {results['parquet']}   (exact vectors)")
    print(f"  checkpoint  {out / 'checkpoint'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

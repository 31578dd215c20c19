"""`make demo`: a sample city, embedded and analysed by `qgis_process`: maps, layers with styles, reports."""

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
    table = out / "embeddings.gpkg"
    given = {"REGIONS": city / "regions.gpkg", "POIS": city / "pois.gpkg"}
    made = run(
        qgis,
        "embedregions",
        {
            "OUT": table,
            "PARQUET": out / "embeddings.parquet",
            "MAP": out / "embeddings.png",
            "REPORT": out / "embeddings.html",
        },
        EMBEDDING_RASTER=city / "embedding.tif",
        PRESET="aether-small",
        CHECKPOINT_OUT=out / "checkpoint",
        CACHE=out / "cache",
        **given,
    )
    print("3. Cluster, find similar regions, search by words, predict with intervals", flush=True)
    for algorithm, name, parameters in (
        ("clusterregions", "clusters", {"POIS": given["POIS"]}),
        ("findsimilarregions", "similar", {"IDS": "SC-003-004"}),
        ("searchbytext", "found", {"CHECKPOINT": out / "checkpoint", "QUERY": "offices and banks"}),
        ("predictindicators", "prices", {"REGIONS": given["REGIONS"], "TARGET": "log:price"}),
    ):
        outputs = {"OUT": out / f"{name}.gpkg", "REPORT": out / f"{name}.html"}
        made += run(qgis, algorithm, outputs, EMBEDDINGS=table, **parameters)
    missing = [path for path in made if not path.is_file()]
    if missing:
        print(f"qgis_process left no {', '.join(map(str, missing))}", file=sys.stderr)
        return 1
    print(f"Done in {time.monotonic() - started:.0f} s.")
    print(f"  map         {out / 'embeddings.png'}")
    print(f"  layers      {out}/*.gpkg   (drag them into QGIS: each has its style)")
    print(f"  reports     {out}/*.html")
    print(f"  GeoParquet  {out / 'embeddings.parquet'}   (exact vectors)")
    print(f"  checkpoint  {out / 'checkpoint'}")
    return 0


def run(qgis: QgisProcess, algorithm: str, outputs: dict[str, Path], **parameters: object) -> list[Path]:
    """Run an algorithm as a user would; the files that it was to write."""
    qgis.run(f"urbanfm:{algorithm}", echo=True, **parameters, **outputs)
    return [*outputs.values()]


if __name__ == "__main__":
    sys.exit(main())

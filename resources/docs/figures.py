"""Makes the maps of the pages again, from reports on a sample city: `python resources/docs/figures.py`."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import urbanfm_core as ufm

FIGURES = Path(__file__).resolve().parent / "figures"


def first_map(report: Path, target: Path) -> None:
    """Take the first map of a report out into a file of its own."""
    pictures = re.findall(r"<svg.*?</svg>", report.read_text(encoding="utf-8"), re.DOTALL)
    found = [picture for picture in pictures if "north is up" in picture]
    if not found:
        raise ValueError(f"{report} has no map.")
    target.write_text(found[0] + "\n", encoding="utf-8")


def main() -> None:
    """A city of 400 regions, embedded, clustered, compared and predicted."""
    with tempfile.TemporaryDirectory(prefix="urbanfm-figures-") as folder:
        work = Path(folder)
        city = ufm.samplecity(out=work / "city", regions=400)
        raster, pois, table = city / "embedding.tif", city / "pois.gpkg", work / "regions.parquet"
        model = ufm.train(preset="aether-small", pois=pois, embedding_raster=raster, out=work / "aether")
        ufm.embed(checkpoint=model, regions=city / "regions.gpkg", embedding_raster=raster, parquet=table)
        reports = {name: work / f"{name}.html" for name in ("clusters", "similar", "predicted")}
        ufm.cluster(embeddings=table, pois=pois, fields=["price", "land_use"], report=reports["clusters"])
        ufm.similar(embeddings=table, ids=["SC-006-004", "SC-006-005"], report=reports["similar"])
        ufm.predict(
            embeddings=table, regions=city / "regions.gpkg", target="log:population/km2", report=reports["predicted"]
        )
        for name, report in reports.items():
            first_map(report, FIGURES / f"{name}.svg")


if __name__ == "__main__":
    main()

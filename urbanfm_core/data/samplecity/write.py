"""Writes a sample city: tables by groups of regions, rasters by windows, so memory does not grow with the city."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import rasterio
import shapely
from affine import Affine
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from urbanfm_core.data.samplecity import captions, indicators, pois, streetview
from urbanfm_core.data.samplecity.buildings import Block, Blocks
from urbanfm_core.data.samplecity.embedding import BANDS, NODATA, PIXEL_M, EmbeddingModel
from urbanfm_core.data.samplecity.fields import FUNCTIONS, Latents
from urbanfm_core.data.samplecity.imagery import Painter
from urbanfm_core.data.samplecity.streets import CLASSES, CRS, ORIGIN_M, REGION_BLOCKS, Layout, street_name
from urbanfm_core.errors import ConfigError, OutputError
from urbanfm_core.files import atomic_path
from urbanfm_core.geo.raster_writer import check_written
from urbanfm_core.geo.vector import gdal_path
from urbanfm_core.progress import Progress

MANIFEST = "samplecity.json"
SMALLEST, LARGEST = 50, 100_000
GROUP = 8
"""Regions along one side of a group of regions that is written at once; even, since pairs exchange blocks."""
WINDOW_M = 1280
"""Side of a raster window: whole tiles of both rasters."""
TILE_M, COMPACT_TILE_M = 320, 160
"""Side of an imagery tile. The extent is a whole number of them, so that no tile is written twice."""
COMPACT_BUILDINGS = 9
"""Largest buildings per region that a compact city keeps as polygons."""

TEXT, NUMBER, COUNT = "text", "number", "count"
SCHEMAS: dict[str, dict[str, str]] = {
    "regions": {
        "region_id": TEXT,
        "name": TEXT,
        "population": NUMBER,
        "price": NUMBER,
        "carbon": NUMBER,
        "land_use": TEXT,
        **dict.fromkeys(indicators.LAND_USE_FIELDS, NUMBER),
        **dict.fromkeys(indicators.OCCUPATION_FIELDS, NUMBER),
    },
    "pois": {"poi_id": TEXT, "name": TEXT, "category": TEXT, "subcategory": TEXT, "tags": TEXT},
    "roads": {"road_id": TEXT, "class": TEXT, "name": TEXT, "lanes": COUNT, "width_m": NUMBER, "bridge": COUNT},
    "buildings": {
        "building_id": TEXT,
        "function": TEXT,
        "use": TEXT,
        "height_m": NUMBER,
        "levels": COUNT,
        "roof": TEXT,
    },
    "streetview": {"image_id": TEXT, "group_id": TEXT, "region_id": TEXT, "heading": NUMBER, "path": TEXT},
}
"""Fields of each GeoPackage, beside the geometry."""
TRUTH_FIELDS = (
    "region_id",
    *("density", "greenery", "height", "ses"),
    *(f"function_{name}" for name in FUNCTIONS),
    *(f"realised_{name}" for name in FUNCTIONS),
)
_CAPTION_SCHEMA = pa.schema(
    [("region_id", pa.string()), ("image", pa.string()), ("path", pa.string()), ("captioner", pa.string())]
    + [("caption", pa.string()), ("refused", pa.bool_())]
    + [(name, pa.list_(pa.string())) for name in ("facts_true", "facts_false", "facts_omitted")]
)
_TRUTH_SCHEMA = pa.schema([(name, pa.string() if name == "region_id" else pa.float64()) for name in TRUTH_FIELDS])


def generate(out: Path, regions: int, seed: int, progress: Progress, *, compact: bool = False) -> dict[str, Any]:
    """Write a sample city.

    Args:
        out: Folder to make. An earlier sample city there is replaced; any other non-empty folder is left alone.
        regions: Number of regions, 50 to 100,000.
        seed: Any integer from 0; the same seed and size give the same city.
        progress: Told about every group of regions and every raster window.
        compact: Smaller files for the same city: imagery at 2 m, embedding computed on 20 m, few and tiny street views, and
            only large buildings as polygons.
    Returns:
        `paths` (file by name), `counts` (rows by table), `bounds` in `crs`, `seed` and `regions`.
    Raises:
        ConfigError: regions or seed out of range.
        OutputError: `out` holds something else than a sample city, or cannot be written.
        Cancelled: the user asked to stop; nothing is left behind.
    """
    if not SMALLEST <= regions <= LARGEST:
        raise ConfigError(
            f"A sample city has {SMALLEST} to {LARGEST:,} regions; {regions:,} were asked for.",
            "Choose a number of regions within these limits.",
        )
    if not 0 <= seed < 2**63:
        raise ConfigError(f"The seed of a sample city is an integer from 0; found {seed}.", "Use for example 0.")
    out = Path(out).expanduser().absolute()
    _refuse_other_folder(out)
    gdal_path(out)
    progress.check()
    with atomic_path(out) as folder:
        (folder / "streetview").mkdir(parents=True)
        writer = _City(folder, regions, seed, compact)
        try:
            with _gdal_settings(compact), rasterio.Env(GDAL_CACHEMAX=64):
                writer.tables(progress.part(0.0, 0.6))
                writer.rasters(progress.part(0.6, 1.0))
            for name in ("imagery.tif", "embedding.tif"):
                check_written(folder / name)
        except (DataSourceError, DataLayerError, RasterioError, pa.ArrowException, OSError) as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"The sample city {out} cannot be written: {error}.", "Is the disk full?") from error
        result = writer.result()
        (folder / MANIFEST).write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        progress.check()
    files = {name: str(out / name) for name in result["files"]}
    progress.update(1.0, f"{regions:,} regions written to {out}")
    return {**result, "paths": files, "out": str(out)}


def _refuse_other_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; a sample city is a folder.", "Choose another output folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise OutputError(
            f"The folder {out} is not empty and holds no sample city ({MANIFEST} is missing), so it is not replaced.",
            "Choose an empty or new folder.",
        )


@contextmanager
def _gdal_settings(compact: bool) -> Iterator[None]:
    """Fixed dates in GeoPackages, so that the same seed gives the same bytes; small pages for small files."""
    wanted = {"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"}
    if compact:
        wanted["OGR_SQLITE_PRAGMA"] = "page_size=1024"
    before = {name: pyogrio.get_gdal_config_option(name) for name in wanted}
    pyogrio.set_gdal_config_options(wanted)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


class _City:
    def __init__(self, folder: Path, regions: int, seed: int, compact: bool) -> None:
        self.folder, self.compact = folder, compact
        self.layout, latents = Layout(seed, regions), Latents(seed)
        self.tile_m = COMPACT_TILE_M if compact else TILE_M
        self.bounds = self.layout.bounds(self.tile_m)
        self.blocks = Blocks(self.layout, latents)
        self.embedding = EmbeddingModel(seed, latents)
        self.counts = dict.fromkeys([*SCHEMAS, "captions", "truth"], 0)

    def tables(self, progress: Progress) -> None:
        """Write every vector layer, table and street view, one group of regions at a time."""
        layout = self.layout
        groups = [(r, c) for r in range(0, layout.rows, GROUP) for c in range(0, layout.columns, GROUP)]
        told = pq.ParquetWriter(self.folder / "captions.parquet", _CAPTION_SCHEMA, compression="zstd")
        truth = pq.ParquetWriter(self.folder / "truth.parquet", _TRUTH_SCHEMA, compression="zstd")
        with told, truth:
            done = 0
            for row0, column0 in groups:
                rows: dict[str, list[dict[str, Any]]] = {name: [] for name in [*SCHEMAS, "captions", "truth"]}
                for row in range(row0, min(row0 + GROUP, layout.rows)):
                    for column in range(column0, min(column0 + GROUP, layout.columns)):
                        if layout.has_region(row, column):
                            progress.check()
                            self._region(rows, row, column)
                            done += 1
                            progress.update(done / layout.regions, f"{done:,}/{layout.regions:,} regions")
                self._roads(rows["roads"], row0, column0)
                for name, schema in SCHEMAS.items():
                    self._append(name, schema, rows[name])
                told.write_table(pa.Table.from_pylist(rows["captions"], _CAPTION_SCHEMA))
                truth.write_table(pa.Table.from_pylist(rows["truth"], _TRUTH_SCHEMA))
                for name, found in rows.items():
                    self.counts[name] += len(found)

    def _region(self, rows: dict[str, list[dict[str, Any]]], row: int, column: int) -> None:
        layout, region_id = self.layout, self.layout.region_id(row, column)
        blocks = [self.blocks.get(i, j) for i, j in layout.blocks_of_region(row, column)]
        observed, truth = indicators.observe(layout, row, column, blocks)
        shape = shapely.union_all(shapely.polygons([layout.quad(block.i, block.j) for block in blocks]))
        names = (
            street_name(layout.seed, layout.rows * 3 + column, True, "rail").split()[0],
            "NSEW"[(row + column) % 4],
        )
        rows["regions"].append(
            {"region_id": region_id, "name": f"{names[0]} {names[1]}{row}", **observed, "geometry": shape}
        )
        rows["truth"].append({"region_id": region_id, **truth})
        self._buildings(rows["buildings"], blocks)
        for block in blocks:
            for poi in pois.block_pois(layout, block):
                fields = {name: getattr(poi, name) for name in SCHEMAS["pois"]}
                rows["pois"].append({**fields, "geometry": shapely.Point(poi.x, poi.y)})
        facts = captions.region_facts(blocks)
        self._captions(rows["captions"], (row, column, 4), region_id, "satellite", None, facts)
        view = streetview.viewpoint(layout, row, column, self.compact)
        if view is not None:
            self._views(rows, row, column, view)

    def _buildings(self, rows: list[dict[str, Any]], blocks: Sequence[Block]) -> None:
        found = [(block, number, item) for block in blocks for number, item in enumerate(block.buildings)]
        if not found:
            return
        shapes = shapely.polygons(np.stack([building.ring for _, _, building in found]))
        kept: Sequence[int] = range(len(found))
        if self.compact:
            kept = sorted(np.argsort(-shapely.area(shapes), kind="stable")[:COMPACT_BUILDINGS].tolist())
        for index in kept:
            block, number, building = found[index]
            rows.append(
                {
                    "building_id": f"B-{block.j:04d}-{block.i:04d}-{number:02d}",
                    "function": block.function,
                    "use": building.use,
                    "height_m": building.height_m,
                    "levels": building.levels,
                    "roof": building.roof,
                    "geometry": shapes[index],
                }
            )

    def _views(self, rows: dict[str, list[dict[str, Any]]], row: int, column: int, view: streetview.Viewpoint) -> None:
        region_id = self.layout.region_id(row, column)
        seen = streetview.surroundings(self.blocks, view)
        size = streetview.COMPACT_SIZE_PX if self.compact else streetview.SIZE_PX
        folder = f"streetview/{row // 50:03d}-{column // 50:03d}" if self.layout.regions > 5000 else "streetview"
        (self.folder / folder).mkdir(exist_ok=True)
        for number, heading in enumerate(view.headings_deg):
            path = f"{folder}/{region_id}_{number}.jpg"
            image = streetview.picture(self.blocks, view, heading, seen, size)
            image.save(self.folder / path, quality=60 if self.compact else 85, optimize=self.compact)
            rows["streetview"].append(
                {
                    "image_id": f"{region_id}_{number}",
                    "group_id": f"G-{region_id}",
                    "region_id": region_id,
                    "heading": heading,
                    "path": path,
                    "geometry": shapely.Point(view.x, view.y),
                }
            )
            facts = captions.view_facts(view, heading, seen.blocks)
            self._captions(rows["captions"], (row, column, number), region_id, "street", path, facts)

    def _captions(
        self,
        rows: list[dict[str, Any]],
        key: tuple[int, ...],
        region_id: str,
        image: str,
        path: str | None,
        facts: Sequence[captions.Fact],
    ) -> None:
        for told in captions.describe(self.layout.seed, key, image, facts):
            rows.append(
                {
                    "region_id": region_id,
                    "image": image,
                    "path": path or "imagery.tif",
                    "captioner": told.captioner,
                    "caption": told.text,
                    "refused": told.refused,
                    "facts_true": told.facts_true,
                    "facts_false": told.facts_false,
                    "facts_omitted": told.facts_omitted,
                }
            )

    def _roads(self, rows: list[dict[str, Any]], row0: int, column0: int) -> None:
        """Street segments whose south-western node lies in a group; those that end the city belong to its last group."""
        layout, side = self.layout, GROUP * REGION_BLOCKS
        i1 = column0 * REGION_BLOCKS + side + (column0 + GROUP >= layout.columns)
        j1 = row0 * REGION_BLOCKS + side + (row0 + GROUP >= layout.rows)
        for j in range(row0 * REGION_BLOCKS, j1):
            for i in range(column0 * REGION_BLOCKS, i1):
                for vertical in (False, True):
                    other = (i - 1, j) if vertical else (i, j - 1)
                    if layout.region_of_block(i, j) is None and layout.region_of_block(*other) is None:
                        continue
                    street = layout.street(i, j, vertical)
                    look = CLASSES[street.kind]
                    if street.kind in ("river", "rail"):
                        continue
                    rows.append(
                        {
                            "road_id": f"W-{j:04d}-{i:04d}-{'n' if vertical else 'e'}",
                            "class": street.kind,
                            "name": street.name,
                            "lanes": look.lanes,
                            "width_m": look.carriageway_m,
                            "bridge": int(street.bridge),
                            "geometry": shapely.LineString(street.ends),
                        }
                    )

    def _append(self, name: str, schema: Mapping[str, str], rows: list[dict[str, Any]]) -> None:
        path = self.folder / f"{name}.gpkg"
        if not rows and path.exists():
            return
        dtypes = {TEXT: "object", NUMBER: "float64", COUNT: "int32"}
        columns = {field: pd.Series([row[field] for row in rows], dtype=dtypes[kind]) for field, kind in schema.items()}
        shapes = np.array([row["geometry"] for row in rows], dtype=object)
        if name == "regions":
            # A fixed start corner, so that the file does not depend on the GEOS version.
            shapes = shapely.normalize(shapes)
        shapes = shapely.transform(shapes, lambda xy: np.round(xy + np.array(ORIGIN_M), 2))
        frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs=CRS)
        kinds = {"regions": "Polygon", "buildings": "Polygon", "roads": "LineString"}
        pyogrio.write_dataframe(
            frame,
            path,
            layer=name,
            append=path.exists(),
            geometry_type=kinds.get(name, "Point"),
            SPATIAL_INDEX="NO" if self.compact else "YES",
        )

    def rasters(self, progress: Progress) -> None:
        """Write imagery and embedding, one window at a time, from west to east and from south to north."""
        west, south, east, north = self.bounds
        scale = 0.5 if self.compact else 1.0
        painter = Painter(self.blocks, scale)
        wide, tall = int(east - west), int(north - south)
        x0, y0 = west + ORIGIN_M[0], south + ORIGIN_M[1]
        picture = {
            "width": int(wide * scale),
            "height": int(tall * scale),
            "count": 3,
            "transform": Affine(1 / scale, 0, x0, 0, -1 / scale, y0 + tall),
            "compress": "JPEG",
            "photometric": "YCBCR",
            "JPEG_QUALITY": 55 if self.compact else 88,
            "blockxsize": int(self.tile_m * scale),
            "blockysize": int(self.tile_m * scale),
            "interleave": "pixel",
        }
        bands = {
            "width": wide // PIXEL_M,
            "height": tall // PIXEL_M,
            "count": BANDS,
            "dtype": "int8",
            "nodata": NODATA,
            "transform": Affine(PIXEL_M, 0, x0, 0, PIXEL_M, y0),
            "compress": "DEFLATE",
            "predictor": 2,
            "ZLEVEL": 9 if self.compact else 6,
            "blockxsize": WINDOW_M // PIXEL_M,
            "blockysize": WINDOW_M // PIXEL_M,
            "interleave": "pixel",
        }
        common: dict[str, Any] = {"driver": "GTiff", "crs": CRS, "tiled": True, "BIGTIFF": "IF_SAFER"}
        corners = [(x, y) for y in range(0, tall, WINDOW_M) for x in range(0, wide, WINDOW_M)]
        with (
            rasterio.open(self.folder / "imagery.tif", "w", dtype="uint8", **common, **picture) as rgb,
            rasterio.open(self.folder / "embedding.tif", "w", **common, **bands) as embedding,
        ):
            embedding.descriptions = tuple(f"A{band:02d}" for band in range(BANDS))
            for done, (x, y) in enumerate(corners):
                progress.check()
                # Windows count from the south, as the rows of the embedding raster do.
                width, height = min(WINDOW_M, wide - x), min(WINDOW_M, tall - y)
                top = tall - y - height
                pixels, shares = painter.window(west + x, south + y + height, width, height)
                rgb.write(pixels, window=Window(x * scale, top * scale, width * scale, height * scale))
                stored = self.embedding.window(west + x, south + y, shares[:, ::-1], self.compact)
                at = Window(x // PIXEL_M, y // PIXEL_M, width // PIXEL_M, height // PIXEL_M)
                embedding.write(stored, window=at)
                progress.update((done + 1) / len(corners), f"{done + 1:,}/{len(corners):,} raster windows")
        if not self.compact:
            levels = [level for level in (2, 4, 8, 16, 32) if max(wide, tall) / level > 500]
            with rasterio.open(self.folder / "imagery.tif", "r+") as rgb:
                rgb.build_overviews(levels, Resampling.average)

    def result(self) -> dict[str, Any]:
        """What the manifest says."""
        west, south, east, north = self.bounds
        bounds = [west + ORIGIN_M[0], south + ORIGIN_M[1], east + ORIGIN_M[0], north + ORIGIN_M[1]]
        files = [*sorted(entry.name for entry in os.scandir(self.folder)), MANIFEST]
        return {
            "bounds": bounds,
            "compact": self.compact,
            "counts": self.counts,
            "crs": CRS,
            "files": files,
            "regions": self.layout.regions,
            "seed": self.layout.seed,
        }

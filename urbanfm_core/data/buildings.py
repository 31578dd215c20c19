"""Polygons of points of interest, such as buildings: outlines, ground area, and shapes as small pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from urbanfm_core.data.poi_columns import OSM_KEYS
from urbanfm_core.data.poi_tags import AREA_KEYS, Tags, osm_columns, read_tags
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.geo.assign import assign_to_polygons
from urbanfm_core.geo.crs import metric_crs, require_crs, transform_xy
from urbanfm_core.geo.vector import read_layer
from urbanfm_core.progress import Progress

ID_COLUMNS = ("building_id", "polygon_id", "osm_id", "osm_way_id")
_AT_ONCE = 1 << 13


@dataclass(frozen=True)
class BuildingSet:
    """B polygons in a CRS in metres.

    Attributes:
        ids: (B,) unique ids, int64 or text.
        id_name: Name of their column.
        geometry: (B,) valid polygons and multi-polygons.
        crs: Metric CRS of the geometry.
        area_m2: (B,) float64 ground area.
        xy: (B, 2) centroids in `crs`.
        tags: What OpenStreetMap, or the named columns, say of each.
        notes: What was repaired, left out or chosen.
    """

    ids: NDArray[Any]
    id_name: str
    geometry: NDArray[np.object_]
    crs: CRS
    area_m2: NDArray[np.float64]
    xy: NDArray[np.float64]
    tags: Tags
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def read(
        cls,
        source: str | Path | geopandas.GeoDataFrame,
        id_field: str | None = None,
        tag_columns: Sequence[str] | None = None,
    ) -> BuildingSet:
        """Buildings from a polygon layer.

        Columns are tags only where they are OpenStreetMap's keys, or named: a column such as 'function' may be the
        very thing that is to be predicted. Polygons that these keys call ground only, such as a landuse or a boundary, are
        left out.

        Args:
            source: Path (see `geo.vector`) or frame.
            id_field: Column of the ids; one of `ID_COLUMNS` if its values are unique, else as for regions.
            tag_columns: Columns that hold tags.

        Raises:
            CRSError, EmptyInputError, InputError: as `RegionSet.from_layer`.
            ConfigError: a column that does not exist.
        """
        frame = source if isinstance(source, geopandas.GeoDataFrame) else read_layer(source)
        unique = (name for name in ID_COLUMNS if name in frame and frame[name].notna().all() and frame[name].is_unique)
        outlines = RegionSet.from_layer(frame, id_field or next(unique, None))
        columns = osm_columns(outlines.attributes) if tag_columns is None else tag_columns
        tags = read_tags(outlines.attributes, columns)
        notes = [f"Buildings: {note}" for note in (*outlines.notes, *tags.notes)]
        ground = _is_ground(tags)
        if ground.all():
            raise EmptyInputError(
                f"buildings: all of {len(ground):,} polygons are ground (landuse, boundaries, ...).",
                "Choose another layer.",
            )
        if ground.any():
            notes.append(f"Buildings: {int(ground.sum()):,} polygons of landuse, boundaries and the like are left out.")
            outlines, tags = outlines.take(np.flatnonzero(~ground)), tags.take(np.flatnonzero(~ground))
        crs = metric_crs(outlines.crs, outlines.bounds())
        return cls(
            outlines.ids,
            outlines.id_name,
            outlines.to_crs(crs).geometry,
            crs,
            outlines.area_m2(),
            outlines.centroid_xy(crs),
            tags,
            notes,
        )

    def holding(self, xy: NDArray[np.float64], crs: Any, progress: Progress | None = None) -> NDArray[np.int64]:
        """The smallest building that holds each point.

        Args:
            xy: (P, 2) points.
            crs: Their CRS.
            progress: Reports and cancels.

        Returns:
            (P,) row of the building; -1 for none.
        """
        found = assign_to_polygons(transform_xy(xy, require_crs(crs, "points"), self.crs), self.geometry, progress)
        held = np.full(len(xy), -1, np.int64)
        # The smallest is written last.
        order = np.argsort(-self.area_m2[found.region], kind="stable")
        held[found.point[order]] = found.region[order]
        return held

    def shapes(self, size_px: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """Outlines as pictures (UrbanMFM, eq. 4), north up and undistorted, filling the picture along their longer side.

        Pixels whose centre lies inside are true; of an outline too thin to hold one, those that its border touches.

        Args:
            size_px: Side of the pictures, 2 or more.
            rows: Which buildings; all if None.

        Returns:
            (n, size_px, size_px) bool, row 0 in the north.

        Raises:
            ConfigError: a side that shows nothing.
        """
        if size_px < 2:
            raise ConfigError(f"A shape cannot be drawn in {size_px} pixels.", "Give a side of at least 2.")
        geometry = self.geometry if rows is None else self.geometry[rows]
        bounds = shapely.bounds(geometry).reshape(-1, 4)
        middle, side = (bounds[:, :2] + bounds[:, 2:]) / 2, (bounds[:, 2:] - bounds[:, :2]).max(axis=1, initial=0)
        corner = np.column_stack([middle[:, 0] - side / 2, middle[:, 1] + side / 2])
        # All shapes are drawn below each other on one strip of pixels.
        xy, owner = shapely.get_coordinates(geometry, return_index=True)
        strip = (xy - corner[owner]) * (np.array([1, -1]) * size_px / side[owner, None])
        strip[:, 1] += owner * size_px
        drawn = shapely.set_coordinates(geometry.copy(), strip)
        if not len(drawn):
            return np.zeros((0, size_px, size_px), bool)
        shape = (len(drawn) * size_px, size_px)
        burnt = rasterio.features.rasterize(drawn, shape, dtype="uint8")
        pictures: NDArray[np.bool_] = burnt.astype(bool).reshape(-1, size_px, size_px)
        # What is too thin to hold the centre of a pixel is drawn as its border.
        for row in np.flatnonzero(~pictures.any(axis=(1, 2))).tolist():
            border, place = shapely.boundary(drawn[row]), Affine.translation(0, row * size_px)
            pictures[row] = rasterio.features.rasterize(
                [border], pictures[row].shape, transform=place, all_touched=True
            )
        return pictures


@dataclass(frozen=True)
class PackedShapes:
    """Pictures of B shapes, eight pixels to a byte.

    Attributes:
        bits: (B, ceil(size_px ** 2 / 8)) uint8.
        size_px: Side.
    """

    bits: NDArray[np.uint8]
    size_px: int

    def __len__(self) -> int:
        return len(self.bits)

    def batch(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Some of the pictures, (n, size_px, size_px) of 0 and 1."""
        pixels = np.unpackbits(self.bits[rows], axis=1, count=self.size_px**2)
        return pixels.reshape(-1, self.size_px, self.size_px)


def _is_ground(tags: Tags) -> NDArray[np.bool_]:
    """Rows that have a tag of ground, and none of a place."""
    row = np.repeat(np.arange(len(tags)), np.diff(tags.starts))
    places = [key for key in OSM_KEYS if key not in AREA_KEYS]
    of_ground, of_places = (
        np.bincount(row[np.isin(tags.key, keys)], minlength=len(tags)) for keys in (AREA_KEYS, places)
    )
    ground: NDArray[np.bool_] = (of_ground > 0) & (of_places == 0)
    return ground


def stored_shapes(
    buildings: BuildingSet, size_px: int, store: SampleStore, progress: Progress | None = None
) -> PackedShapes:
    """Pictures of all buildings: from the store, or made and kept there; finished parts are not made again.

    Raises:
        ConfigError, OutputError, Cancelled: as `BuildingSet.shapes` and `SampleStore.save`; the caller asked to stop.
    """
    digest = hashlib.sha256()
    for wkb in shapely.to_wkb(buildings.geometry):
        digest.update(wkb)

    def make(rows: slice) -> dict[str, np.ndarray]:
        (progress or Progress()).check()
        pictures = buildings.shapes(size_px, np.arange(rows.start, rows.stop))
        return {"bits": np.packbits(pictures.reshape(len(pictures), -1), axis=1)}

    folder = f"shapes/{digest.hexdigest()[:16]}-{size_px}"
    parts = [arrays["bits"] for _, arrays in store.partitions(folder, len(buildings), _AT_ONCE, make)]
    return PackedShapes(np.concatenate(parts), size_px)

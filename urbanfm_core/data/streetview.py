"""Street views: pictures taken on the ground, where they were taken, and which way they look.

A picture comes as the square in its middle. A panorama all around (equirectangular, twice as wide as high) comes as four
flat views of 90 degrees: ahead, right, behind, left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from pyproj import CRS

from urbanfm_core.data.captions import VIEW_MARK
from urbanfm_core.data.image_store import Pictures, StoredImages, collect_images
from urbanfm_core.data.poi import PoiColumns, PoiSet
from urbanfm_core.data.poi_table import read_poi_table
from urbanfm_core.data.regions import RegionSet, id_text
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, EmptyInputError
from urbanfm_core.geo.vector import LayerSource
from urbanfm_core.progress import Progress

TURNS = (0.0, 90.0, 180.0, 270.0)
_PATH_COLUMNS = ("path", "image_path", "file", "filename", "file_name", "image", "picture", "photo")
_HEADING_COLUMNS = ("heading", "compass_angle", "computed_compass_angle", "direction", "azimuth", "bearing")
_GROUP_COLUMNS = ("group_id", "group", "panorama_id", "pano_id", "sequence_id", "sequence")
_REGION_COLUMNS = ("region_id",)
_PROJECTION_COLUMNS = ("projection_type", "projection", "camera_type")
_ALL_AROUND = ("spherical", "equirectangular")
# Width by height of a panorama, within a hundredth.
_PANORAMA, _SLACK = 2.0, 0.02
# What Pillow raises for files that are no picture, are cut off, or would fill the memory.
_BROKEN = (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError)
_NAMED = 3


@dataclass(frozen=True)
class StreetViews:
    """S views in one CRS; a panorama is four of them.

    Attributes:
        xy: (S, 2) where they were taken.
        crs: CRS of that.
        key: (S,) name of the picture as the layer says it, for a view of a panorama with '#' and the turn in degrees.
        path: (S,) file.
        heading: (S,) compass direction of the middle of the view in degrees, NaN where it is not told.
        group: (S,) what belongs together: what the layer says, else the picture.
        region: (S,) id of the region that the layer's column 'region_id' tells, as text; "" where it does not.
        turn: (S,) degrees right of the middle of the panorama; NaN for a plain picture.
        identity: Hash of names, sizes and times of the files.
        notes: What was taken, and what was left out, with counts.
    """

    xy: NDArray[np.float64]
    crs: CRS
    key: NDArray[np.object_]
    path: NDArray[np.object_]
    heading: NDArray[np.float64]
    group: NDArray[np.object_]
    region: NDArray[np.object_]
    turn: NDArray[np.float64]
    identity: str
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def read(cls, source: str | Path, progress: Progress | None = None) -> StreetViews:
        """Street views from a point layer or table with a column that names the picture files.

        Names are relative to the folder of the layer, or to a folder in that folder. Pictures that are missing or
        cannot be opened are left out and counted.

        Args:
            source: See `PoiSet.from_source`.
            progress: Reports and cancels.

        Raises:
            ConfigError: no column names files, or there is none of coordinates.
            EmptyInputError: no picture can be opened.
            CRSError, InputError: as `PoiSet.from_source`.
        """
        progress = progress or Progress()
        table = _PictureTable.read(source)
        points, notes = table.points, list(table.notes)
        kept: list[tuple[int, float]] = []
        missing, broken, around = [], [], 0
        for row in progress.track(range(len(points)), "pictures"):
            path = table.path[row]
            if path is None:
                missing.append(table.name[row])
                continue
            try:
                with Image.open(path) as picture:
                    width, height = picture.size
            except _BROKEN:
                broken.append(table.name[row])
                continue
            told = table.projection[row]
            wide = abs(width / height - _PANORAMA) <= _SLACK * _PANORAMA
            panorama = wide if not told else told in _ALL_AROUND
            around += panorama
            kept += [(row, turn) for turn in (TURNS if panorama else (np.nan,))]
        notes += _losses(missing, broken, len(points))
        if not kept:
            raise EmptyInputError(
                f"street views ({source}): none of {len(points):,} pictures can be opened.",
                "Their names are relative to the layer's folder; are the files there?",
            )
        rows, turn = np.array([row for row, _ in kept]), np.array([turn for _, turn in kept])
        marks = ["" if np.isnan(angle) else f"{VIEW_MARK}{angle:.0f}" for angle in turn]
        if around:
            notes.append(f"{around:,} panoramas are cut into four views of 90 degrees each.")
        return cls(
            xy=points.xy[rows],
            crs=points.crs,
            key=np.array([f"{table.name[row]}{mark}" for row, mark in zip(rows, marks, strict=True)], dtype=object),
            path=np.array([str(table.path[row]) for row in rows], dtype=object),
            heading=(table.heading[rows] + np.nan_to_num(turn)) % 360,
            group=np.array([table.group[row] or table.name[row] for row in rows], dtype=object),
            region=np.array([table.region[row] for row in rows], dtype=object),
            turn=turn,
            identity=table.identity(),
            notes=notes,
        )

    def take(self, rows: NDArray[np.int64]) -> StreetViews:
        """The views of some rows, in that order."""
        names = ("xy", "key", "path", "heading", "group", "region", "turn")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def assign(self, regions: RegionSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which views belong to which region: to the one that the layer tells, else to where they were taken.

        Returns:
            Where the views of each region begin, (R + 1,) int64, and the rows of the views in that order, ascending
            within a region. A point in several regions that overlap is in each.
        """
        row_of = {id_text(region): row for row, region in enumerate(regions.ids)}
        told = np.array([row_of.get(region, -1) for region in self.region], np.int64)
        rest = np.flatnonzero(told < 0)
        placed = regions.assign(self.xy[rest], self.crs)
        views = np.concatenate([np.flatnonzero(told >= 0), rest[placed.point]])
        owners = np.concatenate([told[told >= 0], placed.region])
        order = np.lexsort((views, owners))
        counts = np.bincount(owners, minlength=len(regions))
        return np.concatenate([[0], counts.cumsum()]).astype(np.int64), views[order]

    def coverage_notes(self, starts: NDArray[np.int64], rows: NDArray[np.int64]) -> list[str]:
        """What a report should say of `assign`: regions without a view, and views outside all regions."""
        without, outside = int((np.diff(starts) == 0).sum()), len(self) - len(np.unique(rows))
        notes = [f"{without:,} of {len(starts) - 1:,} regions have no street view."] if without else []
        if outside:
            notes.append(f"{outside:,} of {len(self):,} street views lie in none of the regions.")
        return notes

    def iter_images(
        self, size_px: int, *, rows: NDArray[np.int64] | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[int, NDArray[np.uint8] | None]]:
        """Pictures of views, in their order; a panorama is decoded once for views that follow each other.

        Args:
            size_px: Side of the pictures.
            rows: Views to read; all if None.
            progress: Reports and cancels.

        Yields:
            Row of the view and (3, size_px, size_px), red first, top row first; None for a file that turns out to be
            damaged.
        """
        rows = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        opened: tuple[str, NDArray[np.uint8] | None] = ("", None)
        for row in (progress or Progress()).track(rows.tolist(), "street views"):
            turn, path = self.turn[row], self.path[row]
            if np.isnan(turn):
                yield row, _square(path, size_px)
                continue
            if opened[0] != path:
                # As many pixels to the radian as the flat view has in its middle.
                opened = path, _decode(path, (round(np.pi * size_px), round(np.pi * size_px / 2)))
            around = opened[1]
            yield row, None if around is None else flat_view(around, float(turn), size_px)


def stored_views(
    views: StreetViews, size_px: int, store: SampleStore, progress: Progress | None = None
) -> StoredImages:
    """Pictures of all views: from the store, or made and kept there; finished parts are not made again.

    Args:
        views: S street views.
        size_px: Side of the pictures.
        store: Where they are kept.
        progress: Reports and cancels.

    Returns:
        S pictures; views whose file turned out to be damaged have none, and are counted in the notes.

    Raises:
        OutputError, Cancelled: as `SampleStore.save`; the caller asked to stop.
    """
    digest = hashlib.sha256("\0".join([views.identity, str(size_px), *views.key]).encode()).hexdigest()[:16]
    whole = np.ones((size_px, size_px), dtype=bool)

    def pictures(rows: NDArray[np.int64], told: Progress) -> Pictures:
        for row, image in views.iter_images(size_px, rows=rows, progress=told):
            if image is not None:
                yield row, image, whole

    found = collect_images(
        pictures, np.arange(len(views)), len(views), size_px, store, f"streetview/{digest}", progress or Progress()
    )
    damaged = np.flatnonzero(~found.has_image)
    notes = [*views.notes]
    if len(damaged):
        notes.append(
            f"{len(damaged):,} of {len(views):,} street views are damaged files: {_listed(views.key[damaged])}."
        )
    return replace(found, notes=notes)


def picture_identity(source: str | Path) -> str:
    """What identifies the picture files of a layer, without opening them: names, sizes and times."""
    return _PictureTable.read(source).identity()


def flat_view(around: NDArray[np.uint8], turn_deg: float, size_px: int) -> NDArray[np.uint8]:
    """A flat (gnomonic) view of 90 degrees, level, out of a panorama.

    Args:
        around: Equirectangular panorama, (3, H, 2 H), its middle column ahead.
        turn_deg: Where to look: degrees to the right of the middle.
        size_px: Side of the view.

    Returns:
        (3, size_px, size_px), interpolated between the nearest four pixels.
    """
    _, height, width = around.shape
    step = (np.arange(size_px) + 0.5) * 2 / size_px - 1
    right, down = np.meshgrid(step, step)
    longitude = np.arctan(right) + np.radians(turn_deg)
    latitude = np.arctan2(down, np.hypot(right, 1))
    x = (longitude / (2 * np.pi) + 0.5) * width - 0.5
    y = np.clip((latitude / np.pi + 0.5) * height - 0.5, 0, height - 1)
    left, top = np.floor(x).astype(np.int64), np.minimum(np.floor(y).astype(np.int64), max(height - 2, 0))
    bottom = np.minimum(top + 1, height - 1)
    across, along = (x - left).astype(np.float32), (y - top).astype(np.float32)
    first, second = left % width, (left + 1) % width
    upper = around[:, top, first] * (1 - across) + around[:, top, second] * across
    lower = around[:, bottom, first] * (1 - across) + around[:, bottom, second] * across
    view: NDArray[np.uint8] = np.rint(upper * (1 - along) + lower * along).astype(np.uint8)
    return view


@dataclass(frozen=True)
class _PictureTable:
    """Rows of a layer of pictures: P points with names, files and directions."""

    points: PoiSet
    name: list[str]
    path: list[Path | None]
    heading: NDArray[np.float64]
    group: list[str]
    region: list[str]
    projection: list[str]
    notes: list[str]

    @classmethod
    def read(cls, source: str | Path) -> _PictureTable:
        notes: list[str] = []
        frame = read_poi_table(source, notes)
        where = f"street views ({source})"
        if not len(frame):
            raise EmptyInputError(f"{where}: no rows.", "Check the layer and its filter.")
        there = {str(name).lower(): str(name) for name in reversed(frame.columns)}
        found = {
            role: next((there[name] for name in names if name in there), None)
            for role, names in {
                "path": _PATH_COLUMNS,
                "heading": _HEADING_COLUMNS,
                "group": _GROUP_COLUMNS,
                "region": _REGION_COLUMNS,
                "projection": _PROJECTION_COLUMNS,
            }.items()
        }
        if found["path"] is None:
            raise ConfigError(
                f"{where}: no column names the picture files.",
                f"Call it 'path'. Its columns: {', '.join(map(str, frame.columns))}.",
            )
        # The names and categories of points mean nothing here; any column keeps the guessing quiet.
        points = PoiSet.from_source(frame, PoiColumns(name=found["path"]))
        notes += [note for note in points.notes if not note.startswith("Texts of")]
        frame = frame.iloc[points.index]
        name = [str(value) if isinstance(value, str) else "" for value in frame[found["path"]]]
        heading = pd.to_numeric(frame[found["heading"]], errors="coerce") if found["heading"] else None
        return cls(
            points,
            name,
            _resolve(name, Path(LayerSource.parse(source).path).expanduser().absolute().parent),
            np.full(len(name), np.nan) if heading is None else heading.to_numpy(np.float64),
            _words(frame, found["group"]),
            _words(frame, found["region"]),
            [word.lower() for word in _words(frame, found["projection"])],
            notes,
        )

    def identity(self) -> str:
        digest = hashlib.sha256()
        for name, path in zip(self.name, self.path, strict=True):
            status = None if path is None else path.stat()
            seen = "absent" if status is None else f"{status.st_size}|{status.st_mtime_ns}"
            digest.update(f"{name}|{seen}\0".encode())
        return digest.hexdigest()[:20]


def _words(frame: pd.DataFrame, column: str | None) -> list[str]:
    if column is None:
        return [""] * len(frame)
    return ["" if value is None or value != value else id_text(value) for value in frame[column]]


def _resolve(names: list[str], folder: Path) -> list[Path | None]:
    """The file of each name: in the folder of the layer, else in one of the folders in it."""
    try:
        places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")]
    except OSError:
        places = [folder]
    found: list[Path | None] = []
    for name in names:
        place = next((place for place in places if name and (place / name).is_file()), None)
        if place is not None:
            # The next one is most likely in the same folder.
            places.remove(place)
            places.insert(0, place)
        found.append(None if place is None else place / name)
    return found


def _losses(missing: list[str], broken: list[str], count: int) -> list[str]:
    notes = []
    if missing:
        notes.append(f"{len(missing):,} of {count:,} pictures are not there: {_listed(missing)}; left out.")
    if broken:
        notes.append(f"{len(broken):,} of {count:,} pictures cannot be opened: {_listed(broken)}; left out.")
    return notes


def _listed(names: list[str] | NDArray[np.object_]) -> str:
    return ", ".join(str(name) or "(no name)" for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _decode(path: str, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """A picture, (3, height, width), resized to width and height; None if it is damaged."""
    try:
        with Image.open(path) as picture:
            # Of a JPEG only as much detail is decoded as is needed.
            picture.draft("RGB", size)
            pixels = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    except _BROKEN:
        return None
    return np.ascontiguousarray(np.asarray(pixels, np.uint8).transpose(2, 0, 1))


def _square(path: str, size_px: int) -> NDArray[np.uint8] | None:
    """The square in the middle of a picture, upright, (3, size_px, size_px); None if it is damaged."""
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (size_px, size_px))
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            pixels = ImageOps.fit(upright, (size_px, size_px), Image.Resampling.LANCZOS)
    except _BROKEN:
        return None
    return np.ascontiguousarray(np.asarray(pixels, np.uint8).transpose(2, 0, 1))

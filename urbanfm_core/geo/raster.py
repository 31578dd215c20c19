"""N-band rasters: what a file is, and how to read it.

Everything here speaks *north-up* pixel coordinates: row 0 is the northern edge, whatever the file stores. Public
AlphaEarth tiles lie south-up; the reader turns windows and arrays over, so nothing downstream has to know.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from urbanfm_core.errors import InputError, ShapeError
from urbanfm_core.geo.crs import SCALE_TOLERANCE, require_crs, transform_xy
from urbanfm_core.geo.strips import plan_strips

CACHE_MB = 32
_SERVICES = {"WMS", "WMTS", "WCS", "OGCAPI", "EEDAI", "PLMOSAIC", "DAAS"}
# A description in XML, a plain address, or what QGIS keeps of a service ("type=xyz&url=https://...").
_ADDRESS = re.compile(r"\s*<|https?://|wms:|contextualwmslegend|([^/]*&)?(url|type)=", re.IGNORECASE)
QUANTIZATION_TAG = "QUANTIZATION"


@contextmanager
def gdal_env(cache_mb: int = CACHE_MB) -> Iterator[None]:
    """GDAL settings under which memory stays flat: its own default block cache grows to 5 % of the machine."""
    with rasterio.Env(GDAL_CACHEMAX=cache_mb):
        yield


@dataclass(frozen=True)
class RasterInfo:
    """What a raster is, in north-up terms.

    Attributes:
        nodata: Missing-value marker per band, None where a band declares none.
        transform: Pixel (column, row) to map (x, y); row 0 is the northern edge.
        block_shape: Rows and columns of the stored blocks; for a mosaic, of its sources' blocks.
        block_offset: Row and column where the first whole block begins, each below block_shape.
        south_up: The file stores its southern row first.
        has_mask: The file carries a validity mask of its own beside the bands.
        quantization: How the file says that its codes become numbers, in its metadata item QUANTIZATION; empty if it
            does not.
        scales, offsets: value = stored * scale + offset, per band, as the file declares.
    """

    path: str
    width: int
    height: int
    count: int
    dtype: str
    nodata: tuple[float | None, ...]
    crs: pyproj.CRS
    transform: Affine
    block_shape: tuple[int, int]
    block_offset: tuple[int, int]
    interleave: str
    south_up: bool
    has_mask: bool
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    descriptions: tuple[str | None, ...]
    quantization: str = ""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in units of the CRS."""
        west, north = self.transform @ (0, 0)
        east, south = self.transform @ (self.width, self.height)
        return west, south, east, north

    @property
    def res_m(self) -> tuple[float, float]:
        """Width and height of the central pixel in metres on the ground."""
        x, y = metres_per_pixel(self, np.array([[self.width / 2, self.height / 2]]))[0]
        return float(x), float(y)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel over all bands, as stored."""
        return self.count * np.dtype(self.dtype).itemsize

    @property
    def window(self) -> Window:
        """The whole raster."""
        return Window(0, 0, self.width, self.height)


def metres_per_pixel(info: RasterInfo, colrow: np.ndarray) -> np.ndarray:
    """Ground size of the pixels at some places.

    A geographic raster's pixel shrinks eastward with latitude, so it is measured on the ellipsoid at each place. A
    projection is taken at its word where its metre is true to 2 % in the middle of the raster (UTM and national
    grids); where it is not (Web Mercator), its own scale at each place corrects it.

    Args:
        info: The raster.
        colrow: Places as continuous (column, row), (N, 2).
    Returns:
        Width and height of a pixel in metres, (N, 2), float64.
    """
    size = np.array([info.transform.a, -info.transform.e])
    xy = np.column_stack(
        [info.transform.c + colrow[:, 0] * size[0], info.transform.f - colrow[:, 1] * size[1]],
    )
    if info.crs.is_geographic:
        return np.asarray(_metres_per_degree(info, xy[:, 1]) * size)
    size = size * info.crs.axis_info[0].unit_conversion_factor
    west, south, east, north = info.bounds
    middle = _map_scale(info, np.array([[(west + east) / 2, (south + north) / 2]]))
    if np.abs(middle - 1).max() <= SCALE_TOLERANCE:
        return np.tile(size, (len(colrow), 1))
    return np.asarray(size / _map_scale(info, xy))


def _metres_per_degree(info: RasterInfo, latitude: np.ndarray) -> np.ndarray:
    """Metres that one unit of a geographic CRS spans east and north at some latitudes, (N, 2)."""
    ellipsoid = info.crs.ellipsoid
    if ellipsoid is None:
        raise InputError(f"Raster {info.path}: its CRS names no ellipsoid, so metres are unknown.", "Reproject it.")
    unit = info.crs.axis_info[0].unit_conversion_factor
    major, flat = ellipsoid.semi_major_metre, (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2
    bend = 1 - (1 - flat) * np.sin(latitude * unit) ** 2
    east = major * np.cos(latitude * unit) / np.sqrt(bend)
    north = major * flat / bend**1.5
    return np.column_stack([east, north]) * unit


def _map_scale(info: RasterInfo, xy: np.ndarray) -> np.ndarray:
    """Map metres per ground metre, east and north, at some places of a projected raster, (N, 2)."""
    geodetic = info.crs.geodetic_crs
    if geodetic is None:
        return np.ones((len(xy), 2))
    place = transform_xy(xy, info.crs, geodetic)
    factors = pyproj.Proj(info.crs).get_factors(place[:, 0], place[:, 1])
    return np.column_stack([factors.parallel_scale, factors.meridional_scale])


def inspect_raster(path: str | Path) -> RasterInfo:
    """Read what a raster is, without its pixels.

    Raises:
        InputError: not a readable raster file, a web service, rotated or not georeferenced.
        CRSError: it has no coordinate reference system.
    """
    with gdal_env(), _open(str(path)) as dataset:
        return _describe(dataset, str(path))


def is_raster(path: str | Path) -> bool:
    """Whether GDAL opens a file as a raster, be it one that can be used here or not."""
    try:
        with gdal_env(), rasterio.open(path):
            return True
    except (RasterioError, OSError):
        return False


def _open(path: str) -> Any:
    if _ADDRESS.match(path):
        raise InputError(
            f"Raster {path!r}: expected a file, found the address of a web service.",
            "Export the layer to a GeoTIFF first (a plain file on the web can be given as /vsicurl/ADDRESS).",
        )
    has_scheme = path.startswith("/vsi") or ":" in path
    if not has_scheme and not Path(path).is_file():
        raise InputError(f"Raster {path}: there is no such file.", "Check the path.")
    try:
        dataset = rasterio.open(path)
    except (RasterioError, OSError) as error:
        if "WMS" in str(error):
            raise InputError(
                f"Raster {path}: expected a file, found the description of a web service ({error}).",
                "Export the layer to a GeoTIFF first.",
            ) from error
        raise InputError(
            f"Raster {path}: cannot be opened ({error}).", "Give a GeoTIFF or another raster file that GDAL reads."
        ) from error
    if dataset.driver in _SERVICES:
        dataset.close()
        raise InputError(
            f"Raster {path}: expected a file, found a web service ({dataset.driver}).", "Export it to a GeoTIFF first."
        )
    return dataset


def _describe(dataset: Any, path: str) -> RasterInfo:
    if not dataset.count:
        raise InputError(f"Raster {path}: expected at least one band, found none.", "Name one of its subdatasets.")
    transform = dataset.transform
    if transform.is_identity:
        raise InputError(f"Raster {path}: it has no georeference.", "Georeference it, or add a world file.")
    if transform.b or transform.d or transform.a <= 0 or transform.e == 0:
        raise InputError(
            f"Raster {path}: expected rows that run west to east, found a rotated or mirrored grid {transform[:6]}.",
            "Straighten it with: gdalwarp INPUT OUTPUT.tif",
        )
    crs = require_crs(dataset.crs.to_wkt() if dataset.crs else None, f"Raster {path}")
    south_up = transform.e > 0
    block = (min(dataset.block_shapes[0][0], dataset.height), min(dataset.block_shapes[0][1], dataset.width))
    offset = (dataset.height % block[0] if south_up else 0, 0)
    if south_up:
        transform = Affine(transform.a, 0, transform.c, 0, -transform.e, transform.f + transform.e * dataset.height)
    if dataset.driver == "VRT":
        block, offset = _source_blocks(dataset, transform) or (block, offset)
    masks = dataset.mask_flag_enums
    return RasterInfo(
        path=path,
        width=dataset.width,
        height=dataset.height,
        count=dataset.count,
        dtype=str(np.result_type(*dataset.dtypes)),
        nodata=tuple(dataset.nodatavals),
        crs=crs,
        transform=transform,
        block_shape=block,
        block_offset=offset,
        interleave=str(dataset.profile.get("interleave", "band")),
        south_up=south_up,
        has_mask=any(MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in masks),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        descriptions=tuple(dataset.descriptions),
        quantization=dataset.tags().get(QUANTIZATION_TAG, ""),
    )


def _source_blocks(dataset: Any, transform: Affine) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Blocks of a mosaic's first source: a VRT states 128 x 128 for itself, which would decode each tile many times."""
    for name in dataset.files[1:]:
        try:
            source = inspect_raster(name)
        except InputError:
            continue
        if not np.allclose((source.transform.a, source.transform.e), (transform.a, transform.e), rtol=1e-6):
            return None
        column, row = ~transform @ (source.transform.c, source.transform.f)
        rows, columns = source.block_shape
        return source.block_shape, (
            (round(row) + source.block_offset[0]) % rows,
            (round(column) + source.block_offset[1]) % columns,
        )
    return None


class RasterReader:
    """Reads windows of one raster; safe to share between threads, since each gets a GDAL handle of its own.

    Args:
        path: The file.
    Raises:
        InputError: as `inspect_raster`.
    """

    def __init__(self, path: str | Path) -> None:
        self.info = inspect_raster(path)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._handles: list[Any] = []

    def __enter__(self) -> RasterReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the handles of all threads."""
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()
            self._local = threading.local()

    def read(self, window: Window, out: np.ndarray | None = None) -> np.ndarray:
        """Stored values of a window.

        Args:
            window: North-up pixels, inside the raster.
            out: (C, h, w) array to fill, contiguous along w.
        Returns:
            (C, h, w) in the file's dtype, row 0 in the north.
        Raises:
            InputError: the file is damaged there; the message names the first bad block.
        """
        shape = (self.info.count, int(window.height), int(window.width))
        if out is None:
            out = np.empty(shape, self.info.dtype)
        elif out.shape != shape:
            raise ShapeError(f"Window {window} of {self.info.path} needs an array {shape}, got {out.shape}.")
        with gdal_env():
            try:
                self._handle().read(out=out, window=self._stored(window))
            except (RasterioError, OSError) as error:
                raise self._damage(window, error) from error
        return out[:, ::-1] if self.info.south_up else out

    def mask(self, window: Window) -> np.ndarray | None:
        """The file's own validity mask over a window, (h, w) bool, True where valid; None if it has none."""
        if not self.info.has_mask:
            return None
        with gdal_env():
            try:
                mask: np.ndarray = np.asarray(self._handle().dataset_mask(window=self._stored(window))) != 0
            except (RasterioError, OSError) as error:
                raise self._damage(window, error) from error
        return mask[::-1] if self.info.south_up else mask

    def read_stored(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """Stored values (C, h, w) of a window, and the file's own mask (h, w) if it has one."""
        return self.read(window), self.mask(window)

    def _handle(self) -> Any:
        handle = getattr(self._local, "handle", None)
        if handle is None:
            handle = _open(self.info.path)
            self._local.handle = handle
            with self._lock:
                self._handles.append(handle)
        return handle

    def _stored(self, window: Window) -> Window:
        if not self.info.south_up:
            return window
        return Window(window.col_off, self.info.height - window.row_off - window.height, window.width, window.height)

    def _damage(self, window: Window, error: Exception) -> InputError:
        """The error for a failed read, with the first block that cannot be read by itself."""
        where = f"rows {window.row_off}-{window.row_off + window.height - 1}"
        for block in plan_strips(self.info, window, memory_bytes=1):
            try:
                # Afresh each time: a mosaic reports a lost tile only to the first reader of a handle.
                with _open(self.info.path) as handle:
                    handle.read(window=self._stored(block))
            except (RasterioError, OSError) as inner:
                error = inner
                stored = self._stored(block)
                where = (
                    f"the block at row {stored.row_off}, column {stored.col_off} "
                    f"({stored.height} x {stored.width} pixels, counted as stored)"
                )
                break
        return InputError(
            f"Raster {self.info.path}: cannot read {where}: {error.__cause__ or error}.",
            "The file is damaged or cut short, or a tile of the mosaic is missing: fetch it again.",
        )


def nodata_array(info: RasterInfo) -> np.ndarray | None:
    """Missing-value marker of each band in the file's dtype, (C,); None if no band has a finite one that can occur.

    NaN needs no entry: a value that is not finite is never valid.
    """
    dtype = np.dtype(info.dtype)
    if all(value is None or not _can_hold(dtype, value) for value in info.nodata):
        return None
    if len(set(info.nodata)) > 1 and any(value is None or not _can_hold(dtype, value) for value in info.nodata):
        raise InputError(
            f"Raster {info.path}: some bands declare a nodata value and some none: {info.nodata}.",
            "Give all bands one with: gdal_edit.py -a_nodata VALUE FILE",
        )
    marks: np.ndarray = np.array(info.nodata, dtype=np.float64).astype(dtype)
    return marks


def _can_hold(dtype: np.dtype, value: float) -> bool:
    if dtype.kind == "f":
        return math.isfinite(value)
    limits = np.iinfo(dtype)
    return math.isfinite(value) and limits.min <= value <= limits.max and float(value).is_integer()

"""Single records of layers, through fiona: memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import fiona
import numpy as np
import shapely
from fiona.errors import FionaError
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from urbanfm_core.errors import ConfigError, InputError, OutputError
from urbanfm_core.geo.crs import require_crs, same_crs
from urbanfm_core.geo.vector import LayerSource, only_layer, unreadable

_BATCH = 5000


@dataclass(frozen=True)
class Record:
    """One feature of a streamed layer: its number in the file, its geometry (or None) and its fields."""

    geometry: BaseGeometry | None
    properties: dict[str, Any]
    fid: int = -1


def iter_records(source: str | Path) -> Iterator[Record]:
    """Features one by one, in the file's order; memory does not grow with the file.

    Raises:
        InputError: the file cannot be read.
        ConfigError: the layer does not exist, or several layers are there to choose from.
    """
    place = LayerSource.parse(source)
    layer = place.layer if place.layer is not None else only_layer(place)
    try:
        with fiona.open(place.path, layer=layer, **place.options) as collection:
            for feature in collection.filter(where=place.where):
                shape = None if feature.geometry is None else shapely.geometry.shape(feature.geometry)
                yield Record(shape, dict(feature.properties), int(feature.id))
    except (FionaError, ValueError, OSError) as error:
        if isinstance(error, InputError | ConfigError):
            raise
        raise unreadable(place, error) from error


def append_records(
    path: str | Path,
    records: Iterable[Record],
    *,
    crs: CRS,
    fields: Mapping[str, str] | None = None,
    geometry_type: str | None = None,
    layer: str | None = None,
) -> int:
    """Add features to a GeoPackage, which is made if it does not exist; memory does not grow with their number.

    Appending changes the file in place. For a file that must appear whole, append to the name that
    `files.atomic_path` gives.

    Args:
        path: A .gpkg file.
        records: What to add; their `fid` is not kept.
        crs: CRS of the records; that of an existing layer must be the same.
        fields: fiona field types by name ('str', 'int64', 'float', 'bool', 'date', 'datetime'); taken from the first
            record if None. Used for a new layer only.
        geometry_type: Such as 'MultiPolygon'; taken from the first record if None. Used for a new layer only.
        layer: Layer name; the file's name without suffix if None.

    Returns:
        How many were added.

    Raises:
        OutputError: another format, another CRS, or a record that does not fit the layer's fields.
    """
    path = Path(path).expanduser().absolute()
    if path.suffix.lower() != ".gpkg":
        raise OutputError(f"{path}: records can be appended to a GeoPackage only.", "Use a name that ends in .gpkg.")
    stream = iter(records)
    first = next(stream, None)
    if first is None:
        return 0
    name = layer or path.stem
    count = 0
    try:
        with _open_for_append(path, name, first, crs, fields, geometry_type) as collection:
            rest = chain([first], stream)
            while batch := list(islice(rest, _BATCH)):
                collection.writerecords([_as_feature(record) for record in batch])
                count += len(batch)
    except (FionaError, ValueError, TypeError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{path}: a record among {count + 1}..{count + _BATCH} does not fit layer {name!r}: {error}.",
            "All records of a layer have the same fields and kind of geometry.",
        ) from error
    return count


def _open_for_append(
    path: Path, layer: str, first: Record, crs: CRS, fields: Mapping[str, str] | None, geometry_type: str | None
) -> Any:
    if path.exists() and layer in fiona.listlayers(path):
        collection = fiona.open(path, "a", layer=layer)
        there = require_crs(collection.crs_wkt, f"{path} (layer {layer})")
        if not same_crs(there, crs):
            collection.close()
            raise OutputError(
                f"{path}: layer {layer!r} is in {there.name}, the records are in {crs.name}.", "Transform them first."
            )
        return collection
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = geometry_type or (first.geometry.geom_type if first.geometry is not None else "Unknown")
    schema = {"geometry": kind, "properties": dict(fields or {k: _field_type(v) for k, v in first.properties.items()})}
    return fiona.open(path, "w", driver="GPKG", layer=layer, schema=schema, crs_wkt=crs.to_wkt())


def _field_type(value: Any) -> str:
    kinds = ((bool | np.bool_, "bool"), (int | np.integer, "int64"), (float | np.floating, "float"))
    for kind, name in kinds:
        if isinstance(value, kind):
            return name
    # datetime is a date too, so it is asked first.
    return "datetime" if hasattr(value, "hour") else "date" if hasattr(value, "isoformat") else "str"


def _as_feature(record: Record) -> dict[str, Any]:
    shape = None if record.geometry is None else shapely.geometry.mapping(record.geometry)
    return {"type": "Feature", "geometry": shape, "properties": record.properties}

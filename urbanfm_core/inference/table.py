"""The embedding table: what every analysis takes, whatever method made it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from urbanfm_core.data.places import read_places
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import InputError, ShapeError
from urbanfm_core.files import atomic_path
from urbanfm_core.geo.vector import read_layer, write_layer
from urbanfm_core.inference.components import principal_components

_METADATA_KEY = b"urbanfm"
_ROW = "__row"
_OWN_COLUMNS = ("emb_dim", "emb_model", "emb_pca1", "emb_pca2", "emb_pca3", "embedding")


@dataclass(frozen=True)
class EmbeddingTable:
    """One vector per region, point of interest or building.

    Attributes:
        regions: Ids, polygons or points, and source fields, R rows.
        vectors: (R, D) float32; NaN rows are regions that nothing covered.
        coverage: By modality, (R,) float32 in [0, 1].
        provenance: Where it came from: method, checkpoint, versions, inputs; JSON-like.
    """

    regions: RegionSet
    vectors: np.ndarray
    coverage: dict[str, np.ndarray] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.regions.ids):
            raise ShapeError(
                f"An embedding table needs one vector per region: {len(self.regions.ids)} regions, "
                f"vectors of shape {self.vectors.shape}."
            )

    @property
    def ids(self) -> np.ndarray:
        """(R,) region ids."""
        return self.regions.ids

    @property
    def embedding(self) -> np.ndarray:
        """(R, D) float32."""
        return self.vectors

    @property
    def covered(self) -> np.ndarray:
        """(R,) bool: whether the region has a vector."""
        return np.asarray(np.isfinite(self.vectors).all(axis=1))

    def to_parquet(self, path: str | Path) -> None:
        """Write a GeoParquet: id, source fields, coverage, `geometry`, and `embedding` as lists of float32 (exact)."""
        frame = self._source_frame()
        table = _geo_arrow(frame)
        width = self.vectors.shape[1]
        values = pa.array(np.ascontiguousarray(self.vectors, np.float32).reshape(-1))
        lists = pa.FixedSizeListArray.from_arrays(values, width, mask=pa.array(~self.covered))
        table = table.append_column("embedding", lists.cast(pa.list_(pa.float32())))
        metadata = dict(table.schema.metadata or {})
        metadata[_METADATA_KEY] = json.dumps(
            {"region_id": self.regions.id_name, "provenance": self.provenance}, ensure_ascii=False
        ).encode()
        with atomic_path(path) as temporary:
            pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")

    @classmethod
    def from_parquet(cls, path: str | Path) -> EmbeddingTable:
        """Read what `to_parquet` wrote, or any GeoParquet with a list column `embedding`.

        Raises:
            InputError: no such column, or its lists have different lengths.
        """
        frame = read_layer(path)
        metadata = json.loads((pq.read_schema(path).metadata or {}).get(_METADATA_KEY, b"{}"))
        vectors = stack_vectors(frame.get("embedding"), path)
        return cls._from_frame(frame, vectors, metadata.get("region_id"), metadata.get("provenance", {}))

    @classmethod
    def from_layer(cls, source: str | Path) -> EmbeddingTable:
        """Read a layer that holds vectors as JSON text in a field `embedding`, or a GeoParquet."""
        if str(source).split("|")[0].endswith((".parquet", ".geoparquet")):
            return cls.from_parquet(source)
        frame = read_layer(source)
        return cls._from_frame(frame, stack_vectors(frame.get("embedding"), source), None, {})

    @classmethod
    def _from_frame(
        cls, frame: gpd.GeoDataFrame, vectors: np.ndarray, id_name: str | None, provenance: dict[str, Any]
    ) -> EmbeddingTable:
        dropped = [name for name in frame.columns if _is_own(str(name))]
        coverage = {name: frame[name] for name in dropped if name.startswith("coverage_")}
        numbered = frame.drop(columns=dropped).assign(**{_ROW: np.arange(len(frame))})
        regions = read_places(numbered, id_name)
        # What is left out, such as features without a polygon, takes its vector with it.
        kept = regions.attributes[_ROW].to_numpy()
        regions = replace(regions, attributes=regions.attributes.drop(columns=_ROW))
        return cls(
            regions,
            vectors[kept],
            {name.removeprefix("coverage_"): values.to_numpy(np.float32)[kept] for name, values in coverage.items()},
            provenance,
        )

    def to_layer(self, path: str | Path, *, columns: bool = False) -> None:
        """Write a layer for a GIS.

        Source fields, then emb_dim, emb_model, emb_pca1..3, a coverage field per modality, and the vector as JSON text
        in `embedding` (nine significant digits, which is exact for float32).

        Args:
            path: GeoPackage, GeoJSON or GeoParquet.
            columns: Also one field per dimension, emb_000, emb_001, …
        """
        frame = self._source_frame()
        width = self.vectors.shape[1]
        components = principal_components(self.vectors)
        new: dict[str, Any] = {
            "emb_dim": np.full(len(frame), width, np.int32),
            "emb_model": np.full(len(frame), str(self.provenance.get("model", "")), dtype=object),
        }
        for axis in range(3):
            new[f"emb_pca{axis + 1}"] = components[:, axis].astype(np.float64)
        new["embedding"] = [
            json.dumps([float(f"{value:.9g}") for value in row], separators=(",", ":")) if ok else None
            for row, ok in zip(self.vectors, self.covered, strict=True)
        ]
        if columns:
            digits = max(3, len(str(width - 1)))
            new |= {f"emb_{axis:0{digits}d}": self.vectors[:, axis].astype(np.float64) for axis in range(width)}
        write_layer(frame.assign().join(pd.DataFrame(new, index=frame.index)), path)

    def _source_frame(self) -> gpd.GeoDataFrame:
        """Source fields with the id first; a source field that bears one of our names gives way, renamed `src_…`."""
        frame = self.regions.to_frame()
        taken = {str(name).lower() for name in frame.columns}
        clashes: dict[Any, str] = {}
        for name in frame.columns:
            if _is_own(str(name).lower()):  # GeoPackage does not tell upper from lower case
                clashes[name] = f"src_{name}"
                while clashes[name].lower() in taken:
                    clashes[name] = f"src_{clashes[name]}"
                taken.add(clashes[name].lower())
        frame = frame.rename(columns=clashes)
        coverage = {f"coverage_{name}": values.astype(np.float64) for name, values in self.coverage.items()}
        return frame.assign(**coverage)


def _is_own(name: str) -> bool:
    return name in _OWN_COLUMNS or name.startswith("coverage_") or (name.startswith("emb_") and name[4:].isdigit())


def _geo_arrow(frame: gpd.GeoDataFrame) -> pa.Table:
    """The frame as an Arrow table with GeoParquet metadata, through geopandas' own writer."""
    sink = pa.BufferOutputStream()
    frame.to_parquet(sink)
    return pq.read_table(pa.BufferReader(sink.getvalue()))


def stack_vectors(column: pd.Series | None, source: str | Path) -> np.ndarray:
    """Lists, or texts of JSON lists, as a matrix; a row without is NaN."""
    if column is None:
        raise InputError(
            f"{source} has no field 'embedding'.", "Give a layer or GeoParquet that 'Embed regions' wrote."
        )
    rows = [_vector(value, source) for value in column]
    widths = sorted({len(row) for row in rows if row is not None})
    if len(widths) != 1:
        raise InputError(f"{source}: the vectors in 'embedding' have lengths {widths}; expected one length.")
    vectors = np.full((len(rows), widths[0]), np.nan, np.float32)
    for index, row in enumerate(rows):
        if row is not None:
            vectors[index] = row
    return vectors


def _vector(value: Any, source: str | Path) -> np.ndarray | None:
    try:
        if isinstance(value, str):
            value = json.loads(value)
        if value is None or isinstance(value, float):
            return None
        vector = np.asarray(value, np.float32)
    except (ValueError, TypeError) as error:
        raise InputError(f"{source}: a value of 'embedding' is not a list of numbers: {str(value)[:40]}…") from error
    if vector.ndim != 1:
        raise InputError(f"{source}: a value of 'embedding' is not a list of numbers: {str(value)[:40]}…")
    return vector

"""The embedding table: what every analysis takes, whatever method made it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa

from urbanfm_core.data.places import read_places
from urbanfm_core.data.regions import ID_COLUMNS, RegionSet
from urbanfm_core.errors import ShapeError
from urbanfm_core.files import atomic_path
from urbanfm_core.geo.columnar import COLUMNAR_SUFFIXES, geo_arrow, read_schema, write_columnar
from urbanfm_core.geo.vector import LayerSource, read_layer
from urbanfm_core.geo.vector_writer import write_layer
from urbanfm_core.inference.columns import EMBEDDING, find_vectors
from urbanfm_core.inference.components import principal_components

METADATA_KEY = b"urbanfm"
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

    def write(self, path: str | Path) -> None:
        """Write the table by suffix, with vectors that are read back exactly.

        `.parquet`, `.arrow` and `.feather` hold the vector in a list column, see `to_parquet`; `.csv` and layers for a GIS
        as `to_layer` writes them.
        """
        if Path(path).suffix.lower() in COLUMNAR_SUFFIXES:
            self.to_parquet(path)
        else:
            self.to_layer(path)

    def to_parquet(self, path: str | Path) -> None:
        """Write a GeoParquet: id, source fields, coverage, `geometry`, and `embedding` as lists of float32 (exact).

        A path that ends in .arrow or .feather becomes the same table as Arrow IPC.
        """
        table = geo_arrow(self._source_frame())
        width = self.vectors.shape[1]
        values = pa.array(np.ascontiguousarray(self.vectors, np.float32).reshape(-1))
        lists = pa.FixedSizeListArray.from_arrays(values, width, mask=pa.array(~self.covered))
        table = table.append_column(EMBEDDING, lists.cast(pa.list_(pa.float32())))
        metadata = dict(table.schema.metadata or {})
        metadata[METADATA_KEY] = json.dumps(
            {"region_id": self.regions.id_name, "provenance": self.provenance}, ensure_ascii=False
        ).encode()
        with atomic_path(path) as temporary:
            write_columnar(table.replace_schema_metadata(metadata), temporary, Path(path).suffix)

    @classmethod
    def read(cls, source: str | Path, columns: Sequence[str] = ()) -> EmbeddingTable:
        """Read what `write` wrote, or any layer with vectors: GeoParquet, Arrow IPC, CSV with WKT, a GeoPackage.

        Args:
            source: File, or a layer in a file.
            columns: The columns that are the vector; see `find_vectors` for what is taken when none is named.
        Raises:
            InputError: no polygons, no vectors, or vectors of different lengths.
            ConfigError: a named column does not exist or holds no numbers.
        """
        frame = read_layer(source)
        about = table_metadata(source)
        plain = pd.DataFrame(frame.drop(columns=frame.geometry.name))
        notes: list[str] = []
        id_name = about.get("region_id")
        key = id_name or next((name for name in ID_COLUMNS if name in plain.columns), "")
        found = find_vectors(plain, key, str(source), notes, chosen=columns, any_numbers=False)
        kept = frame.drop(columns=[name for name in found.columns if name in frame.columns])
        provenance = about.get("provenance") or _told_by(plain)
        table = cls._from_frame(kept, found.values.astype(np.float32), id_name, provenance)
        table.regions.notes.extend(notes)
        return table

    @classmethod
    def from_parquet(cls, path: str | Path) -> EmbeddingTable:
        """Read what `to_parquet` wrote, or any GeoParquet with vectors; see `read`."""
        return cls.read(path)

    @classmethod
    def from_layer(cls, source: str | Path) -> EmbeddingTable:
        """Read a layer that holds vectors as JSON text in a field `embedding`, or another table; see `read`."""
        return cls.read(source)

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
            path: GeoPackage, GeoJSON or another of `write_layer`. A CSV holds one field per dimension and no text.
            columns: Also one field per dimension, emb_000, emb_001, …
        """
        csv = Path(path).suffix.lower() == ".csv"
        frame = self._source_frame()
        width = self.vectors.shape[1]
        components = principal_components(self.vectors)
        new: dict[str, Any] = {
            "emb_dim": np.full(len(frame), width, np.int32),
            "emb_model": np.full(len(frame), str(self.provenance.get("model", "")), dtype=object),
        }
        for axis in range(3):
            new[f"emb_pca{axis + 1}"] = components[:, axis].astype(np.float64)
        if not csv:
            new[EMBEDDING] = [
                json.dumps([float(f"{value:.9g}") for value in row], separators=(",", ":")) if ok else None
                for row, ok in zip(self.vectors, self.covered, strict=True)
            ]
        if columns or csv:
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


def _told_by(table: pd.DataFrame) -> dict[str, Any]:
    """What the fields of a layer of ours say of its making: the model, if it is one."""
    models = [str(name) for name in table.get("emb_model", pd.Series(dtype=object)).dropna().unique() if name]
    return {"model": models[0]} if len(models) == 1 else {}


def _is_own(name: str) -> bool:
    return name in _OWN_COLUMNS or name.startswith("coverage_") or (name.startswith("emb_") and name[4:].isdigit())


def table_metadata(source: str | Path) -> dict[str, Any]:
    """What a table of ours says of itself in its metadata; empty for any other file."""
    path = LayerSource.parse(source).path
    if not path.lower().endswith(COLUMNAR_SUFFIXES):
        return {}
    try:
        found: dict[str, Any] = json.loads((read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))
    except (OSError, ValueError, pa.ArrowException):  # reading the table says what is wrong
        return {}
    return found

"""The inputs of one city, named once and opened when a method asks for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from urbanfm_core.data.buildings import BuildingSet
from urbanfm_core.data.captions import CaptionColumns, CaptionSet
from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.data.poi import PoiColumns, PoiSet
from urbanfm_core.data.poi_table import read_poi_table
from urbanfm_core.data.poi_tags import Tags, read_tags
from urbanfm_core.data.region_features import RegionFeatures
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.roads import SNAP_M, RoadNetwork
from urbanfm_core.data.store import file_identity
from urbanfm_core.data.streetview import StreetViews, picture_identity
from urbanfm_core.errors import ConfigError
from urbanfm_core.geo.raster import inspect_raster
from urbanfm_core.progress import Progress


@dataclass(frozen=True)
class CityInputs:
    """Where the layers of a city are. A layer that is None was not given.

    Attributes:
        pois: Point layer or table.
        poi_columns: Which columns hold what; unset ones are guessed.
        poi_tags: The only columns that hold tags; all that look like it if none is named.
        embedding_raster: N-band raster.
        quantization: How its integers become numbers: 'auto', 'alphaearth' or 'none'.
        imagery: Raster of pictures from above.
        imagery_bands: Its bands for red, green and blue, from 1; none for the first three.
        captions: Captions of pictures, in a table or layer.
        caption_columns: Which of its columns hold what; unset ones are guessed.
        streetview: Point layer or table that names picture files.
        roads: Line layer.
        road_snap_m: How near to each other ends of roads meet, metres.
        buildings: Polygons of points of interest.
        features: Table or layer with more numbers about the regions.
        regions: What is embedded, or trained on.
    """

    pois: str | Path | None = None
    poi_columns: PoiColumns = field(default_factory=PoiColumns)
    poi_tags: tuple[str, ...] = ()
    embedding_raster: str | Path | None = None
    quantization: str = "auto"
    imagery: str | Path | None = None
    imagery_bands: tuple[int, ...] = ()
    captions: str | Path | None = None
    caption_columns: CaptionColumns = field(default_factory=CaptionColumns)
    streetview: str | Path | None = None
    roads: str | Path | None = None
    road_snap_m: float = SNAP_M
    buildings: str | Path | None = None
    features: str | Path | None = None
    regions: RegionSet | None = None

    def given(self, *names: str) -> tuple[str, ...]:
        """Those of the named inputs that were given."""
        return tuple(name for name in names if getattr(self, name) is not None)

    def require(self, *names: str) -> None:
        """Check that the named inputs were given.

        Raises:
            ConfigError: one is missing.
        """
        for name in names:
            self.require_path(name)

    def require_one_of(self, *names: str) -> None:
        """Check that at least one of the named inputs was given.

        Raises:
            ConfigError: none was.
        """
        if names and not self.given(*names):
            flags = " or ".join(f"--{name.replace('_', '-')}" for name in names)
            raise ConfigError(f"This needs {flags}, and neither was given.", "Name one of the layers, or both.")

    def require_path(self, name: str) -> str | Path:
        """Path of one input.

        Raises:
            ConfigError: it was not given.
        """
        value: str | Path | None = getattr(self, name)
        if value is None:
            raise ConfigError(f"This needs --{name.replace('_', '-')}, which was not given.", "Name the layer.")
        return value

    def require_regions(self) -> RegionSet:
        """The regions.

        Raises:
            ConfigError: there are none.
        """
        if self.regions is None:
            raise ConfigError("This needs --regions, which was not given.", "Name the layer.")
        return self.regions

    def read_pois(self) -> PoiSet:
        return PoiSet.from_source(self.require_path("pois"), self.poi_columns)

    def read_tagged_pois(self) -> tuple[PoiSet, Tags]:
        """The points, and the free tags of each."""
        notes: list[str] = []
        frame = read_poi_table(self.require_path("pois"), notes)
        pois = PoiSet.from_source(frame, self.poi_columns)
        pois.notes[:0] = notes
        return pois, read_tags(frame, self.poi_tags or None).take(pois.index)

    def open_embedding_raster(self) -> EmbeddingRaster:
        return EmbeddingRaster.open(self.require_path("embedding_raster"), quantization=self.quantization)

    def read_captions(self) -> CaptionSet:
        return CaptionSet.read(self.require_path("captions"), self.caption_columns)

    def read_streetview(self, progress: Progress | None = None) -> StreetViews:
        return StreetViews.read(self.require_path("streetview"), progress)

    def read_roads(self, progress: Progress | None = None) -> RoadNetwork:
        return RoadNetwork.read(self.require_path("roads"), self.road_snap_m, progress)

    def read_buildings(self) -> BuildingSet:
        return BuildingSet.read(self.require_path("buildings"))

    def read_features(self) -> RegionFeatures:
        return RegionFeatures.read(self.require_path("features"), self.require_regions())

    def identity(self, *names: str) -> dict[str, Any]:
        """What the named inputs, and the regions, are, for a fingerprint.

        Raises:
            InputError: one cannot be read, or is the address of a service.
        """
        for raster in ("embedding_raster", "imagery"):
            if raster in names:
                inspect_raster(self.require_path(raster))
        found: dict[str, Any] = {name: file_identity(getattr(self, name)) for name in names}
        if self.regions is not None:
            found["regions"] = self.regions.fingerprint()
        if "pois" in names:
            found["poi_columns"] = vars(self.poi_columns)
            found["poi_tags"] = self.poi_tags
        if "roads" in names:
            found["road_snap_m"] = self.road_snap_m
        if "embedding_raster" in names:
            found["quantization"] = self.quantization
        if "imagery" in names:
            found["imagery_bands"] = self.imagery_bands
        if "streetview" in names:
            found["pictures"] = picture_identity(self.require_path("streetview"))
        if "captions" in names:
            found["caption_columns"] = vars(self.caption_columns)
        return found

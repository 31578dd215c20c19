"""From a city's layers to the tables that UrbanMFM's stages and its embedding draw from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.data.adjacency import region_adjacency
from urbanfm_core.data.buildings import stored_shapes
from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.image_store import ImageStatistics, StoredImages
from urbanfm_core.data.neighbours import PointIndex
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.region_distributions import poi_distribution, road_distribution, similar_regions
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.roads import RoadNetwork
from urbanfm_core.data.store import SampleStore
from urbanfm_core.data.street_groups import StreetGroups
from urbanfm_core.data.streetview import StreetViews, stored_views
from urbanfm_core.geo.crs import metric_crs
from urbanfm_core.models.image_text import picture_inputs
from urbanfm_core.models.poi_samples import stored_text_vectors
from urbanfm_core.models.text import TextEncoder
from urbanfm_core.models.urbanmfm.city import Lists, MfmCity, ShownPictures
from urbanfm_core.models.urbanmfm.config import UrbanMfmConfig
from urbanfm_core.models.urbanmfm.words import TagTokenizer
from urbanfm_core.progress import Progress

INPUTS = ("pois", "buildings", "roads", "streetview", "imagery", "features")
# What takes the place of a road where there are none: so many places around one.
_CONTEXT_PLACES = 8


@dataclass
class CityReader:
    """Reads the layers of one city.

    Attributes:
        config: Reaches, sizes and switches.
        city: The layers, with regions.
        store: Keeps pictures, shapes and vectors of texts.
        words: What turns texts into vectors or tokens.
        kept: `settings` of the training's reader; empty while training.
        training: Whether what only training needs is read too: roads, regions that are alike, scenes.
        notes: What a report should mention.
        settings: How the layers were read, to be kept in a checkpoint; JSON-like.
    """

    config: UrbanMfmConfig
    city: CityInputs
    store: SampleStore
    words: TextEncoder | TagTokenizer | None
    kept: Mapping[str, Any] = field(default_factory=dict)
    training: bool = True
    notes: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def read(self, sees: Sequence[str], progress: Progress) -> MfmCity:
        """The tables of the city.

        Args:
            sees: Inputs that are read, of `INPUTS`, and 'scenes' for what is said of street views.
            progress: Reports and cancels.
        """
        regions = self.city.require_regions()
        crs = metric_crs(regions.crs, regions.bounds())
        adjacent = region_adjacency(regions)
        self.notes += adjacent.notes
        found = MfmCity(
            texts=torch.zeros(0, self.config.text_dim),
            place_text=np.empty(0, np.int64),
            xy=np.empty((0, 2)),
            regions=len(regions),
            region_places=Lists(np.zeros(len(regions) + 1, np.int64), np.empty(0, np.int64)),
            adjacent=adjacent,
        )
        if "imagery" in sees:
            found = replace(found, sky=self._sky(progress.part(0.0, 0.2)))
        if "features" in sees:
            found = replace(found, features=self._features())
        said: list[str] = []
        if "streetview" in sees:
            found, said = self._streets(found, crs, "scenes" in sees and self.training, progress.part(0.2, 0.4))
        texts: list[str] = []
        if "pois" in sees:
            found, texts = self._places(found, regions, crs, sees, progress.part(0.4, 0.7))
        vectors, row = self._texts(texts, said, progress.part(0.7, 1.0))
        found = replace(found, texts=vectors, place_text=row[: len(texts)])
        if found.scenes is not None:
            found = replace(found, scenes=replace(found.scenes, index=row[len(texts) :][found.scenes.index]))
        return found

    def _sky(self, progress: Progress) -> ShownPictures:
        pictures = picture_inputs(
            self.city, self.config, "imagery", self.store, progress, self.kept.get("imagery") or None
        )
        self.settings["imagery"] = pictures.settings
        self.notes += pictures.notes
        return self._shown("imagery", pictures.images)

    def _shown(self, name: str, images: StoredImages) -> ShownPictures:
        """Pictures with the colours of the training, which are their own while training."""
        told = self.kept.get("statistics", {}).get(name)
        statistics = images.statistics() if told is None else ImageStatistics.from_json(told)
        self.settings.setdefault("statistics", {})[name] = statistics.to_json()
        return ShownPictures(images, statistics)

    def _features(self) -> NDArray[np.float32]:
        """Numbers of regions with mean 0 and deviation 1; a number that is missing beside others is the mean."""
        table = self.city.read_features()
        self.notes += table.notes
        told = self.kept.get("features")
        values = table.values.astype(np.float64)
        if told is None:
            mean = np.nan_to_num(np.nanmean(values, axis=0))
            std = np.nan_to_num(np.nanstd(values, axis=0))
            told = {"names": table.names, "mean": mean.tolist(), "std": np.where(std > 0, std, 1.0).tolist()}
        else:
            there = {name: column for column, name in enumerate(table.names)}
            missing = [name for name in told["names"] if name not in there]
            if missing:
                self.notes.append(
                    f"Features that the training had are missing and count as average: {', '.join(missing)}."
                )
            values = np.column_stack(
                [values[:, there[name]] if name in there else np.full(len(values), np.nan) for name in told["names"]]
            )
        self.settings["features"] = told
        scaled = (values - np.array(told["mean"])) / np.array(told["std"])
        gaps = np.isnan(scaled) & ~np.isnan(scaled).all(axis=1, keepdims=True)
        if gaps.any():
            self.notes.append(f"{int(gaps.sum()):,} missing numbers of regions that have others count as average.")
        return np.where(gaps, 0.0, scaled).astype(np.float32)

    def _streets(self, found: MfmCity, crs: Any, scenes: bool, progress: Progress) -> tuple[MfmCity, list[str]]:
        """Groups of street views and their pictures; and what captions say of them."""
        views = self.city.read_streetview(progress.part(0.0, 0.1))
        images = stored_views(views, self.config.image_size, self.store, progress.part(0.1, 1.0))
        good = np.flatnonzero(images.has_image)
        groups = StreetGroups.of(views.take(good), crs)
        self.notes += [*images.notes, *groups.notes]
        found = replace(found, groups=groups, street=self._shown("streetview", images), view=good[groups.view])
        return (found, []) if not scenes else self._scenes(found, groups, views.take(good))

    def _scenes(self, found: MfmCity, groups: StreetGroups, views: StreetViews) -> tuple[MfmCity, list[str]]:
        captions = self.city.read_captions().select("street")
        starts, rows = captions.by_key(list(views.key), "street")
        group_of = np.empty(len(views), np.int64)
        group_of[groups.view] = np.repeat(np.arange(len(groups)), np.diff(groups.starts))
        lists = Lists.of_pairs(group_of[np.repeat(np.arange(len(views)), np.diff(starts))], rows, len(groups))
        silent = int((lists.counts() == 0).sum())
        self.notes.append(
            f"Scenes of street views come from {len(lists.index):,} captions; of {silent:,} of {len(groups):,} groups "
            "nothing is said."
        )
        if not len(lists.index):
            return found, []
        return replace(found, scenes=Lists(lists.starts, np.arange(len(lists.index)))), [
            str(text) for text in captions.text[lists.index]
        ]

    def _places(
        self, found: MfmCity, regions: RegionSet, crs: Any, sees: Sequence[str], progress: Progress
    ) -> tuple[MfmCity, list[str]]:
        """Points of interest with a text, in metres, and what belongs to them."""
        pois, tags = self.city.read_tagged_pois()
        self.notes += [*pois.notes, *tags.notes]
        texts = np.array(tags.texts(), object)
        told = np.flatnonzero(texts != "")
        if len(told) < len(pois):
            self.notes.append(f"{len(pois) - len(told):,} of {len(pois):,} points have no tags and are left out.")
        # Their index is from now on the row among the city's points, whatever is left out.
        pois, texts = replace(pois.take(told), index=told), texts[told]
        moved = pois.to_crs(crs)
        texts = texts[np.searchsorted(told, moved.index)]
        inside = regions.assign(moved.xy, crs, progress.part(0.0, 0.3))
        found = replace(
            found,
            xy=moved.xy,
            source=moved.index,
            region_places=Lists.of_pairs(inside.region, inside.point, len(regions)),
        )
        empty = int((found.region_places.counts() == 0).sum())
        if empty:
            self.notes.append(f"{empty:,} of {len(regions):,} regions have no point of interest.")
        if "buildings" in sees:
            found = self._polygons(found, crs, progress.part(0.3, 0.6))
        roads: RoadNetwork | None = None
        if "roads" in sees and self.training:
            roads = self.city.read_roads(progress.part(0.6, 0.8))
            self.notes += roads.notes
        if self.training and self.config.micro_scale:
            found = replace(found, roads=self._roads(roads, moved))
        if self.training and self.config.macro_scale and "imagery" in sees:
            found = replace(found, alike=self._alike(moved, roads, regions))
        return found, texts.tolist()

    def _polygons(self, found: MfmCity, crs: Any, progress: Progress) -> MfmCity:
        buildings = self.city.read_buildings()
        self.notes += buildings.notes
        polygon = buildings.holding(found.xy, crs)
        self.notes.append(f"{int((polygon >= 0).sum()):,} of {len(polygon):,} points lie in a polygon.")
        largest = self.kept.get("max_area_log") or float(np.log1p(buildings.area_m2.max()))
        self.settings["max_area_log"] = largest
        area = (np.log1p(buildings.area_m2) / largest).astype(np.float32)
        shapes = stored_shapes(buildings, self.config.polygon_size, self.store, progress)
        return replace(found, shapes=shapes, area=area, polygon=polygon)

    def _roads(self, roads: RoadNetwork | None, pois: PoiSet) -> Lists:
        """Places on each road; without roads, the places around each."""
        reach = self.config.road_reach_m
        if roads is None:
            near = PointIndex(pois.xy).near_rows(np.arange(len(pois)), reach, _CONTEXT_PLACES - 1)
            owner = np.repeat(np.arange(len(pois)), near.counts())
            own = np.arange(len(pois))
            self.notes.append(f"Without roads, the places within {reach:g} m of each other take their part.")
            return Lists.of_pairs(np.concatenate([own, owner]), np.concatenate([own, near.index]), len(pois))
        segment, _ = roads.nearest(pois.xy, pois.crs, reach)
        far = int((segment < 0).sum())
        if far:
            self.notes.append(f"{far:,} of {len(pois):,} points are farther than {reach:g} m from every road.")
        return Lists.of_pairs(segment, np.arange(len(pois)), len(roads))

    def _alike(self, pois: PoiSet, roads: RoadNetwork | None, regions: RegionSet) -> Lists:
        config = self.config
        places = poi_distribution(pois, pois.category, regions, config.cluster_m, config.cluster_points)
        lines = None if roads is None else road_distribution(roads, regions)
        alike = similar_regions(places, lines, config.similarity, config.max_alike)
        self.notes += [*places.notes, *([] if lines is None else lines.notes), *alike.notes]
        return Lists(alike.starts, alike.index)

    def _texts(self, of_places: list[str], said: list[str], progress: Progress) -> tuple[Tensor, NDArray[np.int64]]:
        """Vectors or tokens of texts, and the row of each text in them, those of places first."""
        texts = [*of_places, *said]
        if not texts or self.words is None:
            return torch.zeros(0, self.config.text_dim), np.empty(0, np.int64)
        if isinstance(self.words, TagTokenizer):
            tokens, row, notes = self.words.encode(texts, self.config.text_tokens)
            self.notes += notes
            return torch.from_numpy(tokens), row
        # Kept apart from what depends on weights and layers, and what places say from what captions say: so embedding
        # finds what training encoded.
        store = self.store.beside("texts", {"encoder": self.words.identity})
        vectors, rows, count = [], [], 0
        for number, some in enumerate(part for part in (of_places, said) if part):
            found, row = stored_text_vectors(self.words, some, store, progress.part(number / 2, (number + 1) / 2))
            vectors.append(torch.from_numpy(np.array(found)))
            rows.append(row + count)
            count += len(found)
        return torch.cat(vectors), np.concatenate(rows)

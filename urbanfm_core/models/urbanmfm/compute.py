"""A whole city through a trained network: its pictures, places and regions, and the graphs over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.data.neighbours import NeighbourLists
from urbanfm_core.data.store import SampleStore
from urbanfm_core.models.batches import Batches
from urbanfm_core.models.exchange import Trained
from urbanfm_core.models.urbanmfm.city import (
    PLACE_UNIT_M,
    REGION_UNIT_M,
    MfmCity,
    ShownPictures,
    graph_batch,
    place_batch,
    to_device,
)
from urbanfm_core.models.urbanmfm.config import UrbanMfmConfig
from urbanfm_core.models.urbanmfm.network import UrbanMfmModel, spread_rows
from urbanfm_core.models.urbanmfm.samples import kinds_of, only
from urbanfm_core.progress import Progress

# Pictures, or places and regions, computed at once where nobody chose; rows kept as one partition.
_PICTURES = {"cpu": 32, "cuda": 512, "mps": 128}
_PLACES = {"cpu": 512, "cuda": 8192, "mps": 2048}
_PARTITION = 4096


@dataclass(frozen=True)
class PlaceVectors:
    """Vectors of P places by what they show, (P, D) float32 each.

    Attributes:
        text: Of all.
        street: NaN for places without a street view in reach.
        polygon: NaN for places without a polygon.
        fused: All of it in one (eq. 25); the text where fusion was not trained.
    """

    text: NDArray[np.float32]
    street: NDArray[np.float32]
    polygon: NDArray[np.float32]
    fused: NDArray[np.float32]


class CityComputer:
    """Computes vectors of a city.

    Args:
        trained: Network, device, size of batches, precision.
        city: The city.
        store: Keeps vectors of pictures; must belong to this network and these layers.
        progress: Reports and cancels.
    """

    def __init__(self, trained: Trained, city: MfmCity, store: SampleStore, progress: Progress) -> None:
        self.trained, self.city, self.store, self.progress = trained, city, store, progress
        self.model: UrbanMfmModel = trained.model  # type: ignore[assignment]
        self.config: UrbanMfmConfig = trained.config

    def regions(self) -> NDArray[np.float32]:
        """Vectors of the R regions: macro and micro, each through the graph of a region and those around it (eq. 27).

        In either graph a region that lacks the way to show itself shows itself in another way, as in training; where the
        global stage was not trained, each region stands for itself.

        Returns:
            (R, D), or (R, N D) where the fusion puts N views of regions one after the other; NaN for a region that cannot
            show itself.
        """
        city, config = self.city, self.config
        ways = [self._region_values(kind) for kind in config.kinds]
        can = kinds_of(city, config)
        shown = np.asarray(can.any(axis=1))
        alone = []
        for way in range(len(ways)):
            # Its own way first, then the others in their order.
            order = [way, *(other for other in range(len(ways)) if other != way)]
            values = np.full((city.regions, config.width), np.nan, np.float32)
            for other in reversed(order):
                values[can[:, other]] = ways[other][can[:, other]]
            alone.append(values)
        found = alone if self.model.around is None else [self._through_graphs(values, shown) for values in alone]
        if config.fusion == "scales":
            if self.model.around is not None:
                found = [*found, *alone]
            if self.model.local is not None and "micro" in config.kinds:
                known = city.has("micro")[:, None]
                local = self._means_of_places(self.places_in_context())
                found.append(np.where(known, local, alone[config.kinds.index("micro")]))
        if config.fusion != "average":
            return np.concatenate(found, axis=1)
        mean: NDArray[np.float32] = np.mean(found, axis=0, dtype=np.float32)
        return mean

    def _means_of_places(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Means of the places (P, D) of each region, (R, D); NaN for one without any."""
        region, place = self.city.region_places.take(np.arange(self.city.regions))
        total = np.zeros((self.city.regions, vectors.shape[1]))
        np.add.at(total, region, vectors[place])
        counts = self.city.region_places.counts()[:, None]
        return np.divide(total, counts, out=np.full_like(total, np.nan), where=counts > 0).astype(np.float32)

    def places(self, rows: NDArray[np.int64]) -> PlaceVectors:
        """Vectors of some places, each by itself."""
        count, width = len(rows), self.config.width
        made = {name: np.full((count, width), np.nan, np.float32) for name in ("text", "street", "polygon", "fused")}
        city, config, model, device = self.city, self.config, self.model, self.trained.device

        def one(part: slice) -> None:
            every = np.ones(len(rows[part]), bool)
            batch = place_batch(city, rows[part], every, every, config, device, pictures=False)
            text = model.part("text")(batch["text"])
            street, has_street = torch.zeros_like(text), torch.zeros(len(text), dtype=torch.bool, device=device)
            if "views" in batch and model.street_gate is not None:
                seen = self._view_vectors[torch.from_numpy(city.view).to(device)[batch["views"]]]
                street, has_street = model.street_vectors(text, seen, batch)
            polygon, has_polygon = torch.zeros_like(text), torch.zeros_like(has_street)
            if "shapes" in batch and len(batch["shapes"]):
                inner = model.part("polygon")(batch["shapes"], batch["area"])
                polygon = spread_rows(inner, batch["shape_place"], text)
                has_polygon[batch["shape_place"]] = True
            fused = model.fuse(text, street, has_street, polygon, has_polygon)
            made["text"][part], made["fused"][part] = _numbers(text), _numbers(fused)
            for name, values, has in (("street", street, has_street), ("polygon", polygon, has_polygon)):
                rows_with = has.cpu().numpy()
                made[name][part][rows_with] = _numbers(values)[rows_with]

        self._run(count, _PLACES, "place", one)
        return PlaceVectors(**made)

    def places_in_context(self) -> NDArray[np.float32]:
        """Vectors of all places with those around them (eq. 5 and 16): the mean over what places can show themselves by.

        They are computed and kept part by part, each of places that lie beside one another, with what surrounds them.

        Returns:
            (P, D); where the local stage was not trained, each place stands for itself.
        """
        city, config = self.city, self.config
        found = np.empty((len(city), config.width), np.float32)
        order = _beside(city.xy, config.reach_m)
        progress = self.progress.part(0.6, 1.0)
        shown = ["text"]
        if self.model.street_gate is not None and city.sees_street(config.street_reach_m).any():
            shown.append("street")
        if self.model.polygon is not None and city.has_polygon.any():
            shown.append("polygon")

        def make(part: slice) -> dict[str, NDArray[np.float32]]:
            return {"vectors": self._in_context(order[part], shown)}

        for part, made in self.store.partitions("place-vectors", len(city), _PARTITION, make):
            found[order[part]] = made["vectors"]
            progress.update(part.stop / len(city), f"{part.stop:,}/{len(city):,} points of interest")
        return found

    def _in_context(self, rows: NDArray[np.int64], shown: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of some places with those around them, (N, D)."""
        city, config = self.city, self.config
        if self.model.local is None:
            return self.places(rows).fused
        near = city.index.near_rows(rows, config.reach_m, config.max_neighbours)
        nodes = np.unique(np.concatenate([rows, near.index]))
        vectors = self.places(nodes)
        found = np.zeros((len(rows), config.width), np.float32)
        for name in shown:
            other = getattr(vectors, name)
            values = np.where(np.isnan(other[:, :1]), vectors.text, other)

            def one(part: slice, values: NDArray[np.float32] = values) -> None:
                lists = near.take(np.arange(len(rows))[part])
                lists = replace(lists, index=np.searchsorted(nodes, lists.index))
                centres = np.searchsorted(nodes, rows[part])
                found[part] += self._graphs("local", lists, centres, values, PLACE_UNIT_M) / len(shown)

            self._run(len(rows), _PLACES, "place", one)
        return found

    @cached_property
    def _view_vectors(self) -> Tensor:
        """Vectors of all street views, (S, D)."""
        found = self._pictures("street", self.city.street, self.progress.part(0.2, 0.6))
        return torch.from_numpy(found).to(self.trained.device)

    def _region_values(self, kind: str) -> NDArray[np.float32]:
        """What regions show themselves by, (R, D); NaN for those that cannot."""
        city, config = self.city, self.config
        values = np.full((city.regions, config.width), np.nan, np.float32)
        has = city.has(kind)
        if not has.any():
            return values
        if kind == "macro":
            values[has] = self._pictures("sky", city.sky, self.progress.part(0.0, 0.2))[has]
        elif kind == "features" and city.features is not None:
            with torch.inference_mode():
                numbers = torch.from_numpy(city.features[has]).to(self.trained.device)
                values[has] = _numbers(self.model.part("features")(numbers))
        else:
            by_itself = config.fusion == "scales" or "global" in config.stages
            values = self._means_of_places(
                self.places(np.arange(len(city))).fused if by_itself else self.places_in_context()
            )
        return values

    def _through_graphs(self, values: NDArray[np.float32], shown: NDArray[np.bool_]) -> NDArray[np.float32]:
        adjacent = only(self.city.adjacent, shown)
        rows = np.flatnonzero(shown)
        found = np.full_like(values, np.nan)

        def one(part: slice) -> None:
            some = rows[part]
            found[some] = self._graphs("around", adjacent.take(some), some, values, REGION_UNIT_M)

        self._run(len(rows), _PLACES, "region", one)
        return found

    def _graphs(
        self, encoder: str, near: NeighbourLists, rows: NDArray[np.int64], values: NDArray[np.float32], unit_m: float
    ) -> NDArray[np.float32]:
        """Vectors of the graphs around some rows, (N, D)."""
        graphs = near.ego_graphs(rows)
        batch = to_device({**graph_batch(graphs, unit_m, ""), "x": values[graphs.node]}, self.trained.device)
        encoded = self.model.part(encoder)(batch["x"], batch["edges"], batch["weight"], batch["graph"], len(graphs))
        return _numbers(encoded)

    def _pictures(self, part: str, pictures: ShownPictures | None, progress: Progress) -> NDArray[np.float32]:
        """Vectors of all pictures, (K, D); NaN where there is none."""
        if pictures is None or getattr(self.model, part) is None:
            return np.empty((0, self.config.width), np.float32)
        rows = np.flatnonzero(pictures.images.has_image)
        vectors = np.full((len(pictures.images), self.config.width), np.nan, np.float32)
        shown = pictures

        def make(some: slice) -> dict[str, Any]:
            chosen = rows[some]
            found = np.empty((len(chosen), self.config.width), np.float32)

            def one(inner: slice) -> None:
                found[inner] = _numbers(self.model.part(part)(shown.take(chosen[inner], self.trained.device)))

            self._run(len(chosen), _PICTURES, "picture", one)
            return {"vectors": found}

        for some, made in self.store.partitions(f"{part}-vectors", len(rows), _PARTITION, make):
            vectors[rows[some]] = made["vectors"]
            progress.update(some.stop / len(rows), f"{some.stop:,}/{len(rows):,} pictures")
        return vectors

    def _run(self, count: int, sizes: dict[str, int], noun: str, function: Callable[[slice], None]) -> None:
        trained = self.trained
        size = trained.batch_size or sizes[trained.device.type]

        def checked(part: slice) -> None:
            self.progress.check()
            with trained.arithmetic():
                function(part)

        Batches(trained.device, size, trained.notes, doing="embedding", noun=noun).run(count, checked)


def _beside(xy: NDArray[np.float64], side_m: float) -> NDArray[np.int64]:
    """An order in which places of one square follow one another, (P,)."""
    square = np.floor(xy / side_m)
    order: NDArray[np.int64] = np.lexsort((square[:, 0], square[:, 1]))
    return order


def _numbers(rows: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = rows.float().cpu().numpy()
    return found

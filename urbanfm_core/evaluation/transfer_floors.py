"""Floors that mean the same in every city, so that what a probe learned of them in one can be asked in another.

Coordinates and the words of names do not, and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.errors import InputError
from urbanfm_core.evaluation.floors import Array, area, count_categories, neighbour_means, raster_floors
from urbanfm_core.progress import Progress

Floors = dict[str, dict[str, Array]]


def shared_floors(cities: Mapping[str, CityInputs], progress: Progress) -> tuple[Floors, list[str]]:
    """Plain features of the regions of each city: by floor, then by city; and notes on what is left out.

    Args:
        cities: Each with its regions.
        progress: Reports and cancels.
    Raises:
        InputError: no point of interest of a city lies in a region.
    """
    notes = ["Coordinates and words of names mean nothing in another city, so they are no floors here."]
    found: Floors = {}
    if all(city.pois is not None for city in cities.values()):
        floors, said = _poi_counts(cities, progress.part(0.0, 0.4))
        found |= floors
        notes += said
    elif any(city.pois is not None for city in cities.values()):
        notes.append("Not every city has points of interest, so they make no floor.")
    for name, title, part in (
        ("embedding_raster", "embedding raster", progress.part(0.4, 0.7)),
        ("imagery", "imagery", progress.part(0.7, 1.0)),
    ):
        if any(getattr(city, name) is not None for city in cities.values()):
            floors, said = _raster_means(cities, name, title, part)
            found |= floors
            notes += said
    found["region area"] = {city: area(one.require_regions()).vectors for city, one in cities.items()}
    return found, notes


def _poi_counts(cities: Mapping[str, CityInputs], progress: Progress) -> tuple[Floors, list[str]]:
    counted = {}
    for number, (name, city) in enumerate(cities.items()):
        progress.update(number / len(cities), f"Points of interest of {name}")
        regions, pois = city.require_regions(), city.read_pois()
        inside = regions.assign(pois.xy, pois.crs)
        if not len(inside.point):
            raise InputError(f"{name}: no point of interest lies in a region.", "Choose layers of the same place.")
        counts, kinds = count_categories(pois, inside, len(regions))
        counted[name] = {"all": counts[:, 0], **{kind: counts[:, place + 1] for place, kind in enumerate(kinds)}}
    shared = [kind for kind in next(iter(counted.values())) if all(kind in one for one in counted.values())]
    every = set().union(*counted.values())
    plain, full = {}, {}
    for name, city in cities.items():
        regions = city.require_regions()
        counts = np.column_stack([counted[name][kind] for kind in shared])
        km2 = np.maximum(regions.area_m2() / 1e6, 1e-9)[:, None]
        plain[name] = np.log1p(counts)
        both = np.column_stack([plain[name], np.log1p(counts / km2)])
        full[name] = np.column_stack([both, neighbour_means(regions, both)])
    notes = [f"POI floors count the {len(shared) - 1} kinds of points, of {len(every) - 1}, that all cities have."]
    return {"POI counts": plain, "POI counts, densities, neighbours": full}, notes


def _raster_means(
    cities: Mapping[str, CityInputs], name: str, title: str, progress: Progress
) -> tuple[Floors, list[str]]:
    """Means, and means with deviations, where all rasters have the same bands."""
    floors: Floors = {}
    forms = set()
    for number, (label, city) in enumerate(cities.items()):
        path = getattr(city, name)
        if path is None:
            return {}, [f"Not every city has the layer {name}, so its means are no floor."]
        whole = name == "embedding_raster"
        with city.open_embedding_raster() if whole else EmbeddingRaster.open(path) as raster:
            forms.add((raster.bands, raster.info.dtype if not whole else ""))
            if len(forms) > 1:
                return {}, [f"The rasters of {name} differ in their bands or numbers, so their means are no floor."]
            part = progress.part(number / len(cities), (number + 1) / len(cities))
            for item in raster_floors(city.require_regions(), raster, title, part):
                floors.setdefault(item.name, {})[label] = item.vectors
    return floors, []

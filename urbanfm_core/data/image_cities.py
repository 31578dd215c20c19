"""Pictures of several cities that a network learns from together: shown alike, and taken as one set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from urbanfm_core.data.image_store import StoredImages


def common_settings(cities: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How new imagery is to be read by a network that learned from several rasters.

    Args:
        cities: Bands and limits of each raster, as `Imagery.to_json` gives them.
    Returns:
        The bands that all have, else None for those that a file itself names; and the widest limits of the stretch, so
        that a value has the same colour everywhere, None if no raster is stretched.
    """
    bands = cities[0]["bands"] if all(city["bands"] == cities[0]["bands"] for city in cities) else None
    limits = [city["stretch"] for city in cities if city["stretch"] is not None]
    if not limits:
        return {"bands": bands, "stretch": None}
    low, high = np.array(limits, float).swapaxes(0, 1)
    return {"bands": bands, "stretch": [low.min(axis=0).tolist(), high.max(axis=0).tolist()]}


def join_images(cities: Sequence[StoredImages | None], regions: Sequence[int]) -> StoredImages | None:
    """The pictures of several cities one after another; None if no city has any.

    Args:
        cities: Pictures of each city, of the same size; None for one without imagery.
        regions: Number of regions of each.
    """
    known = [images for images in cities if images is not None]
    if not known:
        return None
    share, part, place, before = [], [], [], 0
    for images, count in zip(cities, regions, strict=True):
        if images is None:
            share.append(np.zeros(count))
            part.append(np.full(count, -1, np.int64))
            place.append(np.full(count, -1, np.int64))
            continue
        share.append(images.valid_share)
        part.append(np.where(images.part >= 0, images.part + before, -1))
        place.append(images.place)
        before += len(images.rgb)
    return StoredImages(
        known[0].size_px,
        np.concatenate(share),
        np.sum([images.sums for images in known], axis=0),
        [pictures for images in known for pictures in images.rgb],
        [masks for images in known for masks in images.packed],
        np.concatenate(part),
        np.concatenate(place),
    )

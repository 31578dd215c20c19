"""A small invented city as the stages draw from it, without files."""

from dataclasses import replace

import numpy as np
import torch
from pyproj import CRS

from urbanfm_core.data.buildings import PackedShapes
from urbanfm_core.data.image_store import ImageStatistics, StoredImages
from urbanfm_core.data.neighbours import PointIndex
from urbanfm_core.data.street_groups import StreetGroups
from urbanfm_core.models.urbanmfm.city import Lists, MfmCity, ShownPictures
from urbanfm_core.models.urbanmfm.config import STAGES, UrbanMfmConfig
from urbanfm_core.models.urbanmfm.encoders import resnet_architecture

PLACES, GROUPS, REGIONS, SIDE = 24, 5, 6, 16
INPUTS = ("pois", "buildings", "roads", "streetview", "imagery", "features", "scenes")


def config(**changes):
    made = UrbanMfmConfig(
        width=8, text_dim=5, extra_dim=3, image_depths=(1, 1), image_widths=(4, 8), image_size=SIDE, polygon_size=8,
        graph_hidden=8, heads=2, fusion_heads=2, max_neighbours=3, max_groups=2, max_road_pois=3, max_region_pois=3,
        reach_m=400.0, street_reach_m=600.0, swap=0.5, sees=INPUTS, stages=STAGES,
    )  # fmt: skip
    return replace(made, image_architecture=resnet_architecture(made), **changes)


def pictures(count, seed, missing=()):
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)
    valid = np.packbits(np.ones((count, SIDE, SIDE), bool), axis=-1)
    part = np.zeros(count, np.int64)
    part[list(missing)] = -1
    share = (part >= 0).astype(float)
    images = StoredImages(SIDE, share, np.zeros((3, 3)), [rgb], [valid], part, np.arange(count))
    return ShownPictures(images, ImageStatistics((0.5,) * 3, (0.25,) * 3))


def city(**changes):
    rng = np.random.default_rng(7)
    xy = rng.uniform(0, 1000, (PLACES, 2))
    centres = rng.uniform(0, 1000, (REGIONS, 2))
    starts = np.arange(0, 4 * GROUPS + 1, 4)
    groups = StreetGroups(
        rng.uniform(0, 1000, (GROUPS, 2)), CRS(32630), starts, np.arange(4 * GROUPS),
        np.tile([0.0, 90.0, 180.0, 270.0], GROUPS),
    )  # fmt: skip
    polygon = np.where(np.arange(PLACES) % 2, -1, np.arange(PLACES) // 2)
    bits = np.packbits(rng.random((PLACES // 2, 64)) < 0.5, axis=1)
    region = np.arange(PLACES) % (REGIONS - 1)
    features = rng.normal(size=(REGIONS, 3)).astype(np.float32)
    features[1] = np.nan
    made = MfmCity(
        texts=torch.randn(10, 5, generator=torch.Generator().manual_seed(3)),
        place_text=np.arange(PLACES) % 8,
        xy=xy,
        regions=REGIONS,
        region_places=Lists.of_pairs(region, np.arange(PLACES), REGIONS),
        adjacent=PointIndex(centres).near_rows(np.arange(REGIONS), 2000.0, 3),
        shapes=PackedShapes(bits, 8),
        area=rng.random(PLACES // 2).astype(np.float32),
        polygon=polygon,
        groups=groups,
        street=pictures(4 * GROUPS, 1),
        view=np.arange(4 * GROUPS),
        scenes=Lists.of_pairs(np.arange(GROUPS), np.full(GROUPS, 8) + np.arange(GROUPS) % 2, GROUPS),
        roads=Lists.of_pairs(np.arange(PLACES) % 7, np.arange(PLACES), 7),
        sky=pictures(REGIONS, 2, missing=[2]),
        alike=Lists(np.arange(0, 2 * REGIONS + 1, 2), np.array([[(i + 1) % 6, (i + 3) % 6] for i in range(6)]).ravel()),
        features=features,
    )
    return replace(made, **changes)

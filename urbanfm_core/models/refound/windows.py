"""Windows of imagery through ReFound, as regions without points of interest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.data.image_store import ImageStatistics, StoredImages
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.exchange import Trained, WindowFunction
from urbanfm_core.models.refound.compute import compute_vectors, region_batches
from urbanfm_core.models.refound.config import RefoundConfig
from urbanfm_core.models.refound.layers import load_tokenizer, seen_inputs
from urbanfm_core.models.refound.samples import RegionInputs
from urbanfm_core.models.refound.sequence import RegionSequences
from urbanfm_core.models.refound.tokenizer import PoiTokenizer
from urbanfm_core.progress import Progress


def window_function(trained: Trained) -> WindowFunction:
    """How a network that was trained with imagery embeds windows of it, without points of interest.

    Raises:
        ConfigError: it was trained without imagery.
    """
    config: RefoundConfig = trained.config
    if "imagery" not in seen_inputs(trained.preprocessing):
        raise ConfigError(
            "This model was trained without imagery, so it cannot embed windows of it.",
            "Take a model that was trained on imagery.",
        )
    tokenizer = load_tokenizer(trained.preprocessing)
    statistics = ImageStatistics.from_json(trained.preprocessing["statistics"])
    batches = region_batches(trained, "embedding")

    def encode(rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        rows = np.arange(len(rgb))
        share = valid.mean(axis=(1, 2))
        packed = np.packbits(valid, axis=-1)
        images = StoredImages(
            config.image_size, share, np.zeros((3, 3)), [rgb], [packed], np.zeros(len(rgb), np.int64), rows
        )
        inputs = RegionInputs(_no_points(len(rgb), tokenizer, config.grid), images, statistics, config.patch_size)
        return compute_vectors(trained, inputs, rows, batches, Progress())

    fixed = config.image_size * config.pixel_m
    imagery = trained.preprocessing["imagery"]
    return WindowFunction(config.image_size, fixed or None, config.hidden_size, imagery, batches.rows, encode)


def _no_points(count: int, tokenizer: PoiTokenizer, grid: int) -> RegionSequences:
    """Sequences of nothing but their first token."""
    zero, none = np.zeros(count, np.int32), np.full(count, -1, np.int32)
    return RegionSequences(
        starts=np.arange(count + 1),
        tokens=np.full(count, tokenizer.cls, np.int32),
        word_position=zero,
        poi_position=zero,
        grid_position=zero,
        category=zero,
        poi=none,
        xy01=np.full((count, 2), np.nan, np.float32),
        grid=grid,
        pad=tokenizer.pad,
        sep=tokenizer.sep,
    )

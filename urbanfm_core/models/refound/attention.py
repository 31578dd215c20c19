"""Where the points of a region look in its picture (paper, section 5.2.3 and Figure 4).

In the last layer, every token of a chosen point's name spreads its attention over all that the region holds. What falls
on patches with data is averaged over the heads and scaled to sum to 1; the mean over the tokens is the map of the region.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.frames import RegionFrames
from urbanfm_core.data.imagery import Imagery
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError, EmptyInputError, ShapeError
from urbanfm_core.geo.footprints import repeat_ranges
from urbanfm_core.models.attention import PoiPairs, RegionAttention
from urbanfm_core.models.batches import Batches
from urbanfm_core.models.exchange import Trained
from urbanfm_core.models.refound.compute import run_regions
from urbanfm_core.models.refound.layers import region_inputs, seen_inputs
from urbanfm_core.models.refound.samples import RegionInputs
from urbanfm_core.models.refound.sequence import RegionSequences
from urbanfm_core.progress import Meter, Progress

# Regions computed at once: the attention of all heads lies in memory; and regions kept as one partition.
_BATCH = {"cpu": 8, "cuda": 64, "mps": 16}
_PARTITION = 1024
_PER_PAIR = ("region", "poi", "tokens", "patch", "mass")


def attend(
    trained: Trained,
    city: CityInputs,
    regions: RegionSet,
    chosen: NDArray[np.bool_],
    store: SampleStore,
    progress: Progress,
) -> RegionAttention:
    """Attention of chosen points of a city; see `Method.attention`.

    Raises:
        ConfigError: a layer is missing, or the network was trained without imagery.
        EmptyInputError: no chosen point has a name in a region with a picture.
    """
    city.require("pois", "imagery")
    preprocessing = trained.preprocessing
    if "imagery" not in seen_inputs(preprocessing):
        raise ConfigError(
            "This checkpoint was trained without imagery: its points never learned where to look in a picture.",
            "Train with --imagery.",
        )
    inputs, notes = region_inputs(trained, replace(city, regions=regions), store, progress.part(0.0, 0.4))
    frames = _frames(city, regions, preprocessing.get("imagery"), trained.config)
    return patch_attention(trained, inputs, frames, chosen, store, progress.part(0.4, 1.0), notes)


def patch_attention(
    trained: Trained,
    inputs: RegionInputs,
    frames: RegionFrames,
    chosen: NDArray[np.bool_],
    store: SampleStore,
    progress: Progress,
    notes: list[str],
) -> RegionAttention:
    """Attention of chosen points to the patches of their regions.

    Args:
        trained: Network.
        inputs: R regions.
        frames: Their frames.
        chosen: (P,) which of the points that the sequences were built from.
        store: Keeps finished partitions; must belong to this network and these inputs.
        progress: Reports and cancels.
        notes: What is known of the inputs.

    Raises:
        ShapeError: frames or points of another number.
        EmptyInputError: no chosen point has a name in a region with a picture.
    """
    sequences, images = inputs.sequences, inputs.images
    if len(frames) != len(inputs) or sequences.poi.max(initial=-1) >= len(chosen):
        raise ShapeError(f"{len(inputs)} regions, {len(frames)} frames; points up to row {sequences.poi.max()}.")
    picked = chosen_tokens(sequences, chosen)
    holds = np.add.reduceat(picked, sequences.starts[:-1], dtype=np.int64) > 0 if len(inputs) else np.zeros(0, bool)
    rows = np.flatnonzero(holds & inputs.has_image)
    left_out = _left_out(sequences, chosen, picked, inputs.has_image)
    notes = [*notes, *trained.precision_notes("Shares of attention"), *left_out]
    if images is None or not len(rows):
        raise EmptyInputError(
            f"None of {int(chosen.sum()):,} chosen points of interest has a name and lies in a region with imagery. "
            + " ".join(left_out),
            "Check that points, regions and imagery show the same place, and name the column with the names of the points "
            "(poi_name).",
        )
    rows = inputs.by_length(rows)
    batches = Batches(
        trained.device,
        trained.batch_size or _BATCH[trained.device.type],
        trained.notes,
        doing="reading attention",
        noun="region",
    )
    key = hashlib.sha256(np.packbits(chosen).tobytes()).hexdigest()[:16]
    part, place = (np.full(len(inputs), -1, np.int64) for _ in range(2))
    patches = np.zeros(len(inputs), np.int64)
    weights: list[NDArray[np.float32]] = []
    pairs: list[dict[str, NDArray[Any]]] = []
    meter = Meter(progress, "regions", len(rows))

    def make(span: slice) -> dict[str, NDArray[Any]]:
        return _partition(trained, inputs, rows[span], picked, batches, progress)

    for number, (span, found) in enumerate(store.partitions(f"attention/{key}", len(rows), _PARTITION, make)):
        here = rows[span]
        part[here], place[here], patches[here] = number, np.arange(len(here)), found["patches"]
        weights.append(found["weights"])
        pairs.append({column: np.array(found[column]) for column in _PER_PAIR})
        meter.advance(len(here))
    columns = {column: np.concatenate([one[column] for one in pairs]) for column in _PER_PAIR}
    order = np.lexsort((columns["poi"], columns["region"]))
    together = PoiPairs(**{column: values[order] for column, values in columns.items()})
    off = int(np.isnan(together.mass).sum())
    if off:
        notes.append(f"{off:,} of {len(together):,} chosen points stand on no patch with data.")
    side = images.size_px // inputs.patch_size
    return RegionAttention(frames, images, side, patches, together, part, place, weights, notes)


def chosen_tokens(sequences: RegionSequences, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which tokens belong to the name of a chosen point, (L,)."""
    is_name = (sequences.poi >= 0) & (sequences.tokens != sequences.sep)
    picked: NDArray[np.bool_] = is_name & chosen[np.where(is_name, sequences.poi, 0)] if len(chosen) else is_name
    return picked


def token_shares(attention: NDArray[np.float32], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Attention of tokens as shares of what falls on patches with data.

    Args:
        attention: (K, N) of each token, mean over the heads.
        shown: (K, N) patches with data.

    Returns:
        (K, N), 0 at patches without data; each row sums to 1. A token that attends to no patch at all gets NaN.
    """
    kept = np.where(shown, attention.astype(np.float64), 0)
    total = kept.sum(axis=1, keepdims=True)
    shares = np.full_like(kept, np.nan)
    np.divide(kept, total, out=shares, where=total > 0)
    return shares


def _partition(
    trained: Trained,
    inputs: RegionInputs,
    rows: NDArray[np.int64],
    picked: NDArray[np.bool_],
    batches: Batches,
    progress: Progress,
) -> dict[str, NDArray[Any]]:
    """Maps and pairs of some regions, each of which holds a chosen name."""
    parts: list[Mapping[str, NDArray[Any]]] = []

    def one(part: slice, batch: dict[str, Tensor]) -> None:
        parts.append(_compute(trained, inputs, rows[part], picked, batch))

    run_regions(trained, inputs, rows, batches, progress, one)
    return {name: np.concatenate([found[name] for found in parts]) for name in parts[0]}


def _compute(
    trained: Trained,
    inputs: RegionInputs,
    rows: NDArray[np.int64],
    picked: NDArray[np.bool_],
    batch: Mapping[str, Tensor],
) -> dict[str, NDArray[Any]]:
    sequences = inputs.sequences
    encoded = trained.model.encode(batch, attention=True, cls_only=True)  # type: ignore[operator]
    start = sequences.starts[rows]
    place, source = repeat_ranges(start, sequences.length[rows])
    place, source = place[picked[source]], source[picked[source]]
    column = source - start[place]
    where = torch.from_numpy(place).to(trained.device), torch.from_numpy(column).to(trained.device)
    shown = batch["image_mask"].cpu().numpy()
    shares = token_shares(encoded.attention.float().mean(1)[where].cpu().numpy(), shown[place])

    known = np.isfinite(shares[:, 0])
    total = np.zeros((len(rows), shares.shape[1]))
    np.add.at(total, place[known], shares[known])
    count = np.bincount(place[known], minlength=len(rows))
    with np.errstate(invalid="ignore"):
        weights = np.where(shown, total / count[:, None], np.nan)

    patch = batch["poi_patch"].cpu().numpy()[place, column]
    patch = np.where((patch >= 0) & shown[place, patch], patch, -1)
    own = np.where(patch >= 0, shares[np.arange(len(patch)), patch], np.nan)
    # The tokens of a point's name stand side by side.
    poi = sequences.poi[source].astype(np.int64)
    first = np.flatnonzero((np.diff(place, prepend=-1) != 0) | (np.diff(poi, prepend=-1) != 0))
    tokens = np.diff(np.append(first, len(place)))
    return {
        "weights": weights.astype(np.float32),
        "patches": shown.sum(axis=1),
        "region": rows[place[first]],
        "poi": poi[first],
        "tokens": tokens,
        "patch": patch[first],
        "mass": np.add.reduceat(own, first) / tokens,
    }


def _left_out(
    sequences: RegionSequences,
    chosen: NDArray[np.bool_],
    picked: NDArray[np.bool_],
    has_image: NDArray[np.bool_],
) -> list[str]:
    """Why chosen points have no attention, each counted once."""
    region = np.repeat(np.arange(len(sequences)), sequences.length)
    total = int(chosen.sum())
    there, named, seen = (np.zeros(len(chosen), bool) for _ in range(3))
    there[sequences.poi[sequences.poi >= 0]] = True
    named[sequences.poi[picked]] = True
    seen[sequences.poi[picked & has_image[region]]] = True
    counts = (
        (chosen & ~there, "lie in no region, or did not fit into its sequence"),
        (chosen & there & ~named, "have no name whose attention could be read"),
        (named & ~seen, "lie in regions without imagery"),
    )
    return [f"{int(mask.sum()):,} of {total:,} chosen points {words}." for mask, words in counts if mask.any()]


def _frames(city: CityInputs, regions: RegionSet, settings: dict[str, Any] | None, config: Any) -> RegionFrames:
    path = city.require_path("imagery")
    bands = list(city.imagery_bands) or None
    with Imagery(path, bands) if settings is None else Imagery.open_like(path, settings) as raster:
        return raster.region_footprints(regions, config.image_size, config.pixel_m)

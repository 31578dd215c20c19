"""AETHER's vectors of single points of interest: what their text says and what surrounds them, on the shared sphere."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import NoOverlapError
from urbanfm_core.models.aether.config import AetherConfig
from urbanfm_core.models.aether.pixels import pixel_function, require_trained_bands
from urbanfm_core.models.exchange import Trained
from urbanfm_core.models.poi_samples import stored_text_vectors, stored_windows, usable_windows
from urbanfm_core.models.points import PointVectors
from urbanfm_core.models.text import trained_text_encoder
from urbanfm_core.progress import Progress

_TEXTS_AT_ONCE = 1 << 14


def point_vectors(trained: Trained, city: CityInputs, store: SampleStore, progress: Progress) -> PointVectors:
    """Mean of the projected text (eq. 3) and the projected base window (eq. 4) of each point, made unit length.

    Training draws both to one place. A point that has one of the two is that one; one that has neither is NaN.

    Args:
        trained: Network.
        city: Needs points of interest; windows are read where the embedding raster is given.
        store: Keeps means of windows and vectors of texts.
        progress: Reports and cancels.
    Raises:
        CheckpointError: the raster has another number of bands than that of the training, or the text encoder of the
            training is not known or not here.
        NoOverlapError: no point has valid pixels of the raster around it.
    """
    city.require("pois")
    pois = city.read_pois()
    notes = [*pois.notes]
    width = trained.config.embedding_dim
    total = np.zeros((len(pois), width), np.float32)
    sentences = pois.sentences()
    told = np.flatnonzero([bool(sentence and sentence.strip()) for sentence in sentences])
    coverage = {"pois": _marked(told, len(pois))}
    if len(told):
        texts = [str(sentences[row]) for row in told]
        distinct, place = stored_text_vectors(trained_text_encoder(trained), texts, store, progress.part(0.0, 0.5))
        total[told] += _projected(trained, distinct)[place]
    if len(told) < len(pois):
        notes.append(f"{len(pois) - len(told):,} of {len(pois):,} points have no text.")
    if city.embedding_raster is not None:
        rows, around = _windows(trained, city, pois, store, progress.part(0.5, 1.0))
        total[rows] += around
        coverage["embedding_raster"] = _marked(rows, len(pois))
        if len(rows) < len(pois):
            notes.append(f"{len(pois) - len(rows):,} of {len(pois):,} points have too few valid pixels around them.")
    else:
        notes.append("Without an embedding raster, points are what their text says.")
    length = np.linalg.norm(total, axis=1, keepdims=True)
    known = (coverage["pois"] + coverage.get("embedding_raster", 0.0) > 0) & (length[:, 0] > 0)
    vectors = np.where(known[:, None], total / np.where(length > 0, length, 1.0), np.nan).astype(np.float32)
    return PointVectors(vectors, coverage, notes)


def _windows(
    trained: Trained, city: CityInputs, pois: PoiSet, store: SampleStore, progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Points with a usable base window, (N,), and their projected windows, (N, D)."""
    config: AetherConfig = trained.config
    with city.open_embedding_raster() as raster:
        require_trained_bands(raster, config)
        found = stored_windows(raster, pois.xy, pois.crs, config.windows()[:1], store, progress)
    mean = np.asarray(found["mean"][0])
    rows = np.flatnonzero(usable_windows(mean, found["valid"][0], config.min_valid))
    if not len(rows):
        xy, bounds = pois.to_crs(raster.info.crs).xy, raster.info.bounds
        (west, south), (east, north) = xy.min(axis=0), xy.max(axis=0)
        raise NoOverlapError(
            f"None of {len(pois):,} points of interest has enough valid pixels of {raster.info.path} around it: in its CRS "
            f"({raster.info.crs.name}) it spans x {bounds[0]:g} to {bounds[2]:g}, y {bounds[1]:g} to {bounds[3]:g}, the points "
            f"x {west:g} to {east:g}, y {south:g} to {north:g}.",
            "Choose layers of the same place, and check that each carries its right CRS, and that x and y are not swapped. "
            "Without the raster points are what their text says.",
        )
    return rows, pixel_function(trained)(mean[rows])


def _projected(trained: Trained, texts: NDArray[np.float32]) -> NDArray[np.float32]:
    """(U, T) -> (U, D)."""
    made = np.empty((len(texts), trained.config.embedding_dim), np.float32)
    with torch.inference_mode():
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            part = slice(start, start + _TEXTS_AT_ONCE)
            rows = torch.from_numpy(np.array(texts[part])).to(trained.device)
            made[part] = trained.model.text(rows).cpu().numpy()  # type: ignore[operator]
    return made


def _marked(rows: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    marks = np.zeros(count, np.float32)
    marks[rows] = 1.0
    return marks

"""Consensus: of several captions of a picture, the one that the others agree with most (UrbanLN, "Consensus-based
Evaluation").

The score of a caption is its mean CAPTURE with all other captions of the same picture. What only one captioner claims
finds no match and lowers the score of that caption; what it leaves out lowers it too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.captions.capture import Capture, Weights
from urbanfm_core.captions.scene_graph import LIGHT, SceneGraphParser, load_parser
from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.models.text import TextEncoder, load_text_encoder
from urbanfm_core.progress import Progress

DEFAULT_ENCODER = "minilm"
_PICTURES_PER_PARTITION = 256


class Consensus(NamedTuple):
    """What `consensus_captions` found.

    Attributes:
        captions: The chosen captions, one per picture, in the order in which the pictures first appear.
        rows: (C,) int64, their rows among the captions given.
        scores: (N,) float32 consensus score of each caption given; NaN for one that had nothing to be compared with.
        notes: What a report should mention, with counts.
    """

    captions: CaptionSet
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    notes: list[str]


def consensus_captions(
    captions: CaptionSet,
    parser: SceneGraphParser | str = LIGHT,
    encoder: TextEncoder | str | None = DEFAULT_ENCODER,
    progress: Progress | None = None,
    *,
    weights: Weights | None = None,
    store: SampleStore | None = None,
) -> Consensus:
    """The most agreed-upon caption of each picture.

    Captions belong to one picture if they agree in kind, region and image. Of equal scores the first wins. A caption
    that is alone is taken as it is. A picture of which no caption names anything (refusals, empty ones) is left out.

    Args:
        captions: N captions by several captioners.
        parser: Reads scene graphs, or the spec of such a parser (`load_parser`).
        encoder: For soft matching, or the spec of one (`load_text_encoder`); None to match words and synonyms only.
        progress: Reports and cancels.
        weights: Of objects, attributes and relations; the paper's 5, 5, 2 by default.
        store: Keeps scores of finished parts, so that a run that was stopped goes on.

    Raises:
        ConfigError: a spec names nothing loadable.
        MissingDependencyError: the package that a spec needs is not installed.
        Cancelled: the user asked to stop; finished parts are in the store.
    """
    progress = progress or Progress()
    parser = load_parser(parser) if isinstance(parser, str) else parser
    encoder = load_text_encoder(encoder) if isinstance(encoder, str) else encoder
    capture = Capture(encoder, weights)
    groups = _by_picture(captions)
    scores = np.full(len(captions), np.nan, np.float32)
    says = np.zeros(len(captions), bool)
    for begin in range(0, len(groups), _PICTURES_PER_PARTITION):
        part = groups[begin : begin + _PICTURES_PER_PARTITION]
        told = progress.part(begin / len(groups), (begin + len(part)) / len(groups))
        rows = np.concatenate(part)
        texts = [str(captions.text[row]) for row in rows]
        shape = [len(group) for group in part]
        name = f"consensus/{_digest(parser.identity, capture.identity, shape, texts)}"
        if store is not None and store.has(name):
            found = store.load(name)
        else:
            found = dict(zip(("score", "says"), _scores(texts, shape, parser, capture, told), strict=True))
            if store is not None:
                store.save(name, **found)
        scores[rows], says[rows] = found["score"], found["says"]
        told.update(1.0, f"consensus of {begin + len(part):,}/{len(groups):,} pictures")
    chosen = np.array([group[_best(scores[group], says[group])] for group in groups if says[group].any()], np.int64)
    notes = [*parser.notes, *_encoder_notes(encoder), *_counts(captions, groups, says, len(chosen))]
    return Consensus(captions.take(chosen), chosen, scores, notes)


def _by_picture(captions: CaptionSet) -> list[NDArray[np.int64]]:
    """Rows of the captions of each picture; an empty text is none."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for row, key in enumerate(zip(captions.kind, captions.region, captions.image, strict=True)):
        if captions.text[row]:
            found.setdefault(key, []).append(row)
    return [np.array(rows, np.int64) for rows in found.values()]


def _scores(
    texts: Sequence[str], shape: Sequence[int], parser: SceneGraphParser, capture: Capture, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Consensus scores of the captions of some pictures, which stand one after the other, and which say anything."""
    graphs = parser.parse(texts, progress.part(0.0, 0.4))
    capture.prepare(graphs, progress.part(0.4, 0.8))
    found = []
    start = 0
    for count in shape:
        progress.check()
        agreement = capture.agreement(graphs[start : start + count])
        others = max(count - 1, 1)
        found.append(np.where(count > 1, np.nansum(agreement, axis=1) / others, np.nan))
        start += count
    return np.concatenate(found).astype(np.float32), np.array([bool(graph) for graph in graphs])


def _best(scores: NDArray[np.float32], says: NDArray[np.bool_]) -> int:
    """Place of the highest score among captions that say anything."""
    return int(np.argmax(np.where(says, np.nan_to_num(scores, nan=0.0), -1.0)))


def _encoder_notes(encoder: TextEncoder | None) -> list[str]:
    if encoder is None:
        return ["Without a text encoder, phrases match if they are equal or synonyms, not if they are merely alike."]
    return list(encoder.notes)


def _counts(
    captions: CaptionSet, groups: Sequence[NDArray[np.int64]], says: NDArray[np.bool_], chosen: int
) -> list[str]:
    empty = int((captions.text == "").sum())
    silent = len(captions) - empty - int(says.sum())
    alone = sum(len(group) == 1 for group in groups)
    notes = [f"Consensus: {chosen:,} captions chosen out of {len(captions):,}."]
    if empty:
        notes.append(f"{empty:,} captions are empty and had no say.")
    if silent:
        notes.append(f"{silent:,} captions name nothing that could be seen, such as refusals; none of them was chosen.")
    if len(groups) > chosen:
        notes.append(f"{len(groups) - chosen:,} pictures are left out: none of their captions names anything.")
    if alone:
        notes.append(f"{alone:,} pictures have a single caption, which no other confirms.")
    return notes


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

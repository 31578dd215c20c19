"""Divide and conquer: captions completed and corrected part by part (UrbanLN, "Divide-and-Conquer Refinement").

For each picture and each of its captions: the picture is divided into parts (`segments`); the captioner describes each
part in a short sentence; phrases that a detector does not find in the picture are cut out of both (`phrases`); and the
captioner writes the caption anew, with the picture, what is left of the caption, and the details before it. What comes
out goes to `consensus`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import Template

import numpy as np
from numpy.typing import NDArray

from urbanfm_core.captions.captioners import Captioner, Picture
from urbanfm_core.captions.generate import PictureSet
from urbanfm_core.captions.phrases import THRESHOLD, PhraseDetector, phrases_of, without_phrases
from urbanfm_core.captions.scene_graph import SceneGraphParser, load_parser
from urbanfm_core.captions.segments import GridSegmenter, Segmenter
from urbanfm_core.data.captions import CaptionSet, Kind
from urbanfm_core.data.store import SampleStore
from urbanfm_core.progress import Progress
from urbanfm_core.resources import resource

_PICTURES_PER_PARTITION = 16
_KIND_WORDS: dict[Kind, str] = {"satellite": "satellite", "street": "street-view"}
# What is counted, in the order in which it is kept.
_COUNTS = ("details", "phrases", "refused", "merged", "unanswered", "emptied", "unwritten")


@dataclass(frozen=True)
class Refiner:
    """The parts of the refinement, each of which may be missing but the parser and the segmenter.

    Attributes:
        captioners: By the name that captions carry. Captions by others are filtered, and not written anew.
        segmenter: Divides pictures.
        detector: Tells which phrases a picture bears out; None to keep all.
        parser: Tells which phrases name objects.
        threshold: Least score of a phrase that is kept.
    """

    captioners: Mapping[str, Captioner]
    segmenter: Segmenter
    detector: PhraseDetector | None
    parser: SceneGraphParser
    threshold: float = THRESHOLD

    @classmethod
    def of(
        cls,
        captioners: Mapping[str, Captioner],
        segmenter: Segmenter | None = None,
        detector: PhraseDetector | None = None,
        parser: SceneGraphParser | None = None,
        threshold: float = THRESHOLD,
    ) -> Refiner:
        """A refiner with what needs no download in place of what is not given."""
        return cls(captioners, segmenter or GridSegmenter(), detector, parser or load_parser(), threshold)

    @property
    def notes(self) -> list[str]:
        """What a report should mention about its parts."""
        notes = [*self.segmenter.notes, *self.parser.notes]
        if self.detector is None:
            notes.append(
                "No phrase detector was given: phrases that the pictures do not bear out stay in the captions."
            )
        return notes


def refine_captions(
    captions: CaptionSet,
    keys: Sequence[str],
    kind: Kind,
    pictures: Sequence[Picture],
    refiner: Refiner,
    *,
    store: SampleStore | None = None,
    progress: Progress | None = None,
) -> CaptionSet:
    """Captions of pictures, completed and corrected.

    Args:
        captions: By any captioners, of some or all of the pictures, and perhaps of others.
        keys: K names of pictures, or ids of regions, as `CaptionSet.by_key` takes them.
        kind: Kind of the pictures.
        pictures: K pictures, (3, H, W) uint8. They are looked at some at a time and may be read from disk meanwhile.
        refiner: What does the work.
        store: Keeps finished parts, so that a run that was stopped goes on.
        progress: Reports and cancels.

    Returns:
        One caption per pair of picture and caption, in the order of the pictures. Street views are named by their key
        as image, pictures from above as region. Its notes tell what was done and left out, with counts.

    Raises:
        RemoteError: a captioner did not answer; finished parts are kept.
        Cancelled: the user asked to stop.
    """
    progress = progress or Progress()
    starts, rows = captions.by_key(keys, kind)
    described = np.flatnonzero(np.diff(starts) > 0)
    texts: list[str] = []
    counts = np.zeros(len(_COUNTS), np.int64)
    for begin in range(0, len(described), _PICTURES_PER_PARTITION):
        part = described[begin : begin + _PICTURES_PER_PARTITION]
        told = progress.part(begin / len(described), (begin + len(part)) / len(described))
        job = _Part(
            _KIND_WORDS[kind],
            [pictures[k] for k in part],
            [[str(captions.text[row]) for row in rows[starts[k] : starts[k + 1]]] for k in part],
            [[str(captions.captioner[row]) for row in rows[starts[k] : starts[k + 1]]] for k in part],
        )
        name = f"refined/{job.digest(refiner)}"
        if store is not None and store.has(name):
            found = store.load(name)
        else:
            found = job.refine(refiner, told)
            if store is not None:
                store.save(name, **found)
        texts += [str(text) for text in found["text"]]
        counts += found["counts"]
        told.update(1.0, f"{begin + len(part):,}/{len(described):,} pictures refined")
    taken = captions.take(rows)
    names = np.repeat(np.array([str(key) for key in keys], dtype=np.object_), np.diff(starts))
    region, image = (taken.region, names) if kind == "street" else (names, taken.image)
    kinds = np.full(len(rows), kind, dtype=np.object_)
    notes = [
        *captions.notes,
        *refiner.notes,
        *_count_notes(dict(zip(_COUNTS, counts.tolist(), strict=True)), len(rows)),
    ]
    refined = np.array(texts, dtype=np.object_)
    return replace(taken, region=region, image=image, kind=kinds, text=refined, notes=notes)


def refine_pictures(
    captions: CaptionSet,
    sets: Sequence[PictureSet],
    refiner: Refiner,
    store: SampleStore | None = None,
    progress: Progress | None = None,
) -> tuple[CaptionSet, CaptionSet]:
    """Captions of several sets of pictures, as they were and as they are now.

    Args:
        captions: By any captioners.
        sets: Pictures from above, street views, or both.
        refiner, store, progress: See `refine_captions`.

    Returns:
        Two sets whose rows are the same captions, picture by picture. Captions of no picture at hand stand behind the
        others and are equal in both. The notes of the second tell what was done.

    Raises:
        RemoteError, Cancelled: as `refine_captions`.
    """
    progress = progress or Progress()
    left = np.ones(len(captions), bool)
    before, after = [], []
    for number, one in enumerate(sets):
        keys = one.region if one.kind == "satellite" else one.image
        _, rows = captions.by_key(keys, one.kind)
        told = progress.part(number / len(sets), (number + 1) / len(sets))
        made = refine_captions(replace(captions, notes=[]), keys, one.kind, one, refiner, store=store, progress=told)
        before.append(replace(made, text=captions.text[rows], notes=[]))
        after.append(made)
        left[rows] = False
    rest = replace(captions.take(np.flatnonzero(left)), notes=[])
    if len(rest):
        said = (
            f"{len(rest):,} captions are empty or of no picture at hand; they are not completed and stay as they are."
        )
        after.append(replace(rest, notes=[said]))
    return CaptionSet.joined([*before, rest]), CaptionSet.joined(after)


@dataclass(frozen=True)
class _Part:
    """Some pictures with their captions and who wrote them."""

    kind: str
    pictures: list[Picture]
    texts: list[list[str]]
    captioners: list[list[str]]

    def digest(self, refiner: Refiner) -> str:
        """A name for what comes out."""
        made_by = [
            refiner.segmenter.identity,
            refiner.detector.identity if refiner.detector is not None else "",
            refiner.parser.identity,
            refiner.threshold,
            {name: one.identity for name, one in refiner.captioners.items()},
            [_prompt("refine_local"), _prompt("refine_merge"), self.kind],
        ]
        found = hashlib.sha256(json.dumps([made_by, self.texts, self.captioners]).encode())
        for picture in self.pictures:
            found.update(np.ascontiguousarray(picture).tobytes())
        return found.hexdigest()[:16]

    def refine(self, refiner: Refiner, progress: Progress) -> dict[str, NDArray]:
        """The refined texts, one after the other, and what was counted."""
        counts = dict.fromkeys(_COUNTS, 0)
        details = self._details(refiner, counts, progress.part(0.0, 0.5))
        long = [list(texts) for texts in self.texts]
        for number, picture in enumerate(progress.part(0.5, 0.6).track(self.pictures, "pictures")):
            if refiner.detector is not None:
                long[number], details[number] = _filtered(
                    refiner, refiner.detector, picture, long[number], details[number], counts
                )
        merged = self._merged(refiner, long, details, counts, progress.part(0.6, 1.0))
        counts["emptied"] = sum(not text for texts in merged for text in texts)
        texts = [text for some in merged for text in some]
        return {"text": np.array(texts, dtype=np.str_), "counts": np.array([*counts.values()], np.int64)}

    def _details(self, refiner: Refiner, counts: dict[str, int], progress: Progress) -> list[list[list[str]]]:
        """Short captions of the parts of each picture, for each of its captions, by the captioner of that."""
        crops = [_crops(picture, refiner.segmenter) for picture in self.pictures]
        prompt = Template(_prompt("refine_local")).substitute(kind=self.kind)
        details: list[list[list[str]]] = [[[] for _ in texts] for texts in self.texts]
        for at, (name, places) in enumerate(self._by_captioner(refiner)):
            part = progress.part(at / len(refiner.captioners), (at + 1) / len(refiner.captioners))
            asked = [(place, crop) for place in places for crop in crops[place[0]]]
            answers = refiner.captioners[name].describe([crop for _, crop in asked], [prompt] * len(asked), part)
            for ((number, which), _), answer in zip(asked, answers, strict=True):
                if answer:
                    details[number][which].append(answer)
                    counts["details"] += 1
        return details

    def _merged(
        self,
        refiner: Refiner,
        long: list[list[str]],
        details: list[list[list[str]]],
        counts: dict[str, int],
        progress: Progress,
    ) -> list[list[str]]:
        """Captions written anew by their captioners; what these leave unanswered stays as it is."""
        template = Template(_prompt("refine_merge"))
        merged = [list(texts) for texts in long]
        known = self._by_captioner(refiner)
        counts["unwritten"] = sum(map(len, self.texts)) - sum(len(places) for _, places in known)
        for at, (name, places) in enumerate(known):
            part = progress.part(at / len(known), (at + 1) / len(known))
            # A caption that nothing was added to and nothing taken from is written already.
            asked = [(n, i) for n, i in places if details[n][i] or (long[n][i] and long[n][i] != self.texts[n][i])]
            prompts = [
                template.substitute(
                    kind=self.kind, caption=long[n][i], details="\n".join(f"- {detail}" for detail in details[n][i])
                )
                for n, i in asked
            ]
            answers = refiner.captioners[name].describe([self.pictures[n] for n, _ in asked], prompts, part)
            for (n, i), answer in zip(asked, answers, strict=True):
                counts["merged" if answer else "unanswered"] += 1
                merged[n][i] = answer or long[n][i]
        return merged

    def _by_captioner(self, refiner: Refiner) -> list[tuple[str, list[tuple[int, int]]]]:
        """For each captioner at hand, which captions are its own: number of the picture, and of the caption there."""
        found: dict[str, list[tuple[int, int]]] = {}
        for number, names in enumerate(self.captioners):
            for which, name in enumerate(names):
                if name in refiner.captioners:
                    found.setdefault(name, []).append((number, which))
        return list(found.items())


def _crops(picture: Picture, segmenter: Segmenter) -> list[Picture]:
    return [
        np.ascontiguousarray(picture[:, top:bottom, left:right])
        for left, top, right, bottom in segmenter.boxes(picture).tolist()
    ]


def _filtered(
    refiner: Refiner,
    detector: PhraseDetector,
    picture: Picture,
    long: list[str],
    details: list[list[str]],
    counts: dict[str, int],
) -> tuple[list[str], list[list[str]]]:
    """Captions and details of one picture without what the detector does not find in it."""
    texts = [*long, *(detail for some in details for detail in some)]
    graphs = refiner.parser.parse(texts)
    phrases = list(dict.fromkeys(p for text, graph in zip(texts, graphs, strict=True) for p in phrases_of(text, graph)))
    scores = detector.scores(picture, phrases)
    refused = {phrase for phrase, score in zip(phrases, scores, strict=True) if score < refiner.threshold}
    counts["phrases"] += len(phrases)
    counts["refused"] += len(refused)
    left = [[without_phrases(detail, refused) for detail in some] for some in details]
    return [without_phrases(text, refused) for text in long], [[detail for detail in some if detail] for some in left]


def _prompt(name: str) -> str:
    return resource("prompts", f"{name}.txt").read_text(encoding="utf-8").strip()


def _count_notes(counts: Mapping[str, int], captions: int) -> list[str]:
    notes = [
        f"Refinement: {counts['details']:,} short captions of parts; {counts['merged']:,} of {captions:,} captions "
        "written anew."
    ]
    if counts["phrases"]:
        notes.append(
            f"The phrase detector did not confirm {counts['refused']:,} of {counts['phrases']:,} phrases; they were cut out."
        )
    if counts["unanswered"]:
        notes.append(f"{counts['unanswered']:,} captions stay as filtered: their captioner wrote nothing.")
    if counts["unwritten"]:
        notes.append(
            f"{counts['unwritten']:,} captions are not written anew: their captioner is not at hand, or follows no prompt."
        )
    if counts["emptied"]:
        notes.append(f"{counts['emptied']:,} captions are empty now: the pictures bear out nothing that they said.")
    return notes

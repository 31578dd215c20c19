"""Phrases of captions that a picture does not bear out (UrbanLN, "Divide-and-Conquer Refinement").

The noun phrases of a caption are scored against its picture by an open-vocabulary detector, OWLv2 in the paper. What
the detector finds nowhere, with a score below 0.01, is cut out of the text.

Phrases that say that something is not there ('no trees') are not asked for, since finding none agrees with them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from urbanfm_core.captions.light_parser import Item, NounPhrase, sentence_items, sentences
from urbanfm_core.captions.scene_graph import SceneGraph
from urbanfm_core.captions.words import Token, words
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.text_source import (
    Role,
    find_model,
    load_processor,
    load_weights,
    read_json,
)

DETECTOR = Role(
    "phrase detector",
    "Use the folder or Hugging Face id of an OWLv2 or OWL-ViT model.",
    "or refine without a detector",
)
THRESHOLD = 0.01
_TYPES = ("owlv2", "owlvit")


class PhraseDetector(Protocol):
    """What every open-vocabulary detector offers.

    Attributes:
        identity: Model and version; equal identities score alike.
    """

    identity: str

    def scores(self, picture: NDArray[np.uint8], phrases: Sequence[str]) -> NDArray[np.float32]:
        """How surely each phrase is seen anywhere in a picture, (n,) float32 in [0, 1].

        Args:
            picture: (3, H, W) uint8.
            phrases: n phrases.
        """


def load_detector(spec: str, *, cache_dir: str | Path | None = None, device: str = "cpu") -> PhraseDetector:
    """The detector that `spec` names: the folder or Hugging Face id of an OWLv2 or OWL-ViT model.

    Raises:
        ConfigError: the spec names nothing loadable, or another kind of model.
        RemoteError: the hub cannot be reached.
    """
    return OwlDetector(spec.strip(), cache_dir=cache_dir, device=device)


class OwlDetector:
    """OWLv2 or OWL-ViT of transformers; a `PhraseDetector`.

    Args:
        spec: Folder or Hugging Face id.
        cache_dir: Where downloads are kept.
        device: Torch device.
    """

    def __init__(self, spec: str, *, cache_dir: str | Path | None, device: str) -> None:
        source = find_model(spec, cache_dir, DETECTOR)
        kind = read_json(source.folder / "config.json").get("model_type")
        if kind not in _TYPES:
            raise ConfigError(f"The phrase detector '{spec}' is a model of type {kind!r}.", DETECTOR.choices)
        self._processor, tokenizer = load_processor(source.folder, spec, DETECTOR)
        self._model = load_weights(source.folder, spec, DETECTOR, auto="AutoModelForZeroShotObjectDetection")
        if len(tokenizer) > self._model.config.text_config.vocab_size:
            raise ConfigError(
                f"The phrase detector '{spec}' has a tokenizer of {len(tokenizer)} words and a model of "
                f"{self._model.config.text_config.vocab_size}.",
                "They belong to different models; save both together.",
            )
        self._device = torch.device(device)
        self._model.to(self._device).eval().requires_grad_(False)
        self.identity = f"{source.label}|{kind}"

    def scores(self, picture: NDArray[np.uint8], phrases: Sequence[str]) -> NDArray[np.float32]:
        """See `PhraseDetector.scores`."""
        if not phrases:
            return np.zeros(0, np.float32)
        pixels = np.ascontiguousarray(picture.transpose(1, 2, 0))
        inputs: Any = self._processor(text=[list(phrases)], images=pixels, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**inputs.to(self._device)).logits  # (1, boxes, n)
        return np.asarray(logits[0].float().sigmoid().amax(dim=0).cpu().numpy(), np.float32)


def phrases_of(text: str, graph: SceneGraph | None = None) -> list[str]:
    """The distinct phrases of a text that a picture can bear out, without articles and quantities, in order.

    Args:
        text: A caption.
        graph: What a parser made of it: phrases whose object it does not know are left out.
    """
    found = (phrase for items in sentence_items(text) for phrase in items if _checkable(phrase, graph))
    return list(dict.fromkeys(_words(text, phrase) for phrase in found))


def without_phrases(text: str, refused: Collection[str]) -> str:
    """A text without some of its phrases; a sentence of which nothing is left goes too.

    Args:
        text: A caption.
        refused: Phrases as `phrases_of` gives them.
    """
    kept = []
    for (start, end), items in zip(sentences(text), sentence_items(text), strict=True):
        places = [i for i, item in enumerate(items) if _checkable(item) and _words(text, item) in refused]
        if not places:
            kept.append(text[start:end])
        elif any(isinstance(item, NounPhrase) and i not in places for i, item in enumerate(items) if _checkable(item)):
            kept.append(_cut(text, start, end, items, places))
    return " ".join(" ".join(kept).split())


def _checkable(item: Item, graph: SceneGraph | None = None) -> bool:
    if not isinstance(item, NounPhrase) or item.absent:
        return False
    if not SceneGraph.of([item.name]):
        return False
    return graph is None or _head(item.name) in {_head(name) for name in graph.objects}


def _head(name: str) -> str:
    return words().singular(name.rpartition(" ")[2])


def _words(text: str, phrase: Item) -> str:
    start = phrase.core if isinstance(phrase, NounPhrase) else phrase.start
    return text[start : phrase.end].lower()


def _cut(text: str, start: int, end: int, items: list[Item], places: Sequence[int]) -> str:
    """A sentence without the phrases at some places, and without the preposition or comma that led to each."""
    gone = set(places)
    for place in places:
        before = next((i for i in range(place - 1, -1, -1) if i not in gone), None)
        after = next((i for i in range(place + 1, len(items)) if i not in gone), None)
        if before is not None and _leads(items[before]):
            gone.add(before)
        elif after is not None and (_joins(items[after]) or (before is None and _leads(items[after]))):
            gone.add(after)
    pieces = []
    at = start
    for place in sorted(gone):
        pieces.append(text[at : items[place].start])
        at = items[place].end
    pieces.append(text[at:end])
    left = re.sub(r"\s+([,.;:!?])", r"\1", " ".join("".join(pieces).split()))
    return left[:1].upper() + left[1:] if text[start:end].strip()[:1].isupper() else left


def _leads(item: Item) -> bool:
    return _joins(item) or (isinstance(item, Token) and item.tag == "P")


def _joins(item: Item) -> bool:
    return isinstance(item, Token) and (item.text == "," or item.tag == "C")

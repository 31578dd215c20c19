"""Scene graphs of captions: which objects a text names, what it says of each, and how they relate.

Consensus and the phrase filter of UrbanLN (section "Multi-model Collaboration for High-Quality Caption Generation")
work on these. Three kinds of parser, one verb: `light` needs nothing but this package, `spacy:MODEL` reads a
dependency parse of spaCy, and a folder or id names a transformers model that writes graphs as text, as the FACTUAL
parser of the paper does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from urbanfm_core.captions.words import words
from urbanfm_core.progress import Progress

LIGHT = "light"
SPACY_PREFIX = "spacy:"


@dataclass(frozen=True)
class SceneGraph:
    """What a text says, each thing once, in lower case and basic form, in order of appearance.

    Attributes:
        objects: Names of objects.
        attributes: Pairs of object and attribute; a quantity is an attribute ('tree', 'few').
        relations: Triples of object, predicate, object.
    """

    objects: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    relations: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def of(
        cls,
        objects: Iterable[str],
        attributes: Iterable[tuple[str, str]] = (),
        relations: Iterable[tuple[str, str, str]] = (),
    ) -> SceneGraph:
        """A graph without repetitions and without words that speak of the picture instead of what is in it.

        Args:
            objects: Names; 'image', 'atmosphere' and their like are left out with all that is said of them.
            attributes, relations: See `SceneGraph`.
        """
        scene, pictures = words().lists["scene_words"], words().lists["picture_words"]
        named = [
            name
            for name in objects
            if name and not scene.issuperset(name.split()) and name.rpartition(" ")[2] not in pictures
        ]
        kept = set(named)
        return cls(
            tuple(dict.fromkeys(named)),
            tuple(dict.fromkeys(pair for pair in attributes if pair[0] in kept and pair[1])),
            tuple(dict.fromkeys(t for t in relations if t[0] in kept and t[2] in kept and t[0] != t[2])),
        )

    def __bool__(self) -> bool:
        return bool(self.objects)


class SceneGraphParser(Protocol):
    """What every parser offers.

    Attributes:
        identity: Which parser and version; equal identities give equal graphs.
        notes: What a report should mention about it.
    """

    identity: str

    @property
    def notes(self) -> list[str]: ...

    def parse(self, texts: Sequence[str], progress: Progress | None = None) -> list[SceneGraph]:
        """The graph of each text, in their order; an empty text has an empty graph.

        Raises:
            Cancelled: the user asked to stop.
        """


def load_parser(
    spec: str = LIGHT, *, cache_dir: str | Path | None = None, device: str = "cpu", batch_size: int | None = None
) -> SceneGraphParser:
    """The parser that `spec` names.

    Args:
        spec: `light`; `spacy:` and the name or folder of a pipeline with a tagger and a dependency parser; or the
            folder or Hugging Face id of a text-to-text model that writes `( car , is , red ) , ( car , on , road )`.
        cache_dir: Where downloads are kept; None for the user's cache folder.
        device: Torch device of a transformers model.
        batch_size: Sentences at once of a transformers model.

    Raises:
        ConfigError: the spec names nothing loadable.
        MissingDependencyError: the package that it needs is not installed.
        RemoteError: the hub cannot be reached.
    """
    spec = spec.strip()
    if spec == LIGHT:
        from urbanfm_core.captions.light_parser import LightParser

        return LightParser()
    from urbanfm_core.captions import parser_models

    if spec.startswith(SPACY_PREFIX):
        return parser_models.SpacyParser(spec.removeprefix(SPACY_PREFIX))
    return parser_models.WritingParser(spec, cache_dir=cache_dir, device=device, batch_size=batch_size)

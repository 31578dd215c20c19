"""Scene graph parsers of other libraries: spaCy's dependency parse, and transformers models that write graphs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from urbanfm_core.captions.light_parser import sentences
from urbanfm_core.captions.scene_graph import SPACY_PREFIX, SceneGraph
from urbanfm_core.captions.words import words
from urbanfm_core.errors import ConfigError, MissingDependencyError
from urbanfm_core.models.text_generation import load_text_generator
from urbanfm_core.progress import Progress

_PROMPT = "Generate Scene Graph: "
_MAX_NEW_TOKENS = 200
# A sentence that is longer is read in pieces of so many words: the models were trained on short ones.
_MOST_WORDS = 60
_FACT = re.compile(r"\(([^()]*)\)")
_WORD = re.compile(r"[^\W_]+")


class SpacyParser:
    """Reads the dependency parse of a spaCy pipeline; a `SceneGraphParser`.

    Nouns with their compounds are objects; adjectives, participles and numbers before them, and adjectives after 'is',
    attributes; relations come from verbs with subject and object or preposition, and from prepositions after nouns.

    Args:
        name: Of an installed pipeline or a folder, such as 'en_core_web_sm'.

    Raises:
        MissingDependencyError: spaCy is not installed.
        ConfigError: there is no such pipeline, or it does not parse.
    """

    def __init__(self, name: str) -> None:
        try:
            import spacy
        except ImportError as error:
            raise MissingDependencyError("spacy", f"The scene graph parser '{SPACY_PREFIX}{name}'", "spacy") from error
        try:
            self._pipeline = spacy.load(name)
        except OSError as error:
            raise ConfigError(
                f"spaCy has no pipeline '{name}': {str(error).rstrip('. ')}.",
                f"Install it with: python -m spacy download {name or 'en_core_web_sm'}; or use the parser 'light'.",
            ) from error
        if "parser" not in self._pipeline.pipe_names:
            raise ConfigError(
                f"The spaCy pipeline '{name}' has no dependency parser, found: {', '.join(self._pipeline.pipe_names) or 'nothing'}.",
                "Use one such as en_core_web_sm.",
            )
        meta = self._pipeline.meta
        self.identity = f"spacy|{meta.get('lang')}_{meta.get('name')}|{meta.get('version')}"
        self.notes: list[str] = []

    def parse(self, texts: Sequence[str], progress: Progress | None = None) -> list[SceneGraph]:
        """See `SceneGraphParser.parse`."""
        progress = progress or Progress()
        return [_from_dependencies(doc) for doc in progress.track(self._pipeline.pipe(texts), "captions", len(texts))]


def _from_dependencies(doc: Any) -> SceneGraph:
    nouns = [token for token in doc if token.pos_ in ("NOUN", "PROPN") and token.dep_ != "compound"]
    names = {token.i: _name(token) for token in nouns}
    attributes = [
        (names[token.i], child.text.lower())
        for token in nouns
        for child in token.children
        if child.dep_ in ("amod", "nummod") or (child.dep_ == "det" and child.text.lower() == "no")
    ]
    relations = []
    for token in doc:
        if token.dep_ == "acomp":
            attributes += [(names[one.i], token.text.lower()) for one in _subjects(token.head) if one.i in names]
        elif token.dep_ == "prep":
            verbal = token.head.pos_ in ("VERB", "AUX")
            predicate = f"{token.head.lemma_} {token.text}".lower() if token.head.pos_ == "VERB" else token.text.lower()
            holders = _subjects(token.head) if verbal else _alternatives(token.head)
            relations += [(one, predicate, other) for one in holders for other in _objects(token, "pobj")]
        elif token.dep_ == "agent":
            predicate = f"{token.head.lemma_} by"
            relations += [(one, predicate, other) for one in _subjects(token.head) for other in _objects(token, "pobj")]
        elif token.pos_ == "VERB":
            relations += [(one, token.lemma_, other) for one in _subjects(token) for other in _objects(token, "dobj")]
    return SceneGraph.of(
        names.values(),
        attributes,
        [(names[a.i], predicate, names[b.i]) for a, predicate, b in relations if a.i in names and b.i in names],
    )


def _name(token: Any) -> str:
    parts = [child.text.lower() for child in token.children if child.dep_ == "compound"]
    return " ".join([*parts, token.lemma_.lower()])


def _subjects(verb: Any) -> list[Any]:
    """Who does it: the subject, or the noun that the verb describes."""
    found = [child for child in verb.children if child.dep_ in ("nsubj", "nsubjpass")]
    if not found and verb.dep_ in ("acl", "relcl"):
        found = [verb.head]
    return [one for noun in found for one in _alternatives(noun)]


def _objects(token: Any, kind: str) -> list[Any]:
    return [one for child in token.children if child.dep_ == kind for one in _alternatives(child)]


def _alternatives(noun: Any) -> list[Any]:
    """A noun and those that it is enumerated with."""
    return [noun, *(one for child in noun.children if child.dep_ == "conj" for one in _alternatives(child))]


class WritingParser:
    """A transformers model that writes scene graphs, as FACTUAL's Flan-T5 do; a `SceneGraphParser`.

    Captions are read sentence by sentence. Objects that the sentence does not name are left out, as CAPTURE does.

    Args:
        spec: Folder or Hugging Face id.
        cache_dir, device, batch_size: See `load_text_generator`.
    """

    def __init__(
        self, spec: str, *, cache_dir: str | Path | None = None, device: str = "cpu", batch_size: int | None = None
    ) -> None:
        self._writer = load_text_generator(
            spec,
            cache_dir=cache_dir,
            device=device,
            batch_size=batch_size,
            max_new_tokens=_MAX_NEW_TOKENS,
            allow_remote=False,
        )
        self.identity = f"written|{self._writer.identity}"
        self._unread = 0

    @property
    def notes(self) -> list[str]:
        """See `SceneGraphParser`."""
        unread = [f"{self._unread:,} sentences were too long for the scene graph parser."] if self._unread else []
        return [*self._writer.notes, *unread]

    def parse(self, texts: Sequence[str], progress: Progress | None = None) -> list[SceneGraph]:
        """See `SceneGraphParser.parse`."""
        pieces = [(row, piece) for row, text in enumerate(texts) for piece in _pieces(text)]
        readable = [(row, piece) for row, piece in pieces if self._writer.fits(_PROMPT + piece)]
        self._unread += len(pieces) - len(readable)
        written = self._writer.generate([_PROMPT + piece for _, piece in readable], progress) if readable else []
        found: list[list[SceneGraph]] = [[] for _ in texts]
        for (row, piece), answer in zip(readable, written, strict=True):
            found[row].append(read_written(answer, piece))
        return [
            SceneGraph.of(
                (name for graph in graphs for name in graph.objects),
                (pair for graph in graphs for pair in graph.attributes),
                (triple for graph in graphs for triple in graph.relations),
            )
            for graphs in found
        ]


def _pieces(text: str) -> list[str]:
    cut = (text[start:end].split() for start, end in sentences(text))
    return [" ".join(some[i : i + _MOST_WORDS]) for some in cut for i in range(0, len(some), _MOST_WORDS)]


def read_written(answer: str, sentence: str) -> SceneGraph:
    """The graph that a model wrote as `( car , is , red ) , ( car , on , road ) , ( tree )`.

    Args:
        answer: What the model wrote; what is not of that form is passed over, such as a last fact that was cut off.
        sentence: What it read: objects that are not named there are left out.
    """
    known = words()
    named = {known.singular(word) for word in _WORD.findall(sentence.lower())}
    objects: list[str] = []
    attributes: list[tuple[str, str]] = []
    relations: list[tuple[str, str, str]] = []
    for fact in _FACT.findall(answer.lower()):
        parts = [" ".join(part.split()) for part in fact.split(",")]
        if len(parts) not in (1, 3) or not all(parts):
            continue
        subject, thing = known.singular(parts[0]), known.singular(parts[-1])
        if len(parts) == 1:
            objects.append(subject)
        elif parts[1] == "is":
            objects.append(subject)
            attributes.append((subject, parts[2]))
        else:
            objects += [subject, thing]
            relations.append((subject, parts[1], thing))
    seen = [name for name in objects if all(known.singular(word) in named for word in _WORD.findall(name))]
    return SceneGraph.of(seen, attributes, relations)

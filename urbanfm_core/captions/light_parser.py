"""A scene graph parser for English captions that needs no download.

It tags words by lists and endings (`words`), takes a run of modifiers and nouns as a noun phrase, and reads relations
off the verbs and prepositions between phrases, from left to right.

What it finds: nouns and compounds ('car park') as objects; adjectives, participles, materials and quantities before a
noun, and adjectives after 'is', as attributes; 'A VERB B', 'A PREPOSITION B' and 'A VERB PREPOSITION B' as relations,
also over enumerations ('trees and bushes along the road').

What it does not: it resolves no pronouns ('it', 'they'), so what is said of them is lost; it attaches a preposition to
the nearest noun; it takes figurative speech literally; a verb or adjective on no list and with no telling ending
counts as a noun; it reads 'no cars' as cars with the attribute 'no'; an enumeration of nouns without articles that
names several things in one ('sheds and yards') is several objects; what stands before a colon is a heading and is
left out. It knows English only: of other languages it makes nouns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from urbanfm_core.captions.scene_graph import SceneGraph
from urbanfm_core.captions.words import Token, tag_sentence, words
from urbanfm_core.progress import Progress

_SENTENCE = re.compile(r"(?:[^.!?;\n]|\.(?=\d))+[.!?;]*")
_HEADING_WORDS = 4
_CHECK_EVERY = 256
# No noun phrase has more words before its noun, and none more nouns of groups; it keeps odd texts cheap.
_MOST_MODIFIERS, _DEEPEST = 16, 4
# Quantities that say that there is nothing to be seen.
ABSENT = frozenset({"no", "hardly any", "without", "few", "little", "zero"})


@dataclass
class NounPhrase:
    """A noun with what stands before it.

    Attributes:
        name: The object in basic form, such as 'car park'.
        attributes: What its modifiers say, in basic form.
        start, end: Where it stands in the text, article included.
        core: Where it begins without article and quantity.
    """

    name: str
    attributes: list[str] = field(default_factory=list)
    start: int = 0
    end: int = 0
    core: int = 0

    @property
    def absent(self) -> bool:
        """Whether the text says that it is not there, or hardly."""
        return any(attribute in ABSENT for attribute in self.attributes)


Item = NounPhrase | Token


class LightParser:
    """See the module; a `SceneGraphParser`."""

    identity = "light|1"

    def __init__(self) -> None:
        self.notes = ["Scene graphs are read by the light parser: nouns, their modifiers, verbs and prepositions."]

    def parse(self, texts: Sequence[str], progress: Progress | None = None) -> list[SceneGraph]:
        """See `SceneGraphParser.parse`."""
        progress = progress or Progress()
        graphs = []
        for index, text in enumerate(texts):
            if index % _CHECK_EVERY == 0:
                progress.check()
                progress.update(index / len(texts), f"{index:,}/{len(texts):,} captions parsed")
            graphs.append(parse_text(text))
        return graphs


def parse_text(text: str) -> SceneGraph:
    """The scene graph of one text."""
    reader = _Reader()
    for items in sentence_items(text):
        reader.read(items)
    phrases = reader.phrases
    return SceneGraph.of(
        (phrase.name for phrase in phrases),
        ((phrase.name, attribute) for phrase in phrases for attribute in phrase.attributes),
        ((subject.name, predicate, thing.name) for subject, predicate, thing in reader.relations),
    )


def sentence_items(text: str) -> list[list[Item]]:
    """The noun phrases of each sentence, and the words and marks between them, with their places in the text."""
    return [_items(_without_heading(tag_sentence(text[start:end], start))) for start, end in sentences(text)]


def sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text begin and end; semicolons and new lines part them too."""
    return [found.span() for found in _SENTENCE.finditer(text) if found.group().strip(" .!?;")]


def _without_heading(tokens: list[Token]) -> list[Token]:
    """A sentence without the few words before its first colon, which say what follows."""
    for index, token in enumerate(tokens):
        if token.text == ":":
            heading = [other for other in tokens[:index] if other.tag != "X"]
            return tokens[index + 1 :] if len(heading) <= _HEADING_WORDS else tokens
    return tokens


def _items(tokens: list[Token]) -> list[Item]:
    """The tokens with each run that is a noun phrase as one item."""
    items: list[Item] = []
    index = 0
    while index < len(tokens):
        found = _noun_phrase(tokens, index)
        if found is None:
            items.append(tokens[index])
            index += 1
        else:
            items.append(found[0])
            index = found[1]
    return items


def _noun_phrase(tokens: list[Token], first: int, nested: int = 0) -> tuple[NounPhrase, int] | None:
    """The noun phrase that begins at a token, and the index behind it; `nested` in so many 'a row of'."""
    index = first
    modifiers: list[str] = []
    degree = ""
    core: int | None = None
    while index < min(len(tokens), first + _MOST_MODIFIERS):
        token = tokens[index]
        if token.tag == "Q":
            modifiers.append(token.lemma)
        elif token.tag == "R":
            degree = f"{degree} {token.text}".strip()
        elif token.tag == "J":
            core = token.start if core is None else core
            modifiers.append(f"{degree} {token.text}".strip())
            degree = ""
        elif not (token.tag == "D" or (index > first and _between_adjectives(tokens, index))):
            break
        index += 1
    last = index
    while last < len(tokens) and tokens[last].tag == "N":
        last += 1
    if last == index > first + 1 and tokens[first].tag == "D" and tokens[index - 1].tag == "J":
        # 'a bright light shining': what looked like an adjective is the noun.
        index -= 1
        modifiers.pop()
    if last == index:
        return None
    nouns = [token.text for token in tokens[index:last]]
    materials = words().lists["materials"]
    while len(nouns) > 1 and nouns[0] in materials:
        modifiers.append(nouns.pop(0))
    collective = _collective(tokens, last, nouns, nested)
    if collective is not None:
        phrase, end = collective
        phrase.attributes[:0] = modifiers
        if nouns[-1] not in words().lists["silent_collectives"]:
            phrase.attributes.append(words().singular(nouns[-1]))
        phrase.start = tokens[first].start
        return phrase, end
    start = tokens[index].start if core is None else core
    name = words().singular(" ".join(nouns))
    return NounPhrase(name, modifiers, tokens[first].start, tokens[last - 1].end, start), last


def _between_adjectives(tokens: list[Token], index: int) -> bool:
    """Whether a comma or 'and' stands between two adjectives: 'tall, modern buildings'."""
    if tokens[index].text not in (",", "and", "&", "or") or index + 1 >= len(tokens):
        return False
    return tokens[index - 1].tag == "J" and _leads_to_adjective(tokens, index + 1)


def _leads_to_adjective(tokens: list[Token], index: int) -> bool:
    while index < len(tokens) and (tokens[index].tag == "R" or tokens[index].text in (",", "and")):
        index += 1
    following = tokens[index + 1].tag if index + 1 < len(tokens) else "X"
    return index < len(tokens) and tokens[index].tag == "J" and following in ("N", "J", "X", "C")


def _collective(tokens: list[Token], index: int, nouns: list[str], nested: int) -> tuple[NounPhrase, int] | None:
    """What 'a row' in 'a row of trees' is a row of."""
    known = words()
    if nested == _DEEPEST or len(nouns) > 1 or known.singular(nouns[-1]) not in known.lists["collectives"]:
        return None
    if index + 1 >= len(tokens) or tokens[index].text != "of":
        return None
    return _noun_phrase(tokens, index + 1, nested + 1)


class _Reader:
    """Reads relations off the items of sentences, one after the other.

    Attributes:
        phrases: All noun phrases so far.
        relations: Who, what, whom.
    """

    def __init__(self) -> None:
        self.phrases: list[NounPhrase] = []
        self.relations: list[tuple[NounPhrase, str, NounPhrase]] = []
        self._start()

    def _start(self) -> None:
        self._group: list[NounPhrase] = []  # the phrase before, with those that it is enumerated with
        self._subject: list[NounPhrase] = []  # of the clause
        self._doers: list[NounPhrase] = []  # of the predicate that waits for its object
        self._predicate = ""
        self._carried = ""  # the predicate that the next of an enumeration of objects has too
        self._before: Item | None = None

    def read(self, items: list[Item]) -> None:
        """Read one sentence."""
        self._start()
        for index, item in enumerate(items):
            following = items[index + 1] if index + 1 < len(items) else None
            if isinstance(item, NounPhrase):
                self._read_phrase(item, following)
            elif item.tag == "V":
                self._doers = self._who(item)
                self._predicate, self._carried = item.lemma, ""
            elif item.tag == "P":
                self._read_preposition(item)
            elif item.tag == "J":
                self._read_adjective(items, index, following)
            elif item.tag in ("S", "O"):
                self._start()
            elif item.tag == "W":
                self._subject = self._group
            elif item.tag == "X" and item.text not in (",", "-", '"', "'", "*", "/"):
                self._predicate = self._carried = ""
            if not (isinstance(item, Token) and item.tag in ("R", "M")):
                self._before = item

    def _read_phrase(self, phrase: NounPhrase, following: Item | None) -> None:
        self.phrases.append(phrase)
        enumerated = not self._predicate and _is_mark(self._before, ",", "and", "or", "&", "/", "nor")
        if self._predicate:
            self._relate(self._predicate, phrase)
            self._group, self._carried = [phrase], self._predicate
        elif enumerated and not (self._carried and _opens_clause(following)):
            self._relate(self._carried, phrase)
            self._group = [*self._group, phrase]
            self._subject = self._subject if self._carried else self._group
        else:
            self._group = self._subject = [phrase]
            self._carried = ""
        self._predicate = ""

    def _relate(self, predicate: str, thing: NounPhrase) -> None:
        if predicate == "without":
            thing.attributes.append("no")
        elif predicate:
            self.relations += [(one, predicate, thing) for one in self._doers]

    def _who(self, verb: Token) -> list[NounPhrase]:
        """Who does what a verb says: 'a boy at the door carrying a dog', but 'a house on a hill covered with trees'."""
        after_noun = isinstance(self._before, NounPhrase) or _is_mark(self._before, ",")
        return self._group if verb.form == "ed" and after_noun else self._subject

    def _read_preposition(self, token: Token) -> None:
        before = self._before.tag if isinstance(self._before, Token) else "N"
        if before in ("V", "J", "P") and self._predicate:
            self._predicate = f"{self._predicate} {token.lemma}"
        else:
            self._doers = self._subject if before in ("B", "R") else self._group
            self._predicate = token.lemma

    def _read_adjective(self, items: list[Item], index: int, following: Item | None) -> None:
        """'The sky is clear' makes an attribute, 'full of' a predicate; in 'growing high behind' it says how."""
        adjective = items[index]
        if not isinstance(adjective, Token) or (_is_verb(self._before) and not _copular(self._before)):
            return
        degree = _degree_after_be(items, index)
        if degree is not None:
            said = " ".join([*(word for word in degree if word not in ("not", "n't")), adjective.text])
            negated = {"not", "n't"} & set(degree)
            for phrase in self._subject:
                phrase.attributes.append(f"not {said}" if negated else said)
        if self._before is not None and isinstance(following, Token) and following.tag == "P":
            self._doers = self._subject if isinstance(self._before, Token) else self._group
            self._predicate = adjective.text


def _opens_clause(following: Item | None) -> bool:
    """Whether the phrase before it is the subject of what follows: '..., and cars line the street'."""
    if not isinstance(following, Token):
        return False
    return following.tag in ("B", "M") or (following.tag == "V" and following.form in ("base", "s"))


def _degree_after_be(items: list[Item], index: int) -> list[str] | None:
    """The adverbs of a predicate adjective, as in 'is clear and very blue'; None if no 'is' stands before it."""
    degree: list[str] = []
    for place in range(index - 1, max(-1, index - 1 - _MOST_MODIFIERS), -1):
        item = items[place]
        if not isinstance(item, Token):
            return None
        if item.tag == "B" or _copular(item):
            return degree
        if item.tag == "R":
            if place == index - 1 - len(degree):
                degree.insert(0, item.text)
        elif not (item.tag == "J" or item.text in (",", "and", "or")):
            return None
    return None


def _is_mark(item: Item | None, *texts: str) -> bool:
    return isinstance(item, Token) and item.text in texts


def _is_verb(item: Item | None) -> bool:
    return isinstance(item, Token) and item.tag == "V"


def _copular(item: Item | None) -> bool:
    return isinstance(item, Token) and _is_verb(item) and item.lemma in words().lists["copular"]

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


def _noun_phrase(tokens: list[Token], first: int) -> tuple[NounPhrase, int] | None:
    """The noun phrase that begins at a token, and the index behind it."""
    index = first
    modifiers: list[str] = []
    degree = ""
    core: int | None = None
    while index < len(tokens):
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
    collective = _collective(tokens, last, nouns)
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


def _collective(tokens: list[Token], index: int, nouns: list[str]) -> tuple[NounPhrase, int] | None:
    """What 'a row' in 'a row of trees' is a row of."""
    known = words()
    if len(nouns) > 1 or known.singular(nouns[-1]) not in known.lists["collectives"]:
        return None
    if index + 1 >= len(tokens) or tokens[index].text != "of":
        return None
    return _noun_phrase(tokens, index + 1)


class _Reader:
    """Reads relations off the items of sentences, one after the other."""

    def __init__(self) -> None:
        self.phrases: list[NounPhrase] = []
        self.relations: list[tuple[NounPhrase, str, NounPhrase]] = []

    def read(self, items: list[Item]) -> None:
        """Read one sentence."""
        group: list[NounPhrase] = []  # the phrase before, with those that it is enumerated with
        subject: list[NounPhrase] = []  # of the clause
        doers: list[NounPhrase] = []  # of the predicate that waits for its object
        predicate = ""
        carried: tuple[list[NounPhrase], str] = ([], "")  # what the next of an enumeration of objects relates to
        before: Item | None = None
        for index, item in enumerate(items):
            if isinstance(item, NounPhrase):
                self.phrases.append(item)
                if predicate == "without":
                    item.attributes.append("no")
                elif predicate:
                    self.relations += [(one, predicate, item) for one in doers]
                    carried = (doers, predicate)
                enumerated = not predicate and _is_mark(before, ",", "and", "or", "&", "/", "nor")
                if enumerated and not self._opens_clause(items, index):
                    if carried[1] and carried[1] != "without":
                        self.relations += [(one, carried[1], item) for one in carried[0]]
                    group = [*group, item]
                    subject = subject if carried[1] else group
                else:
                    group = [item]
                    subject = subject if predicate else group
                    carried = carried if predicate else ([], "")
                predicate = ""
            elif item.tag == "V":
                doers = self._doers(items, index, group, subject)
                predicate, carried = item.lemma, ([], "")
            elif item.tag == "P":
                if isinstance(before, Token) and before.tag in ("V", "J", "P") and predicate:
                    predicate = f"{predicate} {item.lemma}"
                elif isinstance(before, Token) and before.tag in ("B", "R"):
                    doers, predicate = subject, item.lemma
                else:
                    doers, predicate = group, item.lemma
            elif item.tag == "J" and isinstance(before, Token) and before.tag == "V" and not _copular(before):
                pass  # 'growing high behind': it says how
            elif item.tag == "J":
                self._predicate_adjective(items, index, group, subject)
                if (
                    isinstance(before, NounPhrase | Token)
                    and index + 1 < len(items)
                    and _is_preposition(items[index + 1])
                ):
                    doers, predicate = (subject if isinstance(before, Token) else group), item.text
            elif item.tag in ("S", "O"):
                group, subject, doers, predicate, carried = [], [], [], "", ([], "")
            elif item.tag == "W":
                subject = group
            elif item.tag == "X" and item.text not in (",", "-", '"', "'", "*", "/"):
                predicate, carried = "", ([], "")
            if not (isinstance(item, Token) and item.tag in ("R", "M")):
                before = item

    @staticmethod
    def _opens_clause(items: list[Item], index: int) -> bool:
        """Whether the phrase is the subject of what follows: '..., and cars line the street'."""
        following = items[index + 1] if index + 1 < len(items) else None
        if not isinstance(following, Token):
            return False
        return following.tag in ("B", "M") or (following.tag == "V" and following.form in ("base", "s"))

    @staticmethod
    def _doers(items: list[Item], index: int, group: list[NounPhrase], subject: list[NounPhrase]) -> list[NounPhrase]:
        """Who does what a verb says: a participle belongs to the noun before it, any other verb to the clause."""
        verb = items[index]
        before = items[index - 1] if index else None
        form = verb.form if isinstance(verb, Token) else ""
        # 'a boy at the door carrying a dog', but 'a house on a hill covered with trees'.
        return group if form == "ed" and (isinstance(before, NounPhrase) or _is_mark(before, ",")) else subject

    @staticmethod
    def _predicate_adjective(items: list[Item], index: int, group: list[NounPhrase], subject: list[NounPhrase]) -> None:
        """'The sky is clear and blue': attributes of the subject."""
        words_before = [items[index]]
        place = index - 1
        degree: list[str] = []
        while place >= 0:
            item = items[place]
            if not isinstance(item, Token):
                return
            if item.tag == "B" or _copular(item):
                break
            if item.tag == "R":
                if place == index - 1 - len(degree):
                    degree.insert(0, item.text)
            elif not (item.tag == "J" or item.text in (",", "and", "or")):
                return
            place -= 1
        if place < 0 or not words_before:
            return
        adjective = items[index]
        if isinstance(adjective, Token):
            said = [word for word in degree if word != "not"]
            attribute = " ".join([*said, adjective.text])
            for phrase in subject:
                phrase.attributes.append(f"not {attribute}" if "not" in degree else attribute)


def _is_mark(item: Item | None, *texts: str) -> bool:
    return isinstance(item, Token) and item.text in texts


def _is_preposition(item: Item) -> bool:
    return isinstance(item, Token) and item.tag == "P"


def _copular(item: Token) -> bool:
    return item.tag == "V" and item.lemma in words().lists["copular"]

"""English words for the light scene graph parser: which part of speech a word is, and its basic form.

The lists are data (`resources/captions/words.json`). Words of closed classes (articles, prepositions, pronouns ...) are
all there, and so are the verbs and adjectives that captions of pictures use; a word on no list is told by its ending
and its neighbours, and is a noun where neither tells anything.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from urbanfm_core.resources import resource

# Article, quantity, adjective, noun, verb, be, modal, preposition, conjunction, adverb, pronoun, relative pronoun,
# subordinator, 'to', mark.
Tag = Literal["D", "Q", "J", "N", "V", "B", "M", "P", "C", "R", "O", "W", "S", "X"]

_WORD = re.compile(r"\d+(?:[.,]\d+)*%?|[^\W\d_]+(?:[-'’][^\W\d_]+)*|[^\w\s]|_", re.UNICODE)
_VOWELS = "aeiou"
# What hangs on a word by an apostrophe: possessive, negation, short verbs.
_CLITIC = re.compile(r".(n't|'(?:s|m|re|ve|ll|d))$")


@dataclass
class Token:
    """A word or mark of a text.

    Attributes:
        text: In lower case; several words where they are one preposition or quantity.
        start, end: Where it stands in the text.
        tag: Its part of speech.
        lemma: Its basic form; of a quantity, what it says.
        form: Of a verb: base, s, ed or ing.
    """

    text: str
    start: int
    end: int
    tag: Tag = "N"
    lemma: str = ""
    form: str = ""


@dataclass(frozen=True)
class Words:
    """The lists, ready for looking up."""

    closed: dict[str, Tag]
    phrases: dict[tuple[str, ...], tuple[Tag, str]]
    longest: int
    lists: dict[str, frozenset[str]]
    verbs: dict[str, tuple[str, str]] = field(repr=False)
    numbers: dict[str, str] = field(repr=False)
    plurals: dict[str, str] = field(repr=False)

    def singular(self, noun: str) -> str:
        """The singular of a noun, by rules and a list of exceptions; of several words, of the last."""
        first, _, last = noun.rpartition(" ")
        return f"{first} {self._singular(last)}" if first else self._singular(last)

    def _singular(self, noun: str) -> str:
        if noun in self.plurals:
            return self.plurals[noun]
        if len(noun) < 4 or not noun.endswith("s") or noun.endswith(("ss", "us", "is")):
            return noun
        if noun.endswith("ies"):
            return noun[:-3] + "y"
        if noun.endswith(("ches", "shes", "sses", "xes", "zes", "oes")):
            return noun[:-2]
        return noun[:-1]

    def lemma(self, word: str) -> str:
        """The basic form of a word, whatever it is: 'lined' -> 'line', 'trees' -> 'tree'."""
        return self.verbs[word][0] if word in self.verbs else self.singular(word)


@cache
def words() -> Words:
    """The lists that ship with the library."""
    data: dict[str, Any] = json.loads(resource("captions", "words.json").read_text(encoding="utf-8"))
    lists = {name: frozenset(" ".join(lines).split()) for name, lines in data.items() if isinstance(lines, list)}
    closed: dict[str, Tag] = {}
    tags: tuple[tuple[str, Tag], ...] = (
        ("adverbs", "R"),
        ("prepositions", "P"),
        ("subordinators", "S"),
        ("conjunctions", "C"),
        ("pronouns", "O"),
        ("subjects_relative", "W"),
        ("quantities", "Q"),
        ("determiners", "D"),
        ("modals", "M"),
        ("be", "B"),
    )
    for name, tag in tags:
        closed |= dict.fromkeys(lists[name], tag)
    phrases: dict[tuple[str, ...], tuple[Tag, str]] = {}
    for phrase in data["preposition_phrases"]:
        short = phrase.replace(" the ", " ")
        phrases |= {tuple(phrase.split()): ("P", short), tuple(short.split()): ("P", short)}
    for phrase in data["conjunction_phrases"]:
        phrases[tuple(phrase.split())] = ("C", phrase)
    for phrase, meaning in data["quantity_phrases"].items():
        phrases[tuple(phrase.split())] = ("Q" if meaning else "R", meaning)
    return Words(
        closed,
        phrases,
        max(map(len, phrases)),
        lists,
        _verb_forms(lists["verbs"], data["irregular_verbs"]),
        data["numbers"],
        data["irregular_plurals"],
    )


def _verb_forms(verbs: frozenset[str], irregular: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Each form of each verb: the verb, and which form it is."""
    forms: dict[str, tuple[str, str]] = {}
    for verb in sorted(verbs | set(irregular)):
        stem = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb
        # 'stop' doubles, 'open' and 'rain' do not; verbs of two syllables that double are rare.
        doubled = [verb + verb[-1]] if re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprtv]", verb) else []
        past = stem[:-1] + "i" if verb.endswith("y") and verb[-2] not in _VOWELS else stem
        hissing = verb.endswith(("s", "x", "z", "ch", "sh"))
        third = past[:-1] + "ies" if verb.endswith("y") and past.endswith("i") else verb + ("es" if hissing else "s")
        forms |= {base + "ing": (verb, "ing") for base in (doubled or [stem])}
        forms |= {base + "ed": (verb, "ed") for base in (doubled or [past])}
        forms[third] = (verb, "s")
    for verb in sorted(verbs):
        forms[verb] = (verb, "base")
    for verb, told in irregular.items():
        for form in told.split():
            kind = "ing" if form.endswith("ing") else "s" if form == "goes" else "ed"
            # 'set', 'cut' and 'put' are their own past; their base form is the commoner one in captions.
            if form not in verbs:
                forms[form] = (verb, kind)
    return forms


def tag_sentence(text: str, offset: int = 0) -> list[Token]:
    """The tagged words and marks of one sentence.

    Args:
        text: The sentence.
        offset: Where it begins in the whole text.
    """
    known = words()
    plain = []
    for found in _WORD.finditer(text):
        word = found.group().lower().replace("’", "'")
        start, end = found.start() + offset, found.end() + offset
        clitic = _CLITIC.search(word)
        if clitic:
            cut = len(word) - len(clitic.group(1))
            plain += [Token(word[:cut], start, start + cut), Token(word[cut:], start + cut, end)]
        elif word == "s" and plain and plain[-1].text == "'":
            plain[-1] = Token("'s", plain[-1].start, end)
        else:
            plain.append(Token(word, start, end))
    tokens = _join_phrases(plain, known)
    for index, token in enumerate(tokens):
        if not token.lemma:
            _tag(tokens, index, known)
    return tokens


def _join_phrases(tokens: list[Token], known: Words) -> list[Token]:
    """Several words that stand for one, such as 'in front of', as one token."""
    joined: list[Token] = []
    index = 0
    while index < len(tokens):
        for length in range(min(known.longest, len(tokens) - index), 1, -1):
            found = known.phrases.get(tuple(token.text for token in tokens[index : index + length]))
            if found is not None:
                part = tokens[index : index + length]
                text = " ".join(token.text for token in part)
                joined.append(Token(text, part[0].start, part[-1].end, found[0], found[1] or text))
                index += length
                break
        else:
            joined.append(tokens[index])
            index += 1
    return joined


def _tag(tokens: list[Token], index: int, known: Words) -> None:
    """Set tag, lemma and form of one token; those before it have theirs."""
    token = tokens[index]
    word = token.lemma = token.text
    before = tokens[index - 1].tag if index else "X"
    after = tokens[index + 1].text if index + 1 < len(tokens) else ""
    if not word[0].isalnum() and word not in known.closed and word != "'s":
        token.tag = "X"
    elif word[0].isdigit():
        token.tag = "Q"
    elif word == "'s":
        # 'the house's roof' has a noun before it, 'it's' a pronoun.
        token.tag, token.lemma = ("B", "be") if before in ("O", "W") else ("P", "have")
    elif word in known.closed:
        token.tag = known.closed[word]
        token.lemma = known.verbs[word][0] if word in known.verbs else known.numbers.get(word, word)
        one_of_them = word == "one" and _nounish(after, known) and known.verbs.get(after, ("", ""))[1] != "s"
        if one_of_them or (word == "that" and before != "N"):
            token.tag = "D"
        elif word in known.lists["have"]:
            _set_verb(token, "have", "ing" if word == "having" else "s")
    elif word in known.lists["ing_nouns"] or word in known.lists["ed_nouns"]:
        token.tag = "N"
    elif word in known.verbs and before in ("N", "B") and known.closed.get(after) == "P":
        _tag_verb(token, before, after, known, first=False)  # 'leaves attached to': no adjective, though it may be one
    elif word in known.lists["adjectives"] or ("-" in word and _hyphenated_adjective(word, known)):
        # 'the front of the house': an adjective with nothing behind it that it could belong to.
        substantive = before == "D" and after in ("of", "") and "-" not in word
        token.tag = "N" if substantive else "J"
    elif word in known.verbs:
        _tag_verb(token, before, after, known, first=index == 0 or tokens[index - 1].text == ":")
    elif word.endswith("ly") and word not in known.lists["adverb_exceptions"]:
        token.tag = "R"
    elif _unlisted_participle(word, before, after, known):
        token.tag = "J" if before in ("D", "Q", "J", "R", "X", "P", "C") and _nounish(after, known) else "V"
        token.form = "ing" if word.endswith("ing") else "ed"
    elif _adjective_by_ending(word, known) and (_nounish(after, known) or before in ("B", "R")):
        token.tag = "J"


def _tag_verb(token: Token, before: Tag, after: str, known: Words, *, first: bool) -> None:
    verb, form = known.verbs[token.text]
    noun_too = token.text in known.lists["noun_or_verb"] or verb in known.lists["noun_or_verb"]
    if form in ("ing", "ed"):
        attributive = first or before in ("D", "Q", "J", "R", "C") or (before == "P" and form == "ed")
        if token.text in known.lists["ing_compounds"] and before not in ("N", "B") and _nounish(after, known):
            token.tag = "N"  # 'a swimming pool', but 'a winding road'
        elif attributive and _nounish(after, known):
            token.tag, token.form = "J", form
        elif before in ("D", "Q") and form == "ing":
            token.tag = "N"
        else:
            _set_verb(token, verb, form)
    elif before in ("D", "Q", "J", "P", "X", "C") and token.text != "seem":
        # After an article it is a noun, and so it is at the beginning of a clause, where captions have no commands.
        if noun_too or before in ("D", "Q"):
            token.tag = "N"
        else:
            _set_verb(token, verb, form)
    elif before == "N" and noun_too:
        article = known.closed.get(after) in ("D", "Q", "O")
        if article or (form == "s" and known.closed.get(after) == "P" and after != "of"):
            _set_verb(token, verb, form)
    else:
        _set_verb(token, verb, form)


def _set_verb(token: Token, verb: str, form: str) -> None:
    token.tag, token.lemma, token.form = "V", verb, form


def _nounish(word: str, known: Words) -> bool:
    """Whether a noun or adjective may begin with this word."""
    return bool(word) and word[0].isalnum() and word not in known.closed


def _hyphenated_adjective(word: str, known: Words) -> bool:
    last = word.rpartition("-")[2]
    return last in known.lists["hyphen_adjective_endings"] or last.endswith(("ed", "ing"))


def _unlisted_participle(word: str, before: Tag, after: str, known: Words) -> bool:
    if not word.endswith(("ed", "ing")) or len(word) < 6:
        return False
    return before in ("N", "B") or _nounish(after, known) or known.closed.get(after) == "P"


def _adjective_by_ending(word: str, known: Words) -> bool:
    endings = tuple(known.lists["adjective_suffixes"])
    return len(word) > 4 and word.endswith(endings) and word not in known.lists["adjective_suffix_nouns"]

"""Captions refined by named rules, which are data (UrbanCLIP, section 3.1: removal or rewriting by rules).

The rules are in `resources/caption_rules.json`; each has a name, a sentence that says what it does, and its settings. They
are applied in the file's order, and whatever they change is counted.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.errors import ConfigError
from urbanfm_core.progress import Progress
from urbanfm_core.resources import resource

# A list in one line is separated by semicolons; its items are refined like sentences.
_BOUNDARY = re.compile(r"(?<=[.!?;])\s+|(?<=[\u3002\uff01\uff1f\uff1b])")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_CURLY = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})
# What a removal leaves behind: blanks and commas before a stop, stops in front.
_LOOSE = ((re.compile(r"\s+"), " "), (re.compile(r"\s+([.,;:!?])"), r"\1"), (re.compile(r"^[\s,;:.!?]+|[\s,;:]+$"), ""))

# Text and settings of a rule -> text, and how many things were changed in it.
_Change = Callable[[str, "Rule"], tuple[str, int]]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: Name, in counts and reasons.
        help: What it does, in a sentence.
        rule: What kind it is; see `_CHANGES`, or 'duplicate_caption'.
        patterns: Regular expressions, upper and lower case alike.
        settings: What else the file says.
    """

    name: str
    help: str
    rule: str
    patterns: tuple[re.Pattern[str], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def finds(self, text: str) -> bool:
        """Whether a pattern occurs in a sentence, or in one of several lines."""
        return any(pattern.search(text) for pattern in self.patterns)


@dataclass(frozen=True)
class Refinement:
    """What refining made of N captions.

    Attributes:
        text: (N,) refined; "" for a caption that was dropped.
        reason: (N,) names of the rules that changed or dropped it, separated by commas.
        dropped_by: (N,) name of the rule that dropped it; "" for a caption that was kept.
        counts: One row per rule: rule, captions that it changed or dropped, captions dropped, things changed, help.
    """

    text: NDArray[np.object_]
    reason: NDArray[np.object_]
    dropped_by: NDArray[np.object_]
    counts: pd.DataFrame

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which captions are left, (N,)."""
        return np.array(self.text != "", dtype=bool)

    def apply(self, captions: CaptionSet) -> CaptionSet:
        """The same captions with their refined texts, without those that were dropped."""
        return replace(captions, text=self.text).take(np.flatnonzero(self.kept))

    def notes(self) -> list[str]:
        """What a report should say."""
        changed = int(((self.reason != "") & self.kept).sum())
        notes = [
            f"Refined: {len(self.text):,} captions, {changed:,} of them changed and {int((~self.kept).sum()):,} dropped."
        ]
        for name, captions, dropped, _, said in self.counts.to_numpy().tolist():
            if captions:
                notes.append(f"Rule '{name}': {captions:,} captions, {dropped:,} of them dropped. {said}")
        return notes


def load_rules(path: str | Path | None = None) -> list[Rule]:
    """Rules from a file, or those that ship.

    Raises:
        ConfigError: the file cannot be read, or a rule in it is unknown, unnamed, named twice or malformed.
    """
    file = resource("caption_rules.json") if path is None else Path(path).expanduser()
    try:
        items = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"The rules {file} cannot be read: {error}.", "Give a JSON file, a list of rules.") from error
    if not isinstance(items, list):
        raise ConfigError(f"The rules {file} are not a list.", "See resources/caption_rules.json.")
    rules = [_rule(item, file) for item in items]
    names = [rule.name for rule in rules]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"The rules {file} name '{twice}' twice.", "Give each rule a name of its own.")
    return rules


def refine(captions: CaptionSet, rules: Sequence[Rule], progress: Progress | None = None) -> Refinement:
    """Apply rules to captions, in their order.

    A caption that a rule leaves without words is dropped by that rule, and no later one sees it.

    Args:
        captions: N captions.
        rules: What to apply.
        progress: Reports and cancels.
    """
    texts: list[str] = []
    reasons: list[str] = []
    droppers: list[str] = []
    tally = {rule.name: [0, 0, 0] for rule in rules}
    said: dict[tuple[str, str, str], set[str]] = {}
    columns = zip(captions.kind, captions.region, captions.image, captions.text, strict=True)
    for kind, region, image, original in (progress or Progress()).track(columns, "captions", len(captions)):
        text, touched, by = str(original).translate(_CURLY), list[str](), ""
        for rule in rules:
            if rule.rule == "duplicate_caption":
                others = said.setdefault((kind, region, image), set())
                after, changes = ("", 1) if _plain(text) in others else (text, 0)
                others.add(_plain(text))
            else:
                after, changes = _CHANGES[rule.rule](text, rule)
            if not changes:
                continue
            touched.append(rule.name)
            tally[rule.name][0] += 1
            tally[rule.name][2] += changes
            text = _tidied(after)
            if not text:
                by = rule.name
                tally[rule.name][1] += 1
                break
        texts.append(text if touched else str(original))
        reasons.append(",".join(touched))
        droppers.append(by)
    counts = pd.DataFrame(
        [(rule.name, *tally[rule.name], rule.help) for rule in rules],
        columns=["rule", "captions", "dropped", "changes", "help"],
    )
    refined, reason, dropped_by = (np.array(column, dtype=object) for column in (texts, reasons, droppers))
    return Refinement(refined, reason, dropped_by, counts)


def split_sentences(text: str) -> list[str]:
    """Sentences, and items of a list in one line, with their stops; an abbreviation ends one too."""
    return [part for part in (piece.strip() for piece in _BOUNDARY.split(text)) if part]


def _drop_sentence(text: str, rule: Rule) -> tuple[str, int]:
    sentences = split_sentences(text)
    if not rule.finds("\n".join(sentences)):
        return text, 0
    kept = [sentence for sentence in sentences if not rule.finds(sentence)]
    return " ".join(kept), len(sentences) - len(kept)


def _drop_caption(text: str, rule: Rule) -> tuple[str, int]:
    return ("", 1) if rule.finds(text) else (text, 0)


def _replace(text: str, rule: Rule) -> tuple[str, int]:
    changes, by = 0, str(rule.settings.get("by", ""))
    sentences = split_sentences(text)
    if not rule.finds("\n".join(sentences)):
        return text, 0
    for place, sentence in enumerate(sentences):
        before = changes
        for pattern in rule.patterns:
            sentence, count = pattern.subn(lambda _: by, sentence)
            changes += count
        if changes > before:
            # A sentence that lost its first words begins with a capital again.
            sentence = _tidied(sentence)
            starts_upper = sentences[place][:1].isupper()
            sentences[place] = sentence[:1].upper() + sentence[1:] if starts_upper else sentence
    return " ".join(sentences), changes


def _without_repetition(text: str, rule: Rule) -> tuple[str, int]:
    """Phrases of up to `longest` words that follow upon themselves `times` times or more, kept once."""
    words, changes = text.split(), 0
    plain = [_plain(word) for word in words]
    times = int(rule.settings["times"])
    if len(set(plain)) == len(plain):
        return text, 0
    for length in range(1, int(rule.settings["longest"]) + 1):
        place, kept = 0, list[int]()
        while place < len(words):
            phrase, end = plain[place : place + length], place + length
            while len(phrase) == length and any(phrase) and plain[end : end + length] == phrase:
                end += length
            run = (end - place) // length
            if run >= times:
                kept += range(end - length, end)  # the last one carries the stop
                changes += run - 1
                place = end
            else:
                kept.append(place)
                place += 1
        words, plain = [words[i] for i in kept], [plain[i] for i in kept]
    return " ".join(words), changes


def _without_duplicates(text: str, rule: Rule) -> tuple[str, int]:
    sentences = split_sentences(text)
    first: dict[str, str] = {}
    for sentence in sentences:
        first.setdefault(_plain(sentence) or sentence, sentence)
    return " ".join(first.values()), len(sentences) - len(first)


def _in_language(text: str, rule: Rule) -> tuple[str, int]:
    settings = rule.settings
    if not (text.isascii() and settings["script"] == "LATIN"):
        letters = [character for character in text if character.isalpha()]
        own_script = sum(unicodedata.name(character, "").startswith(settings["script"]) for character in letters)
        if letters and own_script / len(letters) < settings["least_share"]:
            return "", 1
    words = Counter(_WORD.findall(text.lower()))
    found = {name: sum(words[word] for word in known) for name, known in settings["words"].items()}
    own = found.pop(settings["language"], 0)
    most = max(found.values(), default=0)
    return ("", 1) if most >= settings["least_words"] and most > own else (text, 0)


def _with_few_words(text: str, rule: Rule) -> tuple[str, int]:
    """As many whole sentences as fit; of a first sentence that does not fit, its beginning."""
    most = int(rule.settings["words"])
    # A text without blanks has few words however long it is, so sixteen letters count as one.
    sentences = split_sentences(text)
    sizes = [max(len(sentence.split()), len(sentence) // 16) for sentence in sentences]
    if sum(sizes) <= most:
        return text, 0
    fit = int(np.searchsorted(np.cumsum(sizes), most, side="right"))
    if fit:
        return " ".join(sentences[:fit]), len(sentences) - fit
    return " ".join(sentences[0][: most * 16].split()[:most]), 1


def _with_enough_words(text: str, rule: Rule) -> tuple[str, int]:
    return ("", 1) if len(_WORD.findall(text)) < int(rule.settings["words"]) else (text, 0)


_CHANGES: dict[str, _Change] = {
    "drop_caption": _drop_caption,
    "drop_sentence": _drop_sentence,
    "replace": _replace,
    "repetition": _without_repetition,
    "duplicate_sentence": _without_duplicates,
    "language": _in_language,
    "max_words": _with_few_words,
    "min_words": _with_enough_words,
}
_SETTINGS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "repetition": {"longest": int, "times": int},
    "language": {"script": str, "least_share": (int, float), "language": str, "least_words": int, "words": dict},
    "max_words": {"words": int},
    "min_words": {"words": int},
}


def _rule(item: Any, file: Path) -> Rule:
    known = [*_CHANGES, "duplicate_caption"]
    if not isinstance(item, dict) or not isinstance(item.get("name"), str) or item.get("rule") not in known:
        raise ConfigError(
            f"The rules {file}: expected a 'name' and a known 'rule', found {str(item)[:120]}.",
            f"Known are: {', '.join(known)}.",
        )
    name, kind = item["name"], item["rule"]
    patterns = item.get("patterns", [])
    settings = {key: value for key, value in item.items() if key not in ("name", "help", "rule", "patterns")}
    wrong = [key for key, kinds in _SETTINGS.get(kind, {}).items() if not isinstance(settings.get(key), kinds)]
    if kind in ("drop_caption", "drop_sentence", "replace") and not patterns:
        wrong.append("patterns")
    if wrong:
        raise ConfigError(
            f"The rules {file}: '{name}' of the kind '{kind}' lacks a usable '{wrong[0]}'.",
            "See resources/caption_rules.json.",
        )
    try:
        compiled = tuple(re.compile(pattern, re.IGNORECASE | re.MULTILINE) for pattern in patterns)
    except (re.error, TypeError) as error:
        raise ConfigError(
            f"The rules {file}: a pattern of '{name}' is no regular expression: {error}.",
            "Backslashes are doubled in JSON.",
        ) from error
    return Rule(name, str(item.get("help", "")), kind, compiled, settings)


def _tidied(text: str) -> str:
    for pattern, by in _LOOSE:
        text = pattern.sub(by, text)
    return text


def _plain(text: str) -> str:
    """A text without case, blanks and stops, to compare."""
    return " ".join(_WORD.findall(text.lower()))

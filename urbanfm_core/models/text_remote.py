"""Text vectors from an OpenAI-compatible embeddings service: estimated first, retried, paid for once.

The key comes from the environment variable OPENAI_API_KEY, goes to the service only, and is neither stored nor
logged. Vectors are kept in one SQLite file, so a run that was stopped asks only for what is still missing.
"""

from __future__ import annotations

import email.utils
import hashlib
import math
import os
import queue
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from urbanfm_core.errors import ConfigError, MissingDependencyError, OutputError, RemoteError
from urbanfm_core.models.text import REMOTE_BATCH, REMOTE_PREFIX, FloatArray, spread, unique_texts
from urbanfm_core.progress import Meter, Progress

DEFAULT_BASE_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
# The service refuses requests above 300,000 tokens and 2,048 texts; the token count here is approximate.
_REQUEST_TOKENS = 200_000
_REQUEST_TEXTS = 2048
_LONGEST_WAIT_S = 120.0


@dataclass(frozen=True)
class CostEstimate:
    """What encoding some texts would send.

    Attributes:
        texts: Texts given.
        unique: Distinct ones.
        cached: Distinct ones that are paid for already.
        tokens: Tokens to send, approximately (a quarter of the ASCII characters, each other character one).
        requests: Requests to send.
        price: What that costs, in the currency of the price given; None if no price is known.
    """

    texts: int
    unique: int
    cached: int
    tokens: int
    requests: int
    price: float | None

    def describe(self) -> str:
        """One line for the log and for `--dry-run`."""
        if not self.requests:
            where = f", {self.cached:,} of them in the cache" if self.cached else ""
            return f"{self.unique:,} distinct texts{where}: nothing to send, no cost."
        price = "price unknown (none was given)" if self.price is None else f"about {self.price:.4f}"
        return (
            f"{self.unique:,} distinct texts, {self.cached:,} of them in the cache: {self.requests:,} requests, "
            f"about {self.tokens:,} tokens, {price}."
        )


def approximate_tokens(text: str) -> int:
    """Tokens of a text, approximately: ASCII characters by four, any other character one."""
    ascii_count = sum(character < "\x80" for character in text)
    return max(1, math.ceil(ascii_count / 4) + len(text) - ascii_count)


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
    if not spec.startswith(REMOTE_PREFIX):
        return CostEstimate(len(texts), len(unique), 0, sum(map(approximate_tokens, unique)), 0, 0.0)
    endpoint = Endpoint.parse(spec)
    cached = VectorCache(cache_path(cache_dir)).known(endpoint.identity, unique)
    missing = [text for text in unique if text not in cached]
    price = _price_of(endpoint, price_per_million_tokens)
    return _estimate(len(texts), len(unique), missing, batch_size, price)


def _price_of(endpoint: Endpoint, prices: float | Mapping[str, float] | None) -> float | None:
    price = prices.get(endpoint.model) if isinstance(prices, Mapping) else prices
    price = endpoint.price if price is None else price
    if price is not None and not (math.isfinite(price) and price >= 0):
        raise ConfigError(f"The price per million tokens must be zero or more, found {price}.")
    return price


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


@dataclass(frozen=True)
class Endpoint:
    """A model at an address, from `openai:MODEL@BASE_URL?dimensions=384&price=0.13`.

    Attributes:
        dimensions: Width to ask the service for, of models that can shorten their vectors; None for their own.
        price: Price of a million tokens, for the estimate; None if unknown.
    """

    model: str
    base_url: str
    dimensions: int | None = None
    price: float | None = None

    @classmethod
    def parse(cls, spec: str) -> Endpoint:
        """Read a spec.

        Raises:
            ConfigError: there is no model, the address is no http(s) address, or it carries credentials.
        """
        model, _, base_url = spec.removeprefix(REMOTE_PREFIX).partition("@")
        base_url, _, query = (base_url or DEFAULT_BASE_URL).partition("?")
        base_url = base_url.rstrip("/")
        parts = urlsplit(base_url)
        usage = "Expected openai:MODEL or openai:MODEL@https://host/v1, then perhaps ?dimensions=384&price=0.13."
        if not model:
            raise ConfigError("The text encoder's address names no model.", usage)
        # The spec is not repeated in these messages: it may hold a password.
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError("The text encoder's address is not an http or https address.", usage)
        if parts.username or parts.password or parts.fragment:
            raise ConfigError(
                "The text encoder's address holds a user name, a password or a fragment.",
                f"{usage} The key belongs in the environment variable {KEY_VARIABLE}.",
            )
        options = dict(parse_qsl(query, keep_blank_values=True))
        try:
            dimensions = int(options.pop("dimensions")) if "dimensions" in options else None
            price = float(options.pop("price")) if "price" in options else None
        except ValueError:
            dimensions, price = 0, None
        if options or (dimensions is not None and dimensions < 1) or (price is not None and not price >= 0):
            raise ConfigError(
                "The text encoder's address may be followed by a whole number 'dimensions' and a 'price' only.",
                f"{usage} The key belongs in the environment variable {KEY_VARIABLE}.",
            )
        return cls(model, base_url, dimensions, price)

    @property
    def identity(self) -> str:
        width = f"|dimensions={self.dimensions}" if self.dimensions else ""
        return f"openai|{self.model}|{self.base_url}|l2{width}"

    @property
    def loopback(self) -> bool:
        return urlsplit(self.base_url).hostname in _LOOPBACK

    def key(self) -> str | None:
        """The key to send, or None for a service on this machine that needs none.

        Raises:
            ConfigError: no key is set, or it would travel unencrypted.
        """
        key = os.environ.get(KEY_VARIABLE, "").strip() or None
        if self.loopback:
            return key
        if key is None:
            raise ConfigError(
                f"The text encoder at {self.base_url} needs a key, and {KEY_VARIABLE} is not set.",
                f"Set it in the environment: export {KEY_VARIABLE}=...",
            )
        if not self.base_url.startswith("https:"):
            raise ConfigError(
                f"The key for {self.base_url} would travel unencrypted.",
                "Use an https address, or a service on this machine.",
            )
        return key


def cache_path(cache_dir: str | Path | None) -> Path:
    """The file that keeps paid vectors; in the user's cache folder unless told otherwise."""
    if cache_dir is None:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = str(Path.home() / "Library" / "Caches")
        else:
            base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        cache_dir = Path(base) / "urbanfm"
    return Path(cache_dir) / "text-vectors.sqlite"


class VectorCache:
    """Vectors by encoder identity and text hash, in one SQLite file that several runs may share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS vectors (encoder TEXT, text BLOB, vector BLOB, "
                    "PRIMARY KEY (encoder, text)) WITHOUT ROWID"
                )
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise OutputError(
                f"The cache of text vectors at {self.path} cannot be used: {error}",
                "Check that the folder can be written and has room; delete the file if it is damaged.",
            ) from error

    def load(self, identity: str, texts: Sequence[str]) -> Iterator[tuple[str, FloatArray | None]]:
        """Each text with its vector, (D,), or None where it is not known."""
        query = "SELECT vector FROM vectors WHERE encoder = ? AND text = ?"
        with self._open() as connection:
            for text in texts:
                row = connection.execute(query, (identity, _text_hash(text))).fetchone()
                yield text, None if row is None else np.frombuffer(row[0], dtype="<f4")

    def known(self, identity: str, texts: Sequence[str]) -> set[str]:
        """Which texts have a vector; makes no file where there is none."""
        if not self.path.exists():
            return set()
        return {text for text, vector in self.load(identity, texts) if vector is not None}

    def any(self, identity: str) -> FloatArray | None:
        """Some vector of this encoder, to know its width without asking the service."""
        if not self.path.exists():
            return None
        with self._open() as connection:
            row = connection.execute("SELECT vector FROM vectors WHERE encoder = ? LIMIT 1", (identity,)).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype="<f4")

    def save(self, identity: str, texts: Sequence[str], vectors: FloatArray) -> None:
        """Keep vectors, (N, D). All of them or none."""
        rows = [
            (identity, _text_hash(text), vector.astype("<f4").tobytes())
            for text, vector in zip(texts, vectors, strict=True)
        ]
        with self._open() as connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)


def _text_hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class EndpointTextEncoder:
    """Vectors from an OpenAI-compatible `/embeddings` service, made unit length here.

    Args:
        spec: See `Endpoint`.
        cache_dir: Folder of the vector cache; None for the user's cache folder.
        batch_size: Texts per request.
        price_per_million_tokens: For the estimate; one number or one per model name.
        attempts: Tries per request. Refusals that do not pass with time are not tried again.
        backoff_s: First pause, doubled each time, unless the service says how long to wait.
        timeout_s: Patience with one request.
        parallel: Requests under way at once.
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
        try:
            import openai
            import tenacity
        except ImportError as error:
            raise MissingDependencyError("openai", f"The text encoder '{spec}'", "openai") from error
        self._openai, self._tenacity = openai, tenacity
        self.spec = spec
        self.notes: list[str] = []
        self._endpoint = Endpoint.parse(spec)
        self.identity = self._endpoint.identity
        self._where = f"The text encoder {self._endpoint.model} at {self._endpoint.base_url}"
        self._cache = VectorCache(cache_path(cache_dir))
        self._batch_size = batch_size
        self._price = _price_of(self._endpoint, price_per_million_tokens)
        self._options = {"dimensions": self._endpoint.dimensions} if self._endpoint.dimensions else {}
        self._attempts, self._backoff_s, self._parallel = attempts, backoff_s, parallel
        key = self._endpoint.key()
        # Without a key none is made up: the header is left out of each request.
        self._headers: dict[str, Any] = {} if key else {"Authorization": openai.Omit()}
        self._client = openai.OpenAI(
            api_key=key or "none",
            base_url=self._endpoint.base_url,
            timeout=timeout_s,
            max_retries=0,
            # A proxy has no business between this machine and itself.
            http_client=openai.DefaultHttpxClient(trust_env=not self._endpoint.loopback),
        )
        known = self._cache.any(self.identity)
        self._dim = None if known is None else int(known.shape[0])

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
        for text, vector in self._cache.load(self.identity, unique):
            if vector is None:
                missing.append(text)
            else:
                rows = self._placed(rows, len(unique), [row_of[text]], vector[None])
        estimate = _estimate(len(texts), len(unique), missing, self._batch_size, self._price)
        progress.log("info", f"Text encoder {self._endpoint.model}: {estimate.describe()}")
        meter = Meter(progress, "texts", len(unique))
        meter.advance(len(unique) - len(missing))
        for batch, vectors in self._fetch(missing, progress):
            rows = self._placed(rows, len(unique), [row_of[text] for text in batch], vectors)
            meter.advance(len(batch))
        if rows is None:
            raise RemoteError(f"{self._where} gave no vectors for {len(unique)} texts.")
        return spread(rows, inverse)

    def _placed(self, rows: FloatArray | None, count: int, where: list[int], vectors: FloatArray) -> FloatArray:
        """Put vectors into their rows of the result, which is made when the first ones tell its width."""
        width = int(vectors.shape[1])
        self._dim = self._dim or width
        if width != self._dim:
            raise RemoteError(
                f"{self._where} gave a vector of width {width}, expected {self._dim} as before.",
                f"The model behind the name has changed. Delete {self._cache.path} to start anew.",
            )
        if rows is None:
            rows = np.empty((count, width), dtype=np.float32)
        rows[where] = vectors
        return rows

    def _fetch(self, texts: Sequence[str], progress: Progress) -> Iterator[tuple[list[str], FloatArray]]:
        """Ask for all texts, several requests at once; yield answers as they come.

        The threads are daemons and keep what they receive themselves: a cancel neither waits for a request that
        hangs nor loses one that was paid for.
        """
        batches = list(_batches(texts, self._batch_size))
        todo: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        answers: queue.SimpleQueue[tuple[list[str], FloatArray | Exception]] = queue.SimpleQueue()
        warnings: queue.SimpleQueue[str] = queue.SimpleQueue()
        stop = threading.Event()
        for batch in batches:
            todo.put(batch)

        def work() -> None:
            while not stop.is_set():
                try:
                    batch = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    vectors = self._request(batch, stop, warnings)
                    self._cache.save(self.identity, batch, vectors)
                except Exception as error:  # Raised again below, in the caller's thread.
                    answers.put((batch, error))
                else:
                    answers.put((batch, vectors))

        for number in range(min(self._parallel, len(batches))):
            threading.Thread(target=work, name=f"text-encoder-{number}", daemon=True).start()
        left = len(batches)
        try:
            while left:
                progress.check()
                with suppress(queue.Empty):
                    batch, outcome = answers.get(timeout=0.2)
                    if isinstance(outcome, Exception):
                        raise outcome
                    left -= 1
                    yield batch, outcome
                # Callers' progress need not be safe for threads, so only this one speaks to it.
                while not warnings.empty():
                    progress.log("warning", warnings.get())
        finally:
            stop.set()

    def _request(self, batch: list[str], stop: threading.Event, warnings: queue.SimpleQueue[str]) -> FloatArray:
        """One request, tried until it succeeds or there is no point."""
        tenacity = self._tenacity
        doubling = tenacity.wait_random_exponential(multiplier=self._backoff_s, max=_LONGEST_WAIT_S / 2)

        def pause(state: Any) -> float:
            told = _retry_after(state.outcome.exception())
            return float(doubling(state)) if told is None else told

        def announce(state: Any) -> None:
            reason = self._reason(state.outcome.exception())
            warnings.put(f"{reason.rstrip('. ')}. Trying again in {state.next_action.sleep:.1f} s.")

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._passing),
            wait=pause,
            stop=tenacity.stop_any(tenacity.stop_after_attempt(self._attempts), tenacity.stop_when_event_set(stop)),
            sleep=tenacity.sleep_using_event(stop),
            before_sleep=announce,
            reraise=True,
        )
        try:
            answer = retrying(
                self._client.embeddings.create,
                model=self._endpoint.model,
                input=batch,
                encoding_format="float",
                extra_headers=self._headers,
                **self._options,
            )
        except self._openai.OpenAIError as error:
            raise RemoteError(
                self._reason(error), "What was received before is kept; a new run asks only for the rest."
            ) from None
        return self._vectors(answer, len(batch))

    def _passing(self, error: BaseException) -> bool:
        """Whether a failure may pass with time: no connection, overload, a fault of the server."""
        told = _retry_after(error)
        if told is not None and told > _LONGEST_WAIT_S:
            return False
        if isinstance(error, self._openai.APIStatusError):
            exhausted = getattr(error, "code", None) == "insufficient_quota"
            return (error.status_code in {408, 409, 429} or error.status_code >= 500) and not exhausted
        return isinstance(error, self._openai.APIConnectionError)

    def _reason(self, error: BaseException | None) -> str:
        if isinstance(error, self._openai.AuthenticationError):
            # The service repeats part of the key in its message.
            return f"{self._where} refused the key in {KEY_VARIABLE} (401)."
        if isinstance(error, self._openai.APIStatusError):
            return f"{self._where} answered {error.status_code}: {str(error)[:300]}"
        if isinstance(error, self._openai.APITimeoutError):
            return f"{self._where} did not answer in time."
        return f"{self._where} could not be reached: {error}"

    def _vectors(self, answer: Any, count: int) -> FloatArray:
        """Unit rows, (B, D), of an answer, which may list them in any order."""
        data = list(getattr(answer, "data", None) or [])
        if sorted(getattr(item, "index", -1) for item in data) != list(range(count)):
            raise RemoteError(f"{self._where} gave {len(data)} vectors, expected {count}, one for each text.")
        try:
            ordered = sorted(data, key=lambda item: item.index)
            rows = np.asarray([item.embedding for item in ordered], dtype=np.float32)
        except (TypeError, ValueError):
            raise RemoteError(f"{self._where} gave vectors of several widths in one answer.") from None
        lengths = np.linalg.norm(rows, axis=-1, keepdims=True) if rows.ndim == 2 else np.zeros((1, 1))
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise RemoteError(f"{self._where} gave a vector that is empty, zero or not finite.")
        return np.asarray(rows / lengths, dtype=np.float32)


def _retry_after(error: BaseException | None) -> float | None:
    """Seconds that the service asks to wait, from the header Retry-After (seconds or a date)."""
    header = getattr(getattr(error, "response", None), "headers", {}).get("retry-after")
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return None

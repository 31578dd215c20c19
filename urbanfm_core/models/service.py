"""An OpenAI-compatible service on the network: where it is, who may ask it, and how to ask it patiently.

The key comes from the environment variable OPENAI_API_KEY, goes to the service only, and is neither stored nor
logged.
"""

from __future__ import annotations

import email.utils
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, urlsplit

from urbanfm_core.errors import ConfigError, MissingDependencyError, RemoteError
from urbanfm_core.progress import Progress

Job = TypeVar("Job")
Answer = TypeVar("Answer")

SERVICE_PREFIX = "openai:"
DEFAULT_BASE_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_LONGEST_WAIT_S = 120.0
# Answers about what a request holds, and not about who asks or how often.
_REFUSALS = (400, 413, 415, 422)


@dataclass(frozen=True)
class CostEstimate:
    """What sending some texts would take.

    Attributes:
        texts: Texts given.
        unique: Distinct ones.
        cached: Distinct ones that are paid for already.
        tokens: Tokens to send, approximately (a quarter of the ASCII characters, each other character one).
        requests: Requests to send.
        price: What that costs, in the currency of the price given; None if no price is known.
        noun: What is sent, in the plural.
    """

    texts: int
    unique: int
    cached: int
    tokens: int
    requests: int
    price: float | None
    noun: str = "texts"

    def describe(self) -> str:
        """One line for the log and for `--dry-run`."""
        if not self.requests:
            where = f", {self.cached:,} of them in the cache" if self.cached else ""
            return f"{self.unique:,} distinct {self.noun}{where}: nothing to send, no cost."
        price = "price unknown (none was given)" if self.price is None else f"about {self.price:.4f}"
        return (
            f"{self.unique:,} distinct {self.noun}, {self.cached:,} of them in the cache: {self.requests:,} requests, "
            f"about {self.tokens:,} tokens, {price}."
        )


def approximate_tokens(text: str) -> int:
    """Tokens of a text, approximately: ASCII characters by four, any other character one."""
    ascii_count = sum(character < "\x80" for character in text)
    return max(1, math.ceil(ascii_count / 4) + len(text) - ascii_count)


@dataclass(frozen=True)
class Endpoint:
    """A model at an address, from `openai:MODEL@BASE_URL?dimensions=384&price=0.13`.

    Attributes:
        dimensions: Width to ask the service for, of models that can shorten their vectors; None for their own.
        price: Price of a million tokens, for the estimate; None if unknown.
        what: What the model is used as, for messages.
    """

    model: str
    base_url: str
    dimensions: int | None = None
    price: float | None = None
    what: str = "text encoder"

    @classmethod
    def parse(cls, spec: str, what: str = "text encoder", *, embeds: bool = True) -> Endpoint:
        """Read a spec.

        Args:
            spec: See the class.
            what: What the model is used as, for messages.
            embeds: Whether it gives vectors, so that 'dimensions' means something.

        Raises:
            ConfigError: there is no model, the address is no http(s) address, or it carries credentials.
        """
        model, _, base_url = spec.removeprefix(SERVICE_PREFIX).partition("@")
        base_url, _, query = (base_url or DEFAULT_BASE_URL).partition("?")
        base_url = base_url.rstrip("/")
        parts = urlsplit(base_url)
        width = "dimensions=384&" if embeds else ""
        usage = f"Expected openai:MODEL or openai:MODEL@https://host/v1, then perhaps ?{width}price=0.13."
        if not model:
            raise ConfigError(f"The {what}'s address names no model.", usage)
        # The spec is not repeated in these messages: it may hold a password.
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(f"The {what}'s address is not an http or https address.", usage)
        if parts.username or parts.password or parts.fragment:
            raise ConfigError(
                f"The {what}'s address holds a user name, a password or a fragment.",
                f"{usage} The key belongs in the environment variable {KEY_VARIABLE}.",
            )
        options = dict(parse_qsl(query, keep_blank_values=True))
        try:
            dimensions = int(options.pop("dimensions")) if embeds and "dimensions" in options else None
            price = float(options.pop("price")) if "price" in options else None
        except ValueError:
            dimensions, price = 0, None
        if options or (dimensions is not None and dimensions < 1) or (price is not None and not price >= 0):
            allowed = "a whole number 'dimensions' and a 'price'" if embeds else "a 'price'"
            raise ConfigError(
                f"The {what}'s address may be followed by {allowed} only.",
                f"{usage} The key belongs in the environment variable {KEY_VARIABLE}.",
            )
        return cls(model, base_url, dimensions, price, what)

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
                f"The {self.what} at {self.base_url} needs a key, and {KEY_VARIABLE} is not set.",
                f"Set it in the environment: export {KEY_VARIABLE}=...",
            )
        if not self.base_url.startswith("https:"):
            raise ConfigError(
                f"The key for {self.base_url} would travel unencrypted.",
                "Use an https address, or a service on this machine.",
            )
        return key

    def priced(self, prices: float | Mapping[str, float] | None) -> float | None:
        """Price of a million tokens: as given (one number or one per model), else as the address says.

        Raises:
            ConfigError: it is below zero or not a number.
        """
        price = prices.get(self.model) if isinstance(prices, Mapping) else prices
        price = self.price if price is None else price
        if price is not None and not (math.isfinite(price) and price >= 0):
            raise ConfigError(f"The price per million tokens must be zero or more, found {price}.")
        return price


class RequestRefusedError(RemoteError):
    """A service refused this one request for what it holds; others may fare better."""


class Call(Protocol):
    """Calls a function of the client, again where its failure may pass with time."""

    def __call__(self, function: Callable[..., Any], **arguments: Any) -> Any: ...


class Service:
    """Asks a service, several requests at once, each tried until it succeeds or there is no point.

    Args:
        endpoint: Model and address.
        attempts: Tries per request. Refusals that do not pass with time are not tried again.
        backoff_s: First pause, doubled each time, unless the service says how long to wait.
        timeout_s: Patience with one request.
        parallel: Requests under way at once.
        per_minute: Most requests begun in a minute, those that are tried again included; None for no limit.

    Attributes:
        where: Model and address, to begin a sentence with.
        client: The client of the package openai.

    Raises:
        ConfigError: the key is missing, or would travel unencrypted.
        MissingDependencyError: the package openai or tenacity is not installed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        attempts: int = 6,
        backoff_s: float = 1.0,
        timeout_s: float = 60.0,
        parallel: int = 4,
        per_minute: float | None = None,
    ) -> None:
        try:
            import openai
            import tenacity
        except ImportError as error:
            raise MissingDependencyError("openai", f"The {endpoint.what} '{endpoint.model}'", "openai") from error
        self._openai, self._tenacity = openai, tenacity
        self.where = f"The {endpoint.what} {endpoint.model} at {endpoint.base_url}"
        self._attempts, self._backoff_s, self._parallel = attempts, backoff_s, parallel
        self._pace = _Pace(60 / per_minute if per_minute else 0.0)
        key = endpoint.key()
        # Without a key none is made up: the header is left out of each request.
        self._headers: dict[str, Any] = {} if key else {"Authorization": openai.Omit()}
        self.client = openai.OpenAI(
            api_key=key or "none",
            base_url=endpoint.base_url,
            timeout=timeout_s,
            max_retries=0,
            # A proxy has no business between this machine and itself.
            http_client=openai.DefaultHttpxClient(trust_env=not endpoint.loopback),
        )

    def answers(
        self, jobs: Sequence[Job], ask: Callable[[Job, Call], Answer], progress: Progress
    ) -> Iterator[tuple[Job, Answer]]:
        """Do all jobs; yield their answers as they come.

        The threads are daemons and `ask` keeps what it receives itself: a cancel neither waits for a request that
        hangs nor loses one that was paid for.

        Args:
            jobs: What to ask, a request each.
            ask: Makes the request of a job through the `Call` that it is given, and keeps the answer.
            progress: Told of failures that are tried again; cancels.
        Raises:
            RemoteError: a request failed for good.
            Cancelled: the user asked to stop.
        """
        todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
        answers: queue.SimpleQueue[tuple[Job, Any, Exception | None]] = queue.SimpleQueue()
        warnings: queue.SimpleQueue[str] = queue.SimpleQueue()
        stop = threading.Event()
        for job in jobs:
            todo.put(job)

        def call(function: Callable[..., Any], **arguments: Any) -> Any:
            return self._call(function, arguments, stop, warnings)

        def work() -> None:
            while not stop.is_set():
                try:
                    job = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    answers.put((job, ask(job, call), None))
                except Exception as error:  # Raised again below, in the caller's thread.
                    answers.put((job, None, error))

        for number in range(min(self._parallel, len(jobs))):
            threading.Thread(target=work, name=f"service-{number}", daemon=True).start()
        left = len(jobs)
        try:
            while left:
                progress.check()
                with suppress(queue.Empty):
                    job, answer, failure = answers.get(timeout=0.2)
                    if failure is not None:
                        raise failure
                    left -= 1
                    yield job, answer
                # Callers' progress need not be safe for threads, so only this one speaks to it.
                while not warnings.empty():
                    progress.log("warning", warnings.get())
        finally:
            stop.set()

    def _call(
        self,
        function: Callable[..., Any],
        arguments: dict[str, Any],
        stop: threading.Event,
        warnings: queue.SimpleQueue[str],
    ) -> Any:
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

        def paced() -> Any:
            self._pace.wait(stop)
            return function(extra_headers=self._headers, **arguments)

        try:
            return retrying(paced)
        except self._openai.OpenAIError as error:
            refused = getattr(error, "status_code", None) in _REFUSALS
            raise (RequestRefusedError if refused else RemoteError)(
                self._reason(error), "What was received before is kept; a new run asks only for the rest."
            ) from None

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
            return f"{self.where} refused the key in {KEY_VARIABLE} (401)."
        if isinstance(error, self._openai.APIStatusError):
            return f"{self.where} answered {error.status_code}: {str(error)[:300]}"
        if isinstance(error, self._openai.APITimeoutError):
            return f"{self.where} did not answer in time."
        return f"{self.where} could not be reached: {error}"


class _Pace:
    """Lets threads through one by one, so many seconds apart."""

    def __init__(self, apart_s: float) -> None:
        self._apart_s, self._next, self._lock = apart_s, 0.0, threading.Lock()

    def wait(self, stop: threading.Event) -> None:
        """Wait for a turn, or until nobody wants the answer any more."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._apart_s
        stop.wait(max(0.0, turn - time.monotonic()))


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

"""The embeddings service: a real HTTP server on loopback that fails, counts and remembers."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import Answer, Request, answering

from urbanfm_core.errors import Cancelled, ConfigError, MissingDependencyError, OutputError, RemoteError
from urbanfm_core.models.text import TextEncoder, estimate, load_text_encoder
from urbanfm_core.models.text_remote import (
    DEFAULT_BASE_URL,
    EndpointTextEncoder,
    approximate_tokens,
    cache_path,
)
from urbanfm_core.progress import Progress

DIM = 6
KEY = "sk-test-0123456789"


def vector_of(text: str, dim: int = DIM) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [digest[i] - 127.3 for i in range(dim)]


def unit(text: str) -> np.ndarray:
    vector = np.array(vector_of(text))
    return vector / np.linalg.norm(vector)


@dataclass
class Service:
    """What the server was asked, and what it is told to do: `failures` are answered first, one a request."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    failures: list[Answer] = field(default_factory=list)
    answer: Callable[[list[str]], list[dict[str, Any]]] | None = None
    delay_s: float = 0.0
    hold: threading.Event | None = None
    on_request: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def spec(self) -> str:
        return f"openai:tiny@{self.url}"

    @property
    def texts(self) -> list[str]:
        return [text for request in self.requests for text in request["input"]]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    state = Service()

    def answer(request: Request) -> Answer:
        with state.lock:
            state.keys.append(request.key)
            state.paths.append(request.path)
            failure = state.failures.pop(0) if state.failures else None
            if failure is None:
                state.requests.append(request.body)
        state.on_request()
        time.sleep(state.delay_s)
        if state.hold is not None:
            state.hold.wait(30)
        if failure is not None:
            return failure
        texts = request.body["input"]
        data = [{"object": "embedding", "index": i, "embedding": vector_of(text)} for i, text in enumerate(texts)]
        # The order of the answer is free; the index counts.
        data = state.answer(texts) if state.answer else data[::-1]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return 200, {}, {"object": "list", "model": "tiny", "data": data, "usage": usage}

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    # A proxy must not be asked for an address on this machine.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with answering(answer) as state.url:
        yield state


class Recorder(Progress):
    def __init__(self) -> None:
        self.logs: list[tuple[str, str]] = []
        self.fractions: list[float] = []
        self.stop = False

    def log(self, level: str, message: str) -> None:
        self.logs.append((level, message))

    def update(self, fraction: float, message: str = "") -> None:
        self.fractions.append(fraction)

    def cancelled(self) -> bool:
        return self.stop


def encoder_for(service: Service, cache: Path, **options: Any) -> EndpointTextEncoder:
    return EndpointTextEncoder(service.spec, cache_dir=cache, **{"backoff_s": 0.01, **options})


TEXTS = [f"place {i % 7}" for i in range(10)]


def test_batches_are_sent_once_per_text_and_come_back_in_order(service: Service, tmp_path: Path) -> None:
    encoder = encoder_for(service, tmp_path, batch_size=3)
    recorder = Recorder()
    vectors = encoder.encode(TEXTS, recorder)
    assert isinstance(encoder, TextEncoder)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, [unit(text) for text in TEXTS], atol=1e-6)
    assert sorted(len(request["input"]) for request in service.requests) == [1, 3, 3]
    assert sorted(service.texts) == sorted(set(TEXTS))
    assert {request["model"] for request in service.requests} == {"tiny"}
    assert set(service.paths) == {"/v1/embeddings"}
    assert encoder.dim == DIM
    assert recorder.fractions[-1] == 1.0
    assert encoder.identity == f"openai|tiny|{service.url}|l2"


def test_failures_that_pass_are_tried_again(service: Service, tmp_path: Path) -> None:
    service.failures = [
        (500, {}, {"error": {"message": "oops"}}),
        (429, {"Retry-After": "0"}, {"error": {"message": "slow down"}}),
        (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, {}),
    ]
    recorder = Recorder()
    vectors = encoder_for(service, tmp_path, parallel=1).encode(["park"], recorder)
    np.testing.assert_allclose(vectors[0], unit("park"), atol=1e-6)
    assert len(service.keys) == 4
    warnings = [message for level, message in recorder.logs if level == "warning"]
    assert [any(code in text for text in warnings) for code in ("500", "429", "503")] == [True] * 3


def test_retry_after_is_obeyed(service: Service, tmp_path: Path) -> None:
    service.failures = [(429, {"Retry-After": "0.3"}, {})]
    recorder = Recorder()
    # Without the header this encoder would wait a minute.
    encoder_for(service, tmp_path, backoff_s=3600).encode(["park"], recorder)
    assert [message.rpartition(". ")[2] for _, message in recorder.logs[1:]] == ["Trying again in 0.3 s."]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ((401, {}, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), "refused the key"),
        ((400, {}, {"error": {"message": "no such model"}}), "no such model"),
        ((429, {}, {"error": {"message": "pay first", "code": "insufficient_quota"}}), "pay first"),
        ((429, {"Retry-After": "86400"}, {"error": {"message": "tomorrow"}}), "tomorrow"),
    ],
)
def test_failures_that_stay_are_not_tried_again(
    failure: Any, said: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    service.failures = [failure]
    with pytest.raises(RemoteError, match=said) as caught:
        encoder_for(service, tmp_path).encode(["park"])
    assert len(service.keys) == 1
    assert KEY not in str(caught.value)


def test_gives_up_after_the_attempts(service: Service, tmp_path: Path) -> None:
    service.failures = [(500, {}, {})] * 9
    with pytest.raises(RemoteError, match="500"):
        encoder_for(service, tmp_path, attempts=3, parallel=1).encode(["park"])
    assert len(service.keys) == 3


def test_nobody_listens(service: Service, tmp_path: Path) -> None:
    encoder = EndpointTextEncoder("openai:tiny@http://127.0.0.1:9/v1", cache_dir=tmp_path, attempts=2, backoff_s=0.01)
    with pytest.raises(RemoteError, match="could not be reached"):
        encoder.encode(["park"])


def test_no_answer_in_time_is_tried_again(service: Service, tmp_path: Path) -> None:
    service.delay_s = 0.5
    with pytest.raises(RemoteError, match="in time"):
        encoder_for(service, tmp_path, attempts=2, timeout_s=0.1).encode(["park"])
    assert len(service.keys) == 2


def test_what_is_paid_for_is_not_asked_again(service: Service, tmp_path: Path) -> None:
    first = encoder_for(service, tmp_path).encode(["park", "bar"])
    again = encoder_for(service, tmp_path)
    assert again.dim == DIM
    np.testing.assert_array_equal(again.encode(["bar", "park", "bar"]), first[[1, 0, 1]])
    assert len(service.requests) == 1
    again.encode(["bar", "school"])
    assert service.texts == ["park", "bar", "school"]
    assert cache_path(tmp_path).is_file()


def test_a_run_that_failed_resumes_where_it_stopped(service: Service, tmp_path: Path) -> None:
    encoder = encoder_for(service, tmp_path, batch_size=1, parallel=1, attempts=1)
    encoder.encode(["a", "b"])
    service.failures = [(500, {}, {})]
    with pytest.raises(RemoteError, match="kept"):
        encoder.encode(["a", "b", "c"])
    encoder_for(service, tmp_path, batch_size=1).encode(["a", "b", "c"])
    assert sorted(service.texts) == ["a", "b", "c"]


def test_other_models_and_addresses_do_not_share_vectors(service: Service, tmp_path: Path) -> None:
    encoder_for(service, tmp_path).encode(["park"])
    other = EndpointTextEncoder(f"openai:large@{service.url}/", cache_dir=tmp_path)
    other.encode(["park"])
    assert [request["model"] for request in service.requests] == ["tiny", "large"]
    assert other.identity == f"openai|large|{service.url}|l2"


def test_cancel_does_not_wait_for_a_request(service: Service, tmp_path: Path) -> None:
    service.hold = threading.Event()
    recorder = Recorder()
    service.on_request = lambda: setattr(recorder, "stop", True)
    with pytest.raises(Cancelled):
        encoder_for(service, tmp_path).encode(["park"], recorder)
    # The server has not answered yet; once it does, what was paid for is kept all the same.
    service.hold.set()
    for _ in range(500):
        if estimate(service.spec, ["park"], cache_dir=tmp_path).cached:
            break
        time.sleep(0.02)
    assert estimate(service.spec, ["park"], cache_dir=tmp_path).cached == 1


def test_cancel_does_not_wait_for_a_pause(service: Service, tmp_path: Path) -> None:
    service.failures = [(429, {"Retry-After": "60"}, {})]
    recorder = Recorder()
    service.on_request = lambda: setattr(recorder, "stop", True)
    with pytest.raises(Cancelled):
        encoder_for(service, tmp_path).encode(["park"], recorder)
    assert not service.requests


def item(index: int, embedding: list[Any]) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": embedding}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([item(0, [1.0, 2.0])], "1 vectors, expected 2"),
        ([item(0, [1.0]), item(0, [1.0])], "2 vectors, expected 2"),
        ([item(0, [1.0]), item(1, [1.0, 2.0])], "several widths"),
        ([item(0, [0.0, 0.0]), item(1, [1.0, 2.0])], "zero"),
        ([item(0, [float("nan"), 1.0]), item(1, [1.0, 2.0])], "not finite"),
        ([item(0, []), item(1, [])], "empty"),
    ],
)
def test_nonsense_is_not_kept(data: list[dict[str, Any]], said: str, service: Service, tmp_path: Path) -> None:
    service.answer = lambda texts: data
    with pytest.raises(RemoteError, match=said):
        encoder_for(service, tmp_path).encode(["park", "bar"])
    service.answer = None
    encoder_for(service, tmp_path).encode(["park", "bar"])
    assert len(service.requests) == 2


def test_a_changed_width_is_noticed(service: Service, tmp_path: Path) -> None:
    encoder_for(service, tmp_path).encode(["park"])
    service.answer = lambda texts: [item(i, vector_of(text, 4)) for i, text in enumerate(texts)]
    with pytest.raises(RemoteError, match=r"width 4, expected 6.*Delete"):
        encoder_for(service, tmp_path).encode(["bar"])


def test_key_goes_to_the_service_and_nowhere_else(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    recorder = Recorder()
    encoder = encoder_for(service, tmp_path)
    encoder.encode(["park"], recorder)
    assert service.keys == [f"Bearer {KEY}"]
    assert KEY.encode() not in cache_path(tmp_path).read_bytes()
    assert KEY not in caplog.text + repr(recorder.logs) + encoder.identity + repr(vars(encoder))


def test_service_on_this_machine_needs_no_key(service: Service, tmp_path: Path) -> None:
    encoder_for(service, tmp_path).encode(["park"])
    assert service.keys == [None]


@pytest.mark.parametrize(
    ("spec", "key", "said"),
    [
        ("openai:m", None, "OPENAI_API_KEY is not set"),
        ("openai:m@https://example.org/v1", "  ", "OPENAI_API_KEY is not set"),
        ("openai:m@http://example.org/v1", KEY, "unencrypted"),
        ("openai:", KEY, "names no model"),
        ("openai:m@ftp://example.org", KEY, "not an http"),
        ("openai:m@https://user:secret@example.org/v1", KEY, "password"),
        ("openai:m@https://example.org/v1?key=secret", KEY, "dimensions"),
        ("openai:m@https://example.org/v1?dimensions=0", KEY, "dimensions"),
        ("openai:m@https://example.org/v1?price=free", KEY, "price"),
    ],
)
def test_specs_that_cannot_be_served_are_refused(
    spec: str, key: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match=said) as caught:
        load_text_encoder(spec, cache_dir=tmp_path)
    assert "secret" not in str(caught.value)


def test_width_and_price_follow_the_address(service: Service, tmp_path: Path) -> None:
    spec = f"{service.spec}?dimensions=3&price=20"
    encoder = EndpointTextEncoder(spec, cache_dir=tmp_path, backoff_s=0.01)
    recorder = Recorder()
    encoder.encode(TEXTS, recorder)
    assert {request["dimensions"] for request in service.requests} == {3}
    assert encoder.identity == f"openai|tiny|{service.url}|l2|dimensions=3"
    assert estimate(spec, ["new " + text for text in TEXTS], cache_dir=tmp_path).price > 0
    encoder_for(service, tmp_path / "other").encode(TEXTS[:1])
    assert "dimensions" not in service.requests[-1]


def test_default_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert load_text_encoder("openai:m", cache_dir=tmp_path).identity == f"openai|m|{DEFAULT_BASE_URL}|l2"


def test_a_checkpoint_cannot_choose_the_service(service: Service, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not you who named it"):
        load_text_encoder(service.spec, cache_dir=tmp_path, allow_remote=False)


@pytest.mark.parametrize("package", ["openai", "tenacity"])
def test_missing_package_names_the_extra(
    package: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"urbanfm\[openai\]"):
        load_text_encoder(service.spec, cache_dir=tmp_path)


def test_estimate_sends_nothing_and_knows_what_is_cached(service: Service, tmp_path: Path) -> None:
    texts = ["a" * 40, "b" * 41, "東京都", "a" * 40]
    cost = estimate(service.spec, texts, cache_dir=tmp_path, batch_size=2, price_per_million_tokens={"tiny": 2.0})
    assert (cost.texts, cost.unique, cost.cached, cost.tokens, cost.requests) == (4, 3, 0, 10 + 11 + 3, 2)
    assert cost.price == pytest.approx(24 * 2.0 / 1e6)
    assert not service.requests
    assert not cache_path(tmp_path).exists()
    encoder_for(service, tmp_path).encode(texts[:1])
    cost = estimate(service.spec, texts, cache_dir=tmp_path, price_per_million_tokens={"other": 2.0})
    assert (cost.cached, cost.tokens, cost.requests, cost.price) == (1, 14, 1, None)
    assert "price unknown" in cost.describe()
    assert estimate(service.spec, texts[:1], cache_dir=tmp_path).price == 0.0


def test_estimate_is_said_before_the_first_request(service: Service, tmp_path: Path) -> None:
    seen: list[int] = []

    class Watcher(Progress):
        def log(self, level: str, message: str) -> None:
            seen.append(len(service.keys))
            assert level == "info"
            assert "2 distinct texts, 0 of them in the cache: 1 requests, about 2 tokens, about 0.0000" in message

    encoder_for(service, tmp_path, price_per_million_tokens=0.02).encode(["park", "bar", "bar"], Watcher())
    assert seen == [0]


def test_price_is_checked(service: Service, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="price"):
        estimate(service.spec, ["bar"], cache_dir=tmp_path, price_per_million_tokens=-1)


def test_tokens_of_an_empty_and_a_long_text() -> None:
    assert approximate_tokens("a") == 1
    assert approximate_tokens("abcde") == 2
    assert approximate_tokens("é" * 3 + "abcd") == 4


def test_requests_stay_below_the_token_limit(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urbanfm_core.models.text_remote._REQUEST_TOKENS", 10)
    encoder_for(service, tmp_path, batch_size=99).encode([c * 16 for c in "abcde"])
    assert sorted(len(request["input"]) for request in service.requests) == [1, 2, 2]


def test_damaged_cache_is_named(service: Service, tmp_path: Path) -> None:
    cache_path(tmp_path).write_bytes(b"this is no database, but it is long enough to look at" * 40)
    with pytest.raises(OutputError, match=r"text-vectors\.sqlite"):
        encoder_for(service, tmp_path)


def test_cache_holds_exact_float32(service: Service, tmp_path: Path) -> None:
    vectors = encoder_for(service, tmp_path).encode(["park"])
    with sqlite3.connect(cache_path(tmp_path)) as connection:
        ((blob,),) = connection.execute("SELECT vector FROM vectors").fetchall()
    connection.close()
    np.testing.assert_array_equal(np.frombuffer(blob, "<f4"), vectors[0])


def test_no_texts_still_have_a_width(service: Service, tmp_path: Path) -> None:
    assert encoder_for(service, tmp_path).encode([]).shape == (0, DIM)
    assert service.texts == ["dimension"]

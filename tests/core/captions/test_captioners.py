"""Captioners: models on this machine, and a service that fails in all usual ways."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from vision import VisionService, describe_colour, serving, tiny_blip, tiny_llava, tiny_pair

from urbanfm_core.captions.captioners import LocalCaptioner, ServiceCaptioner, load_captioner
from urbanfm_core.errors import Cancelled, ConfigError, RemoteError, ShapeError
from urbanfm_core.models.service import _Pace
from urbanfm_core.progress import Progress

BUSY = (429, {"Retry-After": "0"}, {"error": {"message": "slow down"}})
BROKEN = (500, {}, {"error": {"message": "oops"}})
REFUSED = (400, {}, {"error": {"message": "content policy"}})


class Recorder(Progress):
    def __init__(self) -> None:
        self.logs: list[tuple[str, str]] = []
        self.stop = False

    def log(self, level: str, message: str) -> None:
        self.logs.append((level, message))

    def cancelled(self) -> bool:
        return self.stop


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[VisionService]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as state:
        yield state


@pytest.fixture
def seer(service: VisionService, tmp_path: Path) -> Callable[..., ServiceCaptioner]:
    def make(**more: object) -> ServiceCaptioner:
        settings = {"cache_dir": tmp_path / "cache", "backoff_s": 0.001, "parallel": 1, **more}
        return ServiceCaptioner(f"{service.spec}?price=2", **settings)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_blip(folder / "blip")
    tiny_llava(folder / "llava")
    tiny_pair(folder / "pair")
    return folder


def pictures(count: int, size: int = 40) -> list[np.ndarray]:
    """Flat colours, which JPEG keeps."""
    return [np.full((3, size, size), 20 * row + 5, np.uint8) for row in range(count)]


def colours(images: list[np.ndarray]) -> list[str]:
    return [describe_colour(image.transpose(1, 2, 0)) for image in images]


@pytest.mark.parametrize("name", ["blip", "llava", "pair"])
def test_models_on_this_machine_describe_without_chance(models: Path, tmp_path: Path, name: str) -> None:
    images = [np.random.default_rng(row).integers(0, 255, (3, 48, 40), np.uint8) for row in range(3)]
    made = [
        load_captioner(str(models / name), cache_dir=tmp_path / str(batch), batch_size=batch, max_new_tokens=6)
        for batch in (1, 2)
    ]
    assert made[0].name == name and made[0].identity == made[1].identity
    torch.manual_seed(1)
    alone = made[0].describe(images, ["a street"] * 3)
    torch.manual_seed(2)
    assert made[1].describe(images, ["a street"] * 3) == alone
    assert all(0 < len(text.split()) <= 6 or name == "pair" for text in alone)
    assert not any(text.startswith("USER") for text in alone), "what was asked is not part of the answer"
    assert made[0].estimate(images, ["a street"] * 3) is None
    follows = name == "llava"
    assert any("follows no instructions" in note for note in made[0].notes) != follows


def test_only_a_model_that_follows_prompts_heeds_them(models: Path, tmp_path: Path) -> None:
    image = pictures(1)
    for name in ("blip", "llava"):
        captioner = load_captioner(str(models / name), cache_dir=tmp_path, max_new_tokens=6)
        texts = {tuple(captioner.describe(image, [prompt])) for prompt in ("a", "houses with trees", "street street")}
        assert (len(texts) > 1) == (name == "llava")


def test_a_model_writes_no_more_than_it_has_positions_for(models: Path, tmp_path: Path) -> None:
    captioner = load_captioner(str(models / "pair"), cache_dir=tmp_path, max_new_tokens=100)
    captioner.describe(pictures(1), ["a"])
    assert "The captioner pair writes 15 tokens at most." in captioner.notes


def test_what_a_local_model_wrote_is_not_written_again(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_captioner(str(models / "blip"), cache_dir=tmp_path, max_new_tokens=4, batch_size=1)
    seen: list[int] = []
    inner = LocalCaptioner._describe

    def counted(self: LocalCaptioner, images: list[np.ndarray], prompts: list[str]) -> list[str]:
        seen.append(len(images))
        if len(seen) == 3:
            raise Cancelled()
        return inner(self, images, prompts)

    monkeypatch.setattr(LocalCaptioner, "_describe", counted)
    with pytest.raises(Cancelled):
        first.describe(pictures(4), ["a"] * 4)
    assert seen == [1, 1, 1]
    again = load_captioner(str(models / "blip"), cache_dir=tmp_path, max_new_tokens=4, batch_size=4)
    texts = again.describe([*pictures(4), *pictures(1)], ["a"] * 5)
    assert seen == [1, 1, 1, 2], "two of four were kept, and equal pictures are described once"
    assert texts[4] == texts[0]


def test_a_service_describes_each_picture_once(service: VisionService, seer: Callable[..., ServiceCaptioner]) -> None:
    images, told = pictures(3), Recorder()
    captioner = seer()
    assert captioner.name == "seer"
    estimate = captioner.estimate([*images, images[0]], ["Say it."] * 4)
    assert (estimate.texts, estimate.unique, estimate.requests) == (4, 3, 3)
    assert estimate.price == pytest.approx((estimate.tokens + 3 * 200) * 2e-6)
    assert captioner.describe([*images, images[0]], ["Say it."] * 4, told) == [*colours(images), colours(images)[0]]
    assert service.prompts == ["Say it."] * 3
    assert told.logs[0][1].startswith("Captioner seer: 3 distinct pictures, 0 of them in the cache: 3 requests")
    assert service.keys == [None] * 3
    told = Recorder()
    assert seer().describe(images, ["Say it."] * 3, told) == colours(images)
    assert len(service.bodies) == 3 and "nothing to send, no cost" in told.logs[0][1]
    assert seer().describe(images[:1], ["Other words."]) == colours(images[:1])
    assert len(service.bodies) == 4


def test_an_overloaded_and_a_broken_service_are_asked_again(
    service: VisionService, seer: Callable[..., ServiceCaptioner]
) -> None:
    service.failures = [BUSY, BROKEN, BUSY]
    told = Recorder()
    assert seer().describe(pictures(2), ["x"] * 2, told) == colours(pictures(2))
    warnings = [message for level, message in told.logs if level == "warning"]
    assert len(warnings) == 3 and "429" in warnings[0] and "500" in warnings[1]
    assert len(service.bodies) == 5


def test_a_service_that_stays_broken_ends_the_run_and_a_new_run_goes_on(
    service: VisionService, seer: Callable[..., ServiceCaptioner]
) -> None:
    images = pictures(4)
    service.on_request = lambda: service.failures.extend([BROKEN] * 9) if len(service.bodies) == 2 else None
    with pytest.raises(RemoteError, match="answered 500") as caught:
        seer(attempts=2).describe(images, ["x"] * 4)
    assert "a new run asks only for the rest" in caught.value.hint
    assert len(service.bodies) == 4, "two answers, and two tries of the third"
    service.failures.clear()
    assert seer().describe(images, ["x"] * 4) == colours(images)
    assert len(service.bodies) == 6, "the two that were answered are not asked again"


def test_a_service_that_hangs_half_way_loses_nothing(
    service: VisionService, seer: Callable[..., ServiceCaptioner]
) -> None:
    images = pictures(4)
    service.hang_after = 2
    with pytest.raises(RemoteError, match="did not answer in time"):
        seer(timeout_s=0.3, attempts=2).describe(images, ["x"] * 4)
    service.hang_after = None
    before = len(service.bodies)
    assert seer().describe(images, ["x"] * 4) == colours(images)
    assert len(service.bodies) == before + 2


def test_a_cancel_does_not_wait_for_a_request_that_hangs(
    service: VisionService, seer: Callable[..., ServiceCaptioner]
) -> None:
    service.hang_after, told = 1, Recorder()

    def stop() -> None:
        told.stop = len(service.bodies) > 1

    service.on_request = stop
    with pytest.raises(Cancelled):
        seer().describe(pictures(3), ["x"] * 3, told)
    assert seer().estimate(pictures(3), ["x"] * 3).cached == 1


def test_one_refused_picture_costs_only_itself(service: VisionService, seer: Callable[..., ServiceCaptioner]) -> None:
    images, told = pictures(3), Recorder()
    service.failures = [REFUSED]
    captioner = seer()
    assert captioner.describe(images, ["x"] * 3, told) == ["", *colours(images)[1:]]
    assert any("refused to describe 1 pictures" in note for note in captioner.notes)
    assert any(level == "warning" and "400" in message for level, message in told.logs)
    assert seer().describe(images, ["x"] * 3) == colours(images), "a refused picture is asked for again"


def test_a_service_that_refuses_every_picture_is_an_error(
    service: VisionService, seer: Callable[..., ServiceCaptioner]
) -> None:
    service.failures = [REFUSED] * 2
    with pytest.raises(RemoteError, match="answered 400"):
        seer().describe(pictures(2), ["x"] * 2)


def test_requests_keep_their_distance(
    service: VisionService, seer: Callable[..., ServiceCaptioner], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Patience(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    waits: list[float] = []
    pace = _Pace(1000.0)
    for _ in range(3):
        pace.wait(Patience())
    assert waits[0] == 0 and waits[1] > 900 and waits[2] > 1900

    apart: list[float] = []
    inner = _Pace.wait
    monkeypatch.setattr(_Pace, "wait", lambda self, stop: (apart.append(self._apart_s), inner(self, stop))[1])
    service.failures = [BROKEN]
    seer(per_minute=6000).describe(pictures(3), ["x"] * 3)
    assert apart == [0.01] * 4, "a request that is tried again waits for its turn too"


def test_a_missing_key_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="needs a key, and OPENAI_API_KEY is not set"):
        load_captioner("openai:some-model")


@pytest.mark.parametrize(
    ("image", "told"),
    [(np.zeros((40, 40, 3), np.uint8), "must be"), (np.zeros((3, 4, 4), np.float32), "float32")],
)
def test_what_is_no_picture_is_told(seer: Callable[..., ServiceCaptioner], image: np.ndarray, told: str) -> None:
    with pytest.raises(ShapeError, match=told):
        seer().describe([image], ["x"])
    with pytest.raises(ShapeError, match="cannot have 2 prompts"):
        seer().describe(pictures(1), ["x", "y"])


def test_folders_that_hold_no_captioner_are_told(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no weights in safetensors format"):
        load_captioner(str(tmp_path))
    with pytest.raises(ConfigError, match="no Hugging Face id"):
        load_captioner("a/b/c")


def test_answers_may_come_from_several_threads(service: VisionService, seer: Callable[..., ServiceCaptioner]) -> None:
    images = pictures(12)
    barrier = threading.Barrier(4, timeout=20)
    service.on_request = lambda: barrier.wait() and None
    assert seer(parallel=4).describe(images, ["x"] * 12) == colours(images)

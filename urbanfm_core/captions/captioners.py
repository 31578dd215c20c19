"""Models that describe pictures in words, on this machine or behind an address.

Both describe without chance and keep every answer at once, under picture and prompt: a run that was stopped asks only
for what is still missing.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from urbanfm_core.errors import ShapeError
from urbanfm_core.models.answer_cache import AnswerCache, cache_path
from urbanfm_core.models.batches import Batches
from urbanfm_core.models.service import (
    SERVICE_PREFIX,
    Call,
    CostEstimate,
    Endpoint,
    RequestRefusedError,
    Service,
    approximate_tokens,
)
from urbanfm_core.models.text_generation import answered_words, greedy_settings, tidy
from urbanfm_core.models.text_source import Role, find_model, load_processor, load_weights
from urbanfm_core.progress import Meter, Progress

Picture = NDArray[np.uint8]

CAPTIONER = Role(
    "captioner",
    "Use an id such as owner/name or owner/name@revision, an existing folder, or openai:MODEL@BASE_URL.",
    "or give captions that exist: --captions",
)
MAX_NEW_TOKENS = 200
_BATCH = 8
# Models that know how to describe a picture and nothing else: a prompt would only be words to go on from.
_DESCRIBE_ONLY = ("blip", "git", "vision-encoder-decoder")
_JPEG_QUALITY = 92
# What services take for a picture: so many tokens, and so many more for each square of that side.
_PICTURE_TOKENS, _TILE_TOKENS, _TILE_PX = 85, 170, 512


class Captioner(Protocol):
    """What every captioner offers.

    Attributes:
        identity: Model and version, and how it writes. Equal identities describe alike.
        name: Short name, for tables.
        notes: What a report should mention about it.
        follows_prompts: Whether it does what a prompt asks; some only describe.
    """

    identity: str
    name: str
    notes: list[str]
    follows_prompts: bool

    def estimate(self, images: Sequence[Picture], prompts: Sequence[str]) -> CostEstimate | None:
        """What describing them would send to a service, and cost; None for a model on this machine."""

    def describe(
        self, images: Sequence[Picture], prompts: Sequence[str], progress: Progress | None = None
    ) -> list[str]:
        """A text for each picture, white space tidied; empty where the model wrote nothing.

        Equal pairs of picture and prompt are asked once.

        Args:
            images: N pictures, (3, H, W) uint8, red first, row 0 on top. They are looked at one by one and may be read
                from disk meanwhile.
            prompts: N prompts.
            progress: Reports and cancels.

        Raises:
            ShapeError: a picture is none, or their number is not that of the prompts.
            RemoteError: a service refused, or did not answer. What came before is kept.
            Cancelled: the user asked to stop.
        """


def load_captioner(
    spec: str,
    *,
    cache_dir: str | Path | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    per_minute: float | None = None,
) -> Captioner:
    """The captioner that `spec` names.

    Args:
        spec: A folder written by `save_pretrained`, a Hugging Face id with `@revision` if wanted, of a model from
            pictures to text (BLIP, GIT, LLaVA and their kin), or `openai:MODEL@BASE_URL`, whose address may be left out
            and followed by `?price=`.
        cache_dir: Where downloads and answers are kept; None for the user's cache folder.
        device: Torch device of a local model.
        batch_size: Pictures at once of a local model; halved where memory runs out.
        max_new_tokens: Most tokens that are written per picture.
        per_minute: Most requests a minute to a service; None for no limit.

    Raises:
        ConfigError: the spec is malformed or names nothing loadable, or a service needs a key that is not set.
        MissingDependencyError: the package that the spec needs is not installed.
        RemoteError: the hub cannot be reached.
    """
    spec = spec.strip()
    if spec.startswith(SERVICE_PREFIX):
        return ServiceCaptioner(spec, cache_dir=cache_dir, max_new_tokens=max_new_tokens, per_minute=per_minute)
    return LocalCaptioner(
        spec, cache_dir=cache_dir, device=device, batch_size=batch_size or _BATCH, max_new_tokens=max_new_tokens
    )


class _Job(NamedTuple):
    """One picture to describe: its place among those given, the prompt, and what the answer is kept under."""

    place: int
    prompt: str
    key: str


class _KeepingCaptioner:
    """What both captioners share: each answer is kept under picture and prompt as soon as it is there."""

    def __init__(self, name: str, identity: str, cache_dir: str | Path | None) -> None:
        self.name, self.identity, self.notes = name, identity, list[str]()
        self._cache = AnswerCache(cache_path(cache_dir))

    def describe(
        self, images: Sequence[Picture], prompts: Sequence[str], progress: Progress | None = None
    ) -> list[str]:
        """See `Captioner.describe`."""
        progress = progress or Progress()
        jobs = self._jobs(images, prompts, progress)
        unique = {job.key: job for job in jobs}
        answers = {
            key: kept.decode() for key, kept in self._cache.load(self.identity, list(unique)) if kept is not None
        }
        missing = [job for key, job in unique.items() if key not in answers]

        def keep(job: _Job, text: str) -> None:
            answers[job.key] = tidy(text)
            self._cache.save(self.identity, [job.key], [answers[job.key].encode()])

        self._announce(images, missing, len(jobs), len(unique), progress)
        meter = Meter(progress, "pictures", len(unique))
        meter.advance(len(unique) - len(missing))
        if missing:
            self._write(images, missing, keep, meter, progress)
        return [answers.get(job.key, "") for job in jobs]

    def _jobs(self, images: Sequence[Picture], prompts: Sequence[str], progress: Progress) -> list[_Job]:
        if len(images) != len(prompts):
            raise ShapeError(f"{len(images)} pictures cannot have {len(prompts)} prompts.")
        jobs = []
        for place, prompt in enumerate(prompts):
            progress.check()
            image = images[place]
            if image.ndim != 3 or len(image) != 3 or image.dtype != np.uint8 or not image.size:
                raise ShapeError(f"Picture {place} must be (3, H, W) uint8, got {image.shape} {image.dtype}.")
            pixels = hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
            jobs.append(_Job(place, prompt, f"{pixels}|{prompt}"))
        return jobs

    def _announce(
        self, images: Sequence[Picture], missing: list[_Job], given: int, unique: int, progress: Progress
    ) -> None:
        """Say what will be sent before it is."""

    def _write(
        self,
        images: Sequence[Picture],
        jobs: list[_Job],
        keep: Callable[[_Job, str], None],
        meter: Meter,
        progress: Progress,
    ) -> None:
        """Describe the pictures of some jobs; `keep` each answer as it comes."""
        raise NotImplementedError


class LocalCaptioner(_KeepingCaptioner):
    """A transformers model from pictures to text on this machine, which always writes the likeliest next token.

    Prompts go through the model's own chat template where it has one.
    """

    def __init__(
        self, spec: str, *, cache_dir: str | Path | None, device: str, batch_size: int, max_new_tokens: int
    ) -> None:
        source = find_model(spec, cache_dir, CAPTIONER)
        self._processor, self._tokenizer = load_processor(source.folder, spec, CAPTIONER)
        # In the number format of the file: these models are large.
        self._model = load_weights(source.folder, spec, CAPTIONER, auto="AutoModelForImageTextToText", dtype="auto")
        self._device = torch.device(device)
        self._model.to(self._device).eval().requires_grad_(False)
        text = self._model.config.get_text_config(decoder=True)
        positions = getattr(text, "max_position_embeddings", None) or max_new_tokens + 1
        most = min(max_new_tokens, positions - 1)
        self._settings = greedy_settings(self._model, self._tokenizer, most)
        self._template = getattr(self._processor, "chat_template", None) or self._tokenizer.chat_template
        self.follows_prompts = bool(self._template) or self._model.config.model_type not in _DESCRIBE_ONLY
        # A model that goes on where the row ends wants padding in front.
        self._tokenizer.padding_side = "left"
        super().__init__(Path(spec).name or spec, f"{source.label}|captions|greedy|max_new_tokens={most}", cache_dir)
        self.notes += source.notes
        if not self.follows_prompts:
            self.notes.append(f"The captioner {self.name} follows no instructions: the prompt is not used.")
        if most < max_new_tokens:
            self.notes.append(f"The captioner {self.name} writes {most} tokens at most.")
        self._batches = Batches(self._device, batch_size, self.notes, doing="describing", noun="picture")

    def estimate(self, images: Sequence[Picture], prompts: Sequence[str]) -> None:
        """See `Captioner.estimate`: nothing is sent."""

    def _write(
        self,
        images: Sequence[Picture],
        jobs: list[_Job],
        keep: Callable[[_Job, str], None],
        meter: Meter,
        progress: Progress,
    ) -> None:
        def write(part: slice) -> None:
            progress.check()
            chosen = jobs[part]
            texts = self._describe([images[job.place] for job in chosen], [job.prompt for job in chosen])
            for job, text in zip(chosen, texts, strict=True):
                keep(job, text)
            meter.advance(len(chosen))

        self._batches.run(len(jobs), write)

    def _describe(self, images: Sequence[Picture], prompts: Sequence[str]) -> list[str]:
        # A list for each text: some models read several pictures with one.
        pictures: list[Any] = [[_pillow(image)] for image in images]
        if self.follows_prompts:
            texts = [self._wrapped(prompt) for prompt in prompts]
            inputs = self._processor(images=pictures, text=texts, padding=True, return_tensors="pt")
        else:
            inputs = self._processor(images=[one[0] for one in pictures], return_tensors="pt")
        inputs = inputs.to(self._device)
        given = {
            name: value.to(self._model.dtype) if torch.is_floating_point(value) else value
            for name, value in inputs.items()
        }
        found = self._model.generate(**given, generation_config=self._settings)
        asked = given.get("input_ids")
        if asked is not None and torch.equal(found[:, : asked.shape[1]], asked):
            found = found[:, asked.shape[1] :]
        return [str(text) for text in self._tokenizer.batch_decode(found, skip_special_tokens=True)]

    def _wrapped(self, prompt: str) -> str:
        if not self._template:
            return prompt
        turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
        wrapped: str = self._processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        return wrapped


class ServiceCaptioner(_KeepingCaptioner):
    """An OpenAI-compatible `/chat/completions` service that reads pictures. Answers are paid for once.

    Args:
        spec: See `Endpoint`.
        cache_dir: Folder of the cache of answers; None for the user's cache folder.
        max_new_tokens: For the estimate of the cost. A service is not told, since its models differ in what they accept;
            the prompt should say how long an answer is wanted.
        attempts, backoff_s, timeout_s, parallel, per_minute: See `Service`.
    """

    def __init__(
        self,
        spec: str,
        *,
        cache_dir: str | Path | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        attempts: int = 6,
        backoff_s: float = 1.0,
        timeout_s: float = 120.0,
        parallel: int = 4,
        per_minute: float | None = None,
    ) -> None:
        self._endpoint = Endpoint.parse(spec, CAPTIONER.what, embeds=False)
        self._service = Service(
            self._endpoint,
            attempts=attempts,
            backoff_s=backoff_s,
            timeout_s=timeout_s,
            parallel=parallel,
            per_minute=per_minute,
        )
        self._max_new_tokens, self._refused = max_new_tokens, 0
        self.follows_prompts = True
        super().__init__(
            self._endpoint.model, f"openai-vision|{self._endpoint.model}|{self._endpoint.base_url}", cache_dir
        )

    def estimate(self, images: Sequence[Picture], prompts: Sequence[str]) -> CostEstimate:
        """See `Captioner.estimate`. What is written is counted in full length, at the same price."""
        jobs = {job.key: job for job in self._jobs(images, prompts, Progress())}
        known = self._cache.known(self.identity, list(jobs))
        return self._estimate(images, [job for key, job in jobs.items() if key not in known], len(images), len(jobs))

    def _announce(
        self, images: Sequence[Picture], missing: list[_Job], given: int, unique: int, progress: Progress
    ) -> None:
        estimate = self._estimate(images, missing, given, unique)
        progress.log("info", f"Captioner {self.name}: {estimate.describe()}")

    def _estimate(self, images: Sequence[Picture], missing: list[_Job], given: int, unique: int) -> CostEstimate:
        tokens = sum(approximate_tokens(job.prompt) + _picture_tokens(images[job.place]) for job in missing)
        price = self._endpoint.priced(None)
        paid = tokens + len(missing) * self._max_new_tokens
        cost = 0.0 if not missing else None if price is None else paid * price / 1e6
        return CostEstimate(given, unique, unique - len(missing), tokens, len(missing), cost, "pictures")

    def _write(
        self,
        images: Sequence[Picture],
        jobs: list[_Job],
        keep: Callable[[_Job, str], None],
        meter: Meter,
        progress: Progress,
    ) -> None:
        refusals: list[RequestRefusedError] = []

        def ask(job: _Job, call: Call) -> None:
            image = {"type": "image_url", "image_url": {"url": _data_url(images[job.place])}}
            content = [{"type": "text", "text": job.prompt}, image]
            try:
                answer = call(
                    self._service.client.chat.completions.create,
                    model=self._endpoint.model,
                    messages=[{"role": "user", "content": content}],
                )
            except RequestRefusedError as error:
                refusals.append(error)
            else:
                # Kept before it counts: what was paid for is never lost.
                keep(job, answered_words(answer, self._service.where))

        for _ in self._service.answers(jobs, ask, progress):
            meter.advance()
        if len(refusals) == len(jobs):
            raise refusals[0]
        if refusals:
            progress.log("warning", refusals[0].message)
            self._refused += len(refusals)
            said = f"{self._service.where} refused to describe"
            self.notes[:] = [note for note in self.notes if not note.startswith(said)]
            self.notes.append(f"{said} {self._refused:,} pictures; a new run asks for them again.")


def _pillow(image: Picture) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))


def _data_url(image: Picture) -> str:
    buffer = io.BytesIO()
    _pillow(image).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _picture_tokens(image: Picture) -> int:
    tiles = math.ceil(image.shape[1] / _TILE_PX) * math.ceil(image.shape[2] / _TILE_PX)
    return int(_PICTURE_TOKENS + _TILE_TOKENS * tiles)

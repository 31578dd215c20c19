"""Language models that write: prompts in, texts out.

Any Hugging Face model that writes (causal or with encoder and decoder) comes by id or folder; any OpenAI-compatible
chat service comes by address. Both write without chance, so that a prompt has one answer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from urbanfm_core.errors import ConfigError, InputError, RemoteError
from urbanfm_core.models.answer_cache import AnswerCache, cache_path
from urbanfm_core.models.batches import Batches
from urbanfm_core.models.service import SERVICE_PREFIX, Call, CostEstimate, Endpoint, Service, approximate_tokens
from urbanfm_core.models.text import unique_texts
from urbanfm_core.models.text_source import Role, check_vocabulary, find_model, load_tokenizer, load_weights, read_json
from urbanfm_core.progress import Meter, Progress

LANGUAGE_MODEL = Role(
    "language model",
    "Use an id such as owner/name or owner/name@revision, an existing folder, or openai:MODEL@BASE_URL.",
    "or use the descriptions 'template'",
)
WRITING_BATCH = 8
MAX_NEW_TOKENS = 200


class TextGenerator(Protocol):
    """What every writing model offers.

    Attributes:
        identity: Model and version, and how it writes.
        notes: What a report should mention about it.
    """

    identity: str
    notes: list[str]

    def fits(self, prompt: str) -> bool:
        """Whether the model can read the whole prompt and still write."""

    def generate(self, prompts: Sequence[str], progress: Progress | None = None) -> list[str]:
        """The answers in the order of the prompts, white space tidied; empty where the model wrote nothing.

        Equal prompts are asked once.

        Raises:
            InputError: a prompt is empty, or too long for the model.
            Cancelled: the user asked to stop.
        """


def load_text_generator(
    spec: str,
    *,
    cache_dir: str | Path | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    allow_remote: bool = True,
) -> TextGenerator:
    """The writing model that `spec` names.

    Args:
        spec: A folder written by `save_pretrained`, a Hugging Face id with `@revision` if wanted, or
            `openai:MODEL@BASE_URL` (the address may be left out; `?price=` may follow it).
        cache_dir: Where downloads (hub) and paid answers (service) are kept; None for the user's cache folder.
        device: Torch device of a local model.
        batch_size: Prompts at once of a local model; halved where memory runs out.
        max_new_tokens: Most tokens that a local model writes per prompt. A service is not told, since its models differ
            in what they accept; the prompt should say how long an answer is wanted.
        allow_remote: Whether a service may be used; False for a spec that the user did not name.

    Raises:
        ConfigError: the spec is malformed, names nothing loadable, or names a service that is not allowed.
        MissingDependencyError: the package that the spec needs is not installed.
        RemoteError: the hub cannot be reached.
    """
    spec = spec.strip()
    if spec.startswith(SERVICE_PREFIX):
        if not allow_remote:
            raise ConfigError(
                f"The language model '{spec}' is a service on the network, and it was not you who named it.",
                "Name it yourself if names and categories of places and your key may be sent there.",
            )
        return ChatGenerator(spec, cache_dir=cache_dir)
    return LocalGenerator(
        spec,
        cache_dir=cache_dir,
        device=device,
        batch_size=batch_size or WRITING_BATCH,
        max_new_tokens=max_new_tokens,
    )


class LocalGenerator:
    """A transformers model on this machine, which always writes the likeliest next token.

    Prompts go through the model's own chat template where it has one.
    """

    def __init__(
        self, spec: str, *, cache_dir: str | Path | None, device: str, batch_size: int, max_new_tokens: int
    ) -> None:
        source = find_model(spec, cache_dir, LANGUAGE_MODEL)
        self.notes = list(source.notes)
        self._seq2seq = bool(read_json(source.folder / "config.json").get("is_encoder_decoder"))
        auto = "AutoModelForSeq2SeqLM" if self._seq2seq else "AutoModelForCausalLM"
        self._tokenizer = load_tokenizer(source.folder, spec, LANGUAGE_MODEL)
        # In the number format of the file: these models are large.
        self._model = load_weights(source.folder, spec, LANGUAGE_MODEL, auto=auto, dtype="auto")
        check_vocabulary(self._tokenizer, self._model, spec, LANGUAGE_MODEL)
        self._device = torch.device(device)
        self._model.to(self._device).eval().requires_grad_(False)
        # A causal model goes on where the row ends, so padding stands before the prompt.
        self._tokenizer.padding_side = "right" if self._seq2seq else "left"
        self._settings = greedy_settings(self._model, self._tokenizer, max_new_tokens)
        positions = getattr(self._model.config, "max_position_embeddings", None) or self._tokenizer.model_max_length
        self._limit = int(min(positions, self._tokenizer.model_max_length)) - (0 if self._seq2seq else max_new_tokens)
        if self._limit < 1:
            raise ConfigError(
                f"The language model '{spec}' takes {positions} tokens, too few to read and then write {max_new_tokens}.",
                "Use a model with a longer context.",
            )
        self._batches = Batches(self._device, batch_size, self.notes, doing="writing", noun="text")
        self.identity = f"{source.label}|greedy|max_new_tokens={max_new_tokens}"

    def fits(self, prompt: str) -> bool:
        """See `TextGenerator.fits`."""
        return len(self._tokenize(prompt)) <= self._limit

    def generate(self, prompts: Sequence[str], progress: Progress | None = None) -> list[str]:
        """See `TextGenerator.generate`. Batches hold prompts of like length."""
        progress = progress or Progress()
        unique, inverse = unique_texts(prompts)
        tokens = [self._tokenize(prompt) for prompt in unique]
        for prompt, ids in zip(unique, tokens, strict=True):
            if len(ids) > self._limit:
                raise InputError(
                    f"A prompt of {len(ids)} tokens is too long for the language model, which reads {self._limit}: "
                    f"'{prompt[:80]} ...'.",
                    "Shorten the prompt, or use a model with a longer context.",
                )
        order = sorted(range(len(unique)), key=lambda i: len(tokens[i]))
        answers = [""] * len(unique)
        meter = Meter(progress, "texts", len(unique))

        def write(part: slice) -> None:
            progress.check()
            chosen = order[part]
            for i, text in zip(chosen, self._write([tokens[i] for i in chosen]), strict=True):
                answers[i] = text
            meter.advance(len(chosen))

        self._batches.run(len(order), write)
        return [answers[i] for i in inverse]

    def _tokenize(self, prompt: str) -> list[int]:
        if self._tokenizer.chat_template:
            turn = [{"role": "user", "content": prompt}]
            prompt = self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            return list(self._tokenizer(prompt, add_special_tokens=False, truncation=False)["input_ids"])
        return list(self._tokenizer(prompt, truncation=False)["input_ids"])

    def _write(self, tokens: list[list[int]]) -> list[str]:
        batch = self._tokenizer.pad({"input_ids": tokens}, return_tensors="pt").to(self._device)
        found = self._model.generate(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], generation_config=self._settings
        )
        written = found if self._seq2seq else found[:, batch["input_ids"].shape[1] :]
        return [tidy(text) for text in self._tokenizer.batch_decode(written, skip_special_tokens=True)]


def greedy_settings(model: Any, tokenizer: Any, max_new_tokens: int) -> Any:
    """A model's own settings for writing, but without chance: always the likeliest next token."""
    settings = copy.deepcopy(model.generation_config)
    for name in ("temperature", "top_p", "top_k", "typical_p", "min_p"):
        setattr(settings, name, None)
    settings.do_sample, settings.num_beams = False, 1
    settings.max_length, settings.max_new_tokens = None, max_new_tokens
    settings.pad_token_id = tokenizer.pad_token_id
    return settings


class ChatGenerator:
    """An OpenAI-compatible `/chat/completions` service. Answers are kept as they come and paid for once.

    Args:
        spec: See `Endpoint`.
        cache_dir: Folder of the cache of answers; None for the user's cache folder.
        attempts, backoff_s, timeout_s, parallel: See `Service`.
    """

    def __init__(
        self,
        spec: str,
        *,
        cache_dir: str | Path | None = None,
        attempts: int = 6,
        backoff_s: float = 1.0,
        timeout_s: float = 120.0,
        parallel: int = 4,
    ) -> None:
        self.notes: list[str] = []
        self._endpoint = Endpoint.parse(spec, LANGUAGE_MODEL.what, embeds=False)
        self._service = Service(
            self._endpoint, attempts=attempts, backoff_s=backoff_s, timeout_s=timeout_s, parallel=parallel
        )
        self._cache = AnswerCache(cache_path(cache_dir))
        self.identity = f"openai-chat|{self._endpoint.model}|{self._endpoint.base_url}"

    def fits(self, prompt: str) -> bool:
        """See `TextGenerator.fits`; of a service only it knows, and it says so when asked."""
        return True

    def estimate(self, prompts: Sequence[str]) -> CostEstimate:
        """What asking the prompts would send and, for what is sent, cost; what is written costs too."""
        unique, _ = unique_texts(prompts)
        known = self._cache.known(self.identity, unique)
        tokens = sum(approximate_tokens(prompt) for prompt in unique if prompt not in known)
        requests, price = len(unique) - len(known), self._endpoint.priced(None)
        cost = 0.0 if not requests else None if price is None else tokens * price / 1e6
        return CostEstimate(len(prompts), len(unique), len(known), tokens, requests, cost)

    def generate(self, prompts: Sequence[str], progress: Progress | None = None) -> list[str]:
        """See `TextGenerator.generate`. Says what it will send before it starts.

        Raises:
            RemoteError: the service refused, or did not answer in time, or answered nonsense. What came before is
                in the cache.
        """
        progress = progress or Progress()
        unique, inverse = unique_texts(prompts)
        progress.check()
        answers = {
            prompt: kept.decode() for prompt, kept in self._cache.load(self.identity, unique) if kept is not None
        }
        missing = [prompt for prompt in unique if prompt not in answers]
        progress.log("info", f"Language model {self._endpoint.model}: {self.estimate(unique).describe()}")
        meter = Meter(progress, "texts", len(unique))
        meter.advance(len(unique) - len(missing))
        for prompt, text in self._service.answers(missing, self._ask, progress):
            answers[prompt] = text
            meter.advance()
        return [answers[unique[i]] for i in inverse]

    def _ask(self, prompt: str, call: Call) -> str:
        """One answer, which is kept before it is used."""
        answer = call(
            self._service.client.chat.completions.create,
            model=self._endpoint.model,
            messages=[{"role": "user", "content": prompt}],
        )
        text = answered_words(answer, self._service.where)
        self._cache.save(self.identity, [prompt], [text.encode()])
        return text


def answered_words(answer: Any, where: str) -> str:
    """What a chat service wrote, white space tidied.

    Raises:
        RemoteError: its answer holds no message.
    """
    choices = list(getattr(answer, "choices", None) or [])
    message = getattr(choices[0], "message", None) if choices else None
    if message is None:
        raise RemoteError(f"{where} gave an answer without a message.")
    return tidy(str(message.content or ""))


def tidy(text: str) -> str:
    """A text with single blanks for all white space."""
    return " ".join(text.split())

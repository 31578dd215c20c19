"""What tests of captions need: a service on loopback that fails, counts and remembers, and tiny models."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from serving import Answer, Request, answering, chat_answer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[BOS]", "<image>", "USER", ":", "a", "street", "with", "trees", "houses"]
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}


def describe_colour(pixels: np.ndarray) -> str:
    """What the service of the tests says: the mean colour, so that each picture has its own caption."""
    return f"A place of colour {' '.join(str(round(value)) for value in pixels.mean((0, 1)))}."


@dataclass
class VisionService:
    """What the service was asked, and what it is told to do.

    Attributes:
        failures: Status, headers and content that are answered first, one a request.
        hang_after: Requests from this one on hang until the test ends; None for never.
        answer: What it says of a picture, (H, W, 3) uint8.
        anew: What it writes where it is asked to write anew, from the prompt; None for what it says of the picture.
    """

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    failures: list[Answer] = field(default_factory=list)
    hang_after: int | None = None
    answer: Callable[[np.ndarray], str] = describe_colour
    anew: Callable[[str], str] | None = None
    on_request: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def spec(self) -> str:
        return f"openai:seer@{self.url}"

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"][0]["text"] for body in self.bodies]


@contextmanager
def serving() -> Iterator[VisionService]:
    """A service that runs while the block does."""
    state = VisionService()

    def answer(request: Request) -> Answer:
        with state.lock:
            state.keys.append(request.key)
            state.times.append(time.monotonic())
            state.bodies.append(request.body)
            failure = state.failures.pop(0) if state.failures else None
            hangs = state.hang_after is not None and len(state.bodies) > state.hang_after
        state.on_request()
        if hangs:
            state.closing.wait(30)
        if failure is not None:
            return failure
        asked, shown = request.body["messages"][0]["content"]
        picture = Image.open(io.BytesIO(base64.b64decode(shown["image_url"]["url"].split(",", 1)[1])))
        merges = state.anew is not None and "Write the description anew" in asked["text"]
        return chat_answer(state.anew(asked["text"]) if merges else state.answer(np.asarray(picture)), "seer")

    with answering(answer) as state.url:
        try:
            yield state
        finally:
            state.closing.set()


def tokenizer(**more: Any) -> Any:
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, **named, bos_token="[BOS]", eos_token="[SEP]", **more
    )


def tiny_blip(folder: Path, seed: int = 0) -> Path:
    """A captioner that only describes, with random weights."""
    torch.manual_seed(seed)
    text = {
        **{name: _VISION[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers")},
        "num_attention_heads": 2,
        "vocab_size": len(WORDS),
        "encoder_hidden_size": 16,
        "projection_dim": 8,
        "max_position_embeddings": 32,
        "bos_token_id": 4,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "pad_token_id": 0,
    }
    config = transformers.BlipConfig(text_config=text, vision_config=dict(_VISION), projection_dim=8)
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    pictures = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    transformers.BlipProcessor(pictures, tokenizer()).save_pretrained(folder)
    return folder


def tiny_llava(folder: Path, seed: int = 0) -> Path:
    """A captioner that follows a prompt in a chat, with random weights."""
    torch.manual_seed(seed)
    text = transformers.LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=4,
        eos_token_id=3,
        pad_token_id=0,
    )
    vision = transformers.CLIPVisionConfig(**{**_VISION, "num_hidden_layers": 2})
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_id=5, vision_feature_layer=-1)
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    template = (
        "{% for m in messages %}USER : {% for c in m['content'] %}{% if c['type'] == 'image' %}<image> {% else %}"
        "{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}:"
    )
    pictures = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    transformers.LlavaProcessor(
        pictures,
        tokenizer(extra_special_tokens={"image_token": "<image>"}),
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)
    return folder


def tiny_pair(folder: Path, seed: int = 0) -> Path:
    """A captioner put together from an image encoder and a language model, which has no processor of its own."""
    torch.manual_seed(seed)
    encoder = transformers.ViTConfig(**_VISION)
    decoder = transformers.GPT2Config(
        vocab_size=len(WORDS), n_embd=16, n_layer=1, n_head=2, n_positions=16, bos_token_id=4, eos_token_id=3
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    model = transformers.VisionEncoderDecoderModel(config=config)
    for settings in (model.config, model.generation_config):
        settings.decoder_start_token_id, settings.pad_token_id = 4, 0
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder

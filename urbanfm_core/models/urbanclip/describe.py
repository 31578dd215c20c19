"""Captions that a trained network writes about the pictures of regions (Zhong et al. 2024, section 4.5; CoCa).

Words are chosen by beam search, or drawn from the nucleus of likely ones. No run of words is written twice, which small
networks otherwise do without end. What was computed for the words before is kept, so each step reads one word.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.image_store import ImageStatistics
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.batches import Batches
from urbanfm_core.models.exchange import RegionTexts, Trained
from urbanfm_core.models.image_text import CaptionTokenizer, Pictures, plain
from urbanfm_core.models.image_text.tokens import PAD
from urbanfm_core.models.urbanclip.layers import KeyValues
from urbanfm_core.models.urbanclip.method import trained_pictures
from urbanfm_core.models.urbanclip.network import UrbanClipModel
from urbanfm_core.progress import Progress

_BATCH = {"cpu": 8, "cuda": 64, "mps": 16}
_PARTITION = 512
_NEVER = float("-inf")


@dataclass(frozen=True)
class Writing:
    """How captions are written.

    Attributes:
        beams: Texts that are followed side by side; 1 takes the likeliest word each time.
        nucleus: Draw each word from the likeliest ones that together are so probable, in (0, 1]; 0 for beam search.
        temperature: Evens out (above 1) or sharpens (below 1) what is drawn from.
        repeats: Runs of so many words are written once only; 0 allows all.
        shortest, longest: Words of a caption in tokens; `longest` 0 for as many as the network reads.
        length_power: Texts are compared by their log-likelihood over length to this power.
        seed: For what is drawn.
    """

    beams: int = 4
    nucleus: float = 0.0
    temperature: float = 1.0
    repeats: int = 3
    shortest: int = 3
    longest: int = 0
    length_power: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("beams", 1), ("repeats", 0), ("shortest", 0), ("longest", 0)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name} must be at least {low}, found {getattr(self, name)!r}.")
        if not 0 <= self.nucleus <= 1 or not self.temperature > 0:
            raise ConfigError(
                f"nucleus must lie in [0, 1] and temperature above 0, found {self.nucleus!r} and {self.temperature!r}."
            )


def describe(
    trained: Trained,
    city: CityInputs,
    regions: RegionSet,
    store: SampleStore,
    progress: Progress,
    writing: Writing | None = None,
) -> RegionTexts:
    """What a trained network says of the picture of each region.

    Args:
        trained: Network that learned to write captions.
        city: Needs imagery.
        regions: R regions in any CRS.
        store: Keeps pictures and finished captions; must belong to this network, imagery and regions.
        progress: Reports and cancels.
        writing: How; None for beam search.
    Raises:
        ConfigError: the network did not learn to write.
        CheckpointError: the checkpoint does not hold or name its tokenizer.
    """
    writing = writing or Writing()
    trained.model.require_decoder()  # type: ignore[operator]
    tokenizer = CaptionTokenizer.of(trained.preprocessing)
    pictures, statistics = trained_pictures(trained, replace(city, regions=regions), store, progress.part(0.0, 0.2))
    digest = hashlib.sha256(json.dumps([asdict(writing), trained.precision]).encode()).hexdigest()[:12]
    texts = [""] * pictures.regions
    order = np.flatnonzero(pictures.images.has_image)
    parts = [order[start : start + _PARTITION] for start in range(0, len(order), _PARTITION)]
    for number, rows in enumerate(progress.part(0.2, 1.0).track(parts, "partitions")):
        name = f"captions/{digest}/{number:05d}"
        if not store.has(name):
            written = _write_partition(trained, pictures, statistics, rows, tokenizer, writing, progress)
            store.save(name, json=np.frombuffer(json.dumps(written).encode(), np.uint8))
        for row, text in zip(rows.tolist(), json.loads(store.load(name)["json"].tobytes()), strict=True):
            texts[row] = text
    notes = list(pictures.notes)
    silent = len(texts) - sum(map(bool, texts))
    if silent:
        notes.append(f"{silent:,} of {len(texts):,} regions have no caption, for want of a picture or of words.")
    return RegionTexts(texts, notes)


def _write_partition(
    trained: Trained,
    pictures: Pictures,
    statistics: ImageStatistics,
    rows: NDArray[np.int64],
    tokenizer: CaptionTokenizer,
    writing: Writing,
    progress: Progress,
) -> list[str]:
    """Captions of some pictures."""
    written: list[str] = [""] * len(rows)
    model: Any = trained.model

    def one(part: slice) -> None:
        progress.check()
        images = torch.from_numpy(pictures.take(rows[part], statistics)).to(trained.device)
        with trained.arithmetic():
            ids = write(model, plain(images, statistics), tokenizer.start, tokenizer.end, writing)
        written[part] = [tokenizer.decode(text) for text in ids.tolist()]

    at_once = trained.batch_size or _BATCH[trained.device.type]
    Batches(trained.device, at_once, trained.notes, doing="describing", noun="picture").run(len(rows), one)
    return written


def write(model: UrbanClipModel, images: Tensor, start: int, end: int, writing: Writing) -> Tensor:
    """Token ids of a caption for each image, (B, T) int64: start, words, end, padding.

    Args:
        model: The network.
        images: (B, 3, H, W), as the network reads them.
        start, end: Ids around a text.
        writing: How.
    Raises:
        ConfigError: the network did not learn to write.
    """
    beams = 1 if writing.nucleus else writing.beams
    _, seen = model.encode_images(images)
    reader = _Reader(model, seen.repeat_interleave(beams, 0))
    count, longest = len(images), model.config.context_length
    longest = min(longest, writing.longest + 2) if writing.longest else longest
    texts = torch.full((count * beams, 1), start, device=images.device)
    ended = torch.zeros(count * beams, dtype=torch.bool, device=images.device)
    score = torch.zeros(count, beams, device=images.device)
    # All beams begin alike, so that only the first may branch.
    score[:, 1:] = _NEVER
    length = torch.zeros(count * beams, device=images.device)
    generator = torch.Generator().manual_seed(writing.seed)
    while texts.shape[1] < longest and not bool(ended.all()):
        logits = reader.read(texts[:, -1:]).float()
        _forbid(logits, texts, start, end, writing, last=texts.shape[1] == longest - 1)
        # An ended text goes on with padding, which costs nothing.
        logits[ended] = _NEVER
        logits[ended, PAD] = 0.0
        if writing.nucleus:
            chosen = _drawn(logits / writing.temperature, writing.nucleus, generator)
            texts = torch.cat([texts, chosen[:, None]], 1)
            ended = ended | (chosen == end)
            continue
        total = score[:, :, None] + logits.log_softmax(-1).view(count, beams, -1)
        longer = (length + ~ended).view(count, beams, 1).clamp(min=1)
        best = (total / longer**writing.length_power).flatten(1).topk(beams).indices
        words = logits.shape[-1]
        rows = (best // words + torch.arange(count, device=best.device)[:, None] * beams).flatten()
        chosen = (best % words).flatten()
        score = total.flatten(1).gather(1, best)
        reader.choose(rows)
        length, ended = (length + ~ended)[rows], ended[rows] | (chosen == end)
        texts = torch.cat([texts[rows], chosen[:, None]], 1)
    ranked = (score / length.view(count, beams).clamp(min=1) ** writing.length_power).argmax(1)
    return texts.view(count, beams, -1)[torch.arange(count, device=texts.device), ranked]


class _Reader:
    """Reads texts word by word; keeps what it knows of those before."""

    def __init__(self, model: UrbanClipModel, image: Tensor) -> None:
        self._model, self._image, self._place = model, image, 0
        text, decoder = model.require_decoder()
        self._text, self._decoder = text, decoder
        self._read = [KeyValues() for _ in text.blocks]
        self._known = [KeyValues() for _ in range(2 * len(decoder.blocks))]

    def read(self, words: Tensor) -> Tensor:
        """Logits of the word after these, (N, 1) -> (N, V)."""
        tokens = self._text.next_tokens(words, self._place, self._read)
        self._place += 1
        logits: Tensor = self._decoder.words(self._decoder(tokens, self._image, self._known)[:, -1])
        return logits

    def choose(self, rows: Tensor) -> None:
        """Go on with these texts; each is followed by one of the same image."""
        for cache in (*self._read, *self._known[::2]):
            cache.choose(rows)


def _forbid(logits: Tensor, texts: Tensor, start: int, end: int, writing: Writing, *, last: bool) -> None:
    """Take what must not be written out of the logits, (N, V), in place."""
    kept = logits[:, end].clone()
    logits[:, [PAD, start]] = _NEVER
    size = writing.repeats
    if size and texts.shape[1] >= size:
        runs = texts.unfold(1, size, 1)
        same = (runs[:, :, :-1] == texts[:, None, texts.shape[1] - size + 1 :]).all(2)
        row, place = same.nonzero(as_tuple=True)
        logits[row, runs[row, place, -1]] = _NEVER
    if last:
        logits.fill_(_NEVER)
    logits[:, end] = _NEVER if texts.shape[1] - 1 < writing.shortest and not last else kept


def _drawn(logits: Tensor, nucleus: float, generator: torch.Generator) -> Tensor:
    """A word of each row, (N,), drawn from the likeliest ones that together have the share `nucleus`."""
    shares, words = logits.softmax(-1).sort(descending=True)
    shares[shares.cumsum(-1) - shares > nucleus] = 0
    # On the CPU, so that every device draws the same.
    place = torch.multinomial(shares.cpu(), 1, generator=generator).to(words.device)
    return words.gather(1, place)[:, 0]

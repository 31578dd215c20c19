"""ReFound's vectors of regions, beside BERT and ViT of equal size in the plain loop that a user of transformers writes.

BERT reads the same words, ViT the same pictures; each has ReFound's width, depth and heads. Their weights are random,
as ours, so nothing but shapes and finite values can be compared with ours; two ways to pad, or two number formats of the
same network, are compared value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Mismatch, Output, Setting, require_close
from tests.benchmarks.tokens import CATEGORIES, GRID, MAX_TOKENS, WORDS, read_sequences, write_sequences

IMAGE, PATCH = 256, 16
MEAN, STD = (0.45,) * 3, (0.25,) * 3
TOLERANCE = 1e-4
LEAST_COSINE = 0.999


@dataclass(frozen=True)
class Size:
    """Regions at scale 1, how many of them are computed at once, and the network."""

    regions: int
    batch: int
    width: int
    layers: int
    heads: int


def make(size: Size) -> Callable[[Path, float, int], None]:
    """Sequences as in `tokens`, and a picture for each, in squares of random colour with grain."""

    def write(folder: Path, scale: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        regions = max(2, round(size.regions * scale))
        write_sequences(folder, regions, rng)
        coarse = rng.integers(30, 220, (regions, 3, IMAGE // PATCH, IMAGE // PATCH), np.uint8)
        rgb = coarse.repeat(PATCH, axis=2).repeat(PATCH, axis=3)
        rgb += rng.integers(0, 30, rgb.shape, np.uint8)
        np.save(folder / "rgb.npy", rgb)

    return write


def ours(size: Size, precision: Any, points: bool) -> Callable[[Setting], Callable[[], Output]]:
    """As `ReFound.embed` does once layers are read and pictures stored."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import torch

        from urbanfm_core.data.image_store import ImageStatistics, StoredImages
        from urbanfm_core.models.batches import Batches
        from urbanfm_core.models.exchange import Trained
        from urbanfm_core.models.refound.compute import compute_vectors
        from urbanfm_core.models.refound.config import RefoundConfig
        from urbanfm_core.models.refound.network import RefoundModel
        from urbanfm_core.models.refound.samples import RegionInputs
        from urbanfm_core.progress import Progress

        rgb = np.load(setting.inputs / "rgb.npy")
        count = len(rgb)
        valid = np.full((count, IMAGE, IMAGE // 8), 255, np.uint8)
        part, place = np.zeros(count, np.int64), np.arange(count)
        images = StoredImages(IMAGE, np.ones(count), np.ones((3, 3)), [rgb], [valid], part, place)
        sequences = read_sequences(setting.inputs)
        if not points:
            sequences = _cls_only(sequences)
        inputs = RegionInputs(sequences, images, ImageStatistics(MEAN, STD), PATCH)
        torch.manual_seed(0)
        model = RefoundModel(
            RefoundConfig(
                vocab_size=WORDS,
                categories=CATEGORIES,
                hidden_size=size.width,
                layers=size.layers,
                heads=size.heads,
                intermediate_size=4 * size.width,
                grid=GRID,
                max_tokens=MAX_TOKENS,
                image_size=IMAGE,
                patch_size=PATCH,
                visual_vocab_size=0,
                mgdm=False,
                cmsa=False,
            )
        )
        model.eval().requires_grad_(False)
        trained = Trained(model.config, model, {}, torch.device("cpu"), precision=precision)

        def work() -> Output:
            rows = inputs.by_length()
            batches = Batches(trained.device, size.batch, [], doing="embedding", noun="region")
            vectors = np.empty((count, size.width), np.float32)
            vectors[rows] = compute_vectors(trained, inputs, rows, batches, Progress())
            return Output(lambda: {"vectors": vectors})

        return work

    return prepare


def _cls_only(sequences: Any) -> Any:
    """Regions without points: each sequence is its first token."""
    arrays = sequences.to_arrays()
    first = arrays["starts"][:-1]
    kept = {name: values if name in ("starts", "sizes") else values[first] for name, values in arrays.items()}
    return type(sequences).from_arrays({**kept, "starts": np.arange(len(first) + 1)})


def plain_loop(size: Size, pad_to: int | None, points: bool) -> Callable[[Setting], Callable[[], Output]]:
    """BertModel and ViTModel, float32, in the order of the layer; `pad_to` tokens, or the longest of the batch."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import torch
        from transformers import BertConfig, BertModel, ViTConfig, ViTModel

        shape = {"hidden_size": size.width, "num_hidden_layers": size.layers, "num_attention_heads": size.heads}
        shape["intermediate_size"] = 4 * size.width
        torch.manual_seed(0)
        vit = ViTModel(ViTConfig(**shape, image_size=IMAGE, patch_size=PATCH), add_pooling_layer=False).eval()
        bert = BertModel(BertConfig(**shape, vocab_size=WORDS), add_pooling_layer=False).eval()
        rgb, sequences = np.load(setting.inputs / "rgb.npy"), read_sequences(setting.inputs)
        words = [
            sequences.tokens[a:b].astype(np.int64) for a, b in zip(sequences.starts, sequences.starts[1:], strict=False)
        ]
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))

        def read(part: slice) -> torch.Tensor:
            length = pad_to or max(map(len, words[part]))
            ids = torch.zeros(len(words[part]), length, dtype=torch.int64)
            for row, one in enumerate(words[part]):
                ids[row, : len(one)] = torch.from_numpy(one)
            return bert(input_ids=ids, attention_mask=(ids > 0).long()).last_hidden_state[:, 0]

        def work() -> Output:
            found = []
            with torch.inference_mode():
                for start in range(0, len(rgb), size.batch):
                    part = slice(start, start + size.batch)
                    pixels = (torch.from_numpy(rgb[part]).float() / 255 - mean) / std
                    seen = vit(pixel_values=pixels).last_hidden_state[:, 0]
                    found.append((seen + read(part)) / 2 if points else seen)
            vectors = torch.cat(found).numpy()
            return Output(lambda: {"vectors": vectors})

        return work

    return prepare


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Ours among each other by cosine, theirs by value, and both by shape; other weights give other values."""
    groups: dict[bool, np.ndarray] = {}
    words = {}
    for name, arrays in outputs.items():
        vectors, is_ours = arrays["vectors"], name.startswith("ours")
        if not np.isfinite(vectors).all():
            raise Mismatch(f"{name}: {int((~np.isfinite(vectors)).sum())} values are not finite.")
        if is_ours not in groups:
            groups[is_ours] = vectors
            said = "reference of its weights"
        elif is_ours:
            said = f"least cosine to float32 {_least_cosine(name, vectors, groups[True]):.6f}"
        else:
            said = require_close(name, vectors, groups[False], TOLERANCE)
        words[name] = f"{len(vectors)} x {vectors.shape[1]}, finite, {said}"
    shapes = {vectors.shape for vectors in groups.values()}
    if len(shapes) > 1:
        raise Mismatch(f"Shapes differ: {sorted(shapes)}.")
    return words


def _least_cosine(name: str, found: np.ndarray, expected: np.ndarray) -> float:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    least = float(((found * expected).sum(axis=1) / lengths).min())
    if not least >= LEAST_COSINE:
        raise Mismatch(
            f"{name}: a vector has the cosine {least:.6f} to that in float32; at least {LEAST_COSINE} is due."
        )
    return least


def _regions(size: Size) -> Case:
    longest, batch = "BERT + ViT, padded to 512", "BERT + ViT, padded to batch"
    contenders = {
        "ours float32": Contender(ours(size, "float32", True), "ours"),
        "ours bfloat16": Contender(ours(size, "bfloat16", True), "ours"),
        longest: Contender(plain_loop(size, MAX_TOKENS, True), "peer"),
        batch: Contender(plain_loop(size, None, True), "peer"),
    }
    goals = (Goal("ours float32", longest, 1 / 2), Goal("ours bfloat16", longest, 1 / 2))
    return Case(f"points and pictures of {size.regions} regions, {size}", make(size), contenders, compare, goals)


def _images(size: Size) -> Case:
    contenders = {
        "ours float32": Contender(ours(size, "float32", False), "ours"),
        "ours bfloat16": Contender(ours(size, "bfloat16", False), "ours"),
        "ViT": Contender(plain_loop(size, None, False), "peer"),
    }
    goals = (Goal("ours bfloat16", "ViT", 1 / 3),)
    return Case(f"pictures of {size.regions} regions, {size}", make(size), contenders, compare, goals)


CASES = {
    "regions": _regions(Size(regions=64, batch=16, width=256, layers=8, heads=4)),
    # Few regions, in small batches: there must be several, or there is nothing to sort.
    "regions, published size": _regions(Size(regions=16, batch=4, width=768, layers=12, heads=12)),
    "images, ViT-B": _images(Size(regions=16, batch=16, width=768, layers=12, heads=12)),
}

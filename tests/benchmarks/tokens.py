"""ReFound's network over sequences of points of very unequal length, beside ways to batch them that pad more.

All contenders run the same network with the same weights on the same regions, without images, which would hide the
padding; what differs is which regions share a batch, and how far these are padded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Output, Setting, require_close

if TYPE_CHECKING:
    from urbanfm_core.models.refound.network import RefoundModel
    from urbanfm_core.models.refound.samples import RegionInputs
    from urbanfm_core.models.refound.sequence import RegionSequences

REGIONS, BATCH = 256, 16
MAX_TOKENS, WORDS, CATEGORIES, GRID = 512, 4000, 60, 16
# A network of a size that a laptop trains.
WIDTH, LAYERS, HEADS, INNER = 192, 4, 6, 768
# Tokens of a region: a log-normal distribution cut at the longest sequence. New York's census tracts with the public
# points of interest have a median of 53, a deviation of the logarithm of 0.99, and 3 in 797 of them are cut.
MEDIAN, SPREAD = 53.0, 0.99
TOKENS_PER_POI = 4
TOLERANCE = 1e-4


def region_count(base: int, scale: float) -> int:
    """Full batches only, since training leaves out what does not fill one."""
    return max(1, round(base * scale / BATCH)) * BATCH


def write_sequences(folder: Path, regions: int, rng: np.random.Generator) -> None:
    """Random words in sequences of skewed lengths; each point has a name of three tokens and a separator."""
    drawn = np.exp(rng.normal(np.log(MEDIAN), SPREAD, regions))
    lengths = np.clip(drawn.astype(np.int64), TOKENS_PER_POI + 1, MAX_TOKENS)
    starts = np.append(0, np.cumsum(lengths))
    total = int(starts[-1])
    # 0 for the CLS token, then from 1 on within the region.
    place = np.arange(total) - np.repeat(starts[:-1], lengths)
    named = place > 0
    poi = (place + TOKENS_PER_POI - 1) // TOKENS_PER_POI
    np.savez(
        folder / "sequences.npz",
        starts=starts,
        sizes=np.array([GRID, 0, 3]),
        tokens=np.where(named, rng.integers(5, WORDS, total), 2).astype(np.int32),
        word_position=np.where(named, (place - 1) % TOKENS_PER_POI, 0).astype(np.int32),
        poi_position=poi.astype(np.int32),
        grid_position=np.where(named, rng.integers(1, GRID**2 + 1, total), 0).astype(np.int32),
        category=np.where(named, rng.integers(1, CATEGORIES, total), 0).astype(np.int32),
        poi=(poi - 1).astype(np.int32),
        xy01=rng.random((total, 2), np.float32),
    )


def read_sequences(folder: Path) -> RegionSequences:
    from urbanfm_core.models.refound.sequence import RegionSequences

    with np.load(folder / "sequences.npz") as file:
        return RegionSequences.from_arrays(dict(file))


def make(base: int) -> Callable[[Path, float, int], None]:
    def write(folder: Path, scale: float, seed: int) -> None:
        write_sequences(folder, region_count(base, scale), np.random.default_rng(seed))

    return write


def _model() -> RefoundModel:
    """The same weights in every process. No dropout, so that vectors and gradients can be compared."""
    import torch

    from urbanfm_core.models.refound.config import RefoundConfig
    from urbanfm_core.models.refound.network import RefoundModel

    torch.manual_seed(0)
    return RefoundModel(
        RefoundConfig(
            vocab_size=WORDS,
            categories=CATEGORIES,
            hidden_size=WIDTH,
            layers=LAYERS,
            heads=HEADS,
            intermediate_size=INNER,
            shared_layers=1,
            grid=GRID,
            max_tokens=MAX_TOKENS,
            visual_vocab_size=0,
            dropout=0.0,
            mgdm=False,
            cmsa=False,
        )
    )


def _inputs(setting: Setting) -> RegionInputs:
    from urbanfm_core.data.image_store import ImageStatistics
    from urbanfm_core.models.refound.samples import RegionInputs

    return RegionInputs(read_sequences(setting.inputs), None, ImageStatistics((0.0,) * 3, (1.0,) * 3), 16)


def ours(setting: Setting) -> Callable[[], Output]:
    """As `ReFound.embed` does once layers are read: like lengths side by side."""
    import torch

    from urbanfm_core.models.batches import Batches
    from urbanfm_core.models.exchange import Trained
    from urbanfm_core.models.refound.compute import compute_vectors
    from urbanfm_core.progress import Progress

    inputs, model = _inputs(setting), _model()
    trained = Trained(model.config, model.eval().requires_grad_(False), {}, torch.device("cpu"))

    def work() -> Output:
        rows = inputs.by_length()
        batches = Batches(trained.device, BATCH, [], doing="embedding", noun="region")
        vectors = np.empty((len(inputs), WIDTH), np.float32)
        vectors[rows] = compute_vectors(trained, inputs, rows, batches, Progress())
        return Output(lambda: {"vectors": vectors})

    return work


def random_batches(length: int | None) -> Callable[[Setting], Callable[[], Output]]:
    """Regions in random order, padded to a length, or to the longest of the batch."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import torch

        sequences, model = read_sequences(setting.inputs), _model().eval().requires_grad_(False)

        def work() -> Output:
            vectors = np.empty((len(sequences), WIDTH), np.float32)
            with torch.inference_mode():
                for rows in _shuffled(len(sequences)):
                    vectors[rows] = model(_tensors(sequences, rows, length)).numpy()
            return Output(lambda: {"vectors": vectors})

        return work

    return prepare


def _shuffled(count: int) -> Iterator[np.ndarray]:
    order = np.random.default_rng(0).permutation(count)
    yield from order.reshape(-1, BATCH)


def _tensors(sequences: RegionSequences, rows: np.ndarray, length: int | None) -> dict:
    import torch

    arrays = {**sequences.batch(rows, length=length), "has_image": np.zeros(len(rows), bool)}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def our_steps(setting: Setting) -> Callable[[], Output]:
    """As the training loop draws batches: `RefoundSamples.arrange` of a random order."""
    from urbanfm_core.models.ordering import epoch_order
    from urbanfm_core.models.refound.samples import RefoundSamples

    samples = RefoundSamples(_inputs(setting), np.arange(len(read_sequences(setting.inputs))))

    def batches() -> Iterator[tuple[np.ndarray, dict]]:
        order = samples.arrange(epoch_order(len(samples), 0, 0), BATCH)
        for rows in order.reshape(-1, BATCH):
            yield rows.numpy(), samples.batch(rows)

    return _steps(len(samples), batches)


def random_steps(length: int | None) -> Callable[[Setting], Callable[[], Output]]:
    """Batches as in `random_batches`."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        sequences = read_sequences(setting.inputs)

        def batches() -> Iterator[tuple[np.ndarray, dict]]:
            for rows in _shuffled(len(sequences)):
                yield rows, _tensors(sequences, rows, length)

        return _steps(len(sequences), batches)

    return prepare


def _steps(count: int, batches: Callable[[], Iterator[tuple[np.ndarray, dict]]]) -> Callable[[], Output]:
    """Forward and backward over all batches. Gradients add up, so that they do not depend on who shares a batch."""
    import torch

    model = _model().train()
    targets = torch.randn((count, WIDTH), generator=torch.Generator().manual_seed(1)) / count

    def work() -> Output:
        model.zero_grad(set_to_none=True)
        vectors = np.empty((count, WIDTH), np.float32)
        for rows, batch in batches():
            found = model(batch)
            (found * targets[torch.from_numpy(rows)]).sum().backward()
            vectors[rows] = found.detach().numpy()

        def collect() -> Arrays:
            first, last = model.layers[0], model.layers[-1]
            named = {"words": model.pois.word, "first": first.qkv, "last": last.experts["shared"].contract}
            # In units of their own deviation: they differ by orders of magnitude.
            gradients = {name: layer.weight.grad.numpy() for name, layer in named.items()}
            return {"vectors": vectors, **{f"gradient of {name}": one / one.std() for name, one in gradients.items()}}

        return Output(collect)

    return work


def linear_layers(backward: bool) -> Callable[[Setting], Callable[[], Output]]:
    """The matrix products of all linear layers over the real tokens alone; no attention, which needs batches."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import torch

        lengths = np.sort(read_sequences(setting.inputs).length).reshape(-1, BATCH).sum(axis=1).tolist()
        torch.manual_seed(0)
        weights = [torch.randn(o, i) for i, o in [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, INNER), (INNER, WIDTH)]]
        widest = torch.randn(max(lengths), max(INNER, 3 * WIDTH))
        inner = {
            weight.shape[side]: widest[:, : weight.shape[side]].contiguous() for weight in weights for side in (0, 1)
        }

        def products(rows: int, weight: torch.Tensor) -> None:
            outputs, inputs = weight.shape
            torch.mm(inner[inputs][:rows], weight.t())
            if backward:
                torch.mm(inner[outputs][:rows].t(), inner[inputs][:rows])
                torch.mm(inner[outputs][:rows], weight)

        def work() -> Output:
            with torch.inference_mode():
                for tokens in lengths:
                    for layer in range(LAYERS):
                        # In the last layer, only the CLS tokens go on after keys and values.
                        for number, weight in enumerate(weights):
                            products(BATCH if layer == LAYERS - 1 and number else tokens, weight)
            return Output()

        return work

    return prepare


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Vectors region by region, and gradients, against ours."""
    words = {}
    for name, arrays in outputs.items():
        said = [f"{key} {require_close(name, arrays[key], outputs['ours'][key], TOLERANCE)}" for key in arrays]
        words[name] = "; ".join(said)
    return words


def _case(title: str, base: int, backward: bool) -> Case:
    mine, others = (our_steps, random_steps) if backward else (ours, random_batches)
    contenders = {
        "ours": Contender(mine, "ours"),
        "padded to the batch": Contender(others(None), "peer"),
        "padded to 512": Contender(others(MAX_TOKENS), "peer"),
        "linear layers": Contender(linear_layers(backward), "floor"),
    }
    return Case(title, make(base), contenders, compare, (Goal("ours", "padded to the batch", 1 / 2),))


CASES = {
    "forward": _case(f"{REGIONS} regions, batches of {BATCH}", REGIONS, False),
    "forward and backward": _case(f"{REGIONS // 2} regions, batches of {BATCH}", REGIONS // 2, True),
}

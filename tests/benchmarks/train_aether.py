"""Training AETHER at the published size: batches of 512, 64 bands, texts of 384, three passes over the points.

All start from the same windows and text vectors; what differs is the loop. The published script reads them from the
cache that its own first run writes.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
import types
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import numpy as np

from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Mismatch, Output, Setting, require_close

POINTS, BANDS, TEXT, HIDDEN, WIDTH, BATCH = 16_384, 64, 384, 256, 128, 512
EPOCHS = 3
TOPICS = 200
# Two trainings from different random weights end with losses that differ by so much at most.
LOSS_TOLERANCE = 0.05


def make(folder: Path, scale: float, seed: int) -> None:
    """Windows that tell something of the texts: both are noisy pictures of one of some topics."""
    rng = np.random.default_rng(seed)
    count = max(BATCH * 4, int(POINTS * scale))
    topic = rng.integers(TOPICS, size=count)

    def views(width: int, noise: float) -> np.ndarray:
        rows = rng.standard_normal((TOPICS, width), np.float32)[topic]
        rows += noise * rng.standard_normal(rows.shape, np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    base = views(BANDS, 0.7)
    augmented = base + 0.05 * rng.standard_normal(base.shape, np.float32)
    augmented /= np.linalg.norm(augmented, axis=1, keepdims=True)
    np.savez(folder / "samples.npz", base=base, augmented=augmented, text=views(TEXT, 0.7))


def ours(precision: str) -> Callable[[Setting], Callable[[], Output]]:
    """`training.loop.fit`, as `urbanfm train` calls it once the samples are there."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import torch

        from urbanfm_core.models.aether import Aether, AetherConfig
        from urbanfm_core.models.poi_samples import PoiSamples
        from urbanfm_core.progress import Progress
        from urbanfm_core.training.loop import fit
        from urbanfm_core.training.task import Task, TrainingConfig

        config = AetherConfig(bands=BANDS, text_dim=TEXT)
        training = TrainingConfig(epochs=EPOCHS, batch_size=BATCH, precision=precision, resume=False)  # type: ignore[arg-type]
        method = Aether()

        def work() -> Output:
            with np.load(setting.inputs / "samples.npz") as file:
                base, augmented, text = (torch.from_numpy(file[name]) for name in ("base", "augmented", "text"))
            samples = PoiSamples(base, augmented, text, torch.arange(len(base)))
            torch.manual_seed(0)
            task = Task(method, config, method.build(config), samples)
            fitted = fit(
                task,
                training,
                device=torch.device("cpu"),
                folder=setting.scratch,
                data_fingerprint="benchmark",
                progress=Progress(),
            )
            return Output(lambda: {"loss": np.array(fitted.history[-1]["loss"])})

        return work

    return prepare


def published(workers: int) -> Callable[[Setting], Callable[[], Output]]:
    """The published training script, `main()`, with that many loader workers; its default is 4."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        folder = setting.require_published()
        sys.path.insert(0, str(folder))
        sys.modules.setdefault("openai", _without_client())
        train = importlib.import_module("train")
        import geopandas as gpd
        from omegaconf import OmegaConf

        with np.load(setting.inputs / "samples.npz") as file:
            arrays = {name: file[name] for name in ("base", "augmented", "text")}
        config = OmegaConf.load(folder / "config.yaml")
        config.train.device, config.train.num_workers, config.train.epochs = "cpu", workers, EPOCHS
        config.train.batch_size, config.text.emb_dim, config.text.backend = BATCH, TEXT, "hf"
        OmegaConf.save(config, setting.scratch / "config.yaml")
        os.chdir(setting.scratch)
        # Reading layers, encoding texts and cutting windows are other stages; the script takes them from here.
        zeros = np.zeros(len(arrays["base"]))
        places = gpd.points_from_xy(zeros, zeros)
        points = gpd.GeoDataFrame({"description": [""] * len(zeros)}, geometry=places, crs=config.data.crs)
        train.read_poi = lambda *_, **__: points
        train.encode_texts = lambda **_: arrays["text"]

        class Extractor:
            def __init__(self, *_: object, **__: object) -> None:
                return

            def batch_extract(self, *_: object, pix_radius: int, **__: object) -> np.ndarray:
                return arrays["base"] if pix_radius == config.data.pix_radius else arrays["augmented"]

        train.AEExtractor = Extractor

        def work() -> Output:
            shutil.rmtree("outputs", ignore_errors=True)
            sys.argv = ["train.py", "--cfg", "config.yaml"]
            printed = StringIO()
            saved, sys.stdout = sys.stdout, printed
            try:
                train.main()
            finally:
                sys.stdout = saved
            return Output(lambda: _published_result(printed.getvalue(), arrays["base"][:BATCH], folder))

        return work

    return prepare


def _published_result(printed: str, rows: np.ndarray, folder: Path) -> Arrays:
    """Its last loss; and some rows through its network and, with the same weights imported, through ours."""
    import torch

    from urbanfm_core.importers.aether import import_aether
    from urbanfm_core.models.aether import Aether, AetherConfig

    path = next(Path("outputs").glob("*/ckpts/last.pth"))
    theirs = importlib.import_module("model").AEProj(BANDS, WIDTH, HIDDEN)
    theirs.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["ae_state_dict"])
    checkpoint = import_aether(path, text_encoder="minilm")
    model = Aether().build(AetherConfig(**checkpoint.config))
    model.load_state_dict(checkpoint.weights)
    losses = re.findall(r"train loss ([0-9.]+)", printed)
    with torch.inference_mode():
        x = torch.from_numpy(rows)
        return {
            "loss": np.array(float(losses[-1])),
            "theirs": theirs.eval()(x).numpy(),
            "imported": model.eval().image(x).numpy(),
        }


def _without_client() -> types.ModuleType:
    """Stands in for the client of a text service, which the published modules import and this does not use."""
    module = types.ModuleType("openai")
    module.OpenAI = None  # type: ignore[attr-defined]
    return module


def products(setting: Setting) -> Callable[[], Output]:
    """The matrix products of all steps alone, forward and backward, float32."""
    import torch

    with np.load(setting.inputs / "samples.npz") as file:
        steps = len(file["base"]) // BATCH * EPOCHS
    torch.manual_seed(0)
    # Rows, input width, output width, and whether the gradient goes on to the input.
    layers = [(2 * BATCH, BANDS, HIDDEN, False), (2 * BATCH, HIDDEN, WIDTH, True), (2 * BATCH, BANDS, WIDTH, False)]
    layers += [(2 * BATCH, WIDTH, HIDDEN, True), (2 * BATCH, HIDDEN, WIDTH, True), (BATCH, TEXT, WIDTH, False)]
    layers += 2 * [(BATCH, WIDTH, BATCH, True)]
    sets = [
        (torch.randn(rows, wide), torch.randn(out, wide), torch.randn(rows, out), through)
        for rows, wide, out, through in layers
    ]

    def work() -> Output:
        with torch.inference_mode():
            for _ in range(steps):
                for x, weight, gradient, through in sets:
                    torch.mm(x, weight.t())
                    torch.mm(gradient.t(), x)
                    if through:
                        torch.mm(gradient, weight)
        return Output()

    return work


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Same weights, same vectors; and all trainings end near the same loss."""
    reference = float(outputs["ours float32"]["loss"])
    words = {}
    for name, arrays in outputs.items():
        loss = float(arrays["loss"])
        if not abs(loss - reference) <= LOSS_TOLERANCE * reference:
            raise Mismatch(f"{name} ends with the loss {loss:.4f}, ours with {reference:.4f}.")
        words[name] = f"last loss {loss:.4f}"
        if "theirs" in arrays:
            words[name] += ", same weights: " + require_close(name, arrays["imported"], arrays["theirs"], 1e-5)
    return words


CASES = {
    "batch 512": Case(
        f"{EPOCHS} epochs over {POINTS:,} points, batches of {BATCH}",
        make,
        {
            "ours float32": Contender(ours("float32"), "ours"),
            "ours bfloat16": Contender(ours("bfloat16"), "ours"),
            "published, 4 workers": Contender(published(4), "peer"),
            "published, 0 workers": Contender(published(0), "peer"),
            "matrix products": Contender(products, "floor"),
        },
        compare,
        (
            Goal("ours float32", "published, 4 workers", 1 / 1.8),
            Goal("ours bfloat16", "published, 4 workers", 1 / 1.8),
        ),
    ),
}

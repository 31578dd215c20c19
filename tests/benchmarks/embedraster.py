"""Raster -> embedding raster: 64 bands in, 128 out, beside the published script and beside network and input/output alone.

The published script reads floats as they are and puts zeros where there are none, so the raster here has no holes.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio

from tests.benchmarks.inputs import write_raster
from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Output, Setting, grid_shape, require_close

BASE = (1024, 1024)
BANDS, HIDDEN, WIDTH, TEXT = 64, 256, 128, 384
TOLERANCE = 2e-5
# Codes are half a step off at most.
CODE_TOLERANCE = 4.1e-3


def make(folder: Path, scale: float, seed: int) -> None:
    """A float raster and a checkpoint."""
    write_raster(folder / "in.tif", grid_shape(BASE, scale), seed, bands=BANDS)
    make_checkpoint(folder / "model.pth", seed)


def make_checkpoint(path: Path, seed: int) -> None:
    """A file in the published layout with random weights."""
    import torch

    torch.manual_seed(seed)
    shapes = {"proj.0": (HIDDEN, BANDS), "proj.2": (WIDTH, HIDDEN), "shortcut": (WIDTH, BANDS)}
    shapes |= {"post_mlp.0": (HIDDEN, WIDTH), "post_mlp.3": (WIDTH, HIDDEN)}
    image = {"gate": torch.tensor([-4.0])}
    for name, (outputs, inputs) in shapes.items():
        layer = torch.nn.Linear(inputs, outputs)
        image |= {f"{name}.weight": layer.weight.detach(), f"{name}.bias": layer.bias.detach()}
    text = {"proj.weight": torch.zeros(WIDTH, TEXT), "proj.bias": torch.zeros(WIDTH)}
    torch.save({"ae_state_dict": image, "txt_state_dict": text, "epoch": 1}, path)


def ours(dtype: str, compress: str) -> Callable[[Setting], Callable[[], Output]]:
    """`urbanfm embedraster` behind the command line."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import torch

        from urbanfm_core.data.embedding_raster import EmbeddingRaster
        from urbanfm_core.importers.aether import import_aether
        from urbanfm_core.inference.raster import map_raster
        from urbanfm_core.models.aether import Aether, AetherConfig
        from urbanfm_core.models.exchange import Trained
        from urbanfm_core.progress import Progress

        method = Aether()
        checkpoint = import_aether(setting.inputs / "model.pth", text_encoder="minilm")
        config = AetherConfig(**checkpoint.config)
        model = method.build(config)
        model.load_state_dict(checkpoint.weights)
        trained = Trained(config, model.eval(), checkpoint.preprocessing, torch.device("cpu"))

        def work() -> Output:
            path = setting.scratch / "out.tif"
            with EmbeddingRaster.open(setting.inputs / "in.tif") as source:
                map_raster(
                    source, method.pixel_function(trained), path, dtype=dtype, compress=compress, progress=Progress()
                )
            return Output(lambda: sample(path))

        return work

    return prepare


def sample(path: Path) -> Arrays:
    """Some windows of an embedding raster, as floats or as codes, and the size of its file."""
    rng = np.random.default_rng(0)
    parts = []
    # With GDAL's own cache the process would keep a gigabyte that the next run did not ask for.
    with rasterio.Env(GDAL_CACHEMAX=32), rasterio.open(path) as file:
        for _ in range(16):
            top, left = (int(rng.integers(0, max(1, size - 40))) for size in (file.height, file.width))
            parts.append(file.read(window=((top, top + 40), (left, left + 40)), out_shape=(WIDTH, 40, 40)))
    values = np.stack(parts)
    name = "codes" if values.dtype == np.int8 else "vectors"
    return {name: values, "mib": np.array(path.stat().st_size / 2**20)}


def published(setting: Setting) -> Callable[[], Output]:
    """The published script as it is, in this process: LZW, tiles of 512, all pixels of a tile at once."""
    folder = setting.require_published()
    sys.path.insert(0, str(folder))
    import torch  # noqa: F401 - imported before memory is counted, as for the others
    import tqdm  # noqa: F401

    out = setting.scratch / "out.tif"

    def work() -> Output:
        paths = {"--ae_tif": setting.inputs / "in.tif", "--ckpt": setting.inputs / "model.pth", "--out": out}
        sys.argv = [
            "infer_aether_raster.py",
            *(str(part) for pair in paths.items() for part in pair),
            "--device",
            "cpu",
        ]
        runpy.run_path(str(folder / "infer_aether_raster.py"), run_name="__main__")
        return Output(lambda: sample(out))

    return work


def _network(inputs: Path) -> Callable[[], None]:
    """The network alone, for as many pixels as the raster has: a thread a core, pieces that stay in the caches."""
    import torch
    import torch.nn.functional as F

    from urbanfm_core.geo.streaming import available_cores

    with rasterio.open(inputs / "in.tif") as file:
        pixels = file.width * file.height
    rows, cores = 2048, available_cores()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = torch.randn(rows, BANDS)
    weights = [torch.randn(i, o) / i for i, o in [(BANDS, HIDDEN), (HIDDEN, WIDTH), (WIDTH, HIDDEN), (HIDDEN, WIDTH)]]
    shortcut = torch.randn(BANDS, WIDTH)

    def some(_: int) -> None:
        with torch.inference_mode():
            for _ in range(0, pixels // cores, rows):
                unit = F.normalize(x, dim=1)
                mixed = torch.mm(torch.mm(unit, weights[0]).relu_(), weights[1]).addmm_(unit, shortcut)
                inner = F.gelu(torch.mm(F.normalize(mixed, dim=1, out=mixed), weights[2]))
                z = torch.mm(inner, weights[3])
                F.normalize(z, dim=1, out=z)

    def work() -> None:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(some, range(cores)))

    return work


def _read_write(setting: Setting, dtype: str, compress: str) -> None:
    """Read the raster once and write one of the output's size, format and compression once, in its blocks."""
    from urbanfm_core.geo.raster import inspect_raster
    from urbanfm_core.geo.raster_writer import RasterWriter
    from urbanfm_core.geo.strips import plan_output

    info = inspect_raster(setting.inputs / "in.tif")
    windows = [part for _, parts in plan_output(info) for part in parts]
    path, nodata = setting.scratch / "out.tif", -128 if dtype == "int8" else np.nan
    with (
        RasterWriter(path, info, WIDTH, dtype=dtype, nodata=nodata, compress=compress) as out,
        rasterio.open(setting.inputs / "in.tif") as file,
    ):
        for window in windows:
            values = file.read(window=window)
            both = np.concatenate([values, values])
            out.write((both * 127).astype(np.int8) if dtype == "int8" else both, window)


def network(setting: Setting) -> Callable[[], Output]:
    """The network alone."""
    compute = _network(setting.inputs)

    def work() -> Output:
        compute()
        return Output()

    return work


def read_write(dtype: str, compress: str) -> Callable[[Setting], Callable[[], Output]]:
    """Reading and writing alone."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import urbanfm_core.geo.raster  # noqa: F401 - imported before memory is counted

        def work() -> Output:
            _read_write(setting, dtype, compress)
            return Output()

        return work

    return prepare


def both_at_once(dtype: str, compress: str) -> Callable[[Setting], Callable[[], Output]]:
    """Network, and reading and writing, side by side and unconnected: what the cores can do where both want them."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        compute = _network(setting.inputs)

        def work() -> Output:
            with ThreadPoolExecutor(1) as pool:
                storing = pool.submit(_read_write, setting, dtype, compress)
                compute()
                storing.result()
            return Output()

        return work

    return prepare


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Against the published script where there is one; codes alone are held against nothing but the unit sphere."""
    words = {}
    for name, arrays in outputs.items():
        size = f"file of {float(arrays['mib']):.0f} MiB"
        if "published" not in outputs:
            vectors = arrays["vectors"] if "vectors" in arrays else _decoded(arrays["codes"])
            lengths = np.linalg.norm(vectors, axis=1)
            tolerance = TOLERANCE if "vectors" in arrays else CODE_TOLERANCE
            words[name] = f"unit length {require_close(name, lengths, np.ones_like(lengths), 10 * tolerance)}, {size}"
        elif name == "published":
            words[name] = f"reference, {size}"
        else:
            words[name] = (
                f"{require_close(name, arrays['vectors'], outputs['published']['vectors'], TOLERANCE)}, {size}"
            )
    return words


def _decoded(codes: np.ndarray) -> np.ndarray:
    codes = codes.astype(np.float32)
    return np.sign(codes) * (codes / 127.5) ** 2


def _case(title: str, dtype: str, compress: str, peers: dict[str, Contender], goals: tuple[Goal, ...]) -> Case:
    contenders = {
        "ours": Contender(ours(dtype, compress), "ours"),
        **peers,
        "network": Contender(network, "floor"),
        "read+write": Contender(read_write(dtype, compress), "floor"),
        "both at once": Contender(both_at_once(dtype, compress), "floor"),
    }
    return Case(title, make, contenders, compare, (*goals, Goal("ours", "both at once", 1.3)))


CASES = {
    "float32": _case(
        "64 -> 128 bands, float32, zstd",
        "float32",
        "zstd",
        {"published": Contender(published, "peer")},
        (Goal("ours", "published", 1 / 3),),
    ),
    "uncompressed": _case("64 -> 128 bands, float32, uncompressed", "float32", "none", {}, ()),
    "int8": _case("64 -> 128 bands, int8 codes, zstd", "int8", "zstd", {}, ()),
}

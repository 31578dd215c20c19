"""UrbanMFM's graphs: 256 of them side by side, beside one at a time (the published way).

`attention` is graph attention alone, forward and backward. `step` is a whole training step of the local stage, from
drawing the graphs to the gradients: side by side, what graphs share (neighbours, their street views and polygons) is
gathered and encoded once. Two peers go through the graphs one at a time: 'one at a time' encodes all places of a graph
together and trains every encoder; 'node by node' does as the public code: it encodes each node of each graph on its own,
takes it through a Python list, which ends its gradient, and trains nothing but the attention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.benchmarks.stage import Arrays, Case, Contender, Goal, Output, Setting, require_close

GRAPHS, NEIGHBOURS, WIDTH = 256, 16, 128
PLACES, SIDE_M, PICTURE_PX = 20_000, 4_000.0, 32
# One at a time, a part of the graphs is done and the time scaled up.
PART = 16
Way = Literal["together", "one at a time", "node by node"]
TOLERANCE = 1e-5


def make(folder: Path, scale: float, seed: int) -> None:
    """Points of interest, denser where the scale is larger, with texts, polygons and groups of street views."""
    rng = np.random.default_rng(seed)
    places = int(PLACES * scale)
    groups = places // 20
    np.savez(
        folder / "city.npz",
        xy=rng.uniform(0, SIDE_M, (places, 2)),
        text=rng.standard_normal((512, 384)).astype(np.float32),
        of=rng.integers(0, 512, places),
        bits=np.packbits(rng.random((places // 2, PICTURE_PX**2)) < 0.5, axis=1),
        area=rng.random(places // 2).astype(np.float32),
        groups=rng.uniform(0, SIDE_M, (groups, 2)),
        rgb=rng.integers(0, 256, (4 * groups, 3, PICTURE_PX, PICTURE_PX), dtype=np.uint8),
    )


def city_of(folder: Path) -> tuple[Any, Any]:
    """The city and the configuration."""
    import torch
    from pyproj import CRS

    from urbanfm_core.data.buildings import PackedShapes
    from urbanfm_core.data.image_store import ImageStatistics, StoredImages
    from urbanfm_core.data.neighbours import NeighbourLists
    from urbanfm_core.data.street_groups import StreetGroups
    from urbanfm_core.models.urbanmfm.city import Lists, MfmCity, ShownPictures
    from urbanfm_core.models.urbanmfm.config import UrbanMfmConfig
    from urbanfm_core.models.urbanmfm.encoders import resnet_architecture

    with np.load(folder / "city.npz") as file:
        found = dict(file)
    places, views = len(found["xy"]), len(found["rgb"])
    valid = np.packbits(np.ones((views, PICTURE_PX, PICTURE_PX), bool), axis=-1)
    images = StoredImages(
        PICTURE_PX, np.ones(views), np.zeros((3, 3)), [found["rgb"]], [valid], np.zeros(views, int), np.arange(views)
    )
    nothing = np.zeros(2, np.int64)
    city = MfmCity(
        texts=torch.from_numpy(found["text"]),
        place_text=found["of"],
        xy=found["xy"],
        regions=1,
        region_places=Lists(nothing, np.empty(0, np.int64)),
        adjacent=NeighbourLists(nothing, np.empty(0, np.int64), np.empty(0, np.float32)),
        shapes=PackedShapes(found["bits"], PICTURE_PX),
        area=found["area"],
        polygon=np.where(np.arange(places) % 2, -1, np.arange(places) // 2 % len(found["area"])),
        groups=StreetGroups(
            found["groups"],
            CRS(32630),
            np.arange(0, views + 1, 4),
            np.arange(views),
            np.tile([0.0, 90, 180, 270], views // 4),
        ),
        street=ShownPictures(images, ImageStatistics((0.5,) * 3, (0.25,) * 3)),
        view=np.arange(views),
    )
    config = UrbanMfmConfig(
        width=WIDTH, graph_hidden=WIDTH, heads=4, image_size=PICTURE_PX, polygon_size=PICTURE_PX, image_depths=(1, 1),
        image_widths=(16, 32), max_neighbours=NEIGHBOURS, max_groups=2, step_groups=PLACES, reach_m=500.0, text_dim=384, drop=0.0, swap=1.0,
        sees=("pois", "buildings", "streetview"), stages=("local",),
    )  # fmt: skip
    from dataclasses import replace

    return city, replace(config, image_architecture=resnet_architecture(config))


def attention(way: Way) -> Callable[[Setting], Callable[[], Output]]:
    """Graph attention over the places around 256, forward and backward."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import torch

        from urbanfm_core.models.urbanmfm.city import PLACE_UNIT_M, graph_batch, to_device
        from urbanfm_core.models.urbanmfm.encoders import GraphEncoder

        city, config = city_of(setting.inputs)
        torch.manual_seed(0)
        encoder = GraphEncoder(WIDTH, WIDTH, config.heads, edge_weights=True)
        values = torch.randn(len(city), WIDTH)
        rows = np.arange(GRAPHS)
        near = city.index.near_rows(rows, config.reach_m, NEIGHBOURS)

        def encode(some: np.ndarray) -> torch.Tensor:
            graphs = near.take(some).ego_graphs(rows[some])
            batch = to_device(graph_batch(graphs, PLACE_UNIT_M, ""), torch.device("cpu"))
            found: torch.Tensor = encoder(
                values[torch.from_numpy(graphs.node)], batch["edges"], batch["weight"], batch["graph"], len(graphs)
            )
            return found

        def work() -> Output:
            encoder.zero_grad()
            parts = [rows] if way == "together" else list(rows[:, None])
            found = torch.cat([encode(part) for part in parts])
            found.square().mean().backward()
            gradient = encoder.conv1.lin.weight.grad
            return Output(lambda: {"vectors": found.detach().numpy(), "gradient": gradient.numpy().copy()})

        return work

    return prepare


def step(way: Way) -> Callable[[Setting], Callable[[], Output]]:
    """A step of the local stage over 256 places, or over some of them one graph, or one node, after another."""

    def prepare(setting: Setting) -> Callable[[], Output]:
        import torch

        from urbanfm_core.models.urbanmfm.city import PLACE_UNIT_M, graph_batch, place_batch, to_device
        from urbanfm_core.models.urbanmfm.losses import encode_places
        from urbanfm_core.models.urbanmfm.network import UrbanMfmModel
        from urbanfm_core.models.urbanmfm.samples import LocalSamples
        from urbanfm_core.objectives.infonce import row_infonce

        city, config = city_of(setting.inputs)
        torch.manual_seed(0)
        # Pictures are normalised by what a batch holds while training; at rest both ways compute the same.
        model = UrbanMfmModel(config).eval()
        samples = LocalSamples.of(city, config)

        def graphs_of(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            batch = {name.partition("/")[2]: tensor for name, tensor in samples.batch(rows).items()}
            text, street, has_street, polygon, has_polygon = encode_places(model, batch)
            shown = torch.where(has_polygon[:, None], polygon, torch.where(has_street[:, None], street, text))
            return encoded(batch, text, shown)

        def encoded(
            batch: dict[str, torch.Tensor], text: torch.Tensor, shown: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            graphs = int(batch["graph"][-1]) + 1
            both = []
            for values, name in ((text, ""), (shown, "positive_")):
                node = values[batch[f"{name}node"]]
                graph = (batch[f"{name}edges"], batch[f"{name}weight"], batch[f"{name}graph"], graphs)
                both.append(model.part("local")(node, *graph))
            return both[0], both[1]

        def node_by_node(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            rng, here = np.random.default_rng(0), torch.device("cpu")
            graphs = city.index.near_rows(rows.numpy(), config.reach_m, config.max_neighbours).ego_graphs(rows.numpy())
            said, shown = [], []
            for place in graphs.node[:, None]:
                polygon = city.has_polygon[place] & (rng.random(1) < 0.5)
                with torch.no_grad():
                    told = encode_places(model, place_batch(city, place, ~polygon, polygon, config, here))
                text, street, has_street, outline, has_outline = told
                said.append(text[0].tolist())
                shown.append((outline if has_outline[0] else street if has_street[0] else text)[0].tolist())
            batch = {"node": torch.arange(len(said)), **to_device(graph_batch(graphs, PLACE_UNIT_M, ""), here)}
            both = {**batch, **{f"positive_{name}": tensor for name, tensor in batch.items()}}
            return encoded(both, torch.tensor(said), torch.tensor(shown))

        def work() -> Output:
            model.zero_grad()
            torch.manual_seed(1)
            count = GRAPHS if way == "together" else PART
            parts = torch.arange(count).split(count if way == "together" else 1)
            make_graphs = node_by_node if way == "node by node" else graphs_of
            sides = [torch.cat(side) for side in zip(*map(make_graphs, parts), strict=True)]
            row_infonce(sides[0], sides[1], config.scale).backward()
            anchors = sides[0][:PART].detach().numpy()
            return Output(lambda: {"anchors": anchors}, count / GRAPHS)

        return work

    return prepare


def compare(outputs: Mapping[str, Arrays]) -> dict[str, str]:
    """Both ways give the same."""
    return {
        name: "; ".join(
            f"{part} {require_close(f'{name}, {part}', one, outputs['ours'][part], TOLERANCE)}"
            for part, one in found.items()
        )
        for name, found in outputs.items()
    }


CASES = {
    "attention": Case(
        f"graph attention over {GRAPHS} graphs of up to {NEIGHBOURS} neighbours, forward and backward",
        make,
        {
            "ours": Contender(attention("together"), "ours"),
            "one at a time": Contender(attention("one at a time"), "peer"),
        },
        compare,
        (Goal("ours", "one at a time", 1 / 3),),
    ),
    "step": Case(
        f"a training step of the local stage over {GRAPHS} places",
        make,
        {
            "ours": Contender(step("together"), "ours"),
            "one at a time": Contender(step("one at a time"), "peer"),
            "node by node": Contender(step("node by node"), "peer"),
        },
        compare,
        (Goal("ours", "node by node", 1 / 10), Goal("ours", "one at a time", 1 / 10)),
    ),
}

"""Against numbers of PyTorch Geometric and of the paper's formulas in NumPy; see tests/golden/urbanmfm."""

from pathlib import Path

import numpy as np
import pytest
import torch

from urbanfm_core.models.urbanmfm.encoders import GraphEncoder
from urbanfm_core.models.urbanmfm.fusion import spatial_consistency
from urbanfm_core.objectives.infonce import row_infonce, stacked_infonce

GOLDEN = Path(__file__).parents[3] / "golden" / "urbanmfm"


@pytest.fixture(scope="module")
def graphs():
    return np.load(GOLDEN / "urbanmfm_gat.npz")


@pytest.fixture(scope="module")
def losses():
    return np.load(GOLDEN / "urbanmfm_losses.npz")


def encoder(found, variant):
    made = GraphEncoder(16, 12, 3, edge_weights=variant == "edge1")
    start = f"{variant}.w."
    weights = {
        name.removeprefix(start): torch.from_numpy(found[name]) for name in found.files if name.startswith(start)
    }
    made.load_state_dict(weights)
    return made.eval()


def tensors(found, name):
    return (torch.from_numpy(found[f"{name}_{part}"]) for part in ("x", "edge_index", "edge_weight"))


@pytest.mark.parametrize("variant", ["plain", "edge1"])
@pytest.mark.parametrize("name", ["g0", "g1", "g2", "union"])
def test_nodes_and_means_of_graphs(graphs, variant, name):
    made = encoder(graphs, variant)
    x, edges, weight = tensors(graphs, name)
    union = name == "union"
    owner = torch.from_numpy(graphs["union_graph"]) if union else torch.zeros(len(x), dtype=torch.int64)
    with torch.no_grad():
        nodes = made.nodes(x, edges, weight)
        means = made(x, edges, weight, owner, int(owner.max()) + 1)
    np.testing.assert_allclose(nodes, graphs[f"{variant}.{name}_out"], atol=1e-5)
    np.testing.assert_allclose(means, graphs[f"{variant}.{name}_mean"].reshape(means.shape), atol=1e-5)


def test_edge_weights_count(graphs):
    made = encoder(graphs, "edge1")
    x, edges, weight = tensors(graphs, "g1")
    with torch.no_grad():
        assert (made.nodes(x, edges, weight) - made.nodes(x, edges, weight.flip(0))).abs().max() > 1e-4


def test_infonce_by_rows_and_stacked(losses):
    query, key = (torch.from_numpy(losses[name]) for name in ("query", "key"))
    scale = 1 / float(losses["tau"])
    assert float(row_infonce(query, key, scale)) == pytest.approx(float(losses["loss_row_mean"]), abs=1e-9)
    assert float(row_infonce(key, query, scale)) == pytest.approx(float(losses["loss_col_mean"]), abs=1e-9)
    assert float(stacked_infonce(query, key, scale)) == pytest.approx(float(losses["loss_public_code"]), abs=1e-9)


@pytest.mark.parametrize("reach", [500, 1000])
def test_street_views_by_fit_and_distance(losses, reach):
    text, views, distance = (torch.from_numpy(losses[f"att_{name}"]) for name in ("text", "streetview", "distance_m"))
    place = torch.arange(len(text)).repeat_interleave(len(views))
    every = views.repeat(len(text), 1)
    found = spatial_consistency(text, every, distance.repeat(len(text)), place, float(reach), 0.5)
    np.testing.assert_allclose(found, losses[f"max{reach}.E_v"], atol=1e-9)

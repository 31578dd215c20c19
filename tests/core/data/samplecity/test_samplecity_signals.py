"""The designed relations between latent fields, places, names and the embedding formula."""

from __future__ import annotations

import numpy as np
import pytest

from urbanfm_core.data.samplecity.buildings import Blocks
from urbanfm_core.data.samplecity.embedding import BANDS, EmbeddingModel, quantise
from urbanfm_core.data.samplecity.fields import FUNCTIONS, Latents, SmoothFields, hash_unit
from urbanfm_core.data.samplecity.names import ADJECTIVES
from urbanfm_core.data.samplecity.pois import KINDS, block_pois
from urbanfm_core.data.samplecity.streets import Layout


def _spread_out(count: int, span_m: float) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, span_m, (count, 2))


def test_fields_are_standard_smooth_and_independent() -> None:
    fields = SmoothFields(5, ("a", "b"))
    values = fields.at(_spread_out(8000, 60_000))
    assert np.abs(values.mean(axis=0)).max() < 0.05
    assert np.abs(values.std(axis=0) - 1).max() < 0.05
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.06
    near = fields.at(_spread_out(500, 60_000) + np.array([10.0, 0.0])) - fields.at(_spread_out(500, 60_000))
    assert np.abs(near).max() < 0.3


def test_a_field_on_a_grid_equals_the_field_at_its_points() -> None:
    fields = SmoothFields(5, ("a", "b", "c"))
    x, y = np.linspace(-300, 5000, 7), np.linspace(20, 900, 5)
    points = np.stack([axis.ravel() for axis in np.meshgrid(x, y)], axis=1)
    np.testing.assert_allclose(fields.on_grid(x, y), fields.at(points), atol=1e-9)


def test_designed_correlations_hold() -> None:
    values = Latents(0).at(_spread_out(20_000, 80_000))
    form = np.column_stack([values.density, values.greenery, values.height])
    correlation = np.corrcoef(np.column_stack([form, values.ses, values.function]).T)
    assert correlation[0, 1] == pytest.approx(-0.45, abs=0.06)
    assert correlation[0, 2] == pytest.approx(0.60, abs=0.06)
    assert correlation[1, 3] == pytest.approx(0.20, abs=0.06)
    assert abs(correlation[0, 3]) < 0.06
    assert np.abs(correlation[3, 4:]).max() < 0.1
    assert 0.1 < np.abs(correlation[0, 4:]).max() < 0.35
    np.testing.assert_allclose(values.function.sum(axis=1), 1.0)
    assert values.function.mean(axis=0).min() > 0.04


def test_hash_depends_on_every_part() -> None:
    cells = np.arange(2000)
    draws = hash_unit(1, "x", cells, 0)
    assert 0.47 < draws.mean() < 0.53
    assert draws.min() >= 0
    assert draws.max() < 1
    for other in (hash_unit(2, "x", cells, 0), hash_unit(1, "y", cells, 0), hash_unit(1, "x", cells, 1)):
        assert abs(np.corrcoef(draws, other)[0, 1]) < 0.08


def _r2_across(features: np.ndarray, target: np.ndarray, train: np.ndarray) -> float:
    centred = features - features[train].mean(axis=0)
    scaled = centred / centred[train].std(axis=0)
    gram = scaled[train].T @ scaled[train] + 30.0 * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, scaled[train].T @ (target[train] - target[train].mean()))
    error = target[~train] - target[train].mean() - scaled[~train] @ weights
    return float(1 - (error**2).mean() / target[~train].var())


def test_embedding_sees_form_well_function_weakly_and_ses_hardly() -> None:
    latents = Latents(0)
    x = y = np.arange(0, 9000, 110.0)
    rng = np.random.default_rng(0)
    built, green = rng.uniform(0, 0.6, (2, len(x) * len(y)))
    noise = rng.normal(0, 0.03, (len(built), BANDS))
    vectors = EmbeddingModel(0, latents).vectors(x, y, built, green, noise)
    valid = ~np.isnan(vectors[:, 0])
    assert 0.01 < 1 - valid.mean() < 0.08
    np.testing.assert_allclose(np.linalg.norm(vectors[valid], axis=1), 1.0)
    values = latents.on_grid(x, y)
    train = (np.tile(x, len(y)) < 4500)[valid]
    assert _r2_across(vectors[valid], values.density[valid], train) > 0.7
    assert _r2_across(vectors[valid], values.greenery[valid], train) > 0.7
    function = np.mean([_r2_across(vectors[valid], values.function[valid, k], train) for k in range(len(FUNCTIONS))])
    assert 0.1 < function < 0.4
    assert _r2_across(vectors[valid], values.ses[valid], train) < 0.1
    # Function multiplied by the sign-like density: hidden from a linear reader, open to one that knows density.
    hidden = np.concatenate([vectors, vectors * np.tanh(2.5 * values.density)[:, None]], axis=1)[valid]
    opened = np.mean([_r2_across(hidden, values.function[valid, k], train) for k in range(len(FUNCTIONS))])
    assert opened > function + 0.1


def test_quantisation_is_that_of_alphaearth() -> None:
    vectors = np.array([[0.25, -0.25, 0.0, 1.0], [np.nan] * 4])
    stored = quantise(vectors)
    assert stored.dtype == np.int8
    assert stored[0].tolist() == [64, -64, 0, 127]
    assert stored[1].tolist() == [-128] * 4
    restored = np.sign(stored[0]) * (stored[0] / 127.5) ** 2
    np.testing.assert_allclose(restored, vectors[0], atol=0.009)


@pytest.fixture(scope="module")
def places() -> list[tuple[float, str, object]]:
    layout = Layout(0, 3000)
    blocks = Blocks(layout, Latents(0))
    found = []
    for i in range(0, 96, 3):
        for j in range(0, 96, 3):
            block = blocks.get(i, j)
            found += [(float(block.values.ses), block.function, poi) for poi in block_pois(layout, block)]
    return found


def test_names_and_kinds_carry_the_socioeconomic_level(places: list) -> None:
    level = {word: tier for tier, words in enumerate(ADJECTIVES) for word in words}
    by_tier: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for ses, _, poi in places:
        if poi.name and poi.name.split()[0] in level:
            by_tier[level[poi.name.split()[0]]].append(ses)
    low, middle, high = (float(np.mean(by_tier[tier])) for tier in (0, 1, 2))
    assert low + 0.4 < middle < high - 0.4
    lean = {kind.name: kind.lean for kind in KINDS}
    pairs = np.array([(ses, lean[poi.subcategory]) for ses, _, poi in places if poi.subcategory])
    assert 0.2 < np.corrcoef(pairs.T)[0, 1] < 0.7


def test_kinds_follow_function_but_not_blindly(places: list) -> None:
    factories = [function for _, function, poi in places if poi.subcategory in ("Factory", "Warehouse")]
    share = np.mean([function == "industrial" for function in factories])
    assert 0.5 < share < 0.95


def test_places_have_gaps_varied_names_and_other_scripts(places: list) -> None:
    names = [poi.name for _, _, poi in places if poi.name]
    assert len(set(names)) > 0.6 * len(names)
    assert 0.03 < 1 - len(names) / len(places) < 0.09
    assert 0.005 < np.mean([poi.category is None for _, _, poi in places]) < 0.04
    assert 0.02 < np.mean([poi.subcategory is None for _, _, poi in places]) < 0.08
    assert 0.01 < np.mean([not name.isascii() for name in names]) < 0.2
    tags = [poi.tags for _, _, poi in places if poi.tags]
    assert all("=" in pair for text in tags for pair in text.split(";"))


def test_a_block_does_not_depend_on_what_was_made_before() -> None:
    layout = Layout(4, 100)
    one, other = Blocks(layout, Latents(4)), Blocks(layout, Latents(4), remembered=1)
    for i in range(5):
        other.get(i, 7)
    first, second = one.get(9, 8), other.get(9, 8)
    np.testing.assert_array_equal(first.plot, second.plot)
    assert [b.height_m for b in first.buildings] == [b.height_m for b in second.buildings]
    assert first.trees == second.trees
    assert block_pois(layout, first) == block_pois(layout, second)

"""Stages on a small invented city: what they draw, that everything they train learns, and what cities lack."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from core.models.urbanmfm.fakes import GROUPS, PLACES, REGIONS, city, config

from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.exchange import Prepared, Trained
from urbanfm_core.models.urbanmfm import compute
from urbanfm_core.models.urbanmfm.city import Lists
from urbanfm_core.models.urbanmfm.compute import CityComputer
from urbanfm_core.models.urbanmfm.config import STAGES
from urbanfm_core.models.urbanmfm.losses import stage_losses
from urbanfm_core.models.urbanmfm.method import UrbanMfm
from urbanfm_core.models.urbanmfm.network import UrbanMfmModel, trained_parts
from urbanfm_core.models.urbanmfm.samples import (
    GlobalSamples,
    JointSamples,
    LocalSamples,
    PoiRoadSamples,
    SatelliteSamples,
    StreetViewSamples,
)
from urbanfm_core.progress import Progress
from urbanfm_core.training.run import train
from urbanfm_core.training.task import TrainingConfig

KINDS = {
    "poi_road": PoiRoadSamples,
    "street_view": StreetViewSamples,
    "local": LocalSamples,
    "satellite": SatelliteSamples,
    "global": GlobalSamples,
}
CPU = torch.device("cpu")


def network(settings):
    torch.manual_seed(0)
    return UrbanMfmModel(settings)


def draw(samples, seed=0):
    torch.manual_seed(seed)
    return samples.batch(torch.arange(len(samples)))


@pytest.mark.parametrize("objective", ["rows", "stacked"])
@pytest.mark.parametrize("stage", STAGES)
def test_each_parameter_of_a_stage_and_no_other_gets_a_gradient(stage, objective):
    settings = config(swap=1.0, objective=objective)
    model = network(settings).train()
    loss = stage_losses(model, draw(KINDS[stage].of(city(), settings)), settings)
    assert set(loss) == {"loss", stage}
    loss["loss"].backward()
    parts = trained_parts(settings, stage)
    for name, parameter in model.named_parameters():
        trained = any(name.startswith(f"{part}.") for part in parts)
        moved = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        assert moved == trained, name


@pytest.mark.parametrize("fusion, width", [("average", 8), ("concat", 24), ("scales", 56)])
def test_regions_that_lack_something_show_themselves_by_the_rest(tmp_path, fusion, width):
    settings = config(fusion=fusion)
    lonely = city(sky=None, features=np.full((REGIONS, 3), np.nan, np.float32))
    model = network(settings).eval()
    trained = Trained(settings, model, {}, CPU)
    whole = CityComputer(trained, city(), SampleStore(tmp_path, {"a": 1}), Progress()).regions()
    assert whole.shape == (REGIONS, width) and np.isfinite(whole).all()
    poor = CityComputer(trained, lonely, SampleStore(tmp_path, {"a": 2}), Progress()).regions()
    # The last region has no place; without picture and features it has nothing.
    assert np.isfinite(poor[:-1]).all() and np.isnan(poor[-1]).all()


def graph_vectors(model, batch, stage, settings):
    """What the local or global stage contrasts, anchors and positives, one row per graph."""
    seen = []
    part = model.get_submodule("local" if stage == "local" else "around")
    handle = part.register_forward_hook(lambda *args: seen.append(args[-1]))
    with torch.no_grad():
        stage_losses(model, batch, settings)
    handle.remove()
    return seen


@pytest.mark.parametrize("swap", [0.0, 1.0])
@pytest.mark.parametrize(
    "stage, lacking",
    [
        ("local", {"groups": None}),
        ("local", {"polygon": None, "shapes": None}),
        ("global", {"features": None}),
    ],
)
def test_a_disjoint_batch_equals_graphs_one_at_a_time(stage, lacking, swap):
    """Where a place or region could be shown in two ways at random, one of them is taken away."""
    settings = config(swap=swap, drop=0.0, max_region_pois=PLACES)
    lonely = city(**lacking)
    if stage == "global":
        settings = replace(settings, sees=[name for name in settings.sees if name != "features"])
    model = network(settings).eval()
    samples = KINDS[stage].of(lonely, settings)
    together = graph_vectors(model, draw(samples), stage, settings)
    assert len(together) == 2 and len(together[0]) == len(samples)
    for row in range(len(samples)):
        alone = graph_vectors(model, samples.batch(torch.tensor([row])), stage, settings)
        for all_of_them, one in zip(together, alone, strict=True):
            torch.testing.assert_close(all_of_them[row], one[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stage", ["poi_road", "street_view", "satellite"])
def test_samples_without_graphs_do_not_touch_one_another(stage):
    settings = config()
    model = network(settings).eval()
    name = {"poi_road": "text", "street_view": "street", "satellite": "sky"}[stage]
    rows = {"poi_road": "text", "street_view": "pictures", "satellite": "pictures"}[stage]
    batch = draw(KINDS[stage].of(city(), settings))
    part = model.get_submodule(name)
    with torch.no_grad():
        together = part(batch[f"{stage}/{rows}"])
        alone = torch.cat([part(one[None]) for one in batch[f"{stage}/{rows}"]])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("lacking", [{}, {"groups": None, "street": None}, {"polygon": None, "shapes": None}])
def test_places_in_parts_equal_the_whole_and_finished_parts_are_taken(tmp_path, monkeypatch, lacking):
    settings = config()
    model = network(settings).eval()
    some = city(**lacking)

    def found(folder):
        return CityComputer(Trained(settings, model, {}, CPU), some, SampleStore(folder, {}), Progress())

    whole = found(tmp_path / "a").places_in_context()
    assert whole.shape == (PLACES, 8) and np.isfinite(whole).all()
    monkeypatch.setattr(compute, "_PARTITION", 5)
    np.testing.assert_allclose(found(tmp_path / "b").places_in_context(), whole, atol=1e-6)
    again = found(tmp_path / "b")
    monkeypatch.setattr(again, "places", None)
    np.testing.assert_allclose(again.places_in_context(), whole, atol=1e-6)


def test_several_processes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    settings = config()
    prepared = Prepared(settings, JointSamples([LocalSamples.of(city(), settings)]), {})
    with pytest.raises(ConfigError, match="trains in one process, but 2 were started"):
        train(
            UrbanMfm(), prepared, TrainingConfig(epochs=1, batch_size=8, learning_rate=1e-3), device=CPU,
            out=tmp_path / "c", data_fingerprint="d", progress=Progress(),
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_places_without_neighbours_and_places_on_one_spot():
    settings = config(reach_m=1.0)
    model = network(settings).train()
    stacked = city()
    stacked.xy[:4] = stacked.xy[0]
    batch = draw(LocalSamples.of(stacked, settings))
    graph = batch["local/graph"]
    assert (torch.bincount(graph)[:4] == 4).all() and (torch.bincount(graph)[4:] == 1).all()
    assert torch.isfinite(stage_losses(model, batch, settings)["loss"])
    assert torch.isfinite(batch["local/weight"]).all()


def test_rows_of_lists_are_drawn_anew_and_within_bounds():
    lists = Lists.of_pairs(np.array([0, 2, 2, 2, 2, -1]), np.arange(6), 4)
    place, rows = lists.take(np.array([2, 0, 3]), 2, np.random.default_rng(0))
    assert place.tolist() == [0, 0, 1] and set(rows[:2]) <= {1, 2, 3, 4} and rows[2] == 0
    seen = {tuple(sorted(lists.take(np.array([2]), 2, np.random.default_rng(seed))[1])) for seed in range(30)}
    assert len(seen) == 6


def test_an_epoch_of_chosen_length_draws_places_at_random_and_none_twice():
    samples = JointSamples([LocalSamples.of(city(), config())], epoch_samples=1000)
    assert len(samples) == 1000
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        batch = samples.batch(torch.arange(4) + 500)
        assert len(torch.unique(batch["local/graph"])) == 4
        seen.add(tuple(batch["local/text"].sum(1).tolist()))
    assert len(seen) == 20
    assert len(torch.unique(samples.batch(torch.arange(1000))["local/graph"])) == PLACES


@pytest.mark.parametrize("stage", ["local", "global"])
def test_a_step_encodes_some_groups_of_street_views_only(stage):
    for most, groups in ((2, 2), (100, GROUPS)):
        settings = config(step_groups=most, swap=1.0, street_reach_m=2000.0, max_groups=GROUPS)
        batch = draw(KINDS[stage].of(city(), settings))
        assert int(batch[f"{stage}/view_group"].max()) + 1 == groups
        assert len(batch[f"{stage}/pictures"]) == 4 * groups
        loss = stage_losses(network(settings).train(), batch, settings)["loss"]
        assert torch.isfinite(loss)


def test_only_regions_with_a_picture_are_partners():
    samples = SatelliteSamples.of(city(), config())
    assert 2 not in samples.rows and 2 not in samples.city.alike.index


@pytest.mark.parametrize("joint", [False, True])
def test_stages_one_after_another_or_all_at_once(tmp_path, joint):
    settings = config(joint=joint)
    samples = JointSamples([KINDS[stage].of(city(), settings) for stage in STAGES])
    prepared = Prepared(settings, samples, {})
    training = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-3)
    made = train(
        UrbanMfm(), prepared, training, device=CPU, out=tmp_path / "c", data_fingerprint="d", progress=Progress()
    )
    if joint:
        assert set(STAGES) < set(made.history[0]) and len(made.history) == 2
    else:
        assert [record["phase"] for record in made.history[::2]] == list(STAGES)
        assert all(stage in record for stage, record in zip(STAGES, made.history[::2], strict=True))


def test_a_network_knows_its_inputs_first():
    with pytest.raises(ConfigError, match="not known yet"):
        UrbanMfmModel(replace(config(), sees=(), stages=()))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"heads": 3}, "graph_hidden 8 is no multiple"),
        ({"fusion_heads": 3}, "width 8 is no multiple"),
        ({"temperature": 0}, "temperature must be"),
        ({"objective": "other"}, "no objective 'other'"),
        ({"drop": 1.0}, "drop must be below 1"),
        ({"image_depths": (1,)}, "equally many"),
        ({"stages": ("later",)}, "no stage later"),
    ],
)
def test_numbers_that_make_no_network_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        config(**changes)

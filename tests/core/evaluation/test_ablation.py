"""Variants are made once, probed alike, and compared with the full model that started from the same seed."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import geopandas as gpd
import numpy as np
import pytest
import torch
from shapely.geometry import box

from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import Cancelled, ConfigError, InputError
from urbanfm_core.evaluation import ablation_report as report
from urbanfm_core.evaluation.ablation import FULL, TABLE, UNTRAINED, Variant, ablate, plan_variants
from urbanfm_core.evaluation.run import Settings, evaluate
from urbanfm_core.evaluation.tables import Features
from urbanfm_core.evaluation.targets import Target
from urbanfm_core.inference.table import EmbeddingTable
from urbanfm_core.models import METHODS, get_method
from urbanfm_core.progress import Progress

QUICK = Settings(seeds=(0, 1), mlp=False, blocks=15)


@dataclass(frozen=True)
class ToyConfig:
    """The more noise, the worse; the kind means nothing."""

    noise: float = 0.25
    kind: str = "plain"

    def __post_init__(self):
        if self.noise < 0:
            raise ConfigError("noise must be at least 0")


class Toy:
    title = "Toy"
    ablations: ClassVar = {"w/o care": {"noise": 2.0}, "w/o kind": {"kind": "none"}}


@pytest.fixture(scope="module")
def regions(planted):
    shapes = [box(x, y, x + 100, y + 100) for x, y in planted["xy"] + 500_000]
    names = [f"r{number:03d}" for number in range(len(shapes))]
    return RegionSet.from_layer(gpd.GeoDataFrame({"region_id": names}, geometry=shapes, crs="EPSG:25830"))


@pytest.fixture
def toy(planted, regions, tmp_path):
    """Runs an ablation of planted features under noise, and remembers what was made."""

    class Run:
        def __init__(self):
            self.made, self.fail_at = [], None

        def make(self, variant, seed, folder, progress):
            if len(self.made) == self.fail_at:
                raise Cancelled()
            self.made.append((variant.name, seed))
            config = replace(ToyConfig(), **variant.overrides)
            rng = np.random.default_rng((9, seed))
            learned = planted["features"] if variant.trained else 0.0
            vectors = learned + config.noise * rng.normal(size=planted["features"].shape)
            if variant.name == "w/o kind":
                vectors[:3] = np.nan
            return EmbeddingTable(regions, vectors.astype(np.float32))

        def __call__(self, names=None, sweeps=(), **options):
            given = {
                "config": ToyConfig(),
                "made_from": {"method": "toy"},
                "work": tmp_path / "work",
                "regions": regions,
                "targets": [Target("y", "regression", planted["regression"])],
                "floors": [
                    Features("weak", planted["noise"], True),
                    Features("some", planted["features"][:, :1], True),
                ],
                "settings": QUICK,
                "seeds": (0, 1, 2),
                **options,
            }
            return ablate(plan_variants(Toy(), given["config"], names, sweeps), self.make, **given)

    return Run()


def test_each_variant_is_trained_with_each_seed_and_judged_against_the_full_model(toy, planted):
    found = toy()
    assert toy.made == [(name, seed) for seed in (0, 1, 2) for name in (FULL, "w/o care", "w/o kind", UNTRAINED)]
    (target,) = found.targets
    assert (target.rows, target.uncovered, target.unlabelled, target.metric) == (141, 3, 0, "R2")
    assert [(item.name, item.floor) for item in target.scores] == [
        (FULL, False), ("w/o care", False), ("w/o kind", False), (UNTRAINED, False), ("some", True), ("weak", True),
    ]  # fmt: skip
    full, careless, same, untrained, some, weak = target.scores
    assert full.difference is None and full.verdict == ""
    assert careless.verdict == "worse" and careless.difference.mean < -0.3
    assert same.difference.per_seed == (0.0, 0.0, 0.0) and same.verdict == "level"
    assert untrained.verdict == some.verdict == weak.verdict == "worse"
    assert set(found.folders[UNTRAINED]).isdisjoint(found.folders[FULL])
    assert len(full.metrics["R2"].per_seed) == 3 and len(weak.metrics["R2"].per_seed) == 2
    assert "w/o kind: 3 of 144 regions have no vector." in found.notes[0].replace(", seed 0", "")


def test_numbers_are_those_of_evaluate(toy, planted, regions):
    """By hand: each seed's vectors evaluated beside the floors on the same rows, then averaged over the splits."""
    found = toy(["w/o care"])
    (target,) = found.targets
    scores = {}
    for name, noise in ((FULL, 0.25), ("w/o care", 2.0)):
        for seed in (0, 1, 2):
            noisy = planted["features"] + noise * np.random.default_rng((9, seed)).normal(size=(144, 6))
            sets = [
                Features("mine", noisy.astype(np.float32).astype(float)),
                Features("weak", planted["noise"], True),
            ]
            result = evaluate(
                [Target("y", "regression", planted["regression"])], sets, regions.centroid_xy(regions.crs), QUICK
            ).results[0]
            by_name = {item.features: item.metrics["R2"] for item in result.best_scores()}
            scores.setdefault(name, []).append(by_name["mine"].mean)
    full, careless = target.scores[:2]
    np.testing.assert_allclose(full.metrics["R2"].per_seed, scores[FULL], atol=1e-6)
    np.testing.assert_allclose(careless.metrics["R2"].per_seed, scores["w/o care"], atol=1e-6)
    np.testing.assert_allclose(careless.difference.per_seed, np.subtract(scores["w/o care"], scores[FULL]), atol=1e-6)
    weak = target.scores[-1]
    np.testing.assert_allclose(weak.metrics["R2"].per_seed, by_name["weak"].per_seed, atol=1e-6)
    np.testing.assert_allclose(weak.difference.per_seed, by_name["weak"].mean - np.array(scores[FULL]), atol=1e-6)


def test_one_training_is_compared_split_by_split(toy):
    found = toy(["w/o care"], seeds=(4,))
    full, careless, some, weak = found.targets[0].scores
    for item in (full, careless, some, weak):
        assert len(item.metrics["R2"].per_seed) == 2
    np.testing.assert_allclose(
        careless.difference.per_seed, np.subtract(careless.metrics["R2"].per_seed, full.metrics["R2"].per_seed)
    )
    assert "of one training" in report.explanation(found)


def test_what_is_finished_is_not_made_again(toy):
    toy.fail_at = 4
    with pytest.raises(Cancelled):
        toy()
    toy.fail_at = None
    first = toy()
    assert len(toy.made) == 12 and len(set(toy.made)) == 12
    assert any("4 of 12 trainings were finished by an earlier run" in note for note in first.notes)
    again = toy()
    assert len(toy.made) == 12
    assert again.targets == first.targets and again.folders == first.folders
    toy(made_from={"method": "toy", "epochs": 2})
    assert len(toy.made) == 24


def test_variants_of_one_configuration_share_a_training(toy):
    found = toy(["w/o care"], ["noise=0,0.25,2"])
    assert [name for name, seed in toy.made if seed == 0] == [FULL, "w/o care", "noise=0"]
    assert found.folders["noise=2"] == found.folders["w/o care"] and found.folders["noise=0.25"] == found.folders[FULL]
    assert any("6 of 15 trainings have the configuration of another variant" in note for note in found.notes)
    assert found.sweeps == ["noise"]


def test_the_folder_says_what_made_it(toy, tmp_path):
    found = toy(["w/o care"], seeds=(7,))
    (folder,) = found.folders["w/o care"]
    manifest = json.loads((tmp_path / "work" / folder.split("/")[-1] / "manifest.json").read_text())
    assert manifest == {"method": "toy", "config": {"noise": 2.0, "kind": "plain"}, "seed": 7}
    assert (tmp_path / "work" / folder.split("/")[-1] / TABLE).is_file()


def test_terminal_json_and_page(toy, tmp_path):
    found = toy(sweeps=["noise=0,1", "kind=odd"])
    text = "\n".join(report.lines(found))
    assert "y (regression, spatial blocks): 141 regions, 3 without a vector of each variant" in text
    assert "w/o care" in text and "against full" in text and " worse\n" in text
    report.write_json(tmp_path / "a.json", found)
    stored = json.loads((tmp_path / "a.json").read_text())
    assert [item["name"] for item in stored["variants"]] == [
        FULL, "w/o care", "w/o kind", UNTRAINED, "noise=0", "noise=1", "kind=odd",
    ]  # fmt: skip
    assert stored["variants"][4] == {
        "name": "noise=0", "overrides": {"noise": 0.0}, "sweep": ["noise", 0.0], "folders": found.folders["noise=0"],
    }  # fmt: skip
    assert stored["results"][0]["scores"][1]["difference"]["mean"] < -0.3
    page = "".join(report.page(found, "Ablation of Toy").parts)
    assert (
        page.count("<svg") == 2
        and "full model: 0.25" in page
        and "full model: plain" in page
        and "best floor: some" in page
    )
    assert "noise = 2.0" in page and "<tr class='bad'><td class='nobreak'>w/o care" in page


def test_a_sweep_is_drawn_in_the_order_of_its_numbers(toy):
    found = toy([], ["noise=3,1,0"])
    picture = report.sweep_picture(found, found.targets[0], "noise")
    places = picture.split("<polyline points='")[1].split("'")[0].split()
    heights = [float(place.split(",")[1]) for place in places]
    # 0, the full model's 0.25, 1, 3: more noise, lower score, further down.
    assert len(heights) == 4 and heights == sorted(heights)


def test_regions_that_no_label_covers_are_said_before_any_training(toy, planted):
    values = planted["regression"].copy()
    values[10:] = np.nan
    with pytest.raises(InputError, match="10 regions have a label"):
        toy(targets=[Target("y", "regression", values)])
    assert toy.made == []


def test_vectors_of_other_regions_are_refused(toy, regions, planted):
    keep = regions.to_frame().iloc[::-1]

    def make(variant, seed, folder, progress):
        return EmbeddingTable(RegionSet.from_layer(keep), planted["features"].astype(np.float32))

    toy.make = make
    with pytest.raises(InputError, match="not the 144 to evaluate on"):
        toy()


@pytest.mark.parametrize(
    ("names", "sweeps", "words"),
    [
        (["w/o"], [], "has no ablation 'w/o'.*w/o care"),
        (None, ["noise"], "not a sweep"),
        (None, ["noise="], "not a sweep"),
        (None, ["nois=1"], "no number 'nois'.*noise, kind"),
        (None, ["noise=0.1,-1"], "noise must be at least 0"),
    ],
)
def test_variants_that_do_not_exist_are_refused(names, sweeps, words):
    with pytest.raises(ConfigError, match=words):
        plan_variants(Toy(), ToyConfig(), names, sweeps)


def test_each_share_of_the_labels_is_compared_on_its_own(toy):
    found = toy(["w/o care"], settings=replace(QUICK, label_shares=(0.5,)))
    whole, half = found.targets
    assert (whole.label_share, half.label_share) == (1.0, 0.5)
    assert half.title == f"{whole.title} with 50 % of the labels" and half.rows == whole.rows
    alone = toy(["w/o care"])
    assert [item.metrics for item in alone.targets[0].scores] == [item.metrics for item in whole.scores]
    assert all(few.metrics != all_.metrics for few, all_ in zip(half.scores, whole.scores, strict=True))


def test_floors_that_the_full_model_does_not_beat_are_named(toy, planted):
    floors = [Features("weak", planted["noise"], True), Features("as good", planted["features"], True)]
    config = ToyConfig(noise=2.0)
    (sentence,) = toy([], config=config, floors=floors).verdicts()
    assert sentence == "y (regression, spatial blocks): the full model does not beat 'as good'."
    assert toy([], floors=floors[:1]).verdicts() == []
    (alone,) = toy([], config=config, floors=floors, seeds=(0,), settings=replace(QUICK, seeds=(0,))).verdicts()
    assert alone == sentence


def test_a_training_that_fails_leaves_no_folder(toy, tmp_path):
    toy.fail_at = 0
    with pytest.raises(Cancelled):
        toy([])
    assert not (tmp_path / "work").exists()


def test_what_cannot_be_compared_is_refused(toy):
    with pytest.raises(ConfigError, match="training seed"):
        toy(seeds=())
    with pytest.raises(ConfigError, match="one variant 'full'"):
        ablate([Variant("a")], toy.make, config=ToyConfig(), made_from={}, work="w", regions=None, targets=[], floors=[],
               settings=QUICK)  # fmt: skip


def test_cancelling_between_trainings(toy):
    class Stop(Progress):
        def cancelled(self):
            return len(toy.made) == 2

    with pytest.raises(Cancelled):
        toy(progress=Stop())
    assert len(toy.made) == 2


def test_without_aug_aether_is_blind_to_the_larger_window():
    method = get_method("aether")
    config = replace(method.config_class(), bands=5, text_dim=4, **method.ablations["w/o aug"])
    torch.manual_seed(0)
    model = method.build(config)
    base, other, augmented = torch.nn.functional.normalize(torch.randn(3, 8, 5), dim=-1)
    batch = {"base": base, "text": torch.randn(8, 4)}
    gradients = []
    for window in (augmented, other):
        loss = method.losses(model, {**batch, "augmented": window}, config)["loss"]
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("name", METHODS)
def test_declared_ablations_change_the_configuration(name):
    method = get_method(name)
    config = method.config_class()
    variants = plan_variants(method, config)
    assert [variant.name for variant in variants] == [FULL, *method.ablations, UNTRAINED]
    for variant in variants[1:-1]:
        assert replace(config, **variant.overrides) != config

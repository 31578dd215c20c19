"""Parts of the benchmark of UrbanMFM: losses on what a stage has not seen, merged regions, vectors of places, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import torch
from scipy import stats

from urbanfm_core.data.adjacency import region_adjacency
from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.neighbours import PointIndex
from urbanfm_core.data.poi_tags import read_tags
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.splits import make_folds
from urbanfm_core.data.store import SampleStore
from urbanfm_core.evaluation.floors import centres_m
from urbanfm_core.evaluation.run import Settings, evaluate
from urbanfm_core.evaluation.tables import Features, label_columns
from urbanfm_core.evaluation.targets import Target, read_targets
from urbanfm_core.models import get_method, load_preset, make_config
from urbanfm_core.models.poi_samples import stored_text_vectors
from urbanfm_core.models.text import load_text_encoder
from urbanfm_core.models.urbanmfm.city import Lists, MfmCity
from urbanfm_core.models.urbanmfm.losses import stage_losses
from urbanfm_core.models.urbanmfm.network import UrbanMfmModel
from urbanfm_core.models.urbanmfm.samples import JointSamples, StageSamples
from urbanfm_core.progress import Progress
from urbanfm_core.training.checkpoint import Checkpoint, restore
from urbanfm_core.training.loop import fit
from urbanfm_core.training.task import Task, TrainingConfig

CPU = torch.device("cpu")
FOLDS, BATCH, DRAWS = 5, 64, 4
SETTINGS = Settings(seeds=(0, 1, 2), mlp=False, settled_per_km2=0)
NEIGHBOURS, REACH_M = 8, 500.0


def interval(values: np.ndarray) -> str:
    """Mean and Student's 95 % interval."""
    if len(values) < 2:
        return f"{values.mean():+.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.3f} [{values.mean() - half:+.3f}, {values.mean() + half:+.3f}]"


# Held-out losses


def held_out_losses(
    preset: str,
    regions: Path,
    layers: Mapping[str, Path],
    cache: Path,
    seed: int,
    epochs: int | None,
    similarity: float | None,
) -> dict[str, tuple[float, float, float, int]]:
    """For each stage the loss on held-out samples before it, after it, and after the last stage; and how many they are.

    Held out are the regions of one fold in five, of whole blocks, with their places, roads and street views; a region
    and one that is alike to it are on one side. Graphs at the border reach over it, as they do when embedding.
    """
    method, made = get_method("urbanmfm"), load_preset(preset)
    given = {"epochs": epochs, "seed": seed}
    training = TrainingConfig(**{**made["training"], **{name: v for name, v in given.items() if v is not None}})
    city = CityInputs(**layers, regions=RegionSet.from_layer(regions))
    store = SampleStore(cache / "samples", {"purpose": "held out"})
    config = make_config(method.config_class, made["model"])
    config = config if similarity is None else replace(config, similarity=similarity)
    prepared = method.prepare(config, city, store, CPU, Progress())
    fold = make_folds(centres_m(city.require_regions()), folds=FOLDS, seed=seed).fold
    seen, held = (divided(prepared.samples, fold != 0, side) for side in (True, False))
    torch.manual_seed(seed)
    model: UrbanMfmModel = method.build(prepared.config)
    found: dict[str, tuple[float, float, float, int]] = {}
    for phase, unseen in zip(method.phases(replace(prepared, samples=seen)), held.stages, strict=True):
        before = loss_of(model, unseen)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(name.startswith(f"{part}.") for part in phase.trains))
        folder = cache / "held-out" / f"{seed}-{phase.name}"
        folder.mkdir(parents=True, exist_ok=True)
        task = Task(method, prepared.config, model, phase.samples)
        unsaved = replace(training, resume=False)
        fitted = fit(task, unsaved, device=CPU, folder=folder, data_fingerprint="held out", progress=Progress())
        model.load_state_dict(fitted.weights)
        found[phase.name] = (before, loss_of(model, unseen), 0.0, len(unseen))
    return {one.stage: (*found[one.stage][:2], loss_of(model, one), len(one)) for one in held.stages}


def divided(samples: JointSamples, inside: np.ndarray, side: bool) -> JointSamples:
    """The samples whose region is inside, or is not."""
    city = samples.stages[0].city
    region = np.full(len(city), -1)
    owner, place = city.region_places.take(np.arange(city.regions))
    region[place] = owner
    stages = []
    for stage in samples.stages:
        alike = stage.city.alike
        if stage.stage == "satellite" and alike is not None:
            owner = np.repeat(np.arange(city.regions), alike.counts())
            owner[inside[owner] != inside[alike.index]] = -1
            stage = replace(stage, city=replace(stage.city, alike=Lists.of_pairs(owner, alike.index, city.regions)))
            stage = replace(stage, rows=stage.rows[stage.city.alike.counts()[stage.rows] > 0])
        stages.append(replace(stage, rows=stage.rows[inside[region_of(stage, region)] == side]))
    return replace(samples, stages=stages)


def region_of(stage: StageSamples, region: np.ndarray) -> np.ndarray:
    """The region of each sample; places in none, and what is far from all, count as of the last."""
    city: MfmCity = stage.city
    if stage.stage == "poi_road" and city.roads is not None:
        return region[city.roads.index[city.roads.starts[stage.rows]]]
    if stage.stage == "street_view" and city.groups is not None:
        near = city.index.near(city.groups.xy[stage.rows], np.inf, 1)
        return region[near.index]
    return region[stage.rows] if stage.stage == "local" else stage.rows


def loss_of(model: UrbanMfmModel, samples: StageSamples) -> float:
    """Mean loss over batches that are always the same; chance is the logarithm of what a sample is compared with."""
    was = model.training
    model.eval()
    losses, size = [], min(BATCH, len(samples))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for _ in range(DRAWS):
            for some in torch.randperm(len(samples)).split(size):
                if len(some) == size:
                    losses.append(float(stage_losses(model, samples.batch(some), model.config)["loss"]))
    model.train(was)
    return float(np.mean(losses))


def street_stage(preset: str, data: Path, cache: Path, epochs: int | None) -> list[str]:
    """Street views of a real city through the second stage; what it says of them, and the loss before and after."""
    views = pd.read_csv(data / "images.csv")
    views["path"] = [str(data / "images" / name) for name in views["file"]]
    layer = cache / "stuttgart.gpkg"
    cache.mkdir(parents=True, exist_ok=True)
    columns = ["uuid", "path", "heading", "projection_type"]
    gpd.GeoDataFrame(views[columns], geometry=gpd.points_from_xy(views.lon, views.lat), crs=4326).to_file(layer)
    known = pd.read_csv(data / "all_1725_metadata.csv")
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(known.lon, known.lat), crs=4326)
    cells = RegionSet.grid(tuple(points.total_bounds), 500.0, crs=4326)
    held = cells.assign(np.column_stack([known.lon, known.lat]), 4326)
    table = cache / "stuttgart.csv"
    counts = np.bincount(held.region, minlength=len(cells))
    pd.DataFrame({"region_id": cells.ids, "pictures_taken": np.log1p(counts)}).to_csv(table, index=False)
    method, made = get_method("urbanmfm"), load_preset(preset)
    config = make_config(method.config_class, {**made["model"], "epoch_samples": 0})
    city = CityInputs(streetview=layer, features=table, regions=cells)
    store = SampleStore(cache / "samples", {"purpose": "stuttgart"})
    prepared = method.prepare(config, city, store, CPU, Progress())
    (samples,) = (stage for stage in prepared.samples.stages if stage.stage == "street_view")
    third = np.arange(len(samples)) % 3 == 2
    seen, held = (replace(samples, rows=samples.rows[some]) for some in (~third, third))
    prepared = replace(prepared, samples=replace(prepared.samples, stages=[seen]))
    torch.manual_seed(0)
    model: UrbanMfmModel = method.build(prepared.config)
    before = [loss_of(model, some) for some in (seen, held)]
    training = TrainingConfig(**{**made["training"], **({} if epochs is None else {"epochs": epochs}), "resume": False})
    (phase,) = method.phases(prepared)
    task = Task(method, prepared.config, model, phase.samples)
    folder = cache / "stuttgart"
    folder.mkdir(exist_ok=True)
    model.load_state_dict(
        fit(task, training, device=CPU, folder=folder, data_fingerprint="stuttgart", progress=Progress()).weights
    )
    after = [loss_of(model, some) for some in (seen, held)]
    said = [
        f"{len(some)} panoramas {words}: loss {first:.3f} before, {last:.3f} after {training.epochs} epochs; chance is "
        f"{np.log(4 * (len(some) - 1) + 1):.3f}."
        for some, words, first, last in zip((seen, held), ("seen", "held out"), before, after, strict=True)
    ]
    return [*prepared.notes, *said]


# Regions of other sizes


def merged_regions(source: RegionSet, people: str, count: int) -> RegionSet:
    """Each region with those beside it that are still free, by so many; persons are added."""
    if count == 1:
        return source
    near = region_adjacency(source)
    group = np.full(len(source), -1)
    groups = 0
    for row in np.argsort(near.counts(), kind="stable"):  # those with few neighbours choose first
        if group[row] >= 0:
            continue
        free = [other for other in near.of(row) if group[other] < 0]
        group[[row, *free[: count - 1]]] = groups
        groups += 1
    geometry = np.array([shapely.union_all(source.geometry[group == one]) for one in range(groups)], object)
    values = source.attributes[people].astype(float)
    table = pd.DataFrame({people: values.groupby(group).agg(lambda some: some.sum(skipna=False))})
    print(f"{len(source):,} regions are {groups:,} by {count}, {int((np.bincount(group) == 1).sum())} of them single")
    return RegionSet(np.arange(groups), geometry, source.crs, "region_id", table)


# Places


def embedded_places(checkpoint: Path, layers: Mapping[str, Path], cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the points of interest, and the rows of the layer that they come from."""
    found = Checkpoint.load(checkpoint)
    method, trained = restore(found, CPU)
    store = SampleStore(cache / "places", {"weights": found.manifest["weights_sha256"]})
    city = CityInputs(**layers)
    vectors = method.embed_points(trained, city, store, Progress()).vectors
    store.remove()
    return vectors, city.read_pois().index


def text_around(layer: gpd.GeoDataFrame, cache: Path, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frozen vectors of what points say, and means of those around each, by 1 / distance; 0 where nothing is said."""
    words = load_text_encoder("minilm")
    texts = np.array(read_tags(layer).texts(), object)
    told = np.flatnonzero(texts != "")
    store = SampleStore(cache / "texts", {"purpose": "texts", "encoder": words.identity})
    vectors, row = stored_text_vectors(words, texts[told].tolist(), store, Progress())
    own = np.zeros((len(texts), vectors.shape[1]))
    own[told] = vectors[row]
    near = PointIndex(xy).near_rows(np.arange(len(xy)), REACH_M, NEIGHBOURS)
    weight = 1 / np.maximum(near.distance_m, 1.0)
    owner = np.repeat(np.arange(len(xy)), near.counts())
    around = np.zeros_like(own)
    np.add.at(around, owner, own[near.index] * weight[:, None])
    total = np.bincount(owner, weights=weight, minlength=len(xy))
    return own, around / np.maximum(total, 1e-9)[:, None]


# Scores


@dataclass(frozen=True)
class Probes:
    """A target, and where what it belongs to lies."""

    target: Target
    xy: np.ndarray

    @classmethod
    def of_regions(cls, regions: RegionSet, specification: Sequence[str]) -> Probes:
        (target,) = read_targets(specification, label_columns(regions), regions.area_m2() / 1e6)
        return cls(target, centres_m(regions))

    @classmethod
    def of_classes(cls, name: str, labels: Sequence[str], xy: np.ndarray) -> Probes:
        (target,) = read_targets([name], pd.DataFrame({name: list(labels)}), np.ones(len(xy)))
        return cls(target, xy)

    def scores(self, features: Features) -> np.ndarray:
        """By split."""
        (result,) = evaluate([self.target], [features], self.xy, SETTINGS).results
        return np.array(result.best_scores()[0].metrics[result.metric].per_seed)


def between(probes: Probes, runs: Sequence[Features], floors: Sequence[Features]) -> tuple[np.ndarray, ...]:
    """Print the scores of trainings beside floors; by training (each the mean over splits), and of each floor by split."""
    mine = np.array([probes.scores(one).mean() for one in runs])
    print(f"  {runs[0].name:36s} {interval(mine)}")
    found = [mine]
    for floor in floors:
        scores = probes.scores(floor)
        print(
            f"  {floor.name:36s} {interval(scores)}   UrbanMFM less this {interval(mine - scores.mean())}", flush=True
        )
        found.append(scores)
    return tuple(found)

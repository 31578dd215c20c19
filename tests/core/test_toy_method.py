"""A sixth method needs one model file, a preset and a row of METHODS; everything else takes it as it is."""

import json
import sys
from collections import Counter
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import pytest
import torch
from shapely.geometry import Point, box
from torch import nn

import urbanfm_core
from urbanfm_core.errors import ConfigError
from urbanfm_core.geo.assign import assign_to_polygons
from urbanfm_core.models import METHODS
from urbanfm_core.models.exchange import Prepared, RegionVectors, TensorSamples
from urbanfm_core.models.method import Method


@dataclass(frozen=True)
class ToyConfig:
    categories: int = 0
    width: int = 3
    text_encoder: str = ""


class Toy(Method):
    """Regions as the mean of learned category vectors."""

    name, title, paper = "toy", "Toy", "none"
    needs = embeds_from = ("pois",)
    config_class = ToyConfig

    def prepare(self, config, city, store, device, progress):
        pois = city.read_pois()
        vocabulary = sorted({str(item) for item in pois.category})
        index = torch.tensor([vocabulary.index(str(item)) for item in pois.category])
        samples = TensorSamples({"category": index})
        return Prepared(replace(config, categories=len(vocabulary)), samples, {"vocabulary": vocabulary})

    def build(self, config):
        return nn.Embedding(config.categories, config.width)

    def losses(self, model, batch, config):
        return {"loss": (model(batch["category"]).norm(dim=1) - 1).square().mean()}

    def embed(self, trained, city, regions, store, progress, *, rule="centre"):
        pois = city.read_pois().to_crs(regions.crs)
        table = trained.model.weight.numpy()
        vocabulary = trained.preprocessing["vocabulary"]
        found = assign_to_polygons(pois.xy, regions.geometry)
        vectors = np.full((len(regions.ids), table.shape[1]), np.nan, np.float32)
        for row in np.unique(found.region):
            members = found.point[found.region == row]
            vectors[row] = np.mean([table[vocabulary.index(str(pois.category[i]))] for i in members], axis=0)
        return RegionVectors(vectors, {"pois": np.isfinite(vectors[:, 0]).astype(np.float32)})


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "toy", f"{__name__}:Toy")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    preset = tmp_path / "toy.json"
    training = {"epochs": 3, "batch_size": 4, "learning_rate": 0.1}
    preset.write_text(json.dumps({"method": "toy", "title": "Toy", "model": {"width": 2}, "training": training}))
    kinds = ["cafe", "park", "cafe", "school", "park", "cafe", "school", "cafe"]
    points = [Point(500000 + 100 * (i % 3), 4000000 + 10 * i) for i in range(len(kinds))]
    gpd.GeoDataFrame({"category": kinds}, geometry=points, crs="EPSG:32630").to_file(tmp_path / "pois.gpkg")
    cells = [box(500000 + 100 * c - 50, 3999000, 500000 + 100 * c + 50, 4001000) for c in range(4)]
    gpd.GeoDataFrame({"region_id": list("abcd")}, geometry=cells, crs="EPSG:32630").to_file(tmp_path / "regions.gpkg")
    return tmp_path, preset, Counter(kinds)


def test_a_sixth_method_trains_saves_loads_and_embeds(toy):
    folder, preset, _ = toy
    given = {"pois": folder / "pois.gpkg", "cache": folder / "cache", "device": "cpu"}
    checkpoint = urbanfm_core.train(preset=preset, out=folder / "ckpt", **given)
    inspected = urbanfm_core.inspect(checkpoint=checkpoint)
    assert inspected.method == "toy" and inspected.preprocessing["vocabulary"] == ["cafe", "park", "school"]
    table = urbanfm_core.embed(
        checkpoint=checkpoint, regions=folder / "regions.gpkg", parquet=folder / "o.parquet", **given
    )
    assert table.vectors.shape == (4, 2)
    assert list(table.covered) == [True, True, True, False]
    assert inspected.history[-1]["loss"] < inspected.history[0]["loss"]
    again = urbanfm_core.embed(preset=preset, regions=folder / "regions.gpkg", **given)
    np.testing.assert_array_equal(again.vectors, table.vectors)


def test_a_method_that_takes_one_city_says_so_and_takes_one_file(toy):
    folder, preset, _ = toy
    (folder / "a.json").write_text(json.dumps({"pois": "pois.gpkg"}))
    given = {"preset": preset, "cache": folder / "cache", "device": "cpu", "out": folder / "one"}
    with pytest.raises(ConfigError, match="Toy learns from one city at a time"):
        urbanfm_core.train(cities=[folder / "a.json", folder / "b.json"], **given)
    by_file = urbanfm_core.inspect(checkpoint=urbanfm_core.train(cities=[folder / "a.json"], **given))
    by_flag = urbanfm_core.train(pois=folder / "pois.gpkg", **{**given, "out": folder / "two"})
    same = urbanfm_core.inspect(checkpoint=by_flag).manifest["data_fingerprint"]
    assert by_file.manifest["data_fingerprint"] == same

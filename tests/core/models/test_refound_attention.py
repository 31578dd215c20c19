"""Where points look: the map of a region is what the network's own attention says, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from pyproj import CRS

from urbanfm_core.data.image_store import patch_validity, stored_images
from urbanfm_core.data.imagery import Imagery
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import Cancelled, EmptyInputError, ShapeError
from urbanfm_core.inference.attention import own_patch_share
from urbanfm_core.models.attention import RegionAttention
from urbanfm_core.models.exchange import Trained
from urbanfm_core.models.refound import RefoundConfig, RefoundModel
from urbanfm_core.models.refound.attention import chosen_tokens, patch_attention, token_shares
from urbanfm_core.models.refound.finetune import network_outputs
from urbanfm_core.models.refound.samples import RegionInputs
from urbanfm_core.models.refound.sequence import build_sequences
from urbanfm_core.models.refound.tokenizer import PoiTokenizer, PoiVocabulary
from urbanfm_core.progress import Progress

WEST, NORTH, SIDE, PATCHES = 440_000.0, 4_474_256.0, 32, 4
UTM = CRS.from_epsg(32630)
NAMES = ["Bar Sol", "Colegio San Juan", "Bar Luna", None, "Café del Mar", "Bar Mar", "Bar Sol Luna", "Museo", "Bar Rio"]


class City:
    """Four regions in a row, of which the last has no picture and the third only half a one; and nine points."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        colours = rng.integers(1, 255, (3, SIDE, 3 * SIDE)).astype(np.uint8)
        colours[:, :, 80:] = 0
        path = folder / "imagery.tif"
        options = {"driver": "GTiff", "count": 3, "dtype": "uint8", "nodata": 0, "crs": UTM.to_wkt()}
        grid = Affine(1, 0, WEST, 0, -1, NORTH)
        with rasterio.open(path, "w", height=SIDE, width=3 * SIDE, transform=grid, **options) as file:
            file.write(colours)
        boxes = [shapely.box(WEST + 32 * i, NORTH - 32, WEST + 32 * (i + 1), NORTH) for i in range(4)]
        self.regions = RegionSet(np.arange(4), np.array(boxes, object), UTM, "region_id", pd.DataFrame(index=range(4)))
        east = np.array([3, 20, 28, 12, 40, 60, 92, 100, 300.0])
        south = np.array([5, 30, 12, 12, 3, 25, 10, 10, 10.0])
        name = np.empty(9, object)
        name[:] = NAMES
        category = np.array([str(text).split()[0] for text in name], object)
        xy = np.column_stack([WEST + east, NORTH - south])
        self.pois = PoiSet(xy, UTM, name, category, np.full(9, None, object), np.arange(9))
        self.tokenizer = PoiTokenizer.train([text for text in NAMES if text] * 3, size=200)
        self.vocabulary = PoiVocabulary.train(self.pois)
        self.config = RefoundConfig(
            vocab_size=len(self.tokenizer), categories=len(self.vocabulary), hidden_size=16, layers=2, heads=4,
            intermediate_size=32, shared_layers=1, max_tokens=64, max_pois=32, image_size=SIDE, patch_size=8, grid=4,
            visual_vocab_size=0,
        )  # fmt: skip
        with Imagery(path) as raster:
            self.frames = raster.region_footprints(self.regions, SIDE, 1.0)
            images = stored_images(raster, self.frames, SIDE, SampleStore(folder / "images", {}))
        sequences = build_sequences(
            self.pois, self.regions, self.frames, self.tokenizer, self.vocabulary, max_tokens=64, max_pois=32, grid=4
        )
        self.inputs = RegionInputs(sequences, images, images.statistics(), 8)
        torch.manual_seed(0)
        self.model = RefoundModel(self.config).eval()
        with torch.no_grad():
            # Fresh weights attend almost evenly; these do not.
            for layer in self.model.layers:
                layer.qkv.weight.mul_(30)
        self.bars = np.array([str(text).startswith("Bar") for text in name])

    def trained(self, model: Any = None, batch_size: int | None = None) -> Trained:
        return Trained(self.config, model or self.model, {}, torch.device("cpu"), batch_size)

    def attend(self, store: SampleStore, chosen: Any = None, trained: Trained | None = None) -> RegionAttention:
        mask = self.bars if chosen is None else chosen
        return patch_attention(trained or self.trained(), self.inputs, self.frames, mask, store, Progress(), [])


@pytest.fixture(scope="module")
def city(tmp_path_factory) -> City:
    return City(tmp_path_factory.mktemp("city"))


@pytest.fixture
def store(tmp_path) -> SampleStore:
    return SampleStore(tmp_path / "store", {})


def by_hand(city: City, row: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The map of a region and the shares of each bar's tokens, one token after the other."""
    batch = city.inputs.batch(np.array([row]), torch.device("cpu"))
    with torch.no_grad():
        attention = city.model.encode(batch, attention=True).attention[0].numpy().astype(np.float64)
    shown = patch_validity(city.inputs.images.take(np.array([row]))[1], 8)[0]
    sequences = city.inputs.sequences
    start, stop = sequences.starts[row : row + 2]
    tokens: dict[int, list[np.ndarray]] = {}
    for column in range(stop - start):
        poi = int(sequences.poi[start + column])
        if poi >= 0 and city.bars[poi] and sequences.tokens[start + column] != city.tokenizer.sep:
            share = np.mean([attention[head, column] for head in range(attention.shape[0])], axis=0)
            share = np.where(shown, share, 0)
            tokens.setdefault(poi, []).append(share / share.sum())
    weights = np.mean([share for shares in tokens.values() for share in shares], axis=0)
    return np.where(shown, weights, np.nan), {poi: np.array(shares) for poi, shares in tokens.items()}


@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_maps_and_masses_are_those_computed_by_hand(city, store, batch_size):
    attention = city.attend(store, trained=city.trained(batch_size=batch_size))
    assert attention.rows.tolist() == [0, 1, 2]
    for row in attention.rows:
        weights, tokens = by_hand(city, row)
        np.testing.assert_allclose(attention.take(np.array([row]))[0], weights, atol=1e-6)
        here = attention.pairs.region == row
        assert attention.pairs.poi[here].tolist() == sorted(tokens)
        for poi, patch, mass, count in zip(
            *(getattr(attention.pairs, name)[here] for name in ("poi", "patch", "mass", "tokens")), strict=True
        ):
            x, y = city.pois.xy[poi] - city.frames.bounds[row, [0, 3]]
            place = int(-y // 8) * PATCHES + int(x // 8)
            assert count == len(tokens[poi])
            if np.isfinite(weights[place]):
                assert patch == place
                assert mass == pytest.approx(tokens[poi][:, place].mean(), abs=1e-6)
            else:
                assert patch == -1 and np.isnan(mass)


def test_maps_are_shares_of_the_patches_with_data(city, store):
    attention = city.attend(store)
    weights = attention.take(np.arange(4))
    np.testing.assert_allclose(np.nansum(weights[:3], axis=1), 1, rtol=1e-6)
    assert np.isfinite(weights).sum(axis=1).tolist() == [16, 16, 8, 0]
    assert attention.patches.tolist() == [16, 16, 8, 0]
    assert np.ptp(weights[0]) > 0.02


def test_the_chosen_precision_is_that_of_attention_and_predictions(city, store, tmp_path):
    rows = np.array([2, 0, 1])
    low = replace(city.trained(), precision="bfloat16")
    whole, rounded = (network_outputs(one, city.inputs, rows, Progress())[0] for one in (city.trained(), low))
    with torch.no_grad():
        alone = [city.model(city.inputs.batch(rows[[place]], torch.device("cpu")))[0].numpy() for place in range(3)]
    np.testing.assert_allclose(whole, alone, atol=1e-5)
    assert 0 < np.abs(whole - rounded).max() < 0.2
    exact = city.attend(store).take(rows)
    digits = city.attend(SampleStore(tmp_path / "low", {}), trained=low).take(rows)
    assert 0 < np.nanmax(np.abs(exact - digits)) < 0.1


def test_only_the_names_of_chosen_points_are_asked(city):
    sequences = city.inputs.sequences
    picked = chosen_tokens(sequences, city.bars)
    assert not picked[sequences.starts[:-1]].any()
    assert (sequences.tokens[picked] != city.tokenizer.sep).all()
    assert set(sequences.poi[picked].tolist()) == {0, 2, 5, 6}


def test_what_has_no_attention_is_counted(city, store):
    notes = " ".join(city.attend(store, np.ones(9, bool)).notes)
    assert "1 of 9 chosen points lie in no region" in notes
    assert "1 of 9 chosen points have no name" in notes
    assert "1 of 9 chosen points lie in regions without imagery" in notes
    assert "1 of 6 chosen points stand on no patch with data" in notes


def test_finished_parts_are_not_computed_again(city, store):
    first = city.attend(store)

    class Broken(torch.nn.Module):
        def encode(self, *_: Any, **__: Any) -> None:
            pytest.fail("computed again")

    again = city.attend(store, trained=city.trained(Broken()))
    np.testing.assert_array_equal(again.take(np.arange(4)), first.take(np.arange(4)))
    np.testing.assert_array_equal(again.pairs.mass, first.pairs.mass)
    other = city.attend(store, ~city.bars)
    assert set(other.pairs.poi) == {1, 4}


class Planted(torch.nn.Module):
    """Attention as if every token knew its place: a part of it on its own patch, the rest spread, and some elsewhere."""

    def __init__(self, own: float) -> None:
        super().__init__()
        self.own = own

    def encode(self, batch: Mapping[str, torch.Tensor], **_: Any) -> Any:
        patch, shown = batch["poi_patch"], batch["image_mask"][:, None].float()
        even = shown / shown.sum(-1, keepdim=True)
        own = torch.nn.functional.one_hot(patch.clamp(min=0), even.shape[-1]) * (patch >= 0)[..., None]
        maps = torch.stack([2 * self.own * own + (1 - 2 * self.own) * even, even.expand_as(own)], dim=1)
        return SimpleNamespace(attention=0.3 * maps)


def test_planted_attention_is_found_again(city, store):
    share = own_patch_share(city.attend(store, trained=city.trained(Planted(0.4))))
    assert share.regions == 2  # the bar of the third region stands on no data
    assert share.uniform == pytest.approx(1 / 16)
    assert share.own == pytest.approx(0.4 + 0.6 / 16, rel=1e-5)
    assert share.ratio == pytest.approx(share.own * 16)
    none = own_patch_share(city.attend(SampleStore(store.path, {}), trained=city.trained(Planted(0.0))))
    assert none.ratio == pytest.approx(1, rel=1e-5)


def test_a_token_that_attends_to_no_patch_counts_for_nothing():
    shown = np.array([[True, True, False], [True, True, False]])
    shares = token_shares(np.array([[0.1, 0.3, 0.5], [0, 0, 0.7]], np.float32), shown)
    np.testing.assert_allclose(shares[0], [0.25, 0.75, 0], rtol=1e-6)
    assert np.isnan(shares[1]).all()


def test_nothing_to_attend_and_wrong_shapes_are_errors(city, store):
    nowhere = np.arange(9) == 8
    with pytest.raises(EmptyInputError, match="None of 1 chosen points"):
        city.attend(store, nowhere)
    without = replace(city.inputs, images=None)
    with pytest.raises(EmptyInputError, match="imagery"):
        patch_attention(city.trained(), without, city.frames, city.bars, store, Progress(), [])
    with pytest.raises(ShapeError):
        city.attend(store, city.bars[:4])


def test_cancelling_keeps_no_half_part(city, store):
    class Stop(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        patch_attention(city.trained(), city.inputs, city.frames, city.bars, store, Stop(), [])
    assert not list(store.path.rglob("*.npy"))

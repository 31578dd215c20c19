"""What methods of pictures and captions share: views against plain formulas, tokens there and back, draws that repeat."""

from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from PIL import Image

from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.image_store import ImageStatistics
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import CheckpointError, ConfigError, EmptyInputError, NoOverlapError
from urbanfm_core.models.exchange import Trained
from urbanfm_core.models.image_text import (
    Augmentation,
    CaptionTokenizer,
    augmented,
    caption_samples,
    captions_of,
    load_or_train,
    picture_inputs,
    plain,
    region_vectors,
)
from urbanfm_core.progress import Progress
from urbanfm_core.resources import resource

STATISTICS = ImageStatistics((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
STILL = Augmentation(crop=1.0, flips=False, turns=False, jitter=0.0)
TEXTS = ["A dense shopping area. Many shops.", "Plenty of trees and low-rise homes.", "A car park beside offices."]


@pytest.fixture
def images():
    return torch.randint(0, 256, (64, 3, 12, 12), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_plain_pictures_are_normalised_by_channel(images):
    expected = (images.numpy() / 255 - np.array(STATISTICS.mean)[:, None, None]) / np.array(STATISTICS.std)[
        :, None, None
    ]
    np.testing.assert_allclose(plain(images, STATISTICS).numpy(), expected, atol=1e-5)


def test_without_changes_views_are_the_pictures(images):
    torch.testing.assert_close(
        augmented(images, STATISTICS, STILL, from_above=True), plain(images, STATISTICS), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(("from_above", "kinds"), [(True, 8), (False, 2)])
def test_flips_and_turns_are_exact_and_all_occur(images, from_above, kinds):
    torch.manual_seed(1)
    how = Augmentation(crop=1.0, jitter=0.0)
    views = augmented(images, STATISTICS, how, from_above=from_above)
    found = set()
    for view, image in zip(views, plain(images, STATISTICS), strict=True):
        turned = [torch.rot90(image, quarter, (1, 2)) for quarter in range(4)]
        every = [*turned, *(one.flip(2) for one in turned)]
        found.add(next(number for number, one in enumerate(every) if torch.allclose(view, one, atol=1e-4)))
    assert len(found) == kinds
    if not from_above:
        assert found == {0, 4}


def test_a_crop_shows_a_part_of_the_picture():
    ramp = torch.arange(0, 240, 4, dtype=torch.uint8).expand(1, 3, 60, 60).repeat(40, 1, 1, 1)
    torch.manual_seed(2)
    how = Augmentation(crop=0.5, flips=False, turns=False, jitter=0.0)
    views = augmented(ramp, ImageStatistics((0.0,) * 3, (1 / 255,) * 3), how, from_above=True)
    steps = (views[:, 0, 30, 1:] - views[:, 0, 30, :-1]).median(1).values
    assert steps.min() >= 0.5 * 4 - 1e-3 and steps.max() <= 4 + 1e-3 and steps.std() > 0.2
    middles = views[:, 0, 30, 30]
    assert middles.min() < 90 and middles.max() > 140


def test_colours_are_jittered_within_their_range(images):
    torch.manual_seed(3)
    how = Augmentation(crop=1.0, flips=False, turns=False, jitter=0.4)
    unit = ImageStatistics((0.0,) * 3, (1.0,) * 3)
    views = augmented(images, unit, how, from_above=True)
    assert views.min() >= 0 and views.max() <= 1
    ratio = views.mean((1, 2, 3)) / plain(images, unit).mean((1, 2, 3))
    assert ratio.min() < 0.9 and ratio.max() > 1.1


@pytest.mark.parametrize("wrong", [{"crop": 0.0}, {"crop": 1.5}, {"jitter": 1.0}])
def test_changes_that_make_no_view_are_refused(wrong):
    with pytest.raises(ConfigError):
        Augmentation(**wrong)


def test_tokens_stand_between_start_and_end_and_come_back():
    words = CaptionTokenizer.train(TEXTS * 3, 300)
    tokens = words.encode(TEXTS, 20)
    for row, text in zip(tokens.ids.tolist(), TEXTS, strict=True):
        end = row.index(words.end)
        assert row[0] == words.start and set(row[end + 1 :]) <= {0} and 0 not in row[:end]
        assert words.decode(row) == text.lower()
    again = CaptionTokenizer.from_files(words.to_files())
    np.testing.assert_array_equal(again.encode(TEXTS, 20).ids, tokens.ids)


def test_long_captions_are_divided_at_sentences_or_lose_their_end():
    words = CaptionTokenizer.train(TEXTS * 3, 300)
    long = "Many shops. A car park. Plenty of trees. " * 3
    whole = words.encode([long, "Homes."], 200)
    cut = words.encode([long, "Homes."], 12)
    divided = words.encode([long, "Homes."], 12, divide=True)
    assert cut.source.tolist() == [0, 1] and "lost their end" in cut.notes[0]
    assert divided.source.tolist().count(0) > 2 and "divided" in divided.notes[0] and len(divided.notes) == 1
    parts = [words.decode(row) for row in divided.ids[divided.source == 0].tolist()]
    assert all(part.endswith(".") for part in parts)
    assert " ".join(parts) == words.decode(whole.ids[0].tolist())
    endless = words.encode(["trees " * 50], 12, divide=True)
    assert len(endless.ids) == 1 and any("lost their end" in note for note in endless.notes)
    assert (endless.ids[0, -1], endless.ids[0, 0]) == (words.end, words.start)


def test_odd_captions_are_texts_like_any_other():
    words = CaptionTokenizer.train(TEXTS * 3, 300)
    tokens = words.encode(["", "[SEP] [PAD]", "\0🏠", "x" * 10_000], 10, divide=True)
    assert len(tokens.ids) == 4
    assert tokens.ids[0].tolist() == [words.start, words.end] + [0] * 8
    assert tokens.ids[1, 1:-1].tolist().count(words.end) <= 1
    with pytest.raises(ConfigError, match="no room"):
        words.encode(["x"], 2)
    with pytest.raises(EmptyInputError, match="None of the pictures"):
        load_or_train("wordpiece", ["", " "], 200, 0)
    with pytest.raises(CheckpointError, match="damaged"):
        CaptionTokenizer.from_files({"tokenizer.json": "{}", "ends.json": "{}"})


@pytest.fixture(scope="module")
def city():
    folder = resource("samplecity")
    return CityInputs(
        imagery=folder / "imagery.tif",
        captions=folder / "captions.parquet",
        streetview=folder / "streetview.gpkg",
        regions=RegionSet.from_layer(folder / "regions.gpkg"),
    )


SIZES = SimpleNamespace(image_size=24, pixel_m=0.0, context=True)


@pytest.fixture(scope="module")
def pictures(city, tmp_path_factory):
    store = SampleStore(tmp_path_factory.mktemp("pictures"), {})
    return {view: picture_inputs(city, SIZES, view, store, Progress()) for view in ("imagery", "streetview")}


def samples_of(city, pictures, augmentation=STILL):
    captions, owner, notes = captions_of(city.read_captions(), pictures)
    tokens = CaptionTokenizer.train(captions, 300).encode(captions, 30, divide=True)
    statistics = pictures.images.statistics()
    samples, said = caption_samples(pictures, owner[tokens.source], tokens.ids, statistics, augmentation)
    return samples, [*notes, *said]


def test_a_fresh_caption_of_the_right_picture_is_drawn_each_time(city, pictures):
    samples, notes = samples_of(city, pictures["imagery"])
    assert len(samples) == 50 and any("50 of 50 pictures have a caption" in note for note in notes)
    torch.manual_seed(0)
    rows = torch.tensor([3, 41, 7])
    seen = [set(), set(), set()]
    for _ in range(200):
        batch = samples.batch(rows)
        for place in range(3):
            seen[place].add(tuple(one for one in batch["text"][place].tolist() if one))
    for place, row in enumerate(rows.tolist()):
        own = samples.texts[samples.starts[row] : samples.starts[row + 1]].tolist()
        assert seen[place] == {tuple(one for one in text if one) for text in own} and len(own) >= 3
    rgb = pictures["imagery"].take(samples.rows[rows.numpy()], samples.statistics)
    expected = plain(torch.from_numpy(rgb), samples.statistics)
    torch.testing.assert_close(samples.batch(rows)["image"], expected, atol=1e-4, rtol=0)


def test_draws_come_from_torch_s_random_state_alone(city, pictures):
    samples, _ = samples_of(city, pictures["imagery"], Augmentation())
    rows = torch.arange(20)
    found = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        found.append(samples.batch(rows))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not torch.equal(found[0]["image"], found[2]["image"])


def test_street_views_belong_to_regions_and_are_averaged(city, pictures, tmp_path):
    views = pictures["streetview"]
    samples, _ = samples_of(city, views)
    assert len(samples) > 2 and views.kind == "street" and not views.from_above
    assert any("regions have no street view" in note for note in views.notes)
    trained = Trained(SIZES, torch.nn.Identity(), {}, torch.device("cpu"))
    store = SampleStore(tmp_path, {})
    statistics = samples.statistics
    found = region_vectors(trained, views, statistics, 3, lambda images: images.mean((2, 3)), store, Progress())
    means = plain(torch.from_numpy(views.take(np.arange(len(views)), statistics)), statistics).mean((2, 3)).numpy()
    for region in range(views.regions):
        rows = views.picture[views.region == region]
        if len(rows):
            np.testing.assert_allclose(found.vectors[region], means[rows].mean(axis=0), atol=1e-5)
        else:
            assert np.isnan(found.vectors[region]).all()
    assert found.coverage["streetview"].sum() == len(np.unique(views.region))
    assert any("have no picture and no vector" in note for note in found.notes)


def test_finished_vectors_are_not_computed_again(city, pictures, tmp_path):
    trained = Trained(SIZES, torch.nn.Identity(), {}, torch.device("cpu"), batch_size=7)
    store, calls = SampleStore(tmp_path, {}), []

    def encode(images):
        calls.append(len(images))
        return images.mean((2, 3))

    views = pictures["imagery"]
    statistics = views.images.statistics()
    first = region_vectors(trained, views, statistics, 3, encode, store, Progress())
    assert sum(calls) == 50 and max(calls) == 7
    again = region_vectors(trained, views, statistics, 3, encode, store, Progress())
    assert sum(calls) == 50
    np.testing.assert_array_equal(first.vectors, again.vectors)


def test_pixels_without_data_are_zero_to_the_network(tmp_path, pictures):
    views = pictures["imagery"]
    statistics = ImageStatistics((0.5, 0.25, 0.75), (0.2, 0.2, 0.2))
    rgb, valid = views.images.take(np.array([0]))
    holed = SimpleNamespace(take=lambda rows: (rgb, valid & (np.arange(24) < 12)))
    changed = views.__class__(**{**vars(views), "images": holed})
    seen = plain(torch.from_numpy(changed.take(np.array([0]), statistics)), statistics)
    assert seen[..., 12:].abs().max() < 0.02 and seen[..., :12].abs().max() > 0.1


def test_captions_of_other_pictures_are_counted(city, pictures):
    rows = [("SC-000-000", "", "satellite", "me", "A park."), ("elsewhere", "", "satellite", "me", "A park.")]
    captions, owner, notes = captions_of(CaptionSet.from_rows(rows), pictures["imagery"])
    assert captions == ["A park."] and owner.tolist() == [0]
    assert any("1 of 2 captions are empty or of other pictures" in note for note in notes)
    with pytest.raises(EmptyInputError, match="1 of 50 pictures have a caption"):
        caption_samples(pictures["imagery"], owner, np.ones((1, 4), np.int32), STATISTICS, STILL)


def test_street_views_elsewhere_are_refused(city, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    frame = gpd.GeoDataFrame({"path": ["a.jpg"]}, geometry=[shapely.Point(0, 0)], crs="EPSG:4326")
    frame.to_file(tmp_path / "far.gpkg")
    far = CityInputs(streetview=tmp_path / "far.gpkg", regions=city.regions)
    with pytest.raises(NoOverlapError, match="1 street views"):
        picture_inputs(far, SIZES, "streetview", SampleStore(tmp_path / "store", {}), Progress())

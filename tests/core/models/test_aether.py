from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import torch
from pyproj import CRS
from rasterio.transform import from_origin

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import Cancelled, CheckpointError, ConfigError, EmptyInputError, InputError, ShapeError
from urbanfm_core.models import text
from urbanfm_core.models.aether import Aether, AetherConfig, method
from urbanfm_core.models.exchange import Trained, TrainingCity
from urbanfm_core.progress import Progress

CPU = torch.device("cpu")
BANDS, LEFT, TOP, SIZE = 6, 500_000.0, 4_000_000.0, 30
CRS_NAME = "EPSG:32630"
SMALL = AetherConfig(
    hidden_dim=16, post_dim=12, embedding_dim=8, window="square", base_px=1, augmented_px=3, text_encoder="fake"
)


class LetterEncoder:
    """Texts as unit vectors of letter counts, without a model."""

    spec, identity, dim = "fake", "letters-1", 26

    def __init__(self):
        self.encoded, self.notes = 0, ["Letters are counted."]

    def encode(self, texts, progress=None):
        self.encoded += len(texts)
        counts = np.array([[text.lower().count(chr(97 + k)) for k in range(26)] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.fixture
def encoder(monkeypatch):
    fake = LetterEncoder()
    for module in (method, text):
        monkeypatch.setattr(module, "load_text_encoder", lambda spec, **options: fake)
    return fake


def write_raster(path, array, **options):
    profile = {"driver": "GTiff", "crs": CRS_NAME, "transform": from_origin(LEFT, TOP, 10, 10), **options}
    bands, height, width = array.shape
    with rasterio.open(path, "w", count=bands, height=height, width=width, dtype=array.dtype, **profile) as file:
        file.write(array)
    return path


def place(column, row):
    """Map coordinates of a pixel's centre."""
    return LEFT + 10 * (column + 0.5), TOP - 10 * (row + 0.5)


@pytest.fixture
def raster(tmp_path):
    array = np.random.default_rng(0).normal(size=(BANDS, SIZE, SIZE)).astype(np.float32)
    array[:, 20:, 20:] = np.nan
    array[:, :8, 22:] = 0
    return write_raster(tmp_path / "raster.tif", array, nodata=np.nan)


def write_pois(path, rows):
    lines = ["x,y,name,category", *(f"{x},{y},{name},{category}" for (x, y), name, category in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def city_of(tmp_path, raster, rows):
    from urbanfm_core.data.poi import PoiColumns

    columns = PoiColumns(x="x", y="y", crs=CRS_NAME, name="name", category="category")
    return CityInputs(
        pois=write_pois(tmp_path / "pois.csv", rows), poi_columns=columns, embedding_raster=raster, quantization="auto"
    )


GOOD = [(place(3 + i, 4 + i), name, "cafe") for i, name in enumerate(["Sol", "Luna", "Mar", "Sol"])]


def prepare(config, city, tmp_path, progress=None, encoder_calls=None):
    store = SampleStore(tmp_path / "store", {"test": 1})
    return Aether().prepare(config, city, store, CPU, progress or Progress())


def test_prepare_keeps_good_points_and_counts_the_others(tmp_path, raster, encoder):
    rows = [
        *GOOD,
        (place(12, 12), "", ""),
        (place(100, 100), "Away", "cafe"),
        (place(26, 26), "Hole", "cafe"),
        (place(27, 2), "Black", "cafe"),
    ]
    prepared = prepare(SMALL, city_of(tmp_path, raster, rows), tmp_path)
    assert prepared.preprocessing["counts"] == {
        "points": 8,
        "used": 4,
        "without_text": 1,
        "not_drawn": 0,
        "off_raster": 1,
        "without_valid_pixels": 2,
    }
    sentence = next(note for note in prepared.notes if "are used" in note)
    assert sentence == (
        "4 of 8 points of interest are used; left out: 1 have no text, 1 lie off the raster, "
        "2 have too few valid pixels around them."
    )
    assert "Letters are counted." in prepared.notes
    assert (prepared.config.bands, prepared.config.text_dim) == (BANDS, 26)
    assert prepared.preprocessing["text_encoder"] == {"spec": "fake", "identity": "letters-1", "dim": 26}
    assert prepared.preprocessing["window_sizes"] == [1, 3]
    assert prepared.preprocessing["pixel_m"] == [10.0, 10.0]


def test_samples_are_unit_window_means_with_the_text_of_their_point(tmp_path, raster, encoder):
    samples = prepare(SMALL, city_of(tmp_path, raster, GOOD), tmp_path).samples
    with rasterio.open(raster) as file:
        pixels = file.read()
    batch = samples.batch(torch.tensor([1, 3]))
    for row, point in enumerate([1, 3]):
        column, line = 3 + point, 4 + point
        for name, reach in (("base", 1), ("augmented", 3)):
            window = pixels[:, line - reach : line + reach + 1, column - reach : column + reach + 1]
            mean = window.mean(axis=(1, 2))
            np.testing.assert_allclose(batch[name][row], mean / np.linalg.norm(mean), atol=1e-6)
    expected = LetterEncoder().encode(["A place of cafe, named Luna.", "A place of cafe, named Sol."])
    np.testing.assert_array_equal(batch["text"], expected)
    assert len(samples) == 4 and len(samples.text) == 3


def test_a_rerun_takes_windows_and_texts_from_the_store(tmp_path, raster, encoder, monkeypatch):
    city = city_of(tmp_path, raster, GOOD)
    first = prepare(SMALL, city, tmp_path)
    monkeypatch.setattr("urbanfm_core.models.poi_samples.window_means", None)
    second = prepare(SMALL, city, tmp_path)
    assert encoder.encoded == 3
    assert torch.equal(first.samples.base, second.samples.base)
    assert torch.equal(first.samples.text, second.samples.text)


def test_a_share_of_the_points_is_drawn_by_seed(tmp_path, raster, encoder):
    city = city_of(tmp_path, raster, [(place(i, i), f"N{i}", "cafe") for i in range(2, 18)])
    half = replace(SMALL, poi_share=0.5)
    one, same = (prepare(half, city, tmp_path) for _ in range(2))
    other = prepare(replace(half, poi_seed=1), city, tmp_path)
    assert one.preprocessing["counts"]["not_drawn"] == 8 and len(one.samples) == 8
    assert torch.equal(one.samples.base, same.samples.base)
    assert not torch.equal(one.samples.base, other.samples.base)


def test_windows_must_hold_the_share_of_valid_pixels_that_is_asked_for(tmp_path, raster, encoder):
    rows = [*GOOD, (place(0, 0), "Corner", "cafe")]
    city = city_of(tmp_path, raster, rows)
    assert len(prepare(SMALL, city, tmp_path).samples) == 5
    assert len(prepare(replace(SMALL, min_valid=0.9), city, tmp_path).samples) == 4


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(place(100 + i, 5), "Away", "x") for i in range(3)], ["3 lie off the raster", "raster spans x 500000"]),
        ([(place(26, 26), "Hole", "x"), (place(27, 27), "Hole", "x")], ["2 have too few valid pixels", "nodata"]),
        ([(place(5, 5), "Lone", "x")], ["1 of 1 points", "At least two"]),
        ([(place(5, 5), "", ""), (place(6, 6), "", "")], ["2 have no text", "columns"]),
    ],
)
def test_without_usable_points_it_says_why(tmp_path, raster, encoder, rows, words):
    with pytest.raises(EmptyInputError) as caught:
        prepare(SMALL, city_of(tmp_path, raster, rows), tmp_path)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_prepare_can_be_cancelled(tmp_path, raster, encoder):
    class Stop(Progress):
        def cancelled(self):
            return True

    with pytest.raises(Cancelled):
        prepare(SMALL, city_of(tmp_path, raster, GOOD), tmp_path, Stop())


def network(config=None, seed=0):
    torch.manual_seed(seed)
    config = config or replace(SMALL, bands=BANDS, text_dim=26)
    model = Aether().build(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Trained(config, model.eval().requires_grad_(False), {}, CPU, batch_size=7)


def test_projector_is_the_formula_of_the_paper():
    trained = network()
    x = np.random.default_rng(1).normal(size=(5, BANDS))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    w = {name: tensor.double().numpy() for name, tensor in trained.model.image.state_dict().items()}

    def linear(values, name):
        return values @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def unit(values):
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    gate = 1 / (1 + np.exp(-w["gate"]))
    mixed = unit(linear(np.maximum(linear(x, "expand"), 0), "contract") + gate * linear(x, "shortcut"))
    inner = linear(mixed, "post_expand")
    erf = torch.erf(torch.from_numpy(inner / np.sqrt(2))).numpy()
    expected = unit(linear(0.5 * inner * (1 + erf), "post_contract"))
    found = trained.model.image(torch.from_numpy(x.astype(np.float32)))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    text = np.eye(26, dtype=np.float32)
    plain = text @ trained.model.text.project.weight.numpy().T + trained.model.text.project.bias.numpy()
    np.testing.assert_allclose(trained.model.text(torch.from_numpy(text)), unit(plain), atol=1e-6)


@pytest.mark.parametrize("width", [8, BANDS])
def test_pixel_function_is_the_projector_on_normalised_pixels(width):
    trained = network(replace(SMALL, bands=BANDS, text_dim=26, embedding_dim=width))
    pixels = np.random.default_rng(2).normal(size=(23, BANDS)).astype(np.float32) * 7
    pixels[4], pixels[9, 2] = 0, np.nan
    pixels.flags.writeable = False
    found = Aether().pixel_function(trained)(pixels)
    assert found.dtype == np.float32 and found.shape == (23, width)
    lost = np.isnan(found).any(axis=1)
    assert list(np.flatnonzero(lost)) == [4, 9] and np.isnan(found[lost]).all()
    unit = pixels[~lost] / np.linalg.norm(pixels[~lost], axis=1, keepdims=True)
    np.testing.assert_allclose(found[~lost], trained.model.image(torch.from_numpy(unit)), atol=1e-6)
    assert Aether().pixel_function(trained)(pixels[:0]).shape == (0, width)
    with pytest.raises(ShapeError, match=r"\(N, 6\)"):
        Aether().pixel_function(trained)(pixels[:, :3])


def squares(*corners):
    boxes = [shapely.box(LEFT + 10 * c0, TOP - 10 * r1, LEFT + 10 * c1, TOP - 10 * r0) for c0, r0, c1, r1 in corners]
    frame = {"region_id": list(range(len(boxes))), "geometry": boxes}
    import geopandas

    return RegionSet.from_layer(geopandas.GeoDataFrame(frame, crs=CRS.from_user_input(CRS_NAME)), "region_id")


def test_a_region_is_the_mean_of_its_projected_pixels(tmp_path, raster):
    trained = network()
    regions = squares((0, 0, 4, 5), (18, 18, 22, 22), (22, 22, 26, 26), (20, 6, 24, 10), (24, 0, 28, 4))
    city = CityInputs(embedding_raster=raster)
    found = Aether().embed(trained, city, regions, SampleStore(tmp_path / "s", {}), Progress())
    with rasterio.open(raster) as file:
        pixels = file.read()
    function = Aether().pixel_function(trained)
    for row, window in enumerate([np.s_[:, 0:5, 0:4], np.s_[:, 18:22, 18:22], None, np.s_[:, 6:10, 20:24]]):
        if window is None:
            continue
        vectors = function(np.ascontiguousarray(pixels[window].reshape(BANDS, -1).T))
        np.testing.assert_allclose(found.vectors[row], np.nanmean(vectors, axis=0), atol=1e-6)
    assert np.isnan(found.vectors[[2, 4]]).all()
    np.testing.assert_allclose(found.coverage["embedding_raster"], [1, 0.75, 0, 0.75, 0], atol=1e-6)
    assert "2 of 5 regions hold no valid pixel and have no vector." in found.notes
    assert "64 pixels in and beside the regions are zero in all bands: left out." in found.notes


def test_other_bands_than_trained_on_are_refused(tmp_path, raster):
    trained = network(replace(SMALL, bands=4, text_dim=26))
    with pytest.raises(CheckpointError, match=r"6 bands.*4"):
        Aether().embed(
            trained, CityInputs(embedding_raster=raster), squares((0, 0, 4, 4)), SampleStore(tmp_path, {}), Progress()
        )


def test_other_pixels_than_trained_on_are_noted(tmp_path, raster):
    trained = replace(network(), preprocessing={"pixel_m": [30.0, 30.0]})
    found = Aether().embed(
        trained, CityInputs(embedding_raster=raster), squares((0, 0, 4, 4)), SampleStore(tmp_path, {}), Progress()
    )
    assert any("10 x 10 m" in note and "30 x 30 m" in note for note in found.notes)


def test_phrases_need_the_encoder_of_the_training(encoder, monkeypatch):
    known = {"text_encoder": {"spec": "fake", "identity": "letters-1", "dim": 26}}
    trained = replace(network(), preprocessing=known)
    found = Aether().text_vectors(trained, ["quiet park", "bar"], Progress())
    expected = trained.model.text(torch.from_numpy(LetterEncoder().encode(["quiet park", "bar"])))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    known["text_encoder"]["identity"] = "letters-0"
    with pytest.raises(CheckpointError, match=r"letters-1.*letters-0"):
        Aether().text_vectors(trained, ["bar"], Progress())
    with pytest.raises(CheckpointError, match="width 26"):
        Aether().text_vectors(
            replace(network(replace(SMALL, bands=BANDS, text_dim=5)), text_encoder="fake"), ["a"], Progress()
        )
    with pytest.raises(CheckpointError, match="does not say which text encoder"):
        Aether().text_vectors(network(), ["bar"], Progress())


def test_a_checkpoint_cannot_send_texts_to_a_service():
    known = {"text_encoder": {"spec": "openai:m@http://127.0.0.1:9/v1", "identity": None, "dim": 26}}
    with pytest.raises(ConfigError, match="service"):
        Aether().text_vectors(replace(network(), preprocessing=known), ["bar"], Progress())


def test_config_is_checked():
    for wrong in (
        {"hidden_dim": 0},
        {"hidden_dim": "256"},
        {"embedding_dim": 12.5},
        {"temperature_text": 0.0},
        {"lambda_image": 1.5},
        {"window": "triangle"},
        {"base_m": 100.0},
        {"window": "square", "base_px": 9},
        {"poi_share": 0.0},
        {"gate_init": "wide"},
        {"text_encoder": None},
    ):
        with pytest.raises(ConfigError):
            AetherConfig(**wrong)
    with pytest.raises(ConfigError, match="Prepare"):
        Aether().build(SMALL)


GOLDEN = Path(__file__).parents[2] / "golden" / "aether"


@pytest.fixture(scope="module")
def published():
    from urbanfm_core.importers.aether import import_aether
    from urbanfm_core.training.checkpoint import restore

    return restore(import_aether(GOLDEN / "aether_random.pth"), CPU)[1]


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN / "aether_forward.npz"))


def test_published_forward(published, golden):
    base, augmented, text = (torch.from_numpy(golden[name]) for name in ("x_base", "x_aug", "text"))
    found = published.model(base, augmented, text)
    for name, vectors in zip(("z_base", "z_aug", "z_text"), found, strict=True):
        np.testing.assert_allclose(vectors, golden[name], atol=1e-6)
    np.testing.assert_allclose(published.model.image.mix(base), golden["mid_base"], atol=1e-6)


def test_published_losses_and_gradients(published, golden):
    model = Aether().build(published.config)
    model.load_state_dict(published.model.state_dict())
    batch = {
        name: torch.from_numpy(golden[key][:32])
        for name, key in (("base", "x_base"), ("augmented", "x_aug"), ("text", "text"))
    }
    losses = Aether().losses(model, batch, published.config)
    found = [losses[name].item() for name in ("loss", "image_image", "image_text")]
    np.testing.assert_allclose(found, golden["loss"], atol=1e-5)
    losses["loss"].backward()
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    names = {
        "ae.gate": "image.gate",
        "ae.proj.0": "image.expand",
        "ae.proj.2": "image.contract",
        "ae.shortcut": "image.shortcut",
        "ae.post_mlp.0": "image.post_expand",
        "ae.post_mlp.3": "image.post_contract",
        "txt.proj": "text.project",
    }

    def gradient(theirs):
        stem, _, kind = theirs.rpartition(".")
        return ours[names[theirs]] if theirs in names else ours[f"{names[stem]}.{kind}"]

    assert len(golden["grad_names"]) == len(ours)
    norms = [gradient(str(name)).norm().item() for name in golden["grad_names"]]
    np.testing.assert_allclose(norms, golden["grad_norms"], atol=1e-5)
    for name in ("ae.gate", "ae.post_mlp.3.bias", "txt.proj.bias"):
        np.testing.assert_allclose(gradient(name), golden[f"grad.{name}"], atol=1e-5)


def test_published_raster_inference(published):
    golden = np.load(GOLDEN / "aether_raster_random.npz")
    with rasterio.open(GOLDEN / "aef_wisconsin_64band_float32_10m_epsg4326.tif") as file:
        pixels = file.read()
    bands, height, width = pixels.shape
    found = Aether().pixel_function(published)(pixels.reshape(bands, -1).T).T.reshape(-1, height, width)
    assert list(found.shape) == list(golden["shape"])
    row0, row1, col0, col1 = golden["window_row0_row1_col0_col1"]
    np.testing.assert_allclose(found[:, row0:row1, col0:col1], golden["crop"], atol=1e-5)
    np.testing.assert_allclose(found[:, 5::10, 5::10], golden["every10"], atol=1e-5)
    np.testing.assert_allclose(found.mean(axis=(1, 2), dtype=np.float64), golden["band_mean"], atol=1e-5)


def test_published_inference_agrees_where_pixels_are_valid(published):
    golden = np.load(GOLDEN / "aether_nan_raster.npz")["inference"]
    with rasterio.open(GOLDEN / "aether_nan_raster.tif") as file:
        pixels = file.read()
    flat = pixels.reshape(64, -1).T
    valid = np.isfinite(flat).all(axis=1)
    zero = valid & ~np.abs(np.nan_to_num(flat)).any(axis=1)
    found = Aether().pixel_function(published)(flat)
    assert np.isnan(found[~valid | zero]).all() and zero.sum() == 1
    np.testing.assert_allclose(found[valid & ~zero], golden.reshape(128, -1).T[valid & ~zero], atol=1e-5)


def test_pixels_too_coarse_for_the_windows_are_told(tmp_path, raster, encoder):
    coarse = replace(SMALL, window="disk", base_m=2.0, augmented_m=4.0)
    notes = " ".join(prepare(coarse, city_of(tmp_path, raster, GOOD), tmp_path).notes)
    assert "For 4 of 4 points the windows of 2 m and 4 m hold the same pixels, which measure 10 m" in notes
    fitting = replace(SMALL, window="disk", base_m=15.0, augmented_m=35.0)
    assert "same pixels" not in " ".join(prepare(fitting, city_of(tmp_path, raster, GOOD), tmp_path).notes)


def test_two_cities_are_their_samples_one_after_the_other(tmp_path, raster, encoder):
    folders = [tmp_path / name for name in ("north", "south")]
    for folder in folders:
        folder.mkdir()
    rows = [GOOD[:3], [*GOOD[1:], (place(12, 12), "", "")]]
    cities = [
        TrainingCity(folder.name, city_of(folder, raster, points), SampleStore(folder / "store", {}))
        for folder, points in zip(folders, rows, strict=True)
    ]
    both = Aether().prepare_cities(SMALL, cities, CPU, Progress())
    alone = [Aether().prepare(SMALL, city.inputs, city.store, CPU, Progress()) for city in cities]
    for name in ("base", "augmented", "text"):
        expected = torch.cat([one.samples.batch(torch.arange(3))[name] for one in alone])
        torch.testing.assert_close(both.samples.batch(torch.arange(6))[name], expected)
    assert both.preprocessing["counts"]["points"] == 7 and both.preprocessing["counts"]["used"] == 6
    assert both.preprocessing["cities"]["south"]["without_text"] == 1
    assert "south: 3 of 4 points of interest are used; left out: 1 have no text." in both.notes
    other = write_raster(tmp_path / "other.tif", np.ones((BANDS + 1, SIZE, SIZE), np.float32))
    odd = TrainingCity("odd", replace(cities[1].inputs, embedding_raster=other), SampleStore(tmp_path / "odd", {}))
    with pytest.raises(InputError, match=f"^odd: .*has {BANDS + 1} bands"):
        Aether().prepare_cities(SMALL, [cities[0], odd], CPU, Progress())

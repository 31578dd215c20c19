"""Teachers: once per region, kept in partitions, gone on with after a kill, NaN where there is nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from core.models.test_backbones import save_clip, save_vit
from core.models.test_text import save_bert

from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import Cancelled, ConfigError, ResourceError, ShapeError
from urbanfm_core.models import teachers
from urbanfm_core.models.backbones import TransformersBackbone, load_image_backbone
from urbanfm_core.models.teachers import ImageStatistics, teacher_features
from urbanfm_core.models.text import encode_whole, load_text_encoder
from urbanfm_core.progress import Progress

REGIONS = 11


class Source:
    """Images of regions; region 4 has no valid pixel, region 7 only some. Remembers what was asked for."""

    def __init__(self, regions: int = REGIONS, side: int = 32) -> None:
        rng = np.random.default_rng(8)
        self.pixels = rng.integers(0, 256, (regions, 3, side, side), dtype=np.uint8)
        self.valid = np.ones((regions, side, side), bool)
        self.valid[4] = False
        self.valid[7, :, side // 2 :] = False
        self.asked: list[int] = []

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.asked += rows.tolist()
        return self.pixels[rows], self.valid[rows]


@pytest.fixture
def store(tmp_path: Path) -> SampleStore:
    return SampleStore(tmp_path / "store", {"test": "teachers"})


@pytest.fixture
def small_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teachers, "_IMAGES_PER_PARTITION", 4)
    monkeypatch.setattr(teachers, "_TEXTS_PER_PARTITION", 2)


def ask(kind: Any, spec: Any, store: SampleStore, **more: Any) -> teachers.TeacherFeatures:
    return teacher_features(kind, str(spec), store=store, regions=REGIONS, **more)


def test_vision_is_the_model_on_each_image(tmp_path: Path, store: SampleStore, small_partitions: None) -> None:
    spec, source = save_vit(tmp_path / "vit"), Source()
    found = ask("vision", spec, store, images=source, batch_size=3)
    assert found.vectors.shape == (REGIONS, 16) and found.vectors.dtype == np.float32
    assert np.flatnonzero(np.isnan(found.vectors).any(axis=1)).tolist() == [4]
    backbone = load_image_backbone(str(spec))
    expected = backbone.features(torch.from_numpy(source.pixels), torch.from_numpy(source.valid)).numpy()
    kept = np.arange(REGIONS) != 4
    np.testing.assert_allclose(found.vectors[kept], expected[kept], atol=1e-5)
    assert found.notes == ["1 of 11 regions have no valid pixel: the vision teacher says nothing there."]
    assert found.identity == backbone.identity


def test_regions_are_asked_about_once(tmp_path: Path, store: SampleStore, small_partitions: None) -> None:
    spec, source = save_clip(tmp_path / "clip"), Source()
    first = ask("vision_language", spec, store, images=source)
    assert source.asked == list(range(REGIONS))
    again = ask("vision_language", spec, store, images=source)
    # Vision and vision-language share what the same teacher says.
    shared = ask("vision", spec, store, images=source)
    assert len(source.asked) == REGIONS
    np.testing.assert_array_equal(again.vectors, first.vectors)
    np.testing.assert_array_equal(shared.vectors, first.vectors)
    ask("vision", spec, store, images=source, images_key="2 m per pixel")
    assert len(source.asked) == 2 * REGIONS
    ask("vision", save_vit(tmp_path / "vit"), store, images=source)
    assert len(source.asked) == 3 * REGIONS


class Stop(Progress):
    """Cancels when the source was asked for so many regions."""

    def __init__(self, source: Source, after: int) -> None:
        self._source, self._after = source, after

    def cancelled(self) -> bool:
        return len(self._source.asked) >= self._after


def test_a_run_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, store: SampleStore, small_partitions: None
) -> None:
    spec, source = save_vit(tmp_path / "vit"), Source()
    with pytest.raises(Cancelled):
        ask("vision", spec, store, images=source, batch_size=2, progress=Stop(source, 6))
    resumed = Source()
    found = ask("vision", spec, SampleStore(tmp_path / "store", {"test": "teachers"}), images=resumed, batch_size=2)
    assert resumed.asked == list(range(4, REGIONS))
    whole = ask("vision", spec, SampleStore(tmp_path / "other", {}), images=Source(), batch_size=2)
    np.testing.assert_array_equal(found.vectors, whole.vectors)


def test_the_model_is_not_loaded_when_everything_is_kept(
    tmp_path: Path, store: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = save_vit(tmp_path / "vit")
    ask("vision", spec, store, images=Source())
    monkeypatch.setattr(TransformersBackbone, "_load", lambda self: pytest.fail("loaded"))
    ask("vision", spec, store, images=Source())


def test_batches_halve_where_memory_runs_out(
    tmp_path: Path, store: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = save_vit(tmp_path / "vit")
    expected = ask("vision", spec, SampleStore(tmp_path / "other", {}), images=Source()).vectors
    forward, sizes = TransformersBackbone._forward, []

    def scarce(self: Any, pixels: torch.Tensor, most: int = 3) -> torch.Tensor:
        if len(pixels) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        sizes.append(len(pixels))
        return forward(self, pixels)

    monkeypatch.setattr(TransformersBackbone, "_forward", scarce)
    found = ask("vision", spec, store, images=Source(), batch_size=8)
    assert max(sizes) == 2 and sum(sizes) == REGIONS
    np.testing.assert_allclose(found.vectors, expected, atol=1e-5)
    assert found.notes[0] == "Memory ran out while asking the image teacher: batches were cut down to 2 images."
    monkeypatch.setattr(TransformersBackbone, "_forward", lambda self, pixels: scarce(self, pixels, 0))
    with pytest.raises(ResourceError, match="single image"):
        ask("vision", spec, SampleStore(tmp_path / "third", {}), images=Source())


def test_a_model_without_a_text_side_is_said(tmp_path: Path, store: SampleStore) -> None:
    notes = ask("vision_language", save_vit(tmp_path / "vit"), store, images=Source()).notes
    assert any("no text side" in note for note in notes)
    notes = ask("vision_language", save_clip(tmp_path / "clip"), store, images=Source()).notes
    assert not any("no text side" in note for note in notes)


DESCRIPTIONS: list[str | None] = [f"a quiet street near the {word}" for word in ("park", "bar", "cafe", "school")]
DESCRIPTIONS += [None, "  ", "a park", "a bar", "a bar", "cafe", "the school near the bar"]


def test_language_is_the_encoder_on_each_description(
    tmp_path: Path, store: SampleStore, small_partitions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bert(tmp_path / "bert")
    found = ask("language", tmp_path / "bert", store, descriptions=DESCRIPTIONS)
    told = [row for row, text in enumerate(DESCRIPTIONS) if text and text.strip()]
    expected = load_text_encoder(str(tmp_path / "bert")).encode([str(DESCRIPTIONS[row]) for row in told])
    np.testing.assert_allclose(found.vectors[told], expected, atol=1e-6)
    assert np.isnan(found.vectors[[4, 5]]).all()
    assert found.notes == ["2 of 11 regions have no description: the language teacher says nothing there."]
    monkeypatch.setattr(teachers, "encode_whole", lambda *_: pytest.fail("encoded again"))
    again = ask("language", tmp_path / "bert", store, descriptions=DESCRIPTIONS)
    np.testing.assert_array_equal(again.vectors, found.vectors)


def test_a_description_that_changes_is_encoded_anew(tmp_path: Path, store: SampleStore) -> None:
    save_bert(tmp_path / "bert")
    first = ask("language", tmp_path / "bert", store, descriptions=DESCRIPTIONS).vectors
    edited = [*DESCRIPTIONS]
    edited[0] = "the cafe"
    second = ask("language", tmp_path / "bert", store, descriptions=edited).vectors
    assert not np.allclose(first[0], second[0]) and np.allclose(first[1], second[1])


def test_long_texts_are_read_in_pieces(tmp_path: Path) -> None:
    save_bert(tmp_path / "bert", positions=10)  # eight words at a time
    encoder = load_text_encoder(str(tmp_path / "bert"))
    words = ["park", "bar", "cafe", "school", "quiet", "street", "near", "the"] * 2 + ["park", "bar"]
    text = " ".join(words)
    pieces = [" ".join(words[:8]), " ".join(words[8:16]), "park bar"]
    assert encoder.pieces(text) == [(pieces[0], 8), (pieces[1], 8), (pieces[2], 2)]  # type: ignore[attr-defined]
    weighted = (encoder.encode(pieces) * np.array([[8], [8], [2]])).sum(axis=0)
    expected = np.stack([weighted / np.linalg.norm(weighted), encoder.encode(["cafe"])[0]])
    np.testing.assert_allclose(encode_whole(encoder, [text, "cafe", text]), expected[[0, 1, 0]], atol=1e-6)
    # A text without words is one piece all the same.
    assert encoder.pieces("!") == [("!", 1)]  # type: ignore[attr-defined]


def statistics(pixels: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    valid = np.ones((len(pixels), *pixels.shape[2:]), bool) if valid is None else valid
    return ImageStatistics().features(torch.from_numpy(pixels), torch.from_numpy(valid)).numpy()


def test_statistics_tell_colours_and_textures() -> None:
    side = 64
    grey, green = np.full((3, side, side), 90, np.uint8), np.zeros((3, side, side), np.uint8)
    green[1] = 200
    stripes = np.zeros((3, side, side), np.uint8)
    stripes[:, :, ::4] = stripes[:, :, 1::4] = 255  # vary from west to east
    turned = stripes.transpose(0, 2, 1).copy()
    found = statistics(np.stack([grey, green, stripes, turned]))
    assert found.shape == (4, 101) and np.isfinite(found).all()
    means = found[:, :9]
    np.testing.assert_allclose(means[0, :3], 90 / 255, atol=1e-6)
    np.testing.assert_allclose(means[0, 3:], 0, atol=1e-3)
    np.testing.assert_allclose(means[1, :4], [0, 200 / 255, 0, 400 / 255], atol=1e-6)
    np.testing.assert_allclose(means[2, 4:7], 0.5, atol=1e-6)  # half black, half white
    directions = found[:, -8:]
    assert not directions[:2].any()
    np.testing.assert_allclose(directions[2], [1, 0, 0, 0, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(directions[3], [0, 0, 0, 0, 1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found[2, :45], found[3, :45], atol=1e-5)


def test_statistics_know_where_things_are() -> None:
    image = np.zeros((1, 3, 64, 64), np.uint8)
    image[0, :, :16, 48:] = 255  # the north-eastern part
    layout = statistics(image)[0, 45:61].reshape(4, 4)
    expected = np.zeros((4, 4))
    expected[0, 3] = 1
    np.testing.assert_allclose(layout, expected, atol=1e-6)


def test_statistics_do_not_see_pixels_that_are_not_valid() -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
    valid = np.ones((1, 64, 64), bool)
    valid[0, :, 30:] = False
    black, white = image.copy(), image.copy()
    black[0, :, :, 30:], white[0, :, :, 30:] = 0, 255
    np.testing.assert_allclose(statistics(black, valid), statistics(white, valid), atol=1e-6)
    np.testing.assert_allclose(statistics(black, valid)[0, :3], image[0, :, :, :30].mean((1, 2)) / 255, atol=0.02)


def test_statistics_are_standardised_and_say_what_they_are(store: SampleStore, small_partitions: None) -> None:
    found = ask("vision", "statistics", store, images=Source())
    rest = np.delete(found.vectors, 4, axis=0)
    assert np.isnan(found.vectors[4]).all() and np.isfinite(rest).all()
    np.testing.assert_allclose(rest.mean(axis=0), 0, atol=1e-4)
    varying = rest.std(axis=0) > 0
    np.testing.assert_allclose(rest.std(axis=0)[varying], 1, atol=1e-3)
    assert varying.sum() > 90
    assert "no model" in found.notes[0]


def test_regions_without_any_image(store: SampleStore) -> None:
    source = Source()
    source.valid[:] = False
    found = ask("vision", "statistics", store, images=source)
    assert np.isnan(found.vectors).all() and "11 of 11 regions" in found.notes[-1]


def test_what_does_not_fit_is_refused(tmp_path: Path, store: SampleStore) -> None:
    source = Source()
    with pytest.raises(ConfigError, match="needs images"):
        ask("vision", "statistics", store)
    with pytest.raises(ConfigError, match="needs descriptions"):
        ask("language", "minilm", store)
    with pytest.raises(ShapeError, match="2 descriptions"):
        ask("language", "minilm", store, descriptions=["a", "b"])
    with pytest.raises(ConfigError, match="kind 'smell'"):
        ask("smell", "statistics", store)
    with pytest.raises(ShapeError, match="float64"):
        ask("vision", "statistics", store, images=lambda rows: (source.pixels[rows] * 1.0, source.valid[rows]))
    with pytest.raises(ShapeError, match="Masks"):
        ask("vision", "statistics", store, images=lambda rows: (source.pixels[rows], source.valid[rows, :4]))
    with pytest.raises(ConfigError, match="not you who named it"):
        ask(
            "language",
            "openai:m@http://127.0.0.1:9/v1",
            store,
            descriptions=DESCRIPTIONS,
            allow_remote=False,
        )

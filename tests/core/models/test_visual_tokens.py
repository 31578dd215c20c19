"""Visual words: fitted on patches, assigned to patches, kept in checkpoints and folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.fft import dctn

from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import Cancelled, CheckpointError, ConfigError, EmptyInputError, ShapeError
from urbanfm_core.models import visual_tokens
from urbanfm_core.models.visual_tokens import (
    VisualTokens,
    fit_visual_tokens,
    load_visual_tokens,
    patch_valid,
    stored_visual_tokens,
)
from urbanfm_core.progress import Progress

SIDE, PATCH, REGIONS = 64, 16, 24


class Source:
    """Images made of four kinds of patches in known places; region 2 has no valid pixel, region 3 lacks its west."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.kinds = rng.integers(0, 4, (REGIONS, SIDE // PATCH, SIDE // PATCH))
        self.pixels = np.zeros((REGIONS, 3, SIDE, SIDE), np.uint8)
        columns = np.arange(PATCH)
        looks = [
            np.broadcast_to(np.array([30, 60, 120])[:, None, None], (3, PATCH, PATCH)),  # water
            np.broadcast_to(np.array([60, 140, 50])[:, None, None], (3, PATCH, PATCH)),  # meadow
            np.broadcast_to(np.where(columns % 8 < 4, 70, 190)[None, None], (3, PATCH, PATCH)),  # stripes
            np.broadcast_to(np.where(columns % 8 < 4, 70, 190)[None, :, None], (3, PATCH, PATCH)),  # stripes, turned
        ]
        for (region, row, column), kind in np.ndenumerate(self.kinds):
            place = (
                region,
                slice(None),
                slice(row * PATCH, (row + 1) * PATCH),
                slice(column * PATCH, (column + 1) * PATCH),
            )
            self.pixels[place] = np.clip(looks[kind] + rng.normal(0, 4, (3, PATCH, PATCH)), 0, 255)
        self.valid = np.ones((REGIONS, SIDE, SIDE), bool)
        self.valid[2] = False
        self.valid[3, :, : PATCH + 1] = False
        self.asked: list[int] = []

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.asked += rows.tolist()
        return self.pixels[rows], self.valid[rows]


@pytest.fixture(scope="module")
def fitted() -> VisualTokens:
    return fit_visual_tokens(Source(), REGIONS, size=8, seed=3)[0]


def test_words_tell_kinds_of_patches_apart(fitted: VisualTokens) -> None:
    source = Source()
    tokens = fitted.assign(source.pixels, source.valid)
    assert tokens.shape == (REGIONS, 16) and tokens.dtype == np.int64
    kinds = source.kinds.reshape(REGIONS, 16)
    known = tokens >= 0
    assert tokens.max() < fitted.size
    for word in np.unique(tokens[known]):
        assert len(np.unique(kinds[known & (tokens == word)])) == 1
    assert len({frozenset(tokens[known & (kinds == kind)]) for kind in range(4)}) == 4


def test_patches_that_are_not_valid_throughout_have_no_token(fitted: VisualTokens) -> None:
    source = Source()
    tokens = fitted.assign(source.pixels, source.valid)
    assert (tokens[2] == -1).all()
    assert (tokens[3].reshape(4, 4)[:, :2] == -1).all() and (tokens[3].reshape(4, 4)[:, 2:] >= 0).all()
    assert (np.delete(tokens, [2, 3], axis=0) >= 0).all()
    np.testing.assert_array_equal(tokens >= 0, patch_valid(source.pixels, source.valid, PATCH))


def test_the_token_is_the_nearest_word_of_the_cosine_transform(fitted: VisualTokens) -> None:
    image = np.random.default_rng(7).integers(0, 256, (1, 3, PATCH, PATCH), dtype=np.uint8)
    red, green, blue = image[0] / 255.0
    planes = [0.299 * red + 0.587 * green + 0.114 * blue]
    planes += [(blue - planes[0]) * 0.5 / (1 - 0.114), (red - planes[0]) * 0.5 / (1 - 0.299)]
    coefficients = []
    for plane, orders in zip(planes, (5, 2, 2), strict=True):
        found = dctn(plane, norm="ortho") / PATCH
        coefficients += [found[i, total - i] for total in range(orders) for i in range(total + 1)]
    # Each coefficient is scaled by a positive number; undo the shift by the mean patch to compare directions.
    described = fitted.describe(image)[0, 0] + fitted.basis @ fitted.mean
    ratio = described / np.array(coefficients)
    assert (ratio > 0).all() and len(ratio) == 21
    flat = (np.asarray(image, np.float64).reshape(-1) / 255.0 - fitted.mean) @ fitted.basis.T
    distances = ((flat - fitted.words) ** 2).sum(axis=1)
    assert fitted.assign(image, np.ones((1, PATCH, PATCH), bool))[0, 0] == distances.argmin()


def test_order_of_patches_is_by_row_from_the_north(fitted: VisualTokens) -> None:
    source = Source()
    whole = fitted.assign(source.pixels[:1], source.valid[:1])[0].reshape(4, 4)
    for row in range(4):
        for column in range(4):
            part = source.pixels[:1, :, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
            assert fitted.assign(part, np.ones((1, PATCH, PATCH), bool))[0, 0] == whole[row, column]


def test_a_seed_gives_the_same_words_and_another_seed_others(fitted: VisualTokens) -> None:
    again = fit_visual_tokens(Source(), REGIONS, size=8, seed=3)[0]
    other = fit_visual_tokens(Source(), REGIONS, size=8, seed=4)[0]
    assert again.identity == fitted.identity != other.identity
    np.testing.assert_array_equal(again.words, fitted.words)


def test_few_patches_give_fewer_words_and_it_is_said() -> None:
    tokens, notes = fit_visual_tokens(Source(), REGIONS, size=500, seed=0)
    valid = int(patch_valid(Source().pixels, Source().valid, PATCH).sum())
    assert tokens.size == valid // 4
    assert f"{valid} patches" in notes[0] and "500 words were wanted" in notes[1]
    flat = Source()
    flat.pixels[:] = 77
    assert fit_visual_tokens(flat, REGIONS, size=8)[0].size == 1


def test_the_state_is_json_and_gives_the_same_tokens(fitted: VisualTokens) -> None:
    source = Source()
    restored = VisualTokens.from_state(json.loads(json.dumps(fitted.to_state())))
    assert restored.identity == fitted.identity
    np.testing.assert_array_equal(
        restored.assign(source.pixels, source.valid), fitted.assign(source.pixels, source.valid)
    )


def test_a_damaged_state_is_refused(fitted: VisualTokens) -> None:
    state = fitted.to_state()
    for damage in (
        {"version": 2},
        {"words": {"shape": [3], "float32": "AAAA"}},
        {"mean": None},
        {"patch_px": 8},
        {"basis": {"shape": state["basis"]["shape"], "float32": "%%%"}},
    ):
        with pytest.raises(CheckpointError, match="visual tokens"):
            VisualTokens.from_state({**state, **damage})
    with pytest.raises(CheckpointError):
        VisualTokens.from_state({})


def test_a_folder_gives_the_same_tokens(fitted: VisualTokens, tmp_path: Path) -> None:
    fitted.to_folder(tmp_path / "words")
    assert sorted(path.name for path in (tmp_path / "words").iterdir()) == ["codebook.safetensors", "tokenizer.json"]
    assert load_visual_tokens(str(tmp_path / "words")).identity == fitted.identity


def test_a_folder_of_another_descriptor_is_used_as_it_is(tmp_path: Path) -> None:
    """Words that are mean colours: red, green, blue."""
    (tmp_path / "tokenizer.json").write_text('{"format": "urbanfm-visual-tokens", "version": 1, "patch_px": 8}')
    basis = np.zeros((3, 3 * 64), np.float32)
    for channel in range(3):
        basis[channel, channel * 64 : (channel + 1) * 64] = 1 / 64
    arrays = {"words": np.eye(3, dtype=np.float32), "basis": basis, "mean": np.zeros(192, np.float32)}
    save_file(arrays, tmp_path / "codebook.safetensors")
    image = np.zeros((1, 3, 16, 8), np.uint8)
    image[0, 2, :8], image[0, 1, 8:] = 255, 200
    tokens = load_visual_tokens(str(tmp_path)).assign(image, np.ones((1, 16, 8), bool))
    assert tokens.tolist() == [[2, 1]]


def test_folders_of_something_else_are_refused(tmp_path: Path, fitted: VisualTokens) -> None:
    with pytest.raises(ConfigError, match="no tokenizer of patches"):
        load_visual_tokens(str(tmp_path))
    fitted.to_folder(tmp_path / "words")
    (tmp_path / "words" / "codebook.safetensors").write_bytes(b"pickle?")
    with pytest.raises(ConfigError, match=r"codebook\.safetensors"):
        load_visual_tokens(str(tmp_path / "words"))
    (tmp_path / "words" / "tokenizer.json").write_text('{"format": "else", "version": 1}')
    with pytest.raises(ConfigError, match="found else"):
        load_visual_tokens(str(tmp_path / "words"))
    broken = fitted.words.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        replace(fitted, words=broken)


class Stop(Progress):
    def __init__(self, source: Source, after: int) -> None:
        self._source, self._after = source, after

    def cancelled(self) -> bool:
        return len(self._source.asked) >= self._after


def test_stored_tokens_are_made_once_and_go_on_after_a_stop(
    fitted: VisualTokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visual_tokens, "_IMAGES_PER_PARTITION", 6)
    monkeypatch.setattr(visual_tokens, "_IMAGES_AT_ONCE", 2)
    store, source = SampleStore(tmp_path, {}), Source()
    with pytest.raises(Cancelled):
        stored_visual_tokens(fitted, source, REGIONS, store=store, progress=Stop(source, 10))
    source.asked.clear()
    tokens, notes = stored_visual_tokens(fitted, source, REGIONS, store=store)
    assert source.asked == list(range(6, REGIONS))
    np.testing.assert_array_equal(tokens, fitted.assign(source.pixels, source.valid))
    assert tokens.dtype == np.int64
    assert notes == ["24 of 384 patches hold pixels that are not valid and have no visual token."]
    again, _ = stored_visual_tokens(fitted, source, REGIONS, store=store)
    assert len(source.asked) == REGIONS - 6
    np.testing.assert_array_equal(again, tokens)
    stored_visual_tokens(fit_visual_tokens(Source(), REGIONS, size=5)[0], source, REGIONS, store=store)
    assert len(source.asked) == 2 * REGIONS - 6


def test_what_cannot_be_fitted_is_refused(fitted: VisualTokens) -> None:
    source = Source()
    source.valid[:] = False
    with pytest.raises(EmptyInputError, match="24 images"):
        fit_visual_tokens(source, REGIONS, size=4)
    with pytest.raises(ConfigError, match="at least 1"):
        fit_visual_tokens(source, REGIONS, size=0)
    with pytest.raises(ShapeError, match="patches of 16"):
        fitted.assign(np.zeros((1, 3, 20, 32), np.uint8), np.ones((1, 20, 32), bool))
    with pytest.raises(ShapeError, match="uint8"):
        fitted.assign(np.zeros((1, 3, 16, 16)), np.ones((1, 16, 16), bool))

"""Sequences of points: equal to the published code's where that is asked for, and sound for what real layers hold."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
import tokenizers
from pyproj import CRS

from urbanfm_core.data.frames import RegionFrames, region_frames
from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import CheckpointError, ConfigError, EmptyInputError, RemoteError, ShapeError
from urbanfm_core.models.refound.sequence import (
    PoiTokenizer,
    PoiVocabulary,
    RegionSequences,
    build_sequences,
    z_order,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "refound"
UTM = CRS.from_epsg(32630)
WEST, SOUTH = 440_000.0, 4_474_000.0
NAMES = [
    "Bar Luna",
    "Café Sol",
    "Central Station",
    "Starbucks Coffee",
    "银行 中学",
    "مقهى السلام",
    "Bar Sol",
    "🍕 Pizza",
]


def make_pois(xy: Any, names: Any, categories: Any = None, subcategories: Any = None, crs: CRS = UTM) -> PoiSet:
    count = len(names)
    columns = [pd.Series(values, dtype=object).to_numpy() if values is not None else np.full(count, None, object)
               for values in (names, categories, subcategories)]  # fmt: skip
    return PoiSet(np.asarray(xy, np.float64).reshape(-1, 2), crs, *columns, np.arange(count))


def make_regions(boxes: list[tuple[float, float, float, float]], crs: CRS = UTM) -> RegionSet:
    geometry = np.array([shapely.box(*box) for box in boxes], dtype=object)
    return RegionSet(np.arange(len(boxes)), geometry, crs, "region_id", pd.DataFrame(index=range(len(boxes))))


def square(column: float, row: float, side: float = 256.0) -> tuple[float, float, float, float]:
    west, south = WEST + column * side, SOUTH + row * side
    return west, south, west + side, south + side


def frames_of(regions: RegionSet, size_px: int = 256, pixel_m: float = 1.0) -> RegionFrames:
    return region_frames(regions, size_px, pixel_m)


@pytest.fixture(scope="module")
def tokenizer() -> PoiTokenizer:
    return PoiTokenizer.train(NAMES * 3, size=300)


def build(pois: PoiSet, regions: RegionSet, tokenizer: PoiTokenizer, **options: Any) -> RegionSequences:
    vocabulary = options.pop("vocabulary", None) or PoiVocabulary.train(pois)
    return build_sequences(pois, regions, frames_of(regions), tokenizer, vocabulary, **options)


def poi_order(sequences: RegionSequences, region: int) -> list[int]:
    """Rows of the points of a region in the order of its sequence."""
    poi = sequences.poi[sequences.starts[region] : sequences.starts[region + 1]]
    position = sequences.poi_position[sequences.starts[region] : sequences.starts[region + 1]]
    return [int(poi[position == place][0]) for place in range(1, int(position.max()) + 1)]


class TestParity:
    def test_inputs_are_those_of_the_published_code(self) -> None:
        given = json.loads((GOLDEN / "refound_pois.json").read_text(encoding="utf-8"))
        boxes = [
            (left, bottom, right, top) for left, top, right, bottom in (r["region_coord"] for r in given["regions"])
        ]
        regions = make_regions(boxes)
        points = [poi for region in given["regions"] for poi in region["pois"] or []]
        pois = make_pois(
            [(p["x"], p["y"]) for p in points], [p["name"] for p in points], [f"c{p['category_id']}" for p in points]
        )
        frames = RegionFrames(np.array(boxes), UTM, np.full(3, 64.0), regions.geometry)
        names = sorted(set(given["category_vocab"]) - {"PAD"}, key=given["category_vocab"].get)
        sequences = build_sequences(
            pois,
            regions,
            frames,
            PoiTokenizer.load(str(GOLDEN / "wordpiece")),
            PoiVocabulary(tuple(names), first=1),
            max_tokens=64,
            max_pois=64,
            grid=4,
            parity=True,
        )
        batch = sequences.batch(np.arange(3), patches=4, length=64)
        expected = np.load(GOLDEN / "refound_sequences.npz")
        for ours, theirs in {
            "tokens": "poi_name_token_ids",
            "token_mask": "attn_mask_poi",
            "word_position": "word_level_pos_ids",
            "poi_position": "poi_level_pos_ids",
            "grid_position": "grid_level_pos_ids",
            "category": "poi_cate_ids",
        }.items():
            np.testing.assert_array_equal(batch[ours], expected[f"in_{theirs}"], err_msg=ours)
        assert batch["has_pois"].tolist() == [True, False, True]
        assert sequences.counts is not None
        assert sequences.counts.dropped > 0
        assert sequences.counts.cut_regions == 1


class TestZOrder:
    def test_bits_alternate(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, 1 << 20, (2, 50))
        expected = [
            sum(((a >> bit) & 1) << (2 * bit) | ((b >> bit) & 1) << (2 * bit + 1) for bit in range(20))
            for a, b in zip(x.tolist(), y.tolist(), strict=True)
        ]
        assert z_order(x, y).tolist() == expected
        assert z_order(np.array([1, 0, 1]), np.array([0, 1, 1])).tolist() == [1, 2, 3]
        assert z_order(np.array([2**32 - 1]), np.array([2**32 - 1])).tolist() == [2**64 - 1]

    @pytest.mark.parametrize("bad", [np.array([-1]), np.array([0.5]), np.array([2**32])])
    def test_what_is_no_cell_is_refused(self, bad: np.ndarray) -> None:
        with pytest.raises(ShapeError):
            z_order(bad, np.zeros(1, int))

    def test_points_follow_the_curve_from_the_north_west(self, tokenizer: PoiTokenizer) -> None:
        # The four quarters of a region, given in another order: NW, NE, SW, SE.
        west, south, east, north = square(0, 0)
        xy = [(east - 2, south + 2), (west + 2, south + 2), (east - 2, north - 2), (west + 2, north - 2)]
        sequences = build(make_pois(xy, ["Bar"] * 4), make_regions([square(0, 0)]), tokenizer)
        assert poi_order(sequences, 0) == [3, 2, 1, 0]
        first_tokens = sequences.poi_position[1:] != sequences.poi_position[:-1]
        assert sequences.grid_position[1:][first_tokens].tolist() == [1, 16, 15 * 16 + 1, 16 * 16]

    def test_ties_are_random_but_seeded(self, tokenizer: PoiTokenizer) -> None:
        west, south, _, _ = square(0, 0)
        xy = np.tile([[west + 10.5, south + 10.5]], (12, 1)) + np.random.default_rng(1).uniform(-0.4, 0.4, (12, 2))
        pois, regions = make_pois(xy, ["Bar"] * 12), make_regions([square(0, 0)])
        orders = [poi_order(build(pois, regions, tokenizer, seed=seed), 0) for seed in (0, 0, 1, 2)]
        assert orders[0] == orders[1]
        assert len({tuple(order) for order in orders}) == 3
        assert sorted(orders[2]) == list(range(12))


class TestRegions:
    def test_a_region_with_more_points_than_fit_loses_random_ones(self, tokenizer: PoiTokenizer) -> None:
        rng = np.random.default_rng(2)
        west, south, east, north = square(0, 0)
        xy = rng.uniform((west, south), (east, north), (3000, 2))
        pois = make_pois(xy, rng.choice(NAMES, 3000).tolist())
        regions = make_regions([square(0, 0), square(3, 3)])
        sequences = build(pois, regions, tokenizer)
        assert sequences.counts is not None
        assert sequences.length[0] <= 512
        assert sequences.length[0] > 480
        kept = poi_order(sequences, 0)
        assert len(kept) == len(set(kept)) == sequences.pois[0]
        assert sequences.counts.dropped == 3000 - len(kept)
        assert sequences.counts.cut_regions == 1
        assert any(f"{3000 - len(kept):,} points of interest, drawn at random" in note for note in sequences.notes)
        # Every quarter keeps its part: the tail of the curve is not cut off.
        column, row = (xy[kept] > ((west + east) / 2, (south + north) / 2)).T
        assert min(np.bincount(2 * row + column, minlength=4)) > len(kept) / 8
        assert poi_order(build(pois, regions, tokenizer, seed=1), 0) != kept

    def test_the_published_cut_keeps_the_first(self, tokenizer: PoiTokenizer) -> None:
        west, south, _, _ = square(0, 0)
        pois = make_pois(np.tile([[west + 5, south + 5]], (9, 1)), ["Bar"] * 9)
        sequences = build(pois, make_regions([square(0, 0)]), tokenizer, max_tokens=8, parity=True)
        assert poi_order(sequences, 0) == [0, 1, 2]

    def test_the_number_of_points_is_bounded_too(self, tokenizer: PoiTokenizer) -> None:
        west, south, _, _ = square(0, 0)
        pois = make_pois(np.tile([[west + 5, south + 5]], (9, 1)), [None] * 9)
        sequences = build(pois, make_regions([square(0, 0)]), tokenizer, max_pois=6)
        # Two of the positions are for [CLS] and padding.
        assert sequences.pois.tolist() == [4]
        assert sequences.batch(np.array([0]), length=9)["poi_position"].max() == 5

    def test_regions_without_points_and_points_without_region(self, tokenizer: PoiTokenizer) -> None:
        west, south, _, _ = square(0, 0)
        pois = make_pois([(west + 1, south + 1), (west - 500, south), (np.nan, south)], ["Bar", "Sol", "Luna"])
        sequences = build(pois, make_regions([square(5, 5), square(0, 0), square(7, 7)]), tokenizer)
        assert sequences.pois.tolist() == [0, 1, 0]
        assert sequences.length[[0, 2]].tolist() == [1, 1]
        assert sequences.tokens[sequences.starts[:-1]].tolist() == [tokenizer.cls] * 3
        assert sequences.counts is not None
        assert (sequences.counts.outside, sequences.counts.empty_regions) == (2, 2)
        assert "2 of 3 points of interest lie in no region." in sequences.notes
        assert "2 of 3 regions have no points of interest." in sequences.notes
        batch = sequences.batch(np.array([0, 2]))
        assert batch["tokens"].shape == (2, 1)
        assert not batch["has_pois"].any()

    def test_a_layer_without_any_point_inside(self, tokenizer: PoiTokenizer) -> None:
        sequences = build(make_pois([(0.0, 0.0)], ["Bar"]), make_regions([square(0, 0)]), tokenizer)
        assert sequences.length.tolist() == [1]

    def test_a_point_of_overlapping_regions_is_in_each(self, tokenizer: PoiTokenizer) -> None:
        west, south, _, _ = square(0, 0)
        pois = make_pois([(west + 200, south + 128)], ["Bar Luna"], ["bar"])
        sequences = build(pois, make_regions([square(0, 0), square(0.5, 0)]), tokenizer)
        assert sequences.pois.tolist() == [1, 1]
        xy01 = sequences.xy01[sequences.starts[:-1] + 1]
        np.testing.assert_allclose(xy01, [[200 / 256, 0.5], [72 / 256, 0.5]], rtol=1e-6)
        assert any("1 points of interest lie in several regions" in note for note in sequences.notes)

    def test_a_region_s_sequence_does_not_depend_on_the_others(self, tokenizer: PoiTokenizer) -> None:
        rng = np.random.default_rng(3)
        xy = rng.uniform((WEST, SOUTH), (WEST + 512, SOUTH + 256), (900, 2))
        pois = make_pois(xy, rng.choice(NAMES, 900).tolist())
        both = build(pois, make_regions([square(0, 0), square(1, 0)]), tokenizer)
        alone = build(pois, make_regions([square(1, 0)]), tokenizer)
        np.testing.assert_array_equal(both.tokens[both.starts[1] :], alone.tokens)

    def test_points_off_the_frame_stay_in_the_nearest_cell(self, tokenizer: PoiTokenizer) -> None:
        regions = make_regions([(WEST, SOUTH, WEST + 1000, SOUTH + 100)])
        pois = make_pois([(WEST + 10, SOUTH + 50), (WEST + 500, SOUTH + 50)], ["Bar", "Sol"])
        sequences = build(pois, regions, tokenizer)
        assert sorted(set(sequences.grid_position.tolist())) == [0, 8 * 16 + 1, 8 * 16 + 9]
        assert "1 points of interest lie outside the square of their region." in sequences.notes
        patch = sequences.batch(np.array([0]), patches=16)["poi_patch"][0]
        assert set(patch[sequences.poi == 0].tolist()) == {-1}
        assert set(patch[(sequences.poi == 1) & (sequences.tokens != tokenizer.sep)].tolist()) == {8 * 16 + 8}

    def test_points_in_degrees_and_regions_in_metres(self, tokenizer: PoiTokenizer) -> None:
        west, south, _, _ = square(0, 0)
        pois = make_pois([(west + 30.5, south + 200.5)], ["Bar"])
        regions = make_regions([square(0, 0)])
        sequences = build(pois.to_crs("EPSG:4326"), regions, tokenizer)
        np.testing.assert_allclose(sequences.xy01[1], [30.5 / 256, 55.5 / 256], atol=1e-5)


class TestTokens:
    def test_layout(self, tokenizer: PoiTokenizer) -> None:
        west, south, _, north = square(0, 0)
        pois = make_pois(
            [(west + 1, north - 1), (west + 1, south + 1)], ["Bar Luna", None], ["food", None], ["bar", None]
        )
        vocabulary = PoiVocabulary.train(pois)
        assert vocabulary.names == ("bar", "food")
        sequences = build(pois, make_regions([square(0, 0)]), tokenizer, vocabulary=vocabulary)
        starts, ids = tokenizer.encode(["Bar Luna"])
        size = int(starts[1])
        assert sequences.tokens.tolist() == [tokenizer.cls, *ids.tolist(), tokenizer.sep, tokenizer.sep]
        assert sequences.word_position.tolist() == [0, *range(size + 1), 0]
        assert sequences.poi_position.tolist() == [0, *[1] * (size + 1), 2]
        assert sequences.poi.tolist() == [-1, *[0] * (size + 1), 1]
        # 'bar' is the third number after padding and unknown; a point without category is unknown.
        assert sequences.category.tolist() == [0, *[2] * (size + 1), 1]
        assert np.isnan(sequences.xy01[0]).all()
        assert sequences.notes[:2] == [
            "1 points of interest have no name: their place and category count.",
            "1 points of interest have no category that the model knows.",
        ]

    def test_padding_and_patches(self, tokenizer: PoiTokenizer) -> None:
        west, south, east, north = square(0, 0)
        pois = make_pois([(east, south), (west + 1, north - 1), (east + 3, north - 20)], ["Sol", "Luna", "Bar Sol"])
        sequences = build(pois, make_regions([square(0, 0), square(1, 0), square(2, 0)]), tokenizer)
        batch = sequences.batch(np.array([2, 0]), patches=4)
        longest = int(sequences.length[0])
        assert batch["tokens"].shape == (2, longest)
        assert batch["token_mask"].sum(axis=1).tolist() == [1, longest]
        assert batch["word_position"][0].tolist() == [0, *range(longest - 1)]
        assert set(batch["poi_position"][0, 1:].tolist()) == {1}
        assert set(batch["grid_position"][0, 1:].tolist()) == {257}
        names = (batch["tokens"][1] != tokenizer.sep) & (batch["tokens"][1] != tokenizer.cls)
        assert set(batch["poi_patch"][1, names].tolist()) == {0, 15}
        assert set(batch["poi_patch"][1, ~names].tolist()) == {-1}
        assert sequences.batch(np.array([2, 0]), length=longest + 3)["tokens"].shape == (2, longest + 3)
        with pytest.raises(ShapeError, match="do not fit"):
            sequences.batch(np.array([0]), length=2)

    def test_a_name_longer_than_the_sequence_is_cut(self, tokenizer: PoiTokenizer) -> None:
        west, south, _, _ = square(0, 0)
        pois = make_pois([(west + 5, south + 5)], ["bar " * 50])
        sequences = build(pois, make_regions([square(0, 0)]), tokenizer, max_tokens=16)
        assert sequences.length.tolist() == [16]
        assert sequences.tokens[-1] == tokenizer.sep
        assert "1 names are longer than a whole sequence and were cut." in sequences.notes

    def test_scripts_emoji_and_odd_names(self, tokenizer: PoiTokenizer) -> None:
        west, south, _, _ = square(0, 0)
        names = ["银行", "مقهى", "🍕", "🦖", "", " ", "[SEP]", "\u200b"]
        pois = make_pois(np.tile([[west + 5, south + 5]], (len(names), 1)), names)
        sequences = build(pois, make_regions([square(0, 0)]), tokenizer)
        tokens = {row: sequences.tokens[(sequences.poi == row)].tolist()[:-1] for row in range(len(names))}
        assert len(tokens[0]) == 2
        assert tokenizer.unknown not in tokens[0] + tokens[1] + tokens[2]
        assert tokens[3] == [tokenizer.unknown]
        assert tokens[4] == tokens[5] == tokens[7] == []
        # A name is a name: it cannot forge a separator.
        assert tokenizer.sep not in tokens[6]

    def test_categories_that_training_did_not_see_are_unknown(self, tokenizer: PoiTokenizer) -> None:
        west, south, _, _ = square(0, 0)
        vocabulary = PoiVocabulary(("amenity", "bar", "cafe"))
        rows = [
            ("amenity", "bar"),
            ("amenity", "pub"),
            ("leisure", "park"),
            (None, "cafe"),
            (None, None),
            ("cafe", None),
        ]
        pois = make_pois(np.tile([[west + 5, south + 5]], (6, 1)), ["Sol"] * 6, *zip(*rows, strict=True))
        sequences = build(pois, make_regions([square(0, 0)]), tokenizer, vocabulary=vocabulary)
        found = [int(sequences.category[sequences.poi == row][0]) for row in range(6)]
        assert found == [3, 2, 1, 4, 1, 4]
        assert len(vocabulary) == 5
        assert "2 points of interest have no category that the model knows." in sequences.notes

    def test_vocabulary_keeps_the_most_frequent(self) -> None:
        pois = make_pois(np.zeros((6, 2)), ["x"] * 6, ["b", "b", "c", "a", None, ""])
        vocabulary = PoiVocabulary.train(pois, limit=2)
        assert vocabulary.names == ("a", "b")
        assert vocabulary.notes == ("1 of 3 categories are too rare for the vocabulary.",)
        assert PoiVocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary

    def test_arrays_come_back_from_a_store(self, tokenizer: PoiTokenizer, tmp_path: Path) -> None:
        rng = np.random.default_rng(4)
        xy = rng.uniform((WEST, SOUTH), (WEST + 512, SOUTH + 256), (60, 2))
        sequences = build(
            make_pois(xy, rng.choice(NAMES, 60).tolist()), make_regions([square(0, 0), square(1, 0)]), tokenizer
        )
        store = SampleStore(tmp_path, {})
        store.save("sequences", **sequences.to_arrays())
        back = RegionSequences.from_arrays(store.load("sequences"))
        for rows in ([0, 1], [1]):
            first, second = (one.batch(np.array(rows), patches=16) for one in (sequences, back))
            assert first.keys() == second.keys()
            for name in first:
                np.testing.assert_array_equal(first[name], second[name])

    @pytest.mark.parametrize("sizes", [{"max_tokens": 2}, {"max_pois": 2}, {"grid": 0}])
    def test_sizes_that_hold_nothing_are_refused(self, tokenizer: PoiTokenizer, sizes: dict[str, int]) -> None:
        with pytest.raises(ConfigError):
            build(make_pois([(WEST, SOUTH)], ["Bar"]), make_regions([square(0, 0)]), tokenizer, **sizes)

    def test_frames_of_other_regions_are_refused(self, tokenizer: PoiTokenizer) -> None:
        pois, two = make_pois([(WEST, SOUTH)], ["Bar"]), make_regions([square(0, 0), square(1, 0)])
        with pytest.raises(ShapeError):
            build_sequences(pois, make_regions([square(0, 0)]), frames_of(two), tokenizer, PoiVocabulary(()))


TRAIN_IN_A_PROCESS = """
import sys, json, numpy as np
from urbanfm_core.models.refound.tokenizer import PoiTokenizer
print(PoiTokenizer.train(json.loads(sys.argv[1]), size=int(sys.argv[2])).identity)
"""


class TestTokenizer:
    def test_training_is_the_same_in_every_process(self) -> None:
        rng = np.random.default_rng(5)
        letters = [*"abcdefghijkl", *"银行中学公园地铁站", *"مقهىالسلام"]
        names = [" ".join("".join(rng.choice(letters, rng.integers(1, 7))) for _ in range(3)) for _ in range(150)]
        here = PoiTokenizer.train(names, size=200).identity
        for _ in range(2):
            found = subprocess.run(
                [sys.executable, "-c", TRAIN_IN_A_PROCESS, json.dumps(names), "200"],
                check=True,
                capture_output=True,
                text=True,
            )
            assert found.stdout.strip() == here

    def test_frequent_words_become_one_token(self) -> None:
        tokenizer = PoiTokenizer.train(["Starbucks", "STARBUCKS Coffee", "Starbücks"] * 20 + ["Xyz"], size=200)
        starts, ids = tokenizer.encode(["starbucks", "xyz", "qqq"])
        assert np.diff(starts).tolist() == [1, 3, 1]
        assert tokenizer.words()[ids[0]] == "starbucks"
        assert [tokenizer.words()[number] for number in ids[1:4]] == ["x", "##y", "##z"]
        assert ids[4] == tokenizer.unknown
        assert (tokenizer.pad, tokenizer.unknown, tokenizer.cls, tokenizer.sep, tokenizer.mask) == (0, 1, 2, 3, 4)
        assert len(tokenizer) <= 200

    def test_a_large_alphabet_leaves_room_for_words(self) -> None:
        rare = [chr(0x4E00 + number) for number in range(500)]
        tokenizer = PoiTokenizer.train([*["银行 bank"] * 9, *rare], size=100)
        assert len(tokenizer) <= 100
        assert tokenizer.unknown not in tokenizer.encode(["银行 bank"])[1]
        assert len(tokenizer.encode(["bank"])[1]) == 1

    @pytest.mark.parametrize("kind", ["bert", "bytes"])
    def test_names_are_tokenised_as_wholes(self, tokenizer: PoiTokenizer, kind: str) -> None:
        """Word by word where that is the same, and only there."""
        text = tokenizer.to_files()["tokenizer.json"]
        if kind == "bytes":
            letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
            bytewise = tokenizers.Tokenizer(
                tokenizers.models.BPE({letter: number for number, letter in enumerate(letters)}, [])
            )
            bytewise.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
            text = bytewise.to_str()
        ours = PoiTokenizer.from_files({"tokenizer.json": text, "roles.json": tokenizer.to_files()["roles.json"]})
        plain = tokenizers.Tokenizer.from_str(text)
        names = [*NAMES, "", " ", "No. 5, St.-Ann's  Inn", "café\u0301 x", "a\x1cb \u2003 c", "ΟΔΟΣ Σ", "İstanbul 2"]
        starts, ids = ours.encode(names)
        expected = [plain.encode(name.lower(), add_special_tokens=False).ids for name in names]
        assert [ids[a:b].tolist() for a, b in itertools.pairwise(starts)] == expected

    def test_texts_bring_it_back(self, tokenizer: PoiTokenizer) -> None:
        files = json.loads(json.dumps(tokenizer.to_files()))
        back = PoiTokenizer.from_files(files)
        for first, second in zip(tokenizer.encode(NAMES), back.encode(NAMES), strict=True):
            np.testing.assert_array_equal(first, second)
        assert back.identity == tokenizer.identity
        assert back.to_files() == files
        assert (back.cls, back.sep, back.mask) == (tokenizer.cls, tokenizer.sep, tokenizer.mask)

    @pytest.mark.parametrize("files", [{}, {"tokenizer.json": "{}", "roles.json": "{}"}])
    def test_damaged_texts_are_refused(self, files: dict[str, str]) -> None:
        with pytest.raises(CheckpointError):
            PoiTokenizer.from_files(files)

    def test_a_missing_role_is_refused(self, tokenizer: PoiTokenizer) -> None:
        with pytest.raises(CheckpointError):
            PoiTokenizer.from_files({**tokenizer.to_files(), "roles.json": '{"pad": 0}'})

    def test_nothing_to_train_on(self) -> None:
        with pytest.raises(EmptyInputError):
            PoiTokenizer.train([None, "", " "])
        with pytest.raises(ConfigError):
            PoiTokenizer.train(NAMES, size=10)

    def test_a_saved_folder_loads_and_lives_on_as_text(self, tmp_path: Path) -> None:
        import transformers

        source = transformers.AutoTokenizer.from_pretrained(GOLDEN / "wordpiece", local_files_only=True)
        source.save_pretrained(tmp_path / "folder")
        tokenizer = PoiTokenizer.load(str(tmp_path / "folder"))
        back = PoiTokenizer.from_files(tokenizer.to_files())
        words = [back.words()[number] for number in back.encode(["Supermarket 银行"])[1]]
        assert words == ["super", "##market", "银", "行"]
        assert tokenizer.identity == PoiTokenizer.load(str(GOLDEN / "wordpiece")).identity

    def test_folders_without_a_usable_tokenizer(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="holds no tokenizer"):
            PoiTokenizer.load(str(tmp_path))
        (tmp_path / "tokenizer.json").write_text("{")
        with pytest.raises(ConfigError, match="cannot be loaded"):
            PoiTokenizer.load(str(tmp_path))

    def test_a_tokenizer_without_the_special_tokens(self, tmp_path: Path) -> None:
        import transformers

        plain = tokenizers.Tokenizer(tokenizers.models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
        transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]").save_pretrained(tmp_path)
        with pytest.raises(ConfigError, match="no token for: pad, cls, sep, mask"):
            PoiTokenizer.load(str(tmp_path))

    @pytest.mark.parametrize(("spec", "revision"), [("owner/name@abc123", "abc123"), ("owner/name", "main")])
    def test_a_hub_id_is_fetched_at_its_revision(
        self, monkeypatch: pytest.MonkeyPatch, spec: str, revision: str
    ) -> None:
        import transformers

        asked = []

        def refuse(name: str, **options: Any) -> None:
            asked.append((name, options["revision"], options["local_files_only"], options["trust_remote_code"]))
            raise OSError("no network here")

        monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refuse)
        with pytest.raises(RemoteError, match="no network here"):
            PoiTokenizer.load(spec)
        assert asked == [("owner/name", revision, False, False)]

"""Captions from files of all usual shapes, and which picture each belongs to."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from urbanfm_core.data.captions import CaptionColumns, CaptionSet
from urbanfm_core.data.city import CityInputs
from urbanfm_core.errors import ConfigError, EmptyInputError, InputError
from urbanfm_core.resources import resource


def written(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def rows_of(captions: CaptionSet) -> list[tuple[str, ...]]:
    names = ("region", "image", "kind", "captioner", "text")
    return list(zip(*(getattr(captions, name).tolist() for name in names), strict=True))


def of(captions: CaptionSet, keys: list[Any], kind: Any) -> list[list[str]]:
    starts, rows = captions.by_key(keys, kind)
    assert starts.shape == (len(keys) + 1,)
    return [captions.text[rows[a:b]].tolist() for a, b in pairwise(starts)]


def test_the_sample_city_is_read_by_its_columns() -> None:
    captions = CaptionSet.read(resource("samplecity", "captions.parquet"))
    table = pd.read_parquet(resource("samplecity", "captions.parquet"))
    assert len(captions) == len(table)
    assert captions.kind.tolist() == table["image"].tolist()
    assert captions.image.tolist() == table["path"].tolist()
    assert captions.text[0] == table["caption"][0]
    regions = table["region_id"].unique().tolist()
    starts, rows = captions.by_key(regions, "satellite")
    assert (np.diff(starts) == 3).all()
    assert (captions.region[rows] == np.repeat(regions, 3)).all()
    assert (captions.kind[rows] == "satellite").all()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([{"image": "a.jpg", "caption": "One."}, {"image": "a.jpg", "caption": "Two."}], {"a.jpg": ["One.", "Two."]}),
        ({"a.jpg": "One.", "b.jpg": ["Two.", "Three."]}, {"a.jpg": ["One."], "b.jpg": ["Two.", "Three."]}),
        ({"a.jpg": {"m": "One.", "n": "Two."}}, {"a.jpg": ["One.", "Two."]}),
        (
            {
                "images": [{"id": 7, "file_name": "a.jpg"}],
                "annotations": [{"image_id": 7, "caption": "One."}, {"image_id": 7, "caption": "Two."}],
            },
            {"a.jpg": ["One.", "Two."]},
        ),
    ],
    ids=["objects", "texts by picture", "texts by captioner", "COCO"],
)
def test_json_of_all_usual_shapes(tmp_path: Path, data: Any, expected: dict[str, list[str]]) -> None:
    captions = CaptionSet.read(written(tmp_path / "c.json", data))
    assert of(captions, list(expected), "street") == list(expected.values())


def test_json_lines_and_csv(tmp_path: Path) -> None:
    lines = tmp_path / "c.jsonl"
    lines.write_text('{"region_id": 3, "caption": "One."}\n{"region_id": 5.0, "caption": "Two\\n words."}\n')
    captions = CaptionSet.read(lines)
    assert rows_of(captions) == [("3", "", "satellite", "", "One."), ("5", "", "satellite", "", "Two words.")]
    assert of(captions, [3, 4, 5], "satellite") == [["One."], [], ["Two words."]]
    table = tmp_path / "c.csv"
    table.write_text("file;model;text\na.jpg;m;One.\nb.jpg;n;\n")
    assert rows_of(CaptionSet.read(table)) == [("", "a.jpg", "", "m", "One."), ("", "b.jpg", "", "n", "")]


def test_lists_in_a_cell_are_several_captions(tmp_path: Path) -> None:
    frame = pd.DataFrame({"region_id": ["r", "s"], "caption": [["One.", "Two."], ["Three."]]})
    frame.to_parquet(tmp_path / "c.parquet")
    captions = CaptionSet.read(tmp_path / "c.parquet")
    assert of(captions, ["s", "r"], "satellite") == [["Three."], ["One.", "Two."]]
    assert captions.coverage_notes(np.array([0, 0, 1, 3]), "regions") == [
        "1 of 3 regions have no caption.",
        "1 of 3 regions have several, up to 2.",
    ]


def test_a_layer_with_a_column_of_text_is_a_caption_a_region(tmp_path: Path) -> None:
    boxes = [shapely.box(x, 0, x + 1, 1) for x in range(3)]
    frame = geopandas.GeoDataFrame({"words": ["One.", None, "Three."]}, geometry=boxes, crs="EPSG:32630")
    frame.to_file(tmp_path / "regions.gpkg", engine="pyogrio")
    captions = CaptionSet.read(tmp_path / "regions.gpkg", CaptionColumns(text="words"))
    # Without an id, regions are numbered by the file, as `RegionSet.from_layer` does.
    assert of(captions, [1, 2, 3], "satellite") == [["One."], [], ["Three."]]
    assert any("1 of 3 captions are empty" in note for note in captions.notes)
    frame.assign(code=["x", "y", "z"]).to_file(tmp_path / "named.gpkg", engine="pyogrio")
    named = CaptionSet.read(tmp_path / "named.gpkg", CaptionColumns(region="code", text="words"))
    assert named.region.tolist() == ["x", "y", "z"]


def test_street_views_are_found_by_name_without_folders_and_by_panorama() -> None:
    captions = CaptionSet.from_rows(
        [
            ("", "views/a.jpg", "street", "m", "a"),
            ("", "b.jpg", "street", "m", "b"),
            ("", "pano.jpg", "street", "m", "whole"),
            ("", "pano.jpg#90", "street", "m", "right"),
            ("", "same.jpg", "street", "m", "unclear"),
            ("r", "", "satellite", "m", "from above"),
        ]
    )
    keys = ["views/a.jpg", "deep/b.jpg", "pano.jpg#0", "pano.jpg#90", "x/same.jpg", "y/same.jpg"]
    assert of(captions, keys, "street") == [["a"], ["b"], ["whole"], ["whole", "right"], [], []]


def test_pictures_from_above_may_be_named_by_region() -> None:
    captions = CaptionSet.from_rows([("", "tiles/12.png", "", "m", "twelve"), ("7", "", "", "m", "seven")])
    assert of(captions, [7, 12], "satellite") == [["seven"], ["twelve"]]
    assert captions.select("satellite").text.tolist() == ["twelve", "seven"]


def test_the_refined_text_is_read_and_dropped_captions_describe_nothing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"region": ["r", "s"], "text": ["I'm sorry.", "A park."], "refined": ["", "A park"]})
    frame.to_parquet(tmp_path / "c.parquet")
    city = CityInputs(captions=tmp_path / "c.parquet")
    assert of(city.read_captions(), ["r", "s"], "satellite") == [[], ["A park"]]
    raw = CityInputs(captions=tmp_path / "c.parquet", caption_columns=CaptionColumns(text="text"))
    assert of(raw.read_captions(), ["r", "s"], "satellite") == [["I'm sorry."], ["A park."]]
    assert city.identity("captions") != raw.identity("captions")


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    captions = CaptionSet.from_rows([("r", "", "satellite", "m", "ein Weg"), ("", "ü.jpg", "street", "n", "")])
    captions.to_parquet(tmp_path / "c.parquet")
    assert rows_of(CaptionSet.read(tmp_path / "c.parquet")) == rows_of(captions)


@pytest.mark.parametrize(
    ("data", "columns", "error", "told"),
    [
        ([{"image": "a.jpg", "value": 3}], {}, ConfigError, "no column recognised as the text"),
        ([{"caption": "One."}], {}, InputError, "the region or the picture"),
        ([{"image": "a.jpg", "caption": "One."}], {"text": "words"}, ConfigError, "no column 'words'"),
        ([{"image": "a.jpg", "caption": ""}], {}, EmptyInputError, "every caption in the column 'caption' is empty"),
        ([], {}, EmptyInputError, "no rows"),
        (3, {}, InputError, "found neither"),
        ([1, 2], {}, InputError, "found neither"),
    ],
)
def test_what_is_no_captions_is_told(tmp_path: Path, data: Any, columns: Any, error: Any, told: str) -> None:
    with pytest.raises(error, match=told):
        CaptionSet.read(written(tmp_path / "c.json", data), CaptionColumns(**columns))


def test_broken_json_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"a.jpg": ')
    with pytest.raises(InputError, match="cannot be read as JSON"):
        CaptionSet.read(tmp_path / "c.json")


@pytest.mark.parametrize("marks", [[True, False, True], [1, 0, 1], ["True", "", "true"], [1.0, None, 1.0]])
def test_consensus_is_read_where_the_file_marks_it(tmp_path: Path, marks: list[Any]) -> None:
    frame = pd.DataFrame({"region_id": ["a", "a", "b"], "caption": ["x", "y", ["z", "w"]], "consensus": marks})
    frame.to_json(tmp_path / "c.json", orient="records")
    found = CaptionSet.read(tmp_path / "c.json")
    assert found.consensus is not None and found.consensus.tolist() == [True, False, True, True]
    agreed = found.agreed()
    assert agreed.text.tolist() == ["x", "z", "w"] and "the 3 that are marked" in agreed.notes[-1]
    assert CaptionSet.joined([found, found]).consensus is None, "of more captions it may be another"


def test_a_column_of_that_name_with_something_else_is_passed_over(tmp_path: Path) -> None:
    frame = pd.DataFrame({"region_id": ["a"], "caption": ["x"], "consensus": ["most people agree"]})
    frame.to_csv(tmp_path / "c.csv", index=False)
    found = CaptionSet.read(tmp_path / "c.csv")
    assert found.consensus is None and found.agreed() is found

"""Descriptions of regions go out as a table and, edited, come back: what was changed is learned, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import urbanfm_core
from urbanfm_core.cities import cities_to_train_on
from urbanfm_core.errors import ConfigError
from urbanfm_core.inputs import method_config
from urbanfm_core.models import get_method, load_preset
from urbanfm_core.progress import Progress
from urbanfm_core.stages import make_stage

EDITED = "Cranes, containers and warehouses by the water"


@pytest.fixture(scope="module")
def given(city: Path, work: Path) -> dict[str, object]:
    return {
        "pois": city / "pois.gpkg",
        "regions": city / "regions.gpkg",
        "preset": "refound-tiny",
        "cache": work / "cache-described",
        "device": "cpu",
    }


def language(**values: object) -> np.ndarray:
    """What the language teacher says of the regions."""
    stage = make_stage("prepare", values)
    preset = load_preset(stage.preset)  # type: ignore[attr-defined]
    method = get_method(preset["method"])
    config = method_config(stage, method, preset)
    prepared = method.prepare_cities(config, cities_to_train_on(stage, method), torch.device("cpu"), Progress())
    return np.asarray(prepared.samples.teachers["language"])  # type: ignore[attr-defined]


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_an_edited_description_changes_the_teacher_of_its_region_only(given, work, suffix):
    path = work / f"descriptions{suffix}"
    urbanfm_core.prepare(descriptions_out=path, **given)
    table = read(path)
    assert list(table.columns) == ["region_id", "description", "source"] and len(table) == 50
    assert table.description[0].startswith("A region with") and set(table.source) == {"template|1"}
    before = language(**given)
    edited = table.copy()
    edited.loc[7, "description"] = EDITED
    edited = edited.sample(frac=1, random_state=0)  # the order of the rows does not matter
    if suffix == ".csv":
        edited.to_csv(path, index=False)
    else:
        edited.to_parquet(path, index=False)
    after = language(**given, overrides=[f"language_teacher=table:{path}|minilm"])
    moved = np.abs(after - before).max(axis=1)
    assert moved[7] > 0.05 and np.delete(moved, 7).max() < 1e-5
    # What comes back goes out again as it is.
    again = work / f"again{suffix}"
    urbanfm_core.prepare(descriptions_out=again, overrides=[f"language_teacher=table:{path}|minilm"], **given)
    assert read(again).description.tolist() == edited.sort_index().description.tolist()
    assert read(again).source.str.startswith("table|").all()


def test_training_writes_them_beside_the_checkpoint(given, work):
    path = work / "beside.csv"
    urbanfm_core.train(out=work / "described", epochs=1, descriptions_out=path, **given)
    assert len(read(path)) == 50 and (work / "described").is_dir()


def test_several_cities_share_a_table(given, city, work):
    files = []
    for name in ("left", "right"):
        (work / f"{name}.json").write_text(
            f'{{"pois": "{city / "pois.gpkg"}", "regions": "{city / "regions.gpkg"}"}}', encoding="utf-8"
        )
        files.append(work / f"{name}.json")
    both = {name: value for name, value in given.items() if name not in ("pois", "regions")} | {"cities": files}
    path = work / "both.parquet"
    urbanfm_core.prepare(descriptions_out=path, **both)
    table = read(path)
    assert table.city.tolist() == ["left"] * 50 + ["right"] * 50
    before = language(**both)
    table.loc[57, "description"] = EDITED
    table.to_parquet(path)
    after = language(**both, overrides=[f"language_teacher=table:{path}|minilm"])
    moved = np.abs(after - before).max(axis=1)
    assert moved[57] > 0.05 and np.delete(moved, 57).max() < 1e-5


def test_without_a_language_teacher_there_is_nothing_to_write(given, city, work):
    with pytest.raises(ConfigError, match="no language teacher"):
        urbanfm_core.prepare(descriptions_out=work / "x.csv", **given, overrides=["language_teacher="])
    with pytest.raises(ConfigError, match=r"ends in \.parquet or \.csv"):
        urbanfm_core.prepare(descriptions_out=work / "x.xlsx", **given)
    assert not (work / "x.csv").exists()

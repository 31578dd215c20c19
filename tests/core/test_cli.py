import json

import pytest

from urbanfm_core.cli import main
from urbanfm_core.errors import ConfigError
from urbanfm_core.stages import make_stage


def test_unknown_flags_and_bad_values_are_user_errors(capsys):
    assert main(["embed", "--nosuch", "1"]) == 2
    assert main(["grid", "--grid-size", "wide", "--out", "x.gpkg"]) == 2
    assert main(["grid", "--grid-size", "-5", "--extent", "0,0,1,1", "--out", "x.gpkg"]) == 2
    assert "grid_size" in capsys.readouterr().err


GRID = {"extent": "500000,4000000,501000,4001000", "extent_crs": "EPSG:32630", "grid-size": 250}


@pytest.mark.parametrize("suffix", [".json", ".toml", ".yaml"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_config_file_gives_parameters_and_flags_win(tmp_path, suffix, nested, capsys):
    config = tmp_path / f"job{suffix}"
    lines = [f"{key} = {json.dumps(value)}" for key, value in GRID.items()]
    if suffix == ".toml":
        config.write_text("\n".join((["[grid]"] if nested else []) + lines))
    else:  # JSON is YAML too
        config.write_text(json.dumps({"grid": GRID} if nested else GRID))
    out = tmp_path / "grid.gpkg"
    assert main(["grid", "--config", str(config), "--grid-size", "500", "--out", str(out)]) == 0
    assert "regions: 4" in capsys.readouterr().out
    assert out.is_file()


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_config_that_is_no_table_is_a_user_error(tmp_path, text, capsys):
    config = tmp_path / "job.json"
    config.write_text(text)
    assert main(["grid", "--config", str(config), "--out", "x.gpkg"]) == 2
    assert "job.json" in capsys.readouterr().err.replace("\n", "")


def test_an_unknown_name_in_a_config_is_refused(tmp_path, capsys):
    config = tmp_path / "job.json"
    config.write_text(json.dumps({**GRID, "gridsize": 3}))
    assert main(["grid", "--config", str(config), "--out", "x.gpkg"]) == 2
    assert "gridsize" in capsys.readouterr().err


def test_a_shapefile_is_refused_before_any_work(tmp_path, capsys):
    assert main(["grid", "--over", "/nowhere.gpkg", "--out", str(tmp_path / "x.shp")]) == 2
    assert "Shapefile" in capsys.readouterr().err


def test_check_reports_and_writes_a_page(tmp_path, capsys):
    page = tmp_path / "check.html"
    assert main(["check", "--report", str(page)]) == 0
    assert "torch" in capsys.readouterr().out
    text = page.read_text()
    assert "<script" not in text and "Projections" in text


def test_dry_run_of_a_simple_stage_writes_nothing(tmp_path, capsys):
    out = tmp_path / "grid.gpkg"
    assert main(["grid", "--extent", GRID["extent"], "--extent-crs", "EPSG:32630", "--out", str(out), "--dry-run"]) == 0
    assert str(out) in capsys.readouterr().out.replace("\n", "")
    assert not list(tmp_path.iterdir())


def test_a_map_without_matplotlib_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else find(name))
    assert main(["embed", "--embedding-raster", "/nowhere.tif", "--map", str(tmp_path / "m.png")]) == 2
    assert "urbanfm[plots]" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize(
    ("stage", "values"),
    [
        ("evaluate", {"embeddings": "e.parquet", "targets": ["price"]}),
        ("predict", {"embeddings": "e.parquet", "target": "price"}),
        ("ablate", {"regions": "r.gpkg", "targets": ["price"]}),
    ],
)
def test_fewer_blocks_than_folds_are_refused_wherever_there_are_folds(stage, values):
    assert make_stage(stage, {**values, "folds": 4, "blocks": 4})
    with pytest.raises(ConfigError, match=r"3 blocks \(blocks\) cannot fill 4 folds \(folds\)"):
        make_stage(stage, {**values, "folds": 4, "blocks": 3})


def test_a_list_takes_what_follows_its_flag_or_the_flag_again(tmp_path, capsys):
    for files in (["a.json", "b.json"], ["a.json", "--cities", "b.json"]):
        assert main(["train", "--cities", *files, "--preset", "refound-tiny", "--out", str(tmp_path / "x")]) == 2
        assert "a.json: the file of a city cannot be read" in capsys.readouterr().err.replace("\n", "")
    assert main(["train", "--cities", "a.json", "--pois", "p.gpkg", "--out", str(tmp_path / "x")]) == 2
    assert "pois: the files of the cities" in capsys.readouterr().err.replace("\n", "")


def test_an_extent_west_of_greenwich_is_no_flag(tmp_path, capsys):
    given = ("--extent-crs", "EPSG:4326", "--grid-size", "5000", "--out", str(tmp_path / "g.gpkg"))
    assert main(["grid", "--extent", "-74.1,40.7,-73.9,40.8", *given]) == 0
    assert main(["grid", "--extent", "-inf,40.7,-73.9,40.8", *given]) == 2
    assert "four finite numbers" in capsys.readouterr().err

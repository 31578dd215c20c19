"""The command that repeats a run is one: the program that it is for reads the same stage from it."""

import shlex

import pytest

from urbanfm_core import cli
from urbanfm_core.reporting.command import command_arguments, shell_lines
from urbanfm_core.stages import STAGES, make_stage

ODD = 'it\'s "odd" $HOME `x` \\ ; & ü\n-'
CASES = [
    ("samplecity", {"out": ODD, "seed": 0, "compact": True}),
    ("grid", {"extent": "-5.5,1,2,3", "extent_crs": "EPSG:4326", "out": "x.gpkg", "grid_size": 1e-3}),
    ("prepare", {"cities": ["a b.json", "-c.json"]}),
    (
        "train",
        {"out": "o", "overrides": ["a=-1", "b=x y"], "imagery_bands": [4, 3, 2], "learning_rate": 1e-5, "seed": 7},
    ),
    ("embed", {"checkpoint": "c", "columns": True, "poi_name": ODD, "out": "o.gpkg"}),
    ("embedpois", {"checkpoint": "c", "pois": "p", "poi_tags": ["a", "-b"], "out": "o.gpkg"}),
    ("embedraster", {"checkpoint": "c", "out": "o.tif", "dtype": "int8", "cog": True, "stride": 12.5}),
    ("cluster", {"embeddings": "-a b'c.parquet", "fields": ["--x", "y z", "$HOME"], "clusters": 3}),
    ("similar", {"embeddings": "name=a.csv", "ids": ["-1", "2"], "embeddings_columns": ["A*", "b"]}),
    ("search", {"query": ODD, "checkpoint": "c", "embeddings": "e"}),
    ("attend", {"checkpoint": "c", "pois": "p", "imagery": "i", "poi_rows": [1, 2]}),
    (
        "evaluate",
        {"embeddings": ["a=b.csv", "c"], "targets": ["log:x", "o*"], "label_shares": [1, 0.5], "settled": 0.0},
    ),
    ("predict", {"embeddings": "e", "target": "log:price", "level": 95}),
    ("ablate", {"regions": "r", "targets": ["x"], "sweeps": ["lambda_image=0,0.2,0.5"]}),
    ("transfer", {"cities": ["a", "b"], "targets": ["x"], "z_scores": True}),
    ("caption", {"captioners": ["openai:m@http://x/v1?price=1", "y"], "imagery": "i", "out": "c.parquet"}),
    ("describe", {"captions": "c.parquet", "regions": "r.gpkg", "out": "d.gpkg"}),
    ("importcheckpoint", {"checkpoint": "f.pth", "out": "o", "leave_out": ["head."]}),
    ("inspect", {"checkpoint": "c"}),
    ("check", {"report": "r.html"}),
]


@pytest.mark.parametrize(("name", "values"), CASES, ids=[name for name, _ in CASES])
def test_the_program_reads_the_same_stage_from_the_line(name, values, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(cli, "_run", lambda name, values, dry_run: seen.append((name, make_stage(name, values))) or 0)
    stage = make_stage(name, values)
    folder, rest = shell_lines(name, stage).split("\n", 1)
    assert shlex.split(folder) == ["cd", str(tmp_path)]
    program, *arguments = shlex.split(rest)
    assert program == "urbanfm" and arguments == command_arguments(name, stage)
    assert cli.main(arguments) == 0
    assert seen == [(name, stage)]


def test_there_is_a_case_for_every_stage():
    # A stage that is added needs one here.
    assert {name for name, _ in CASES} >= set(STAGES)


def test_defaults_are_left_out():
    stage = make_stage("embed", {"checkpoint": "c", "seed": 0, "grid_size": 500.0, "columns": False})
    assert command_arguments("embed", stage) == ["embed", "--checkpoint", "c"]

"""The command that repeats a run is one: the program that it is for reads the same stage from it."""

import shlex

import pytest
from stage_cases import CASES

from urbanfm_core import cli
from urbanfm_core.reporting.command import command_arguments, shell_lines
from urbanfm_core.stages import STAGES, make_stage


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

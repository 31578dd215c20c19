"""The one definition of the parameters: contract file, command line, job file and Python say the same."""

import json
import subprocess
import sys

import pytest

from urbanfm_core.contract import contract, contract_text
from urbanfm_core.errors import ConfigError
from urbanfm_core.resources import resource
from urbanfm_core.stages import STAGES, make_stage

CONTRACT = json.loads(contract_text())


def test_the_contract_file_is_up_to_date():
    assert resource("contract.json").read_text(encoding="utf-8") == contract_text(), "run: make contract"


@pytest.mark.parametrize("name", STAGES)
def test_help_of_the_command_line_says_what_the_contract_says(name):
    shown = subprocess.run(
        [sys.executable, "-m", "urbanfm_core.cli", name, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "2000", "PATH": ""},
    ).stdout
    text = " ".join(shown.split())
    described = CONTRACT["stages"][name]
    assert described["summary"] in text
    for parameter in described["parameters"]:
        assert "--" + parameter["name"].replace("_", "-") in text
        assert parameter["help"] in text, parameter["name"]
        if parameter["default"] not in (None, False, []):
            assert f"[default: {parameter['default']}]" in text, parameter["name"]


@pytest.mark.parametrize("name", STAGES)
def test_every_parameter_has_label_help_and_kind(name):
    for parameter in CONTRACT["stages"][name]["parameters"]:
        assert parameter["label"] and parameter["help"].endswith(".") and parameter["kind"], parameter


def test_python_has_a_function_for_every_stage():
    import urbanfm_core

    for name in STAGES:
        assert name in urbanfm_core.__all__
        function = getattr(urbanfm_core, name)
        assert function.__doc__ == STAGES[name].__doc__


def test_one_name_means_one_thing_in_every_stage():
    seen: dict[str, tuple[str, str]] = {}
    for described in CONTRACT["stages"].values():
        for parameter in described["parameters"]:
            if parameter["name"] in ("out", "regions", "seed", "report", "checkpoint", "raster", "text_encoder"):
                continue  # differ in what they hold, and say so
            meaning = (parameter["kind"], parameter["unit"])
            assert seen.setdefault(parameter["name"], meaning) == meaning, parameter["name"]


@pytest.mark.parametrize(
    ("stage", "values", "named"),
    [
        ("embed", {"grid_size": 0}, "grid_size"),
        ("embed", {"no_such": 1}, "no_such"),
        ("train", {}, "out"),
        ("train", {"out": "x", "epochs": 0}, "epochs"),
        ("train", {"out": "x", "device": "gpu"}, "device"),
        ("grid", {"out": "x"}, "extent"),
        ("search", {"query": "", "checkpoint": "c", "embeddings": "e"}, "query"),
        ("search", {"query": "q", "checkpoint": "c"}, "embeddings"),
        ("search", {"query": "q", "checkpoint": "c", "embedding_raster": "r"}, "raster"),
        ("samplecity", {"out": "x", "regions": 10}, "regions"),
        ("nosuchstage", {}, "nosuchstage"),
    ],
)
def test_values_outside_the_limits_are_refused_by_name(stage, values, named):
    with pytest.raises(ConfigError, match=named):
        make_stage(stage, values)


def test_preset_choices_are_the_preset_files():
    listed = {path.stem for path in resource("presets").glob("*.json")}
    assert set(contract()["presets"]) == listed

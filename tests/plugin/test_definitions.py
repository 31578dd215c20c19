"""The dialogs say what the contract says."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import ROOT
from qgis.core import QgsProcessingParameterEnum, QgsProcessingParameterNumber

from qgis_plugin import compat
from qgis_plugin.algorithms.definitions import define
from qgis_plugin.contract import ContractError, Parameter, load
from qgis_plugin.provider import ALGORITHMS, UrbanFMProvider

IDS = {
    "checkenvironment",
    "creategridregions",
    "trainmodel",
    "importcheckpoint",
    "inspectcheckpoint",
    "embedregions",
    "embedpois",
    "embedraster",
    "clusterregions",
    "findsimilarregions",
    "searchbytext",
    "predictindicators",
    "evaluateembeddings",
    "attentionmaps",
    "describeregions",
}


def instances() -> list[Any]:
    return [algorithm().create({}) for algorithm in ALGORITHMS]


def test_the_provider_lists_the_fixed_ids_under_one_name(qgis_app: Any) -> None:
    provider = UrbanFMProvider()
    provider.loadAlgorithms()
    assert provider.id() == "urbanfm"
    assert {algorithm.name() for algorithm in provider.algorithms()} == IDS
    assert not provider.icon().isNull()


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda item: item.ID)
def test_parameters_equal_the_contract(algorithm: Any) -> None:
    instance = algorithm().create({})
    raw = json.loads((ROOT / "resources" / "contract.json").read_text())["stages"][algorithm.STAGE]
    expected = {p["name"].upper(): p for p in raw["parameters"] if p["name"] not in algorithm.HIDDEN}
    found = {definition.name(): definition for definition in instance.parameterDefinitions()}
    assert set(found) == set(expected)
    for key, definition in found.items():
        entry = expected[key]
        assert definition.description() == entry["label"]
        assert definition.help().startswith(entry["help"]) and entry["help"]
        assert entry["unit"] in definition.help()
        assert bool(definition.flags() & compat.ADVANCED) is entry["advanced"]
        if entry["required"]:
            assert not definition.flags() & compat.OPTIONAL
        if not entry["output"]:
            default = entry["default"]
            if isinstance(default, list):
                default = "\n".join(map(str, default))
            assert definition.defaultValue() == default
        if isinstance(definition, QgsProcessingParameterEnum):
            assert definition.usesStaticStrings()
            assert definition.options() == entry["choices"]
        if isinstance(definition, QgsProcessingParameterNumber):
            lowest = entry.get("minimum", entry.get("above"))
            assert lowest is None or definition.minimum() == lowest
            assert "maximum" not in entry or definition.maximum() == entry["maximum"]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda item: item.ID)
def test_every_algorithm_explains_itself(algorithm: Any) -> None:
    instance = algorithm().create({})
    stage = load().stage(algorithm.STAGE)
    assert instance.displayName() and instance.group() and instance.groupId().islower() and instance.tags()
    assert instance.shortDescription() == stage.summary
    assert stage.summary in instance.shortHelpString()
    for p in instance.contract_parameters():
        assert p.advanced or p.label in instance.shortHelpString()
    assert instance.helpUrl()
    assert not instance.icon().isNull()


def test_only_optional_outputs_that_most_people_want_are_made_by_default() -> None:
    made = {
        f"{instance.name()}:{definition.name()}"
        for instance in instances()
        for definition in instance.destinationParameterDefinitions()
        if definition.flags() & compat.OPTIONAL and definition.createByDefault()
    }
    assert {"embedregions:OUT", "searchbytext:OUT", "checkenvironment:REPORT", "inspectcheckpoint:REPORT"} <= made
    assert not {"embedregions:PARQUET", "embedregions:RASTER", "embedregions:MAP", "embedregions:CHECKPOINT_OUT"} & made


def test_a_distance_is_in_metres_whatever_the_layer() -> None:
    grid = next(instance for instance in instances() if instance.name() == "creategridregions")
    definition = grid.parameterDefinition("GRID_SIZE")
    assert definition.defaultUnit() == compat.METERS
    assert definition.parentParameterName() == ""


def test_fields_belong_to_their_layer() -> None:
    embed = next(instance for instance in instances() if instance.name() == "embedregions")
    parents = {d.name(): d.parentLayerParameterName() for d in embed.parameterDefinitions() if d.type() == "field"}
    assert parents["REGION_ID"] == "REGIONS"
    assert parents["POI_NAME"] == "POIS"


def test_an_unknown_kind_is_an_error_and_not_a_text_box() -> None:
    odd = Parameter("x", "help", "X", "hologram", "", "", False, False, False, None)
    with pytest.raises(ContractError, match="hologram"):
        define(odd)


def test_a_damaged_contract_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    path.write_text('{"protocol": 1}')
    with pytest.raises(ContractError, match=r"contract\.json"):
        load(path)


def test_parameters_survive_as_a_python_command(context: Any) -> None:
    embed = next(instance for instance in instances() if instance.name() == "embedregions")
    command = embed.asPythonCommand({"PRESET": "aether-tiny", "SEED": 0, "EPOCHS": 2, "OUT": "x.gpkg"}, context)
    assert "'PRESET':'aether-tiny'" in command.replace('"', "'")
    assert "'SEED':0" in command.replace('"', "'")


def test_the_plugin_imports_qgis_the_standard_library_and_itself_only() -> None:
    foreign = []
    for path in sorted((ROOT / "qgis_plugin").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                inside_worker = path.name == "bootstrap.py" and top == "urbanfm_core"
                # Processing, too, is a part of QGIS.
                if top not in {"qgis", "processing", *sys.stdlib_module_names} and not inside_worker:
                    foreign.append(f"{path.name}: {name}")
                if top in ("PyQt5", "PyQt6"):
                    foreign.append(f"{path.name}: {name}")
    assert foreign == []

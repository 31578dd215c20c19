"""What every algorithm must bring: help, icon, tags, an example, and what to do next."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from plugin.helpers import ROOT, Fake, Feedback
from qgis.core import QgsApplication, QgsProcessingContext

from qgis_plugin import build
from qgis_plugin.algorithms import nextsteps
from qgis_plugin.algorithms.examples import EXAMPLES, command
from qgis_plugin.algorithms.nextsteps import NEXT
from qgis_plugin.contract import load
from qgis_plugin.provider import ALGORITHMS, UrbanFMProvider

pytestmark = pytest.mark.usefixtures("qgis_app")

BY_ID = {algorithm.ID: algorithm for algorithm in ALGORITHMS}
# What neither the sample city nor an earlier example gives: published weights, and a model of another method.
FROM_ELSEWHERE = {"london_last.pth", "refound"}


@pytest.fixture()
def provider() -> Any:
    provider = UrbanFMProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    yield provider
    QgsApplication.processingRegistry().removeProvider(provider)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda item: item.ID)
def test_every_algorithm_has_help_icon_tags_and_an_example(algorithm: Any) -> None:
    instance = algorithm().create({})
    assert (ROOT / "resources" / "help" / f"{algorithm.ID}.html").is_file()
    assert instance.svgIconPath().endswith(".svg") and not instance.icon().isNull()
    assert len(algorithm.TAGS) >= 3 and len(set(instance.tags())) == len(instance.tags())
    for definition in instance.parameterDefinitions():
        assert definition.help().strip()
    assert f"urbanfm:{algorithm.ID}" in instance.shortHelpString()
    assert NEXT[algorithm.ID]


def test_nothing_is_told_of_algorithms_that_do_not_exist() -> None:
    assert set(EXAMPLES) == set(NEXT) == set(BY_ID)
    assert command("none") == ""


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_complete_and_its_files_are_at_hand(name: str, provider: Any) -> None:
    stage = load().stage(BY_ID[name].STAGE)
    values = EXAMPLES[name]
    instance = BY_ID[name]().create({})
    asked = {p.key: p for p in instance.contract_parameters()}
    assert set(values) <= set(asked)
    assert {p.key for p in asked.values() if p.required} <= set(values)
    assert instance.check_together(dict(values)) == ""
    city = {path.name for path in (ROOT / "resources" / "samplecity").iterdir()} | FROM_ELSEWHERE
    for earlier in list(EXAMPLES)[: list(EXAMPLES).index(name)]:
        made = load().stage(BY_ID[earlier].STAGE).parameters
        city |= {value for key, value in EXAMPLES[earlier].items() if made[key.lower()].output}
    for key, value in values.items():
        p = stage.parameters[key.lower()]
        if not p.output and p.kind in ("polygons", "points", "embeddings", "raster", "layer", "file", "checkpoint"):
            assert value in city, f"{key}={value}"
        if p.choices:
            assert value in p.choices
    # As a shell reads it.
    words = shlex.split(command(name))
    assert words[:4] == ["qgis_process", "run", f"urbanfm:{name}", "--"]
    assert words[4:] == [f"{key}={value}" for key, value in values.items()]


def test_the_pages_show_the_examples() -> None:
    contents = build.contents()
    for name in EXAMPLES:
        assert f"urbanfm:{name} --" in contents[f"resources/help/{name}.html"].decode()


@pytest.mark.parametrize("name", NEXT)
def test_what_comes_next_exists_and_fits(name: str) -> None:
    own = load().stage(BY_ID[name].STAGE).parameters
    assert 2 <= len(NEXT[name]) <= 4
    for step in NEXT[name]:
        other = load().stage(BY_ID[step.algorithm].STAGE).parameters
        assert step.algorithm != name
        for theirs, ours in step.gives.items():
            assert own[ours].output and not other[theirs].output
            assert theirs not in BY_ID[step.algorithm].HIDDEN and ours not in BY_ID[name].HIDDEN
            made, wanted = own[ours].kind, other[theirs].kind
            fits = {
                "polygons": {"polygons", "embeddings", "layer"},
                "layer": {"embeddings"},
                "checkpoint": {"checkpoint"},
                "raster": {"raster", "layer"},
            }
            assert wanted in fits[made]


def test_a_log_ends_with_what_can_be_done_next(
    fake: Fake, provider: Any, regions: Any, raster: str, pois: Any, checkpoint: str, context: QgsProcessingContext
) -> None:
    feedback = Feedback()
    parameters = {"REGIONS": regions, "POIS": pois, "EMBEDDING_RASTER": raster, "CHECKPOINT": checkpoint}
    algorithm = provider.algorithm("embedregions").create({})
    _, fine = algorithm.run({**parameters, "OUT": "TEMPORARY_OUTPUT"}, context, feedback, {}, False)
    assert fine
    at = feedback.infos.index("What can I do next?")
    told = feedback.infos[at + 1 :]
    assert any(
        re.search(r"Cluster regions: .+ Give it this run's 'Region embeddings' as 'Region embeddings'\.", line)
        for line in told
    )
    # No checkpoint was made, so there is none to search with.
    assert len(told) == 3 and not any("Search by text" in line for line in told)


def test_a_step_whose_input_was_not_made_is_left_out(provider: Any) -> None:
    algorithm = provider.algorithm("trainmodel")
    assert nextsteps.told(algorithm, {"OUT": None}, provider.algorithm) == []
    assert len(nextsteps.told(algorithm, {"OUT": "/tmp/x"}, provider.algorithm)) == 4

"""Inputs of a city: what they are made of tells them apart."""

from __future__ import annotations

import geopandas
import pytest
import shapely

from urbanfm_core.data.city import CityInputs
from urbanfm_core.errors import ConfigError
from urbanfm_core.geo.vector_writer import write_layer
from urbanfm_core.inputs import city_of
from urbanfm_core.stages import make_stage

X, Y = 500_000.0, 4_000_000.0


@pytest.mark.parametrize("name", ["roads", "buildings", "features"])
def test_each_layer_is_part_of_the_identity(name: str, tmp_path) -> None:
    paths = []
    for number in (1, 2):
        shapes = [shapely.box(X, Y, X + 9 * number, Y + 9)]
        frame = geopandas.GeoDataFrame({"id": [1], "a": [number]}, geometry=shapes, crs="EPSG:32631")
        paths.append(tmp_path / f"{number}.gpkg")
        write_layer(frame, paths[-1])
    first, second = (CityInputs(**{name: path}).identity(name) for path in paths)
    assert first != second
    assert first == CityInputs(**{name: paths[0]}).identity(name)
    assert CityInputs(**{name: paths[0]}).given("roads", "buildings", "features") == (name,)
    with pytest.raises(ConfigError, match=f"--{name}, which was not given"):
        getattr(CityInputs(), f"read_{name}")()


def test_a_stage_hands_its_layers_on() -> None:
    stage = make_stage("embed", {"checkpoint": "m", "out": "o.gpkg", "roads": "r", "buildings": "b", "features": "f"})
    city = city_of(stage)
    assert (city.roads, city.buildings, city.features) == ("r", "b", "f")

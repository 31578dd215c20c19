"""The cities that a method learns from: the one whose layers a stage names, or those of files, one for each city."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urbanfm_core.errors import ConfigError, about
from urbanfm_core.inputs import city_of, inputs_to_train, regions_of, store_of
from urbanfm_core.parameters import CityFile
from urbanfm_core.stages import checked

if TYPE_CHECKING:
    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.models.exchange import TrainingCity
    from urbanfm_core.models.method import Method

_FILES = ("polygons", "points", "layer", "raster", "file", "folder")


def cities_to_train_on(stage: Any, method: Method) -> list[TrainingCity]:
    """The cities with their sample stores.

    Raises:
        ConfigError: a file of a city is not usable, an input is missing, or the method takes one city only.
    """
    if len(getattr(stage, "cities", ())) > 1:
        method.require("cities")
    cities = []
    for name, layers in layers_of(stage).items():
        with about(name):
            city = city_of(layers)
            inputs_to_train(method, city)  # what is missing is said before regions are read
            if method.trains_on == "regions":
                city = replace(city, regions=regions_of(layers, city))
            cities.append(replace(training_city(stage, method, city), name=name))
    return cities


def training_city(stage: Any, method: Method, city: CityInputs) -> TrainingCity:
    """A city as a method learns from it, without a name: its sample store does not depend on the method's numbers.

    It keeps regions only if these are the samples, so that other methods train alike whatever the regions are.

    Raises:
        ConfigError: an input is missing.
    """
    from urbanfm_core.models.exchange import TrainingCity

    city = city if method.trains_on == "regions" else replace(city, regions=None)
    return TrainingCity("", city, store_of(stage, "samples", city.identity(*inputs_to_train(method, city))))


def data_fingerprint(cities: Sequence[TrainingCity]) -> str:
    """What the samples of all cities together were made from."""
    from urbanfm_core.data.store import fingerprint

    found = [city.store.fingerprint for city in cities]
    return found[0] if len(found) == 1 else fingerprint({"cities": found})


def layers_of(stage: Any) -> Mapping[str, Any]:
    """The parameters of each city by its name; a single one has none.

    Raises:
        ConfigError: a file is not usable, or named twice.
    """
    paths = [Path(path).expanduser() for path in getattr(stage, "cities", ())]
    if not paths:
        return {"": stage}
    twice = [str(path) for path, count in Counter(path.absolute() for path in paths).items() if count > 1]
    if twice:
        raise ConfigError(f"A city is named twice: {', '.join(twice)}.", "Name each file once.")
    if len(paths) == 1:
        return {"": _read_city(paths[0])}
    stems = Counter(path.stem for path in paths)
    return {path.stem if stems[path.stem] == 1 else str(path): _read_city(path) for path in paths}


def _read_city(path: Path) -> CityFile:
    """The layers that a file of a city names, by the names of the flags; paths are relative to the file."""
    hint = 'Write JSON such as {"pois": "pois.gpkg", "imagery": "imagery.tif", "regions": "regions.gpkg"}.'
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: the file of a city cannot be read ({error}).", hint) from error
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{path}: expected an object with the layers of a city.", hint)
    values = {str(key).replace("-", "_"): value for key, value in content.items()}
    for name, item in CityFile.model_fields.items():
        extra: Any = item.json_schema_extra
        value = values.get(name)
        if extra["kind"] in _FILES and isinstance(value, str) and "://" not in value:
            values[name] = str(path.absolute().parent / Path(value).expanduser())
    return checked(CityFile, values, f"File {path}", hint)

"""Whether what probes learned of a city holds in another, for embeddings of both by one model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.places import are_points
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import about
from urbanfm_core.evaluation.city_targets import read_city_targets, relative
from urbanfm_core.evaluation.floors import Array, centres_m
from urbanfm_core.evaluation.inputs import settings_of
from urbanfm_core.evaluation.tables import label_columns, name_and_path, read_embeddings, read_own_places
from urbanfm_core.evaluation.transfer import CityVectors, Transfer, transfer_targets
from urbanfm_core.evaluation.transfer_floors import shared_floors
from urbanfm_core.maps.vector_table import read_vector_table, require_same_model
from urbanfm_core.progress import Progress
from urbanfm_core.stages.evaluation import EvaluateStage


def score_other_city(
    stage: EvaluateStage, city: CityInputs, regions: RegionSet, labels: pd.DataFrame, progress: Progress
) -> Transfer:
    """Score the probes of the first embeddings in the other city, and those of the other city in the first.

    Args:
        stage: Names both tables, the targets, and the points of interest of the other city.
        city: Layers of the first city.
        regions: Its regions.
        labels: Their labels, row by row.
        progress: Reports and cancels.
    Raises:
        ConfigError: the tables are of different models; or a target is not a field of the other city's layer.
        InputError: a city has fewer than 20 regions with label and vector; or as `RegionSet.from_layer`.
    """
    (mine, *_), theirs = stage.embeddings or [], str(stage.other)
    here, there = _two_names(name_and_path(mine)[0], name_and_path(theirs)[0])
    columns = stage.embeddings_columns
    table = read_vector_table(mine, stage.embeddings_id, columns)
    notes = require_same_model(table, read_vector_table(theirs, stage.other_id, columns))
    with about(there):
        other = read_own_places(name_and_path(theirs)[1], stage.other_id)
    places = {here: regions, there: other}
    known = {here: labels, there: label_columns(other)}
    area_km2 = {name: place.area_m2() / 1e6 for name, place in places.items()}
    targets = read_city_targets(stage.targets, known, area_km2, stage.task)
    if stage.z_scores:
        targets = {name: [relative(target, name) for target in found] for name, found in targets.items()}
    vectors = {
        here: _vectors(mine, regions, stage.embeddings_id, labels.columns, columns, own=stage.regions is None),
        there: _vectors(theirs, other, stage.other_id, known[there].columns, columns, own=True),
    }
    floors: Mapping[str, Mapping[str, Array]] = {}
    # Points have no surface to count in, and no area.
    if not any(are_points(place) for place in places.values()):
        mine_given = replace(city, embedding_raster=None, imagery=None, regions=regions)
        given = {here: mine_given, there: CityInputs(pois=stage.other_pois, regions=other)}
        floors, said = shared_floors(given, progress.part(0.0, 0.2))
        notes += said
    pairs = [(one, two) for one in places for two in places]
    features = [
        CityVectors(name, floor, {(one, two): found[two] for one, two in pairs})
        for name, floor, found in (
            (table.model or "embeddings", False, vectors),
            *((name, True, found) for name, found in floors.items()),
        )
    ]
    settings = settings_of(stage, stage.seed)
    found = transfer_targets(
        targets,
        features,
        {name: centres_m(place) for name, place in places.items()},
        list(places),
        settings,
        progress.part(0.2, 1.0),
    )
    return Transfer(
        model=features[0].name,
        cities=tuple(places),
        sources=tuple(places),
        settings=settings,
        z_scores=stage.z_scores,
        targets=found,
        notes=[*(f"{there}: {note}" for note in other.notes), *notes],
        one_model=True,
    )


def _two_names(one: str, other: str) -> tuple[str, str]:
    """Names of the cities; tables of one name, such as QGIS gives to all results, are told apart."""
    return (one, other) if one != other else (one, f"{other} (other city)")


def _vectors(
    text: str, regions: RegionSet, id_field: str | None, targets: Iterable[object], columns: Sequence[str], *, own: bool
) -> Array:
    """Vectors on the rows of the regions, (R, D); without coordinates, which mean nothing in another city."""
    found = read_embeddings(text, regions, id_field, {str(name) for name in targets}, columns, own=own)
    return np.asarray(found[-1].vectors)

"""What a run of `evaluate` or `ablate` names: regions with their labels, embeddings, and the layers that floors are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from urbanfm_core.data.city import CityInputs
from urbanfm_core.data.embedding_raster import EmbeddingRaster
from urbanfm_core.data.places import are_points, read_places, require_polygons
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.errors import ConfigError
from urbanfm_core.evaluation.floors import area, coordinates, poi_floors, raster_floors, raster_sum
from urbanfm_core.evaluation.run import Settings
from urbanfm_core.evaluation.tables import (
    Features,
    label_columns,
    name_and_path,
    read_embeddings,
    read_labels,
    read_own_places,
)
from urbanfm_core.evaluation.targets import Target, read_targets
from urbanfm_core.parameters import LabelInputs, LabelTables, ProbeParams
from urbanfm_core.progress import Progress
from urbanfm_core.stages.evaluation import EvaluateStage, PredictStage


def read_labelled_regions(
    stage: EvaluateStage | PredictStage, progress: Progress
) -> tuple[RegionSet, pd.DataFrame, list[str]]:
    """The regions, their labels row by row, and notes; see `labels_of` for the errors."""
    if stage.regions is not None:
        regions = read_places(stage.regions, stage.region_id)
    else:
        given = stage.embeddings or ""
        _, source = name_and_path(given if isinstance(given, str) else given[0])
        regions = read_own_places(source, stage.region_id or stage.embeddings_id)
    return regions, *labels_of(stage, regions, progress)


def labels_of(stage: LabelTables, regions: RegionSet, progress: Progress) -> tuple[pd.DataFrame, list[str]]:
    """Labels of regions, row by row: their fields, a table's columns, and the sum of a raster; and notes.

    Raises:
        ConfigError: two sources of labels have a column in common.
    """
    notes: list[str] = []
    labels = label_columns(regions)
    if stage.labels is not None:
        more = read_labels(stage.labels, regions, stage.labels_id, notes)
        common = [str(name) for name in more.columns if name in labels.columns]
        if common:
            notes.append(f"Labels {', '.join(common[:8])}: the table's are taken, not the regions' fields.")
        labels = pd.concat([labels.drop(columns=common), more], axis=1)
    if stage.label_raster is not None:
        name = Path(stage.label_raster).stem
        if name in labels.columns:
            raise ConfigError(
                f"The regions have a field '{name}' already, which is the name of the label raster.",
                "Rename the raster's file.",
            )
        require_polygons(regions, "The sum of a raster (label_raster)")
        with EmbeddingRaster.open(stage.label_raster, "none") as raster:
            labels[name], said = raster_sum(regions, raster, progress)
        notes += said
    return labels, notes


def targets_of(stage: LabelInputs, regions: RegionSet, labels: pd.DataFrame) -> list[Target]:
    """What to predict: the targets that are named, else the sum of the raster."""
    wanted = stage.targets or [Path(str(stage.label_raster)).stem]
    return read_targets(wanted, labels, regions.area_m2() / 1e6, stage.task)


def settings_of(stage: ProbeParams, seed: int) -> Settings:
    """How to evaluate, the splits from this seed on."""
    return Settings(
        splits=("spatial", "random") if stage.split == "both" else (stage.split,),
        seeds=tuple(range(seed, seed + stage.seeds)),
        folds=stage.folds,
        blocks=stage.blocks,
        linear=stage.probes != "mlp",
        mlp=stage.probes != "linear",
        settled_per_km2=stage.settled,
        label_shares=tuple(stage.label_shares),
    )


def read_features(
    stage: EvaluateStage, regions: RegionSet, city: CityInputs, labels: Collection[str], progress: Progress
) -> list[Features]:
    """Embeddings first, then floors; each with a name of its own."""
    given = stage.embeddings or []
    # Without a layer of regions, they are the features of the first table.
    own = given[0] if stage.regions is None and given else None
    found = [
        item
        for texts, columns in ((given, stage.embeddings_columns), (stage.compare, ()))
        for text in texts
        for item in read_embeddings(text, regions, stage.embeddings_id, labels, columns, own=text == own)
    ]
    found = [_with_note(item) for item in _named_apart(found)]
    return [*found, *read_floors(regions, city, progress)]


def read_floors(regions: RegionSet, city: CityInputs, progress: Progress) -> list[Features]:
    """What anyone has of regions: plain features of each layer that is given, their area, and where they are.

    Raises:
        ConfigError: layers are given for points, which have no surface to count in.
    """
    floors: list[Features] = []
    layers = city.given("pois", "embedding_raster", "imagery")
    if layers:
        require_polygons(regions, f"A floor of {layers[0]}")
    if city.pois is not None:
        floors += poi_floors(regions, city.read_pois(), progress.part(0.0, 0.3))
    if city.embedding_raster is not None:
        with city.open_embedding_raster() as raster:
            floors += raster_floors(regions, raster, "embedding raster", progress.part(0.3, 0.6))
    if city.imagery is not None:
        with EmbeddingRaster.open(city.imagery) as raster:
            floors += raster_floors(regions, raster, "imagery", progress.part(0.6, 1.0))
    # Points have no area.
    return [*floors, *([] if are_points(regions) else [area(regions)]), coordinates(regions)]


def _named_apart(found: list[Features]) -> list[Features]:
    """Embeddings of one name get numbers."""
    counts = Counter(item.name for item in found)
    seen: Counter[str] = Counter()
    renamed = []
    for item in found:
        seen[item.name] += 1
        name = f"{item.name} ({seen[item.name]})" if counts[item.name] > 1 else item.name
        renamed.append(replace(item, name=name))
    return renamed


def _with_note(item: Features) -> Features:
    said = {
        "yes": "was given the position of regions",
        "no": "was not given the position of regions",
        "unknown": "does not say whether it was given the position of regions",
    }[item.position]
    notes = [*item.notes, f"{item.name}: {item.vectors.shape[1]} dimensions; {said}."]
    without = int((~item.covered).sum())
    if without:
        notes.append(f"{item.name}: {without} of {len(item.vectors)} regions have no vector.")
    constant = int((np.ptp(item.vectors[item.covered], axis=0) == 0).sum()) if item.covered.any() else 0
    if constant:
        notes.append(f"{item.name}: {constant} dimensions are the same everywhere.")
    return replace(item, notes=notes)

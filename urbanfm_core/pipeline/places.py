"""The stage that gives single points of interest and buildings their vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urbanfm_core.errors import EmptyInputError
from urbanfm_core.inputs import city_of, load_model, store_of
from urbanfm_core.pipeline.trained import provenance_of
from urbanfm_core.progress import Progress
from urbanfm_core.result import Result
from urbanfm_core.stages.places import EmbedPoisStage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from urbanfm_core.data.city import CityInputs
    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.models.method import Method

_LAYERS = ("pois", "buildings", "streetview", "embedding_raster", "roads", "features")
_OUTPUTS = ("out", "parquet", "map", "report")


def embedpois(stage: EmbedPoisStage, progress: Progress) -> Result:
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.maps import embedding_report

    progress.update(0.0, "Reading the points of interest")
    method, trained, checkpoint = load_model(stage.checkpoint, stage, progress)
    trained = replace(trained, text_encoder=stage.text_encoder)
    asked = read_points(stage, method)
    city, features = asked.city, asked.features
    identity = city.identity(*city.given(*method.points_from))
    made_from = {"weights": checkpoint.manifest["weights_sha256"], "precision": stage.precision}
    store = store_of(stage, "embedpois", {**identity, **made_from, "text_encoder": stage.text_encoder})
    made = method.embed_points(trained, city, store, progress.part(0.1, 0.9))
    vectors = by_feature(made.vectors, asked.feature, len(features))
    coverage = {
        name: by_feature(values[:, None], asked.feature, len(features))[:, 0] for name, values in made.coverage.items()
    }
    table = EmbeddingTable(features, vectors, coverage, provenance_of(checkpoint))
    if not table.covered.any():
        raise EmptyInputError(
            f"None of the {len(features):,} points of interest has a vector: the model reads nothing of them.",
            "Name the columns with their tags or category: --poi-tags, --poi-category.",
        )
    _write(stage, table, progress.part(0.9, 1.0))
    store.remove()
    uncovered = int((~table.covered).sum())
    notes = [*asked.notes, *features.notes, *made.notes, *trained.notes]
    if uncovered:
        notes.append(f"{uncovered:,} of {len(features):,} points of interest have no vector.")
    if not any(getattr(stage, name) for name in _OUTPUTS):
        notes.append("No output was named, so the vectors were written nowhere; name --out or --parquet.")
    summary = {
        "points": len(features),
        "dimensions": int(vectors.shape[1]),
        "uncovered": uncovered,
        "model": table.provenance["model"],
        "region_id": features.id_name,
        "checkpoint": stage.checkpoint,
        **{name: getattr(stage, name) for name in _OUTPUTS},
    }
    page = None if stage.report is None else embedding_report.page(table, "points of interest")
    return Result(summary, table, notes, page)


@dataclass(frozen=True)
class AskedPoints:
    """What is to be embedded.

    Attributes:
        city: The layers that the method reads of points.
        features: Those of the layer of points, F.
        feature: Feature of each point, (P,); -1 for none.
        notes: What is left out.
    """

    city: CityInputs
    features: RegionSet
    feature: NDArray[np.int64]
    notes: list[str]


def read_points(stage: EmbedPoisStage, method: Method) -> AskedPoints:
    """The points of interest, and the layers that are read of them.

    Raises:
        ConfigError: the method has no vectors of points, or there are no points.
    """
    from urbanfm_core.data.places import are_points, poi_features

    method.require("points")
    given = city_of(stage)
    given.require("pois")
    unused = [name for name in given.given(*_LAYERS) if name not in method.points_from]
    city = replace(given, **dict.fromkeys(unused))  # type: ignore[arg-type]
    notes = [f"{method.title} does not read {', '.join(unused)} to embed points: left out."] if unused else []
    features, feature = poi_features(city, city.read_pois(), stage.poi_id)
    if "buildings" in method.points_from and city.buildings is None and not are_points(features):
        city = replace(city, buildings=city.pois)
        notes.append("The points of interest are polygons, and their outlines are read too.")
    return AskedPoints(city, features, feature, notes)


def by_feature(values: NDArray[np.float32], feature: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Mean over the points of each feature, (F, D); NaN for one without any that is known.

    Args:
        values: (P, D); NaN rows do not count.
        feature: (P,) in [-1, F).
        count: F.
    """
    import numpy as np

    known = np.flatnonzero((feature >= 0) & np.isfinite(values).all(axis=1))
    total = np.zeros((count, values.shape[1]))
    np.add.at(total, feature[known], values[known])
    points = np.bincount(feature[known], minlength=count)[:, None]
    return np.where(points > 0, total / np.maximum(points, 1), np.nan).astype(np.float32)


def _write(stage: EmbedPoisStage, table: EmbeddingTable, progress: Progress) -> None:
    from urbanfm_core.data.places import are_points
    from urbanfm_core.maps.plot import plot_map
    from urbanfm_core.maps.styles import principal_rgb, write_region_style

    progress.update(0.0, "Writing")
    components, rgb = principal_rgb(table.vectors)
    regions: Any = table.regions
    if stage.parquet is not None:
        table.to_parquet(stage.parquet)
    if stage.out is not None:
        table.to_layer(stage.out, columns=stage.columns)
        write_region_style(Path(stage.out).with_suffix(".qml"), components, points=are_points(regions))
    if stage.map is not None:
        plot_map(stage.map, regions.geometry, regions.crs, rgb, f"Point embeddings, {table.provenance['model']}")

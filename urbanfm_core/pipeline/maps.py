"""The stages that group and compare regions by their vectors; see `pipeline`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urbanfm_core import report
from urbanfm_core.errors import ConfigError
from urbanfm_core.inputs import city_of, load_model, model_name
from urbanfm_core.progress import Progress
from urbanfm_core.report import Page
from urbanfm_core.result import Result
from urbanfm_core.stages.maps import ClusterStage, SearchStage, SimilarStage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from urbanfm_core.data.regions import RegionSet
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.maps.grouping import Groups
    from urbanfm_core.maps.search import Ranking
    from urbanfm_core.maps.vector_table import VectorTable


def cluster(stage: ClusterStage, progress: Progress) -> Result:
    from urbanfm_core.data.places import require_polygons
    from urbanfm_core.maps import cluster_report
    from urbanfm_core.maps.profile import profile_clusters

    given = vectors_to_cluster(stage)
    if stage.pois is not None:
        require_polygons(given.regions, "A description of clusters by points of interest (pois)")
    pois = city_of(stage).read_pois() if stage.pois is not None else None
    progress.update(0.05, f"Clustering {len(given.regions):,} regions")
    groups = groups_of(stage, given.vectors, given.regions, progress.part(0.05, 0.85))
    notes = [*given.regions.notes, *given.notes, *groups.notes, *(pois.notes if pois is not None else ())]
    profiles = profile_clusters(groups, given.regions, given.columns, pois, notes, progress.part(0.85, 0.9))
    how = "HDBSCAN" if stage.algorithm == "hdbscan" else "k-means"
    if stage.contiguity:
        how = "Ward's method, merging neighbours only"
    how += {"none": "", "unit": ", of vectors made equally long", "standard": ", of standardised vectors"}[
        stage.scaling
    ]
    found = cluster_report.Clustering(given.regions, groups, profiles, given.columns, given.words, how, notes)
    progress.update(0.9, "Writing")
    if stage.out is not None:
        cluster_report.write_clusters(stage.out, found)
    if stage.profile is not None:
        cluster_report.write_json(stage.profile, found)
    if not any(getattr(stage, name) for name in ("out", "profile", "report")):
        notes.append("No output was named, so the clusters were written nowhere; name --out.")
    summary = {
        "regions": len(given.regions),
        "clusters": len(groups.sizes),
        "silhouette": groups.mean_silhouette,
        "without_vector": int((~groups.known).sum()),
        "in_no_cluster": int((groups.known & (groups.labels < 0)).sum()),
        "sizes": groups.sizes.tolist(),
        "table": cluster_report.lines(found),
        "region_id": given.regions.id_name,
        **{name: getattr(stage, name) for name in ("out", "profile", "report")},
    }
    return Result(summary, found, notes, None if stage.report is None else cluster_report.page(found))


@dataclass(frozen=True)
class ToCluster:
    """What a clustering starts from.

    Attributes:
        vectors: (R, D).
        columns: (R, F) fields that describe clusters.
        words: What the vectors are.
    """

    regions: RegionSet
    vectors: NDArray[np.float64]
    columns: pd.DataFrame
    words: str
    notes: list[str] = field(default_factory=list)


def vectors_to_cluster(stage: ClusterStage) -> ToCluster:
    """Read what `cluster` takes: polygons or points, their vectors, and the fields that describe them.

    Raises:
        InputError, ConfigError: the embeddings or the fields are not usable.
    """
    from urbanfm_core.data.places import read_places
    from urbanfm_core.evaluation.tables import label_columns, name_and_path, read_embeddings, read_own_places
    from urbanfm_core.inference.columns import find_vectors
    from urbanfm_core.maps.profile import field_columns

    _, source = name_and_path(str(stage.embeddings))
    if stage.regions is not None:
        regions = read_places(stage.regions, stage.region_id)
    else:
        regions = read_own_places(source, stage.region_id or stage.embeddings_id)
    labels = label_columns(regions)
    # A field that the user names is no part of the vector, whatever it looks like.
    named = set(stage.fields) if stage.regions is None else {str(name) for name in labels.columns}
    features = read_embeddings(
        str(stage.embeddings), regions, stage.embeddings_id, named, stage.embeddings_columns, own=stage.regions is None
    )
    notes = [note for item in features for note in item.notes]
    if len(features) > 1:
        notes.append("The columns that look like coordinates are left out here.")
    # Where columns look like coordinates, the first of two results holds them.
    table = features[-1]
    if stage.regions is None and "embedding" not in regions.attributes.columns:
        parts = find_vectors(
            regions.attributes, regions.id_name, table.name, [], targets=named, chosen=stage.embeddings_columns
        )
        labels = labels.drop(columns=[name for name in parts.columns if name in labels.columns])
    ours = {"cluster", "silhouette", "distance"}
    if not stage.fields and ours <= set(labels.columns):
        # What an earlier clustering said is no finding of this one.
        labels = labels.drop(columns=sorted(ours)).drop(columns="cluster_name", errors="ignore")
    columns = field_columns(labels, stage.fields, regions.id_name, notes)
    words = f"{table.name}, {table.vectors.shape[1]} dimensions"
    return ToCluster(regions, table.vectors, columns, words, notes)


def groups_of(
    stage: ClusterStage, vectors: NDArray[np.float64], regions: RegionSet, progress: Progress | None = None
) -> Groups:
    """Cluster vectors, (R, D), of regions as the stage's parameters say.

    Raises:
        UrbanFMError: see `group_regions`.
    """
    from urbanfm_core.maps.grouping import group_regions

    return group_regions(
        vectors,
        algorithm=stage.algorithm,
        clusters=stage.clusters,
        most_clusters=stage.most_clusters,
        min_size=stage.min_size,
        scaling=stage.scaling,
        connected=regions if stage.contiguity else None,
        seed=stage.seed,
        progress=progress,
    )


def similar(stage: SimilarStage, progress: Progress) -> Result:
    import numpy as np

    from urbanfm_core.maps import similarity_report
    from urbanfm_core.maps.search import ranking_of
    from urbanfm_core.maps.similarity import query_of, score_blocks
    from urbanfm_core.maps.vector_table import read_vector_table, require_same_model

    progress.update(0.0, "Reading")
    source = read_vector_table(str(stage.embeddings), stage.embeddings_id, stage.embeddings_columns)
    ranked = source if stage.other is None else read_vector_table(stage.other, stage.other_id)
    notes = [*source.notes]
    if stage.other is not None:
        notes += [*ranked.notes, *require_same_model(source, ranked)]
    rows = chosen_rows(stage, source, notes)
    vectors = source.take(rows)
    query, medoid = query_of(vectors, stage.how)
    silent = int((~(np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1))).sum())
    if silent:
        notes.append(f"{silent:,} of {len(rows):,} chosen regions have no vector and count for nothing.")
    score = score_blocks(ranked.blocks(), query, len(ranked), progress.part(0.1, 0.8))
    unscored = int(np.isnan(score).sum())
    if unscored:
        notes.append(
            f"{unscored:,} of {len(ranked):,} regions have no vector of finite numbers, or only zeros: no score."
        )
    chosen = np.zeros(len(ranked), bool)
    if stage.other is None:
        chosen[rows] = True
    found = similarity_report.Similar(
        ranked.ids,
        # A table without ids has row numbers, under a name that people can read.
        ranked.id_name if not ranked.id_name.startswith("__") else "row",
        ranking_of(score, ~chosen),
        chosen,
        source.ids[rows].tolist(),
        None if medoid is None else source.ids[rows[medoid]],
        _how_words(stage.how, len(query)),
        ranked.name,
        notes,
    )
    progress.update(0.8, "Writing")
    page = _write_similar(stage, found, ranked)
    summary = {
        "regions": len(ranked),
        "ranked": found.ranking.ranked,
        "chosen": len(rows),
        "without_score": unscored,
        "medoid": None if found.medoid is None else str(found.medoid),
        "top": [[_plain(name), round(score, 4)] for name, score in found.top(stage.top)],
        "region_id": found.id_name,
        **{name: getattr(stage, name) for name in ("out", "table", "report")},
    }
    return Result(summary, found, found.notes, page)


def chosen_rows(stage: SimilarStage, source: VectorTable, notes: list[str]) -> NDArray[np.int64]:
    """Rows of the chosen regions, by id and by place.

    Raises:
        ConfigError: an id is not there, or regions are chosen by place in a table without polygons.
        InputError: the chosen polygons touch no region.
    """
    import numpy as np

    from urbanfm_core.data.places import read_places
    from urbanfm_core.errors import InputError
    from urbanfm_core.maps.vector_table import rows_at

    parts = [source.rows_of(stage.ids)] if stage.ids else []
    if stage.chosen is not None:
        try:
            regions, rows = source.regions()
        except InputError as error:
            raise ConfigError(
                f"{source.name}: regions cannot be chosen on a map, since the table has no polygons ({error.message})",
                "Choose them by id (ids), or give a layer or GeoParquet of embeddings.",
            ) from error
        parts.append(rows[rows_at(regions, read_places(stage.chosen), notes)])
    return np.unique(np.concatenate(parts))


def _write_similar(stage: SimilarStage, found: Any, ranked: VectorTable) -> Page | None:
    """Write the outputs; what the report shows, if one is asked for."""
    import numpy as np

    from urbanfm_core.errors import InputError
    from urbanfm_core.maps import similarity_report

    regions, rows = None, np.empty(0, np.int64)
    # Polygons are read first: where a layer cannot be written, nothing is.
    if stage.out is not None or stage.report is not None:
        try:
            regions, rows = ranked.regions()
        except InputError as error:
            if stage.out is not None:
                raise ConfigError(
                    f"{ranked.name}: a layer of similar regions cannot be written, since the table has no polygons "
                    f"({error.message})",
                    "Ask for a table (table) instead, or give a layer or GeoParquet of embeddings.",
                ) from error
            found.notes.append(f"The report has no map: {error.message}")
    if stage.table is not None:
        similarity_report.write_table(stage.table, found)
    if stage.out is not None and regions is not None:
        found.notes.extend(regions.notes)
        similarity_report.write_similar(stage.out, found, regions, rows)
    if not any(getattr(stage, name) for name in ("out", "table", "report")):
        found.notes.append("No output was named, so the scores were written nowhere; name --out or --table.")
    return None if stage.report is None else similarity_report.page(found, stage.top, regions, rows)


def _how_words(how: str, count: int) -> str:
    words = {"mean": "the mean of the chosen regions", "medoid": "the most typical of the chosen regions"}
    return words.get(how, f"the nearest of the {count:,} chosen regions")


def search(stage: SearchStage, progress: Progress) -> Result:
    from urbanfm_core.inference.raster import map_raster, require_bands, score_function
    from urbanfm_core.inference.table import EmbeddingTable
    from urbanfm_core.maps import search_report
    from urbanfm_core.maps.raster_report import score_picture
    from urbanfm_core.maps.raster_styles import write_score_style
    from urbanfm_core.maps.search import rank

    method, trained, checkpoint = load_model(stage.checkpoint, stage, progress)
    if stage.raster is not None:
        method.require("pixels")
    trained = replace(trained, text_encoder=stage.text_encoder)
    query = method.text_vectors(trained, [stage.query], progress.part(0.0, 0.2))[0]
    told = {name: getattr(stage, name) for name in ("out", "raster", "report")}
    summary: dict[str, Any] = {"query": stage.query, **told}
    shown: list[str] = []
    value: Any = None
    notes: list[str] = []
    if stage.embeddings is not None:
        table = EmbeddingTable.from_layer(stage.embeddings)
        made_with = table.provenance.get("checkpoint")
        if made_with not in (None, checkpoint.manifest["weights_sha256"]):
            raise ConfigError(
                f"{stage.embeddings} was made with another checkpoint: its vectors are no answers to this one's phrases.",
                "Search with the checkpoint that made the embeddings.",
            )
        if table.vectors.shape[1] != len(query):
            raise ConfigError(
                f"{stage.embeddings} holds {table.vectors.shape[1]}-d vectors, the checkpoint makes {len(query)}-d ones.",
                "Search with the checkpoint that made the embeddings.",
            )
        value = rank(table.vectors, query)
        notes += _search_notes(stage, table, value, model_name(checkpoint))
        best = value.top(stage.top)
        summary |= {
            "regions": len(table.ids),
            "top": [[_plain(table.ids[row]), round(float(value.score[row]), 4)] for row in best],
        }
        if stage.out is not None:
            _write_ranking(table, value, stage.out)
        shown += search_report.region_parts(table, value, stage.top)
    if stage.raster is not None:
        city = city_of(stage)
        pixels = method.pixel_function(trained)
        with city.open_embedding_raster() as source:
            require_bands(source, trained.preprocessing["bands"])
            found = map_raster(
                source,
                score_function(pixels, query),
                stage.raster,
                tags={"query": stage.query},
                names=lambda _: stage.query,
                progress=progress.part(0.3, 1.0),
            )
            summary |= {name: found[name] for name in ("dimensions", "valid_pixels")}
            write_score_style(Path(stage.raster).with_suffix(".qml"), stage.raster)
        if stage.report is not None:
            said = "Dark to yellow: a seventh of the pixels each, from the lowest score to the highest."
            shown.append(report.picture("Score of each pixel", score_picture(stage.raster, stage.query), said))
    page = None
    if stage.report is not None:
        encoder = stage.text_encoder or trained.preprocessing.get("text_encoder") or "the model's own"
        if isinstance(encoder, dict):
            encoder = str(encoder.get("spec"))
        best = "" if stage.embeddings is None else search_report.best_words(table, value)
        page = search_report.page(stage.query, model_name(checkpoint), encoder, best, shown)
    return Result(summary, value, [*notes, *trained.notes], page)


def _search_notes(stage: SearchStage, table: EmbeddingTable, ranking: Ranking, model: str) -> list[str]:
    notes = [*table.regions.notes]
    if table.provenance.get("checkpoint") is None and table.provenance.get("model") != model:
        notes.append(
            f"Whether {stage.embeddings} was made with this checkpoint is not known; scores mean something only then."
        )
    if ranking.ranked < len(table.ids):
        notes.append(f"{len(table.ids) - ranking.ranked:,} of {len(table.ids):,} regions have no vector, and no score.")
    return notes


def _write_ranking(table: EmbeddingTable, ranking: Ranking, path: str) -> None:
    import pandas as pd

    from urbanfm_core.data.places import are_points
    from urbanfm_core.geo.vector_writer import write_layer
    from urbanfm_core.maps.styles import write_ranking_style

    fields = {
        "score": ranking.score.astype(float),
        "rank": pd.Series(ranking.rank, dtype="Int32").where(ranking.rank > 0),
        "percentile": ranking.percentile.astype(float),
    }
    write_layer(table.regions.to_frame().assign(**fields), path)
    write_ranking_style(Path(path).with_suffix(".qml"), ranking.score, points=are_points(table.regions))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value

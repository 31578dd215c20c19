"""What grouping and comparing regions would take; see `planning`."""

from __future__ import annotations

import time
from itertools import islice

import numpy as np

from urbanfm_core.pipeline.maps import chosen_rows, groups_of, vectors_to_cluster
from urbanfm_core.planning.pilots import scaled
from urbanfm_core.planning.plans import Plan, name_device, peak_bytes
from urbanfm_core.progress import Progress
from urbanfm_core.stages.maps import ClusterStage, SimilarStage

# Samples that choose the number of clusters are at most so large, so that from here on time grows with the rows.
_PILOT_VECTORS = (3000, 6000)
_PILOT_BLOCKS = 4


def plan_clusters(stage: ClusterStage, made: Plan, progress: Progress) -> None:
    """The clustering of some regions, or of all if they are few."""
    import torch

    given = vectors_to_cluster(stage)
    known = np.flatnonzero(np.isfinite(given.vectors).all(axis=1))
    if stage.regions is None:
        made.reads.append(("regions", f"{len(given.regions):,} polygons of the embeddings"))
    width = given.vectors.shape[1]
    made.reads.append(("embeddings", f"{width} dimensions for {len(known):,} of {len(given.regions):,} regions"))
    made.reads.append(("fields", f"{given.columns.shape[1]} columns describe the clusters"))
    name_device(made, torch.device("cpu"))
    progress.update(0.3, "Trying some regions")

    def run(rows: np.ndarray) -> None:
        groups_of(stage, given.vectors[rows], given.regions.take(rows))

    # Without a vector, running says what is wrong, as the stage would.
    made.seconds["clustering"] = scaled(known if len(known) else np.arange(len(given.vectors)), _PILOT_VECTORS, run)
    made.memory_bytes = peak_bytes() + given.vectors.nbytes
    made.notes.append("Describing the clusters and writing come on top.")


def plan_similarity(stage: SimilarStage, made: Plan, progress: Progress) -> None:
    """The first blocks of the table compared, and what is chosen."""
    import torch

    from urbanfm_core.maps.similarity import query_of, score_blocks
    from urbanfm_core.maps.vector_table import read_vector_table, require_same_model

    source = read_vector_table(str(stage.embeddings), stage.embeddings_id, stage.embeddings_columns)
    ranked = source if stage.other is None else read_vector_table(stage.other, stage.other_id)
    if stage.other is not None:
        made.notes += require_same_model(source, ranked)
        made.reads.append(("regions to choose from", f"{len(source):,} of {source.name}"))
    rows = chosen_rows(stage, source, made.notes)
    made.reads.append(("chosen regions", f"{len(rows):,} of {len(source):,}"))
    made.reads.append(("embeddings", f"{ranked.width} dimensions for {len(ranked):,} regions of {ranked.name}"))
    name_device(made, torch.device("cpu"))
    progress.update(0.3, "Trying some regions")
    query, _ = query_of(source.take(rows), stage.how)
    started = time.perf_counter()
    blocks = list(islice(ranked.blocks(), _PILOT_BLOCKS))
    tried = sum(map(len, blocks))
    score_blocks(blocks, query, tried)
    made.seconds["comparing"] = (time.perf_counter() - started) / max(tried, 1) * len(ranked)
    made.seconds["writing"] = None
    made.memory_bytes = peak_bytes()

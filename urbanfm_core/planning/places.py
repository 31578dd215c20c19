"""What embedding single points of interest would take."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from urbanfm_core.inputs import load_model
from urbanfm_core.pipeline.places import read_points
from urbanfm_core.planning.pilots import PILOT_POINTS, scaled, spread
from urbanfm_core.planning.plans import Plan, name_device, peak_bytes
from urbanfm_core.progress import Progress
from urbanfm_core.stages.places import EmbedPoisStage


def plan_points(stage: EmbedPoisStage, made: Plan, progress: Progress) -> None:
    """Few of the points embedded, and more of them."""
    from urbanfm_core.data.store import SampleStore
    from urbanfm_core.geo.vector_writer import write_layer

    method, trained, _ = load_model(stage.checkpoint, stage, progress)
    trained = replace(trained, text_encoder=stage.text_encoder)
    asked = read_points(stage, method)
    name_device(made, trained.device)
    made.reads.append(("features", f"{len(asked.features):,}, each of which gets a vector"))
    made.notes += asked.notes
    if (stage.text_encoder or "").startswith("openai:"):
        made.seconds["embedding"] = None
        made.notes.append("Nothing is sent in a dry run, so time is not measured.")
        return

    def embed(rows: np.ndarray) -> None:
        with tempfile.TemporaryDirectory() as folder:
            some = Path(folder) / "pois.gpkg"
            write_layer(asked.features.take(rows).to_frame(), some)
            store = SampleStore(folder, {"pilot": len(rows)})
            method.embed_points(trained, replace(asked.city, pois=some), store, Progress())

    progress.update(0.3, "Trying some points of interest")
    rows = np.arange(len(asked.features))
    embed(spread(rows, 2))  # what is paid once in a process, such as loading libraries
    made.seconds["embedding"] = scaled(rows, PILOT_POINTS, embed)
    made.seconds["writing"] = None
    width = getattr(trained.config, "embedding_dim", 0) or getattr(trained.config, "width", 0)
    made.memory_bytes = peak_bytes() + len(rows) * width * 40

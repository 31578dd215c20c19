"""How the model of a run came to be: from its checkpoint, or from what a table of vectors says of the one that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from urbanfm_core.evaluation.tables import name_and_path
from urbanfm_core.inference.table import table_metadata
from urbanfm_core.models import METHODS, get_method
from urbanfm_core.parameters import Stage
from urbanfm_core.training.checkpoint import Checkpoint

Row = tuple[str, Any]


def model_of(stage: Stage, summary: dict[str, Any]) -> tuple[list[Row], str | None]:
    """What is known of the model: rows of a table, and the curve of its losses as SVG if there is one.

    Args:
        stage: Parameters of the run.
        summary: Its result; a model that the run trained is named there.
    """
    trained = summary.get("checkpoint")
    path = getattr(stage, "checkpoint", None) or (trained if isinstance(trained, str) else None)
    if path is not None and (Path(path).expanduser() / "manifest.json").is_file():
        checkpoint = Checkpoint.load(path)
        record = {"method": checkpoint.method, "checkpoint": checkpoint.manifest["weights_sha256"]}
        return [("Checkpoint", str(path)), *model_rows({**record, "training": checkpoint.record()})], checkpoint.plot
    embeddings = getattr(stage, "embeddings", None)
    tables = embeddings if isinstance(embeddings, list) else [embeddings] if embeddings else []
    rows = []
    for text in tables:
        name, source = name_and_path(text)
        about = f"{name}: " if len(tables) > 1 else ""
        rows += [(about + key, value) for key, value in model_rows(table_metadata(source).get("provenance", {}))]
    return rows, None


def model_rows(provenance: dict[str, Any]) -> list[Row]:
    """What a table of vectors says of its model, as rows."""
    training = provenance.get("training") or {}
    method = provenance.get("method")
    title = get_method(method) if method in METHODS else None
    found: list[tuple[str, Any]] = [
        ("Method", f"{title.title} ({title.paper})" if title is not None else method),
        ("Preset", training.get("preset") or provenance.get("model")),
        ("Imported from", training.get("source")),
        ("Cities", training.get("cities")),
        ("Training samples", f"{training['samples']:,}" if training.get("samples") else None),
        ("Epochs", training.get("epochs")),
        ("Epoch that is kept", training.get("best_epoch")),
        ("Losses at that epoch", training.get("losses")),
        ("Learning rate", training.get("learning_rate")),
        ("Batch size", training.get("batch_size")),
        ("Seed", training.get("seed")),
        ("Data (fingerprint)", training.get("data_fingerprint")),
        ("Weights (SHA-256)", provenance.get("checkpoint")),
        ("Made with UrbanFM", training.get("urbanfm") or provenance.get("urbanfm")),
    ]
    return [(name, value) for name, value in found if value not in (None, "", [], {})]

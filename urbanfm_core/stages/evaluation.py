"""Parameters of the stages that score embeddings against labels, and predict with them."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import model_validator

from urbanfm_core.parameters import (
    BlockParams,
    CaptionInputs,
    ComputeParams,
    EmbeddingRasterInputs,
    EmbeddingsId,
    ImageryInputs,
    LabelInputs,
    LabelTables,
    NetworkInputs,
    PoiInputs,
    Precision,
    ProbeParams,
    RegionId,
    RegionInputs,
    TrainingParams,
    number_format,
    numbers_by_city,
    other_city_id,
    param,
)


class EvaluateStage(ProbeParams, LabelInputs, EmbeddingRasterInputs, PoiInputs, EmbeddingsId, RegionId):
    """Say what embeddings know of a city, beside what anyone could know without them.

    Simple probes predict the targets from the vectors, for regions in blocks that they were not trained on. The same
    probes on the same folds get plain features, the floors: counts of points of interest, words of their names, raster
    bands, area, and the coordinates alone. An embedding that does not beat a floor is named. With the embeddings of
    another city, the probes are also scored there, without having seen it.
    """

    embeddings: list[str] | None = param(
        None,
        "Embeddings to evaluate: those of UrbanFM, or any table with an id and columns of numbers. On the command line "
        "several are compared, and name=path gives one a name. Without any, the floors are scored alone.",
        label="Region embeddings",
        kind="embeddings",
    )
    compare: list[str] = param(
        [],
        "Files of more embeddings to compare with, each a path, or name=path to give it a name.",
        label="More embeddings",
        kind="list",
    )
    regions: str | None = param(
        None,
        "Polygons whose fields hold the labels. Without them, the layer of the first embeddings.",
        label="Regions with labels",
        kind="polygons",
    )
    imagery: str | None = param(
        None,
        "Raster whose band means and deviations are one more floor.",
        label="Imagery",
        kind="raster",
    )
    other: str | None = param(
        None,
        "Embeddings of another city by the same model, with the targets among the fields of the layer: probes that learn in "
        "one city are scored in the other, both ways. Of several embeddings, the first.",
        label="Region embeddings of another city",
        kind="embeddings",
    )
    other_id: str | None = other_city_id()
    other_pois: str | None = param(
        None,
        "Points of interest of the other city, to count as a floor. A point layer, or a CSV or Parquet table with longitude "
        "and latitude.",
        label="Points of interest of the other city",
        kind="points",
        advanced=True,
    )
    z_scores: bool = numbers_by_city()
    seed: int = param(
        0,
        "First seed. The same seed gives the same folds and scores.",
        label="Seed",
        kind="integer",
        ge=0,
        advanced=True,
    )
    out: str | None = param(
        None, "JSON file to write, with every score of every seed.", label="Scores", kind="file", output=True
    )
    report: str | None = param(
        None, "HTML report to write, with pictures.", label="Report on the scores", kind="file", output=True
    )

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, values: Any) -> Any:
        single = isinstance(values, dict) and isinstance(values.get("embeddings"), (str, os.PathLike))
        return {**values, "embeddings": [os.fspath(values["embeddings"])]} if single else values

    @model_validator(mode="after")
    def _regions_from_somewhere(self) -> EvaluateStage:
        if self.regions is None and not self.embeddings:
            raise ValueError("give embeddings, or regions to score the floors of")
        return self

    @model_validator(mode="after")
    def _another_city_to_score_in(self) -> EvaluateStage:
        if self.other is not None and not (self.embeddings and self.targets):
            raise ValueError(
                "another city (other) is scored with the embeddings and targets of the first: give embeddings and targets"
            )
        beside = [name for name in ("other_id", "other_pois", "z_scores") if getattr(self, name)]
        if self.other is None and beside:
            raise ValueError(f"{', '.join(beside)}: only with the embeddings of another city (other)")
        return self


class AblateStage(
    ProbeParams,
    LabelInputs,
    ComputeParams,
    TrainingParams,
    CaptionInputs,
    NetworkInputs,
    EmbeddingRasterInputs,
    ImageryInputs,
    PoiInputs,
    RegionInputs,
):
    """Say what each part of a method is worth on a city, and how much a number of it matters.

    Trains the method as it is, without each part that its paper leaves out, and with other values of its numbers, each
    from several seeds, and scores all of them like 'evaluate': the same regions, folds and floors. Finished trainings
    are kept in the cache and taken up by the next run.
    """

    regions: str | None = param(
        None,
        "Polygons that are embedded and whose fields hold the labels. Without them a grid is made, whose only labels "
        "come from a raster (label_raster).",
        label="Regions with labels",
        kind="polygons",
    )
    variants: list[str] = param(
        [],
        "Ablations to make, by the names that the method gives them, such as 'w/o aug', and 'untrained' for the network "
        "as it starts; none of them with 'none'. All when not given.",
        label="Ablations",
        kind="list",
    )
    sweeps: list[str] = param(
        [],
        "Numbers of the model to vary, each with its values, such as lambda_image=0,0.2,0.5.",
        label="Sweeps",
        kind="list",
    )
    training_seeds: int = param(
        3,
        "Number of trainings of each variant, from different seeds. With one, nothing is said about what another start "
        "of the training would give.",
        label="Training seeds",
        kind="integer",
        ge=1,
        le=100,
    )
    seed: int = param(
        0, "First seed, of the trainings and of the splits.", label="Seed", kind="integer", ge=0, advanced=True
    )
    out: str | None = param(
        None,
        "JSON file to write, with every score of every variant and seed, and where their checkpoints lie.",
        label="Scores",
        kind="file",
        output=True,
    )
    report: str | None = param(
        None,
        "HTML report to write, with a plot of each sweep.",
        label="Report on the ablation",
        kind="file",
        output=True,
    )

    @model_validator(mode="after")
    def _labels_from_somewhere(self) -> AblateStage:
        if self.regions is None and self.label_raster is None:
            raise ValueError("give regions with labels (regions), or a raster to sum over a grid (label_raster)")
        return self


class PredictStage(BlockParams, ComputeParams, ImageryInputs, PoiInputs, LabelTables, EmbeddingsId, RegionId):
    """Predict a field for every region from its vector, with intervals.

    A simple model (a probe) learns the field from the regions that have it. Whole blocks of neighbouring regions are
    held out in turn, so that scores, residuals and intervals are those of places that the model has not seen. Regions
    whose vector is unlike all that it learned from are marked. With the head 'finetune', a trained ReFound or UrbanCLIP
    goes on learning, from the layers that it sees; a model fine-tuned before predicts for other regions.
    """

    embeddings: str | None = param(
        None,
        "What to predict from: embeddings of UrbanFM, or any table with an id and columns of numbers. Not needed to "
        "fine-tune.",
        label="Region embeddings",
        kind="embeddings",
    )
    regions: str | None = param(
        None,
        "Polygons to predict for, whose fields hold the labels; regions without a label are predicted too. Without "
        "them, the layer of the embeddings.",
        label="Regions",
        kind="polygons",
    )
    target: str | None = param(
        None,
        "What to predict: a field (price), its logarithm (log:price), a density (log:population/km2), a field with its "
        "task (zone:multiclass), or shares of a whole (occ_*, or a+b+c). A fine-tuned model knows it by itself.",
        label="Target",
        kind="text",
        of="regions embeddings",
    )
    task: Literal["auto", "regression", "binary", "multiclass", "distribution"] = param(
        "auto",
        "'auto': numbers are regression, two values binary, texts multi-class, several fields shares of a whole.",
        label="Task",
        kind="choice",
    )
    head: Literal["linear", "mlp", "finetune"] = param(
        "linear",
        "What learns: 'linear' (ridge, logistic or softmax regression), 'mlp' (six networks of two layers, whose mean "
        "counts), or 'finetune' (a trained ReFound or UrbanCLIP goes on learning, which takes its checkpoint and layers, "
        "and time).",
        label="Model",
        kind="choice",
    )
    checkpoint: str | None = param(
        None,
        "ReFound or UrbanCLIP to fine-tune; or one that was fine-tuned here, which predicts without learning.",
        label="Checkpoint",
        kind="checkpoint",
    )
    level: float = param(
        90.0,
        "Share of regions whose true value the interval is to contain.",
        label="Level of the intervals",
        kind="number",
        unit="%",
        ge=50,
        le=99.9,
    )
    seed: int = param(
        0,
        "Start of all random numbers. The same seed gives the same folds and predictions.",
        label="Seed",
        kind="integer",
        ge=0,
        advanced=True,
    )
    folds: int | None = param(
        None,
        "Number of folds. When not given, one for each block, which makes the narrowest intervals, of a linear model of "
        "a number; else 5, for the sake of time.",
        label="Folds",
        kind="integer",
        ge=2,
        le=50,
        advanced=True,
    )
    epochs: int = param(
        40, "Passes over the labelled regions when fine-tuning.", label="Epochs", kind="integer", ge=1, advanced=True
    )
    learning_rate: float = param(
        1e-4,
        "Step size of the optimiser when fine-tuning, for the head; each layer below takes three quarters of that of "
        "the one above.",
        label="Learning rate",
        kind="number",
        gt=0,
        advanced=True,
    )
    precision: Precision = number_format()
    fusion: Literal["average", "attention"] = param(
        "average",
        "How a fine-tuned model makes one vector of points and imagery.",
        label="Fusion",
        kind="choice",
        advanced=True,
    )
    learns: Literal["auto", "head", "all"] = param(
        "auto",
        "What learns when fine-tuning: the 'head' alone, 'all' of the network, or as in the method's paper: all of "
        "ReFound, the predictor alone of UrbanCLIP.",
        label="What learns",
        kind="choice",
        advanced=True,
    )
    guide: str | None = param(
        None,
        "Of UrbanCLIP: words that guide a prediction when fine-tuning, such as 'The carbon emission is'.",
        label="Guiding words",
        kind="text",
        advanced=True,
    )
    out: str | None = param(
        None,
        "Layer to write (GeoPackage or GeoJSON): all source fields, and the prediction in fields that begin with "
        "'pred'.",
        label="Predicted regions",
        kind="polygons",
        output=True,
    )
    parquet: str | None = param(
        None, "GeoParquet to write, with the same fields.", label="Predicted regions (GeoParquet)", kind="file",
        output=True,
    )  # fmt: skip
    report: str | None = param(
        None, "HTML report to write, with maps and scores.", label="Report on the prediction", kind="file", output=True
    )
    checkpoint_out: str | None = param(
        None,
        "Where to keep the model that was fine-tuned on all labelled regions, to predict elsewhere.",
        label="Fine-tuned checkpoint",
        kind="checkpoint",
        output=True,
        advanced=True,
    )

    @model_validator(mode="after")
    def _something_to_predict_from(self) -> PredictStage:
        tuning = self.head == "finetune" or self.checkpoint is not None
        if self.folds is not None and self.blocks < self.folds:
            raise ValueError(f"{self.blocks} blocks (blocks) cannot fill {self.folds} folds (folds)")
        if not tuning and self.embeddings is None:
            raise ValueError("give region embeddings (embeddings) to predict from")
        if tuning and self.checkpoint is None:
            raise ValueError("fine-tuning needs a trained ReFound or UrbanCLIP (checkpoint)")
        if tuning and self.regions is None:
            raise ValueError("a network predicts for regions: give them (regions)")
        if self.checkpoint is None and self.target is None and self.label_raster is None:
            raise ValueError("name what to predict (target)")
        if self.checkpoint_out is not None and self.head != "finetune":
            raise ValueError("a checkpoint (checkpoint_out) is only made by fine-tuning (head=finetune)")
        return self

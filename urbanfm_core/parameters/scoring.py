"""What to predict, and how predictions are scored: targets, folds, probes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from urbanfm_core.parameters.base import Stage, param
from urbanfm_core.parameters.inputs import LabelTables


class TargetParams(Stage):
    targets: list[str] = param(
        [],
        "What to predict, separated by commas: a column (price), its logarithm (log:price), a density "
        "(log:population/km2), a column with its task (zone:multiclass), or shares of a whole (occ_*, or a+b+c).",
        label="Targets",
        kind="list",
        of="regions embeddings",
    )
    task: Literal["auto", "regression", "binary", "multiclass", "distribution"] = param(
        "auto",
        "Task of the targets that do not name their own. 'auto': numbers are regression, two values binary, texts "
        "multi-class, several columns shares of a whole.",
        label="Task",
        kind="choice",
    )


def numbers_by_city() -> Any:
    """Whether numbers are predicted relative to their city, as a parameter."""
    return param(
        False,
        "Predict how far a number lies from the mean of its city, in deviations of its city, and not the number itself: "
        "for labels whose level or unit differs between cities. Each city's own labels tell mean and deviation.",
        label="Numbers relative to their city",
        kind="flag",
        advanced=True,
    )


class LabelInputs(TargetParams, LabelTables):
    @model_validator(mode="after")
    def _something_to_predict(self) -> LabelInputs:
        if not self.targets and self.label_raster is None:
            raise ValueError("name what to predict (targets), or give a raster to sum (label_raster)")
        return self


class BlockParams(Stage):
    blocks: int = param(
        25,
        "Number of spatial blocks: groups of neighbouring regions, each held out as a whole.",
        label="Blocks",
        kind="integer",
        ge=2,
        advanced=True,
    )


class FoldParams(BlockParams):
    folds: int = param(
        5,
        "Number of parts that the blocks are dealt to; each part is predicted by probes trained on the others.",
        label="Folds",
        kind="integer",
        ge=2,
        le=50,
        advanced=True,
    )

    @model_validator(mode="after")
    def _blocks_fill_folds(self) -> FoldParams:
        if self.blocks < self.folds:
            raise ValueError(f"{self.blocks} blocks (blocks) cannot fill {self.folds} folds (folds)")
        return self


class ProbeChoice(FoldParams):
    seeds: int = param(
        5,
        "Number of random splits into folds. Scores are the mean over them, with an interval.",
        label="Seeds",
        kind="integer",
        ge=1,
        le=100,
    )
    probes: Literal["all", "linear", "mlp"] = param(
        "all",
        "Which probes: linear (ridge, logistic, softmax), a network of two layers, or both, of which the better counts.",
        label="Probes",
        kind="choice",
        advanced=True,
    )


class ProbeParams(ProbeChoice):
    split: Literal["spatial", "random", "both"] = param(
        "spatial",
        "What is held out: whole blocks of neighbouring regions, or single regions at random as in many papers, which "
        "flatters, since neighbours are alike.",
        label="Split",
        kind="choice",
    )
    settled: float = param(
        1000.0,
        "Density from which a region counts as settled. Targets that count inhabitants, or are their density, are also "
        "scored for settled regions alone; 0 for not.",
        label="Settled regions from",
        kind="number",
        unit="inhabitants per km2",
        ge=0,
        advanced=True,
    )
    label_shares: list[float] = param(
        [1.0],
        "Shares of the labels that probes learn from, such as 1, 0.5 and 0.1; more than one give a curve. All labels are "
        "always scored.",
        label="Shares of the labels",
        kind="list",
        advanced=True,
    )

    @model_validator(mode="after")
    def _shares_are_shares(self) -> ProbeParams:
        for share in self.label_shares:
            if not 0 < share <= 1:
                raise ValueError(f"a share of the labels (label_shares) lies above 0 and at most at 1, found {share:g}")
        return self

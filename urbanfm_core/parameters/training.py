"""How to train and where to compute: device, cache, preset, settings of the loop."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from urbanfm_core.parameters.base import Stage, param

Precision = Literal["float32", "bfloat16"]


def number_format() -> Any:
    """The precision of a network's arithmetic, as a parameter."""
    return param(
        "float32",
        "Number format of the network's arithmetic. bfloat16 is faster where the machine has it.",
        label="Precision",
        kind="choice",
        advanced=True,
    )


def encoder_of_training() -> Any:
    """The text encoder of a trained model, as a parameter."""
    return param(
        None,
        "Text encoder that the model was trained with, if the checkpoint does not name one, or names a service on the "
        "network, which is used only when it is named here.",
        label="Text encoder",
        kind="text",
        advanced=True,
    )


def dimension_columns() -> Any:
    """Whether vectors are written as columns too, as a parameter."""
    return param(
        False,
        "Also write the vector as one column per dimension: emb_000, emb_001 and so on.",
        label="One column per dimension",
        kind="flag",
        advanced=True,
    )


class ComputeParams(Stage):
    device: str = param(
        "auto",
        "Where to compute: auto, cpu, cuda, cuda:1 or mps. 'auto' takes a GPU if there is one.",
        label="Device",
        kind="text",
        advanced=True,
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
    )
    batch_size: int | None = param(
        None,
        "Samples (when training) or pixels (when embedding) computed at once. The preset's, or 65536 pixels, when not "
        "given.",
        label="Batch size",
        kind="integer",
        ge=1,
        advanced=True,
    )
    cache: str | None = param(
        None,
        "Folder for prepared samples and unfinished work, so that a rerun continues. The user's cache folder when not "
        "given.",
        label="Cache folder",
        kind="folder",
        advanced=True,
    )


class TrainingParams(Stage):
    preset: str = param(
        "aether-small",
        "Method and size. AETHER learns from points of interest and an embedding raster; ReFound from points, imagery or "
        "both; UrbanCLIP from imagery and captions; UrbanLN from imagery or street views, and captions; UrbanMFM from "
        "points, roads, buildings, imagery and street views, as many as there are. '-tiny' shows in seconds whether the "
        "layers fit together, '-small' is for a laptop, and the plain name is the method as published. Or a JSON file of "
        "your own, in the form of those in resources/presets.",
        label="Preset",
        kind="choice",
    )
    epochs: int | None = param(
        None, "Passes over the samples. The preset's when not given.", label="Epochs", kind="integer", ge=1
    )
    learning_rate: float | None = param(
        None,
        "Step size of the optimiser. The preset's when not given.",
        label="Learning rate",
        kind="number",
        gt=0,
        advanced=True,
    )
    precision: Precision = number_format()
    seed: int = param(
        0,
        "Start of all random numbers. The same seed and inputs give the same weights on a CPU.",
        label="Seed",
        kind="integer",
        ge=0,
        advanced=True,
    )
    text_encoder: str = param(
        "minilm",
        "What turns POI texts into vectors: 'minilm' (comes with urbanfm[text]), a Hugging Face id or folder, or "
        "'openai:MODEL@URL' for an OpenAI-compatible endpoint (key from the environment variable OPENAI_API_KEY); "
        "?dimensions=384&price=0.13 may follow, the price of a million tokens for the estimate that is said first.",
        label="Text encoder",
        kind="text",
        advanced=True,
    )
    overrides: list[str] = param(
        [],
        "Changes to the preset's model, as field=value, such as lambda_image=0.5 or base_m=25.",
        label="Changes to the preset",
        kind="list",
        advanced=True,
    )


class DescriptionsOutput(Stage):
    descriptions_out: str | None = param(
        None,
        "Table to write, .parquet or .csv: what the language teacher was told of each region, to be read and corrected. "
        "An edited one is taken by the change to the preset language_teacher=table:FILE.",
        label="Descriptions of the regions",
        kind="file",
        output=True,
        advanced=True,
    )

    @model_validator(mode="after")
    def _a_table_that_can_be_written(self) -> DescriptionsOutput:
        if self.descriptions_out is not None and not self.descriptions_out.lower().endswith((".parquet", ".csv")):
            raise ValueError("descriptions (descriptions_out) are written to a file that ends in .parquet or .csv")
        return self

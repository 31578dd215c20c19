"""The stages and their parameters: the one definition from which the command line, the worker's job file, the Python
keyword arguments and the QGIS dialogs are made.

Each stage is a pydantic model of `parameters.param` fields; those of the analyses are in `analysis_stages`.
"""

from __future__ import annotations

import os
from typing import Any, Literal, TypeVar

from pydantic import ValidationError, model_validator

from urbanfm_core.analysis_stages import AblateStage, AttendStage, EvaluateStage, PredictStage, SearchStage
from urbanfm_core.caption_stages import CaptionStage, DescribeStage
from urbanfm_core.errors import ConfigError
from urbanfm_core.map_stages import ClusterStage, SimilarStage
from urbanfm_core.parameters import (
    CityParams,
    ComputeParams,
    DescriptionsOutput,
    EmbeddingRasterInputs,
    GridShape,
    ImageryInputs,
    SeveralCities,
    Stage,
    TrainingParams,
    cell_shape,
    cell_size,
    param,
)
from urbanfm_core.transfer_stages import TransferStage

StageType = TypeVar("StageType", bound=Stage)


class SampleCityStage(Stage):
    """Generate a city with known latent fields.

    Regions, POIs, roads, buildings, imagery, a 64-band embedding raster, street views, captions and indicators of an
    invented city, all driven by three hidden fields: physical form, human function and socio-economic level.
    """

    out: str = param(help="Folder to write the city to.", label="Sample city", kind="folder", output=True)
    regions: int = param(400, "Number of regions.", label="Regions", kind="integer", ge=50, le=100_000)
    seed: int = param(0, "The same seed gives the same city.", label="Seed", kind="integer", ge=0)
    compact: bool = param(
        False,
        "Coarser imagery and few street views, for a city that fits in a megabyte.",
        label="Compact",
        kind="flag",
        advanced=True,
    )


class GridStage(Stage):
    """Make square or hexagonal regions of equal size.

    The grid is laid out in metres: in the coordinate reference system of the area if that is in metres, else in its
    UTM zone. Cells that do not touch the area are left out.
    """

    over: str | None = param(None, "Layer or raster to cover.", label="Layer to cover", kind="layer")
    extent: str | None = param(
        None, "Area to cover instead, as xmin,ymin,xmax,ymax.", label="Extent to cover", kind="extent"
    )
    extent_crs: str | None = param(
        None, "Coordinate reference system of the extent.", label="CRS of the extent", kind="crs", advanced=True
    )
    grid_size: float = cell_size()
    grid_shape: GridShape = cell_shape("Shape of the cells.")
    out: str = param(
        help="GeoPackage, GeoJSON or GeoParquet to write.", label="Grid regions", kind="polygons", output=True
    )

    @model_validator(mode="after")
    def _one_area(self) -> GridStage:
        if (self.over is None) == (self.extent is None):
            raise ValueError("give either a layer to cover (over) or an extent")
        return self


class PrepareStage(ComputeParams, TrainingParams, SeveralCities, DescriptionsOutput):
    """Read a city's layers once and keep what a method trains on.

    Training does this by itself; done alone it separates the reading, which is slow on large rasters, from training.
    """


class TrainStage(ComputeParams, TrainingParams, SeveralCities, DescriptionsOutput):
    """Train a method on the layers of a city, or of several.

    Writes a checkpoint: a folder with weights, configuration, preprocessing, metrics and a loss curve. A run that was
    stopped continues where it was when started again with the same inputs and parameters.
    """

    out: str = param(help="Folder of the checkpoint to write.", label="Checkpoint", kind="checkpoint", output=True)
    report: str | None = param(
        None, "HTML report to write, with the loss curve.", label="Report", kind="file", output=True
    )


class EmbedStage(ComputeParams, TrainingParams, CityParams):
    """Give every region a vector that knows what the place looks like and what it is for.

    With a checkpoint it embeds. Without one it first trains the preset on the same layers and keeps that checkpoint.
    """

    checkpoint: str | None = param(
        None,
        "Trained model. Without it, the preset is trained first, which needs points of interest.",
        label="Checkpoint",
        kind="checkpoint",
    )
    rule: Literal["centre", "coverage"] = param(
        "centre",
        "Which pixels belong to a region: those whose centre lies inside, or all that it touches, weighted by the share "
        "inside. Take 'coverage' when regions are hardly larger than pixels.",
        label="Pixel rule",
        kind="choice",
        advanced=True,
    )
    columns: bool = param(
        False,
        "Also write the vector as one column per dimension: emb_000, emb_001 and so on.",
        label="One column per dimension",
        kind="flag",
        advanced=True,
    )
    out: str | None = param(
        None,
        "Layer to write (GeoPackage or GeoJSON): all source fields, the vector as text, its first three principal "
        "components, and coverage.",
        label="Region embeddings",
        kind="polygons",
        output=True,
    )
    parquet: str | None = param(
        None,
        "GeoParquet to write, with exact vectors in a list column 'embedding'.",
        label="Region embeddings (GeoParquet)",
        kind="file",
        output=True,
    )
    raster: str | None = param(
        None,
        "GeoTIFF to write, with each region's vector on the grid of the embedding raster.",
        label="Region embeddings (raster)",
        kind="raster",
        output=True,
        advanced=True,
    )
    map: str | None = param(
        None,
        "PNG map to write: regions coloured by the first three principal components.",
        label="Map picture",
        kind="file",
        output=True,
        advanced=True,
    )
    checkpoint_out: str | None = param(
        None,
        "Where to keep the checkpoint that was trained because none was given.",
        label="Trained checkpoint",
        kind="checkpoint",
        output=True,
        advanced=True,
    )


class EmbedRasterStage(ComputeParams, EmbeddingRasterInputs, ImageryInputs):
    """Embed every pixel of a raster, or windows that slide over imagery.

    Writes a raster with one band per dimension, north up. A model of pixels writes it on the grid of the embedding
    raster; pixels without data stay without. A model of pictures looks at windows of the size that it was trained on, one
    a pixel of the output, and blends them where they overlap; a window that is mostly without data has no vector.
    """

    checkpoint: str = param(
        help="Trained model that can embed pixels of an embedding raster, or windows of imagery.",
        label="Checkpoint",
        kind="checkpoint",
    )
    window: float | None = param(
        None,
        "Side of the windows over imagery. As in training when not given.",
        label="Side of the windows",
        kind="number",
        unit="m",
        gt=0,
        advanced=True,
    )
    stride: float | None = param(
        None,
        "Distance between windows over imagery, and side of the output's pixels; at most the side of a window. Half of it "
        "when not given, so that neighbours overlap by half. Half the stride takes four times as long.",
        label="Distance between windows",
        kind="number",
        unit="m",
        gt=0,
    )
    dtype: Literal["float32", "float16", "int8"] = param(
        "float32",
        "Number format of the output. int8 stores v as round(127.5 * sign(v) * sqrt(|v|)) with nodata -128, as "
        "AlphaEarth does, in an eighth of the space or less.",
        label="Number format",
        kind="choice",
    )
    compress: Literal["zstd", "deflate", "none"] = param(
        "zstd", "Compression of the output.", label="Compression", kind="choice", advanced=True
    )
    out: str = param(help="GeoTIFF to write.", label="Embedding raster", kind="raster", output=True)


class ImportCheckpointStage(Stage):
    """Turn published weights into a checkpoint.

    Nothing in the file is executed: a file that holds anything but tensors and plain values is refused.
    """

    checkpoint: str = param(
        help="Published file: london_last.pth of AETHER, a .pdparams file of ReFound, or a file of weights of open_clip's "
        "CoCa for UrbanCLIP; for UrbanLN the folder or Hugging Face id of any CLIP.",
        label="Published checkpoint",
        kind="file",
    )
    method: Literal["aether", "refound", "urbanclip", "urbanln"] = param(
        "aether", "Method that the weights belong to.", label="Method", kind="choice"
    )
    text_encoder: str | None = param(
        None,
        "Of AETHER: text encoder that the weights were trained with, needed for search by text. See 'train'.",
        label="Text encoder",
        kind="text",
        advanced=True,
    )
    tokenizer: str | None = param(
        None,
        "Of all but AETHER: tokenizer that the weights were trained with, a Hugging Face folder or id. When not given, as "
        "published: bert-base-chinese of ReFound, CLIP's of UrbanCLIP, and of UrbanLN the CLIP's own.",
        label="Tokenizer",
        kind="text",
        advanced=True,
    )
    category_names: str | None = param(
        None,
        "Of ReFound: text file with the names of the categories, one a line, in the order of their numbers. Without it "
        "every category is unknown.",
        label="Names of the categories",
        kind="file",
        advanced=True,
    )
    heads: int | None = param(
        None,
        "Of ReFound: attention heads, which the weights do not tell; of width 64, as published, when not given.",
        label="Attention heads",
        kind="integer",
        ge=1,
        advanced=True,
    )
    architecture: str | None = param(
        None,
        "Of UrbanCLIP: open_clip's JSON file of the model, which tells the numbers of heads. One beside the weights is "
        "found; without any, heads are those of open_clip's own coca models.",
        label="JSON of the architecture",
        kind="file",
        advanced=True,
    )
    leave_out: list[str] = param(
        [],
        "Of ReFound: beginnings of the names of weights that are not wanted, such as heads of the pre-training.",
        label="Weights to leave out",
        kind="list",
        advanced=True,
    )
    out: str = param(help="Folder of the checkpoint to write.", label="Checkpoint", kind="checkpoint", output=True)


class InspectStage(Stage):
    """Say what a checkpoint is, what it needs and what it gives."""

    checkpoint: str = param(help="Checkpoint to look at.", label="Checkpoint", kind="checkpoint")
    report: str | None = param(None, "HTML report to write.", label="Report", kind="file", output=True)


class CheckStage(Stage):
    """Check this installation: interpreter, packages, device, text encoder, and what mends what is missing."""

    report: str | None = param(None, "HTML report to write.", label="Report", kind="file", output=True)


# Of the job file and of the lines that the worker writes.
PROTOCOL = 1

STAGES: dict[str, type[Stage]] = {
    "samplecity": SampleCityStage,
    "grid": GridStage,
    "prepare": PrepareStage,
    "caption": CaptionStage,
    "train": TrainStage,
    "embed": EmbedStage,
    "embedraster": EmbedRasterStage,
    "describe": DescribeStage,
    "cluster": ClusterStage,
    "similar": SimilarStage,
    "search": SearchStage,
    "attend": AttendStage,
    "evaluate": EvaluateStage,
    "predict": PredictStage,
    "ablate": AblateStage,
    "transfer": TransferStage,
    "importcheckpoint": ImportCheckpointStage,
    "inspect": InspectStage,
    "check": CheckStage,
}


def _fail_on_no_text(values: Any) -> None:
    """Refuse texts that no file name and no library takes: with a zero character, or with half a character.

    Raises:
        ConfigError: there is one.
    """
    for text in values if isinstance(values, list) else [values]:
        if isinstance(text, str) and ("\0" in text or not _encodes(text)):
            raise ConfigError(f"{text!r} is not a text that can be used.", "Write it anew.")


def _encodes(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def make_stage(name: str, values: dict[str, Any]) -> Stage:
    """Check values against a stage's definition.

    Raises:
        ConfigError: no such stage, an unknown parameter, or a value outside its limits; the message names each.
    """
    if name not in STAGES:
        raise ConfigError(f"There is no stage '{name}'.", f"Choose one of: {', '.join(STAGES)}.")
    return checked(STAGES[name], values, f"Stage '{name}'", f"See: urbanfm {name} --help")


def checked(model: type[StageType], values: dict[str, Any], where: str, hint: str) -> StageType:
    """Values as a definition's parameters.

    Raises:
        ConfigError: an unknown parameter, or a value outside its limits; the message names each.
    """
    for value in values.values():
        _fail_on_no_text(value)
    try:
        return model(**values)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            name = ".".join(str(part) for part in item["loc"])
            found = "" if item["type"] in ("missing", "value_error") else f" (found {item['input']!r})"
            lines.append(f"{name and name + ': '}{item['msg'].removeprefix('Value error, ')}{found}")
        raise ConfigError(f"{where}: " + "; ".join(lines) + ".", hint) from error

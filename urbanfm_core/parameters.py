"""What stages are made of: a base class, the way to define a parameter, and groups of parameters that stages share.

A field carries its help text and limits, and in `json_schema_extra` what a dialog needs: `label`, `kind` (which input
widget), `unit`, `advanced`, `output`.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal[
    "polygons", "points", "layer", "raster", "field", "file", "folder", "text", "crs", "extent", "flag", "integer",
    "number", "choice", "list", "embeddings", "checkpoint",
]  # fmt: skip


def param(
    default: Any = ...,
    help: str = "",  # noqa: A002 - it is the help text
    *,
    label: str,
    kind: Kind,
    unit: str = "",
    of: str = "",
    advanced: bool = False,
    output: bool = False,
    **limits: Any,
) -> Any:
    """A stage parameter. `of` names the parameter whose layer a field belongs to; `limits` are pydantic's ge, gt, le."""
    extra: dict[str, Any] = {
        "label": label,
        "kind": kind,
        "unit": unit,
        "of": of,
        "advanced": advanced,
        "output": output,
    }
    return Field(default, description=help, json_schema_extra=extra, **limits)


class Stage(BaseModel):
    """Base of all stages: unknown parameters are errors, defaults are checked like values, paths may be path objects."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _paths_to_text(cls, values: Any) -> Any:
        return {key: _path_to_text(value) for key, value in values.items()}


def _path_to_text(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_path_to_text(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


class PoiInputs(Stage):
    pois: str | None = param(
        None,
        "Points of interest: any point layer, or a CSV or Parquet table with longitude and latitude. Polygons and lines "
        "count as a point inside them.",
        label="Points of interest",
        kind="points",
    )
    poi_name: str | None = param(
        None,
        "Column with the name. Guessed when not given.",
        label="Name field",
        kind="field",
        of="pois",
        advanced=True,
    )
    poi_category: str | None = param(
        None,
        "Column with the category. Guessed when not given, for OpenStreetMap, Overture and Foursquare too.",
        label="Category field",
        kind="field",
        of="pois",
        advanced=True,
    )
    poi_subcategory: str | None = param(
        None,
        "Column with the finer category. Guessed when not given.",
        label="Subcategory field",
        kind="field",
        of="pois",
        advanced=True,
    )
    poi_x: str | None = param(
        None, "Column with the longitude or x of a table.", label="X field of a table", kind="text", advanced=True
    )
    poi_y: str | None = param(
        None, "Column with the latitude or y of a table.", label="Y field of a table", kind="text", advanced=True
    )
    poi_crs: str | None = param(
        None,
        "Coordinate reference system of a table's x and y, such as EPSG:4326, which is taken when not given.",
        label="CRS of a table",
        kind="crs",
        advanced=True,
    )


class EmbeddingRasterInputs(Stage):
    embedding_raster: str | None = param(
        None,
        "Raster whose bands describe each pixel: AlphaEarth's 64 bands, or any other number of bands, such as stacked "
        "satellite bands. GeoTIFF, COG or VRT in any coordinate reference system.",
        label="Embedding raster",
        kind="raster",
    )
    quantization: Literal["auto", "alphaearth", "none"] = param(
        "auto",
        "How stored integers become numbers. 'auto' recognises AlphaEarth's int8 files; 'none' takes the file's own "
        "scale and offset.",
        label="Quantisation",
        kind="choice",
        advanced=True,
    )


class ImageryInputs(Stage):
    imagery: str | None = param(
        None,
        "Picture from above: a raster with red, green and blue bands, in any coordinate reference system.",
        label="Imagery",
        kind="raster",
    )
    imagery_bands: list[int] = param(
        [],
        "Numbers of the red, green and blue band, from 1, such as 4 3 2. The first three when not given.",
        label="Bands for red, green and blue",
        kind="list",
        advanced=True,
        max_length=3,
    )


class CaptionInputs(Stage):
    captions: str | None = param(
        None,
        "Captions of pictures: a Parquet, JSON or CSV file, or a layer, with one or many per picture. A layer of regions "
        "with a column of text counts as one caption for the picture from above of each region.",
        label="Captions",
        kind="file",
    )
    caption_column: str | None = param(
        None,
        "Column with the text of a caption. Guessed when not given.",
        label="Caption field",
        kind="text",
        advanced=True,
    )
    streetview: str | None = param(
        None,
        "Street views: a point layer, or a table with longitude and latitude, with a column that names the picture file "
        "of each point. Panoramas, twice as wide as high, are cut into four views.",
        label="Street views",
        kind="file",
    )


class NetworkInputs(Stage):
    roads: str | None = param(
        None,
        "Roads: any line layer, in OpenStreetMap's scheme or not. Lines are cut where they meet on one level.",
        label="Roads",
        kind="layer",
    )
    buildings: str | None = param(
        None,
        "Outlines of points of interest, such as buildings: a polygon layer. Shapes and areas are read, and the tags of "
        "OpenStreetMap; other columns are not.",
        label="Buildings",
        kind="polygons",
    )
    features: str | None = param(
        None,
        "More about the regions, such as flows of people: a table or layer with the ids of the regions and columns of "
        "numbers, or of lists of numbers.",
        label="Further features of regions",
        kind="file",
        advanced=True,
    )


GridShape = Literal["square", "hexagon"]


def cell_size(*, advanced: bool = False) -> Any:
    """The size of a grid's cells, as a parameter."""
    return param(
        500.0,
        "Side of a square cell, or distance between the centres of two neighbouring hexagons.",
        label="Grid cell size",
        kind="number",
        unit="m",
        gt=0,
        advanced=advanced,
    )


def cell_shape(help: str, *, advanced: bool = False) -> Any:  # noqa: A002 - as in `param`
    """The shape of a grid's cells, as a parameter."""
    return param("square", help, label="Grid cell shape", kind="choice", advanced=advanced)


class RegionId(Stage):
    region_id: str | None = param(
        None,
        "Column that identifies a region. Without it: 'region_id' or 'id' if unique, else the row number.",
        label="Region id field",
        kind="field",
        of="regions",
        advanced=True,
    )


class EmbeddingsId(Stage):
    embeddings_id: str | None = param(
        None,
        "Column of the region ids in the embeddings. Guessed when not given.",
        label="Id field of the embeddings",
        kind="text",
        advanced=True,
    )


class RegionInputs(RegionId):
    regions: str | None = param(
        None,
        "Polygons that receive an embedding each. Without them a grid over the raster is made, or over the points.",
        label="Regions",
        kind="polygons",
    )
    grid_size: float = cell_size(advanced=True)
    grid_shape: GridShape = cell_shape("Shape of the grid's cells.", advanced=True)


class CityParams(CaptionInputs, NetworkInputs, EmbeddingRasterInputs, ImageryInputs, PoiInputs, RegionInputs):
    """The layers of one city."""


class SeveralCities(CityParams):
    cities: list[str] = param(
        [],
        "Several cities to learn from together, instead of the layers of one: a JSON file each, with the city's layers "
        "by the names of these parameters, such as pois, imagery and regions; paths are relative to the file.",
        label="Files of several cities",
        kind="list",
        advanced=True,
    )

    @model_validator(mode="after")
    def _one_city_or_several(self) -> SeveralCities:
        fields = CityParams.model_fields.items() if self.cities else ()
        beside = [name for name, item in fields if getattr(self, name) != item.default]
        if beside:
            raise ValueError(f"{', '.join(beside)}: the files of the cities (cities) name their own layers")
        return self


class DescriptionsOutput(Stage):
    descriptions_out: str | None = param(
        None,
        "Table to write, .parquet or .csv: what the language teacher was told of each region, to be read and corrected. "
        "An edited one is taken with --overrides language_teacher=table:FILE.",
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
        "Method and size: aether (as published), aether-small (a laptop, minutes), aether-tiny (a test, seconds), or a "
        "JSON file of your own in the form of those in resources/presets.",
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
    precision: Literal["float32", "bfloat16"] = param(
        "float32",
        "Number format of the network's arithmetic. bfloat16 is faster where the machine has it.",
        label="Precision",
        kind="choice",
        advanced=True,
    )
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


class LabelTables(Stage):
    labels: str | None = param(
        None, "Table with more labels, joined to the regions by id.", label="Table of labels", kind="file"
    )
    labels_id: str | None = param(
        None,
        "Column of the region ids in the table of labels. Guessed when not given.",
        label="Id field of the labels",
        kind="text",
        advanced=True,
    )
    label_raster: str | None = param(
        None,
        "Raster with one band, such as inhabitants per pixel. Its sum over each region, pixels on the border by their "
        "share inside, is a label with the name of the file.",
        label="Raster to sum as a label",
        kind="raster",
        advanced=True,
    )


class LabelInputs(LabelTables):
    targets: list[str] = param(
        [],
        "What to predict, separated by commas: a column (price), its logarithm (log:price), a density "
        "(log:population/km2), a column with its task (zone:multiclass), or shares of a whole (occ_*, or a+b+c).",
        label="Targets",
        kind="list",
    )
    task: Literal["auto", "regression", "binary", "multiclass", "distribution"] = param(
        "auto",
        "Task of the targets that do not name their own. 'auto': numbers are regression, two values binary, texts "
        "multi-class, several columns shares of a whole.",
        label="Task",
        kind="choice",
    )

    @model_validator(mode="after")
    def _something_to_predict(self) -> LabelInputs:
        if not self.targets and self.label_raster is None:
            raise ValueError("name what to predict (targets), or give a raster to sum (label_raster)")
        return self


class FoldParams(Stage):
    folds: int = param(5, "Number of folds.", label="Folds", kind="integer", ge=2, le=50, advanced=True)
    blocks: int = param(25, "Number of spatial blocks.", label="Blocks", kind="integer", ge=2, advanced=True)

    @model_validator(mode="after")
    def _blocks_fill_folds(self) -> FoldParams:
        if self.blocks < self.folds:
            raise ValueError(f"{self.blocks} blocks (blocks) cannot fill {self.folds} folds (folds)")
        return self


class ProbeParams(FoldParams):
    split: Literal["spatial", "random", "both"] = param(
        "spatial",
        "What is held out: whole blocks of neighbouring regions, or single regions at random as in many papers, which "
        "flatters, since neighbours are alike.",
        label="Split",
        kind="choice",
    )
    seeds: int = param(5, "Number of different splits.", label="Seeds", kind="integer", ge=1, le=100)
    probes: Literal["all", "linear", "mlp"] = param(
        "all",
        "Which probes: linear (ridge, logistic, softmax), a network of two layers, or both, of which the better counts.",
        label="Probes",
        kind="choice",
        advanced=True,
    )
    settled: float = param(
        1000.0,
        "Targets that count inhabitants, or are their density, are also scored for regions with at least so many; 0 for "
        "not.",
        label="Settled from",
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

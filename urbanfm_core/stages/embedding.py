"""Parameters of the stages that give regions, pixels or windows their vectors."""

from __future__ import annotations

from typing import Literal

from urbanfm_core.parameters import (
    CityParams,
    ComputeParams,
    EmbeddingRasterInputs,
    ImageryInputs,
    TrainingParams,
    dimension_columns,
    param,
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
    columns: bool = dimension_columns()
    out: str | None = param(
        None,
        "Layer to write (GeoPackage or GeoJSON): all source fields, the vector as text, its first three principal "
        "components, and coverage. A CSV has a column per dimension, and the polygons as WKT in WGS 84.",
        label="Region embeddings",
        kind="polygons",
        output=True,
    )
    parquet: str | None = param(
        None,
        "GeoParquet to write, with exact vectors in a list column 'embedding'. A name that ends in .arrow or .feather gives "
        "the same table as Arrow IPC, one in .csv a CSV with a column per dimension; all are exact.",
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
    report: str | None = param(
        None, "HTML report to write, with a map.", label="Report on the embeddings", kind="file", output=True
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
        "AlphaEarth does, in an eighth of the space or less; the file says so, and is read as an embedding raster without more.",
        label="Number format",
        kind="choice",
    )
    compress: Literal["zstd", "deflate", "none"] = param(
        "zstd", "Compression of the output.", label="Compression", kind="choice", advanced=True
    )
    cog: bool = param(
        False,
        "Write a Cloud-Optimized GeoTIFF, with overviews and in the order that suits reading over a network. Takes twice the "
        "time of writing.",
        label="Cloud-Optimized GeoTIFF",
        kind="flag",
        advanced=True,
    )
    out: str = param(help="GeoTIFF to write.", label="Embedding raster", kind="raster", output=True)
    report: str | None = param(
        None,
        "HTML report to write, with a picture of the raster.",
        label="Report on the raster",
        kind="file",
        output=True,
    )

"""Parameters of the stage that gives single points of interest and buildings their vectors."""

from __future__ import annotations

from urbanfm_core.parameters import (
    ComputeParams,
    EmbeddingRasterInputs,
    NetworkInputs,
    PoiInputs,
    Precision,
    StreetViewInputs,
    TagColumns,
    dimension_columns,
    encoder_of_training,
    number_format,
    param,
)


class EmbedPoisStage(ComputeParams, StreetViewInputs, NetworkInputs, EmbeddingRasterInputs, TagColumns, PoiInputs):
    """Give every point of interest, or every building, a vector of its own.

    With a model of UrbanMFM a place is what its tags, its outline and the street views around it say, seen with the places
    around it; with one of AETHER, what its text says and what surrounds it in the embedding raster. The result is like that
    of regions: clusters, similar places and predictions, such as what a building is for, are made from it in the same way.
    Where the points of interest are polygons, such as buildings, the result has the polygons.
    """

    checkpoint: str = param(
        help="Trained model of UrbanMFM or AETHER.",
        label="Checkpoint",
        kind="checkpoint",
    )
    pois: str = param(
        help="What receives an embedding each: a layer of points, or of polygons such as buildings, or a CSV or Parquet "
        "table with longitude and latitude.",
        label="Points of interest",
        kind="points",
    )
    poi_id: str | None = param(
        None,
        "Column that identifies a point of interest. Without it: poi_id, building_id, id, osm_id, @id or full_id if unique, "
        "else the number of the row.",
        label="Id field of the points",
        kind="field",
        of="pois",
        advanced=True,
    )
    precision: Precision = number_format()
    text_encoder: str | None = encoder_of_training()
    columns: bool = dimension_columns()
    out: str | None = param(
        None,
        "Layer to write (GeoPackage or GeoJSON): all source fields, the vector as text, its first three principal "
        "components, and what was known of each point.",
        label="Point embeddings",
        kind="layer",
        output=True,
    )
    parquet: str | None = param(
        None,
        "GeoParquet to write, with exact vectors in a list column 'embedding'.",
        label="Point embeddings (GeoParquet)",
        kind="file",
        output=True,
    )
    map: str | None = param(
        None,
        "PNG map to write: points coloured by the first three principal components.",
        label="Map picture",
        kind="file",
        output=True,
        advanced=True,
    )
    report: str | None = param(
        None, "HTML report to write, with a map.", label="Report on the embeddings", kind="file", output=True
    )

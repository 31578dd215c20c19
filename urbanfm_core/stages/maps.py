"""Parameters of the stages that group and compare regions by their vectors; see `stages`."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from urbanfm_core.parameters import (
    ComputeParams,
    EmbeddingRasterInputs,
    EmbeddingsId,
    PoiInputs,
    RegionId,
    encoder_of_training,
    other_city_id,
    param,
)

TABLE_SUFFIXES = (".parquet", ".arrow", ".feather", ".csv")


class ClusterStage(PoiInputs, EmbeddingsId, RegionId):
    """Group regions whose vectors are alike, and say what makes each group differ from the city.

    K-means puts every region into one of a number of clusters, by default the number with the best silhouette; HDBSCAN
    finds dense groups, and leaves the regions between them out. Each cluster is described by the categories of points of
    interest and the fields that are over- or under-represented in it, gets a name from them, and always the same colour.
    """

    embeddings: str = param(
        help="What to cluster: embeddings of UrbanFM, or any table with an id and columns of numbers.",
        label="Region embeddings",
        kind="embeddings",
    )
    regions: str | None = param(
        None,
        "Polygons that the clusters are drawn on and described by. Without them, the layer of the embeddings.",
        label="Regions",
        kind="polygons",
    )
    algorithm: Literal["kmeans", "hdbscan"] = param(
        "kmeans",
        "'kmeans': every region in one of a number of round clusters. 'hdbscan': dense groups of any form, regions between "
        "them in none.",
        label="Algorithm",
        kind="choice",
    )
    clusters: int | None = param(
        None,
        "Number of clusters of k-means. When not given, the number with the best mean silhouette.",
        label="Number of clusters",
        kind="integer",
        ge=2,
        le=1000,
    )
    most_clusters: int = param(
        12,
        "Highest number of clusters that is tried when none is given.",
        label="Most clusters to try",
        kind="integer",
        ge=2,
        le=100,
        advanced=True,
    )
    min_size: int | None = param(
        None,
        "Fewest regions of a cluster of HDBSCAN. When not given, the best of several by silhouette.",
        label="Fewest regions of a cluster",
        kind="integer",
        ge=2,
        advanced=True,
    )
    contiguity: bool = param(
        False,
        "Whether clusters are connected on the map, as districts are: neighbouring regions are merged by Ward's method "
        "instead of k-means. Islands count as neighbours of what is nearest.",
        label="Connected clusters",
        kind="flag",
        advanced=True,
    )
    scaling: Literal["none", "unit", "standard"] = param(
        "none",
        "What is done to the vectors first: 'none', as embeddings need; 'unit' makes them equally long; 'standard' gives "
        "each dimension the same spread, for tables of other numbers.",
        label="Scaling",
        kind="choice",
        advanced=True,
    )
    fields: list[str] = param(
        [],
        "Fields of the regions that describe the clusters: numbers by their mean, texts by how often each value occurs. "
        "All fields of numbers when not given.",
        label="Fields to describe by",
        kind="list",
        of="regions embeddings",
    )
    seed: int = param(
        0,
        "Start of all draws. The same seed gives the same clusters.",
        label="Seed",
        kind="integer",
        ge=0,
        advanced=True,
    )
    out: str | None = param(
        None,
        "Layer to write (GeoPackage, GeoJSON or CSV): all source fields, the number and the name of the cluster, the "
        "silhouette, and the distance to the centre of the cluster.",
        label="Clusters",
        kind="polygons",
        output=True,
    )
    profile: str | None = param(
        None, "JSON file to write, with the profile of each cluster.", label="Profiles", kind="file", output=True
    )
    report: str | None = param(
        None,
        "HTML report to write, with a map and the profiles.",
        label="Report on the clusters",
        kind="file",
        output=True,
    )

    @model_validator(mode="after")
    def _number_of_the_right_kind(self) -> ClusterStage:
        if self.algorithm == "hdbscan" and self.clusters is not None:
            raise ValueError(
                "HDBSCAN finds the number of clusters (clusters) itself; give the fewest regions (min_size)"
            )
        if self.algorithm == "hdbscan" and self.contiguity:
            raise ValueError("connected clusters (contiguity) are not for algorithm hdbscan; take kmeans")
        if self.algorithm == "kmeans" and self.min_size is not None:
            raise ValueError("the fewest regions of a cluster (min_size) are for algorithm hdbscan")
        return self


class SimilarStage(EmbeddingsId):
    """Find the regions that are most like chosen ones, in their city or in another.

    The score of a region is the cosine between its vector and the mean of the chosen ones, the most typical of them, or
    the nearest of them. All regions are scored, exactly; a table of a million vectors need not fit in memory.
    """

    embeddings: str = param(
        help="Vectors of the regions to choose from: embeddings of UrbanFM, or any table with an id and columns of numbers.",
        label="Region embeddings",
        kind="embeddings",
    )
    ids: list[str] = param(
        [],
        "Ids of chosen regions, one a line in a dialog. With a layer too, the regions of both are chosen.",
        label="Ids of the chosen regions",
        kind="list",
    )
    chosen: str | None = param(
        None,
        "The chosen regions as a layer: in QGIS the layer of the embeddings with 'selected features only', or drawn "
        "polygons, which choose the regions with their middle inside.",
        label="Chosen regions",
        kind="polygons",
    )
    how: Literal["mean", "medoid", "max"] = param(
        "mean",
        "What regions are compared with: the 'mean' of the chosen ones, their 'medoid' (the one most like the others), or "
        "the nearest of them ('max').",
        label="Compared with",
        kind="choice",
    )
    other: str | None = param(
        None,
        "Embeddings of another city, made by the same model: its regions are ranked instead.",
        label="Region embeddings of another city",
        kind="embeddings",
    )
    other_id: str | None = other_city_id()
    top: int = param(
        20,
        "Number of most similar regions that are listed.",
        label="Regions to list",
        kind="integer",
        ge=1,
        advanced=True,
    )
    out: str | None = param(
        None,
        "Layer to write (GeoPackage, GeoJSON or CSV): all source fields but the vectors of a GeoParquet, and score, rank, "
        "percentile and whether the region was chosen.",
        label="Similar regions",
        kind="polygons",
        output=True,
    )
    table: str | None = param(
        None,
        "Table to write, .parquet, .arrow or .csv: id, score, rank, percentile and whether the region was chosen.",
        label="Table of scores",
        kind="file",
        output=True,
    )
    report: str | None = param(
        None,
        "HTML report to write, with a map and the most similar regions.",
        label="Report on similar regions",
        kind="file",
        output=True,
    )

    @model_validator(mode="after")
    def _something_to_be_like(self) -> SimilarStage:
        if not self.ids and self.chosen is None:
            raise ValueError("choose regions: by their ids (ids), or as a layer (chosen)")
        if self.table is not None and not self.table.lower().endswith(TABLE_SUFFIXES):
            raise ValueError(
                f"the table of scores (table) is written to a file that ends in {', '.join(TABLE_SUFFIXES)}"
            )
        return self


class SearchStage(ComputeParams, EmbeddingRasterInputs):
    """Rank regions or pixels by a phrase.

    The phrase goes through the text side of the model; the score is the cosine between it and each vector.
    """

    query: str = param(
        help="What to look for, in words, such as: quiet streets near a park.",
        label="Phrase",
        kind="text",
        min_length=1,
    )
    checkpoint: str = param(
        help="Trained model with a text side; the one that made the embeddings.", label="Checkpoint", kind="checkpoint"
    )
    embeddings: str | None = param(
        None,
        "Region embeddings that the checkpoint made, in any format that UrbanFM writes.",
        label="Region embeddings",
        kind="embeddings",
    )
    text_encoder: str | None = encoder_of_training()
    top: int = param(
        20,
        "Number of best regions listed in the log.",
        label="Best regions to list",
        kind="integer",
        ge=1,
        advanced=True,
    )
    out: str | None = param(
        None,
        "Layer to write: the regions with the fields score, rank and percentile.",
        label="Ranked regions",
        kind="polygons",
        output=True,
    )
    raster: str | None = param(
        None,
        "GeoTIFF to write: the score of each pixel of the embedding raster.",
        label="Score raster",
        kind="raster",
        output=True,
    )
    report: str | None = param(
        None,
        "HTML report to write, with a map and the best regions.",
        label="Report on the search",
        kind="file",
        output=True,
    )

    @model_validator(mode="after")
    def _something_to_rank(self) -> SearchStage:
        if self.embeddings is None and self.embedding_raster is None:
            raise ValueError("give region embeddings (embeddings) or an embedding raster (embedding_raster)")
        if self.raster is not None and self.embedding_raster is None:
            raise ValueError("a score raster (raster) needs an embedding raster (embedding_raster)")
        if self.out is not None and self.embeddings is None:
            raise ValueError("ranked regions (out) need region embeddings (embeddings)")
        if self.embeddings is None and self.raster is None:
            raise ValueError("a search in the pixels of a raster writes their scores: name a score raster (raster)")
        return self

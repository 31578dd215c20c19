"""The layers of a city, its regions, and what is known of these: points, rasters, pictures, captions, roads, labels."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from urbanfm_core.parameters.base import Stage, param


class PoiInputs(Stage):
    pois: str | None = param(
        None,
        "Any point layer, or a CSV or Parquet table with longitude and latitude. A polygon or line counts as a point inside "
        "it.",
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


class TagColumns(Stage):
    poi_tags: list[str] = param(
        [],
        "Columns of the points of interest that hold tags, packed (JSON, hstore) or one key each, and no others. All that "
        "look like tags when not given. For methods that read tags (UrbanMFM); leave out what is to be predicted.",
        label="Tag fields",
        kind="list",
        of="pois",
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
        "Satellite or aerial imagery: a raster with red, green and blue bands, in any coordinate reference system.",
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


class CaptionFile(Stage):
    captions: str | None = param(
        None,
        "Captions of pictures: a Parquet, JSON or CSV file, or a layer, with one or many per picture. A layer of regions "
        "with a column of text counts as one caption for the imagery of each region.",
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


class StreetViewInputs(Stage):
    streetview: str | None = param(
        None,
        "A point layer, or a table with longitude and latitude, with a column that names the picture file of each point. "
        "Panoramas, twice as wide as high, are cut into four views.",
        label="Street views",
        kind="file",
    )


class CaptionInputs(CaptionFile, StreetViewInputs):
    """Street views, and captions of pictures."""


class NetworkInputs(Stage):
    roads: str | None = param(
        None,
        "Any line layer, in OpenStreetMap's scheme or not. Lines are connected where they meet on one level.",
        label="Roads",
        kind="layer",
    )
    road_snap: float = param(
        1.0,
        "Ends of roads that lie so near to each other, or to another road, meet there.",
        label="Snapping of road ends",
        kind="number",
        unit="m",
        gt=0,
        advanced=True,
    )
    buildings: str | None = param(
        None,
        "Outlines of buildings or other places: a polygon layer. Shapes and areas are read, and the tags of OpenStreetMap; "
        "other columns are not.",
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
        of="embeddings",
        advanced=True,
    )
    embeddings_columns: list[str] = param(
        [],
        "Columns of the embeddings that are the vector: several of numbers, or one of lists; * stands for anything, as in "
        "A*. Guessed when not given: 'embedding', else columns that differ by a number only. Those of further tables that "
        "are compared with are always guessed.",
        label="Columns of the vectors",
        kind="list",
        advanced=True,
    )


def other_city_id() -> Any:
    """The id column of the embeddings of another city (`other`), as a parameter."""
    return param(
        None,
        "Column of the region ids in the embeddings of the other city. Guessed when not given.",
        label="Id field of the other city",
        kind="text",
        of="other",
        advanced=True,
    )


class RegionInputs(RegionId):
    regions: str | None = param(
        None,
        "Region polygons. Without them a grid is laid over the raster, or over the points.",
        label="Regions",
        kind="polygons",
    )
    grid_size: float = cell_size(advanced=True)
    grid_shape: GridShape = cell_shape("Shape of the grid's cells.", advanced=True)


class CityParams(
    CaptionInputs, NetworkInputs, EmbeddingRasterInputs, ImageryInputs, TagColumns, PoiInputs, RegionInputs
):
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


class CityFile(CityParams, LabelTables):
    """What the file of a city may name: its layers, and labels beside those of its regions."""

"""Parameters of the stage that reads a trained model's attention."""

from __future__ import annotations

from urbanfm_core.parameters import (
    ComputeParams,
    ImageryInputs,
    PoiInputs,
    Precision,
    RegionInputs,
    number_format,
    param,
)


class AttendStage(ComputeParams, ImageryInputs, PoiInputs, RegionInputs):
    """Show where points of interest look in the imagery.

    In the last layer of a model that reads points and imagery together, the names of the chosen points attend to patches
    of their region's picture. The attention is written as a raster, to the points, to the regions, and as a page with
    pictures. The more of it falls on the patch that a point stands on, the better text and picture are aligned; the share
    is reported beside that of attention spread evenly.
    """

    checkpoint: str = param(
        help="Trained model with attention between points and imagery: one of ReFound.",
        label="Checkpoint",
        kind="checkpoint",
    )
    pois: str = param(
        help="Points whose attention is shown, of the kind that the model was trained on: a point layer, or a CSV or Parquet "
        "table with longitude and latitude. A polygon or line counts as a point inside it.",
        label="Points of interest",
        kind="points",
    )
    imagery: str = param(
        help="Satellite or aerial imagery that they look at: a raster with red, green and blue bands, in any coordinate "
        "reference system.",
        label="Imagery",
        kind="raster",
    )
    categories: list[str] = param(
        [],
        "Categories or subcategories of the points that are looked at, such as bar. All points when nothing is chosen.",
        label="Categories",
        kind="list",
    )
    selected: str | None = param(
        None,
        "Points that are looked at, as a layer of some of the points of interest: they are found again by place and "
        "name. In QGIS choose the same layer and 'selected features only', or a filter.",
        label="Selected points",
        kind="points",
    )
    poi_rows: list[int] = param(
        [],
        "Rows of the points that are looked at, in their layer or table, counted from 0.",
        label="Rows of the points",
        kind="list",
        advanced=True,
    )
    pictures: int = param(
        8,
        "Regions shown in the report, drawn at random.",
        label="Regions in the report",
        kind="integer",
        ge=0,
        le=200,
        advanced=True,
    )
    seed: int = param(
        0,
        "Start of the draws: of the regions in the report, and of the interval.",
        label="Seed",
        kind="integer",
        ge=0,
        advanced=True,
    )
    precision: Precision = number_format()
    raster: str | None = param(
        None,
        "GeoTIFF to write: the share of a region's attention that each patch gets, one pixel a patch; the mean where "
        "regions' pictures overlap.",
        label="Attention raster",
        kind="raster",
        output=True,
    )
    pois_out: str | None = param(
        None,
        "Layer to write: the chosen points with the attention that they give to the patch that they stand on, and its "
        "ratio to attention spread evenly.",
        label="Points with attention",
        kind="points",
        output=True,
    )
    regions_out: str | None = param(
        None,
        "Layer to write: the regions with the number of chosen points, their attention on their own patches, and the "
        "entropy of the attention: 0 if all is on one patch, 1 if it is the same everywhere.",
        label="Regions with attention",
        kind="polygons",
        output=True,
    )
    report: str | None = param(
        None,
        "HTML page to write, with pictures of some regions.",
        label="Report on the attention",
        kind="file",
        output=True,
    )

"""Parameters of the stages that make layers: a sample city, a grid of regions."""

from __future__ import annotations

from pydantic import model_validator

from urbanfm_core.parameters import GridShape, Stage, cell_shape, cell_size, param


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

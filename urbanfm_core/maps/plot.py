"""A map of regions as a picture, for people without a GIS at hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from urbanfm_core.errors import CRSError, EmptyInputError, MissingDependencyError, ShapeError
from urbanfm_core.files import atomic_path
from urbanfm_core.geo.crs import unbroken

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The colour of a region without a vector or a score, wherever one is drawn.
GREY = (204, 204, 204)

_INK = "#2b2b2b"
_QUIET = "#6d6d6d"
_BORDERS_UP_TO = 2000
_RGB_NOTE = "Alike colours mean alike places: principal components 1, 2, 3 of the embedding as"


def plot_map(
    path: str | Path,
    geometry: npt.NDArray[np.object_],
    crs: Any,
    values: npt.NDArray[Any],
    title: str,
    *,
    label: str = "",
    attribution: str = "",
    width_px: int = 1600,
) -> None:
    """Draw regions as a PNG with title, scale bar, legend and a line that says where the map comes from.

    Args:
        path: The PNG to write.
        geometry: (R,) polygons, or points.
        crs: Their coordinate reference system.
        values: Colours, (R, 3) uint8, such as `principal_rgb` makes; or numbers, (R,), NaN drawn grey.
        title: Above the map.
        label: What the numbers are, beside the colour bar.
        attribution: Sources of the data, below the map.
        width_px: Width of the picture.
    Raises:
        MissingDependencyError: matplotlib is not installed.
        ShapeError: there are not as many values as regions.
        EmptyInputError: there is nothing to draw.
        CRSError: there is no coordinate reference system.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "A map as a picture", "plots") from error
    import geopandas as gpd

    colours = np.asarray(values)
    as_rgb = colours.ndim == 2
    if len(colours) != len(geometry) or (as_rgb and colours.shape[1] != 3) or colours.ndim not in (1, 2):
        raise ShapeError(f"A map of {len(geometry)} regions needs as many colours or numbers, found {colours.shape}.")
    if crs is None:
        raise CRSError("The regions to draw have no coordinate reference system.", "Assign the right one first.")
    series = gpd.GeoSeries(geometry, crs=crs)
    if series.empty or not np.isfinite(series.total_bounds).all():
        raise EmptyInputError("There is no region to draw.")

    series = gpd.GeoSeries(unbroken(series.to_numpy(), series.crs), crs=crs)
    scale = None
    if as_rgb:
        faces: Any = colours / 255.0
    else:
        number = colours.astype(np.float64)
        finite = number[np.isfinite(number)]
        low, high = np.percentile(finite, (2, 98)) if len(finite) else (0.0, 1.0)
        scale = ScalarMappable(Normalize(low, high if high > low else low + 1), mpl.colormaps["viridis"])
        faces = scale.to_rgba(number)
        faces[~np.isfinite(number)] = (*(part / 255 for part in GREY), 1.0)

    west, south, east, north = series.total_bounds
    squeeze = 1 / max(math.cos(math.radians((south + north) / 2)), 0.05) if series.crs.is_geographic else 1.0
    shape = squeeze * max(north - south, 1e-9) / max(east - west, 1e-9)
    inches, header, footer = 10.0, 0.75, 0.95
    share = 0.94 if as_rgb else 0.86
    body = min(max(inches * share * shape, 4.0), 10.0)
    figure = Figure(figsize=(inches, header + body + footer), dpi=width_px / inches, facecolor="white")
    FigureCanvasAgg(figure)  # Not pyplot: no window system, no state shared with a caller who plots too.
    height = header + body + footer
    axes = figure.add_axes((0.03, footer / height, share, body / height))
    borders = len(series) <= _BORDERS_UP_TO
    line = {"edgecolor": "white", "linewidth": 0.4} if borders else {"edgecolor": "face", "linewidth": 0.15}
    dots = {"markersize": 25 if borders else 4} if (shapely.get_dimensions(geometry) == 0).all() else {}
    series.plot(ax=axes, color=faces, aspect=squeeze, **line, **dots)
    axes.set_axis_off()
    axes.margins(0.01)

    figure.text(0.03, 1 - 0.36 / height, title, fontsize=17, fontweight="bold", color=_INK, va="center")
    uncovered = (colours == GREY).all(axis=1) if as_rgb else ~np.isfinite(number)
    _legend(figure, 0.52 / height, as_rgb=as_rgb, uncovered=int(uncovered.sum()))
    credit = "Made with UrbanFM" + (f" · {attribution}" if attribution else "") + f" · {series.crs.name}"
    figure.text(0.03, 0.22 / height, credit, fontsize=8.5, color=_QUIET, va="center")
    _scale_bar(figure, axes, series.crs, (west, south, east, north), 0.22 / height)
    if scale is not None:
        bar = figure.colorbar(
            scale, cax=figure.add_axes((0.91, (footer + body * 0.2) / height, 0.018, 0.6 * body / height))
        )
        bar.outline.set_visible(False)
        bar.set_label(label, color=_INK, fontsize=10)
        bar.ax.tick_params(labelsize=9, color=_QUIET, labelcolor=_INK)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _legend(figure: Any, bottom: float, *, as_rgb: bool, uncovered: int) -> None:
    """One line of text and swatches below the map."""
    from matplotlib.lines import Line2D

    entries = [("red", "#e0403a"), ("green", "#3aa655"), ("blue", "#3b6fd4")] if as_rgb else []
    if uncovered:
        entries.append((f"not covered ({uncovered:,})", "#{:02x}{:02x}{:02x}".format(*GREY)))
    if not entries:
        return
    note = _RGB_NOTE if as_rgb else ""
    handles = [
        Line2D([], [], marker="s", linestyle="", markersize=8, color=colour, label=name) for name, colour in entries
    ]
    text = figure.text(0.03, bottom, note, fontsize=9.5, color=_INK, va="center")
    left = 0.03
    if note:
        extent = text.get_window_extent(figure.canvas.get_renderer())
        left = extent.x1 / figure.bbox.width + 0.004
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(left, bottom),
        ncols=len(handles),
        frameon=False,
        fontsize=9.5,
        labelcolor=_INK,
        handletextpad=0.1,
        columnspacing=1.0,
        borderpad=0,
        borderaxespad=0,
    )


def _scale_bar(
    figure: Any, axes: Axes, crs: pyproj.CRS, bounds: tuple[float, float, float, float], bottom: float
) -> None:
    """A bar of a round length."""
    west, south, east, north = bounds
    middle = (south + north) / 2
    metres = ground_width_m(crs, bounds)
    figure.canvas.draw()
    pixels = axes.transData.transform([(west, middle), (east, middle)])
    shown = (pixels[1, 0] - pixels[0, 0]) / figure.bbox.width
    if not (metres > 0 and shown > 0):
        return
    length = round_length(0.2 * metres / shown)
    span = shown * length / metres
    right = 0.97
    text = length_text(length)
    from matplotlib.lines import Line2D

    figure.add_artist(Line2D([right - span, right], [bottom, bottom], color=_INK, linewidth=2.5, solid_capstyle="butt"))
    figure.text(right - span - 0.008, bottom, text, fontsize=9.5, color=_INK, ha="right", va="center")


def ground_width_m(crs: pyproj.CRS, bounds: tuple[float, float, float, float]) -> float:
    """Width of a map on the ground, measured on the ellipsoid through its middle; not finite where there is none."""
    west, south, east, north = bounds
    middle = (south + north) / 2
    lonlat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    lon, lat = lonlat.transform([west, east], [middle, middle])
    return float(pyproj.Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2])


def length_text(metres: float) -> str:
    """A round length in metres or kilometres."""
    return f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"


def round_length(metres: float) -> float:
    """Longest of 1, 2 or 5 times a power of ten that is not above `metres`."""
    power = 10.0 ** math.floor(math.log10(metres))
    return max(step * power for step in (1, 2, 5) if step * power <= metres * (1 + 1e-9))

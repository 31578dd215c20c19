"""QGIS styles for rasters of vectors, scores and attention; see `styles`."""

from __future__ import annotations

# XML is written here, never read.
import xml.etree.ElementTree as ET  # nosec B405
from pathlib import Path

import numpy as np

from urbanfm_core.maps.qml import options, rgba, style_root, write_style
from urbanfm_core.maps.styles import SCORE_COLOURS, Limits, stretch_limits
from urbanfm_core.report import told_apart

_SAMPLE_WINDOWS = 5
_SAMPLE_PX = 128


def write_raster_style(path: str | Path, raster: str | Path) -> None:
    """Write the QGIS style of an embedding raster: bands 1 to 3 as red, green and blue, percentiles stretched.

    A raster of fewer than three bands gets the style of a score.

    Raises:
        InputError: the raster cannot be read.
    """
    limits = _sampled_limits(raster, 3)
    if len(limits) < 3:
        write_style(path, _pseudocolour(*limits[0]))
        return
    names = ("red", "green", "blue")
    renderer = ET.Element(
        "rasterrenderer",
        {"type": "multibandcolor", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
        | {f"{name}Band": str(band) for band, name in enumerate(names, start=1)},
    )
    for name, (low, high) in zip(names, limits, strict=True):
        enhancement = ET.SubElement(renderer, f"{name}ContrastEnhancement")
        ET.SubElement(enhancement, "minValue").text = repr(low)
        ET.SubElement(enhancement, "maxValue").text = repr(high)
        ET.SubElement(enhancement, "algorithm").text = "StretchToMinimumMaximum"
    write_style(path, _raster_style(renderer))


def write_score_style(path: str | Path, raster: str | Path) -> None:
    """Write the QGIS style of a score raster: band 1 from dark (2nd percentile) to bright (98th percentile).

    Raises:
        InputError: the raster cannot be read.
    """
    write_style(path, _pseudocolour(*_sampled_limits(raster, 1)[0]))


def write_attention_style(path: str | Path, raster: str | Path, uniform: float) -> None:
    """Write the QGIS style of an attention raster: from transparent at 0 to bright and solid at the 98th percentile.

    The scale reaches to twice uniform at least, so that attention that is even looks so.

    Args:
        path: The `.qml` file.
        raster: The raster.
        uniform: What every patch would get if attention were spread evenly.

    Raises:
        InputError: the raster cannot be read.
    """
    write_style(path, _pseudocolour(0.0, max(_sampled_limits(raster, 1)[0][1], 2 * uniform), fade=True))


def _sampled_limits(raster: str | Path, bands: int) -> Limits:
    """Stretch limits of the first bands, from windows spread evenly over the raster; never empty intervals."""
    from rasterio.windows import Window

    from urbanfm_core.geo.raster import gdal_env, inspect_raster

    info = inspect_raster(raster)
    indexes = list(range(1, min(bands, info.count) + 1))
    parts = []
    with gdal_env():
        import rasterio

        with rasterio.open(raster) as source:
            width, height = min(_SAMPLE_PX, source.width), min(_SAMPLE_PX, source.height)
            for row in np.unique(np.linspace(0, source.height - height, _SAMPLE_WINDOWS).astype(int)):
                for column in np.unique(np.linspace(0, source.width - width, _SAMPLE_WINDOWS).astype(int)):
                    window = Window(int(column), int(row), width, height)
                    values = source.read(indexes, window=window, masked=True).astype(np.float64).filled(np.nan)
                    parts.append(values.reshape(len(indexes), -1).T)
            # QGIS shows values with the file's scale and offset applied.
            scale, offset = np.array(source.scales[: len(indexes)]), np.array(source.offsets[: len(indexes)])
    limits = stretch_limits(np.concatenate(parts) * scale + offset)
    return [(low, high) if high > low else (low, low + 1.0) for low, high in limits]


def _pseudocolour(low: float, high: float, *, fade: bool = False) -> ET.Element:
    """Band 1 in the colours of scores; with `fade`, the lower the more the layers below shine through."""
    colours = list(SCORE_COLOURS)
    steps = [step / (len(colours) - 1) for step in range(len(colours))]
    alphas = [round(255 * step) if fade else 255 for step in steps]
    values = [low + step * (high - low) for step in steps]
    texts = told_apart(values)
    renderer = ET.Element(
        "rasterrenderer",
        {
            "type": "singlebandpseudocolor",
            "band": "1",
            "opacity": "1",
            "alphaBand": "-1",
            "nodataColor": "",
            "classificationMin": repr(low),
            "classificationMax": repr(high),
        },
    )
    shader = ET.SubElement(
        ET.SubElement(renderer, "rastershader"),
        "colorrampshader",
        {
            "colorRampType": "INTERPOLATED",
            "classificationMode": "1",
            "clip": "0",
            "minimumValue": repr(low),
            "maximumValue": repr(high),
            "labelPrecision": str(len(texts[-1].partition(".")[2])),
        },
    )
    ramp = ET.SubElement(shader, "colorramp", {"type": "gradient", "name": "[source]"})
    shades = [rgba(colour, alpha) for colour, alpha in zip(colours, alphas, strict=True)]
    stops = ":".join(f"{step:.6f};{shade}" for step, shade in zip(steps[1:-1], shades[1:-1], strict=True))
    options(ramp, {"color1": shades[0], "color2": shades[-1], "discrete": "0", "stops": stops})
    for value, text, colour, alpha in zip(values, texts, colours, alphas, strict=True):
        item = {"value": repr(value), "label": text, "color": colour, "alpha": str(alpha)}
        ET.SubElement(shader, "item", item)
    return _raster_style(renderer)


def _raster_style(renderer: ET.Element) -> ET.Element:
    root = style_root()
    pipe = ET.SubElement(root, "pipe")
    pipe.append(renderer)
    ET.SubElement(pipe, "brightnesscontrast", {"brightness": "0", "contrast": "0", "gamma": "1"})
    ET.SubElement(pipe, "huesaturation", {"saturation": "0", "grayscaleMode": "0", "colorizeOn": "0"})
    ET.SubElement(pipe, "rasterresampler", {"maxOversampling": "2"})
    ET.SubElement(root, "blendMode").text = "0"
    return root

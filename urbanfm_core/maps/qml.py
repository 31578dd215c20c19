"""Pieces of QGIS styles: vector renderers of rules, for polygons and for points, written without QGIS."""

from __future__ import annotations

# XML is written here, never read.
import xml.etree.ElementTree as ET  # nosec B405
from collections.abc import Mapping, Sequence
from pathlib import Path

from urbanfm_core.files import atomic_path

# Diameter of a dot, millimetres: the more dots the smaller.
_DOT_MM, _SMALL_DOT_MM = 2.2, 1.2
_RING_MM = 3.2
_MARK = "#222222"


def vector_style(
    rules: Sequence[tuple[str, str, str, str | None]],
    *,
    borders: bool,
    points: bool = False,
    marked: tuple[str, str] | None = None,
) -> ET.Element:
    """A style of rules.

    Args:
        rules: Filter, label, colour, and expression of the colour; drawn in this order.
        borders: Whether features are few enough for white borders.
        points: Whether they are points, drawn as dots.
        marked: Filter and label of features that are hatched, or ringed, on top.
    """
    root = style_root()
    renderer = ET.SubElement(
        root, "renderer-v2", {"type": "RuleRenderer", "symbollevels": "0", "forceraster": "0", "enableorderby": "0"}
    )
    tree = ET.SubElement(renderer, "rules", {"key": _key(0)})
    symbols = ET.SubElement(renderer, "symbols")
    for index, (condition, label, colour, expression) in enumerate(rules):
        ET.SubElement(tree, "rule", {"key": _key(index + 1), "filter": condition, "label": label, "symbol": str(index)})
        symbols.append((_dot_symbol if points else _fill_symbol)(str(index), colour, expression, borders))
    if marked is not None:
        number = len(rules)
        about = {"filter": marked[0], "label": marked[1], "symbol": str(number)}
        ET.SubElement(tree, "rule", {"key": _key(number + 1), **about})
        symbols.append((_ring_symbol if points else _hatch_symbol)(str(number)))
    ET.SubElement(root, "blendMode").text = "0"
    ET.SubElement(root, "featureBlendMode").text = "0"
    ET.SubElement(root, "layerGeometryType").text = "0" if points else "2"
    return root


def _fill_symbol(name: str, colour: str, expression: str | None, borders: bool) -> ET.Element:
    symbol = ET.Element("symbol", {"type": "fill", "name": name, "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"})
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0"})
    outline = "255,255,255,150" if borders else rgba(colour)
    options(
        layer,
        {
            "color": rgba(colour),
            "style": "solid",
            "outline_color": outline,
            "outline_style": "solid",
            "outline_width": "0.12" if borders else "0.06",
            "outline_width_unit": "MM",
            "joinstyle": "bevel",
        },
    )
    if expression is not None:
        # Without borders the outline takes the colour too, or the background shines through between neighbours.
        properties = ["fillColor"] if borders else ["fillColor", "outlineColor"]
        _computed(layer, properties, expression)
    return symbol


def _dot_symbol(name: str, colour: str, expression: str | None, borders: bool) -> ET.Element:
    symbol = ET.Element(
        "symbol", {"type": "marker", "name": name, "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"}
    )
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleMarker", "enabled": "1", "locked": "0"})
    options(
        layer,
        {
            "name": "circle",
            "color": rgba(colour),
            "outline_color": "255,255,255,150" if borders else rgba(colour, 0),
            "outline_style": "solid",
            "outline_width": "0.12",
            "outline_width_unit": "MM",
            "size": str(_DOT_MM if borders else _SMALL_DOT_MM),
            "size_unit": "MM",
        },
    )
    if expression is not None:
        _computed(layer, ["fillColor"], expression)
    return symbol


def _hatch_symbol(name: str) -> ET.Element:
    symbol = ET.Element("symbol", {"type": "fill", "name": name, "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"})
    layer = ET.SubElement(symbol, "layer", {"class": "LinePatternFill", "enabled": "1", "locked": "0"})
    options(layer, {"angle": "45", "distance": "1.6", "distance_unit": "MM", "line_width": "0.3"})
    about = {"type": "line", "name": f"@{name}@0", "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"}
    line = ET.SubElement(ET.SubElement(layer, "symbol", about), "layer", {"class": "SimpleLine", "enabled": "1"})
    options(line, {"line_color": rgba(_MARK), "line_style": "solid", "line_width": "0.3", "line_width_unit": "MM"})
    return symbol


def _ring_symbol(name: str) -> ET.Element:
    about = {"type": "marker", "name": name, "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"}
    symbol = ET.Element("symbol", about)
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleMarker", "enabled": "1", "locked": "0"})
    ring = {"name": "circle", "color": rgba(_MARK, 0), "outline_color": rgba(_MARK), "outline_style": "solid"}
    options(
        layer, {**ring, "outline_width": "0.3", "outline_width_unit": "MM", "size": str(_RING_MM), "size_unit": "MM"}
    )
    return symbol


def _computed(layer: ET.Element, properties: Sequence[str], expression: str) -> None:
    """Properties of a symbol that an expression computes for each feature."""
    box = ET.SubElement(ET.SubElement(layer, "data_defined_properties"), "Option", {"type": "Map"})
    ET.SubElement(box, "Option", {"type": "QString", "name": "name", "value": ""})
    inner = ET.SubElement(box, "Option", {"type": "Map", "name": "properties"})
    for key in properties:
        item = ET.SubElement(inner, "Option", {"type": "Map", "name": key})
        ET.SubElement(item, "Option", {"type": "bool", "name": "active", "value": "true"})
        ET.SubElement(item, "Option", {"type": "QString", "name": "expression", "value": expression})
        ET.SubElement(item, "Option", {"type": "int", "name": "type", "value": "3"})
    ET.SubElement(box, "Option", {"type": "QString", "name": "type", "value": "collection"})


def style_root() -> ET.Element:
    return ET.Element("qgis", {"version": "3.22.0", "styleCategories": "Symbology"})


def options(parent: ET.Element, values: Mapping[str, str]) -> None:
    box = ET.SubElement(parent, "Option", {"type": "Map"})
    for name, value in values.items():
        ET.SubElement(box, "Option", {"type": "QString", "name": name, "value": value})


def _key(number: int) -> str:
    """QGIS wants a unique key per rule; counted ones keep the file the same from run to run."""
    return f"{{00000000-0000-4000-8000-{number:012d}}}"


def rgba(colour: str, alpha: int = 255) -> str:
    return ",".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5)) + f",{alpha}"


def write_style(path: str | Path, root: ET.Element) -> None:
    """Write a style, whole or not at all."""
    ET.indent(root, " ")
    with atomic_path(path) as temporary:
        Path(temporary).write_text(
            "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
            + ET.tostring(root, encoding="unicode")
            + "\n",
            encoding="utf-8",
        )

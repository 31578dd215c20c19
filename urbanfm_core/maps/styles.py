"""How layers of results look: embeddings as colours, and QGIS styles.

The styles are QML, the plain XML that QGIS keeps beside a file, written without QGIS. They hold for QGIS 3.22 and
later: symbol properties are written as `Option` maps, which replaced the older `prop` elements.
"""

from __future__ import annotations

import itertools

# XML is written here, never read.
import xml.etree.ElementTree as ET  # nosec B405
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from urbanfm_core.inference.components import principal_components
from urbanfm_core.maps.plot import GREY, plot_map
from urbanfm_core.maps.qml import vector_style, write_style
from urbanfm_core.report import told_apart

__all__ = [
    "GREY",
    "class_colours",
    "paler",
    "plot_map",
    "principal_rgb",
    "stretch_limits",
    "write_caption_style",
    "write_class_style",
    "write_ranking_style",
    "write_ratio_style",
    "write_region_style",
]

Limits = list[tuple[float, float]]

PERCENTILES = (2.0, 98.0)
PCA_FIELDS = ("emb_pca1", "emb_pca2", "emb_pca3")
# Viridis at seven even steps: ordered in lightness, and readable with colour-blind eyes.
SCORE_COLOURS = ("#440154", "#443983", "#31688e", "#21918c", "#35b779", "#90d743", "#fde725")
# Red and blue around white, of ColorBrewer, which colour-blind eyes tell apart.
DIVERGING_COLOURS = ("#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b")
# Okabe and Ito (2008), to be told apart with any eyes; without black, and yellow last since it is faint on paper.
CLASS_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#8c6d31", "#f0e442")
# White borders help the eye among a few regions, and hide the colours of many.
_BORDERS_UP_TO = 2000
# Where the classes of a ratio to what is even begin; the one in the middle is as good as even.
_RATIOS = (1 / 4, 1 / 2, 4 / 5, 5 / 4, 2.0, 4.0)
# Opacity, of 255, of a class that is no likelier than any other.
_PALEST = 80.0


def principal_rgb(vectors: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    """First three principal components of region vectors, and the colours they make as red, green and blue.

    Each component is stretched from its 2nd to its 98th percentile.

    Args:
        vectors: (R, D). A row with a value that is not finite is a region without a vector.

    Returns:
        Components, (R, 3), as `principal_components` gives them; and colours, (R, 3), grey for a region without a
        vector.

    Raises:
        ShapeError: not a matrix.
    """
    components = principal_components(vectors)
    covered = np.isfinite(components).all(axis=1)
    rgb = np.tile(np.array(GREY, dtype=np.uint8), (len(vectors), 1))
    for axis, (low, high) in enumerate(stretch_limits(components)):
        span = high - low
        unit = (components[covered, axis] - low) / span if span > 0 else np.full(int(covered.sum()), 0.5)
        rgb[covered, axis] = np.rint(np.clip(unit, 0, 1) * 255)
    return components, rgb


def stretch_limits(values: npt.NDArray[np.floating]) -> Limits:
    """2nd and 98th percentile of the finite values of each column, (N, K) -> K pairs; (0, 0) where there are none."""
    limits = []
    for column in np.asarray(values, dtype=np.float64).T:
        finite = column[np.isfinite(column)]
        low, high = np.percentile(finite, PERCENTILES) if len(finite) else (0.0, 0.0)
        limits.append((float(low), float(high)))
    return limits


def write_region_style(
    path: str | Path,
    components: npt.NDArray[np.floating],
    fields: Sequence[str] = PCA_FIELDS,
    *,
    points: bool = False,
) -> None:
    """Write the QGIS style of an embedding layer: three fields as red, green and blue.

    The percentiles of this layer's components are written into the style, so it draws the colours of
    `principal_rgb`.

    Args:
        path: The `.qml` file; QGIS takes it up by itself where it lies beside the layer under the same name.
        components: (R, 3), as in the fields.
        fields: Names of the three fields.
        points: Whether the layer holds points.
    """
    channels = []
    for field, (low, high) in zip(fields, stretch_limits(components), strict=True):
        name = '"' + field.replace('"', '""') + '"'
        channels.append(f"scale_linear({name}, {low!r}, {high!r}, 0, 255)" if high > low else f"{name} * 0 + 128")
    colour = f"color_rgb({', '.join(channels)})"
    covered = " AND ".join('"' + field.replace('"', '""') + '" IS NOT NULL' for field in fields)
    rules = [
        (covered, "Embedding: principal components 1, 2, 3 as red, green, blue", "#8c96c6", colour),
        ("ELSE", "Not covered", _hex(GREY), None),
    ]
    write_style(path, vector_style(rules, borders=len(components) <= _BORDERS_UP_TO, points=points))


def write_ranking_style(
    path: str | Path,
    score: npt.NDArray[np.floating],
    field: str = "score",
    *,
    points: bool = False,
    marked: tuple[str, str] | None = None,
) -> None:
    """Write the QGIS style of ranked regions: seven classes with about equally many regions each.

    Args:
        path: The `.qml` file.
        score: (R,), as in the field; NaN for a region without a score.
        field: Name of the field.
        points: Whether the layer holds points.
        marked: Filter and label of regions that are hatched.
    """
    finite = np.asarray(score, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    name = '"' + field.replace('"', '""') + '"'
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, len(SCORE_COLOURS) + 1))) if len(finite) else np.zeros(0)
    # With few distinct scores some classes fall away; a single score makes one class.
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    classes = len(edges) - 1
    texts = told_apart(edges.tolist())
    rules: list[tuple[str, str, str, str | None]] = []
    for index in range(classes - 1, -1, -1):
        parts = [f"{name} IS NOT NULL"]
        if index:
            parts.append(f"{name} >= {float(edges[index])!r}")
        if index < classes - 1:
            parts.append(f"{name} < {float(edges[index + 1])!r}")
        colour = SCORE_COLOURS[round(index / (classes - 1) * (len(SCORE_COLOURS) - 1)) if classes > 1 else -1]
        rules.append((" AND ".join(parts), f"{texts[index]} to {texts[index + 1]}", colour, None))
    rules.append(("ELSE", "Not covered", _hex(GREY), None))
    write_style(path, vector_style(rules, borders=len(score) <= _BORDERS_UP_TO, points=points, marked=marked))


def write_ratio_style(path: str | Path, rows: int, field: str, *, points: bool = False) -> None:
    """Write the QGIS style of ratios to what is even: the same classes always, so that what is nearly even looks so.

    Args:
        path: The `.qml` file.
        rows: Number of features: many are drawn without borders.
        field: Name of the field.
        points: Whether the layer holds points.
    """
    name = '"' + field.replace('"', '""') + '"'
    words = [f"{low:g} to {high:g} times" for low, high in itertools.pairwise(_RATIOS)]
    words = [f"less than {_RATIOS[0]:g} times", *words, f"{_RATIOS[-1]:g} times or more"]
    words[len(_RATIOS) // 2] += ": about even"
    rules: list[tuple[str, str, str, str | None]] = []
    for place, (text, colour) in enumerate(zip(words, DIVERGING_COLOURS, strict=True)):
        lower = [f"{name} >= {_RATIOS[place - 1]!r}"] if place else []
        upper = [f"{name} < {_RATIOS[place]!r}"] if place < len(_RATIOS) else []
        rules.insert(0, (" AND ".join([f"{name} IS NOT NULL", *lower, *upper]), text, colour, None))
    rules.append(("ELSE", "No attention", _hex(GREY), None))
    write_style(path, vector_style(rules, borders=rows <= _BORDERS_UP_TO, points=points))


def class_colours(count: int) -> list[str]:
    """Colours of classes: eight that colour-blind eyes tell apart; more classes get darker ones of the same."""
    found = []
    for place in range(count):
        turn, colour = divmod(place, len(CLASS_COLOURS))
        parts = (int(CLASS_COLOURS[colour][at : at + 2], 16) for at in (1, 3, 5))
        found.append(_hex(tuple(int(part * 0.65**turn) for part in parts)))  # type: ignore[arg-type]
    return found


def write_class_style(
    path: str | Path,
    classes: Sequence[str],
    field: str,
    rows: int,
    labels: Sequence[str] | None = None,
    *,
    points: bool = False,
    share: tuple[str, str] | None = None,
    marked: tuple[str, str] | None = None,
) -> None:
    """Write the QGIS style of regions in classes, one colour each; the same classes always get the same colours.

    Args:
        path: The `.qml` file.
        classes: Values of the field, in the order of the legend.
        field: Name of the field, which holds text, or whole numbers.
        rows: Number of regions: many are drawn without borders.
        labels: Words of the legend; the values when not given.
        points: Whether the layer holds points.
        share: Field with the share of the class, and what less of it means: the less, the paler.
        marked: Filter and label of regions that are hatched.
    """
    name = '"' + field.replace('"', '""') + '"'
    rules: list[tuple[str, str, str, str | None]] = []
    for value, label, colour in zip(classes, labels or classes, class_colours(len(classes)), strict=True):
        quoted = value.replace("'", "''")
        shade = None
        if share is not None:
            # No class has less than this, if it has the most. White is mixed in, since what shines through a layer has
            # colours of its own.
            weight = f'scale_linear("{share[0]}", {1 / len(classes)!r}, 1, {_PALEST / 255:.4f}, 1)'
            parts = (int(colour[at : at + 2], 16) - 255 for at in (1, 3, 5))
            shade = f"color_rgb({', '.join(f'round(255 + {part} * {weight})' for part in parts)})"
        rules.append((f"{name} = '{quoted}'", label, colour, shade))
    if share is not None and classes:
        rules.append(("FALSE", share[1], paler(class_colours(1)[0], 0.0, 1), None))
    rules.append(("ELSE", "Not covered", _hex(GREY), None))
    write_style(path, vector_style(rules, borders=rows <= _BORDERS_UP_TO, points=points, marked=marked))


def paler(colour: str, share: float, classes: int) -> str:
    """A colour as `write_class_style` draws it for a share of one of so many classes."""
    least = 1 / classes if classes > 1 else 0.0
    alpha = (_PALEST + (255 - _PALEST) * min(max((share - least) / (1 - least), 0.0), 1.0)) / 255
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return _hex(tuple(round(255 + alpha * (part - 255)) for part in parts))  # type: ignore[arg-type]


def write_caption_style(path: str | Path, rows: int, field: str = "caption") -> None:
    """Write the QGIS style of described regions: those with a caption apart from those without, and the caption as map tip.

    Args:
        path: The `.qml` file.
        rows: Number of regions: many are drawn without borders.
        field: Name of the field.
    """
    name = '"' + field.replace('"', '""') + '"'
    rules = [(f"{name} IS NOT NULL", "Described", CLASS_COLOURS[4], None), ("ELSE", "No caption", _hex(GREY), None)]
    root = vector_style(rules, borders=rows <= _BORDERS_UP_TO)
    root.set("styleCategories", "Symbology|MapTips")
    # A map tip is a page of HTML, and a caption is text.
    ET.SubElement(root, "mapTip").text = f"[% replace(replace({name}, '&', '&amp;'), '<', '&lt;') %]"
    write_style(path, root)


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)

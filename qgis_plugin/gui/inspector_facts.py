"""What the fields of a region, and of result layers with the same regions, say about it. No widgets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from qgis.core import (
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsFeature,
    QgsFeatureRequest,
    QgsProject,
    QgsRenderContext,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QLocale

from .. import compat
from ..i18n import tr
from .inspector_fields import CLUSTER_NAME_FIELD, OUTSIDE_FIELD, PREDICTED, Quantity, Roles, number, plain, roles

# Result layers that are asked about a region, and how large they may be: each costs a search by id.
MOST_COMPANIONS = 6
MOST_COMPANION_REGIONS = 200_000
MOST_TEXT = 120

# By field: names that say more than the field's own, asked for when they are shown, since the language may change.
_PREDICTED_NAMES: dict[str, Callable[[], str]] = {
    PREDICTED: lambda: tr("Prediction"),
    "pred_residual": lambda: tr("Residual (truth - prediction)"),
    "pred_share": lambda: tr("Share of the prediction"),
}

Standing = Callable[[str, float], Optional[float]]


@dataclass(frozen=True)
class Indicator:
    """One line of a region's indicators.

    Attributes:
        name: For people.
        value: For people; empty if it is missing.
        interval: For people; empty without one.
        below: Share of the regions with a lower value; None if it is not known.
        layer: Name of the layer it comes from if that is not the region's own.
    """

    name: str
    value: str
    interval: str = ""
    below: Optional[float] = None
    layer: str = ""


@dataclass(frozen=True)
class Cluster:
    """Name and colour, as the layer's style shows them; the colour is empty if the style is of something else."""

    name: str
    colour: str = ""


@dataclass(frozen=True)
class Facts:
    """All that fields say about a region."""

    title: str
    caption: str = ""
    cluster: Optional[Cluster] = None
    indicators: tuple[Indicator, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def title(layer: QgsVectorLayer, found: Roles, feature: QgsFeature) -> str:
    """What a region is called: its id and, where the layer shows another name, that too."""
    own = plain(feature[found.region_id]) if found.region_id else None
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    context.setFeature(feature)
    shown = plain(QgsExpression(layer.displayExpression()).evaluate(context))
    name = str(shown) if shown is not None and len(str(shown)) <= MOST_TEXT else ""
    if own is None:
        return name or tr("Feature {}").format(feature.id())
    return f"{own} · {name}" if name and name != str(own) else str(own)


def read_facts(
    layer: QgsVectorLayer, found: Roles, feature: QgsFeature, project: QgsProject, below: Standing, caption: str = ""
) -> Facts:
    """What is known of a region.

    Args:
        layer: Regions.
        found: Roles of its fields.
        feature: The region, with all fields.
        project: Where result layers of the same regions are looked for.
        below: Share of the regions with a lower value of a field.
        caption: Field to take captions from; empty takes the one that seems to hold them.
    """
    text = _text(feature, caption or found.caption)
    cluster = _cluster(layer, found, feature)
    display = layer.displayField().lower()
    indicators = [_indicator(layer, q, feature, below) for q in found.quantities if q.field.lower() != display]
    warnings = _warnings(feature)
    predicted = any(q.field.lower() == PREDICTED for q in found.quantities)
    for other, its, same in companions(layer, found, feature, project):
        text = text or _text(same, its.caption)
        cluster = cluster or _cluster(other, its, same)
        if not predicted:
            told = [q for q in its.quantities if q.field.lower().startswith(PREDICTED)]
            indicators = [_indicator(other, q, same, None, other.name()) for q in told] + indicators
            warnings += [line for line in _warnings(same) if line not in warnings]
    return Facts(title(layer, found, feature), text, cluster, tuple(i for i in indicators if i), tuple(warnings))


def companions(
    layer: QgsVectorLayer, found: Roles, feature: QgsFeature, project: QgsProject
) -> list[tuple[QgsVectorLayer, Roles, QgsFeature]]:
    """The same region in other layers that UrbanFM wrote, the topmost layer first; regions are the same if their ids are."""
    own = plain(feature[found.region_id]) if found.region_id else None
    if own is None:
        return []
    met = []
    for node in project.layerTreeRoot().findLayers():
        other = node.layer()
        if not isinstance(other, QgsVectorLayer) or other is layer or not other.isValid():
            continue
        its = roles(other)
        if its.region_id.lower() != found.region_id.lower() or not its.has_results:
            continue
        if len(met) == MOST_COMPANIONS or other.featureCount() > MOST_COMPANION_REGIONS:
            continue
        request = QgsFeatureRequest(QgsExpression(QgsExpression.createFieldEqualityExpression(its.region_id, own)))
        request.setFlags(compat.NO_GEOMETRIES)
        same = next(iter(other.getFeatures(request.setLimit(1))), None)
        if same is not None:
            met.append((other, its, same))
    return met


def vectors_hint(project: QgsProject) -> str:
    """Where vectors are to be had: a layer of the project, or an algorithm."""
    for node in project.layerTreeRoot().findLayers():
        layer = node.layer()
        if isinstance(layer, QgsVectorLayer) and layer.isValid() and roles(layer).has_vectors:
            return tr("The layer {} has some: choose it above.").format(layer.name())
    return tr("Run 'Embed regions' and choose the layer that it makes.")


def shown_number(value: float) -> str:
    """A number as people write it: grouped, and with no more digits than say something."""
    if value == int(value) and abs(value) < 1e15:
        return QLocale().toString(int(value))
    digits = 0 if abs(value) >= 10_000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 4
    if 0 < abs(value) < 1e-3 or abs(value) >= 1e15:
        return QLocale().toString(value, "g", 3)
    return QLocale().toString(value, "f", digits)


def _indicator(
    layer: QgsVectorLayer, q: Quantity, feature: QgsFeature, below: Optional[Standing], origin: str = ""
) -> Optional[Indicator]:
    index = layer.fields().lookupField(q.field)
    name = (
        _PREDICTED_NAMES[q.field.lower()]()
        if q.field.lower() in _PREDICTED_NAMES
        else layer.attributeDisplayName(index)
    )
    value = plain(feature[q.field])
    amount = number(value)
    if amount is None:
        shown = "" if value is None else str(value)
        # Long texts and lists are no indicators.
        return Indicator(name, shown, layer=origin) if len(shown) <= MOST_TEXT else None
    low, high = (number(feature[name]) if name else None for name in (q.low, q.high))
    interval = "" if low is None or high is None else tr("{} to {}").format(shown_number(low), shown_number(high))
    return Indicator(name, shown_number(amount), interval, below(q.field, amount) if below else None, origin)


def _cluster(layer: QgsVectorLayer, found: Roles, feature: QgsFeature) -> Optional[Cluster]:
    value = plain(feature[found.cluster]) if found.cluster else None
    if value is None:
        return None
    renderer = layer.renderer().clone() if layer.renderer() else None
    context = QgsRenderContext()
    context.expressionContext().appendScopes(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    called = _text(feature, CLUSTER_NAME_FIELD)
    name = f"{value}: {called}" if called else tr("Cluster {}").format(value)
    if renderer is None or found.cluster not in renderer.usedAttributes(context):
        return Cluster(name)
    context.expressionContext().setFeature(feature)
    renderer.startRender(context, layer.fields())
    symbols = renderer.symbolsForFeature(feature, context)
    colour = symbols[0].color().name() if symbols else ""
    keys = renderer.legendKeysForFeature(feature, context)
    renderer.stopRender(context)
    labels = [item.label() for item in renderer.legendSymbolItems() if item.ruleKey() in keys and item.label()]
    return Cluster(labels[0] if labels else name, colour)


def _text(feature: QgsFeature, name: str) -> str:
    value: Any = plain(feature[name]) if name and feature.fields().lookupField(name) >= 0 else None
    return "" if value is None else str(value).strip()


def _warnings(feature: QgsFeature) -> list[str]:
    place = feature.fields().lookupField(OUTSIDE_FIELD)
    if place >= 0 and number(feature.attribute(place)):
        return [tr("The region lies outside of what the model learned from: do not rely on its prediction.")]
    return []

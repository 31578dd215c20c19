"""Which field of a region layer holds what, by the names that UrbanFM's algorithms give."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional

from qgis.core import QgsFields, QgsVectorLayer
from qgis.PyQt.QtCore import QVariant

from .. import compat

ID_FIELDS = ("region_id", "id")
CAPTION_FIELDS = ("caption", "captions", "refined", "description")
VECTOR_FIELD = "embedding"
CLUSTER_FIELD, CLUSTER_NAME_FIELD = "cluster", "cluster_name"
PREDICTED = "pred"
OUTSIDE_FIELD = "pred_outside"
RANK_FIELD, SCORE_FIELD = "rank", "score"
INTERVALS = (("_lower", "_upper"), ("_low", "_high"))
# What the algorithms add for themselves, which is no indicator of a region; and what they add beside a certain field,
# since a user's own field may well be called "distance".
_OWN = {
    *ID_FIELDS, *CAPTION_FIELDS, VECTOR_FIELD, CLUSTER_FIELD, CLUSTER_NAME_FIELD, OUTSIDE_FIELD, "fid", "urbanfm_fid", "caption_by", "emb_dim",
    "emb_model", "emb_pca1", "emb_pca2", "emb_pca3",
}  # fmt: skip
_BESIDE = {CLUSTER_FIELD: {"silhouette", "distance"}, RANK_FIELD: {RANK_FIELD, SCORE_FIELD, "percentile", "chosen"}}
_COLUMN = re.compile(r"emb_(\d{3,})$")


@dataclass(frozen=True)
class Quantity:
    """A field that says something about a region, and the fields that bound it.

    Attributes:
        field: Name of the field.
        low, high: Names of the fields of its interval; empty without one.
    """

    field: str
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class Roles:
    """Fields of a layer by what they hold; empty where there is none.

    Attributes:
        quantities: Indicators, predictions first.
        vector_columns: Names of the fields of the vector, one a dimension, in order.
        vector_text: Name of the field that holds the vector as JSON text.
    """

    region_id: str
    caption: str
    cluster: str
    quantities: tuple[Quantity, ...]
    vector_text: str
    vector_columns: tuple[str, ...]
    ranked: bool

    @property
    def has_vectors(self) -> bool:
        """Whether the layer holds embeddings."""
        return bool(self.vector_text or self.vector_columns)

    @property
    def has_results(self) -> bool:
        """Whether an algorithm of UrbanFM seems to have written the layer."""
        return bool(self.caption or self.cluster or any(q.field == PREDICTED for q in self.quantities))


def roles(layer: QgsVectorLayer) -> Roles:
    """Find out what the fields of a layer hold."""
    fields = layer.fields()
    names = [field.name() for field in fields]
    known = {name.lower(): name for name in reversed(names)}
    texts = {field.name() for field in fields if field.type() == compat.STRING_FIELD}
    numbered = sorted((int(found[1]), name) for name in names if (found := _COLUMN.match(name.lower())))
    return Roles(
        region_id=next((known[name] for name in ID_FIELDS if name in known), ""),
        caption=next((known[name] for name in CAPTION_FIELDS if known.get(name) in texts), ""),
        cluster=known.get(CLUSTER_FIELD, ""),
        quantities=_quantities(fields, known),
        vector_text=known[VECTOR_FIELD] if known.get(VECTOR_FIELD) in texts else "",
        vector_columns=tuple(name for _, name in numbered),
        ranked=RANK_FIELD in known and SCORE_FIELD in known,
    )


def _quantities(fields: QgsFields, known: dict[str, str]) -> tuple[Quantity, ...]:
    own = _OWN.union(*(names for marker, names in _BESIDE.items() if marker in known and names & known.keys() == names))
    shown = {
        lowered: name
        for lowered, name in known.items()
        if lowered not in own and not lowered.startswith("coverage_") and not _COLUMN.match(lowered)
    }
    bounded: dict[str, tuple[str, str]] = {}
    for lowered in list(shown):
        for low, high in INTERVALS:
            if lowered not in bounded and lowered + low in known and lowered + high in known:
                bounded[lowered] = (known[lowered + low], known[lowered + high])
                shown.pop(lowered + low, None)
                shown.pop(lowered + high, None)
    place = {field.name(): index for index, field in enumerate(fields)}
    ordered = sorted(shown, key=lambda name: (not name.startswith(PREDICTED), place[shown[name]]))
    return tuple(Quantity(shown[name], *bounded.get(name, ("", ""))) for name in ordered if name in shown)


def plain(value: Any) -> Any:
    """A value of a field, None for NULL, which is an object of its own in QGIS."""
    return None if value is None or (isinstance(value, QVariant) and value.isNull()) else value


def number(value: Any) -> Optional[float]:
    """A value of a field as a finite number, or None."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) != float("inf") and value == value else None

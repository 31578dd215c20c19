"""What can be done next with what an algorithm made: the end of each log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..contract import load
from ..i18n import tr


@dataclass(frozen=True)
class Step:
    """Another algorithm, and what to give it.

    Attributes:
        algorithm: Its id.
        why: What one learns from it, as the end of a sentence.
        gives: Outputs of this algorithm by the other's inputs, as names of the library: that input takes this output.
    """

    algorithm: str
    why: str
    gives: dict[str, str] = field(default_factory=dict)


_CLUSTER = Step("clusterregions", "which regions are of one kind, and what sets each kind apart", {"embeddings": "out"})
_SIMILAR = Step("findsimilarregions", "where else it looks like in the regions that you select", {"embeddings": "out"})
_PREDICT = Step("predictindicators", "an indicator where nobody measured it, with intervals", {"embeddings": "out"})
_EVALUATE = Step("evaluateembeddings", "whether the vectors beat simple ones on your own labels", {"embeddings": "out"})
_EMBED = Step("embedregions", "a vector for each region, as a styled layer", {"checkpoint": "out"})
_INSPECT = Step("inspectcheckpoint", "which layers the model needs and what it gives", {"checkpoint": "out"})
_SEARCH = Step("searchbytext", "which places fit a phrase", {"checkpoint": "checkpoint_out"})

NEXT: dict[str, tuple[Step, ...]] = {
    "checkenvironment": (
        Step("embedregions", "a vector for each region, from your own layers or the sample city's"),
        Step("creategridregions", "regions, where you have none"),
    ),
    "creategridregions": (
        Step("embedregions", "a vector for each cell", {"regions": "out"}),
        Step("trainmodel", "a model of your own, to embed with", {"regions": "out"}),
    ),
    "trainmodel": (
        _EMBED,
        _INSPECT,
        Step("embedraster", "an embedding raster, for methods with pixels", {"checkpoint": "out"}),
    ),
    "importcheckpoint": (_INSPECT, _EMBED),
    "inspectcheckpoint": (
        Step("embedregions", "a vector for each region: give it the same checkpoint"),
        Step("embedraster", "an embedding raster, for methods with pixels: give it the same checkpoint"),
    ),
    "embedregions": (_CLUSTER, _SIMILAR, _PREDICT, _SEARCH),
    "embedpois": (
        Step("clusterregions", "which places are of one kind, and what sets each kind apart", {"embeddings": "out"}),
        Step(
            "predictindicators", "an attribute of places where nobody noted it, with intervals", {"embeddings": "out"}
        ),
    ),
    "embedraster": (
        Step("searchbytext", "which places fit a phrase", {"embedding_raster": "out"}),
        Step("creategridregions", "regions over the raster", {"over": "out"}),
    ),
    "clusterregions": (
        _SIMILAR,
        Step("evaluateembeddings", "how well the vectors behind the clusters tell your labels"),
        Step("describeregions", "a caption of each region, to put the clusters into words", {"regions": "out"}),
    ),
    "findsimilarregions": (
        Step("clusterregions", "which regions are of one kind: give it the same embeddings"),
        Step("describeregions", "what the best ranked regions look like in words", {"regions": "out"}),
    ),
    "searchbytext": (
        Step("findsimilarregions", "more like the best found: select them and give the same embeddings"),
        Step("describeregions", "what the best found regions look like in words", {"regions": "out"}),
    ),
    "predictindicators": (
        _EVALUATE,
        Step("clusterregions", "whether the residuals belong to a kind of region", {"embeddings": "out"}),
    ),
    "evaluateembeddings": (
        Step("predictindicators", "the indicator everywhere, from the vectors that did best"),
        Step("trainmodel", "another method or more epochs, to compare with these scores"),
    ),
    "attentionmaps": (
        Step("clusterregions", "which regions are of one kind: give it the vectors of the same checkpoint"),
        Step("predictindicators", "an indicator everywhere, from the same checkpoint's vectors"),
    ),
    "describeregions": (
        Step("trainmodel", "a method that learns from pictures and captions, such as UrbanCLIP", {"regions": "out"}),
        Step("embedregions", "a vector for each described region", {"regions": "out"}),
    ),
}


def told(algorithm: Any, results: dict[str, Any], find: Callable[[str], Any]) -> list[str]:
    """Lines that end a log; a step that needs an output which was not made is left out.

    Args:
        algorithm: The one that ran.
        results: Its outputs by key.
        find: Gives the algorithm of an id.
    """
    lines = []
    for step in NEXT.get(algorithm.name(), ()):
        if all(results.get(own.upper()) for own in step.gives.values()):
            lines.append(_line(algorithm, step, find(step.algorithm)))
    return [tr("What can I do next?"), *lines] if lines else []


def _line(algorithm: Any, step: Step, other: Any) -> str:
    line = tr("{}: {}.").format(other.displayName(), tr(step.why))
    given = []
    for name, own in step.gives.items():
        label = load().stage(other.STAGE).parameters[name].label
        made = load().stage(algorithm.STAGE).parameters[own].label
        given.append(tr("Give it this run's '{}' as '{}'.").format(tr(made), tr(label)))
    return "  • " + " ".join([line, *given])

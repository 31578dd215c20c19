"""CAPTURE: how much two captions say the same (UrbanLN, equation 1; Dong et al. 2024).

Objects, attributes and relations of two scene graphs are matched in three steps: equal ones, synonyms, and what is left
by the likeness of sentence vectors. Each step takes only what the ones before left over. Precision and recall are the
matches over the number of elements of either side, where an unmatched element counts with its highest cosine to an
unmatched one of the other side. Of the three F1 the weighted mean is taken.

As in the public code of CAPTURE, attributes are compared as words, whatever object they belong to, and a kind of which
either side has nothing counts 0, even if the other side has nothing of it too. Other than there, the score does not
depend on which caption comes first, negative cosines count 0, and an object also matches one that it is a kind of by
its last words ('office building' and 'building'), not by any shared letters ('car' and 'carpet').
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from urbanfm_core.captions.scene_graph import SceneGraph
from urbanfm_core.captions.words import words
from urbanfm_core.errors import ConfigError
from urbanfm_core.models.text import TextEncoder
from urbanfm_core.progress import Progress
from urbanfm_core.resources import resource

# Vectors of phrases that are kept between calls: 50,000 of MiniLM take 77 MB.
_MOST_VECTORS = 50_000
Element = tuple[str, ...]


@dataclass(frozen=True)
class Weights:
    """How much each kind of element counts: alpha, beta and gamma of equation 1."""

    objects: float = 5.0
    attributes: float = 5.0
    relations: float = 2.0

    def __post_init__(self) -> None:
        values = (self.objects, self.attributes, self.relations)
        if min(values) < 0 or sum(values) <= 0:
            raise ConfigError(f"Weights of CAPTURE must not be negative and not all 0, found {values}.")


class Score(NamedTuple):
    """What two captions have in common, each in [0, 1]: the weighted mean, and F1 of each kind."""

    capture: float
    objects: float
    attributes: float
    relations: float


class Capture:
    """Compares scene graphs.

    Args:
        encoder: Gives the vectors for soft matching; None to do without it.
        weights: Of the three kinds.
    """

    def __init__(self, encoder: TextEncoder | None = None, weights: Weights | None = None) -> None:
        self.weights = weights or Weights()
        self._encoder = encoder
        self._vectors: dict[str, NDArray[np.float32]] = {}
        found = self.weights
        self.identity = (
            f"capture|1|{found.objects:g},{found.attributes:g},{found.relations:g}|"
            f"{encoder.identity if encoder is not None else 'no encoder'}"
        )

    def prepare(self, graphs: Iterable[SceneGraph], progress: Progress | None = None) -> None:
        """Encode the phrases of graphs that will be compared, all at once, which is faster than pair by pair."""
        if self._encoder is None:
            return
        wanted = {" ".join(element) for graph in graphs for kind in _elements(graph) for element in kind}
        missing = sorted(wanted - set(self._vectors))
        if len(self._vectors) + len(missing) > _MOST_VECTORS:
            self._vectors, missing = {}, sorted(wanted)
        if missing:
            self._vectors |= dict(zip(missing, self._encoder.encode(missing, progress), strict=True))

    def score(self, left: SceneGraph, right: SceneGraph) -> Score:
        """What two graphs have in common."""
        self.prepare((left, right))
        found = [
            self._f1(ours, theirs, objects=kind == 0)
            for kind, (ours, theirs) in enumerate(zip(_elements(left), _elements(right), strict=True))
        ]
        shares = np.array([self.weights.objects, self.weights.attributes, self.weights.relations])
        return Score(float(shares @ np.array(found) / shares.sum()), *found)

    def agreement(self, graphs: Sequence[SceneGraph]) -> NDArray[np.float32]:
        """CAPTURE of each pair, (n, n) float32, symmetric; NaN on the diagonal."""
        found = np.full((len(graphs), len(graphs)), np.nan, np.float32)
        for i, left in enumerate(graphs):
            for j in range(i):
                found[i, j] = found[j, i] = self.score(left, graphs[j]).capture
        return found

    def _f1(self, left: list[Element], right: list[Element], *, objects: bool) -> float:
        if not left or not right:
            return 0.0
        equal = Counter(left) & Counter(right)
        rest_left, rest_right = [*(Counter(left) - equal).elements()], [*(Counter(right) - equal).elements()]
        alike = _synonyms(rest_left, rest_right, heads=objects)
        matched = equal.total() + len(alike)
        taken_left, taken_right = {i for i, _ in alike}, {j for _, j in alike}
        rest_left = [element for i, element in enumerate(rest_left) if i not in taken_left]
        rest_right = [element for j, element in enumerate(rest_right) if j not in taken_right]
        soft_left, soft_right = self._soft(rest_left, rest_right)
        precision = (matched + soft_left) / (matched + len(rest_left))
        recall = (matched + soft_right) / (matched + len(rest_right))
        return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0

    def _soft(self, left: list[Element], right: list[Element]) -> tuple[float, float]:
        """Sum of the highest cosine of each element to one of the other side, for both sides."""
        if self._encoder is None or not left or not right:
            return 0.0, 0.0
        ours, theirs = (np.stack([self._vectors[" ".join(element)] for element in side]) for side in (left, right))
        cosine = np.clip(ours @ theirs.T, 0.0, 1.0)
        return float(cosine.max(axis=1).sum()), float(cosine.max(axis=0).sum())


def _elements(graph: SceneGraph) -> tuple[list[Element], list[Element], list[Element]]:
    """Objects, attributes without their objects, and relations."""
    return [(name,) for name in graph.objects], [(word,) for _, word in graph.attributes], list(graph.relations)


def _synonyms(left: list[Element], right: list[Element], *, heads: bool) -> list[tuple[int, int]]:
    """Places of matching elements, each in one pair at most, as many pairs as there can be."""
    same = np.array([[_synonymous(a, b, heads=heads or len(a) > 1) for b in right] for a in left], bool)
    if not same.any():
        return []
    partner = maximum_bipartite_matching(csr_array(same), perm_type="column")
    return [(i, j) for i, j in enumerate(partner.tolist()) if j >= 0]


def _synonymous(left: Element, right: Element, *, heads: bool) -> bool:
    """Whether all parts are equal or synonyms; of objects, whether one may also be the head of the other."""
    return all(
        a == b or bool(_groups(a) & _groups(b)) or (heads and place != 1 and _is_head(a, b))
        for place, (a, b) in enumerate(zip(left, right, strict=True))
    )


def _is_head(a: str, b: str) -> bool:
    shorter, longer = sorted((a, b), key=len)
    return longer.endswith(f" {shorter}")


def _groups(word: str) -> frozenset[int]:
    return synonyms().get(word, frozenset())


@cache
def synonyms() -> dict[str, frozenset[int]]:
    """The groups of synonyms that each word or phrase belongs to, from `resources/captions/synonyms.json`."""
    groups = json.loads(resource("captions", "synonyms.json").read_text(encoding="utf-8"))
    found: dict[str, set[int]] = {}
    for number, group in enumerate(groups):
        for word in group:
            for form in {word, words().singular(word)}:
                found.setdefault(form, set()).add(number)
    return {word: frozenset(numbers) for word, numbers in found.items()}

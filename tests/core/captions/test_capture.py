"""CAPTURE against its formula in plain NumPy, and the consensus that it leads to."""

import numpy as np
import pytest

from urbanfm_core.captions.capture import Capture, Weights, synonyms
from urbanfm_core.captions.consensus import consensus_captions
from urbanfm_core.captions.light_parser import LightParser
from urbanfm_core.captions.scene_graph import SceneGraph
from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import Cancelled, ConfigError
from urbanfm_core.progress import Progress


class Encoder:
    """A unit vector per text, from the text's own letters."""

    spec, identity, dim = "toy", "toy|1", 12
    notes: list[str] = []  # noqa: RUF012

    def __init__(self):
        self.asked = []

    def encode(self, texts, progress=None):
        self.asked += texts
        rows = np.stack([np.random.default_rng([ord(c) for c in text]).normal(size=self.dim) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def soft_f1(left, right, encoder, matched):
    """F1 where `matched` pairs are equal or synonymous and all others are compared by cosine."""
    a = [x for x in left if x not in {pair[0] for pair in matched}]
    b = [x for x in right if x not in {pair[1] for pair in matched}]
    cosine = np.clip(encoder.encode(a) @ encoder.encode(b).T, 0, None) if a and b else np.zeros((len(a), len(b)))
    precision = (len(matched) + (cosine.max(1).sum() if cosine.size else 0)) / len(left)
    recall = (len(matched) + (cosine.max(0).sum() if cosine.size else 0)) / len(right)
    return 2 * precision * recall / (precision + recall)


LEFT = SceneGraph(
    ("automobile", "office building", "tree", "pond"),
    (("automobile", "red"), ("tree", "large")),
    (("automobile", "next to", "tree"), ("pond", "behind", "tree")),
)
RIGHT = SceneGraph(
    ("car", "building", "tree", "airport", "hill"),
    (("car", "red"), ("tree", "big"), ("hill", "bare")),
    (("car", "near", "tree"),),
)


def test_the_score_is_the_formula():
    encoder = Encoder()
    objects = soft_f1(
        list(LEFT.objects),
        list(RIGHT.objects),
        encoder,
        [("automobile", "car"), ("office building", "building"), ("tree", "tree")],
    )
    attributes = soft_f1(["red", "large"], ["red", "big", "bare"], encoder, [("red", "red"), ("large", "big")])
    relations = soft_f1([0, 1], [0], encoder, [(0, 0)])  # the first is a synonym in each part
    score = Capture(encoder).score(LEFT, RIGHT)
    assert score[1:] == pytest.approx((objects, attributes, relations), abs=1e-6)
    assert score.capture == pytest.approx((5 * objects + 5 * attributes + 2 * relations) / 12, abs=1e-6)
    only = Capture(encoder, Weights(0, 0, 1)).score(LEFT, RIGHT)
    assert only.capture == pytest.approx(relations, abs=1e-6)


def test_it_does_not_matter_which_comes_first_and_equal_graphs_score_one():
    capture = Capture(Encoder())
    assert capture.score(LEFT, RIGHT) == pytest.approx(capture.score(RIGHT, LEFT), abs=1e-6)
    assert capture.score(LEFT, LEFT) == pytest.approx((1, 1, 1, 1), abs=1e-6)
    matrix = capture.agreement([LEFT, RIGHT, SceneGraph()])
    assert np.isnan(np.diag(matrix)).all()
    assert np.allclose(matrix, matrix.T, equal_nan=True)
    assert matrix[0, 2] == 0 and matrix[1, 0] == pytest.approx(capture.score(LEFT, RIGHT).capture)


def test_without_an_encoder_only_equal_words_and_synonyms_match():
    score = Capture().score(LEFT, RIGHT)
    assert score.objects == pytest.approx(2 * 3 / (4 + 5))
    assert score.attributes == pytest.approx(2 * 2 / (2 + 3))
    assert score.relations == pytest.approx(2 * 1 / (2 + 1))


def test_an_element_is_matched_once_and_as_many_as_can_be():
    # 'structure' could take 'building', which would leave 'church building' without a partner.
    left = SceneGraph(("structure", "church building"))
    right = SceneGraph(("building", "edifice"))
    assert Capture().score(left, right).objects == pytest.approx(1.0)
    assert Capture().score(SceneGraph(("car", "automobile")), SceneGraph(("car",))).objects == pytest.approx(2 / 3)


def test_a_thousand_equal_words_are_matched():
    names = [f"house {number}" for number in range(1000)]
    graph = SceneGraph(tuple(names), tuple((name, "red") for name in names))
    assert Capture().score(graph, SceneGraph(("house",), (("house", "red"),))).attributes == pytest.approx(2 / 1001)
    assert Capture().score(graph, graph)[1:3] == (1, 1)


def test_a_part_of_a_word_is_no_match_and_a_kind_matches_its_head():
    capture = Capture()
    assert capture.score(SceneGraph(("car",)), SceneGraph(("carpet",))).objects == 0
    assert capture.score(SceneGraph(("car",)), SceneGraph(("car park",))).objects == 0
    assert capture.score(SceneGraph(("park",)), SceneGraph(("car park",))).objects == 1


def test_phrases_are_encoded_once():
    encoder = Encoder()
    capture = Capture(encoder)
    capture.prepare([LEFT, RIGHT])
    capture.agreement([LEFT, RIGHT, LEFT])
    assert len(encoder.asked) == len(set(encoder.asked))
    assert "pond behind tree" in encoder.asked


def test_synonyms_are_found_in_singular_and_plural():
    known = synonyms()
    assert known["car park"] & known["parking lot"]
    assert known["office"] & known["business premises"]
    assert not known["tall"] & known["wide"]


def test_weights_that_say_nothing_are_refused():
    with pytest.raises(ConfigError, match="Weights of CAPTURE"):
        Weights(0, 0, 0)
    with pytest.raises(ConfigError, match="Weights of CAPTURE"):
        Weights(-1, 5, 5)


CAPTIONS = CaptionSet.from_rows(
    [
        ("r1", "", "satellite", "a", "A car park and tall buildings."),
        ("r1", "", "satellite", "b", "Tall buildings, a parking lot and an airport."),
        ("r2", "", "satellite", "a", "I'm sorry, I cannot provide a description of this image."),
        ("r1", "", "satellite", "c", "A castle beside a car park."),
        ("r2", "", "satellite", "b", "A harbour."),
        ("r3", "", "satellite", "a", "I'm sorry, I can't help."),
        ("r4", "", "satellite", "a", ""),
        ("r1", "", "street", "a", "A quiet street."),
    ]
)


def test_consensus_takes_what_the_others_agree_with():
    found = consensus_captions(CAPTIONS, encoder=None)
    assert list(found.captions.text) == ["A car park and tall buildings.", "A harbour.", "A quiet street."]
    capture, parser = Capture(), LightParser()
    graphs = parser.parse([CAPTIONS.text[row] for row in (0, 1, 3)])
    matrix = capture.agreement(graphs)
    assert found.scores[[0, 1, 3]] == pytest.approx([np.nanmean(row) for row in matrix])
    assert found.scores[0] > found.scores[1] > found.scores[3]  # the airport costs the second
    assert found.scores[[2, 4]].tolist() == [0, 0]
    assert np.isnan(found.scores[[5, 6, 7]]).all()
    notes = " ".join(found.notes)
    for part in (
        "3 captions chosen out of 8",
        "1 captions are empty",
        "2 captions name nothing",
        "1 pictures are left out",
        "2 pictures have a single caption",
        "Without a text encoder",
    ):
        assert part in notes


def test_soft_matching_tells_close_from_far():
    rows = [
        ("r", "", "satellite", name, text)
        for name, text in zip("abc", ("A bungalow.", "A cottage.", "A harbour."), strict=True)
    ]
    found = consensus_captions(CaptionSet.from_rows(rows), encoder="minilm")
    assert found.captions.captioner[0] in ("a", "b")
    assert found.scores[2] < min(found.scores[:2])
    assert consensus_captions(CaptionSet.from_rows(rows), encoder=None).scores.tolist() == [0, 0, 0]


class StopAfter(Progress):
    def __init__(self, updates: int) -> None:
        self.left = updates

    def update(self, fraction, message=""):
        self.left -= "consensus of" in message

    def cancelled(self):
        return self.left <= 0


class Counting(LightParser):
    parsed = 0

    def parse(self, texts, progress=None):
        self.parsed += len(texts)
        return super().parse(texts, progress)


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("urbanfm_core.captions.consensus._PICTURES_PER_PARTITION", 2)
    whole = consensus_captions(CAPTIONS, encoder=None)
    store = SampleStore(tmp_path, {"consensus": 1})
    with pytest.raises(Cancelled):
        consensus_captions(CAPTIONS, encoder=None, progress=StopAfter(1), store=store)
    parser = Counting()
    again = consensus_captions(CAPTIONS, parser, None, store=store)
    assert parser.parsed == 2  # r3 and the street view; r1 and r2 were done
    assert np.array_equal(again.scores, whole.scores, equal_nan=True)
    assert list(again.captions.text) == list(whole.captions.text)
    weighted = consensus_captions(CAPTIONS, Counting(), None, store=store, weights=Weights(0, 1, 0))
    assert not np.array_equal(weighted.scores, whole.scores, equal_nan=True)


def test_no_captions_give_none():
    found = consensus_captions(CaptionSet.from_rows([]), encoder=None)
    assert len(found.captions) == 0 and len(found.scores) == 0

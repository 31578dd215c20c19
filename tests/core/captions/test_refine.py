"""Rules of refinement: what each removes and leaves, on texts of models that describe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from urbanfm_core.captions.refine import Refinement, load_rules, refine
from urbanfm_core.data.captions import CaptionSet
from urbanfm_core.errors import Cancelled, ConfigError
from urbanfm_core.progress import Progress
from urbanfm_core.resources import resource

# Not from the sample city, whose refusals the rules could have been made for.
REFUSALS = [
    "I'm sorry, I can't assist with that request.",
    "I\u2019m sorry, but I can\u2019t provide details about this image.",
    "I am unable to view images directly, so I cannot describe this one.",
    "As an AI language model, I do not have the ability to see pictures.",
    "Sorry, but the image you have provided cannot be displayed.",
    "Unfortunately, I cannot identify the contents of this image. Please provide more context.",
    "I'm not able to help with identifying real places in images.",
    "My apologies, I won't be able to describe this picture.",
    "I apologize, but I am unable to analyze this satellite image at the moment.",
    "No image was provided. Please upload an image and let me know how I can help.",
    "Sorry, I can't help with that.",
    "I do not have access to the image. If you share it, I would be happy to help.",
    "It is not possible to describe the image as an AI assistant.",
    "I regret that I cannot process this image.",
]
DESCRIPTIONS = [
    "Cars cannot turn left here, and a sign says so.",
    "A dense block of houses with a small park; the river cannot be crossed here.",
    "A church, an apology of a square and narrow streets around it.",
    "Residential streets with trees on both sides and low houses.",
    "A help centre stands beside the parking lot.",
    "The image shows a factory with a large roof and a rail yard.",
    "An assistant crosses the road in front of a hospital.",
    "Shops whose windows we see from the side, with awnings.",
]


def one(text: str) -> tuple[str, str]:
    found = refine(CaptionSet.from_rows([("r", "", "satellite", "m", text)]), load_rules())
    return found.text[0], found.reason[0]


def many(texts: list[str], rules: Any = None) -> Refinement:
    rows = [(str(row), "", "satellite", "m", text) for row, text in enumerate(texts)]
    return refine(CaptionSet.from_rows(rows), load_rules() if rules is None else rules)


def test_refusals_of_the_sample_city_are_found_and_nothing_else() -> None:
    source = resource("samplecity", "captions.parquet")
    refused = pd.read_parquet(source)["refused"].to_numpy(bool)
    found = refine(CaptionSet.read(source), load_rules()).dropped_by == "refusal"
    hits = int((found & refused).sum())
    precision, recall = hits / int(found.sum()), hits / int(refused.sum())
    assert int(refused.sum()) >= 5
    assert (precision, recall) == (1.0, 1.0)


def test_refusals_in_other_words_are_dropped_and_descriptions_kept() -> None:
    found = many([*REFUSALS, *DESCRIPTIONS])
    refused = found.kept[: len(REFUSALS)]
    assert not refused.any(), np.array(REFUSALS)[refused].tolist()
    assert all("refusal" in reason for reason in found.reason[: len(REFUSALS)])
    assert found.text[len(REFUSALS) :].tolist() == DESCRIPTIONS


def test_a_description_behind_a_refusal_is_kept() -> None:
    text, reason = one("I'm unable to name the place. Low houses stand along a canal.")
    assert (text, reason) == ("Low houses stand along a canal.", "refusal")


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("Sure! Here is a description of the image: Tall houses.", "Tall houses.", "opening"),
        ("**Houses** and a park.", "Houses and a park.", "markup"),
        ("Low houses. Let me know if you need more.", "Low houses.", "chat"),
        ("A park. It was taken in 2019.", "A park.", "unfactual"),
        ("A park. The area is located in Beijing.", "A park.", "unfactual"),
        ("A park located in the middle of the block.", "A park located in the middle of the block.", ""),
        ("A park. The population is high.", "A park.", "unfactual"),
        ("A park. It covers 3.5 km\u00b2.", "A park.", "measures"),
        ("A park. It is 200 meters long.", "A park.", "measures"),
        ("A park. About 80% of it is green.", "A park.", "measures"),
        ("There are approximately 350 buildings.", "There are many buildings.", "counts"),
        ("There are 12 buildings of 3 floors.", "There are 12 buildings of 3 floors.", ""),
        ("A 90-degree bend of the road.", "A 90-degree bend of the road.", ""),
        ("Land use: homes; Visible: pond; Image quality: good", "Land use: homes; Visible: pond", "passing"),
        ("A square. Overall, the scene feels lively.", "A square.", "vague"),
        ("Trees line the street, adding a sense of calm.", "Trees line the street.", "filler"),
        ("What seems to be a school stands there.", "A school stands there.", "hedges"),
        ("a street a street a street a street with trees", "a street with trees", "repetition"),
        ("A park. A pond. A park.", "A park. A pond.", "duplicate_sentence"),
    ],
)
def test_rules_remove_what_they_are_for(before: str, after: str, rule: str) -> None:
    text, reason = one(before)
    assert text == after
    assert rule in reason.split(",")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("Das Bild zeigt eine Stra\u00dfe mit H\u00e4usern und B\u00e4umen, die auf der Seite sind.", "language"),
        ("La imagen muestra una calle con los \u00e1rboles y las casas de la ciudad.", "language"),
        ("\u8fd9\u662f\u4e00\u5f20\u57ce\u5e02\u7684\u536b\u661f\u56fe\u50cf\u3002", "language"),
        ("House.", "too_short"),
        ("...", "empty"),
    ],
)
def test_captions_that_say_nothing_in_english_are_dropped(text: str, rule: str) -> None:
    found = many([text])
    assert (found.text[0], found.dropped_by[0]) == ("", rule)


def test_ten_thousand_characters_end_as_a_caption_or_not_at_all() -> None:
    sentences = " ".join(f"House {number % 19} of row {number % 7} has a red roof and a wall." for number in range(250))
    assert len(sentences) > 10_000
    found = many([sentences, "x" * 10_000, "word " * 2_000, "a, b; " * 1_700, "\u00e9" * 10_000, "[" * 10_000])
    words = len(found.text[0].split())
    assert 100 < words <= 180 and found.text[0].endswith(".") and "over_length" in found.reason[0]
    assert all(len(text) <= 180 * 16 for text in found.text)
    assert found.dropped_by[1] == "too_short"


def test_equal_captions_of_one_picture_are_kept_once() -> None:
    rows = [
        ("r", "", "satellite", "m", "A park."),
        ("r", "", "satellite", "n", "a park"),
        ("s", "", "satellite", "n", "A park."),
        ("r", "v.jpg", "street", "n", "A park."),
    ]
    found = refine(CaptionSet.from_rows(rows), load_rules())
    assert found.dropped_by.tolist() == ["", "duplicate", "", ""]


def test_what_each_rule_did_is_counted() -> None:
    texts = ["I'm sorry, I can't help.", "A park. It was taken in 2019. It is located in Rome.", "Two ponds.", ""]
    found = many(texts)
    counts = found.counts.set_index("rule")[["captions", "dropped", "changes"]]
    assert counts.loc["refusal"].tolist() == [1, 1, 1]
    assert counts.loc["unfactual"].tolist() == [1, 0, 2]
    assert counts.loc["empty"].tolist() == [1, 1, 1]
    assert counts["captions"].sum() == 3
    assert found.notes()[0] == "Refined: 4 captions, 1 of them changed and 2 dropped."
    assert any(note.startswith("Rule 'unfactual': 1 captions, 0 of them dropped.") for note in found.notes())
    captions = CaptionSet.from_rows([("r", "", "satellite", "m", text) for text in texts])
    assert found.apply(captions).text.tolist() == ["A park.", "Two ponds."]


def test_untouched_captions_stay_to_the_letter() -> None:
    text = "\u201cA park\u201d, it\u2019s green \u2013 with a pond."
    assert one(text) == (text, "")


def test_refining_twice_changes_nothing_more() -> None:
    captions = CaptionSet.read(resource("samplecity", "captions.parquet"))
    first = refine(captions, load_rules())
    second = refine(first.apply(captions), load_rules())
    assert second.text.tolist() == first.text[first.kept].tolist()


def test_rules_are_data(tmp_path: Path) -> None:
    rules = [{"name": "no parks", "rule": "drop_caption", "patterns": ["\\bparks?\\b"], "help": "Parks are dull."}]
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    found = many(["A park. A pond.", "A pond."], load_rules(tmp_path / "rules.json"))
    assert found.text.tolist() == ["", "A pond."] and found.dropped_by[0] == "no parks"


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("{}", "not a list"),
        ("[", "cannot be read"),
        ('[{"name": "x", "rule": "magic"}]', "a known 'rule'"),
        ('[{"name": "x", "rule": "replace"}]', "'patterns'"),
        ('[{"name": "x", "rule": "drop_sentence", "patterns": ["("]}]', "no regular expression"),
        ('[{"name": "x", "rule": "max_words", "words": "ten"}]', "'words'"),
        ('[{"name": "x", "rule": "duplicate_sentence"}, {"name": "x", "rule": "duplicate_caption"}]', "'x' twice"),
    ],
)
def test_rules_that_are_none_are_told(tmp_path: Path, rules: str, told: str) -> None:
    (tmp_path / "rules.json").write_text(rules)
    with pytest.raises(ConfigError, match=told):
        load_rules(tmp_path / "rules.json")


def test_refining_can_be_stopped() -> None:
    class Stop(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        refine(CaptionSet.from_rows([("r", "", "", "", "A park.")]), load_rules(), Stop())

"""What the light parser reads in English, what it leaves out, and what parsers of other libraries give."""

import re
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from urbanfm_core.captions.light_parser import parse_text, sentence_items, sentences
from urbanfm_core.captions.parser_models import read_written
from urbanfm_core.captions.scene_graph import SceneGraph, load_parser
from urbanfm_core.captions.words import words
from urbanfm_core.errors import Cancelled, ConfigError, MissingDependencyError
from urbanfm_core.progress import Progress


@pytest.mark.parametrize(
    ("text", "objects", "attributes", "relations"),
    [
        ("A red car.", ["car"], [("car", "red")], []),
        (
            "Tall, modern buildings line the wide street.",
            ["building", "street"],
            [("building", "tall"), ("building", "modern"), ("street", "wide")],
            [("building", "line", "street")],
        ),
        (
            "two men sitting on a wooden bench",
            ["man", "bench"],
            [("man", "2"), ("bench", "wooden")],
            [("man", "sit on", "bench")],
        ),
        (
            "Trees and bushes grow along the river",
            ["tree", "bush", "river"],
            [],
            [("tree", "grow along", "river"), ("bush", "grow along", "river")],
        ),
        (
            "a plate containing a lemon and a banana",
            ["plate", "lemon", "banana"],
            [],
            [("plate", "contain", "lemon"), ("plate", "contain", "banana")],
        ),
        ("The sky is clear and very blue.", ["sky"], [("sky", "clear"), ("sky", "very blue")], []),
        (
            "The area is surrounded by trees.",
            ["area", "tree"],
            [],
            [("area", "surround by", "tree")],
        ),
        (
            "a bridge, which connects the park to the city",
            ["bridge", "park", "city"],
            [],
            [("bridge", "connect", "park"), ("park", "to", "city")],
        ),
        (
            "A train can be seen passing through the tunnel.",
            ["train", "tunnel"],
            [],
            [("train", "pass through", "tunnel")],
        ),
        ("a house in front of a hill covered with trees", ["house", "hill", "tree"], [],
         [("house", "in front of", "hill"), ("hill", "cover with", "tree")]),
        ("a row of parked cars", ["car"], [("car", "parked"), ("car", "row")], []),
        ("plenty of trees, hardly any lawns", ["tree", "lawn"], [("tree", "plenty of"), ("lawn", "hardly any")], []),
        ("a street without trees", ["street", "tree"], [("tree", "no")], []),
        ("metal poles and a swimming pool", ["pole", "swimming pool"], [("pole", "metal")], []),
        ("the house's roof", ["house", "roof"], [], [("house", "have", "roof")]),
        ("It isn't a church.", ["church"], [], []),
        ("Land use: shops / offices; Form: dense development", ["shop", "office", "development"],
         [("development", "dense")], []),
        ("The image offers a view of the city.", ["city"], [], []),
        ("I'm sorry, but I can't help with identifying locations in images.", [], [], []),
        ("", [], [], []),
        ("... !! ;; --", [], [], []),
    ],
)  # fmt: skip
def test_the_light_parser_reads(text, objects, attributes, relations):
    graph = parse_text(text)
    assert list(graph.objects) == objects
    assert sorted(graph.attributes) == sorted(attributes)
    assert sorted(graph.relations) == sorted(relations)


def test_one_thing_is_named_once_and_the_graph_has_nothing_that_is_not_named():
    graph = parse_text("A car. Cars. The car is red and the red car stands near the car on the road.")
    assert graph.objects == ("car", "road")
    assert graph.attributes == (("car", "red"),)
    assert graph.relations == (("car", "on", "road"),)  # no 'car near car'


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("trees", "tree"), ("churches", "church"), ("buses", "bus"), ("cities", "city"), ("grass", "grass"),
        ("houses", "house"), ("car parks", "car park"), ("people", "people"), ("bus", "bus"), ("leaves", "leaf"),
    ],
)  # fmt: skip
def test_singulars(plural, singular):
    assert words().singular(plural) == singular


def test_verbs_have_their_forms():
    known = words().verbs
    for form, verb in {"stopped": "stop", "lies": "lie", "lying": "lie", "carries": "carry", "taken": "take"}.items():
        assert known[form][0] == verb


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_a_graph_and_every_phrase_its_place(text):
    graph = parse_text(text)
    assert set(graph.objects) >= {name for name, _ in graph.attributes}
    assert set(graph.objects) >= {name for a, _, b in graph.relations for name in (a, b)}
    spans = sentences(text)
    assert len(spans) == len(sentence_items(text))
    for (start, end), items in zip(spans, sentence_items(text), strict=True):
        at = start
        for item in items:
            assert at <= item.start < item.end <= end
            at = item.end


def test_long_and_odd_captions_are_read():
    sentence = "A red car stands near a tall tree, and people walk along the road. "
    assert parse_text(sentence * 150).objects == parse_text(sentence).objects
    # One sentence of 10,000 characters, of whatever the grammar could stumble over.
    assert parse_text("wordswithoutanend " * 600).objects
    for part in ("a row of ", "very ", "red, ", "is red and ", "the ", ". ", "(", "in front of "):
        parse_text(part * (10_000 // len(part)))


class Stop(Progress):
    def cancelled(self) -> bool:
        return True


def test_parsing_is_cancelled():
    with pytest.raises(Cancelled):
        load_parser().parse(["A car."], Stop())


def test_written_graphs_are_read():
    text = "( pigs , is , 2 ) , ( bags , on back of , pigs ) , ( pigs , fly on , sky ) , ( trees ) , ( pigs , is"
    graph = read_written(text, "2 pigs are flying on the sky with bags on their backs, over trees")
    assert graph.objects == ("pig", "bag", "sky", "tree")
    assert graph.attributes == (("pig", "2"),)
    assert graph.relations == (("bag", "on back of", "pig"), ("pig", "fly on", "sky"))


def test_what_a_model_makes_up_is_left_out():
    graph = read_written("( dog , on , road ) , ( road , is , wide ) , ( , , ) , ( a , b )", "a wide road")
    assert graph == SceneGraph(("road",), (("road", "wide"),), ())


def save_t5(folder: Path) -> Path:
    torch.manual_seed(2)
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[END]", *"( ) , car road is red on".split()])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", eos_token="[END]", model_max_length=40
    ).save_pretrained(folder)
    config = transformers.T5Config(
        vocab_size=16, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=0, eos_token_id=2
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_a_writing_model_is_asked_sentence_by_sentence(tmp_path, monkeypatch):
    parser = load_parser(str(save_t5(tmp_path / "t5")))
    asked = []
    writer = parser._writer
    plain = writer.generate

    def generate(prompts, progress=None):
        asked.extend(prompts)
        assert all(isinstance(answer, str) for answer in plain(prompts, progress))
        return ["( car , is , red )" if "car" in prompt else "( car , on , road )" for prompt in prompts]

    monkeypatch.setattr(writer, "generate", generate)
    graphs = parser.parse(["A red car. The road.", "", "word " * 150])
    assert asked[:2] == ["Generate Scene Graph: A red car.", "Generate Scene Graph: The road."]
    assert graphs[0] == SceneGraph(("car", "road"), (("car", "red"),), ())
    assert graphs[1] == SceneGraph()
    assert not graphs[2]
    # 150 words are pieces of 60, 60 and 30, and the model reads 40 tokens.
    assert len(asked) == 3 and any("2 sentences were too long" in note for note in parser.notes)
    assert parser.identity.startswith("written|folder|sha256=")


@dataclass
class Word:
    """A token of spaCy, as far as the parser looks."""

    i: int
    text: str
    lemma_: str
    pos_: str
    dep_: str
    head: "Word" = None
    children: list = field(default_factory=list)


def sentence(*rows: tuple[str, str, str, str, int]) -> list[Word]:
    made = [Word(i, text, lemma, pos, dep) for i, (text, lemma, pos, dep, _) in enumerate(rows)]
    for word, row in zip(made, rows, strict=True):
        word.head = made[row[4]]
        if word.head is not word:
            word.head.children.append(word)
    return made


# "Two red cars and trucks stand near the bus stop, which is lined by trees." as en_core_web_sm parses it
PARSED = sentence(
    ("Two", "two", "NUM", "nummod", 2),
    ("red", "red", "ADJ", "amod", 2),
    ("cars", "car", "NOUN", "nsubj", 5),
    ("and", "and", "CCONJ", "cc", 2),
    ("trucks", "truck", "NOUN", "conj", 2),
    ("stand", "stand", "VERB", "ROOT", 5),
    ("near", "near", "ADP", "prep", 5),
    ("the", "the", "DET", "det", 9),
    ("bus", "bus", "NOUN", "compound", 9),
    ("stop", "stop", "NOUN", "pobj", 6),
    ("lined", "line", "VERB", "acl", 9),
    ("by", "by", "ADP", "agent", 10),
    ("trees", "tree", "NOUN", "pobj", 11),
)


def install_spacy(monkeypatch, pipes=("tagger", "parser")):
    class Pipeline:
        pipe_names = pipes
        meta = {"lang": "en", "name": "toy", "version": "1"}  # noqa: RUF012

        def pipe(self, texts):
            return (PARSED for _ in texts)

    def load(name):
        if name != "en_toy":
            raise OSError("[E050] Can't find model")
        return Pipeline()

    monkeypatch.setitem(sys.modules, "spacy", types.SimpleNamespace(load=load))


def test_a_dependency_parse_becomes_a_graph(monkeypatch):
    install_spacy(monkeypatch)
    parser = load_parser("spacy:en_toy")
    graph = parser.parse(["Two red cars ..."])[0]
    assert parser.identity == "spacy|en_toy|1"
    assert graph.objects == ("car", "truck", "bus stop", "tree")
    assert graph.attributes == (("car", "two"), ("car", "red"))
    assert graph.relations == (
        ("car", "stand near", "bus stop"),
        ("truck", "stand near", "bus stop"),
        ("bus stop", "line by", "tree"),
    )


def test_what_spacy_lacks_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingDependencyError, match=re.escape("pip install 'urbanfm[spacy]'")):
        load_parser("spacy:en_core_web_sm")
    install_spacy(monkeypatch)
    with pytest.raises(ConfigError, match="python -m spacy download en_core_web_sm"):
        load_parser("spacy:en_core_web_sm")
    install_spacy(monkeypatch, pipes=("tagger",))
    with pytest.raises(ConfigError, match="no dependency parser"):
        load_parser("spacy:en_toy")
    with pytest.raises(ConfigError, match="no folder here and no Hugging Face id"):
        load_parser("no/such/parser/folder")

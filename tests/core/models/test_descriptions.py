"""Descriptions of regions: columns, tables, a template, models on this machine and behind an address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
import torch
import transformers
from pyproj import CRS
from serving import Answer, Request, answering, chat_answer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from urbanfm_core.data.poi import PoiSet
from urbanfm_core.data.regions import RegionSet
from urbanfm_core.data.store import SampleStore
from urbanfm_core.errors import Cancelled, ConfigError, InputError, RemoteError, ShapeError
from urbanfm_core.models import descriptions
from urbanfm_core.models.descriptions import (
    RegionPois,
    describe_by_template,
    fill_prompt,
    group_pois,
    read_prompt,
    region_descriptions,
    split_language_spec,
)
from urbanfm_core.models.text_generation import ChatGenerator, LocalGenerator, load_text_generator
from urbanfm_core.progress import Progress

KEY = "sk-test-0123456789"
POIS = [
    RegionPois(["Blue Cup", "Corner Café", None, "High School 5"], ["cafe", "cafe", "cafe", "school"]),
    RegionPois([], []),
    RegionPois(["Harbour  Cranes\n{x} $y"], ["industrial_area"]),
    RegionPois([None, None], [None, None]),
]


@pytest.fixture
def regions() -> RegionSet:
    table = pd.DataFrame(
        {"region_id": [3, 5, 8, 13], "summary": ["A quiet place.", None, "  ", "Docks"], "n": range(4)}
    )
    boxes = np.array([shapely.box(i, 0, i + 1, 1) for i in range(4)], dtype=object)
    return RegionSet(np.array([3, 5, 8, 13]), boxes, CRS("EPSG:32630"), "region_id", table)


@pytest.fixture
def store(tmp_path: Path) -> SampleStore:
    return SampleStore(tmp_path / "store", {"test": "descriptions"})


def test_points_are_grouped_with_their_finer_category() -> None:
    def words(*values: str | None) -> np.ndarray:
        return np.array(values, dtype=object)

    pois = PoiSet(
        np.zeros((3, 2)),
        CRS("EPSG:4326"),
        words("a", "b", None),
        words("food", "shop", "shop"),
        words("cafe", None, "bakery"),
        np.arange(3),
    )
    first, none, last = group_pois(pois, np.array([0, 2, 2, 3]), np.array([2, 0, 1]))
    assert (first.names, first.categories) == ([None, "a"], ["bakery", "cafe"])
    assert (none.names, last.names, last.categories) == ([], ["b"], ["shop"])


def test_the_template_states_counts_and_names() -> None:
    assert describe_by_template(POIS[0]) == (
        "A region with 4 points of interest: cafe (3), school (1). Among them: Blue Cup, High School 5, Corner Café."
    )
    assert describe_by_template(POIS[1]) is None
    assert describe_by_template(POIS[2]) == (
        "A region with 1 point of interest: industrial area (1). Among them: Harbour Cranes {x} $y."
    )
    assert describe_by_template(POIS[3]) == "A region with 2 points of interest."
    many = RegionPois([f"n{i}" for i in range(60)], [f"kind {i % 20:02d}" for i in range(60)])
    text = describe_by_template(many)
    assert text is not None and "kind 07 (3), others (36)." in text and text.endswith("n0, n1, n2, n3, n4.")


def test_template_descriptions_say_what_they_are(regions: RegionSet, store: SampleStore) -> None:
    found = region_descriptions("template", regions, POIS, store=store)
    assert found.texts == [describe_by_template(pois) for pois in POIS]
    assert "not by a language model" in found.notes[0]
    assert found.notes[1] == "1 of 4 regions have no points of interest and so no description."


def test_a_column_of_the_regions(regions: RegionSet, store: SampleStore) -> None:
    found = region_descriptions("column:summary", regions, POIS, store=store)
    assert found.texts == ["A quiet place.", None, None, "Docks"]
    assert found.notes == ["2 of 4 regions have no description in the column 'summary'."]
    with pytest.raises(ConfigError, match=r"no column 'other'.*region_id, summary"):
        region_descriptions("column:other", regions, POIS, store=store)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_by_region_id(suffix: str, regions: RegionSet, store: SampleStore, tmp_path: Path) -> None:
    table = pd.DataFrame({"id": [13, 3, 99], "description": ["Docks, and cranes", "Quiet", "Elsewhere"]})
    path = tmp_path / f"told.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    found = region_descriptions(f"table:{path}", regions, POIS, store=store)
    assert found.texts == ["Quiet", None, None, "Docks, and cranes"]
    assert any("1 rows" in note for note in found.notes) and any("2 of 4 regions" in note for note in found.notes)
    table.loc[1, "description"] = "Loud"
    table.to_csv(tmp_path / "edited.csv", index=False)
    edited = region_descriptions(f"table:{tmp_path / 'edited.csv'}", regions, POIS, store=store)
    assert edited.identity != found.identity


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"id": [3, 3], "description": ["a", "b"]}, r"1 regions are described twice.*3"),
        ({"id": [1, 2], "description": ["a", "b"]}, r"none of its 2 ids.*the regions have 3, 5"),
        ({"id": [3], "text": ["a"]}, r"needs a column 'description'.*id, text"),
        ({"place": [3], "description": ["a"]}, r"regions' ids"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    columns: dict[str, list[Any]], said: str, regions: RegionSet, store: SampleStore, tmp_path: Path
) -> None:
    pd.DataFrame(columns).to_csv(tmp_path / "told.csv", index=False)
    with pytest.raises(InputError, match=said):
        region_descriptions(f"table:{tmp_path / 'told.csv'}", regions, POIS, store=store)


def test_points_of_other_regions_are_refused(regions: RegionSet, store: SampleStore) -> None:
    with pytest.raises(ShapeError, match="2 regions cannot belong to 4"):
        region_descriptions("template", regions, POIS[:2], store=store)


def test_the_prompt_that_ships_holds_counts_and_names() -> None:
    prompt = fill_prompt(read_prompt(), POIS[0])
    assert "holds 4 points of interest" in prompt
    assert "cafe (3), school (1)" in prompt and "Blue Cup, High School 5, Corner Café." in prompt
    assert "{x} $y" in fill_prompt(read_prompt(), POIS[2])
    assert "By category: unknown." in fill_prompt(read_prompt(), POIS[3])
    assert "High School" not in fill_prompt(read_prompt(), POIS[0], 1)


def test_the_users_prompt_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("Describe $names for $$5.")
    assert fill_prompt(read_prompt(path), POIS[0]) == "Describe Blue Cup, High School 5, Corner Café for $5."
    for text, said in (("$city", "placeholder city"), ("costs 5 $", "placeholder"), ("  ", "is empty")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            read_prompt(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_prompt(tmp_path / "absent.txt")


def test_the_spec_names_what_describes_and_what_encodes() -> None:
    assert split_language_spec("template") == ("template", "minilm")
    assert split_language_spec("openai:m@http://h/v1?price=1|owner/name") == (
        "openai:m@http://h/v1?price=1",
        "owner/name",
    )


WORDS = "park school quiet street region of a city holds points interest Describe the use cafe Blue Cup High 5".split()


def save_tokenizer(folder: Path, limit: int = 200, **options: Any) -> None:
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[END]", *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        eos_token="[END]",
        model_max_length=limit,
        **options,
    ).save_pretrained(folder)


def save_gpt2(folder: Path, limit: int = 200, **options: Any) -> Path:
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=32, n_positions=limit, n_embd=16, n_layer=2, n_head=2, bos_token_id=2, eos_token_id=2, pad_token_id=0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    save_tokenizer(folder, limit, **options)
    return folder


def save_t5(folder: Path) -> Path:
    torch.manual_seed(2)
    config = transformers.T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=0, eos_token_id=2
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


PROMPTS = ["a quiet street", "Describe the use of a city region", "park", "a quiet street"]


def greedy(folder: Path, prompt: str, steps: int) -> str:
    """The likeliest token, one at a time, for one prompt without padding."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    read = ids.shape[1]
    for _ in range(steps):
        with torch.no_grad():
            following = model(ids).logits[0, -1].argmax()
        if following == tokenizer.eos_token_id:
            break
        ids = torch.cat([ids, following.view(1, 1)], 1)
    return " ".join(tokenizer.decode(ids[0, read:], skip_special_tokens=True).split())


def test_a_causal_model_goes_on_from_each_prompt(tmp_path: Path) -> None:
    folder = save_gpt2(tmp_path / "gpt2")
    generator = load_text_generator(str(folder), max_new_tokens=6, batch_size=3)
    found = generator.generate(PROMPTS)
    assert found == [greedy(folder, prompt, 6) for prompt in PROMPTS]
    assert any(found) and "max_new_tokens=6" in generator.identity


def test_a_chat_template_is_used(tmp_path: Path) -> None:
    template = "Describe {{ messages[0]['content'] }} of the city"
    folder = save_gpt2(tmp_path / "gpt2")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    found = load_text_generator(str(folder), max_new_tokens=6).generate(["the use"])
    assert found == [greedy(folder, "Describe the use of the city", 6)]


def test_an_encoder_decoder_model_writes(tmp_path: Path) -> None:
    folder = save_t5(tmp_path / "t5")
    found = load_text_generator(str(folder), max_new_tokens=5).generate(PROMPTS)
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for prompt, text in zip(PROMPTS, found, strict=True):
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        written = model.generate(ids, max_new_tokens=5, do_sample=False, num_beams=1)[0]
        assert text == " ".join(tokenizer.decode(written, skip_special_tokens=True).split())


def test_batches_of_prompts_halve_where_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = LocalGenerator(
        str(save_gpt2(tmp_path / "gpt2")), cache_dir=None, device="cpu", batch_size=4, max_new_tokens=4
    )
    expected, write = generator.generate(PROMPTS), generator._write

    def scarce(tokens: list[list[int]]) -> list[str]:
        if len(tokens) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return write(tokens)

    monkeypatch.setattr(generator, "_write", scarce)
    assert generator.generate(PROMPTS) == expected
    assert generator.notes == ["Memory ran out while writing: batches were cut down to 1 texts."]


def test_prompts_that_a_model_cannot_read_show_fewer_names(
    regions: RegionSet, store: SampleStore, tmp_path: Path
) -> None:
    folder = save_gpt2(tmp_path / "gpt2", limit=40)
    path = tmp_path / "prompt.txt"
    path.write_text("Describe $names")
    many = RegionPois(["High School"] + [f"Blue Cup {i}" for i in range(60)], ["cafe"] * 61)
    pois = [many, *POIS[1:]]
    found = region_descriptions(str(folder), regions, pois, store=store, prompt=path, max_new_tokens=8)
    assert any(note.startswith("The prompts of 1 regions show fewer names") for note in found.notes)
    with pytest.raises(InputError, match=r"too long.*reads 32"):
        load_text_generator(str(folder), max_new_tokens=8).generate(["park " * 40])
    with pytest.raises(ConfigError, match="too few"):
        load_text_generator(str(folder), max_new_tokens=40)


class Stop(Progress):
    def __init__(self, after: int) -> None:
        self._left = after

    def cancelled(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_a_run_that_was_stopped_writes_only_what_is_missing(
    regions: RegionSet, store: SampleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "_TEXTS_PER_PARTITION", 1)
    folder = str(save_gpt2(tmp_path / "gpt2"))
    asked: list[str] = []
    generate = LocalGenerator.generate

    def remember(self: Any, prompts: Any, progress: Any = None) -> list[str]:
        found = generate(self, prompts, progress)
        asked.extend(prompts)
        return found

    monkeypatch.setattr(LocalGenerator, "generate", remember)
    with pytest.raises(Cancelled):
        region_descriptions(folder, regions, POIS, store=store, max_new_tokens=4, progress=Stop(2))
    first = len(asked)
    assert first == 2
    found = region_descriptions(folder, regions, POIS, store=store, max_new_tokens=4)
    assert len(asked) == 3  # of the regions with points of interest
    written = load_text_generator(folder, max_new_tokens=4).generate(
        [fill_prompt(read_prompt(), POIS[row]) for row in (0, 2, 3)]
    )
    assert found.texts == [written[0] or None, None, written[1] or None, written[2] or None] and any(written)
    del asked[3:]
    assert found.notes[0] == "1 of 4 regions have no points of interest and so no description."
    again = region_descriptions(folder, regions, POIS, store=store, max_new_tokens=4)
    assert again == found and len(asked) == 3
    assert "prompt=" in found.identity
    region_descriptions(folder, regions, POIS, store=store, max_new_tokens=5)
    assert len(asked) == 6


def test_models_that_do_not_write_are_refused(tmp_path: Path) -> None:
    config = transformers.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    with pytest.raises(ConfigError, match=r"language model.*no tokenizer"):
        load_text_generator(str(tmp_path / "vit"))
    save_tokenizer(tmp_path / "vit")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_text_generator(str(tmp_path / "vit"))


@dataclass
class Chat:
    """What the server was asked; `failures` are answered first, `contents` say what to write about a prompt."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    keys: set[str | None] = field(default_factory=set)
    failures: list[int] = field(default_factory=list)
    silent: bool = False

    @property
    def spec(self) -> str:
        return f"openai:writer@{self.url}"

    @property
    def prompts(self) -> list[str]:
        return [request["messages"][0]["content"] for request in self.requests]


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    state = Chat()

    def answer(request: Request) -> Answer:
        state.paths.add(request.path)
        state.keys.add(request.key)
        status = state.failures.pop(0) if state.failures else 200
        if status != 200:
            return status, {}, {"error": {"message": "not now"}}
        state.requests.append(request.body)
        return chat_answer(
            "" if state.silent else f"About\n {len(request.body['messages'][0]['content'])} letters. ", "writer"
        )

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with answering(answer) as state.url:
        yield state


class Recorder(Progress):
    def __init__(self) -> None:
        self.logs: list[str] = []

    def log(self, level: str, message: str) -> None:
        self.logs.append(message)


def test_a_chat_service_is_asked_once_per_prompt(
    chat: Chat, regions: RegionSet, store: SampleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    recorder = Recorder()
    found = region_descriptions(chat.spec, regions, POIS, store=store, cache_dir=tmp_path, progress=recorder)
    prompts = [fill_prompt(read_prompt(), POIS[row]) for row in (0, 2, 3)]
    assert sorted(chat.prompts) == sorted(prompts)
    assert (chat.paths, chat.keys) == ({"/v1/chat/completions"}, {f"Bearer {KEY}"})
    assert {request["model"] for request in chat.requests} == {"writer"}
    expected = [f"About {len(prompt)} letters." for prompt in prompts]
    assert found.texts == [expected[0], None, expected[1], expected[2]]
    assert "3 distinct texts, 0 of them in the cache: 3 requests" in recorder.logs[0]
    # Neither the same store nor another one asks again.
    other = SampleStore(tmp_path / "other", {})
    for again in (store, other):
        same = region_descriptions(chat.spec, regions, POIS, store=again, cache_dir=tmp_path)
        assert same.texts == found.texts
    assert len(chat.requests) == 3
    assert KEY not in found.identity + repr(recorder.logs)


def test_failures_that_pass_are_tried_again_and_answers_are_kept(chat: Chat, tmp_path: Path) -> None:
    chat.failures = [500, 429]
    generator = ChatGenerator(chat.spec, cache_dir=tmp_path, backoff_s=0.01, parallel=1)
    recorder = Recorder()
    assert generator.generate(["park", "quiet", "park"], recorder) == [
        "About 4 letters.",
        "About 5 letters.",
        "About 4 letters.",
    ]
    assert sum("Trying again" in line for line in recorder.logs) == 2
    chat.failures = [400]
    with pytest.raises(RemoteError, match=r"language model writer.*400.*not now"):
        generator.generate(["park", "school"])
    generator.generate(["park", "school"])
    assert chat.prompts == ["park", "quiet", "school"]


def test_an_estimate_sends_nothing(chat: Chat, tmp_path: Path) -> None:
    generator = ChatGenerator(f"{chat.spec}?price=2", cache_dir=tmp_path)
    generator.generate(["park"])
    estimate = generator.estimate(["park", "a" * 40])
    assert (estimate.cached, estimate.requests, estimate.tokens) == (1, 1, 10)
    assert estimate.price == pytest.approx(20e-6)
    assert len(chat.requests) == 1


def test_silence_is_counted(chat: Chat, regions: RegionSet, store: SampleStore, tmp_path: Path) -> None:
    chat.silent = True
    found = region_descriptions(chat.spec, regions, POIS, store=store, cache_dir=tmp_path)
    assert found.texts == [None] * 4
    assert "The language model wrote nothing about 3 regions with points of interest." in found.notes
    assert len(chat.requests) == 3


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("openai:m", "OPENAI_API_KEY is not set"),
        ("openai:m@https://example.org/v1?dimensions=3", "'price' only"),
        ("openai:@https://example.org/v1", "language model's address names no model"),
        ("./nowhere", "language model.*no folder"),
    ],
)
def test_specs_that_cannot_be_served_are_refused(
    spec: str, said: str, regions: RegionSet, store: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=said):
        region_descriptions(spec, regions, POIS, store=store)


def test_somebody_elses_spec_cannot_choose_the_service(chat: Chat, regions: RegionSet, store: SampleStore) -> None:
    with pytest.raises(ConfigError, match="not you who named it"):
        region_descriptions(chat.spec, regions, POIS, store=store, allow_remote=False)

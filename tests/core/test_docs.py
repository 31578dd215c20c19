"""The documentation site: complete, whole, asking nothing of the network, and with examples that the software takes."""

import ast
import importlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import docs_build
import pytest
from docs_sources import calls, words

from urbanfm_core import cli
from urbanfm_core.stages import STAGES, make_stage

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "resources" / "docs"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]}
HELP = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "resources/help").glob("*.html")}
CONTRACT = json.loads((ROOT / "resources/contract.json").read_text(encoding="utf-8"))
# Attributes by which a page has a browser load something, beside what a reader may click on.
LOADING = {
    ("script", "src"), ("img", "src"), ("img", "srcset"), ("source", "src"), ("source", "srcset"), ("iframe", "src"),
    ("link", "href"), ("object", "data"), ("embed", "src"), ("audio", "src"), ("video", "src"), ("video", "poster"),
    ("form", "action"), ("use", "href"), ("image", "href"), ("input", "src"),
}  # fmt: skip


class Page(HTMLParser):
    """What a page loads, where it leads, which places of it have a name, and its text."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.ids, self.text = [], [], set(), ""
        self.feed(text)
        self.loads += loaded_by_style(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if (tag, name.removeprefix("xlink:")) in LOADING:
                self.loads.append(value or "")
            if (tag, name) == ("a", "href"):
                self.links.append(value or "")
            if name == "id":
                self.ids.add(value)

    def handle_data(self, data):
        self.text += data


def loaded_by_style(text):
    return [a or b for a, b in re.findall(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", text)]


def outside(address):
    return re.match(r"\s*(?:[a-z]+:)?//", address) is not None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run([sys.executable, DOCS / "docs_build.py", "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site):
    return {path.relative_to(site).as_posix(): Page(path.read_text("utf-8")) for path in site.rglob("*.html")}


def test_every_stage_has_a_page_with_all_parameters_and_an_example(pages):
    for name, stage in CONTRACT["stages"].items():
        page = pages[f"commands/{name}.html"]
        for parameter in stage["parameters"]:
            assert f"--{parameter['name'].replace('_', '-')}" in page.text, (name, parameter["name"])
            assert parameter["help"].split("'")[0].split("(")[0][:40] in page.text, (name, parameter["name"])
        assert f"urbanfm {name}" in page.text
        assert "Examples" in page.text, f"No hand-written page shows how to use {name}."


def test_every_algorithm_has_a_page_with_its_help(pages):
    for name, text in HELP.items():
        if "<!-- stage:" not in text:
            continue
        page = pages[f"algorithms/{name}.html"]
        assert f"urbanfm:{name}" in page.text
        for heading in re.findall(r"<h[12]>(.+?)</h[12]>", text):
            assert heading in page.text, (name, heading)


def test_every_preset_is_on_the_page_of_its_method(pages):
    for path in (ROOT / "resources/presets").glob("*.json"):
        preset = json.loads(path.read_text(encoding="utf-8"))
        page = pages[f"methods/{preset['method']}.html"]
        assert path.stem in page.ids and preset["title"] in page.text
        assert all(name in page.text for name in (*preset["model"], *preset["training"]))


def test_files_of_the_repository_are_shown_whole(pages):
    for source, target in (("tests/benchmarks/RESULTS.md", "results"), ("CHANGELOG.md", "changelog")):
        for heading in re.findall(r"^#+ (.+)$", (ROOT / source).read_text(encoding="utf-8"), re.MULTILINE):
            assert re.sub(r"\W+", " ", heading).strip() in re.sub(r"\W+", " ", pages[f"{target}.html"].text), heading


def test_losses_and_public_classes_are_in_the_reference(pages):
    for path in (ROOT / "urbanfm_core/objectives").glob("[a-z]*.py"):
        assert f"urbanfm_core.objectives.{path.stem}" in pages["api/objectives.html"].text
    assert "EmbeddingTable.from_parquet" in pages["api/inference.html"].text
    assert "NaN rows are regions that nothing covered" in pages["api/inference.html"].text


def test_every_link_leads_somewhere(site, pages):
    broken = []
    for name, page in pages.items():
        for link in page.links + page.loads:
            if outside(link) or link.startswith(("mailto:", "data:")):
                continue
            address = urlsplit(link)
            path, fragment = unquote(address.path), unquote(address.fragment)
            target = (site / name).parent / path if path else site / name
            inside = target.resolve().relative_to(site.resolve()).as_posix()
            if not target.is_file() or (fragment and inside in pages and fragment not in pages[inside].ids):
                broken.append((name, link))
    assert not broken


def test_no_page_loads_anything_from_outside(site, pages):
    loads = {(name, address) for name, page in pages.items() for address in page.loads if outside(address)}
    for path in site.rglob("*.css"):
        loads |= {(path.name, item) for item in loaded_by_style(path.read_text("utf-8")) if outside(item)}
    assert not loads
    assert any(page.loads for page in pages.values())


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.org/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.org/x.css">',
        '<img src="http://x.org/x.png">',
        "<style>@import 'https://x.org/x.css';</style>",
        '<p style="background:url(https://x.org/x.png)">',
    ],
)
def test_the_search_for_outside_loads_finds_them(text):
    assert any(map(outside, Page(text).loads))


COMMANDS = [(name, call) for name, text in TEXTS.items() for call in calls(text, "urbanfm")]


@pytest.mark.parametrize(("page", "call"), COMMANDS, ids=lambda item: item[:60])
def test_command_lines_are_taken(page, call, monkeypatch):
    taken = []
    monkeypatch.setattr(cli, "_run", lambda name, values, dry_run: taken.append(make_stage(name, values)) or 0)
    assert cli.main(words(call)) == 0, f"{page}: {call}"
    assert isinstance(taken[0], STAGES[words(call)[0]])


def test_command_lines_cover_all_stages():
    assert {words(call)[0] for _, call in COMMANDS} == set(STAGES)


ALGORITHMS = [(name, call) for name, text in TEXTS.items() for call in calls(text, "qgis_process run")]


@pytest.mark.parametrize(("page", "call"), ALGORITHMS, ids=lambda item: item[:60])
def test_lines_for_qgis_process_name_parameters_that_exist(page, call):
    _, algorithm, dashes, *given = words(call)
    stage = re.search(r"<!-- stage: (\w+) -->", HELP[algorithm.removeprefix("urbanfm:")])[1]
    known = {item["name"].upper(): item for item in CONTRACT["stages"][stage]["parameters"]}
    values = dict(item.split("=", 1) for item in given)
    assert dashes == "--" and values.keys() <= known.keys(), f"{page}: {call}"
    for name, value in values.items():
        assert value in known[name].get("choices", [value])


PYTHON = [
    (name, block)
    for name, text in TEXTS.items()
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize(("page", "block"), PYTHON, ids=lambda item: item[:40])
def test_python_examples_use_names_that_exist(page, block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, item.name) for item in node.names), page
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and getattr(called.value, "id", "") == "ufm":
            names = {item.arg for item in node.keywords} - {None, "progress"}
            assert names <= STAGES[called.attr].model_fields.keys(), f"{page}: {ast.unparse(node)}"


def test_a_page_cannot_ask_for_what_is_not_there():
    with pytest.raises(docs_build.SourceError, match="no heading 'Nowhere'"):
        docs_build.section("README.md", "Nowhere")
    with pytest.raises(docs_build.SourceError, match=r"urbanfm_core/cli\.py"):
        docs_build.relink("[code](urbanfm_core/cli.py)", "README.md")
    assert docs_build.relink("[all](../../CHANGELOG.md)", "tests/benchmarks/RESULTS.md") == "[all](/changelog.md)"


def test_figures_are_small_and_the_plugin_ships_without_the_site():
    files = [path for path in DOCS.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 600_000
    listed = subprocess.run(
        [sys.executable, "-c", "import build; print(*(name for name, _ in build.sources()), sep='\\n')"],
        cwd=ROOT / "qgis_plugin",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "resources/contract.json" in listed.stdout and "resources/docs" not in listed.stdout

"""`make docs`: the documentation as static pages that ask nothing of the network.

Hand-written pages lie beside this file. All others are made from what the software itself is made from: the contract, the
help of the algorithms, the presets, the docstrings, and the Markdown files of the repository.

`python resources/docs/docs_build.py --out build/docs`
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from docs_sources import algorithms, calls, library, method_pages, packages, words

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FIGURES = {"resources/help/map.png": "figures/embedding.png"}
# Files of the repository that have a page, or a figure, here.
PAGES = {
    "README.md": "/index.md",
    "resources/docs/index.md": "/index.md",
    "CHANGELOG.md": "/changelog.md",
    "CONTRIBUTING.md": "/contributing.md",
    "tests/benchmarks/RESULTS.md": "/results.md",
    "resources/help/samplecity.md": "/sample-city.md",
    **{name: f"/{figure}" for name, figure in FIGURES.items()},
}


@dataclass(frozen=True)
class Example:
    """Command lines that a hand-written page shows under one heading."""

    heading: str
    page: str
    text: str


class SourceError(Exception):
    """A page asks for something that the sources do not have."""


def section(name: str, heading: str) -> str:
    """What a Markdown file of the repository says under a heading, without it; links lead to pages of the site."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise SourceError(f"{name} has no heading '{heading}'.")
    return relink(found[2].strip(), name)


def whole(name: str) -> str:
    """A Markdown file of the repository, links leading to pages of the site."""
    return relink((ROOT / name).read_text(encoding="utf-8"), name)


def relink(text: str, name: str) -> str:
    """Lead relative links of a file of the repository to the pages that show what they name.

    Raises:
        SourceError: a link leads to what the site does not show.
    """

    def lead(match: re.Match[str]) -> str:
        target = match[1]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path = os.path.normpath(Path(name).parent / target)
        if path not in PAGES:
            raise SourceError(f"{name} links to {target}, which is no page of the site.")
        return f"]({PAGES[path]})"

    return re.sub(r"\]\(([^)\s]+)\)", lead, text)


def examples(stage: str, pages: dict[str, str]) -> Iterator[Example]:
    """Where the hand-written pages use a stage on the command line."""
    for name, text in pages.items():
        for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]:
            for block in re.findall(r"^```(?:bash|text)\n(.*?)^```", part, re.MULTILINE | re.DOTALL):
                found = [call for call in calls(block, "urbanfm") if words(call)[0] == stage]
                if found:
                    yield Example(part.partition("\n")[0].removeprefix("## "), name, "\n".join(found))


def render() -> dict[str, str]:
    """Every page of the site as Markdown, by its path.

    Raises:
        SourceError: a source lacks what a page asks for.
    """
    loader = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(  # noqa: S701 - Markdown, of our own sources only
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(cell=_cell, meaning=_meaning, default_of=_default)
    contract = json.loads((ROOT / "resources/contract.json").read_text(encoding="utf-8"))
    found = algorithms(ROOT)
    core = library(ROOT / "urbanfm_core")
    methods = method_pages(ROOT, core)
    layers = packages(core)
    environment.globals.update(
        section=section, whole=whole, stages=contract["stages"], algorithms=found, methods=methods, layers=layers
    )

    pages = {path.name: environment.get_template(path.name).render() for path in sorted(HERE.glob("*.md"))}
    written = dict(pages)

    def make(folder: str, name: str, template: str, **values: Any) -> None:
        written[f"{folder}/{name}.md"] = environment.get_template(f"templates/{template}.md").render(
            name=name, **values
        )

    for name, stage in contract["stages"].items():
        users = [item for item in found if item.stage == name]
        make("commands", name, "command", stage=stage, users=users, examples=list(examples(name, pages)))
    for item in found:
        make("algorithms", item.id, "algorithm", algorithm=item, stage=contract["stages"][item.stage])
    for name, method in methods.items():
        make("methods", name, "method", method=method)
    for layer in layers:
        make("api", layer.name, "api", layer=layer)
    return written


def _meaning(parameter: dict[str, Any]) -> str:
    """What a parameter is for, which values it takes, and within which limits."""
    sentences = ["Required."] if parameter["required"] else []
    sentences.append(parameter["help"])
    if "choices" in parameter:
        sentences.append(f"One of: {', '.join(parameter['choices'])}.")
    for key, limit in (("minimum", "At least"), ("above", "Above"), ("maximum", "At most")):
        if key in parameter:
            sentences.append(f"{limit} {parameter[key]}.")
    return " ".join(sentences)


def _default(parameter: dict[str, Any]) -> str:
    """The default with its unit, or the unit alone."""
    value = parameter["default"]
    if value in (None, "", [], False):
        return str(parameter["unit"])
    shown = ", ".join(map(str, value)) if isinstance(value, list) else "yes" if value is True else str(value)
    return f"{shown} {parameter['unit']}".strip()


def _cell(text: Any) -> str:
    """Text for a cell of a Markdown table."""
    return re.sub(r"([|<*_\[\]])", r"\\\1", str(text)).replace("\n", " ")


def assemble(folder: Path) -> None:
    """Write what Sphinx reads: the pages, their figures, and the icon."""
    for name, text in render().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copytree(HERE / "figures", folder / "figures")
    for source, target in FIGURES.items():
        shutil.copyfile(ROOT / source, folder / target)


def build(out: Path) -> None:
    """Make the site in a folder, replacing what was there; a warning is an error.

    Raises:
        SystemExit: Sphinx found something wrong.
    """
    from sphinx.cmd.build import main as sphinx

    with tempfile.TemporaryDirectory(prefix="urbanfm-docs-") as temporary:
        source, made = Path(temporary, "source"), Path(temporary, "made")
        assemble(source)
        code = sphinx(
            ["-q", "-W", "--keep-going", "-c", str(HERE), "-d", str(Path(temporary, "trees")), str(source), str(made)]
        )
        if code:
            raise SystemExit(code)
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, out)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Build the documentation.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "docs")
    options = parser.parse_args(arguments)
    build(options.out)
    print(f"{options.out}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())

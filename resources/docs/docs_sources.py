"""What the generated pages are made from: algorithms, methods, modules and command lines, read from the repository."""

from __future__ import annotations

import ast
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import griffe
from markdownify import markdownify

# Layers from the ground up, as in CONTRIBUTING.md; the modules that lie in no folder come first.
PACKAGES = (
    (
        "core",
        "The core",
        "Errors, progress, results and files: what every layer uses, and what ties the layers together.",
    ),
    ("geo", "Geometry and files", "Coordinates, windows, nodata, layers. No torch."),
    (
        "data",
        "A city's data",
        "Regions, points, rasters, pictures, roads, the sample store and the sample city. No torch.",
    ),
    ("models", "Methods", "One file or package a method, and what they share."),
    ("objectives", "Losses", "One a file, with formula and source."),
    ("training", "Training", "The one loop, checkpoints, resuming."),
    ("importers", "Importers", "Published weights into checkpoints."),
    ("captions", "Captions", "Writing, refining and comparing words for pictures."),
    ("inference", "Embedding", "Vectors of regions and pixels, and the table that keeps them."),
    ("evaluation", "Evaluation", "Probes, metrics, floors, intervals."),
    ("maps", "Maps", "Styles, pictures, search, clusters, similarity."),
)
# The pages of the commands say it better; or it is the inside of one thing.
LEFT_OUT = re.compile(
    r"(__main__|cli|contract|(parameters|planning|pipeline|reporting|stages)(\..+)?|.+_report|data\.samplecity\..+)$"
)
_SECTION = re.compile(r"(?<=\S)\n(?=(?:Args|Returns|Raises|Yields|Attributes):\n)")


@dataclass(frozen=True)
class Algorithm:
    """An algorithm of the QGIS toolbox, as its class and its help page tell.

    Attributes:
        outputs: Numbers and texts beside the stage's outputs: id and label.
        hidden: Parameters of the stage that QGIS does not ask for.
        body: Help as Markdown, without the title.
    """

    id: str
    stage: str
    title: str
    group: str
    tags: tuple[str, ...]
    outputs: dict[str, str]
    hidden: tuple[str, ...]
    body: str


@dataclass(frozen=True)
class Entry:
    """A module, class, function or method, as its docstring tells.

    Attributes:
        signature: As Python writes it; empty for a module.
        text: What the docstring says before its sections.
        sections: By title, pairs of a name, or nothing, and what it is.
        inside: Public classes and functions of a module, public methods of a class.
    """

    name: str
    signature: str
    text: str
    sections: dict[str, list[tuple[str, str]]]
    inside: tuple[Entry, ...]


@dataclass(frozen=True)
class Package:
    """A layer of the library and its modules."""

    name: str
    title: str
    about: str
    modules: tuple[Entry, ...]


def algorithms(root: Path) -> list[Algorithm]:
    """All algorithms, read from the plugin's sources, which only QGIS can import; by group and title."""
    folder = root / "qgis_plugin" / "algorithms"
    groups = _assigned(ast.parse((folder / "groups.py").read_text(encoding="utf-8")))
    found = []
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            values = _assigned(node) if isinstance(node, ast.ClassDef) else {}
            if values.get("ID"):
                found.append(_algorithm(root, values, groups))
    return sorted(found, key=lambda item: (list(groups).index(item.group.upper()), item.title))


def _algorithm(root: Path, values: dict[str, Any], groups: dict[str, Any]) -> Algorithm:
    page = (root / "resources" / "help" / f"{values['ID']}.html").read_text(encoding="utf-8")
    body = re.sub(r"<!--.*?-->|<h1>.*?</h1>", "", page)
    named = {**values.get("NUMBERS", {}), **values.get("TEXTS", {})}
    return Algorithm(
        id=values["ID"],
        stage=values["STAGE"],
        title=values["TITLE"],
        group=groups[values["GROUP"]][1],
        tags=tuple(values.get("TAGS", ())),
        outputs={key: label for key, (_, label) in named.items()},
        hidden=tuple(values.get("HIDDEN", ())),
        body=markdownify(body, heading_style="ATX", bullets="-").strip(),
    )


def _assigned(tree: ast.AST) -> dict[str, Any]:
    """Literals by the names they are assigned to; a name stands for itself."""
    values: dict[str, Any] = {}
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value
            try:
                values[node.targets[0].id] = value.id if isinstance(value, ast.Name) else ast.literal_eval(value)
            except ValueError:
                continue
    return values


def method_pages(root: Path, core: griffe.Module) -> dict[str, dict[str, Any]]:
    """By method: its class, what it says of itself, and its presets, from the published size down."""
    from urbanfm_core.models import METHODS, get_method

    presets = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (root / "resources/presets").glob("*.json")
    }
    return {
        name: {
            "about": get_method(name),
            "config": entry(core[_in_core(get_method(name).config_class)], get_method(name).config_class.__name__),
            "presets": {key: presets[key] for key in sorted(presets, key=_size) if presets[key]["method"] == name},
        }
        for name in METHODS
    }


def _in_core(thing: type) -> str:
    return f"{thing.__module__}.{thing.__name__}".removeprefix("urbanfm_core.")


def _size(preset: str) -> tuple[str, int]:
    method, _, size = preset.partition("-")
    return method, ("", "small", "tiny").index(size)


def library(core: Path) -> griffe.Module:
    """The library's sources, read without running them."""
    loaded = griffe.load(core.name, search_paths=[core.parent], allow_inspection=False)
    if not isinstance(loaded, griffe.Module):
        raise TypeError(f"{core} is no package.")
    return loaded


def packages(core: griffe.Module) -> list[Package]:
    """Layers with their modules, but for those that are left out.

    Raises:
        ValueError: a folder of the library is no layer.
    """
    layers: dict[str, list[Entry]] = {name: [] for name, _, _ in PACKAGES}
    for module in _walk(core):
        parts = module.path.split(".")[1:]
        if LEFT_OUT.match(".".join(parts)) or not parts:
            continue
        layer = parts[0] if len(parts) > 1 or module.is_init_module else "core"
        if layer not in layers:
            raise ValueError(f"PACKAGES of {__file__} lacks {layer}.")
        made = entry(module, module.path)
        if made.inside:
            layers[layer].append(made)
    return [Package(name, title, about, tuple(layers[name])) for name, title, about in PACKAGES]


def _walk(module: griffe.Module) -> list[griffe.Module]:
    inner = [item for _, child in sorted(module.modules.items()) if not child.is_alias for item in _walk(child)]
    return [module, *inner]


def entry(item: griffe.Object, name: str) -> Entry:
    """What the docstring of a module, class, function or method says."""
    texts: list[str] = []
    sections: dict[str, list[tuple[str, str]]] = {}
    if item.docstring:
        # Sections need not stand apart here; the parser wants them to.
        spaced = griffe.Docstring(_SECTION.sub("\n\n", item.docstring.value), parent=item)
        options = {"returns_named_value": False, "returns_multiple_items": False, "warnings": False}
        for part in spaced.parse("google", **options):
            if part.kind is griffe.DocstringSectionKind.text:
                texts.append(part.value)
            else:
                title = {"parameters": "Arguments"}.get(part.kind.value, part.kind.value.capitalize())
                sections[title] = [_described(line) for line in part.value]
    signature = ""
    if isinstance(item, griffe.Function):
        signature = ("@property\n" if "property" in item.labels else "") + item.signature()
    elif isinstance(item, griffe.Class):
        signature = f"class {item.name}({', '.join(map(str, item.bases))})".replace("()", "")
    return Entry(name, signature, "\n\n".join(texts), sections, _inside(item))


def _inside(item: griffe.Object) -> tuple[Entry, ...]:
    if isinstance(item, griffe.Function):
        return ()
    public = [
        child
        for child in item.members.values()
        if not child.is_alias and (child.is_function or child.is_class) and child.docstring and child.name[0] != "_"
    ]
    prefix = f"{item.name}." if isinstance(item, griffe.Class) else ""
    return tuple(entry(child, f"{prefix}{child.name}") for child in public)


def _described(line: Any) -> tuple[str, str]:
    """A line of a section: arguments and attributes have names, errors a class, what is returned neither."""
    named = getattr(line, "name", None)
    name = str(named or (line.annotation if isinstance(line, griffe.DocstringRaise) else ""))
    kind = str(line.annotation) if named and line.annotation else ""
    return (f"`{name}`" + (f": `{kind}`" if kind else "") if name else ""), " ".join(line.description.split())


def calls(text: str, program: str) -> list[str]:
    """The calls of a program in a block of shell, as they are written there."""
    return re.findall(rf"^ *{program} (?:.*\\\n)*.*$", text, re.MULTILINE)


def words(call: str) -> list[str]:
    """The arguments of a call, without the program and without comments."""
    return shlex.split(call.replace("\\\n", " "), comments=True)[1:]

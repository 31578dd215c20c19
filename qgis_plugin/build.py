"""Assembles the plugin: a folder for development, or the zip for release. Not part of the plugin.

`python qgis_plugin/build.py --folder DIR` makes `DIR/urbanfm`; `--zip FILE` makes an archive that is the same, byte for
byte, whenever the sources are.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import runpy
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomllib

ROOT = Path(__file__).resolve().parent.parent
NAME = "urbanfm"
EXTRAS = ("text", "plots")
# Of those who work on the plugin.
TOOLS = ("build.py", "translations.py")
CODE_SUFFIXES = {".py"}
RESOURCE_SUFFIXES = {
    ".json", ".svg", ".png", ".qml", ".html", ".model3", ".gpkg", ".tif", ".parquet", ".jpg", ".txt", ".md", ".csv", ".ts",
}  # fmt: skip
MAX_BYTES = 25 * 2**20
# The oldest date that a zip can hold: the archive must not depend on when it was made.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def sources() -> Iterator[tuple[str, Path]]:
    """Each file of the plugin: its name in the plugin folder, and where it comes from."""
    for path in _files(ROOT / "qgis_plugin", CODE_SUFFIXES):
        if path.name not in TOOLS:
            yield path.relative_to(ROOT / "qgis_plugin").as_posix(), path
    for path in _files(ROOT / "urbanfm_core", CODE_SUFFIXES):
        yield path.relative_to(ROOT).as_posix(), path
    for path in _files(ROOT / "resources", RESOURCE_SUFFIXES):
        if ROOT / "resources" / "docs" in path.parents:
            continue
        yield path.relative_to(ROOT).as_posix(), path
    for name in ("metadata.txt", "LICENSE", "constraints.txt"):
        yield name, ROOT / name


def requirements() -> str:
    """What the environment needs, from the library's own declaration."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = list(project["dependencies"])
    for extra in EXTRAS:
        needed += project["optional-dependencies"][extra]
    return "\n".join(sorted(set(needed))) + "\n"


def contents() -> dict[str, bytes]:
    """The whole plugin: name in the plugin folder to content, sorted.

    Raises:
        SystemExit: something that the plugin needs is missing, or the versions differ.
    """
    files = {name: path.read_bytes() for name, path in sources()}
    files["requirements.txt"] = requirements().encode()
    files.update(help_pages(files))
    for needed in ("__init__.py", "metadata.txt", "LICENSE", "resources/contract.json", "urbanfm_core/__init__.py"):
        if needed not in files:
            raise SystemExit(f"{needed} is missing.")
    _check_versions(files)
    return dict(sorted(files.items()))


def help_pages(files: dict[str, bytes]) -> dict[str, bytes]:
    """The documentation: hand-written pages in one frame, with tables of parameters from the contract.

    Args:
        files: Contents of the plugin; the pages in `resources/help` and the contract are taken from it.
    """
    stages = json.loads(files["resources/contract.json"])["stages"]
    sources_ = {name: text.decode() for name, text in files.items() if re.fullmatch(r"resources/help/\w+\.html", name)}
    titles = {name.rsplit("/", 1)[1]: re.search(r"<h1>(.+)</h1>", text)[1] for name, text in sources_.items()}
    titles.pop("index.html")
    links = "".join(f'<li><a href="{name}">{title}</a></li>' for name, title in sorted(titles.items()))
    pages = {}
    for name, text in sources_.items():
        stage = re.search(r"<!-- stage: (\w+) -->", text)
        table = _parameter_table(stages[stage[1]]["parameters"]) if stage else ""
        table += _example(name.rsplit("/", 1)[1].removesuffix(".html"))
        body = text.replace("<!-- parameters -->", table).replace("<!-- contents -->", f"<ul>{links}</ul>")
        back = "" if name.endswith("/index.html") else '<p><a href="index.html">UrbanFM in QGIS</a></p>'
        pages[name] = f"{_PAGE_HEAD}{back}{body}</body></html>\n".encode()
    return pages


def _example(algorithm: str) -> str:
    # Run by its path, since this file is a program and not always a part of the package.
    command = runpy.run_path(str(ROOT / "qgis_plugin" / "algorithms" / "examples.py"))["command"]
    line = html.escape(command(algorithm))
    return f"<h2>Example, with the files of the sample city</h2><pre>{line}</pre>" if line else ""


def _parameter_table(parameters: list[dict[str, Any]]) -> str:
    rows = []
    for p in sorted(parameters, key=lambda item: (item["output"], item["advanced"])):
        default = "" if p["default"] in (None, "", []) else f"{p['default']} {p['unit']}".strip()
        name = f"<b>{html.escape(p['label'])}</b><br><code>{p['name'].upper()}</code>"
        kind = "output" if p["output"] else "advanced" if p["advanced"] else ""
        rows.append(
            f"<tr><td>{name}</td><td>{html.escape(p['help'])}</td><td>{html.escape(default)}</td><td>{kind}</td></tr>"
        )
    head = "<tr><th>Parameter</th><th>Meaning</th><th>Default</th><th></th></tr>"
    return f"<h2>Parameters</h2><table>{head}{''.join(rows)}</table>"


_PAGE_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>UrbanFM</title><style>
body { font: 16px/1.5 sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { line-height: 1.2; } table { border-collapse: collapse; } pre, code { background: #f2f2f2; }
pre { padding: .6rem; overflow-x: auto; } td, th { border-bottom: 1px solid #ddd; padding: .4rem; text-align: left;
vertical-align: top; }
</style></head><body>
"""


def write_folder(parent: Path) -> Path:
    """Make `parent/urbanfm`, replacing what was there."""
    target = parent / NAME
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{NAME}-") as temporary:
        fresh = Path(temporary) / NAME
        for name, content in contents().items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if target.is_symlink():
            target.unlink()
        elif target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
    return target


def write_zip(target: Path) -> Path:
    """Make the archive.

    Raises:
        SystemExit: it is larger than the plugin hub takes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in contents().items():
            entry = zipfile.ZipInfo(f"{NAME}/{name}", ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    size = temporary.stat().st_size
    if size > MAX_BYTES:
        temporary.unlink()
        raise SystemExit(f"The zip has {size:,} bytes; the plugin hub takes {MAX_BYTES:,}.")
    return temporary.replace(target)


def _files(folder: Path, suffixes: set[str]) -> list[Path]:
    hidden = ("__pycache__",)
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix.lower() in suffixes
        and not any(part in hidden or part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _check_versions(files: dict[str, bytes]) -> None:
    plugin = re.search(r"^version=(.+)$", files["metadata.txt"].decode(), re.MULTILINE)
    core = re.search(r'^__version__ = "(.+)"$', files["urbanfm_core/__init__.py"].decode(), re.MULTILINE)
    if not plugin or not core or plugin[1].strip() != core[1]:
        raise SystemExit("The versions in metadata.txt and urbanfm_core/__init__.py differ.")


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Assemble the QGIS plugin.")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--folder", type=Path, help="folder in which to make the plugin folder 'urbanfm'")
    group.add_argument("--zip", type=Path, help="archive to make")
    options = parser.parse_args(arguments)
    made = write_folder(options.folder) if options.folder else write_zip(options.zip)
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())

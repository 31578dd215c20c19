"""Brings the translations up to date with the sources. Not part of the plugin.

`python -m qgis_plugin.translations` adds new texts to each `resources/i18n/urbanfm_*.ts` as unfinished, and takes out those
that are gone. Translate with Qt Linguist or an editor.
"""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from .algorithms.nextsteps import NEXT
from .contract import load
from .provider import ALGORITHMS

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT.parent / "resources" / "i18n"
# What a language must have, and what may follow: long texts of the help.
INTERFACE, HELP = "UrbanFM", "UrbanFM help"


def texts() -> dict[str, set[str]]:
    """All texts that the plugin translates, by context."""
    interface, help_texts = _literals(), set()
    interface |= {step.why for steps in NEXT.values() for step in steps}
    for algorithm in ALGORITHMS:
        interface |= {algorithm.TITLE, algorithm.GROUP[1]}
        interface |= {label for outputs in (algorithm.NUMBERS, algorithm.TEXTS) for _, label in outputs.values()}
        stage = load().stage(algorithm.STAGE)
        help_texts |= {stage.summary, stage.description}
        for p in stage.parameters.values():
            if p.name not in algorithm.HIDDEN:
                interface.add(p.label)
                help_texts.add(p.help)
    return {INTERFACE: interface - {""}, HELP: help_texts - interface - {""}}


def _literals() -> set[str]:
    """Texts that stand in a call of `tr`."""
    found = set()
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr"
            if called and isinstance(node.args[0], ast.Constant):
                found.add(node.args[0].value)
    return found


def stored(path: Path) -> dict[str, dict[str, str]]:
    """What a file holds: by context, translation by source; empty where it is unfinished."""
    found: dict[str, dict[str, str]] = {}
    # The repository's own files, read by those who work on it.
    for context in ET.parse(path).getroot().iter("context"):  # noqa: S314
        messages = found.setdefault(context.findtext("name", ""), {})
        for message in context.iter("message"):
            translation = message.find("translation")
            finished = translation is not None and translation.get("type") is None
            messages[message.findtext("source", "")] = (translation.text or "") if finished else ""
    return found


def write(path: Path, translated: dict[str, str]) -> int:
    """Write a file with all texts of the sources.

    Args:
        path: Whose name ends in the language, such as urbanfm_de.ts.
        translated: Translation by source.

    Returns:
        Number of texts without a translation.
    """
    language = path.stem.split("_", 1)[1]
    root = ET.Element("TS", {"version": "2.1", "language": language, "sourcelanguage": "en"})
    missing = 0
    for name, sources in texts().items():
        context = ET.SubElement(root, "context")
        ET.SubElement(context, "name").text = name
        for source in sorted(sources):
            message = ET.SubElement(context, "message")
            ET.SubElement(message, "source").text = source
            text = translated.get(source, "")
            ET.SubElement(message, "translation", {} if text else {"type": "unfinished"}).text = text
            missing += not text
    ET.indent(root, " ")
    body = ET.tostring(root, encoding="unicode")
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{body}\n', encoding="utf-8")
    return missing


def main() -> int:
    """Command line."""
    for path in sorted(FOLDER.glob("urbanfm_*.ts")):
        known = {source: text for messages in stored(path).values() for source, text in messages.items()}
        print(f"{path.name}: {write(path, known)} texts without a translation")
    return 0


if __name__ == "__main__":
    sys.exit(main())

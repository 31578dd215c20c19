"""Translation of what the user reads.

Translations are the `.ts` files of Qt Linguist in `resources/i18n`, read as they are. Qt's own way needs them compiled, a
binary that has to be kept in step; and a translator of our own in Qt would be asked for every text of QGIS, from any
thread. A dictionary that only this plugin asks needs neither.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QXmlStreamReader

from .paths import resource


def tr(text: str) -> str:
    """The text in the user's language, or as it is."""
    return catalogue().get(text, text)


@cache
def catalogue() -> dict[str, str]:
    """Translations into the language that QGIS runs in: that of the region if there is one, such as de_AT, else de."""
    locale = language_of_qgis()
    for language in (locale, locale.split("_")[0]):
        path = resource("i18n", f"urbanfm_{language}.ts")
        if path.is_file():
            return read(path)
    return {}


def language_of_qgis() -> str:
    """Such as de or de_AT: what QGIS was started with if that was said, else what its settings or the system say."""
    application = QgsApplication.instance()
    chosen = application.translation() if isinstance(application, QgsApplication) else ""
    return chosen or QgsApplication.locale()


def read(path: Path) -> dict[str, str]:
    """The finished translations of a `.ts` file by their sources; nothing if it is damaged from the start."""
    found: dict[str, str] = {}
    reader = QXmlStreamReader(path.read_text(encoding="utf-8"))
    source = ""
    while not reader.atEnd():
        reader.readNext()
        if not reader.isStartElement():
            continue
        if reader.name() == "source":
            source = reader.readElementText()
        elif reader.name() == "translation":
            kind = reader.attributes().value("type")
            text = reader.readElementText()
            if text and not kind:
                found[source] = text
    return found

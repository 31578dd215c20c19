"""Translations: nothing is missing, and no translation can break a message."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from plugin.helpers import ROOT
from qgis.core import QgsApplication

from qgis_plugin import build, i18n, translations
from qgis_plugin.gui.menu import Menu
from qgis_plugin.provider import ALGORITHMS

pytestmark = pytest.mark.usefixtures("qgis_app")

FILES = sorted((ROOT / "resources" / "i18n").glob("urbanfm_*.ts"))


@pytest.fixture()
def german(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(i18n, "language_of_qgis", lambda: "de_AT")
    i18n.catalogue.cache_clear()
    yield
    i18n.catalogue.cache_clear()


def test_there_is_german() -> None:
    assert [path.name for path in FILES] == ["urbanfm_de.ts"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_text_of_the_window_is_translated(path: Path) -> None:
    stored = translations.stored(path)
    wanted = translations.texts()
    hint = "run `make translations` and translate what it added"
    for context, sources in wanted.items():
        assert sorted(sources - set(stored[context])) == [], hint
        assert sorted(set(stored[context]) - sources) == [], hint
    assert [source for source, text in stored[translations.INTERFACE].items() if not text] == [], hint


def fields(text: str) -> list[tuple[Any, Any]]:
    return [(name, shape) for _, name, shape, _ in Formatter().parse(text) if name is not None]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_translation_has_the_places_and_edges_of_its_source(path: Path) -> None:
    literals = translations._literals()
    for source, text in i18n.read(path).items():
        if source in literals:
            assert fields(text) == fields(source), source
        assert (source[:1] == " ", source[-1:] == " ") == (text[:1] == " ", text[-1:] == " "), source
        assert source.count("\n") == text.count("\n"), source
        # Ids, file names and parameters stay what they are.
        assert re.findall(r"\*\.\w+|EPSG:\d+", source) == re.findall(r"\*\.\w+|EPSG:\d+", text), source


def test_dialogs_speak_the_language_of_qgis(german: None) -> None:
    embed = next(item for item in ALGORITHMS if item.ID == "embedregions")().create({})
    assert (embed.displayName(), embed.group(), embed.groupId()) == ("Regionen einbetten", "Embeddings", "embeddings")
    assert embed.parameterDefinition("REGIONS").description() == "Regionen"
    # What scripts and models rely on stays.
    assert embed.name() == "embedregions" and "aether" in embed.parameterDefinition("PRESET").options()

    class Bar:
        def __init__(self) -> None:
            self.entries: list[str] = []

        def mainWindow(self) -> None: ...

        def addPluginToMenu(self, menu: str, action: Any) -> None:
            self.entries.append(action.text())

        def addToolBarIcon(self, action: Any) -> None: ...

    bar = Bar()
    Menu(bar).install()
    assert "Beispielstadt öffnen" in bar.entries and "Regionen-Inspektor" in bar.entries


def test_another_language_falls_back_to_the_source(monkeypatch: pytest.MonkeyPatch, german: None) -> None:
    monkeypatch.setattr(i18n, "language_of_qgis", lambda: "xx")
    i18n.catalogue.cache_clear()
    assert i18n.tr("Open sample city") == "Open sample city"


def test_the_language_is_that_of_qgis(monkeypatch: pytest.MonkeyPatch, qgis_app: QgsApplication) -> None:
    before = qgis_app.translation()
    monkeypatch.setattr(QgsApplication, "locale", staticmethod(lambda: "fr_FR"))
    QgsApplication.setTranslation("")
    assert i18n.language_of_qgis() == "fr_FR"
    QgsApplication.setTranslation("de")
    assert i18n.language_of_qgis() == "de"
    QgsApplication.setTranslation(before)


def test_an_unfinished_or_damaged_file_breaks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "urbanfm_xx.ts"
    path.write_text(
        "<TS><context><name>UrbanFM</name>"
        "<message><source>One</source><translation>Eins</translation></message>"
        '<message><source>Two</source><translation type="unfinished">Zwei</translation></message>'
        "<message><source>Three</source><translation></translation></message>"
        "<message><source>Four</source><transl"
    )
    assert i18n.read(path) == {"One": "Eins"}


def test_the_zip_holds_the_translations_and_not_their_tool() -> None:
    names = build.contents()
    assert "resources/i18n/urbanfm_de.ts" in names and "i18n.py" in names
    assert "translations.py" not in names


def test_new_texts_are_added_unfinished_and_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "urbanfm_xx.ts"
    monkeypatch.setattr(translations, "FOLDER", tmp_path)
    monkeypatch.setattr(translations, "texts", lambda: {"UrbanFM": {"a & b", "gone"}, "UrbanFM help": {"long"}})
    assert translations.write(path, {"a & b": "x < y", "gone": "weg"}) == 1
    monkeypatch.setattr(translations, "texts", lambda: {"UrbanFM": {"a & b", "new"}, "UrbanFM help": {"long"}})
    translations.main()
    assert translations.stored(path) == {"UrbanFM": {"a & b": "x < y", "new": ""}, "UrbanFM help": {"long": ""}}
    assert i18n.read(path) == {"a & b": "x < y"}
    before = path.read_bytes()
    translations.main()
    assert path.read_bytes() == before

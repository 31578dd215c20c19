"""Where the shipped files and the user's files are."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

# In the plugin folder everything lies beside this file; in a checkout one level up.
ROOT = PACKAGE if (PACKAGE / "resources").is_dir() else PACKAGE.parent


def resource(*parts: str) -> Path:
    """Path of a file in `resources/`; it need not exist."""
    return ROOT.joinpath("resources", *parts)


def core_package() -> Path:
    """Folder of the library that the worker runs."""
    return ROOT / "urbanfm_core"


def metadata(key: str) -> str:
    """One entry of `metadata.txt`, such as version or homepage; empty if it is not there."""
    parser = ConfigParser(interpolation=None)
    parser.read(ROOT / "metadata.txt", encoding="utf-8")
    return parser.get("general", key, fallback="")


def user_folder(*parts: str) -> Path:
    """A folder of this plugin in the user's QGIS profile, made if needed."""
    from qgis.core import QgsApplication

    folder = Path(QgsApplication.qgisSettingsDirPath()).joinpath("urbanfm", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder

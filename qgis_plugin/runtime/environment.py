"""Finding the Python that runs the worker.

QGIS's own Python cannot do it: wheels of rasterio or geopandas bring a second GDAL, which crashes QGIS, and torch must
not be installed beside QGIS's numpy. So the worker runs in another interpreter, found in this order: the environment
variable URBANFM_PYTHON, the plugin's setting, the environment that the plugin set up.
"""

from __future__ import annotations

import json
import os

# Its own interpreter is started, without a shell.
import subprocess  # nosec B404
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qgis.PyQt.QtCore import QStandardPaths

from .. import settings
from ..i18n import tr
from ..paths import metadata

VARIABLE = "URBANFM_PYTHON"
MARKER = "urbanfm-environment.json"
PACKAGES = ("torch", "geopandas", "pyogrio", "rasterio", "pyarrow", "pydantic", "accelerate", "transformers")

_SCRUBBED_PREFIXES = ("PROJ_", "GDAL_", "OGR_", "CPL_", "PYTHON", "PIP_", "DYLD_", "QT_")
_SCRUBBED = {
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
}
_FOR_PIP = {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}

_PROBE = (
    "import importlib.util, json, sys; "
    "print(json.dumps({'version': list(sys.version_info[:3]), "
    "'missing': [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]}))"
)
OLDEST = (3, 11)


@dataclass(frozen=True)
class Interpreter:
    """A Python that may run the worker.

    Attributes:
        path: The executable.
        origin: Where the path comes from, in words.
    """

    path: Path
    origin: str


@dataclass(frozen=True)
class Verdict:
    """What running an interpreter once has shown.

    Attributes:
        version: Such as "3.11.2"; empty if it did not run.
        missing: Needed packages that are not installed.
        problem: What is wrong, in a sentence; empty if it can be used.
    """

    version: str = ""
    missing: tuple[str, ...] = field(default=())
    problem: str = ""


class EnvironmentMissing(Exception):
    """No interpreter can be used; the text is the one-line remedy."""


def find() -> Interpreter:
    """The interpreter to use. Only looks whether files exist; nothing is started.

    Raises:
        EnvironmentMissing: there is none, or the one asked for is not there.
    """
    named = os.environ.get(VARIABLE, "")
    if named:
        return _existing(Path(named), tr("the environment variable {}").format(VARIABLE))
    named = settings.get(settings.PYTHON)
    if named:
        return _existing(Path(named), tr("the plugin's settings"))
    folder = environment_folder()
    if (folder / MARKER).is_file():
        return _existing(python_of(folder), tr("the environment that the plugin set up"))
    raise EnvironmentMissing(remedy())


def remedy() -> str:
    """The one line that says how to get an environment."""
    return tr(
        "UrbanFM needs its own Python environment: choose Plugins > UrbanFM > Set up environment…, or set the "
        "environment variable {} to a Python that has its packages."
    ).format(VARIABLE)


def environment_folder() -> Path:
    """Where the plugin sets up its environment: the user's choice, or the local (never roaming) data folder."""
    chosen = settings.get(settings.ENVIRONMENT_FOLDER)
    if chosen:
        return Path(chosen)
    base = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericDataLocation)
    return Path(base) / "urbanfm" / "environment"


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    if sys.platform == "win32":
        return folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"


def scrubbed(source: Mapping[str, str], for_pip: bool = False) -> dict[str, str]:
    """An environment without what QGIS puts there for itself.

    A leaked PROJ_LIB turns EPSG codes into raw WKT and a leaked PYTHONPATH shadows the packages, both silently.

    Args:
        source: Usually `os.environ`.
        for_pip: Keep what lets pip through a proxy or to an index of the house.
    """
    kept = {}
    for name, value in source.items():
        upper = name.upper()
        wanted = for_pip and (upper.startswith("PIP_") or upper in _FOR_PIP)
        if wanted or not (upper in _SCRUBBED or upper.startswith(_SCRUBBED_PREFIXES)):
            kept[name] = value
    return kept


def verify(python: Path) -> Verdict:
    """Run the interpreter once and see whether it can be used. Remembered until the file changes."""
    try:
        stamp = (str(python), python.stat().st_mtime_ns, _site_stamp(python))
    except OSError as error:
        return Verdict(problem=tr("{} cannot be read: {}").format(python, error))
    if stamp not in _VERDICTS:
        verdict = _probe(python)
        if verdict.problem:
            # Not remembered: the user may be mending it right now.
            return verdict
        _VERDICTS[stamp] = verdict
    return _VERDICTS[stamp]


_VERDICTS: dict[tuple[str, int, int], Verdict] = {}


def usable() -> Interpreter:
    """The interpreter to use, verified by running it.

    Raises:
        EnvironmentMissing: there is none, or it cannot do the work; the text says what to do.
    """
    interpreter = find()
    verdict = verify(interpreter.path)
    if verdict.problem:
        raise EnvironmentMissing(verdict.problem)
    return interpreter


def _existing(path: Path, origin: str) -> Interpreter:
    path = path.expanduser()
    if not path.is_file():
        raise EnvironmentMissing(tr("The Python named by {} is not there: {}. {}").format(origin, path, remedy()))
    return Interpreter(path, origin)


def _site_stamp(python: Path) -> int:
    """Changes when packages are added or removed, as far as a folder's time tells; 0 outside an environment."""
    for pattern in ("lib/python*/site-packages", "Lib/site-packages"):
        for folder in python.parent.parent.glob(pattern):
            return folder.stat().st_mtime_ns
    return 0


def _probe(python: Path) -> Verdict:
    command = [str(python), "-I", "-c", _PROBE, *PACKAGES]
    try:
        # The interpreter that the user chose, no shell.
        done = subprocess.run(  # nosec B603
            command, env=scrubbed(os.environ), capture_output=True, text=True, timeout=60, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        found = json.loads(done.stdout.strip().splitlines()[-1])
        version, missing = tuple(found["version"]), tuple(found["missing"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, IndexError) as error:
        return Verdict(problem=tr("{} does not run as a Python interpreter ({}). {}").format(python, error, remedy()))
    text = ".".join(str(part) for part in version)
    if version < OLDEST:
        return Verdict(
            text, missing,
            tr("{} is Python {}, and UrbanFM {} needs {} or newer. {}").format(
                python, text, metadata("version"), ".".join(map(str, OLDEST)), remedy()
            ),
        )  # fmt: skip
    if missing:
        return Verdict(
            text, missing,
            tr("{} lacks the packages: {}. Install them with: {} -m pip install {}. Or {}").format(
                python, ", ".join(missing), python, " ".join(missing), remedy()
            ),
        )  # fmt: skip
    return Verdict(text)

"""Sets up the worker's environment at the user's request: a virtual environment of its own, never QGIS's Python."""

from __future__ import annotations

import json
import os
import queue
import shutil

# Its own interpreter is started, without a shell.
import subprocess  # nosec B404
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional
from urllib.parse import quote

from qgis.core import QgsSettings

from ..i18n import tr
from ..paths import ROOT, metadata
from .environment import MARKER, OLDEST, PACKAGES, python_of, scrubbed
from .process import ChildProcess

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Measured on Linux with the CPU build of PyTorch.
DISK_GB, DOWNLOAD_GB, NEEDED_FREE_GB = 2.0, 0.7, 4.0
_VENV_PROBE = "import ensurepip, json, sys, venv; print(json.dumps(list(sys.version_info[:3])))"


class SetupError(Exception):
    """The environment cannot be set up; the text is for the user."""


@dataclass(frozen=True)
class Plan:
    """What to set up.

    Attributes:
        folder: Where the environment goes.
        base: Python that makes it.
        torch_index: Additional package index to take PyTorch from; empty for none.
        wheels: Folder of wheels to install from, without any network; None to use the network.
    """

    folder: Path
    base: Path
    torch_index: str = ""
    wheels: Optional[Path] = None

    def check(self) -> None:
        """Look for what would make it fail later.

        Raises:
            SetupError: the folder, the base interpreter, the wheels or the disk will not do.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise SetupError(tr("{} is a file.").format(self.folder))
        if self.folder.is_dir() and any(self.folder.iterdir()) and not is_environment(self.folder):
            raise SetupError(
                tr("{} holds other files. Choose an empty or a new folder; nothing is deleted there.").format(
                    self.folder
                )
            )
        if self.wheels is not None and not any(self.wheels.glob("*.whl")):
            raise SetupError(tr("{} holds no wheels (*.whl).").format(self.wheels))
        problem = base_problem(self.base)
        if problem:
            raise SetupError(problem)
        free_gb = shutil.disk_usage(_existing_parent(self.folder)).free / 1e9
        if free_gb < NEEDED_FREE_GB:
            raise SetupError(
                tr("{} has {:.1f} GB free; {:.0f} GB are needed while installing.").format(
                    self.folder, free_gb, NEEDED_FREE_GB
                )
            )

    def steps(self) -> Iterator[tuple[str, list[str]]]:
        """What is done, in words, and the command of each step."""
        python = str(python_of(self.folder))
        pip = [
            python, "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off",
            "--prefer-binary", "-c", str(ROOT / "constraints.txt"),
        ]  # fmt: skip
        if self.wheels is not None:
            pip += ["--no-index", "--find-links", str(self.wheels)]
        yield tr("Making the environment"), [str(self.base), "-I", "-m", "venv", str(self.folder)]
        if self.torch_index and self.wheels is None:
            yield tr("Installing PyTorch"), [*pip, "--extra-index-url", self.torch_index, "torch"]
        yield tr("Installing the packages"), [*pip, "-r", str(ROOT / "requirements.txt")]
        imports = "; ".join(f"import {name}" for name in PACKAGES)
        yield tr("Trying the packages"), [python, "-I", "-c", f"{imports}; print('OK')"]


class Setup(threading.Thread):
    """Carries out a plan in the background. The outcome is whole, or nothing is left.

    Attributes:
        lines: Log, line by line.
        step: What is being done, in words.
        problem: Why it failed; empty if it did not.
        cancelled: The user stopped it.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(name="urbanfm-setup", daemon=True)
        self.plan = plan
        self.lines: queue.Queue[str] = queue.Queue()
        self.step = ""
        self.problem = ""
        self.cancelled = False
        self._env = {**scrubbed(os.environ, for_pip=True), **proxies()}
        self._asked_to_stop = threading.Event()

    def cancel(self) -> None:
        """Stop within a second; what was made so far is removed."""
        self._asked_to_stop.set()

    def run(self) -> None:
        try:
            self.plan.check()
            remove_environment(self.plan.folder)
            self.plan.folder.parent.mkdir(parents=True, exist_ok=True)
            for step, command in self.plan.steps():
                self.step = step
                self.lines.put(f"\n{self.step}\n$ {subprocess.list2cmdline(command)}")
                self._do(command)
                if self._asked_to_stop.is_set():
                    break
            else:
                self._mark()
                return
            self.cancelled = True
        except (SetupError, OSError) as error:
            self.problem = str(error)
        remove_environment(self.plan.folder)

    def _do(self, command: list[str]) -> None:
        process = ChildProcess(command, self._env)
        last: list[str] = []
        try:
            while not process.finished():
                if self._asked_to_stop.is_set():
                    process.stop()
                    return
                line = process.line(0.1)
                if line:
                    self.lines.put(line)
                    last = [*last[-4:], line]
            process.wait(5.0)
        finally:
            process.close()
        if process.returncode:
            raise SetupError(tr("{} failed: {}").format(self.step, "\n".join(last)))

    def _mark(self) -> None:
        content = {"version": metadata("version"), "base": str(self.plan.base)}
        (self.plan.folder / MARKER).write_text(json.dumps(content), encoding="utf-8")


def is_environment(folder: Path) -> bool:
    """Whether a folder is a virtual environment, so that it may be replaced."""
    return (folder / "pyvenv.cfg").is_file()


def remove_environment(folder: Path) -> None:
    """Delete a virtual environment; another folder is not touched."""
    if is_environment(folder):
        shutil.rmtree(folder, ignore_errors=True)


def base_candidates() -> list[Path]:
    """Interpreters that may make an environment, the likeliest first. `sys.executable` may be QGIS itself."""
    prefix = Path(sys.base_prefix)
    named = [prefix / "python.exe", prefix / "python3.exe", prefix / "bin" / "python3"]
    found = [path for path in named if path.is_file()]
    for name in ("python3", "python3.13", "python3.12", "python3.11", "python"):
        where = shutil.which(name)
        if where:
            found.append(Path(where))
    return list(dict.fromkeys(found))


def base_problem(python: Path) -> str:
    """Why an interpreter cannot make the environment, with the remedy; empty if it can."""
    try:
        # The interpreter that the user chose, no shell.
        done = subprocess.run(  # nosec B603
            [str(python), "-I", "-c", _VENV_PROBE], env=scrubbed(os.environ), capture_output=True, text=True,
            timeout=30, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        version = tuple(json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError) as error:
        return tr("{} does not run: {}").format(python, error)
    except (ValueError, TypeError):
        if "ensurepip" in done.stderr or "venv" in done.stderr:
            return tr("{} cannot make environments. On Debian and Ubuntu: sudo apt install python3-venv").format(python)
        return tr("{} is no Python interpreter.").format(python)
    if version < OLDEST:
        return tr("{} is Python {}; {} or newer is needed. Install it from python.org and choose it here.").format(
            python, ".".join(map(str, version)), ".".join(map(str, OLDEST))
        )
    return ""


def proxies() -> dict[str, str]:
    """The proxy of QGIS's options as pip understands it. What the environment says already goes first."""
    settings = QgsSettings()
    if settings.value("proxy/proxyEnabled", False, bool) is not True:
        return {}
    if settings.value("proxy/proxyType", "") not in ("HttpProxy", "HttpCachingProxy"):
        return {}
    host, port = str(settings.value("proxy/proxyHost", "")), str(settings.value("proxy/proxyPort", ""))
    if not host:
        return {}
    user, password = str(settings.value("proxy/proxyUser", "")), str(settings.value("proxy/proxyPassword", ""))
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    url = f"http://{login}{host}{':' + port if port else ''}"
    return {name: url for name in ("HTTP_PROXY", "HTTPS_PROXY") if not _set_already(name)}


def _set_already(name: str) -> bool:
    return bool(os.environ.get(name) or os.environ.get(name.lower()))


def _existing_parent(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder

"""The command line and `qgis_process`, run as users run them; for the demo and the tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


class QgisProcess:
    """`qgis_process` with a profile of its own.

    Args:
        profile: Folder for the profile; the plugin is built into it.
        python: Interpreter with the library's dependencies, for the worker.
    """

    def __init__(self, profile: Path, python: str = sys.executable) -> None:
        self.profile = profile
        # Debian's 3.22 wrapper named qgis_process is broken; the program itself is fine.
        self.program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
        if self.program is None:
            raise FileNotFoundError("qgis_process is not installed; run: make setup")
        plugins = profile / "profiles" / "default" / "python" / "plugins"
        subprocess.run(
            [sys.executable, ROOT / "qgis_plugin" / "build.py", "--folder", plugins], check=True, capture_output=True
        )
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": os.environ.get("HOME", "/root"),
            "LANG": "C.UTF-8",
            "QT_QPA_PLATFORM": "offscreen",
            "XDG_RUNTIME_DIR": str(profile),
            "QGIS_CUSTOM_CONFIG_PATH": str(profile),
            "URBANFM_PYTHON": python,
        }
        self.run_raw("plugins", "enable", "urbanfm")

    def run_raw(self, *arguments: str, echo: bool = False) -> str:
        """Run it and return what it printed; a failure carries all of it."""
        command = [str(self.program), *arguments]
        process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if echo:
                print("   ", line.rstrip(), flush=True)
        text = "".join(lines)
        if process.wait() != 0:
            raise subprocess.CalledProcessError(process.returncode, command, text)
        return text

    def run(self, algorithm: str, *, echo: bool = False, **parameters: object) -> dict[str, object]:
        """Run one algorithm and return its results by output name."""
        given = [f"{name}={value}" for name, value in parameters.items()]
        text = self.run_raw("run", algorithm, *(["--json"] if not echo else []), "--", *given, echo=echo)
        if echo:
            return {}
        return json.loads(text[text.index("{") :])["results"]


def urbanfm(*arguments) -> str:
    """The command line as a user runs it; what it printed."""
    command = [sys.executable, "-m", "urbanfm_core.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout

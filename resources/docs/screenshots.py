"""Takes the pictures of QGIS of the pages again: `python resources/docs/screenshots.py`.

Needs what `make setup` installs, and `xvfb-run`. QGIS runs with a profile of its own and the plugin of this checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from running import QgisProcess  # noqa: E402 - the folder of the tests is no package

COLOURS = 192
LONGEST_S = 600


def main() -> None:
    """Start QGIS, let it take the pictures, and make these small."""
    program = shutil.which("qgis.bin") or shutil.which("qgis")
    if program is None or shutil.which("xvfb-run") is None:
        sys.exit("QGIS and xvfb-run are needed; install them with: apt-get install qgis xvfb")
    with tempfile.TemporaryDirectory(prefix="urbanfm-screenshots-") as folder:
        work = Path(folder)
        profile = QgisProcess(work / "profile").environment
        environment = {name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"}
        environment.update(URBANFM_PYTHON=profile["URBANFM_PYTHON"], URBANFM_PICTURES=folder, XDG_RUNTIME_DIR=folder)
        screen = ["xvfb-run", "-a", "-s", "-screen 0 1280x860x24"]
        inside = ["--profiles-path", str(work / "profile"), "--noversioncheck", "--nologo"]
        code = ["--code", str(HERE / "screenshots_in_qgis.py")]
        subprocess.run([*screen, program, *inside, *code], env=environment, check=True, timeout=LONGEST_S)
        for picture in sorted(work.glob("qgis-*.png")):
            Image.open(picture).convert("RGB").quantize(COLOURS).save(HERE / "figures" / picture.name, optimize=True)
            print(picture.name)


if __name__ == "__main__":
    main()

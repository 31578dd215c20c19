"""The zip passes the scans of QGIS's plugin hub."""

import subprocess
import sys
import zipfile

from running import ROOT
from scan import scan


def test_the_zip_holds_nothing_that_the_scans_object_to(tmp_path):
    archive = tmp_path / "urbanfm.zip"
    subprocess.run(
        [sys.executable, ROOT / "qgis_plugin" / "build.py", "--zip", archive], check=True, capture_output=True
    )
    with zipfile.ZipFile(archive) as content:
        content.extractall(tmp_path / "plugin")
    assert (tmp_path / "plugin" / "urbanfm" / "urbanfm_core" / "worker.py").is_file()
    assert scan(tmp_path / "plugin") == []


def test_the_scans_do_see(tmp_path):
    (tmp_path / "bad.py").write_text("import os\nos.system(input())\naws = 'AKIA" + "IOSFODNN7EXAMPL1'\n")
    found = " ".join(scan(tmp_path))
    assert "bad.py:2" in found and "bad.py:3: AWS Access Key" in found

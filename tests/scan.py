"""bandit and detect-secrets over the plugin's zip: `python tests/scan.py dist/urbanfm.zip`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def scan(folder: Path) -> list[str]:
    """What the two find in a folder, a line each: nothing if all is well."""
    bandit = _report(folder, "bandit", "--quiet", "--recursive", "--format", "json", ".")
    found = [f"{item['filename']}:{item['line_number']}: {item['issue_text']}" for item in bandit["results"]]
    found += [f"{item['filename']}: not scanned: {item['reason']}" for item in bandit["errors"]]
    # From inside the folder: what lies outside the current one is passed over without a word.
    secrets = _report(folder, "detect_secrets", "scan", "--all-files", ".")
    found += [
        f"{name}:{item['line_number']}: {item['type']}" for name, items in secrets["results"].items() for item in items
    ]
    return found


def _report(folder: Path, module: str, *arguments: str) -> dict:
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=folder, capture_output=True, text=True)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"{module} did not run: {done.stderr}") from None


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(sys.argv[1]) as archive:
            archive.extractall(folder)
        found = scan(Path(folder))
    print("\n".join(found) or "Nothing found.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

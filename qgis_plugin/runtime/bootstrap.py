"""Starts the worker in the environment's own Python: `python -I bootstrap.py job.json`.

It makes the library beside the plugin importable, and nothing else of the plugin: the folder as a whole on the path
would turn the plugin's modules into top-level ones. Being a file, it also runs in processes that the worker spawns.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path


def find_core() -> Path:
    """Folder of the library: beside the plugin's modules, or beside their folder in a checkout."""
    plugin = Path(__file__).resolve().parent.parent
    for root in (plugin, plugin.parent):
        if (root / "urbanfm_core" / "__init__.py").is_file():
            return root / "urbanfm_core"
    raise SystemExit(f"The library urbanfm_core is missing beside {plugin}. Install the plugin again.")


def register(folder: Path) -> None:
    """Make `import urbanfm_core` mean this folder, whatever else is installed."""
    if "urbanfm_core" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        "urbanfm_core", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder} cannot be imported. Install the plugin again.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["urbanfm_core"] = module
    spec.loader.exec_module(module)


def main() -> int:
    """Run one job."""
    # By name: this file runs in the environment's Python, and the plugin itself never imports the library.
    worker = importlib.import_module("urbanfm_core.worker")
    return int(worker.main(sys.argv[1:]) or 0)


register(find_core())

if __name__ == "__main__":
    sys.exit(main())

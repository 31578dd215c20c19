"""The architecture, read from the code's own imports."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE, PLUGIN = ROOT / "urbanfm_core", ROOT / "qgis_plugin"

# Lower layers first; a module may import its own layer and those below.
LAYERS = [
    (
        "errors",
        "parameters",
        "stages",
        "result",
        "progress",
        "files",
        "report",
        "resources",
        "__init__",
    ),
    ("geo",),
    ("data",),
    ("models", "objectives"),
    ("training", "importers", "captions"),
    ("inference",),
    ("evaluation", "maps"),
    ("environment", "inputs", "cities", "reporting", "pipeline", "planning", "contract"),
    ("cli", "worker", "__main__"),
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every imported module name of a file, and whether it is imported at load time."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    deferred = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_type_checking(node)
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or PLUGIN in path.parents, f"{path}: relative import"
            base = "." * node.level + (node.module or "")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        found += [(name, id(node) not in deferred) for name in names]
    return found


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def layer(path: Path) -> str:
    parts = path.relative_to(CORE).parts
    return parts[0] if len(parts) > 1 else path.stem


CORE_FILES = sorted(CORE.rglob("*.py"))


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_imports_point_one_way(path):
    own = layer(path)
    assert own in RANK, f"{path} is in no layer; add it to LAYERS and to the picture in CONTRIBUTING.md"
    relative = str(path.relative_to(CORE))
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] != "urbanfm_core" or len(parts) < 2 or parts[1] not in RANK:
            continue
        if own == "__init__":
            continue
        assert RANK[parts[1]] <= RANK[own], f"{relative} ({own}) imports {name}, which is above it"


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_never_imports_qgis_and_low_layers_never_torch(path):
    names = {name.split(".")[0] for name, _ in imports(path)}
    assert not names & {"qgis", "PyQt5", "PyQt6", "qgis_plugin"}
    if layer(path) in (
        "errors",
        "parameters",
        "stages",
        "progress",
        "files",
        "resources",
        "geo",
        "data",
        "environment",
        "cli",
    ):
        assert not names & {"torch", "transformers", "accelerate", "timm"}


@pytest.mark.parametrize("path", sorted(PLUGIN.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_plugin_imports_only_qgis_itself_and_the_standard_library(path):
    allowed = set(sys.stdlib_module_names) | {"qgis", "processing", "console"}
    for name, _ in imports(path):
        top = name.split(".")[0]
        assert name.startswith(".") or top in allowed, f"{path.relative_to(ROOT)} imports {name}"


def test_importing_the_library_is_light():
    modules = [CORE / name for name in ("__init__.py", "cli.py", "worker.py", "pipeline/__init__.py")]
    for module in [*modules, *(CORE / "parameters").glob("*.py"), *(CORE / "stages").glob("*.py")]:
        heavy = {name.split(".")[0] for name, at_load in imports(module) if at_load}
        assert not heavy & {"torch", "numpy", "rasterio", "geopandas", "transformers"}, module

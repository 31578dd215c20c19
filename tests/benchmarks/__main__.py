"""`python -m tests.benchmarks STAGE --peers all --scale 1,2,4,8 --json out.json`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.benchmarks import STAGES
from tests.benchmarks.harness import ContenderFailed, memory_slopes, run_case
from tests.benchmarks.stage import Mismatch

LIBRARIES = ("numpy", "torch", "rasterio", "shapely", "geopandas", "exactextract", "rasterstats")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("stage", choices=[*STAGES, "all"])
    parser.add_argument("--case", help="only this case of the stage")
    parser.add_argument("--peers", default="all", help="all, none, or names with commas")
    parser.add_argument("--scale", default="1", help="multiples of the area or of the points, with commas")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each contender")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--published", type=Path, help="checkout of the public code (AETHER, or open_clip for urbanclip), for its peers"
    )
    parser.add_argument("--folder", type=Path, help="where the temporary inputs go")
    parser.add_argument("--json", type=Path, help="file for all figures")
    given = parser.parse_args(arguments)
    published = given.published.resolve() if given.published else None

    results: list[dict[str, Any]] = []
    try:
        for stage in STAGES if given.stage == "all" else [given.stage]:
            for case in importlib.import_module(STAGES[stage]).CASES:
                if given.case not in (None, case):
                    continue
                for scale in map(float, given.scale.split(",")):
                    print(f"{stage} / {case}, scale {scale:g}", flush=True)
                    result = run_case(
                        STAGES[stage],
                        case,
                        scale=scale,
                        peers=given.peers,
                        rounds=given.rounds,
                        seed=given.seed,
                        published=published,
                        folder=given.folder,
                    )
                    results.append({"stage": stage, **result, "load_average": os.getloadavg()[0]})
                    _show(results[-1])
    except (Mismatch, ContenderFailed) as error:
        print(f"Stopped: {error}", file=sys.stderr)
        return 1
    slopes = memory_slopes(results)
    for case, by_name in slopes.items():
        for name, slope in by_name.items():
            print(f"memory of {name} ({case}) from the smallest to the largest scale: {slope:+.1%}")
    if given.json:
        found = {"machine": machine(), "results": results, "memory_slope": slopes}
        given.json.write_text(json.dumps(found, indent=1), "utf-8")
    return 0


def _show(result: dict[str, Any]) -> None:
    print(
        f"  {'contender':26s} {'role':6s} {'median':>9s} {'least':>9s} {'cpu':>8s} {'spread':>7s} {'x floor':>8s} {'x peer':>7s} {'peak MiB':>9s}"
    )
    for name, one in result["contenders"].items():
        part = "" if one["share"] == 1 else f" (did 1/{1 / one['share']:.0f}, scaled up)"
        print(
            f"  {name:26s} {one['role']:6s} {one['median_s']:8.3f}s {one['least_s']:8.3f}s {one['cpu_s']:7.2f}s {one['spread']:7.0%} "
            f"{_number(one['ratio_to_floor'])} {_number(one['ratio_to_best_peer'], 7)} {one['peak_mib']:9.0f}  "
            f"{one['agreement']}{part}"
        )
    for goal in result["goals"]:
        verdict = "met" if goal["met"] else "MISSED"
        found = f"{goal['found']:.3g} (least {goal['least']:.3g})"
        of = f"{goal['of']} in {goal['measure']}"
        print(f"  goal: {goal['ours']} <= {goal['at_most']:.3g} x {of}: {found}, {verdict}")
    print(f"  (load average {result['load_average']:.1f})", flush=True)


def _number(value: float | None, width: int = 8) -> str:
    return "-".rjust(width) if value is None else f"{value:{width}.3g}"


def machine() -> dict[str, Any]:
    """The machine in generic words, and the versions that ran."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


if __name__ == "__main__":
    sys.exit(main())

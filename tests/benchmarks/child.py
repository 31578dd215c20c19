"""One contender in a process of its own: `python -m tests.benchmarks.child MODULE CASE CONTENDER JSON`.

Answers each line "go" on standard input with one line of JSON: seconds and peak memory. Whatever the contender prints
goes to standard error.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from tests.benchmarks.stage import Setting, Unavailable

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_mib() -> float:
    """Largest resident memory so far, as the operating system counted it.

    Linux hands the parent's peak on to the child in ru_maxrss, so the process's own line in /proc is asked first.
    """
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def cpu_seconds() -> float:
    """Processor time of this process and of its ended children, over all cores."""
    return sum(os.times()[:4])


def _forget_peak() -> None:
    try:
        RESET.write_text("5")
    except OSError:
        return


def main() -> None:
    module, case, contender, setting = sys.argv[1:5]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    given = {name: Path(value) for name, value in json.loads(setting).items() if value}
    outputs = given.pop("outputs")
    try:
        work = importlib.import_module(module).CASES[case].contenders[contender].prepare(Setting(**given))
    except (Unavailable, ImportError) as reason:
        print(json.dumps({"unavailable": str(reason)}), file=answers)
        return
    gc.collect()
    start_mib = psutil.Process().memory_info().rss / 2**20
    print(json.dumps({"ready": True, "start_mib": start_mib}), file=answers)
    first = True
    for line in sys.stdin:
        if line.strip() != "go":
            return
        gc.collect()
        _forget_peak()
        began, cpu_began = time.perf_counter(), cpu_seconds()
        output = work()
        seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu_began
        peak = peak_mib()
        if first:
            np.savez(outputs, **output.collect())
            first = False
        share = output.share
        del output
        print(
            json.dumps({"seconds": seconds / share, "cpu_s": cpu / share, "share": share, "peak_mib": peak}),
            file=answers,
        )


if __name__ == "__main__":
    main()

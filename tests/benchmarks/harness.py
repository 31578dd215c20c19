"""Runs a case: each contender in its own process, outputs compared before anything is timed, runs interleaved."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.stage import Arrays, Case, Goal

ROOT = Path(__file__).resolve().parents[2]
Say = Callable[[str], None]


class ContenderFailed(Exception):
    """A contender's process ended before it answered."""


@dataclass
class Measured:
    """Runs of one contender.

    Attributes:
        role: As in `Contender`.
        seconds: By the clock, per run.
        cpu_s: Processor time of the same runs, over all cores; on a busy machine it says more.
        peak_mib: Peak of the first run above what the process held before it: imports, and inputs given in memory.
        share: As in `Output`.
        agreement: What the comparison said.
    """

    role: str
    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    peak_mib: float = 0.0
    share: float = 1.0
    agreement: str = "not compared: computes nothing"


class Process:
    """A contender's process; see `child`."""

    def __init__(self, module: str, case: str, name: str, folder: Path, published: Path | None) -> None:
        self.name = name
        self.scratch = folder / "scratch" / name
        self.scratch.mkdir(parents=True)
        self.outputs = folder / f"{name}.npz"
        self._log = (folder / f"{name}.log").open("w+", encoding="utf-8")
        setting = {"inputs": folder / "inputs", "scratch": self.scratch, "published": published or ""}
        setting["outputs"] = self.outputs
        arguments = json.dumps({key: str(value) for key, value in setting.items()})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.child", module, case, name, arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.hello = self._answer()
        self.unavailable: str | None = self.hello.get("unavailable")

    def go(self) -> dict[str, float]:
        """One run: seconds, share, peak_mib."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            raise ContenderFailed(
                f"{self.name} ended with exit code {self._process.returncode}:\n{self._log.read()[-2000:]}"
            )
        return dict(json.loads(line))

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        self._log.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def chosen(case: Case, peers: str) -> list[str]:
    """Names of the contenders: ours, the floors, and the peers asked for ('all', 'none' or names with commas)."""
    wanted = set() if peers == "none" else set(peers.split(","))
    return [name for name, one in case.contenders.items() if one.role != "peer" or peers == "all" or name in wanted]


def run_case(
    module: str,
    case_name: str,
    *,
    scale: float = 1.0,
    peers: str = "all",
    rounds: int = 5,
    seed: int = 0,
    published: Path | None = None,
    folder: Path | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Measure one case at one scale.

    Returns:
        'case', 'scale', 'contenders': by name the fields of `summarise`, 'unavailable': reasons by name.
    Raises:
        Mismatch: outputs differ; nothing was timed.
        ContenderFailed: a process ended.
    """
    case: Case = importlib.import_module(module).CASES[case_name]
    root = Path(tempfile.mkdtemp(prefix="urbanfm-bench-", dir=folder))
    processes: list[Process] = []
    try:
        (root / "inputs").mkdir()
        _make(module, case_name, root / "inputs", scale, seed)
        unavailable: dict[str, str] = {}
        for name in chosen(case, peers):
            process = Process(module, case_name, name, root, published)
            processes.append(process)
            if process.unavailable:
                unavailable[name] = process.unavailable
                say(f"  {name}: left out: {process.unavailable}")
        running = [process for process in processes if not process.unavailable]
        measured = {p.name: Measured(case.contenders[p.name].role) for p in running}
        # The first run warms up, gives what is compared, and tells the memory: later ones begin with its remains.
        for process in running:
            answer = process.go()
            measured[process.name].share = answer["share"]
            measured[process.name].peak_mib = answer["peak_mib"] - process.hello["start_mib"]
        outputs = {process.name: _load(process.outputs) for process in running}
        agreements = case.compare({name: arrays for name, arrays in outputs.items() if arrays})
        for name, words in agreements.items():
            measured[name].agreement = words
        del outputs
        for turn in range(rounds):
            # Starting with another one each time, so that none always runs after the same one.
            for process in running[turn % len(running) :] + running[: turn % len(running)]:
                answer = process.go()
                measured[process.name].seconds.append(answer["seconds"])
                measured[process.name].cpu_s.append(answer["cpu_s"])
    finally:
        for process in processes:
            process.close()
        shutil.rmtree(root, ignore_errors=True)
    return {
        "case": case_name,
        "title": case.title,
        "scale": scale,
        "contenders": summarise(measured),
        "unavailable": unavailable,
        "goals": check_goals(case, measured),
    }


def _make(module: str, case: str, folder: Path, scale: float, seed: int) -> None:
    """Generate the inputs in a process of its own, whose memory nobody counts."""
    code = (
        f"import importlib, pathlib; importlib.import_module({module!r}).CASES[{case!r}]"
        f".make(pathlib.Path({str(folder)!r}), {scale!r}, {seed!r})"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True)


def _load(path: Path) -> Arrays:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def summarise(measured: Mapping[str, Measured]) -> dict[str, dict[str, Any]]:
    """Per contender: median and least seconds, spread, ratios, memory.

    Ratios are medians of the ratios within a round, whose runs lie close together in time. Beside them stand ratios of
    the least times: what a neighbour on the machine does can only add to a run. The floor is the slowest of
    the floors, since work needs them all; the best peer is the one with the smallest median.
    """
    medians = {name: statistics.median(one.seconds) for name, one in measured.items()}
    floor = max((n for n, one in measured.items() if one.role == "floor"), key=medians.__getitem__, default=None)
    peer = min((n for n, one in measured.items() if one.role == "peer"), key=medians.__getitem__, default=None)
    return {
        name: {
            "role": one.role,
            "seconds": one.seconds,
            "median_s": medians[name],
            "least_s": min(one.seconds),
            "cpu_s": statistics.median(one.cpu_s),
            "spread": (max(one.seconds) - min(one.seconds)) / medians[name],
            "floor": floor,
            "ratio_to_floor": None if floor is None else ratio(one, measured[floor]),
            "least_to_floor": None if floor is None else least_ratio(one, measured[floor]),
            "best_peer": peer,
            "ratio_to_best_peer": None if peer is None else ratio(one, measured[peer]),
            "peak_mib": one.peak_mib,
            "share": one.share,
            "agreement": one.agreement,
        }
        for name, one in measured.items()
    }


def ratio(one: Measured, other: Measured) -> float:
    """Median over the rounds of the one's seconds to the other's."""
    return statistics.median(a / b for a, b in zip(one.seconds, other.seconds, strict=True))


def least_ratio(one: Measured, other: Measured) -> float:
    """Least seconds of the one to those of the other."""
    return min(one.seconds) / min(other.seconds)


def check_goals(case: Case, measured: Mapping[str, Measured]) -> list[dict[str, Any]]:
    """Each goal whose two contenders ran, with the ratios found; it is met when the median is within it.

    Memory is taken once, so its median and its least are one.
    """

    def found(goal: Goal, of_seconds: Callable[[Measured, Measured], float]) -> float:
        mine, theirs = measured[goal.ours], measured[goal.of]
        return of_seconds(mine, theirs) if goal.measure == "seconds" else mine.peak_mib / theirs.peak_mib

    return [
        {
            "ours": goal.ours,
            "of": goal.of,
            "at_most": goal.at_most,
            "measure": goal.measure,
            "found": found(goal, ratio),
            "least": found(goal, least_ratio),
            "met": found(goal, ratio) <= goal.at_most,
        }
        for goal in case.goals
        if goal.ours in measured and goal.of in measured
    ]


def memory_slopes(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Growth of the peak from the smallest to the largest scale, by case and contender: 0.05 is five per cent."""
    slopes: dict[str, dict[str, float]] = {}
    for case in dict.fromkeys(result["case"] for result in results):
        runs = sorted((r for r in results if r["case"] == case), key=lambda result: result["scale"])
        if len(runs) < 2:
            continue
        first, last = runs[0]["contenders"], runs[-1]["contenders"]
        slopes[case] = {
            name: last[name]["peak_mib"] / max(first[name]["peak_mib"], 1.0) - 1 for name in first if name in last
        }
    return slopes
